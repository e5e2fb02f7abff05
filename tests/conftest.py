# SPDX-License-Identifier: GPL-3.0-or-later
"""Set before any test is imported."""

import os

# Threads that spin while they wait make PyTorch ten times slower beside any other busy program.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
