"""Times exported files on this machine: latency, share of the machine's ceiling, operators.

    tfalign benchmark build/float32/model.tflite build/int8/model.tflite
    tfalign benchmark build/*/model.tflite --threads 1 2 --runs 200 --no-operators --json

One image at a time through LiteRT with XNNPACK; the files take turns, so that a machine that slows
down slows all of them. The first file is the baseline of the others: give float32 first.
"""

from __future__ import annotations

import argparse
from typing import Any

from mobile_export import benchmark
from tfalign.argument_help import ArgumentParser


def options(prog: str = "tfalign benchmark") -> argparse.ArgumentParser:
    """Returns the program's options; ``prog`` is how the program is called."""
    parser = ArgumentParser(prog=prog, description=__doc__)
    benchmark.add_options(parser)
    return parser


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measures and prints; returns the report of ``mobile_export.benchmark.measure``."""
    report = benchmark.measure(
        arguments.files, arguments.threads, arguments.runs, operators=not arguments.no_operators
    )
    print(benchmark.table(report, each=arguments.operators))
    return report
