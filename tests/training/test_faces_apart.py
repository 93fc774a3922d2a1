"""No official test face is ever trained on or watched, in any data set."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from pathlib import Path
from typing import Any

import keras
import paper_trees
import pytest
from tiny_model import TinyModel

from tfalign import training
from tfalign.cli.train import further_faces, read_faces
from tfalign.data import sets
from tfalign.data.readers import aflw19
from tfalign.files import read_json
from tfalign.training import Settings
from tfalign.training.face_checks import tell_of_shared
from tfalign.training.train import _held_out

TRAINED = sorted(name for name, known in sets.SETS.items() if known.files and known.training)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return paper_trees.make_tree(tmp_path_factory.mktemp("sets"))


def photographs(dataset: str, reader) -> set[str]:
    known = sets.get(dataset)
    return {f"{record.image.identity()} {known.photograph(record)}" for record in reader.records}


@pytest.mark.parametrize("dataset", [name for name in TRAINED if name != "ytf"])
@pytest.mark.parametrize("amount", [0.25, 2])
def test_validation_is_split_from_training(
    tree: Path, dataset: str, amount: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The release's first 20,000 faces are the training faces; the tree has fewer.
    reader = functools.partial(aflw19.read, train_faces=paper_trees.AFLW_TRAIN)
    monkeypatch.setitem(
        sets.SETS, "aflw19", dataclasses.replace(sets.SETS["aflw19"], reader=reader)
    )
    faces = read_faces(dataset, tree / dataset)
    (train,), watched = _held_out([faces.train], None, Settings(validation=amount))
    parts = [photographs(dataset, part) for part in (train, watched, faces.test)]
    assert all(parts)
    assert not parts[0] & parts[1]
    assert not (parts[0] | parts[1]) & parts[2]
    official = sets.get(dataset).read(tree / dataset, "test")
    assert photographs(dataset, official) >= parts[2]
    assert not photographs(dataset, official) & (parts[0] | parts[1])


def test_validation_of_nothing(tree: Path) -> None:
    faces = read_faces("wflw", tree / "wflw")
    parts, watched = _held_out([faces.train], None, Settings(validation=0))
    assert (parts, watched) == ([faces.train], None)


def test_a_training_split_is_no_test(tree: Path) -> None:
    with pytest.raises(ValueError, match="--test-split"):
        read_faces("wflw", tree / "wflw", test_split="train")


def test_crops_cannot_be_split(tree: Path) -> None:
    from tfalign.data.pipeline import CropCache

    cache = CropCache.build(read_faces("wflw", tree / "wflw").train[:3], "wflw", (32, 32))
    with pytest.raises(ValueError, match="validation=0"):
        training.train("gregnet", cache, steps=1)


def test_measured_faces_of_trained_photographs_are_told(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faces = read_faces("wflw", tree / "wflw")
    tell_of_shared(faces.train, {"watch": None, "measure on": faces.test})
    assert not capsys.readouterr().out
    tell_of_shared(faces.train[:3], {"measure on": faces.train[2:]})
    said = f"1 of {len(faces.train) - 2} faces to measure on lie in photographs"
    assert said in capsys.readouterr().out


def test_one_face_without_box_leaves_the_others_theirs(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is measured by the boxes that it was trained with: as its own crops say."""
    from tfalign.data.pipeline import CropCache
    from tfalign.evaluation import evaluate_model

    faces = read_faces("wflw", tree / "wflw")

    def without_box(reader: Any, count: int) -> Any:
        tight = sets.tight_boxes(reader).records[:count]
        return reader.subset([*tight, *reader.records[count:]])

    train, test = without_box(faces.train, 1), without_box(faces.test, 1)
    assert len(test) > 2
    keras.utils.set_random_seed(0)
    model = TinyModel(98, scheme="wflw98")
    result = training.train(model, train, test=test, validation=0, steps=1, batch_size=2)
    assert model.box == "file"
    assert f"tight box of their points: 1 of {len(train)} faces" in capsys.readouterr().out
    crops = CropCache.build(test, model.crop, model.image_size)
    by_crops = evaluate_model(model, crops, "wflw_inter_ocular").nme
    assert result.nme == pytest.approx(by_crops, rel=0.02)
    # Another set's tight boxes beside them are told, too.
    training.train(
        model, [faces.train, sets.tight_boxes(faces.train)], validation=0, steps=1, batch_size=2
    )
    said = f"tight box of their points: {len(train)} of {2 * len(train)} faces"
    assert said in capsys.readouterr().out
    with pytest.raises(ValueError, match="--box landmarks"):
        training.train(model, train, test=sets.tight_boxes(faces.test), validation=0, steps=1)


@pytest.mark.slow
def test_a_precision_ends_with_its_training(tree: Path, tmp_path: Path) -> None:
    """A model that is made afterwards is of Keras's usual precision, one that goes on of its own.

    On Keras's policy depends whether the loss of a model in float16 is scaled.
    """
    faces = read_faces("wflw", tree / "wflw").train[:2]
    settings = {"steps": 1, "batch_size": 2, "validation": 0, "augment": "none", "jit": "off"}
    options = {"trunk": "mobile", "width": 0.1, "image_size": (32, 32)}
    result = training.train("gregnet", faces, options=options, precision="bfloat16", **settings)
    assert result.model.dtype_policy.name == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == "float32"
    training.train(result.model, faces, precision="bfloat16", out=tmp_path, **settings)
    assert read_json(tmp_path / "run.json")["dtype_policy"] == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == "float32"


def test_a_training_that_was_refused_leaves_a_model_new(tree: Path) -> None:
    """Repeated with what was wrong mended, it begins at its faces' mean shape."""
    faces, model = read_faces("wflw", tree / "wflw").train[:2], TinyModel(98, scheme="wflw98")
    with pytest.raises(ValueError, match="smaller `batch_size`"):
        training.train(model, faces, batch_size=3, validation=0)
    assert model.box is None


def test_further_sets_bring_training_faces_only(tree: Path) -> None:
    main = read_faces("300w", tree / "300w").train
    assert further_faces(main, []) == []
    (more,) = further_faces(
        main, [[f"wflw={tree / 'wflw'}"], [f"300w={tree / '300w'}", "split=afw"]]
    )
    assert more.scheme == main.scheme
    names = [record.name for record in more.records]
    assert names[:8] == [
        f"wflw/{record.name}" for record in read_faces("wflw", tree / "wflw").train.records
    ]
    assert [name for name in names if not name.startswith("wflw/")] == [
        f"300w-2/afw/face{i}_1.png" for i in range(3)
    ]
    test = photographs("wflw", sets.get("wflw").read(tree / "wflw", "test"))
    assert not test & photographs("wflw", more)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["wflw"], "A further set begins with SET=DIR"),
        (["celeba=."], "must be one of wflw"),
        (["wflw={}", "split=test"], r"of wflw these are train\. Received: split=test"),
        (["cofw68={}"], "of cofw68 these are none"),
        (["wflw={}", "first_pixel=1"], "it has none"),
        (["cofw={}"], "are names, left and right, or the order wrong"),
    ],
)
def test_further_sets_that_cannot_be_joined(tree: Path, words: list[str], message: str) -> None:
    main = read_faces("300w", tree / "300w").train
    place = tree / words[0].partition("=")[0]
    with pytest.raises(ValueError, match=message):
        further_faces(main, [[word.format(place) for word in words]])


def test_further_sets_must_not_bring_what_is_kept_apart(tree: Path, tmp_path: Path) -> None:
    faces = read_faces("300w", tree / "300w")
    # The same pictures under other names are the same pictures.
    copy = tmp_path / "copy"
    shutil.copytree(tree / "300w", copy)
    for kept in ("test", "validation"):
        part = faces.test if kept == "test" else faces.train
        record = part.records[0].image.path
        twin = (copy / record.relative_to(tree / "300w")).with_name("other.jpg")
        shutil.copy(record, twin)
        further = part.subset([_with_image(part.records[0], twin)])
        given = {"test": faces.test} if kept == "test" else {"validation": part, "test": None}
        given = {"validation": 0, **given}
        with pytest.raises(ValueError, match="the same picture"):
            training.train("gregnet", [faces.train, further], steps=1, **given)


def _with_image(record: Any, path: Path) -> Any:
    return dataclasses.replace(record, image=dataclasses.replace(record.image, path=path))
