"""Linear detectors of all landmarks, made of a few shared ones."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="tfalign")
class SharableDetectors(keras.layers.Layer):
    """Detects each coordinate of each landmark by a mixture of shared linear detectors.

    The detector of coordinate j of landmark l is w = P c_j (Equations 4 and 5): a combination c_j
    of G latent tasks, the columns of P. Its response to the landmark's features is φ_lᵀ P c_j. P
    and C are meant to be sparse: ``tfalign.callbacks.ProximalUpdate`` trains them with ℓ1
    penalties to exact zeros.

    Attributes:
        basis: P, (features, latent_tasks).
        codes: C, (latent_tasks, 2 · n): columns 2l and 2l + 1 are x and y of landmark l.

    Args:
        latent_tasks: G; the paper's is 20.

    Input shape:
        (batch, n, features).

    Output shape:
        (batch, n, 2).

    Reference:
        Liu et al., "Learning Deep Sharable and Structural Detectors for Face Alignment", TIP 2017,
        section III-A.2, Equations 4–6, and Equation 23 (the initial weights).

    Reading:
        C has two columns for each landmark; the paper writes L columns and lets a landmark be one
        number.

    Raises:
        ValueError: If ``latent_tasks`` is not positive, or the input not (batch, n, features).
    """

    def __init__(self, latent_tasks: int = 20, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if latent_tasks < 1:
            raise ValueError(
                f"`latent_tasks` must be positive. Received: latent_tasks={latent_tasks}"
            )
        self.latent_tasks = int(latent_tasks)

    def build(self, input_shape: Any) -> None:
        if len(input_shape) != 3 or None in input_shape[1:]:
            raise ValueError(
                "SharableDetectors takes (batch, n, features) with n and features known. Received: "
                f"input_shape={tuple(input_shape)}"
            )
        _, n, features = input_shape
        self.basis = self.add_weight(
            name="basis", shape=(features, self.latent_tasks), initializer="glorot_uniform"
        )
        self.codes = self.add_weight(
            name="codes", shape=(self.latent_tasks, 2 * n), initializer="glorot_uniform"
        )
        self.built = True

    def call(self, features: Any) -> Any:
        n, length = features.shape[1:]
        tasks = ops.matmul(ops.reshape(features, (-1, length)), self.basis)
        # (n, G, 2): a product of its own for each landmark.
        codes = ops.transpose(ops.reshape(self.codes, (self.latent_tasks, n, 2)), (1, 0, 2))
        if features.shape[0] == 1:
            # For one face both transpositions are reshapes.
            responses = ops.matmul(ops.reshape(tasks, (n, 1, self.latent_tasks)), codes)
            return ops.reshape(responses, (1, n, 2))
        tasks = ops.reshape(tasks, (-1, n, self.latent_tasks))
        responses = ops.matmul(ops.transpose(tasks, (1, 0, 2)), codes)
        return ops.transpose(responses, (1, 0, 2))

    def sparsity(self) -> dict[str, float]:
        """Returns the share of exact zeros in P (``"basis"``) and in C (``"codes"``)."""
        return {
            variable.name: float(np.mean(ops.convert_to_numpy(variable) == 0.0))
            for variable in (self.basis, self.codes)
        }

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (*input_shape[:2], 2)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "latent_tasks": self.latent_tasks}
