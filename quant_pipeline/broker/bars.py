"""Daily bars: a year of them per symbol, kept and only topped up.

What was recorded before is handed in; the broker is asked only for what it lacks. Today's partial bar is made from the
quote, which the slot has anyway, so that from the second slot of a day on no history is asked for at all. What bars
mean for a decision, and storing them, do not belong here.

TRADES bars are split-adjusted by IB, so kept bars are wrong after a split: the close the quote names for the previous
session then disagrees with the kept one, and the symbol is fetched whole.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import math
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from quant_pipeline import frames
from quant_pipeline.automation.sessions import EXCHANGE_TIME, previous_session, session_on
from quant_pipeline.broker.client_library import IB, BarData, BarDataList, Contract, RequestError
from quant_pipeline.broker.error_codes import PACING_TEXT, Meaning, meaning_of
from quant_pipeline.broker.session import BrokerSession
from quant_pipeline.errors import BrokerError
from quant_pipeline.settings import BrokerSettings

SAME_CLOSE_TOLERANCE = 0.005
DAYS_A_YEAR = 365
PACING_ATTEMPTS = 3
PACING_PAUSE_SECONDS = 2.0
COLUMNS = ["symbol", "date", "open", "high", "low", "close", "volume", "partial"]


@dataclass(frozen=True)
class BarsRead:
    """A ``bars`` frame and how it came about; the counts are symbols, ``requests`` are requests to the broker."""

    frame: pd.DataFrame
    fetched_whole: int
    topped_up: int
    from_quotes: int
    requests: int


@dataclass(frozen=True)
class Calendar:
    """The days that matter, in exchange time, at the moment of reading."""

    window_start: dt.date
    last_complete: dt.date
    today: dt.date
    in_session: bool
    previous: dt.date

    @classmethod
    def at(cls, now: dt.datetime, history_days: int) -> Calendar:
        """``now`` is the broker's time."""
        local = now.astimezone(EXCHANGE_TIME)
        today = local.date()
        session = session_on(today)
        previous = previous_session(today).day
        over = session is not None and local >= session.closes
        return cls(
            window_start=today - dt.timedelta(days=history_days),
            last_complete=today if over else previous,
            today=today,
            in_session=session is not None and session.is_open(local),
            previous=previous,
        )


@dataclass(frozen=True)
class Stock:
    """One symbol to ask history for: its last kept day and that day's close, or None to fetch it whole."""

    symbol: str
    con_id: int
    since: dt.date | None = None
    close: float = math.nan


def read_daily_bars(
    session: BrokerSession,
    universe: pd.DataFrame,
    quotes: pd.DataFrame,
    kept: pd.DataFrame | None,
    settings: BrokerSettings,
    now: dt.datetime,
) -> BarsRead:
    """The last ``settings.history_days`` of daily TRADES bars, regular hours, for every symbol of the universe.

    ``quotes`` and ``kept`` are frames of those names (``kept`` as recorded last, may be empty or None); ``now`` is the
    broker's time. A symbol the broker has no data for is absent. Raises ``BrokerError`` when a request is not answered,
    the connection is lost, or the broker has no data for any symbol.
    """
    calendar = Calendar.at(now, settings.history_days)
    complete = _kept_complete(kept, universe, calendar)
    asked = _stocks_to_ask(universe, quotes, complete, calendar)
    reader = HistoryReader(session, settings, calendar)
    answers = reader.read(asked) if asked else {}
    replaced = {stock.symbol for stock in asked if stock.symbol not in reader.topped_up}
    fetched = _fetched_frame(answers, calendar)
    days = _joined(complete.loc[~complete["symbol"].isin(list(replaced))], fetched.loc[~fetched["partial"]])
    today = _today_from_quotes(quotes, days, calendar)
    unquoted = fetched.loc[fetched["partial"] & ~fetched["symbol"].isin(today["symbol"])]
    frame = _in_order(_joined(days, unquoted, today), universe, calendar)
    if len(universe) and frame.empty:
        raise BrokerError(
            f"The broker has no daily bars for any of {len(universe)} symbols; check its historical data connection."
        )
    return BarsRead(frame, len(reader.fetched_whole), len(reader.topped_up), len(today), reader.requests)


class HistoryReader:
    """Asks for the history of many stocks, so many at a time as the settings allow."""

    def __init__(self, session: BrokerSession, settings: BrokerSettings, calendar: Calendar) -> None:
        self.fetched_whole: set[str] = set()
        self.topped_up: set[str] = set()
        self.requests = 0
        self._session = session
        self._settings = settings
        self._calendar = calendar

    def read(self, stocks: list[Stock]) -> dict[str, list[BarData]]:
        """Bars by symbol; a symbol without data is absent."""

        async def read_all(ib: IB) -> list[list[BarData] | None]:
            gate = asyncio.Semaphore(self._settings.history_requests)
            return list(await asyncio.gather(*(self._history(ib, gate, stock) for stock in stocks)))

        rounds = 1 + math.ceil(len(stocks) / self._settings.history_requests)
        allowed = rounds * self._settings.request_seconds
        answers = self._session.request(read_all, f"the daily bars of {len(stocks)} symbols", allowed)
        return {stock.symbol: bars for stock, bars in zip(stocks, answers, strict=True) if bars}

    async def _history(self, ib: IB, gate: asyncio.Semaphore, stock: Stock) -> list[BarData] | None:
        async with gate:
            if stock.since is not None:
                bars = await self._ask(ib, stock, f"{(self._calendar.today - stock.since).days + 1} D")
                if bars is None:
                    return None
                if _continues(bars, stock):
                    self.topped_up.add(stock.symbol)
                    return bars
            bars = await self._ask(ib, stock, _whole_duration(self._settings.history_days))
            if bars:
                self.fetched_whole.add(stock.symbol)
            return bars

    async def _ask(self, ib: IB, stock: Stock, duration: str) -> list[BarData] | None:
        """One request, repeated when it came too fast for the broker; None when the broker has no data."""
        contract = Contract(conId=stock.con_id, symbol=stock.symbol, secType="STK", exchange="SMART", currency="USD")
        for attempt in range(1, PACING_ATTEMPTS + 1):
            self.requests += 1
            try:
                asking = ib.reqHistoricalDataAsync(contract, "", duration, "1 day", "TRADES", useRTH=True, timeout=0)
                return list(await self._answered(asking, stock))
            except RequestError as error:
                if meaning_of(error.code) is not Meaning.NO_DATA:
                    raise BrokerError(
                        f"The broker refused the daily bars of {stock.symbol}: {error.message} (code {error.code})."
                    ) from error
                if PACING_TEXT not in error.message.lower():
                    return None
                if attempt == PACING_ATTEMPTS:
                    raise BrokerError(
                        f"The broker refuses the daily bars of {stock.symbol} as asked for too fast; lower "
                        f"broker.history_requests or broker.messages_per_second."
                    ) from error
            await asyncio.sleep(PACING_PAUSE_SECONDS * attempt)
        return None

    async def _answered(self, asking: Coroutine[Any, Any, BarDataList], stock: Stock) -> BarDataList:
        answer = asyncio.ensure_future(asking)
        await asyncio.sleep(0)  # lets the request out before its time starts to count
        await self._session.drained()
        seconds = self._settings.request_seconds
        try:
            return await asyncio.wait_for(answer, seconds)
        except TimeoutError:
            raise BrokerError(
                f"The broker did not answer the request for the daily bars of {stock.symbol} within {seconds:g} s."
            ) from None


def _continues(bars: list[BarData], stock: Stock) -> bool:
    """Whether the bars join the kept ones: the last kept day is among them, with the same close."""
    return any(bar.date == stock.since and _same_close(bar.close, stock.close) for bar in bars)


def _same_close(one: float, other: float) -> bool:
    return abs(one / other - 1.0) <= SAME_CLOSE_TOLERANCE if other else one == other


def _whole_duration(history_days: int) -> str:
    """IB takes up to 365 days in days and more only in years."""
    return f"{history_days} D" if history_days < DAYS_A_YEAR else f"{math.ceil(history_days / DAYS_A_YEAR)} Y"


def _kept_complete(kept: pd.DataFrame | None, universe: pd.DataFrame, calendar: Calendar) -> pd.DataFrame:
    """The kept bars that are still of use: completed days of the window, of symbols of the universe."""
    if kept is None or kept.empty:
        return frames.empty("bars")
    useful = (
        ~kept["partial"]
        & kept["symbol"].isin(universe["symbol"])
        & (kept["date"] >= pd.Timestamp(calendar.window_start))
        & (kept["date"] <= pd.Timestamp(calendar.last_complete))
    )
    return kept.loc[useful, COLUMNS]


def _stocks_to_ask(
    universe: pd.DataFrame, quotes: pd.DataFrame, complete: pd.DataFrame, calendar: Calendar
) -> list[Stock]:
    """The symbols that are new, lag behind, or whose kept closes the quote contradicts."""
    last_rows = complete.sort_values("date").drop_duplicates("symbol", keep="last").set_index("symbol")
    last = {symbol: (date.date(), close) for symbol, date, close in last_rows[["date", "close"]].itertuples()}
    contradicted = _contradicted(quotes, complete, calendar)
    asked = []
    for symbol, con_id in zip(universe["symbol"], universe["con_id"], strict=True):
        since, close = last.get(symbol, (None, math.nan))
        if since is None or symbol in contradicted or math.isnan(close):
            asked.append(Stock(symbol, int(con_id)))
        elif since < calendar.last_complete:
            asked.append(Stock(symbol, int(con_id), since, close))
    return asked


def _contradicted(quotes: pd.DataFrame, complete: pd.DataFrame, calendar: Calendar) -> set[str]:
    """Symbols whose quote names another close for the previous session than the kept bar does: split or correction."""
    if not calendar.in_session:
        return set()
    said = dict(zip(quotes["symbol"], quotes["previous_close"], strict=True))
    kept = complete.loc[complete["date"] == pd.Timestamp(calendar.previous), ["symbol", "close"]]
    return {
        symbol
        for symbol, close in kept.itertuples(index=False)
        if not math.isnan(said.get(symbol, math.nan)) and not _same_close(said[symbol], close)
    }


def _fetched_frame(answers: dict[str, list[BarData]], calendar: Calendar) -> pd.DataFrame:
    """One ``bars`` frame of all that was fetched; the bar of a session that is not over is partial."""
    rows = [(symbol, bar) for symbol, bars in answers.items() for bar in bars]
    if not rows:
        return frames.empty("bars")
    dates = pd.to_datetime([bar.date for _, bar in rows])
    return pd.DataFrame(
        {
            "symbol": [symbol for symbol, _ in rows],
            "date": dates.as_unit("us"),
            "open": [bar.open for _, bar in rows],
            "high": [bar.high for _, bar in rows],
            "low": [bar.low for _, bar in rows],
            "close": [bar.close for _, bar in rows],
            # IB sends -1 for a volume it does not have.
            "volume": [bar.volume if bar.volume >= 0 else math.nan for _, bar in rows],
            "partial": dates > pd.Timestamp(calendar.last_complete),
        }
    )


def _today_from_quotes(quotes: pd.DataFrame, days: pd.DataFrame, calendar: Calendar) -> pd.DataFrame:
    """Today's partial bars, for the symbols that have completed bars and a quote that says all of it."""
    if not calendar.in_session:
        return frames.empty("bars")
    complete = quotes[["open", "high", "low", "last", "volume"]].notna().all(axis=1)
    told = quotes.loc[complete & quotes["symbol"].isin(list(set(days["symbol"])))]
    return pd.DataFrame(
        {
            "symbol": told["symbol"],
            "date": pd.Timestamp(calendar.today).as_unit("us"),
            "open": told["open"],
            "high": told["high"],
            "low": told["low"],
            "close": told["last"],
            "volume": told["volume"],
            "partial": True,
        }
    )


def _joined(*parts: pd.DataFrame) -> pd.DataFrame:
    """The parts below each other; a later part's bar takes the place of an earlier one's for the same day."""
    filled = [part for part in parts if len(part)]
    return pd.concat(filled).drop_duplicates(["symbol", "date"], keep="last") if filled else frames.empty("bars")


def _in_order(bars: pd.DataFrame, universe: pd.DataFrame, calendar: Calendar) -> pd.DataFrame:
    inside = bars.loc[bars["date"] >= pd.Timestamp(calendar.window_start)]
    place = pd.Index(universe["symbol"]).get_indexer(pd.Index(inside["symbol"]))
    return frames.validate("bars", inside.iloc[np.lexsort((inside["date"].to_numpy(), place))][COLUMNS])
