"""A few sessions of trading recorded through the real history and the real journal, with what was seen at their slots.

Accounts that trade at random, fill after fill, and one, ``DESK``, that trades brackets the way the pipeline does.
"""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from quant_pipeline.frames import FRAMES, validate
from quant_pipeline.history.order_journal import Intent, OrderJournal
from quant_pipeline.history.store import History
from quant_pipeline_tests.metrics.plain_ledger import Fill

NEW_YORK = ZoneInfo("America/New_York")
SESSIONS = tuple(dt.date(2026, 11, day) for day in (16, 17, 18, 19, 20, 23))
TIMES = ("10:00", "12:00", "15:45")
SYMBOLS = ("ALFA", "BRVO", "CHRL")
RANDOM_ACCOUNTS = 25
DESK = "DU7"
SLOT = "2026-11-16T10:00"


@dataclass(frozen=True)
class Seen:
    """A price of a symbol that a quote or a position gave: for one account, or for all of them."""

    symbol: str
    at: dt.datetime
    price: float
    account: str | None


@dataclass(frozen=True)
class Trading:
    """What was recorded, and where it is published."""

    published: Path
    fills: tuple[Fill, ...]
    seen: tuple[Seen, ...]
    whole_sessions: dict[tuple[str, dt.date], tuple[float, float]]


def record_trading(home: Path, seed: int) -> Trading:
    """Record it all below ``home``; the same seed gives the same."""
    chance = random.Random(seed)
    history, journal = History(home), OrderJournal(home)
    seen = [*_record_slots(history, chance)]
    whole_sessions = _record_bars(history, chance)
    fills = []
    for number in range(RANDOM_ACCOUNTS):
        account = f"DU{100 + number}"
        own = list(_random_fills(account, chance))
        journal.record_fills(_frame(own), account=account)
        fills += own
    desk = _desk_fills()
    _record_desk(history, journal, desk)
    fills += desk
    history.mirror_journal(journal)
    journal.close()
    return Trading(history.publish(), tuple(fills), tuple(seen), whole_sessions)


def at(session: dt.date, time: str) -> dt.datetime:
    """A moment of a session, given in exchange time."""
    return dt.datetime.combine(session, dt.time.fromisoformat(time), NEW_YORK).astimezone(dt.UTC)


def _random_fills(account: str, chance: random.Random) -> Any:
    """Small, lumpy fills, so that positions often end, turn round and share a second."""
    moments = sorted(
        at(chance.choice(SESSIONS), f"{chance.randrange(10, 16)}:{chance.randrange(60):02d}:{chance.randrange(2):02d}")
        for _ in range(60)
    )
    held = dict.fromkeys(SYMBOLS, 0.0)
    for number, moment in enumerate(moments):
        symbol = chance.choice(SYMBOLS)
        change = chance.choice((-1, 1)) * chance.choice((1.0, 2.0, 3.0, 5.0, 0.5, 0.1, 0.2))
        if held[symbol] and chance.random() < 0.4:
            change = -held[symbol]
        held[symbol] = round(held[symbol] + change, 6)
        yield Fill(
            exec_id=f"{account}.{number:03d}.01",
            account=account,
            symbol=symbol,
            side="BUY" if change > 0 else "SELL",
            quantity=abs(change),
            price=round(chance.uniform(50, 150), 2),
            commission=chance.choice((None, 0.35, 1.0, 1.0, 1.0)),
            filled_at=moment,
        )


def _desk_fills() -> list[Fill]:
    """ALFA is bought in two parts and taken out at its target; BRVO is sold short and stopped; CHRL is turned round."""
    first, second, third = SESSIONS[:3]
    told = [
        ("a.1.01", "ALFA", "BUY", 60, 100.0, first, "10:01", "entry"),
        ("a.2.01", "ALFA", "BUY", 30, 100.5, first, "10:02", "entry"),
        ("a.3.02", "ALFA", "SELL", 90, 111.0, third, "11:00", "target"),
        ("b.1.01", "BRVO", "SELL", 50, 80.0, first, "10:03", "entry"),
        ("b.2.01", "BRVO", "BUY", 20, 82.0, second, "10:30", "stop"),
        ("b.3.01", "BRVO", "BUY", 30, 82.1, second, "10:31", "stop"),
        ("c.1.01", "CHRL", "BUY", 10, 50.0, first, "10:04", "entry"),
        ("c.2.01", "CHRL", "SELL", 25, 51.0, second, "12:00", None),
    ]
    return [
        Fill(
            exec_id, DESK, symbol, side, quantity, price, 1.0, at(session, time),
            None if leg is None else f"{SLOT}:{symbol}:{leg}",
        )
        for exec_id, symbol, side, quantity, price, session, time, leg in told
    ]  # fmt: skip


def _record_desk(history: History, journal: OrderJournal, fills: list[Fill]) -> None:
    orders = [("ALFA", "LONG", 90, 100.0, 96.0, 110.0), ("BRVO", "SHORT", 50, 80.0, 82.0, 75.0),
              ("CHRL", "LONG", 10, 50.0, 48.0, 55.0)]  # fmt: skip
    rows = [
        {
            "symbol": symbol, "direction": direction, "quantity": quantity, "entry_price": entry, "stop_price": stop,
            "target_price": target, "risk_amount": 1.0, "position_value": quantity * entry, "approved": True,
            "order_ref": f"{SLOT}:{symbol}:entry",
        }
        for symbol, direction, quantity, entry, stop, target in orders
    ]  # fmt: skip
    decided = _append(history, "sized_orders", pd.DataFrame(rows), SLOT)
    journal.plan(
        Intent(
            f"{SLOT}:{symbol}:{leg}", DESK, SLOT, symbol, leg, "BUY", "LMT", quantity, price, "GTC",
            None if leg == "entry" else f"{SLOT}:{symbol}:entry", decided,
        )
        for symbol, _, quantity, entry, stop, target in orders
        for leg, price in (("entry", entry), ("stop", stop), ("target", target))
    )  # fmt: skip
    # The broker reported the target at another price first, and corrected it.
    wrong = Fill("a.3.01", DESK, "ALFA", "SELL", 90, 1.0, 1.0, fills[2].filled_at, fills[2].order_ref)
    journal.record_fills(_frame([wrong]), account=DESK)
    journal.record_fills(_frame(fills), account=DESK)


def _record_slots(history: History, chance: random.Random) -> Any:
    """Quotes of all symbols at every slot, one of them unknown; the account of the desk, with two positions."""
    for session in SESSIONS:
        for number, time in enumerate(TIMES):
            slot, moment = f"{session}T{time}", at(session, time)
            prices: list[float | None] = [round(chance.uniform(40, 160), 2) for _ in SYMBOLS]
            if number == 1:
                prices[0] = None
            quotes = {"symbol": SYMBOLS, "last": prices, "halted": False, "observed_at": moment}
            _append(history, "quotes", pd.DataFrame(quotes), slot)
            yield from (
                Seen(symbol, moment, price, None) for symbol, price in zip(SYMBOLS, prices, strict=True) if price
            )
            equity = 100_000.0 + chance.randrange(-3000, 3000)
            read_at = moment + dt.timedelta(seconds=20)
            account = {
                "account": [DESK], "net_liquidation": equity, "capital": min(equity, 99_000.0), "deployed": 9_000.0,
                "available": 90_000.0, "read_at": read_at,
            }  # fmt: skip
            _append(history, "account", pd.DataFrame(account), slot)
            marks = [round(chance.uniform(40, 160), 2) for _ in range(2)]
            positions = {
                "symbol": SYMBOLS[:2], "con_id": [1, 2], "quantity": [90.0, -50.0], "average_price": 100.0,
                "market_price": marks, "market_value": [90 * marks[0], -50 * marks[1]], "unrealized_pnl": 0.0,
            }  # fmt: skip
            _append(history, "portfolio", pd.DataFrame(positions), slot)
            yield from (Seen(symbol, read_at, mark, DESK) for symbol, mark in zip(SYMBOLS, marks, strict=False))


def _record_bars(history: History, chance: random.Random) -> dict[tuple[str, dt.date], tuple[float, float]]:
    """Every session of every symbol, the last one still going on; read once, when it is nearly over."""
    ranges = {
        (symbol, session): (round(chance.uniform(20, 60), 2), round(chance.uniform(140, 180), 2))
        for symbol in SYMBOLS
        for session in SESSIONS
    }
    rows = [
        {"symbol": symbol, "date": pd.Timestamp(session), "open": 100.0, "high": high, "low": low, "close": 100.0,
         "volume": 1e6, "partial": session == SESSIONS[-1]}
        for (symbol, session), (low, high) in ranges.items()
    ]  # fmt: skip
    _append(history, "bars", pd.DataFrame(rows), f"{SESSIONS[-1]}T{TIMES[-1]}", source=DESK)
    return {key: extremes for key, extremes in ranges.items() if key[1] != SESSIONS[-1]}


def _append(history: History, asset: str, frame: pd.DataFrame, slot: str, source: str | None = None) -> int:
    made = history.append(
        asset, frame.reindex(columns=list(FRAMES[asset].columns)), slot=slot, run_id=f"run of {slot}",
        code_version="1", settings_hash="abc", inputs=(), started_at=at(SESSIONS[0], "10:00"), source=source,
    )  # fmt: skip
    return made.id


def _frame(fills: list[Fill]) -> pd.DataFrame:
    rows = [{name: value for name, value in vars(fill).items() if name != "account"} | {"perm_id": 7} for fill in fills]
    return validate("fills", pd.DataFrame(rows, columns=list(FRAMES["fills"].columns)))
