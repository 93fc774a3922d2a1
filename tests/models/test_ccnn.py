"""CCNN: the sizes of Tables 2 to 4, the wiring of both cascades, and where gradients go."""

import keras
import numpy as np
import pytest
from keras import ops

from contract import run_contract
from contract.gradients import gradients
from tfalign import macc
from tfalign.losses import HeatmapLoss, L2Loss
from tfalign.models import CCNN

SHAPE = (32, 64, 3)
N = 5

# (layer's name, map side, channels, filter side) of each convolution, as printed.
TABLE_2 = [
    ("base_2_a1", 256, 64, 3),
    ("base_2_a2", 256, 64, 3),
    ("base_2_a3", 128, 64, 3),
    ("base_2_a4", 128, 128, 3),
    ("base_2_a5", 64, 128, 3),
    ("base_2_a6", 64, 128, 3),
    ("base_2_a7", 64, 68, 1),  # F², by the reading of 136 and 332 channels
    ("heatmap_0_a8", 64, 128, 9),
    ("heatmap_0_a9", 64, 128, 9),
    ("heatmap_0_a10", 64, 256, 1),
    ("heatmap_0_a11", 64, 256, 1),
    ("heatmap_0_a12", 64, 68, 1),
]
TABLE_3 = [("b1", 64, 64, 7), ("b2", 64, 64, 13), ("b3", 64, 128, 1), ("b4", 64, 68, 1)]
TABLE_4 = [
    ("c1", 32, 64, 7),
    ("c2", 16, 128, 5),
    ("c3", 8, 256, 3),
    ("c4", 4, 512, 3),
    ("c5", 2, 1024, 3),
]
# Side and channels after the pools of Table 2; those of Table 4 keep their convolution's.
POOLS = {"a2_pool": (128, 64), "a4_pool": (64, 128)}


def small(**arguments) -> CCNN:
    keras.utils.set_random_seed(4)
    defaults = {"num_landmarks": N, "input_shape": SHAPE, "units": 2, "width": 0.125}
    defaults |= {"trunk": "mobile", "filters": "separable"}
    return CCNN(**{**defaults, **arguments})


def images(rng: np.random.Generator, count: int = 2) -> np.ndarray:
    return rng.uniform(0, 255, (count, *SHAPE)).astype("float32")


@pytest.fixture(scope="module")
def paper() -> CCNN:
    return CCNN(scheme="ibug68")


def tensor(model: CCNN, layer: str) -> tuple[int, ...]:
    return tuple(model.training_model.get_layer(layer).output.shape[1:])


def get_output(model: CCNN, layer: str) -> str:
    return model.get_layer(layer).output.name


def test_every_size_of_table_2(paper: CCNN) -> None:
    for name, side, channels, kernel in TABLE_2:
        assert tensor(paper, f"{name}_conv") == (side, side, channels)
        assert paper.get_layer(f"{name}_conv").kernel_size == (kernel, kernel)
        one = name.replace("base_2", "base_1")
        if one != name:
            wanted = 128 if one == "base_1_a7" else channels
            assert tensor(paper, f"{one}_conv") == (side, side, wanted)
            assert paper.get_layer(f"{one}_conv").kernel_size == (kernel, kernel)
            assert paper.get_layer(f"{one}_conv") is not paper.get_layer(f"{name}_conv")
    for name, (side, channels) in POOLS.items():
        for base in ("base_1", "base_2"):
            assert tensor(paper, f"{base}_{name}") == (side, side, channels)
            assert paper.get_layer(f"{base}_{name}").pool_size == (2, 2)
    dropout = paper.get_layer("heatmap_0_dropout")
    assert (dropout.rate, dropout.input.name) == (0.5, get_output(paper, "heatmap_0_a11_relu"))
    assert tensor(paper, "heatmap_0_a12_relu") == (64, 64, 68)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_every_size_of_tables_3_and_4(paper: CCNN, k: int) -> None:
    get = paper.training_model.get_layer
    assert tensor(paper, f"heatmap_{k}_input") == (64, 64, 136)
    for name, side, channels, kernel in TABLE_3:
        assert tensor(paper, f"heatmap_{k}_{name}_conv") == (side, side, channels)
        assert get(f"heatmap_{k}_{name}_conv").kernel_size == (kernel, kernel)
    assert tensor(paper, f"regression_{k}_input") == (64, 64, 332)
    for name, side, channels, kernel in TABLE_4:
        assert tensor(paper, f"regression_{k}_{name}_conv") == (side, side, channels)
        assert get(f"regression_{k}_{name}_conv").kernel_size == (kernel, kernel)
        assert tensor(paper, f"regression_{k}_{name}_pool") == (side, side, channels)
        assert get(f"regression_{k}_{name}_pool").pool_size == (2, 2)
    assert tensor(paper, f"regression_{k}_pair") == (8, 8, 512)
    assert tensor(paper, f"regression_{k}_c6") == (1, 1, 136)
    assert tensor(paper, f"regression_{k}_increment") == (68, 2)
    assert tensor(paper, f"heatmap_{k}_b4_relu") == (64, 64, 68)


def test_totals_are_those_of_the_tables(paper: CCNN) -> None:
    """Multiplications and weights worked out from the rows above, not from the model."""
    totals = np.zeros(2, np.int64)

    def rows(table: list[tuple[str, int, int, int]], channels: int, times: int = 1) -> int:
        for name, side, out, kernel in table:
            weights = kernel**2 * channels * out
            # Batch normalisation has two weights for each channel, that of maps has no offset.
            own = weights + (1 if name in ("heatmap_0_a12", "b4") else 2) * out
            totals[:] += times * np.array([side**2 * weights, own])
            channels = out
        return channels

    assert rows(TABLE_2, 3) == 68
    assert rows([*TABLE_2[:6], ("base_1_a7", 64, 128, 1)], 3) == 128
    rows(TABLE_3, 68 + 68, times=4)
    assert rows(TABLE_4[:3], 128 + 68 + 68 + 68, times=4) == 256
    rows(TABLE_4[3:], 512, times=4)
    totals[:] += 4 * np.array([4 * 1024 * 136, (4 * 1024 + 1) * 136])  # C6, which has a bias
    report = macc.count(paper.training_model)
    assert (report.macc, report.params) == tuple(totals)
    # The hand count of the readings: 43.4 GMACC and 44 M.
    assert f"{report.macc / 1e9:.1f}" == "43.4"
    assert f"{report.params / 1e6:.0f}" == "44"
    # The landmarks alone need no head of units 1 to 3, nor the first two units' features.
    alone = macc.count(paper)
    assert f"{alone.macc / 1e9:.1f} {alone.params / 1e6:.1f}" == "40.9 18.3"


def test_training_meets_no_landmark_without_a_map(rng) -> None:
    """Whatever the weights, a batch's normalised maps without offset are above 0 somewhere."""
    model = small()
    for variable in model.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    outputs = model.training_model(images(rng), training=True)
    for k in range(3):
        largest = ops.convert_to_numpy(outputs[f"heatmap_{k}"]).max(axis=(0, 1, 2))
        assert (largest > 0).all()


@pytest.mark.parametrize("soft", [False, True])
def test_an_empty_map_still_tells_its_largest_cell(rng, soft: bool) -> None:
    model = small(soft=soft)
    for k in range(3):
        name = "heatmap_0_a12_bn" if k == 0 else f"heatmap_{k}_b4_bn"
        # In use, the statistics are those of the training: this face lies below all of them.
        model.training_model.get_layer(name).moving_mean.assign(np.full(N, 1e3))
    before = keras.Model(model.input, model.get_layer("heatmap_2_b4_bn").output)
    pictures = images(rng)
    outputs = model.training_model(pictures)
    assert not np.any(ops.convert_to_numpy(outputs["heatmap_2"]))
    index = ops.convert_to_numpy(before(pictures)).reshape(2, -1, N).argmax(axis=1)
    assert len(np.unique(index)) > N
    peaks = ops.convert_to_numpy(outputs["peak_2"]) * (16, 8)
    cells = np.stack([index % 16, index // 16], axis=-1) + 0.5
    assert np.abs(peaks - cells).max() <= (0.5 if soft else 0.0) + 1e-5


@pytest.mark.parametrize("width", [0.125, 1.0])
def test_refinement_begins_as_nearly_nothing(rng, width: float) -> None:
    # The statistics of batches, as in training; nothing is normalised before the first steps.
    model = small(width=width, trunk="paper", filters="separable")
    pictures = rng.uniform(0, 255, (4, *SHAPE)).astype("float32")
    outputs = model.training_model(pictures, training=True)
    for k in (1, 2):
        moved = np.asarray(outputs[f"refined_{k}"]) - np.asarray(outputs[f"peak_{k}"])
        cells = moved * model.map_size
        assert 0.01 < np.sqrt(np.mean(cells**2)) < 0.3


@pytest.mark.parametrize(
    "policy", ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)]
)
def test_maps_in_half_precision(rng, policy: str) -> None:
    """The contract's tolerance is wide, since a random map's maximum may jump; maps may not."""
    whole = small()
    keras.config.set_dtype_policy(policy)
    try:
        half = small()
    finally:
        keras.config.set_dtype_policy("float32")
    half.set_weights(whole.get_weights())
    pictures = images(rng)
    one, other = (model.training_model(pictures) for model in (whole, half))
    for k in range(3):
        expected = ops.convert_to_numpy(one[f"heatmap_{k}"])
        found = ops.convert_to_numpy(ops.cast(other[f"heatmap_{k}"], "float32"))
        tolerance = 0.04 if policy == "mixed_bfloat16" else 0.005
        assert np.abs(found - expected).max() <= tolerance * expected.max()


@pytest.mark.jax
@pytest.mark.slow
def test_contract(rng, tmp_path) -> None:
    run_contract(
        CCNN,
        images(rng),
        {
            "num_landmarks": N,
            "input_shape": SHAPE,
            "units": 2,
            "width": 0.125,
            "filters": "separable",
            "trunk": "mobile",
            "soft": True,
            "sigma": 1.2,
            "dropout": 0.25,
            "crop": "wflw",
            "name": "cascade",
        },
        tmp_path,
        expected_shape=(2, N, 2),
        # Half precision may move the maximum of a random map to any other cell.
        half_tolerance=1.5,
        backend_tolerance=2e-4,
        gradient_tolerance=5e-3,
    )


@pytest.mark.parametrize(("trunk", "filters"), [("paper", "separable"), ("mobile", "paper")])
def test_forms_differ_in_their_weights_only(rng, trunk: str, filters: str) -> None:
    model = small(trunk=trunk, filters=filters)
    outputs = model.training_model(images(rng))
    other = small().training_model(images(rng))
    assert {k: tuple(v.shape) for k, v in outputs.items()} == {
        k: tuple(v.shape) for k, v in other.items()
    }
    wide = model.get_layer("heatmap_1_b2_" + ("dwconv" if filters == "separable" else "conv"))
    assert wide.kernel_size == (13, 13)


def test_stages_peaks_and_heatmaps_belong_together(rng) -> None:
    model = small()
    pictures = images(rng)
    out = {k: ops.convert_to_numpy(v) for k, v in model.training_model(pictures).items()}
    assert set(out) == {
        *("heatmap_0", "heatmap_1", "heatmap_2", "peak_0", "peak_1", "peak_2"),
        *("refined_1", "refined_2", "stages"),
    }
    order = ["peak_0", "peak_1", "refined_1", "peak_2", "refined_2"]
    np.testing.assert_array_equal(out["stages"], np.stack([out[name] for name in order], axis=1))
    stages = ops.convert_to_numpy(model.stage_shapes(pictures))
    np.testing.assert_allclose(stages, out["stages"], atol=1e-6)
    np.testing.assert_allclose(ops.convert_to_numpy(model(pictures)), out["refined_2"], atol=1e-6)
    for k in range(3):
        maps = out[f"heatmap_{k}"].reshape(2, -1, N)
        index = maps.argmax(axis=1)
        cells = np.stack([index % 16, index // 16], axis=-1) + 0.5
        some = maps.max(axis=1) > 0
        assert some.mean() > 0.5
        np.testing.assert_allclose(out[f"peak_{k}"][some], (cells / (16, 8))[some], atol=1e-6)


def test_first_regression_unit_takes_its_features_twice_the_second_both(rng) -> None:
    model = small()
    names = ("regression_1_pair", "regression_2_pair")
    parts = keras.Model(
        model.input, [model.training_model.get_layer(name).output for name in names]
    )
    first, second = (ops.convert_to_numpy(part) for part in parts(images(rng)))
    own, previous = np.split(first, 2, axis=-1)
    np.testing.assert_array_equal(own, previous)
    np.testing.assert_array_equal(np.split(second, 2, axis=-1)[1], own)
    assert np.abs(np.split(second, 2, axis=-1)[0] - own).max() > 1e-3


def reached(model: CCNN, rng: np.random.Generator, name: str) -> set[str]:
    """Parts of the network that a loss on one named output moves."""
    outputs = model.training_model(images(rng))
    cotangents = [
        rng.normal(size=outputs[key].shape).astype("float32") * (key == name)
        for key in sorted(outputs)
    ]
    found, _ = gradients(model, images(rng), cotangents)
    moved = zip(model.trainable_variables, found, strict=True)
    paths = [v.path.split("/")[-2] for v, g in moved if g is not None and np.any(g)]
    return {"_".join(path.split("_")[:2]) for path in paths}


def test_where_gradients_go(rng) -> None:
    model = small()
    for variable in model.trainable_variables:
        if variable.path.endswith("beta"):  # so that few maps are cut to zero everywhere
            variable.assign(variable + 0.1)
    assert reached(model, rng, "peak_2") == set()
    # BaseCNN1 is trained by regression alone (section 3.1) ...
    assert reached(model, rng, "heatmap_1") == {"base_2", "heatmap_0", "heatmap_1"}
    # ... which also flows through the maps.
    both = {"base_1", "base_2", "heatmap_0", "heatmap_1", "regression_1"}
    assert reached(model, rng, "refined_1") == both


def test_loss_on_the_refined_points_is_that_of_the_increment_against_equation_1(rng) -> None:
    import tensorflow as tf

    model = small()
    pictures, truth = images(rng), rng.uniform(size=(2, N, 2)).astype("float32")
    head = model.training_model.get_layer("regression_2_increment").output
    both = keras.Model(model.input, {"increment": head, **model.training_model.output})
    variables = [v.value for v in model.groups["regression_2"][-2].trainable_variables]
    with tf.GradientTape(persistent=True) as tape:
        out = both(pictures, training=False)
        online = L2Loss()(truth, out["refined_2"])
        target = truth - np.asarray(out["peak_2"])
        explicit = L2Loss()(target, out["increment"])
    assert float(online) == pytest.approx(float(explicit), rel=1e-5)
    for one, other in zip(
        tape.gradient(online, variables), tape.gradient(explicit, variables), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_heads_that_only_losses_use_are_saved_as_well(rng, tmp_path) -> None:
    model = small(units=3)
    spare = {layer.name for layer in model.supervised_only if layer.weights}
    assert "regression_1_c6" in spare
    assert "regression_3_c6" not in spare
    assert len(model.weights) == len(model.training_model.weights)
    for variable in model.trainable_variables:
        variable.assign(variable + 0.02 * rng.normal(size=variable.shape))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    pictures = images(rng)
    for name, value in model.training_model(pictures).items():
        np.testing.assert_array_equal(loaded.training_model(pictures)[name], value)


def test_without_units_the_base_network_is_left(rng) -> None:
    model = small(units=0)
    assert set(model.training_model.output) == {"heatmap_0", "peak_0", "stages"}
    assert model.num_stages == 1
    assert not any(layer.name.startswith("base_1") for layer in model.layers)
    pictures = images(rng)
    np.testing.assert_array_equal(model(pictures), model.training_model(pictures)["peak_0"])


def test_groups_divide_the_weights(rng) -> None:
    model = small()
    assert set(model.groups) == {
        *("all", "dropout", "heatmaps", "regressions"),
        *("heatmap_0", "heatmap_1", "heatmap_2", "regression_1", "regression_2"),
    }

    def weights(name: str) -> list[int]:
        return [id(v) for layer in model.groups[name] for v in layer.trainable_variables]

    everything = [id(v) for v in model.trainable_variables]
    assert sorted(weights("heatmaps") + weights("regressions")) == sorted(everything)
    assert sorted(weights("all")) == sorted(everything)
    assert set(weights("regression_1")) < set(weights("regressions"))


def test_losses_take_what_the_model_gives(rng) -> None:
    outputs = small().training_model(images(rng))
    truth = rng.uniform(size=(2, N, 2)).astype("float32")
    for k in range(3):
        assert float(HeatmapLoss()(truth, outputs[f"heatmap_{k}"])) > 0
    assert float(L2Loss()(truth, outputs["stages"])) > 0


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_landmarks": 0},
        {"units": -1},
        {"width": 0.0},
        {"filters": "wide"},
        {"trunk": "resnet18"},
        {"dropout": 1.0},
        {"sigma": 0.0},
        {"input_shape": (34, 64, 3)},
        {"input_shape": (28, 64, 3)},
    ],
)
def test_refuses_arguments(arguments) -> None:
    with pytest.raises(ValueError, match="Received"):
        small(**arguments)
