"""What the account is committed to: open positions with their protection, and entries that wait for a fill.

Reading the ``portfolio`` and ``working_orders`` frames belongs here, once, so that the risk manager and the monitoring
panel count alike. Limits (``portfolio_risk_manager``) and figures for people (``portfolio_metrics``) do not.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import pandas as pd

STOP_TYPES = ("STP", "STP LMT")
TARGET_TYPE = "LMT"

UNPRICED_ENTRY_SHARE = 0.05
"""An entry without a price (a market order) counts as this share of capital: it will be worth something."""


@dataclass(frozen=True)
class PortfolioPosition:
    """One open position: shares (negative when short), prices in dollars a share, and its working exits.

    ``protected`` is the number of shares that a working stop covers.
    """

    symbol: str
    quantity: float
    average_price: float
    market_price: float
    stop: float | None = None
    target: float | None = None
    protected: float = 0.0

    @property
    def direction(self) -> str:
        """LONG or SHORT."""
        return "LONG" if self.quantity > 0 else "SHORT"

    @property
    def market_value(self) -> float:
        """Dollars, negative when short."""
        return self.quantity * self.market_price

    @property
    def unrealized_pnl(self) -> float:
        """Profit and loss against the average price, in dollars to the cent."""
        return round(self.quantity * (self.market_price - self.average_price), 2)

    @property
    def unrealized_pct(self) -> float:
        """The same in percent of what was paid or received, to a tenth as the panel shows it."""
        paid = abs(self.quantity) * self.average_price
        return round(100.0 * self.quantity * (self.market_price - self.average_price) / paid, 1) if paid else 0.0

    @property
    def risk(self) -> float:
        """Dollars lost from here if the stop is hit; shares without a stop count their whole value."""
        shares = abs(self.quantity)
        if self.stop is None:
            return shares * self.market_price
        covered = min(self.protected, shares)
        return covered * abs(self.market_price - self.stop) + (shares - covered) * self.market_price


@dataclass(frozen=True)
class WorkingEntry:
    """An order that opens a position when it fills: its value and the loss at its stop, in dollars."""

    symbol: str
    direction: str
    value: float
    risk: float


@dataclass(frozen=True)
class Book:
    """All that is committed. ``busy`` names every symbol with a position or any working order."""

    positions: tuple[PortfolioPosition, ...]
    entries: tuple[WorkingEntry, ...]
    busy: frozenset[str]

    @property
    def symbols(self) -> frozenset[str]:
        """Symbols that are or will be a position."""
        return frozenset(position.symbol for position in self.positions) | frozenset(
            entry.symbol for entry in self.entries
        )

    @property
    def commitments(self) -> tuple[tuple[str, str, float], ...]:
        """Symbol, direction and positive dollars of every position and working entry, in a fixed order."""
        held = tuple((each.symbol, each.direction, abs(each.market_value)) for each in self.positions)
        return held + tuple((entry.symbol, entry.direction, entry.value) for entry in self.entries)

    @property
    def long_value(self) -> float:
        """Dollars in long positions and in working entries to buy."""
        return sum(value for _, direction, value in self.commitments if direction == "LONG")

    @property
    def short_value(self) -> float:
        """Dollars in short positions and in working entries to sell, as a positive number."""
        return sum(value for _, direction, value in self.commitments if direction == "SHORT")

    @property
    def value(self) -> float:
        """Dollars in positions, long and short, and working entries."""
        return sum(value for _, _, value in self.commitments)

    @property
    def risk(self) -> float:
        """Dollars lost if every stop is hit, working entries counted as filled."""
        return sum(position.risk for position in self.positions) + sum(entry.risk for entry in self.entries)

    @property
    def unknown(self) -> str | None:
        """The first thing in it that is no figure to count with, in words, or None."""
        for position in self.positions:
            if not math.isfinite(position.quantity):
                return f"portfolio: how many shares of {position.symbol} are held is not known"
            if not (math.isfinite(position.market_value) and position.market_price >= 0.0):
                return f"portfolio: the price of {position.symbol}, which is held, is not known"
            if not math.isfinite(position.risk):
                return f"working_orders: what the stop of {position.symbol} covers is not known"
        for entry in self.entries:
            if not (math.isfinite(entry.value) and entry.value >= 0.0 and math.isfinite(entry.risk)):
                return f"working_orders: what the entry into {entry.symbol} would cost is not known"
        return None


def read_book(portfolio: pd.DataFrame, working_orders: pd.DataFrame, capital: float) -> Book:
    """The book as the broker's frames tell it; rows in any order.

    An order without a parent that does not reduce an open position is an entry; everything else protects or closes.
    """
    orders: list[_Row] = working_orders.sort_values("perm_id").to_dict("records")
    rows: list[_Row] = portfolio.sort_values("symbol").to_dict("records")
    positions = tuple(_position(row, orders) for row in rows if row["quantity"] != 0)
    held = {position.symbol: position.quantity for position in positions}
    entries = tuple(
        _entry(order, orders, capital)
        for order in orders
        if order["parent_perm_id"] == 0 and not _reduces(order["action"], held.get(order["symbol"], 0.0))
    )
    return Book(positions, entries, frozenset(held) | {order["symbol"] for order in orders})


_Row = dict[Hashable, Any]


def _position(row: _Row, orders: list[_Row]) -> PortfolioPosition:
    long = row["quantity"] > 0
    exits = [
        order
        for order in orders
        if order["symbol"] == row["symbol"] and _reduces(order["action"], row["quantity"]) and order["price"] > 0
    ]
    stops = [order for order in exits if order["order_type"] in STOP_TYPES]
    targets = [order["price"] for order in exits if order["order_type"] == TARGET_TYPE]
    # Of several exits the one that loses most and the one that earns least are what may be counted on.
    worst = min if long else max
    return PortfolioPosition(
        symbol=row["symbol"],
        quantity=float(row["quantity"]),
        average_price=float(row["average_price"]),
        market_price=float(row["market_price"]),
        stop=worst((float(order["price"]) for order in stops), default=None),
        target=worst(map(float, targets), default=None),
        protected=sum(float(order["remaining"]) for order in stops),
    )


def _entry(order: _Row, orders: list[_Row], capital: float) -> WorkingEntry:
    symbol, price, shares = order["symbol"], order["price"], order["remaining"]
    direction = "LONG" if order["action"] == "BUY" else "SHORT"
    if pd.isna(price):
        whole = UNPRICED_ENTRY_SHARE * capital
        return WorkingEntry(symbol, direction, whole, whole)
    stops = [
        child["price"]
        for child in orders
        if child["parent_perm_id"] == order["perm_id"] and child["order_type"] in STOP_TYPES and child["price"] > 0
    ]
    loss = max((abs(price - stop) for stop in stops), default=price)
    return WorkingEntry(symbol, direction, float(shares * price), float(shares * loss))


def _reduces(action: str, quantity: float) -> bool:
    return (action == "SELL" and quantity > 0) or (action == "BUY" and quantity < 0)
