"""Skeletons found in images: from pixels to coordinates that do not depend on the image's size.

As PYSKL's PreNormalize2D (Duan et al., ACM Multimedia 2022) does: from -1 to 1 across the image, horizontally and
vertically each. Here y points up, as in all other recordings of this package; theirs points down.
"""

from __future__ import annotations

import numpy as np

LEAST_SCORE = 0.01
"""A joint of no more score than this is unseen (as in PYSKL)."""


def from_pixels(pixels: np.ndarray, score: np.ndarray, height: float, width: float) -> np.ndarray:
    """Normalised joints with their score, as a recording of two dimensions holds them.

    Args:
        pixels: (..., V, 2): x to the right, y down, from the image's upper left corner.
        score: (..., V) 0 to 1.
        height, width: Of the image, pixels.

    Returns:
        (..., V, 3): x from -1, the image's left edge, to 1; y from -1, its lower edge, to 1; the score. NaN where
        unseen: a score of `LEAST_SCORE` or less, or coordinates that are not finite.
    """
    x = 2.0 * pixels[..., 0] / width - 1.0
    y = 1.0 - 2.0 * pixels[..., 1] / height
    joints = np.stack([x, y, score], -1).astype(float)
    unseen = (score <= LEAST_SCORE) | ~np.isfinite(joints).all(-1)
    joints[unseen] = np.nan
    return joints
