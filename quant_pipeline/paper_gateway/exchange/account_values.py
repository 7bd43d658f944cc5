"""What an account is worth at an instant: net liquidation value, margin, buying power, profit and loss.

The arithmetic over a book and quotes, and the words IB uses for it. The margin rule is a plain one: a position and an
order that opens one need 25 % of their value, so buying power is four times the funds that are available. Called by
``order_desk`` before it accepts an order and by ``account_answers``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace

from quant_pipeline.paper_gateway.exchange.book import Book
from quant_pipeline.paper_gateway.exchange.orders import Order, OrderTerms
from quant_pipeline.paper_gateway.exchange.portfolio import Portfolio
from quant_pipeline.paper_gateway.exchange.trading_hours import latest_session
from quant_pipeline.paper_gateway.markets.market import Market, Quote

MARGIN_SHARE = 0.25
QUOTES_AGE = dt.timedelta(seconds=1)


@dataclass(frozen=True)
class Holding:
    """A position with its present price; quantity 0 when it was closed today."""

    symbol: str
    quantity: int
    price: float
    average_cost: float
    realized_pnl: float
    daily_pnl: float

    @property
    def value(self) -> float:
        """Market value in dollars, negative when short."""
        return self.quantity * self.price

    @property
    def unrealized_pnl(self) -> float:
        """Profit since it was bought, commissions included."""
        return self.quantity * (self.price - self.average_cost)


@dataclass(frozen=True)
class AccountState:
    """An account at an instant, in dollars."""

    cash: float
    holdings: dict[str, Holding]
    realized_pnl: float
    daily_pnl: float

    @property
    def net_liquidation(self) -> float:
        """Cash and the value of all positions."""
        return self.cash + sum(holding.value for holding in self.holdings.values())

    @property
    def gross_value(self) -> float:
        """The value of all positions, short ones counted as positive."""
        return sum(abs(holding.value) for holding in self.holdings.values())

    @property
    def margin(self) -> float:
        """What the positions need."""
        return MARGIN_SHARE * self.gross_value

    @property
    def available(self) -> float:
        """What is left for new positions."""
        return self.net_liquidation - self.margin

    @property
    def unrealized_pnl(self) -> float:
        """Profit of the open positions."""
        return sum(holding.unrealized_pnl for holding in self.holdings.values())

    def words(self) -> dict[str, str]:
        """The values by IB's tags, as text; all in US dollars except those of ``WITHOUT_CURRENCY``."""
        amounts = {
            "NetLiquidation": self.net_liquidation,
            "TotalCashValue": self.cash,
            "TotalCashBalance": self.cash,
            "CashBalance": self.cash,
            "SettledCash": self.cash,
            "AccruedCash": 0.0,
            "BuyingPower": max(0.0, self.available / MARGIN_SHARE),
            "EquityWithLoanValue": self.net_liquidation,
            "PreviousDayEquityWithLoanValue": self.net_liquidation - self.daily_pnl,
            "GrossPositionValue": self.gross_value,
            "StockMarketValue": self.net_liquidation - self.cash,
            "RegTEquity": self.net_liquidation,
            "RegTMargin": self.margin,
            "InitMarginReq": self.margin,
            "MaintMarginReq": self.margin,
            "FullInitMarginReq": self.margin,
            "FullMaintMarginReq": self.margin,
            "AvailableFunds": self.available,
            "ExcessLiquidity": self.available,
            "FullAvailableFunds": self.available,
            "FullExcessLiquidity": self.available,
            "UnrealizedPnL": self.unrealized_pnl,
            "RealizedPnL": self.realized_pnl,
        }
        worth = self.net_liquidation
        plain = {
            "AccountType": "INDIVIDUAL",
            "AccountReady": "true",
            "Cushion": f"{self.available / worth if worth else 0.0:.4f}",
            "Leverage": f"{self.gross_value / worth if worth else 0.0:.2f}",
            "DayTradesRemaining": "-1",
        }
        return plain | {tag: f"{amount:.2f}" for tag, amount in amounts.items()}


WITHOUT_CURRENCY = frozenset({"AccountType", "AccountReady", "Cushion", "Leverage", "DayTradesRemaining"})
LEDGER = ("CashBalance", "TotalCashBalance", "StockMarketValue", "UnrealizedPnL", "RealizedPnL")


class Accountant:
    """Puts prices on a book; asks the market for all quotes at most once a second of exchange time."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._quotes: Mapping[str, Quote] = {}
        self._quoted_at: dt.datetime | None = None

    def quotes(self, now: dt.datetime) -> Mapping[str, Quote]:
        """All quotes, a second old at most and never from later than ``now``."""
        if self._quoted_at is None or not self._quoted_at <= now < self._quoted_at + QUOTES_AGE:
            self._quotes = self._market.quotes(now)
            self._quoted_at = now
        return self._quotes

    def state(self, book: Book, now: dt.datetime) -> AccountState:
        """The account at ``now``; daily profit counts from the last session's previous close."""
        quotes = self.quotes(now)
        day_began = latest_session(now).opens
        opening = book.portfolio_before(day_began)
        holdings: dict[str, Holding] = {}
        realized = daily = 0.0
        for symbol, position in book.portfolio.positions.items():
            before = opening.positions.get(symbol)
            realized_today = position.realized_pnl - (before.realized_pnl if before else 0.0)
            quote = quotes.get(symbol)
            price = quote.last if quote else position.average_cost
            overnight = before.quantity * (quote.previous_close - before.average_cost) if before and quote else 0.0
            unrealized = position.quantity * (price - position.average_cost)
            daily_pnl = realized_today + unrealized - overnight
            realized += realized_today
            daily += daily_pnl
            if position.quantity or realized_today:
                holdings[symbol] = Holding(
                    symbol, position.quantity, price, position.average_cost, realized_today, daily_pnl
                )
        return AccountState(book.portfolio.cash, holdings, realized, daily)

    def shortfall(self, terms: OrderTerms, book: Book, now: dt.datetime, replaced: Order | None = None) -> str:
        """Why an order cannot be afforded, or nothing when it can.

        An order needs margin for the part that opens or enlarges a position, and so do the working orders that were
        accepted before it; children need none, since they close what their parent opened.
        """
        needed = self.margin_of(terms, book.portfolio, now)
        if not needed:
            return ""
        earlier = sum(
            self.margin_of(replace(order.terms, quantity=order.remaining), book.portfolio, now)
            for order in book.live.values()
            if not order.parent_perm_id and (replaced is None or order.perm_id != replaced.perm_id)
        )
        available = self.state(book, now).available - earlier
        if needed <= available:
            return ""
        return (
            "YOUR ORDER IS NOT ACCEPTED. IN ORDER TO OBTAIN THE DESIRED POSITION YOUR EQUITY WITH LOAN VALUE "
            f"MUST COVER AN INITIAL MARGIN OF {needed:.2f} USD, {max(0.0, available):.2f} USD ARE AVAILABLE"
        )

    def margin_of(self, terms: OrderTerms, portfolio: Portfolio, now: dt.datetime) -> float:
        """Dollars of margin the opening part of an order needs, at its own price or at the market's."""
        position = portfolio.positions.get(terms.symbol)
        held = position.quantity if position else 0
        signed = terms.action.sign * terms.quantity
        opening = max(0, abs(held + signed) - abs(held))
        if not opening:
            return 0.0
        return MARGIN_SHARE * opening * self._price_of(terms, now)

    def _price_of(self, terms: OrderTerms, now: dt.datetime) -> float:
        if terms.limit_price is not None:
            return terms.limit_price
        if terms.stop_price is not None:
            return terms.stop_price
        return self.last_price(terms.symbol, now)

    def last_price(self, symbol: str, now: dt.datetime) -> float:
        """What a share traded at last, or 0 where nothing has traded."""
        quote = self.quotes(now).get(symbol)
        return quote.last if quote else 0.0
