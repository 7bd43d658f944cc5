"""How much of each score to trade, and the limits no order may break.

Sizing and the limits belong here; what is already committed comes from ``book`` and what moves together from
``correlation_clusters``. Orders are offered best first and each one sees what was approved before it. Whether a stock
can be borrowed is for the sender to find out.

**A refusal** names the first limit that bound, the figure and the limit. They are asked in this order: what forbids
every order (an account or a book that is not known, no capital, the daily loss); an offer that is no trade; the symbol
and the number of positions; the size, which is what ``max_risk_per_trade_pct`` and ``max_position_pct`` allow, so that
these bind where they do not reach for one share; its least value; then what the whole book would come to: total risk,
utilisation, gross and net exposure, cluster. Unknown is not empty: a figure that is missing refuses, it never passes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from quant_pipeline.quant.book import Book, PortfolioPosition, read_book
from quant_pipeline.quant.correlation_clusters import CorrelationClusters, DailyCloses
from quant_pipeline.quant.portfolio_metrics import PortfolioMetrics, one_account
from quant_pipeline.settings import RiskSettings

__all__ = ["PortfolioMetrics", "PortfolioPosition", "PortfolioRiskManager"]

DUST = 1e-6
"""Floating-point dust: a figure within this many dollars of a limit is at the limit."""

SMALLEST_PRICE = 0.0001
"""The smallest price step there is; what costs less is not a price."""

SIGNS = {"LONG": 1, "SHORT": -1}

_TEXTS = ("symbol", "direction")
_NUMBERS = ("total_score", "entry_price", "stop_price", "target_price")
_COLUMNS = [
    "symbol", "direction", "quantity", "entry_price", "stop_price", "target_price", "risk_amount", "position_value",
    "approved", "reason", "order_ref",
]  # fmt: skip


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
        bars: pd.DataFrame,
        slot_key: str,
    ) -> pd.DataFrame:
        """Approve or refuse every score offered, the highest first, ties by symbol; rows of the frames in any order.

        Args:
            scores: Rows of a ``scores`` frame; the caller has applied the threshold.
            account: The ``account`` frame.
            portfolio: The ``portfolio`` frame.
            working_orders: The ``working_orders`` frame.
            bars: The ``bars`` frame; read only while ``max_cluster_pct`` is set.
            slot_key: The slot, first part of each order's reference.

        Returns:
            A ``sized_orders`` frame in the order of the offers.

        Raises:
            UsageError: The account frame does not have exactly one row.
        """
        state = one_account(account)
        capital = float(state["capital"])
        book = read_book(portfolio, working_orders, capital)
        # Account values lag the book at times; the reading that says more is committed holds.
        deployed = max(float(state["deployed"]), book.value)
        columns = [scores[name].to_list() for name in _TEXTS] + [
            scores[name].to_numpy(float).tolist() for name in _NUMBERS
        ]
        offers = sorted((_Offer(*row) for row in zip(*columns, strict=True)), key=_Offer.rank)
        offering = _Pass(
            settings=self.settings,
            capital=capital,
            deployed=deployed,
            available=min(float(state["available"]), capital - deployed),
            risk=book.risk,
            long=book.long_value,
            short=book.short_value,
            symbols=set(book.symbols),
            busy=set(book.busy),
            halt=_halt(self.settings, state, book),
            clusters=self._clusters(book, bars, [offer.symbol for offer in offers]),
        )
        rows = [offering.decide(offer, slot_key) for offer in offers]
        return pd.DataFrame(rows, columns=_COLUMNS)

    def _clusters(self, book: Book, bars: pd.DataFrame, offered: list[str]) -> CorrelationClusters | None:
        """The clusters of what is committed, or None while the limit is off."""
        limits = self.settings
        if limits.max_cluster_pct is None:
            return None
        closes = DailyCloses.from_frame(bars, [*offered, *book.symbols])
        clusters = CorrelationClusters(closes, correlation=limits.cluster_correlation, returns=limits.cluster_bars)
        for symbol, direction, value in book.commitments:
            clusters.commit(symbol, SIGNS[direction], value)
        return clusters


def _halt(limits: RiskSettings, account: Mapping[Any, Any], book: Book) -> str | None:
    """Why no order at all may be approved, or None."""
    for name in ("capital", "deployed", "available"):
        if not (math.isfinite(account[name]) and account[name] >= 0.0):
            return f"account: {name} is {account[name]:,.2f}, which is no figure to count with"
    capital = float(account["capital"])
    if capital == 0.0:
        return "account: there is no capital to trade with"
    if book.unknown is not None:
        return book.unknown
    if limits.max_daily_loss_pct is None:
        return None
    if not math.isfinite(account["daily_pnl"]):
        return "max_daily_loss_pct: the day's profit and loss is not known, so that its limit cannot be checked"
    loss = _Figure("max_daily_loss_pct", -float(account["daily_pnl"]), limits.max_daily_loss_pct)
    return loss.refusal(capital, "were lost today")


@dataclass(frozen=True)
class _Figure:
    """Dollars beside the limit they are held against, in percent of capital, less a reserve in percent."""

    limit: str
    amount: float
    allowed_pct: float
    reserve_pct: float = 0.0

    def refusal(self, capital: float, what: str) -> str | None:
        """The figure and the limit in words when it is above, or None; ``what`` says of the dollars what they are."""
        allowed = (self.allowed_pct - self.reserve_pct) / 100.0 * capital
        if self.amount <= allowed + DUST:
            return None
        share = 100.0 * self.amount / capital
        kept = f" less {self.reserve_pct:g} % kept in reserve" if self.reserve_pct else ""
        return (
            f"{self.limit}: ${self.amount:,.2f} ({share:.2f} % of capital) {what}, "
            f"the limit is {self.allowed_pct:g} %{kept} (${max(allowed, 0.0):,.2f})"
        )


@dataclass(frozen=True)
class _Offer:
    symbol: str
    direction: str
    score: float
    entry: float
    stop: float
    target: float

    def rank(self) -> tuple[object, ...]:
        """Its place among the offers: what follows the symbol decides only where one is offered twice."""
        numbers = (-self.score, self.entry, self.stop, self.target)
        score, *prices = (math.inf if math.isnan(number) else number for number in numbers)
        return score, self.symbol, self.direction, *prices

    @property
    def sign(self) -> int:
        return SIGNS[self.direction]

    @property
    def risk_a_share(self) -> float:
        return abs(self.entry - self.stop)

    @property
    def fault(self) -> str | None:
        """What makes it no trade, or None."""
        if self.direction not in SIGNS:
            return f"direction: {self.direction} is neither LONG nor SHORT"
        if not 0.0 <= self.score <= 100.0:
            return f"total_score: {self.score:g} is not a score from 0 to 100"
        for name, price in (("entry_price", self.entry), ("stop_price", self.stop), ("target_price", self.target)):
            if not SMALLEST_PRICE <= price < math.inf:
                return f"{name}: {price:g} is not a price"
        losing, winning = ("below", "above") if self.sign > 0 else ("above", "below")
        if not (self.entry - self.stop) * self.sign > 0.0:
            return f"stop_price: {self.stop:.2f} is not {losing} the entry at {self.entry:.2f}"
        if not (self.target - self.entry) * self.sign > 0.0:
            return f"target_price: {self.target:.2f} is not {winning} the entry at {self.entry:.2f}"
        return None


@dataclass
class _Pass:
    """One pass over the offers: what is committed so far, in dollars, and the rules for one more order.

    ``halt`` is the reason that forbids every order, if there is one; ``clusters`` is None while their limit is off.
    """

    settings: RiskSettings
    capital: float
    deployed: float
    available: float
    risk: float
    long: float
    short: float
    symbols: set[str]
    busy: set[str]
    halt: str | None
    clusters: CorrelationClusters | None

    def decide(self, offer: _Offer, slot_key: str) -> dict[str, object]:
        quantity, value, risk = 0, 0.0, 0.0
        reason = self.halt or offer.fault or self._taken(offer)
        if reason is None:
            shares = self._shares(offer)
            reason = self._too_small(offer, shares) or self._too_much(offer, shares)
            if reason is None:
                quantity, value, risk = shares, shares * offer.entry, shares * offer.risk_a_share
                self._commit(offer, value, risk)
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

    def _commit(self, offer: _Offer, value: float, risk: float) -> None:
        self.deployed += value
        self.available -= value
        self.risk += risk
        self.long += value if offer.sign > 0 else 0.0
        self.short += value if offer.sign < 0 else 0.0
        self.symbols.add(offer.symbol)
        self.busy.add(offer.symbol)
        if self.clusters is not None:
            self.clusters.commit(offer.symbol, offer.sign, value)

    def _taken(self, offer: _Offer) -> str | None:
        """Whether the symbol, or the last place for a position, is taken."""
        if offer.symbol in self.busy:
            return f"allow_duplicate_symbols: {offer.symbol} is already held or on order"
        if len(self.symbols) >= self.settings.max_positions:
            return f"max_positions: {len(self.symbols)} of {self.settings.max_positions} positions are taken"
        return None

    def _shares(self, offer: _Offer) -> int:
        """The sizing formula: as many shares as the risk of one trade and the value of one symbol allow."""
        by_risk = self.settings.max_risk_per_trade_pct / 100.0 * self._base / offer.risk_a_share
        by_value = self.settings.max_position_pct / 100.0 * self._base / offer.entry
        # A quotient a hair below a whole number is that number.
        return math.floor(min(by_risk, by_value) + 1e-9)

    def _too_small(self, offer: _Offer, shares: int) -> str | None:
        """Which of the two sizing limits does not reach for a share, or that the position is not worth having."""
        if shares == 0:
            by_value, by_risk = self.settings.max_position_pct, self.settings.max_risk_per_trade_pct
            base = f"{self.settings.sizing_capital} capital"
            symbol, trade = (pct / 100.0 * self._base for pct in (by_value, by_risk))
            if symbol < offer.entry - DUST:
                return (
                    f"max_position_pct: one share at ${offer.entry:,.2f} ({self._percent(offer.entry)}) is more than "
                    f"{by_value:g} % of the {base} (${symbol:,.2f})"
                )
            return (
                f"max_risk_per_trade_pct: one share risks ${offer.risk_a_share:,.2f} "
                f"({self._percent(offer.risk_a_share)}), more than {by_risk:g} % of the {base} (${trade:,.2f})"
            )
        value, least = shares * offer.entry, self.settings.min_position_value
        if value < least - DUST:
            return f"min_position_value: ${value:,.2f} ({self._percent(value)}) is below ${least:,.2f}"
        return None

    def _too_much(self, offer: _Offer, shares: int) -> str | None:
        """The first limit on the whole book that the order would break, or None."""
        limits = self.settings
        value, risk = shares * offer.entry, shares * offer.risk_a_share
        used, kept = limits.max_utilization_pct, limits.utilization_reserve_pct
        gross = _Figure("max_gross_exposure_pct", self.long + self.short + value, limits.max_gross_exposure_pct)
        checks = (
            (_Figure("max_total_risk_pct", self.risk + risk, limits.max_total_risk_pct), "would be at risk in all"),
            (_Figure("max_utilization_pct", self.deployed + value, used, kept), "would be deployed"),
            (gross, "would be long and short together"),
        )
        for figure, what in checks:
            refusal = figure.refusal(self.capital, what)
            if refusal is not None:
                return refusal
        return self._too_one_sided(offer, value) or self._too_alike(offer, value)

    def _too_one_sided(self, offer: _Offer, value: float) -> str | None:
        """Whether the net exposure would be too large; an order that brings it down may always do so."""
        before = self.long - self.short
        after = before + offer.sign * value
        if abs(after) < abs(before):
            return None
        figure = _Figure("max_net_exposure_pct", abs(after), self.settings.max_net_exposure_pct)
        return figure.refusal(self.capital, f"would be net {'long' if after > 0.0 else 'short'}")

    def _too_alike(self, offer: _Offer, value: float) -> str | None:
        """Whether a cluster the order counts in would be too large."""
        limit = self.settings.max_cluster_pct
        if self.clusters is None or limit is None:
            return None
        cluster = self.clusters.value_with(offer.symbol, offer.sign, value)
        unknown = f", {cluster.unknown} of them without known bars" if cluster.unknown else ""
        what = f"would be in {offer.symbol} and what moves with it ({cluster.stocks} in all{unknown})"
        return _Figure("max_cluster_pct", cluster.value, limit).refusal(self.capital, what)

    @property
    def _base(self) -> float:
        """What the sizing percentages are taken of, in dollars."""
        return max(self.available, 0.0) if self.settings.sizing_capital == "available" else self.capital

    def _percent(self, amount: float) -> str:
        return f"{100.0 * amount / self.capital:.2f} % of capital"
