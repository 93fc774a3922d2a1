"""Working out sizes that a ``.tflite`` file leaves open.

A model that was converted without a fixed batch stores every axis that depends on the batch as
1, also where batch and landmarks were flattened into one axis of n rows. The operators before
such an axis say how long it is for one image.
"""

from __future__ import annotations

import dataclasses

from tfalign.macc.cost import size
from tfalign.macc.tflite_file import Operator, Tensor, TFLiteFile

_SAME_ELEMENTS = ("EXPAND_DIMS", "RESHAPE", "SQUEEZE", "TRANSPOSE")


def with_closed_sizes(file: TFLiteFile) -> TFLiteFile:
    """The same graph with every open axis set to its size for one image.

    Raises:
        ValueError: an input leaves another axis open than its batch, or a size does not follow
            from the operators before it.
    """
    tensors = list(file.tensors)
    for index in file.inputs:
        if tensors[index].open_axes not in ((), (0,)):
            raise ValueError(
                "Only the batch axis of an input may be left open. "
                f"Received: input={tensors[index].name!r}, open axes={tensors[index].open_axes}."
            )
    for operator in file.operators:
        for index in operator.outputs:
            if tensors[index].open_axes:
                inputs = [tensors[i] for i in operator.inputs if i >= 0]
                tensors[index] = _closed(operator, inputs, tensors[index])
    return dataclasses.replace(file, tensors=tuple(tensors))


def _closed(operator: Operator, inputs: list[Tensor], output: Tensor) -> Tensor:
    """``output`` with the product of its open axes, as its inputs demand, at the first of them."""
    known = size(n for axis, n in enumerate(output.shape) if axis not in output.open_axes)
    elements = _elements(operator, inputs)
    if elements is None:
        length = max((_open_size(tensor) for tensor in _followed(operator, inputs)), default=1)
    elif known and elements % known == 0:
        length = elements // known
    else:
        length = 0
    if length < 1 or (length > 1 and len(output.open_axes) > 1):
        raise ValueError(
            "An open size does not follow from a batch of 1; convert the model with a batch of 1. "
            f"Received: operator={operator.kind!r}, output={output.name!r} of shape "
            f"{output.shape} with open axes {output.open_axes}."
        )
    shape = list(output.shape)
    for axis in output.open_axes:
        shape[axis] = 1
    shape[output.open_axes[0]] = length
    return dataclasses.replace(output, shape=tuple(shape))


def _elements(operator: Operator, inputs: list[Tensor]) -> int | None:
    """Number of output elements, for operators where the inputs alone determine it."""
    if operator.kind in _SAME_ELEMENTS and inputs:
        return inputs[0].elements
    if operator.kind == "CONCATENATION":
        return sum(tensor.elements for tensor in inputs)
    if operator.kind == "FULLY_CONNECTED" and len(inputs) > 1 and len(inputs[1].shape) == 2:
        units, features = inputs[1].shape
        return inputs[0].elements // features * units if features else None
    return None


def _followed(operator: Operator, inputs: list[Tensor]) -> list[Tensor]:
    """Inputs whose open axis the output has, too."""
    if operator.kind in ("GATHER", "GATHER_ND") and len(inputs) > 1:
        return inputs[1:2] if inputs[1].open_axes else inputs[:1]
    return inputs


def _open_size(tensor: Tensor) -> int:
    return size(tensor.shape[axis] for axis in tensor.open_axes)
