"""Where a damaged frame was changed: a hash says that it was, and other records say in which row.

The best witness is the published copy of the history, a file of its own: where its frame still has the recorded hash,
every changed value is seen beside what it was. Without it, the bars have marks of their own: the hash of each symbol's
settled bars, and for the bar of the day the quote it was made from. A deciding frame is located by deciding it again,
which is for ``decisions``. Whether a frame is damaged is for ``recordings``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa

from quant_pipeline.errors import HistoryError
from quant_pipeline.history.schema import BARS
from quant_pipeline.verification.recordings import Recording, Recordings

KEYS = {BARS: ("symbol", "date"), "fills": ("exec_id",), "executions": ("order_ref",), "working_orders": ("perm_id",)}
"""Asset to the columns that name a row; of the others it is the symbol, where there is one."""
FROM_QUOTES = {"open": "open", "high": "high", "low": "low", "close": "last", "volume": "volume"}
"""Column of the day's bar to the column of its quote."""
NAMED = 3


@dataclass(frozen=True)
class Place:
    """Where a frame was changed: in a sentence, the column if it is one, and what all slots that see it have alike."""

    text: str
    column: str | None
    cause: str


@dataclass
class Witnesses:
    """What can tell of a damaged frame of a home; the published copy is opened when it is first needed."""

    home: Path
    _published: dict[str, Recordings | None] = field(default_factory=dict)

    def place(self, damaged: Recording, recordings: Recordings) -> Place | None:
        """Where a frame that has lost its hash was changed, or None when nothing tells."""
        original = self._original(damaged)
        if original is not None:
            return _changed_values(damaged.asset, original, recordings.table(damaged))
        return _changed_bar(damaged, recordings) if damaged.asset == BARS else None

    def _original(self, damaged: Recording) -> pa.Table | None:
        """The frame as the published copy has it, if it has it as it was recorded."""
        if damaged.slot not in self._published:
            self._published.clear()  # slots are verified one after the other
            self._published[damaged.slot] = self._read(damaged.slot)
        published = self._published[damaged.slot]
        there = published.by_id.get(damaged.id) if published is not None else None
        if published is None or there is None or there.data_hash != damaged.data_hash or not published.is_sound(there):
            return None
        return published.table(there)

    def _read(self, slot: str) -> Recordings | None:
        path = self.home / "history.duckdb"
        if not path.is_file():
            return None
        try:
            with duckdb.connect(path, read_only=True) as connection:
                return Recordings.read(connection, [slot])
        except (duckdb.Error, HistoryError):
            return None  # a copy that cannot be read tells nothing; the damage is told without it


def _changed_values(asset: str, original: pa.Table, stored: pa.Table) -> Place | None:
    if original.num_rows != stored.num_rows:
        return None
    found = [
        (row, name, was, now)
        for name in original.column_names
        if not original[name].equals(stored[name])
        for row, (was, now) in enumerate(zip(original[name].to_pylist(), stored[name].to_pylist(), strict=True))
        if was != now and not (was != was and now != now)
    ]
    if not found:
        return None
    row, name, was, now = found[0]
    key = KEYS.get(asset, ("symbol",) if "symbol" in original.column_names else ())
    of_row = " ".join(str(original[part][row].as_py()) for part in key)
    more = f", and {len(found) - 1} more values differ" if len(found) > 1 else ""
    text = f"{name}{f' of {of_row}' if of_row else ''} is {now} and was recorded as {was}{more}"
    return Place(text, name, f"{asset} {of_row} {name}")


def _changed_bar(damaged: Recording, recordings: Recordings) -> Place | None:
    symbols = recordings.changed_symbols(damaged)
    if symbols:
        first, last = recordings.settled_dates(damaged, symbols[0])
        named = ", ".join(symbols[:NAMED]) + (f" and {len(symbols) - NAMED} more" if len(symbols) > NAMED else "")
        return Place(f"a bar of {named} between {first} and {last} was changed", None, f"bars {named}")
    return _differs_from_quote(damaged, recordings)


def _differs_from_quote(damaged: Recording, recordings: Recordings) -> Place | None:
    """The bar of the day that is not what its quote says. Only a frame that is damaged is looked at like this."""
    read = [recordings.by_id[one] for one in damaged.inputs if one in recordings.by_id]
    quotes = next((one for one in read if one.asset == "quotes" and recordings.is_sound(one)), None)
    if quotes is None:
        return None
    said = {row["symbol"]: row for row in recordings.table(quotes).to_pylist()}
    bars = recordings.table(damaged)
    for bar in bars.filter(bars["partial"]).to_pylist():
        quote = said.get(bar["symbol"], {})
        for name, of_quote in FROM_QUOTES.items():
            if quote.get(of_quote) is not None and bar[name] != quote[of_quote]:
                key = f"{bar['symbol']} {bar['date']}"
                text = f"{name} of {key} is {bar[name]} and its quote said {quote[of_quote]}"
                return Place(text, name, f"bars {key} {name}")
    return None
