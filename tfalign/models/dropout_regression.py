"""Linear regression under dropout: in closed form, and by the descent that approaches it."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

Fit = Callable[[np.ndarray, np.ndarray, float], tuple[np.ndarray, np.ndarray]]
"""(features, targets, rate) → (kernel, bias), as `dropout_ridge` and `dropout_descent` are."""


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
    _check(features, targets, rate)
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


def dropout_descent(
    features: np.ndarray,
    targets: np.ndarray,
    rate: float,
    epochs: int = 60,
    learning_rate: float = 0.01,
    momentum: float = 0.9,
    batch_size: int = 100,
) -> tuple[np.ndarray, np.ndarray]:
    """Learns a linear regression by stochastic gradient descent with dropout, as the paper does.

    Minimises ½‖y − WDφ − b‖² averaged over faces, where the mask D leaves each feature out with the
    dropout's rate and scales none. W starts at 0 and b at the targets' mean; (1 − rate) W is the
    regression. Random numbers are Keras's (``keras.utils.set_random_seed``).

    Args:
        features: (N, d).
        targets: (N, k).
        rate: Share of features dropped, inside (0, 1).
        epochs: The most there are.
        learning_rate: The first one; it is halved after 4 epochs without a lower training loss, and
            after 20 learning ends.
        momentum: Of the descent.
        batch_size: Faces in a step.

    Returns:
        ``kernel`` (d, k) and ``bias`` (k,), float32: targets ≈ features @ kernel + bias.

    Reference:
        Shi et al., "Deep Regression for Face Alignment", 2014, sections 3.2.1 and 3.2.2.

    Reading:
        The paper lowers the rate by hand when the validation error stops to fall and gives no
        length; here the training loss, which dropout keeps from falling for ever, decides, and the
        length is ours.

    Raises:
        ValueError: If the rate is outside (0, 1) or the arrays disagree.
    """
    _check(features, targets, rate)
    start = keras.initializers.Constant(np.asarray(targets, np.float32).mean(axis=0))
    dense = keras.layers.Dense(
        targets.shape[1], kernel_initializer="zeros", bias_initializer=start, dtype="float32"
    )
    # Keras's dropout doubles what it keeps (at a rate of 0.5); the paper's does not.
    mask = [keras.layers.Dropout(rate), keras.layers.Rescaling(1.0 - rate)]
    model = keras.Sequential([keras.Input(features.shape[1:]), *mask, dense])
    model.compile(
        keras.optimizers.SGD(learning_rate, momentum),
        lambda y, found: 0.5 * keras.ops.sum(keras.ops.square(y - found), axis=-1),
    )
    watched = {"monitor": "loss", "min_delta": 0.0}
    model.fit(
        features,
        targets,
        batch_size=min(batch_size, len(features)),
        epochs=epochs,
        verbose=0,
        callbacks=[
            keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=4, **watched),
            keras.callbacks.EarlyStopping(patience=20, **watched),
        ],
    )
    kernel, bias = (keras.ops.convert_to_numpy(weight) for weight in dense.weights)
    return (1.0 - rate) * kernel, bias


def _check(features: np.ndarray, targets: np.ndarray, rate: float) -> None:
    if not 0.0 < rate < 1.0:
        raise ValueError(f"`rate` must be inside (0, 1). Received: rate={rate}")
    if features.ndim != 2 or targets.ndim != 2 or len(features) != len(targets):
        raise ValueError(
            "`features` must be (N, d) and `targets` (N, k). Received: "
            f"features.shape={features.shape}, targets.shape={targets.shape}"
        )
