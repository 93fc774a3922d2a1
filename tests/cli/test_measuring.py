import hashlib
import json
import types
from pathlib import Path

import cv2
import numpy as np
import pytest

from tfalign import markup
from tfalign.cli import measuring
from tfalign.data import readers, sets
from tfalign.data.readers import Reader
from tfalign.data.readers.report import Problem, ReadingReport
from tfalign.evaluation import PROTOCOLS
from tfalign.markup import LandmarkScheme


def parsed(*arguments):
    parser = measuring.parser("What it does.")
    measuring.add_box_option(parser)
    return parser.parse_args(["--data", ".", "--out", "out", *arguments])


def test_every_set_has_protocols_that_exist():
    for dataset in sets.SETS.values():
        assert all(name in PROTOCOLS for name in dataset.protocols)
        assert dataset.protocol in (None, *dataset.protocols)


class Faces:
    def __init__(self, scheme_name):
        self.scheme = markup.get(scheme_name)


def test_protocol_is_customary_or_asked_for():

    def name(arguments, faces):
        return measuring.chosen_protocol(arguments, faces).name

    assert name(parsed("--dataset", "300w"), Faces("ibug68")) == "300w_inter_ocular"
    assert name(parsed("--dataset", "wflw"), Faces("wflw98")) == "wflw_inter_ocular"
    pupil = parsed("--dataset", "300w", "--protocol", "300w_inter_pupil")
    assert name(pupil, Faces("ibug68")) == "300w_inter_pupil"


@pytest.mark.parametrize(("dataset", "scheme"), [("cofw", "cofw29"), ("aflw19", "aflw19")])
def test_protocol_must_be_named_where_the_literature_has_several(dataset, scheme):
    with pytest.raises(ValueError, match=r"--protocol must be one of .*Received: None"):
        measuring.chosen_protocol(parsed("--dataset", dataset), Faces(scheme))


def test_protocol_must_fit_the_annotations():
    wrong = parsed("--dataset", "300w", "--protocol", "wflw_inter_ocular")
    with pytest.raises(ValueError, match="Received: wflw_inter_ocular"):
        measuring.chosen_protocol(wrong, Faces("ibug68"))
    cofw68 = parsed("--dataset", "cofw68", "--protocol", "cofw68_inter_ocular_visible")
    assert measuring.chosen_protocol(cofw68, Faces("ibug68")).name.endswith("visible")
    with pytest.raises(ValueError, match="must be one of cofw29_inter_ocular, cofw29_inter_pupil"):
        measuring.chosen_protocol(
            parsed("--dataset", "cofw", "--protocol", "cofw68_inter_ocular"), Faces("cofw29")
        )


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as stop:
        parsed("--dataset", "300w", "--help")
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "What it does." in text
    assert "Viola-Jones" in text
    assert "helen/testset" in text


def test_model_identity(tmp_path):
    path = tmp_path / "a.keras"
    with pytest.raises(FileNotFoundError, match="model="):
        measuring.model_identity(str(path))
    path.write_bytes(b"x")
    assert len(measuring.model_identity(str(path))["sha256"]) == 64
    # Another version's weights of the same name are another model.
    weights = Path(measuring.__file__).parents[1] / "weights" / "300w.npz"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert measuring.model_identity("300w") == {"model": "300w", "sha256": digest}
    # The crop of an exported file stands beside it: with another it has other errors.
    file, about = tmp_path / "model.tflite", tmp_path / "metadata.json"
    file.write_bytes(b"x")
    found = [measuring.model_identity(str(file))]
    for crop in ("300w", "tsr"):
        about.write_text(json.dumps({"crop": crop}))
        found.append(measuring.model_identity(str(file)))
    assert found[0] != found[1] != found[2] != found[0]


def test_paths_may_have_an_equals_sign(tmp_path):
    path = tmp_path / "rate=0.1" / "model.keras"
    assert measuring.named_models([f"ours={path}"]) == {"ours": str(path)}
    path.parent.mkdir()
    path.write_bytes(b"x")
    assert measuring.named_models([str(path)]) == {str(path): str(path)}
    assert measuring.named_models([f"ours={path}", "300w"]) == {"ours": str(path), "300w": "300w"}


def record(folder, held_out=10):
    data = {"train_fingerprints": ["abc", "xyz"], "test_fingerprint": "def", "held_out": held_out}
    (folder / "result.json").write_text(json.dumps({"faces": 10, "data": data}))
    return str(folder / "model.keras")


def faces(fingerprint, *digests):
    return types.SimpleNamespace(fingerprint=lambda: fingerprint, digests=lambda: list(digests))


def test_a_part_of_the_faces_seen_in_training_is_told(tmp_path):
    """However the reader is made: each face is known by its points."""
    model = record(tmp_path)
    seen = {"trained": ["a", "b"], "watched": ["c"], "measured": ["d"]}
    (tmp_path / "faces.json").write_text(json.dumps(seen))
    found = measuring.training_notes(model, faces("new", "b", "c", "d", "e"))
    assert "trained on 1 of these 4 faces" in found[0]
    assert "watched 1 of these 4 faces" in found[1]
    assert measuring.training_notes(model, faces("new", "d", "e")) == ()
    # Crop caches have no records: of them the fingerprint tells.
    (tmp_path / "faces.json").write_text(json.dumps({key: [] for key in seen}))
    assert "trained on" in measuring.training_notes(model, faces("abc", "d"))[0]
    for foreign in ("[]", "{}", "{", '{"trained": 3}'):
        (tmp_path / "faces.json").write_text(foreign)
        (note,) = measuring.training_notes(model, faces("new", "d"))
        assert "faces.json was not written by" in note


def test_faces_seen_in_training_are_told(tmp_path):
    (note,) = measuring.training_notes(str(tmp_path / "model.keras"), faces("abc"))
    assert "whether it has seen these faces is not known" in note
    assert measuring.training_notes("300w", faces("abc")) == ()
    model = record(tmp_path)
    for fingerprint in ("abc", "xyz"):
        assert "trained on" in measuring.training_notes(model, faces(fingerprint))[0]
    assert "hold-out" in measuring.training_notes(model, faces("def"))[0]
    assert measuring.training_notes(model, faces("ghi")) == ()
    # It watched 7 faces and measured on 10: those were others.
    assert measuring.training_notes(record(tmp_path, held_out=7), faces("def")) == ()


def test_presets_have_no_record_in_the_current_folder(tmp_path, monkeypatch):
    record(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert measuring.training_notes("300w", faces("abc")) == ()
    assert measuring.training_notes("model.keras", faces("abc"))


@pytest.mark.parametrize(
    "content", [b"{", b"\xff\xfe", b"[]", b"3", b'{"data": 5}', b'{"data": {}}', b'{"faces": 1}']
)
def test_a_foreign_record_is_told_and_stops_nothing(tmp_path, content):
    (tmp_path / "result.json").write_bytes(content)
    (note,) = measuring.training_notes(str(tmp_path / "model.keras"), faces("abc"))
    assert "result.json was not written by" in note


@pytest.mark.slow
def test_training_writes_what_is_looked_for(tmp_path, capsys):
    """The record of a real run, of two steps: its faces are recognised by their readers."""
    from tfalign.cli import train

    rng = np.random.default_rng(3)
    for folder, faces in (("helen/trainset", 4), ("helen/testset", 3)):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for index in range(faces):
            path = tmp_path / "data" / folder / f"{index}_1.png"
            cv2.imwrite(str(path), rng.integers(0, 256, (90, 110, 3)).astype(np.uint8))
            points = rng.uniform((30, 20), (80, 70), (68, 2))
            points[36], points[45] = (40, 40), (70, 40)
            lines = "\n".join(f"{x:.3f} {y:.3f}" for x, y in points)
            path.with_suffix(".pts").write_text(f"version: 1\nn_points: 68\n{{\n{lines}\n}}\n")
    words = f"300w --data {tmp_path / 'data'} --out {tmp_path / 'out'}"
    words += (
        " --model gregnet --width 0.125 --image-size 32 --batch-size 2 --steps 2 --validation 1"
    )
    arguments = train.options().parse_args(words.split())
    summary = train.run(arguments)
    told = capsys.readouterr().out
    assert f"± {100 * summary['nme_standard_error']:.3f} (standard error)" in told
    assert "Measured on 3 faces only, the figure is rough" in told
    assert "finished before" not in told
    train.run(arguments)
    assert f"--init-weights {tmp_path / 'out' / 'model.keras'}" in capsys.readouterr().out
    model = str(tmp_path / "out" / "model.keras")

    def notes(split):
        reader = readers.w300.read(tmp_path / "data", split)
        return measuring.training_notes(model, reader)

    assert "trained on" in notes("helen/trainset")[0]
    assert notes("helen/testset") == ()
    # In another reader, too: each face is known by its points. One of the four was watched.
    trained, watched = notes(["helen/trainset", "helen/testset"])
    assert "trained on 3 of these 7 faces" in trained
    assert "watched 1 of these 7 faces" in watched


def test_what_reading_left_out_or_settled_is_told():
    report = ReadingReport("skip")
    records = [types.SimpleNamespace(name=name) for name in "abc"]
    reader = Reader("csv", LandmarkScheme.unnamed(2), records, report)
    assert measuring.reading_notes(reader, 3) == ()
    for line in (2, 3):
        report.note(Problem("box-misses-face", f"a.csv:{line}", "the tight box is used."))
    (note,) = measuring.reading_notes(reader, 3)
    assert (
        note == "Noted while reading: 2 box-misses-face; the first: a.csv:2: the tight box is used."
    )
    report.reject(Problem("unreadable-image", "a.csv:4", "no picture."))
    unread, table = measuring.reading_notes(reader, 2)
    assert unread == "1 of 3 faces could not be read."
    assert [line.split()[0] for line in table.splitlines()] == [
        "unreadable-image", "box-misses-face", "box-misses-face", "1"
    ]  # fmt: skip


def test_boxes_are_asked_for_before_measuring():
    def faces(*sources):
        records = [
            types.SimpleNamespace(name=f"face_{index}", box_source=source, box_missed=False)
            for index, source in enumerate(sources)
        ]
        return Reader("some", "ibug68", records, None)

    measuring.check_boxes(faces("file", "landmarks"), ["landmarks", "detector", "dlib"])
    measuring.check_boxes(faces("file", "file"), ["file"])
    with pytest.raises(ValueError, match=r"gives no box for 'face_1' \(1 of 2 .*detector, file"):
        measuring.check_boxes(faces("file", "landmarks"), ["detector", "file"])


def test_missing_folder(tmp_path):
    arguments = parsed("--dataset", "300w")
    arguments.data = tmp_path / "nowhere"
    with pytest.raises(FileNotFoundError, match="folder of 300w"):
        measuring.read_data(arguments)
