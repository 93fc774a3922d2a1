"""The architectures by name: those of the papers, and whatever an application registers.

    @tfalign.models.register("mynet")
    class MyNet(tfalign.models.LandmarkModel): ...

Every command then takes ``--model mynet`` and opens the files that were saved of it, once
``--import MODULE`` has imported the module that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import keras

from tfalign.models.ccnn import CCNN
from tfalign.models.deepreg import DeepReg
from tfalign.models.direct_regression import DirectRegression, TSRBaseline1, TSRBaseline2
from tfalign.models.dssd import DSSD
from tfalign.models.greglref import GRegLRef, GRegNet
from tfalign.models.landmark_model import LandmarkModel
from tfalign.models.rdssd import RDSSD
from tfalign.models.trunks.tcdcn import SMALLEST as SMALLEST_VIEW
from tfalign.models.two_stage import TwoStage

Maker = TypeVar("Maker", bound=Callable[..., Any])


@dataclass(frozen=True)
class Architecture:
    """A kind of model that can be trained by name.

    Attributes:
        name: What ``--model`` calls it.
        build: Takes ``num_landmarks``, ``input_shape``, ``crop``, ``scheme`` and whatever else it
            has defaults for; returns a `LandmarkModel`.
        kind: The class of what it returns.
        published: Arguments of ``build`` that make the paper's model; none for one's own.
        schedules: Name to a function of the model and a `tfalign.training.Budget` that returns a
            `tfalign.training.Schedule`. `tfalign.training` adds those of the papers, and one for
            models that bring none.
        settings: Fields of `tfalign.training.Settings` that go with the published schedule.
    """

    name: str
    build: Callable[..., Any]
    kind: type
    published: Mapping[str, Any] = field(default_factory=dict)
    schedules: Mapping[str, Callable[[Any, Any], Any]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def make(self, **arguments: Any) -> Any:
        """Makes a model.

        Args:
            **arguments: Of ``build``.

        Raises:
            ValueError: If the architecture has no such argument, or a value breaks its rule.
        """
        try:
            return self.build(**arguments)
        except TypeError as error:
            if "unexpected keyword argument" not in str(error):
                raise
            raise ValueError(
                f"Architecture {self.name!r} must be made with arguments that it has: {error}. "
                f"Received: {', '.join(arguments)}"
            ) from error


ARCHITECTURES: dict[str, Architecture] = {}
"""Name to architecture; `register` adds to it."""


def register(
    name: str,
    *,
    kind: type | None = None,
    published: Mapping[str, Any] | None = None,
    schedules: Mapping[str, Callable[[Any, Any], Any]] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Callable[[Maker], Maker]:
    """Returns a decorator that makes a class, or a function that makes models, known by a name.

    A class is registered with Keras as well, where it is not yet, so that its files can be opened.

    Args:
        name: What ``--model`` will call it.
        kind: The class of the models; None takes the decorated class itself.
        published, schedules, settings: See `Architecture`.

    Raises:
        ValueError: If the name is taken, or a function is decorated without ``kind``.
    """

    def add(made: Maker) -> Maker:
        known = ARCHITECTURES.get(name)
        if known is not None and known.build.__qualname__ != made.__qualname__:
            raise ValueError(f"An architecture's name must be new. Received: name={name!r}")
        model_kind = made if kind is None else kind
        if not (isinstance(model_kind, type) and issubclass(model_kind, LandmarkModel)):
            raise ValueError(
                "`register` decorates a subclass of LandmarkModel, or, with `kind`, a function "
                f"that makes one. Received: {made!r}, kind={kind!r}"
            )
        if keras.saving.get_registered_name(model_kind) == model_kind.__name__:
            package = model_kind.__module__.partition(".")[0]
            keras.saving.register_keras_serializable(package=package)(model_kind)
        ARCHITECTURES[name] = Architecture(
            name, made, model_kind, published or {}, schedules or {}, settings or {}
        )
        return made

    return add


def architecture(model: str | type | LandmarkModel | Architecture) -> Architecture:
    """Returns an architecture by its name, class or a model of it.

    Where several names have one class, a model gives the first of them.

    Raises:
        ValueError: If there is none.
    """
    if isinstance(model, Architecture):
        return model
    if isinstance(model, str):
        if model in ARCHITECTURES:
            return ARCHITECTURES[model]
    else:
        kind = model if isinstance(model, type) else type(model)
        for entry in ARCHITECTURES.values():
            if entry.kind is kind:
                return entry
    raise ValueError(
        f"An architecture must be one of {', '.join(ARCHITECTURES)}; your own is made known by "
        f"`tfalign.models.register` and, to a command, by --import MODULE. Received: {model!r}"
    )


# The papers' models as commands make them: unless asked for the published one, in the form that a
# CPU trains. A dropout layer is always there, for a phase to switch on.


@register("greglref", kind=GRegLRef, published={"trunk": "resnet18"})
def _greglref(trunk: str = "compact", dropout: float = 0.2, **arguments: Any) -> Any:
    return GRegLRef(trunk=trunk, dropout=dropout, **arguments)


@register("gregnet", kind=GRegLRef, published={"trunk": "resnet18"})
def _gregnet(trunk: str = "compact", dropout: float = 0.2, **arguments: Any) -> Any:
    return GRegNet(trunk=trunk, dropout=dropout, **arguments)


@register(
    "ccnn",
    kind=CCNN,
    published={"trunk": "paper", "filters": "paper", "units": 4, "soft": False, "crop": "ccnn"},
)
def _ccnn(**arguments: Any) -> Any:
    if arguments.get("trunk", "mobile") == "mobile":
        arguments = {
            "trunk": "mobile",
            "filters": "separable",
            "units": 2,
            "soft": True,
            **arguments,
        }
    return CCNN(**arguments)


register("deepreg", kind=DeepReg)(DeepReg)


@register("dssd", kind=DSSD, published={"crop": "dssd"})
def _dssd(**arguments: Any) -> Any:
    return DSSD(**_with_patch(arguments))


@register("rdssd", kind=RDSSD, published={"crop": "dssd"})
def _rdssd(**arguments: Any) -> Any:
    return RDSSD(**_with_patch(arguments))


@register("rdssd_star", kind=RDSSD, published={"crop": "dssd"})
def _rdssd_star(**arguments: Any) -> Any:
    return RDSSD(**{"stages": "R-DSSD*", **_with_patch(arguments)})


def _with_patch(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Adds the paper's share of the image as the patch, and at least what its network takes."""
    side = min(arguments.get("input_shape", (200, 200, 3))[:2])
    return {"patch": max(16, round(30 * side / 200)), **arguments}


_TSR = {"batch_norm": False, "crop": "tsr"}


@register("two_stage", kind=TwoStage, published=_TSR)
def _two_stage(**arguments: Any) -> Any:
    """Small networks are four times as wide as the rest: they cost little."""
    width = arguments.get("width", 1.0)
    side = min(arguments.get("input_shape", (224, 224, 3))[:2])
    if side < SMALLEST_VIEW:
        raise ValueError(
            f"TSR's input must have at least {SMALLEST_VIEW} pixels on each side, which its first "
            f"network reads. Received: {side} pixels"
        )
    view = max(SMALLEST_VIEW, min(60, side // 2))
    ours = {"view_width": min(1.0, 4.0 * width), "view_size": view}
    return TwoStage(**{"batch_norm": True, **ours, **arguments})


@register("two_stage_global", kind=TwoStage, published=_TSR)
def _two_stage_global(**arguments: Any) -> Any:
    return _two_stage(**{"local_stage": False, "name": "two_stage_global", **arguments})


@register("tsr_baseline1", kind=DirectRegression, published=_TSR)
def _tsr_baseline1(width: float = 1.0, **arguments: Any) -> Any:
    return TSRBaseline1(width=min(1.0, 4.0 * width), **{"batch_norm": True, **arguments})


@register("tsr_baseline2", kind=DirectRegression, published=_TSR)
def _tsr_baseline2(**arguments: Any) -> Any:
    return TSRBaseline2(**{"batch_norm": True, **arguments})
