# SPDX-License-Identifier: GPL-3.0-or-later
"""How alike a posed scan and the mean face are: their depths around eyes, nose and mouth."""

import numpy as np

#: Half side and pixel of the image of the depths [model units].
_HALF = 0.8
_PIXEL = 0.05
#: Depths differ by this at most: hair and clothing [model units].
_LIMIT = 0.2
#: Slopes that differ by this count half in the shape of the relief.
_SLOPE = 0.5
#: What a relief of another shape, and one that is missing, add to the error.
_SHAPE = 0.2
_MISSING = 0.05
#: A scan that shows less of the relief than this share is no face: anything has a nose's slopes.
_MIN_SEEN = 0.5
#: The error of what cannot be compared.
WORST = 1.0


def depths(points: np.ndarray) -> np.ndarray:
    """Return the depths that a viewer at +z sees, free of single pixels that stand out.

    Parameters
    ----------
    points : ndarray (N, 3)
        Model space.

    Returns
    -------
    ndarray (G, G)
        Rows are y, columns x; NaN where nothing is seen.
    """
    size = round(2 * _HALF / _PIXEL)
    pixel = np.floor((points[:, :2] + _HALF) / _PIXEL).astype(int)
    inside = (pixel >= 0).all(1) & (pixel < size).all(1) & (np.abs(points[:, 2]) < 1)
    image = np.full(size * size, -np.inf)
    np.maximum.at(image, pixel[inside] @ [1, size], points[inside, 2])
    image = np.where(np.isfinite(image), image, np.nan).reshape(size, size)
    padded = np.pad(image, 1, constant_values=np.nan)
    around = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    return _median(around.reshape(size, size, 9))


def _median(values: np.ndarray) -> np.ndarray:
    """Return medians over the last axis (..., 9) of what is not NaN; NaN for less than 3."""
    ordered = np.sort(values, axis=-1)  # NaN last
    count = np.isfinite(values).sum(-1)
    middle = np.maximum(np.stack([(count - 1) // 2, count // 2], axis=-1), 0)
    middle = np.minimum(middle, values.shape[-1] - 1)
    median = np.take_along_axis(ordered, middle, axis=-1).mean(-1)
    return np.where(count >= 3, median, np.nan)


def face_relief(points: np.ndarray) -> np.ndarray:
    """Return the depths (G, G) of a face's eyes, nose and mouth; NaN elsewhere.

    Parameters
    ----------
    points : ndarray (N, 3)
        The face, model space.
    """
    image = depths(points)
    y, x = (np.indices(image.shape) + 0.5) * _PIXEL - _HALF
    middle = ((x / 0.55) ** 2 + ((y - 0.02) / 0.62) ** 2 < 1) & (image > -0.35)
    return np.where(middle, image, np.nan)


def relief_error(points: np.ndarray, relief: np.ndarray) -> float:
    """Compare a posed scan with a face.

    Parameters
    ----------
    points : ndarray (N, 3)
        Drawn on the scan, model space.
    relief : ndarray (G, G)
        The face's ``face_relief``.

    Returns
    -------
    float
        The mean difference of the depths [model units], and more the less alike the slopes are
        and the more is missing; ``WORST`` if more than half of it is.
    """
    seen = depths(points)
    both = np.isfinite(relief) & np.isfinite(seen)
    missing = 1 - both.sum() / np.isfinite(relief).sum()
    if missing > 1 - _MIN_SEEN:
        return WORST
    off = np.minimum(np.abs(seen - relief)[both], _LIMIT).mean()
    return float(off + _SHAPE * (1 - _likeness(seen, relief)) + _MISSING * missing)


def _likeness(a: np.ndarray, b: np.ndarray) -> float:
    """Return the correlation of two images' slopes, which nose, eyes and mouth make.

    Slopes that differ much count less: one nostril or an open mouth is no other face.
    """
    pair = np.stack([np.gradient(image, _PIXEL) for image in (a, b)])  # (2 images, 2 axes, G, G)
    pair = pair[:, :, np.isfinite(pair).all((0, 1))]
    if pair.shape[-1] == 0:
        return 0.0
    pair = pair - pair.mean(-1, keepdims=True)
    weight = 1 / (1 + ((pair[0] - pair[1]) ** 2).sum(0) / _SLOPE**2)
    first, both, second = ((weight * pair[i] * pair[j]).sum() for i, j in ((0, 0), (0, 1), (1, 1)))
    return float(both / max(np.sqrt(first * second), 1e-12))
