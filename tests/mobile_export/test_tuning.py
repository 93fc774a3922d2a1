"""Quantization-aware training, pruning and clustering, each end to end in its own process."""

from __future__ import annotations

import gzip
from typing import Any

import numpy as np
import pytest

import mobile_export
from mobile_export.tuning import USUAL, Tuning, default_schedule
from tfalign.training import LearningRateSpec, LossTerm, OptimizerSpec, Phase, Schedule

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tiny() -> Any:
    import keras

    from tfalign.models import GRegLRef

    keras.utils.set_random_seed(0)
    return GRegLRef(5, (16, 16, 3), width=0.125, crop="300w")


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    from mobile_export.pictures import noise_pictures

    images = noise_pictures(16, (16, 16), seed=1)
    landmarks = np.random.default_rng(0).uniform(0.3, 0.7, (16, 5, 2)).astype(np.float32)
    return images, landmarks


def tuning(**settings: Any) -> Tuning:
    phase = Phase(
        "tune",
        {"stages": LossTerm("l2")},
        LearningRateSpec(1e-3),
        OptimizerSpec("adam"),
        epochs=2,
    )
    return Tuning(schedule=Schedule("test", (phase,)), batch_size=8, **settings)


def kernels(path: Any, kinds: tuple[str, ...] = ("CONV_2D", "FULLY_CONNECTED")) -> list[np.ndarray]:
    """Returns the stored kernels of convolutions and dense layers of a float file."""
    from tfalign.tflite import Graph

    graph, tree = Graph.read(path), Graph.read(path).tree
    found = []
    for op in graph.operators:
        if op.kind in kinds:
            buffer = tree.buffers[tree.subgraphs[0].tensors[op.inputs[1]].buffer]
            found.append(np.frombuffer(bytes(buffer.data), np.float32))
    return found


def test_quantization_aware_training(tiny: Any, data: Any, tmp_path: Any) -> None:
    before = [np.asarray(w).copy() for w in tiny.weights]
    result = mobile_export.export(
        tiny,
        "int8_qat",
        out=tmp_path,
        training=data,
        tuning=tuning(),
        images=data[0],
        allow_loss=True,
    )
    assert result.report["calibration"]["source"] == "training data"
    assert result.histogram["QUANTIZE"] >= 1
    assert result.original_parity is not None
    assert result.original_parity.mean_px > result.parity.mean_px
    for weight, value in zip(tiny.weights, before, strict=True):
        np.testing.assert_array_equal(np.asarray(weight), value)  # the caller's model is untouched


def test_pruning(tiny: Any, data: Any, tmp_path: Any) -> None:
    plain = mobile_export.export(tiny, "float32", out=tmp_path / "plain")
    result = mobile_export.export(
        tiny, "pruned", out=tmp_path / "pruned", training=data, tuning=tuning(sparsity=0.5)
    )
    shares = [np.mean(kernel == 0.0) for kernel in kernels(result.path)]
    assert min(shares) >= 0.49
    assert result.parity.mean_px <= 1e-3
    assert result.gzip_size < 0.8 * plain.gzip_size
    assert result.gzip_size == len(gzip.compress(result.path.read_bytes(), mtime=0))


def test_clustering(tiny: Any, data: Any, tmp_path: Any) -> None:
    result = mobile_export.export(
        tiny, "clustered", out=tmp_path, training=data, tuning=tuning(clusters=8)
    )
    # The last two dense kernels are stored as trained. Into the others batch normalisation is
    # folded, which multiplies each channel by a factor of its own.
    assert (
        max(len(np.unique(kernel)) for kernel in kernels(result.path, ("FULLY_CONNECTED",))[-2:])
        <= 8
    )
    assert result.parity.mean_px <= 1e-3


def test_failure_in_the_process_is_quoted(tiny: Any, data: Any, tmp_path: Any) -> None:
    phase = Phase("tune", {"heatmaps": LossTerm("l2")}, LearningRateSpec(1e-3), epochs=1)
    wrong = Tuning(schedule=Schedule("wrong", (phase,)), batch_size=8)
    # A mistake that a user can mend, found in the process, arrives as what it is.
    with pytest.raises(ValueError, match="^A phase's losses must be among the outputs") as caught:
        mobile_export.export(tiny, "pruned", out=tmp_path, training=data, tuning=wrong)
    assert isinstance(caught.value.__cause__, RuntimeError)  # with the worker's own traceback
    assert "tuning_loop.py" in str(caught.value.__cause__)
    assert list(tmp_path.iterdir()) == []


def test_fault_in_the_process_stays_a_fault(
    tiny: Any, data: Any, tmp_path: Any, monkeypatch: Any
) -> None:
    from mobile_export import tuning as tuning_module

    monkeypatch.setattr(tuning_module.sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="exit status 1"):
        mobile_export.export(tiny, "pruned", out=tmp_path, training=data, tuning=tuning())


@pytest.mark.exhaustive
def test_command_tells_of_a_loss_that_is_not_finite_in_one_line(
    tiny: Any, data: Any, tmp_path: Any, monkeypatch: Any, capfd: Any
) -> None:
    from mobile_export import __main__ as program
    from tfalign_command import main

    tiny.save(tmp_path / "model.keras")
    monkeypatch.setattr(program.training_faces, "load", lambda *_: data)
    out = tmp_path / "out"
    code = main(
        ["export", str(tmp_path / "model.keras"), "--kind", "pruned", "--training", "faces.npz"]
        + ["--rate", "1e30", "--epochs", "1", "--tuning-batch", "4", "--out", str(out)]
    )
    error = capfd.readouterr().err
    assert code == 2
    assert error.startswith("error: The loss is not finite; lower the learning rate.")
    assert error.count("\n") == 1
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"sparsity": 1.0}, "`sparsity` must be in"),
        ({"clusters": 1}, "`clusters` must be at least 2"),
        ({"base": "int4"}, "`base` must be one of"),
        ({"batch_size": 0}, "`batch_size` must be positive"),
    ],
)
def test_settings_are_checked(settings: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        Tuning(**settings)


@pytest.mark.parametrize("kind", USUAL)
def test_default_schedule_takes_a_models_own_rate_factors(tiny: Any, kind: str) -> None:
    from tfalign.training.schedules.greglref import RATE_FACTORS

    (phase,) = default_schedule(tiny, kind).phases
    assert phase.optimizer.rate_factors == RATE_FACTORS
    assert (phase.epochs, phase.learning_rate.base) == USUAL[kind]
    (shorter,) = default_schedule(None, kind, epochs=2, rate=1e-5).phases
    assert shorter.optimizer.rate_factors == {}
    assert (shorter.epochs, shorter.learning_rate.base) == (2, 1e-5)


def test_landmarks_of_another_shape_are_refused(tiny: Any, data: Any, tmp_path: Any) -> None:
    with pytest.raises(ValueError, match=r"Training landmarks must be \(16, 5, 2\)"):
        mobile_export.export(
            tiny, "pruned", out=tmp_path, training=(data[0], data[1][:, :4]), tuning=tuning()
        )
    with pytest.raises(ValueError, match=r"Training landmarks must be in \[0, 1\]²"):
        mobile_export.export(
            tiny, "pruned", out=tmp_path, training=(data[0], 48 * data[1]), tuning=tuning()
        )


def test_points_that_are_not_annotated_teach_nothing(tiny: Any, tmp_path: Any) -> None:
    from tfalign.data.pipeline import CropCache
    from tfalign.data.sample import Sample
    from tfalign.data.synthetic import render
    from tfalign.markup import LandmarkScheme

    samples = []
    for index in range(8):
        face = render(3, index, 64)
        nowhere, none = np.zeros((5, 2), np.float32), np.zeros(5, bool)
        scheme = LandmarkScheme.unnamed(5)
        samples.append(
            Sample(face.image, nowhere, none, face.box, face.name, scheme, annotated=none)
        )
    cache = CropCache.build(samples, tiny.crop, tiny.image_size)
    result = mobile_export.export(
        tiny, "int8_qat", out=tmp_path, training=cache, tuning=tuning(), allow_loss=True
    )
    # The file is compared with the tuned model and with the one before: they must be the same.
    assert result.original_parity.mean_px == pytest.approx(result.rendered.mean_px, abs=1e-6)
