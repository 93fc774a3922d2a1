"""Things before the face: glasses, hats, hands, scarves, microphones, cups and plain objects."""

from __future__ import annotations

import numpy as np

from tfalign.data.synthetic import colors, draw, noise
from tfalign.data.synthetic.head import Head
from tfalign.data.synthetic.mesh import head_mesh
from tfalign.data.synthetic.skin import Appearance
from tfalign.data.synthetic.surroundings import pattern


def glasses(image: np.ndarray, head: Head, light: np.ndarray, rng: np.random.Generator) -> bool:
    """Draws a pair of glasses in place; returns whether the lenses hide the eyes."""
    mesh = head_mesh()
    dark = bool(rng.random() < 0.35)
    width, height = rng.uniform(0.20, 0.29), rng.uniform(0.12, 0.23)
    if dark:
        width, height = rng.uniform(0.24, 0.31), rng.uniform(0.17, 0.26)
    squareness = rng.uniform(1.8, 6.0)
    drop, forward, gap = rng.uniform(-0.02, 0.06), rng.uniform(0.16, 0.24), rng.uniform(0.34, 0.38)
    t = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    c, s = np.cos(t), np.sin(t)
    radius = (np.abs(c) ** squareness + np.abs(s) ** squareness) ** (-1 / squareness)
    color = (colors.anything(rng) * (0.3 if rng.random() < 0.6 else 1.0)) * light
    scale = head.camera.focal / head.parameters.distance
    thickness = max(1.0, scale * rng.choice([0.012, 0.022, 0.045]))
    # They rest on the bridge of this nose.
    bridge = mesh.landmark_vertices[51]
    shift = head.vertices[bridge] - mesh.vertices[bridge]
    tint = colors.anything(rng) * 0.35
    alpha = rng.uniform(0.6, 1.0) if dark else rng.uniform(0.0, 0.15)
    order = (-1, 1) if head.parameters.yaw > 0 else (1, -1)
    ends = []
    for side in order:
        x = side * gap + width * radius * c
        rim = np.stack([x, drop + height * radius * s, forward - 0.35 * x**2], axis=1) + shift
        pixels = head.camera.project(rim)
        draw.filled(image, pixels, tint.astype(np.float32), alpha)
        if rng.random() < (0.5 if dark else 0.25):  # a reflection
            share = rng.uniform(0.2, 0.8)
            part = pixels[: int(28 * share)]
            draw.filled(image, part, 230 * light, rng.uniform(0.1, 0.5), soft=1.0)
        draw.stroked(image, pixels, color, thickness, closed=True)
        inner = rim[
            np.argmin(np.abs(rim[:, 0]) + 10 * np.abs(rim[:, 1] - shift[1] - drop + 0.3 * height))
        ]
        outer = rim[np.argmax(side * rim[:, 0])]
        ends.append(inner)
        turned = head.camera.rotation @ np.array([side * 0.95, 0, 0.1])
        if turned[2] > -0.25:  # the temple on this side is seen
            ear = np.array([side * 0.90, 0.0, -0.75])
            draw.stroked(
                image,
                head.camera.project(
                    np.stack([outer, outer * 0.4 + ear * 0.6 + [side * 0.05, -0.02, 0.05], ear])
                ),
                color,
                thickness,
            )
    draw.stroked(
        image,
        head.camera.project(
            np.stack([ends[0], (ends[0] + ends[1]) / 2 + [0, -0.02, 0.05], ends[1]])
        ),
        color,
        thickness,
    )
    return dark and alpha > 0.7


def hat(image: np.ndarray, head: Head, light: np.ndarray, rng: np.random.Generator) -> None:
    """Draws a cap, a beanie or a head scarf in place."""
    layer = _cloth(image, light, rng)
    low, high = rng.uniform(-0.70, -0.35), rng.uniform(-1.7, -1.4)
    x = np.linspace(-1.0, 1.0, 15)
    brim = np.stack([x * 0.95, low + rng.uniform(-0.1, 0.25) * x**2, 0.42 - 1.1 * x**2], axis=1)
    t = np.linspace(0, np.pi, 15)
    dome = np.stack([1.02 * np.cos(t), low + (high - low) * np.sin(t), np.full(15, -0.5)], axis=1)
    draw.filled(image, head.camera.project(np.concatenate([brim, dome])), layer)
    if rng.random() < 0.5:  # a visor and its shade
        reach = rng.uniform(0.3, 0.8)
        visor = np.stack(
            [
                x * 0.75,
                low + 0.05 + rng.uniform(-0.05, 0.25) * (1 - x**2),
                0.3 + reach * (1 - x**2) - 0.5 * x**2,
            ],
            axis=1,
        )
        draw.filled(
            image,
            head.camera.project(np.concatenate([brim[2:-2], visor[::-1]])),
            layer * np.float32(0.7),
        )
        shadow = np.concatenate([brim[2:-2], (brim[2:-2] + [0, rng.uniform(0.1, 0.5), 0])[::-1]])
        draw.filled(
            image,
            head.camera.project(shadow),
            np.zeros(3, np.float32),
            rng.uniform(0.1, 0.5),
            soft=2.0,
        )


def _cloth(image: np.ndarray, light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = image.shape[-1]
    color = colors.anything(rng) * light
    layer = (
        pattern(rng, color, size)
        if rng.random() < 0.3
        else np.full(image.shape, color[:, None, None], np.float32)
    )
    scale = noise.SCALES[rng.integers(0, 5)]
    layer *= 1 + np.float32(rng.uniform(0.05, 0.35)) * noise.cut(
        rng, f"smooth{scale:g}", size, size
    )
    return np.clip(layer, 0, 255)


def _hand(
    image: np.ndarray, head: Head, look: Appearance, light: np.ndarray, rng: np.random.Generator
) -> None:
    """Fingers that come from outside and end on the face."""
    scale = head.camera.focal / head.parameters.distance
    tip = head.landmarks[rng.integers(0, 98)] + rng.normal(0, 0.1, 2) * scale
    angle = rng.uniform(0.1 * np.pi, 0.9 * np.pi) + (np.pi if rng.random() < 0.1 else 0)
    d = np.array([np.cos(angle), np.sin(angle)])
    n = np.array([-d[1], d[0]])
    tone = (look.skin * light * rng.uniform(0.75, 1.1)).astype(np.float32)
    thick = rng.uniform(0.14, 0.20) * scale
    palm = tip + d * rng.uniform(0.8, 1.1) * scale
    width = thick * 2.4
    wrist = palm + d * 3.0 * scale
    t = np.linspace(0, np.pi, 9)
    rounded = palm - np.sin(t)[:, None] * d * thick * 1.2 + np.cos(t)[:, None] * n * width
    draw.filled(
        image,
        np.concatenate([rounded, [wrist - n * width * 0.7, wrist + n * width * 0.7]]),
        tone * np.float32(0.93),
        soft=0.6,
    )
    spread = rng.uniform(-0.10, 0.25)
    for i in range(int(rng.integers(1, 5))):
        offset = (i - 1.5) * thick * 1.12
        direction = d + n * spread * (i - 1.5) * -0.5
        start = palm + n * offset
        end = start - direction * rng.uniform(0.6, 1.0) * scale * (1.0 - 0.08 * abs(i - 1.3))
        m = np.array([-direction[1], direction[0]])
        cap = (
            end
            - np.sin(t)[:, None] * direction * thick * 0.5
            + np.cos(t)[:, None] * m * thick * 0.5
        )
        finger = np.concatenate([cap, [start - m * thick * 0.55, start + m * thick * 0.55]])
        draw.filled(image, finger + m * 0.06 * thick, tone * np.float32(0.55), soft=0.8)
        draw.filled(image, finger, tone * np.float32(rng.uniform(0.92, 1.05)), soft=0.5)
        if rng.random() < 0.4:
            draw.filled(
                image,
                draw.ellipse(end, (thick * 0.25, thick * 0.38), angle - np.pi / 2, 12),
                tone * np.float32(1.12),
                0.7,
                soft=0.5,
            )


def _scarf(image: np.ndarray, head: Head, light: np.ndarray, rng: np.random.Generator) -> None:
    """Cloth over the lower face."""
    x = np.linspace(-0.95, 0.95, 13)
    top = rng.uniform(0.15, 1.05)
    z = 0.45 - 1.15 * x**2
    edge = np.stack([x, top + rng.uniform(-0.25, 0.1) * x**2 + rng.normal(0, 0.02, 13), z], axis=1)
    bottom = np.stack(
        [x[::-1] * rng.uniform(0.6, 1.3), np.full(13, rng.uniform(1.35, 2.0)), z - 0.3], axis=1
    )
    draw.filled(
        image, head.camera.project(np.concatenate([edge, bottom])), _cloth(image, light, rng)
    )


def _microphone(image: np.ndarray, head: Head, light: np.ndarray, rng: np.random.Generator) -> None:
    scale = head.camera.focal / head.parameters.distance
    end = head.landmarks[rng.choice([85, 79, 16, 14, 18])] + rng.normal(0, 0.12, 2) * scale
    angle = rng.uniform(0.15 * np.pi, 0.85 * np.pi)
    d = np.array([np.cos(angle), np.sin(angle)])
    n = np.array([-d[1], d[0]])
    r = rng.uniform(0.12, 0.24) * scale
    tone = (colors.anything(rng) * 0.5 * light).astype(np.float32)
    handle = np.stack(
        [
            end + n * r * 0.6,
            end - n * r * 0.6,
            end - n * r * 0.4 + d * 3 * scale,
            end + n * r * 0.4 + d * 3 * scale,
        ]
    )
    draw.filled(image, handle, tone * np.float32(0.6))
    draw.filled(image, draw.ellipse(end, (r, r * 1.15), angle), tone, soft=0.5)
    draw.filled(
        image,
        draw.ellipse(end - r * 0.3, (r * 0.4, r * 0.3), angle),
        tone * np.float32(1.8) + np.float32(15),
        0.6,
        soft=1.5,
    )


def _object(image: np.ndarray, head: Head, light: np.ndarray, rng: np.random.Generator) -> None:
    """A plain or patterned shape anywhere on the face."""
    scale = head.camera.focal / head.parameters.distance
    center = head.landmarks[rng.integers(0, 98)] + rng.normal(0, 0.35, 2) * scale
    extent = rng.uniform(0.12, 0.65) * scale
    n = int(rng.choice([4, 4, 5, 24]))
    shape = draw.ellipse(
        center, (extent, extent * rng.uniform(0.25, 1.2)), rng.uniform(0, np.pi), n
    )
    draw.filled(
        image,
        shape,
        _cloth(image, light, rng),
        float(rng.choice([1.0, 1.0, rng.uniform(0.4, 0.9)])),
        soft=float(rng.choice([0.0, 0.5, 3.0])),
    )


def occlude(
    image: np.ndarray, head: Head, look: Appearance, light: np.ndarray, rng: np.random.Generator
) -> bool:
    """Draws glasses, a hat and other occluders in place, each with its own chance.

    Args:
        image: (3, s, s) float32.
        head: The posed head.
        look: The person.
        light: (3,) the light's colour on the face.
        rng: Decides what is drawn.

    Returns:
        Whether a part of the face that carries landmarks is hidden.
    """
    hidden = False
    if rng.random() < 0.20:
        hidden |= glasses(image, head, light, rng)
    if rng.random() < 0.12:
        hat(image, head, light, rng)
    chance = rng.random()
    if chance < 0.20:
        kind = rng.choice(["hand", "scarf", "microphone", "object"], p=[0.35, 0.15, 0.15, 0.35])
        if kind == "hand":
            _hand(image, head, look, light, rng)
        elif kind == "scarf":
            _scarf(image, head, light, rng)
        elif kind == "microphone":
            _microphone(image, head, light, rng)
        else:
            for _ in range(int(rng.integers(1, 3))):
                _object(image, head, light, rng)
        hidden = True
    return hidden
