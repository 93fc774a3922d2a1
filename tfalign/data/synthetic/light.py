"""Light: one to three coloured lamps and an ambient, evaluated at the vertices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfalign.data.synthetic import colors


@dataclass(frozen=True)
class Light:
    """A set of lamps.

    Attributes:
        ambient: (3,) RGB.
        directions: (k, 3) unit vectors towards the lamps, camera space.
        strengths: (k, 3) RGB.
        wrap: 0 for hard lamps to 0.6 for soft ones that reach round the edge.
        extreme: Whether the light hides part of the face: very dark, very bright or from one side.
    """

    ambient: np.ndarray
    directions: np.ndarray
    strengths: np.ndarray
    wrap: float
    extreme: bool

    def shade(self, normals: np.ndarray, sharpness: float) -> tuple[np.ndarray, np.ndarray]:
        """Lights unit normals (v, 3) in camera space.

        Returns:
            The diffuse factor (v, 3), already in display (square-root) space, and the
            highlight (v, 1) on a 0-1 scale.
        """
        cosine = normals @ self.directions.T.astype(np.float32)
        diffuse = np.clip((cosine + self.wrap) / (1 + self.wrap), 0, None)
        total = diffuse @ self.strengths.astype(np.float32) + self.ambient.astype(np.float32)
        half = self.directions + [0, 0, 1]
        half /= np.linalg.norm(half, axis=1, keepdims=True)
        glint = np.clip(normals @ half.T.astype(np.float32), 0, 1) ** np.float32(sharpness)
        return np.sqrt(total), (glint @ self.strengths.mean(1).astype(np.float32))[:, None]


def _direction(azimuth: float, elevation: float) -> np.ndarray:
    a, e = np.radians([azimuth, elevation])
    return np.array([np.sin(a) * np.cos(e), -np.sin(e), np.cos(a) * np.cos(e)])


def sample_light(rng: np.random.Generator) -> Light:
    """Draws a light: mostly soft and frontal, at times from one side, behind, or nearly none."""
    kind = rng.choice(
        ["soft", "key", "side", "back", "dark", "bright"], p=[0.40, 0.36, 0.12, 0.05, 0.04, 0.03]
    )
    azimuth, elevation = rng.normal(0, 40), rng.normal(30, 22)
    ambient, key, wrap = rng.uniform(0.35, 0.75), rng.uniform(0.3, 0.7), rng.uniform(0.2, 0.6)
    if kind == "key":
        azimuth, ambient, key, wrap = (
            rng.normal(0, 50),
            rng.uniform(0.15, 0.5),
            rng.uniform(0.5, 1.1),
            rng.uniform(0, 0.4),
        )
    elif kind == "side":
        azimuth = rng.choice([-1, 1]) * rng.uniform(55, 100)
        ambient, key, wrap = rng.uniform(0.03, 0.18), rng.uniform(0.7, 1.3), rng.uniform(0, 0.2)
    elif kind == "back":
        azimuth = rng.choice([-1, 1]) * rng.uniform(110, 160)
        ambient, key = rng.uniform(0.08, 0.3), rng.uniform(0.6, 1.4)
    elif kind == "dark":
        ambient, key = rng.uniform(0.02, 0.08), rng.uniform(0.02, 0.12)
    elif kind == "bright":
        ambient, key = rng.uniform(0.8, 1.2), rng.uniform(0.8, 1.3)
    directions, strengths = [_direction(azimuth, elevation)], [key * colors.tint(rng, 0.10)]
    for _ in range(rng.integers(0, 3)):
        directions.append(_direction(rng.uniform(-120, 120), rng.uniform(-40, 60)))
        strengths.append(
            rng.uniform(0, 0.3) * (0.3 if kind in ("dark", "side") else 1) * colors.tint(rng, 0.2)
        )
    return Light(
        ambient=ambient * colors.tint(rng, 0.08),
        directions=np.stack(directions), strengths=np.stack(strengths),
        wrap=float(wrap), extreme=kind in ("side", "back", "dark", "bright"),
    )  # fmt: skip
