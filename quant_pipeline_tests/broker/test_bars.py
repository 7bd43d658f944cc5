"""Daily bars: a year of them once, then only what is missing."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pandas as pd
import pytest

from quant_pipeline import frames
from quant_pipeline.automation.sessions import previous_session
from quant_pipeline.broker.bars import BarsRead, read_daily_bars
from quant_pipeline.broker.quotes import read_quotes
from quant_pipeline.broker.scanner import read_universe
from quant_pipeline.broker.session import BrokerSession, Role, connect
from quant_pipeline_tests.broker.conftest import Gateway
from quant_pipeline_tests.broker.frame_reading import every, rows

TODAY = pd.Timestamp("2026-11-20")
YESTERDAY = pd.Timestamp("2026-11-19")


class FirstSlot:
    """What the first slot of the day read: universe, quotes and a year of bars."""

    def __init__(self, session: BrokerSession) -> None:
        self.universe = read_universe(session, session.settings.universe)
        self.quotes = read_quotes(session, self.universe, session.settings.broker)
        self.read = read(session, self.universe, self.quotes, None)
        self.bars = self.read.frame

    def symbol(self, place: int) -> str:
        return self.universe["symbol"].tolist()[place]

    def without(self, symbol: str, *days: Any) -> pd.DataFrame:
        return rows(self.bars, ~((self.bars["symbol"] == symbol) & self.bars["date"].isin(days)))


def read(session: BrokerSession, universe: pd.DataFrame, quotes: pd.DataFrame, kept: pd.DataFrame | None) -> BarsRead:
    return read_daily_bars(session, universe, quotes, kept, session.settings.broker, session.now())


def of(bars: pd.DataFrame, symbol: str) -> pd.DataFrame:
    return rows(bars, bars["symbol"] == symbol)


@pytest.fixture(scope="module")
def slot(quiet_gateway: Gateway) -> FirstSlot:
    with connect(quiet_gateway.settings(), Role.OBSERVE) as session:
        return FirstSlot(session)


def test_the_first_slot_fetches_a_year_of_every_symbol(slot: FirstSlot) -> None:
    assert (slot.read.fetched_whole, slot.read.topped_up, slot.read.requests) == (100, 0, 100)
    assert list(slot.bars["symbol"].unique()) == list(slot.universe["symbol"])
    assert max(slot.bars["symbol"].value_counts().tolist()) >= 250
    assert every(slot.bars["date"] >= TODAY - pd.Timedelta(days=365))


def test_dates_rise_within_a_symbol_and_only_today_is_partial(slot: FirstSlot) -> None:
    assert every(slot.bars.groupby("symbol")["date"].is_monotonic_increasing)
    assert every(slot.bars["partial"] == (slot.bars["date"] == TODAY))


def test_todays_bar_is_the_quotes(slot: FirstSlot) -> None:
    today = slot.bars[slot.bars["partial"]].set_index("symbol")
    quotes = slot.quotes.set_index("symbol").loc[today.index]
    assert slot.read.from_quotes == len(today) == 100
    assert every(today["close"] == quotes["last"])
    assert every(today[["open", "high", "low", "volume"]] == quotes[["open", "high", "low", "volume"]])


def test_the_close_before_today_is_the_one_the_quote_names(slot: FirstSlot) -> None:
    yesterday = slot.bars[slot.bars["date"] == YESTERDAY].set_index("symbol")["close"]
    named = slot.quotes.set_index("symbol")["previous_close"]
    assert every((yesterday / named.loc[yesterday.index] - 1).abs() < 1e-6)


def test_the_second_slot_asks_for_no_history_at_all(reading: BrokerSession, slot: FirstSlot) -> None:
    quotes = read_quotes(reading, slot.universe, reading.settings.broker)
    second = read(reading, slot.universe, quotes, slot.bars)
    assert (second.requests, second.fetched_whole, second.topped_up, second.from_quotes) == (0, 0, 0, 100)
    assert rows(second.frame, ~second.frame["partial"]).equals(rows(slot.bars, ~slot.bars["partial"]))


def test_a_symbol_that_lags_is_topped_up_and_ends_the_same(reading: BrokerSession, slot: FirstSlot) -> None:
    symbol = slot.symbol(7)
    lost = sorted(set(slot.bars["date"]))[-6:]
    again = read(reading, slot.universe, slot.quotes, slot.without(symbol, *lost))
    assert (again.requests, again.topped_up, again.fetched_whole) == (1, 1, 0)
    assert of(again.frame, symbol).equals(of(slot.bars, symbol))


def test_yesterdays_partial_bar_is_replaced_by_the_real_one(reading: BrokerSession, slot: FirstSlot) -> None:
    symbol = slot.symbol(3)
    kept = slot.bars.copy()
    stale = (kept["symbol"] == symbol) & (kept["date"] == YESTERDAY)
    kept.loc[stale, ["close", "volume", "partial"]] = [1.0, 1.0, True]
    again = read(reading, slot.universe, slot.quotes, kept)
    assert again.topped_up == 1
    assert of(again.frame, symbol).equals(of(slot.bars, symbol))


def test_a_split_is_noticed_and_the_symbol_fetched_whole(reading: BrokerSession, slot: FirstSlot) -> None:
    symbol = slot.symbol(5)
    kept = slot.bars.copy()
    before_the_split = (kept["symbol"] == symbol) & ~kept["partial"]
    kept.loc[before_the_split, ["open", "high", "low", "close"]] *= 2.0
    again = read(reading, slot.universe, slot.quotes, kept)
    assert (again.requests, again.fetched_whole) == (1, 1)
    assert of(again.frame, symbol).equals(of(slot.bars, symbol))


def test_a_split_during_the_lag_is_noticed_too(reading: BrokerSession, slot: FirstSlot) -> None:
    symbol = slot.symbol(5)
    kept = slot.without(symbol, TODAY, YESTERDAY)
    kept.loc[kept["symbol"] == symbol, ["open", "high", "low", "close"]] *= 2.0
    again = read(reading, slot.universe, slot.quotes, kept)
    assert (again.requests, again.fetched_whole, again.topped_up) == (2, 1, 0)
    assert of(again.frame, symbol).equals(of(slot.bars, symbol))


def test_a_symbol_without_data_is_absent_and_the_others_go_on(reading: BrokerSession, slot: FirstSlot) -> None:
    unknown = {"rank": 101, "symbol": "NOSUCH", "con_id": 999_999_999, "exchange": "SMART", "scan_code": "MOST_ACTIVE"}
    universe = pd.concat([slot.universe, pd.DataFrame([unknown])], ignore_index=True)
    again = read(reading, universe, slot.quotes, slot.bars)
    assert again.requests == 1
    assert again.frame.equals(slot.bars)


def test_before_the_open_there_is_no_bar_of_today(reading: BrokerSession, slot: FirstSlot) -> None:
    early = dt.datetime(2026, 11, 20, 13, 0, tzinfo=dt.UTC)
    again = read_daily_bars(reading, slot.universe, slot.quotes, slot.bars, reading.settings.broker, early)
    assert (again.requests, again.from_quotes) == (0, 0)
    assert max(again.frame["date"]) == pd.Timestamp(previous_session(early.date()).day)


def test_an_empty_history_is_as_good_as_none(reading: BrokerSession, slot: FirstSlot) -> None:
    few = slot.universe.head(2)
    again = read(reading, few, slot.quotes, frames.empty("bars"))
    assert again.fetched_whole == 2
    assert again.frame.equals(rows(slot.bars, slot.bars["symbol"].isin(few["symbol"])))
