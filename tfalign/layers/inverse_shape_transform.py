"""Landmarks of a warped image, brought back to the image that it was made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tfalign.geometry import signed_from_unit, unit_from_signed
from tfalign.geometry.parametric import check_kind, map_points
from tfalign.layers.shape_transform import check_shapes


@keras.saving.register_keras_serializable(package="tfalign")
class InverseShapeTransform(keras.layers.Layer):
    """Takes landmarks of ``SpatialTransformer``'s result back to its input: T_θ L.

    The paper's shape inverse transformer layer: for landmarks of a part's patch it is applied with
    the part's θ, then with the face's; the map of the box, T_R, belongs to whoever cut the crop.
    It undoes ``ShapeTransform``.

    Args:
        kind: Kind of the map, see ``SpatialTransformer``.

    Call arguments:
        inputs: ``[landmarks, theta]``.

    Input shape:
        ``landmarks`` (batch, n, 2), [0, 1]² of the warped image; ``theta`` (batch, P), in [−1, 1]
        space, as given to ``SpatialTransformer``.

    Output shape:
        (batch, n, 2), [0, 1]² of the image, float32.

    Reference:
        Lv et al., CVPR 2017, Equation 8.

    Raises:
        ValueError: If ``kind`` is unknown, or the inputs have other shapes.
    """

    def __init__(self, kind: str = "affine", **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "autocast": False, "dtype": "float32"})
        check_kind(kind)
        self.kind = kind

    def build(self, input_shape: Any) -> None:
        check_shapes(self, input_shape)
        self.built = True

    def call(self, inputs: Sequence[Any]) -> Any:
        landmarks, theta = (ops.cast(part, "float32") for part in inputs)
        return unit_from_signed(map_points(theta, signed_from_unit(landmarks), self.kind))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        landmarks, _ = check_shapes(self, input_shape)
        return tuple(landmarks)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kind": self.kind}
