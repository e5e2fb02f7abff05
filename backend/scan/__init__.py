# SPDX-License-Identifier: GPL-3.0-or-later
"""From a raw scan to SDF samples: align, watertight, sampling."""
