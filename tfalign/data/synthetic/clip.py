"""A short film of a synthetic face that moves and speaks, with its landmarks in every frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import cv2
import numpy as np

from tfalign.data.sample import Sample
from tfalign.data.synthetic import noise
from tfalign.data.synthetic.head import Head, pose_head
from tfalign.data.synthetic.parameters import HeadParameters, sample_parameters
from tfalign.data.synthetic.scene import (
    ATTRIBUTES,
    MAX_SIZE,
    MIN_SIZE,
    detector_box,
    generator,
    paint_scene,
    place,
)
from tfalign.data.synthetic.skin import sample_appearance
from tfalign.markup import WFLW98

# Apart from the indices of images, so that a film and a data set of one seed share no face.
_FILM = 1 << 26
# Amplitudes: degrees, shares of the image, strengths of expression.
_YAW, _PITCH, _ROLL, _SHIFT, _ZOOM, _JAW, _SMILE = 14.0, 7.0, 7.0, 0.06, 0.06, 0.35, 0.5
_SLOW, _SPEECH = (0.1, 0.35), (0.5, 1.5)  # Hz
_BLINK_EVERY, _BLINK = 2.5, 0.06  # seconds, and the standard deviation of one
_GRAIN = 3.0
_JPEG_QUALITY = 90


def render_clip(
    seed: int, frames: int = 100, size: int = 256, fps: float = 25.0
) -> Iterator[Sample]:
    """Renders the frames of a film of one face.

    Identity, skin, hair, light and surroundings stay; the head turns, nods, tilts and drifts by
    slow sines, the mouth speaks and smiles and the eyes blink. Each frame has its own sensor noise
    and JPEG compression, as a video has.

    Args:
        seed: Non-negative; names the film.
        frames: Number of frames.
        size: Side of the frames in pixels, 64 to 512.
        fps: Frames per second.

    Yields:
        Samples as ``render`` gives them, named ``SEED/FRAME``; a frame depends on ``seed``,
        ``size`` and its time alone.

    Raises:
        ValueError: If an argument is out of range.
    """
    if seed < 0 or frames < 1 or fps <= 0 or not MIN_SIZE <= size <= MAX_SIZE:
        raise ValueError(
            "`seed` must not be negative, `frames` and `fps` positive and `size` from "
            f"{MIN_SIZE} to {MAX_SIZE}. Received: seed={seed}, frames={frames}, fps={fps}, "
            f"size={size}"
        )
    # Checked above and not on the first frame, as a generator would.
    return _frames(seed, frames, size, fps)


def _frames(seed: int, frames: int, size: int, fps: float) -> Iterator[Sample]:
    rng = generator(seed, _FILM)
    start = sample_parameters(rng)
    # Near the front: the movements come on top.
    start = replace(
        start, yaw=start.yaw / 3, pitch=start.pitch / 3, roll=start.roll / 3, gaze=(0.0, 0.0)
    )
    first = place(start, size, rng)
    look = sample_appearance(rng)
    head_at = _movement(start, first, size, rng)
    scene_seed = int(rng.integers(1 << 31))
    for number in range(frames):
        head = head_at(number / fps)
        # The same draws in every frame: what does not move looks the same.
        image, covered, extreme = paint_scene(head, look, size, np.random.default_rng(scene_seed))
        landmarks = head.landmarks.astype(np.float32)
        sensor = generator(seed, _FILM + 1 + number)
        flags = dict.fromkeys(ATTRIBUTES, False)
        flags |= {"occlusion": covered, "illumination": extreme, "makeup": look.makeup}
        yield Sample(
            image=_film(image, sensor), landmarks=landmarks, visible=np.ones(98, bool),
            box=detector_box(landmarks, sensor), name=f"{seed}/{number:06d}", scheme=WFLW98,
            box_source="file", attributes={name: bool(flag) for name, flag in flags.items()},
        )  # fmt: skip


def _movement(
    start: HeadParameters, first: Head, size: int, rng: np.random.Generator
) -> Callable[[float], Head]:
    """Draws a movement; the function returned gives the placed head at a time in seconds."""
    yaw, pitch, roll, across, down, zoom = (_wave(rng, _SLOW) for _ in range(6))
    smile, jaw = _wave(rng, _SLOW), _wave(rng, _SPEECH)
    blink_start = float(rng.uniform(0, _BLINK_EVERY))
    scale = first.camera.focal / start.distance

    def head_at(seconds: float) -> Head:
        since = (seconds - blink_start + _BLINK_EVERY / 2) % _BLINK_EVERY - _BLINK_EVERY / 2
        blink = float(np.exp(-0.5 * (since / _BLINK) ** 2))
        expression = dict(start.expression)
        expression["jaw"] = expression.get("jaw", 0.0) / 2 + _JAW * (1 + jaw(seconds)) / 2
        expression["smile"] = expression["smile"] / 2 + _SMILE * (1 + smile(seconds)) / 2
        for side in ("blink_left", "blink_right"):
            expression[side] = max(expression[side], blink)
        parameters = replace(
            start,
            expression=expression,
            yaw=start.yaw + _YAW * yaw(seconds),
            pitch=start.pitch + _PITCH * pitch(seconds),
            roll=start.roll + _ROLL * roll(seconds),
        )
        drift = _SHIFT * size * np.array([across(seconds), down(seconds)])
        head = pose_head(parameters, parameters.distance, np.zeros(2))
        return head.moved(scale * (1 + _ZOOM * zoom(seconds)), first.camera.center + drift)

    return head_at


def _wave(rng: np.random.Generator, band: tuple[float, float]) -> Callable[[float], float]:
    """Draws a smooth signal in [-1, 1]: a sine of a frequency in the band and a faster one."""
    slow = rng.uniform(*band)
    fast = slow * rng.uniform(1.7, 2.6)
    phases = rng.uniform(0, 2 * np.pi, 2)

    def value(seconds: float) -> float:
        turns = 2 * np.pi * seconds
        return float(
            0.75 * np.sin(slow * turns + phases[0]) + 0.25 * np.sin(fast * turns + phases[1])
        )

    return value


def _film(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Adds the noise of one frame's sensor and the loss of its compression."""
    size = image.shape[0]
    grain = noise.cut(rng, "white", size, size) * np.float32(_GRAIN)
    noisy = cv2.add(image, grain, dtype=cv2.CV_8U)
    _, data = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if decoded is None:
        raise OSError("OpenCV could not decode the JPEG that it encoded")
    return decoded
