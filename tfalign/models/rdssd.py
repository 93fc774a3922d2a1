"""R-DSSD: coarse stages, then refinement by the same detectors on ever finer images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tfalign.models.detector_cascade import DetectorCascade
from tfalign.models.landmark_model import CropLike, SchemeLike

# Image scales of the coarse and of the refinement stages.
STAGES = {
    "R-DSSD": ((50, 50), (50, 100, 200)),
    "R-DSSD*": ((50,), (100, 200)),
}


@keras.saving.register_keras_serializable(package="tfalign")
class RDSSD(DetectorCascade):
    """Recurrent deep sharable and structural detectors: a coarse-to-fine cascade.

    An initial shape is moved by coarse stages, each a linear regression on random pixel differences
    (Equation 18), and then by refinement stages, each a ``DSSD`` with the same parameters on an
    image of another scale (Equations 14–16). Patches have the same size in pixels throughout, so
    they show ever less of the face, ever finer.

    Gradients reach earlier stages through the sum of increments and through the positions at which
    images are read (Equations 17–22).

    Args:
        num_landmarks: n; None takes the number of the scheme's points.
        input_shape: (height, width, 3), multiples of 4; the paper's is (200, 200, 3). Images of
            half and a quarter of the side (100 and 50 pixels) are made inside.
        width: Multiplier on channels and hidden units; the paper's is 1.0.
        stages: ``"R-DSSD"`` (two coarse and three refinement stages) or ``"R-DSSD*"`` (one and
            two).
        shared: Whether the refinement stages have the same parameters, as the paper's do; if not
            (sequential and joint learning in Table VI), each has its own.
        patch: Side of a patch in pixels; the paper's is 30.
        kernel: Side of the patch network's filters; the paper's is 5.
        neighbors: K, the landmark itself included; the paper's is 5.
        features: Length of a landmark's features φ; the paper's is 20.
        latent_tasks: G; the paper's is 20.
        sharable: Whether detectors are sharable, see ``DSSD``.
        centers: Number of shapes that the initial shape is mixed of; the paper's is 500.
        pairs: Pixel differences per landmark in a coarse stage.
        radius: Largest distance of their pixels from the landmark, as a share of the image's side.
        stop_position_gradient: Whether images are read at positions treated as constants.
        crop: The box convention: a name of ``tfalign.geometry.CROP_PRESETS``, a
            ``CropConvention`` or its configuration.
        scheme: Landmark scheme of the outputs, as ``tfalign.markup.get`` takes it, or None.
        weights: None, the name of weights that ship with the package, or the path of a ``.npz``,
            ``.weights.h5`` or ``.keras`` file.
        name: Model name.

    Input shape:
        (batch, height, width, 3), RGB in [0, 255], uint8 or float.

    Output shape:
        (batch, n, 2), (x, y) in [0, 1]² of the input image. ``stage_shapes`` has S⁰ … S^T.

    Reference:
        Liu, Lu, Feng, Zhou, "Learning Deep Sharable and Structural Detectors for Face Alignment",
        IEEE Transactions on Image Processing, 2017.

    Reading:
        Which stage works on which image is not stated: coarse stages read the smallest image,
        refinements the three images in order, in R-DSSD* the two larger ones. Increments are in
        units of the patch's side, so that the same detectors serve every scale. Number and spread
        of the pixel pairs are ours. See also ``DSSD``.

    Raises:
        ValueError: If an argument is outside its range, or the weights belong to another
            configuration.
    """

    def __init__(
        self,
        num_landmarks: int | None = None,
        input_shape: Sequence[int] = (200, 200, 3),
        width: float = 1.0,
        stages: str = "R-DSSD",
        shared: bool = True,
        patch: int = 30,
        kernel: int = 5,
        neighbors: int = 5,
        features: int = 20,
        latent_tasks: int = 20,
        sharable: bool = True,
        centers: int = 500,
        pairs: int = 10,
        radius: float = 0.15,
        stop_position_gradient: bool = False,
        crop: CropLike = "dssd",
        scheme: SchemeLike = None,
        weights: str | None = None,
        name: str = "rdssd",
    ) -> None:
        if stages not in STAGES:
            raise ValueError(
                f"`stages` must be one of {sorted(STAGES)}. Received: stages={stages!r}"
            )
        coarse, refinements = STAGES[stages]
        super().__init__(
            coarse=coarse,
            refinements=refinements,
            shared=shared,
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
            pairs=pairs,
            radius=radius,
            stop_position_gradient=stop_position_gradient,
            crop=crop,
            scheme=scheme,
            weights=weights,
            name=name,
        )
        self.stages, self.shared = stages, bool(shared)

    def get_config(self) -> dict[str, Any]:
        return {
            **self.cascade_config(),
            "stages": self.stages,
            "shared": self.shared,
            "pairs": self.pairs,
            "radius": self.radius,
        }
