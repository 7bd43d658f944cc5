"""``quant-pipeline compact``: gives up what the settings no longer keep, writes the history anew, and publishes it.

What goes and what stays is for ``history.retention``, how the file is written anew for ``history.compaction``.
"""

from __future__ import annotations

from collections.abc import Callable

from quant_pipeline.errors import HistoryError
from quant_pipeline.history.order_journal import OrderJournal
from quant_pipeline.history.store import History
from quant_pipeline.settings import Settings


def compact_history(settings: Settings, say: Callable[[str], None]) -> None:
    """Prune by ``retention.keep_sessions`` where it is set, compact, publish, and say what came of it.

    Raises ``HistoryError`` when nothing is recorded or the disk has no room; nothing was changed then.
    """
    history = History(settings.home)
    if not history.recorded_anything():
        raise HistoryError("Nothing is recorded yet; start with quant-pipeline run.")
    keep = settings.retention.keep_sessions
    if keep is not None:
        pruned = history.prune(keep, OrderJournal(settings.home))
        say(
            f"{pruned.versions:,} versions of frames from before {pruned.first_kept} given up, {pruned.rows:,} rows"
            if pruned.versions
            else f"nothing to give up, {keep} sessions are kept"
        )
    done = history.compact()
    history.publish()
    say(f"{history.working} written anew: {_megabytes(done.bytes_before)} before, {_megabytes(done.bytes_after)} now")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
