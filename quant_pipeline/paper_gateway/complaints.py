"""The log of what peers do wrong, which they cannot fill.

A line for every connection that had to be closed is what one wants to read, until somebody opens a thousand of them a
second. Lines come out of an allowance that fills up slowly; what is above it is counted and told with the next line.
Called by ``client_session`` and ``server``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

LINES_AT_ONCE = 100
LINES_PER_SECOND = 1 / 6


class Complaints:
    """A logger for lines whose number others decide about.

    Args:
        log: Where they are written.
        seconds: The machine's clock.
    """

    def __init__(self, log: logging.Logger, seconds: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._seconds = seconds
        self._allowance = float(LINES_AT_ONCE)
        self._at = seconds()
        self._untold = 0

    def warn(self, text: str, *values: object) -> None:
        """Write a warning, or count it where there were too many."""
        self.write(logging.WARNING, text, *values)

    def write(self, level: int, text: str, *values: object, error: Exception | None = None) -> None:
        """Write a line of a level, with a traceback where there is an error, or count it."""
        now = self._seconds()
        self._allowance = min(LINES_AT_ONCE, self._allowance + (now - self._at) * LINES_PER_SECOND)
        self._at = now
        if self._allowance < 1:
            self._untold += 1
            return
        self._allowance -= 1
        if self._untold:
            self._log.warning("%d more lines like the last ones were left out", self._untold)
            self._untold = 0
        self._log.log(level, text, *values, exc_info=error)
