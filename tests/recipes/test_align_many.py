"""Ray's workers give the rows of `tfalign align`, also where one of them dies."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tfalign.data import synthetic
from tfalign.inference import Aligner, picture_row
from tfalign.models import GRegNet

ray = pytest.importorskip("ray")
pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


@pytest.fixture
def cluster():
    """Ray on this machine, whose workers see what this process sees."""
    seen = os.pathsep.join([str(RECIPES), *sys.path])
    environment = {"env_vars": {"PYTHONPATH": seen}}
    ray.init(num_cpus=3, include_dashboard=False, runtime_env=environment)
    yield
    ray.shutdown()


@pytest.mark.slow
def test_rows_of_two_workers_of_which_one_dies(cluster, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(RECIPES))
    import align_many

    model = tmp_path / "model.keras"
    GRegNet(68, (32, 32, 3), width=0.125, trunk="mobile", crop="300w").save(model)
    folder = tmp_path / "in"
    folder.mkdir()
    for index, face in enumerate((2, 4, 6)):  # in which Viola-Jones finds one
        Image.fromarray(synthetic.render(5, face, 160).image).save(folder / f"{index}.png")
    for index in range(3, 12):
        os.link(folder / f"{index % 3}.png", folder / f"{index}.png")
    (folder / "bad.png").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("no picture")
    died = tmp_path / "died"

    class DiesOnce(align_many.AlignBatch):
        def __call__(self, batch):
            if not died.exists():
                died.touch()
                os._exit(1)
            return super().__call__(batch)

    words = [str(folder), "--out", str(tmp_path / "out"), "--model", str(model)]
    words += ["--detector", "haar", "--min-quality", "0"]
    arguments = align_many.options().parse_args(words)
    keywords = align_many.aligner_keywords(arguments)
    align_many.align(
        align_many.read(arguments), arguments.out, keywords, workers=2, batch=3, worker=DiesOnce
    )
    assert died.exists()
    rows = rows_of(Path(arguments.out))
    paths = sorted(str(path) for path in folder.glob("*.png"))
    assert sorted(row["source"] for row in rows) == paths
    aligner = Aligner(**keywords)
    for row in rows:
        if row["source"].endswith("bad.png"):
            assert "images must be" in row["error"]
            continue
        expected = picture_row(aligner.align(row["source"]), row["source"])
        assert row["error"] is None
        assert len(row["faces"]) == len(expected["faces"]) > 0
        for face, wanted in zip(row["faces"], expected["faces"], strict=True):
            np.testing.assert_allclose(face["landmarks"], wanted["landmarks"], atol=0.01)
    # The same photographs as rows of a table.
    table = tmp_path / "table.parquet"
    columns = {"path": paths, "bytes": [Path(path).read_bytes() for path in paths]}
    parquet.write_table(pa.table(columns), table)
    data = align_many.read(align_many.options().parse_args(["--parquet", str(table), *words[1:]]))
    assert sorted(row["path"] for row in data.take_all()) == paths


def rows_of(folder):
    return [
        row
        for file in sorted(folder.glob("*.parquet"))
        for row in parquet.read_table(file).to_pylist()
    ]


@pytest.mark.parametrize(
    "words", [[], ["a.png", "--paths", "b"], ["--paths", "b", "--parquet", "c"]]
)
def test_one_kind_of_input(words, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(RECIPES))
    import align_many

    monkeypatch.setattr(sys, "argv", ["align_many.py", *words, "--out", str(tmp_path / "out")])
    with pytest.raises(ValueError, match="one kind of them"):
        align_many.main()
