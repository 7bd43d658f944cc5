"""A generated year of the history: every frame of every slot with its lineage, and the journal of its orders.

Written in bulk, a session at a time, with the tables, ids, hashes and bars rows that appending slot by slot would
leave; the last sessions really are appended slot by slot. A year takes a quarter of an hour that way and not hours.
``python -m benchmarks.generated_year DIR [--sessions 252] [--appended 1]`` puts one into a directory, as a QUANT_HOME.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.generated_market import ACCOUNT, BARS, POOL, Market, account_frames, as_table, observed, panel
from benchmarks.generated_orders import OrderLife
from quant_pipeline.assets.decide import session_progress
from quant_pipeline.automation.sessions import session_on, sessions_between
from quant_pipeline.automation.slots import Slot, slots_of
from quant_pipeline.history.bars import spans
from quant_pipeline.history.columns import table_hash, to_arrow, to_frame
from quant_pipeline.history.order_journal import OrderJournal
from quant_pipeline.history.store import History, Materialization
from quant_pipeline.history.working_file import WorkingFile
from quant_pipeline.quant import QuantMarketScanner
from quant_pipeline.settings import Settings

LAST_DAY = dt.date(2025, 12, 31)
SESSIONS = 252
REMADE_EVERY = 40
INPUTS = {
    "universe": (), "account": (), "portfolio": (), "working_orders": (), "fills": (),
    "quotes": ("universe",), "bars": ("universe", "quotes"), "quality_filter": ("universe", "quotes", "bars"),
    "indicators": ("quality_filter", "quotes", "bars"), "scores": ("indicators", "quotes"),
    "sized_orders": ("scores", "account", "portfolio", "working_orders", "bars"),
    "executions": ("sized_orders", "universe", "quotes"), "portfolio_status": ("executions",),
}  # fmt: skip
"""The assets in the order a run makes them, with what each is made from."""
REMADE = ("quality_filter", "indicators", "scores", "sized_orders")

Store = Callable[[str, pa.Table, "Making"], int]


@dataclass(frozen=True)
class Making:
    """What is known of a version besides its frame."""

    slot: str
    run_id: str
    code_version: str
    settings_hash: str
    inputs: tuple[int, ...]
    started_at: dt.datetime


class Year:
    """The slots of a year, one after another; ``play`` hands every frame of a slot to a store that returns its id."""

    def __init__(self, home: Path, sessions: int, seed: int, last_day: dt.date = LAST_DAY) -> None:
        days = sessions_between(last_day - dt.timedelta(days=int((sessions + BARS) * 1.6) + 20), last_day)
        days = days[-(sessions + BARS - 1) :]
        self.days = days[-sessions:]
        self.market = Market(days, seed)
        self.life = OrderLife(home, self.market)
        self.settings = Settings()
        self.settings_hash = self.settings.decision_hash
        self._worth = self.life.book.cash

    def sessions(self) -> Iterator[list[Slot]]:
        """The slots of each session; the market has begun it when they are handed out."""
        for number, day in enumerate(self.days):
            session = session_on(day)
            assert session is not None
            if number:
                self.market.next_session()
                self.life.next_session()
            yield slots_of(session)

    def play(self, slot: Slot, store: Store) -> None:
        """One slot: what is observed, decided, sent and measured."""
        market, life = self.market, self.life
        market.next_slot()
        at = slot.starts.astimezone(dt.UTC) + dt.timedelta(seconds=12, microseconds=345678)
        life.market_moved(at - dt.timedelta(minutes=4))
        if slot.starts == slot.session.opens:
            self._worth = account_frames(market, life.book, at, 0.0)["account"]["net_liquidation"][0]
        run = _Run(
            slot.key, f"{zlib.crc32(slot.key.encode()):08x}-run-{slot.key}", self._code_version(), self.settings_hash
        )
        seen = observed(market, at) | account_frames(market, life.book, at, self._worth) | {"fills": life.fills()}
        tables = {asset: as_table(asset, columns) for asset, columns in seen.items()}
        tables |= self._decide(slot, tables)
        ids: dict[str, int] = {}
        for place, asset in enumerate(INPUTS):
            if asset == "executions":
                sized = tables["sized_orders"].to_pylist()
                tables[asset] = as_table(asset, life.send(sized, slot, at, ids["sized_orders"]))
            if asset == "portfolio_status":
                tables[asset] = as_table(asset, panel(market, life.book, seen["account"], at))
            ids[asset] = store(asset, tables[asset], run.making(asset, ids, at, place))
        if slot == slots_of(slot.session)[-1]:
            life.time_out(slot, at + dt.timedelta(minutes=10), ids["sized_orders"])
        if zlib.crc32(slot.key.encode()) % REMADE_EVERY == 0:
            again = _Run(slot.key, run.run_id.replace("run", "again"), run.code_version, self.settings_hash)
            for place, asset in enumerate(REMADE):
                late = at + dt.timedelta(hours=9)
                ids[asset] = store(asset, tables[asset], again.making(asset, ids, late, place))

    def _decide(self, slot: Slot, tables: dict[str, pa.Table]) -> dict[str, pa.Table]:
        """The deciding stages, by the code the assets call."""
        seen = {asset: to_frame(asset, table) for asset, table in tables.items() if asset != "fills"}
        quotes, bars, scanner = seen["quotes"], seen["bars"], QuantMarketScanner(self.settings)
        passed = scanner.quality_filter(seen["universe"], quotes, bars)
        indicators = scanner.indicators(passed, quotes, bars, session_progress(slot, quotes))
        scores = scanner.scores(indicators, quotes)
        sized = scanner.sized_orders(scores, seen["account"], seen["portfolio"], seen["working_orders"], bars, slot.key)
        decided = {"quality_filter": passed, "indicators": indicators, "scores": scores, "sized_orders": sized}
        return {asset: to_arrow(asset, frame) for asset, frame in decided.items()}

    def _code_version(self) -> str:
        return "4f1c07a9be21" if self.life.session < len(self.days) // 2 else "90b3de5f7714"


@dataclass(frozen=True)
class _Run:
    slot: str
    run_id: str
    code_version: str
    settings_hash: str

    def making(self, asset: str, ids: dict[str, int], at: dt.datetime, place: int) -> Making:
        return Making(
            slot=self.slot, run_id=self.run_id, code_version=self.code_version,
            settings_hash=self.settings_hash, inputs=tuple(ids[name] for name in INPUTS[asset]),
            started_at=at + dt.timedelta(milliseconds=150 * place),
        )  # fmt: skip


class Bulk:
    """Collects what a session stores and writes it in one transaction."""

    def __init__(self, home: Path, market: Market) -> None:
        self.file = WorkingFile(home)
        self.market = market
        self._rows: dict[str, list[pa.Table]] = defaultdict(list)
        self._made: list[tuple[object, ...]] = []
        self._inputs: list[tuple[int, int]] = []
        self._next = 1
        days = len(market.days)
        self._known = np.full((5, POOL, days), np.nan)
        self._final = np.zeros((POOL, days), dtype=bool)

    def store(self, asset: str, table: pa.Table, making: Making) -> int:
        """Take a version, write it with its session."""
        identity, self._next = self._next, self._next + 1
        if asset == "bars":
            self._store_bars(table, identity, making.slot)
        else:
            self._take(asset, table, identity, making.slot, row_number=np.arange(table.num_rows, dtype=np.int32))
        finished = making.started_at + dt.timedelta(milliseconds=60 + identity % 40)
        self._made.append(
            (identity, asset, making.slot, making.run_id, making.code_version, making.settings_hash,
             table_hash(asset, table), table.num_rows, making.started_at, finished)
        )  # fmt: skip
        self._inputs += [(identity, source) for source in sorted(set(making.inputs))]
        return identity

    def write(self) -> None:
        """Write what was collected, as one session."""
        with self.file.transaction() as connection:
            connection.execute("SELECT max(nextval('lineage.materialization_ids')) FROM range(?)", [len(self._made)])
            for name, batch in self._batches():
                connection.register("batch", batch)
                connection.execute(f"INSERT INTO {name} BY NAME SELECT * FROM batch")
                connection.unregister("batch")
        self.file.release(self.file.checkpoint())
        self._rows.clear()
        self._made.clear()
        self._inputs.clear()

    def _batches(self) -> Iterator[tuple[str, pa.Table]]:
        for name, tables in self._rows.items():
            yield f'main."{name}"', pa.concat_tables(tables)
        names = [field.name for field in _LINEAGE]
        made = dict(zip(names, map(list, zip(*self._made, strict=True)), strict=True))
        yield "lineage.materializations", pa.table(made, schema=_LINEAGE)
        ids, sources = zip(*self._inputs, strict=True)
        yield "lineage.inputs", pa.table({"materialization_id": ids, "input_materialization_id": sources})

    def _take(self, name: str, table: pa.Table, identity: int, slot: str, **more: np.ndarray) -> None:
        count = table.num_rows
        for column, values in more.items():
            table = table.append_column(column, pa.array(values))
        table = table.append_column("materialization_id", pa.array(np.full(count, identity)))
        if name != "bars_frames":
            table = table.append_column("slot", pa.array([slot] * count, pa.string()))
        self._rows[name].append(table)

    def _store_bars(self, table: pa.Table, identity: int, slot: str) -> None:
        """The rows that ``bars.append`` would find new or changed, and the extents of the frame."""
        market, members = self.market, self.market.members
        year = slice(market.today - BARS + 1, market.today + 1)
        now = np.stack(list(market.window(members).values()))
        partial = np.arange(BARS) == BARS - 1
        known, final = self._known[:, members, year], self._final[members, year]
        changed = (now != known).any(axis=0) | (final == partial)
        self._known[:, members, year], self._final[members, year] = now, ~partial
        # Ordered by symbol and date, as the append orders them.
        by_name = np.argsort(members, kind="stable")
        places = (by_name[:, None] * BARS + np.arange(BARS))[changed[by_name]]
        rows = table.take(pa.array(places))
        live = np.asarray(rows["partial"])
        sources = np.array([ACCOUNT] * rows.num_rows, dtype=object)
        gone = np.zeros(rows.num_rows, bool)
        self._take("bars", rows, identity, slot, source=sources, live=live, gone=gone)
        frames = spans(table)
        frames = frames.append_column("source", pa.array([ACCOUNT] * len(members)))
        self._take("bars_frames", frames, identity, slot)


_LINEAGE = pa.schema(
    [(name, pa.int64() if name in ("id", "rows") else pa.string())
     for name in ("id", "asset", "slot", "run_id", "code_version", "settings_hash", "data_hash", "rows")]
    + [(name, pa.timestamp("us", "UTC")) for name in ("started_at", "finished_at")]
)  # fmt: skip


def append(
    history: History,
    asset: str,
    table: pa.Table,
    making: Making,
    clock: Callable[[Callable[[], Materialization]], Materialization] = lambda work: work(),
) -> Materialization:
    """Store a version through the real path; ``clock`` is handed that work alone."""
    frame = to_frame(asset, table)
    return clock(
        lambda: history.append(
            asset, frame, slot=making.slot, run_id=making.run_id, code_version=making.code_version,
            settings_hash=making.settings_hash, inputs=making.inputs, started_at=making.started_at,
            source=ACCOUNT if asset == "bars" else None,
        )
    )  # fmt: skip


def generate(
    home: Path, *, sessions: int = SESSIONS, appended: int = 1, seed: int = 7, say: Callable[[str], None] = print
) -> History:
    """Make a year below ``home``: all but the last ``appended`` sessions in bulk, those slot by slot."""
    began = time.monotonic()
    history, year = History(home), Year(home, sessions, seed)
    bulk = Bulk(home, year.market)
    journal = OrderJournal(home)
    history.record_settings(year.settings_hash, year.settings.decision_parameters)
    for number, slots in enumerate(year.sessions()):
        if number < sessions - appended:
            for slot in slots:
                year.play(slot, bulk.store)
            bulk.write()
            year.life.commit()
            if number == sessions - appended - 1 or number % 10 == 9:
                history.mirror_journal(journal)
                history.publish()
            if number % 10 == 9:
                say(f"{number + 1} sessions, {time.monotonic() - began:.0f} s, {_megabytes(history.published):.1f} MB")
            continue
        for slot in slots:
            year.play(slot, lambda asset, table, making: append(history, asset, table, making).id)
            year.life.commit()
            history.mirror_journal(journal)
            history.publish()
    journal.close()
    year.life.close()
    return history


def _megabytes(path: Path) -> float:
    return path.stat().st_size / 1e6 if path.exists() else 0.0


def main() -> None:
    """Put a generated year into a directory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path, help="directory that does not exist yet")
    parser.add_argument("--sessions", type=int, default=SESSIONS)
    parser.add_argument("--appended", type=int, default=1, help="how many of the last sessions go the real way")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    beside = options.home.with_name(f".{options.home.name}.making")
    beside.mkdir(parents=True)
    generate(beside, sessions=options.sessions, appended=options.appended, seed=options.seed)
    os.rename(beside, options.home)


if __name__ == "__main__":
    main()
