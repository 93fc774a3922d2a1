"""Orientation integrals against NumPy's angles and SciPy's gaussian."""

import numpy as np
import pytest
from keras import ops
from scipy.ndimage import gaussian_filter1d

from contract import run_contract
from tfalign.layers import OrientationIntegral


def response_maps(image: np.ndarray, bins: int) -> np.ndarray:
    """(H, W) → (H, W, bins): each magnitude split linearly between neighbouring directions."""
    dx, dy = np.zeros_like(image), np.zeros_like(image)
    dx[:, 1:-1] = image[:, 2:] - image[:, :-2]
    dy[1:-1] = image[2:] - image[:-2]
    place = (np.arctan2(dy, dx) % (2 * np.pi)) * bins / (2 * np.pi)
    low = np.floor(place).astype(int)
    maps = np.zeros((*image.shape, bins))
    for row, column in np.ndindex(*image.shape):
        size = np.hypot(dx[row, column], dy[row, column])
        share = place[row, column] - low[row, column]
        maps[row, column, low[row, column] % bins] += size * (1 - share)
        maps[row, column, (low[row, column] + 1) % bins] += size * share
    return maps


@pytest.mark.parametrize("bins", [8, 5])
@pytest.mark.parametrize("sigma", [0.0, 1.3, 2.0])
def test_agrees_with_numpy_and_scipy(rng, bins, sigma) -> None:
    image = rng.integers(0, 256, (21, 17)).astype("float32")
    maps = response_maps(image.astype(np.float64) / 255, bins)
    if sigma:
        radius = int(np.ceil(3 * sigma))
        for axis in (0, 1):
            maps = gaussian_filter1d(maps, sigma, axis, mode="constant", radius=radius)
    expected = np.pad(maps, ((1, 0), (1, 0), (0, 0))).cumsum(0).cumsum(1)
    got = OrientationIntegral(bins, sigma)(image[None, :, :, None])
    # The arc tangent's polynomial is right to 0.009 degrees.
    np.testing.assert_allclose(ops.convert_to_numpy(got)[0], expected, atol=5e-4 * expected.max())


def test_of_several_channels_the_strongest_counts(rng) -> None:
    weak = rng.integers(0, 20, (1, 16, 16, 1)).astype("float32")
    strong = np.full_like(weak, 10)
    strong[:, :, 8:] = 250
    layer = OrientationIntegral(sigma=0)
    both = ops.convert_to_numpy(layer(np.concatenate([weak, strong, weak], axis=-1)))
    maps = np.diff(np.diff(both, axis=1), axis=2)[0]
    # The edge's pixels point along x: all of it in direction 0.
    np.testing.assert_allclose(maps[2:-2, 7:9, 0], 240 / 255, rtol=0.01)


@pytest.mark.jax
def test_contract(rng, tmp_path) -> None:
    run_contract(
        OrientationIntegral,
        # No whole numbers: where |dx| = |dy|, the two back ends choose other subgradients.
        rng.uniform(0, 255, (2, 12, 14, 1)).astype("float32"),
        {"orientations": 6, "sigma": 1.0},
        tmp_path,
        expected_shape=(2, 13, 15, 6),
        gradient_tolerance=2e-3,
    )


@pytest.mark.parametrize("arguments", [{"orientations": 2}, {"sigma": -1.0}])
def test_refuses_arguments(arguments) -> None:
    with pytest.raises(ValueError, match="Received"):
        OrientationIntegral(**arguments)
