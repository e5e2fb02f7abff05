# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Blender version cannot do in tests."""

import bpy
import pytest

#: The glTF exporter makes Blender 4.2 as a module crash at exit, whoever calls it.
no_gltf_in_4_2 = pytest.mark.skipif(bpy.app.version < (4, 5), reason="crashes 4.2 at exit")
