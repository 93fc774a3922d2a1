"""The affine map of an augmentation, against the corners of the box worked out by hand."""

import numpy as np
import pytest
from keras import ops

from tfalign import geometry, markup
from tfalign.data.augment.geometric import augmented_map, mirror, permute_flipped

SIZE = (96, 112)  # not square, so that width and height cannot be confused


def random_draws(rng, count):
    """Draws of GRegLRef's ranges, and nominal maps of boxes of any shape."""
    box = np.concatenate([rng.uniform(20, 60, (count, 2)), rng.uniform(100, 160, (count, 2))], -1)
    nominal = geometry.crop_from_image(box.astype(np.float32), SIZE).astype(np.float32)
    return (
        nominal,
        {
            "flip": rng.random(count) < 0.5,
            "rotation": np.deg2rad(rng.uniform(-30, 30, count)).astype(np.float32),
            "scale": rng.uniform(0.75, 1.2, count).astype(np.float32),
            "translation": rng.uniform(-0.1, 0.1, (count, 2)).astype(np.float32),
        },
        box,
    )


def test_corners_of_the_output_show_the_turned_scaled_shifted_box(rng):
    nominal, draws, boxes = random_draws(rng, 50)
    maps = augmented_map(nominal, SIZE, **draws)
    for row in range(50):
        x0, y0, x1, y1 = boxes[row]
        width, height = x1 - x0, y1 - y0
        centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
        centre = centre + draws["translation"][row] * [width, height]
        angle, scale = draws["rotation"][row], draws["scale"][row]
        across = np.array([np.cos(angle), np.sin(angle)]) * width * scale / 2
        down = np.array([-np.sin(angle), np.cos(angle)]) * height * scale / 2
        corners = np.stack([centre - across - down, centre + across - down, centre + across + down])
        expected = np.array([[0, 0], [SIZE[1], 0], [SIZE[1], SIZE[0]]], float)
        if draws["flip"][row]:
            expected[:, 0] = SIZE[1] - expected[:, 0]
        received = geometry.transform_points(maps[row], corners.astype(np.float32))
        np.testing.assert_allclose(received, expected, atol=2e-3)


def test_neutral_draws_leave_the_nominal_map(rng):
    nominal, _, _ = random_draws(rng, 5)
    neutral = augmented_map(
        nominal, SIZE, np.zeros(5, bool), np.zeros(5), np.ones(5), np.zeros((5, 2))
    )
    np.testing.assert_allclose(neutral, nominal, atol=1e-4)


def test_a_thousand_random_compositions_invert(rng):
    nominal, draws, _ = random_draws(rng, 1000)
    maps = augmented_map(nominal, SIZE, **draws)
    inverse = geometry.invert(maps)
    points = rng.uniform(0, 192, (1000, 20, 2)).astype(np.float32)
    there = geometry.unit_from_pixel(geometry.transform_points(maps, points), SIZE)
    back = geometry.transform_points(inverse, geometry.pixel_from_unit(there, SIZE))
    assert np.abs(back - points).max() / 192 < 1e-5
    unit = np.abs(geometry.compose(inverse, maps) - geometry.identity())
    assert unit.max() < 1e-4


@pytest.mark.parametrize("scheme", markup.SCHEMES.values(), ids=markup.SCHEMES)
def test_flipping_twice_is_the_identity(rng, scheme):
    nominal, _, _ = random_draws(rng, 3)
    np.testing.assert_allclose(mirror(mirror(nominal, SIZE), SIZE), nominal, atol=2e-5)
    points = rng.random((3, scheme.num_points, 2)).astype(np.float32)
    flip = np.array([True, False, True])
    flip_map = np.array(scheme.flip_map)
    once = permute_flipped(points, flip, flip_map)
    np.testing.assert_array_equal(once[1], points[1])
    np.testing.assert_array_equal(
        once[0, scheme.flip_pairs[0][0]], points[0, scheme.flip_pairs[0][1]]
    )
    np.testing.assert_array_equal(permute_flipped(once, flip, flip_map), points)


def test_tensors_give_what_arrays_give(rng):
    nominal, draws, _ = random_draws(rng, 8)
    expected = augmented_map(nominal, SIZE, **draws)
    tensors = {name: ops.convert_to_tensor(value) for name, value in draws.items()}
    received = augmented_map(ops.convert_to_tensor(nominal), SIZE, **tensors)
    np.testing.assert_allclose(ops.convert_to_numpy(received), expected, rtol=1e-4, atol=1e-3)
