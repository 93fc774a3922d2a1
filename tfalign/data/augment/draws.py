"""The random parameters of a batch of images: one table of uniform numbers, read by name."""

from __future__ import annotations

from keras import ops

from tfalign.data.augment.config import Range
from tfalign.data.augment.occlusion import OCCLUDER_DRAWS
from tfalign.data.augment.random_bits import uniform
from tfalign.geometry.namespace import Array

_WIDTHS = {
    "flip": 1,
    "rotation": 1,
    "scale": 1,
    "translation": 2,
    "occlusion": 1,
    "occluder": OCCLUDER_DRAWS,
    "blur": 1,
    "blur_kind": 1,
    "gaussian_sigma": 1,
    "average_size": 1,
    "sharpen": 1,
    "sharpen_alpha": 1,
    "sharpen_lightness": 1,
    "emboss": 1,
    "emboss_alpha": 1,
    "emboss_strength": 1,
    "hue_saturation": 1,
    "hue": 1,
    "saturation": 1,
    "contrast": 1,
    "contrast_factor": 3,
    "contrast_per_channel": 1,
    "brightness": 1,
    "brightness_shift": 3,
    "brightness_per_channel": 1,
    "grey": 1,
    "grey_alpha": 1,
    "noise": 1,
    "noise_sigma": 1,
    "noise_per_channel": 1,
}
# Each name owns fixed columns whether or not its effect is on, so that switching one effect off
# leaves every other effect's numbers as they were. New names are added at the end.
_COLUMNS: dict[str, slice] = {}
_count = 0
for _name, _width in _WIDTHS.items():
    _COLUMNS[_name] = slice(_count, _count + _width)
    _count += _width
NUM_COLUMNS = _count


class Draws:
    """Named uniform numbers of a batch.

    Args:
        keys: (batch, 2) uint32, one random key for each image.
    """

    def __init__(self, keys: Array) -> None:
        self.keys = keys
        self._table = uniform(keys, NUM_COLUMNS)

    def unit(self, name: str) -> Array:
        """Returns (batch, width) numbers in [0, 1)."""
        return self._table[:, _COLUMNS[name]]

    def between(self, name: str, limits: Range) -> Array:
        """Returns numbers in ``limits``: (batch,), or (batch, width) for names of several."""
        values = limits[0] + (limits[1] - limits[0]) * self.unit(name)
        return values[:, 0] if _WIDTHS[name] == 1 else values

    def chance(self, name: str, probability: float) -> Array:
        """Returns (batch,) bool, true with ``probability``."""
        return self.unit(name)[:, 0] < probability

    def per_channel(self, name: str, limits: Range, probability: float) -> Array:
        """Returns (batch, 3) numbers: separate with ``probability``, else three times the first."""
        values = self.between(name, limits)
        separate = self.chance(f"{name.split('_')[0]}_per_channel", probability)
        return ops.where(separate[:, None], values, values[:, :1])
