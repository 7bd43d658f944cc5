"""Bars that go on: what each subscription tells, and when."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from quant_pipeline.paper_gateway.answers.live_bars import MOST_AT_ONCE, FiveSecondBars, KeptBars, five_second_bars
from quant_pipeline.paper_gateway.markets.synthetic_market import SyntheticMarket
from quant_pipeline.paper_gateway.protocol.replies import Message
from quant_pipeline.paper_gateway.protocol.requests import HistoryRequest, LiveBarsRequest
from quant_pipeline.paper_gateway.protocol.securities import ContractQuery
from quant_pipeline_tests.paper_gateway.scripted_market import ScriptedMarket, at

AAA = ContractQuery(1000, "AAA", "STK", "SMART", "", "USD", "")


def live(what: str = "TRADES", since: str = "10:15") -> FiveSecondBars:
    return five_second_bars(LiveBarsRequest(3, AAA, what), "AAA", at(since))


def kept(size: str = "15 mins", what: str = "TRADES", since: str = "10:15", date_format: int = 2) -> KeptBars:
    request = HistoryRequest(3, AAA, "", size, "1 D", True, what, date_format, True)
    return KeptBars(request, "AAA", at(since))


def prices(messages: list[Message]) -> list[list[Any]]:
    """Open, high, low and close of five-second bars."""
    return [message[4:8] for message in messages]


def test_a_bar_is_told_when_its_five_seconds_are_over() -> None:
    market, bars = ScriptedMarket(), live(since="10:15:02")
    market.prints("AAA", ("10:15:01", 50.1), ("10:15:04", 50.3), ("10:15:05", 50.2), ("10:15:07", 50.4))
    assert bars.due(market, at("10:15:04")) == []
    assert prices(bars.due(market, at("10:15:06"))) == [[50.1, 50.3, 50.1, 50.3]]
    assert bars.due(market, at("10:15:06")) == []
    assert prices(bars.due(market, at("10:15:10"))) == [[50.2, 50.4, 50.2, 50.4]]


def test_without_a_trade_a_bar_stays_where_the_price_was() -> None:
    (message,) = live().due(ScriptedMarket(), at("10:15:05"))
    assert message == [50, 3, 3, int(at("10:15").timestamp()), 50.0, 50.0, 50.0, 50.0, 0, 50.0, 0]


@pytest.mark.parametrize(("what", "price"), [("MIDPOINT", 50.0), ("BID", 49.99), ("ASK", 50.01)])
def test_other_bars_lie_around_the_trades_and_have_no_volume(what: str, price: float) -> None:
    (message,) = live(what).due(ScriptedMarket(), at("10:15:05"))
    assert message[4:] == [price, price, price, price, -1, -1, -1]


def test_there_are_no_bars_while_the_exchange_is_closed() -> None:
    bars = live(since="15:59:50")
    assert len(bars.due(ScriptedMarket(), at("16:30"))) == 2
    assert bars.due(ScriptedMarket(), at("09:30", dt.date(2018, 2, 21))) == []
    assert len(bars.due(ScriptedMarket(), at("09:30:05", dt.date(2018, 2, 21)))) == 1


def test_a_leap_of_the_clock_tells_an_hour_at_most() -> None:
    bars = live(since="10:00")
    told = bars.due(ScriptedMarket(), at("15:00"))
    assert len(told) == MOST_AT_ONCE
    assert told[-1][3] == int(at("14:59:55").timestamp())


def test_the_bar_being_made_is_told_whenever_it_changed() -> None:
    market, bars = ScriptedMarket(), kept()
    start = int(at("10:15").timestamp())
    market.prints("AAA", ("10:15:10", 50.5), ("10:15:30", 49.5))
    (first,) = bars.due(market, at("10:15:20"))
    assert first[:8] == [90, 3, 0, str(start), 50.5, 50.5, 50.5, 50.5]
    (second,) = bars.due(market, at("10:15:40"))
    # Close comes before high and low in this message.
    assert second[3:8] == [str(start), 50.5, 49.5, 50.5, 49.5]
    assert bars.due(market, at("10:15:50")) == []


def test_a_bar_is_told_once_more_when_it_is_complete_and_the_next_begins() -> None:
    market, bars = ScriptedMarket(), kept()
    market.prints("AAA", ("10:30:10", 51.0))
    ended, begun = bars.due(market, at("10:30:20"))
    whole = market.minute_bars("AAA", at("10:15"), at("10:30"))
    assert ended[2:8] == [15, str(int(at("10:15").timestamp())), whole[0].open, whole[-1].close, 50.29, 50.15]
    assert ended[9] == sum(bar.volume for bar in whole)
    assert (begun[3], begun[5]) == (str(int(at("10:30").timestamp())), 51.0)


def test_a_trade_in_the_first_second_belongs_to_the_bar_that_begins() -> None:
    market, bars, five = ScriptedMarket(), kept(), live()
    market.prints("AAA", ("10:15:00", 50.5))
    (message,) = bars.due(market, at("10:15:05"))
    assert (message[3], message[5]) == (str(int(at("10:15").timestamp())), 50.5)
    assert prices(five.due(market, at("10:15:05"))) == [[50.5, 50.5, 50.5, 50.5]]


def test_todays_bar_of_a_daily_history_is_kept_too() -> None:
    market, bars = ScriptedMarket(), kept("1 day")
    (message,) = bars.due(market, at("10:16"))
    assert message[3:8] == ["20180220", 50.0, 50.0, 51.0, 49.0]
    assert bars.due(market, at("10:17")) == []


def test_times_are_worded_as_the_history_was_asked_for() -> None:
    market = ScriptedMarket()
    market.prints("AAA", ("10:15:10", 50.5))
    (message,) = kept(date_format=1).due(market, at("10:15:20"))
    assert message[3] == "20180220 10:15:00 America/New_York"


def test_bars_of_bid_and_ask_are_kept_without_volume() -> None:
    market = ScriptedMarket()
    market.prints("AAA", ("10:15:10", 50.0))
    (message,) = kept(what="BID_ASK").due(market, at("10:15:20"))
    # Average bid, highest ask, lowest bid, average ask.
    assert (message[4], message[6], message[7], message[5]) == (49.99, 50.01, 49.99, 50.01)
    assert message[8:] == [-1, -1]


@pytest.mark.parametrize("symbol_number", [0, 150, 300])
def test_live_and_kept_bars_agree_with_the_history_of_a_whole_market(symbol_number: int) -> None:
    market = SyntheticMarket(seed=7)
    symbol = market.instruments[symbol_number].symbol
    five = FiveSecondBars(LiveBarsRequest(3, AAA, "TRADES"), symbol, at("10:00"))
    kept_bars = KeptBars(kept().request, symbol, at("10:00"))
    live_told: list[Message] = []
    kept_told: dict[Any, Message] = {}
    for second in range(7, 15 * 60 + 60, 7):
        now = at("10:00") + dt.timedelta(seconds=second)
        live_told += five.due(market, now)
        kept_told |= {message[3]: message for message in kept_bars.due(market, now)}
    minutes = market.minute_bars(symbol, at("10:00"), at("10:15"))
    quarter = kept_told[str(int(at("10:00").timestamp()))]
    assert quarter[4:8] == [
        *(minutes[0].open, minutes[-1].close),
        *(max(bar.high for bar in minutes), min(bar.low for bar in minutes)),
    ]
    assert quarter[9] == sum(bar.volume for bar in minutes)
    for bar in minutes:
        assert isinstance(bar.start, dt.datetime)
        began = int(bar.start.timestamp())
        parts = [message for message in live_told if began <= int(str(message[3])) < began + 60]
        traded = [message[4:9] for message in parts if message[8]]
        assert len(parts) == 12
        highs, lows, volumes = ([float(str(part[place])) for part in traded] for place in (1, 2, 4))
        assert (traded[0][0], max(highs), min(lows), traded[-1][3]) == (bar.open, bar.high, bar.low, bar.close)
        assert sum(volumes) == bar.volume
