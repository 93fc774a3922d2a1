"""What every architecture has in common."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import keras
import numpy as np

from tfalign import markup
from tfalign.geometry import CropConvention, crop_convention

CropLike = str | CropConvention | Mapping[str, Any]
SchemeLike = str | os.PathLike[str] | Mapping[str, Any] | markup.LandmarkScheme | None
"""What constructors take for a crop convention, and for a landmark scheme."""


class LandmarkModel(keras.Model):
    """Base of the architectures: images in, landmarks out, and what is needed to use them rightly.

    A subclass builds its functional graph in ``__init__`` and hands it to this constructor.

    Input: images (batch, H, W, 3), RGB in [0, 255], uint8 or float; scaling is inside the model.
    Output: landmarks (batch, n, 2), (x, y) in [0, 1]² of the image.

    ``keras.models.clone_model`` makes a plain Keras model of the layers, without scheme, crop and
    boxes; ``copy.deepcopy(model)``, or ``type(model).from_config(model.get_config())`` with new
    weights, is a model of this class.

    Attributes:
        num_landmarks: n.
        image_size: (height, width) of the input in pixels.
        scheme: The ``LandmarkScheme`` of the outputs, or None. Saved files hold the whole of it.
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

    RENAMED: ClassVar[Mapping[str, str]] = {}
    """Constructor arguments that had another name in version 0.1."""

    def __init__(
        self,
        images: Any,
        stages: Sequence[Any],
        training_outputs: Mapping[str, Any],
        groups: Mapping[str, Sequence[keras.layers.Layer]],
        crop: CropLike,
        scheme: SchemeLike,
        **kwargs: Any,
    ) -> None:
        super().__init__(inputs=images, outputs=stages[-1], **kwargs)
        self.num_landmarks = int(stages[-1].shape[1])
        self.image_size = (int(images.shape[1]), int(images.shape[2]))
        self.crop = crop_convention(crop)
        _, self.scheme = resolve_points(self.num_landmarks, scheme)
        self.box: str | None = None
        self.box_padding: dict[str, Any] | None = None
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
            "scheme": None if self.scheme is None else self.scheme.to_config(),
            "name": self.name,
            **({} if self.box is None else {"box": self.box}),
            **({} if self.box_padding is None else {"box_padding": self.box_padding}),
            **({} if not (frozen := self._frozen_layers()) else {"frozen": frozen}),
        }

    def _every_layer(self) -> dict[str, keras.layers.Layer]:
        """Returns the layers by name, those that only training needs among them."""
        return {layer.name: layer for layer in (*self.training_model.layers, *self.layers)}

    def _frozen_layers(self) -> list[str]:
        """Returns the names of the layers with weights that ``trainable = False`` was said of."""
        layers = {name: layer for name, layer in self._every_layer().items() if layer.weights}
        if not self.trainable:
            return sorted(layers)
        return sorted(name for name, layer in layers.items() if not layer.trainable)

    def _freeze(self, names: Sequence[str]) -> None:
        layers = self._every_layer()
        for name in names:
            layers[name].trainable = False
        if all(not layer.trainable for layer in layers.values() if layer.weights):
            # On TensorFlow `model.trainable = True` would pass over a model that has that flag.
            self.trainable = False

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> LandmarkModel:
        """Makes a model from what ``get_config`` returned, here or in version 0.1.

        Warns:
            UserWarning: If the configuration is one of 0.1, which holds a scheme's name only, and
                names a scheme of one's own: the model then has none.
        """
        del custom_objects
        arguments = {cls.RENAMED.get(key, key): value for key, value in config.items()}
        box, padding = arguments.pop("box", None), arguments.pop("box_padding", None)
        frozen = arguments.pop("frozen", ())
        scheme = arguments.get("scheme")
        if isinstance(scheme, str) and scheme not in markup.SCHEMES:
            warnings.warn(
                f"The model was saved by version 0.1 with the name of its landmark scheme alone, "
                f"{scheme!r}, which is unknown here: it is opened without a scheme. Set "
                "`model.scheme` and save it anew.",
                stacklevel=2,
            )
            arguments["scheme"] = None
        model = cls(**arguments)
        model.box = box
        model.box_padding = None if padding is None else dict(padding)
        model._freeze(frozen)
        return model

    @classmethod
    def from_preset(cls, name: str) -> Self:
        """Returns a model that ships with the package, with its weights.

        Args:
            name: A key of ``tfalign.models.shipped_presets()``, e.g. ``"300w"``.

        Raises:
            ValueError: If no such preset ships, or it is a model of another class.
        """
        from tfalign.models.weights import load_preset  # it needs this class

        model = load_preset(name)
        if not isinstance(model, cls):
            raise ValueError(
                f"Preset {name!r} is a {type(model).__name__}: use "
                f"`{type(model).__name__}.from_preset`. Received: a preset for {cls.__name__}"
            )
        return model

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        """Compiles as Keras does, but hands ``sample_weight`` to landmark metrics, too.

        Keras gives weights to ``weighted_metrics`` alone. A metric of ``tfalign`` that did not see
        which points are annotated would count the others.
        """
        metrics, masked = _split_metrics(metrics)
        if masked:
            weighted_metrics = _merged(weighted_metrics, masked)
        super().compile(optimizer, loss, loss_weights, metrics, weighted_metrics, **kwargs)

    def compile_from_config(self, config: Mapping[str, Any]) -> None:
        """Compiles a loaded model; Keras leaves that to a class whose ``compile`` is its own."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)


def resolve_points(num_landmarks: int | None, scheme: SchemeLike) -> tuple[int, Any]:
    """Returns the number of points and the ``LandmarkScheme`` (or None) that a constructor means.

    Args:
        num_landmarks: n, or None where the scheme tells it. It never chooses a scheme.
        scheme: Whatever ``tfalign.markup.get`` takes, or None for no scheme.

    Raises:
        ValueError: If neither tells the number of points, it is not positive, or they differ.
    """
    found = None if scheme is None else markup.get(scheme)
    if num_landmarks is None:
        if found is None:
            raise ValueError(
                "A model needs `scheme`, or for points without one `num_landmarks`. Received: "
                "num_landmarks=None, scheme=None"
            )
        return found.num_points, found
    if num_landmarks < 1:
        raise ValueError(
            f"`num_landmarks` must be positive. Received: num_landmarks={num_landmarks}"
        )
    if found is not None and found.num_points != num_landmarks:
        raise ValueError(
            f"Scheme {found.name!r} has {found.num_points} points, and so has the model. Received: "
            f"num_landmarks={num_landmarks}"
        )
    return int(num_landmarks), found


def _split_metrics(metrics: Any) -> tuple[Any, Any]:
    """Returns the metrics that Keras shall call without weights, and those of landmarks."""
    if isinstance(metrics, Mapping):
        parts = {key: _split_metrics(value) for key, value in metrics.items()}
        return (
            {key: plain for key, (plain, _) in parts.items() if plain},
            {key: masked for key, (_, masked) in parts.items() if masked},
        )
    if isinstance(metrics, (list, tuple)):
        # Keras takes a list for each output, too, of which there is one.
        each = [m if isinstance(m, (list, tuple)) else [m] for m in metrics]
        metrics = [m for group in each for m in group]
        masked = [m for m in metrics if getattr(m, "takes_point_weights", False)]
        return [m for m in metrics if m not in masked], masked
    return (None, [metrics]) if getattr(metrics, "takes_point_weights", False) else (metrics, None)


def _merged(weighted: Any, masked: Any) -> Any:
    """Returns the weighted metrics that a user gave together with those found among the others."""
    if not weighted:
        return masked
    if isinstance(weighted, Mapping) and isinstance(masked, Mapping):
        both = dict(weighted)
        return both | {key: _merged(both.get(key), value) for key, value in masked.items()}
    lists = [m if isinstance(m, (list, tuple)) else [m] for m in (weighted, masked)]
    return [*lists[0], *lists[1]]


def check_input_shape(input_shape: Sequence[int], multiple: int) -> tuple[int, int, int]:
    """Returns ``input_shape`` as (height, width, 3), or raises ``ValueError`` saying the rule."""
    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            "Models take images (batch, height, width, 3), and so must Keras's layers: call "
            "keras.config.set_image_data_format('channels_last') first, or set it in keras.json. "
            f"Received: image_data_format={keras.config.image_data_format()!r}"
        )
    shape = tuple(int(value) for value in input_shape)
    good = len(shape) == 3 and shape[2] == 3
    good = good and min(shape[:2]) >= multiple and not any(s % multiple for s in shape[:2])
    if not good:
        raise ValueError(
            f"`input_shape` must be (height, width, 3) with multiples of {multiple}. Received: "
            f"input_shape={shape}"
        )
    return shape[0], shape[1], 3
