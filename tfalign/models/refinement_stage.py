"""One refinement stage of DSSD: the layers whose parameters stages may share."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from tfalign.layers import NeighborFeatures, PatchNetwork, SharableDetectors
from tfalign.models.trunks.blocks import scaled

_ALPHAS = np.logspace(-4, 4, 17)
_CHUNK = 256


class RefinementStage:
    """From patches to a shape increment: H₁, neighbours, H₂, detectors P and C, Q.

    It is no layer itself but makes the layers of a functional graph, so that they stay visible in
    it; calling it twice shares their parameters.

    Args:
        n: Number of landmarks.
        width: Multiplier on channels and hidden units.
        kernel: Side of the patch network's filters.
        neighbors: K.
        features: Length of φ.
        latent_tasks: G.
        sharable: Whether there are sharable detectors, else one dense layer from all features.
        suffix: Of the layers' names.

    Attributes:
        description: The layers of H, from patches to φ.
        detectors: The layer of P and C, or the dense layer and its folding.
        structure: The layers of Q.
        layers: All of them.
        neighbors: The ``NeighborFeatures`` layer.
    """

    def __init__(
        self,
        n: int,
        width: float,
        kernel: int,
        neighbors: int,
        features: int,
        latent_tasks: int,
        sharable: bool,
        suffix: str,
    ) -> None:
        units, hidden = scaled(256, width), scaled(512, width)
        self.neighbors = NeighborFeatures(neighbors, name=f"neighbors{suffix}")
        # -- Equations 2 and 3, section IV-B
        self.description = [
            PatchNetwork(scaled(128, width), units, kernel, name=f"patch_network{suffix}"),
            self.neighbors,
            layers.Dense(hidden, activation="tanh", name=f"reweight_1{suffix}"),
            layers.Dense(features, activation="tanh", name=f"reweight_2{suffix}"),
        ]
        # -- Equations 4 and 5
        self.detectors: list[Any]
        if sharable:
            self.detectors = [
                SharableDetectors(latent_tasks, dtype="float32", name=f"detectors{suffix}")
            ]
        else:
            self.detectors = [
                layers.Flatten(dtype="float32", name=f"regression{suffix}_flat"),
                layers.Dense(2 * n, use_bias=False, dtype="float32", name=f"regression{suffix}"),
                layers.Reshape((n, 2), dtype="float32", name=f"regression{suffix}_shape"),
            ]
        # -- Equation 6: Q
        near_zero = keras.initializers.RandomNormal(stddev=1e-3)
        self.structure = [
            layers.Flatten(dtype="float32", name=f"responses{suffix}"),
            layers.Dense(hidden, activation="tanh", dtype="float32", name=f"structure_1{suffix}"),
            layers.Dense(
                2 * n,
                # Near zero: the stage begins as the identity.
                kernel_initializer=near_zero,
                dtype="float32",
                name=f"structure_2{suffix}",
            ),
            layers.Reshape((n, 2), dtype="float32", name=f"structure{suffix}_shape"),
        ]

    @property
    def layers(self) -> list[Any]:
        """All layers of the stage, in order."""
        return [*self.description, *self.detectors, *self.structure]

    def describe(self, patches: Any) -> Any:
        """Returns φ (batch, n, features) of patches (batch, n, size, size, 1)."""
        return _run(self.description, patches)

    def start_structure(self, features: np.ndarray, increments: np.ndarray) -> None:
        """Makes Q's last layer the ridge regression from its inputs to increments.

        Args:
            features: φ, (N, n, k).
            increments: (N, n, 2), in units of the patch's side.
        """
        from sklearn.linear_model import RidgeCV

        *before, last, _ = self.structure
        hidden = [
            ops.convert_to_numpy(_run([*self.detectors, *before], features[i : i + _CHUNK]))
            for i in range(0, len(features), _CHUNK)
        ]
        ridge = RidgeCV(alphas=_ALPHAS)
        ridge.fit(np.concatenate(hidden), increments.reshape(len(increments), -1))
        last.set_weights([ridge.coef_.T, ridge.intercept_])

    def respond(self, features: Any) -> Any:
        """Returns the detectors' responses (batch, n, 2) to φ."""
        return _run(self.detectors, features)

    def increment(self, responses: Any) -> Any:
        """Returns the increment (batch, n, 2), in units of the patch's side."""
        return _run(self.structure, responses)


def _run(steps: list[Any], x: Any) -> Any:
    for step in steps:
        x = step(x)
    return x
