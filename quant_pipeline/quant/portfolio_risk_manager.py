"""How much of each score to trade, and the limits no order may break.

Sizing and the limits belong here; what is already committed comes from ``book``, what moves together from
``correlation_clusters``, and how a figure is held against its limit from ``risk_limits``. Orders are offered best first
and each one sees what was approved before it. Whether a stock can be borrowed is for the sender to find out.

**A refusal** names the first limit that bound, the figure and the limit. They are asked in this order: what forbids
every order (an account or a book that is not known, no capital, the daily loss); an offer that is no trade; the symbol
and the number of positions; the size, which is what ``max_risk_per_trade_pct`` and ``max_position_pct`` allow, so that
these bind where they do not reach for one share; its least value; then what the whole book would come to: total risk,
utilisation, gross and net exposure, cluster. Unknown is not empty: a figure that is missing refuses, it never passes.

**The limits** of a row are every limit in force in this order, each with its figure as it would be with the order,
approved or refused. What a refusal names is the first of them whose figure is beyond what is allowed, or not known. The
figures that need a size are not known for an account, a book or an offer that cannot be counted with; an order too
small for one share is judged as one share. ``allowed`` of the two that make the size is what they allow of the capital
sizing goes by, in percent of all of it; of the net exposure it is what it was before, for an order that brings it down.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from quant_pipeline.quant.book import Book, PortfolioPosition, read_book
from quant_pipeline.quant.correlation_clusters import CorrelationClusters, DailyCloses
from quant_pipeline.quant.portfolio_metrics import PortfolioMetrics, one_account
from quant_pipeline.quant.risk_limits import DOLLARS, DUST, PERCENT, POSITIONS, Judgement, not_judged, of_capital
from quant_pipeline.settings import RiskSettings

__all__ = ["PortfolioMetrics", "PortfolioPosition", "PortfolioRiskManager"]

A_HAIR = 1e-9
"""A quotient of dollars by a price that is less than this below a whole number of shares is that number."""

SMALLEST_PRICE = 0.0001
"""The smallest price step there is; what costs less is not a price."""

SIGNS = {"LONG": 1, "SHORT": -1}

NAMED_MEMBERS = 5
"""So many of the stocks of a cluster are named in a refusal."""

_TEXTS = ("symbol", "direction")
_NUMBERS = ("total_score", "entry_price", "stop_price", "target_price")
_COLUMNS = [
    "symbol", "direction", "quantity", "entry_price", "stop_price", "target_price", "risk_amount", "position_value",
    "approved", "reason", "order_ref", "limits",
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
            fault=_fault(state, book),
            day=tuple(_day(self.settings, state)),
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


def _fault(account: Mapping[Any, Any], book: Book) -> str | None:
    """What of the account or the book cannot be counted with, so that nothing may be approved, or None."""
    for name in ("capital", "deployed", "available"):
        if not (math.isfinite(account[name]) and account[name] >= 0.0):
            return f"account: {name} is {account[name]:,.2f}, which is no figure to count with"
    if account["capital"] == 0.0:
        return "account: there is no capital to trade with"
    return book.unknown


def _day(limits: RiskSettings, account: Mapping[Any, Any]) -> Iterator[Judgement]:
    """The limit on the day's loss, the same for every offer; nothing while it is off."""
    limit, most = "max_daily_loss_pct", limits.max_daily_loss_pct
    if most is None:
        return
    capital, result = float(account["capital"]), float(account["daily_pnl"])
    if math.isfinite(result) and 0.0 < capital < math.inf:
        yield of_capital(limit, -result, most, capital, "were lost today")
    else:
        said = f"{limit}: the day's profit and loss is not known, so that its limit cannot be checked"
        yield Judgement(limit, math.nan, most, PERCENT, said)


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

    ``fault`` is what cannot be counted with, if anything; ``day`` the judgement of the day that all orders share;
    ``clusters`` is None while their limit is off.
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
    fault: str | None
    day: tuple[Judgement, ...]
    clusters: CorrelationClusters | None

    def decide(self, offer: _Offer, slot_key: str) -> dict[str, object]:
        unsound = self.fault or offer.fault
        shares = 0 if unsound else self._shares(offer)
        judged = (*self._taken(offer), *(not_judged(self.settings) if unsound else self._judged(offer, shares)))
        reason = self.fault or _refusal(self.day) or offer.fault or _refusal(judged)
        quantity = shares if reason is None else 0
        value, risk = (quantity * each if quantity else 0.0 for each in (offer.entry, offer.risk_a_share))
        if quantity:
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
            "limits": [each.record() for each in (*self.day, *judged)],
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

    def _taken(self, offer: _Offer) -> Iterator[Judgement]:
        """Whether the symbol, or the last place for a position, is taken."""
        busy, taken, places = offer.symbol in self.busy, len(self.symbols), self.settings.max_positions
        twice = f"allow_duplicate_symbols: {offer.symbol} is already held or on order" if busy else None
        yield Judgement("allow_duplicate_symbols", 2.0 if busy else 1.0, 1.0, POSITIONS, twice)
        after = taken + (offer.symbol not in self.symbols)
        full = f"max_positions: {taken} of {places} positions are taken" if after > places else None
        yield Judgement("max_positions", float(after), float(places), POSITIONS, full)

    def _judged(self, offer: _Offer, shares: int) -> Iterator[Judgement]:
        """What the limits that need a size say of it; where it is nothing, of one share."""
        value, risk = max(shares, 1) * offer.entry, max(shares, 1) * offer.risk_a_share
        yield from self._sized(offer, value, risk)
        yield from self._whole_book(value, risk)
        yield self._one_sided(offer, value)
        most = self.settings.max_cluster_pct
        if self.clusters is not None and most is not None:
            yield self._alike(self.clusters, offer, value, most)

    def _shares(self, offer: _Offer) -> int:
        """The sizing formula: as many shares as the risk of one trade and the value of one symbol allow."""
        by_risk = self.settings.max_risk_per_trade_pct / 100.0 * self._base / offer.risk_a_share
        by_value = self.settings.max_position_pct / 100.0 * self._base / offer.entry
        return math.floor(min(by_risk, by_value) + A_HAIR)

    def _sized(self, offer: _Offer, value: float, risk: float) -> Iterator[Judgement]:
        """Whether the two limits that make the size reach for a share, and whether the position is worth having."""
        limits, entry, at_stop = self.settings, offer.entry, offer.risk_a_share
        costs = f"one share at ${entry:,.2f} ({self._percent(entry)}) is more than"
        yield self._a_share("max_position_pct", limits.max_position_pct, entry, value, costs)
        risks = f"one share risks ${at_stop:,.2f} ({self._percent(at_stop)}), more than"
        yield self._a_share("max_risk_per_trade_pct", limits.max_risk_per_trade_pct, at_stop, risk, risks)
        least, refusal = limits.min_position_value, None
        if value < least - DUST:
            refusal = f"min_position_value: ${value:,.2f} ({self._percent(value)}) is below ${least:,.2f}"
        yield Judgement("min_position_value", value, least, DOLLARS, refusal, least=True)

    def _a_share(self, limit: str, pct: float, share: float, amount: float, what: str) -> Judgement:
        """Dollars of the order against a limit of the size, which refuses when it does not reach for one share."""
        reach = pct / 100.0 * self._base
        refusal = None
        if reach / share + A_HAIR < 1.0:
            refusal = f"{limit}: {what} {pct:g} % of the {self.settings.sizing_capital} capital (${reach:,.2f})"
        return Judgement(limit, self._share(amount), self._share(reach), PERCENT, refusal)

    def _whole_book(self, value: float, risk: float) -> Iterator[Judgement]:
        """The limits on all that would be committed, whatever its direction."""
        limits, capital = self.settings, self.capital
        yield of_capital(
            "max_total_risk_pct", self.risk + risk, limits.max_total_risk_pct, capital, "would be at risk in all"
        )
        yield of_capital(
            "max_utilization_pct",
            self.deployed + value,
            limits.max_utilization_pct,
            capital,
            "would be deployed",
            reserve_pct=limits.utilization_reserve_pct,
        )
        gross = self.long + self.short + value
        yield of_capital(
            "max_gross_exposure_pct", gross, limits.max_gross_exposure_pct, capital, "would be long and short together"
        )

    def _one_sided(self, offer: _Offer, value: float) -> Judgement:
        """The net exposure; an order that brings it down may always do so."""
        limit, most = "max_net_exposure_pct", self.settings.max_net_exposure_pct
        before = self.long - self.short
        after = before + offer.sign * value
        if abs(after) < abs(before):
            return Judgement(limit, self._share(abs(after)), max(most, self._share(abs(before))), PERCENT)
        return of_capital(limit, abs(after), most, self.capital, f"would be net {'long' if after > 0.0 else 'short'}")

    def _alike(self, clusters: CorrelationClusters, offer: _Offer, value: float, most: float) -> Judgement:
        """The largest cluster the order would count in."""
        cluster = clusters.value_with(offer.symbol, offer.sign, value)
        names = list(dict.fromkeys(cluster.members))
        more = f" and {len(names) - NAMED_MEMBERS} more" if len(names) > NAMED_MEMBERS else ""
        others = f", with {', '.join(names[:NAMED_MEMBERS])}{more}" if names else ""
        unknown = f"; {cluster.unknown} of them without known bars" if cluster.unknown else ""
        what = f"would be in {offer.symbol} and what moves with it ({cluster.stocks} in all{others}{unknown})"
        return of_capital("max_cluster_pct", cluster.value, most, self.capital, what)

    @property
    def _base(self) -> float:
        """What the sizing percentages are taken of, in dollars."""
        return max(self.available, 0.0) if self.settings.sizing_capital == "available" else self.capital

    def _share(self, amount: float) -> float:
        """Dollars in percent of capital."""
        return 100.0 * amount / self.capital

    def _percent(self, amount: float) -> str:
        return f"{self._share(amount):.2f} {PERCENT}"


def _refusal(judged: Iterable[Judgement]) -> str | None:
    """The first refusal, or None."""
    return next((each.refusal for each in judged if each.refusal is not None), None)
