"""DSSD: one stage of sharable and structural detectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tfalign.models.detector_cascade import HALVINGS, DetectorCascade
from tfalign.models.landmark_model import CropLike, SchemeLike


@keras.saving.register_keras_serializable(package="tfalign")
class DSSD(DetectorCascade):
    """Deep sharable and structural detectors: an initial shape and one refinement of it.

    A 30×30 patch around each landmark of the initial shape S⁰ is described by one small network,
    its description joined with those of its K nearest neighbours and re-weighted (Equations 2 and
    3). Each coordinate is then detected by a sparse mixture of G shared linear detectors, W = P C
    (Equations 4 and 5), and a network Q of two layers makes the increment ΔS of all responses.

    P and C are trained by ``tfalign.callbacks.ProximalUpdate``, all else by back-propagation (see
    ``tfalign.training.schedules.dssd``).

    Args:
        num_landmarks: n; None takes the number of the scheme's points.
        input_shape: (height, width, 3), multiples of 4; the paper's is (200, 200, 3).
        width: Multiplier on channels and hidden units; the paper's is 1.0.
        scale: Of the image that patches are cut from: 200 (the input itself), 100 (half its side)
            or 50.
        patch: Side of a patch in pixels of that image; the paper's is 30.
        kernel: Side of the patch network's filters; the paper's is 5.
        neighbors: K, the landmark itself included; the paper's is 5.
        features: Length of a landmark's features φ; the paper's is 20.
        latent_tasks: G; the paper's is 20.
        sharable: Whether detectors are sharable. If not, one dense layer makes the responses of
            the features of all landmarks (the baseline of Table IV, together with ``neighbors=1``).
        centers: Number of shapes that the initial shape is mixed of; the paper's is 500.
        stop_position_gradient: Whether patches treat landmarks as constants. The paper derives the
            gradient of positions (Equations 17 to 22), so this is False.
        crop: The box convention: a name of ``tfalign.geometry.CROP_PRESETS``, a
            ``CropConvention`` or its configuration.
        scheme: Landmark scheme of the outputs, as ``tfalign.markup.get`` takes it, or None.
        weights: None, the name of weights that ship with the package, or the path of a ``.npz``,
            ``.weights.h5`` or ``.keras`` file.
        name: Model name.

    Input shape:
        (batch, height, width, 3), RGB in [0, 255], uint8 or float.

    Output shape:
        (batch, n, 2), (x, y) in [0, 1]² of the input image. ``stage_shapes`` has S⁰ and S¹.

    Reference:
        Liu, Lu, Feng, Zhou, "Learning Deep Sharable and Structural Detectors for Face Alignment",
        IEEE Transactions on Image Processing, 2017.

    Reading:
        The paper does not say which image a single DSSD works on; half the input is ours. Q's
        hidden layer has as many units as H₂'s (512) and tanh; the paper gives neither. The initial
        shape is the mean of the k-means centres, weighted by how likely a small network finds each
        of them, instead of the likeliest centre alone: it has a gradient and no jumps. ΔS is in
        units of the patch's side.

    Raises:
        ValueError: If an argument is outside its range, or the weights belong to another
            configuration.
    """

    def __init__(
        self,
        num_landmarks: int | None = None,
        input_shape: Sequence[int] = (200, 200, 3),
        width: float = 1.0,
        scale: int = 100,
        patch: int = 30,
        kernel: int = 5,
        neighbors: int = 5,
        features: int = 20,
        latent_tasks: int = 20,
        sharable: bool = True,
        centers: int = 500,
        stop_position_gradient: bool = False,
        crop: CropLike = "dssd",
        scheme: SchemeLike = None,
        weights: str | None = None,
        name: str = "dssd",
    ) -> None:
        if scale not in HALVINGS:
            raise ValueError(f"`scale` must be one of {sorted(HALVINGS)}. Received: scale={scale}")
        super().__init__(
            coarse=(),
            refinements=(scale,),
            shared=True,
            num_landmarks=num_landmarks,
            input_shape=input_shape,
            width=width,
            patch=patch,
            kernel=kernel,
            neighbors=neighbors,
            features=features,
            latent_tasks=latent_tasks,
            sharable=sharable,
            centers=centers,
            pairs=1,
            radius=1.0,
            stop_position_gradient=stop_position_gradient,
            crop=crop,
            scheme=scheme,
            weights=weights,
            name=name,
        )
        self.scale = int(scale)

    def get_config(self) -> dict[str, Any]:
        return {**self.cascade_config(), "scale": self.scale}
