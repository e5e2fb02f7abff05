# SPDX-License-Identifier: GPL-3.0-or-later
"""The operators: each reads the scene, asks the worker, and puts the answer into the scene."""

from . import (
    animate,
    bake,
    blend,
    capture,
    codes,
    edit_shape,
    expressions,
    fit_error,
    fit_file,
    fit_scan,
    gallery,
    generate,
    mark_landmarks,
    morph,
    neutralize,
    worker,
)

CLASSES = (
    generate.IMFACE_OT_generate,
    gallery.IMFACE_OT_random_gallery,
    gallery.IMFACE_OT_keep_face,
    fit_scan.IMFACE_OT_fit_scan,
    fit_file.IMFACE_OT_fit_file,
    mark_landmarks.IMFACE_OT_mark_landmarks,
    fit_error.IMFACE_OT_show_fit_error,
    blend.IMFACE_OT_blend,
    morph.IMFACE_OT_morph,
    neutralize.IMFACE_OT_neutralize,
    codes.IMFACE_OT_export_codes,
    codes.IMFACE_OT_import_codes,
    *edit_shape.CLASSES,
    expressions.IMFACE_OT_add_expressions,
    animate.IMFACE_OT_keyframe_expression,
    capture.IMFACE_OT_import_capture,
    bake.IMFACE_OT_bake_animation,
    bake.IMFACE_OT_remove_bake,
    worker.IMFACE_OT_check_worker,
    worker.IMFACE_OT_free_memory,
    worker.IMFACE_OT_remove_runtime,
    worker.IMFACE_OT_cancel_job,
    worker.IMFACE_OT_copy_details,
)
FILE_HANDLERS = (fit_file.IMFACE_FH_scan,)
