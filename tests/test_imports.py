"""The house's order: imports run downwards only, need no TensorFlow where none is promised, and
cost little."""

from __future__ import annotations

import ast
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

# What each room may know of the others (its own inside is free). Written from the ground up.
BELOW: dict[str, set[str]] = {
    "version": set(),
    "files": {"version"},
    "extras": {"version"},
    "argument_help": set(),
    "geometry": set(),
    "markup": {"files"},
    "layers": {"geometry"},
    "models": {"layers", "geometry", "markup", "files"},
    "losses": {"geometry", "markup"},
    "metrics": {"geometry", "markup"},
    "callbacks": {"geometry", "markup", "metrics"},
    "tflite": {"geometry", "markup", "files", "extras"},
    "macc": {"layers", "models", "files", "tflite", "argument_help"},
    "data": {"geometry", "markup", "files"},
    "inference": {"geometry", "markup", "models", "data", "files", "extras", "tflite"},
    # Evaluation runs models, and does so through the same predictor as inference: a second way
    # from image to landmarks would be a second place to get the crop wrong.
    "evaluation": {
        *("geometry", "markup", "metrics", "models", "data", "inference", "files"),
        "argument_help",
    },
}
BELOW["training"] = {*BELOW}
# Experiments train and measure, and export what they compare.
BELOW["paper"] = {*BELOW, "mobile_export"}
BELOW["cli"] = {*BELOW, "mobile_export"}
BELOW["mobile_export"] = {*BELOW} - {"cli", "paper", "mobile_export"}

WITHOUT_TENSORFLOW = (
    "geometry",
    "markup",
    "layers",
    "models",
    "losses",
    "metrics",
    "callbacks",
    "macc",
    "training",
    "evaluation",
)
EAGER = ("geometry", "markup", "layers", "models", "losses", "metrics", "callbacks")

BLOCK = """
import importlib, os, sys
os.environ["KERAS_BACKEND"] = "jax"

class NoTensorFlow:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"tensorflow", "tf_keras", "tensorflow_model_optimization"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NoTensorFlow())
"""


def run(code: str, **environment: str) -> str:
    """Runs a program in a new interpreter and returns what it printed last."""
    root = Path(__file__).resolve().parents[1]
    variables = {**os.environ, "PYTHONPATH": str(root), **environment}
    done = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def imported(path: Path) -> set[str]:
    """Full names of all modules that a file imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported_at_module_level(path: Path) -> set[str]:
    """The same for statements that run when the file is imported."""
    names = set()
    waiting = list(ast.parse(path.read_text(encoding="utf-8")).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module))
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting += list(ast.iter_child_nodes(node))
    return names


def room_of(name: str) -> str | None:
    """The room that a full module name belongs to, or None if it is not of this project."""
    parts = name.split(".")
    if parts[0] == "mobile_export":
        return "mobile_export"
    return parts[1] if parts[0] == "tfalign" and len(parts) > 1 else None


def files_of(room: str, repository: Path) -> list[Path]:
    if room == "mobile_export":
        return sorted((repository / "mobile_export").rglob("*.py"))
    file = repository / "tfalign" / f"{room}.py"
    return [file] if file.exists() else sorted((repository / "tfalign" / room).rglob("*.py"))


def test_layers_have_an_order():
    order: list[str] = []
    while len(order) < len(BELOW):
        ready = [r for r, below in BELOW.items() if r not in order and below <= set(order)]
        assert ready, f"a circle among {sorted(set(BELOW) - set(order))}"
        order += ready


def modules_of(repository: Path) -> dict[str, Path]:
    """Every module of the project by its full name; a package by that of its folder."""
    files = [
        *(repository / "tfalign").rglob("*.py"),
        *(repository / "mobile_export").rglob("*.py"),
        *repository.glob("*.py"),
    ]
    recipes = {path.stem: path for path in (repository / "recipes").glob("*.py")}
    named = {path.relative_to(repository).with_suffix(""): path for path in files}
    return recipes | {
        ".".join(name.parts[:-1] if name.name == "__init__" else name.parts): path
        for name, path in named.items()
    }


def imports_between(modules: dict[str, Path]) -> dict[str, set[str]]:
    """For each module those that it imports anywhere; what only type checkers read is left out.

    ``from a.b import c`` means the module ``a.b.c`` where there is one, else ``a.b``.
    """
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
        found = graph[module] = set()
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found |= {
                    full if (full := f"{node.module}.{alias.name}") in modules else str(node.module)
                    for alias in node.names
                }
            elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                waiting += node.orelse
            else:
                waiting += list(ast.iter_child_nodes(node))
        found &= set(modules)
    return graph


def test_layers_no_circle_between_modules(repository):
    graph = imports_between(modules_of(repository))
    # What no remaining module waits for is taken away until nothing changes: circles are left.
    # The package itself imports its rooms to register their classes, and none of them needs that.
    graph["tfalign"] = set()
    while free := {name for name, below in graph.items() if not below & set(graph) - {name}}:
        graph = {name: below for name, below in graph.items() if name not in free}
    assert not graph, f"these import each other, or wait for such: {sorted(graph)}"


@pytest.mark.parametrize("room", BELOW)
def test_layers_imports_run_downwards_only(room, repository):
    wrong = [
        f"{path.relative_to(repository)} imports {name}"
        for path in files_of(room, repository)
        for name in imported(path)
        if (other := room_of(name)) is not None and other != room and other not in BELOW[room]
    ]
    assert not wrong, f"{room} may import {sorted(BELOW[room])} only: {wrong}"


def test_layers_every_room_has_its_place(repository):
    entries = (repository / "tfalign").iterdir()
    rooms = {p.stem for p in entries if p.suffix == ".py" or any(p.rglob("*.py"))}
    assert rooms - {"__init__", "__main__", "__pycache__"} <= set(BELOW)


def test_layers_tensorflow_is_imported_in_functions_only(repository):
    wrong = [
        str(path.relative_to(repository))
        for path in sorted((repository / "tfalign").rglob("*.py"))
        if {name.partition(".")[0] for name in imported_at_module_level(path)} & {"tensorflow"}
    ]
    assert not wrong, "these files need TensorFlow as soon as they are imported"


@pytest.mark.parametrize("room", EAGER)
def test_layers_eager_rooms_import_nothing_heavy(room, repository):
    heavy = {"pandas", "matplotlib", "cv2", "scipy", "h5py", "sklearn", "tensorflow", "jax"}
    wrong = {
        str(path.relative_to(repository)): found
        for path in files_of(room, repository)
        if (found := {n.partition(".")[0] for n in imported_at_module_level(path)} & heavy)
    }
    assert not wrong


@pytest.mark.slow
@pytest.mark.jax
def test_imports_on_jax_without_tensorflow():
    rooms = ", ".join(f"tfalign.{room}" for room in WITHOUT_TENSORFLOW)
    code = BLOCK + (
        f"import {rooms}\n"
        "model = tfalign.models.GRegLRef(num_landmarks=5, input_shape=(32, 32, 3), width=0.125)\n"
        "import numpy as np\n"
        "points = model(np.zeros((1, 32, 32, 3), 'uint8'))\n"
        "print(tuple(points.shape), 'tensorflow' in sys.modules)\n"
    )
    assert run(code) == "(1, 5, 2) False"


@pytest.mark.slow
def test_lazy_rooms_are_listed_and_not_loaded():
    code = (
        "import sys, tfalign\n"
        "lazy = {'data', 'evaluation', 'training', 'macc', 'inference'}\n"
        "loaded = {name for name in lazy if f'tfalign.{name}' in sys.modules}\n"
        "listed = lazy <= set(dir(tfalign))\n"
        "print(loaded or 'none', listed, tfalign.macc.__name__)\n"
    )
    assert run(code) == "none True tfalign.macc"


def test_unknown_attribute():
    import tfalign

    with pytest.raises(AttributeError, match="no attribute 'geometri'"):
        tfalign.geometri  # noqa: B018


@pytest.mark.slow
def test_import_costs_little_over_keras():
    # Processor time: unlike the wall clock it does not count what else the machine does. On an
    # idle machine the two are equal, as an import waits for nothing but the disk.
    code = (
        "import keras, time\n"
        "start = time.process_time()\n"
        "import tfalign\n"
        "print(time.process_time() - start)\n"
    )
    seconds = statistics.median(float(run(code)) for _ in range(3))
    assert seconds < 0.3, f"import tfalign takes {seconds:.2f} s over import keras"
