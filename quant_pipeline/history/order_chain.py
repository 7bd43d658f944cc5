"""The chain that leads to one decision: from the orders of a symbol in a slot back to quote, bars and account.

``read_chain`` finds what was asked for, the version of the decision that counts (the one that sent, else the newest),
and reads every link of it from the history and from the order journal, which is the truth about orders. How it looks
is for ``cli.explain``. Only DuckDB and SQLite are loaded here: frames and what checks them take seconds to load, and an
explanation is wanted at once. So rows are plain mappings, instants in them are aware datetimes in UTC, and values stand
in the queries themselves: to bind a parameter DuckDB loads pandas.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from duckdb import DuckDBPyConnection

from quant_pipeline.errors import UsageError
from quant_pipeline.history import journal_reading
from quant_pipeline.history.decided_again import Decision, other_outcome
from quant_pipeline.history.journal_reading import JournaledRows
from quant_pipeline.history.rows import Row, instant, mappings, one, select, text_of
from quant_pipeline.history.schema_version import tables_of
from quant_pipeline.history.working_file import WorkingFile

LEGS = ("entry", "stop", "target", "exit")
# The further down a stage, the more of the chain its newest version leads to; a slot may have ended before the last.
STAGES = ("sized_orders", "scores", "indicators", "quality_filter", "bars", "quotes", "universe")
DECIDED = ("quality_filter", "indicators", "scores", "sized_orders")
"""What a decision made of the observations; all else in its lineage was observed."""
_REFERENCE = re.compile(rf"(\d{{4}}-\d\d-\d\dT\d\d:\d\d):([^:]+)(?::({'|'.join(LEGS)}))?")
_SLOT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")
_NO_SYMBOL = re.compile(r"|.*:.*|\d{4}-\d\d-\d\d.*")
"""What cannot be a stock's symbol: nothing, a part of a reference, a day."""

_MADE_FROM = """
    WITH RECURSIVE led(id) AS (
        SELECT {id}::BIGINT UNION
        SELECT input_materialization_id FROM lineage.inputs JOIN led ON materialization_id = led.id)
    SELECT id FROM led"""

_LED_TO = f"""{_MADE_FROM} UNION SELECT materialization_id FROM lineage.inputs
    JOIN lineage.materializations ON id = materialization_id
    WHERE input_materialization_id = {{id}} AND asset = 'executions'"""

_EXTENT = """
    SELECT source, first_date::VARCHAR AS first_date, last_date::VARCHAR AS last_date,
        coalesce(live_from, DATE '9999-12-31')::VARCHAR AS live_from
    FROM bars_frames WHERE materialization_id = {id} AND symbol = {symbol}"""

# A frame holds the newest bar of each date in its span, of partial bars only those of its own session (history.bars).
# Two readings, since blocks of partial bars of earlier sessions are skipped unread when the date is given as a value.
_BARS = """
    WITH candidates AS (
        FROM bars WHERE symbol = {symbol} AND source = {source} AND materialization_id <= {id} AND NOT live
            AND date BETWEEN DATE '{first_date}' AND DATE '{last_date}'
        UNION ALL
        FROM bars WHERE symbol = {symbol} AND source = {source} AND materialization_id <= {id} AND live
            AND date BETWEEN DATE '{live_from}' AND DATE '{last_date}'),
    newest AS (
        SELECT date, max_by(struct_pack(open, high, low, close, volume, partial, gone, slot), materialization_id) AS bar
        FROM candidates GROUP BY date)
    SELECT count(*)::INTEGER AS bars, min(date)::VARCHAR AS first, max(date)::VARCHAR AS last,
        max(date) FILTER (NOT bar.partial)::VARCHAR AS last_complete, max_by(bar, date) AS last_bar
    FROM newest WHERE NOT bar.gone"""

# The quotes of a slot are read after its positions.
_LAST_PRICE = """
    SELECT price, slot FROM (
        SELECT last AS price, slot, materialization_id FROM quotes WHERE symbol = {symbol}
        UNION ALL
        SELECT market_price, slot, materialization_id FROM portfolio WHERE symbol = {symbol})
    WHERE price IS NOT NULL ORDER BY slot DESC, materialization_id DESC LIMIT 1"""


class Asked(NamedTuple):
    """What is to be explained; without a slot, the symbol's newest order. ``leg`` may be None."""

    symbol: str
    slot: str | None
    leg: str | None = None


@dataclass(frozen=True)
class Version:
    """One version of a frame in the chain. ``pruned`` versions are remembered by their lineage only."""

    asset: str
    materialization_id: int
    data_hash: str
    rows: int
    finished_at: dt.datetime
    run_id: str
    code_version: str
    settings_hash: str
    pruned: bool


@dataclass(frozen=True)
class OrderChain:
    """Everything recorded about one symbol in one slot; what was not recorded, or does not apply, is None or empty.

    ``decided`` is the version of the decision that is explained and ``sent`` says whether orders were journaled for
    it. ``legs`` are the journal's intents, each with its ``events``; ``last_price`` is the newest price recorded of
    the symbol, with its slot; ``notes`` are sentences a reader must know. ``newest`` is the chain of the newest slot
    that decided on the symbol, where that was not asked for by name and is another than the one of its newest order.
    """

    symbol: str
    slot: str
    order_ref: str
    leg: str | None
    decided: Version
    sent: bool
    versions: tuple[Version, ...]
    settings: Row | None
    universe: Row | None = None
    quote: Row | None = None
    bars: Row | None = None
    account: Row | None = None
    position: Row | None = None
    quality: Row | None = None
    score: Row | None = None
    sized_order: Row | None = None
    legs: tuple[Row, ...] = ()
    executions: tuple[Row, ...] = ()
    fills: tuple[Row, ...] = ()
    trade: Row | None = None
    trades_measured: bool = False
    last_price: Row | None = None
    notes: tuple[str, ...] = ()
    newest: OrderChain | None = None


def parse_asked(text: str, slot: str | None = None) -> Asked:
    """Read a leg's reference, a bracket's reference or a symbol.

    Raises ``UsageError`` when it is none of these, or names another slot than ``slot``.
    """
    text = text.strip()
    if slot is not None and not _SLOT.fullmatch(slot):
        raise UsageError(f"{slot!r} is not a slot; write its start in exchange time, like 2026-11-20T10:15.")
    reference = _REFERENCE.fullmatch(text)
    if reference is None:
        if _NO_SYMBOL.fullmatch(text):
            raise UsageError(
                f"{text!r} is no order reference and no symbol; write one like 2026-11-20T10:15:AAPL, with "
                ":entry, :stop, :target or :exit for one leg, or AAPL."
            )
        return Asked(text.upper(), slot)
    named, symbol, leg = reference.groups()
    if slot not in (None, named):
        raise UsageError(f"The reference {text} is of slot {named}, not of {slot}; leave --slot out.")
    return Asked(symbol.upper(), named, leg)


def read_chain(home: Path, asked: Asked) -> OrderChain:
    """Read the chain of a symbol in a slot; without a slot, that of its newest order, else of its newest decision.

    Where the journal is gone, its copy in the history says what the orders were. Raises ``UsageError`` when slot or
    symbol are not recorded, with the nearest that are, and ``HistoryError`` when the history or the journal cannot be
    read.
    """
    with (
        WorkingFile(home).reading() as connection,
        journal_reading.reading_or_copy(home, connection) as journal,
    ):
        if asked.slot is not None:
            _refuse_unknown(connection, asked.slot, asked.symbol)
            return _chain(connection, journal, asked.slot, asked)
        newest = _newest_slot(connection, asked.symbol)
        ordered = _newest_ordered_slot(connection, journal, asked.symbol)
        if ordered in (None, newest):
            return _chain(connection, journal, newest, asked)
        chain = _chain(connection, journal, ordered, asked)
        return replace(chain, newest=_chain(connection, journal, newest, asked))


def _chain(connection: DuckDBPyConnection, journal: JournaledRows, slot: str, asked: Asked) -> OrderChain:
    symbol = asked.symbol
    legs = journal.rows("intents", "WHERE slot = ? AND symbol = ? ORDER BY rowid", (slot, symbol))
    decided = _version_that_counts(connection, journal, slot, legs)
    led_to = _LED_TO.format(id=decided.materialization_id)
    versions = _materializations(connection, f"WHERE id IN ({led_to}) ORDER BY id")
    of = {version.asset: version.materialization_id for version in versions}
    refs = [leg["order_ref"] for leg in legs]
    marks = f"({', '.join('?' * len(refs)) or 'NULL'})"
    events = journal.rows("events", f"WHERE order_ref IN {marks} ORDER BY id", refs)
    # The copy of the journal has its rows as they changed last, the log has them as they were planned.
    planned = {event["order_ref"]: event["id"] for event in reversed(events)}
    legs.sort(key=lambda leg: planned.get(leg["order_ref"], 0))
    measured, trade = _trade(connection, slot, symbol, legs)

    def row(asset: str) -> Row | None:
        return one(_rows_of(connection, asset, of.get(asset), symbol))

    return OrderChain(
        symbol=symbol,
        slot=slot,
        order_ref=f"{slot}:{symbol}",
        leg=asked.leg,
        decided=decided,
        sent=bool(legs),
        versions=tuple(versions),
        settings=_settings(connection, decided.settings_hash),
        universe=row("universe"),
        quote=row("quotes"),
        bars=_bars(connection, of.get("bars"), symbol),
        account=one(_rows_of(connection, "account", of.get("account"))),
        position=row("portfolio"),
        quality=row("quality_filter"),
        score=row("scores"),
        sized_order=row("sized_orders"),
        legs=tuple({**leg, "events": [one for one in events if one["order_ref"] == leg["order_ref"]]} for leg in legs),
        executions=tuple(_rows_of(connection, "executions", of.get("executions"), symbol)),
        fills=tuple(journal.rows("fills", f"WHERE order_ref IN {marks} ORDER BY filled_at, exec_id", refs)),
        trade=trade,
        trades_measured=measured,
        last_price=one(mappings(connection, _LAST_PRICE.format(symbol=text_of(symbol)))),
        notes=tuple(_notes(connection, journal, slot, symbol, decided, legs)),
    )


# ---- which slot and which version -----------------------------------------------------------------------------------


def _newest_slot(connection: DuckDBPyConnection, symbol: str) -> str:
    for asset in ("quality_filter", "universe"):
        newest = connection.execute(f"SELECT max(slot) FROM {asset} WHERE symbol = {text_of(symbol)}").fetchone()
        if newest and newest[0]:
            return newest[0]
    known = _symbols(connection, "SELECT max(slot) FROM universe")
    raise UsageError(f"{symbol} was in the universe of no recorded slot{_nearest(symbol, known)}.")


def _newest_ordered_slot(connection: DuckDBPyConnection, journal: JournaledRows, symbol: str) -> str | None:
    """The newest recorded slot in which an order for the symbol went out; what was only planned is none."""
    sent = journal.rows("intents", "WHERE symbol = ? AND state NOT IN ('planned', 'refused')", (symbol,))
    slots = ", ".join(text_of(slot) for slot in sorted({intent["slot"] for intent in sent}))
    newest = connection.execute(f"SELECT max(slot) FROM lineage.materializations WHERE slot IN ({slots or 'NULL'})")
    [slot] = newest.fetchone() or [None]
    return slot


def _refuse_unknown(connection: DuckDBPyConnection, slot: str, symbol: str) -> None:
    before, after = connection.execute(
        f"SELECT max(slot) FILTER (slot <= {text_of(slot)}), min(slot) FILTER (slot > {text_of(slot)}) "
        "FROM lineage.materializations"
    ).fetchall()[0]
    if before != slot:
        near = " and ".join(filter(None, (before, after)))
        raise UsageError(f"Nothing is recorded of slot {slot}; the nearest recorded: {near or 'none'}.")
    known = _symbols(connection, text_of(slot))
    if known and symbol not in known:
        raise UsageError(
            f"{symbol} was not in the universe of slot {slot}, so nothing was decided for it{_nearest(symbol, known)}."
        )


def _symbols(connection: DuckDBPyConnection, slot: str) -> list[str]:
    rows = connection.execute(f"SELECT DISTINCT symbol FROM universe WHERE slot = ({slot}) ORDER BY symbol").fetchall()
    return [symbol for (symbol,) in rows]


def _nearest(symbol: str, known: Sequence[str]) -> str:
    near = get_close_matches(symbol, known, n=3, cutoff=0.5)
    return f"; near it are {', '.join(near)}" if near else ""


def _version_that_counts(
    connection: DuckDBPyConnection, journal: JournaledRows, slot: str, legs: Sequence[Row]
) -> Version:
    """The one the symbol's orders were sent for, else the one others of the slot were, else the newest."""
    senders = legs or journal.rows("intents", "WHERE slot = ? ORDER BY materialization_id DESC LIMIT 1", (slot,))
    if senders:
        found = _materializations(connection, f"WHERE id = {senders[0]['materialization_id']:d}")
        if found:
            return found[0]
    stages = ", ".join(f"'{asset}'" for asset in STAGES)
    furthest = f"list_position([{stages}], asset) NULLS LAST, id DESC"
    return _materializations(connection, f"WHERE slot = {text_of(slot)} ORDER BY {furthest} LIMIT 1")[0]


def _materializations(connection: DuckDBPyConnection, which: str) -> list[Version]:
    known = ("lineage", "pruned") in tables_of(connection)
    pruned = "id IN (SELECT materialization_id FROM lineage.pruned)" if known else "false"
    rows = mappings(
        connection,
        "SELECT asset, id AS materialization_id, data_hash, rows, epoch_us(finished_at) AS finished_at, run_id, "
        f"code_version, settings_hash, {pruned} AS pruned FROM lineage.materializations {which}",
    )
    return [Version(**{**row, "finished_at": instant(row["finished_at"])}) for row in rows]


# ---- what a reader must know beside it ------------------------------------------------------------------------------


def _notes(
    connection: DuckDBPyConnection,
    journal: JournaledRows,
    slot: str,
    symbol: str,
    decided: Version,
    legs: Sequence[Row],
) -> list[str]:
    notes = []
    if legs and legs[0]["materialization_id"] != decided.materialization_id:
        notes.append("The decision its orders were sent for is not in the history; shown is the newest of the slot.")
    if decided.pruned:
        notes.append("The rows of this decision were given up to save space; its lineage and its orders are kept.")
    again = _decided_again(connection, decided, slot, symbol)
    if again:
        notes.append(again)
    if not legs:
        last = journal.rows("intents", "WHERE symbol = ? AND leg = 'entry' ORDER BY slot DESC LIMIT 1", (symbol,))
        if last and last[0]["slot"] != slot:
            notes.append(f"The last order sent for {symbol} was {last[0]['order_ref']}.")
    return notes


def _decided_again(connection: DuckDBPyConnection, first: Version, slot: str, symbol: str) -> str | None:
    """What the newest decision of the slot would have meant for the symbol, where that is another order."""
    if first.asset != "sized_orders" or first.pruned:
        return None
    found = _materializations(
        connection,
        f"WHERE slot = {text_of(slot)} AND asset = '{first.asset}' AND id > {first.materialization_id} "
        "ORDER BY id DESC LIMIT 1",
    )
    if not found or found[0].pruned or found[0].data_hash == first.data_hash:
        return None
    [later] = found
    outcome = other_outcome(symbol, *(_decision(connection, version, symbol) for version in (first, later)))
    when = f"{later.finished_at:%Y-%m-%d at %H:%M UTC}"
    return outcome and f"Decided again on {when} ({later.asset} {later.materialization_id}): {outcome}"


def _decision(connection: DuckDBPyConnection, version: Version, symbol: str) -> Decision:
    return Decision(
        order=one(_rows_of(connection, version.asset, version.materialization_id, symbol)),
        settings_hash=version.settings_hash,
        settings=_settings(connection, version.settings_hash),
        code_version=version.code_version,
        observed={
            made_from.asset: made_from.data_hash
            for made_from in _materializations(
                connection, f"WHERE id IN ({_MADE_FROM.format(id=version.materialization_id)}) ORDER BY id"
            )
            if made_from.asset not in DECIDED
        },
    )


# ---- rows -----------------------------------------------------------------------------------------------------------


def _settings(connection: DuckDBPyConnection, settings_hash: str) -> Row | None:
    found = connection.execute(
        f"SELECT parameters FROM lineage.settings WHERE settings_hash = {text_of(settings_hash)}"
    ).fetchone()
    return json.loads(found[0]) if found else None


def _bars(connection: DuckDBPyConnection, materialization_id: int | None, symbol: str) -> Row | None:
    if materialization_id is None:
        return None
    wanted = {"id": materialization_id, "symbol": text_of(symbol)}
    extent = one(mappings(connection, _EXTENT.format(**wanted)))
    if extent is None:
        return None
    return one(mappings(connection, _BARS.format(**wanted, **{**extent, "source": text_of(extent["source"])})))


def _trade(connection: DuckDBPyConnection, slot: str, symbol: str, legs: Sequence[Row]) -> tuple[bool, Row | None]:
    """Whether trades were ever measured, and the trade the orders opened; that of an exit was opened before."""
    if ("metrics", "trades") not in tables_of(connection):
        return False, None
    which = f"entry_order_ref = {text_of(f'{slot}:{symbol}:entry')}"
    if [leg["leg"] for leg in legs] == ["exit"]:
        account = text_of(legs[0]["account"])
        which = f"symbol = {text_of(symbol)} AND account = {account} AND entry_order_ref < {text_of(slot)}"
    return True, one(select(connection, "metrics.trades", f"WHERE {which} ORDER BY entry_order_ref DESC LIMIT 1"))


def _rows_of(
    connection: DuckDBPyConnection, asset: str, materialization_id: int | None, symbol: str | None = None
) -> list[Row]:
    """The rows of one version, those of one symbol where one is given, without the columns that say which."""
    if materialization_id is None:
        return []
    whose = f" AND symbol = {text_of(symbol)}" if symbol else ""
    return select(
        connection, f'"{asset}"', f"WHERE materialization_id = {materialization_id}{whose} ORDER BY row_number"
    )
