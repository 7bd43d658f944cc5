"""How much of each score to trade, and the limits no order may break.

Sizing and the six limits belong here; what is already committed comes from ``book``. Orders are offered best first and
each one sees what was approved before it. A refusal names the setting that bound and its figure. Whether a stock can be
borrowed is for the sender to find out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pandas as pd

from quant_pipeline.quant.book import Book, PortfolioPosition, read_book
from quant_pipeline.quant.portfolio_metrics import PortfolioMetrics, one_account
from quant_pipeline.settings import RiskSettings

__all__ = ["PortfolioMetrics", "PortfolioPosition", "PortfolioRiskManager"]

DUST = 1e-6
"""Floating-point dust: a figure within this many dollars of a limit is at the limit."""

_PRICES = ["symbol", "direction", "entry_price", "stop_price", "target_price"]


@dataclass(frozen=True)
class PortfolioRiskManager:
    """Sizes orders under the risk settings."""

    settings: RiskSettings

    def size(
        self,
        scores: pd.DataFrame,
        account: pd.DataFrame,
        portfolio: pd.DataFrame,
        working_orders: pd.DataFrame,
        slot_key: str,
    ) -> pd.DataFrame:
        """Approve or refuse every score offered, the highest first, ties by symbol.

        Args:
            scores: Rows of a ``scores`` frame; the caller has applied the threshold.
            account: The ``account`` frame.
            portfolio: The ``portfolio`` frame.
            working_orders: The ``working_orders`` frame.
            slot_key: The slot, first part of each order's reference.

        Returns:
            A ``sized_orders`` frame in the order of the offers.
        """
        state = one_account(account)
        capital = float(state["capital"])
        book = read_book(portfolio, working_orders, capital)
        # Account values lag the book at times; the reading that says more is committed holds.
        deployed = max(float(state["deployed"]), book.value)
        available = min(float(state["available"]), max(capital - deployed, 0.0))
        offering = _Pass(self.settings, capital, available, deployed, book)
        offers = scores.sort_values(["total_score", "symbol"], ascending=[False, True], kind="stable")
        rows = [offering.decide(_Offer(*offer), slot_key) for offer in offers[_PRICES].itertuples(index=False)]
        return pd.DataFrame(rows, columns=_COLUMNS)


_COLUMNS = [
    "symbol", "direction", "quantity", "entry_price", "stop_price", "target_price", "risk_amount", "position_value",
    "approved", "reason", "order_ref",
]  # fmt: skip


@dataclass(frozen=True)
class _Offer:
    symbol: str
    direction: str
    entry: float
    stop: float
    target: float

    @property
    def risk_a_share(self) -> float:
        return abs(self.entry - self.stop)


@dataclass
class _Pass:
    """One pass over the offers: what is committed so far, in dollars, and the rules for one more order."""

    settings: RiskSettings
    capital: float
    available: float
    deployed: float
    book: Book
    risk: float = field(init=False)
    symbols: set[str] = field(init=False)
    busy: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self.risk = self.book.risk
        self.symbols = set(self.book.symbols)
        self.busy = set(self.book.busy)

    def decide(self, offer: _Offer, slot_key: str) -> dict[str, object]:
        shares = self._shares(offer)
        reason = self._refusal(offer, shares)
        quantity = shares if reason is None else 0
        value, risk = quantity * offer.entry, quantity * offer.risk_a_share
        if reason is None:
            self.deployed += value
            self.available = max(self.available - value, 0.0)
            self.risk += risk
            self.symbols.add(offer.symbol)
            self.busy.add(offer.symbol)
        return {
            "symbol": offer.symbol,
            "direction": offer.direction,
            "quantity": quantity,
            "entry_price": offer.entry,
            "stop_price": offer.stop,
            "target_price": offer.target,
            "risk_amount": round(risk, 4),
            "position_value": round(value, 4),
            "approved": reason is None,
            "reason": reason,
            "order_ref": f"{slot_key}:{offer.symbol}:entry",
        }

    def _shares(self, offer: _Offer) -> int:
        """The sizing formula; never negative, and 0 when the prices do not make a trade."""
        if not offer.risk_a_share > 0.0 or not offer.entry > 0.0:
            return 0
        by_risk = self.settings.max_risk_per_trade_pct / 100.0 * self._base / offer.risk_a_share
        by_value = self.settings.max_position_pct / 100.0 * self._base / offer.entry
        # A quotient a hair below a whole number is that number.
        return max(math.floor(min(by_risk, by_value) + 1e-9), 0)

    def _refusal(self, offer: _Offer, shares: int) -> str | None:
        """The first limit the order would break, or None."""
        limits = self.settings
        value, risk = shares * offer.entry, shares * offer.risk_a_share
        if offer.symbol in self.busy:
            return f"allow_duplicate_symbols: {offer.symbol} is already held or on order"
        if len(self.symbols) >= limits.max_positions:
            return f"max_positions: {len(self.symbols)} of {limits.max_positions} positions are taken"
        if shares == 0:
            return self._too_small(offer)
        if value < limits.min_position_value - DUST:
            return f"min_position_value: ${value:,.2f} is below ${limits.min_position_value:,.2f}"
        checks = (
            ("max_risk_per_trade_pct", risk, limits.max_risk_per_trade_pct, 0.0, "would be at risk in the trade"),
            ("max_position_pct", value, limits.max_position_pct, 0.0, "would be in the symbol"),
            ("max_total_risk_pct", self.risk + risk, limits.max_total_risk_pct, 0.0, "would be at risk in all"),
            (
                "max_utilization_pct",
                self.deployed + value,
                limits.max_utilization_pct,
                limits.utilization_reserve_pct,
                "would be deployed",
            ),
        )
        for name, amount, limit, reserve, what in checks:
            if amount > (limit - reserve) / 100.0 * self.capital + DUST:
                figure = f"${amount:,.2f} ({self._percent(amount):.2f} % of capital)"
                kept = f" less {reserve:g} % kept in reserve" if reserve else ""
                return f"{name}: {figure} {what}, the limit is {limit:g} %{kept}"
        return None

    def _too_small(self, offer: _Offer) -> str:
        """Which of the two sizing limits does not reach for a single share."""
        if not offer.risk_a_share > 0.0:
            return "max_risk_per_trade_pct: the stop is at the entry"
        by_value, by_risk = self.settings.max_position_pct, self.settings.max_risk_per_trade_pct
        if by_value / 100.0 * self._base < offer.entry:
            return f"max_position_pct: {by_value:g} % of ${self._base:,.2f} buys no share at {offer.entry:.2f}"
        allowed = f"{by_risk:g} % of ${self._base:,.2f}"
        return f"max_risk_per_trade_pct: a share risks ${offer.risk_a_share:,.2f}, over {allowed}"

    @property
    def _base(self) -> float:
        """What the sizing percentages are taken of, in dollars."""
        return self.available if self.settings.sizing_capital == "available" else self.capital

    def _percent(self, amount: float) -> float:
        return 100.0 * amount / self.capital if self.capital > 0.0 else math.inf
