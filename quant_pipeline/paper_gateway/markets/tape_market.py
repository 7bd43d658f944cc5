"""A market that is made of session tapes: what the synthetic and the replayed market have in common.

Here instants become sessions and seconds, and tapes become quotes, bars and ranges; where tapes and daily bars come
from is left to the two markets. Trades happen on whole seconds, so an instant is rounded down to its second. Outside
hours the market stands as it stood at the last close.
"""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from quant_pipeline.automation.sessions import EXCHANGE_TIME, Session, session_on, sessions_between
from quant_pipeline.paper_gateway.markets.market import Instrument, MarketBar, PriceRange, Quote, joined
from quant_pipeline.paper_gateway.markets.session_tape import SessionTape, market_bar
from quant_pipeline.paper_gateway.markets.top_of_book import TopOfBook

TAPES_KEPT = 2_000
"""Tapes in memory, about 25 kB each."""

FIRST_SESSION = dt.date(2010, 1, 4)
"""The calendar's first session; nothing is known of the time before it."""

LONGEST_CLOSURE = dt.timedelta(days=10)
ONE_DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class TradedSession:
    """One stock in one session: its tape and what a quote needs beside it; ``halted`` holds minutes since the open."""

    tape: SessionTape
    book: TopOfBook
    previous_close: float
    shortable_shares: int
    halted: range = range(0)

    def quote(self, second: int) -> Quote | None:
        """The quote at a second of the session, or None before the first trade."""
        traded = self.tape.so_far(second)
        if traded is None:
            return None
        lowest, highest = self.tape.bar_around(second)
        bid, ask, bid_size, ask_size, last_size = self.book.around(traded.close, second)
        return Quote(
            at=self.tape.session.opens + dt.timedelta(seconds=second),
            bid=bid,
            ask=ask,
            last=traded.close,
            bid_size=bid_size,
            ask_size=ask_size,
            last_size=last_size,
            open=traded.open,
            high=traded.high,
            low=traded.low,
            previous_close=self.previous_close,
            volume=traded.volume,
            halted=second // 60 in self.halted,
            shortable_shares=self.shortable_shares,
            lowest=lowest,
            highest=highest,
        )


class TapeMarket(ABC):
    """Answers what ``market.Market`` asks, from tapes and daily bars."""

    name: str
    identity: str
    instruments: Sequence[Instrument]

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self.instruments = tuple(instruments)
        self._symbols = frozenset(instrument.symbol for instrument in self.instruments)
        self._traded: Callable[[str, Session], TradedSession | None] = lru_cache(maxsize=TAPES_KEPT)(self._trade)

    @abstractmethod
    def _trade(self, symbol: str, session: Session) -> TradedSession | None:
        """What a known symbol traded in a session; None where it did not trade."""

    @abstractmethod
    def _days(self, symbol: str, first: dt.date, last: dt.date) -> list[MarketBar]:
        """The daily bars of a known symbol from ``first`` to ``last``, both included, oldest first."""

    def quote(self, symbol: str, at: dt.datetime) -> Quote | None:
        """The quote at an instant (the last one of the session outside hours), or None where nothing has traded."""
        moment = _session_and_second(at)
        return None if moment is None else self._quote(symbol, *moment)

    def quotes(self, at: dt.datetime) -> dict[str, Quote]:
        """The quotes of all instruments that have one, by symbol."""
        moment = _session_and_second(at)
        if moment is None:
            return {}
        asked = ((instrument.symbol, self._quote(instrument.symbol, *moment)) for instrument in self.instruments)
        return {symbol: quote for symbol, quote in asked if quote is not None}

    def daily_bars(self, symbol: str, until: dt.datetime, days: int) -> list[MarketBar]:
        """Daily bars of the last ``days`` calendar days, oldest first; today's, up to ``until``, is the last."""
        if symbol not in self._symbols:
            return []
        local = until.astimezone(EXCHANGE_TIME)
        today = local.date()
        covered = min(days, (today - FIRST_SESSION).days + 1)
        first = today - (covered - 1) * ONE_DAY
        bars = self._days(symbol, first, today - ONE_DAY) if first < today else []
        session = _session_on(today)
        if first <= today and session is not None and local >= session.opens:
            traded = self._traded(symbol, session)
            so_far = None if traded is None else traded.tape.so_far(_second_of(session, local))
            if so_far is not None:
                bars.append(market_bar(today, so_far.open, so_far.high, so_far.low, so_far.close, so_far.volume))
        return bars

    def minute_bars(self, symbol: str, since: dt.datetime, until: dt.datetime) -> list[MarketBar]:
        """One-minute bars that started at or after ``since`` and ended by ``until``, oldest first.

        The closing auction is a bar of its own, starts with the close of the session and ends in the same instant.
        """
        since, until = since.astimezone(EXCHANGE_TIME), until.astimezone(EXCHANGE_TIME)
        bars: list[MarketBar] = []
        for traded in self._traded_between(symbol, since, until):
            bars += traded.tape.bars(since, until)
        return bars

    def price_range(self, symbol: str, since: dt.datetime, until: dt.datetime) -> PriceRange | None:
        """Trades after ``since`` up to ``until``; None where there were none."""
        since, until = since.astimezone(EXCHANGE_TIME), until.astimezone(EXCHANGE_TIME)
        ranges: list[PriceRange] = []
        for traded in self._traded_between(symbol, since, until):
            session = traded.tape.session
            after = -1 if since < session.opens else _second_of(session, since)
            piece = traded.tape.between(after, _second_of(session, until))
            if piece is not None:
                ranges.append(piece)
        return joined(ranges)

    def _quote(self, symbol: str, session: Session, second: int) -> Quote | None:
        if symbol not in self._symbols:
            return None
        traded = self._traded(symbol, session)
        return None if traded is None else traded.quote(second)

    def _traded_between(self, symbol: str, since: dt.datetime, until: dt.datetime) -> list[TradedSession]:
        if symbol not in self._symbols:
            return []
        found = []
        for day in days_between(max(since.date(), FIRST_SESSION), until.date()):
            session = _session_on(day)
            assert session is not None, day
            traded = self._traded(symbol, session) if until >= session.opens else None
            if traded is not None:
                found.append(traded)
        return found


@lru_cache(maxsize=256)
def days_between(first: dt.date, last: dt.date) -> tuple[dt.date, ...]:
    """The session days from ``first`` to ``last``, both included, kept because every symbol of a scan asks the same."""
    return tuple(sessions_between(first, last))


@lru_cache(maxsize=1024)
def _session_on(day: dt.date) -> Session | None:
    return session_on(day) if day >= FIRST_SESSION else None


def _session_and_second(at: dt.datetime) -> tuple[Session, int] | None:
    """The session that an instant lies in or after, and the second of it; None before the calendar's first session."""
    local = at.astimezone(EXCHANGE_TIME)
    session = _session_on(local.date())
    if session is None or local < session.opens:
        earlier = days_between(max(local.date() - LONGEST_CLOSURE, FIRST_SESSION), local.date() - ONE_DAY)
        session = _session_on(earlier[-1]) if earlier else None
    return None if session is None else (session, _second_of(session, local))


def _second_of(session: Session, at: dt.datetime) -> int:
    """Whole seconds since the open, at most the session's length."""
    return int((min(at, session.closes) - session.opens).total_seconds())
