"""What every architecture has in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tfalign import markup
from tfalign.geometry import CropConvention, crop_convention


class LandmarkModel(keras.Model):
    """Base of the architectures: images in, landmarks out, and what is needed to use them rightly.

    A subclass builds its functional graph in ``__init__`` and hands it to this constructor.

    Input: images (batch, H, W, 3), RGB in [0, 255], uint8 or float; scaling is inside the model.
    Output: landmarks (batch, n, 2), (x, y) in [0, 1]² of the image.

    Attributes:
        num_landmarks: n.
        image_size: (height, width) of the input in pixels.
        scheme: The ``LandmarkScheme`` of the outputs, or None where n belongs to no known scheme.
        crop: The ``CropConvention`` by which a face's box becomes the input.
        box: Where the boxes came from that it was trained on: ``"file"`` (the data set's own),
            ``"landmarks"`` (their tight box) or a detector's name. Training sets it, the saved file
            keeps it, and evaluation starts from it. None where it is not known.
        groups: Named parts of the network, each a list of layers, by which training phases say
            what they train. ``"all"`` is every layer.
        training_model: A functional model of the same layers with a dictionary of named outputs
            for losses. ``"stages"`` (batch, stages, n, 2) is always among them.
        stage_model: The same layers with the shape of every stage as output.
    """

    def __init__(
        self,
        images: Any,
        stages: Sequence[Any],
        training_outputs: Mapping[str, Any],
        groups: Mapping[str, Sequence[keras.layers.Layer]],
        crop: str | CropConvention | Mapping[str, Any],
        scheme: str | markup.LandmarkScheme | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(inputs=images, outputs=stages[-1], **kwargs)
        n = int(stages[-1].shape[1])
        self.num_landmarks = n
        self.image_size = (int(images.shape[1]), int(images.shape[2]))
        self.crop = crop_convention(crop)
        self.scheme = resolve_scheme(scheme, n)
        self.box: str | None = None
        # Views of the same layers; kept out of Keras's attribute tracking, which would otherwise
        # store every weight once more per view.
        self.__dict__["groups"] = {
            "all": list(self.layers),
            **{k: list(v) for k, v in groups.items()},
        }
        self.__dict__["training_model"] = keras.Model(
            images, dict(training_outputs), name=f"{self.name}_training"
        )
        self.__dict__["stage_model"] = keras.Model(
            images, training_outputs["stages"], name=f"{self.name}_stages"
        )

    @property
    def num_stages(self) -> int:
        """Number of shapes that ``stage_shapes`` returns."""
        return int(self.stage_model.output.shape[1])

    def stage_shapes(self, images: Any, training: bool = False) -> Any:
        """Returns the shape after every stage of the cascade.

        Args:
            images: As the model's input.
            training: Whether layers run in training mode.

        Returns:
            (batch, stages, n, 2) in [0, 1]²; the last stage equals the model's output.
        """
        return self.stage_model(images, training=training)

    def set_mean_shape(self, shape: Any) -> None:
        """Starts the first stage at a mean shape, by setting the bias of its output layer.

        Args:
            shape: (n, 2) in [0, 1]², e.g. the mean of the training landmarks in the crop.

        Raises:
            ValueError: If ``shape`` is not (n, 2) and finite.
        """
        shape = np.asarray(shape, dtype=np.float32)
        if shape.shape != (self.num_landmarks, 2) or not np.isfinite(shape).all():
            raise ValueError(
                f"`shape` must be a finite ({self.num_landmarks}, 2) array. Received: shape of "
                f"{shape.shape}"
            )
        self._set_mean_shape(shape)

    def _set_mean_shape(self, shape: np.ndarray) -> None:
        raise ValueError(f"{type(self).__name__} has no mean shape to set.")

    def base_config(self) -> dict[str, Any]:
        """Returns the constructor arguments that all architectures share."""
        return {
            "num_landmarks": self.num_landmarks,
            "input_shape": [*self.image_size, 3],
            "crop": self.crop.get_config(),
            "scheme": None if self.scheme is None else self.scheme.name,
            "name": self.name,
            **({} if self.box is None else {"box": self.box}),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> LandmarkModel:
        """Makes a model from what ``get_config`` returned."""
        del custom_objects
        arguments = dict(config)
        box = arguments.pop("box", None)
        model = cls(**arguments)
        model.box = box
        return model


def resolve_scheme(
    scheme: str | markup.LandmarkScheme | None, num_landmarks: int
) -> markup.LandmarkScheme | None:
    """Returns the scheme named, or the common one of ``num_landmarks`` points, or None.

    Raises:
        ValueError: If the named scheme has another number of points.
    """
    if scheme is None:
        try:
            return markup.for_num_points(num_landmarks)
        except ValueError:
            return None
    if isinstance(scheme, str):
        scheme = markup.get(scheme)
    if scheme.num_points != num_landmarks:
        raise ValueError(
            f"Scheme {scheme.name!r} has {scheme.num_points} points; the model has "
            f"num_landmarks={num_landmarks}."
        )
    return scheme


def check_input_shape(input_shape: Sequence[int], multiple: int) -> tuple[int, int, int]:
    """Returns ``input_shape`` as (height, width, 3), or raises ``ValueError`` saying the rule."""
    shape = tuple(int(value) for value in input_shape)
    good = len(shape) == 3 and shape[2] == 3
    good = good and min(shape[:2]) >= multiple and not any(s % multiple for s in shape[:2])
    if not good:
        raise ValueError(
            f"`input_shape` must be (height, width, 3) with multiples of {multiple}. Received: "
            f"input_shape={shape}"
        )
    return shape[0], shape[1], 3
