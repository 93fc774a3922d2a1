"""``python -m mobile_export.benchmark FILE…``: how fast exported models run on this machine.

    python -m mobile_export.benchmark build/float32/model.tflite build/int8/model.tflite

Latency is the time of one ``invoke`` through LiteRT with XNNPACK, batch 1, by the clock; the
processor time stands beside it, which a busy machine lengthens less. Files are measured in
turns, A B C C B A …, and every ratio is the median of the ratios of two times of one turn, so that
a machine that slows down for a while slows both alike. The first file is the baseline that the
others are compared with, give the float32 export first; a table compares each with each.

The Python interpreter does not expose LiteRT's profiler, so operator times come from running every
operator alone: a file with this one operator, its stored weights and its quantization. Their sum
differs from the latency by what fusing and caches change; it is printed beside it.

The ceiling is the fastest matrix product that LiteRT itself reaches here, measured in the same
run with float32 and with int8 operands.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mobile_export.exit_status import DONE, exit_status
from mobile_export.timing import Latency, ceiling, latencies, operator_times, race
from tfalign.argument_help import ArgumentParser
from tfalign.files import write_json
from tfalign.tflite import Graph

SLOWEST = 25
"""How many operators are listed one by one."""


def measure(
    files: Sequence[str | Path],
    threads: Sequence[int] = (1,),
    runs: int = 50,
    operators: bool = True,
) -> dict[str, object]:
    """Measures files side by side.

    Args:
        files: Exported ``.tflite`` files; the first is the baseline.
        threads: Numbers of threads to measure with.
        runs: Timed runs of each file and number of threads.
        operators: Whether to time every operator alone (one thread).

    Returns:
        Plain data: ``"ceiling_gmacc_per_s"`` by operand type and threads; ``"files"``, one entry
        each with its latencies in milliseconds, ratios to the baseline, share of the ceiling and
        operators; ``"macc"`` and what follows from it are None where an operator has no rule, which
        ``"not_counted"`` tells; ``"ratios"`` and ``"cpu_ratios"`` by threads, each file (row) to
        each (column).

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If a file is foreign or damaged, or a number is not positive.
    """
    if not files or min(threads, default=0) < 1 or runs < 1:
        raise ValueError(
            "Give at least one file, and positive `threads` and `runs`. Received: "
            f"files={list(map(str, files))}, threads={list(threads)}, runs={runs}"
        )
    graphs = [Graph.read(file) for file in files]
    counts = [_counted(graph) for graph in graphs]
    top = {kind: {n: ceiling(kind, n) for n in threads} for kind in ("float32", "int8")}
    races = {n: race(graphs, n, runs) for n in threads}
    measured = {n: latencies(graphs, times) for n, times in races.items()}
    clock = {n: times.ratios() for n, times in races.items()}
    cpu = {n: times.ratios(cpu=True) for n, times in races.items()}
    rows = []
    for index, file in enumerate(files):
        macc, reason = counts[index]
        entry: dict[str, object] = {"file": str(file), "macc": macc, "not_counted": reason}
        lines = []
        for n in threads:
            latency = measured[n][index]
            # One thread's processor time is its time on an idle machine.
            time = latency.cpu if n == 1 else latency.median
            speed = None if macc is None else macc / time / 1e6  # MACC per ms → GMACC/s
            kind = latency.arithmetic
            lines.append(
                {
                    "threads": n,
                    **latency.to_dict(),
                    "of_baseline": float(clock[n][index, 0]),
                    "cpu_of_baseline": float(cpu[n][index, 0]),
                    "gmacc_per_s": speed,
                    "ceiling": kind,
                    "share_of_ceiling": None if speed is None else speed / top[kind][n],
                }
            )
        entry["latency"] = lines
        if operators:
            entry["operators"] = operator_times(graphs[index])
        rows.append(entry)
    return {
        "ceiling_gmacc_per_s": top,
        "runs": runs,
        "files": rows,
        "ratios": {n: values.tolist() for n, values in clock.items()},
        "cpu_ratios": {n: values.tolist() for n, values in cpu.items()},
    }


def _counted(graph: Graph) -> tuple[int | None, str | None]:
    """Returns a file's multiply-accumulates, or None and why: latencies do not need them."""
    from tfalign.macc import count_tflite

    try:
        return int(count_tflite(graph).macc), None
    except ValueError as error:
        return None, str(error)


def table(report: dict[str, object], each: bool = False) -> str:
    """Returns a report of ``measure`` as text; ``each``: the slowest operators one by one, too."""
    lines = []
    for kind, by_threads in report["ceiling_gmacc_per_s"].items():  # type: ignore[attr-defined]
        for n, value in by_threads.items():
            lines.append(f"ceiling {kind}, {n} threads: {value:.1f} GMACC/s")
    for entry in report["files"]:  # type: ignore[attr-defined]
        macc = entry["macc"]
        counted = f"MACC not counted: {entry['not_counted']}" if macc is None else f"{macc:,} MACC"
        lines.append(f"\n{entry['file']}  {counted}")
        for row in entry["latency"]:
            line = (
                f"  {row['threads']} threads: median {row['median']:.3f} ms "
                f"(5 % {row['low']:.3f}, 95 % {row['high']:.3f}), {row['of_baseline']:.3f} of the "
                f"first file; processor time {row['cpu']:.3f} ms, {row['cpu_of_baseline']:.3f} of "
                "it"
            )
            if macc is not None:
                line += (
                    f"; {row['gmacc_per_s']:.1f} GMACC/s = "
                    f"{100 * row['share_of_ceiling']:.0f} % of the {row['ceiling']} ceiling"
                )
            lines.append(line)
        found = entry.get("operators")
        if found:
            total = sum(row["ms"] for row in found)
            lines.append(f"  operators run alone, one thread, sum {total:.3f} ms:")
            for row in found:
                share = 100 * row["ms"] / total if total else 0.0
                name = f"{row['operator']:<22}{row['count']:>4}"
                # Their time is in no row and not in the sum: 0 ms would read as free of charge.
                missing = f"  ({row['untimed']} not timed)" if row["untimed"] else ""
                lines.append(f"    {name}{row['ms']:>10.3f} ms{share:>6.1f} %{missing}")
            if each:
                slowest = [{**one, "kind": row["operator"]} for row in found for one in row["each"]]
                lines.append("  the slowest operators, one by one:")
                for one in sorted(slowest, key=lambda one: -one["ms"])[:SLOWEST]:
                    shape = "×".join(map(str, one["shape"]))
                    figures = f"{one['ms']:>8.3f} ms  {shape:<18}"
                    lines.append(f"    {one['index']:>4} {one['kind']:<22}{figures} {one['layer']}")
    if len(report["files"]) > 2:  # type: ignore[arg-type]
        for key, what in (("ratios", "time by the clock"), ("cpu_ratios", "processor time")):
            for n, rows in report[key].items():  # type: ignore[attr-defined]
                lines.append(f"\n{what}, {n} threads: file of the row / file of the column")
                lines += [
                    f"  {number:>2}" + "".join(f"{value:>8.3f}" for value in row)
                    for number, row in enumerate(rows, start=1)
                ]
    return "\n".join(lines)


def add_options(arguments: argparse.ArgumentParser) -> None:
    """Adds the options that this program and ``tfalign benchmark`` share."""
    arguments.add_argument(
        "files",
        nargs="+",
        metavar="FILE.tflite",
        help="Exported files; the others are compared with the first.",
    )
    arguments.add_argument(
        "--threads",
        type=int,
        nargs="+",
        default=[1],
        metavar="N",
        help="Threads of the interpreter; several numbers give several tables (default: 1).",
    )
    arguments.add_argument(
        "--runs", type=int, default=50, metavar="N", help="How often each file is timed."
    )
    choice = arguments.add_mutually_exclusive_group()
    choice.add_argument(
        "--operators", action="store_true", help="List the slowest operators one by one, too."
    )
    choice.add_argument("--no-operators", action="store_true", help="Measure latencies only.")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    arguments = ArgumentParser(
        prog="python -m mobile_export.benchmark",
        description=__doc__,
    )
    add_options(arguments)
    arguments.add_argument("--json", metavar="FILE", help="Also write the report to this file.")
    options = arguments.parse_args(argv)

    def work() -> int:
        report = measure(
            options.files, options.threads, options.runs, operators=not options.no_operators
        )
        # First what took minutes: the file may turn out not to be writable.
        print(table(report, each=options.operators), flush=True)
        if options.json:
            write_json(options.json, report)
        return DONE

    return exit_status(work)


__all__ = ["Latency", "main", "measure", "table"]

if __name__ == "__main__":
    sys.exit(main())
