"""How a model's input is cut out of an image: part of the model, stored with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfalign.geometry.affine import invert, transform_points
from tfalign.geometry.boxes import crop_from_image, pad_box, square_box
from tfalign.geometry.namespace import Array
from tfalign.geometry.spaces import pixel_from_unit


@dataclass(frozen=True)
class CropConvention:
    """The padding that turns an annotated or detected box into the region a model sees.

    Boxes and paddings that differ silently between training and use are the most frequent cause
    of unexplained landmark errors; a model therefore carries its convention (``model.crop``) and
    every program here takes it from the model.

    Args:
        padding: (left, top, right, bottom), fractions of the box's width or height; negative
            values cut.
        square: Whether the padded box is then enlarged to the square of its longer side about the
            same centre, so that the crop keeps the picture's aspect ratio. False stretches the
            box over the input, as a literal reading of "cropped and resized" does.

    Raises:
        ValueError: If ``padding`` has not four values or leaves no area.
    """

    padding: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    square: bool = True

    def __post_init__(self) -> None:
        pad_box([0.0, 0.0, 1.0, 1.0], self.padding)  # raises where the padding is unusable
        object.__setattr__(self, "padding", tuple(float(value) for value in self.padding))
        object.__setattr__(self, "square", bool(self.square))

    def region(self, box: Array) -> Array:
        """Returns the region (…, 4) that is cropped for boxes (…, 4), both in image pixels."""
        padded = pad_box(box, self.padding)
        return square_box(padded) if self.square else padded

    def crop_from_image(self, box: Array, size: Sequence[int], angle: Array | float = 0.0) -> Array:
        """Returns the map (…, 2, 3) from image pixels to those of a crop of (height, width)."""
        return crop_from_image(self.region(box), size, angle)

    def get_config(self) -> dict[str, Any]:
        """Returns the fields as plain data, for JSON and model files."""
        return {"padding": list(self.padding), "square": self.square}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> CropConvention:
        """Makes a convention from what ``get_config`` returned."""
        return cls(padding=tuple(config["padding"]), square=bool(config["square"]))


CROP_PRESETS: dict[str, CropConvention] = {
    # GRegLRef, section 4.3: 300-W and COFW 10 % on each side.
    "300w": CropConvention((0.10, 0.10, 0.10, 0.10)),
    "cofw": CropConvention((0.10, 0.10, 0.10, 0.10)),
    # GRegLRef, section 4.3: the mean displacement between detected and true boxes of WFLW.
    "wflw": CropConvention((0.10, -0.123, 0.10, 0.077)),
    # GRegLRef, section 4.3: AFLW boxes as given.
    "aflw": CropConvention((0.0, 0.0, 0.0, 0.0)),
    # The literal reading of "resized to 112×112": not squared, the box is stretched over the input.
    "300w_stretched": CropConvention((0.10, 0.10, 0.10, 0.10), square=False),
    "cofw_stretched": CropConvention((0.10, 0.10, 0.10, 0.10), square=False),
    "wflw_stretched": CropConvention((0.10, -0.123, 0.10, 0.077), square=False),
    "aflw_stretched": CropConvention((0.0, 0.0, 0.0, 0.0), square=False),
    # TSR, section 3.3: the box extended by 0.2, read as a tenth of the extent on each side.
    "tsr": CropConvention((0.10, 0.10, 0.10, 0.10)),
    # CCNN, section 4.1: boxes as given, the shorter side extended.
    "ccnn": CropConvention((0.0, 0.0, 0.0, 0.0)),
    # DSSD, section IV-A: boxes enlarged by 30 %, read as 15 % on each side.
    "dssd": CropConvention((0.15, 0.15, 0.15, 0.15)),
}


def crop_convention(value: str | CropConvention | Mapping[str, Any]) -> CropConvention:
    """Returns a convention from a preset's name, a configuration or a convention.

    Raises:
        ValueError: If the name is unknown.
    """
    if isinstance(value, CropConvention):
        return value
    if isinstance(value, str):
        if value not in CROP_PRESETS:
            raise ValueError(
                f"`crop` must be one of {sorted(CROP_PRESETS)}, a CropConvention or its "
                f"configuration. Received: crop={value!r}"
            )
        return CROP_PRESETS[value]
    return CropConvention.from_config(value)


def image_from_unit(points: Any, crop_from_image: Any, size: Sequence[int]) -> np.ndarray:
    """Maps a model's output back to the images that its crops were cut from, in float64.

    Args:
        points: (…, n, 2) in [0, 1]² of the crops.
        crop_from_image: (…, 2, 3).
        size: (height, width) of the crops.

    Returns:
        (…, n, 2) in image pixels.
    """
    in_crop = pixel_from_unit(np.asarray(points, np.float64), size)
    image_from_crop = invert(np.asarray(crop_from_image, np.float64))
    return np.asarray(transform_points(image_from_crop, in_crop))
