"""DeepReg: a cascade of linear regressions on HOG and SIFT features, learned jointly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from tfalign.layers import HOG, BoxHistogram, ConstantShape, OrientationIntegral
from tfalign.models.detector_start import collect
from tfalign.models.dropout_regression import Fit, dropout_descent, dropout_ridge
from tfalign.models.landmark_model import (
    CropLike,
    LandmarkModel,
    SchemeLike,
    check_input_shape,
    resolve_points,
)
from tfalign.models.weights import load_weights

_LUMA = (0.299, 0.587, 0.114)


@keras.saving.register_keras_serializable(package="tfalign")
class DeepReg(LandmarkModel):
    """A global linear regression on HOG, then local ones on SIFT-like features.

    The global layer regresses the shape s⁰ from the HOG of the whole image (Equation 1). Local
    layer t describes the surroundings of each landmark of s^{t−1} and adds a linear function of
    all descriptors: s^t = s^{t−1} + W^t φ^t + b^t (Equation 2). Gradients pass through descriptors
    by central differences, so that all regressions can be learned jointly.

    ``solve_sequential`` learns stage after stage in closed form, ``descend_sequential`` by the
    paper's gradient descent. Which of the paper's variants a model is depends on its arguments and
    its training (see ``tfalign.training.schedules.deepreg``): SequentialReg is this model without
    joint learning, DeepRegLocal has ``global_layer=False``: s⁰ is then the mean shape.

    Args:
        num_landmarks: n; None takes the number of the scheme's points.
        input_shape: (height, width, 3), at least 64 on each side.
        local_layers: T, at least 0; the paper's is 5.
        global_layer: Whether s⁰ is regressed from the image, or is the mean shape.
        patches: Side of the described square in input pixels for each local layer, multiples of
            4. None takes 16 for the last two of three or more and 32 for the others.
        epsilon: ε of the central difference in input pixels; the paper's is 2.
        sigma: Blur of the response maps in input pixels.
        dropout: Rate of the dropout on all features, in training; the paper's is 0.5.
        crop: The box convention: a name of ``tfalign.geometry.CROP_PRESETS``, a
            ``CropConvention`` or its configuration.
        scheme: Landmark scheme of the outputs, as ``tfalign.markup.get`` takes it, or None.
        weights: None, the name of weights that ship with the package, or the path of a ``.npz``,
            ``.weights.h5`` or ``.keras`` file.
        name: Model name.

    Input shape:
        (batch, height, width, 3), RGB in [0, 255], uint8 or float.

    Output shape:
        (batch, n, 2), (x, y) in [0, 1]² of the input image. ``stage_shapes`` has s⁰ … s^T.

    Reference:
        "Deep Regression for Face Alignment", arXiv 1409.5230, 2014.

    Reading:
        HOG's block stride is 8 and the last two of five layers have patches of 16 pixels (the
        paper prints 16, which contradicts its 1,764 dimensions, and six patch sizes for five
        layers). Descriptors are scaled to unit length, as SIFT's are. Features are computed on the
        grey image. The paper does not say how large the image is that patches are measured on;
        128 is ours.

    Raises:
        ValueError: If an argument is outside its range, or the weights belong to another
            configuration.
    """

    def __init__(
        self,
        num_landmarks: int | None = None,
        input_shape: Sequence[int] = (128, 128, 3),
        local_layers: int = 5,
        global_layer: bool = True,
        patches: Sequence[int] | None = None,
        epsilon: float = 2.0,
        sigma: float = 2.0,
        dropout: float = 0.5,
        crop: CropLike = "300w",
        scheme: SchemeLike = None,
        weights: str | None = None,
        name: str = "deepreg",
    ) -> None:
        num_landmarks, scheme = resolve_points(num_landmarks, scheme)
        if local_layers < 0:
            raise ValueError(
                f"`local_layers` must be at least 0. Received: local_layers={local_layers}"
            )
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"`dropout` must be in [0, 1). Received: dropout={dropout}")
        if patches is None:
            patches = [16 if t >= max(local_layers - 2, 1) else 32 for t in range(local_layers)]
        if len(patches) != local_layers:
            raise ValueError(
                "`patches` must hold one side for each local layer. Received: "
                f"patches={list(patches)}, local_layers={local_layers}"
            )
        shape = check_input_shape(input_shape, 1)
        dropouts: list[Any] = []

        def regression(features: Any, stage: str) -> tuple[Any, list[Any]]:
            # Keras gives a Dropout its random state only if its first rate is positive, and a
            # training phase may turn the dropout on later.
            drop = layers.Dropout(dropout or 0.5, dtype="float32", name=f"{stage}_dropout")
            drop.rate = dropout
            dropouts.append(drop)
            dense = layers.Dense(
                2 * num_landmarks, kernel_initializer="zeros", dtype="float32", name=stage
            )
            fold = layers.Reshape((num_landmarks, 2), dtype="float32", name=f"{stage}_shape")
            return fold(dense(drop(features))), [drop, dense, fold]

        images = keras.Input(shape, name="images")
        grey = ops.sum(images * np.array(_LUMA, "float32"), axis=-1, keepdims=True)
        groups: dict[str, list[Any]] = {}
        if global_layer:
            # -- Section 2.1: global layer
            features = HOG(dtype="float32", name="hog")(grey)
            shape_0, groups["global"] = regression(features, "global")
        else:
            shape_0 = ConstantShape(num_landmarks, dtype="float32", name="mean_shape")(images)
        stages = [shape_0]
        if local_layers:
            # -- Section 3.2.2: response maps, once for all local layers
            integrals = OrientationIntegral(sigma=sigma, dtype="float32", name="maps")(grey)
        for t, patch in enumerate(patches, start=1):
            # -- Section 2.2: local layer t
            sift = BoxHistogram(patch, epsilon, dtype="float32", name=f"sift_{t}")
            flat = layers.Flatten(dtype="float32", name=f"sift_{t}_flat")
            increment, groups[f"local_{t}"] = regression(
                flat(sift([integrals, stages[-1]])), f"local_{t}"
            )
            add = layers.Add(dtype="float32", name=f"shape_{t}")
            stages.append(add([stages[-1], increment]))

        groups["dropout"] = dropouts
        super().__init__(
            images,
            stages,
            {"stages": ops.stack(stages, axis=1)},
            groups=groups,
            crop=crop,
            scheme=scheme,
            name=name,
        )
        self.width = 1.0
        self.local_layers = int(local_layers)
        self.global_layer = bool(global_layer)
        self.patches = [int(patch) for patch in patches]
        self.epsilon = float(epsilon)
        self.sigma = float(sigma)
        self.dropout = float(dropout)
        if weights is not None:
            load_weights(self, weights)

    def _set_mean_shape(self, shape: np.ndarray) -> None:
        if self.global_layer:
            self.get_layer("global").bias.assign(shape.reshape(-1))
        else:
            self.get_layer("mean_shape").shape.assign(shape)

    def solve_sequential(self, feed: Any, passes: int = 2) -> None:
        """Learns stage after stage in closed form (section 3.1).

        Stage t is fitted to what stages before it leave, on the shapes that they give for the
        training faces without dropout (Equations 3 and 4). Each regression is the one that gradient
        descent with the present dropout rate approaches, see ``dropout_ridge``. Without a global
        layer, s⁰ is set to the mean of the landmarks. Integral images of all faces are kept in
        memory: half a megabyte for each face of 128×128 pixels.

        Args:
            feed: Source of batches, see ``tfalign.training.Feed``.
            passes: Epochs taken from the feed; with random mirroring, two show half of the faces
                both ways.

        Raises:
            ValueError: If the present dropout rate is 0: the problem then has no unique solution.
        """
        self._learn_sequential(feed, passes, dropout_ridge)

    def descend_sequential(self, feed: Any, passes: int = 1) -> None:
        """Learns stage after stage by gradient descent with dropout (section 3.2.1).

        As ``solve_sequential``, but each regression comes from ``dropout_descent``. The features of
        a stage do not change while it is learned, so they are computed once.

        Args:
            feed: Source of batches, see ``tfalign.training.Feed``.
            passes: Epochs taken from the feed: 1 is right where it brings each face both ways.

        Raises:
            ValueError: If the present dropout rate is 0.
        """
        self._learn_sequential(feed, passes, dropout_descent)

    def _learn_sequential(self, feed: Any, passes: int, fit: Fit) -> None:
        images, landmarks = collect(feed, passes)
        rate = self.groups["dropout"][0].rate if self.groups["dropout"] else 0.5
        targets = landmarks.reshape(len(landmarks), -1)

        def learn(stage: str, features: np.ndarray, rest: np.ndarray) -> np.ndarray:
            """Sets a stage's weights and returns what it predicts for its own features."""
            kernel, bias = fit(features, rest, rate)
            self.get_layer(stage).set_weights([kernel, bias])
            return features @ kernel + bias

        if self.global_layer:
            hog = keras.Model(self.input, self.get_layer("hog").output)
            shapes = learn("global", hog.predict(images, batch_size=64, verbose=0), targets)
        else:
            mean = landmarks.mean(axis=0)
            self.set_mean_shape(mean)
            shapes = np.repeat(mean.reshape(1, -1), len(images), axis=0)
        if not self.local_layers:
            return
        maps = keras.Model(self.input, self.get_layer("maps").output)
        integrals = maps.predict(images, batch_size=64, verbose=0)
        for t in range(1, self.local_layers + 1):
            positions = shapes.reshape(landmarks.shape)
            sift = self.get_layer(f"sift_{t}")
            symbols = [keras.Input(x.shape[1:]) for x in (integrals, positions)]
            describe = keras.Model(symbols, layers.Flatten()(sift(symbols)))
            features = describe.predict([integrals, positions], batch_size=64, verbose=0)
            shapes = shapes + learn(f"local_{t}", features, targets - shapes)

    def get_config(self) -> dict[str, Any]:
        return {
            **self.base_config(),
            "local_layers": self.local_layers,
            "global_layer": self.global_layer,
            "patches": self.patches,
            "epsilon": self.epsilon,
            "sigma": self.sigma,
            "dropout": self.dropout,
            "weights": None,
        }
