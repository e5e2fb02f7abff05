# SPDX-License-Identifier: GPL-3.0-or-later
"""Training data, losses and the training loop."""
