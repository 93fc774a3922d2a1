"""A model whose answers are known, so that tests see what inference adds to it."""

from __future__ import annotations

import cv2
import numpy as np

from tfalign import markup

SIZE = (96, 96)
EYES = np.array([0.3 + 0.35j, 0.7 + 0.35j])


def _template():
    """A symmetrical shape that fills [0, 1]², as complex numbers: mirroring it changes nothing."""
    rng = np.random.default_rng(1)
    points = rng.uniform(0.1, 0.9, (68, 2))
    points[0], points[8], points[19] = (0.0, 0.4), (0.5, 1.0), (0.3, 0.0)
    for i, j in enumerate(markup.IBUG68.flip_map):
        if i < j:
            points[j] = 1 - points[i, 0], points[i, 1]
        elif i == j:
            points[i, 0] = 0.5
    return points @ [1, 1j]


TEMPLATE = _template()


def shape_at(left, right):
    """The shape (68, 2) of a face whose eyes are at two points (x, y)."""
    left, right = complex(*left), complex(*right)
    points = left + (right - left) / (EYES[1] - EYES[0]) * (TEMPLATE - EYES[0])
    return np.stack([points.real, points.imag], axis=1)


def shape_in_box(box):
    x0, y0, x1, y1 = box
    eyes = [(x0 + e.real * (x1 - x0), y0 + e.imag * (y1 - y0)) for e in EYES]
    return shape_at(*eyes)


def look_for_eyes(crops):
    """A model that truly looks: it finds two bright dots in every crop, and else says the mean."""
    shapes = []
    for crop in crops:
        bright = (crop.min(axis=2) > 140).astype(np.uint8)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(bright)
        large = [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] >= 4]
        if len(large) != 2:
            shapes.append(np.stack([TEMPLATE.real, TEMPLATE.imag], axis=1) * 0.6 + 0.2)
            continue
        eyes = []
        for k in large:
            y, x = np.nonzero(labels == k)
            weight = crop[y, x].mean(axis=1) - 90.0
            eyes.append((((x + 0.5) @ weight) / weight.sum(), ((y + 0.5) @ weight) / weight.sum()))
        shapes.append(shape_at(*sorted(eyes)) / SIZE[0])
    return np.array(shapes, np.float32)


def picture(shape, boxes):
    """A grey RGB picture (height, width) with two white dots for the eyes of every square box."""
    scale = 4
    image = np.full((shape[0] * scale, shape[1] * scale, 3), 90, np.uint8)
    for x0, y0, x1, y1 in boxes:
        for eye in EYES:
            center = (x0 + eye.real * (x1 - x0), y0 + eye.imag * (y1 - y0))
            fixed = tuple(round((v * scale - 0.5) * 16) for v in center)
            cv2.circle(image, fixed, round(0.08 * (x1 - x0) * scale * 16), (255,) * 3, -1, shift=4)
    return cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA)
