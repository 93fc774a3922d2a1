"""Native objects that two threads, or a forked process, must not share."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class PerThread(Generic[T]):
    """Makes one object for each thread that asks for it, and anew in each forked process.

    OpenCV's detectors and LiteRT's interpreters keep inputs and outputs inside themselves: two
    threads that share one read each other's results. Pickling keeps the way to make the object.

    Args:
        make: Makes an object; picklable if this is to be.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._local = threading.local()

    def get(self) -> T:
        """Returns the calling thread's object."""
        held = getattr(self._local, "held", None)
        if held is None or held[0] != os.getpid():
            held = self._local.held = (os.getpid(), self._make())
        return held[1]

    def __reduce__(self) -> tuple[Any, ...]:
        return PerThread, (self._make,)
