"""Trains a model on 300-W (68 points) and measures it on faces that it was not trained on.

    python recipes/train_300w.py --data DIR --out runs/300w

The program is ``tfalign/cli/train_300w.py``,
which an installed tfalign runs as ``tfalign train 300w``. ``--help`` explains the options.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from tfalign.cli.program import run_recipe
from tfalign.cli.train_300w import options, read_faces, run
from tfalign.training import command_line

__all__ = ["main", "options", "read_faces", "run"]


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    return run(command_line.parse(options("python recipes/train_300w.py"), argv))


if __name__ == "__main__":
    sys.exit(run_recipe(main))
