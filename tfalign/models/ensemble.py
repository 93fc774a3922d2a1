"""Several trained models as one: each looks where those before it found the face."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tfalign.geometry import CropConvention
from tfalign.layers import CropTransform, InverseShapeTransform, SpatialTransformer
from tfalign.models.landmark_model import LandmarkModel
from tfalign.models.weights import load


@keras.saving.register_keras_serializable(package="tfalign")
class Ensemble(LandmarkModel):
    """The mean of several models' shapes; each looks at the face where those before it found it.

    The first model sees the input. For each further one the mean of the shapes so far says where
    the face is and how it is turned: it is cut out of the input anew, by that model's own
    convention and upright, if ``upright`` says so. A model that is exact in the right box and bad
    in a wrong one, such as ``DeepReg``, then always gets the right one, and models of different
    kinds err differently: the mean has a lower error than the best of them. A small first model of
    share 0 only finds the face, so that the next one always sees it in the right box
    (``docs/results/presets.md`` has both). It is inference of what was trained apart; to train its
    members, train them.

    Args:
        members: At least two models of one scheme, or what ``tfalign.models.load`` opens: names of
            presets or paths of ``.keras`` files. The crop convention is the first one's.
        shares: How much each member's shape counts in the mean, none negative; None lets all count
            alike. One of share 0 finds the face for those after it and has no part in the result.
        upright: Whether further members see the face with its eyes level. False leaves it as it is
            turned: such a view is cut out row by row, in less time.
        image_size: (height, width) of the input in pixels; None takes the first member's. A first
            member of another size sees the input resized, without smoothing.
        name: Model name.

    Input shape:
        (batch, height, width, 3), RGB in [0, 255], uint8 or float.

    Output shape:
        (batch, n, 2), (x, y) in [0, 1]² of the input image. ``stage_shapes`` has the first model's
        shape, then the mean after each further one (as long as all shares are 0, the newest one's
        shape).

    Reference:
        Ours. The second look is the re-initialization of Lv et al., CVPR 2017, section 3.1.

    Raises:
        FileNotFoundError: If a path does not exist.
        ValueError: If there are fewer than two members, they have no scheme or different ones, the
            shares are not one for each or say that none counts, the size is none, or it is not
            known how the boxes that a further member was trained on follow from the landmarks.
    """

    def __init__(
        self,
        members: Sequence[Any],
        shares: Sequence[float] | None = None,
        upright: bool = True,
        image_size: Sequence[int] | None = None,
        name: str = "ensemble",
    ) -> None:
        models = [load(member) for member in members]
        schemes = [getattr(model, "scheme", None) for model in models]
        if len(models) < 2 or schemes[0] is None or any(s != schemes[0] for s in schemes[1:]):
            raise ValueError(
                "`members` must be at least two models of one landmark scheme. Received: "
                f"{[None if s is None else s.name for s in schemes]}"
            )
        counts = _checked_shares(shares, len(models))
        if image_size is not None and (len(image_size) != 2 or min(image_size) < 1):
            raise ValueError(
                "`image_size` must be a positive (height, width) or None. Received: "
                f"image_size={image_size}"
            )
        first, scheme = models[0], schemes[0]
        corners = scheme.eye_corners
        eyes = scheme.pupils or (None if corners is None else [[corner] for corner in corners])
        eyes = eyes if upright else None
        kind = "scaling" if eyes is None else "affine"
        size = first.image_size if image_size is None else (int(image_size[0]), int(image_size[1]))
        images = keras.Input((*size, 3), name="images")
        # The same layers under a name of their own: two members may be called alike.
        networks = [
            keras.Model(model.input, model.output, name=f"member_{k}")
            for k, model in enumerate(models, start=1)
        ]
        resized = images
        if size != first.image_size:
            # Half precision would round pixels' values. Keras takes every resizing for an
            # augmentation, which trains unless told otherwise, and with it all layers after it.
            resized = keras.layers.Resizing(
                *first.image_size, data_format="channels_last", dtype="float32", name="resized"
            )(images, training=False)
        shapes = [networks[0](resized)]
        stages = [shapes[0]]
        for k, model in enumerate(models[1:], start=2):
            crop = _crop_of_landmarks(model)
            theta = CropTransform(size, crop, eyes, name=f"crop_{k}")(stages[-1])
            view = SpatialTransformer(model.image_size, kind, dtype="float32", name=f"view_{k}")
            found = networks[k - 1](view([images, theta]))
            shapes.append(InverseShapeTransform(kind, name=f"shape_{k}")([found, theta]))
            stages.append(_mean(shapes, counts[:k]))
        super().__init__(
            images,
            stages,
            {"stages": ops.stack(stages, axis=1)},
            groups={network.name: [network] for network in networks},
            crop=first.crop,
            scheme=scheme,
            name=name,
        )
        self.__dict__["members"] = models
        self.shares = None if shares is None else counts
        self.upright = bool(upright)
        self.box, self.box_padding = first.box, first.box_padding

    def get_config(self) -> dict[str, Any]:
        first = self.members[0].image_size
        return {
            **self.base_config(),
            "members": [keras.saving.serialize_keras_object(model) for model in self.members],
            **({} if self.shares is None else {"shares": self.shares}),
            **({} if self.upright else {"upright": False}),
            **({} if self.image_size == first else {"image_size": list(self.image_size)}),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> Ensemble:
        """Makes a model from what ``get_config`` returned."""
        members = [
            keras.saving.deserialize_keras_object(member, custom_objects)
            if isinstance(member, Mapping)
            else member
            for member in config["members"]
        ]
        chosen = ("shares", "upright", "image_size", "name")
        model = cls(members, **{key: config[key] for key in chosen if key in config})
        model.box = config.get("box", model.box)
        model.box_padding = config.get("box_padding", model.box_padding)
        model._freeze(config.get("frozen", ()))
        return model


def _checked_shares(shares: Sequence[float] | None, members: int) -> list[float]:
    """Returns a share for each member."""
    found = [1.0] * members if shares is None else [float(share) for share in shares]
    if len(found) != members or min(found) < 0.0 or not 0.0 < sum(found) < math.inf:
        raise ValueError(
            f"`shares` must be {members} finite numbers, one for each member, of which none is "
            f"negative and not all are 0. Received: shares={shares}"
        )
    return found


def _mean(shapes: Sequence[Any], shares: Sequence[float]) -> Any:
    """Returns the weighted mean of shapes; the last one where none counts yet."""
    counting = [(w, shape) for w, shape in zip(shares, shapes, strict=True) if w]
    if not counting:
        return shapes[-1]
    if len(counting) == 1:
        return counting[0][1]
    total = sum(w for w, _ in counting)
    stacked = ops.stack([shape for _, shape in counting], axis=1)
    if len({w for w, _ in counting}) == 1:
        return ops.mean(stacked, axis=1)
    parts = np.array([w / total for w, _ in counting], np.float32).reshape(1, -1, 1, 1)
    return ops.sum(stacked * parts, axis=1)


def _crop_of_landmarks(model: LandmarkModel) -> CropConvention:
    """Returns the convention by which the landmarks' tight box becomes a model's input.

    A model that was trained on other boxes than the landmarks' brings the padding between both.
    """
    if model.box == "landmarks":
        return model.crop
    if model.box_padding is None:
        raise ValueError(
            "A further member must say that it was trained on the landmarks' boxes "
            "(`model.box = 'landmarks'`), or bring the padding from these to its own "
            f"(`model.box_padding`, which training sets). Received: {model.name!r} with "
            f"box={model.box!r}"
        )
    left, top, right, bottom = model.box_padding["points"]
    width, height = 1.0 + left + right, 1.0 + top + bottom
    paddings = zip((left, top, right, bottom), model.crop.padding, (width, height) * 2, strict=True)
    padding = tuple(first + second * side for first, second, side in paddings)
    return CropConvention(padding, model.crop.square)
