"""Measures how errors grow where face boxes are wrong: Tables 1 and 2 of TSR (CVPR 2017).

    python recipes/robustness.py --model runs/a/model.keras runs/b/model.keras \\
        --dataset 300w --data DIR --split helen/testset --out runs/robustness

The program is ``tfalign/cli/robustness.py``,
which an installed tfalign runs as ``tfalign robustness``. ``--help`` explains the options.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from tfalign.cli.program import run_recipe
from tfalign.cli.robustness import options, run


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    return run(options("python recipes/robustness.py").parse_args(argv))


if __name__ == "__main__":
    sys.exit(run_recipe(main))
