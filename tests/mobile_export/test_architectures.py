"""Every architecture in every kind that applies: landmarks, arithmetic, operators."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import mobile_export
from contract.architectures import ARCHITECTURES, PLAIN, TUNED
from mobile_export.tuning import Tuning, default_schedule
from tfalign import macc, models

MEAN_PX = {"float32": 1e-3, "float16": 0.05, "dynamic": 0.5, "int8": 0.5, "int8_full": 1.0}
"""Limits on the mean distance to the Keras model, in input pixels: the project's, and for
``int8_full``, which has none, ours."""

USUALLY_TUNED = ("DeepReg", "DSSD")  # and GRegLRef in test_compression
CASES = [(name, kind) for name, line in ARCHITECTURES.items() for kind in line.kinds]


def test_every_public_architecture_is_listed() -> None:
    public = {
        found
        for name in models.__all__
        if isinstance(found := getattr(models, name), type)
        and issubclass(found, models.LandmarkModel)
        and found is not models.LandmarkModel
    }
    public -= {models.Ensemble}  # It is made of others: tests/mobile_export/test_export_model.py.
    # GRegNet is a function that makes a GRegLRef.
    made = {line.make for line in ARCHITECTURES.values() if isinstance(line.make, type)}
    assert made == public
    lines = [line for line in ARCHITECTURES.values() if not line.peaks]
    assert all(set(PLAIN) <= set(line.kinds) for line in lines)


@pytest.fixture(scope="module")
def prepared(like_trained: Any, make_pictures: Any) -> Callable[[str], tuple[Any, np.ndarray]]:
    """The function that gives an architecture's model, as if trained, and its pictures."""

    @cache
    def prepare(name: str) -> tuple[Any, np.ndarray]:
        line = ARCHITECTURES[name]
        keras.utils.set_random_seed(0)
        pictures = make_pictures(20, line.size)
        return like_trained(line(), pictures, line.heads), pictures

    return prepare


def _cases(usual: Callable[[str, str], bool], tuned: bool) -> list[Any]:
    """The tuned or the other kinds; what is not usual runs when all cases are asked for."""
    chosen = [(name, kind) for name, kind in CASES if (kind in TUNED) == tuned]
    marks = [() if usual(*case) else (pytest.mark.exhaustive,) for case in chosen]
    return [pytest.param(*case, marks=m) for case, m in zip(chosen, marks, strict=True)]


def _usually_plain(name: str, kind: str) -> bool:
    """All kinds of one architecture, of the others those that make their files different."""
    return name == "GRegLRef" or kind.startswith(("float32", "int8"))


def _usually_tuned(name: str, kind: str) -> bool:
    """One of each design by quantization; the other kinds are run in test_compression, too."""
    return kind == "int8_qat" and name in USUALLY_TUNED


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), _cases(_usually_plain, tuned=False))
def test_landmarks_and_arithmetic_equal_the_keras_model(
    name: str, kind: str, prepared: Any, tmp_path: Path
) -> None:
    model, pictures = prepared(name)
    calibration = pictures if kind.startswith("int8") else None
    result = mobile_export.export(
        model, kind, calibration, tmp_path, images=pictures, allow_loss=True
    )
    found = mobile_export.Runner(result.path)(pictures)
    expected = np.asarray(model(pictures.astype(np.float32), training=False))
    assert expected.std(axis=0).mean() > 0.01  # a model that ignores its picture proves nothing
    distance = np.linalg.norm((found - expected) * np.array(model.image_size[::-1]), axis=-1)
    typical = np.median if ARCHITECTURES[name].peaks else np.mean
    assert typical(distance) <= MEAN_PX[kind]
    count = macc.count(model)
    assert result.macc == count.macc
    assert not {"CUSTOM", "DELEGATE"} & set(result.histogram)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), _cases(_usually_tuned, tuned=True))
def test_tuning_reaches_the_file(name: str, kind: str, prepared: Any, tmp_path: Path) -> None:
    model, pictures = prepared(name)
    landmarks = np.random.default_rng(0).uniform(0.3, 0.7, (len(pictures), model.num_landmarks, 2))
    tuning = Tuning(schedule=default_schedule(model, kind, epochs=1, rate=2e-4), batch_size=10)
    result = mobile_export.export(
        model,
        kind,
        out=tmp_path,
        images=pictures,
        allow_loss=True,
        training=(pictures, landmarks),
        tuning=tuning,
    )
    if not ARCHITECTURES[name].peaks:
        assert result.parity.mean_px <= MEAN_PX["int8" if kind == "int8_qat" else "float32"]
    assert result.original_parity is not None
    assert result.original_parity.mean_px > 0.1  # what was tuned, not what was given
    assert result.macc == macc.count(model).macc
