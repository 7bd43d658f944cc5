"""The note a gateway leaves in its home, ``gateway.json``, by which other processes find it.

``serve`` writes it and takes it away, ``embedded`` reads it. It stands apart from both because whoever only asks
whether one is there should not have to load it.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class GatewayNote:
    """What ``gateway.json`` says about the gateway that wrote it."""

    pid: int
    port: int
    account: str
    market_name: str
    market_identity: str
    options: dict[str, Any]
    fingerprint: list[list[str | int]]
    started: str
    clock_started: str
    speed: float

    @classmethod
    def read(cls, home: Path) -> GatewayNote | None:
        """The note in a home, or None where there is none that can be read."""
        try:
            values = json.loads(note_path(home).read_text(encoding="utf-8"))
            return cls(**values)
        except (OSError, ValueError, TypeError):
            return None

    def write(self, home: Path) -> None:
        """Put the note there whole, so that no reader sees half of it."""
        path = note_path(home)
        draft = path.with_name(f".gateway.{os.getpid()}.json")
        draft.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        draft.replace(path)

    def remove(self, home: Path) -> None:
        """Take the note away if it is still this gateway's."""
        current = GatewayNote.read(home)
        if current is not None and current.pid == self.pid:
            note_path(home).unlink(missing_ok=True)


def fingerprint(*files: Path | None) -> list[list[str | int]]:
    """What tells whether bars files are the ones a gateway was started with: path, size and time of change."""
    found: list[list[str | int]] = []
    for file in files:
        if file is not None:
            path = file.expanduser().absolute()
            stat = path.stat() if path.exists() else None
            found.append([str(path), stat.st_size if stat else -1, stat.st_mtime_ns if stat else -1])
    return found


def note_path(home: Path) -> Path:
    """Where a gateway leaves its note."""
    return home / "gateway.json"
