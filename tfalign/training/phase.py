"""Training phases as plain data: a published schedule is a value, not a program."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_OPTIMIZERS = ("sgd", "adam", "adamw")
_LEARNING_RATES = ("constant", "cosine", "polynomial", "piecewise", "plateau")


@dataclass(frozen=True)
class LossTerm:
    """The loss of one named output of ``model.training_model``.

    Every loss receives the annotated landmarks (batch, n, 2) in [0, 1] as ``y_true``; one whose
    target is something else (heatmaps, a transform) makes that target from them.

    Attributes:
        loss: Name for `tfalign.losses.get`.
        weight: Factor in the sum of the phase's losses.
        arguments: The loss's constructor arguments, plain data.
    """

    loss: str = "l2"
    weight: float = 1.0
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OptimizerSpec:
    """An optimizer.

    Attributes:
        kind: ``"sgd"``, ``"adam"`` or ``"adamw"``.
        momentum: For SGD; Adam's ``beta_1``.
        nesterov: For SGD.
        beta_2: For Adam and AdamW.
        weight_decay: SGD: added to the gradient (``gradient + weight_decay * weight``), as PyTorch
            and the five papers have it. AdamW: decoupled from the gradient. Not for Adam.
        decay_exclude: Variables whose path (``"fc/kernel"``) contains one of these are not decayed,
            for instance ``("bias", "gamma", "beta")``.
        clip_norm: Largest norm of all gradients taken together; None does not clip.
        rate_factors: Factors on the learning rate by part of a variable's path; the first match
            counts. Adam moves every weight by about the learning rate whatever the gradient, which
            is too far for layers with many inputs and outputs as small as a shape increment.
            AdamW's decay goes by the rate itself.
        ema: Momentum of an exponential moving average of the weights, which validation, the best
            weights and the phase's result then use; None averages nothing. Statistics of batch
            normalisation, already moving averages, are taken as they are.
    """

    kind: str = "sgd"
    momentum: float = 0.9
    nesterov: bool = False
    beta_2: float = 0.999
    weight_decay: float = 0.0
    decay_exclude: tuple[str, ...] = ()
    clip_norm: float | None = None
    rate_factors: Mapping[str, float] = field(default_factory=dict)
    ema: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in _OPTIMIZERS:
            raise ValueError(f"`kind` must be one of {_OPTIMIZERS}. Received: kind={self.kind!r}")
        if self.kind == "adam" and self.weight_decay:
            raise ValueError(
                "Adam with weight decay is kind='adamw'. "
                f"Received: kind='adam', weight_decay={self.weight_decay}"
            )
        if self.nesterov and self.kind != "sgd":
            raise ValueError(
                f"`nesterov` belongs to kind='sgd'. Received: nesterov=True, kind={self.kind!r}"
            )
        if self.weight_decay < 0.0:
            raise ValueError(
                f"`weight_decay` must be >= 0. Received: weight_decay={self.weight_decay}"
            )
        if any(factor < 0.0 for factor in self.rate_factors.values()):
            raise ValueError(
                f"`rate_factors` must be >= 0. Received: rate_factors={dict(self.rate_factors)}"
            )
        if self.ema is not None and not 0.0 < self.ema < 1.0:
            raise ValueError(f"`ema` must be None or inside (0, 1). Received: ema={self.ema}")
        if self.clip_norm is not None and not self.clip_norm > 0.0:
            raise ValueError(
                "`clip_norm` must be positive; None does not clip. "
                f"Received: clip_norm={self.clip_norm}"
            )
        object.__setattr__(self, "decay_exclude", tuple(self.decay_exclude))


@dataclass(frozen=True)
class LearningRateSpec:
    """How the learning rate runs through one phase.

    Attributes:
        base: The rate; for ``"cosine"`` and ``"polynomial"`` the one decay starts from.
        kind: ``"constant"``; ``"cosine"`` or ``"polynomial"`` decay to ``final`` over the phase;
            ``"piecewise"``, where ``values[i]`` applies from ``boundaries[i]`` on; ``"plateau"``,
            multiplied by ``factor`` when validation stops improving.
        warmup: Share of the phase's steps, in [0, 1), that rises linearly from 0 to ``base``;
            for ``"cosine"`` only.
        final: Rate at the end of ``"cosine"`` and ``"polynomial"``, smallest rate of ``"plateau"``.
        power: Exponent of ``"polynomial"``.
        boundaries: For ``"piecewise"``: optimizer steps within the phase.
        values: For ``"piecewise"``: one rate per boundary; before the first one it is ``base``.
        patience: For ``"plateau"``: epochs without improvement that are let pass.
        factor: For ``"plateau"``.
        threshold: For ``"plateau"``: relative improvement that counts.
        monitor: For ``"plateau"``: what is watched; lower is better.
    """

    base: float
    kind: str = "constant"
    warmup: float = 0.0
    final: float = 0.0
    power: float = 1.0
    boundaries: tuple[int, ...] = ()
    values: tuple[float, ...] = ()
    patience: int = 10
    factor: float = 0.1
    threshold: float = 1e-4
    monitor: str = "val_nme"

    def __post_init__(self) -> None:
        if self.kind not in _LEARNING_RATES:
            raise ValueError(
                f"`kind` must be one of {_LEARNING_RATES}. Received: kind={self.kind!r}"
            )
        if not self.base > 0.0:
            raise ValueError(f"`base` must be positive. Received: base={self.base}")
        if not 0.0 <= self.warmup < 1.0 or (self.warmup and self.kind != "cosine"):
            raise ValueError(
                "`warmup` must be in [0, 1) and belongs to kind='cosine'. "
                f"Received: warmup={self.warmup}, kind={self.kind!r}"
            )
        if self.final and self.kind in ("constant", "piecewise"):
            raise ValueError(
                "`final` belongs to kind='cosine', 'polynomial' or 'plateau'. "
                f"Received: final={self.final}, kind={self.kind!r}"
            )
        if self.power != 1.0 and self.kind != "polynomial":
            raise ValueError(
                "`power` belongs to kind='polynomial'. "
                f"Received: power={self.power}, kind={self.kind!r}"
            )
        if (self.kind == "piecewise") != bool(self.boundaries) or len(self.boundaries) != len(
            self.values
        ):
            raise ValueError(
                "kind='piecewise' takes as many `values` as `boundaries`, and only it takes them. "
                f"Received: kind={self.kind!r}, boundaries={self.boundaries}, values={self.values}"
            )
        if any(later <= one for one, later in itertools.pairwise((0, *self.boundaries))):
            raise ValueError(
                "`boundaries` must be positive and rise from one to the next. "
                f"Received: boundaries={self.boundaries}"
            )
        object.__setattr__(self, "boundaries", tuple(self.boundaries))
        object.__setattr__(self, "values", tuple(self.values))


@dataclass(frozen=True)
class CallbackSpec:
    """A Keras callback that one phase needs, made anew for it.

    Attributes:
        name: Name of a class in `tfalign.callbacks`.
        arguments: Its constructor arguments, plain data.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Phase:
    """One phase: what trains, on which losses, how and for how long.

    Attributes:
        name: Unique in the schedule.
        losses: Output name of ``model.training_model`` to loss. Outputs without a loss are not
            computed.
        learning_rate: The learning rate.
        optimizer: The optimizer; made anew for each phase, so moments do not cross phases.
        epochs: Length in epochs, or None where ``steps`` says it. 0 makes a phase that only runs
            ``start``.
        steps: Length in optimizer steps, rounded up to whole epochs by the runner.
        train: Names in ``model.groups``. Every other layer is frozen, the statistics of its batch
            normalisation too (Keras runs a frozen one in inference mode); its dropout stays live.
        switches: Settings of the model made when the phase starts and kept by later phases:
            ``{"dropout": rate}``, or any other name for ``model.set_switch(name, value)``.
        start: Name of a method of the model called once, with the training feed, before the first
            step: initialisations and closed-form solutions. It must be deterministic.
        callbacks: Further callbacks.
        patience: Early stopping: the phase ends once ``val_nme`` has not improved in more than
            this many epochs. None: never.
    """

    name: str
    losses: Mapping[str, LossTerm]
    learning_rate: LearningRateSpec
    optimizer: OptimizerSpec = OptimizerSpec()
    epochs: int | None = None
    steps: int | None = None
    train: tuple[str, ...] = ("all",)
    switches: Mapping[str, Any] = field(default_factory=dict)
    start: str | None = None
    callbacks: tuple[CallbackSpec, ...] = ()
    patience: int | None = None

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(
                "A phase has either `epochs` or `steps`. "
                f"Received: name={self.name!r}, epochs={self.epochs}, steps={self.steps}"
            )
        if min(self.epochs or 0, self.steps or 0) < 0:
            raise ValueError(
                "A phase's length must be >= 0. "
                f"Received: name={self.name!r}, epochs={self.epochs}, steps={self.steps}"
            )
        if not self.losses:
            raise ValueError(f"A phase needs a loss. Received: name={self.name!r}, losses={{}}")
        object.__setattr__(self, "train", tuple(self.train))
        object.__setattr__(self, "callbacks", tuple(self.callbacks))

    def length(self, steps_per_epoch: int) -> int:
        """Returns the phase's length in epochs of ``steps_per_epoch`` steps."""
        if self.epochs is not None:
            return self.epochs
        return -(-(self.steps or 0) // steps_per_epoch)


@dataclass(frozen=True)
class Schedule:
    """Phases, run in order.

    Attributes:
        name: What it is called.
        phases: The phases; their names differ.
        source: Where the numbers come from: paper and section, or a note that they are ours.
    """

    name: str
    phases: tuple[Phase, ...]
    source: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "phases", tuple(self.phases))
        names = [phase.name for phase in self.phases]
        if not names or len(set(names)) != len(names):
            raise ValueError(
                f"A schedule has at least one phase and no name twice. Received: names={names}"
            )

    def get_config(self) -> dict[str, Any]:
        """Returns the schedule as plain data that JSON holds."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return plain

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Schedule:
        """Makes a schedule from what `get_config` returned.

        Raises:
            ValueError: If a field is unknown, missing or of another type, or breaks its rule; the
                message says in which phase.
        """
        made = _checked(cls, config, "the schedule")
        phases = [
            _phase(phase, f"phase {place}") for place, phase in enumerate(made["phases"], start=1)
        ]
        return cls(**{**made, "phases": tuple(phases)})

    def to_json(self) -> str:
        """Returns the schedule as JSON text."""
        return json.dumps(self.get_config(), indent=2)

    @classmethod
    def from_json(cls, text: str) -> Schedule:
        """Makes a schedule from what `to_json` returned, or a person wrote; see `from_config`."""
        return cls.from_config(json.loads(text))

    @classmethod
    def from_file(cls, path: str | Path) -> Schedule:
        """Reads a schedule from a JSON file.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is no schedule; the message names the file and what is wrong.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"A schedule's file must exist. Received: {str(path)!r}")
        try:
            return cls.from_json(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} must hold a schedule as JSON: {error}") from error


def _phase(config: Any, where: str) -> Phase:
    made = _checked(Phase, config, where)
    where = f"{where}, {made['name']!r}"
    parts: dict[str, Any] = {
        "losses": {
            name: LossTerm(**_checked(LossTerm, term, f"{where}, loss of {name!r}"))
            for name, term in made["losses"].items()
        },
        "learning_rate": LearningRateSpec(
            **_checked(LearningRateSpec, made["learning_rate"], f"{where}, learning_rate")
        ),
        "callbacks": tuple(
            CallbackSpec(**_checked(CallbackSpec, spec, f"{where}, callbacks"))
            for spec in made.get("callbacks", ())
        ),
    }
    if "optimizer" in made:
        parts["optimizer"] = OptimizerSpec(
            **_checked(OptimizerSpec, made["optimizer"], f"{where}, optimizer")
        )
    return Phase(**{**made, **parts})


# What JSON has for the types that fields are declared with.
_JSON_TYPES: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "None": (type(None),),
    "tuple": (list, tuple),
    "Mapping": (dict,),
    "LearningRateSpec": (dict,),
    "OptimizerSpec": (dict,),
}


def _checked(kind: type, config: Any, where: str) -> dict[str, Any]:
    """Returns a mapping that has the fields of a dataclass, and values of their types.

    Raises:
        ValueError: If it does not.
    """
    known = {field.name: field for field in dataclasses.fields(kind)}
    if not isinstance(config, Mapping):
        raise ValueError(f"{where} must be an object. Received: {config!r}")
    nothing = dataclasses.MISSING
    required = {
        name for name, f in known.items() if f.default is nothing and f.default_factory is nothing
    }
    if (unknown := sorted(set(config) - set(known))) or (missing := sorted(required - set(config))):
        told = f"the unknown {unknown}" if unknown else f"none of {missing}"
        raise ValueError(f"{where} has the fields {', '.join(known)}. Received: {told}")
    for name, value in config.items():
        # Annotations are text here: "float | None", "tuple[int, ...]".
        kinds = [part.partition("[")[0].strip() for part in str(known[name].type).split("|")]
        allowed = tuple(t for part in kinds for t in _JSON_TYPES[part])
        if not isinstance(value, allowed) or (isinstance(value, bool) and "bool" not in kinds):
            raise ValueError(
                f"{where}: `{name}` must be of type {known[name].type}. Received: {name}={value!r}"
            )
    return dict(config)
