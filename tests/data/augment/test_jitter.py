"""Box jitter: what is fitted, and what the preset was fitted from."""

import numpy as np
import pytest

from tfalign import geometry
from tfalign.data.augment import AugmentConfig, presets
from tfalign.data.augment.jitter import fit_box_jitter

CROP = geometry.CROP_PRESETS["tsr"]


def references(rng, count: int) -> np.ndarray:
    corner, side = rng.uniform(0, 200, (count, 2)), rng.uniform(80, 160, (count, 2))
    return np.concatenate([corner, corner + side], axis=1)


def test_finds_the_spread_that_was_put_in(rng) -> None:
    tight = references(rng, 20_000)
    # Square regions of the padded longer side: what the jitter is measured in.
    side = 1.2 * (tight[:, 2:] - tight[:, :2]).max(axis=1, keepdims=True)
    centre = (tight[:, :2] + tight[:, 2:]) / 2 + side * rng.normal((0.01, -0.02), 0.05, (20_000, 2))
    half = side * rng.normal(0.9, 0.1, (20_000, 1)) / 1.2 / 2
    jitter = fit_box_jitter(np.concatenate([centre - half, centre + half], axis=1), tight, CROP)
    assert jitter.offset == pytest.approx((0.01, -0.02), abs=2e-3)
    # About no offset: the spread and the mean offset together.
    assert jitter.translation == pytest.approx(np.sqrt(0.05**2 + (0.01**2 + 0.02**2) / 2), rel=0.02)
    assert (jitter.scale, jitter.scale_spread) == pytest.approx((0.9, 0.1), rel=0.02)
    assert jitter.faces == 20_000


def test_augmentation_has_the_measured_moments(rng) -> None:
    tight = references(rng, 500)
    given = geometry.perturb_box(tight, rng.normal(1, 0.1, (500, 1)), rng.normal(0, 0.1, (500, 2)))
    jitter = fit_box_jitter(given, tight, CROP)
    base = AugmentConfig(flip=0.5, rotation=(-7.0, 7.0))
    config = jitter.augmentation(base)
    low, high = config.scale
    drawn = rng.uniform(low, high, 100_000)
    assert drawn.mean() == pytest.approx(jitter.scale, abs=1e-3)
    assert drawn.std() == pytest.approx(jitter.scale_spread, rel=0.01)
    assert config.translation / np.sqrt(3) == pytest.approx(jitter.translation)
    assert (config.flip, config.rotation) == (base.flip, base.rotation)


@pytest.mark.exhaustive
def test_preset_is_the_fit_to_viola_jones(real_data) -> None:
    from tfalign.data import readers
    from tfalign.evaluation.boxes import choose_boxes

    reader = readers.w300.read(real_data / "300w_subset", ["afw", "helen/trainset"])
    names = sorted(r.name for r in reader.records if r.name.startswith("helen/trainset/"))
    held_out = {name.rsplit("_", 1)[0] for name in names[-120:]}
    boxes, tight = [], []
    for sample in reader:
        # Every third face: the whole takes a minute.
        if sample.name.rsplit("_", 1)[0] in held_out or len(tight) * 3 > len(reader.records):
            continue
        found = choose_boxes([sample], "detector")
        if not found.missed[0]:
            boxes.append(found.boxes[0])
            tight.append(geometry.box_from_landmarks(sample.landmarks))
    config = fit_box_jitter(boxes, tight, CROP).augmentation()
    assert config.translation == pytest.approx(presets.TSR.translation, abs=0.025)
    assert config.scale == pytest.approx(presets.TSR.scale, abs=0.04)


def test_refuses() -> None:
    with pytest.raises(ValueError, match="Received"):
        fit_box_jitter(np.zeros((1, 4)), np.zeros((1, 4)), CROP)
    with pytest.raises(ValueError, match="Received"):
        fit_box_jitter(np.zeros((3, 4)), np.zeros((2, 4)), CROP)
