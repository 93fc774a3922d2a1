"""GaussianHeatmaps: the layer around ``tfalign.geometry.heatmaps``."""

import numpy as np
import pytest
from keras import ops

from contract import run_contract
from tfalign.geometry.heatmaps import gaussian_heatmaps
from tfalign.layers import GaussianHeatmaps


def test_is_the_function(rng) -> None:
    landmarks = rng.uniform(-0.1, 1.1, (2, 5, 2)).astype("float32")
    found = ops.convert_to_numpy(GaussianHeatmaps((6, 11), sigma=0.9)(landmarks))
    np.testing.assert_allclose(found, gaussian_heatmaps(landmarks, (6, 11), 0.9), atol=1e-6)


def test_half_precision_does_not_move_a_landmark() -> None:
    landmark = np.full((1, 1, 2), 109.7 / 112, "float32")
    drawn = GaussianHeatmaps(112, dtype="mixed_float16")(landmark)
    found = ops.convert_to_numpy(ops.cast(drawn, "float32"))
    np.testing.assert_allclose(found, gaussian_heatmaps(landmark, (112, 112), 1.3), atol=1e-3)


@pytest.mark.jax
def test_contract(rng, tmp_path) -> None:
    run_contract(
        GaussianHeatmaps,
        rng.uniform(-0.1, 1.1, (3, 4, 2)).astype("float32"),
        {"size": (7, 9), "sigma": 1.1},
        tmp_path,
        expected_shape=(3, 7, 9, 4),
        half_tolerance=0.01,
    )


@pytest.mark.parametrize("arguments", [{"size": 0}, {"size": (4, -1)}, {"sigma": 0.0}])
def test_wrong_arguments(arguments) -> None:
    with pytest.raises(ValueError, match=r"must be positive\. Received: size="):
        GaussianHeatmaps(**arguments)


def test_wrong_input() -> None:
    with pytest.raises(ValueError, match=r"takes landmarks \(batch, n, 2\)"):
        GaussianHeatmaps()(np.zeros((2, 5, 3), "float32"))
