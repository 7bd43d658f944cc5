"""A history and the tear sheet that was made of it, read back for tests: its tiles, sections and rows."""

from __future__ import annotations

import re
from functools import cache
from html import unescape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from quant_pipeline.metrics.tear_sheet import write_tear_sheet
from quant_pipeline_tests.metrics.measured_history import Scenario, write_history

TILE = re.compile(r'<dt>(.*?)</dt><dd class="value[^"]*">(.*?)</dd><dd class="note">(.*?)</dd>')
ROW = re.compile(r"<tr>(<td.*?)</tr>")
CELL = re.compile(r"<td[^>]*>(.*?)</td>")
NORMAL = Scenario(sessions=30, trades_a_session=4)


class Sheet:
    """A history and the page that was made of it."""

    def __init__(self, history: Path, page: Path) -> None:
        self.history = history
        self.html = page.read_text(encoding="utf-8")
        self.tiles = {
            unescape(label): (unescape(value), unescape(note)) for label, value, note in TILE.findall(self.html)
        }

    def sql(self, query: str) -> list[dict[str, Any]]:
        with duckdb.connect(str(self.history), read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            result = connection.execute(query)
            names = [column[0] for column in result.description or ()]
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def section(self, title: str) -> str:
        """The part of the page under a heading, up to the next one."""
        return self.html.partition(f"<h3>{title}</h3>")[2].partition("<h3>")[0]

    def rows(self, title: str) -> list[list[str]]:
        return [[unescape(cell) for cell in CELL.findall(row)] for row in ROW.findall(self.section(title))]


def made_sheet(folder: Path, *scenarios: Scenario, change: str = "") -> Sheet:
    """Write a history of some scenarios into a folder, change it with SQL, and make the page of it."""
    history = folder / "any name.duckdb"
    history.write_bytes(_written(scenarios))
    if change:
        with duckdb.connect(str(history)) as connection:
            connection.execute(change)
    return Sheet(history, write_tear_sheet(history, folder / "page.html"))


@cache
def _written(scenarios: tuple[Scenario, ...]) -> bytes:
    """The history of some scenarios, which many tests begin with."""
    with TemporaryDirectory() as folder:
        return write_history(Path(folder) / "history.duckdb", *scenarios).read_bytes()
