"""Running a landmark ``.tflite`` with LiteRT, as a phone does: pixels in, landmarks out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tfalign.tflite.graph import Graph
from tfalign.tflite.optional import require

INPUT, OUTPUT = "image", "landmarks"
"""Names in the signature of every model that ``mobile_export`` writes."""


class Runner:
    """A landmark model in a ``.tflite`` file, run one image at a time. Not for several threads.

    Args:
        model: The file: a path, its bytes, or a graph that was read before.
        threads: Threads of the interpreter (XNNPACK).

    Attributes:
        graph: The file's graph.
        input_shape: (height, width, channels) of one picture.
        input_dtype: ``numpy`` type of the input tensor.
        num_landmarks: n.
        output_quantization: ``"scale"`` and ``"zero_point"`` of landmarks that are integers in the
            file, see ``Metadata``; None where they are floats.
        threads: As given.

    Raises:
        FileNotFoundError: If the path does not exist.
        ValueError: If the file is foreign or damaged, or does not map one image to one shape.
        ImportError: If ai-edge-litert is not installed.
    """

    def __init__(self, model: str | Path | bytes | Graph, threads: int = 1) -> None:
        require("ai_edge_litert")
        from ai_edge_litert.interpreter import Interpreter

        # The interpreter trusts offsets inside the file; reading the graph first turns a cut or
        # overwritten file into an error instead of a crash.
        self.graph = Graph.read(model)
        self.threads = threads
        try:
            self.interpreter = Interpreter(model_content=self.graph.content, num_threads=threads)
            self.interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ValueError(
                f"LiteRT cannot load this .tflite file: {error}. Received: {self.graph.name}"
            ) from error
        inputs, outputs = (
            self.interpreter.get_input_details(),
            self.interpreter.get_output_details(),
        )
        shapes = [[tuple(map(int, d["shape"])) for d in ends] for ends in (inputs, outputs)]
        image, points = (ends[0] if len(ends) == 1 else () for ends in shapes)
        image_in = len(image) == 4 and image[0] == 1 and image[3] in (1, 3)
        if not image_in or len(points) != 3 or (points[0], points[2]) != (1, 2):
            raise ValueError(
                "A landmark model has one input, a picture (1, H, W, 3), and one output, a shape "
                f"(1, n, 2); mobile_export writes any Keras landmark model so. Received: "
                f"{self.graph.name} with inputs {shapes[0]} and outputs {shapes[1]}"
            )
        self._input, self._output = inputs[0], outputs[0]
        self.input_shape = image[1:]
        self.input_dtype: Any = self._input["dtype"]
        self.num_landmarks = points[1]
        scale, zero = self._output["quantization"]
        integers = np.issubdtype(self._output["dtype"], np.integer)
        self.output_quantization = (
            {"scale": float(scale), "zero_point": int(zero)} if integers else None
        )

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of one picture, as ``tfalign.geometry`` takes it."""
        return self.input_shape[0], self.input_shape[1]

    def set_image(self, image: np.ndarray) -> None:
        """Writes one picture (H, W, channels), RGB in [0, 255], into the input tensor."""
        image = np.asarray(image)
        if image.shape != self.input_shape:
            raise ValueError(
                f"The picture must be {self.input_shape}. Received: shape={image.shape}"
            )
        dtype, (scale, zero) = np.dtype(self.input_dtype), self._input["quantization"]
        if image.dtype == dtype and (scale, zero) in ((1.0, 0), (0.0, 0)):
            pass  # its pixels are the file's levels
        elif np.issubdtype(dtype, np.integer):
            limits = np.iinfo(dtype)
            levels = np.rint(image / scale) + zero if scale else np.rint(image)
            image = np.clip(levels, limits.min, limits.max)
        self.interpreter.set_tensor(self._input["index"], image[None].astype(dtype, copy=False))

    def invoke(self) -> None:
        """Runs the model on the picture set before."""
        self.interpreter.invoke()

    def landmarks(self) -> np.ndarray:
        """Returns the landmarks (n, 2) of the last run, float32 in [0, 1]² of the picture."""
        values = self.interpreter.get_tensor(self._output["index"])[0]
        if (steps := self.output_quantization) is not None:
            values = (values.astype(np.float32) - steps["zero_point"]) * steps["scale"]
        return np.array(values, dtype=np.float32)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Returns the landmarks (N, n, 2), float32 in [0, 1]², of pictures (N, H, W, channels)."""
        found = np.empty((len(images), self.num_landmarks, 2), np.float32)
        for row, image in zip(found, images, strict=True):
            self.set_image(image)
            self.invoke()
            row[:] = self.landmarks()
        return found
