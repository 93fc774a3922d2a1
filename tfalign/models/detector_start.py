"""Values that DSSD's training starts from: shape centres, and detectors from a linear SVR."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops


def collect(feed: Any, passes: int, images: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images and landmarks of a feed's first epochs.

    Args:
        feed: Source of batches, see ``tfalign.training.Feed``.
        passes: Number of epochs.
        images: Whether images are kept; without them the first array is empty.

    Raises:
        ValueError: If points of a face are not annotated.
    """
    kept, landmarks = [], []
    for batch, points, *weights in feed.stream(0, passes):
        if weights and not np.all(ops.convert_to_numpy(weights[0])):
            raise ValueError(
                "A start from the training faces needs every point of every face. Received: faces "
                "of which some points are not annotated"
            )
        if images:
            kept.append(ops.convert_to_numpy(batch))
        landmarks.append(ops.convert_to_numpy(points))
    joined = np.concatenate(kept) if kept else np.zeros((0,), np.float32)
    return joined, np.concatenate(landmarks).astype(np.float32)


def shape_centers(shapes: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Returns k-means centres of shapes.

    Args:
        shapes: (N, n, 2).
        count: Number of centres. Of fewer shapes, each is a centre, several times if need be.
        seed: Of the random start.

    Returns:
        (count, n, 2) float32, the largest cluster's centre first.
    """
    # Only training needs scikit-learn; whoever runs a model does not pay for its import.
    from sklearn.cluster import KMeans

    flat = np.asarray(shapes, np.float64).reshape(len(shapes), -1)
    flat = np.unique(flat, axis=0) if len(flat) <= count else flat
    means = KMeans(min(count, len(flat)), n_init=1, random_state=seed).fit(flat)
    sizes = np.bincount(means.labels_, minlength=means.n_clusters)
    centers = means.cluster_centers_[np.argsort(-sizes, kind="stable")]
    return np.resize(centers, (count, *shapes.shape[1:])).astype(np.float32)


def svr_detectors(
    features: np.ndarray, residuals: np.ndarray, basis: np.ndarray, codes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns P and C from linear support vector regressions of each coordinate.

    Args:
        features: φ, (N, n, k).
        residuals: What to detect, (N, n, 2).
        basis: P at present, (k, G): kept where the decomposition has no further columns.
        codes: C at present, (G, 2n), likewise.

    Returns:
        P and C, float32.

    Reference:
        Liu et al., TIP 2017, section IV-B.
    """
    from sklearn.svm import LinearSVR

    _, n, length = features.shape
    detectors = np.zeros((length, 2 * n))
    for column in range(2 * n):
        # Squared loss without a dead zone: the residuals are far smaller than the usual 0.1, and
        # the primal solver is deterministic.
        svr = LinearSVR(epsilon=0.0, loss="squared_epsilon_insensitive", dual=False)
        svr.fit(features[:, column // 2], residuals[:, column // 2, column % 2])
        detectors[:, column] = svr.coef_
    left, values, right = np.linalg.svd(detectors, full_matrices=False)
    count = min(basis.shape[1], len(values))
    basis, codes = basis.copy(), codes.copy()
    basis[:, :count] = left[:, :count]
    codes[:count] = values[:count, None] * right[:count]
    # Further columns of P are random; with zeros here the product is the approximation of W, and
    # the first update of C may use them.
    codes[count:] = 0.0
    return basis.astype(np.float32), codes.astype(np.float32)
