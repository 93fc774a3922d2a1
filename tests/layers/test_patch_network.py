"""PatchNetwork against its layers on each patch by itself."""

import cv2
import keras
import numpy as np
import pytest
from keras import ops

from contract import run_contract
from tfalign import macc
from tfalign.layers import PatchNetwork


def convolved(maps: np.ndarray, layer) -> np.ndarray:
    """Valid convolution, ReLU and 2×2 max pooling of maps (H, W, C), with OpenCV's filter."""
    kernel, bias = (ops.convert_to_numpy(v) for v in (layer.kernel, layer.bias))
    side = kernel.shape[0]
    planes = []
    for filter_ in range(kernel.shape[3]):
        total = np.full(maps.shape[:2], float(bias[filter_]))
        for channel in range(maps.shape[2]):
            plane = np.ascontiguousarray(maps[:, :, channel], np.float64)
            total += cv2.filter2D(plane, cv2.CV_64F, kernel[:, :, channel, filter_].astype(float))
        inner = slice(side // 2, -(side // 2))
        planes.append(np.maximum(total[inner, inner], 0))
    maps = np.stack(planes, axis=-1)
    rows, columns = maps.shape[0] // 2, maps.shape[1] // 2
    maps = maps[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2, -1)
    return maps.max(axis=(1, 3))


def test_agrees_with_opencv_patch_by_patch(rng) -> None:
    patches = rng.normal(size=(2, 3, 17, 17, 1)).astype("float32")
    layer = PatchNetwork(filters=4, units=6)
    found = ops.convert_to_numpy(layer(patches))
    steps = {step.name: step for step in layer.steps}
    steps["conv_1"].bias.assign(rng.normal(size=4))
    found = ops.convert_to_numpy(layer(patches))
    kernel = ops.convert_to_numpy(steps["dense"].kernel)
    for b, n in np.ndindex(2, 3):
        maps = convolved(convolved(patches[b, n], steps["conv_1"]), steps["conv_2"])
        np.testing.assert_allclose(found[b, n], np.tanh(maps.ravel() @ kernel), atol=1e-4)


def test_channels_come_last_whatever_keras_is_set_to(rng) -> None:
    """Patches of as many channels as pixels fit both ways."""
    patches = rng.normal(size=(2, 3, 12, 12, 12)).astype("float32")
    layer = PatchNetwork(filters=4, units=6, kernel=3)
    expected = ops.convert_to_numpy(layer(patches))
    keras.config.set_image_data_format("channels_first")
    try:
        other = PatchNetwork(filters=4, units=6, kernel=3)
        other(patches)
        other.set_weights(layer.get_weights())
        found = ops.convert_to_numpy(other(patches))
    finally:
        keras.config.set_image_data_format("channels_last")
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_papers_count() -> None:
    # 26·26 places of 5·5 taps, 9·9 places of 5·5·128, and the dense layer, for each landmark.
    each = 128 * (26 * 26 * 25 + 9 * 9 * 25 * 128) + 4 * 4 * 128 * 256
    layer = PatchNetwork()
    assert macc.cost_of(layer, (1, 68, 30, 30, 1)).macc == 68 * each


@pytest.mark.jax
def test_contract(rng, tmp_path) -> None:
    patches = rng.normal(size=(2, 3, 12, 12, 1)).astype("float32")
    arguments = {"filters": 4, "units": 6, "kernel": 3}
    run_contract(PatchNetwork, patches, arguments, tmp_path, expected_shape=(2, 3, 6))


def test_refusals() -> None:
    with pytest.raises(ValueError, match="must be positive. Received"):
        PatchNetwork(filters=0)
    with pytest.raises(ValueError, match="of at least 16 pixels for kernel=5"):
        PatchNetwork()(np.zeros((1, 2, 15, 15, 1), "float32"))
