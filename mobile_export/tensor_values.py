"""What lies between the operators of a file when it runs."""

from __future__ import annotations

import warnings

import numpy as np

from tfalign.tflite import Graph


class TensorValues:
    """A file whose tensors can all be read after a run, as float32.

    It runs without XNNPACK, which keeps what lies between operators to itself.

    Args:
        graph: The file.
    """

    def __init__(self, graph: Graph) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        with warnings.catch_warnings():
            # That all tensors are kept takes memory, and is what this class is for.
            warnings.filterwarnings("ignore", message="Warning: Enabling `experimental_preserve")
            self._interpreter = Interpreter(
                model_content=graph.content,
                experimental_preserve_all_tensors=True,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
        self._interpreter.allocate_tensors()
        self._details = {d["index"]: d for d in self._interpreter.get_tensor_details()}
        (self._input,) = self._interpreter.get_input_details()

    def run(self, image: np.ndarray) -> None:
        """Runs the file on a picture (H, W, 3) in [0, 255]."""
        picture = np.asarray(image)[None].astype(self._input["dtype"])
        self._interpreter.set_tensor(self._input["index"], picture)
        self._interpreter.invoke()

    def of(self, index: int) -> np.ndarray:
        """Returns a tensor of the last run, by its index."""
        values = self._interpreter.get_tensor(index).astype(np.float32)
        scale, zero = self._details[index]["quantization"]
        return (values - zero) * scale if scale else values
