"""Faces of one's own: those measured on are not trained on, and none vanish without a word."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest

from tfalign.cli import evaluate, measuring, robustness, train
from tfalign.data import sets
from tfalign.evaluation import evaluate_model, mean_shape_predictor, shapes_in_crops
from tfalign.evaluation.protocols import own_protocol
from tfalign.markup import LandmarkScheme
from tfalign.models import GRegNet
from tfalign.training import Settings
from tfalign.training.train import _held_out

TINY = [
    *("--model", "gregnet", "--trunk", "mobile", "--width", "0.1", "--image-size", "32"),
    *("--batch-size", "4", "--steps", "2", "--validation", "2"),
]


@pytest.fixture
def table(tmp_path: Path):
    """Writes a CSV of 14 faces with 5 points each, of persons or splits, and returns its path."""

    def write(name: str, values: list[str], bad: str = "") -> Path:
        rng = np.random.default_rng(0)
        rows = [f"image,{name}," + ",".join(f"p{i}_x,p{i}_y" for i in range(5))]
        for index, value in enumerate(values):
            picture = f"f{index:02}.png"
            if picture == bad:
                (tmp_path / picture).write_bytes(b"\x89PNG no more")
            else:
                cv2.imwrite(str(tmp_path / picture), rng.integers(0, 256, (64, 64, 3), np.uint8))
            points = rng.uniform(8, 56, 10).round(2)
            rows.append(",".join([picture, value, *map(str, points)]))
        (tmp_path / "faces.csv").write_text("\n".join(rows) + "\n")
        return tmp_path / "faces.csv"

    return write


def trained(data: Path, out: Path, *words: str) -> list[list[str]]:
    given = ["csv", "--data", str(data), "--out", str(out), *TINY, *words]
    arguments = train.options().parse_args(given)
    return train.next_steps(arguments, train.run(arguments))


def test_the_command_that_is_shown_measures_on_the_faces_held_out(table, tmp_path, capsys):
    """Of persons these are not the last by name."""
    data = table("person", ["ann", "bob", "cid", "dan"] * 3 + ["ann", "bob"])
    out = tmp_path / "run"
    words = trained(data, out, "--holdout", "3", "--group", "person")[0]
    arguments = evaluate.options().parse_args([*words[2:], "--quiet"])
    faces = sets.get("csv").read(data)
    persons = {r.name: r.attributes["person"] for r in faces.records}
    held_out = (out / "held_out.txt").read_text().split()
    assert {persons[name] for name in held_out} == {"dan"}
    found = evaluate.run(arguments)
    assert found["faces"] == len(held_out) == 3
    assert "trained on" not in capsys.readouterr().out
    # The last by name are of persons that were trained on: that is told.
    arguments = evaluate.options().parse_args(
        ["--model", str(out / "model.keras"), "--dataset", "csv", "--data", str(data), "--last",
         "3", "--out", str(tmp_path / "last"), "--quiet"]
    )  # fmt: skip
    evaluate.run(arguments)
    assert "The model was trained on" in capsys.readouterr().out


def test_other_splits_are_told(table, tmp_path, capsys):
    data = table("split", ["train"] * 8 + ["Test"] * 4 + ["my val"] * 2)
    trained(data, tmp_path / "all", "--holdout", "2")
    told = capsys.readouterr().out
    assert "4 faces are of the split 'Test'" in told
    assert "2 faces are of the split 'my val'" in told
    assert "--test-split 'my val' keeps" in told
    assert "split 'train'" not in told
    with pytest.raises(
        FileNotFoundError, match=r"no row has 'test'.*\['Test', 'my val', 'train'\]"
    ):
        trained(data, tmp_path / "none", "--test-split", "test")
    data = table("split", ["train"] * 10 + ["test"] * 4)
    trained(data, tmp_path / "apart", "--test-split", "test")
    assert "of the split" not in capsys.readouterr().out
    assert not (tmp_path / "apart" / "held_out.txt").exists()


def test_a_held_out_face_that_cannot_be_read_is_listed(table, tmp_path, capsys):
    data = table("person", list("abcdefghijklmn"), bad="f13.png")
    trained(data, tmp_path / "run", "--holdout", "2", "--skip-bad")
    told = capsys.readouterr().out
    assert "f13.png" in told
    assert "on 1 faces (held-out faces of csv" in told


def test_pictures_that_are_trained_on_are_no_test(tmp_path):
    rng = np.random.default_rng(0)
    head = "image," + ",".join(f"p{i}_x,p{i}_y" for i in range(5))
    for split, numbers in (("train", range(10)), ("test", range(8, 12))):
        rows = [head]
        for index in numbers:
            picture = tmp_path / f"f{index:02}.png"
            cv2.imwrite(str(picture), rng.integers(0, 256, (64, 64, 3), np.uint8))
            rows.append(",".join([picture.name, *map(str, rng.uniform(8, 56, 10).round(2))]))
        (tmp_path / f"{split}.csv").write_text("\n".join(rows) + "\n")
    with pytest.raises(ValueError, match="the same picture"):
        trained(tmp_path, tmp_path / "run", "--test-split", "test")


def test_a_copy_of_a_held_out_picture_is_not_trained_on(table, tmp_path, capsys):
    """It is the same face, whatever the file is called."""
    data = table("person", ["a", "b"] * 7)
    for copy, of in (("f13.png", "f05.png"), ("f03.png", "f05.png")):
        shutil.copyfile(tmp_path / of, tmp_path / copy)
    known = sets.get("csv")
    faces = known.read(data)
    rest, held_out = known.hold_out(faces, 2)
    assert [record.name for record in held_out.records] == ["f12.png", "f13.png"]
    bytes_of = [
        {(tmp_path / r.name).read_bytes() for r in part.records} for part in (rest, held_out)
    ]
    assert not bytes_of[0] & bytes_of[1]
    assert len(rest) == 10
    (trained_on,), watched = _held_out([faces], None, Settings(validation=2))
    assert (len(trained_on), len(watched)) == (10, 2)
    assert "2 faces are left out" in capsys.readouterr().out


def test_the_command_that_is_shown_scores_as_the_training_did(table, tmp_path):
    data, out = table("person", ["ann", "bob"] * 7), tmp_path / "run"
    scheme = sets.get("csv").read(data).scheme
    config = {"scheme": scheme.to_config(), "normalizer": [["p0"], ["p1"]]}
    (tmp_path / "own.json").write_text(json.dumps(config))
    given = ["--protocol", str(tmp_path / "own.json"), "--validation", "0", "--keep", "last"]
    words = trained(data, out, *given)[0]
    evaluated = evaluate.run(evaluate.options().parse_args(words[2:]))
    result = json.loads((out / "result.json").read_text())
    assert evaluated["protocol"] == result["protocol"] == "csv_5, divided by: distance of p0 and p1"
    assert evaluated["nme"] == pytest.approx(result["nme"], rel=1e-4)
    # What would end a training at its end is told at its start, where no face is watched, too.
    (tmp_path / "own.json").write_text(
        json.dumps({**config, "scheme": {**scheme.to_config(), "edges": [[0, 1]]}})
    )
    for wrong in (str(tmp_path / "own.json"), "300w_inter_ocular", "none_such"):
        with pytest.raises(ValueError, match="own scheme|must be one of"):
            trained(data, tmp_path / "other", *given[2:], "--protocol", wrong)
    assert not (tmp_path / "other").exists()


def test_points_of_a_published_set_are_scored_alike_by_all_programs(tmp_path):
    """Training takes that set's customary protocol, here by the distance of the pupils."""
    rng = np.random.default_rng(0)
    rows = ["image," + ",".join(f"x{i},y{i}" for i in range(29))]
    for index in range(14):
        cv2.imwrite(str(tmp_path / f"{index:02}.png"), rng.integers(0, 256, (64, 64, 3), np.uint8))
        rows.append(f"{index:02}.png," + ",".join(map(str, rng.uniform(8, 56, 58).round(2))))
    (tmp_path / "faces.csv").write_text("\n".join(rows) + "\n")
    out = tmp_path / "run"
    words = trained(tmp_path / "faces.csv", out, "--scheme", "lfpw29", "--augment", "none")[0]
    evaluated = evaluate.run(evaluate.options().parse_args(words[2:]))
    result = json.loads((out / "result.json").read_text())
    assert evaluated["protocol"] == result["protocol"] == "lfpw29_inter_pupil"
    for key in ("nme", "failure_rate", "auc"):
        assert evaluated[key] == pytest.approx(result[key], rel=1e-4)


def test_a_file_without_a_face_is_told_with_the_reason(table, tmp_path):
    data = table("person", ["ann", "bob"] * 7)
    picture = {"id": 1, "file_name": "f00.png"}
    points = {"image_id": 1, "category_id": 1, "keypoints": [9, 9, 0, 9, 30, 0, 20, 20, 0]}
    category = {"id": 1, "name": "face", "keypoints": ["chin", "brow", "nose"]}
    coco = {"images": [picture], "categories": [category], "annotations": [points]}
    (tmp_path / "none.json").write_text(json.dumps(coco))
    data.write_text(data.read_text().splitlines()[0] + "\n")
    for name, file, reason in (
        ("csv", data, "none, and nothing that was left out"),
        ("coco", tmp_path / "none.json", r"annotations\[0\]: no point is annotated, v is 0"),
    ):
        given = [name, "--data", str(file), "--out", str(tmp_path / "run"), *TINY]
        with pytest.raises(ValueError, match=reason):
            train.run(train.options().parse_args(given))
        words = ["--model", "300w", "--dataset", name, "--data", str(file), "--out", "x"]
        with pytest.raises(ValueError, match=reason):
            measuring.read_data(evaluate.options().parse_args(words))


def test_faces_that_lack_what_errors_are_divided_by_are_told_first(table, tmp_path):
    data = table("person", ["ann", "bob"] * 7)
    head, *rows = data.read_text().splitlines()
    cells = [row.split(",") for row in rows]
    cells[-1][2:4] = ["", ""]  # f13.png, which is held out
    data.write_text("\n".join([head, *(",".join(row) for row in cells)]) + "\n")
    scheme = {**sets.get("csv").read(data).scheme.to_config(), "normalizer": [["p0"], ["p1"]]}
    (tmp_path / "own.json").write_text(json.dumps(scheme))
    with pytest.raises(ValueError, match=r"p0 and p1: annotate it.*1 of \d+ faces .*'f13.png'"):
        trained(data, tmp_path / "run", "--scheme", str(tmp_path / "own.json"))
    assert not (tmp_path / "run").exists()
    trained(data, tmp_path / "run")  # By the box there is no such face.


@pytest.mark.parametrize("box", ["file", "landmarks"])
def test_errors_are_divided_by_the_files_boxes_whatever_a_face_is_cut_by(table, tmp_path, box):
    data, out = table("person", ["ann", "bob"] * 7), tmp_path / "run"
    head, *rows = data.read_text().splitlines()
    rows = [f"{row},1,2,62,60" for row in rows]
    data.write_text("\n".join([head + ",box_left,box_top,box_right,box_bottom", *rows]) + "\n")
    words = trained(data, out, "--box", box)[0]
    evaluated = evaluate.run(evaluate.options().parse_args(words[2:]))
    result = json.loads((out / "result.json").read_text())
    assert evaluated["box"] == result["box"] == box
    assert evaluated["nme"] == pytest.approx(result["nme"], rel=1e-4)
    assert result["nme_of_stages"][-1] == pytest.approx(result["nme"], rel=0.05)
    # By hand, from the predictions in image pixels.
    names = (out / "held_out.txt").read_text().split()
    reader = sets.get("csv").read(data)
    reader = reader.subset([r for r in reader.records if r.name in names])
    found = evaluate_model(str(out / "model.keras"), reader, own_protocol(reader.scheme))
    distances = np.linalg.norm(found.predicted - found.truth, axis=-1).mean(axis=1)
    assert result["nme"] == pytest.approx((distances / np.hypot(61, 58)).mean(), rel=1e-4)


@pytest.mark.parametrize("flip", ["flip", "none"])
@pytest.mark.parametrize("names", ["right left nose r l", "right left nose right_m left_m"])
def test_a_training_tells_of_points_that_mirrored_faces_would_mix_up(tmp_path, names, flip, capsys):
    """Names without left and right beside some that have them pass for points of the middle."""
    rng = np.random.default_rng(0)
    shape = np.array([[20, 20], [44, 20], [32, 32], [24, 46], [40, 46]])
    rows = ["image," + ",".join(f"{name}_x,{name}_y" for name in names.split())]
    for index in range(30):
        cv2.imwrite(str(tmp_path / f"{index}.png"), rng.integers(0, 256, (64, 64, 3), np.uint8))
        points = shape + rng.normal(0, 1, (5, 2))
        rows.append(f"{index}.png," + ",".join(map(str, points.round(2).ravel())))
    (tmp_path / "faces.csv").write_text("\n".join(rows) + "\n")
    trained(tmp_path / "faces.csv", tmp_path / "run", "--augment", flip)
    said = "that of r is said to be r, l fits; that of l is said to be l, r fits"
    told = capsys.readouterr().out
    assert (
        (said in told)
        == ("Mirror images look wrong" in told)
        == (flip == "flip" and " r l" in names)
    )


def test_a_file_is_no_output_folder(table, tmp_path):
    data = table("person", ["a", "b"] * 7)
    with pytest.raises(NotADirectoryError, match="--out must be a folder"):
        trained(data, data)


def test_faces_are_taken_by_name(table, tmp_path):
    """In the file's order, each of them."""
    data, names = table("person", ["a", "b"] * 7), tmp_path / "names.txt"
    names.write_text("f09.png\nf02.png\n")
    words = ["--model", "300w", "--dataset", "csv", "--data", str(data), "--out", "x"]
    words += ["--faces", str(names)]
    found = measuring.read_data(evaluate.options().parse_args(words))
    assert [record.name for record in found.records] == ["f09.png", "f02.png"]
    with pytest.raises(ValueError, match="give one of them"):
        measuring.read_data(evaluate.options().parse_args([*words, "--last", "1"]))
    names.write_text("f09.png\nanother.jpg\n")
    with pytest.raises(ValueError, match=r"1 of 2 others, \['another.jpg'\]"):
        measuring.read_data(evaluate.options().parse_args(words))
    names.write_text("f09.png\nf02.png\nf09.png\n")
    with pytest.raises(ValueError, match=r"names.txt with \['f09.png'\] more than once"):
        measuring.read_data(evaluate.options().parse_args(words))


def test_points_without_names_are_told_of(table, tmp_path, capsys):
    """Their order is taken for the model's, which nothing in the file says."""
    data = table("person", ["a", "b"] * 7)
    words = ["--model", "300w", "--dataset", "csv", "--data", str(data), "--out", "x"]
    scheme = sets.get("csv").read(data).scheme
    measuring.read_data(evaluate.options().parse_args(words), scheme)
    assert "no names" not in capsys.readouterr().err
    text = data.read_text()
    for index in range(5):
        text = text.replace(f"p{index}_x,p{index}_y", f"x{index},y{index}")
    data.write_text(text)
    measuring.read_data(evaluate.options().parse_args(words), scheme)
    assert "taken in the model's order (p0, p1, p2, …)" in capsys.readouterr().err
    measuring.read_data(evaluate.options().parse_args(words), LandmarkScheme.unnamed(5))
    assert "no names" not in capsys.readouterr().err


@pytest.mark.parametrize("dataset", ["coco", "imglab"])
def test_numbers_are_no_names_in_any_form(dataset, tmp_path, capsys):
    """dlib's parts are called 00, 01, … and key points of some tools 1, 2, …"""
    scheme = LandmarkScheme("three", ("chin", "brow", "nose"))
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((40, 40, 3), np.uint8))
    if dataset == "coco":
        text = json.dumps(
            {
                "images": [{"id": 1, "file_name": "a.png"}],
                "categories": [{"id": 1, "name": "face", "keypoints": ["1", "2", "3"]}],
                "annotations": [
                    {"image_id": 1, "category_id": 1, "keypoints": [9, 9, 2, 9, 30, 2, 20, 20, 2]}
                ],
            }
        )
    else:
        parts = "".join(f"<part name='0{i}' x='{9 * i}' y='{i * i}'/>" for i in range(3))
        text = f"<images><image file='a.png'><box left='0' top='0' width='30' height='30'>{parts}"
        text += "</box></image></images>"
    data = tmp_path / f"a.{'json' if dataset == 'coco' else 'xml'}"
    data.write_text(text)
    words = ["--model", "300w", "--dataset", dataset, "--data", str(data), "--out", "x"]
    reader = measuring.read_data(evaluate.options().parse_args(words), scheme)
    assert reader.scheme == scheme
    assert "taken in the model's order (chin, brow, nose, …)" in capsys.readouterr().err
    own = sets.get(dataset).read(data).scheme  # A model that was trained on such a file.
    measuring.read_data(evaluate.options().parse_args(words), own)
    assert "no names" not in capsys.readouterr().err


@pytest.fixture
def untrained(tmp_path):
    """Saves a model of a file's points and returns the words that measure it on that file."""

    def make(data: Path) -> list[str]:
        scheme = sets.get("csv").read(data, on_error="skip").scheme
        model = GRegNet(scheme=scheme, input_shape=(32, 32, 3), trunk="mobile", width=0.1)
        model.box = "landmarks"
        model.save(tmp_path / "own.keras")
        words = ["--model", str(tmp_path / "own.keras"), "--dataset", "csv", "--data", str(data)]
        return [*words, "--quiet"]

    return make


def test_the_mean_shape_is_of_all_faces_of_its_split(table, untrained, tmp_path):
    """Not of those alone that --faces or --last choose to measure on."""
    data = table("split", ["train"] * 10 + ["test"] * 4)
    names = tmp_path / "names.txt"
    names.write_text("f02.png\nf05.png\n")
    words = [*untrained(data), "--split", "train", "--mean-shape", "train", "--crop", "tsr"]
    out = tmp_path / "out"
    arguments = [*words, "--faces", str(names), "--out", str(out)]
    found = evaluate.run(evaluate.options().parse_args(arguments))
    assert found["split"] == "train, the faces of names.txt"
    assert any("--crop tsr was not used" in note for note in found["notes"])
    reader = sets.get("csv").read(data, "train")
    model = GRegNet(scheme=reader.scheme, input_shape=(32, 32, 3), trunk="mobile", width=0.1)
    shapes = shapes_in_crops([r.landmarks for r in reader.records], model.crop, (32, 32))
    assert len(shapes) == 10
    mean = mean_shape_predictor(shapes, model.crop, reader.scheme, (32, 32))
    two = reader.subset([r for r in reader.records if r.name in ("f02.png", "f05.png")])
    expected = evaluate_model(mean, two, own_protocol(reader.scheme), progress=False)
    written = json.loads((out / "metrics.json").read_text())
    assert written["baseline"]["faces"] == 2
    assert written["baseline"]["nme"] == pytest.approx(expected.nme, rel=1e-6)


def test_the_mean_shape_sees_the_boxes_that_the_model_sees(table, untrained, tmp_path, monkeypatch):
    """A detector's boxes are fitted to inner points, for the mean shape, too."""
    data = table("split", ["train"] * 10 + ["test"] * 4)
    head, *rows = data.read_text().splitlines()
    face = np.array([22, 24, 40, 25, 31, 33, 25, 42, 38, 41])  # alike, so that the mean is good
    rng = np.random.default_rng(1)
    for index, row in enumerate(rows):
        points = face + rng.normal(0, 0.5, 10)
        rows[index] = ",".join([*row.split(",")[:2], *map(str, points.round(2))])
    data.write_text("\n".join([head, *rows]) + "\n")
    words = untrained(data)
    model = keras.saving.load_model(tmp_path / "own.keras")
    model.box_padding = {"points": [0.1, 0.0, 0.2, 0.1], "face": [-0.2] * 4}
    model.save(tmp_path / "own.keras")
    tight = {
        face.image.tobytes(): np.concatenate([face.landmarks.min(0), face.landmarks.max(0)])
        for face in sets.get("csv").read(tmp_path / "faces.csv")
    }

    def detector(image):  # of whole faces, whose inner three fifths the points fill
        x0, y0, x1, y1 = tight[image.tobytes()]
        beside, above = (x1 - x0) / 3, (y1 - y0) / 3
        return np.array([[x0 - beside, y0 - above, x1 + beside, y1 + above]], np.float32)

    monkeypatch.setattr("tfalign.evaluation.boxes.HaarDetector", lambda: detector)
    errors = []
    for box in ("landmarks", "detector"):
        arguments = [*words, "--split", "test", "--mean-shape", "train", "--box", box]
        out = tmp_path / box
        evaluate.run(evaluate.options().parse_args([*arguments, "--out", str(out)]))
        metrics = json.loads((out / "metrics.json").read_text())
        assert metrics["detector_misses"] == 0
        errors.append(metrics["baseline"]["nme"])
    # The crop of a box that is wider on some sides: another frame, nearly the same mean.
    assert errors[1] == pytest.approx(errors[0], rel=0.1)


def test_what_does_not_fit_is_told_before_measuring(table, untrained, tmp_path, capsys):
    data = table("person", ["a", "b"] * 7)
    words = [*untrained(data), "--out", str(tmp_path / "out")]
    arguments = evaluate.options().parse_args([*words, "--protocol", "300w_inter_ocular"])
    with pytest.raises(ValueError, match=r"must be a \.json file .* the scheme csv_5"):
        evaluate.run(arguments)
    model = keras.saving.load_model(tmp_path / "own.keras")
    model.box_padding = {"points": [0.0] * 4, "face": [-0.2] * 4}
    model.save(tmp_path / "own.keras")
    arguments = robustness.options().parse_args([*words[:-3], *words[-2:], "--sources", "detector"])
    with pytest.raises(ValueError, match="points of the whole face"):
        robustness.run(arguments)
    assert "robustness:" not in capsys.readouterr().err  # the bar of the first table


def test_faces_that_are_left_out_are_told(table, untrained, tmp_path):
    """Those whose annotation is bad, which no reader has, and those whose picture is."""
    data = table("person", ["a", "b"] * 7, bad="f03.png")
    lines = data.read_text().splitlines()
    lines[1] = lines[1].rpartition(",")[0] + ",seven"
    data.write_text("\n".join(lines) + "\n")
    words = [*untrained(data), "--skip-bad"]
    for command in (evaluate, robustness):
        once = [] if command is evaluate else ["--extensions", "--rotations"]
        arguments = [*words, *once, "--out", str(tmp_path / command.__name__)]
        for _ in range(2):  # what was measured before is told again
            notes = "\n".join(command.run(command.options().parse_args(arguments))["notes"])
            assert "seven" in notes
            assert "1 of 13 faces could not be read" in notes
            assert "Measured on 12 faces only" in notes
