"""Whole market days out of recorded daily bars: the most active stocks, plausible quotes, and what the stages leave.

Quotes were never recorded, so they are drawn from a seed: a stock that trades less has the wider spread, as it is on
the exchanges. The calibration test and ``docs/make_funnel.py`` look at the same days through this module; what must
hold of them is theirs.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from quant_pipeline import frames
from quant_pipeline.quant import QuantMarketScanner
from quant_pipeline.settings import Settings
from quant_pipeline_tests.quant.market_data import universe_of

MOST_ACTIVE = 100
YEAR_OF_BARS = dt.timedelta(days=365)
CLOSE = dt.time(15, 59)

MIDDLE_SPREAD_PCT = 0.055
"""Median spread of the stock that is in the middle of the day's most active ones by turnover."""

SPREAD_FALLS = 0.5
"""The median spread goes with the turnover to the power of minus this: four times the turnover, half the spread."""

SPREAD_VARIES = 0.9
"""Standard deviation of the logarithm of the spread about its median."""


@dataclass(frozen=True)
class MarketDay:
    """What the stages left of one day's most active stocks; ``scores`` is the whole frame."""

    day: dt.date
    scanned: int
    passed: int
    scores: pd.DataFrame
    threshold: float

    @property
    def above(self) -> pd.DataFrame:
        """The scores at or above the threshold."""
        return self.scores.loc[self.scores["total_score"] >= self.threshold]

    def above_of(self, direction: str) -> int:
        """How many of them are of a direction."""
        return int(np.count_nonzero(self.above["direction"] == direction))


def read_daily_bars(path: str) -> pd.DataFrame:
    """A parquet file of daily bars as a ``bars`` frame of completed sessions, by date."""
    raw = pd.read_parquet(path)
    bars = frames.validate("bars", raw.assign(date=pd.to_datetime(raw["date"]), partial=False))
    return bars.sort_values(["date", "symbol"], kind="stable", ignore_index=True)


def market_days(
    bars: pd.DataFrame, first: str, last: str, *, every: int = 5, spread_pct: float | None = None
) -> Iterator[MarketDay]:
    """Every so many sessions between two dates, through quality filter, indicators and scores at the close.

    Args:
        bars: Bars by date, from a year before ``first`` on.
        first: The first day that may be looked at.
        last: The last day.
        every: 5 looks at one session in five.
        spread_pct: One spread for all stocks instead of a drawn one for each.
    """
    sessions = bars.loc[bars["date"].between(first, last), "date"].unique()
    scanner = QuantMarketScanner(Settings.model_validate({}))
    for session in sessions[::every]:
        universe, quotes, year = market_of(bars, session.date(), spread_pct)
        verdict = scanner.quality_filter(universe, quotes, year)
        scores = scanner.scores(scanner.indicators(verdict, quotes, year, 1.0), quotes)
        passed = int(np.count_nonzero(verdict["passed"]))
        yield MarketDay(session.date(), len(universe), passed, scores, scanner.settings.scoring.threshold)


def by_quarter(days: list[MarketDay]) -> pd.DataFrame:
    """One row a quarter: how many ``days``, their median ``passed`` and ``above``, the sums ``long`` and ``short``."""
    counts = pd.DataFrame(
        {
            "quarter": pd.PeriodIndex([day.day for day in days], freq="Q"),
            "passed": [day.passed for day in days],
            "above": [len(day.above) for day in days],
            "long": [day.above_of("LONG") for day in days],
            "short": [day.above_of("SHORT") for day in days],
        }
    )
    return counts.groupby("quarter").agg(
        days=("above", "size"),
        passed=("passed", "median"),
        above=("above", "median"),
        long=("long", "sum"),
        short=("short", "sum"),
    )


def market_of(
    bars: pd.DataFrame, day: dt.date, spread_pct: float | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Universe, quotes and a year of bars of the stocks with the largest turnover of a day."""
    days = bars["date"].to_numpy()
    begin, end = np.searchsorted(days, np.array([day - YEAR_OF_BARS, day], dtype="datetime64[us]"), side="right")
    year = bars.iloc[begin:end]
    today = year.loc[year["date"] == pd.Timestamp(day)]
    active = today.assign(turnover=today["close"] * today["volume"]).nlargest(MOST_ACTIVE, "turnover")
    quotes = _quotes_at_the_close(active, day, spread_pct)
    return universe_of(quotes), quotes, year.loc[year["symbol"].isin(active["symbol"])].reset_index(drop=True)


def _quotes_at_the_close(active: pd.DataFrame, day: dt.date, spread_pct: float | None) -> pd.DataFrame:
    """Quotes about the closes in the order of the rows; drawn spreads are whole cents."""
    random = np.random.default_rng(day.toordinal())
    count = len(active)
    close, turnover = active["close"].to_numpy(), active["turnover"].to_numpy()
    usual = MIDDLE_SPREAD_PCT * (turnover / np.median(turnover)) ** -SPREAD_FALLS
    drawn = usual * np.exp(random.normal(0.0, SPREAD_VARIES, count))
    cents = np.maximum(np.round(close * drawn), 1.0) if spread_pct is None else close * spread_pct
    bid, ask = close - cents / 200.0, close + cents / 200.0
    bid_size, ask_size = 100.0 * np.ceil(random.lognormal(1.0, 1.0, (2, count)))
    observed_at = pd.Timestamp(dt.datetime.combine(day, CLOSE), tz="America/New_York").tz_convert("UTC")
    quotes = active[["symbol", "open", "high", "low", "volume"]].assign(
        bid=bid, ask=ask, last=close, bid_size=bid_size, ask_size=ask_size,
        previous_close=close, halted=False, shortable=True, observed_at=observed_at,
        quoted_at=observed_at - pd.to_timedelta(random.uniform(0.0, 20.0, count), unit="s"),
    )  # fmt: skip
    return frames.validate("quotes", quotes.reindex(columns=list(frames.FRAMES["quotes"].columns)))
