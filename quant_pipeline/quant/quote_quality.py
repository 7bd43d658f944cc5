"""Can this quote be traded on? The first thing wrong with it, in words with its figure.

Checks on quotes belong here, checks on bars in ``bar_quality``; the quality filter of ``quant_scanner`` asks both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from quant_pipeline.settings import QualitySettings


@dataclass(frozen=True)
class QuoteReading:
    """What the filter looks at of one symbol's quote; NaN where the broker did not say."""

    bid: float
    ask: float
    last: float
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
    """The quotes by symbol. What is not a positive finite price is a price the broker did not give."""
    ages = (quotes["observed_at"] - quotes["quoted_at"]).dt.total_seconds()
    return {
        str(symbol): QuoteReading(_price(bid), _price(ask), _price(last), bool(halted), float(age))
        for symbol, bid, ask, last, halted, age in zip(
            quotes["symbol"], quotes["bid"], quotes["ask"], quotes["last"], quotes["halted"], ages, strict=True
        )
    }


def quote_fault(quote: QuoteReading | None, settings: QualitySettings) -> str | None:
    """Why the quote cannot be traded on, or None when it can."""
    if quote is None:
        return "no quote"
    faults = (
        (quote.halted, "trading is halted"),
        (not quote.two_sided, f"one-sided quote: bid {_said(quote.bid)}, ask {_said(quote.ask)}"),
        (quote.bid > quote.ask, f"crossed quote: bid {_said(quote.bid)} above ask {_said(quote.ask)}"),
        (math.isnan(quote.last), "no last price"),
        (math.isnan(quote.age_seconds), "the quote has no time"),
        (
            quote.age_seconds > settings.max_quote_age_seconds,
            f"quote is {quote.age_seconds:.0f} s old, {settings.max_quote_age_seconds:g} s are allowed",
        ),
        (quote.last <= settings.min_price, f"price {quote.last:.2f} is not above {settings.min_price:.2f}"),
        (
            quote.spread_pct >= settings.max_spread_pct,
            f"spread {quote.spread_pct:.2f} % is not below {settings.max_spread_pct:g} %",
        ),
    )
    return next((reason for wrong, reason in faults if wrong), None)


def _price(value: float) -> float:
    return float(value) if not pd.isna(value) and math.isfinite(value) and value > 0.0 else math.nan


def _said(price: float) -> str:
    return "none" if math.isnan(price) else f"{price:.2f}"
