"""Pose balancing: rare poses occur more often in an epoch.

Reference: Feng et al., "Wing loss for robust facial landmark localisation with convolutional
neural networks" (CVPR 2018), section 5, pose-based data balancing (PDB), which GRegLRef
(section 4.3) applies to the 300-W training set: the training shapes are aligned by Procrustes
analysis, their first principal components found, and the shapes projected onto the one that
controls pose; faces in sparsely filled bins of the histogram of that coefficient are duplicated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class PoseBalance:
    """What pose balancing found and chose.

    Attributes:
        indices: (m,) rows of the training set that make up a balanced epoch: every row at least
            once, in order, then the duplicates. Give it to ``training_dataset(indices=…)``.
        coefficients: (N,) position of each shape along the pose component, in standard deviations.
        bins: (N,) histogram bin of each shape.
        repeats: (N,) how often each row occurs in ``indices``.
        explained: Share of the aligned shapes' variance that the component explains.
    """

    indices: np.ndarray
    coefficients: np.ndarray
    bins: np.ndarray
    repeats: np.ndarray
    explained: float


def procrustes_align(
    shapes: np.ndarray, iterations: int = 20, tolerance: float = 1e-8
) -> tuple[np.ndarray, np.ndarray]:
    """Aligns shapes to their mean by generalised Procrustes analysis (no reflection).

    Args:
        shapes: (N, n, 2), any space.
        iterations: Most rounds of aligning to the mean and averaging.
        tolerance: Stop when the mean moves by less (shapes have unit norm).

    Returns:
        Aligned shapes (N, n, 2) and their mean (n, 2): centred, of unit Frobenius norm before
        averaging, float64.

    Raises:
        ValueError: If ``shapes`` is not (N, n, 2) and finite, or all points of one coincide.
    """
    shapes = np.asarray(shapes, dtype=np.float64)
    if shapes.ndim != 3 or shapes.shape[-1] != 2 or not np.isfinite(shapes).all():
        raise ValueError(f"`shapes` must be finite (N, n, 2). Received: shape {shapes.shape}")
    centred = shapes - shapes.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=(1, 2), keepdims=True)
    if (norms <= 0).any():
        raise ValueError(
            "A shape needs at least two different points. Received: all points coincide in rows "
            f"{np.flatnonzero(norms <= 0).tolist()}"
        )
    # A point as one complex number: the best rotation to a reference is the phase of one product.
    points = (centred[..., 0] + 1j * centred[..., 1]) / norms[..., 0]
    mean = points[0]
    for _ in range(iterations):
        product = points.conj() @ mean
        points = points * (product / np.abs(product))[:, None]
        updated = points.mean(axis=0)
        updated /= np.linalg.norm(updated)
        moved = float(np.linalg.norm(updated - mean))
        mean = updated
        if moved < tolerance:
            break
    return np.stack([points.real, points.imag], axis=-1), np.stack([mean.real, mean.imag], axis=-1)


def pose_coefficients(shapes: np.ndarray, component: int = 0) -> tuple[np.ndarray, float]:
    """Projects aligned shapes onto one of their principal components.

    Args:
        shapes: (N, n, 2) training shapes, any space.
        component: Which component, 0 the largest. For sets with turned heads it is the yaw.

    Returns:
        (N,) coefficients in standard deviations, and the share of the variance explained. The sign
        of a component is arbitrary; here its largest entry is positive.

    Raises:
        ValueError: If there is no such component, or the shapes are unusable.
    """
    aligned, _ = procrustes_align(shapes)
    flat = aligned.reshape(len(aligned), -1)
    flat = flat - flat.mean(axis=0)
    limit = min(flat.shape)
    if not 0 <= component < limit:
        raise ValueError(
            f"`component` must be in [0, {limit}) for {len(flat)} shapes. "
            f"Received: component={component}"
        )
    _, values, vectors = np.linalg.svd(flat, full_matrices=False)
    direction = vectors[component]
    direction = direction * np.sign(direction[np.argmax(np.abs(direction))])
    scores = flat @ direction
    deviation = scores.std()
    if deviation == 0:
        raise ValueError("The shapes must differ in more than a similarity. Received: equal shapes")
    return scores / deviation, float(values[component] ** 2 / np.sum(values**2))


def pose_balance(
    shapes: np.ndarray,
    bins: int = 9,
    max_repeats: int = 10,
    component: int = 0,
    seed: int = 0,
) -> PoseBalance:
    """Chooses the rows of a pose-balanced epoch.

    Args:
        shapes: (N, n, 2) training shapes, any space.
        bins: Number of equal bins between the least and greatest coefficient. Reading: the papers
            give no number.
        max_repeats: A face occurs at most this often, so that a bin with a single outlier does not
            fill an epoch with one face. Reading: the papers do not limit it.
        component: The principal component that controls pose.
        seed: Decides which faces of a bin are repeated once more where the numbers do not divide.

    Returns:
        The balanced rows and how they were found; a function of the arguments alone.

    Raises:
        ValueError: If an argument is outside its domain or the shapes are unusable.
    """
    if bins < 1 or max_repeats < 1:
        raise ValueError(
            "`bins` and `max_repeats` must be positive. "
            f"Received: bins={bins}, max_repeats={max_repeats}"
        )
    coefficients, explained = pose_coefficients(shapes, component)
    low, high = coefficients.min(), coefficients.max()
    places = np.floor((coefficients - low) / (high - low) * bins).astype(int)
    places = np.minimum(places, bins - 1)
    counts = np.bincount(places, minlength=bins)
    generator = np.random.default_rng(seed)
    repeats = np.ones(len(coefficients), dtype=int)
    for place in np.flatnonzero(counts):
        members = np.flatnonzero(places == place)
        wanted = min(int(counts.max()), max_repeats * len(members))
        whole, rest = divmod(wanted, len(members))
        repeats[members] = whole
        repeats[generator.permutation(members)[:rest]] += 1
    rows = np.arange(len(coefficients))
    indices = np.concatenate([rows, np.repeat(rows, repeats - 1)])
    return PoseBalance(indices, coefficients, places, repeats, explained)
