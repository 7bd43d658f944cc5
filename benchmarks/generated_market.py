"""A market and an account that never were: prices, a book of brackets, and what a broker would say of them in a slot.

Prices are random walks; all else belongs together: a fill lies at a price of its day, the account's value is cash plus
positions. What is decided on them is decided by the pipeline's own code. ``generated_year`` plays it slot by slot.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from quant_pipeline.history.columns import columns_of

SYMBOLS = 100
POOL = 130
BARS = 252
ACCOUNT = "DU1234567"
CASH = 100_000.0
HOLDING_SESSIONS = 5
COMMISSION = 1.0

Columns = dict[str, Any]


@dataclass
class Bracket:
    """An entry with its stop and target, and what has been filled of it."""

    ref: str
    symbol: int
    sign: int
    quantity: int
    entry: float
    stop: float
    target: float
    perm_id: int
    session: int
    held: int = 0
    paid: float = 0.0

    def leg(self, name: str) -> str:
        """Reference of one of its orders."""
        return f"{self.ref}:{name}"


@dataclass
class Book:
    """Cash, the brackets that wait for their entry and those that are held."""

    cash: float = CASH
    waiting: list[Bracket] = field(default_factory=list)
    held: list[Bracket] = field(default_factory=list)
    realized: float = 0.0


class Market:
    """Random walks of a pool of symbols; ``today`` is the place of the session that goes on."""

    def __init__(self, days: list[dt.date], seed: int) -> None:
        """``days`` are the sessions, a year of them before the first one that is recorded."""
        self.random = np.random.default_rng(seed)
        self.names = np.array([f"SYM{index:03d}" for index in range(POOL)])
        self.days = np.array(days, dtype="datetime64[D]")
        self.today = BARS - 1
        shape = (POOL, len(days))
        self.opens, self.highs, self.lows, self.closes, self.volumes = (np.zeros(shape) for _ in range(5))
        self._make_year_before()
        self.members = self.random.permutation(POOL)[:SYMBOLS]
        self.quotes: Columns = {}

    def _make_year_before(self) -> None:
        past, random = slice(0, BARS), self.random
        walk = np.exp(np.cumsum(random.standard_t(4, (POOL, BARS)) * 0.012, axis=1))
        self.closes[:, past] = np.maximum((random.uniform(8, 400, (POOL, 1)) * walk).round(2), 5.5)
        spread = np.abs(random.normal(0, 0.01, (3, POOL, BARS)))
        self.opens[:, past] = (self.closes[:, past] * (1 + spread[0] - 0.008)).round(2)
        self.highs[:, past] = (np.maximum(self.closes, self.opens)[:, past] * (1 + spread[1])).round(2)
        self.lows[:, past] = (np.minimum(self.closes, self.opens)[:, past] * (1 - spread[2])).round(2)
        self.volumes[:, past] = random.lognormal(15, 1, (POOL, BARS)).round()

    def next_session(self) -> None:
        """A new, empty bar begins for everybody."""
        self.today += 1
        self.closes[:, self.today] = (self.closes[:, self.today - 1] * self.random.normal(1, 0.004, POOL)).round(2)
        for series in (self.opens, self.highs, self.lows):
            series[:, self.today] = self.closes[:, self.today]

    def next_slot(self) -> None:
        """Prices move, a few symbols enter and leave the most active."""
        day, random = self.today, self.random
        self.closes[:, day] = np.maximum((self.closes[:, day] * random.normal(1.00002, 0.003, POOL)).round(2), 5.5)
        self.highs[:, day] = np.maximum(self.highs[:, day], self.closes[:, day])
        self.lows[:, day] = np.minimum(self.lows[:, day], self.closes[:, day])
        self.volumes[:, day] += random.lognormal(12, 1, POOL).round()
        outside = np.setdiff1d(np.arange(POOL), self.members)
        self.members[random.integers(SYMBOLS)] = random.choice(outside)
        self.members = random.permutation(self.members)

    def price(self, symbol: int) -> float:
        """The last price."""
        return float(self.closes[symbol, self.today])

    def window(self, members: np.ndarray) -> dict[str, np.ndarray]:
        """A year of bars of some symbols, (symbols, bars) each."""
        year = slice(self.today - BARS + 1, self.today + 1)
        series = {"open": self.opens, "high": self.highs, "low": self.lows, "close": self.closes}
        return {name: values[members, year] for name, values in (*series.items(), ("volume", self.volumes))}


def observed(market: Market, at: dt.datetime) -> dict[str, Columns]:
    """What the broker says of the market: ``universe``, ``quotes`` and ``bars``."""
    random, members, day = market.random, market.members, market.today
    names, price = market.names[members], market.closes[members, day]
    half_spread = np.maximum((price * random.uniform(0.0002, 0.0008, SYMBOLS)).round(2), 0.01)
    quoted = np.datetime64(at.replace(tzinfo=None), "us") - random.integers(0, 4_000_000, SYMBOLS)
    universe = {
        "rank": np.arange(1, SYMBOLS + 1), "symbol": names, "con_id": members + 265598,
        "exchange": np.where(members % 3, "NASDAQ", "NYSE"), "scan_code": ["MOST_ACTIVE"] * SYMBOLS,
    }  # fmt: skip
    quotes = {
        "symbol": names, "bid": (price - half_spread).round(2), "ask": (price + half_spread).round(2), "last": price,
        "bid_size": random.integers(1, 40, SYMBOLS) * 100.0, "ask_size": random.integers(1, 40, SYMBOLS) * 100.0,
        "open": market.opens[members, day], "high": market.highs[members, day], "low": market.lows[members, day],
        "previous_close": market.closes[members, day - 1], "volume": market.volumes[members, day],
        "halted": np.zeros(SYMBOLS, bool), "shortable": random.random(SYMBOLS) < 0.9,
        "quoted_at": quoted, "observed_at": np.full(SYMBOLS, np.datetime64(at.replace(tzinfo=None), "us")),
    }  # fmt: skip
    window = market.window(members)
    bars = {
        "symbol": np.repeat(names, BARS), "date": np.tile(market.days[day - BARS + 1 : day + 1], SYMBOLS),
        **{name: values.ravel() for name, values in window.items()},
        "partial": np.tile(np.arange(BARS) == BARS - 1, SYMBOLS),
    }  # fmt: skip
    return {"universe": universe, "quotes": quotes, "bars": bars}


def account_frames(market: Market, book: Book, at: dt.datetime, day_began_with: float) -> dict[str, Columns]:
    """What the broker says of the account: ``account``, ``portfolio`` and ``working_orders``."""
    held, signs = book.held, [bracket.sign for bracket in book.held]
    values = np.array([bracket.sign * bracket.held * market.price(bracket.symbol) for bracket in held])
    gains = np.array(
        [bracket.sign * bracket.held * (market.price(bracket.symbol) - bracket.paid) for bracket in held]
    ).round(2)
    entries = sum(bracket.quantity * bracket.entry for bracket in book.waiting)
    worth = round(book.cash + float(values.sum()), 2)
    deployed = float(np.abs(values).sum()) + entries
    stamp = np.array([np.datetime64(at.replace(tzinfo=None), "us")])
    account = {
        "account": [ACCOUNT], "net_liquidation": [worth], "capital": [min(worth, CASH)], "deployed": [deployed],
        "available": [max(min(worth, CASH) - deployed, 0.0)], "realized_pnl": [book.realized],
        "unrealized_pnl": [float(gains.sum())], "daily_pnl": [round(worth - day_began_with, 2)], "read_at": stamp,
    }  # fmt: skip
    symbols = np.array([bracket.symbol for bracket in held], dtype=int)
    portfolio = {
        "symbol": market.names[symbols], "con_id": symbols + 265598,
        "quantity": np.array([float(sign * bracket.held) for sign, bracket in zip(signs, held, strict=True)]),
        "average_price": [bracket.paid for bracket in held],
        "market_price": [market.price(bracket.symbol) for bracket in held], "market_value": values,
        "unrealized_pnl": gains,
    }  # fmt: skip
    orders = [(bracket, leg) for bracket in book.waiting for leg in ("entry", "stop", "target")]
    orders += [(bracket, leg) for bracket in held for leg in ("stop", "target")]
    return {"account": account, "portfolio": portfolio, "working_orders": _working(market, orders)}


def _working(market: Market, orders: list[tuple[Bracket, str]]) -> Columns:
    place = {"entry": 0, "stop": 1, "target": 2}
    return {
        "perm_id": [bracket.perm_id + place[leg] for bracket, leg in orders],
        "order_ref": [bracket.leg(leg) for bracket, leg in orders],
        "parent_perm_id": [0 if leg == "entry" else bracket.perm_id for bracket, leg in orders],
        "client_id": [18] * len(orders), "symbol": [market.names[bracket.symbol] for bracket, _ in orders],
        "action": [action(bracket, leg) for bracket, leg in orders],
        "order_type": [order_type(leg) for _, leg in orders],
        "price": [getattr(bracket, leg) for bracket, leg in orders],
        "quantity": [float(bracket.quantity) for bracket, _ in orders],
        "remaining": [float(bracket.quantity) for bracket, _ in orders],
        "status": ["Submitted" if leg == "target" else "PreSubmitted" for _, leg in orders],
    }  # fmt: skip


def action(bracket: Bracket, leg: str) -> str:
    """BUY or SELL."""
    return "BUY" if (bracket.sign > 0) == (leg == "entry") else "SELL"


def order_type(leg: str) -> str:
    """IB order type of a leg."""
    return {"stop": "STP", "exit": "MKT"}.get(leg, "LMT")


def panel(market: Market, book: Book, account: Columns, at: dt.datetime) -> Columns:
    """The ``portfolio_status`` frame."""
    capital, held = account["capital"][0], book.held
    long = sum(bracket.held * market.price(bracket.symbol) for bracket in held if bracket.sign > 0)
    short = sum(bracket.held * market.price(bracket.symbol) for bracket in held if bracket.sign < 0)
    risk = sum(bracket.quantity * abs(bracket.entry - bracket.stop) for bracket in (*held, *book.waiting))
    positions = [
        {
            "symbol": str(market.names[bracket.symbol]), "direction": "LONG" if bracket.sign > 0 else "SHORT",
            "quantity": float(bracket.held), "entry": bracket.paid, "current": market.price(bracket.symbol),
            "stop": bracket.stop, "target": bracket.target,
            "unrealized_pnl": bracket.sign * bracket.held * (market.price(bracket.symbol) - bracket.paid),
            "unrealized_pct": bracket.sign * (market.price(bracket.symbol) / bracket.paid - 1) * 100,
        }
        for bracket in held
    ]  # fmt: skip
    positions.sort(key=lambda position: -abs(position["unrealized_pnl"]))
    return {
        "capital": [capital], "deployed": account["deployed"], "available": account["available"],
        "utilization_pct": [account["deployed"][0] / capital * 100], "positions": [len(held)],
        "long": [sum(bracket.sign > 0 for bracket in held)], "short": [sum(bracket.sign < 0 for bracket in held)],
        "working_entries": [len(book.waiting)], "total_risk": [risk], "total_risk_pct": [risk / capital * 100],
        "unrealized_pnl": account["unrealized_pnl"], "daily_pnl": account["daily_pnl"], "long_value": [long],
        "short_value": [short], "gross_exposure_pct": [(long + short) / capital * 100],
        "net_exposure_pct": [(long - short) / capital * 100],
        "observed_at": np.array([np.datetime64(at.replace(tzinfo=None), "us")]), "open_positions": [positions[:10]],
    }  # fmt: skip


def as_table(asset: str, columns: Columns) -> pa.Table:
    """Columns as the Arrow table of an asset; a column of the asset that is not among them is empty."""
    rows = max((len(values) for values in columns.values()), default=0)
    arrays = {}
    for column in columns_of(asset):
        values = columns.get(column.name, [[]] * rows if column.nested else [None] * rows)
        if isinstance(values, pa.Array):
            arrays[column.name] = values.cast(column.arrow)
        elif pa.types.is_timestamp(column.arrow):
            arrays[column.name] = pa.array(values, pa.timestamp("us")).cast(column.arrow)
        elif pa.types.is_floating(column.arrow):
            # As the history stores it: one zero.
            arrays[column.name] = pc.call_function("add", [pa.array(values, column.arrow, from_pandas=True), 0.0])
        else:
            arrays[column.name] = pa.array(values, type=column.arrow, from_pandas=True)
    return pa.table(arrays)
