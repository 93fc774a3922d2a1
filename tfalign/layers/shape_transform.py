"""Landmarks of an image, seen in the image that a spatial transformer makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tfalign.geometry import signed_from_unit, unit_from_signed
from tfalign.geometry.parametric import PARAMETERS, check_kind, map_points_back


@keras.saving.register_keras_serializable(package="tfalign")
class ShapeTransform(keras.layers.Layer):
    """Moves landmarks along with the image that ``SpatialTransformer`` warps: T_θ⁻¹ S.

    The inverse is guarded: a degenerate θ, whose image shows a line or a point, gives finite
    landmarks and finite gradients.

    Args:
        kind: Kind of the map, see ``SpatialTransformer``.
        min_determinant: The map's determinant is kept at least this far from zero. The default
            belongs to a map that shows a ten-thousandth of the image's area.

    Call arguments:
        inputs: ``[landmarks, theta]``.

    Input shape:
        ``landmarks`` (batch, n, 2), [0, 1]² of the image; ``theta`` (batch, P), in [−1, 1] space,
        as given to ``SpatialTransformer``.

    Output shape:
        (batch, n, 2), [0, 1]² of the warped image, float32.

    Reference:
        Lv et al., CVPR 2017, Equation 5.

    Raises:
        ValueError: If an argument is outside its range, or the inputs have other shapes.
    """

    def __init__(self, kind: str = "affine", min_determinant: float = 1e-4, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "autocast": False, "dtype": "float32"})
        check_kind(kind)
        if not min_determinant > 0:
            raise ValueError(
                f"`min_determinant` must be positive. Received: min_determinant={min_determinant}"
            )
        self.kind = kind
        self.min_determinant = float(min_determinant)

    def build(self, input_shape: Any) -> None:
        check_shapes(self, input_shape)
        self.built = True

    def call(self, inputs: Sequence[Any]) -> Any:
        landmarks, theta = (ops.cast(part, "float32") for part in inputs)
        signed = signed_from_unit(landmarks)
        return unit_from_signed(map_points_back(theta, signed, self.kind, self.min_determinant))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        landmarks, _ = check_shapes(self, input_shape)
        return tuple(landmarks)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kind": self.kind,
            "min_determinant": self.min_determinant,
        }


def check_shapes(layer: Any, input_shape: Any) -> tuple[Any, Any]:
    """Returns the shapes of landmarks and θ, or raises ``ValueError`` saying what they must be."""
    parameters = PARAMETERS[layer.kind]
    good = (
        isinstance(input_shape, (list, tuple))
        and len(input_shape) == 2
        and all(isinstance(shape, (list, tuple)) for shape in input_shape)
        and len(input_shape[0]) == 3
        and input_shape[0][2] == 2
        and len(input_shape[1]) == 2
        and input_shape[1][1] == parameters
    )
    if not good:
        raise ValueError(
            f"{type(layer).__name__} takes [landmarks (batch, n, 2), theta (batch, {parameters})] "
            f"for kind={layer.kind!r}. Received: input_shape={input_shape}"
        )
    return input_shape[0], input_shape[1]
