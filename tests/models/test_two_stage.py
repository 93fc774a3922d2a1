"""TwoStage: the paper's sizes, its stages, its initialisations and one step of training."""

import keras
import numpy as np
import pytest
from keras import ops

from contract import run_contract
from contract.gradients import gradients
from tfalign import macc, markup
from tfalign.geometry.parametric import identity_parameters
from tfalign.losses import ReinitializedLoss
from tfalign.models import TwoStage
from tfalign.models.canonical_shape import part_theta

SMALL = {
    "scheme": "aflw19",
    "input_shape": (80, 64, 3),
    "width": 0.0625,
    "face_size": 48,
    "view_size": 40,
    "view_width": 0.125,
}
PARTS = ("left_eye", "right_eye", "nose", "mouth")


def pictures(rng, count=2) -> np.ndarray:
    return rng.uniform(0, 255, (count, 80, 64, 3)).astype("f4")


def mean_shape(rng) -> np.ndarray:
    """A random shape of 19 points without its asymmetry."""
    shape = rng.uniform(0.2, 0.8, (19, 2))
    mirrored = (shape * (-1, 1) + (1, 0))[list(markup.get("aflw19").flip_map)]
    return (0.5 * (shape + mirrored)).astype("f4")


@pytest.fixture(scope="module")
def small() -> TwoStage:
    """A model whose every part of the graph does something."""
    rng = np.random.default_rng(4)
    keras.utils.set_random_seed(4)
    model = TwoStage(**SMALL)
    model.set_mean_shape(mean_shape(rng))
    for weight in model.trainable_weights:
        if "theta_" in weight.path or "increment_" in weight.path:
            weight.assign(weight + rng.normal(scale=0.01, size=weight.shape))
    return model


def _conv(side: int, kernel: int, inputs: int, outputs: int) -> int:
    return side * side * kernel * kernel * inputs * outputs


# Table of the paper's sizes, worked out by hand: TCDCN on 60×60 (56, 24, 10 and 3 cells), VGG-S on
# 224×224 (109, 35, 18, 18 and 18 cells), the dense layers.
TCDCN_MACC = (
    _conv(56, 5, 3, 20) + _conv(24, 5, 20, 48) + _conv(10, 3, 48, 64) + _conv(3, 3, 64, 80)
    + 3 * 3 * 80 * 256
)  # fmt: skip
TCDCN_PARAMS = (
    (75 * 20 + 20) + (25 * 20 * 48 + 48) + (9 * 48 * 64 + 64) + (9 * 64 * 80 + 80)
    + (720 * 256 + 256) + (20 + 48 + 64 + 80 + 256)
)  # fmt: skip
VGG_S_MACC = (
    _conv(109, 7, 3, 96) + _conv(35, 5, 96, 256) + _conv(18, 3, 256, 512)
    + 2 * _conv(18, 3, 512, 512) + 6 * 6 * 512 * 4096 + 4096 * 4096
)  # fmt: skip
VGG_S_PARAMS = (
    (147 * 96 + 96) + (25 * 96 * 256 + 256) + (9 * 256 * 512 + 512) + 2 * (9 * 512 * 512 + 512)
    + (36 * 512 * 4096 + 4096) + (4096 * 4096 + 4096)
)  # fmt: skip
THETA, COARSE = (256 * 6, 256 * 6 + 6), (4096 * 136, 4096 * 136 + 136)


@pytest.mark.slow
@pytest.mark.parametrize("local_stage", [False, True])
def test_the_papers_sizes(local_stage: bool) -> None:
    report = macc.count(TwoStage(scheme="ibug68", local_stage=local_stage))
    products = TCDCN_MACC + THETA[0] + VGG_S_MACC + COARSE[0]
    params = TCDCN_PARAMS + THETA[1] + VGG_S_PARAMS + COARSE[1]
    if local_stage:
        for points in (11, 11, 9, 20):  # an eye with its brow
            products += TCDCN_MACC + 2 * points * (6 + 256)
            params += TCDCN_PARAMS + (2 * points * 6 + 6) + (256 * 2 * points + 2 * points)
    assert report.macc == products
    assert report.params == params
    assert f"{report.params / 1e6:.1f}" == ("100.8" if local_stage else "99.7")


def test_stages_are_what_the_intermediate_results_say(small, rng) -> None:
    """Equations 5, 7 and 8 composed here by hand, in float64."""
    images = pictures(rng)
    results = {k: ops.convert_to_numpy(v) for k, v in small.intermediate_results(images).items()}
    stages = ops.convert_to_numpy(small.stage_shapes(images))
    assert stages.shape == (2, 2, 19, 2)
    np.testing.assert_array_equal(stages[:, -1], ops.convert_to_numpy(small(images)))

    def mapped(theta: np.ndarray, points: np.ndarray) -> np.ndarray:
        matrix = theta.astype(np.float64).reshape(2, 3)
        return ((2 * points - 1) @ matrix[:, :2].T + matrix[:, 2] + 1) / 2

    for b in range(2):
        refined = results["coarse_in_face"][b].copy()
        np.testing.assert_allclose(
            stages[b, 0], mapped(results["theta_global"][b], refined), atol=1e-5
        )
        for part in PARTS:
            inside = mapped(results[f"theta_{part}"][b], results[f"{part}_in_patch"][b])
            refined[list(small.parts[part])] = inside
        np.testing.assert_allclose(
            stages[b, 1], mapped(results["theta_global"][b], refined), atol=1e-5
        )
        # The contour alone is the coarse one.
        others = [i for i in range(19) if not any(i in small.parts[p] for p in PARTS)]
        assert others == list(small.scheme.parts["contour"])
        np.testing.assert_array_equal(stages[b, 0, others], stages[b, 1, others])
    assert results["face"].shape == (2, 48, 48, 3)
    assert results["patch_nose"].shape == (2, 40, 40, 3)


def test_starts_at_the_identity_and_the_mean_shape(rng) -> None:
    model = TwoStage(**SMALL)
    shape = mean_shape(rng)
    model.set_mean_shape(shape)
    for name in ("face_landmarks", *(f"increment_{part}" for part in PARTS)):
        model.get_layer(name).kernel.assign(model.get_layer(name).kernel * 0)
    images = pictures(rng)
    results = model.intermediate_results(images)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(results["theta_global"]), [identity_parameters()] * 2
    )
    stages = ops.convert_to_numpy(model.stage_shapes(images))
    np.testing.assert_allclose(stages, np.broadcast_to(shape, stages.shape), atol=1e-5)


def test_local_stage_starts_at_canonical_parts_and_the_first_networks_weights(small) -> None:
    model = TwoStage.from_config(small.get_config())
    model.set_weights(small.get_weights())
    model.start_local()
    canonical = np.array(model.canonical_shape, "f4")
    for part in PARTS:
        points = canonical[list(model.parts[part])]
        kernel, bias = model.get_layer(f"theta_{part}").get_weights()
        np.testing.assert_allclose(points.ravel() @ kernel + bias, part_theta(points), atol=1e-5)
        for name in ("conv1", "conv4_prelu", "dense"):
            for one, other in zip(
                model.get_layer(f"{part}_{name}").get_weights(),
                model.get_layer(f"view_{name}").get_weights(),
                strict=True,
            ):
                np.testing.assert_array_equal(one, other)
    for start in (TwoStage(**SMALL).start_local, TwoStage(**SMALL).start_global):
        with pytest.raises(ValueError, match="set_mean_shape"):
            start()


def test_global_regression_starts_at_the_shape_of_re_initialized_faces(small, rng) -> None:
    """With θ* as θg and an untrained regression, the coarse shape lies as the canonical one."""
    model = TwoStage.from_config(small.get_config())
    model.start_global()
    dense = model.get_layer("face_landmarks")
    dense.kernel.assign(dense.kernel * 0)
    found = model.intermediate_results(pictures(rng))["coarse_in_face"]
    expected = np.broadcast_to(np.array(model.canonical_shape), found.shape)
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, atol=1e-6)


def test_training_outputs_carry_their_transforms(small, rng) -> None:
    images = pictures(rng)
    outputs = small.training_model(images, training=False)
    results = {k: ops.convert_to_numpy(v) for k, v in small.intermediate_results(images).items()}
    face = ops.convert_to_numpy(outputs["face"])
    assert face.shape == (2, 19, 8)
    np.testing.assert_allclose(face[..., :2], results["coarse_in_face"], atol=1e-6)
    mouth = ops.convert_to_numpy(outputs["mouth"])
    assert mouth.shape == (2, 3, 14)
    np.testing.assert_allclose(mouth[..., :2], results["mouth_in_patch"], atol=1e-6)
    for row in range(3):
        np.testing.assert_allclose(face[:, row, 2:], results["theta_global"], atol=1e-6)
        np.testing.assert_allclose(mouth[:, row, 2:8], results["theta_global"], atol=1e-6)
        np.testing.assert_allclose(mouth[:, row, 8:], results["theta_mouth"], atol=1e-6)
    # The losses see no error where the annotation is what the model says.
    truth = ops.convert_to_numpy(small.stage_shapes(images))
    assert float(ReinitializedLoss()(truth[:, 0], outputs["face"])) < 1e-8
    indices = list(small.parts["mouth"])
    assert float(ReinitializedLoss(indices)(truth[:, 1], outputs["mouth"])) < 1e-8


def test_groups_share_the_weights_out(small) -> None:
    assert {"reinit", "global_regression", "local", "end_to_end", *PARTS} <= set(small.groups)
    names = ("reinit", "global_regression", "local")
    weights = [v for name in names for layer in small.groups[name] for v in layer.trainable_weights]
    assert sorted(v.path for v in weights) == sorted(v.path for v in small.trainable_weights)
    reinit = {layer.name.split("_")[0] for layer in small.groups["reinit"] if layer.weights}
    assert reinit == {"view", "theta"}


def test_the_image_alone_moves_theta(small, rng) -> None:
    """The final landmarks' gradient reaches θg's layer through the sampler."""
    images = pictures(rng, 1)
    cotangents = [
        np.ones(tuple(v.shape), "f4") * (name == "stages")
        for name, v in sorted(small.training_model(images).items())
    ]
    of_weights, _ = gradients(small, images, cotangents)
    reached = {v.path: g for v, g in zip(small.trainable_variables, of_weights, strict=True)}
    assert np.abs(reached["view_conv1/kernel"]).max() > 0
    assert np.abs(reached["theta_nose/kernel"]).max() > 0


@pytest.mark.jax
@pytest.mark.slow
@pytest.mark.parametrize("batch_norm", [pytest.param(False, marks=pytest.mark.exhaustive), True])
def test_contract(rng, tmp_path, batch_norm) -> None:
    run_contract(
        TwoStage,
        pictures(rng),
        {
            **SMALL,
            "batch_norm": batch_norm,
            "dropout": 0.25,
            "crop": "wflw",
            "name": "faces",
        },
        tmp_path,
        expected_shape=(2, 19, 2),
        policies=("float32", "mixed_bfloat16"),
        # Two warps follow one another, each read at places that half precision has rounded.
        half_tolerance=0.25,
        backend_tolerance=2e-4,
        gradient_tolerance=2e-2,
    )


def test_canonical_shape_survives_the_configuration(rng) -> None:
    shape = mean_shape(rng)
    given = TwoStage(**SMALL, canonical_shape=shape.tolist())
    copy = TwoStage.from_config(given.get_config())
    np.testing.assert_array_equal(np.array(copy.canonical_shape, "f4"), shape)
    for part in PARTS:
        for one, other in zip(
            copy.get_layer(f"theta_{part}").get_weights(),
            given.get_layer(f"theta_{part}").get_weights(),
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)
            assert np.any(one)


def test_other_variants(rng) -> None:
    model = TwoStage(**{**SMALL, "local_stage": False, "trunk": "resnet18"})
    assert model.num_stages == 1
    assert "local" not in [k for k, v in model.groups.items() if v]
    assert model(pictures(rng)).shape == (2, 19, 2)
    config = model.get_config()
    assert (config["trunk"], config["local_stage"]) == ("resnet18", False)
    for scheme in ("ibug68", "wflw98"):
        found = TwoStage(**{**SMALL, "scheme": scheme})
        assert tuple(found.parts) == PARTS
        refined = {i for indices in found.parts.values() for i in indices}
        rest = set(range(found.num_landmarks)) - refined - set(found.scheme.parts["contour"])
        # WFLW's pupils belong to the eyes or to no part; the brows are never left out.
        assert not rest & {
            i for side in ("left", "right") for i in found.scheme.parts[f"{side}_brow"]
        }


def test_models_of_0_1_refine_no_brows() -> None:
    config = {k: v for k, v in TwoStage(**SMALL).get_config().items() if k not in ("brows", "box")}
    config["regressor"] = config.pop("trunk")
    old = TwoStage.from_config({**config, "scheme": "aflw19"})
    assert (old.trunk, old.brows) == ("vgg_s", False)
    assert old.parts == old.scheme.local_parts
    assert old.get_config()["brows"] is False


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_landmarks": 2, "scheme": None, "local_stage": False},
        {"width": 0.0},
        {"view_width": -1.0},
        {"dropout": 1.0},
        {"trunk": "vgg"},
        {"view_size": 30},
        {"view_size": 70},
        {"face_size": 20},
        {"trunk": "resnet18", "face_size": 40},
        {"num_landmarks": 7},
        {"num_landmarks": 7, "scheme": None},  # no parts to refine
        {"canonical_shape": [[0.5, 0.5]]},
    ],
)
def test_refuses_arguments(arguments) -> None:
    with pytest.raises(ValueError, match="Received"):
        TwoStage(**{**SMALL, **arguments})


def test_a_part_of_one_point_is_refused() -> None:
    """Its patch would be one pixel of the face, and its network of no effect, trained or not."""
    names = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
    parts = {"right_eye": (0,), "left_eye": (1,), "nose": (2,), "mouth": (3, 4)}
    shape = np.array([(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)])
    small = {"input_shape": (64, 64, 3), "width": 0.0625, "view_size": 40, "face_size": 48}
    model = TwoStage(scheme=markup.LandmarkScheme("five", names, parts), **small)
    with pytest.raises(ValueError, match=r"'two_stage_global'\. Received: left_eye of 1 points, "):
        model.set_mean_shape(shape)
    assert model.canonical_shape is None
    mouth = markup.LandmarkScheme("mouth", names, {"mouth": (3, 4)})
    model = TwoStage(scheme=mouth, **small)
    model.set_mean_shape(shape)
    assert list(model.parts) == ["mouth"]
