"""Coordinates, affine maps, boxes, crops and bilinear sampling.

**The one coordinate convention.** Everything in tfalign that touches a coordinate follows it:

* A point is ``(x, y)``, float32; an array of shapes is ``(batch, n, 2)``.
* A size is ``(height, width)``, as an array's shape and as in Keras, wherever one is given or told.
* *Image space*: pixels, 0-based. Pixel ``i`` covers ``[i, i + 1)``, so its centre lies at
  ``i + 0.5`` and an image of width ``w`` covers ``[0, w]``. Readers convert into it: MATLAB-style
  annotations (1-based, the centre of the first pixel at 1) lose 0.5.
* *Model space* (``unit``): ``[0, 1]²``, image space divided by width and height. Mirroring an
  image is ``x → 1 − x``, exactly.
* *Signed space* (``signed``): ``[−1, 1]²``, used inside the spatial transformer only.
* A box is ``(x0, y0, x1, y1)`` in pixels.
* An affine map is a 2×3 matrix that acts on column vectors, ``p' = A [x, y, 1]ᵀ``. Its name says
  where it leads and where from: ``crop_from_image``.

The functions accept NumPy arrays or tensors of the Keras back end, return what they were given,
broadcast over leading dimensions and are differentiable where the mathematics is.
"""

from tfalign.geometry.affine import (
    about,
    affine_from_points,
    compose,
    identity,
    invert,
    rotation,
    scaling,
    similarity_from_points,
    transform_points,
    translation,
)
from tfalign.geometry.boxes import (
    box_center,
    box_from_landmarks,
    box_size,
    clip_box,
    crop_from_image,
    pad_box,
    perturb_box,
    square_box,
)
from tfalign.geometry.crop import CROP_PRESETS, CropConvention, crop_convention, image_from_unit
from tfalign.geometry.sampling import Border, sample_bilinear, warp_affine
from tfalign.geometry.spaces import (
    pixel_from_unit,
    signed_from_unit,
    unit_from_pixel,
    unit_from_signed,
)

__all__ = [
    "CROP_PRESETS",
    "Border",
    "CropConvention",
    "about",
    "affine_from_points",
    "box_center",
    "box_from_landmarks",
    "box_size",
    "clip_box",
    "compose",
    "crop_convention",
    "crop_from_image",
    "identity",
    "image_from_unit",
    "invert",
    "pad_box",
    "perturb_box",
    "pixel_from_unit",
    "rotation",
    "sample_bilinear",
    "scaling",
    "signed_from_unit",
    "similarity_from_points",
    "square_box",
    "transform_points",
    "translation",
    "unit_from_pixel",
    "unit_from_signed",
    "warp_affine",
]
