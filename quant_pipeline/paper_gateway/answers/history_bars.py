"""Historical bars as a client asks for them: durations, bar sizes, what to show, and the text that answers.

Reads a market, knows nothing of sockets. Bars are written straight into the text of the message, one string a bar,
since a hundred symbols with a year each are 200 000 fields. Called by ``market_answers``.
"""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from quant_pipeline.automation.sessions import EXCHANGE_TIME, FIRST_DAY, sessions_between
from quant_pipeline.paper_gateway.answers.settled_days import SettledDays
from quant_pipeline.paper_gateway.exchange.trading_hours import exchange_day, midnight, session_of
from quant_pipeline.paper_gateway.markets.market import Market, MarketBar
from quant_pipeline.paper_gateway.markets.session_tape import market_bar
from quant_pipeline.paper_gateway.protocol.wire_times import zoned_text

TRADES, MIDPOINT, BID_ASK, BID, ASK = "TRADES", "MIDPOINT", "BID_ASK", "BID", "ASK"
WITH_VOLUME = (TRADES, "ADJUSTED_LAST")
IMITATED = (*WITH_VOLUME, MIDPOINT, BID_ASK, BID, ASK)
UNKNOWN = -1
"""Volume, average and count of bars that are not of trades."""

DAY_BAR = "1 day"
A_SECOND = dt.timedelta(seconds=1)
"""Trades happen on whole seconds and a range begins after its first instant, so a bar's range begins one earlier."""

SECOND_BARS = {"5 secs": 5, "10 secs": 10, "15 secs": 15, "30 secs": 30}
LONGEST_OF_SECONDS = 86_400
"""How far back bars of seconds reach: they are made one by one, 4 681 of five seconds in a session."""

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


def schedule(end: dt.datetime, length: Duration) -> list[tuple[str, str, str]]:
    """The sessions of a duration: their start, their end and their day."""
    sessions: list[tuple[str, str, str]] = []
    for day in sessions_between(length.first_day(exchange_day(end)), exchange_day(end)):
        session = session_of(day)
        assert session is not None
        sessions.append((f"{session.opens:%Y%m%d-%H:%M:%S}", f"{session.closes:%Y%m%d-%H:%M:%S}", day_text(day)))
    return sessions


def head_time_stamp(market: Market, symbol: str, now: dt.datetime, date_format: int) -> str | None:
    """The opening of the first session there are bars of, in UTC or as seconds since 1970; None without any."""
    bars = market.daily_bars(symbol, now, (exchange_day(now) - FIRST_DAY).days + 1)
    session = session_of(_day(bars[0])) if bars else None
    if session is None:
        return None
    if date_format == EPOCH_SECONDS:
        return epoch_text(session.opens)
    return f"{session.opens.astimezone(dt.UTC):%Y%m%d-%H:%M:%S}"


def daily(
    market: Market, settled: SettledDays, symbol: str, end: dt.datetime, length: Duration, what: str
) -> tuple[int, str]:
    """The number of daily bars and their rows; the bar of the day of ``end`` is partial until its session is over."""
    last = exchange_day(end)
    if what in WITH_VOLUME:
        window = dt.timedelta(days=length.count * 2 + 9)
        first = last - window if length.unit == "D" else length.first_day(last)
        rows = settled.rows(symbol, first, last - dt.timedelta(days=1))
        rows += [day_row(bar) for bar in market.daily_bars(symbol, end, 1) if bar.start == last]
        rows = rows[-length.count :] if length.unit == "D" else rows
        return len(rows), "".join(rows)
    if length.unit == "D":
        bars = market.daily_bars(symbol, end, length.count * 2 + 10)[-length.count :]
    else:
        first = length.first_day(last)
        bars = [bar for bar in market.daily_bars(symbol, end, (last - first).days + 1) if bar.start >= first]
    return _rows(bars, what, half_spread(market, symbol, end, what), day_text)


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
        half_spread(market, symbol, end, what),
        epoch_text if date_format == EPOCH_SECONDS else clock_text,
    )


def by_seconds(
    market: Market, symbol: str, end: dt.datetime, length: Duration, seconds: int, what: str, date_format: int
) -> tuple[int, str]:
    """The number of bars of some seconds each and their rows; where nothing traded there is none.

    Raises:
        HistoryError: They are asked for too long a time.
    """
    since = length.since(end)
    if length.unit not in "SD" or length.count > (1 if length.unit == "D" else LONGEST_OF_SECONDS):
        raise HistoryError("Historical Market Data Service error message:Time length exceed max.", code=162)
    return _rows(
        _second_bars(market, symbol, since, end, seconds),
        what,
        half_spread(market, symbol, end, what),
        epoch_text if date_format == EPOCH_SECONDS else clock_text,
    )


def _second_bars(
    market: Market, symbol: str, since: dt.datetime, until: dt.datetime, seconds: int
) -> Iterable[MarketBar]:
    """The complete bars on the grid of the session; the closing auction, which is one instant, is a bar of its own."""
    step = dt.timedelta(seconds=seconds)
    for day in sessions_between(exchange_day(since), exchange_day(until)):
        session = session_of(day)
        assert session is not None
        late = max(-((session.opens - since) // step), 0)
        start = session.opens + late * step
        while start <= session.closes and (start + step <= until or start == session.closes <= until):
            traded = market.price_range(symbol, start - A_SECOND, start + step - A_SECOND)
            if traded is not None:
                yield market_bar(start, traded.open, traded.high, traded.low, traded.close, traded.volume)
            start += step


def _day(bar: MarketBar) -> dt.date:
    return exchange_day(bar.start) if isinstance(bar.start, dt.datetime) else bar.start


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


def day_row(bar: MarketBar) -> str:
    """The eight fields of a daily bar of trades."""
    return (
        f"{day_text(bar.start)}\0{bar.open}\0{bar.high}\0{bar.low}\0{bar.close}\0"
        f"{bar.volume}\0{bar.average}\0{bar.count}\0"
    )


def _rows(bars: Iterable[MarketBar], what: str, half: float, dated: Dated) -> tuple[int, str]:
    if what not in WITH_VOLUME:
        bars = [shown(bar, what, half) for bar in bars]
    rows = [
        f"{dated(bar.start)}\0{bar.open}\0{bar.high}\0{bar.low}\0{bar.close}\0"
        f"{bar.volume}\0{bar.average}\0{bar.count}\0"
        for bar in bars
    ]
    return len(rows), "".join(rows)


def shown(bar: MarketBar, what: str, half: float) -> MarketBar:
    """A bar of trades as a bar of something else, with half a spread (a share of the price) around the trades."""
    if what in WITH_VOLUME:
        return bar
    if what == BID_ASK:  # IB's: average bid, highest ask, lowest bid, average ask
        sides = (-1, 1, -1, 1)
        prices = (bar.average, bar.high, bar.low, bar.average)
    else:
        sides = ({BID: -1, ASK: 1}.get(what, 0),) * 4
        prices = (bar.open, bar.high, bar.low, bar.close)
    moved = [round(price * (1 + side * half), 4) if side else price for price, side in zip(prices, sides, strict=True)]
    return MarketBar(bar.start, *moved, volume=UNKNOWN, average=UNKNOWN, count=UNKNOWN)


def half_spread(market: Market, symbol: str, at: dt.datetime, what: str) -> float:
    """Half the spread as a share of the price, taken from the quote at the end since bars record none."""
    quote = market.quote(symbol, at) if what in (BID_ASK, BID, ASK) else None
    if quote is None or quote.ask + quote.bid <= 0:
        return 0.0
    return max(0.0, (quote.ask - quote.bid) / (quote.ask + quote.bid))


def latest(market: Market, symbol: str, at: dt.datetime, minutes: int) -> MarketBar | None:
    """The bar of some minutes that is being made at ``at``, with what has traded of it so far."""
    start = _grid(at - dt.timedelta(microseconds=1), minutes)
    begun = _grid(at, 1)
    bars = market.minute_bars(symbol, start, begun)
    traded = market.price_range(symbol, begun - A_SECOND, at) if begun < at else None
    if traded is not None:
        typical = round((traded.high + traded.low + traded.close) / 3, 4)
        prices = (traded.open, traded.high, traded.low, traded.close)
        bars = [*bars, MarketBar(begun, *prices, volume=traded.volume, average=typical, count=0)]
    return _one(bars) if bars else None


def ends_between(since: dt.datetime, until: dt.datetime, minutes: int) -> list[dt.datetime]:
    """The instants after ``since`` and before ``until`` at which a bar of some minutes is complete."""
    length = dt.timedelta(minutes=minutes)
    end = _grid(since, minutes) + length
    ends: list[dt.datetime] = []
    while end < until:
        ends.append(end)
        end += length
    return ends


def _joined(bars: Iterable[MarketBar], minutes: int) -> list[MarketBar]:
    """Minute bars joined into longer ones on the grid of the clock."""
    groups: dict[dt.datetime, list[MarketBar]] = {}
    for bar in bars:
        assert isinstance(bar.start, dt.datetime)
        groups.setdefault(_grid(bar.start, minutes), []).append(bar)
    return [_one(group) for group in groups.values()]


def _grid(at: dt.datetime, minutes: int) -> dt.datetime:
    """When the bar of some minutes began that an instant lies in."""
    local = at.astimezone(EXCHANGE_TIME)
    past = (local.hour * 60 + local.minute) % minutes
    return local.replace(second=0, microsecond=0) - dt.timedelta(minutes=past)


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
