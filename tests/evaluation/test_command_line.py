import json

import pytest

from tfalign.data import readers
from tfalign.evaluation import PROTOCOLS, command_line


def parsed(*arguments):
    parser = command_line.parser("What it does.")
    command_line.add_box_option(parser)
    return parser.parse_args(["--data", ".", "--out", "out", *arguments])


def test_every_reader_has_a_dataset_with_fitting_protocols():
    modules = {readers.describe().name for readers in vars(readers).values()
               if hasattr(readers, "describe")}  # fmt: skip
    assert modules == {"w300" if name == "300w" else name for name in command_line.DATASETS}
    for dataset in command_line.DATASETS.values():
        assert dataset.protocols
        assert all(name in PROTOCOLS for name in dataset.protocols)


class Faces:
    def __init__(self, scheme_name):
        self.scheme_name = scheme_name


def test_protocol_is_customary_or_asked_for():
    name = command_line.protocol_name
    assert name(parsed("--dataset", "300w"), Faces("ibug68")) == "300w_inter_ocular"
    assert name(parsed("--dataset", "wflw"), Faces("wflw98")) == "wflw_inter_ocular"
    pupil = parsed("--dataset", "300w", "--protocol", "300w_inter_pupil")
    assert name(pupil, Faces("ibug68")) == "300w_inter_pupil"


@pytest.mark.parametrize(("dataset", "scheme"), [("cofw", "cofw29"), ("aflw19", "aflw19")])
def test_protocol_must_be_named_where_the_literature_has_several(dataset, scheme):
    with pytest.raises(ValueError, match=r"--protocol must be one of .*Received: None"):
        command_line.protocol_name(parsed("--dataset", dataset), Faces(scheme))


def test_protocol_must_fit_the_annotations():
    wrong = parsed("--dataset", "300w", "--protocol", "wflw_inter_ocular")
    with pytest.raises(ValueError, match="Received: wflw_inter_ocular"):
        command_line.protocol_name(wrong, Faces("ibug68"))
    cofw68 = parsed("--dataset", "cofw", "--protocol", "cofw68_inter_ocular_visible")
    assert command_line.protocol_name(cofw68, Faces("ibug68")).endswith("visible")
    with pytest.raises(ValueError, match="must be one of cofw29_inter_ocular, cofw29_inter_pupil"):
        command_line.protocol_name(cofw68, Faces("cofw29"))


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
        command_line.model_identity(str(path))
    path.write_bytes(b"x")
    assert len(command_line.model_identity(str(path))["sha256"]) == 64
    assert command_line.model_identity("300w") == {"model": "300w", "sha256": None}


def test_faces_seen_in_training_are_told(tmp_path):
    model = str(tmp_path / "model.keras")
    assert command_line.training_notes(model, "abc") == ()
    data = {"train_fingerprint": "abc", "validation_fingerprint": "def"}
    (tmp_path / "result.json").write_text(json.dumps({"data": data}))
    assert "trained on" in command_line.training_notes(model, "abc")[0]
    assert "hold-out" in command_line.training_notes(model, "def")[0]
    assert command_line.training_notes(model, "ghi") == ()


def test_missing_folder(tmp_path):
    arguments = parsed("--dataset", "300w")
    arguments.data = tmp_path / "nowhere"
    with pytest.raises(FileNotFoundError, match="folder of 300w"):
        command_line.read_data(arguments)
