"""SharableDetectors against φᵀ P c, coordinate by coordinate."""

import numpy as np
import pytest
from keras import ops

from contract import run_contract
from tfalign import macc
from tfalign.layers import SharableDetectors


@pytest.mark.parametrize("batch", [1, 3])
def test_responses_are_equation_4(rng, batch: int) -> None:
    features = rng.normal(size=(batch, 5, 4)).astype("float32")
    layer = SharableDetectors(3)
    found = ops.convert_to_numpy(layer(features))
    basis, codes = (ops.convert_to_numpy(v) for v in (layer.basis, layer.codes))
    assert (basis.shape, codes.shape) == ((4, 3), (3, 10))
    for b, n, axis in np.ndindex(batch, 5, 2):
        expected = features[b, n] @ basis @ codes[:, 2 * n + axis]
        np.testing.assert_allclose(found[b, n, axis], expected, atol=1e-5)


def test_initial_weights_are_equation_23() -> None:
    layer = SharableDetectors(20)
    layer.build((None, 68, 20))
    for variable, sizes in ((layer.basis, 20 + 20), (layer.codes, 20 + 136)):
        values, limit = ops.convert_to_numpy(variable), np.sqrt(6 / sizes)
        assert np.abs(values).max() <= limit
        assert values.std() == pytest.approx(limit / np.sqrt(3), rel=0.1)


def test_sparsity_counts_exact_zeros() -> None:
    layer = SharableDetectors(2)
    layer.build((None, 2, 2))
    layer.basis.assign([[0.0, 1e-30], [2.0, 0.0]])
    layer.codes.assign(np.eye(2, 4))
    assert layer.sparsity() == {"basis": 0.5, "codes": 0.75}


def test_count() -> None:
    layer = SharableDetectors(20)
    assert macc.cost_of(layer, (1, 68, 20)).macc == 68 * 20 * 20 + 68 * 2 * 20


@pytest.mark.jax
def test_contract(rng, tmp_path) -> None:
    features = rng.normal(size=(2, 5, 4)).astype("float32")
    run_contract(
        SharableDetectors, features, {"latent_tasks": 3}, tmp_path, expected_shape=(2, 5, 2)
    )


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"`latent_tasks` must be positive\. Received"):
        SharableDetectors(0)
    with pytest.raises(ValueError, match="SharableDetectors takes"):
        SharableDetectors()(np.zeros((1, 4), "float32"))
