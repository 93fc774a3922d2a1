import numpy as np
import pytest

from tfalign import geometry
from tfalign.data.synthetic import render_clip


def test_a_frame_is_a_function_of_seed_size_and_time():
    ten, twenty = list(render_clip(3, 3, 64, 10.0)), list(render_clip(3, 5, 64, 20.0))
    np.testing.assert_allclose(ten[2].landmarks, twenty[4].landmarks, atol=1e-4)
    again = list(render_clip(3, 3, 64, 10.0))
    for a, b in zip(ten, again, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
    other = next(render_clip(4, 1, 64))
    assert np.abs(other.landmarks - ten[0].landmarks).max() > 1


def test_one_face_moves_smoothly_inside_the_frame():
    frames = list(render_clip(0, 20, 64))
    shapes = np.array([s.landmarks for s in frames], np.float64)
    size = np.sqrt(np.prod(np.asarray(geometry.box_size(frames[0].box))))
    steps = np.linalg.norm(np.diff(shapes, axis=0), axis=-1) / size
    # All points but the lids, which blink, move, and none by much.
    assert np.median(steps) > 0.001
    assert np.percentile(steps, 99) < 0.06
    assert (shapes.mean(axis=1) > 0).all()
    assert (shapes.mean(axis=1) < 64).all()
    # What stays is the same picture but for noise: neighbours differ less than the ends.
    images = np.array([s.image for s in frames], float)
    near = np.abs(np.diff(images, axis=0)).mean()
    far = np.abs(images[-1] - images[0]).mean()
    assert near < far
    assert [s.name for s in frames[:2]] == ["0/000000", "0/000001"]
    assert frames[0].scheme.name == "wflw98"


def test_errors_come_at_the_call():
    for wrong in ({"seed": -1}, {"seed": 0, "frames": 0}, {"seed": 0, "fps": 0}):
        with pytest.raises(ValueError, match="Received: seed="):
            render_clip(**wrong)
    with pytest.raises(ValueError, match="size=9"):
        render_clip(0, size=9)
