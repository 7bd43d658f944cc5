"""Historical bars as a client asks for them: durations, bar sizes, what to show, and the text that answers.

Reads a market, knows nothing of sockets. Bars are written straight into the text of the message, one string a bar,
since a hundred symbols with a year each are 200 000 fields. Called by ``market_answers``.
"""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from quant_pipeline.automation.sessions import EXCHANGE_TIME, sessions_between
from quant_pipeline.paper_gateway.exchange.trading_hours import exchange_day, midnight
from quant_pipeline.paper_gateway.markets.market import Market, MarketBar
from quant_pipeline.paper_gateway.protocol.wire_times import zoned_text

TRADES, MIDPOINT, BID_ASK = "TRADES", "MIDPOINT", "BID_ASK"
IMITATED = (TRADES, MIDPOINT, BID_ASK, "ADJUSTED_LAST")
DAY_BAR = "1 day"
MINUTE_BARS = {
    "1 min": 1,
    "2 mins": 2,
    "3 mins": 3,
    "5 mins": 5,
    "10 mins": 10,
    "15 mins": 15,
    "20 mins": 20,
    "30 mins": 30,
    "1 hour": 60,
}
LONGEST = {"S": 86_400, "D": 365, "W": 260, "M": 120, "Y": 10}
EPOCH_SECONDS = 2

Dated = Callable[[dt.date | dt.datetime], str]


class HistoryError(ValueError):
    """A request for bars that cannot be met; ``code`` is IB's."""

    def __init__(self, text: str, code: int = 321) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Duration:
    """How far back: a number of seconds, days with trading, weeks, months or years."""

    count: int
    unit: str

    def first_day(self, last: dt.date) -> dt.date:
        """The first calendar day that counts, when ``last`` is the last one."""
        if self.unit == "D":
            days = sessions_between(last - dt.timedelta(days=2 * self.count + 10), last)
            return days[-self.count]
        if self.unit == "W":
            return last - dt.timedelta(weeks=self.count) + dt.timedelta(days=1)
        if self.unit == "S":
            return last - dt.timedelta(seconds=self.count)
        return _months_before(last, self.count * (12 if self.unit == "Y" else 1)) + dt.timedelta(days=1)

    def since(self, end: dt.datetime) -> dt.datetime:
        """The instant minute bars start from."""
        if self.unit == "S":
            return end - dt.timedelta(seconds=self.count)
        return midnight(self.first_day(exchange_day(end)))


def duration(text: str) -> Duration:
    """The duration a client wrote, ``30 D`` or ``1 Y``.

    Raises:
        HistoryError: It is none, or is longer than IB gives.
    """
    number, _, unit = text.strip().partition(" ")
    unit = unit.strip().upper() or "S"
    if not (number.isascii() and number.isdigit() and 0 < len(number) <= 6 and int(number)) or unit not in "SDWMY":
        raise HistoryError(
            f"Error validating request.-'bO' : cause - Duration {text[:20]!r} is not like '30 D' or '1 Y'"
        )
    found = Duration(int(number), unit)
    if found.count > LONGEST[unit]:
        text = f"Durations in {unit} may not be above {LONGEST[unit]}; longer ones must be made in a larger unit."
        raise HistoryError(f"Error validating request.-'bO' : cause - {text}")
    return found


def daily(market: Market, symbol: str, end: dt.datetime, length: Duration, what: str) -> tuple[int, str]:
    """The number of daily bars and their rows; the bar of the day of ``end`` is partial until its session is over."""
    last = exchange_day(end)
    if length.unit == "D":
        bars = market.daily_bars(symbol, end, length.count * 2 + 10)[-length.count :]
    else:
        first = length.first_day(last)
        bars = [bar for bar in market.daily_bars(symbol, end, (last - first).days + 1) if bar.start >= first]
    return _rows(bars, what, _half_spread(market, symbol, end, what), day_text)


def by_minutes(
    market: Market, symbol: str, end: dt.datetime, length: Duration, minutes: int, what: str, date_format: int
) -> tuple[int, str]:
    """The number of bars of some minutes each and their rows."""
    bars = market.minute_bars(symbol, length.since(end), end)
    if minutes > 1:
        bars = _joined(bars, minutes)
    return _rows(
        bars,
        what,
        _half_spread(market, symbol, end, what),
        epoch_text if date_format == EPOCH_SECONDS else clock_text,
    )


def day_text(start: dt.date | dt.datetime) -> str:
    """A day as daily bars carry it."""
    return f"{start.year:04d}{start.month:02d}{start.day:02d}"


def epoch_text(start: dt.date | dt.datetime) -> str:
    """Seconds since 1970, for clients that ask for them."""
    assert isinstance(start, dt.datetime)
    return str(int(start.timestamp()))


def clock_text(start: dt.date | dt.datetime) -> str:
    """Exchange time with its zone."""
    assert isinstance(start, dt.datetime)
    return zoned_text(start)


def _rows(bars: Iterable[MarketBar], what: str, half_spread: float, dated: Dated) -> tuple[int, str]:
    if what in (TRADES, "ADJUSTED_LAST"):
        rows = [
            f"{dated(bar.start)}\0{bar.open}\0{bar.high}\0{bar.low}\0{bar.close}\0"
            f"{bar.volume}\0{bar.average}\0{bar.count}\0"
            for bar in bars
        ]
    elif what == MIDPOINT:
        rows = [f"{dated(bar.start)}\0{bar.open}\0{bar.high}\0{bar.low}\0{bar.close}\0-1\0-1\0-1\0" for bar in bars]
    else:
        rows = [_bid_ask_row(dated(bar.start), bar, half_spread) for bar in bars]
    return len(rows), "".join(rows)


def _bid_ask_row(date: str, bar: MarketBar, half_spread: float) -> str:
    """IB's BID_ASK bar: average bid, highest ask, lowest bid, average ask."""
    middle = bar.average
    prices = (middle * (1 - half_spread), bar.high * (1 + half_spread), bar.low * (1 - half_spread))
    bid, high, low = (round(price, 4) for price in prices)
    return f"{date}\0{bid}\0{high}\0{low}\0{round(middle * (1 + half_spread), 4)}\0-1\0-1\0-1\0"


def _half_spread(market: Market, symbol: str, at: dt.datetime, what: str) -> float:
    """Half the spread as a share of the price, taken from the quote at the end since bars record none."""
    quote = market.quote(symbol, at) if what == BID_ASK else None
    if quote is None or quote.ask + quote.bid <= 0:
        return 0.0
    return max(0.0, (quote.ask - quote.bid) / (quote.ask + quote.bid))


def _joined(bars: Iterable[MarketBar], minutes: int) -> list[MarketBar]:
    """Minute bars joined into longer ones on the grid of the clock."""
    groups: dict[dt.datetime, list[MarketBar]] = {}
    for bar in bars:
        assert isinstance(bar.start, dt.datetime)
        local = bar.start.astimezone(EXCHANGE_TIME)
        past = (local.hour * 60 + local.minute) % minutes
        groups.setdefault(local - dt.timedelta(minutes=past), []).append(bar)
    return [_one(group) for group in groups.values()]


def _one(group: list[MarketBar]) -> MarketBar:
    volume = sum(bar.volume for bar in group)
    traded = sum(bar.average * bar.volume for bar in group)
    return MarketBar(
        start=group[0].start,
        open=group[0].open,
        high=max(bar.high for bar in group),
        low=min(bar.low for bar in group),
        close=group[-1].close,
        volume=volume,
        average=round(traded / volume, 4) if volume else group[-1].close,
        count=sum(bar.count for bar in group),
    )


def _months_before(day: dt.date, months: int) -> dt.date:
    years, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    return dt.date(years, month + 1, min(day.day, calendar.monthrange(years, month + 1)[1]))
