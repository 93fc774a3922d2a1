"""How the programs of this package end: as ``tfalign`` does, see its ``--help``."""

from __future__ import annotations

import sys
from collections.abc import Callable

DONE, DIFFERS, WRONG, INTERRUPTED = 0, 1, 2, 130
"""Done; done, but a check found a difference; a user's mistake; Ctrl-C."""
MISTAKES = (ValueError, OSError, ImportError)
"""What a user can mend: told in one line. Anything else is a fault of ours."""


def exit_status(work: Callable[[], int]) -> int:
    """Returns the status of ``work``, or the one of the mistake or Ctrl-C that ended it."""
    try:
        return work()
    except MISTAKES as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        print("\ninterrupted: what was finished is kept", file=sys.stderr)
        return INTERRUPTED
