"""What is said of the GPU delegate."""

from __future__ import annotations

from mobile_export.gpu import gpu_compatibility, refusals
from tfalign.tflite import Graph


def test_gpu_report_names_operators_outside_the_documented_list(float_file: bytes) -> None:
    report = gpu_compatibility(Graph.read(float_file))
    assert report["operators"]["CONV_2D"] is True
    assert report["operators"]["MINIMUM"] is False
    assert report["compatible"] is False
    assert set(report["refused"]) == {k for k, taken in report["operators"].items() if not taken}


def test_warnings_of_the_analyzer_go_to_the_operator_above_them() -> None:
    report = (
        "Subgraph#0 main(T#0) -> [T#2]\n"
        "  Op#0 CONV_2D(T#0, T#1) -> [T#3]\n"
        "  Op#1 CAST(T#3) -> [T#2]\n"
        "GPU COMPATIBILITY WARNING: Not supported type\n"
        "\nGPU COMPATIBILITY WARNING: Subgraph#0 has GPU delegate compatibility issues at nodes 1\n"
    )
    assert refusals(report) == {"CAST": ["Not supported type"]}
