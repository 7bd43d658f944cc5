"""Can this quote be traded on? The first thing wrong with it, in words with its figure.

Checks on quotes belong here, checks on bars in ``bar_quality``; the quality filter of ``quant_scanner`` asks both.

A locked quote, bid equal to ask, passes: it is brief and looks odd, but both sides are there with their shares, and a
limit order at that price pays no spread. A crossed one does not: one of its sides is wrong, and nobody can say which.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from quant_pipeline.settings import QualitySettings

MOST_DECIMALS = 6
"""A figure that equals its limit to fewer decimals than these is at the limit: beyond them is rounding."""


@dataclass(frozen=True)
class QuoteReading:
    """What the filter looks at of one symbol's quote; NaN where the broker did not say."""

    bid: float
    ask: float
    last: float
    bid_size: float
    ask_size: float
    halted: bool
    age_seconds: float

    @property
    def two_sided(self) -> bool:
        """Whether both sides are quoted."""
        return self.bid > 0.0 and self.ask > 0.0

    @property
    def spread_pct(self) -> float:
        """Spread in percent of the mid, NaN unless both sides are quoted."""
        return 100.0 * (self.ask - self.bid) / ((self.ask + self.bid) / 2.0) if self.two_sided else math.nan


def read_quotes(quotes: pd.DataFrame) -> dict[str, QuoteReading]:
    """The quotes by symbol. What is not a positive finite number is a price or a size the broker did not give."""
    ages = (quotes["observed_at"] - quotes["quoted_at"]).dt.total_seconds()
    numbers = quotes[["bid", "ask", "last", "bid_size", "ask_size"]].to_numpy(dtype=float, na_value=np.nan)
    given = np.where(np.isfinite(numbers) & (numbers > 0.0), numbers, np.nan).tolist()
    return {
        str(symbol): QuoteReading(*prices_and_sizes, halted=bool(halted), age_seconds=age)
        for symbol, prices_and_sizes, halted, age in zip(
            quotes["symbol"].to_list(), given, quotes["halted"].to_list(), ages.to_list(), strict=True
        )
    }


def quote_fault(quote: QuoteReading | None, settings: QualitySettings) -> str | None:
    """Why the quote cannot be traded on, or None when it can."""
    if quote is None:
        return "no quote"
    faults = (
        (quote.halted, "trading is halted"),
        (not quote.two_sided, f"one-sided quote: bid {_said(quote.bid)}, ask {_said(quote.ask)}"),
        (math.isnan(quote.bid_size), "no shares at the bid"),
        (math.isnan(quote.ask_size), "no shares at the ask"),
        (quote.bid > quote.ask, f"crossed quote: bid {_said(quote.bid)} above ask {_said(quote.ask)}"),
        (math.isnan(quote.last), "no last price"),
        (math.isnan(quote.age_seconds), "the quote has no time"),
        (
            quote.age_seconds > settings.max_quote_age_seconds,
            f"quote is {_beside(quote.age_seconds, settings.max_quote_age_seconds, 0)} s old, "
            f"{settings.max_quote_age_seconds:g} s are allowed",
        ),
        (
            quote.last <= settings.min_price,
            f"price {_beside(quote.last, settings.min_price, 2)} is not above {settings.min_price:.2f}",
        ),
        (
            quote.spread_pct >= settings.max_spread_pct,
            f"spread {_beside(quote.spread_pct, settings.max_spread_pct, 2)} % is not below "
            f"{settings.max_spread_pct:g} %",
        ),
    )
    return next((reason for wrong, reason in faults if wrong), None)


def _beside(figure: float, limit: float, decimals: int) -> str:
    """The figure with so many decimals, or as many more as tell it from the limit; where none do, they are equal."""
    enough = (places for places in range(decimals, MOST_DECIMALS) if float(f"{figure:.{places}f}") != limit)
    return f"{figure:.{next(enough, decimals)}f}"


def _said(price: float) -> str:
    return "none" if math.isnan(price) else f"{price:.2f}"
