"""Which rule counts which layer.

A rule is a function ``(layer, inputs, outputs) -> Cost``, where ``inputs`` and ``outputs`` are
tuples of shapes with the batch axis set to 1. It is registered for a layer class,

    @tfalign.macc.rule(MyLayer)
    def my_layer(layer, inputs, outputs):
        return tfalign.macc.Cost(macc=...)

or, for the operations that ``keras.ops`` functions leave in a functional graph, by the name of
their class (``"Matmul"``), because Keras does not export those classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from tfalign.macc.cost import Cost, Shape

Rule = Callable[[Any, tuple[Shape, ...], tuple[Shape, ...]], Cost]

_LAYER_RULES: dict[type, Rule] = {}
_OPERATION_RULES: dict[str, Rule] = {}


def rule(*kinds: type | str) -> Callable[[Rule], Rule]:
    """Decorator that registers a rule for layer classes or names of Keras's operations and layers.

    A rule also serves subclasses that leave ``call`` as it is. A later registration replaces an
    earlier one.

    Args:
        *kinds: classes with a ``call`` method, or class names of ``keras.ops`` operations, or of
            layers that only ``keras.applications`` has.

    Raises:
        ValueError: no kind was given, or one is neither a class nor a name.
    """
    if not kinds or not all(isinstance(kind, type | str) for kind in kinds):
        raise ValueError(
            "A rule needs one or more layer classes, or names of keras.ops operations. "
            f"Received: kinds={kinds!r}"
        )

    def register(function: Rule) -> Rule:
        for kind in kinds:
            if isinstance(kind, str):
                _OPERATION_RULES[kind] = function
            else:
                _LAYER_RULES[kind] = function
        return function

    return register


def rule_for(operation: keras.Operation) -> Rule:
    """The rule that counts this layer or operation.

    Raises:
        ValueError: there is none; the message says how to add one.
    """
    kind = type(operation)
    for base in kind.__mro__:
        if base in _LAYER_RULES:
            # A subclass with its own `call` may compute something else: it needs its own rule.
            if base is not kind and kind.call is not base.call:  # type: ignore[attr-defined]
                break
            return _LAYER_RULES[base]
    from_keras = kind.__module__.partition(".")[0] == "keras"
    # The layers of keras.applications have no public class either.
    named = not isinstance(operation, keras.Layer) or ".applications." in kind.__module__
    if from_keras and named and kind.__name__ in _OPERATION_RULES:
        return _OPERATION_RULES[kind.__name__]
    raise ValueError(_unknown(operation))


def _unknown(operation: keras.Operation) -> str:
    kind = type(operation)
    received = f"Received: name={operation.name!r}, type={kind.__module__}.{kind.__name__}"
    if isinstance(operation, keras.Model):
        return (
            "Only functional and sequential models show their layers to the counter; register "
            f"@tfalign.macc.rule({kind.__name__}) for one that overrides `call`. {received}"
        )
    key = kind.__name__ if isinstance(operation, keras.Layer) else f'"{kind.__name__}"'
    return (
        "No rule counts this layer. Add one: @tfalign.macc.rule(" + key + ") on a function "
        f"(layer, inputs, outputs) -> tfalign.macc.Cost(macc=...). {received}"
    )
