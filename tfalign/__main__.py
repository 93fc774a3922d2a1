"""``python -m tfalign`` is the command ``tfalign``."""

import sys

from tfalign.cli import main

if __name__ == "__main__":
    sys.exit(main())
