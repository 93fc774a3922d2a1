"""Linear regression under dropout, in closed form."""

from __future__ import annotations

import numpy as np


def dropout_ridge(
    features: np.ndarray, targets: np.ndarray, rate: float
) -> tuple[np.ndarray, np.ndarray]:
    """Solves the linear regression that stochastic gradient descent with dropout approaches.

    With each feature kept with probability 1 − rate and scaled by 1 / (1 − rate), the expected
    squared error over the masks is

        Σ_n ‖y_n − Wφ_n − b‖² + rate / (1 − rate) · Σ_i ‖w_i‖² Σ_n φ_ni²,

    a ridge regression whose penalty on feature i is its sum of squares (the bias is free). It is
    solved by Cholesky decomposition of the smaller of the two Gram matrices.

    Args:
        features: (N, d).
        targets: (N, k).
        rate: Share of features dropped, inside (0, 1).

    Returns:
        ``kernel`` (d, k) and ``bias`` (k,), float32: targets ≈ features @ kernel + bias.

    Reference:
        Shi et al., "Deep Regression for Face Alignment", 2014, Equations 3 and 4 with the dropout
        of section 3.2.1; Wager, Wang, Liang, "Dropout Training as Adaptive Regularization", 2013.

    Raises:
        ValueError: If the rate is outside (0, 1) or the arrays disagree.
    """
    if not 0.0 < rate < 1.0:
        raise ValueError(f"`rate` must be inside (0, 1). Received: rate={rate}")
    if features.ndim != 2 or targets.ndim != 2 or len(features) != len(targets):
        raise ValueError(
            "`features` must be (N, d) and `targets` (N, k). Received: "
            f"features.shape={features.shape}, targets.shape={targets.shape}"
        )
    # Only training needs SciPy; whoever runs a model does not pay for its import.
    from scipy import linalg

    features = np.asarray(features, np.float32)
    scale = np.sqrt(np.einsum("ni,ni->i", features, features))
    # A feature that is always 0 has no say; any positive number keeps the division defined.
    scale[scale == 0.0] = 1.0
    mean, centre = features.mean(axis=0), targets.mean(axis=0)
    scaled = (features - mean) / scale
    residual = np.asarray(targets - centre, np.float32)
    penalty = rate / (1.0 - rate)
    count, length = scaled.shape
    if length <= count:
        gram = scaled.T @ scaled + penalty * np.eye(length, dtype=np.float32)
        weights = linalg.solve(gram, scaled.T @ residual, assume_a="pos")
    else:
        gram = scaled @ scaled.T + penalty * np.eye(count, dtype=np.float32)
        weights = scaled.T @ linalg.solve(gram, residual, assume_a="pos")
    kernel = weights / scale[:, None]
    return kernel.astype(np.float32), (centre - mean @ kernel).astype(np.float32)
