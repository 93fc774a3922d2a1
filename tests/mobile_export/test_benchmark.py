"""Latency, operators one by one, and the ceiling."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobile_export import benchmark, timing
from mobile_export.timing import Race, single_operator
from tfalign.tflite import Graph


@pytest.fixture(scope="module")
def files(float_file: bytes, pictures: np.ndarray, tmp_path_factory: Any) -> list[Path]:
    from mobile_export.quantize import quantize_mixed

    folder = tmp_path_factory.mktemp("benchmark")
    paths = [folder / "float32.tflite", folder / "int8.tflite"]
    paths[0].write_bytes(float_file)
    paths[1].write_bytes(quantize_mixed(Graph.read(float_file), pictures[:4])[0])
    return paths


@pytest.mark.slow
def test_report(files: list[Path]) -> None:
    report: Any = benchmark.measure(files, threads=(1, 2), runs=3)
    first, second = report["files"]
    assert first["macc"] == second["macc"] > 0
    assert [row["threads"] for row in first["latency"]] == [1, 2]
    for entry, kind in ((first, "float32"), (second, "int8")):
        for row in entry["latency"]:
            assert 0.0 < row["low"] <= row["median"] <= row["high"]
            assert row["ceiling"] == kind
            ceiling = report["ceiling_gmacc_per_s"][kind][row["threads"]]
            assert row["share_of_ceiling"] == pytest.approx(row["gmacc_per_s"] / ceiling)
        kinds = [op.kind for op in Graph.read(entry["file"]).operators]
        assert {row["operator"]: row["count"] for row in entry["operators"]} == {
            kind: kinds.count(kind) for kind in kinds
        }
        assert all(row["untimed"] == 0 for row in entry["operators"])
    assert first["latency"][0]["of_baseline"] == 1.0
    assert second["latency"][1]["of_baseline"] == report["ratios"][2][1][0]
    text = benchmark.table(report)
    assert "CONV_2D" in text
    assert "of the int8 ceiling" in text


def test_ratios_are_medians_of_pairs() -> None:
    # The second file takes twice as long in every turn, while the machine's speed drifts fivefold:
    # the ratio of the medians of separate runs would depend on when which of them ran.
    speed = np.array([1.0, 2.0, 5.0, 3.0, 1.5])
    times = Race(np.stack([speed, 2.0 * speed], axis=1), np.stack([speed, 3.0 * speed], axis=1))
    np.testing.assert_allclose(times.ratios(), [[1.0, 0.5], [2.0, 1.0]])
    np.testing.assert_allclose(times.ratios(cpu=True), [[1.0, 1 / 3], [3.0, 1.0]])


@pytest.mark.slow
def test_files_are_measured_in_turns(files: list[Path], monkeypatch: Any) -> None:
    order: list[int] = []
    made: list[Any] = []

    class Recorded(timing.Runner):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self)

        def invoke(self) -> None:
            order.append(made.index(self))
            super().invoke()

    monkeypatch.setattr(timing, "Runner", Recorded)
    times = timing.race(files, 1, 2)
    assert times.clock.shape == times.cpu.shape == (2, 2)
    assert (times.clock > 0.0).all()
    assert order[2 * timing.WARM_UP :] == [0, 0, 1, 1, 1, 1, 0, 0]  # each after a run unmeasured


def test_program_writes_json(files: list[Path], tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "report.json"
    status = benchmark.main([str(files[0]), "--runs", "2", "--no-operators", "--json", str(out)])
    assert status == 0
    assert json.loads(out.read_text())["files"][0]["file"] == str(files[0])
    assert "median" in capsys.readouterr().out


def test_program_prints_what_it_measured_before_it_fails_to_write(
    files: list[Path], tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "file").write_text("in the way")
    out = tmp_path / "file" / "report.json"
    status = benchmark.main([str(files[0]), "--runs", "2", "--no-operators", "--json", str(out)])
    assert status == 2
    printed = capsys.readouterr()
    assert "median" in printed.out
    assert str(out.parent) in printed.err


def test_operators_that_cannot_run_alone_are_told(files: list[Path], monkeypatch: Any) -> None:
    graph = Graph.read(files[0])
    refused = {single_operator(graph, op) for op in graph.operators if op.kind == "FULLY_CONNECTED"}
    run = timing._runner

    def runner(content: bytes) -> Any:
        if content in refused:
            raise RuntimeError("not alone")
        return run(content)

    monkeypatch.setattr(timing, "_runner", runner)
    lines = benchmark.table(benchmark.measure(files[:1], runs=1)).splitlines()
    dense = [line for line in lines if "FULLY_CONNECTED" in line]
    count = sum(op.kind == "FULLY_CONNECTED" for op in graph.operators)
    assert dense == [line for line in lines if line.endswith(f"({count} not timed)")]
    assert len(dense) == 1


def test_files_whose_products_are_not_counted_are_timed(
    files: list[Path], monkeypatch: Any
) -> None:
    from tfalign.macc import tflite_operators

    # As an export passes it: with null for its arithmetic, and a note.
    rules = {k: v for k, v in tflite_operators._RULES.items() if k != "FULLY_CONNECTED"}
    monkeypatch.setattr(tflite_operators, "_RULES", rules)
    report: Any = benchmark.measure(files[:1], runs=2, operators=False)
    (entry,) = report["files"]
    assert entry["macc"] is entry["latency"][0]["share_of_ceiling"] is None
    assert entry["latency"][0]["median"] > 0
    text = benchmark.table(json.loads(json.dumps(report)))
    assert "MACC not counted: No rule counts this operator" in text
    assert "'FULLY_CONNECTED'" in text


def test_program_names_a_missing_file(capsys: Any) -> None:
    assert benchmark.main(["absent.tflite"]) == 2
    assert "absent.tflite" in capsys.readouterr().err


def test_one_operator_alone_computes_what_it_computes_in_the_file(float_file: bytes) -> None:
    from ai_edge_litert.interpreter import Interpreter

    graph = Graph.read(float_file)
    whole = Interpreter(model_content=float_file, experimental_preserve_all_tensors=True)
    whole.allocate_tensors()
    rng = np.random.default_rng(0)
    whole.set_tensor(
        whole.get_input_details()[0]["index"], rng.integers(0, 256, (1, 48, 48, 3), dtype=np.uint8)
    )
    whole.invoke()
    op = next(op for op in graph.operators if op.kind == "FULLY_CONNECTED")
    alone = Interpreter(model_content=single_operator(graph, op))
    alone.allocate_tensors()
    features = whole.get_tensor(op.inputs[0])
    alone.set_tensor(alone.get_input_details()[0]["index"], features)
    alone.invoke()
    found = alone.get_tensor(alone.get_output_details()[0]["index"])
    np.testing.assert_allclose(found, whole.get_tensor(op.outputs[0]), rtol=1e-5, atol=1e-6)
