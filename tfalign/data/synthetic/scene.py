"""Renders one synthetic face with its 98 landmarks."""

from __future__ import annotations

import cv2
import numpy as np

from tfalign.data.sample import Sample
from tfalign.data.synthetic import features, occlusion, sensor, surroundings
from tfalign.data.synthetic.head import Head, pose_head
from tfalign.data.synthetic.light import sample_light
from tfalign.data.synthetic.masks import texels
from tfalign.data.synthetic.mesh import head_mesh
from tfalign.data.synthetic.parameters import HeadParameters, sample_parameters
from tfalign.data.synthetic.raster import rasterize
from tfalign.data.synthetic.skin import Appearance, hair_grain, paint, sample_appearance
from tfalign.markup import WFLW98

ATTRIBUTES = ("pose", "expression", "illumination", "makeup", "occlusion", "blur")
MIN_SIZE, MAX_SIZE = 64, 512
_POSE_YAW, _POSE_PITCH = 35.0, 22.0


def generator(seed: int, index: int) -> np.random.Generator:
    """Gives the random generator of one image: a function of (seed, index) alone."""
    return np.random.default_rng(np.random.SeedSequence([seed, index]))


def render(seed: int, index: int, size: int = 256) -> Sample:
    """Renders a face.

    Args:
        seed: Non-negative; names a data set.
        index: Non-negative; names an image of it.
        size: Side of the square image in pixels, 64 to 512.

    Returns:
        A sample with scheme ``"wflw98"``: image (size, size, 3) uint8 RGB, landmarks (98, 2)
        float32 in image pixels (0-based, centre of pixel i at i + 0.5), a detector-like box in
        whole pixels, and WFLW's six flags as ``attributes`` (bool), each saying what was drawn.
        The result depends on the arguments alone.

    Raises:
        ValueError: A negative seed or index, or a size out of range.
    """
    if seed < 0 or index < 0:
        raise ValueError(
            f"seed and index must not be negative. Received: seed={seed}, index={index}"
        )
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise ValueError(f"size must be from {MIN_SIZE} to {MAX_SIZE}. Received: size={size}")
    rng = generator(seed, index)
    parameters = sample_parameters(rng)
    head = place(parameters, size, rng)
    look = sample_appearance(rng)
    image, covered, extreme_light = paint_scene(head, look, size, rng)
    image, blurred = sensor.expose(image, rng)
    flags = {
        "pose": abs(parameters.yaw) > _POSE_YAW or abs(parameters.pitch) > _POSE_PITCH,
        "expression": _is_expressive(parameters),
        "illumination": extreme_light,
        "makeup": look.makeup,
        "occlusion": covered,
        "blur": blurred,
    }
    landmarks = head.landmarks.astype(np.float32)
    return Sample(
        image=image, landmarks=landmarks, visible=np.ones(98, bool),
        box=detector_box(landmarks, rng), name=f"{seed}/{index:06d}", scheme=WFLW98,
        box_source="file", attributes={name: bool(flags[name]) for name in ATTRIBUTES},
    )  # fmt: skip


def place(parameters: HeadParameters, size: int, rng: np.random.Generator) -> Head:
    """Scales and shifts the head so that its landmarks fill a random part of the image."""
    trial = pose_head(parameters, parameters.distance, np.zeros(2))
    low, high = trial.landmarks.min(0), trial.landmarks.max(0)
    share = rng.uniform(0.42, 0.68)
    scale = share * size / (high - low).max()
    room = np.maximum(0, size - (high - low) * scale) / 2
    middle = size / 2 + room * rng.uniform(-0.55, 0.55, 2)
    center = middle - scale * (low + high) / 2
    return trial.moved(scale, center)


def detector_box(landmarks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws the box that a detector would give: whole pixels, with a jitter.

    The published crop of WFLW pads its boxes by 10 % left and right, -12.3 % at the top and 7.7 %
    at the bottom. That is taken to leave, on average, 10 % of the landmarks' own box free on each
    side, as on the other sets: then a box reaches 25.5 % of the landmarks' height above them, ends
    0.3 % below, and is as wide as they are.
    """
    low, high = landmarks.min(0), landmarks.max(0)
    margin = np.array([0.0, 0.255, 0.0, 0.003]) + rng.normal(0, 0.025, 4)
    width, height = high - low
    box = np.concatenate([low, high]) + margin * [-width, -height, width, height]
    # Whole numbers in the file, where the centre of the first pixel is at 0.
    return (np.rint(box - 0.5) + 0.5).astype(np.float32)


def _is_expressive(parameters: HeadParameters) -> bool:
    e = parameters.expression
    mouth = (
        e.get("jaw", 0) > 0.4
        or e.get("smile", 0) > 0.85
        or e.get("pucker", 0) > 0.7
        or e.get("frown", 0) > 1.0
    )
    closed = (e.get("blink_left", 0) > 0.85) != (e.get("blink_right", 0) > 0.85)
    return bool(mouth or closed or e.get("raise_inner", 0) > 1.0 or e.get("furrow", 0) > 0.9)


def paint_scene(
    head: Head, look: Appearance, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, bool, bool]:
    """Paints all from back to front; returns the image, whether the face is covered, whether the
    light is extreme."""
    light = sample_light(rng)
    shade, glint = light.shade(head.normals, sharpness=float(rng.uniform(8, 40)))
    image = surroundings.background(rng, size)
    flat = np.clip(shade[head_mesh().landmark_vertices].mean(0), 0, 1.2)
    grain = hair_grain(rng, size)
    surroundings.hair_behind(image, head, look, flat, grain, rng)
    surroundings.body(image, head, look, flat, rng)
    near = [surroundings.ear_is_in_front(head, side) for side in (-1, 1)]
    ear_seed = int(rng.integers(1 << 31))
    for side, front in zip((-1, 1), near, strict=True):
        if not front:
            surroundings.ear(image, head, look, flat, side, np.random.default_rng(ear_seed))
    labels = _draw_head(image, head, paint(rng, look), shade, glint * look.shine)
    for side, front in zip((-1, 1), near, strict=True):
        if front:
            surroundings.ear(image, head, look, flat, side, np.random.default_rng(ear_seed))
    features.draw_eyes(image, labels, head, look, shade, rng)
    features.draw_mouth(image, labels, head, shade, rng)
    covered = surroundings.hair_in_front(image, head, look, flat, grain, rng)
    covered |= occlusion.occlude(image, head, look, flat, rng)
    return cv2.merge(list(np.clip(image, 0, 255).astype(np.uint8))), covered, light.extreme


def _draw_head(
    image: np.ndarray, head: Head, texture: np.ndarray, shade: np.ndarray, glint: np.ndarray
) -> np.ndarray:
    """Draws the textured and lit mesh in place; returns the label map (s, s) uint8, 255 outside."""
    mesh, size = head_mesh(), image.shape[-1]
    seen = rasterize(head.pixels, head.turned[:, 2], mesh.triangles, size)
    values = np.concatenate([texels(mesh.layout), shade, glint], axis=1).astype(np.float32)
    values = seen.interpolate(mesh.triangles, values)
    # cv2.remap takes maps of any shape below 32767 on a side: fold the list of pixels.
    count = len(seen.pixel)
    columns = 256
    folded = np.zeros((2, -(-count // columns) * columns), np.float32)
    folded[:, :count] = values[:, :2].T
    sampled = cv2.remap(
        texture, folded[0].reshape(-1, columns), folded[1].reshape(-1, columns), cv2.INTER_LINEAR
    )
    color = cv2.split(sampled.reshape(-1, 1, 3))
    mask = np.zeros(size * size, np.uint8)
    mask[seen.pixel] = 255
    square = mask.reshape(size, size)
    # Soften the silhouette, which the rasteriser leaves jagged.
    rim = np.flatnonzero((square & ~cv2.erode(square, np.ones((3, 3), np.uint8))).reshape(-1))
    alpha = cv2.blur(square, (3, 3)).reshape(-1)[rim] / np.float32(255)
    for channel, plane in enumerate(image.reshape(3, -1)):
        behind = plane[rim]
        plane[seen.pixel] = (
            color[channel].reshape(-1)[:count] * values[:, 2 + channel] + values[:, 5]
        )
        plane[rim] = plane[rim] * alpha + behind * (1 - alpha)
    labels = np.full(size * size, 255, np.uint8)
    labels[seen.pixel] = mesh.labels[seen.triangle]
    return labels.reshape(size, size)
