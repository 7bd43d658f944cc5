"""Can these daily bars be trusted? The first thing wrong with a symbol's history, in words with its figure.

Checks on bars belong here, checks on quotes in ``quote_quality``; the quality filter of ``quant_scanner`` asks both. A
symbol with a fault is withheld, never repaired: a wrong bar would be a wrong order.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from quant_pipeline.quant.indicators.panel import FIELDS

SPLIT_RATIOS = (1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0)
"""Shares after a split for one before; a reverse split is the inverse. All move the price by more than 30 %."""

SPLIT_OPEN_TOLERANCE, SPLIT_CLOSE_TOLERANCE = 0.04, 0.10
"""How far, as a logarithm, the open and the close of the day after may lie from a split's ratio to look like one."""

_SMALLEST_SPLIT = math.log(SPLIT_RATIOS[0]) - SPLIT_CLOSE_TOLERANCE

ADJUSTMENT_ROUNDING = 1e-4
"""Share of the price by which a close or open may lie outside its bar, since adjusted prices are rounded one by one."""

MAX_BAR_AGE_DAYS = 7
"""A history that ends earlier than this many calendar days ago is not this stock's present; no holiday is as long."""


@dataclass(frozen=True)
class BarRequirements:
    """What a history must show: completed bars, the day it is asked for, and the prices of that day."""

    min_completed_bars: int
    today: dt.date | None
    last_prices: dict[str, float]


def bar_faults(bars: pd.DataFrame, symbols: list[str], required: BarRequirements) -> dict[str, str]:
    """The first fault of every symbol whose bars cannot be used.

    Args:
        bars: A ``bars`` frame, rows in any order.
        symbols: The symbols to judge.
        required: What the histories must show.

    Returns:
        Reason by symbol; sound symbols are left out.
    """
    wanted = bars.loc[bars["symbol"].isin(symbols)].sort_values(["symbol", "date"], kind="stable")
    faults = dict.fromkeys(set(symbols) - set(wanted["symbol"].unique()), "no daily bars")
    if wanted.empty:
        return faults
    history = _History.from_frame(wanted)
    for find in (_repeated_days, _missing_values, _impossible_values, _prices_outside, _split_jumps):
        _keep_first(faults, find(history))
    _keep_first(faults, _unadjusted_today(history, required.last_prices))
    if required.today is not None:
        _keep_first(faults, _stale_histories(history, required.today))
    _keep_first(faults, _short_histories(history, required.min_completed_bars))
    return faults


@dataclass(frozen=True)
class _History:
    """Rows of the ``bars`` frame, by symbol and then date; ``ends`` are the last rows of the symbols."""

    symbols: list[str]
    days: np.ndarray
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    partial: np.ndarray
    continues: np.ndarray
    ends: np.ndarray

    @classmethod
    def from_frame(cls, bars: pd.DataFrame) -> _History:
        codes = pd.factorize(bars["symbol"])[0]
        continues = np.concatenate([[False], codes[1:] == codes[:-1]])
        return cls(
            symbols=bars["symbol"].to_list(),
            days=bars["date"].to_numpy(dtype="datetime64[D]"),
            **{field: bars[field].to_numpy(dtype=float, na_value=np.nan) for field in FIELDS},
            partial=bars["partial"].to_numpy(dtype=bool),
            continues=continues,
            ends=np.flatnonzero(np.concatenate([~continues[1:], [True]])),
        )

    def previous_close(self) -> np.ndarray:
        """Close of the bar before, NaN at a symbol's first."""
        return np.where(self.continues, np.concatenate([[np.nan], self.close[:-1]]), np.nan)

    def where(self, wrong: np.ndarray, reason: Callable[[int], str]) -> Found:
        """The symbols of the rows in the mask, each with the reason its row gives."""
        return [(self.symbols[row], reason(row)) for row in np.flatnonzero(wrong).tolist()]


Found = list[tuple[str, str]]


def _keep_first(faults: dict[str, str], found: Found) -> None:
    for symbol, reason in found:
        faults.setdefault(symbol, reason)


def _repeated_days(history: _History) -> Found:
    repeated = history.continues & np.concatenate([[False], history.days[1:] == history.days[:-1]])
    return history.where(repeated, lambda row: f"two bars of {history.days[row]}")


def _missing_values(history: _History) -> Found:
    found: Found = []
    for field in FIELDS:
        missing = ~np.isfinite(getattr(history, field))
        found += history.where(missing, lambda row, field=field: f"bar of {history.days[row]} has no {field}")
    return found


def _impossible_values(history: _History) -> Found:
    found: Found = []
    for field in FIELDS:
        values = getattr(history, field)
        wrong = values < 0.0 if field == "volume" else values <= 0.0
        found += history.where(
            wrong, lambda row, field=field, values=values: f"bar of {history.days[row]} has {field} {values[row]:g}"
        )
    return found


def _prices_outside(history: _History) -> Found:
    """A high below the low, or a close or open outside them, beyond what adjustment for splits rounds off.

    The open of a session that is not over is left alone: brokers report the opening auction apart from the range.
    """
    slack = ADJUSTMENT_ROUNDING * history.close
    crossed = history.high < history.low
    found: Found = []
    for field, judged in (("close", True), ("open", ~history.partial)):
        price = getattr(history, field)
        outside = (price > history.high + slack) | (price < history.low - slack)
        found += history.where(
            crossed | (outside & judged),
            lambda row, field=field, price=price: (
                f"bar of {history.days[row]} is impossible: {field} {price[row]:.2f}, "
                f"low {history.low[row]:.2f}, high {history.high[row]:.2f}"
            ),
        )
    return found


def _split_jumps(history: _History) -> Found:
    """A day that opens and closes at a split's ratio to the close before."""
    before = history.previous_close()
    with np.errstate(divide="ignore", invalid="ignore"):
        at_open, at_close = np.log(history.open / before), np.log(history.close / before)
    found: Found = []
    for row in np.flatnonzero(np.abs(at_close) > _SMALLEST_SPLIT).tolist():
        name = _split_named(at_close[row], SPLIT_CLOSE_TOLERANCE)
        if name is not None and name == _split_named(at_open[row], SPLIT_OPEN_TOLERANCE):
            reason = (
                f"close went from {before[row]:.2f} to {history.close[row]:.2f} on {history.days[row]}, "
                f"like a {name} that the bars are not adjusted for"
            )
            found.append((history.symbols[row], reason))
    return found


def _unadjusted_today(history: _History, last_prices: dict[str, float]) -> Found:
    """A split that took effect today shows between the last bar and the quote."""
    found: Found = []
    for row in history.ends.tolist():
        symbol, close = history.symbols[row], float(history.close[row])
        last = last_prices.get(symbol, math.nan)
        name = _split_named(math.log(last / close), SPLIT_OPEN_TOLERANCE) if last > 0.0 and close > 0.0 else None
        if name is not None:
            reason = f"last price {last:.2f} against a close of {close:.2f} on {history.days[row]}, like a {name}"
            found.append((symbol, reason))
    return found


def _split_named(change: float, tolerance: float) -> str | None:
    """What the split is called whose ratio lies nearest to a logarithmic price change, if it is near enough."""
    ratio = min(SPLIT_RATIOS, key=lambda each: abs(abs(change) - math.log(each)))
    if not abs(abs(change) - math.log(ratio)) < tolerance:
        return None
    after, before = (ratio, 1) if ratio == int(ratio) else (2 * ratio, 2)
    return f"{after:.0f}:{before} split" if change < 0.0 else f"{before}:{after:.0f} reverse split"


def _stale_histories(history: _History, today: dt.date) -> Found:
    oldest = np.datetime64(today) - np.timedelta64(MAX_BAR_AGE_DAYS, "D")
    last_days = history.days[history.ends]
    return [
        (history.symbols[row], f"the last bar is of {day}, more than {MAX_BAR_AGE_DAYS} days ago")
        for row, day in zip(history.ends.tolist(), last_days, strict=True)
        if day < oldest
    ]


def _short_histories(history: _History, needed: int) -> Found:
    completed = np.cumsum(~history.partial)[history.ends]
    counts = np.diff(completed, prepend=0)
    return [
        (history.symbols[row], f"{count} completed bar{'' if count == 1 else 's'}, {needed} are needed")
        for row, count in zip(history.ends.tolist(), counts.tolist(), strict=True)
        if count < needed
    ]
