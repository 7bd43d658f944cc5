"""What ``quant-pipeline backup`` and ``quant-pipeline restore`` do and say.

What is in a backup, and what may be put where, belongs to ``history.backup`` and ``history.restore``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from quant_pipeline.history.archive import Manifest
from quant_pipeline.history.backup import back_up
from quant_pipeline.history.restore import restore
from quant_pipeline.home import settings_file
from quant_pipeline.settings import Settings


def write_backup(settings: Settings, target: Path | None, say: Callable[[str], None]) -> None:
    """Back the home up and say what is in the file."""
    made = back_up(settings.home, target and target.expanduser().absolute(), settings_file=settings_file(settings.home))
    size = made.path.stat().st_size
    say(f"Backed up {_content(made.manifest)}.")
    say(f"{_shown(size)} in {made.path}; quant-pipeline restore puts it into an empty home.")


def restore_backup(path: Path, home: Path, say: Callable[[str], None]) -> None:
    """Restore a backup into a home and say what came of it."""
    manifest = restore(path.expanduser().absolute(), home)
    say(f"Restored {_content(manifest)}, as of {manifest.made_at}.")
    say(f"It is in {home}; quant-pipeline verify decides its slots again and compares.")


def _content(manifest: Manifest) -> str:
    history, journal = manifest.history, manifest.journal
    upto = f" up to {history['newest_slot']}" if history["slots"] else ""
    more = [file.name for file in manifest.files if file.name.endswith(("book.sqlite", ".toml"))]
    also = f", {' and '.join(more)}" if more else ""
    return f"{history['slots']:,} slots{upto}, {journal['intents']:,} order intents, {journal['fills']:,} fills{also}"


def _shown(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.0f} kB"
