"""``tfalign train 300w`` as a program of its own; --help explains the options.

python recipes/train_300w.py --data DIR --out runs/300w
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from tfalign.cli.program import run_recipe
from tfalign.cli.train import options, run


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    return run(options("python recipes/train_300w.py", "300w").parse_args(argv))


if __name__ == "__main__":
    sys.exit(run_recipe(main))
