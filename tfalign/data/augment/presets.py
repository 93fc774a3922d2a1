"""Published augmentations as data.

Reading of GRegLRef, section 4.3. The paper gives the geometry in numbers (10 %, ±30°, 0.75–1.2,
50 %). Of the pixel changes it names the operations of the imgaug library, in the order in which
the example of imgaug's README lists them, and gives no values; the values here are that example's
(release 0.2, which the paper used): gaussian sigma 0–3, average 2–7, sharpen alpha 0–1 with
lightness 0.75–1.5, emboss alpha 0–1 with strength 0–2, noise sigma 0–0.05 · 255, add ±10, hue and
saturation ±20 of 8-bit HSV (a step of hue is 2°), contrast 0.5–2, grey alpha 0–1, "per channel" in
half of the cases. The example applies 0 to 5 operations of its list to an image; with the paper's
eight (one blur of three kinds) that is 2.5 of 8 on average, hence the probability 0.3 for each,
drawn independently. Two differences: the order is fixed rather than random, and the median's
window is 3×3 (the example's 3–11 pixels were meant for larger pictures; at 112 pixels eleven is
more than the width of an eye).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tfalign.data.augment.config import AugmentConfig

NONE = AugmentConfig()
"""The nominal crop, unchanged."""

FLIP = AugmentConfig(flip=0.5)
"""Mirroring only."""

DEEPREG = FLIP
"""DeepReg, section 4: training images are mirrored."""

GEOMETRY_ONLY = AugmentConfig(flip=0.5, rotation=(-30.0, 30.0), scale=(0.75, 1.2), translation=0.10)
"""The geometry of GRegLRef, section 4.3, without its pixel changes."""

GREGLREF = replace(
    GEOMETRY_ONLY,
    blur=0.3,
    sharpen=0.3,
    emboss=0.3,
    hue_saturation=0.3,
    contrast=0.3,
    brightness=0.3,
    grey=0.3,
    noise=0.3,
)
"""GRegLRef, section 4.3; see this module's docstring for the reading."""

LIGHT = AugmentConfig(
    flip=0.5,
    rotation=(-20.0, 20.0),
    scale=(0.85, 1.15),
    translation=0.06,
    blur=0.15,
    sharpen=0.15,
    hue_saturation=0.15,
    contrast=0.15,
    brightness=0.15,
    grey=0.15,
    noise=0.15,
)
"""Ours, for the last steps of a short training: nearer to the crops that a model will see."""

OCCLUSION = replace(GREGLREF, occlusion=0.3)
"""GRegLRef's with random occlusion added: every effect of this package is on (ours)."""

CCNN = AugmentConfig(
    rotation=(-10.0, 10.0),
    scale=(0.9, 1.1),
    translation=0.05,
    hue_saturation=0.5,
    contrast=0.5,
    contrast_factor=(0.75, 1.25),
    brightness=0.5,
    brightness_shift=(-20.0, 20.0),
)
"""CCNN: "color changes, small angles rotation, scaling, and translations"; the values are ours."""

TSR = replace(LIGHT, rotation=(0.0, 0.0), scale=(0.81, 1.12), translation=0.11)
"""TSR, section 3.3: boxes spread as a detector's do, without rotation; ``LIGHT``'s pixel changes.

The spread is ``jitter.fit_box_jitter`` of Viola–Jones boxes (``HaarDetector``) against the
landmarks' boxes on 300-W's AFW and 750 faces of Helen's training part, of which it found 961 of
1,087: one axis's offset 0.0638 of the box (root mean square), scale 0.963 ± 0.088.
"""

TSR_PUBLISHED = AugmentConfig(scale=(0.81, 1.12), translation=0.11)
"""TSR, section 3.3, to the letter: the boxes' spread of ``TSR`` and no other change."""

TSR_REINIT = replace(TSR, rotation=(-30.0, 30.0), scale=(0.7, 1.3), translation=0.25)
"""Boxes wrong by up to ±30 % and ±30°, from which TSR's first step learns to recover (ours).

A shift of 30 % of the box is 25 % of what the model sees, which is 1.2 times as large.
"""

PRESETS: dict[str, AugmentConfig] = {
    "none": NONE,
    "flip": FLIP,
    "deepreg": DEEPREG,
    "geometry": GEOMETRY_ONLY,
    "greglref": GREGLREF,
    "light": LIGHT,
    "occlusion": OCCLUSION,
    "ccnn": CCNN,
    "tsr": TSR,
    "tsr_published": TSR_PUBLISHED,
    "tsr_reinit": TSR_REINIT,
}


def get(value: str | AugmentConfig | Mapping[str, Any] | None) -> AugmentConfig:
    """Returns a configuration from a preset's name, a configuration, its plain data, or None.

    Raises:
        ValueError: If the name is unknown.
    """
    if value is None:
        return NONE
    if isinstance(value, AugmentConfig):
        return value
    if isinstance(value, str):
        if value not in PRESETS:
            raise ValueError(
                f"`augment` must be one of {sorted(PRESETS)}, an AugmentConfig or its "
                f"configuration. Received: augment={value!r}"
            )
        return PRESETS[value]
    return AugmentConfig.from_config(value)
