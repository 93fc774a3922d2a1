"""The features of each landmark's nearest neighbours."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="tfalign")
class NeighborFeatures(keras.layers.Layer):
    """Joins each landmark's features with those of its nearest neighbours.

    Which landmarks are neighbours is looked up in a table, a weight that no gradient trains. At
    first a landmark's neighbours are those next to it in the order of the markup;
    ``set_mean_shape`` makes the table of a mean shape.

    Args:
        neighbors: K, the landmark itself included; the paper's is 5.

    Input shape:
        (batch, n, k), n at least ``neighbors``.

    Output shape:
        (batch, n, neighbors · k): the landmark itself first, then its neighbours from the nearest.

    Reference:
        Liu et al., "Learning Deep Sharable and Structural Detectors for Face Alignment", TIP 2017,
        section III-A.1 and Equation 3 (N_K).

    Reading:
        Neighbours are found on the mean shape, once, and a landmark is its own nearest neighbour;
        the paper says neither.

    Raises:
        ValueError: If ``neighbors`` is not between 1 and n.
    """

    def __init__(self, neighbors: int = 5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if neighbors < 1:
            raise ValueError(f"`neighbors` must be positive. Received: neighbors={neighbors}")
        self.neighbors = int(neighbors)

    def build(self, input_shape: Any) -> None:
        n = self._check(input_shape)[1]
        line = np.stack([np.arange(n), np.zeros(n)], axis=-1)
        # A function, because it is data and no distribution to draw from.
        self.table = self.add_weight(
            name="table",
            shape=(n, self.neighbors),
            dtype="int32",
            initializer=lambda shape, dtype: ops.cast(
                nearest_neighbors(line, self.neighbors), dtype
            ),
            trainable=False,
        )
        self.built = True

    def set_mean_shape(self, shape: np.ndarray) -> None:
        """Makes the table of a mean shape (n, 2), in any unit that has square pixels."""
        self.table.assign(nearest_neighbors(shape, self.neighbors))

    def call(self, features: Any) -> Any:
        n, length = features.shape[1:]
        chosen = ops.take(features, ops.reshape(self.table, (-1,)), axis=1)
        return ops.reshape(chosen, (-1, n, self.neighbors * length))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        batch, n, length = self._check(input_shape)
        return (batch, n, self.neighbors * length)

    def _check(self, shape: Any) -> Any:
        if len(shape) != 3 or None in shape[1:] or shape[1] < self.neighbors:
            raise ValueError(
                "NeighborFeatures takes (batch, n, k) with n and k known and n at least "
                f"neighbors={self.neighbors}. Received: input_shape={tuple(shape)}"
            )
        return shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "neighbors": self.neighbors}


def nearest_neighbors(shape: np.ndarray, count: int) -> np.ndarray:
    """Returns the ``count`` nearest landmarks of each landmark of a shape, itself first.

    Args:
        shape: (n, 2). Distances are Euclidean; of equally near landmarks the one with the lower
            index comes first.
        count: From 1 to n.

    Returns:
        (n, count) int32.

    Raises:
        ValueError: If ``shape`` is not (n, 2) and finite, or ``count`` not between 1 and n.
    """
    shape = np.asarray(shape, np.float64)
    if shape.ndim != 2 or shape.shape[1] != 2 or not np.isfinite(shape).all():
        raise ValueError(f"`shape` must be a finite (n, 2). Received: shape of {shape.shape}")
    if not 1 <= count <= len(shape):
        raise ValueError(f"`count` must be from 1 to {len(shape)}. Received: count={count}")
    square = np.sum((shape[:, None] - shape[None]) ** 2, axis=-1)
    # A landmark at the same place as another is still its own first neighbour.
    np.fill_diagonal(square, -1.0)
    return np.argsort(square, axis=1, kind="stable")[:, :count].astype(np.int32)
