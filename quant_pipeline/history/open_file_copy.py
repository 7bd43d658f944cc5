"""Copying a file that is held open by its descriptor, to publish it, to build metrics on it or to write it anew.

What is copied is hundreds of megabytes after a year, several times a day: where the system can, it copies them without
handing them to this process, which takes a quarter of the time.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

CHUNK_BYTES = 8 * 1024 * 1024


def copy_open_file(descriptor: int, target: Path, *, durable: bool = False) -> None:
    """Write all of an open file to ``target``; ``durable``: it is on the disk when this returns. Raises ``OSError``."""
    with target.open("wb") as copy:
        if sys.platform == "linux":
            copied = 0
            while sent := os.sendfile(copy.fileno(), descriptor, copied, CHUNK_BYTES):
                copied += sent
        else:
            with os.fdopen(descriptor, "rb", closefd=False) as source:
                shutil.copyfileobj(source, copy, CHUNK_BYTES)
        if durable:
            os.fsync(copy.fileno())
