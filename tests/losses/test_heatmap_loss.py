"""HeatmapLoss against its formula written out in NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from tfalign import losses
from tfalign.losses import HeatmapLoss


def target(landmarks: np.ndarray, rows: int, columns: int, sigma: float) -> np.ndarray:
    """Gaussians about landmarks inside the map: (batch, rows, columns, n)."""
    x = np.arange(columns) + 0.5 - landmarks[..., :1] * columns
    y = np.arange(rows) + 0.5 - landmarks[..., 1:] * rows
    square = x[..., None, :] ** 2 + y[..., :, None] ** 2
    return np.exp(-square / (2 * sigma**2)).transpose(0, 2, 3, 1)


@pytest.mark.parametrize("foreground", [0.0, 7.0])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_formula(rng, foreground: float, reduction: str) -> None:
    landmarks = rng.uniform(0, 1, (3, 4, 2)).astype("float32")
    maps = rng.normal(size=(3, 6, 9, 4)).astype("float32")
    loss = HeatmapLoss(sigma=1.1, foreground=foreground, point_reduction=reduction)
    drawn = target(landmarks.astype(np.float64), 6, 9, 1.1)
    cost = (1 + foreground * drawn) * (maps - drawn) ** 2
    expected = cost.sum(axis=(1, 2, 3)).mean() / (4 if reduction == "mean" else 1)
    np.testing.assert_allclose(ops.convert_to_numpy(loss(landmarks, maps)), expected, rtol=1e-5)
    assert float(loss(landmarks, drawn.astype("float32"))) < 1e-9


def test_is_found_by_its_registered_name_and_survives_its_configuration() -> None:
    loss = losses.get("tfalign>HeatmapLoss", sigma=2.0, foreground=3.0, point_reduction="mean")
    copy = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(copy) is HeatmapLoss
    assert copy.get_config() == loss.get_config()
    assert (copy.sigma, copy.foreground, copy.point_reduction) == (2.0, 3.0, "mean")


@pytest.mark.parametrize(
    "arguments", [{"sigma": 0.0}, {"foreground": -1.0}, {"point_reduction": "max"}]
)
def test_refuses_arguments(arguments) -> None:
    with pytest.raises(ValueError, match="Received"):
        HeatmapLoss(**arguments)


def test_refuses_maps_of_other_landmarks() -> None:
    with pytest.raises(ValueError, match=r"y_pred\.shape=\(2, 8, 8, 4\)"):
        HeatmapLoss()(np.zeros((2, 5, 2), "float32"), np.zeros((2, 8, 8, 4), "float32"))


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_points_that_are_not_annotated_count_nothing(rng, reduction):
    landmarks = rng.uniform(0, 1, (3, 4, 2)).astype("float32")
    maps = rng.normal(size=(3, 6, 9, 4)).astype("float32")
    weights = np.ones((3, 4), "float32")
    weights[:, 2] = 0
    kept = [0, 1, 3]
    loss = HeatmapLoss(point_reduction=reduction)
    expected = float(loss(landmarks[:, kept], maps[..., kept]))
    landmarks[:, 2] = 0
    assert float(loss(landmarks, maps, weights)) == pytest.approx(expected, rel=1e-5)
