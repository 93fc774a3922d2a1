"""TSR's baselines: the paper's sizes, and weights that fit TwoStage's layers."""

import numpy as np
import pytest
from keras import ops
from models.test_two_stage import COARSE, TCDCN_MACC, TCDCN_PARAMS, VGG_S_MACC, VGG_S_PARAMS

from contract import run_contract
from tfalign import macc
from tfalign.models import DirectRegression, TSRBaseline1, TSRBaseline2, TwoStage, transfer


def test_baseline1_has_the_papers_sizes() -> None:
    report = macc.count(TSRBaseline1(scheme="ibug68"))
    assert report.macc == TCDCN_MACC + 256 * 136
    assert report.params == TCDCN_PARAMS + 256 * 136 + 136


@pytest.mark.slow
def test_baseline2_has_the_papers_sizes() -> None:
    report = macc.count(TSRBaseline2(scheme="ibug68"))
    assert report.macc == VGG_S_MACC + COARSE[0]
    assert report.params == VGG_S_PARAMS + COARSE[1]
    assert f"{report.params / 1e6:.1f}" == "99.4"  # "about 99 M"


@pytest.mark.jax
@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "batch_norm"),
    [
        ("tcdcn", True),
        ("vgg_s", False),
        pytest.param("resnet18", False, marks=pytest.mark.exhaustive),
    ],
)
def test_contract(rng, tmp_path, network, batch_norm) -> None:
    run_contract(
        DirectRegression,
        rng.uniform(0, 255, (2, 48, 64, 3)).astype("f4"),
        {
            "num_landmarks": 19,
            "input_shape": (48, 64, 3),
            "trunk": network,
            "width": 0.125,
            "batch_norm": batch_norm,
            "dropout": 0.25,
            "crop": "wflw",
            "name": "baseline",
        },
        tmp_path,
        expected_shape=(2, 19, 2),
        policies=("float32", "mixed_bfloat16"),
        backend_tolerance=2e-4,
        gradient_tolerance=5e-3,
    )


def test_mean_shape(rng) -> None:
    shape = rng.uniform(size=(7, 2)).astype("f4")
    for network, output in (("tcdcn", "view_landmarks"), ("vgg_s", "face_landmarks")):
        model = DirectRegression(7, (48, 48, 3), network, width=0.125)
        model.set_mean_shape(shape)
        model.get_layer(output).kernel.assign(model.get_layer(output).kernel * 0)
        images = rng.uniform(0, 255, (2, 48, 48, 3)).astype("f4")
        np.testing.assert_allclose(ops.convert_to_numpy(model(images)), [shape] * 2, atol=1e-6)


def test_weights_start_the_two_stage_model(tmp_path) -> None:
    baseline = TSRBaseline2(19, (48, 48, 3), width=0.125, scheme="aflw19")
    baseline.save(tmp_path / "baseline.keras")
    model = TwoStage(
        19, (80, 80, 3), width=0.125, face_size=48, view_size=40, view_width=0.125, scheme="aflw19"
    )
    started = transfer(model, tmp_path / "baseline.keras")
    # Whatever is named "face_..." and nothing else.
    assert len(started.whole) >= len(baseline.trainable_weights)
    assert set(started.whole) >= {
        "face_conv1/kernel", "face_full7/bias", "face_landmarks/kernel",
    }  # fmt: skip
    assert any(name.startswith("view_conv1") for name in started.anew)


@pytest.mark.parametrize(
    "arguments",
    [
        {"trunk": "lenet"},
        {"num_landmarks": 0},
        {"width": 0.0},
        {"dropout": 1.0},
        {"input_shape": (24, 24, 3)},
        {"trunk": "tcdcn", "input_shape": (36, 36, 3)},
    ],
)
def test_refuses_arguments(arguments) -> None:
    with pytest.raises(ValueError, match="Received"):
        DirectRegression(**{"num_landmarks": 5, "input_shape": (48, 48, 3), **arguments})


def test_a_baseline_has_its_own_network() -> None:
    for baseline in (TSRBaseline1, TSRBaseline2):
        with pytest.raises(ValueError, match="trunk"):
            baseline(5, trunk="vgg_s")
