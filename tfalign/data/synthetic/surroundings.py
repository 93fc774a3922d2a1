"""What is around the face: the background, hair behind and before it, ears, neck and clothes."""

from __future__ import annotations

import cv2
import numpy as np

from tfalign.data.synthetic import colors, draw, noise
from tfalign.data.synthetic.head import Head
from tfalign.data.synthetic.layout import spline_weights
from tfalign.data.synthetic.mesh import closed_curve, head_mesh
from tfalign.data.synthetic.skin import Appearance


def background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Paints a background: colour noise, gradients, shapes, stripes, at times face-like clutter.

    Returns:
        (3, size, size) float32.
    """
    grid = int(rng.choice([1, 2, 3, 5, 9, 16]))
    base = colors.anything(rng)
    cells = np.clip(base + rng.normal(0, rng.choice([5, 25, 60]), (grid, grid, 3)), 0, 255)
    how = cv2.INTER_CUBIC if rng.random() < 0.8 else cv2.INTER_NEAREST
    image = cv2.resize(cells.astype(np.uint8), (size, size), interpolation=how)
    for _ in range(int(rng.choice([0, 3, 6, 12], p=[0.25, 0.3, 0.3, 0.15]))):
        _shape(image, rng, colors.anything(rng), size)
    if rng.random() < 0.12:
        _face_like(image, rng, size)
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.6, 6)))
    if rng.random() < 0.6:
        scale = noise.SCALES[rng.integers(len(noise.SCALES))]
        grain = noise.cut(rng, f"smooth{scale:g}", size, size) * np.float32(rng.uniform(2, 28))
        image = cv2.add(image, cv2.cvtColor(grain, cv2.COLOR_GRAY2RGB), dtype=cv2.CV_8U)
    return np.stack(cv2.split(image)).astype(np.float32)


def _shape(image: np.ndarray, rng: np.random.Generator, color: np.ndarray, size: int) -> None:
    kind = rng.integers(0, 5)
    center = rng.uniform(0, size, 2)
    extent = size * rng.uniform(0.03, 0.45)
    if kind == 0:
        draw.polygon(
            image,
            draw.ellipse(center, (extent, extent * rng.uniform(0.3, 1)), rng.uniform(0, 3)),
            color,
        )
    elif kind == 1:
        draw.polygon(
            image,
            draw.ellipse(center, (extent, extent * rng.uniform(0.1, 1.5)), rng.uniform(0, 3), 4),
            color,
        )
    elif kind == 2:
        draw.polygon(image, center + rng.normal(0, extent, (int(rng.integers(3, 7)), 2)), color)
    elif kind == 3:
        draw.line(
            image,
            rng.uniform(-0.2, 1.2, (int(rng.integers(2, 5)), 2)) * size,
            color,
            rng.uniform(1, 12),
        )
    else:
        step, slope = rng.uniform(4, 30), rng.uniform(-0.8, 0.8)
        for i in range(int(rng.integers(3, 9))):
            y = center[1] + i * step
            draw.line(
                image,
                np.array([[0, y], [size, y + slope * size]]),
                color,
                step * rng.uniform(0.2, 0.6),
            )


def _face_like(image: np.ndarray, rng: np.random.Generator, size: int) -> None:
    """Draws a skin-coloured disc with dark blobs, as a far-off face: something not to be found."""
    tone, center = colors.skin(rng), rng.uniform(0, size, 2)
    r = size * rng.uniform(0.05, 0.16)
    draw.polygon(
        image, draw.ellipse(center - [0, 0.35 * r], (r * 1.05, r * 1.2), 0), colors.hair(rng)
    )
    draw.polygon(image, draw.ellipse(center, (0.85 * r, 1.15 * r), 0), tone)
    for dx, dy, w, h in (
        (-0.35, -0.1, 0.16, 0.08),
        (0.35, -0.1, 0.16, 0.08),
        (0, 0.6, 0.3, 0.09),
        (0, 0.25, 0.12, 0.07),
    ):
        draw.polygon(
            image, draw.ellipse(center + np.array([dx, dy]) * r, (w * r, h * r), 0, 12), tone * 0.5
        )


def body(
    image: np.ndarray, head: Head, look: Appearance, light: np.ndarray, rng: np.random.Generator
) -> None:
    """Draws neck, shoulders and clothes in place, behind the head; ``light`` (3,) on the skin."""
    camera = head.camera
    scale = camera.focal / head.parameters.distance
    root = camera.project(np.array([[0.0, 0.75, -0.75]]))[0]
    # The body stays more upright than the head.
    lean = np.radians(head.parameters.roll * rng.uniform(0, 0.8))
    down = np.array([-np.sin(lean), np.cos(lean)])
    across = np.array([down[1], -down[0]])
    half, length = rng.uniform(0.48, 0.70) * scale, rng.uniform(0.55, 1.0) * scale
    base = root + down * length
    steps, flare = np.linspace(0, 1, 7), rng.uniform(0.05, 0.35)
    breadth = half * (1 + flare * steps**3)
    spine = root + down * (np.linspace(0, 1.6, 7) * length)[:, None]
    left, right = spine - across * breadth[:, None], spine + across * breadth[:, None]
    skin = (look.skin * light * rng.uniform(0.6, 0.98)).astype(np.float32)
    draw.filled(image, np.concatenate([left, right[::-1]]), skin, soft=1.0)
    # One side of the neck is darker, and the jaw throws its shadow on it.
    turned = spine + across * (half * rng.uniform(-0.3, 0.5))
    edge = left if rng.random() < 0.5 else right
    draw.filled(
        image,
        np.concatenate([edge, turned[::-1]]),
        skin * np.float32(rng.uniform(0.55, 1.1)),
        soft=5.0,
    )
    jaw = head.landmarks[6:27] + down * rng.uniform(0.05, 0.3) * scale
    shadow = np.concatenate([jaw, [root]])
    draw.filled(image, shadow, skin * np.float32(rng.uniform(0.3, 0.8)), 0.8, soft=3.0)
    cloth = (colors.anything(rng) * light.mean()).astype(np.float32)
    width = rng.uniform(1.4, 2.2) * scale
    collar = rng.uniform(0.0, 0.5) * scale
    chest = np.array([
        base - across * half * 1.1, base + down * collar, base + across * half * 1.1,
        base + across * width + down * 0.5 * scale, base + across * width * 1.1 + down * 4 * scale,
        base - across * width * 1.1 + down * 4 * scale, base - across * width + down * 0.5 * scale,
    ])  # fmt: skip
    draw.filled(image, chest, pattern(rng, cloth, image.shape[-1]) if rng.random() < 0.4 else cloth)


def pattern(rng: np.random.Generator, color: np.ndarray, size: int) -> np.ndarray:
    """Makes striped or chequered cloth: (3, size, size) float32."""
    layer = np.empty((3, size, size), np.float32)
    layer[:] = color[:, None, None]
    angle, place = rng.uniform(0, np.pi), np.arange(size, dtype=np.float32)
    step = size * rng.uniform(0.03, 0.14)
    for turn in (0.0, 0.5 * np.pi)[: int(rng.integers(1, 3))]:
        slope = np.array([np.cos(angle + turn), np.sin(angle + turn)], np.float32) / np.float32(
            step
        )
        phase = (place * slope[0])[None, :] + (place * slope[1])[:, None]
        stripe = phase - np.floor(phase) < rng.uniform(0.15, 0.6)
        np.copyto(layer, colors.anything(rng)[:, None, None], where=stripe, casting="same_kind")
    return layer


def hair_behind(
    image: np.ndarray,
    head: Head,
    look: Appearance,
    light: np.ndarray,
    grain: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Draws the hair that is seen beside and below the head, in place."""
    if look.hairline > 1.4:
        return
    camera = head.camera
    volume = rng.uniform(0.02, 0.30)
    length = rng.choice([0.0, rng.uniform(0.3, 1.0), rng.uniform(1.0, 2.4)], p=[0.55, 0.2, 0.25])
    t = np.linspace(np.pi, 2 * np.pi, 15)
    wave = 1 + rng.normal(0, 0.03, 15)
    rx, ry = 0.93 + volume * 0.8, 1.15 + volume
    top = np.stack(
        [rx * np.cos(t) * wave, -0.28 + ry * np.sin(t) * wave, np.full(15, -0.95)], axis=1
    )
    tip = length - 0.2
    drop = np.array([
        [rx * rng.uniform(0.9, 1.15), tip + 0.15, -0.95], [0.4, tip + rng.uniform(0, 0.4), -0.95],
        [-0.4, tip + rng.uniform(0, 0.4), -0.95], [-rx * rng.uniform(0.9, 1.15), tip + 0.15, -0.95],
    ])  # fmt: skip
    outline = closed_curve(camera.project(np.concatenate([top, drop])), 3)
    color = look.hair * light * rng.uniform(0.5, 0.9)
    draw.filled(image, outline, color, soft=float(rng.uniform(0.4, 2.0)), grain=grain)


def ear(
    image: np.ndarray,
    head: Head,
    look: Appearance,
    light: np.ndarray,
    side: int,
    rng: np.random.Generator,
) -> None:
    """Draws one ear in place; ``side`` is -1 for the left of the image, 1 for the right."""
    flare = rng.uniform(0.2, 0.6)
    t = np.linspace(0, 2 * np.pi, 18, endpoint=False)
    tall, deep = rng.uniform(0.26, 0.34), rng.uniform(0.15, 0.20)
    lobe = 1 - 0.25 * np.clip(np.sin(t), 0, 1)
    back = deep * (1 + np.cos(t) * lobe)
    shape = np.stack(
        [
            side * (0.83 + flare * back),
            0.16 + tall * np.sin(t),
            -0.72 - back * np.sqrt(1 - flare**2),
        ],
        axis=1,
    )
    anchor = head_mesh().landmark_vertices[0 if side < 0 else 32]
    shape += head.vertices[anchor] - head_mesh().vertices[anchor]
    color = (look.skin * light * [1.0, 0.9, 0.88] * rng.uniform(0.75, 1.0)).astype(np.float32)
    pixels = head.camera.project(shape)
    draw.filled(image, pixels, color, soft=0.5)
    middle = pixels.mean(0)
    draw.filled(image, middle + (pixels - middle) * 0.55, color * np.float32(0.68), soft=1.0)


def ear_is_in_front(head: Head, side: int) -> bool:
    """Tells whether the ear stands before the head, as it does on the side turned to the camera."""
    return bool((head.camera.rotation @ np.array([side * 0.9, 0.0, -0.25]))[2] > 0)


def hair_in_front(
    image: np.ndarray,
    head: Head,
    look: Appearance,
    light: np.ndarray,
    grain: np.ndarray,
    rng: np.random.Generator,
) -> bool:
    """Draws a fringe and locks over the face in place.

    Returns:
        Whether much of the face may be covered.
    """
    if look.hairline > 1.4:
        return False
    camera = head.camera
    color = look.hair * light
    heavy = False
    if rng.random() < 0.30:  # fringe
        n = int(rng.integers(8, 22))
        low = rng.choice([rng.uniform(-0.75, -0.35), rng.uniform(-0.4, -0.12)])
        x = np.linspace(-0.86, 0.86, n)
        sweep = rng.normal(0, 0.25)
        tips = low + sweep * x + rng.normal(0, rng.uniform(0.01, 0.09), n) + 0.25 * np.abs(x) ** 3
        z = 0.36 - 1.15 * x**2
        tip = np.stack([x, tips, z], axis=1)
        crown = np.stack(
            [x[::-1] * 0.95, -1.1 - 0.25 * np.cos(x[::-1] * 1.6), 0.0 * z - 0.25], axis=1
        )
        draw.filled(
            image,
            camera.project(np.concatenate([tip, crown])),
            color,
            float(rng.uniform(0.8, 1)),
            0.6,
            grain,
        )
        heavy = bool(low > -0.25)
    for side in (-1, 1):
        if rng.random() < 0.20:  # a lock along the cheek
            inward, length = rng.uniform(0.0, 0.35), rng.uniform(0.3, 1.6)
            wave = rng.normal(0, 0.04, 6)
            y = np.linspace(-0.95, -0.3 + length, 6)
            edge = 0.86 - inward * np.sin(np.linspace(0.3, 2.4, 6)) + wave
            inner = np.stack([side * edge, y, -0.25 - 0.5 * edge + 0.25], axis=1)
            outer = np.stack(
                [np.full(6, side * (0.95 + rng.uniform(0, 0.15))), y[::-1], np.full(6, -0.5)],
                axis=1,
            )
            draw.filled(
                image,
                camera.project(np.concatenate([inner, outer])),
                color,
                float(rng.uniform(0.75, 1)),
                0.7,
                grain,
            )
            heavy |= inward > 0.2
    if rng.random() < 0.10:  # single strands
        bend = spline_weights(4, np.linspace(0, 3, 13), closed=False)
        for _ in range(int(rng.integers(3, 12))):
            x0, x1, end = rng.uniform(-0.8, 0.8), rng.normal(0, 0.5), rng.uniform(-0.2, 0.9)
            path = np.array([
                [x0, -1.0, 0.1], [x0 + 0.15 * x1, -0.6, 0.25],
                [x0 + 0.5 * x1, 0.5 * end - 0.25, 0.3], [x0 + x1, end, 0.3],
            ])  # fmt: skip
            width = float(rng.uniform(1, 2.2))
            draw.stroked(image, camera.project(bend @ path), color, width, rng.uniform(0.5, 1))
    return heavy
