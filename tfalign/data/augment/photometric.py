"""The pixel changes of an augmentation, in order, each on the images that drew it."""

from __future__ import annotations

import math
from collections.abc import Callable

from keras import ops

from tfalign.data.augment import colour, filters
from tfalign.data.augment.config import AugmentConfig
from tfalign.data.augment.draws import Draws
from tfalign.data.augment.noise import add_noise
from tfalign.data.augment.occlusion import occlude
from tfalign.geometry.namespace import Array

Effect = Callable[..., Array]


def apply_where(
    images: Array, chosen: Array, effect: Effect, *parameters: Array, static: bool
) -> Array:
    """Applies an effect to the chosen images of a batch.

    Args:
        images: (batch, height, width, 3) float.
        chosen: (batch,) bool.
        effect: ``effect(images, *parameters)``.
        parameters: Tensors with the batch as first axis.
        static: True computes the effect on the whole batch and selects, which keeps every shape
            static (JAX, XLA); False gathers the chosen images first, so that the cost follows
            their number (TensorFlow on the CPU). The results are equal.
    """
    if static:
        changed = effect(images, *parameters)
        return ops.where(ops.reshape(chosen, (-1, 1, 1, 1)), changed, images)
    (indices,) = ops.nonzero(chosen)

    def some() -> Array:
        taken = [ops.take(values, indices, axis=0) for values in (images, *parameters)]
        return ops.scatter_update(images, indices[:, None], effect(*taken))

    # Not every op takes an empty batch (TensorFlow's mirroring pad does not).
    return ops.cond(ops.shape(indices)[0] > 0, some, lambda: images)


def _clipped(effect: Effect) -> Effect:
    """Keeps an effect's result in [0, 255], as an 8-bit camera pipeline would."""
    return lambda images, *parameters: ops.clip(effect(images, *parameters), 0.0, 255.0)


def occlusion(config: AugmentConfig, images: Array, draws: Draws, static: bool) -> Array:
    """Puts an occluder in front of the chosen faces."""
    chosen = draws.chance("occlusion", config.occlusion)
    low, high = config.occlusion_size
    return apply_where(
        images,
        chosen,
        lambda images, numbers: occlude(images, numbers, low, high),
        draws.unit("occluder"),
        static=static,
    )


def blur(config: AugmentConfig, images: Array, draws: Draws, static: bool) -> Array:
    """Blurs the chosen images with one of the three blurs."""
    chosen = draws.chance("blur", config.blur)
    weights = [weight / sum(config.blur_kinds) for weight in config.blur_kinds]
    kind = draws.unit("blur_kind")[:, 0]
    gaussian, median = kind < weights[0], kind >= weights[0] + weights[1]
    if weights[0] or weights[1]:
        # Two standard deviations, or the whole box: what the largest kernel of the range needs.
        reach = max(
            2.0 * config.gaussian_sigma[1] if weights[0] else 0.0,
            0.5 * (config.average_size[1] - 1.0) if weights[1] else 0.0,
        )
        radius = max(1, math.ceil(reach))
        kernels = ops.where(
            gaussian[:, None],
            filters.gaussian_kernel(draws.between("gaussian_sigma", config.gaussian_sigma), radius),
            filters.average_kernel(draws.between("average_size", config.average_size), radius),
        )
        linear = ops.logical_and(chosen, ops.logical_not(median))
        images = apply_where(images, linear, filters.separable, kernels, static=static)
    if weights[2]:
        medians = ops.logical_and(chosen, median)
        images = apply_where(images, medians, filters.median, static=static)
    return images


def sharpen(config: AugmentConfig, images: Array, draws: Draws, static: bool) -> Array:
    """Sharpens the chosen images."""
    kernels = filters.sharpen_kernel(
        draws.between("sharpen_alpha", config.sharpen_alpha),
        draws.between("sharpen_lightness", config.sharpen_lightness),
    )
    chosen = draws.chance("sharpen", config.sharpen)
    return apply_where(images, chosen, _clipped(filters.convolve), kernels, static=static)


def emboss(config: AugmentConfig, images: Array, draws: Draws, static: bool) -> Array:
    """Embosses the chosen images."""
    kernels = filters.emboss_kernel(
        draws.between("emboss_alpha", config.emboss_alpha),
        draws.between("emboss_strength", config.emboss_strength),
    )
    chosen = draws.chance("emboss", config.emboss)
    return apply_where(images, chosen, _clipped(filters.convolve), kernels, static=static)


def hue_saturation(config: AugmentConfig, images: Array, draws: Draws, static: bool) -> Array:
    """Changes hue and saturation of the chosen images."""
    return apply_where(
        images,
        draws.chance("hue_saturation", config.hue_saturation),
        colour.add_hue_saturation,
        draws.between("hue", config.hue),
        draws.between("saturation", config.saturation),
        static=static,
    )


def contrast_brightness(config: AugmentConfig, images: Array, draws: Draws, static: bool) -> Array:
    """Changes contrast and brightness of the images that drew either, as one linear map."""
    contrast = draws.chance("contrast", config.contrast)
    brightness = draws.chance("brightness", config.brightness)
    factor = draws.per_channel("contrast_factor", config.contrast_factor, config.per_channel)
    shift = draws.per_channel("brightness_shift", config.brightness_shift, config.per_channel)
    return apply_where(
        images,
        ops.logical_or(contrast, brightness),
        _clipped(colour.contrast_brightness),
        ops.where(contrast[:, None], factor, 1.0),
        ops.where(brightness[:, None], shift, 0.0),
        static=static,
    )


def grey(config: AugmentConfig, images: Array, draws: Draws, static: bool) -> Array:
    """Takes colour out of the chosen images."""
    chosen = draws.chance("grey", config.grey)
    alpha = draws.between("grey_alpha", config.grey_alpha)
    return apply_where(images, chosen, colour.blend_grey, alpha, static=static)


def noise(config: AugmentConfig, images: Array, draws: Draws, static: bool) -> Array:
    """Adds noise to the chosen images."""
    return apply_where(
        images,
        draws.chance("noise", config.noise),
        _clipped(add_noise),
        draws.keys,
        draws.between("noise_sigma", config.noise_sigma),
        draws.chance("noise_per_channel", config.per_channel),
        static=static,
    )


STAGES: dict[str, tuple[tuple[str, ...], Callable[[AugmentConfig, Array, Draws, bool], Array]]] = {
    "occlusion": (("occlusion",), occlusion),
    "blur": (("blur",), blur),
    "sharpen": (("sharpen",), sharpen),
    "emboss": (("emboss",), emboss),
    "hue and saturation": (("hue_saturation",), hue_saturation),
    "contrast and brightness": (("contrast", "brightness"), contrast_brightness),
    "grey": (("grey",), grey),
    "noise": (("noise",), noise),
}
"""The stages in the order of their application: which probabilities switch one on, and it."""


def apply(config: AugmentConfig, images: Array, draws: Draws, static: bool) -> Array:
    """Applies every stage that is switched on.

    Args:
        config: The probabilities and ranges.
        images: (batch, height, width, 3) float, RGB in [0, 255].
        draws: The batch's random numbers.
        static: See ``apply_where``.

    Returns:
        The shape and range of ``images``.
    """
    for switches, stage in STAGES.values():
        if any(getattr(config, name) > 0.0 for name in switches):
            images = stage(config, images, draws, static)
    return images
