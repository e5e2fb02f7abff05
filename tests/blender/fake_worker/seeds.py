# SPDX-License-Identifier: GPL-3.0-or-later
"""Seeds by which the worker with known answers does what no good worker does."""

BAD_INDEX, BAD_VERTEX, USER_ERROR, INTERNAL_ERROR, DEATH, ENDLESS, CTRL_C = range(100, 107)
