# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the face is in a scan of any orientation, unit and winding; no landmarks.

Every point that stands out may be a nose tip, at every size the scan may have. What lies around it
is seen from several directions as depth on rings, and compared with the mean face under all turns
in the image plane. The likeliest placements are refined by ICP, and the relief decides.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from ..mesh import Mesh, sample_surface, vertex_normals
from .align import NOSE_TIP_POSITION, Similarity
from .watertight import depth_map, visible_from_front, without_spikes

#: Points drawn on a scan, and the triangles they are drawn from at most.
_POINTS = 30_000
_TRIANGLES = 200_000
#: Median distance from the middle of a scan that are tried [model units]: a mask to half a body.
_SIZES = 0.5 * 1.2 ** np.arange(12)
#: Spacing of the points that are looked at, per size [model units].
_SPACING = 0.06
#: A nose tip stands out most within this radius [model units].
_NOSE_RADIUS = 0.35
#: It lies this far before the middle of what surrounds it at least [model units].
_NOSE_HEIGHT = 0.08
#: What is looked at around it, and what tells its direction [model units].
_FACE_RADIUS = 0.95
_MIDDLE_RADIUS = 0.7
_NOSES = 40
#: Rings around the nose tip [model units] and their sectors: the cells of a signature.
_RINGS = 0.06 + 0.1 * np.arange(8)
_SECTORS = 24
#: Depth behind the nose tip at which a signature ends [model units].
_FLOOR = -0.75
#: Directions within this angle of the first guess are tried.
_CONE = np.radians(50)
_DIRECTIONS = 14
