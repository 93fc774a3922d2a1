"""``python -m tfalign`` is the command ``tfalign``; it always waits for Keras to be loaded."""

import sys

from tfalign_command import main

if __name__ == "__main__":
    sys.exit(main())
