"""Keras model → float ``.tflite`` bytes, through the LiteRT converter.

The signature is static: one picture ``image`` (1, H, W, 3), RGB in [0, 255], in; ``landmarks``
(1, n, 2) in [0, 1]² out. Only built-in operators are allowed.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np

from mobile_export.equalize import equalize
from mobile_export.simplify import simplify
from tfalign.tflite import INPUT, OUTPUT, Graph, require
from tfalign.tflite.graph import pack

INPUT_DTYPES = ("uint8", "float32")
SIGNATURE = "serving_default"


def require_tensorflow_backend() -> None:
    """Checks that Keras runs on TensorFlow, the only back end that converts to ``.tflite``.

    Raises:
        ValueError: If Keras runs on another back end.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "Models are exported with Keras on the TensorFlow back end: save the model as .keras "
            "and run the export with KERAS_BACKEND=tensorflow. Received: "
            f"backend={keras.backend.backend()!r}"
        )


def check_input_dtype(input_dtype: str) -> None:
    """Raises ``ValueError`` for a type that the file's input cannot have."""
    if input_dtype not in INPUT_DTYPES:
        raise ValueError(
            f"`input_dtype` must be one of {INPUT_DTYPES}. Received: input_dtype={input_dtype!r}"
        )


def convert(
    model: Any,
    input_dtype: str = "uint8",
    gathers: bool = True,
    equalize_on: np.ndarray | None = None,
) -> bytes:
    """Converts a landmark model, everything in float32.

    Args:
        model: A ``keras.Model``: images (batch, H, W, 3) in [0, 255] to landmarks (batch, n, 2).
        input_dtype: ``"uint8"`` (camera pixels as they are) or ``"float32"``.
        gathers: Whether patches about landmarks are gathered, or cut by products.
        equalize_on: Pictures (N, H, W, 3), RGB in [0, 255], that show how large each channel is:
            channels of one feature map are then given like ranges, see ``equalize``, before large
            filters become tiles. None leaves weights as they are.

    Returns:
        The ``.tflite`` file's bytes.

    Raises:
        ValueError: If the model's input or output is not a landmark model's, an operator is not
            built into LiteRT (the layer is named), or Keras runs on another back end.
        ImportError: If the optional packages are missing.
    """
    require("tensorflow", "ai_edge_litert")
    require_tensorflow_backend()
    check_input_dtype(input_dtype)
    height, width, _ = picture_shape(model)
    import tensorflow as tf

    @tf.function(autograph=False)
    def endpoint(image: Any) -> Any:
        return model(tf.cast(image, tf.float32), training=False)

    with _crops_by_products(model, not gathers):
        traced = endpoint.get_concrete_function(
            tf.TensorSpec((1, height, width, 3), input_dtype, name=INPUT)
        )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], model)
    # By way of a SavedModel the same operators come out, in three times the time.
    converter.experimental_lower_to_saved_model = False
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    try:
        content = bytes(converter.convert())
    except Exception as error:
        names = {layer.name for layer in getattr(model, "layers", ())}
        paths = [(op.type, op.name) for op in traced.graph.get_operations()]
        offenders = unsupported(str(error), paths, names)
        if not offenders:
            raise
        listed = "; ".join(f"{op} in layer {layer!r}" for op, layer in offenders)
        raise ValueError(
            "Only operators built into LiteRT can be exported (no Flex, no custom operators). "
            f"Received: {listed}"
        ) from error
    graph = _named(content)
    return simplify(graph if equalize_on is None else equalize(graph, equalize_on)).content


def _named(content: bytes) -> Graph:
    """Returns a file of one input and one output with their names, as its signature."""
    from ai_edge_litert import schema_py_generated as schema

    def named(name: str, index: int) -> Any:
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), index
        return entry

    graph = Graph.read(content)
    tree = graph.tree
    (source,), (result,) = graph.inputs, graph.outputs
    tree.subgraphs[0].tensors[result].name = OUTPUT.encode()
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = SIGNATURE.encode(), 0
    signature.inputs, signature.outputs = [named(INPUT, source)], [named(OUTPUT, result)]
    tree.signatureDefs = [signature]
    return Graph.read(pack(tree))


@contextlib.contextmanager
def _crops_by_products(model: Any, wanted: bool) -> Iterator[None]:
    """Lets a model's crops be products of the map while it is traced, where wanted."""
    from tfalign.layers import ShapeIndexedCrop, ShapeIndexedPatches

    every = [x.crop if isinstance(x, ShapeIndexedPatches) else x for x in model._flatten_layers()]
    crops = [x for x in every if wanted and isinstance(x, ShapeIndexedCrop)]
    for crop in crops:
        crop.gathers = False
    try:
        yield
    finally:
        for crop in crops:
            crop.gathers = True


def picture_shape(model: Any) -> tuple[int, int, int]:
    """Returns (height, width, 3) of a landmark model's input.

    Raises:
        ValueError: If the model does not take one picture and return one set of landmarks.
    """
    shape, out = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    good = (
        isinstance(shape, tuple)
        and isinstance(out, tuple)
        and (len(shape), shape[-1]) == (4, 3)
        and (len(out), out[-1]) == (3, 2)
        and None not in (*shape[1:], *out[1:])
    )
    if not good:
        raise ValueError(
            "A landmark model takes (batch, H, W, 3) and returns (batch, n, 2), all but the batch "
            f"known. Received: input_shape={shape}, output_shape={out}"
        )
    return int(shape[1]), int(shape[2]), 3


def check_builtin(graph: Graph) -> None:
    """Checks that every operator is built into LiteRT.

    Raises:
        ValueError: If there is a custom or Flex operator; it and its layer are named.
    """
    foreign = [
        f"{op.kind.removeprefix('CUSTOM:')} in layer {layer_of(graph.layer(op))!r}"
        for op in graph.operators
        if op.custom
    ]
    if foreign:
        raise ValueError(
            "An exported model uses only operators built into LiteRT (no Flex, no custom). "
            f"Received: {'; '.join(foreign)}"
        )


def unsupported(
    message: str, operations: Iterable[tuple[str, str]], layers: Collection[str] = ()
) -> list[tuple[str, str]]:
    """Returns (operator, Keras layer) of each operator that a converter's message refuses.

    Args:
        message: Text of the converter's error, which names kinds of operators alone.
        operations: Kind and path of every operator of the model.
        layers: Names of the model's layers; a path that holds one is cut down to it.
    """
    refused = set(re.findall(r"'tf\.(\w+)' op is neither a custom op nor a flex op", message))
    found = ((kind, layer_of(path, layers)) for kind, path in operations if kind in refused)
    return list(dict.fromkeys(found))


def layer_of(path: str, layers: Collection[str] = ()) -> str:
    """Returns the layer's part of an operation's path: ``model_1/crop_1/GatherV2`` → ``crop_1``."""
    parts = path.split(";")[0].split("/")
    for part in parts:
        # Keras calls the scope of a repeated call of layer `crop` `crop_1`.
        for name in (part, re.sub(r"_\d+$", "", part)):
            if name in layers:
                return name
    return "/".join(parts[1:-1]) or path
