"""Rendered samples: reproducible, valid, and drawn where their landmarks say."""

from __future__ import annotations

import numpy as np
import pytest

from tfalign.data.sample import Sample
from tfalign.data.synthetic import render, scene
from tfalign.data.synthetic.head import Head, pose_head
from tfalign.data.synthetic.identity import identity_modes
from tfalign.data.synthetic.parameters import HeadParameters
from tfalign.data.synthetic.skin import sample_appearance
from tfalign.markup import WFLW98


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return [render(3, index, 128) for index in range(60)]


def test_samples_keep_the_contract(samples: list[Sample]) -> None:
    for sample in samples:
        assert sample.image.shape == (128, 128, 3)
        assert sample.image.dtype == np.uint8
        assert sample.landmarks.shape == (98, 2)
        assert sample.landmarks.dtype == np.float32
        assert sample.visible.shape == (98,)
        assert sample.scheme is WFLW98
        assert tuple(sample.attributes) == scene.ATTRIBUTES
        assert (sample.landmarks > 0).all()
        assert (sample.landmarks < 128).all()
        assert sample.box[2] > sample.box[0]
        assert sample.box[3] > sample.box[1]
    assert len({sample.name for sample in samples}) == len(samples)


def test_every_attribute_occurs_and_is_not_the_rule(samples: list[Sample]) -> None:
    for name in scene.ATTRIBUTES:
        share = np.mean([sample.attributes[name] for sample in samples])
        assert 0 < share < 0.7, name


def test_depends_on_seed_and_index_alone() -> None:
    first = render(5, 17, 96)
    render(5, 18, 96)
    again = render(5, 17, 96)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.landmarks, again.landmarks)
    assert not np.array_equal(first.image, render(6, 17, 96).image)
    assert not np.array_equal(first.image, render(5, 18, 96).image)


def test_landmarks_scale_with_the_image() -> None:
    small, large = render(2, 4, 128), render(2, 4, 256)
    np.testing.assert_allclose(large.landmarks, 2 * small.landmarks, atol=0.02)


@pytest.mark.parametrize(
    ("seed", "index", "size"),
    [(-1, 0, 128), (0, -1, 128), (0, 0, 32), (0, 0, 4096)],
)
def test_rejects_arguments_out_of_range(seed: int, index: int, size: int) -> None:
    with pytest.raises(ValueError, match="Received"):
        render(seed, index, size)


def test_boxes_padded_as_published_hold_the_face(samples: list[Sample]) -> None:
    """WFLW's crop (left .10, top -.123, right .10, bottom .077) leaves about 10 % on each side."""
    margins = []
    for sample in samples:
        x0, y0, x1, y1 = sample.box
        width, height = x1 - x0, y1 - y0
        crop = np.array(
            [x0 - 0.1 * width, y0 + 0.123 * height, x1 + 0.1 * width, y1 + 0.077 * height]
        )
        low, high = sample.landmarks.min(0), sample.landmarks.max(0)
        margins.append(np.concatenate([low - crop[:2], crop[2:] - high]) / np.tile(high - low, 2))
    np.testing.assert_allclose(np.mean(margins, axis=0), 0.10, atol=0.02)
    assert np.min(margins) > 0


def _plain_picture(monkeypatch: pytest.MonkeyPatch, yaw: float) -> tuple[Head, np.ndarray]:
    """A face with nothing before it, in even light."""
    monkeypatch.setattr(scene.occlusion, "occlude", lambda *_: False)
    monkeypatch.setattr(scene.surroundings, "hair_in_front", lambda *_: False)
    rng = np.random.default_rng(8)
    parameters = HeadParameters(
        identity=np.zeros(len(identity_modes()[0])), expression={"jaw": 0.7}, yaw=yaw, distance=10
    )
    head = pose_head(parameters, 900.0, np.array([128.0, 128.0]))
    look = sample_appearance(rng)
    image, _, _ = scene.paint_scene(head, look, 256, rng)
    return head, image.astype(float)


@pytest.mark.parametrize("yaw", [-30.0, 0.0, 30.0])
def test_pupils_and_open_mouth_are_dark_at_their_landmarks(
    monkeypatch: pytest.MonkeyPatch, yaw: float
) -> None:
    head, image = _plain_picture(monkeypatch, yaw)
    grey = image.mean(-1)

    def at(point: np.ndarray) -> float:
        x, y = np.floor(point).astype(int)
        return float(grey[y, x])

    points = head.landmarks
    for pupil, inner, outer in ((96, 64, 60), (97, 68, 72)):
        white = max(at(points[pupil] * 0.45 + points[c] * 0.55) for c in (inner, outer))
        assert at(points[pupil]) < 0.6 * white
    mouth = (points[90] + 3 * points[94]) / 4
    assert at(mouth) < 0.8 * at(points[85] + [0, 8])
