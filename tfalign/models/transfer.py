"""Weights of one model for another: of another markup, another input size, another class."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tfalign import markup
from tfalign.layers import PixelDifferences
from tfalign.models.ensemble import Ensemble
from tfalign.models.landmark_model import LandmarkModel
from tfalign.models.weights import load, load_weights

_TOLD = 8


@dataclass(frozen=True)
class Transfer:
    """What a model took over from another.

    Attributes:
        source: Where the weights are from, in words.
        whole: Variables that were copied as they are.
        by_point: Variables of which the parts of ``points`` were taken over.
        anew: Variables that kept their own values.
        points: The target's points that the source has, or makes as means of its own.
        new_points: The target's other points, whose parts keep their own values.
        in_order: Whether neither model names its points, so that those of equal place were taken
            to be the same.
    """

    source: str
    whole: tuple[str, ...]
    by_point: tuple[str, ...]
    anew: tuple[str, ...]
    points: tuple[str, ...]
    new_points: tuple[str, ...]
    in_order: bool = False

    def table(self) -> str:
        """Returns what was copied and what not, a line each."""
        lines = [f"initial weights from {self.source}:"]
        lines.append(f"  copied whole: {len(self.whole)} variables")
        if self.by_point:
            taken = f"{len(self.points)} of {len(self.points) + len(self.new_points)} points"
            lines.append(f"  point by point, {taken}: {_listed(self.by_point)}")
        if self.in_order:
            lines.append("  no point has a name: those of equal place were taken to be the same")
        if self.new_points:
            lines.append(f"  points that start anew: {_listed(self.new_points)}")
        if self.anew:
            lines.append(f"  variables that start anew: {_listed(self.anew)}")
        return "\n".join(lines)


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return ", ".join(names[:_TOLD]) + more


def transfer(model: LandmarkModel, source: str | os.PathLike[str] | keras.Model) -> Transfer:
    """Gives a model whatever fits of another one's weights.

    Variables are matched by their layer's name. What does not depend on the landmarks is copied
    where the shapes agree. Of what does, such as the layers that make coordinates, the part of
    each point is taken over that the source's scheme has, too: by its name, or as
    ``tfalign.markup.convert`` makes it (where a point is the mean of several, so are its weights).
    The rest keeps its own values. A model of 68 points thus starts one of 98, of 5 points of one's
    own, or of the same 68 in another order, at any input size.

    Args:
        model: The model to change.
        source: A model, a preset's name, the path of a ``.keras`` file, or of a ``.npz`` or
            ``.weights.h5`` file of exactly this model. Of an ensemble it is the first member of
            the largest share.

    Returns:
        What was copied and what not.

    Raises:
        FileNotFoundError: If a path does not exist.
        ValueError: If nothing fits, the source is none of these, or layers of a model are called
            alike, as those of an ensemble may be.
    """
    if not isinstance(source, keras.Model) and os.fspath(source).endswith((".npz", ".weights.h5")):
        load_weights(model, source)
        return Transfer(os.fspath(source), tuple(_variables(model)), (), (), (), ())
    other = load(source)
    while isinstance(other, Ensemble):
        shares = other.shares or [1.0] * len(other.members)
        other = other.members[shares.index(max(shares))]
    mix, points = _mix(other, model)
    mine, theirs = _variables(model), _variables(other)
    same_points = mix.shape[0] == mix.shape[1] and np.array_equal(mix, np.eye(len(mix)))
    for part in [*_changed_parts(model, other), *_changed_pixels(model, other, same_points)]:
        theirs = {k: v for k, v in theirs.items() if not k.startswith(part)}
    axes = {} if same_points else _landmark_axes(model)
    other_axes = {} if same_points else _landmark_axes(other)
    whole, by_point, anew = [], [], []
    for name, variable in mine.items():
        given = theirs.get(name)
        if given is None:
            anew.append(name)
            continue
        value = np.asarray(keras.ops.convert_to_numpy(given))
        known = axes.get(name, {})
        # Whole numbers, such as the places of neighbours, mean nothing in another order.
        moved = known and not np.issubdtype(value.dtype, np.floating)
        if moved or known != other_axes.get(name, {}):
            anew.append(name)
            continue
        taken = np.ones(variable.shape, bool)
        for axis, width in known.items():
            value, rows = _mixed(value, axis, width, mix)
            taken &= np.expand_dims(rows, [i for i in range(taken.ndim) if i != axis])
        if value.shape != tuple(variable.shape) or not taken.any():
            anew.append(name)
            continue
        own = np.asarray(keras.ops.convert_to_numpy(variable))
        variable.assign(np.where(taken, value, own).astype(own.dtype))
        (by_point if known else whole).append(name)
    told = "a model" if isinstance(source, keras.Model) else os.fspath(source)
    scheme = getattr(other, "scheme", None)
    of = f"{type(other).__name__}, " + ("no scheme" if scheme is None else scheme.name)
    if not whole and not by_point:
        raise ValueError(
            "Initial weights must have at least one variable of the model's layer names and "
            f"shapes. Received: {told} ({of}) for {type(model).__name__}"
        )
    names = [str(i) for i in range(model.num_landmarks)]
    names = list(model.scheme.points) if model.scheme is not None else names
    return Transfer(
        f"{told} ({of})",
        tuple(whole),
        tuple(by_point),
        tuple(anew),
        tuple(name for name, known in zip(names, points, strict=True) if known),
        tuple(name for name, known in zip(names, points, strict=True) if not known),
        in_order=bool(points.all()) and all(name.isdigit() for name in names),
    )


def _changed_parts(model: Any, other: Any) -> list[tuple[str, str]]:
    """Returns how the names of layers begin that know the points of a part, where these differ."""

    def points(of: Any, part: str) -> list[str]:
        return [of.scheme.points[i] for i in of.parts[part]]

    common = set(getattr(model, "parts", ())) & set(getattr(other, "parts", ()))
    changed = [part for part in sorted(common) if points(model, part) != points(other, part)]
    return [(f"theta_{part}/", f"increment_{part}/") for part in changed]


def _changed_pixels(model: Any, other: Any, same_points: bool) -> list[str]:
    """Returns how the names of layers begin that know the pixels of a coarse stage of DSSD.

    Each place in the order of the points has random pixels of its own, which are no weights: what
    was learned of those of one point says nothing of another's.
    """

    def offsets(of: Any) -> dict[str, np.ndarray]:
        return {x.name: x.offsets for x in of.layers if isinstance(x, PixelDifferences)}

    mine, theirs = offsets(model), offsets(other)
    return [
        name.replace("differences_", "coarse_") + "/"
        for name, given in mine.items()
        if not same_points or not np.array_equal(given, theirs.get(name))
    ]


def _variables(model: keras.Model) -> dict[str, Any]:
    """Returns the weights by their path in the model, without the model's own name.

    Raises:
        ValueError: If two weights have one path, as in models that are made of models.
    """
    found: dict[str, Any] = {}
    prefix = f"{model.name}/"
    prefix = prefix if all(v.path.startswith(prefix) for v in model.weights) else ""
    for variable in model.weights:
        name = variable.path.removeprefix(prefix)
        if name.endswith("seed_generator_state"):
            continue
        if name in found:
            raise ValueError(
                "Weights go from one model to another by the names of layers, which must differ; "
                f"those of a model that is made of models go one by one. Received: {name!r} twice "
                f"in {model.name!r}"
            )
        found[name] = variable
    return found


def _mix(source: Any, target: LandmarkModel) -> tuple[np.ndarray, np.ndarray]:
    """Returns (n, m): each target point as a mean of source points, and (n,): which there are."""
    n, m = target.num_landmarks, int(getattr(source, "num_landmarks", 0) or 0)
    theirs, mine = getattr(source, "scheme", None), target.scheme
    if theirs is None or mine is None:
        # Points without names: the same ones, if they are as many.
        same = theirs is None and mine is None and n == m
        return (np.eye(n, m) if same else np.zeros((n, m))), np.full(n, same)
    mix = np.zeros((n, m))
    try:
        sources = markup.conversion(theirs, mine).sources
    except ValueError:
        sources = ()  # no point of one is a point of the other
    for row, used in zip(mix, sources, strict=False):
        row[list(used)] = 1.0 / max(len(used), 1)
    return mix, mix.any(axis=1)


def _landmark_axes(model: Any) -> dict[str, dict[int, int]]:
    """Returns, by variable, each axis that counts landmarks and how many entries a landmark has.

    Found by building the architecture once more with one point more: whatever grows counts points.
    """
    if not isinstance(model, LandmarkModel):
        return {}
    config = {**model.get_config(), "num_landmarks": model.num_landmarks + 1, "weights": None}
    if model.scheme is not None:  # with the same parts
        more = {"points": [*model.scheme.points, "one more"], "flip_pairs": None}
        config["scheme"] = {**model.scheme.to_config(), **more}
    if "canonical_shape" in config:
        config["canonical_shape"] = None  # it has a row for each point
    wider = type(model).from_config(config)
    grown = {name: tuple(v.shape) for name, v in _variables(wider).items()}
    found: dict[str, dict[int, int]] = {}
    for name, variable in _variables(model).items():
        pairs = zip(variable.shape, grown.get(name, variable.shape), strict=True)
        axes = {axis: b - a for axis, (a, b) in enumerate(pairs) if a != b}
        if axes:
            found[name] = axes
    return found


def _mixed(
    value: np.ndarray, axis: int, width: int, mix: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns an array for the target's points along one axis, and which of its rows are known."""
    n, m = mix.shape
    if value.shape[axis] != m * width:
        return np.empty(0), np.zeros(1, bool)
    apart = np.moveaxis(value, axis, 0).reshape(m, -1)
    rest = np.moveaxis(value, axis, 0).shape[1:]
    joined = (mix @ apart).reshape(n * width, *rest)
    return np.moveaxis(joined, 0, axis), np.repeat(mix.any(axis=1), width)
