"""What ``quant-pipeline export`` does and says.

Which rows of which tables are written belongs to ``history.export``; here it is read which slots are meant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from quant_pipeline.automation.slots import parse_slot
from quant_pipeline.errors import UsageError
from quant_pipeline.history.export import SCHEMAS, Span, export
from quant_pipeline.history.store import History
from quant_pipeline.settings import Settings


def write_export(
    settings: Settings,
    target: Path,
    say: Callable[[str], None],
    *,
    span: Span,
    wanted: Sequence[str],
    overwrite: bool,
) -> None:
    """Export the published history of a home and say what is in each folder."""
    published = History(settings.home).published
    made = export(
        published,
        target.expanduser().absolute(),
        span=span,
        wanted=wanted,
        overwrite=overwrite,
        progress=lambda table: say(f"Writing {table}"),
    )
    for schema in SCHEMAS:
        tables = [table for table in made.tables if table.table.startswith(f"{schema}.")]
        if tables:
            rows, size = (sum(getattr(table, name) for table in tables) for name in ("rows", "bytes"))
            say(f"{schema:<8} {len(tables):>3} tables {rows:>11,} rows {size / 1e6:>9,.1f} MB")
    say(f"Slots {made.first_slot} to {made.last_slot} in {target}; manifest.json says what each file holds.")


def read_span(slots: str | None, since: str | None) -> Span:
    """The span that ``--slots FROM..TO`` or ``--since KEY`` means; either end of the first may be left open."""
    if slots is None:
        return Span(since and parse_slot(since).key)
    first, dots, last = slots.partition("..")
    if not dots or since is not None:
        raise UsageError(f"{slots!r} is no span of slots; write FROM..TO, or --since KEY alone.")
    span = Span((first and parse_slot(first).key) or None, (last and parse_slot(last).key) or None)
    if span.first and span.last and span.first > span.last:
        raise UsageError(f"The span {slots} ends before it begins; write the earlier slot first.")
    return span
