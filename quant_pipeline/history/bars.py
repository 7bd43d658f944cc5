"""Bars stored bitemporally: a row when a bar is new or changed, with the slot and the materialization that saw it.

A bars frame is 25 000 rows of which a slot changes about a hundred. What differs from the newest known is stored; a bar
the broker no longer gives gets a row that says so; and ``bars_frames`` keeps which dates of which symbols a frame
spanned, in what order. From these the frame of any materialization is rebuilt exactly. Accounts never mix: what one
account saw is compared with what the same account saw before. ``store`` calls this within its transactions.

Nine rows in ten are partial bars of sessions long over. A row is ``live`` when it is partial and no final bar of its
date was seen before, so whatever follows a row that is not live is not live either. Hence the newest version of an old
bar is found among the few settled rows, and live rows are read for the sessions a frame holds partial bars of.

All that is old in a frame is seldom different from the frame before, and looking it up would cost more with every
session. So ``bars_frames`` has a hash of each symbol's bars before the first partial one: where it is that of the
newest frame with the symbol, these bars are known and only what follows is compared. In a later session it is another,
but that of the newest frame can be made again, of the bars up to its first partial one and the few older ones that this
frame no longer holds. An account's rows of a symbol are written by frames with that symbol only, which is why that
suffices.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import defaultdict
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from duckdb import DuckDBPyConnection

from quant_pipeline.errors import HistoryError
from quant_pipeline.history.columns import columns_of
from quant_pipeline.history.schema import BARS

HASH_DIGITS = 24
# Hashes are sought in so many materializations back, about six sessions; a symbol without one is compared in full.
LOOK_BACK = 2000

_KEY = ("symbol", "date")
_NEVER = dt.date(9999, 12, 31)
_VALUES = tuple(column for column in columns_of(BARS) if column.name not in _KEY)
_NAMES = ", ".join(column.quoted for column in columns_of(BARS))
_NUMBERS = ("open", "high", "low", "close", "volume")

# What a frame can hold of the bars known up to $id: settled ones anywhere in its span, live ones from its first partial
# bar on. $live_from is given as a value, for then DuckDB skips the blocks of earlier sessions unread.
_KNOWN = """
candidates AS MATERIALIZED (
    SELECT bars.*, extent.place FROM bars JOIN extent USING (symbol)
    WHERE NOT live AND source = $source AND materialization_id <= $id AND date BETWEEN first_date AND last_date
    UNION ALL
    SELECT bars.*, extent.place FROM bars JOIN extent USING (symbol)
    WHERE live AND source = $source AND materialization_id <= $id AND date >= $live_from::DATE
        AND date BETWEEN live_from AND last_date),
newest AS (SELECT symbol, date, max(materialization_id) AS materialization_id FROM candidates GROUP BY symbol, date),
known AS (SELECT candidates.* FROM candidates JOIN newest USING (symbol, date, materialization_id))"""

# What a frame is compared with when it is appended. Planning a query takes longer than reading so little, so these are
# plain and numpy compares.
_SEEN = f"SELECT {_NAMES}, live, gone, materialization_id FROM bars WHERE source = $source"
_SEEN_SINCE = f"{_SEEN} AND date >= $since AND (NOT live OR date >= $live_from)"
_SETTLED_BEFORE = f"{_SEEN} AND NOT live AND date < $since AND list_contains($symbols, symbol)"
_DROPPED = f"""
SELECT symbol, date, gone, {", ".join(_NUMBERS)} FROM bars
WHERE source = $source AND NOT live AND date >= $first AND date < $until AND list_contains($symbols, symbol)
ORDER BY materialization_id
"""

_APPEND_CHANGES = """
INSERT INTO bars BY NAME
SELECT $id AS materialization_id, $slot AS slot, $source AS source, * FROM changes
"""

_APPEND_SPANS = """
INSERT INTO bars_frames BY NAME
SELECT $id AS materialization_id, $source AS source, * FROM spans
"""

_NEWEST_FRAMES = """
SELECT symbol, max_by(
    row(coalesce(settled_hash, ''), first_date, coalesce(live_from, DATE '9999-12-31')), materialization_id)
FROM bars_frames WHERE source = $source AND materialization_id > $after GROUP BY symbol
"""

_FRAME = f"""
WITH extent AS (
    SELECT symbol, place, first_date, last_date, live_from FROM bars_frames WHERE materialization_id = $id),
{_KNOWN}
SELECT {_NAMES} FROM known WHERE NOT gone ORDER BY place, date
"""

_KEPT = f"""
WITH candidates AS MATERIALIZED (
    FROM bars WHERE NOT live AND source = $source AND slot <= $slot
    UNION ALL
    FROM bars WHERE live AND source = $source AND slot <= $slot AND date >= $session::DATE),
newest AS (
    SELECT symbol, date, max_by(materialization_id, (NOT live, slot, materialization_id)) AS materialization_id
    FROM candidates GROUP BY symbol, date)
SELECT {_NAMES} FROM candidates JOIN newest USING (symbol, date, materialization_id)
WHERE NOT gone ORDER BY symbol, date
"""


class _Newest(NamedTuple):
    """What ``bars_frames`` keeps of a symbol in the newest frame with it."""

    settled_hash: str
    first_date: dt.date
    live_from: dt.date


def append(connection: DuckDBPyConnection, table: pa.Table, *, identity: int, slot: str, source: str) -> None:
    """Store what is new in a bars frame, as the materialization ``identity`` of ``source``.

    Raises ``HistoryError`` when the rows are not grouped by symbol with rising dates, the order a frame is rebuilt in.
    """
    starts = _refuse_disorder(table)
    live_from = _first_partial(table)
    spans = _spans(table, starts, live_from)
    values = {"id": identity, "source": source}
    known_to = _known_to(connection, table, spans, live_from, identity, source)
    compared_from = spans["first_date"].to_numpy().copy()
    for place, date in known_to.items():
        compared_from[place] = max(compared_from[place], np.datetime64(date))
    known = _known(connection, spans, compared_from, live_from, source, min([live_from, *known_to.values()]))
    changes = _changes(table, spans, compared_from, known)
    for name, rows, statement, told in (
        ("changes", changes, _APPEND_CHANGES, {**values, "slot": slot}),
        ("spans", spans, _APPEND_SPANS, values),
    ):
        connection.register(name, rows)
        try:
            connection.execute(statement, told)
        finally:
            connection.unregister(name)


def read(connection: DuckDBPyConnection, identity: int) -> pa.Table:
    """The bars of the materialization ``identity``, as they were appended."""
    row = connection.execute(
        "SELECT any_value(source), min(live_from) FROM bars_frames WHERE materialization_id = ?", [identity]
    ).fetchone()
    source, live_from = row or (None, None)
    return connection.execute(
        _FRAME, {"id": identity, "source": source, "live_from": live_from or _NEVER}
    ).to_arrow_table()


def kept(connection: DuckDBPyConnection, *, source: str, slot: str) -> pa.Table:
    """The newest bar of every symbol and date that ``source`` had seen up to and including ``slot``.

    A partial bar counts in its own session only: what never was completed afterwards has to be read again.
    """
    return connection.execute(_KEPT, {"source": source, "slot": slot, "session": slot[:10]}).to_arrow_table()


def spans(table: pa.Table) -> pa.Table:
    """What ``bars_frames`` keeps of each symbol of a frame, in their order, for those who verify one."""
    return _spans(table, _refuse_disorder(table), _first_partial(table))


def _known_to(
    connection: DuckDBPyConnection, table: pa.Table, spans: pa.Table, live_from: dt.date, identity: int, source: str
) -> dict[int, dt.date]:
    """The date before which all bars of a symbol are known, by its place in ``spans``, where a hash tells."""
    rows = connection.execute(_NEWEST_FRAMES, {"source": source, "after": identity - LOOK_BACK}).fetchall()
    frames = {symbol: _Newest(*frame) for symbol, frame in rows}
    known_to: dict[int, dt.date] = {}
    earlier: dict[int, _Newest] = {}
    for place, stock in enumerate(spans.to_pylist()):
        newest = frames.get(stock["symbol"])
        if newest is not None and newest.settled_hash == stock["settled_hash"]:
            known_to[place] = live_from
        elif newest is not None and newest.live_from <= live_from:
            earlier[place] = newest
    return known_to | _known_to_earlier(connection, table, spans, earlier, source)


def _known_to_earlier(
    connection: DuckDBPyConnection, table: pa.Table, spans: pa.Table, earlier: dict[int, _Newest], source: str
) -> dict[int, dt.date]:
    """The same for symbols whose newest frames are of earlier sessions: those that have the hashes of then."""
    stocks, bars, known_to = spans.to_pylist(), _numbers(table), {}
    between = {stocks[place]["symbol"]: (newest.first_date, stocks[place]["first_date"])
               for place, newest in earlier.items()}  # fmt: skip
    dropped = _dropped(connection, between, source)
    for place, (settled_hash, _, live_from) in earlier.items():
        start = stocks[place]["place"] - 1
        own = bars[start : start + stocks[place]["rows"]]
        then = np.vstack([dropped[stocks[place]["symbol"]], own[own[:, 0] < _day(live_from)]])
        if _settled_hash(then, live_from) == settled_hash:
            known_to[place] = live_from
    return known_to


def _dropped(
    connection: DuckDBPyConnection, between: dict[str, tuple[dt.date, dt.date]], source: str
) -> dict[str, np.ndarray]:
    """The known settled bars of each symbol from the first date on and before the second, as ``_numbers`` has them."""
    shortened = {symbol: dates for symbol, dates in between.items() if dates[0] < dates[1]}
    known: dict[str, dict[dt.date, list[float]]] = defaultdict(dict)
    if shortened:
        firsts, untils = zip(*shortened.values(), strict=True)
        sought = {"source": source, "symbols": list(shortened), "first": min(firsts), "until": max(untils)}
        for symbol, date, gone, *numbers in connection.execute(_DROPPED, sought).fetchall():
            known[symbol][date] = [] if gone else [_day(date), *numbers]
    listed = {
        symbol: [known[symbol][date] for date in sorted(known[symbol]) if first <= date < until and known[symbol][date]]
        for symbol, (first, until) in between.items()
    }
    return {symbol: np.array(rows, dtype=float).reshape(-1, len(_NUMBERS) + 1) for symbol, rows in listed.items()}


def _known(
    connection: DuckDBPyConnection, spans: pa.Table, compared_from: np.ndarray, live_from: dt.date, source: str,
    since: dt.date,
) -> pa.Table:  # fmt: skip
    """The newest known bar of every symbol and date that is compared, with its ``key`` and in the order of keys.

    Settled bars count from ``compared_from`` on, live ones from the first partial bar of their symbol on. What is known
    ``since`` then is read of all, what is older of the few symbols that it is compared of.
    """
    sought = {"source": source, "since": since}
    seen = connection.execute(_SEEN_SINCE, {**sought, "live_from": live_from}).to_arrow_table()
    older = spans["symbol"].filter(pa.array(compared_from < np.datetime64(since))).to_pylist()
    if older:
        before = connection.execute(_SETTLED_BEFORE, {**sought, "symbols": older}).to_arrow_table()
        seen = pa.concat_tables([seen, before])
    places = _places(seen["symbol"], spans["symbol"].to_pylist())
    seen, places = seen.filter(pa.array(places >= 0)), places[places >= 0]
    dates, live = seen["date"].to_numpy(), seen["live"].to_numpy(zero_copy_only=False)
    begins = np.where(live, spans["live_from"].fill_null(_NEVER).to_numpy()[places], compared_from[places])
    counts = (begins <= dates) & (dates <= spans["last_date"].to_numpy()[places])
    seen, keys = seen.filter(pa.array(counts)), _keys(places, dates)[counts]
    order = np.lexsort((seen["materialization_id"].to_numpy(), keys))
    newest = order[np.append(keys[order][1:] != keys[order][:-1], True)[: len(order)]]
    return seen.take(pa.array(newest)).append_column("key", pa.array(keys[newest]))


def _changes(table: pa.Table, spans: pa.Table, compared_from: np.ndarray, known: pa.Table) -> pa.Table:
    """The rows to store, by symbol and date: bars that are new or not as they were known, and those gone."""
    places = np.repeat(np.arange(spans.num_rows), spans["rows"].to_numpy())
    dates = table["date"].to_numpy()
    compared = dates >= compared_from[places]
    bars, keys = table.filter(pa.array(compared)), _keys(places, dates)[compared]
    known_keys, gone = known["key"].to_numpy(), known["gone"].to_numpy(zero_copy_only=False)
    at = np.searchsorted(known_keys, keys)
    found = np.append(known_keys, np.iinfo(np.int64).min)[at] == keys
    before = known.take(pa.array(at[found]))
    unsettled, stays = np.ones(len(keys), dtype=bool), found.copy()
    unsettled[found] = before["live"].to_numpy(zero_copy_only=False)
    stays[found] = ~gone[at[found]] & _same(bars.filter(pa.array(found)), before)
    live = bars["partial"].to_numpy(zero_copy_only=False) & unsettled
    new = bars.append_column("live", pa.array(live)).filter(pa.array(~stays))
    lost = known.select(_KEY).filter(pa.array(~gone & ~np.isin(known_keys, keys)))
    return pa.concat_tables(
        [
            new.append_column("gone", pa.repeat(False, new.num_rows)),
            lost.append_column("live", pa.repeat(False, lost.num_rows)).append_column(
                "gone", pa.repeat(True, lost.num_rows)
            ),
        ],
        promote_options="default",
    ).sort_by([(name, "ascending") for name in _KEY])


def _places(symbols: pa.ChunkedArray, ordered: list[str]) -> np.ndarray:
    """Where each symbol stands among ``ordered``; -1 where it does not."""
    place_of = {symbol: place for place, symbol in enumerate(ordered)}
    encoded = symbols.combine_chunks().dictionary_encode()
    places = np.array([place_of.get(symbol, -1) for symbol in encoded.dictionary.to_pylist()], dtype=np.int64)
    return places[encoded.indices.to_numpy()]


def _keys(places: np.ndarray, dates: np.ndarray) -> np.ndarray:
    """One number for a symbol's place and a date, rising with the place and then with the date."""
    return (places << 32) + dates.astype("datetime64[D]").astype(np.int64)


def _same(ours: pa.Table, theirs: pa.Table) -> np.ndarray:
    """Whether the values of two bars are equal, row by row; what is missing in both is."""
    same = np.ones(ours.num_rows, dtype=bool)
    for column in _VALUES:
        left, right = (table[column.name].to_numpy(zero_copy_only=False) for table in (ours, theirs))
        same &= (left == right) | ((left != left) & (right != right))
    return same


def _refuse_disorder(table: pa.Table) -> np.ndarray:
    """Where each symbol's bars begin, when they are in the order a frame is rebuilt in."""
    encoded = table["symbol"].combine_chunks().dictionary_encode()
    symbols, dates = encoded.indices.to_numpy(), table["date"].to_numpy()
    same = symbols[1:] == symbols[:-1]
    starts = np.flatnonzero(np.concatenate(([True], ~same))) if len(symbols) else np.array([], dtype=int)
    if len(starts) != len(encoded.dictionary) or bool((dates[1:][same] <= dates[:-1][same]).any()):
        raise HistoryError(
            "The bars of a frame must be grouped by symbol, oldest first; sort them before storing them."
        )
    return starts


def _spans(table: pa.Table, starts: np.ndarray, live_from: dt.date) -> pa.Table:
    """What ``bars_frames`` keeps of each symbol; the bars of one begin at ``starts``."""
    dates, partial = table["date"].to_numpy(), table["partial"].to_numpy(zero_copy_only=False)
    ends = np.append(starts[1:], len(dates))[: len(starts)]
    begun = np.where(partial, dates, np.datetime64(_NEVER))
    live = np.minimum.reduceat(begun, starts) if len(starts) else begun
    return pa.table({
        "symbol": table["symbol"].take(pa.array(starts)), "place": pa.array(starts + 1, pa.int32()),
        "first_date": pa.array(dates[starts], pa.date32()), "last_date": pa.array(dates[ends - 1], pa.date32()),
        "live_from": pa.array(live, pa.date32(), mask=live == np.datetime64(_NEVER)),
        "rows": pa.array(ends - starts, pa.int32()),
        "settled_hash": pa.array(_settled_hashes(table, starts, ends, live_from), pa.string()),
    })  # fmt: skip


def _settled_hashes(table: pa.Table, starts: np.ndarray, ends: np.ndarray, live_from: dt.date) -> list[str]:
    """A hash of each symbol's bars before ``live_from``, and of that date itself."""
    bars = _numbers(table)
    settled = bars[:, 0] < _day(live_from)
    counts = [int(settled[start:end].sum()) for start, end in zip(starts, ends, strict=True)]
    return [_settled_hash(bars[start : start + count], live_from) for start, count in zip(starts, counts, strict=True)]


def _settled_hash(bars: np.ndarray, live_from: dt.date) -> str:
    digest = hashlib.sha256(live_from.isoformat().encode())
    digest.update(bars.tobytes())
    return digest.hexdigest()[:HASH_DIGITS]


def _numbers(table: pa.Table) -> np.ndarray:
    """A row a bar: the days from 1970 to its date, its prices and its volume."""
    days = table["date"].to_numpy().astype("datetime64[D]").astype(np.int64)
    return np.column_stack([days, *(table[name].to_numpy() for name in _NUMBERS)])


def _day(date: dt.date) -> int:
    return (date - dt.date(1970, 1, 1)).days


def _first_partial(table: pa.Table) -> dt.date:
    dates = table.filter(table["partial"])["date"].to_numpy()
    return dates.min().item() if len(dates) else _NEVER
