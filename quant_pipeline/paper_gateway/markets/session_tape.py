"""The trades of one stock in one session, as minute bars that can be cut at any second.

Only the replay of minute bars belongs here: where the last trade was, what the session's bar is so far, and the range
between two seconds. Where the bars come from is the market's business (``synthetic_market``, ``replayed_market``).

A bar says four prices but not when they were traded, so the minute is walked on a fixed schedule: the open at second
0, one extreme at second 20, the other at 40, the close at 59, straight lines between them, one trade a second. A rising
bar goes low first, a falling one high first. The walk uses the bar of its own minute and no later one. The bar that
starts with the close of the session is the closing auction: all of it happens in that instant. Seconds count from the
open.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from quant_pipeline.automation.sessions import Session
from quant_pipeline.paper_gateway.markets.market import MarketBar, PriceRange

MINUTE = dt.timedelta(minutes=1)
WALK_SECONDS = (0, 20, 40, 59)
SHARES_A_TRADE = 150
"""Average size of a trade; only the trade counts of bars rest on it."""

Part = tuple[float, float, float, float, int]
"""Open, high, low, close and volume of a piece of the tape."""


class SessionTape:
    """What a stock traded in one session.

    Args:
        session: The session the bars belong to.
        minutes: Ascending minutes since the open that have a bar, shape (n,), at least one; ``session.minutes`` is the
            closing auction.
        prices: Open, high, low and close in dollars, shape (4, n).
        volume: Shares traded in each minute, shape (n,).
    """

    def __init__(
        self,
        session: Session,
        minutes: NDArray[np.integer],
        prices: NDArray[np.float64],
        volume: NDArray[np.integer],
    ) -> None:
        self.session = session
        self._minutes = minutes.astype(np.int16)
        self._open, self._high, self._low, self._close = prices
        self._volume = volume
        self._volume_before = np.zeros(len(volume) + 1, dtype=np.int64)
        volume.cumsum(out=self._volume_before[1:])
        self._high_so_far = np.maximum.accumulate(self._high)
        self._low_so_far = np.minimum.accumulate(self._low)
        self._newest = minutes.searchsorted(_every_minute(session.minutes), side="right").astype(np.int16) - 1

    @property
    def first_price(self) -> float:
        """The price of the opening trade."""
        return self._open.item(0)

    def so_far(self, second: int) -> PriceRange | None:
        """The session's bar up to and including a second; None before the first trade."""
        minute, within = divmod(second, 60)
        newest = self._newest.item(minute)
        if newest < 0:
            return None
        first = self._open.item(0)
        running = self._minutes.item(newest) == minute
        if not running:
            return PriceRange(
                first,
                self._high_so_far.item(newest),
                self._low_so_far.item(newest),
                self._close.item(newest),
                self._volume_before.item(newest + 1),
            )
        _, high, low, close, volume = self._part(newest, 0, within)
        if newest > 0:
            high = max(high, self._high_so_far.item(newest - 1))
            low = min(low, self._low_so_far.item(newest - 1))
        return PriceRange(first, high, low, close, self._volume_before.item(newest) + volume)

    def bar_around(self, second: int) -> tuple[float, float]:
        """Low and high of the bar being played at a second, or of the last one before it; there must be one."""
        newest = self._newest.item(second // 60)
        return self._low.item(newest), self._high.item(newest)

    def between(self, after: int, until: int) -> PriceRange | None:
        """Trades after a second up to and including another; -1 begins with the opening trade."""
        start, end = after + 1, until
        if start > end:
            return None
        parts = list(self._parts(start, end))
        if not parts:
            return None
        return PriceRange(
            parts[0][0],
            max(part[1] for part in parts),
            min(part[2] for part in parts),
            parts[-1][3],
            sum(part[4] for part in parts),
        )

    def bars(self, since: dt.datetime, until: dt.datetime) -> list[MarketBar]:
        """The minute bars that started at or after ``since`` and ended by ``until``; the auction ends as it starts."""
        opens, closes = self.session.opens, self.session.closes
        first_minute = max(0, -((opens - since) // MINUTE))
        ended_minutes = (until - opens) // MINUTE if until < closes else self.session.minutes + 1
        first, end = self._minutes.searchsorted((first_minute, ended_minutes)).tolist()
        minutes = self._minutes[first:end].tolist()
        starts = [opens + dt.timedelta(minutes=minute) for minute in minutes]
        columns = (series[first:end].tolist() for series in (self._open, self._high, self._low, self._close))
        return [market_bar(*bar) for bar in zip(starts, *columns, self._volume[first:end].tolist(), strict=True)]

    def _parts(self, start: int, end: int) -> Iterator[Part]:
        """Yield the pieces of the tape between two seconds, both included: a first, a middle and a last one."""
        first_minute, first_second = divmod(start, 60)
        last_minute, last_second = divmod(end, 60)
        first = int(np.searchsorted(self._minutes, first_minute))
        last = self._newest.item(last_minute)
        if first > last:
            return
        starts_within = self._minutes.item(first) == first_minute
        ends_within = self._minutes.item(last) == last_minute
        if first == last:
            begin = first_second if starts_within else 0
            if not (self._is_auction(first) and begin > 0):
                yield self._part(first, begin, last_second if ends_within else 59)
            return
        if starts_within:
            yield self._part(first, first_second, 59)
            first += 1
        if ends_within:
            last -= 1
        if first <= last:
            middle = slice(first, last + 1)
            yield (
                self._open.item(first),
                float(self._high[middle].max()),
                float(self._low[middle].min()),
                self._close.item(last),
                self._volume_before.item(last + 1) - self._volume_before.item(first),
            )
        if ends_within:
            yield self._part(last + 1, 0, last_second)

    def _part(self, index: int, start: int, end: int) -> Part:
        """The piece of one bar between two of its seconds, both included."""
        if self._is_auction(index) or (start == 0 and end == 59):
            return self._whole(index)
        corners = self._corners(index)
        at_start, at_end = _walked(corners, start), _walked(corners, end)
        passed = [price for second, price in zip(WALK_SECONDS, corners, strict=True) if start <= second <= end]
        touched = [at_start, at_end, *passed]
        volume = self._volume.item(index)
        return at_start, max(touched), min(touched), at_end, volume * (end + 1) // 60 - volume * start // 60

    def _whole(self, index: int) -> Part:
        return (
            self._open.item(index),
            self._high.item(index),
            self._low.item(index),
            self._close.item(index),
            self._volume.item(index),
        )

    def _corners(self, index: int) -> tuple[float, float, float, float]:
        opening, high, low, close, _ = self._whole(index)
        return (opening, low, high, close) if close >= opening else (opening, high, low, close)

    def _is_auction(self, index: int) -> bool:
        return self._minutes.item(index) >= self.session.minutes


@lru_cache(maxsize=4)
def _every_minute(minutes: int) -> NDArray[np.int64]:
    return np.arange(minutes + 1)


def market_bar(
    start: dt.date | dt.datetime, opening: float, high: float, low: float, close: float, volume: int
) -> MarketBar:
    """A bar with what the tape does not know filled in: the typical price as average, a usual number of trades."""
    return MarketBar(
        start=start,
        open=opening,
        high=high,
        low=low,
        close=close,
        volume=volume,
        average=round((high + low + close) / 3, 4),
        count=max(1, volume // SHARES_A_TRADE) if volume else 0,
    )


def tick_size(price: float) -> float:
    """The grid US stocks are quoted on: a cent, and a hundredth of a cent below one dollar (SEC Rule 612)."""
    return 0.01 if price >= 1.0 else 0.0001


def _walked(corners: tuple[float, float, float, float], second: int) -> float:
    """The price at a second of the minute, on the tick grid and never beyond the corners it lies between."""
    leg = 0 if second <= WALK_SECONDS[1] else 1 if second <= WALK_SECONDS[2] else 2
    begin, end = corners[leg], corners[leg + 1]
    share = (second - WALK_SECONDS[leg]) / (WALK_SECONDS[leg + 1] - WALK_SECONDS[leg])
    if share in (0.0, 1.0):
        return end if share else begin
    price = round(begin + (end - begin) * share, 2 if begin >= 1.0 else 4)
    return min(max(price, min(begin, end)), max(begin, end))
