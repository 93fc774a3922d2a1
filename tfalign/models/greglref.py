"""GRegLRef: global regression and cascaded local refinement on shared features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from tfalign.layers import LandmarkwiseDense, ShapeIndexedCrop
from tfalign.models.landmark_model import (
    CropLike,
    LandmarkModel,
    SchemeLike,
    check_input_shape,
    resolve_points,
)
from tfalign.models.trunks.blocks import depthwise_bn
from tfalign.models.trunks.compact import compact
from tfalign.models.trunks.mobile import mobile
from tfalign.models.trunks.resnet import resnet18
from tfalign.models.weights import load_weights

TRUNKS: dict[str, Callable[[Any, float], tuple[list[Any], Any]]] = {
    "resnet18": resnet18,
    "mobile": mobile,
    "compact": compact,
}


@keras.saving.register_keras_serializable(package="tfalign")
class GRegLRef(LandmarkModel):
    """Global regression network (GRegNet) followed by cascaded local refinement (LRefNets).

    GRegNet regresses the whole shape S⁰ from the image. Refinement ``t`` crops a 5×5 patch of a
    shallow feature map around each landmark of S^{t−1} (``ShapeIndexedCrop``), applies to each
    patch its own 5×5 filters, and one dense layer turns all responses into the increment ΔS^t:
    S^t = S^{t−1} + ΔS^t (Equations 1–4). Refinements read ever finer maps.

    Args:
        num_landmarks: n; None takes the number of the scheme's points.
        input_shape: (height, width, 3), multiples of 16; the paper's is (112, 112, 3).
        width: Multiplier on the trunk's channels; the paper's is 1.0.
        refinements: Number of LRefNets T, 0 to 3; the paper's is 2. None at all is ``GRegNet``.
        trunk: ``"resnet18"`` (the paper's), or one of ours for phones and training on a CPU:
            ``"compact"`` (dense convolutions, the faster one) or ``"mobile"`` (inverted residuals).
            As every default of a class it is the paper's; who trains by the name "greglref" gets
            ``"compact"``, unless the schedule is the published one (``tfalign.models.register``).
        patch: Side of the patch in cells of the feature map; the paper's is 5.
        filters: Filters per landmark in each LRefNet; the paper's is 4.
        dropout: Rate of the dropout on the trunk's pooled feature, in training. The paper adds it
            in the second phase on 300-W, so that S⁰ leaves something to refine; a training phase
            may set it (section 4.3).
        stop_position_gradient: Whether the crops treat landmark positions as constants. The paper
            speaks of gradients of features alone (section 3.3), so this is True; DSSD's derives
            those of positions.
        crop: The box convention: a name of ``tfalign.geometry.CROP_PRESETS``, a
            ``CropConvention`` or its configuration.
        scheme: Landmark scheme of the outputs, as ``tfalign.markup.get`` takes it, or None.
        weights: None (random), the name of weights that ship with the package (see
            ``tfalign.models.shipped_presets``), or the path of a ``.npz``, ``.weights.h5`` or
            ``.keras`` file.
        name: Model name.

    Input shape:
        (batch, height, width, 3), RGB in [0, 255], uint8 or float.

    Output shape:
        (batch, n, 2), (x, y) in [0, 1]² of the input image. ``stage_shapes`` has S⁰ … S^T.

    Reference:
        Su, Wang, Liao, Ling, "Efficient and Accurate Face Alignment by Global Regression and
        Cascaded Local Refinement", CVPR Workshops 2019.

    Reading:
        The paper crops boxes and resizes them to 112×112. Whether that stretches them it does not
        say; here they are squared first, and the crops ``"300w_stretched"``, ``"wflw_stretched"``,
        ``"cofw_stretched"`` and ``"aflw_stretched"`` are the literal reading.
        A 1×1 convolution stands in front of gdconv (see ``trunks.resnet``). In
        ``training_model`` S^t = stop_gradient(S^{t−1}) + ΔS^t, so that a loss on stage t is a loss
        on ΔS^t against the online target S* − S^{t−1} (Equation 7) and moves nothing else through
        S^{t−1}. A loss on the model's own output, as plain ``fit`` has it, reaches all stages
        (Equation 5).

    Raises:
        ValueError: If an argument is outside its range, or the weights belong to another
            configuration.
    """

    def __init__(
        self,
        num_landmarks: int | None = None,
        input_shape: Sequence[int] = (112, 112, 3),
        width: float = 1.0,
        refinements: int = 2,
        trunk: str = "resnet18",
        patch: int = 5,
        filters: int = 4,
        dropout: float = 0.0,
        stop_position_gradient: bool = True,
        crop: CropLike = "wflw",
        scheme: SchemeLike = None,
        weights: str | None = None,
        name: str = "greglref",
    ) -> None:
        num_landmarks, scheme = resolve_points(num_landmarks, scheme)
        if trunk not in TRUNKS:
            raise ValueError(f"`trunk` must be one of {sorted(TRUNKS)}. Received: trunk={trunk!r}")
        if not 0 <= refinements <= 3:
            raise ValueError(
                f"`refinements` must be 0, 1, 2 or 3. Received: refinements={refinements}"
            )
        if not width > 0:
            raise ValueError(f"`width` must be positive. Received: width={width}")
        shape = check_input_shape(input_shape, 16)

        images = keras.Input(shape, name="images")
        x = layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(images)
        # -- Table 1: trunk
        maps, x = TRUNKS[trunk](x, width)
        # -- Table 1: gdconv, a depthwise convolution over the whole map
        x = depthwise_bn(x, tuple(x.shape[1:3]), activation=False, padding="valid", name="gdconv")
        x = layers.Flatten(name="feature")(x)
        # Keras gives a Dropout its random state only if its first rate is positive, and a training
        # phase may turn the dropout on later.
        feature_dropout = layers.Dropout(dropout or 0.5, name="feature_dropout")
        feature_dropout.rate = dropout
        x = feature_dropout(x)
        # -- Table 1: fc
        fc = layers.Dense(
            2 * num_landmarks,
            # A Glorot start would scatter S⁰ over more than the whole image; near zero it starts at
            # the bias, which `set_mean_shape` makes the mean shape.
            kernel_initializer=keras.initializers.RandomNormal(stddev=1e-3),
            dtype="float32",
            name="fc",
        )
        shape_0 = layers.Reshape((num_landmarks, 2), dtype="float32", name="shape_0")(fc(x))

        stages, supervised, refinement = [shape_0], [shape_0], []
        for t in range(1, refinements + 1):
            # -- Table 2: LRefNet t, on the (T − t + 1)-th finest map
            features = maps[refinements - t]
            block = [
                ShapeIndexedCrop(patch, stop_position_gradient, name=f"crop_{t}"),
                LandmarkwiseDense(filters, "relu", name=f"local_{t}"),
                layers.Flatten(name=f"local_{t}_flat"),
                layers.Dense(
                    2 * num_landmarks,
                    # Starts near zero: refinement begins as the identity.
                    kernel_initializer=keras.initializers.RandomNormal(stddev=1e-3),
                    dtype="float32",
                    name=f"increment_{t}",
                ),
                layers.Reshape((num_landmarks, 2), dtype="float32", name=f"increment_{t}_shape"),
            ]
            y: Any = [features, stages[-1]]
            for layer in block:
                y = layer(y)
            # The same sum twice: the output's gradient reaches every stage, that of a loss on the
            # supervised stages the increment alone (Equation 7's target is computed online).
            supervised.append(ops.add(ops.stop_gradient(stages[-1]), y))
            stages.append(layers.Add(dtype="float32", name=f"shape_{t}")([stages[-1], y]))
            refinement += block

        by_id = {id(layer) for layer in refinement}
        stacked = ops.stack(supervised, axis=1)
        super().__init__(
            images,
            stages,
            # The global shape by itself, so that training it computes no refinement.
            {"stages": stacked, "global": shape_0},
            groups={"refinement": refinement},
            crop=crop,
            scheme=scheme,
            name=name,
        )
        self.groups["global"] = [layer for layer in self.layers if id(layer) not in by_id]
        self.width = float(width)
        self.refinements = int(refinements)
        self.trunk = trunk
        self.patch = int(patch)
        self.filters = int(filters)
        self.dropout = float(dropout)
        self.stop_position_gradient = bool(stop_position_gradient)
        if weights is not None:
            load_weights(self, weights)

    def _set_mean_shape(self, shape: np.ndarray) -> None:
        self.get_layer("fc").bias.assign(shape.reshape(-1))

    def get_config(self) -> dict[str, Any]:
        return {
            **self.base_config(),
            "width": self.width,
            "refinements": self.refinements,
            "trunk": self.trunk,
            "patch": self.patch,
            "filters": self.filters,
            "dropout": self.dropout,
            "stop_position_gradient": self.stop_position_gradient,
            "weights": None,
        }


def GRegNet(
    num_landmarks: int | None = None, input_shape: Sequence[int] = (112, 112, 3), **kwargs: Any
) -> GRegLRef:
    """Returns the global regression network alone: ``GRegLRef`` with ``refinements=0``.

    Takes the other arguments of ``GRegLRef`` except ``refinements``. It is the baseline of the
    paper's Tables 3 to 6.

    Raises:
        ValueError: If ``refinements`` is given.
    """
    if "refinements" in kwargs:
        raise ValueError("GRegNet has no `refinements`; use GRegLRef.")
    return GRegLRef(num_landmarks, input_shape, refinements=0, **{"name": "gregnet", **kwargs})
