"""A market that plays recorded bars: real sessions, as they were.

Days that have minute bars are played from them, and a quote comes from the minute being played, never from a later one:
a stock without minute bars on such a day is not quoted, and a missing minute leaves the last trade standing. Days that
have none are played along a path through the daily bar (``intraday_path``), which the bar itself determines. Bars of
past days are those of the daily file, or made of minutes where it lacks the day; today's is made of what has traded so
far. Reading the files is ``market_data_files``' business.

Recorded bars hold no book, so quotes are modelled (``top_of_book``) from the dollars traded and the ranges of the
twenty days before. Shares to borrow are plenty and nothing is halted, since bars do not tell.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quant_pipeline.automation.sessions import Session, session_on
from quant_pipeline.paper_gateway.markets.intraday_path import DayBar, tape_through
from quant_pipeline.paper_gateway.markets.market import Instrument, MarketBar
from quant_pipeline.paper_gateway.markets.market_data_files import (
    EPOCH,
    MINUTES_A_DAY,
    BarsFile,
    read_daily_bars,
    read_minute_bars,
)
from quant_pipeline.paper_gateway.markets.session_tape import SessionTape, market_bar
from quant_pipeline.paper_gateway.markets.tape_market import TapeMarket, TradedSession
from quant_pipeline.paper_gateway.markets.top_of_book import (
    USUAL_DOLLARS,
    USUAL_VOLATILITY,
    TopOfBook,
    contract_ids,
    noise_key,
    usual_spread,
)

LOG = logging.getLogger(__name__)

ADJUSTMENT_TOLERANCE = 0.02
LOOK_BACK = 20
RANGE_PER_VOLATILITY = 1.25
"""Mean of ln(high/low) over the daily standard deviation, as measured on large US stocks."""

PLENTY_TO_BORROW = 10_000_000


@dataclass(frozen=True)
class _History:
    """The daily bars of a symbol on which it traded; days since 1970, prices of shape (4, days)."""

    days: NDArray[np.int64]
    prices: NDArray[np.float64]
    volume: NDArray[np.int64]


class ReplayedMarket(TapeMarket):
    """A market of the symbols of a file of daily bars and, if given, of one of minute bars.

    Raises:
        MarketDataFileError: A file is missing, malformed, or holds bars that cannot be.
    """

    def __init__(self, daily: Path, minutes: Path | None = None) -> None:
        self._daily = read_daily_bars(daily)
        self._minutes = None if minutes is None else read_minute_bars(minutes)
        files = [self._daily] if self._minutes is None else [self._daily, self._minutes]
        super().__init__(_instruments(sorted({symbol for file in files for symbol in file.rows})))
        self.name = f"replay of {' with '.join(file.path.name for file in files)}"
        content = hashlib.sha256("".join(file.digest for file in files).encode())
        self.identity = f"replay-{content.hexdigest()[:12]}"
        self._minute_days = frozenset[int]()
        self._scales: dict[str, float] = {}
        if self._minutes is not None:
            self._minute_days = frozenset(np.unique(self._minutes.times // MINUTES_A_DAY).tolist())
            self._scales = _scales(self._daily, self._minutes)
        self._history = lru_cache(maxsize=None)(self._read_history)

    def _days(self, symbol: str, first: dt.date, last: dt.date) -> list[MarketBar]:
        history = self._history(symbol)
        begin, end = history.days.searchsorted((_day_number(first), _day_number(last) + 1)).tolist()
        columns = history.prices[:, begin:end].tolist()
        days = history.days[begin:end].astype("datetime64[D]").tolist()
        bars = zip(days, *columns, history.volume[begin:end].tolist(), strict=True)
        return [market_bar(day, *bar) for day, *bar in bars]

    def _trade(self, symbol: str, session: Session) -> TradedSession | None:
        tape = self._tape(symbol, session)
        if tape is None:
            return None
        number = _day_number(session.day)
        history = self._history(symbol)
        before = int(history.days.searchsorted(number))
        recent = slice(max(before - LOOK_BACK, 0), before)
        return TradedSession(
            tape=tape,
            book=_book(history, recent, tape.first_price, noise_key(symbol, number)),
            previous_close=history.prices.item(3, before - 1) if before else tape.first_price,
            shortable_shares=PLENTY_TO_BORROW,
        )

    def _tape(self, symbol: str, session: Session) -> SessionTape | None:
        number = _day_number(session.day)
        if number in self._minute_days:
            return self._recorded(symbol, session)
        history = self._history(symbol)
        row = int(history.days.searchsorted(number))
        if row == len(history.days) or history.days.item(row) != number:
            return None
        opening, high, low, close = history.prices[:, row].tolist()
        bar = DayBar(opening, high, low, close, history.volume.item(row))
        return tape_through(bar, session, np.random.default_rng(noise_key(symbol, number, bar)))

    def _recorded(self, symbol: str, session: Session) -> SessionTape | None:
        """The tape of a session's minute bars; those outside its hours are left out."""
        if self._minutes is None or symbol not in self._minutes.rows:
            return None
        rows = self._minutes.rows[symbol]
        opens = _day_number(session.day) * MINUTES_A_DAY + session.opens.hour * 60 + session.opens.minute
        times = self._minutes.times[rows]
        begin, end = (times.searchsorted((opens, opens + session.minutes + 1)) + rows.start).tolist()
        if begin == end:
            return None
        chosen = slice(begin, end)
        minutes = self._minutes.times[chosen] - opens
        return SessionTape(session, minutes, self._minutes.prices[:, chosen], self._minutes.volume[chosen])

    def _read_history(self, symbol: str) -> _History:
        """The daily bars of a symbol, on the scale of its minutes; a day on which nothing traded has none."""
        rows = self._daily.rows.get(symbol, slice(0, 0))
        traded = np.flatnonzero(self._daily.volume[rows]) + (rows.start or 0)
        scale = self._scales.get(symbol, 1.0)
        history = _History(
            self._daily.times[traded].astype(np.int64),
            self._daily.prices[:, traded] * scale,
            np.rint(self._daily.volume[traded] / scale).astype(np.int64),
        )
        return self._with_days_of_minutes(symbol, history)

    def _with_days_of_minutes(self, symbol: str, history: _History) -> _History:
        if self._minutes is None or symbol not in self._minutes.rows:
            return history
        recorded = np.unique(self._minutes.times[self._minutes.rows[symbol]] // MINUTES_A_DAY)
        days, bars = [], []
        for number in np.setdiff1d(recorded, history.days).tolist():
            session = session_on(_day(number))
            tape = None if session is None else self._recorded(symbol, session)
            whole = None if session is None or tape is None else tape.so_far(session.minutes * 60)
            if whole is not None:
                days.append(number)
                bars.append(whole)
        if not days:
            return history
        order = np.argsort(np.concatenate((history.days, days)), kind="stable")
        made = np.array([(bar.open, bar.high, bar.low, bar.close) for bar in bars]).T
        return _History(
            np.concatenate((history.days, days))[order],
            np.hstack((history.prices, made))[:, order],
            np.concatenate((history.volume, [bar.volume for bar in bars]))[order],
        )


def _book(history: _History, recent: slice, price: float, key: int) -> TopOfBook:
    """The model of a session's book, from what the stock traded in the days before."""
    if recent.start == recent.stop:
        return TopOfBook(key, usual_spread(price, USUAL_DOLLARS, USUAL_VOLATILITY), USUAL_DOLLARS / price)
    _, high, low, close = history.prices[:, recent]
    volume = history.volume[recent]
    volatility = float(np.log(high / low).mean()) / RANGE_PER_VOLATILITY
    return TopOfBook(key, usual_spread(price, float((close * volume).mean()), volatility), float(volume.mean()))


def _scales(daily: BarsFile, minutes: BarsFile) -> dict[str, float]:
    """What the daily bars of a symbol are multiplied by where the files are adjusted differently, as after a split.

    A broker of that time would have served the days on the scale of the trades, which is the minutes'.
    """
    ratios = {
        symbol: _median_ratio(daily, minutes, symbol) for symbol in sorted(daily.rows.keys() & minutes.rows.keys())
    }
    scales = {symbol: ratio for symbol, ratio in ratios.items() if abs(ratio - 1) > ADJUSTMENT_TOLERANCE}
    if scales:
        LOG.warning(
            "The bars of %s and %s are adjusted differently, so the daily bars of these are multiplied: %s.",
            daily.path.name,
            minutes.path.name,
            ", ".join(f"{symbol} by {ratio:.4g}" for symbol, ratio in scales.items()),
        )
    return scales


def _median_ratio(daily: BarsFile, minutes: BarsFile, symbol: str) -> float:
    """Last close of the minutes over the daily close, the median of the days that both files have; 1 without any."""
    days = minutes.times[minutes.rows[symbol]] // MINUTES_A_DAY
    last = np.flatnonzero(np.append(days[1:] != days[:-1], True))
    _, in_daily, in_minutes = np.intersect1d(daily.times[daily.rows[symbol]], days[last], return_indices=True)
    if not len(in_daily):
        return 1.0
    daily_close = daily.prices[3, daily.rows[symbol]][in_daily]
    return float(np.median(minutes.prices[3, minutes.rows[symbol]][last[in_minutes]] / daily_close))


def _instruments(symbols: list[str]) -> list[Instrument]:
    """What is known of the symbols; four letters and more are taken for NASDAQ's, as they mostly are."""
    ids = contract_ids(symbols)
    return [Instrument(ids[symbol], symbol, symbol, "NASDAQ" if len(symbol) > 3 else "NYSE", "") for symbol in symbols]


def _day_number(day: dt.date) -> int:
    return (day - EPOCH).days


def _day(number: int) -> dt.date:
    return EPOCH + dt.timedelta(days=number)
