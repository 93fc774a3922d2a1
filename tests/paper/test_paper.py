"""Every table and figure of every paper by its command, on a fake tree of every data set."""

from __future__ import annotations

import dataclasses
import functools
import io
import itertools
import json
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from paper_trees import AFLW_TRAIN, make_tree

from tfalign import paper as room
from tfalign.cli import paper as command
from tfalign.data import sets
from tfalign.data.augment import presets
from tfalign.data.readers import Reader, ReadingReport, aflw19
from tfalign.data.readers.record import Record
from tfalign.evaluation import get_protocol, published
from tfalign.evaluation.robustness import Robustness
from tfalign.evaluation.scores import compute_score
from tfalign.files import sha256, write_json
from tfalign.models import architecture
from tfalign.models.saved import load_model
from tfalign.paper import measures, pictures, trainings
from tfalign.paper.trainings import Workshop
from tfalign.training import Budget, Settings, make_model
from tfalign.training.train import _held_out, make_schedule

ITEMS = [(paper.name, name) for paper in room.PAPERS.values() for name in paper.items]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return make_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("out")


@pytest.fixture(autouse=True)
def small_aflw(monkeypatch):
    """The release has 20,000 training faces; this tree fewer."""
    reader = functools.partial(aflw19.read, train_faces=AFLW_TRAIN)
    known = dataclasses.replace(sets.get("aflw19"), reader=reader)
    monkeypatch.setitem(sets.SETS, "aflw19", known)


def make(tree, out, paper, *words):
    arguments = [paper, *words, "--data", str(tree), "--out", str(out), "--scale", "tiny"]
    return command.run(command.options().parse_args(arguments))


@pytest.mark.slow
def test_a_table_is_trained_measured_and_set_beside_the_paper(tree, out):
    found = make(tree, out, "greglref", "table3")["table3"]
    folder = out / "greglref" / "table3-tiny"
    assert json.loads((folder / "results.json").read_text())["seeds"] == [0]
    table = pd.read_csv(folder / "table.csv", index_col="row")
    assert table.loc["GRegLRef (published)", "300w_inter_ocular full nme"] == 3.12
    assert "published: GRegLRef" in table.loc["LAB", "conditions"]
    assert "tiny scale" in table.loc["GRegLRef", "conditions"]
    detail = found["rows"]["GRegNet"]["300w_inter_pupil challenging nme"]
    assert (detail["faces"], detail["what"]) == (3, "a part of the 689 official ones")
    assert table.loc["GRegNet", "300w_inter_pupil challenging nme"] == pytest.approx(
        detail["values"][0]
    )
    assert (folder / "ced_300w_inter_ocular_full_nme.png").is_file()
    # The claim is the difference of the two rows over all faces.
    claim = found["claim"]
    column = "300w_inter_pupil full nme"
    assert (claim["better"], claim["column"], claim["faces"]) == ("GRegLRef", column, 9)
    expected = table.loc["GRegLRef", column] - table.loc["GRegNet", column]
    assert claim["difference"] == pytest.approx(float(expected))
    # Again: nothing is trained, the numbers are the same.
    before = {p: p.stat().st_mtime_ns for p in (out / "trainings").rglob("model.keras")}
    again = make(tree, out, "greglref", "table3")["table3"]
    assert again["rows"] == found["rows"]
    assert before == {p: p.stat().st_mtime_ns for p in (out / "trainings").rglob("model.keras")}
    # Declared otherwise, it is no row of the table any more: what was trained is told apart.
    known, shop = room.get("greglref"), Workshop(tree, out, "tiny")
    trainings.check_settings(known, ["w300"], shop, [0])
    other = dataclasses.replace(known.trainings["w300"], settings={"augment": "none"})
    changed = dataclasses.replace(known, trainings={"w300": other})
    with pytest.raises(ValueError, match=r"train\.augment\.flip: there 0\.5, wanted 0\.0"):
        trainings.check_settings(changed, ["w300"], shop, [0])
    # The same claim in the table of all papers' claims, and a part of the rows beside the whole.
    claims = make(tree, out, "claims", "refinement")["rows"]
    (row,) = claims.values()
    assert row["difference"] == claim["difference"]
    assert "tiny scale, 1 seed(s)" in row["conditions"]
    # Some of the claims do not replace the table of all.
    assert pd.read_csv(out / "claims-tiny-part" / "table.csv")["verdict"][0] == row["verdict"]
    assert not (out / "claims-tiny").exists()
    make(tree, out, "greglref", "table3", "--rows", "GRegNet")
    assert len(json.loads((folder / "results.json").read_text())["trainings"]) == 2
    assert (folder.parent / "table3-tiny-part" / "table.csv").is_file()


@pytest.mark.slow
def test_rows_are_compared_with_one_of_them(tree, out):
    found = make(tree, out, "greglref", "crops", "--seeds", "0", "1")["crops"]
    table = pd.read_csv(out / "greglref" / "crops-tiny" / "table.csv", index_col="row")
    column = "300w_inter_ocular full nme"
    difference = table.loc["stretched", column] - table.loc["squared", column]
    assert table.loc["stretched", "difference"] == pytest.approx(difference)
    assert np.isnan(table.loc["squared", "difference"])
    watched = table["validation nme"]
    expected = watched["stretched"] - watched["squared"]
    assert table.loc["stretched", "validation difference"] == pytest.approx(expected)
    assert (table.loc["stretched", ["± difference", "± validation difference"]] > 0).all()
    for label, values in found["choice"].items():  # as in results.json
        assert values == pytest.approx(table.loc[label, list(values)].to_dict())
    assert [len(values) for values in found["choice"].values()] == [1, 5]
    assert len(found["rows"]["squared"][column]["values"]) == 2
    configs = [load_model(next((out / "trainings").glob(f"greglref-{name}-tiny-seed1/model.keras")))
               for name in ("w300", "w300_stretched")]  # fmt: skip
    assert [model.crop.square for model in configs] == [True, False]


@pytest.mark.slow
def test_processes_share_the_trainings(tree, out, tmp_path):
    """Two of them give what one gives; what is there is not trained again."""
    alone = make(tree, out, "greglref", "crops")["crops"]
    found = make(tree, tmp_path, "greglref", "crops", "--jobs", "2")["crops"]
    assert "errors" not in found
    for label, row in alone["rows"].items():
        for column, cell in row.items():
            assert found["rows"][label][column]["values"] == pytest.approx(cell["values"], rel=1e-3)


WORKERS = """
import multiprocessing, os, pathlib, sys, time
from tfalign.paper.trainings import end_with_parent

def work(name):
    pathlib.Path(sys.argv[1], f"{os.getpid()}").touch()
    time.sleep(600)

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(2, end_with_parent) as pool:
        pool.map(work, "ab", chunksize=1)
"""


@pytest.mark.slow
def test_a_killed_run_leaves_no_process_behind(tmp_path):
    """Even SIGKILL, which the parent cannot answer, ends its workers amid their work."""
    script, seen = tmp_path / "workers.py", tmp_path / "seen"
    script.write_text(WORKERS)
    seen.mkdir()
    run = subprocess.Popen([sys.executable, str(script), str(seen)])
    workers: list[int] = []
    while len(workers) < 2:
        assert run.poll() is None
        time.sleep(0.2)
        workers = [int(path.name) for path in seen.iterdir()]
    run.kill()
    run.wait()
    until = time.monotonic() + 30
    while alive := [number for number in workers if _runs(number)]:
        assert time.monotonic() < until, alive
        time.sleep(0.1)


def _runs(number: int) -> bool:
    """Whether a process is there and is not a dead one that nobody has asked for its status."""
    try:
        status = Path(f"/proc/{number}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_other_lengths_lie_in_other_folders(tmp_path):
    paper = room.get("tsr")
    usual = Workshop(tmp_path, tmp_path, "small")
    longer = Workshop(tmp_path, tmp_path, "small", {"steps": 7})
    assert usual.folder(paper, "w300_two_stage", 0) != longer.folder(paper, "w300_two_stage", 0)
    benches = [measures.Bench(paper, "table3", shop) for shop in (usual, longer)]
    assert benches[0].out != benches[1].out
    assert "steps 7" in benches[1].conditions
    assert "steps" not in benches[0].conditions


@pytest.mark.slow
def test_a_training_that_fails_leaves_the_others(tree, tmp_path, monkeypatch):
    whole = Workshop.training_faces

    def faces(shop, training):
        if training.options:
            raise ValueError("no such faces")
        return whole(shop, training)

    monkeypatch.setattr(Workshop, "training_faces", faces)
    found = make(tree, tmp_path, "greglref", "crops")
    assert found["errors"] == ["greglref w300_stretched: no such faces"]
    assert set(found["crops"]["rows"]) == {"squared"}


@pytest.fixture
def eager():
    """Without graphs: tracing them takes five times as long as trainings of two steps."""
    tf = pytest.importorskip("tensorflow")
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly")
@pytest.mark.parametrize(("paper", "name"), ITEMS)
def test_every_table_and_figure(tree, out, eager, paper, name):
    found = make(tree, out, paper, name)
    assert "errors" not in found
    folder = out / paper / f"{name}-tiny"
    content = json.loads((folder / "results.json").read_text())
    known = room.get(paper)
    item = known.item(name)
    if item.measure not in measures.UNTRAINED:
        # A second run takes what was just trained for its rows.
        trainings.check_settings(known, known.needed(item), Workshop(tree, out, "tiny"), [0])
    files = {path.suffix for path in folder.iterdir()}
    assert files & {".csv", ".png", ".txt"}
    for picture in content.get("pictures", []) + content.get("ced", []):
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")
    if item.measure is None:
        table = pd.read_csv(folder / "table.csv", index_col="row")
        for label in item.rows:
            # A row without sharable detectors has no zeros in them.
            needed = [
                c.title
                for c in item.columns
                if c.metric not in measures.ZEROS
                or known.trainings[item.rows[label]].options.get("sharable", True)
            ]
            assert np.isfinite(table.loc[label, needed].astype(float)).all()


@pytest.mark.parametrize(("paper", "name"), ITEMS)
def test_declarations_are_whole(paper, name):
    known = room.get(paper)
    item = known.item(name)
    assert set(item.rows.values()) <= set(known.trainings)
    assert set(known.needed(item)) <= set(known.trainings)
    for label in (*(item.claim or ()), *([item.against] if item.against else ())):
        assert label in item.rows
    for training in known.trainings.values():
        assert training.data in sets.SETS
        assert training.start in (None, *known.trainings)
    if item.source:
        rows = measures.published_rows(item, item.rows)
        # The paper's own rows are found by their labels.
        assert set(item.rows) & set(rows), sorted(rows)
        assert any(result.source == item.source for result in published.RESULTS)


def test_test_faces_are_never_trained_on_or_watched(tree, tmp_path):
    shop = Workshop(tree, tmp_path, "tiny")
    for paper in room.PAPERS.values():
        for training in paper.trainings.values():
            faces, held_out = shop.training_faces(training)
            assert held_out is None
            test, what = shop.test_faces(training.data, "test", training.box)
            assert "official" in what
            assert not {r.name for r in faces.records} & {r.name for r in test.records}


def test_where_there_are_no_test_faces_some_are_held_out(tree, tmp_path):
    root = tmp_path / "300w"
    (root / "helen").mkdir(parents=True)
    (root / "helen" / "trainset").symlink_to(tree / "300w" / "helen" / "trainset")
    known = dataclasses.replace(sets.get("300w"), holdout=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sets.SETS, "300w", known)
        shop = Workshop({"300w": root}, tmp_path, "tiny")
        faces, held_out = shop.training_faces(room.get("greglref").trainings["w300"])
        test, what = shop.test_faces("300w", "test", None)
    assert [r.name for r in test.records] == [r.name for r in held_out.records]
    assert "held out" in what
    assert len(faces) == 2
    assert shop.test_faces("wflw", "test", None) is None


def test_official_boxes_are_needed_at_the_published_scale(tree, tmp_path):
    root = tmp_path / "300w"
    root.mkdir()
    for folder in (tree / "300w").iterdir():
        if folder.name != "Bounding Boxes":
            (root / folder.name).symlink_to(folder)
    training = room.get("tsr").trainings["w300_two_stage"]
    Workshop(tmp_path, tmp_path, "small").training_faces(training)
    with pytest.raises(ValueError, match="official boxes"):
        Workshop(tmp_path, tmp_path, "published").training_faces(training)


def test_paired_differences(rng):
    one, other = rng.normal(-0.5, 1.0, 50), rng.normal(-0.5, 1.0, 50)
    found = measures.paired([one])
    assert found["difference"] == pytest.approx(one.mean())
    assert found["standard_error"] == pytest.approx(one.std(ddof=1) / 50**0.5)
    both = measures.paired([one, other])
    seeds = np.std([one.mean(), other.mean()], ddof=1) / 2**0.5
    faces = ((one + other) / 2).std(ddof=1) / 50**0.5
    assert both["standard_error"] == pytest.approx(np.hypot(seeds, faces))
    assert measures.paired([one - 100, other - 100])["reproduced"] is True
    assert measures.paired([one + 100, other + 100])["reproduced"] is False
    assert measures.paired([one - one.mean()] * 2)["reproduced"] is None
    # One seed does not say how much seeds differ, nor one face how much faces do.
    for lone in ([one - 100], [one[:1], other[:1]]):
        found = measures.paired(lone)
        assert (found["verdict"], found["reproduced"]) == ("no verdict", None)
    assert measures.paired([one[:1]])["standard_error"] is None


def test_verdicts_of_few_seeds_are_right_19_times_in_20(rng):
    """Also where seeds differ more than faces: two standard errors would be wrong in one of six."""
    told = []
    for _ in range(2000):
        seeds = rng.normal(0.0, 1.0, (3, 1)) + rng.normal(0.0, 1.0, (1, 20)) * 0.1
        told.append(measures.paired(list(seeds))["reproduced"] is not None)
    assert np.mean(told) < 0.065


@pytest.mark.parametrize("metric", ["nme", "failure_rate", "within", "auc"])
def test_every_metric_has_its_own_standard_error(rng, metric):
    """That of a rate is the spread of a rate, not of the error: compared with a bootstrap."""
    true = rng.uniform(0.0, 200.0, (40, 68, 2))
    found = compute_score(
        true + rng.normal(0.0, 1.0, true.shape) * rng.uniform(1, 30, (40, 1, 1)),
        true,
        "300w_inter_ocular",
        0.12,
    )
    column = room.Column("300w_inter_ocular", metric=metric)
    mean, error = measures.mean_and_error([measures._parts(found, column)])
    usual = 1.0 - found.failure_rate if metric == "within" else getattr(found, metric)
    assert mean == pytest.approx(usual)
    draws = []
    for _ in range(400):
        sample = found.errors[rng.integers(0, 40, 40)]
        again = dataclasses.replace(found, errors=sample)
        draws.append(1.0 - again.failure_rate if metric == "within" else getattr(again, metric))
    assert error == pytest.approx(np.std(draws), rel=0.2)


def test_trainings_of_other_faces_are_refused(tree, tmp_path, capsys):
    """They may have seen the faces that are measured on."""
    paper, shop = room.get("greglref"), Workshop(tree, tmp_path, "tiny")
    folder = shop.folder(paper, "w300", 0)
    folder.mkdir(parents=True)
    (reader,), _ = trainings.faces_of(paper.trainings["w300"], shop)

    def check(seen, data=tree, **watched):
        content = {"data": {"train_fingerprints": seen}}
        content["data"] |= {f"{what}_fingerprint": digest for what, digest in watched.items()}
        (folder / "result.json").write_text(json.dumps(content))
        trainings.check_faces(paper, ["w300"], dataclasses.replace(shop, data=data), [0])

    check([reader.fingerprint()])
    with pytest.raises(ValueError, match="was trained on other faces"):
        check(["of others"])
    # Those that count as watched now were others then, and trained on.
    watched = trainings.watched_faces(paper.trainings["w300"], shop).fingerprint()
    check([reader.fingerprint()], held_out=watched)
    with pytest.raises(ValueError, match="was trained on other faces"):
        check([reader.fingerprint()], held_out="of others")
    assert not capsys.readouterr().out
    check(["of others"], {})
    assert "not checked" in capsys.readouterr().out


def test_trainings_by_other_penalties_or_from_another_start_are_refused(tree, tmp_path):
    """Of an older default, say: before, its error stood in the row of the present one."""
    paper, shop = room.get("dssd"), Workshop(tree, tmp_path, "tiny")
    start, folder = (shop.folder(paper, name, 0) for name in ("initial", "dssd"))
    for place in (start, folder):
        place.mkdir(parents=True)
    (start / "model.keras").write_bytes(b"the start")
    made = trainings.options_of(paper.trainings["dssd"], shop.size)
    model = make_model("dssd", sets.get("300w").scheme, **made)
    schedule = paper.trainings["dssd"].schedule(model, Budget(2, 2), False).get_config()
    stored = {
        "schedule": json.loads(json.dumps(schedule)),
        "model": {"class": "DSSD", "config": {**json.loads(json.dumps(model.get_config())),
                                              "box": "file"}},
        "keep": "last",
        "train": {"batch_size": 2, "augment": presets.LIGHT.get_config(), "data": "faces"},
        "identity": {"seed": 0, "init_weights": sha256(start / "model.keras")},
    }  # fmt: skip

    def check():
        write_json(folder / "run.json", stored)
        trainings.check_settings(paper, ["dssd"], shop, [0])

    write_json(folder / "result.json", {"data": {"train": 4}, "steps": 2, "epochs": 1})
    check()
    weights = stored["schedule"]["phases"][-1]["callbacks"][0]["arguments"]["weights"]
    weights["detectors/basis"] *= 3
    with pytest.raises(ValueError, match=r"detectors/basis: there 0\.0001, wanted 3\.3"):
        check()
    weights["detectors/basis"] /= 3
    (start / "model.keras").write_bytes(b"another start")
    with pytest.raises(ValueError, match=r"identity\.init_weights"):
        check()


@pytest.mark.parametrize(
    ("name", "rows", "epochs"),
    [
        ("tsr", ["w300_two_stage_global", "aflw_two_stage_global"], 4),
        ("deepreg", ["w300_sequential"], 0),
    ],
)
def test_a_finished_training_is_that_of_its_row(name, rows, epochs, tmp_path, rng):
    """Whatever it took from its faces, their points and their mean shape, and without an epoch."""
    paper, shop = room.get(name), Workshop(tmp_path, tmp_path, "tiny")
    for row in rows:
        training, folder = paper.trainings[row], shop.folder(paper, row, 0)
        scheme = sets.get(training.data).scheme
        model = make_model(training.model, scheme, **trainings.options_of(training, shop.size))
        model.set_mean_shape(rng.uniform(size=(scheme.num_points, 2)).astype("float32"))
        settings = trainings.settings_of(training, shop)
        stored = {
            "keep": settings.keep,
            "schedule": make_schedule(settings, model, 3).get_config(),
            "model": {"class": type(model).__name__, "config": model.get_config()},
            "train": {"batch_size": 2, "augment": presets.get(settings.augment).get_config()},
        }
        folder.mkdir(parents=True)
        write_json(folder / "run.json", json.loads(json.dumps(stored, default=str)))
        about = {"data": {"train": 7}, "steps": 3 * epochs, "epochs": epochs}
        write_json(folder / "result.json", about)
    trainings.check_settings(paper, rows, shop, [0])


def test_what_another_model_found_is_not_shown(tree, tmp_path, monkeypatch):
    """Predictions are kept, but belong to the bytes of the model that made them."""
    shop = Workshop(tree, tmp_path, "tiny")
    faces, what = shop.test_faces("300w", "test", None)
    calls = []

    def evaluate(model, reader, protocol, **_):
        calls.append(model)
        return types.SimpleNamespace(predicted=np.full((len(reader), 68, 2), len(calls)))

    monkeypatch.setattr(measures, "evaluate_model", evaluate)
    monkeypatch.setattr(measures, "load_model", lambda path: path.read_bytes())

    def found(model):
        bench = measures.Bench(room.get("greglref"), "table3", shop)
        folder = bench.folder("GRegNet")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.keras").write_bytes(model)
        column = bench.item.columns[0]
        return bench._found("GRegNet", column, None, faces, what).predicted[0, 0, 0]

    assert [found(b"one"), found(b"one"), found(b"other"), found(b"one")] == [1, 1, 2, 1]
    assert calls == [b"one", b"other"]


# What the papers say of every training: the changes of faces, the batch, both ways of each face.
# DSSD's names a strategy of another paper that has no values for it: ours.
PUBLISHED = {
    "greglref": ("greglref", 32, False),
    "tsr": ("tsr_published", 128, False),
    "deepreg": ("none", 100, True),
    "dssd": ("light", 32, False),
    "ccnn": ("ccnn", 32, False),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_scale_has_the_papers_settings(name, tmp_path):
    """In every row, whoever makes its schedule, and as ``tfalign train --schedule published``."""
    paper, shop = room.get(name), Workshop(tmp_path, tmp_path, "published")
    for training in paper.trainings.values():
        settings = trainings.settings_of(training, shop)
        assert (settings.augment, settings.batch_size, settings.mirror) == PUBLISHED[name]
        usual = Settings.made(
            architecture(training.model), {"schedule": "published"}, training.data
        )
        assert (usual.augment, usual.batch_size, usual.mirror) == PUBLISHED[name]
        assert usual.balance == settings.balance


def test_watched_faces_are_those_that_training_holds_out(tree, tmp_path):
    paper, shop = room.get("dssd"), Workshop(tree, tmp_path, "tiny", {"validation": 2})
    training = paper.trainings["dssd"]
    watched = trainings.watched_faces(training, shop)
    (whole,), _ = trainings.faces_of(training, shop)
    settings = trainings.settings_of(training, shop)
    (rest,), expected = _held_out([whole], None, settings)
    assert watched.fingerprint() == expected.fingerprint()
    assert {r.name for r in watched.records}.isdisjoint(r.name for r in rest.records)


def test_faces_left_out_beside_watched_ones_count_as_neither(tmp_path, monkeypatch):
    """164 faces, 100 of them watched, one of whose photographs has a further face: 63 are left.

    As 64 they gave DSSD a schedule of two batches an epoch. It was trained with one, and the next
    call refused the finished training as made otherwise.
    """
    points = np.random.default_rng(0).uniform(20, 80, (68, 2)).astype(np.float32)
    records = [
        Record(f"helen/trainset/{name}.jpg", types.SimpleNamespace(), points, points[:, 0] > 0,
               np.array([0, 0, 99, 99], np.float32), "file", "")
        for name in [*(f"{n:03d}_1" for n in range(64)), *(f"{n:03d}_2" for n in range(63, 163))]
    ]  # fmt: skip
    faces = Reader("300w", sets.get("300w").scheme, records, ReadingReport("raise"))
    monkeypatch.setattr(Workshop, "training_faces", lambda shop, training: (faces, None))
    monkeypatch.setattr("tfalign.training.make_model", lambda *_, **__: None)
    asked = []

    def scheduled(training, shop, settings, model, steps_per_epoch):
        asked.append((settings, steps_per_epoch))
        raise ValueError("seen")

    monkeypatch.setattr(trainings, "scheduled", scheduled)
    shop = Workshop(tmp_path, tmp_path, "published", {"steps": 40})
    with pytest.raises(ValueError, match="seen"):
        trainings.train_one(room.get("dssd"), "initial", shop, 0)
    ((settings, steps_per_epoch),) = asked
    (learned,), _ = _held_out([faces], None, settings)
    assert steps_per_epoch == len(learned) // settings.batch_size == 1
    # DeepReg's Figure 4 showed the error of faces that were not trained on as that of training.
    shop = Workshop(tmp_path, tmp_path, "small", {"validation": 100})
    bench = measures.Bench(room.get("deepreg"), "figure4", shop, only=["DeepReg"])
    bench.out.mkdir(parents=True)
    monkeypatch.setattr(bench, "needed_faces", lambda label: (faces, "official"))

    def stages_of(bench, label, of):
        true = np.stack([record.landmarks for record in of.records]).astype(np.float64)
        return (compute_score(true + 1.0, true, "300w_inter_pupil"),)

    monkeypatch.setattr(pictures, "_stages", stages_of)
    text = pictures.stage_errors(bench)["text"]
    assert "training: 63 faces" in text
    assert "validation: 100 faces" in text


def test_robustness_is_the_mean_of_the_seeds(tmp_path, monkeypatch):
    """Each seed's models are measured: before, the first one's figures went by the mean's name."""
    bench = measures.Bench(room.get("tsr"), "table2", Workshop(tmp_path, tmp_path, "tiny"), (0, 1))
    monkeypatch.setattr(bench, "needed_faces", lambda label: ([], "none"))
    monkeypatch.setattr(bench, "model", lambda label, seed=None: seed)
    bench.out.mkdir(parents=True)

    def measure(models, reader, protocol):
        rows = [{"model": name, "kind": "none", "condition": 0.0, "subset": "full", "faces": 3,
                 "nme": 0.1 + 0.2 * seed, "failure_rate": float(seed), "auc": 0.5, "missed": 0}
                for name, seed in models.items()]  # fmt: skip
        return Robustness(get_protocol(protocol), pd.DataFrame(rows))

    rows = measures._robustness(bench, measure)["rows"]
    assert [row["nme"] for row in rows] == pytest.approx([0.2] * len(bench.rows))
    assert {row["failure_rate"] for row in rows} == {0.5}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["greglreff"], "A paper must be one of greglref"),
        (["tsr", "table9", "--data", ".", "--out", "x"], "must be one of table1"),
        (["tsr", "table3"], "needs --data and --out"),
        (["claims", "truth", "--data", ".", "--out", "x"], "A claim must be one of refinement"),
        (["tsr", "table3", "--data", "300w=.", ".", "--out", "x"], "SET=DIR each"),
        (["tsr", "table3", "--data", "300W=.", "--out", "x"], "each set once.*300W=."),
        (["tsr", "table3", "--data", "300w=.", "300w=..", "--out", "x"], "each set once"),
        (["tsr", "table3", "--data", ".", "--out", "x", "--seeds", "0", "1", "0"], "0, 1, 0"),
        (["tsr", "table3", "--data", ".", "--out", "x", "--jobs", "0"], "jobs=0"),
        (
            ["tsr", "speed", "brows", "--data", ".", "--out", "x", "--rows", "left"],
            "Rows of tsr sp",
        ),
        (["claims", "joint", "--data", ".", "--out", "x", "--rows", "left"], "has its own two"),
        (["claims", "joint", "--data", ".", "--out", "x", "--seeds", "0", "0"], "seeds=0, 0"),
    ],
)
def test_mistakes_are_told(words, message, tmp_path, monkeypatch):
    """Before anything is trained or written."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        command.run(command.options().parse_args(words))
    assert not list(tmp_path.iterdir())


def without(tree, root, *folders):
    """Returns a copy of a set's folder, as links, that lacks some folders."""
    root.mkdir(parents=True)
    for path in tree.rglob("*"):
        place = path.relative_to(tree)
        if path.is_file() and not any(place.is_relative_to(folder) for folder in folders):
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            (root / place).symlink_to(path)
    return root


def test_a_part_of_the_test_faces_is_not_called_the_official_ones(tree, tmp_path, monkeypatch):
    """Whatever it is a part of: Helen and LFPW alone are as many faces as the column "common"."""
    counts = {"common": 6, "challenging": 3, "full": 9, "helen": 3, "private": 6, "indoor": 3}
    monkeypatch.setitem(published.TEST_FACES, "300w", counts)

    def what(split, *folders):
        root = without(
            tree / "300w", tmp_path / "-".join(["x", *folders]).replace("/", ""), *folders
        )
        _, found = Workshop({"300w": root}, tmp_path, "tiny").test_faces("300w", split, None)
        return found

    assert what("test") == what("private", "afw") == "official"
    assert what("test", "ibug") == "a part of the 9 official ones"
    assert what("test", "ibug", "lfpw/testset") == "a part of the 9 official ones"
    assert what("private", "01_Indoor") == "a part of the 6 official ones"
    counts["full"] = 8
    assert what("test", "menpo") == "other than the 8 official ones"
    # No table is about COFW's 29 points: the release has 507.
    shop = Workshop(tree, tmp_path, "tiny")
    assert shop.test_faces("cofw", "test", None)[1] == "a part of the 507 official ones"


def test_the_private_faces_need_no_boxes_at_the_published_scale(tree, tmp_path):
    """There are none: before, the table ended with an error once its models were trained."""
    private = [
        Path("Bounding Boxes", f"bounding_boxes_{n}.mat") for n in ("01_Indoor", "02_Outdoor")
    ]
    afw = Path("Bounding Boxes", "bounding_boxes_afw.mat")
    some = without(tree / "300w", tmp_path / "some", *private)
    fewer = without(tree / "300w", tmp_path / "fewer", *private, afw)
    shop = Workshop({"300w": some}, tmp_path, "published")
    assert len(shop.training_faces(room.get("ccnn").trainings["k4"])[0]) == 9
    reader, _ = shop.test_faces("300w", "private", "detector")
    assert {record.box_source for record in reader.records} == {"landmarks"}
    with pytest.raises(ValueError, match="official boxes"):
        Workshop({"300w": fewer}, tmp_path, "published").read("300w", "train", "detector")


def test_published_trainings_lack_no_folder_of_their_faces(tree, tmp_path):
    """Two of 300-W's three gave a row "to the letter"; the small scale takes what there is."""
    root = without(tree / "300w", tmp_path / "some", "lfpw/trainset")
    training = room.get("greglref").trainings["w300"]
    assert len(Workshop({"300w": root}, tmp_path, "small").training_faces(training)[0]) == 6
    with pytest.raises(FileNotFoundError, match="all of 300w, and lfpw/trainset is not there"):
        Workshop({"300w": root}, tmp_path, "published").training_faces(training)
    nested = tmp_path / "nested"
    (nested / "300W").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"as FOLDER/NAME\.\{jpg,png\}"):
        Workshop({"300w": nested}, tmp_path, "small").training_faces(training)


def test_a_row_says_how_long_and_on_how_many_faces_it_was_trained(tree, tmp_path):
    """Of every seed, where they differ."""
    bench = measures.Bench(room.get("tsr"), "table3", Workshop(tree, tmp_path, "tiny"), (0, 1))
    for seed, steps in ((0, 40), (1, 30)):
        folder = bench.folder("TSR Proposed", seed)
        folder.mkdir(parents=True)
        write_json(folder / "result.json", {"steps": steps, "data": {"train": 7}})
    told = measures._trained(bench, "TSR Proposed")
    assert told == ["40 / 30 steps", "7 faces trained on"]
    bench = measures.Bench(room.get("dssd"), "table4", bench.shop)
    bench.folder("DSSD").mkdir(parents=True)
    write_json(bench.folder("DSSD") / "result.json", {"steps": 5})
    assert measures._trained(bench, "DSSD") == ["5 steps after initial"]


@pytest.mark.parametrize("box", ["detector", None])
def test_columns_of_boxes_that_are_left_out_are_told(tree, tmp_path, monkeypatch, box):
    """The official ones' was missing without a word."""
    shop = Workshop(tree, tmp_path, "tiny")
    bench = measures.Bench(room.get("tsr"), "table1", shop)
    reader = shop.read("300w", "test", box)
    monkeypatch.setattr(bench, "needed_faces", lambda label: (reader, "official"))
    asked = []
    monkeypatch.setattr(
        measures,
        "box_comparison",
        lambda models, faces, protocol, sources, **_: asked.append(sources),
    )
    monkeypatch.setattr(measures, "_robustness", lambda bench, measure: (
        measure({}, reader, "300w_inter_ocular"), {"text": "a table"})[1])  # fmt: skip
    text = measures.box_sources(bench)["text"]
    assert ("file" in asked[0]) == (box == "detector")
    assert ("their column, file, is left out" in text) == (box is None)


def measured(monkeypatch, paper, item, shop, box, seeds=(0,)):
    """Returns `measures.scores` of an item whose models find the true points.

    Those of seed 1 are a pixel off, those of seed 2 two.
    """

    def evaluate(model, reader, protocol, **_):
        found = np.stack([record.landmarks for record in reader.records]).astype(np.float64)
        return types.SimpleNamespace(predicted=found + float(model.parent.name[-1]))

    monkeypatch.setattr(measures, "evaluate_model", evaluate)
    monkeypatch.setattr(measures, "load_model", lambda path: path)
    bench = measures.Bench(room.get(paper), item, shop, seeds)
    for label, seed in ((label, seed) for label in bench.rows for seed in seeds):
        folder = bench.folder(label, seed)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.keras").write_bytes(f"{label}{seed}".encode())
        write_json(folder / "result.json", {"steps": 7})
        write_json(folder / "run.json", {"model": {"config": {"box": box}}})
    bench.out.mkdir(parents=True)
    return measures.scores(bench)


def test_columns_without_faces_are_told(tree, tmp_path, monkeypatch):
    """They vanished from the table without a word."""
    shop = Workshop({"300w": tree / "300w"}, tmp_path, "tiny")
    found = measured(monkeypatch, "ccnn", "figure11", shop, "file")
    assert found["absent"] == ["cofw68_inter_ocular all nme"]
    assert "not measured, since their faces are not there: cofw68_inter_ocular all" in found["text"]
    whole = measured(
        monkeypatch, "ccnn", "figure11", Workshop(tree, tmp_path / "whole", "tiny"), "file"
    )
    assert not whole["absent"]
    assert "not measured" not in whole["text"]


def test_a_row_says_where_its_boxes_are_not_those_of_its_training(tree, tmp_path, monkeypatch):
    found = measured(
        monkeypatch, "greglref", "figure5", Workshop(tree, tmp_path, "tiny"), "landmarks"
    )
    assert "file boxes (trained on landmarks boxes)" in found["text"]
    same = measured(
        monkeypatch, "greglref", "table3", Workshop(tree, tmp_path, "tiny"), "landmarks"
    )
    assert "landmarks boxes" in same["text"]
    assert "trained on" not in same["text"]


def test_curves_are_of_all_seeds_as_the_table_is(tree, tmp_path, monkeypatch):
    """They showed the first seed's error in their legend, beside the table's mean."""
    drawn = []
    draw = measures.plots.ced_plot
    monkeypatch.setattr(
        measures.plots, "ced_plot", lambda found: drawn.append(found) or draw(found)
    )
    shop = Workshop(tree, tmp_path, "tiny")
    found = measured(monkeypatch, "ccnn", "figure7", shop, "file", seeds=(0, 1, 2))
    cell = found["rows"]["CCNN"]["300w_inter_ocular outdoor nme"]
    assert cell["values"][0] < cell["values"][1] < cell["values"][2]
    assert 100 * drawn[0]["CCNN"].nme == pytest.approx(np.mean(cell["values"]))
    assert cell["faces"] == 3
    mean = pd.read_csv(tmp_path / "ccnn" / "figure7-tiny" / "table.csv", index_col="row")
    assert 100 * drawn[0]["CCNN"].nme == pytest.approx(mean.iloc[0, 0])


def test_stages_are_measured_on_the_papers_faces(tree, tmp_path, monkeypatch):
    """DeepReg's Figure 2 is of the common subset, its Figure 4 has three sets, DSSD's 9 three."""
    seen = []

    def stages_of(bench, label, faces):
        seen.append({record.name for record in faces.records})
        true = np.stack([record.landmarks for record in faces.records]).astype(np.float64)
        return tuple(compute_score(true + i, true, "300w_inter_pupil") for i in (2.0, 1.0))

    monkeypatch.setattr(pictures, "_stages", stages_of)

    def made(paper, item, measure):
        bench = measures.Bench(room.get(paper), item, Workshop(tree, tmp_path, "tiny"))
        bench.out.mkdir(parents=True)
        table = pd.read_csv(io.StringIO(measure(bench)["text"]))
        assert list(table["stage"]) == [0, 1] * (len(table) // 2)
        counts = dict(zip(table["faces"], table["count"], strict=True))
        assert all(f"{name}".split(": ")[1].startswith(f"{n} faces") for name, n in counts.items())
        return {name.partition(":")[0]: n for name, n in counts.items()}, bench

    assert made("deepreg", "figure2", pictures.bias_variance)[0] == {"common": 6}
    seen.clear()
    counts, _ = made("deepreg", "figure4", pictures.stage_errors)
    assert counts == {"training": 7, "validation": 2, "full": 9}
    for one, other in itertools.combinations(seen[:3], 2):
        assert not one & other or one == other
    counts, bench = made("dssd", "figure9", pictures.stage_curves)
    assert counts == {"lfpw": 3, "helen": 3, "challenging": 3}
    assert len(list(bench.out.glob("ced_of_stages_*.png"))) == 3
    # Held-out training faces are of none of the subsets.
    bench = measures.Bench(room.get("deepreg"), "figure2", Workshop(tree, tmp_path, "tiny"))
    reader = bench.shop.read("300w", "afw")
    monkeypatch.setattr(bench, "needed_faces", lambda label: (reader, "held out"))
    assert "all: 3 faces (held out)" in pictures.bias_variance(bench)["text"]


def test_exported_files_say_on_which_faces_they_were_measured(tree, tmp_path, monkeypatch):
    measure_exports = pytest.importorskip("mobile_export.measure_exports")
    timing = pytest.importorskip("mobile_export.timing")
    errors = {kind: {"nme": 0.04} for kind in measure_exports.KINDS}
    monkeypatch.setattr(measure_exports, "export_and_measure", lambda *_: errors)
    monkeypatch.setattr(timing, "race", lambda files, **_: files)
    monkeypatch.setattr(
        timing, "latencies", lambda files, _: [types.SimpleNamespace(cpu=1.0) for _ in files]
    )
    bench = measures.Bench(room.get("alike"), "exports", Workshop(tree, tmp_path, "tiny"))
    bench.out.mkdir(parents=True)
    rows = measures.exported(bench)["rows"]
    assert set(rows) == set(bench.rows)
    for row in rows.values():
        assert row["conditions"].endswith("; 9 faces (a part of the 689 official ones)")


def test_figures_train_and_name_one_seed(tmp_path, monkeypatch, capsys):
    """They showed the first of three and said "3 seed(s)"."""
    asked = []
    monkeypatch.setattr(measures, "train_all", lambda *a: asked.append(a[3]) or [])
    monkeypatch.setattr(measures.Bench, "needed_faces", lambda *_: ([], "none"))
    figure = dataclasses.replace(room.get("tsr").item("figure5"), measure=lambda bench: {})
    paper = dataclasses.replace(room.get("tsr"), items={"figure5": figure})
    shop = Workshop(tmp_path, tmp_path, "tiny")
    folder = shop.folder(paper, figure.rows["TSR Proposed"], 4)
    folder.mkdir(parents=True)
    write_json(folder / "result.json", {})
    found = measures.run_item(paper, "figure5", shop, seeds=(4, 5))
    assert asked == [(4,)]
    assert (found["seeds"], found["conditions"]) == ([4], "tiny scale, 1 seed(s)")
    assert "that of seed 4" in capsys.readouterr().out


def test_published_trainings_fit_the_sets_at_their_full_size(tmp_path, monkeypatch):
    """Of as many faces as a release has, those to watch can be held out: 2,500 of CCNN's cannot be
    300-W's, 2,000 of whose training faces may be."""

    def read(shop, dataset, split, box=None):
        known = sets.get(dataset)
        counts = {**known.counts, "train": known.counts.get("train", 7859)}
        records = [
            Record(f"{part}/{n:05d}_1.jpg", types.SimpleNamespace(), points, points[:, 0] > 0, edge,
                   "file", "")
            for part in known.expand(split) for n in range(counts[part])
        ]  # fmt: skip
        return Reader(dataset, known.scheme, records, ReadingReport("raise"))

    points, edge = np.ones((68, 2), np.float32), np.array([0, 0, 1, 1], np.float32)
    monkeypatch.setattr(Workshop, "read", functools.cache(read))
    monkeypatch.setattr(Workshop, "__hash__", lambda shop: 0)
    shop = Workshop(tmp_path, tmp_path, "published")
    for known in sets.SETS.values():
        for file in known.files.values():
            (tmp_path / known.name / file).mkdir(parents=True, exist_ok=True)
    for paper in room.PAPERS.values():
        for training in paper.trainings.values():
            parts, held_out = trainings.faces_of(training, shop)
            assert held_out is None
            settings = trainings.settings_of(training, shop)
            rest, watched = _held_out(parts, None, settings)
            assert len(rest[0]) + len(watched) == len(parts[0])
            assert len(watched) < len(rest[0]) / 3
    assert len(watched_of("ccnn", "k4", shop)) / 3148 == pytest.approx(2500 / 11007, abs=1e-3)


def watched_of(paper, name, shop):
    return trainings.watched_faces(room.get(paper).trainings[name], shop)


@pytest.mark.parametrize(("paper", "name"), [
    ("dssd", "initial"), ("dssd", "dssd"), ("dssd", "no_p"), ("dssd", "sequential"),
    ("tsr", "w300_brows"),
])  # fmt: skip
def test_steps_are_the_length_of_published_rows_too(paper, name, tmp_path, rng):
    """DSSD's 150 epochs stood under "steps 40"."""
    shop = Workshop(tmp_path, tmp_path, "published", {"steps": 40})
    training = room.get(paper).trainings[name]
    options = trainings.options_of(training, room.SCALES["tiny"])
    model = make_model(training.model, sets.get("300w").scheme, **options)
    model.set_mean_shape(rng.uniform(size=(68, 2)).astype("float32"))
    settings = trainings.settings_of(training, shop)
    schedule = trainings.scheduled(training, shop, settings, model, 4).schedule
    assert sum(phase.length(4) for phase in schedule.phases) * 4 == pytest.approx(40, abs=8)
    updates = [c.arguments for phase in schedule.phases for c in phase.callbacks]
    if name in ("dssd", "no_p"):
        assert updates[0]["every"] == 1
    assert shop.says.endswith("our readings of it, but steps 40")
    whole = trainings.scheduled(
        training, dataclasses.replace(shop, settings={}), trainings.settings_of(
            training, dataclasses.replace(shop, settings={})), model, 4
    ).schedule  # fmt: skip
    if name == "dssd":
        assert [phase.epochs for phase in whole.phases] == [150]
        assert whole.phases[0].callbacks[0].arguments["every"] == 10


def test_papers_and_items_are_listed(capsys):
    listed = command.run(command.options().parse_args([]))
    assert set(listed) == set(room.PAPERS)
    assert "table3" in capsys.readouterr().out
    assert list(command.run(command.options().parse_args(["tsr"]))) == ["tsr"]
    assert set(command.run(command.options().parse_args(["claims"]))) == set(room.CLAIMS)


@pytest.mark.parametrize("name", list(room.CLAIMS))
def test_every_claim_stands_in_a_table(name):
    paper, item, _ = room.CLAIMS[name]
    assert set(room.get(paper).item(item).claim) <= set(room.get(paper).item(item).rows)
    assert {room.CLAIMS[n][0] for n in room.CLAIMS} == set(room.PAPERS) - {"alike"}


def test_a_column_speaks_of_its_faces_alone(tree, tmp_path):
    """A part that is not there gives no number, rather than that of other faces."""
    shop = Workshop(tree, tmp_path, "tiny")

    def mask(protocol, subset, data, split="test"):
        reader, what = shop.test_faces(data, split, None)
        found = measures.Predictions(reader, what, "file", np.zeros(0))
        chosen = found.mask(room.Column(protocol, subset, split=split))
        names = np.array([record.name for record in reader.records])
        return None if chosen is None else list(names[chosen])

    ocular = "300w_inter_ocular"
    assert all(n.startswith("helen/testset") for n in mask(ocular, "helen", "300w"))
    assert all(n.startswith("ibug") for n in mask(ocular, "challenging", "300w"))
    assert len(mask(ocular, "full", "300w")) == 9
    assert len(mask(ocular, "private", "300w", "private")) == 6
    assert len(mask(ocular, "indoor", "300w", "private")) == 3
    assert mask(ocular, "private", "300w") is None
    assert mask("aflw19_box_side", "frontal", "aflw19") is None
    assert len(mask("aflw19_box_side", "full", "aflw19")) == 3
    frontal = mask("aflw19_box_side", "frontal", "aflw19", "frontal")
    assert set(frontal) <= set(mask("aflw19_box_side", "full", "aflw19"))


@pytest.mark.parametrize("published", [False, True])
def test_rows_of_dssd_differ_in_what_they_are_named_after(published):
    from tfalign.paper.trainings import options_of
    from tfalign.training import make_model
    from tfalign.training.schedules import Budget
    from tfalign.training.schedules.detector_penalties import DetectorPenalties

    trainings = room.get("dssd").trainings

    def weights(name):
        """β and γ of every proximal update of a row's schedule."""
        training = trainings[name]
        model = made[training.model]
        schedule = training.schedule(model, Budget(40, 2, None, 0.2), published)
        callbacks = [c.arguments for phase in schedule.phases for c in phase.callbacks]
        found = [c["weights"] for c in callbacks if "weights" in c]
        return schedule, [(w["detectors/basis"], w["detectors/codes"]) for w in found]

    made = {}
    for model in ("dssd", "rdssd_star"):
        training = next(t for t in trainings.values() if t.model == model and t.start)
        options = options_of(training, room.SCALES["tiny"])
        made[model] = make_model(model, sets.get("300w").scheme, **options)
    schedule, ((basis, codes),) = weights("dssd")
    assert "detected" not in schedule.phases[-1].losses
    anchored, values = weights("anchored_1of3")
    assert "detected" in anchored.phases[-1].losses
    assert values == [(basis, codes)]
    usual = DetectorPenalties()
    assert (basis, codes) == pytest.approx((usual.basis, usual.codes))
    assert schedule.phases[0].name != weights("initial")[0].phases[0].name
    assert min(basis, codes) > 0
    assert weights("no_p")[1] == [(0.0, codes)]
    assert weights("no_c")[1] == [(basis, 0.0)]
    assert weights("penalty_dssd_1of10")[1] == [pytest.approx((1e-5, 1e-6))]
    assert weights("penalty_dssd_1")[1] == [pytest.approx((1e-4, 1e-5))]
    assert len(weights("sequential")[0].phases) > len(weights("joint")[0].phases)
