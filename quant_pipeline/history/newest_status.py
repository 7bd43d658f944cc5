"""The monitoring panel as it was recorded last, read at once.

For ``status`` when there is no broker to ask: like ``order_chain`` it loads DuckDB and nothing else that takes a while.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quant_pipeline.history.rows import one, select
from quant_pipeline.history.working_file import WorkingFile


def newest_status(home: Path) -> tuple[str, dict[str, Any]] | None:
    """Slot and row of the ``portfolio_status`` that was made last, or None when none was.

    What is missing in the row is None. Raises ``HistoryError`` when nothing at all is recorded, or it cannot be read.
    """
    with WorkingFile(home).reading() as connection:
        found = connection.execute(
            "SELECT id, slot FROM lineage.materializations WHERE asset = 'portfolio_status' ORDER BY id DESC LIMIT 1"
        ).fetchone()
        if found is None:
            return None
        status = one(select(connection, "portfolio_status", f"WHERE materialization_id = {found[0]}"))
    return None if status is None else (found[1], status)
