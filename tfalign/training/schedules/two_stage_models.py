"""TSR's models as the recipes' options describe them."""

from __future__ import annotations

from typing import Any

from tfalign.models import DirectRegression, TSRBaseline1, TSRBaseline2, TwoStage


def make(
    width: float = 1.0,
    trunk: str = "",
    input_shape: tuple[int, int, int] = (224, 224, 3),
    **arguments: Any,
) -> TwoStage:
    """Makes Proposed of the recipes' options, with batch normalisation unless told otherwise.

    Args:
        width: Multiplier on the global regression's channels; the small networks have
            four times that, at most 1, for they cost little.
        trunk: ``"resnet18"`` takes it for the global regression; any other takes VGG-S.
        input_shape: The view has 60 pixels, or half of the crop's if that is less.
        **arguments: Of ``TwoStage``.
    """
    return TwoStage(
        width=width,
        view_width=min(1.0, 4.0 * width),
        view_size=min(60, min(input_shape[:2]) // 2),
        regressor="resnet18" if trunk == "resnet18" else "vgg_s",
        input_shape=input_shape,
        **{"batch_norm": True, **arguments},
    )


def make_global(**arguments: Any) -> TwoStage:
    """Makes Proposed⁻, see `make`."""
    return make(**{"local_stage": False, "name": "two_stage_global", **arguments})


def make_baseline1(width: float = 1.0, trunk: str = "", **arguments: Any) -> DirectRegression:
    """Makes Baseline1 of the recipes' options, as wide as Proposed's small networks.

    The paper's reads 60×60 pixels: ``--image-size 60``.

    Args:
        width: As for `make`.
        trunk: Ignored.
        **arguments: Of ``TSRBaseline1``.
    """
    del trunk
    return TSRBaseline1(width=min(1.0, 4.0 * width), **{"batch_norm": True, **arguments})


def make_baseline2(width: float = 1.0, trunk: str = "", **arguments: Any) -> DirectRegression:
    """Makes Baseline2 of the recipes' options.

    Args:
        width: Multiplier on channels.
        trunk: Ignored.
        **arguments: Of ``TSRBaseline2``.
    """
    del trunk
    return TSRBaseline2(width=width, **{"batch_norm": True, **arguments})
