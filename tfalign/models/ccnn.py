"""CCNN: cascaded heatmaps, each refined by regression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from tfalign.layers import HeatmapArgmax
from tfalign.models.landmark_model import (
    CropLike,
    LandmarkModel,
    SchemeLike,
    check_input_shape,
    resolve_points,
)
from tfalign.models.trunks.ccnn_base import mobile_base, paper_base
from tfalign.models.trunks.ccnn_units import (
    heatmap_head,
    heatmap_unit,
    regression_features,
    regression_head,
)
from tfalign.models.weights import load_weights

TRUNKS: dict[str, Callable[[Any, int, float, str], Any]] = {
    "paper": paper_base,
    "mobile": mobile_base,
}
FILTERS = ("paper", "separable")
# Channels of F¹ and F² at width 1.
_F1, _F2 = 128, 68
CELL = 4
"""Pixels along the side of a cell of the heatmaps."""


@keras.saving.register_keras_serializable(package="tfalign")
class CCNN(LandmarkModel):
    """A cascade of heatmap units, and beside it one of regression units that refine their maxima.

    BaseCNN2 gives a feature map F² and the first heatmaps H₀; heatmap unit k makes H_k of F² and
    H_{k−1}. P̂_k is the maxima of H_k. Regression unit k makes features E_k of F¹ (BaseCNN1), F²,
    H_k and H₀, and of E_k and E_{k−1} the increment ΔP̂_k. The landmarks are P̂_K + ΔP̂_K.

    Tensors by name, in ``training_model``: ``heatmap_0`` … ``heatmap_K`` (batch, H/4, W/4, n),
    ``peak_0`` … ``peak_K`` (P̂_k) and ``refined_1`` … ``refined_K`` (P̂_k + ΔP̂_k), (batch, n, 2).
    ``stages`` and ``stage_shapes`` hold P̂₀, then P̂_k and P̂_k + ΔP̂_k of each unit. ``map_size``
    is (columns, rows) of the heatmaps.

    Args:
        num_landmarks: n; None takes the number of the scheme's points.
        input_shape: (height, width, 3), multiples of 4, at least 32; the paper's is (256, 256, 3).
        units: K, at least 0; the paper's is 4. None at all is the base network alone: P̂₀.
        width: Multiplier on channels; the paper's is 1.0.
        filters: Form of the filters of 5×5 and more: ``"paper"``, or ``"separable"`` (ours, see
            ``trunks.ccnn_units.wide_conv``).
        trunk: Base networks: ``"paper"`` (Table 2), or ``"mobile"`` (ours, see
            ``trunks.ccnn_base``).
        soft: Whether P̂ is sub-cell (see ``HeatmapArgmax``); the paper's is not.
        sigma: Standard deviation in cells of the Gaussians that ``soft`` expects.
        dropout: Rate of the dropout after A11, in training; the paper's is 0.5.
        crop: The box convention: a name of ``tfalign.geometry.CROP_PRESETS``, a
            ``CropConvention`` or its configuration.
        scheme: Landmark scheme of the outputs, as ``tfalign.markup.get`` takes it, or None.
        weights: None, the name of weights that ship with the package, or the path of a ``.npz``,
            ``.weights.h5`` or ``.keras`` file.
        name: Model name.

    Input shape:
        (batch, height, width, 3), RGB in [0, 255], uint8 or float.

    Output shape:
        (batch, n, 2), (x, y) in [0, 1]² of the input image.

    Size:
        As published, with every unit that training needs (``training_model``), 43,382,865,920 MACC
        and 44,329,852 parameters: Tables 2 to 4 counted by hand, as `tfalign.macc` counts the
        model. The landmarks alone take 40,936,439,808 and 18,331,876, since they need neither the
        regression heads of units 1 to 3 nor E₁ and E₂.

    Reference:
        Mahpod, Das, Maiorana, Keller, Campisi, "Facial Landmark Point Localization using
        Coarse-to-Fine Deep Recurrent Neural Network", 2018, Tables 2 to 4 and Equations 1 and 2.

    Reading:
        Text and Table 3 name F¹ where Figure 3 and section 3.2 have F². Both printed input sizes
        (136 and 332 channels) follow from F¹ with 128 and F² with 68 channels, which is what is
        built. Pads are totals of both sides: convolutions are "same", and pools of stride 1 keep
        the size (they are maxima). C6, printed 1×1 on a 2×2 map with one output, is a convolution
        over the whole map. E₀ is empty: the first unit takes E₁ twice, so that all units have one
        shape. Table 4 lists no ReLU and there is none. Each convolution is followed by batch
        normalisation, that of maps without offset (see ``trunks.ccnn_units``), but the last, whose
        outputs are increments in cells. P̂_k is found before the ReLU of H_k, which makes no
        difference but where a map is 0 everywhere. P̂_k passes no gradient; that of
        ΔP̂_k flows through the maps into both base networks. Channels of the maps are n at any
        width. The faces of section 4.1 are the given boxes with the shorter side extended, which is
        the default ``crop``; those are a detector's, and about landmarks' own boxes "300w" leaves
        room.

    Raises:
        ValueError: If an argument is outside its range, or the weights belong to another
            configuration.
    """

    def __init__(
        self,
        num_landmarks: int | None = None,
        input_shape: Sequence[int] = (256, 256, 3),
        units: int = 4,
        width: float = 1.0,
        filters: str = "paper",
        trunk: str = "paper",
        soft: bool = False,
        sigma: float = 1.3,
        dropout: float = 0.5,
        crop: CropLike = "ccnn",
        scheme: SchemeLike = None,
        weights: str | None = None,
        name: str = "ccnn",
    ) -> None:
        num_landmarks, scheme = resolve_points(num_landmarks, scheme)
        _check(units, width, filters, trunk, dropout)
        shape = check_input_shape(input_shape, CELL)
        if min(shape[:2]) < 32:
            raise ValueError(
                "`input_shape` must have at least 32 pixels on each side. Received: "
                f"input_shape={shape}"
            )
        n, base = num_landmarks, TRUNKS[trunk]
        cells = (shape[1] // CELL, shape[0] // CELL)
        # Keras gives a Dropout its random state only if its first rate is positive, and a training
        # phase may turn the dropout on later.
        drop = layers.Dropout(dropout or 0.5, name="heatmap_0_dropout")
        drop.rate = dropout

        def peak(heatmap: Any, k: int) -> Any:
            return HeatmapArgmax(soft, sigma, dtype="float32", name=f"peak_{k}")(heatmap)

        images = keras.Input(shape, name="images")
        x = layers.Rescaling(1 / 255, offset=-0.5, name="scale")(images)
        # -- Table 2: BaseCNN2 and its heatmaps
        f2 = base(x, _F2, width, "base_2")
        heatmap, signed = heatmap_head(f2, n, width, filters, drop, "heatmap_0")
        maps, peaks, refined, features = [heatmap], [peak(signed, 0)], [], []
        if units:
            # -- Table 2: BaseCNN1
            f1 = base(x, _F1, width, "base_1")
        for k in range(1, units + 1):
            # -- Table 3: heatmap unit k
            y = layers.Concatenate(name=f"heatmap_{k}_input")([f2, maps[-1]])
            heatmap, signed = heatmap_unit(y, n, width, filters, f"heatmap_{k}")
            maps.append(heatmap)
            peaks.append(peak(signed, k))
            # -- Table 4: regression unit k
            y = layers.Concatenate(name=f"regression_{k}_input")([f1, f2, maps[-1], maps[0]])
            features.append(regression_features(y, width, filters, f"regression_{k}"))
            y = layers.Concatenate(name=f"regression_{k}_pair")([features[-1], features[-2:][0]])
            increment = regression_head(y, n, width, cells, f"regression_{k}")
            add = layers.Add(dtype="float32", name=f"refined_{k}")
            refined.append(add([peaks[-1], increment]))

        stages = [peaks[0], *(s for pair in zip(peaks[1:], refined, strict=True) for s in pair)]
        outputs = {
            **{f"heatmap_{k}": heatmap for k, heatmap in enumerate(maps)},
            **{f"peak_{k}": shape for k, shape in enumerate(peaks)},
            **{f"refined_{k}": shape for k, shape in enumerate(refined, start=1)},
            "stages": ops.stack(stages, axis=1),
        }
        super().__init__(images, stages, outputs, groups={}, crop=crop, scheme=scheme, name=name)
        # The output needs no head but the last unit's. Keras saves the others' weights with the
        # model because they are its attribute.
        own = {id(layer) for layer in self.layers}
        self.supervised_only = [x for x in self.training_model.layers if id(x) not in own]
        self.groups.update(_groups(self.training_model.layers, units), dropout=[drop])
        self.units = int(units)
        self.width = float(width)
        self.filters = filters
        self.trunk = trunk
        self.soft = bool(soft)
        self.sigma = float(sigma)
        self.dropout = float(dropout)
        self.map_size = cells
        if weights is not None:
            load_weights(self, weights)

    def _set_mean_shape(self, shape: np.ndarray) -> None:
        """Does nothing: maxima of heatmaps start from no shape."""

    def get_config(self) -> dict[str, Any]:
        return {
            **self.base_config(),
            "units": self.units,
            "width": self.width,
            "filters": self.filters,
            "trunk": self.trunk,
            "soft": self.soft,
            "sigma": self.sigma,
            "dropout": self.dropout,
            "weights": None,
        }


def _groups(every: Sequence[Any], units: int) -> dict[str, list[Any]]:
    """Returns the parts by name: all layers, both sides of the cascade, and each unit of both."""
    sides = {"heatmaps": ("base_2", "heatmap_"), "regressions": ("base_1", "regression_")}
    parts = {f"heatmap_{k}": (f"heatmap_{k}_",) for k in range(units + 1)}
    parts |= {f"regression_{k}": (f"regression_{k}_",) for k in range(1, units + 1)}
    named = {
        group: [layer for layer in every if layer.name.startswith(prefixes)]
        for group, prefixes in (sides | parts).items()
    }
    return {"all": list(every), **{name: found for name, found in named.items() if found}}


def _check(units: int, width: float, filters: str, trunk: str, dropout: float) -> None:
    """Raises ``ValueError`` for an argument outside its range."""
    if units < 0:
        raise ValueError(f"`units` must be at least 0. Received: units={units}")
    if not width > 0:
        raise ValueError(f"`width` must be positive. Received: width={width}")
    if filters not in FILTERS:
        raise ValueError(f"`filters` must be one of {FILTERS}. Received: filters={filters!r}")
    if trunk not in TRUNKS:
        raise ValueError(f"`trunk` must be one of {sorted(TRUNKS)}. Received: trunk={trunk!r}")
    if not 0.0 <= dropout < 1.0:
        raise ValueError(f"`dropout` must be in [0, 1). Received: dropout={dropout}")
