"""``quant-pipeline report``: builds the metrics, writes the tear sheet and prints its headline figures.

The order of these steps and what is said of them belong here; the metrics are ``metrics.build``'s business, the page is
``metrics.tear_sheet``'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from rich.table import Table
from rich.text import Text

from quant_pipeline.cli.panels import console
from quant_pipeline.history.journal_reading import refuse_lost_journal
from quant_pipeline.history.working_file import WorkingFile
from quant_pipeline.metrics.figures import MISSING
from quant_pipeline.metrics.tear_sheet import UNREALISED, Headline, Tile, headlines, refuse_unwritable, write_tear_sheet
from quant_pipeline.settings import Settings

PAGE = "report.html"
PAIRS_A_LINE = 3


def report_performance(settings: Settings, out: Path | None, say: Callable[[str], None], *, build: bool) -> Path:
    """Write the tear sheet of the published history, after building its metrics, and print the headline figures.

    Without ``out`` the page is ``report.html`` in the home. Raises ``HistoryError`` when nothing is recorded and
    ``MetricsError`` when the metrics cannot be built, and before that ``UsageError`` when the page cannot be written;
    the page of before stays then. An order journal that is gone is a ``HistoryError`` once the page is written: the
    history has a copy of it as of the last slot, which can be told of.
    """
    page = (out or settings.home / PAGE).expanduser().absolute()
    if out is not None or settings.home.is_dir():
        refuse_unwritable(page)
    if build:
        with WorkingFile(settings.home).reading():
            pass  # where nothing is recorded, nothing need be announced
        say("Building the metrics with dbt, which takes about ten seconds")
        from quant_pipeline.metrics.build import build_metrics

        started = time.monotonic()
        built = build_metrics(settings)
        say(f"Built {len(built.rows)} tables and views in {time.monotonic() - started:.1f} s")
        for warning in built.warnings:
            say(f"A test of the metrics warns: {warning}")
    history = settings.home / "history.duckdb"
    write_tear_sheet(history, page)
    for headline in headlines(history):
        _print(headline)
    say(f"The tear sheet is {page}; open it with a browser, it needs no network.")
    refuse_lost_journal(settings.home)
    return page


def _print(headline: Headline) -> None:
    shown = console()
    shown.print(f"\nAccount {headline.account}, {headline.period}", style="bold", highlight=False)
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(PAIRS_A_LINE):
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, justify="right")
    for first in range(0, len(headline.tiles), PAIRS_A_LINE):
        tiles = headline.tiles[first : first + PAIRS_A_LINE]
        table.add_row(*(text for tile in tiles for text in _pair(tile)))
    shown.print(table)
    if any(tile.label == UNREALISED and tile.value != MISSING for tile in headline.tiles):
        shown.print(Text("Net profit is after commission, unrealised P&L before it.", style="dim"))
    for warning in headline.warnings:
        shown.print(Text(f"{warning}.", style="yellow"))
    shown.print()


def _pair(tile: Tile) -> tuple[Text, Text]:
    return Text(tile.label, style="dim"), Text(tile.value, style="dim" if tile.faint else "")
