"""Every augmentation moves one bright dot and one landmark together.

The source crops hold a bright coloured dot; one landmark sits on its centre. After augmentation
the dot is found again in the picture, by its centre of mass, and compared with the landmark. It is
done eagerly, compiled on the device and inside tf.data; the last test compiles for JAX.
"""

import os
import subprocess
import sys

import cv2
import keras
import numpy as np
import pytest

from tfalign import geometry, markup
from tfalign.data.augment import GEOMETRY_ONLY, AugmentConfig, RandomAugment, sample_keys
from tfalign.data.augment.draws import Draws
from tfalign.data.augment.filters import emboss_kernel
from tfalign.data.pipeline import CropCache, training_dataset
from tfalign.data.pipeline.augmenter import augmenter

FACES, SOURCE, OUTPUT = 24, 192, (112, 112)
POINT = 8  # the landmark on the dot: the chin, its own mirror image
BACKGROUND = 70.0
WINDOW = 14  # pixels about the dot that its centre of mass is taken over

EFFECTS = {
    "flip": AugmentConfig(flip=0.5),
    "rotation": AugmentConfig(rotation=(-30, 30)),
    "scale": AugmentConfig(scale=(0.75, 1.2)),
    "translation": AugmentConfig(translation=0.1),
    "all geometry": GEOMETRY_ONLY,
    "gaussian": AugmentConfig(blur=1.0, blur_kinds=(1, 0, 0)),
    "average": AugmentConfig(blur=1.0, blur_kinds=(0, 1, 0)),
    "median": AugmentConfig(blur=1.0, blur_kinds=(0, 0, 1)),
    "sharpen": AugmentConfig(sharpen=1.0),
    "emboss": AugmentConfig(emboss=1.0),
    "hue and saturation": AugmentConfig(hue_saturation=1.0),
    "contrast": AugmentConfig(contrast=1.0),
    "brightness": AugmentConfig(brightness=1.0),
    "grey": AugmentConfig(grey=1.0),
    "noise": AugmentConfig(noise=1.0),
    "occlusion": AugmentConfig(occlusion=1.0, occlusion_size=(0.1, 0.25)),
    "geometry and blur": AugmentConfig(
        flip=0.5, rotation=(-30, 30), scale=(0.75, 1.2), translation=0.1, blur=1.0, noise=0.5
    ),
}

needs_tensorflow = pytest.mark.skipif(
    keras.config.backend() != "tensorflow", reason="tf.data augments with the TensorFlow back end"
)


def make_cache(name):
    """Source crops with one dot each, at places that are no whole pixels."""
    # Embossing lights the dot's edges by three times its height: a fainter one is not clipped.
    colour = np.array([110.0, 80.0, 50.0]) * (0.2 if name == "emboss" else 1.0)
    rng = np.random.default_rng(5)
    centres = rng.uniform(70, 122, (FACES, 2)).astype(np.float32)
    grid = np.arange(SOURCE) + 0.5
    x, y = (
        grid[None, None, :] - centres[:, 0, None, None],
        grid[None, :, None] - centres[:, 1, None, None],
    )
    dot = np.exp(-(x**2 + y**2) / (2 * 3.0**2))[..., None]
    images = np.rint(BACKGROUND + dot * colour).astype(np.uint8)
    landmarks = rng.uniform(40, 150, (FACES, 68, 2)).astype(np.float32)
    landmarks[:, POINT] = centres
    boxes = np.tile(np.array([36, 36, 156, 156], np.float32), (FACES, 1))
    return CropCache(
        images=images,
        landmarks=landmarks,
        visible=np.ones((FACES, 68), bool),
        source_from_image=geometry.identity(FACES),
        output_from_source=geometry.crop_from_image(boxes, OUTPUT),
        boxes=boxes,
        names=np.array([str(i) for i in range(FACES)]),
        attributes=np.array([{}] * FACES, dtype=object),
        scheme=markup.IBUG68,
        image_size=OUTPUT,
        crop=geometry.CropConvention(),
    )


def inputs(cache, keys):
    """The layer's arguments for all faces of the cache."""
    return {
        "image": cache.images,
        "landmarks": cache.landmarks,
        "crop": cache.output_from_source,
        "key": keys,
    }


def centre_of_mass(image, ignore, taper):
    """Finds the dot: (2,) in pixels, from the picture alone.

    With ``taper`` pixels about the dot count less the further away they are, so that noise there
    does not drown it; the centre of the weights is moved until it is the centre of mass.
    """
    signal = image.astype(np.float64).mean(axis=-1)
    signal = signal - np.median(signal)
    signal[ignore] = 0.0
    smooth = cv2.GaussianBlur(np.abs(signal), (0, 0), 3)
    row, column = np.unravel_index(np.argmax(smooth), smooth.shape)
    y, x = np.mgrid[: signal.shape[0], : signal.shape[1]] + 0.5
    near = (np.abs(x - column - 0.5) <= WINDOW) & (np.abs(y - row - 0.5) <= WINDOW)
    centre = np.array([column, row]) + 0.5
    for _ in range(30 if taper else 1):
        weight = signal * near
        if taper:
            weight = weight * np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * 4.0**2))
        centre = np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
    return centre


def check(name, images, landmarks, keys, plain):
    """Compares dots and landmarks of all faces."""
    points = landmarks[:, POINT] * np.array(OUTPUT)
    relief = np.zeros((FACES, 2))
    if name == "emboss":
        relief = relief_shift(keys)
    compared = 0
    for row in range(FACES):
        if not (points[row] > WINDOW).all() or not (points[row] < 112 - WINDOW).all():
            continue  # the dot left the picture
        ignore = np.zeros((112, 112), bool)
        if name == "occlusion":
            ignore = (np.abs(images[row].astype(float) - plain[row]) > 2).any(axis=-1)
            x, y = points[row].astype(int)
            if ignore[y - 9 : y + 10, x - 9 : x + 10].any():
                continue  # the dot is covered
        found = centre_of_mass(images[row], ignore, taper=name != "emboss")
        assert np.abs(found - points[row] - relief[row]).max() < 0.5, (name, row)
        compared += 1
    assert compared >= FACES // 2


def relief_shift(keys):
    """What embossing itself does to a centre of mass: the first moment of the drawn kernel.

    The kernel lights one side of every edge and shades the other, which is no motion of the
    picture; a picture that moved would differ from this by its motion.
    """
    config, draws = EFFECTS["emboss"], Draws(keras.ops.convert_to_tensor(keys))
    kernels = keras.ops.convert_to_numpy(
        emboss_kernel(
            draws.between("emboss_alpha", config.emboss_alpha),
            draws.between("emboss_strength", config.emboss_strength),
        )
    )
    offsets = np.array([1.0, 0.0, -1.0])  # a correlation moves mass against its offsets
    return np.stack([kernels.sum(axis=1) @ offsets, kernels.sum(axis=2) @ offsets], axis=-1)


def numpy_of(result):
    """Returns the outputs as NumPy arrays."""
    return [keras.ops.convert_to_numpy(value) for value in result]


@pytest.mark.parametrize("name", EFFECTS)
@pytest.mark.parametrize("how", ["eager", pytest.param("compiled", marks=pytest.mark.slow)])
def test_dot_and_landmark_move_together(name, how):
    cache = make_cache(name)
    keys = sample_keys(3, 0, np.arange(FACES))
    layer = RandomAugment(EFFECTS[name], cache.scheme, OUTPUT)
    arguments = inputs(cache, keys)
    if how == "eager":
        result = layer(arguments)
        images, landmarks = numpy_of((result["image"], result["landmarks"]))
    else:
        images, landmarks = numpy_of(
            augmenter(EFFECTS[name], cache.scheme, OUTPUT)(*arguments.values())
        )
    plain = numpy_of([layer(arguments, training=False)["image"]])[0]
    check(name, images, landmarks, keys, plain)
    assert not np.array_equal(images, plain), "the augmentation did nothing"


@pytest.mark.slow
@needs_tensorflow
@pytest.mark.parametrize("name", EFFECTS)
def test_dot_and_landmark_move_together_in_tf_data(name):
    cache = make_cache(name)
    dataset = training_dataset(cache, FACES, EFFECTS[name], seed=3, shuffle=False)
    ((images, landmarks),) = list(dataset.as_numpy_iterator())
    keys = sample_keys(3, 0, np.arange(FACES))
    layer = RandomAugment("none", cache.scheme, OUTPUT)
    plain = numpy_of([layer(inputs(cache, keys))["image"]])[0]
    check(name, images, landmarks, keys, plain)


@pytest.mark.slow
@pytest.mark.jax
@needs_tensorflow
def test_dot_and_landmark_move_together_on_jax():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [*command, "-m", "slow or not slow", "-k", "compiled"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert f"{len(EFFECTS)} passed" in done.stdout
