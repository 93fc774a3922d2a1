"""Running an exported model with LiteRT, as a phone does: pixels in, landmarks out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mobile_export.extras import require
from mobile_export.flatbuffer import read_bytes, read_graph

INPUT, OUTPUT = "image", "landmarks"
"""Names in the signature of every exported model."""


class LiteModel:
    """An exported landmark model, run one image at a time.

    Args:
        model: Path or bytes of a ``.tflite`` file written by ``mobile_export``.
        threads: Threads of the interpreter (XNNPACK).

    Attributes:
        image_size: (width, height) of the input in pixels.
        num_landmarks: n.
        input_dtype: ``numpy`` type of the pixels.

    Raises:
        FileNotFoundError: If the path does not exist.
        ValueError: If the file is foreign or damaged, or its signature is not one image in and
            one set of landmarks out.
        ImportError: If the optional packages are missing.
    """

    def __init__(self, model: str | Path | bytes, threads: int = 1) -> None:
        require("ai_edge_litert")
        from ai_edge_litert.interpreter import Interpreter

        self._content = read_bytes(model)
        # The interpreter trusts offsets inside the file; reading the graph first turns a cut or
        # overwritten file into an error instead of a crash.
        read_graph(self._content)
        try:
            self.interpreter = Interpreter(model_content=self._content, num_threads=threads)
            self.interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"LiteRT cannot load this .tflite file: {error}") from error
        signatures = self.interpreter.get_signature_list()
        names = [(s["inputs"], s["outputs"]) for s in signatures.values()]
        if names != [([INPUT], [OUTPUT])]:
            raise ValueError(
                f"A landmark model has one signature with input {INPUT!r} and output {OUTPUT!r}. "
                f"Received: signatures={signatures}"
            )
        self._input = self.interpreter.get_input_details()[0]
        self._output = self.interpreter.get_output_details()[0]
        shape, out = self._input["shape"], self._output["shape"]
        if len(shape) != 4 or shape[0] != 1 or shape[3] != 3 or len(out) != 3 or out[2] != 2:
            raise ValueError(
                "A landmark model takes (1, H, W, 3) and returns (1, n, 2). Received: "
                f"input={tuple(shape)}, output={tuple(out)}"
            )
        self.image_size = (int(shape[2]), int(shape[1]))
        self.num_landmarks = int(out[1])
        self.input_dtype: Any = self._input["dtype"]

    def set_image(self, image: np.ndarray) -> None:
        """Writes one (H, W, 3) RGB picture, values in [0, 255], into the input tensor."""
        width, height = self.image_size
        if image.shape != (height, width, 3):
            raise ValueError(
                f"The picture must be ({height}, {width}, 3). Received: shape={image.shape}"
            )
        if np.issubdtype(self.input_dtype, np.integer):
            image = np.clip(np.rint(image), 0, 255)
        self.interpreter.set_tensor(self._input["index"], image[None].astype(self.input_dtype))

    def invoke(self) -> None:
        """Runs the model on the picture set before."""
        self.interpreter.invoke()

    def landmarks(self) -> np.ndarray:
        """Returns the landmarks (n, 2) of the last run, in [0, 1]² of the picture."""
        values = self.interpreter.get_tensor(self._output["index"])[0]
        scale, zero = self._output["quantization"]
        if np.issubdtype(values.dtype, np.integer):
            values = (values.astype(np.float32) - zero) * scale
        return np.array(values, dtype=np.float32)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Returns the landmarks (N, n, 2) in [0, 1]² of pictures (N, H, W, 3)."""
        found = np.empty((len(images), self.num_landmarks, 2), np.float32)
        for row, image in zip(found, images, strict=True):
            self.set_image(np.asarray(image))
            self.invoke()
            row[:] = self.landmarks()
        return found
