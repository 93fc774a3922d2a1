"""Trains a model on WFLW (98 points) and measures it on WFLW's test faces.

    python recipes/train_wflw.py --data DIR --out runs/wflw
    python recipes/train_wflw.py --out runs/synthetic          # renders synthetic faces

The program is ``tfalign/cli/train_wflw.py``,
which an installed tfalign runs as ``tfalign train wflw``. ``--help`` explains the options.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from tfalign.cli.program import run_recipe
from tfalign.cli.train_wflw import options, run
from tfalign.training import command_line


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    return run(command_line.parse(options("python recipes/train_wflw.py"), argv))


if __name__ == "__main__":
    sys.exit(run_recipe(main))
