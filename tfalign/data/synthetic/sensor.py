"""What a camera and a file do to a picture: exposure, colour, blur, noise, resolution, JPEG."""

from __future__ import annotations

import cv2
import numpy as np

from tfalign.data.synthetic import colors, noise


def _tone_table(rng: np.random.Generator) -> np.ndarray:
    """Draws a look-up table (256, 1, 3) of gain, gamma, contrast and colour cast."""
    x = np.linspace(0, 1, 256)[:, None]
    gain = rng.uniform(0.7, 1.35) * colors.tint(rng, 0.09 if rng.random() < 0.85 else 0.3)
    y = np.clip(x * gain, 0, 1) ** np.exp(rng.normal(0, 0.22))
    contrast = rng.uniform(0.65, 1.35)
    y = (y - 0.5) * contrast + 0.5 + rng.normal(0, 0.05)
    return (np.clip(y, 0, 1) * 255).astype(np.uint8)[:, None]


def expose(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, bool]:
    """Degrades a rendered picture as a camera would.

    Args:
        image: (s, s, 3) uint8 RGB.
        rng: Decides everything.

    Returns:
        The degraded picture, and whether it is blurred enough to be called so.
    """
    size = image.shape[0]
    image = cv2.LUT(image, np.ascontiguousarray(_tone_table(rng)))
    image = _colorless(image, rng)
    blurred = False
    kind = rng.choice(
        ["none", "soft", "defocus", "motion", "small"], p=[0.36, 0.36, 0.09, 0.07, 0.12]
    )
    unit = size / 256
    if kind == "soft":
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.1) * unit))
    elif kind == "defocus":
        sigma = rng.uniform(1.2, 3.6) * unit
        image = cv2.GaussianBlur(image, (0, 0), float(sigma))
        blurred = sigma > 1.8 * unit
    elif kind == "motion":
        length = max(2, round(rng.uniform(3, 13) * unit))
        kernel = np.zeros((2 * length + 1, 2 * length + 1), np.uint8)
        angle = rng.uniform(0, np.pi)
        d = 0.5 * length * np.array([np.cos(angle), np.sin(angle)])
        ends = np.rint((length + np.stack([-d, d])) * 16).astype(np.int32)
        cv2.line(kernel, tuple(map(int, ends[0])), tuple(map(int, ends[1])), 255, 1, cv2.LINE_AA, 4)
        image = cv2.filter2D(image, -1, kernel.astype(np.float32) / kernel.sum(dtype=np.float64))
        blurred = length > 6 * unit
    elif kind == "small":
        factor = rng.uniform(1.3, 4.5)
        side = max(16, int(size / factor))
        image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        image = cv2.resize(
            image, (size, size), interpolation=int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC]))
        )
        blurred = factor > 3.0
    if rng.random() < 0.55:
        grain = noise.cut(rng, "white", size, size) * np.float32(rng.gamma(1.5, 3.0))
        image = cv2.add(image, grain, dtype=cv2.CV_8U)
    if rng.random() < 0.5:
        quality = int(rng.integers(25, 96))
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
        if decoded is None:
            raise OSError("OpenCV could not decode the JPEG that it encoded")
        image = decoded
    return image, bool(blurred)


def _colorless(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Makes one picture in twelve grey and dulls or deepens the colour of some others."""
    chance = rng.random()
    if chance > 0.35:
        return image
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if chance < 0.08:
        return grey
    share = float(rng.uniform(0.4, 1.4))
    return cv2.addWeighted(image, share, grey, 1 - share, 0)
