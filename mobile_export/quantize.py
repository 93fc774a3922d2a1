"""Float ``.tflite`` bytes → quantized ones, by ai-edge-quantizer."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mobile_export import precision as treatment
from mobile_export.converter import SIGNATURE
from mobile_export.precision import Decision
from tfalign.tflite import INPUT, Graph, pack, require


def quantize_weights(graph: Graph, precision: str) -> tuple[bytes, list[Decision]]:
    """Stores the weights of all products shorter; activations stay float.

    Args:
        graph: A float ``.tflite`` file, as ``converter.convert`` returns it.
        precision: ``"dynamic"``: int8 weights, multiplied in integers (kind ``dynamic``);
            ``"half"``: float16 weights (kind ``float16``).

    Returns:
        The quantized file's bytes and the decision for every operator.
    """
    decisions = treatment.weights_only(graph, precision)
    if precision == "half":
        return store_float16(graph, decisions), decisions
    return quantize(graph, decisions, None)


def quantize_mixed(graph: Graph, images: np.ndarray) -> tuple[bytes, list[Decision]]:
    """Quantizes features and weights to int8 and leaves coordinates in float (kind ``int8``).

    Args:
        graph: A float ``.tflite`` file, as ``converter.convert`` returns it.
        images: Calibration pictures (N, H, W, 3), RGB in [0, 255], from training data.

    Returns:
        The quantized file's bytes and the decision for every operator.
    """
    return quantize(graph, treatment.mixed(graph), images)


def quantize_full(graph: Graph, images: np.ndarray) -> tuple[bytes, list[Decision]]:
    """Quantizes everything: uint8 pixels in, int16 landmarks out (kind ``int8_full``).

    Args:
        graph: A float ``.tflite`` file with float input.
        images: Calibration pictures (N, H, W, 3), RGB in [0, 255], from training data.

    Returns:
        The quantized file's bytes and the decision for every operator.

    Raises:
        ValueError: If an operator has no integer form.
    """
    return quantize(graph, treatment.full(graph), images, integer_ends=True)


def store_float16(graph: Graph, decisions: Sequence[Decision]) -> bytes:
    """Returns the file with the weights of some operators as float16.

    The converter's own float16 mode shortens every stored number, also the small ones that guard a
    division or a logarithm, which then become zero; the quantizer's has no batched products. Here
    only the weights of convolutions, dense layers and batched products are shortened, and one
    DEQUANTIZE operator expands each when the model is loaded, the form in which XNNPACK and the
    GPU delegate take float16 weights.

    Args:
        graph: A float ``.tflite`` file.
        decisions: One per operator; those with precision ``"half"`` are changed.
    """
    from ai_edge_litert import schema_py_generated as schema

    tree = copy.deepcopy(graph.tree)
    main = tree.subgraphs[0]
    expand = schema.OperatorCodeT()
    expand.builtinCode = expand.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    expand.version = 3  # the first that takes float16
    tree.operatorCodes.append(expand)
    pairs = zip(main.operators, decisions, strict=True)
    weights = dict.fromkeys(int(op.inputs[1]) for op, d in pairs if d.precision == "half")
    expanded = {weight: _shorten(tree, weight) for weight in weights}
    for operator in main.operators:
        # Every reader: the same numbers may also be the first factor of another product.
        operator.inputs = [expanded.get(int(i), int(i)) for i in operator.inputs]
    steps = []
    for weight, whole in expanded.items():
        step = schema.OperatorT()
        step.opcodeIndex = len(tree.operatorCodes) - 1
        step.inputs, step.outputs = [weight], [whole]
        steps.append(step)
    main.operators = steps + list(main.operators)
    return pack(tree)


def _shorten(tree: Any, weight: int) -> int:
    """Makes a stored tensor float16 and returns the index of a new one for its float32 values."""
    from ai_edge_litert import schema_py_generated as schema

    main = tree.subgraphs[0]
    tensor = main.tensors[weight]
    values = np.frombuffer(bytes(tree.buffers[tensor.buffer].data), np.float32)
    largest = float(np.finfo(np.float16).max)
    stored = schema.BufferT()
    stored.data = np.frombuffer(
        np.clip(values, -largest, largest).astype(np.float16).tobytes(), np.uint8
    )
    whole = copy.copy(tensor)
    whole.name, whole.buffer = tensor.name + b"_float32", 0
    # A buffer of its own: another tensor may share the old one.
    tree.buffers.append(stored)
    tensor.buffer, tensor.type = len(tree.buffers) - 1, schema.TensorType.FLOAT16
    main.tensors.append(whole)
    return len(main.tensors) - 1


def quantize(
    graph: Graph,
    decisions: Sequence[Decision],
    images: np.ndarray | None,
    integer_ends: bool = False,
) -> tuple[bytes, list[Decision]]:
    """Carries out a treatment.

    Args:
        graph: The float file.
        decisions: One per operator of ``graph``.
        images: Calibration pictures; None where no activation is quantized.
        integer_ends: Whether the input and the output become integers too.

    Returns:
        The quantized file's bytes and the decisions.

    Raises:
        ValueError: If activations are to be quantized and there are no pictures.
        ImportError: If the optional packages are missing.
    """
    require("ai_edge_litert", "ai_edge_quantizer")
    from ai_edge_quantizer.quantizer import Quantizer

    quantizer = Quantizer(bytearray(graph.content))
    treatment.apply(quantizer, graph, decisions)
    if integer_ends:
        treatment.integer_ends(quantizer)
    if all(decision.precision == "float" for decision in decisions):
        return graph.content, list(decisions)
    ranges = None
    with quiet():
        if quantizer.need_calibration:
            if images is None or not len(images):
                raise ValueError(
                    "Static quantization needs calibration pictures from training data. "
                    "Received: calibration=None"
                )
            pixels = graph.tensors[graph.inputs[0]].dtype.lower()
            # A list: the quantizer goes through it twice, the first time only to count.
            samples = [{INPUT: image[None].astype(pixels)} for image in images]
            ranges = _ranges(graph.content, quantizer.get_quantization_recipe(), samples)
            _keep_whole_picture_range(graph, ranges)
        result = quantizer.quantize(ranges, enable_progress_report=False)
    return bytes(result.quantized_model), list(decisions)


def _ranges(model: bytes, rules: Any, samples: list[dict[str, np.ndarray]]) -> dict[str, Any]:
    """Returns each tensor's smallest and largest value over all pictures.

    ``Quantizer.calibrate`` averages the extremes of single pictures, which cuts off what only some
    pictures reach. On a small trained model that cost 0.10 px of mean distance where the true
    extremes cost 0.06 px.
    """
    from ai_edge_quantizer.calibrator import Calibrator
    from ai_edge_quantizer.recipe_manager import RecipeManager
    from ai_edge_quantizer.utils.qsv_utils import min_max_update

    manager = RecipeManager()
    manager.load_quantization_recipe(rules)
    calibrator = Calibrator(model, num_threads=1, qsv_update_func=min_max_update)
    calibrator.calibrate({SIGNATURE: samples}, manager)
    return calibrator.get_model_qsvs()


def _keep_whole_picture_range(graph: Graph, ranges: dict[str, Any]) -> None:
    """Makes the picture's range [0, 255] where it is a float tensor, whatever was seen."""
    name = graph.tensors[graph.inputs[0]].name
    if ranges.get(name):
        for key, value in (("min", 0.0), ("max", 255.0)):
            ranges[name][key] = np.full_like(ranges[name][key], value)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps the quantizer's progress bars and reports off the terminal."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
