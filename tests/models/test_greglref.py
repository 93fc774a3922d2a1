"""GRegLRef and GRegNet: stages, gradients and configuration."""

import keras
import numpy as np
import pytest
from keras import ops

from contract import run_contract
from tfalign import macc
from tfalign.models import GRegLRef, GRegNet

SHAPE = (32, 48, 3)


def small(**arguments) -> GRegLRef:
    defaults = {"num_landmarks": 7, "input_shape": SHAPE, "width": 0.25}
    return GRegLRef(**{**defaults, **arguments})


def images(rng: np.random.Generator, batch: int = 3) -> np.ndarray:
    return rng.integers(0, 256, (batch, *SHAPE)).astype("float32")


@pytest.mark.jax
@pytest.mark.slow
@pytest.mark.parametrize(
    "trunk", [pytest.param("resnet18", marks=pytest.mark.exhaustive), "mobile", "compact"]
)
def test_contract(rng, tmp_path, trunk: str) -> None:
    run_contract(
        GRegLRef,
        images(rng),
        {
            "num_landmarks": 7,
            "input_shape": SHAPE,
            "width": 0.25,
            "refinements": 1,
            "trunk": trunk,
            "patch": 3,
            "filters": 2,
            "dropout": 0.25,
            "stop_position_gradient": False,
            "crop": "300w",
            "name": "aligner",
        },
        tmp_path,
        expected_shape=(3, 7, 2),
        policies=("float32", "mixed_bfloat16"),
        gradient_tolerance=2e-3,
    )


def increments(model: GRegLRef) -> keras.Model:
    """The same layers, with S⁰, ΔS¹ … ΔSᵀ as outputs."""
    names = ["shape_0", *(f"increment_{t}_shape" for t in range(1, model.refinements + 1))]
    return keras.Model(model.input, [model.get_layer(name).output for name in names])


def randomize(model: keras.Model, rng: np.random.Generator) -> None:
    """Moves all weights, so that no increment is close to zero."""
    for weight in model.trainable_weights:
        weight.assign(weight.numpy() + rng.normal(scale=0.05, size=weight.shape))


def keep_inside(model: GRegLRef, batch: np.ndarray) -> None:
    """Scales S⁰ and the increments so that all landmarks lie inside the image.

    Outside, the crop sees the border whatever the position, and no gradient reaches it.
    """
    for stage, name in enumerate(
        ["fc", *(f"increment_{t}" for t in range(1, model.refinements + 1))]
    ):
        layer = model.get_layer(name)
        size = np.abs(ops.convert_to_numpy(increments(model)(batch)[stage])).max()
        kernel, bias = (value * (0.1 / size) for value in layer.get_weights())
        layer.set_weights([kernel, bias + (0.5 if name == "fc" else 0.0)])


def test_each_stage_adds_its_increment(rng) -> None:
    model, batch = small(refinements=2), images(rng)
    randomize(model, rng)
    stages = ops.convert_to_numpy(model.stage_shapes(batch))
    expected = np.cumsum([part.numpy() for part in increments(model)(batch)], axis=0)
    assert stages.shape == (3, 3, 7, 2)
    assert model.num_stages == 3
    np.testing.assert_allclose(stages.transpose(1, 0, 2, 3), expected, atol=1e-5)
    assert np.abs(np.diff(stages, axis=1)).min(axis=(0, 2, 3)).all()


def test_last_stage_is_the_output_and_the_training_output(rng) -> None:
    model, batch = small(refinements=2), images(rng)
    stages = ops.convert_to_numpy(model.stage_shapes(batch))
    np.testing.assert_allclose(stages[:, -1], model(batch), atol=1e-6)
    np.testing.assert_allclose(stages, model.training_model(batch)["stages"], atol=1e-6)


def test_uint8_and_float_pixels_give_the_same(rng) -> None:
    model, batch = small(), images(rng)
    np.testing.assert_allclose(model(batch.astype("uint8")), model(batch), atol=1e-6)


def test_a_loss_on_stages_is_the_published_loss(rng) -> None:
    """ℓ2(S⁰, S*) + Σ ℓ2(ΔSᵗ, S* − Sᵗ⁻¹) with the target computed online (Equations 6 to 8)."""
    tf = pytest.importorskip("tensorflow")
    model, batch = small(refinements=2), images(rng)
    randomize(model, rng)
    truth = rng.uniform(size=(3, 7, 2)).astype("float32")
    weights = [weight.value for weight in model.trainable_weights]

    with tf.GradientTape() as tape:
        stages = model.training_model(batch)["stages"]
        loss = tf.reduce_sum(tf.square(stages - truth[:, None]))
    gradients = tape.gradient(loss, weights)

    fixed = ops.convert_to_numpy(model.stage_shapes(batch))  # The online targets' Sᵗ⁻¹.
    with tf.GradientTape() as tape:
        shape_0, *deltas = increments(model)(batch)
        published = tf.reduce_sum(tf.square(shape_0 - truth))
        for t, delta in enumerate(deltas, start=1):
            published += tf.reduce_sum(tf.square(delta - (truth - fixed[:, t - 1])))
    expected = tape.gradient(published, weights)

    np.testing.assert_allclose(loss, published, rtol=1e-5)
    for weight, one, other in zip(model.trainable_weights, gradients, expected, strict=True):
        scale = np.abs(other).max()
        np.testing.assert_allclose(one, other, atol=1e-4 * scale, err_msg=weight.path)


@pytest.mark.parametrize("stop", [True, False])
def test_what_a_loss_on_the_last_stage_reaches(rng, stop: bool) -> None:
    tf = pytest.importorskip("tensorflow")
    model, batch = small(refinements=2, stop_position_gradient=stop), images(rng)
    randomize(model, rng)
    keep_inside(model, batch)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(model.training_model(batch)["stages"][:, -1] - 0.5))
    layers = {
        name: model.get_layer(name).kernel.value
        for name in ("conv1_conv", "res4_2_2_conv", "fc", "local_1", "local_2", "increment_2")
    }
    reached = {
        name: gradient is not None and bool(np.any(gradient))
        for name, gradient in tape.gradient(loss, layers).items()
    }
    # The feature map feeds the crop; earlier stages only say where to crop.
    assert reached["conv1_conv"]
    assert reached["local_2"]
    assert reached["increment_2"]
    for earlier in ("res4_2_2_conv", "fc", "local_1"):
        assert reached[earlier] is not stop, earlier


def test_a_loss_on_the_output_reaches_every_stage(rng) -> None:
    tf = pytest.importorskip("tensorflow")
    model, batch = small(refinements=2), images(rng)
    randomize(model, rng)
    keep_inside(model, batch)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(model(batch) - 0.25))
    names = (
        "conv1_conv",
        "res4_2_2_conv",
        "fc",
        "local_1",
        "increment_1",
        "local_2",
        "increment_2",
    )
    gradients = tape.gradient(loss, [model.get_layer(name).kernel.value for name in names])
    for name, gradient in zip(names, gradients, strict=True):
        assert gradient is not None, name
        assert np.any(gradient), name


def test_groups_part_the_weights() -> None:
    model = small(refinements=2)
    owned = {
        name: {id(weight) for layer in model.groups[name] for weight in layer.weights}
        for name in ("all", "global", "refinement")
    }
    assert owned["all"] == {id(weight) for weight in model.weights}
    assert owned["global"] | owned["refinement"] == owned["all"]
    assert not owned["global"] & owned["refinement"]
    # Two LRefNets of two layers with kernel and bias.
    assert len(owned["refinement"]) == 2 * 2 * 2


def test_mean_shape_is_where_an_untrained_model_starts(rng) -> None:
    model = small(refinements=0)
    shape = rng.uniform(size=(7, 2)).astype("float32")
    model.set_mean_shape(shape)
    fc = model.get_layer("fc")
    fc.kernel.assign(np.zeros(fc.kernel.shape))
    np.testing.assert_allclose(model(images(rng)), np.tile(shape, (3, 1, 1)), atol=1e-6)
    with pytest.raises(ValueError, match=r"finite \(7, 2\) array"):
        model.set_mean_shape(shape[:3])


def test_refinements_read_ever_finer_maps() -> None:
    model = small(refinements=3)
    sizes = [model.get_layer(f"crop_{t}").input[0].shape[1:3] for t in (1, 2, 3)]
    assert sizes == [(8, 12), (16, 24), (32, 48)]


def test_gregnet_is_greglref_without_refinement() -> None:
    model = GRegNet(7, SHAPE, width=0.125)
    assert (model.refinements, model.num_stages, model.name) == (0, 1, "gregnet")
    assert model.groups["refinement"] == []
    with pytest.raises(ValueError, match="has no `refinements`"):
        GRegNet(7, SHAPE, refinements=1)


def test_phone_trunk_stays_within_its_budget() -> None:
    model = GRegLRef(num_landmarks=98, trunk="mobile", scheme="wflw98")
    assert 20e6 <= macc.count(model).macc <= 60e6


def test_compact_trunk_has_the_cost_of_its_layers() -> None:
    trunk = (
        56**2 * 9 * (3 * 16 + 16 * 16)
        + 28**2 * 9 * (16 * 32 + 32 * 32)
        + 14**2 * 9 * (32 * 80 + 2 * 80 * 80)
        + 7**2 * 9 * (80 * 160 + 2 * 160 * 160)
        + 7**2 * 160 * 256
    )
    head = 7**2 * 256 + 256 * 2 * 68
    assert macc.count(GRegNet(68, trunk="compact", scheme="ibug68")).macc == trunk + head


def test_compact_trunk_gives_refinement_its_shallow_maps() -> None:
    model = GRegLRef(7, (64, 96, 3), refinements=3, trunk="compact", width=0.5)
    maps = [tuple(model.get_layer(f"crop_{t}").input[0].shape[1:]) for t in (1, 2, 3)]
    assert maps == [(8, 12, 40), (16, 24, 16), (32, 48, 8)]
    depthwise = [x.name for x in model.layers if isinstance(x, keras.layers.DepthwiseConv2D)]
    assert depthwise == ["gdconv_dwconv"]


def test_what_a_model_says_of_itself() -> None:
    model = GRegLRef(num_landmarks=68, input_shape=SHAPE, width=0.125, crop="300w", scheme="ibug68")
    assert (model.num_landmarks, model.image_size, model.width) == (68, (32, 48), 0.125)
    assert model.scheme.num_points == 68
    assert model.crop.padding == (0.1, 0.1, 0.1, 0.1)
    assert small().scheme is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_landmarks": 0}, "Received: num_landmarks=0"),
        ({"trunk": "vgg"}, "Received: trunk='vgg'"),
        ({"refinements": 4}, "Received: refinements=4"),
        ({"width": 0.0}, r"Received: width=0\.0"),
        ({"input_shape": (112, 100, 3)}, "multiples of 16"),
        ({"input_shape": (112, 112, 1)}, r"Received: input_shape=\(112, 112, 1\)"),
        ({"scheme": "ibug68"}, "num_landmarks=7"),
    ],
)
def test_wrong_arguments(arguments, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**arguments)
