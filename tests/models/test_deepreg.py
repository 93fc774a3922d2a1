"""DeepReg: its stages, its gradient through descriptors, and learning in closed form."""

import keras
import numpy as np
import pytest
from keras import ops

from contract import run_contract
from contract.gradients import gradients
from tfalign import macc
from tfalign.models import DeepReg
from tfalign.training import ArrayFeed

SHAPE = (64, 72, 3)


def small(**arguments) -> DeepReg:
    defaults = {"num_landmarks": 5, "input_shape": SHAPE, "local_layers": 2, "patches": (16, 8)}
    return DeepReg(**{**defaults, **arguments})


def faces(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Bright squares on grey at random places, and the five points that each of them has."""
    images = rng.normal(110, 4, (count, *SHAPE)).astype("float32")
    landmarks = np.zeros((count, 5, 2), "float32")
    for image, points in zip(images, landmarks, strict=True):
        x, y = rng.integers(16, 32), rng.integers(14, 30)
        image[y : y + 20, x : x + 24] += 100
        points[:] = [(x, y), (x + 24, y), (x, y + 20), (x + 24, y + 20), (x + 12, y + 10)]
    return images, landmarks / np.array([SHAPE[1], SHAPE[0]], "float32")


def randomize(model: keras.Model, rng: np.random.Generator) -> None:
    for weight in model.trainable_weights:
        weight.assign(rng.normal(scale=0.01, size=weight.shape) + 0.4 * ("global" in weight.path))


@pytest.mark.jax
@pytest.mark.slow
@pytest.mark.parametrize("global_layer", [True, False])
def test_contract(rng, tmp_path, global_layer: bool) -> None:
    run_contract(
        DeepReg,
        rng.uniform(0, 255, (2, *SHAPE)).astype("float32"),
        {
            "num_landmarks": 5,
            "input_shape": SHAPE,
            "local_layers": 2,
            "global_layer": global_layer,
            "epsilon": 1.5,
            "sigma": 1.0,
            "dropout": 0.25,
            "crop": "wflw",
            "name": "cascade",
        },
        tmp_path,
        expected_shape=(2, 5, 2),
        policies=("float32", "mixed_bfloat16"),
        backend_tolerance=2e-4,
        gradient_tolerance=5e-3,
    )


def test_patches_survive_the_configuration() -> None:
    config = small(patches=(12, 8)).get_config()
    assert config["patches"] == [12, 8]
    assert DeepReg.from_config(config).get_layer("sift_1").patch == 12


def test_the_papers_sizes() -> None:
    model = DeepReg(scheme="ibug68")
    assert model.num_stages == 6
    assert model.patches == [32, 32, 32, 16, 16]
    assert model.scheme.name == "ibug68"
    # 1,764 and 68 · 128 features, and a bias, for each of 136 coordinates.
    assert model.count_params() == 136 * (1765 + 5 * (68 * 128 + 1)) + _states(model)
    report = macc.count(model)
    assert report.macc == 136 * (1764 + 5 * 68 * 128)
    assert DeepReg(num_landmarks=29, scheme="cofw29").scheme.name in ("cofw29", "lfpw29")


def _states(model: keras.Model) -> int:
    return sum(int(np.prod(w.shape)) for w in model.weights if "seed" in w.path)


def test_stages_add_what_their_regressions_give(rng) -> None:
    model = small()
    randomize(model, rng)
    images = faces(rng, 3)[0]
    stages = ops.convert_to_numpy(model.stage_shapes(images))
    names = ["global_shape", "local_1_shape", "local_2_shape"]
    parts = keras.Model(model.input, [model.get_layer(name).output for name in names])
    expected = np.cumsum([ops.convert_to_numpy(part) for part in parts(images)], axis=0)
    np.testing.assert_allclose(stages.transpose(1, 0, 2, 3), expected, atol=1e-6)
    np.testing.assert_array_equal(stages[:, -1], ops.convert_to_numpy(model(images)))


def test_gradient_of_the_first_stage_is_equation_7(rng) -> None:
    """∂s¹/∂s⁰ = I + W ψ, with ψ from central differences of the model's own forward pass."""
    model = small(local_layers=1, patches=(16,), epsilon=2.0)
    randomize(model, rng)
    images = faces(rng, 1)[0]
    model.get_layer("global").kernel.assign(model.get_layer("global").kernel * 0)
    start = model.get_layer("global").bias
    cotangent = rng.normal(size=(1, 2, 5, 2)).astype("float32")
    cotangent[:, 0] = 0
    found, _ = gradients(model, images, [cotangent])
    position = [v.path for v in model.trainable_variables].index(start.path)

    size, value = np.array([SHAPE[1], SHAPE[0]]), ops.convert_to_numpy(start).copy()
    expected = np.zeros(10)
    for index in range(10):
        step = 2.0 / size[index % 2]
        sides = []
        for sign in (1, -1):
            moved = value.copy()
            moved[index] += sign * step
            start.assign(moved)
            last = ops.convert_to_numpy(model(images)).astype(np.float64)
            sides.append((last * cotangent[:, 1]).sum())
        expected[index] = (sides[0] - sides[1]) / (2 * step)
    np.testing.assert_allclose(found[position], expected, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("global_layer", [True, False])
def test_closed_form_learns_stage_after_stage(rng, global_layer: bool) -> None:
    images, landmarks = faces(rng, 96)
    model = small(global_layer=global_layer)
    model.solve_sequential(ArrayFeed(images[:80], landmarks[:80], 16))
    stages = ops.convert_to_numpy(model.stage_shapes(images[80:]))
    errors = np.linalg.norm(stages - landmarks[80:, None], axis=-1).mean(axis=(0, 2))
    if not global_layer:
        np.testing.assert_allclose(stages[:, 0], stages[:1, 0].repeat(16, axis=0))
        np.testing.assert_allclose(stages[0, 0], landmarks[:80].mean(axis=0), atol=1e-5)
    assert errors[1] < 0.8 * errors[0]
    assert errors[2] < errors[0]


def test_mean_shape(rng) -> None:
    shape = rng.uniform(size=(5, 2)).astype("float32")
    for global_layer in (True, False):
        model = small(global_layer=global_layer)
        model.set_mean_shape(shape)
        stages = ops.convert_to_numpy(model.stage_shapes(faces(rng, 2)[0]))
        np.testing.assert_allclose(stages, np.broadcast_to(shape, stages.shape), atol=1e-6)


def test_groups_name_every_regression() -> None:
    model = small()
    assert set(model.groups) == {"all", "global", "local_1", "local_2", "dropout"}
    weights = [v for name in ("global", "local_1", "local_2") for layer in model.groups[name]
               for v in layer.trainable_variables]  # fmt: skip
    assert {id(v) for v in weights} == {id(v) for v in model.trainable_variables}


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_landmarks": 0},
        {"local_layers": -1, "patches": ()},
        {"dropout": 1.0},
        {"patches": (16,)},
        {"patches": (16, 6)},
        {"input_shape": (48, 64, 3)},
    ],
)
def test_refuses_arguments(arguments) -> None:
    with pytest.raises(ValueError, match="Received"):
        small(**arguments)
