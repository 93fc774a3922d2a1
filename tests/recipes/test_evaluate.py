import importlib.util
import json
import os
import subprocess
import sys

import cv2
import keras
import numpy as np
import pandas as pd
import pytest

from tfalign.evaluation import score
from tfalign.models import GRegNet


def load(repository, name):
    path = repository / "recipes" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"recipe_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def recipe(repository):
    return load(repository, "evaluate")


@pytest.fixture
def data(tmp_path, rng):
    """A 300-W folder of which only one split exists."""
    folder = tmp_path / "data" / "helen" / "testset"
    folder.mkdir(parents=True)
    for index in range(5):
        image = rng.integers(0, 256, (90, 110, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f"face_{index}.png"), image)
        points = rng.uniform((30, 20), (80, 70), (68, 2))
        points[36], points[45] = (40, 40), (70, 40)
        lines = "\n".join(f"{x:.3f} {y:.3f}" for x, y in points + 0.5)
        (folder / f"face_{index}.pts").write_text(
            f"version: 1\nn_points: 68\n{{\n{lines}\n}}\n", encoding="utf-8"
        )
    return tmp_path / "data"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for points, crop, scheme in ((68, "300w", "ibug68"), (98, "wflw", "wflw98")):
        arguments = {"width": 0.125, "trunk": "mobile", "crop": crop, "scheme": scheme}
        model = GRegNet(points, (32, 32, 3), **arguments)
        model.save(folder / f"{points}.keras")
    return folder


def arguments(model, data, out, *more):
    return ["--model", str(model), "--dataset", "300w", "--data", str(data), "--split",
            "helen/testset", "--out", str(out), "--quiet", *more]  # fmt: skip


def test_metrics_are_those_of_the_written_predictions(recipe, models, data, tmp_path, capsys):
    out = tmp_path / "out"
    recipe.main(arguments(models / "68.keras", data, out, "--threshold", "0.1"))
    metrics = json.loads((out / "metrics.json").read_text())
    with np.load(out / "predictions.npz") as file:
        again = score(file["predicted"], file["truth"], "300w_inter_ocular", threshold=0.1)
        assert file["names"].tolist() == [f"helen/testset/face_{i}.png" for i in range(5)]
        np.testing.assert_allclose(file["truth"][:, 36], [[40, 40]] * 5, atol=1e-3)
    assert metrics["nme"] == pytest.approx(again.nme)
    assert metrics["failure_rate"] == again.failure_rate
    assert metrics["auc"] == pytest.approx(again.auc)
    assert metrics["threshold"] == 0.1
    assert metrics["box"] == "landmarks"
    assert len(metrics["settings"]["sha256"]) == 64
    assert (out / "report.html").stat().st_size > 10_000
    assert "NME" in capsys.readouterr().out
    assert not list(out.glob(".*.tmp"))


def test_98_points_on_68_point_data_with_a_detector_and_a_baseline(recipe, models, data, tmp_path):
    out = tmp_path / "out"
    recipe.main(
        arguments(
            models / "98.keras", data, out, "--box", "detector", "--mean-shape", "helen/testset"
        )
    )
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["faces"] == 5
    assert metrics["detector_misses"] == 5  # noise holds no face
    assert any("missed 5 of 5" in note for note in metrics["notes"])
    assert metrics["baseline"]["model"] == "mean shape of helen/testset"
    assert 0 < metrics["baseline"]["nme"] < metrics["nme"]


def test_same_command_again_and_another_one(recipe, models, data, tmp_path):
    out = tmp_path / "out"
    first = recipe.main(arguments(models / "68.keras", data, out, "--last", "3"))
    assert first["faces"] == 3
    again = recipe.main(arguments(models / "68.keras", data, out, "--last", "3"))
    assert again["nme"] == pytest.approx(first["nme"], rel=1e-6)
    with pytest.raises(ValueError, match=r"(?s)differs in.*last: there 3, wanted 2"):
        recipe.main(arguments(models / "68.keras", data, out, "--last", "2"))


def test_what_users_do_wrong(recipe, models, data, tmp_path):
    good = models / "68.keras"
    out = tmp_path / "out"
    with pytest.raises(FileNotFoundError, match="model="):
        recipe.main(arguments(tmp_path / "none.keras", data, out))
    with pytest.raises(ValueError, match="presets"):
        recipe.main(arguments("no_preset", data, tmp_path / "o2"))
    with pytest.raises(FileNotFoundError, match="folder of 300w"):
        recipe.main(arguments(good, tmp_path / "nowhere", out))
    with pytest.raises(ValueError, match="--last must be from 1 to 5"):
        recipe.main(arguments(good, data, out, "--last", "6"))
    with pytest.raises(ValueError, match="gives no box for"):
        recipe.main(arguments(good, data, out, "--box", "file"))
    with pytest.raises(FileNotFoundError):
        recipe.main([*arguments(good, data, out), "--split", "ibug"])
    assert not out.joinpath("metrics.json").exists()
    # None of these has taken the folder: the corrected command may have it.
    assert not out.joinpath("settings.json").exists()


def test_a_failed_first_try_leaves_the_folder_free(recipe, models, data, tmp_path):
    out, good = tmp_path / "out", tmp_path / "plain.keras"
    # Not of this package, so it does not store how crops are cut.
    plain = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(136, kernel_initializer="zeros"),
            keras.layers.Reshape((68, 2)),
        ]
    )
    plain.save(good)
    with pytest.raises(ValueError, match="crop"):
        recipe.main(arguments(good, data, out))
    words = arguments(good, data, out, "--crop", "300w", "--scheme", "ibug68")
    image = data / "helen" / "testset" / "face_2.png"
    before = image.read_bytes()
    image.write_bytes(b"no image")  # is found while measuring
    with pytest.raises(ValueError, match=r"face_2\.png"):
        recipe.main(words)
    image.write_bytes(before)
    assert recipe.main(words)["faces"] == 5
    with pytest.raises(ValueError, match=r"(?s)differs in.*last: there None, wanted 2"):
        recipe.main([*words, "--last", "2"])


def test_what_the_model_was_trained_on_is_told(recipe, models, data, tmp_path):
    from tfalign.data.readers import w300

    model = tmp_path / "model.keras"
    model.write_bytes((models / "68.keras").read_bytes())
    seen = w300.read(data, ["helen/testset"]).fingerprint()
    stored = {"train_fingerprints": [seen], "test_fingerprint": "", "held_out": 0}
    (tmp_path / "result.json").write_text(json.dumps({"faces": 5, "data": stored}))
    found = recipe.main(arguments(model, data, tmp_path / "a"))
    assert "These are faces that the model was trained on." in found["notes"]
    (tmp_path / "result.json").write_text("another program's")
    found = recipe.main(arguments(model, data, tmp_path / "b"))
    assert found["faces"] == 5
    assert any("is not known" in note for note in found["notes"])


def test_an_unreadable_face_stops_or_is_left_out(recipe, models, data, tmp_path):
    (data / "helen" / "testset" / "face_2.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"face_2\.png"):
        recipe.main(arguments(models / "68.keras", data, tmp_path / "a"))
    found = recipe.main(arguments(models / "68.keras", data, tmp_path / "b", "--skip-bad"))
    assert found["faces"] == 4
    assert any("face_2" in note for note in found["notes"])


def test_help_shows_commands(recipe, capsys):
    with pytest.raises(SystemExit) as stop:
        recipe.main(["--help"])
    assert stop.value.code == 0
    assert "recipes/evaluate.py --model runs/300w/model.keras" in capsys.readouterr().out


@pytest.mark.slow
def test_program_tells_errors_in_one_line(repository, tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            str(repository / "recipes" / "evaluate.py"),
            *arguments(tmp_path / "none.keras", tmp_path, tmp_path / "out"),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(repository)},
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: A model file must exist.")


def test_several_models_share_a_table_and_a_plot(recipe, models, data, tmp_path):
    out = tmp_path / "out"
    both = [f"one={models / '68.keras'}", f"two={models / '98.keras'}"]
    found = recipe.main(
        [*arguments(both[0], data, out)[:2], both[1], *arguments("", data, out)[2:]]
    )
    assert list(found["models"]) == ["one", "two"]
    table = pd.read_csv(out / "table.csv", index_col="model")
    for name in ("one", "two"):
        alone = json.loads((out / name / "metrics.json").read_text())
        assert found["models"][name]["nme"] == alone["nme"]
        assert table.loc[name, "all NME %"] == pytest.approx(100 * alone["nme"])
        assert table.loc[name, "boxes"] == alone["box"]
    assert json.loads((out / "metrics.json").read_text()) == found
    assert (out / "ced.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="each needs a name"):
        recipe.main(["--model", str(models / "68.keras"), both[1], *arguments("", data, out)[2:]])


@pytest.mark.slow
@pytest.mark.parametrize("box", [None, "landmarks"])
def test_evaluate_without_a_flag_gives_what_training_gave(recipe, tmp_path, box):
    """Rendered faces have boxes of their own; a model trained on tight ones stays with those."""
    from tfalign import training
    from tfalign.data import sets, synthetic

    synthetic.write_wflw(tmp_path / "wflw", 12, 8, size=96, workers=1, progress=False)
    faces, test = (sets.get("wflw").read(tmp_path / "wflw", s, box=box) for s in ("train", "test"))
    options = {"image_size": (32, 32), "width": 0.125}
    out = tmp_path / "run"
    trained = training.train(
        "gregnet", faces, options=options, test=test, steps=6, batch_size=4, validation=2, out=out
    )
    words = ["--model", str(out / "model.keras"), "--dataset", "wflw", "--data"]
    words += [str(tmp_path / "wflw"), "--split", "test", "--out", str(tmp_path / "out"), "--quiet"]
    found = recipe.main(words)
    assert found["box"] == trained.summary["box"] == (box or "file")
    assert found["nme"] == pytest.approx(trained.nme, rel=1e-5)
    other = recipe.main([*words[:-2], str(tmp_path / "other"), "--quiet", "--box",
                         {"file": "landmarks", "landmarks": "file"}[found["box"]]])  # fmt: skip
    assert other["nme"] != pytest.approx(trained.nme, rel=1e-3)
