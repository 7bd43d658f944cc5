"""What the paper gateway needs of a market: instruments, quotes, bars and the range prices moved through.

Only the interface belongs here. ``synthetic_market`` invents one from a seed, ``replayed_market`` plays recorded bars;
the server and the matching engine know neither. All times are aware datetimes. A market never tells what happens after
the instant it is asked about: two calls with the same arguments give the same answer.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Instrument:
    """A stock as contract details and scanner rows describe it."""

    con_id: int
    symbol: str
    name: str
    primary_exchange: str
    industry: str
    stock_type: str = "COMMON"
    min_tick: float = 0.01


@dataclass(frozen=True)
class Quote:
    """What one would see on the screen at an instant; sizes and volume in shares, prices in dollars.

    Bid and ask may be a model's. ``lowest`` and ``highest`` are what trades of the bar being played reached: nothing is
    filled beyond them.
    """

    at: dt.datetime
    bid: float
    ask: float
    last: float
    bid_size: int
    ask_size: int
    last_size: int
    open: float
    high: float
    low: float
    previous_close: float
    volume: int
    halted: bool
    shortable_shares: int
    lowest: float = 0.0
    highest: float = math.inf


@dataclass(frozen=True)
class MarketBar:
    """One bar; ``start`` is a date for daily bars and an aware datetime for shorter ones."""

    start: dt.date | dt.datetime
    open: float
    high: float
    low: float
    close: float
    volume: int
    average: float
    count: int


@dataclass(frozen=True)
class PriceRange:
    """Where trades took place between two instants, and how many shares changed hands."""

    open: float
    high: float
    low: float
    close: float
    volume: int


def joined(ranges: Iterable[PriceRange]) -> PriceRange | None:
    """Ranges that follow one another as one; None where there are none."""
    pieces = list(ranges)
    if not pieces:
        return None
    return PriceRange(
        pieces[0].open,
        max(piece.high for piece in pieces),
        min(piece.low for piece in pieces),
        pieces[-1].close,
        sum(piece.volume for piece in pieces),
    )


class Market(Protocol):
    """A market that can be asked about any instant its data covers."""

    name: str
    """What people read: ``synthetic market, seed 7``."""

    identity: str
    """Short and file-name safe; equal for equal data, so that a paper book belongs to one market."""

    instruments: Sequence[Instrument]

    def quote(self, symbol: str, at: dt.datetime) -> Quote | None:
        """The quote at an instant (the last one of the session outside hours), or None where nothing has traded."""
        ...

    def quotes(self, at: dt.datetime) -> dict[str, Quote]:
        """The quotes of all instruments that have one, by symbol; what scans rank by."""
        ...

    def daily_bars(self, symbol: str, until: dt.datetime, days: int) -> list[MarketBar]:
        """Daily bars of the last ``days`` calendar days, oldest first; today's, up to ``until``, is the last."""
        ...

    def minute_bars(self, symbol: str, since: dt.datetime, until: dt.datetime) -> list[MarketBar]:
        """One-minute bars that started at or after ``since`` and ended by ``until``, oldest first."""
        ...

    def price_range(self, symbol: str, since: dt.datetime, until: dt.datetime) -> PriceRange | None:
        """What resting orders are matched against: trades after ``since`` up to ``until``, or None without any."""
        ...
