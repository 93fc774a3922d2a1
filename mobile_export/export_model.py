"""Any Keras landmark model in the one form that is exported, with what an app must know of it.

The form: one RGB picture (batch, H, W, 3) in [0, 255] in, landmarks (batch, n, 2) in [0, 1]² out,
all in float32. Whatever else a model wants of its pixels (another range, one grey channel) becomes
part of the exported file, so that every app feeds every file alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tfalign import markup
from tfalign.geometry import CropConvention, crop_convention

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey pixel (ITU-R BT.601), as Pillow and OpenCV have them."""


@dataclass(frozen=True)
class ExportModel:
    """A model in the exported form.

    Attributes:
        keras: The Keras model.
        crop: How a face's box becomes the input, or None.
        box: The box that the crop starts from, or None.
        box_padding: How other boxes become such, or None, see `tfalign.evaluation.boxes`.
        scheme: The scheme of the points, or None.
        notes: What was read into the model, in words.
    """

    keras: Any
    crop: CropConvention | None
    box: str | None
    scheme: markup.LandmarkScheme | None
    notes: tuple[str, ...] = ()
    box_padding: Mapping[str, Any] | None = None

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, 3) of the input."""
        _, height, width, channels = self.keras.input_shape
        return int(height), int(width), int(channels)

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the input."""
        return self.input_shape[:2]

    @property
    def num_landmarks(self) -> int:
        """n."""
        return int(self.keras.output_shape[1])


def export_model(
    model: Any,
    *,
    crop: str | CropConvention | Mapping[str, Any] | None = None,
    box: str | None = None,
    scheme: Any = None,
    pixels: Sequence[float] | None = None,
    output: str | None = None,
) -> ExportModel:
    """Brings a Keras model into the exported form.

    Args:
        model: A model of ``tfalign.models``, which says everything itself, or any Keras model with
            one picture (batch, H, W, 3 or 1) as input and landmarks (batch, n, 2), or pairs
            x, y in (batch, 2n), among its outputs.
        crop: How a face's box becomes the input: a preset's name, a convention or its
            configuration. Needed for a model that does not store one.
        box: The box that the crop starts from, e.g. ``"landmarks"``.
        scheme: Names of the points: whatever ``tfalign.markup.get`` takes.
        pixels: (low, high), the values that the model wants for black and white, e.g. ``(0, 1)``.
            Needed for a model that is not of ``tfalign.models``.
        output: Name of the landmarks among several outputs: a key where the model returns a
            dictionary, else the name of the layer that makes them.

    Raises:
        ValueError: If something needed is missing, or the model is no landmark model.
    """
    import keras

    from tfalign.models import LandmarkModel

    own = isinstance(model, LandmarkModel)
    if own and (pixels is not None or output is not None):
        raise ValueError(
            "A model of tfalign.models scales its pixels and has one output: leave out `pixels` "
            f"and `output`. Received: pixels={pixels}, output={output!r}"
        )
    stored = getattr(model, "crop", None)
    if own and crop is not None and crop_convention(crop) != stored:
        raise ValueError(
            "A model sees what it was trained on: its own crop convention. Received: "
            f"crop={crop!r}, the model's {stored}"
        )
    crop = stored if crop is None else crop
    missing = [
        f"`{name}` ({what})"
        for name, what, value in (
            ("crop", "how a face's box becomes the input, e.g. '300w'", crop),
            ("pixels", "its values for black and white: (0, 255), (0, 1) or (-1, 1)", pixels),
        )
        if value is None and not (own and name == "pixels")
    ]
    if missing:
        raise ValueError(
            f"A Keras model that is not of tfalign.models does not say how it is fed: give "
            f"{' and '.join(missing)}. Received: model={type(model).__name__} {model.name!r}"
        )
    low, high = (0.0, 255.0) if pixels is None else (float(value) for value in pixels)
    if not low < high:
        raise ValueError(f"`pixels` must be (low, high), low < high. Received: pixels={pixels}")

    # Read before the model is rebuilt, which keeps no attributes.
    scheme = getattr(model, "scheme", None) if scheme is None else scheme
    scheme = None if scheme is None else markup.get(scheme)
    trained = getattr(model, "box", None)
    box = trained if box is None else box
    # What is known of the boxes of the training says nothing of others.
    padding = getattr(model, "box_padding", None) if box == trained else None

    # First: a model that is no graph of layers has no outputs to choose from.
    height, width, channels = _picture(model)
    model = in_float32(model)
    place = _output_place(model, output)
    shape = tuple(model.outputs[place].shape[1:])
    n = _points(shape, model)
    notes = []
    plain = len(model.outputs) == 1 and not isinstance(getattr(model, "output", None), dict)
    if not plain or (low, high) != (0.0, 255.0) or channels == 1 or shape != (n, 2):
        image = keras.Input((height, width, 3), name="picture")
        x = image
        if channels == 1:
            x = sum(x[..., i : i + 1] * weight for i, weight in enumerate(LUMA))
            notes.append("The model sees grey pixels: the file makes them of red, green and blue.")
        if (low, high) != (0.0, 255.0):
            x = x * ((high - low) / 255.0) + low
            notes.append(f"The model wants pixels in [{low:g}, {high:g}]: the file scales them.")
        points = keras.tree.flatten(model(x))[place]
        if shape != (n, 2):
            points = keras.layers.Reshape((n, 2), name="points")(points)
            notes.append(f"The model's {2 * n} numbers were read as x, y of point after point.")
        model = keras.Model(image, points, name=model.name)
    if scheme is not None and scheme.num_points != n:
        raise ValueError(
            f"The scheme's points must be the model's {n}. Received: scheme {scheme.name!r} of "
            f"{scheme.num_points}"
        )
    if scheme is None:
        notes.append("No scheme was given: the points have numbers, no names.")
    return ExportModel(model, crop_convention(crop), box, scheme, tuple(notes), padding)


def in_float32(model: Any) -> Any:
    """Returns the model computing in float32: itself, or its like with the same weights.

    A model in mixed precision keeps its weights in float32; what it computes in float16 has
    operators that LiteRT does not have.
    """
    import keras

    if all(layer.compute_dtype == "float32" for layer in model._flatten_layers()):
        return model

    def like(layer: Any) -> Any:
        return type(layer).from_config({**layer.get_config(), "dtype": "float32"})

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        if type(model) in (keras.Sequential, keras.Model) or type(model).__name__ == "Functional":
            rebuilt = keras.models.clone_model(model, clone_function=like, recursive=True)
        else:
            rebuilt = type(model).from_config(model.get_config())
    finally:
        keras.config.set_dtype_policy(policy)
    rebuilt.set_weights(model.get_weights())
    return rebuilt


def _picture(model: Any) -> tuple[int, int, int]:
    shapes = [tuple(tensor.shape) for tensor in getattr(model, "inputs", None) or ()]
    good = len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][3] in (1, 3)
    if not good or None in shapes[0][1:]:
        raise ValueError(
            "A landmark model takes one picture (batch, H, W, 3), or (batch, H, W, 1), all but the "
            "batch known: build it with `keras.Input((height, width, 3))`. Received: inputs "
            f"{shapes} of {type(model).__name__} {model.name!r}"
        )
    return tuple(int(size) for size in shapes[0][1:])  # type: ignore[return-value]


def _output_place(model: Any, output: str | None) -> int:
    """Returns the position of the landmarks among the flat list of outputs."""
    if output is None and len(model.outputs) == 1:
        return 0
    struct = getattr(model, "output", None)
    # `model.outputs` has a dictionary's entries by their keys in order; other outputs are named
    # after the layers that make them, two of one layer alike.
    keys = isinstance(struct, dict) and len(struct) == len(model.outputs)
    names = sorted(struct) if keys else list(getattr(model, "output_names", None) or ())
    if names.count(output) != 1:
        raise ValueError(
            "The landmarks must be named among several outputs: `output` is one of "
            f"{names}. Where several have one name, export keras.Model(model.input, "
            f"model.outputs[i]). Received: output={output!r}"
        )
    return names.index(output)


def _points(shape: tuple[int | None, ...], model: Any) -> int:
    """Returns the number of points in an output of this shape without the batch."""
    if len(shape) == 2 and shape[1] == 2 and shape[0]:
        return int(shape[0])
    if len(shape) == 1 and shape[0] and shape[0] % 2 == 0:
        return int(shape[0]) // 2
    raise ValueError(
        "A landmark model takes one picture and returns landmarks (batch, n, 2), or pairs x, y "
        "in (batch, 2n), in [0, 1] of the picture; name the output among several. Received: "
        f"output {('batch', *shape)} of model {model.name!r}"
    )
