"""What is done to training images, as plain data, and the published settings as presets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from numbers import Real
from typing import Any

from tfalign.geometry import Border

Range = tuple[float, float]


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


_PROBABILITIES = (
    "flip",
    "occlusion",
    "blur",
    "sharpen",
    "emboss",
    "hue_saturation",
    "contrast",
    "brightness",
    "grey",
    "noise",
    "per_channel",
)


@dataclass(frozen=True)
class AugmentConfig:
    """The random changes of one training image.

    Every value is drawn uniformly from its range, independently for each face. A field named after
    an effect is the probability that the effect is applied; zero switches it off and costs nothing.
    The effects are applied in the order of the fields: geometry (one affine map), then what happens
    in front of the lens, in the lens, in the picture's processing and on the sensor.

    Args:
        flip: Probability of mirroring left and right (landmarks are renumbered).
        rotation: Degrees by which the box is turned about its centre.
        scale: Factor on the box's width and height; above 1 shows more of the surroundings.
        translation: The box's centre moves by up to this fraction of the box's width and height,
            along each axis and in both directions.
        occlusion: Probability of a shaded ellipse or rectangle in front of the face.
        occlusion_size: Each of its two side lengths, as a fraction of the output's shorter side.
        blur: Probability of one blur; its kind is drawn with the weights ``blur_kinds``.
        blur_kinds: Relative weights of (gaussian, average, median).
        gaussian_sigma: Standard deviation of the gaussian blur in output pixels.
        average_size: Side of the averaged square in output pixels. The square is centred on the
            pixel whatever its size (fractional weights at its rim), so no blur moves the picture.
        sharpen: Probability of sharpening: ``(1 - alpha) * image + alpha * sharpened``.
        sharpen_alpha: Its strength.
        sharpen_lightness: Sum of the sharpening kernel, the gain in brightness.
        emboss: Probability of an emboss filter, blended as above.
        emboss_alpha: Its blending weight.
        emboss_strength: Strength of the relief.
        hue_saturation: Probability of a change of hue and saturation in HSV space.
        hue: Degrees on the colour circle added to the hue.
        saturation: Added to the saturation, whose range is [0, 255].
        contrast: Probability of a change of contrast, ``128 + factor * (image - 128)``.
        contrast_factor: The factor.
        brightness: Probability of adding a constant.
        brightness_shift: The constant, in grey levels of [0, 255].
        grey: Probability of blending the image with its luminance.
        grey_alpha: Weight of the luminance.
        noise: Probability of additive gaussian noise.
        noise_sigma: Its standard deviation, in grey levels of [0, 255].
        per_channel: Probability, given that noise, brightness or contrast is applied, that the
            three colour channels are drawn separately.
        border: What surrounds a source crop where the map leaves it, see ``geometry.Border``.

    Raises:
        ValueError: If a probability is outside [0, 1], a range is not ordered, or a value is
            outside its domain.
    """

    flip: float = 0.0
    rotation: Range = (0.0, 0.0)
    scale: Range = (1.0, 1.0)
    translation: float = 0.0
    occlusion: float = 0.0
    occlusion_size: Range = (0.1, 0.5)
    blur: float = 0.0
    blur_kinds: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gaussian_sigma: Range = (0.0, 3.0)
    average_size: Range = (2.0, 7.0)
    sharpen: float = 0.0
    sharpen_alpha: Range = (0.0, 1.0)
    sharpen_lightness: Range = (0.75, 1.5)
    emboss: float = 0.0
    emboss_alpha: Range = (0.0, 1.0)
    emboss_strength: Range = (0.0, 2.0)
    hue_saturation: float = 0.0
    hue: Range = (-40.0, 40.0)
    saturation: Range = (-20.0, 20.0)
    contrast: float = 0.0
    contrast_factor: Range = (0.5, 2.0)
    brightness: float = 0.0
    brightness_shift: Range = (-10.0, 10.0)
    grey: float = 0.0
    grey_alpha: Range = (0.0, 1.0)
    noise: float = 0.0
    noise_sigma: Range = (0.0, 12.75)
    per_channel: float = 0.5
    border: Border = "clamp"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "border":
                continue
            several = isinstance(field.default, tuple)
            numbers = value if isinstance(value, (list, tuple)) else (value,)
            if several != isinstance(value, (list, tuple)) or not all(map(_is_number, numbers)):
                form = "(low, high)" if several else "a number"
                form = "three weights" if field.name == "blur_kinds" else form
                raise ValueError(
                    f"`{field.name}` must be {form}, finite. Received: {field.name}={value!r}"
                )
            if several:
                object.__setattr__(self, field.name, tuple(float(v) for v in numbers))
        for name in _PROBABILITIES:
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"`{name}` is a probability in [0, 1]. Received: {name}={value}")
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, tuple) or field.name == "blur_kinds":
                continue
            if len(value) != 2 or value[0] > value[1]:
                raise ValueError(
                    f"`{field.name}` must be (low, high) with low <= high. "
                    f"Received: {field.name}={value}"
                )
        self._check_domains()

    def _check_domains(self) -> None:
        for name, low in (("scale", 0.0), ("average_size", 0.0)):
            value = getattr(self, name)
            if value[0] <= low:
                raise ValueError(f"`{name}` must be above {low}. Received: {name}={value}")
        for name in ("gaussian_sigma", "noise_sigma", "occlusion_size", "contrast_factor"):
            value = getattr(self, name)
            if value[0] < 0:
                raise ValueError(f"`{name}` must not be negative. Received: {name}={value}")
        if self.translation < 0:
            raise ValueError(
                "`translation` is a largest distance and must not be negative. "
                f"Received: translation={self.translation}"
            )
        if len(self.blur_kinds) != 3 or min(self.blur_kinds) < 0 or sum(self.blur_kinds) <= 0:
            raise ValueError(
                "`blur_kinds` must be three weights >= 0, not all zero (gaussian, average, "
                f"median). Received: blur_kinds={self.blur_kinds}"
            )
        if self.border not in ("clamp", "zero"):
            raise ValueError(
                f"`border` must be 'clamp' or 'zero'. Received: border={self.border!r}"
            )

    def get_config(self) -> dict[str, Any]:
        """Returns the fields as plain data, for JSON and model files."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> AugmentConfig:
        """Makes a configuration from what ``get_config`` returned.

        Raises:
            ValueError: If a name is unknown or a value is outside its domain.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(config) - known)
        if unknown:
            raise ValueError(
                f"An augmentation has the fields {sorted(known)}. Received: unknown={unknown}"
            )
        return cls(**config)
