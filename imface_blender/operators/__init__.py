# SPDX-License-Identifier: GPL-3.0-or-later
"""The operators: each reads the scene, asks the worker, and puts the answer into the scene."""

from . import animate, blend, expressions, fit_error, fit_scan, generate, neutralize, worker

CLASSES = (
    generate.IMFACE_OT_generate,
    fit_scan.IMFACE_OT_fit_scan,
    fit_error.IMFACE_OT_show_fit_error,
    blend.IMFACE_OT_blend,
    neutralize.IMFACE_OT_neutralize,
    expressions.IMFACE_OT_add_expressions,
    animate.IMFACE_OT_keyframe_expression,
    worker.IMFACE_OT_check_worker,
    worker.IMFACE_OT_free_memory,
    worker.IMFACE_OT_remove_runtime,
    worker.IMFACE_OT_cancel_job,
    worker.IMFACE_OT_copy_details,
)
