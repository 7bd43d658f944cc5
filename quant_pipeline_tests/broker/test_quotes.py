"""Quotes: complete, two messages a symbol, and missing where the broker said nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pandas as pd
import pytest

from quant_pipeline.broker.quotes import read_quotes
from quant_pipeline.broker.scanner import read_universe
from quant_pipeline.broker.session import BrokerSession
from quant_pipeline.errors import BrokerError
from quant_pipeline_tests.broker.frame_reading import every


@pytest.fixture
def universe(reading: BrokerSession) -> pd.DataFrame:
    return read_universe(reading, reading.settings.universe)


def unknown_stock(rank: int) -> dict[str, object]:
    return {"rank": rank, "symbol": "NOSUCH", "con_id": 999_999_999, "exchange": "SMART", "scan_code": "MOST_ACTIVE"}


def test_every_symbol_has_its_quote_in_the_universes_order(reading: BrokerSession, universe: pd.DataFrame) -> None:
    quotes = read_quotes(reading, universe, reading.settings.broker)
    assert list(quotes["symbol"]) == list(universe["symbol"])
    told = quotes[["last", "open", "high", "low", "previous_close", "volume", "shortable", "quoted_at"]]
    assert every(told.notna())
    both_sides = quotes.dropna(subset=["bid", "ask"])
    assert len(both_sides) >= 90
    assert every(both_sides["bid"] <= both_sides["ask"])
    assert every(quotes["low"] <= quotes["last"])
    assert every(quotes["last"] <= quotes["high"])


def test_quotes_are_dated_by_the_brokers_clock(reading: BrokerSession, universe: pd.DataFrame) -> None:
    before = reading.now()
    quotes = read_quotes(reading, universe, reading.settings.broker)
    after = reading.now()
    assert every(quotes["quoted_at"] >= pd.Timestamp(before))
    assert every(quotes["quoted_at"] <= quotes["observed_at"])
    assert every(quotes["observed_at"] <= pd.Timestamp(after))
    assert before.date() == dt.date(2026, 11, 20)


def test_a_reading_costs_a_message_a_symbol_and_a_look_at_the_clock_before_and_after(
    reading: BrokerSession, universe: pd.DataFrame, sent_messages: Callable[[BrokerSession], list[str]]
) -> None:
    messages = sent_messages(reading)
    read_quotes(reading, universe, reading.settings.broker)
    kinds = [message.split("\0")[0] for message in messages]
    assert (kinds.count("1"), kinds.count("2"), kinds.count("49")) == (100, 0, 2)
    assert len(kinds) == 102


def test_never_more_lines_are_open_than_the_account_has(
    reading: BrokerSession, universe: pd.DataFrame, sent_messages: Callable[[BrokerSession], list[str]]
) -> None:
    messages = sent_messages(reading)
    settings = reading.settings.broker.model_copy(update={"market_data_lines": 30})
    read_quotes(reading, universe, settings)
    quotes = read_quotes(reading, universe, settings)
    lines, most = 0, 0
    for message in messages:
        kind = message.split("\0")[0]
        lines += {"1": 1, "2": -1}.get(kind, 0)
        most = max(most, lines)
    assert (most, lines) == (30, 10)
    assert list(quotes["symbol"]) == list(universe["symbol"])


def test_an_unknown_symbol_gets_a_row_of_missing_values(reading: BrokerSession, universe: pd.DataFrame) -> None:
    some = pd.concat([universe.head(3), pd.DataFrame([unknown_stock(4)])])
    quotes = read_quotes(reading, some, reading.settings.broker).set_index("symbol")
    assert every(quotes.loc["NOSUCH", ["bid", "ask", "last", "volume", "quoted_at", "shortable"]].isna())
    assert list(quotes["last"].notna()) == [True, True, True, False]


def test_no_quote_at_all_is_an_error_with_the_brokers_words(reading: BrokerSession) -> None:
    with pytest.raises(BrokerError, match=r"no quote for any of 1 symbols.*No security definition"):
        read_quotes(reading, pd.DataFrame([unknown_stock(1)]), reading.settings.broker)
