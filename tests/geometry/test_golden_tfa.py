"""Sampling and warping against tensorflow-addons 0.23 (files of ``tests/golden``).

tensorflow-addons puts the centre of pixel ``i`` at ``i``; here it is at ``i + 0.5``. The tests
convert positions and maps, and nothing else.
"""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from tfalign import geometry as g

ATOL = 1e-5


@pytest.fixture(scope="module")
def resampler(repository):
    return np.load(repository / "tests/golden/tfa_resampler.npz")


@pytest.fixture(scope="module")
def transform(repository):
    return np.load(repository / "tests/golden/tfa_transform.npz")


def test_sample_bilinear_equals_resampler(resampler):
    out = g.sample_bilinear(resampler["data"], resampler["warp"] + 0.5, border="zero")
    np.testing.assert_allclose(ops.convert_to_numpy(out), resampler["values"], rtol=0, atol=ATOL)


def test_gradients_equal_those_of_resampler(resampler, gradient):
    def loss(data, points):
        return ops.sum(g.sample_bilinear(data, points, border="zero") * resampler["weight"])

    of_data, of_points = gradient(loss, resampler["data"], resampler["warp"] + 0.5)
    np.testing.assert_allclose(of_data, resampler["data_gradient"], rtol=0, atol=ATOL)
    np.testing.assert_allclose(of_points, resampler["warp_gradient"], rtol=0, atol=ATOL)


@pytest.mark.parametrize(("border", "fill"), [("zero", "constant"), ("clamp", "nearest")])
def test_warp_affine_equals_transform(transform, border, fill):
    half = np.full(2, 0.5, np.float32)
    # Their map acts on indices: go to indices, apply it, come back.
    matrix = g.compose(g.translation(half), g.compose(transform["matrix"], g.translation(-half)))
    height, width = transform[fill].shape[1:3]
    out = g.warp_affine(transform["images"], matrix, (height, width), border=border)
    np.testing.assert_allclose(ops.convert_to_numpy(out), transform[fill], rtol=0, atol=ATOL)
    assert np.abs(transform["constant"] - transform["nearest"]).max() > 0.1, "borders are covered"
