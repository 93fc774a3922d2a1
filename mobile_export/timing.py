"""Timing exported models, their operators one by one, and the machine's ceiling."""

from __future__ import annotations

import copy
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobile_export.converter import layer_of
from mobile_export.pictures import noise_pictures
from tfalign.tflite import Graph, Operator, Runner, pack, require

WARM_UP = 5
"""Runs before the first timed one: they load weights into caches and start the threads."""


@dataclass(frozen=True)
class Latency:
    """Times of one run, in milliseconds.

    Attributes:
        median: The middle one, by the clock.
        low: The 5th percentile.
        high: The 95th percentile.
        cpu: The middle one of the processor time of all threads, which other programs on the
            machine lengthen less.
        arithmetic: ``"int8"`` where most of the convolutions and products take int8 weights.
    """

    median: float
    low: float
    high: float
    cpu: float
    arithmetic: str

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Race:
    """Times of several files, measured in turns.

    Attributes:
        clock: (runs, files) milliseconds by the clock.
        cpu: (runs, files) milliseconds of processor time of all threads.
    """

    clock: np.ndarray
    cpu: np.ndarray

    def ratios(self, cpu: bool = False) -> np.ndarray:
        """Returns (files, files): how much longer the row's file takes than the column's.

        Each is the median, over the turns, of the ratio of two times that were measured one right
        after the other: whatever slows the machine down for a while slows both.

        Args:
            cpu: Whether of the processor times instead of the clock's.
        """
        times = self.cpu if cpu else self.clock
        return np.asarray(np.median(times[:, :, None] / times[:, None, :], axis=0))


def race(files: Sequence[str | Path | Graph], threads: int, runs: int) -> Race:
    """Times several files in turns, one run of each at a time, there and back in order.

    Args:
        files: Exported ``.tflite`` files, or their graphs.
        threads: Threads of the interpreter.
        runs: Turns: timed runs of each file.
    """
    models = [Runner(file, threads) for file in files]
    for model in models:
        model.set_image(noise_pictures(1, model.image_size)[0])
        for _ in range(WARM_UP):
            model.invoke()
    times = np.empty((2, runs, len(models)))
    for run in range(runs):
        order = range(len(models)) if run % 2 == 0 else reversed(range(len(models)))
        for index in order:
            # A second run directly before the timed one brings this file's weights back into the
            # caches, as an app that runs one model finds them.
            models[index].invoke()
            times[:, run, index] = _milliseconds(models[index].invoke)
    return Race(*times)


def latencies(files: Sequence[str | Path | Graph], times: Race) -> list[Latency]:
    """Returns the median and the spread of each file's times.

    Args:
        files: The files of the race.
        times: What ``race`` measured.
    """
    results = []
    for file, clock, cpu in zip(files, times.clock.T, times.cpu.T, strict=True):
        median, low, high = (float(v) for v in np.percentile(clock, (50, 5, 95)))
        results.append(Latency(median, low, high, float(np.median(cpu)), arithmetic(file)))
    return results


def arithmetic(file: str | Path | Graph) -> str:
    """Returns ``"int8"`` or ``"float32"``: what most products of the file multiply."""
    graph = Graph.read(file)
    products = [op for op in graph.operators if op.kind in _PRODUCTS and len(op.inputs) > 1]
    integer = [op for op in products if graph.tensors[op.inputs[1]].dtype == "INT8"]
    return "int8" if 2 * len(integer) > len(products) else "float32"


def operator_times(file: str | Path | Graph, repeat: int = 10) -> list[dict[str, Any]]:
    """Times every operator of a file alone, one thread, and adds up by kind.

    Args:
        file: A ``.tflite`` file, or its graph.
        repeat: Timed runs of each operator; the median of the processor time counts.

    Returns:
        ``{"operator", "count", "ms", "each"}`` per kind, the slowest kind first; ``"each"`` lists
        ``{"index", "layer", "shape", "ms"}``, the slowest operator first. Operators that LiteRT
        cannot run alone are not timed; ``"untimed"`` tells how many.
    """
    require("ai_edge_litert")
    graph = Graph.read(file)
    each: dict[str, list[dict[str, Any]]] = defaultdict(list)
    count: dict[str, int] = defaultdict(int)
    untimed: dict[str, int] = defaultdict(int)
    for op in graph.operators:
        count[op.kind] += 1
        content = single_operator(graph, op)
        if content is None:
            continue  # a weight that is expanded once, when the model is loaded
        try:
            run = _runner(content)
        except (ValueError, RuntimeError):
            untimed[op.kind] += 1
            continue
        run()
        ms = float(np.median([_milliseconds(run)[1] for _ in range(repeat)]))
        shape = list(graph.tensors[op.outputs[0]].shape) if op.outputs else []
        layer = layer_of(graph.layer(op))
        each[op.kind].append({"index": op.index, "layer": layer, "shape": shape, "ms": ms})
    rows: list[dict[str, Any]] = [
        {
            "operator": kind,
            "count": n,
            "ms": sum(one["ms"] for one in each[kind]),
            "untimed": untimed[kind],
            "each": sorted(each[kind], key=lambda one: -one["ms"]),
        }
        for kind, n in count.items()
    ]
    return sorted(rows, key=lambda row: -row["ms"])


def single_operator(graph: Graph, op: Operator) -> bytes | None:
    """Returns a file that holds one operator, its stored weights and its quantization.

    Args:
        graph: The whole file.
        op: The operator.

    Returns:
        The bytes; None where the operator only expands a stored weight (DEQUANTIZE of float16),
        which a runtime does once.
    """
    from ai_edge_litert import schema_py_generated as schema

    expanding = _expanders(graph)
    if op.index in expanding:
        return None
    # A weight stored as float16 is expanded by an operator in front; it comes along.
    before = [
        graph.producer[i]
        for i in op.inputs
        if i in graph.producer and graph.producer[i].index in expanding
    ]
    tree = graph.tree
    main = tree.subgraphs[0]
    operators = [main.operators[o.index] for o in (*before, op)]
    used = list(
        dict.fromkeys(int(i) for o in operators for i in (*o.inputs, *o.outputs) if int(i) >= 0)
    )
    place = {old: new for new, old in enumerate(used)}
    stored = {i for i in used if graph.tensors[i].constant}
    made = {int(i) for o in operators for i in o.outputs}

    model = schema.ModelT()
    model.version, model.description = 3, b"one operator"
    empty = schema.BufferT()
    model.buffers = [empty]
    model.operatorCodes = list(tree.operatorCodes)
    part = schema.SubGraphT()
    part.tensors, part.operators = [], []
    for index in used:
        tensor = copy.copy(main.tensors[index])
        tensor.buffer = 0
        if index in stored:
            model.buffers.append(tree.buffers[main.tensors[index].buffer])
            tensor.buffer = len(model.buffers) - 1
        part.tensors.append(tensor)
    for operator in operators:
        moved = copy.copy(operator)
        moved.inputs = [place[int(i)] if int(i) >= 0 else -1 for i in operator.inputs]
        moved.outputs = [place[int(i)] for i in operator.outputs]
        part.operators.append(moved)
    part.inputs = [place[i] for i in used if i not in stored | made]
    part.outputs = [place[i] for i in op.outputs]
    model.subgraphs = [part]
    return pack(model)


def _expanders(graph: Graph) -> set[int]:
    """Indices of the operators that turn a stored weight into float."""
    return {
        op.index
        for op in graph.operators
        if op.kind == "DEQUANTIZE" and graph.tensors[op.inputs[0]].constant
    }


def ceiling(kind: str, threads: int) -> float:
    """Measures LiteRT's fastest dense product, in GMACC/s.

    Args:
        kind: ``"float32"`` or ``"int8"`` operands.
        threads: Threads of the interpreter.

    Returns:
        The best of 20 runs of a (256, 1024) × (1024, 1024) product.
    """
    require("tensorflow", "ai_edge_litert", "ai_edge_quantizer")
    from ai_edge_litert.interpreter import Interpreter

    rows, size = 256, 1024
    content = _product(kind, rows, size)
    interpreter = Interpreter(model_content=content, num_threads=threads)
    interpreter.allocate_tensors()
    for _ in range(WARM_UP):
        interpreter.invoke()
    # One thread's processor time is its time on an idle machine; of several, only the clock says.
    best = min(_milliseconds(interpreter.invoke)[threads == 1] for _ in range(20))
    return rows * size * size / best / 1e6


_PRODUCTS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL")


def _product(kind: str, rows: int, size: int) -> bytes:
    import tensorflow as tf

    weight = tf.constant(np.random.default_rng(0).normal(size=(size, size)).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec((rows, size), tf.float32)])
    def product(values: Any) -> Any:
        return tf.matmul(values, weight)

    converter = tf.lite.TFLiteConverter.from_concrete_functions([product.get_concrete_function()])
    if kind == "int8":
        samples = np.random.default_rng(1).normal(size=(4, rows, size)).astype(np.float32)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([sample] for sample in samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def _runner(content: bytes) -> Callable[[], None]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        # Zeros are valid for every type and, for indices, inside every map.
        interpreter.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
    return interpreter.invoke


def _milliseconds(run: Callable[[], None]) -> tuple[float, float]:
    """Returns the time by the clock and the processor time of one run."""
    clock, cpu = time.perf_counter(), time.process_time()
    run()
    return 1e3 * (time.perf_counter() - clock), 1e3 * (time.process_time() - cpu)
