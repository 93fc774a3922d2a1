"""The command line of the counter."""

import json
from pathlib import Path

import keras
import pytest

from tfalign import macc, models
from tfalign.macc.__main__ import main

SMALL = ["--num-landmarks", "19", "--width", "0.125", "--input-shape", "32", "32", "3"]


def small(**arguments) -> keras.Model:
    return models.GRegLRef(
        num_landmarks=19, width=0.125, input_shape=(32, 32, 3), **arguments, scheme="aflw19"
    )


@pytest.mark.slow
def test_model_by_name_prints_both_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["greglref", *SMALL, "--set", "trunk=mobile", "--set", "refinements=1"]) == 0
    printed = capsys.readouterr().out
    expected = macc.count(small(trunk="mobile", refinements=1))
    assert expected.table().splitlines()[-1] in printed
    figure = f"{expected.macc:,} MACC"
    assert f"Keras {figure}, .tflite {figure}: they agree" in printed


@pytest.mark.slow
def test_keras_and_tflite_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = small()
    model.save(tmp_path / "model.keras")
    assert main([str(tmp_path / "model.keras"), "--no-tflite", "--totals"]) == 0
    assert capsys.readouterr().out.strip() == str(macc.count(model))
    signature = [keras.InputSpec(shape=(1, 32, 32, 3), dtype="float32")]
    path = tmp_path / "model.tflite"
    model.export(path, format="litert", input_signature=signature, verbose=False)
    output = tmp_path / "counts.json"
    assert main([str(path), "--json", str(output)]) == 0
    (plain,) = json.loads(output.read_text())
    assert plain["macc"] == macc.count(model).macc
    assert plain["operators"]["GATHER"] == 2


def test_counts_are_printed_where_their_file_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    output = tmp_path / "file" / "counts.json"
    assert main(["greglref", *SMALL, "--no-tflite", "--totals", "--json", str(output)]) == 2
    printed = capsys.readouterr()
    assert printed.out.strip() == str(macc.count(small()))
    assert str(output.parent) in printed.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["NoSuchNet"], "A model is one of"),
        (["absent.keras"], "no such .keras file"),
        (["absent.tflite"], "no such .tflite file"),
        (["absent.tflite", "--width", "0.5"], "for a class by name"),
        (["GRegLRef", "--set", "colour=red"], "Received: ['colour']"),
        (["GRegLRef", "--set", "trunk"], "ARGUMENT=VALUE"),
        (["GRegLRef", "--num-landmarks", "-3"], "num_landmarks=-3"),
    ],
)
def test_mistakes_are_named(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
