"""The report of what each operator loses."""

from __future__ import annotations

import numpy as np
import pytest

from mobile_export.layer_errors import layer_errors, table
from mobile_export.quantize import quantize_mixed
from tfalign.tflite import Graph


def plainly(graph: Graph, pictures: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=graph.content,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    run = interpreter.get_signature_runner()
    return np.concatenate([run(image=picture[None])["landmarks"] for picture in pictures])


def test_errors_are_those_of_the_tensors(float_file: bytes, pictures: np.ndarray) -> None:
    exact = Graph.read(float_file)
    same = layer_errors(exact, exact, pictures[:2])
    assert len(same) == len(exact.operators)
    assert all(row.error == row.added == 0.0 for row in same)

    graph = Graph.read(quantize_mixed(exact, pictures[:16])[0])
    rows = layer_errors(exact, graph, pictures[:3])
    assert {row.dtype for row in rows} >= {"INT8", "FLOAT32"}
    # The last operator's result is the landmarks: its error is the export's own, where both files
    # run without XNNPACK, whose int8 kernels round otherwise.
    expected, found = (plainly(g, pictures[:3]) for g in (exact, graph))
    spread = np.sqrt(sum(np.square(e - e.mean()).sum() for e in expected))
    assert rows[-1].error == pytest.approx(np.linalg.norm(found - expected) / spread, rel=0.05)
    # Eight bits over a range of a few standard deviations: some percent at most.
    convolutions = [row.error for row in rows if row.operator == "CONV_2D"]
    assert 0.001 < np.median(convolutions) < 0.1
    assert all(0.0 <= row.added <= row.error for row in rows)
    listed = table(rows, most=3).splitlines()
    assert len(listed) == 4
    worst = max(rows, key=lambda row: row.added)
    assert worst.layer in listed[1]
