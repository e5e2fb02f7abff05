# SPDX-License-Identifier: GPL-3.0-or-later
"""What one does with a face: generate, extract, fit, blend, express."""
