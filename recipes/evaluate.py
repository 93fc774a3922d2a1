"""Measures a model on a data set and writes metrics, pictures and a report.

    python recipes/evaluate.py --model runs/300w/model.keras \\
        --dataset 300w --data DIR --split helen/testset --out runs/300w/helen
    python recipes/evaluate.py --model build/model.tflite \\
        --dataset wflw --data DIR --split test --box file --out runs/wflw/int8

The program is ``tfalign/cli/evaluate.py``,
which an installed tfalign runs as ``tfalign evaluate``. ``--help`` explains the options.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from tfalign.cli.evaluate import options, run
from tfalign.cli.program import run_recipe


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    return run(options("python recipes/evaluate.py").parse_args(argv))


if __name__ == "__main__":
    sys.exit(run_recipe(main))
