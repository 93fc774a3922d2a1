"""How a detector's boxes differ from the boxes of the landmarks, and training boxes that do too."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tfalign import geometry
from tfalign.data.augment.config import AugmentConfig


@dataclass(frozen=True)
class BoxJitter:
    """Spread of given boxes about the landmarks' boxes.

    Both boxes are first turned into the region that the model sees, by the model's crop
    convention. A mean offset is the convention's business (its padding); the spread about no
    offset is what training has to show.

    Attributes:
        offset: Mean (x, y) of the region's centre, as fractions of the reference region's width
            and height.
        translation: Root mean square offset of the centre along one axis, the same fraction.
        scale: Mean factor on the region's side.
        scale_spread: Standard deviation of that factor.
        faces: How many faces were measured.
    """

    offset: tuple[float, float]
    translation: float
    scale: float
    scale_spread: float
    faces: int

    def augmentation(self, base: AugmentConfig | None = None) -> AugmentConfig:
        """Returns an augmentation whose boxes spread like the measured ones.

        Args:
            base: What else is done to the images; its rotation is kept. None for nothing.

        Reading: TSR (CVPR 2017, section 3.3) gives the distributions' source and not their form.
        They are uniform here, with the measured mean and variance: half the width is √3 times the
        standard deviation.
        """
        half = math.sqrt(3.0) * self.scale_spread
        return replace(
            base or AugmentConfig(),
            translation=math.sqrt(3.0) * self.translation,
            scale=(self.scale - half, self.scale + half),
        )


def fit_box_jitter(boxes: Any, references: Any, crop: geometry.CropConvention) -> BoxJitter:
    """Measures how boxes spread about reference boxes.

    Args:
        boxes: (faces, 4) given boxes, e.g. a detector's, image pixels.
        references: (faces, 4) tight boxes of the same faces' landmarks, image pixels.
        crop: The model's crop convention.

    Returns:
        The spread.

    Reference:
        Lv et al., CVPR 2017, section 3.3: "distributions are calculated by the differences between
        the initial boxes and the ground truth landmarks".

    Raises:
        ValueError: If the arrays are not two of (faces, 4) with at least two faces.
    """
    boxes, references = np.asarray(boxes, np.float64), np.asarray(references, np.float64)
    if boxes.shape != references.shape or boxes.ndim != 2 or boxes.shape[1] != 4 or len(boxes) < 2:
        raise ValueError(
            "`boxes` and `references` must both be (faces, 4) with at least two faces. Received: "
            f"boxes.shape={boxes.shape}, references.shape={references.shape}"
        )
    given, wanted = crop.region(boxes), crop.region(references)
    size = geometry.box_size(wanted)
    offset = (geometry.box_center(given) - geometry.box_center(wanted)) / size
    # One factor: the square root of the area's, where a convention keeps the aspect ratio free.
    factor = np.sqrt(np.prod(geometry.box_size(given) / size, axis=1))
    mean = offset.mean(axis=0)
    return BoxJitter(
        offset=(float(mean[0]), float(mean[1])),
        translation=float(np.sqrt(np.mean(offset**2))),
        scale=float(factor.mean()),
        scale_spread=float(factor.std(ddof=1)),
        faces=len(boxes),
    )
