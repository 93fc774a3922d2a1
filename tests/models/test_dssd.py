"""DSSD and R-DSSD: their stages, their shared parameters, and how training starts."""

import keras
import numpy as np
import pytest
from keras import ops

from contract import run_contract
from contract.gradients import gradients
from tfalign import macc
from tfalign.models import DSSD, RDSSD
from tfalign.models.detector_start import shape_centers, svr_detectors
from tfalign.training import ArrayFeed

SHAPE = (48, 52, 3)
SMALL = {
    "num_landmarks": 7,
    "input_shape": SHAPE,
    "width": 0.05,
    "patch": 10,
    "kernel": 3,
    "neighbors": 3,
    "features": 6,
    "latent_tasks": 4,
    "centers": 5,
}


# The harness takes each argument away in turn, so each default must go with the others: 16 pixels
# are enough for filters of 3 and of 5.
CONTRACT = {**{k: v for k, v in SMALL.items() if k != "kernel"}, "patch": 16}


def faces(rng: np.random.Generator, count: int = 3) -> tuple[np.ndarray, np.ndarray]:
    images = rng.uniform(0, 255, (count, *SHAPE)).astype("float32")
    return images, rng.uniform(0.2, 0.8, (count, 7, 2)).astype("float32")


def shaken(model, rng: np.random.Generator):
    """Moves the weights that start near zero, and the initial shapes, which start at one place."""
    for variable in model.trainable_variables:
        if any(part in variable.path for part in ("structure_2", "coarse_")):
            variable.assign(variable + rng.normal(scale=0.05, size=variable.shape))
    model.get_layer("initial_shape").set_shapes(rng.uniform(0.2, 0.8, (5, 7, 2)))
    return model


@pytest.mark.jax
@pytest.mark.slow
@pytest.mark.parametrize("sharable", [True, False])
def test_contract_dssd(rng, tmp_path, sharable: bool) -> None:
    arguments = {**CONTRACT, "scale": 200, "stop_position_gradient": True, "crop": "wflw"}
    run_contract(
        DSSD,
        faces(rng)[0],
        {**arguments, "sharable": sharable, "name": "detectors_of_faces"},
        tmp_path,
        expected_shape=(3, 7, 2),
        policies=("float32", "mixed_bfloat16"),
        # Batch normalisation of uniform noise: half precision is noisier than on pictures.
        half_tolerance=0.2,
        backend_tolerance=1e-4,
        gradient_tolerance=5e-3,
    )


@pytest.mark.jax
@pytest.mark.slow
@pytest.mark.parametrize(("stages", "shared"), [("R-DSSD", True), ("R-DSSD*", False)])
def test_contract_rdssd(rng, tmp_path, stages: str, shared: bool) -> None:
    run_contract(
        RDSSD,
        faces(rng)[0],
        {
            **CONTRACT,
            "stages": stages,
            "shared": shared,
            "pairs": 4,
            "radius": 0.2,
            "name": "cascade",
        },
        tmp_path,
        expected_shape=(3, 7, 2),
        policies=("float32", "mixed_bfloat16"),
        half_tolerance=0.2,
        backend_tolerance=1e-4,
        gradient_tolerance=5e-3,
    )


def test_kernel_survives_the_configuration() -> None:
    config = DSSD(**SMALL).get_config()
    assert config["kernel"] == 3
    assert DSSD.from_config(config).get_layer("patch_network").kernel == 3


def test_the_papers_sizes() -> None:
    model = DSSD(scheme="ibug68")
    report = {row.name: row for row in macc.count(model).layers}
    each = 128 * (26 * 26 * 25 + 9 * 9 * 25 * 128) + 4 * 4 * 128 * 256
    assert report["patch_network"].macc == 68 * each
    assert report["reweight_1"].macc == 68 * 5 * 256 * 512
    assert report["reweight_2"].macc == 68 * 512 * 20
    assert report["detectors"].macc == 68 * (20 * 20 + 2 * 20)
    assert report["detectors"].params == 20 * 20 + 20 * 136
    assert model.scheme.name == "ibug68"


def test_refinement_stages_share_their_parameters() -> None:
    """R-DSSD has the parameters of R-DSSD* and one coarse regression more, at one stage's cost."""
    reports = {
        stages: macc.count(RDSSD(stages=stages, scheme="ibug68"))
        for stages in ("R-DSSD", "R-DSSD*")
    }
    coarse = 136 * (68 * 10 + 1)
    assert reports["R-DSSD"].params - reports["R-DSSD*"].params == coarse
    single, apart = (
        macc.count(DSSD(scheme="ibug68")),
        macc.count(RDSSD(stages="R-DSSD*", shared=False, scheme="ibug68")),
    )
    shared = reports["R-DSSD*"]
    one = sum(r.params for r in single.layers if not r.name.startswith("initial"))
    assert shared.params - single.params == coarse
    assert apart.params - shared.params == one
    assert apart.macc == shared.macc
    stage = sum(r.macc for r in single.layers if not r.name.startswith("initial"))
    assert reports["R-DSSD"].macc - shared.macc == stage + 136 * 680


@pytest.mark.parametrize(("stages", "count"), [("R-DSSD", 6), ("R-DSSD*", 4)])
def test_stages_add_their_increments(rng, stages: str, count: int) -> None:
    model = shaken(RDSSD(stages=stages, **SMALL), rng)
    images = faces(rng)[0]
    shapes = ops.convert_to_numpy(model.stage_shapes(images))
    assert shapes.shape == (3, count, 7, 2)
    assert model.num_stages == count
    np.testing.assert_array_equal(shapes[:, -1], ops.convert_to_numpy(model(images)))
    assert np.abs(np.diff(shapes, axis=1)).max(axis=(0, 2, 3)).min() > 1e-4


def test_a_stage_is_the_equations(rng) -> None:
    """One refinement from the patches on, by NumPy: neighbours, P, C, Q and the unit."""
    model = shaken(DSSD(**SMALL), rng)
    images = faces(rng)[0]
    described = keras.Model(model.input, model.get_layer("patch_network").output)
    local = ops.convert_to_numpy(described(images))
    table = ops.convert_to_numpy(model.get_layer("neighbors").table)
    joined = local[:, table].reshape(3, 7, -1)

    def dense(x: np.ndarray, name: str) -> np.ndarray:
        layer = model.get_layer(name)
        return x @ ops.convert_to_numpy(layer.kernel) + ops.convert_to_numpy(layer.bias)

    phi = np.tanh(dense(np.tanh(dense(joined, "reweight_1")), "reweight_2"))
    detectors = model.get_layer("detectors")
    w = ops.convert_to_numpy(detectors.basis) @ ops.convert_to_numpy(detectors.codes)
    responses = np.einsum("bnk,knc->bnc", phi, w.reshape(6, 7, 2))
    out = dense(np.tanh(dense(responses.reshape(3, 14), "structure_1")), "structure_2")
    shapes = ops.convert_to_numpy(model.stage_shapes(images))
    # A patch of 10 pixels in the image of half the size, 26 by 24.
    expected = shapes[:, 0] + out.reshape(3, 7, 2) * (10 / np.array([26, 24]))
    np.testing.assert_allclose(shapes[:, 1], expected, atol=1e-5)


def test_only_the_anchor_knows_the_size_of_p_and_c(rng) -> None:
    """P and C a tenth, Q's first layer a hundredfold: the same model, at a penalty of a tenth."""
    model = shaken(DSSD(**SMALL), rng)
    images = faces(rng)[0]
    detectors, first = model.get_layer("detectors"), model.get_layer("structure_1")
    whole = model.training_model(images)
    responses = keras.Model(model.input, detectors.output)(images)
    unit = 0.1 * 10 / np.array([26, 24])
    expected = ops.convert_to_numpy(whole["stages"])[:, 0] + ops.convert_to_numpy(responses) * unit
    np.testing.assert_allclose(ops.convert_to_numpy(whole["detected"])[:, 0], expected, atol=1e-6)
    for variable, factor in ((detectors.basis, 0.1), (detectors.codes, 0.1), (first.kernel, 100)):
        variable.assign(variable * factor)
    shrunk = model.training_model(images)
    stages = [ops.convert_to_numpy(found["stages"]) for found in (whole, shrunk)]
    np.testing.assert_allclose(*stages, atol=1e-5)
    start = stages[0][:, 0]
    moves = [ops.convert_to_numpy(x["detected"])[:, 0] - start for x in (whole, shrunk)]
    np.testing.assert_allclose(moves[1], 0.01 * moves[0], atol=1e-5)


@pytest.mark.parametrize("stop", [True, False])
def test_later_stages_train_earlier_ones_through_positions(rng, stop: bool) -> None:
    """With the increment's path cancelled, a gradient is left only where positions pass one."""
    model = shaken(RDSSD(**SMALL, stages="R-DSSD*", stop_position_gradient=stop), rng)
    cotangent = np.zeros((3, 4, 7, 2), "float32")
    cotangent[:, 3], cotangent[:, 1] = 1.0, -1.0
    # Outputs in the order of their names: what is detected, and the stages.
    nothing = np.zeros((3, 2, 7, 2), "float32")
    of_weights, _ = gradients(model, faces(rng)[0], [nothing, cotangent])
    paths = [variable.path for variable in model.trainable_variables]
    found = np.abs(of_weights[paths.index("coarse_1/kernel")]).max()
    assert (found > 1e-3) == (not stop)


def test_start_shapes(rng) -> None:
    images, landmarks = faces(rng, 24)
    # Five groups of nearly equal faces: their means are the centres, in whatever order.
    landmarks = np.repeat(landmarks[:5], [6, 5, 5, 4, 4], axis=0)
    landmarks = landmarks + rng.normal(scale=1e-4, size=landmarks.shape).astype("float32")
    model = DSSD(**SMALL)
    model.start_shapes(ArrayFeed(images, landmarks, 8))
    shapes = ops.convert_to_numpy(model.get_layer("initial_shape").shapes)
    for shape in landmarks[[0, 6, 11, 16, 20]]:
        assert np.abs(shapes - shape).max(axis=(1, 2)).min() < 1e-3
    table = ops.convert_to_numpy(model.get_layer("neighbors").table)
    mean = landmarks.mean(axis=0) * (SHAPE[1], SHAPE[0])
    nearest = np.argsort(np.linalg.norm(mean[:, None] - mean, axis=-1), axis=1)[:, :3]
    np.testing.assert_array_equal(table, nearest)


def test_shape_centres_find_clusters(rng) -> None:
    means = rng.uniform(size=(3, 4, 2))
    shapes = np.repeat(means, [30, 20, 10], axis=0) + rng.normal(scale=1e-3, size=(60, 4, 2))
    np.testing.assert_allclose(shape_centers(shapes, 3), means, atol=2e-3)
    few = shape_centers(shapes[:2], 5)
    assert few.shape == (5, 4, 2)
    assert np.unique(few, axis=0).shape[0] == 2


def test_svr_detectors_are_the_best_approximation(rng) -> None:
    """Residuals that two latent tasks explain are found again, up to the SVR's regularization."""
    features = rng.normal(size=(400, 5, 6)).astype("float32")
    w = rng.normal(size=(6, 2)) @ rng.normal(size=(2, 10))
    residuals = np.einsum("bnk,knc->bnc", features, w.reshape(6, 5, 2))
    basis, codes = svr_detectors(features, residuals, np.ones((6, 2)), np.ones((2, 10)))
    np.testing.assert_allclose(basis @ codes, w, atol=0.02)
    np.testing.assert_allclose(basis.T @ basis, np.eye(2), atol=1e-5)
    # More latent tasks than features: what the decomposition does not give keeps its columns of P,
    # of which the product has nothing yet.
    basis, codes = svr_detectors(features, residuals, np.ones((6, 8)), np.ones((8, 10)))
    np.testing.assert_array_equal(basis[:, 6:], 1)
    np.testing.assert_allclose(basis @ codes, w, atol=0.02)


@pytest.mark.parametrize("shared", [True, False])
def test_start_detectors(rng, shared: bool) -> None:
    images, landmarks = faces(rng, 24)
    model = shaken(RDSSD(**SMALL, stages="R-DSSD*", shared=shared), rng)
    assert len(model.detectors) == (1 if shared else 2)
    before = [ops.convert_to_numpy(layer.codes) for layer in model.detectors]
    model.start_detectors(ArrayFeed(images, landmarks, 8))
    for layer, codes in zip(model.detectors, before, strict=True):
        basis = ops.convert_to_numpy(layer.basis)
        np.testing.assert_allclose(basis.T @ basis, np.eye(4), atol=1e-5)
        assert not np.allclose(ops.convert_to_numpy(layer.codes), codes)


@pytest.mark.slow
@pytest.mark.parametrize("stages", ["R-DSSD", "R-DSSD*"])
def test_stages_help_from_the_start(rng, stages: str) -> None:
    """Before any training, Q's regression lowers the error on the faces that it saw."""
    images, landmarks = faces(rng, 40)
    keras.utils.set_random_seed(0)
    model = RDSSD(**SMALL, stages=stages)
    model.set_mean_shape(landmarks.mean(axis=0))
    model.start_detectors(ArrayFeed(images, landmarks, 8))
    shapes = ops.convert_to_numpy(model.stage_shapes(images))
    errors = [np.square(shapes[:, stage] - landmarks).mean() for stage in range(shapes.shape[1])]
    first = len(errors) - 1 - len(model.taps)
    # Shared stages are fitted to the way that all of them go: the last one has gone it.
    assert errors[-1] < min(errors[first:-1])


def test_without_sharable_detectors(rng) -> None:
    model = DSSD(**SMALL, sharable=False)
    assert model.detectors == []
    assert model.sparsity() == {}
    before = {v.path: ops.convert_to_numpy(v) for v in model.variables}
    model.start_detectors(ArrayFeed(*faces(rng, 8), 8))
    moved = {v.path for v in model.variables if np.any(ops.convert_to_numpy(v) != before[v.path])}
    assert moved == {"structure_2/kernel", "structure_2/bias"}
    report = {row.name: row for row in macc.count(model).layers}
    assert report["regression"].macc == 7 * 6 * 14


def test_mean_shape(rng) -> None:
    shape = rng.uniform(0.2, 0.8, (7, 2)).astype("float32")
    model = RDSSD(**SMALL)
    model.set_mean_shape(shape)
    stages = ops.convert_to_numpy(model.stage_shapes(faces(rng)[0]))
    np.testing.assert_allclose(stages[:, 0], np.tile(shape, (3, 1, 1)), atol=1e-6)
    # Later stages begin near the identity.
    np.testing.assert_allclose(stages, np.broadcast_to(shape, stages.shape), atol=0.05)


def test_groups_cover_every_trainable_weight_once() -> None:
    for model in (DSSD(**SMALL), RDSSD(**SMALL), RDSSD(**SMALL, shared=False)):
        parts = ("initial", "coarse", "description", "detectors", "structure")
        found = [v.path for name in parts for layer in model.groups[name]
                 for v in layer.trainable_variables]  # fmt: skip
        assert sorted(found) == sorted(v.path for v in model.trainable_variables)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (DSSD, {"scale": 150}),
        (DSSD, {"neighbors": 8}),
        (DSSD, {"neighbors": 0}),
        (DSSD, {"centers": 0}),
        (DSSD, {"width": 0.0}),
        (DSSD, {"patch": 9, "kernel": 5}),
        (DSSD, {"input_shape": (50, 48, 3)}),
        (DSSD, {"latent_tasks": 0}),
        (RDSSD, {"stages": "R-DSSD**"}),
        (RDSSD, {"pairs": 0}),
        (RDSSD, {"radius": -1.0}),
    ],
)
def test_refuses_arguments(kind, arguments) -> None:
    with pytest.raises(ValueError, match="Received"):
        kind(**{**SMALL, **arguments})
