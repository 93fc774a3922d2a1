"""ShapeMixture against a sum written out."""

import numpy as np
import pytest
from keras import ops

from contract import run_contract
from tfalign.layers import ShapeMixture


def test_mixes(rng) -> None:
    layer, weights = ShapeMixture(3), rng.dirichlet(np.ones(4), 2).astype("float32")
    layer.build(weights.shape)
    shapes = rng.uniform(size=(4, 3, 2)).astype("float32")
    layer.set_shapes(shapes)
    expected = sum(weights[:, i, None, None] * shapes[i] for i in range(4))
    np.testing.assert_allclose(ops.convert_to_numpy(layer(weights)), expected, atol=1e-6)
    assert layer.trainable_variables == []


@pytest.mark.jax
def test_contract(rng, tmp_path) -> None:
    weights = rng.dirichlet(np.ones(4), 2).astype("float32")
    run_contract(
        ShapeMixture,
        weights,
        {"num_landmarks": 3},
        tmp_path,
        expected_shape=(2, 3, 2),
    )


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"`num_landmarks` must be positive\. Received"):
        ShapeMixture(0)
    with pytest.raises(ValueError, match="ShapeMixture takes"):
        ShapeMixture(3)(np.zeros((1, 4, 2), "float32"))
