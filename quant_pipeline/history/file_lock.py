"""Turns: one process or thread at a time, by ``flock`` on a side file that stays empty.

The kernel lets go of the lock when its holder ends, however it ends. ``working_file`` and ``journal_tables`` use this,
and ``act`` while it sends.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quant_pipeline.errors import HistoryError

POLL_SECONDS = 0.002


@contextmanager
def locked(path: Path, wait_seconds: float, subject: str) -> Iterator[None]:
    """Hold the lock on ``path`` for the block.

    Raises ``HistoryError`` that begins with ``subject`` when it cannot be had within ``wait_seconds``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait_seconds
    with path.open("a") as file:
        while not _taken(file.fileno()):
            if time.monotonic() >= deadline:
                raise HistoryError(
                    f"{subject} by another process of the pipeline for more than {wait_seconds:g} s; wait until it is "
                    "done, or end it if it hangs, and run the step again."
                )
            time.sleep(POLL_SECONDS)
        yield


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
