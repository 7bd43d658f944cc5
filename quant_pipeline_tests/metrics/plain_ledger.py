"""A ledger of trades in plain Python, one fill after the other and in exact fractions: what the SQL is held against."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction


@dataclass(frozen=True)
class Fill:
    """One execution; ``commission`` is None where the broker has not reported it."""

    exec_id: str
    account: str
    symbol: str
    side: str
    quantity: float
    price: float
    commission: float | None
    filled_at: dt.datetime
    order_ref: str | None = None


@dataclass
class Trade:
    """A round trip so far; shares are positive in either direction, ``cost`` is that of the shares still held."""

    trade_id: str
    account: str
    symbol: str
    direction: str
    opened_at: dt.datetime
    closed_at: dt.datetime | None = None
    held: Fraction = Fraction(0)
    cost: Fraction = Fraction(0)
    entered: Fraction = Fraction(0)
    entry_value: Fraction = Fraction(0)
    exited: Fraction = Fraction(0)
    exit_value: Fraction = Fraction(0)
    gross: Fraction = Fraction(0)
    commission: Fraction = Fraction(0)
    commissions_known: bool = True
    entry_fills: int = 0
    exit_fills: int = 0
    prices: list[float] = field(default_factory=list)

    @property
    def sign(self) -> int:
        return 1 if self.direction == "LONG" else -1

    @property
    def net(self) -> Fraction:
        return self.gross - self.commission


def keep(fills: Iterable[Fill]) -> dict[str, Trade]:
    """All trades of all accounts by their id, at average cost."""
    trades: dict[str, Trade] = {}
    current: dict[tuple[str, str], Trade] = {}
    for fill in sorted(fills, key=lambda fill: (fill.filled_at, fill.exec_id)):
        left, bought = _shares(fill), fill.side == "BUY"
        trade = current.get((fill.account, fill.symbol))
        if trade is not None and bought != (trade.direction == "LONG"):
            gone = min(left, trade.held)
            _take_out(trade, fill, gone)
            left -= gone
            if trade.held == 0:
                trade.closed_at = fill.filled_at
                del current[fill.account, fill.symbol]
                trade = None
        if left == 0:
            continue
        if trade is None:
            direction = "LONG" if bought else "SHORT"
            trade = Trade(fill.exec_id, fill.account, fill.symbol, direction, fill.filled_at)
            trades[trade.trade_id] = current[fill.account, fill.symbol] = trade
        trade.held += left
        trade.cost += left * Fraction(fill.price)
        trade.entered += left
        trade.entry_value += left * Fraction(fill.price)
        trade.entry_fills += 1
        _charge(trade, fill, left)
    return trades


def _take_out(trade: Trade, fill: Fill, shares: Fraction) -> None:
    cost = trade.cost * shares / trade.held
    trade.gross += trade.sign * (shares * Fraction(fill.price) - cost)
    trade.cost -= cost
    trade.held -= shares
    trade.exited += shares
    trade.exit_value += shares * Fraction(fill.price)
    trade.exit_fills += 1
    _charge(trade, fill, shares)


def _charge(trade: Trade, fill: Fill, shares: Fraction) -> None:
    trade.prices.append(fill.price)
    if fill.commission is None:
        trade.commissions_known = False
    else:
        trade.commission += Fraction(fill.commission) * shares / _shares(fill)


def _shares(fill: Fill) -> Fraction:
    """The shares as they are written: 0.1 is a tenth."""
    return Fraction(str(fill.quantity))
