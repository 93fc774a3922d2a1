"""The ``tf_keras`` layer that runs a Keras 3 layer or operation inside a twin."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, ClassVar

import tf_keras


@dataclass(frozen=True)
class _Slot:
    """Place of the i-th tensor in a call's arguments."""

    index: int


@dataclass(frozen=True)
class Call:
    """A Keras 3 layer or operation together with its arguments that are not tensors.

    The toolkit rebuilds layers from their configuration, within one process. A configuration
    therefore holds only the key of a recorded call; the call itself stays here.

    Attributes:
        key: Under which it is recorded.
        operation: The Keras 3 layer or operation.
        structure: ``(args, kwargs)`` with a slot in place of each tensor.
        template: The structure as text; equal texts mean the same call on other tensors.
    """

    key: str
    operation: Any
    structure: Any
    template: str

    recorded: ClassVar[dict[str, Call]] = {}

    @classmethod
    def record(cls, operation: Any, structure: Any, is_tensor: Any) -> Call:
        """Records a call and returns it."""
        import keras

        leaves, slots = keras.tree.flatten(structure), 0
        for at, leaf in enumerate(leaves):
            if is_tensor(leaf):
                leaves[at], slots = _Slot(slots), slots + 1
        filled = keras.tree.pack_sequence_as(structure, leaves)
        call = cls(f"call_{len(cls.recorded)}", operation, filled, repr(filled))
        cls.recorded[call.key] = call
        return call

    def arguments(self, tensors: Any) -> tuple[Any, Any]:
        """Returns ``(args, kwargs)`` with tensors in their slots."""
        import keras

        return keras.tree.map_structure(
            lambda leaf: tensors[leaf.index] if isinstance(leaf, _Slot) else leaf, self.structure
        )


@tf_keras.utils.register_keras_serializable(package="mobile_export")
class Wrapped(tf_keras.layers.Layer):
    """Runs a recorded Keras 3 call on ``tf_keras`` tensors, with weights of its own.

    Args:
        key: Key of the ``Call``.

    Input shape:
        A list of the call's tensors.

    Output shape:
        The call's.
    """

    def __init__(self, key: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.key = key
        self._recorded = Call.recorded[key]
        self._of_call: dict[int, Any] = {}

    def build(self, input_shape: Any) -> None:
        operation = self._recorded.operation
        trainable = list(getattr(operation, "trainable_weights", ()))
        others = list(getattr(operation, "non_trainable_weights", ()))
        for index, variable in enumerate(trainable + others):
            self._of_call[id(variable)] = self.add_weight(
                name=f"{variable.name}_{index}",
                shape=variable.shape,
                dtype=variable.dtype,
                initializer="zeros",
                trainable=index < len(trainable),
            )
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        tensors = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        args, kwargs = self._recorded.arguments(tensors)
        operation = self._recorded.operation
        if not hasattr(operation, "stateless_call"):
            return operation(*args, **kwargs)
        if "training" in inspect.signature(operation.call).parameters:
            # Batch normalisation inside keeps its statistics, as outside, see ``tuning_loop``.
            kwargs = {**kwargs, "training": False}
        outputs, _ = operation.stateless_call(
            self._values(operation.trainable_variables),
            self._values(operation.non_trainable_variables),
            *args,
            **kwargs,
        )
        return outputs

    def _values(self, variables: Any) -> list[Any]:
        """The twin's weights; of what is no weight (states of random generators), the value."""
        return [self._of_call.get(id(v), v.value) for v in variables]

    def get_prunable_weights(self) -> list[Any]:
        """Returns the kernels, by which the toolkit's pruning recognises a prunable layer."""
        return [weight for weight in self.trainable_weights if len(weight.shape) > 2]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "key": self.key}
