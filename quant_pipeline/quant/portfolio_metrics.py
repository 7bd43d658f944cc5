"""The monitoring panel's figures: capital, exposure, risk and the open positions that matter most.

Figures only; how they look is the panel's business and what may be traded the risk manager's. ``portfolio_status``
stores them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from quant_pipeline.errors import UsageError
from quant_pipeline.quant.book import PortfolioPosition, read_book

WORST = 3
"""So many of the positions that are not among the best are listed, so that losers are not hidden."""


@dataclass(frozen=True)
class PortfolioMetrics:
    """The account at a glance; dollars and percent of capital.

    ``long_value`` and ``short_value`` are both positive and count working entries, as the limits do. ``daily_pnl`` is
    NaN where it is not known. ``open_positions`` are the ``top`` positions by profit and loss, best first, and
    ``worst_positions`` the last of those that are not among them, worst first.
    """

    capital: float
    deployed: float
    available: float
    positions: int
    long: int
    short: int
    working_entries: int
    total_risk: float
    unrealized_pnl: float
    daily_pnl: float
    long_value: float
    short_value: float
    open_positions: tuple[PortfolioPosition, ...]
    worst_positions: tuple[PortfolioPosition, ...]

    @property
    def utilization_pct(self) -> float:
        """Deployed in percent of capital."""
        return _percent(self.deployed, self.capital)

    @property
    def total_risk_pct(self) -> float:
        """Total risk in percent of capital."""
        return _percent(self.total_risk, self.capital)

    @property
    def gross_exposure_pct(self) -> float:
        """Long and short value together in percent of capital."""
        return _percent(self.long_value + self.short_value, self.capital)

    @property
    def net_exposure_pct(self) -> float:
        """Long less short value in percent of capital; negative when net short."""
        return _percent(self.long_value - self.short_value, self.capital)

    @classmethod
    def from_frames(
        cls, account: pd.DataFrame, portfolio: pd.DataFrame, working_orders: pd.DataFrame, top: int = 10
    ) -> PortfolioMetrics:
        """Read the ``account``, ``portfolio`` and ``working_orders`` frames.

        Raises:
            UsageError: The account frame does not have exactly one row.
        """
        state = one_account(account)
        capital = float(state["capital"])
        book = read_book(portfolio, working_orders, capital)
        by_profit = sorted(book.positions, key=lambda position: (-position.unrealized_pnl, position.symbol))
        return cls(
            capital=capital,
            deployed=float(state["deployed"]),
            available=float(state["available"]),
            positions=len(book.positions),
            long=sum(position.quantity > 0 for position in book.positions),
            short=sum(position.quantity < 0 for position in book.positions),
            working_entries=len(book.entries),
            total_risk=book.risk,
            unrealized_pnl=round(sum(position.unrealized_pnl for position in book.positions), 2),
            daily_pnl=float(state["daily_pnl"]),
            long_value=book.long_value,
            short_value=book.short_value,
            open_positions=tuple(by_profit[:top]),
            worst_positions=tuple(by_profit[top:][: -WORST - 1 : -1]),
        )

    def to_frame(self, observed_at: dt.datetime) -> pd.DataFrame:
        """The ``portfolio_status`` frame; a stop or target that is not there is None in its struct."""
        row = {
            "capital": self.capital,
            "deployed": self.deployed,
            "available": self.available,
            "utilization_pct": self.utilization_pct,
            "positions": self.positions,
            "long": self.long,
            "short": self.short,
            "working_entries": self.working_entries,
            "total_risk": self.total_risk,
            "total_risk_pct": self.total_risk_pct,
            "unrealized_pnl": self.unrealized_pnl,
            "daily_pnl": self.daily_pnl,
            "long_value": self.long_value,
            "short_value": self.short_value,
            "gross_exposure_pct": self.gross_exposure_pct,
            "net_exposure_pct": self.net_exposure_pct,
            "open_positions": [_as_struct(position) for position in self.open_positions],
            "observed_at": pd.Timestamp(observed_at),
            "worst_positions": [_as_struct(position) for position in self.worst_positions],
        }
        return pd.DataFrame([row])


def one_account(account: pd.DataFrame) -> dict[Hashable, Any]:
    """The only row of an ``account`` frame. Raises ``UsageError`` when there is none, or more than one."""
    if len(account) != 1:
        raise UsageError(f"The account frame has {len(account)} rows; name the one account to trade in the settings.")
    return account.to_dict("records")[0]


def _percent(part: float, whole: float) -> float:
    return 100.0 * part / whole if whole > 0 else 0.0


def _as_struct(position: PortfolioPosition) -> dict[str, object]:
    return {
        "symbol": position.symbol,
        "direction": position.direction,
        "quantity": position.quantity,
        "entry": position.average_price,
        "current": position.market_price,
        "stop": position.stop,
        "target": position.target,
        "unrealized_pnl": position.unrealized_pnl,
        "unrealized_pct": position.unrealized_pct,
    }
