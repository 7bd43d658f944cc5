"""Four client libraries play one trader's morning over TCP, each in an environment of its own, and see the same.

The values are those of the scripted market and of the book that follows from it: AAA trades at 50, BBB at 20, CCC at
100 dollars, a bid a cent below and an ask a cent above, and every order costs the minimum commission of one dollar.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from quant_pipeline.paper_gateway.options import account_of
from quant_pipeline_tests.paper_gateway.clients.environments import CLIENTS, Client
from quant_pipeline_tests.paper_gateway.clients.interview import ABSENT, Refused
from quant_pipeline_tests.paper_gateway.clients.scenario import Transcript
from quant_pipeline_tests.paper_gateway.scripted_market import TUESDAY, at

ACCOUNT = account_of("scripted")
DIFFERENT_BY_LIBRARY = {
    "connect",  # the version
    "schedule",  # since version 165
    "user info",  # not in ibapi 9.81
    "fundamental data",  # no longer in ibapi 10.50
}
HOURS = (
    "20180220:0930-20180220:1600;20180221:0930-20180221:1600;20180222:0930-20180222:1600;"
    "20180223:0930-20180223:1600;20180224:CLOSED;20180225:CLOSED"
)


def second(clock: str, day: dt.date = TUESDAY) -> int:
    return int(at(clock, day).timestamp())


def fills(events: list[list[Any]]) -> list[list[Any]]:
    return [event[1:] for event in events if event[0] == "execDetails"]


def fees(events: list[list[Any]]) -> list[list[Any]]:
    return [event[1:] for event in events if event[0] == "commission"]


def errors(events: list[list[Any]]) -> list[list[Any]]:
    return [event[1:] for event in events if event[0] == "error"]


def statuses(events: list[list[Any]]) -> dict[str, list[Any]]:
    """The last status of every order: the word, filled, remaining, average price, why it is held."""
    return {event[1]: event[2:] for event in events if event[0] == "orderStatus"}


# ---- the layouts --------------------------------------------------------------------------------------------------


def test_no_message_is_swallowed_by_the_clients_decoder(saw: Transcript) -> None:
    assert saw["problems"] == []


def test_all_four_clients_see_the_same(transcript_of: Callable[[Client], Transcript]) -> None:
    first, *others = (transcript_of(client) for client in CLIENTS)
    assert len(first) > 50
    for other in others:
        assert list(other) == list(first)
        differing = {step for step in first if first[step] != other[step]}
        assert differing <= DIFFERENT_BY_LIBRARY


# ---- the market ---------------------------------------------------------------------------------------------------


def test_the_version_is_the_highest_that_both_speak(client: Client, saw: Transcript) -> None:
    assert saw["connect"] == {"version": client.version, "accounts": [ACCOUNT]}


def test_the_time_is_that_of_the_gateways_clock(saw: Transcript) -> None:
    assert saw["current time"] == second("10:15")


def test_a_scan_ranks_what_passes_its_filters(saw: Transcript) -> None:
    assert saw["scan"] == [
        [0, "CCC", 1002, "SMART", "USD"],
        [1, "AAA", 1000, "SMART", "USD"],
        [2, "FUND", 1003, "SMART", "USD"],
    ]
    assert saw["scan that does not exist"] == Refused(162)
    assert "MOST_ACTIVE" in saw["scanner parameters"]


def test_contract_details_say_what_an_instrument_is(saw: Transcript) -> None:
    assert saw["contract details"] == [
        [
            *(1000, "AAA", "NASDAQ", "USD", "AAA Incorporated", 0.01, "Tools", "COMMON", "SMART,NASDAQ", "26,26"),
            *("America/New_York", HOURS, HOURS),
        ]
    ]
    assert saw["unknown contract"] == Refused(200)


def test_prices_have_a_grid_and_symbols_are_found_by_their_beginning(saw: Transcript) -> None:
    assert saw["market rule"] == [[0.0, 0.0001], [1.0, 0.01]]
    assert saw["matching symbols"] == [["BBB", "STK", "NYSE"]]


def test_daily_bars_are_the_last_five_sessions(saw: Transcript) -> None:
    days = ["20180213", "20180214", "20180215", "20180216", "20180220"]
    assert saw["daily TRADES"] == [[day, 50.0, 51.0, 49.0, 50.0, 1000.0, 50.0, 10] for day in days]
    unknown = [-1.0, -1.0, -1]
    assert saw["daily MIDPOINT"] == [[day, 50.0, 51.0, 49.0, 50.0, *unknown] for day in days]
    # Half the spread is a cent on fifty dollars.
    assert saw["daily BID_ASK"] == [[day, 49.99, 51.0102, 48.9902, 50.01, *unknown] for day in days]
    assert saw["daily BID"] == [[day, 49.99, 50.9898, 48.9902, 49.99, *unknown] for day in days]
    assert saw["daily ASK"] == [[day, 50.01, 51.0102, 49.0098, 50.01, *unknown] for day in days]


def test_quarter_hours_are_joined_from_minutes(saw: Transcript) -> None:
    starts = [second("09:30"), second("09:45"), second("10:00")]
    opens, closes = [50.3, 50.45, 50.0], [50.44, 50.59, 50.14]
    trades = saw["15 minutes TRADES"]
    assert [bar[:2] for bar in trades] == [list(pair) for pair in zip(starts, opens, strict=True)]
    assert [(bar[4], bar[5], bar[7]) for bar in trades] == [(close, 150.0, 15) for close in closes]
    assert [bar[:5] for bar in saw["15 minutes MIDPOINT"]] == [bar[:5] for bar in trades]
    for bid_ask, bid, ask, trade in zip(
        saw["15 minutes BID_ASK"], saw["15 minutes BID"], saw["15 minutes ASK"], trades, strict=True
    ):
        assert bid[4] < trade[4] < ask[4]
        assert (bid_ask[2], bid_ask[3]) == (ask[2], bid[3])


def test_bars_begin_where_the_calendar_does(saw: Transcript) -> None:
    assert saw["head time stamp"] == second("09:30", dt.date(2010, 1, 4))


def test_a_snapshot_is_a_whole_quote(saw: Transcript) -> None:
    assert saw["snapshot"] == {
        "bid": 99.99,
        "bid size": 300.0,
        "ask": 100.01,
        "ask size": 200.0,
        "last": 100.0,
        "last size": 100.0,
        "open": 100.0,
        "high": 100.0,
        "low": 100.0,
        "close": 100.0,
        "volume": 10_000.0,
        "last time": second("16:00", dt.date(2018, 2, 16)),
        "halted": 0.0,
    }


def test_a_stream_tells_the_quote_and_then_what_changes(saw: Transcript) -> None:
    before, after = saw["streamed quote"], saw["quote that moved"]
    assert (before["bid"], before["ask"], before["last"]) == (49.99, 50.01, 50.0)
    assert (before["shortable"], before["shortable shares"]) == (3.0, 50_000.0)
    assert (after["bid"], after["ask"], after["last"], after["high"], after["open"]) == (50.09, 50.11, 50.1, 50.2, 50.2)
    assert (after["volume"], after["last time"]) == (15_000.0, second("10:15:04"))


def test_real_time_bars_come_every_five_seconds(saw: Transcript) -> None:
    assert saw["real-time bars"] == [
        [second("10:15"), 50.2, 50.2, 50.1, 50.1, 200.0, 50.1333, -1],
        [second("10:15:05"), 50.1, 50.1, 50.1, 50.1, 0.0, 50.1, 0],
    ]


def test_bars_that_are_kept_up_to_date_grow(saw: Transcript) -> None:
    assert saw["bars that are kept"] == saw["15 minutes TRADES"][-1]
    complete, growing = saw["bars that were kept"]
    assert complete == saw["bars that are kept"]
    assert growing[:6] == [second("10:15"), 50.2, 50.2, 50.1, 50.1, 200.0]


# ---- orders -------------------------------------------------------------------------------------------------------


def test_a_bracket_is_placed_and_its_children_wait(saw: Transcript) -> None:
    assert statuses(saw["bracket placed"]) == {
        "up:entry": ["Submitted", 0.0, 10.0, 0.0, ""],
        "up:target": ["PreSubmitted", 0.0, 10.0, 0.0, "child"],
        "up:stop": ["PreSubmitted", 0.0, 10.0, 0.0, "child"],
    }
    assert fills(saw["bracket placed"]) == []
    assert (
        saw["open orders"]
        == saw["all open orders"]
        == [
            ["up:entry", "BUY", "LMT", 10.0, 49.0, 0.0, "DAY", "Submitted"],
            ["up:stop", "SELL", "STP", 10.0, 0.0, 48.0, "GTC", "PreSubmitted"],
            ["up:target", "SELL", "LMT", 10.0, 51.0, 0.0, "GTC", "PreSubmitted"],
        ]
    )


def test_a_bracket_is_filled_and_its_children_wake(saw: Transcript) -> None:
    events = saw["bracket filled"]
    assert fills(events) == [["up:entry", "BOT", 10.0, 49.0]]
    assert fees(events) == [["up:entry", 1.0, 0.0]]
    assert statuses(events) == {
        "up:entry": ["Filled", 10.0, 0.0, 49.0, ""],
        "up:target": ["Submitted", 0.0, 10.0, 0.0, ""],
        "up:stop": ["PreSubmitted", 0.0, 10.0, 0.0, "trigger"],
    }
    assert saw["position"] == {"AAA": [10.0, 49.1]}


def test_a_bracket_closes_at_its_target_and_the_stop_goes(saw: Transcript) -> None:
    events = saw["bracket closed by its target"]
    assert fills(events) == [["up:target", "SLD", 10.0, 51.0]]
    assert fees(events) == [["up:target", 1.0, pytest.approx(18.0)]]
    assert statuses(events)["up:stop"][0] == "Cancelled"
    assert errors(events) == [["up:stop", 202]]


def test_a_bracket_closes_at_its_stop_and_the_target_goes(saw: Transcript) -> None:
    assert fills(saw["bracket filled on arrival"]) == [["down:entry", "BOT", 10.0, 20.01]]
    events = saw["bracket closed by its stop"]
    assert fills(events) == [["down:stop", "SLD", 10.0, 18.5]]
    assert fees(events) == [["down:stop", 1.0, pytest.approx(-17.1)]]
    assert statuses(events)["down:target"][0] == "Cancelled"
    assert errors(events) == [["down:target", 202]]


def test_an_order_is_modified_and_cancelled(saw: Transcript) -> None:
    assert statuses(saw["modified"]) == {"patient": ["Submitted", 0.0, 3.0, 0.0, ""]}
    assert saw["open orders after the change"] == [["patient", "BUY", "LMT", 3.0, 98.5, 0.0, "GTC", "Submitted"]]
    assert statuses(saw["cancelled"])["patient"][0] == "Cancelled"
    assert errors(saw["cancelled"]) == [["patient", 202]]
    assert statuses(saw["cancelled everything"])["last"][0] == "Cancelled"


def test_a_price_off_the_grid_is_refused(saw: Transcript) -> None:
    assert saw["refused"] == [["error", "off the grid", 110]]


def test_a_what_if_order_tells_margin_and_commission(saw: Transcript) -> None:
    # A quarter of 50 000 dollars; the account has won 18 dollars and lost 17.10 by then, and 5 dollars go off.
    assert saw["what if"] == [0.0, 12_500.0, 12_500.0, pytest.approx(99_995.9), 5.0, "USD"]


def test_completed_orders_are_listed_with_what_was_filled(saw: Transcript) -> None:
    assert [row for row in saw["completed orders"] if row[0] != "off the grid"] == [
        ["down:entry", "Filled", 10.0],
        ["down:stop", "Filled", 10.0],
        ["down:target", "Cancelled", 0.0],
        ["patient", "Cancelled", 0.0],
        ["up:entry", "Filled", 10.0],
        ["up:stop", "Cancelled", 0.0],
        ["up:target", "Filled", 10.0],
    ]


def test_executions_are_listed_and_filtered(saw: Transcript) -> None:
    rows = saw["executions"]
    assert [row[:5] for row in rows] == [
        ["down:entry", "BBB", "BOT", 10.0, 20.01],
        ["down:stop", "BBB", "SLD", 10.0, 18.5],
        ["up:entry", "AAA", "BOT", 10.0, 49.0],
        ["up:target", "AAA", "SLD", 10.0, 51.0],
    ]
    assert [row[7] for row in rows] == [
        second("10:41"),
        *(second(last) for last in ("10:50:59", "10:20:59", "10:40:59")),
    ]
    assert [row[8] for row in rows] == ["NYSE", "NYSE", "NASDAQ", "NASDAQ"]
    assert {row[9] for row in rows} == {ACCOUNT}
    assert [row[10:] for row in rows] == [[1.0, 0.0], [1.0, pytest.approx(-17.1)], [1.0, 0.0], [1.0, pytest.approx(18)]]
    assert saw["executions of a symbol"] == rows[:2]
    assert saw["executions of a side"] == [rows[1], rows[3]]
    assert saw["executions since"] == [rows[1]]
    assert saw["executions of another client"] == []


# ---- the account --------------------------------------------------------------------------------------------------


def test_positions_carry_their_average_cost(saw: Transcript) -> None:
    assert saw["positions"] == {"CCC": [4.0, 100.26]}
    assert saw["positions multi"] == [[ACCOUNT, "CCC", 4.0, 100.26]]


def test_the_account_follows_the_market(saw: Transcript) -> None:
    # Won 18, lost 17.10, and four shares bought at 100.26 with their commission are worth 103 each.
    assert saw["account summary"] == {
        "NetLiquidation": "100011.86",
        "TotalCashValue": "99599.86",
        "BuyingPower": "399635.44",
        "GrossPositionValue": "412.00",
        "Cushion": "0.9990",
    }
    assert saw["account updates"] == {
        "values": {
            "NetLiquidation": "100011.86",
            "TotalCashValue": "99599.86",
            "UnrealizedPnL": "10.96",
            "RealizedPnL": "0.90",
        },
        "portfolio": {"CCC": [4.0, 103.0, 412.0, 100.26, 10.96, 0.0]},
    }


def test_profit_and_loss_are_told_for_the_account_and_for_a_position(saw: Transcript) -> None:
    assert saw["profit"] == [11.86, 10.96, 0.9]
    assert saw["profit of a position"] == [4.0, 10.96, 10.96, 0.0, 412.0]


# ---- what is there, and what is not -------------------------------------------------------------------------------


def test_small_questions_have_true_answers(client: Client, saw: Transcript) -> None:
    days = (dt.date(2018, 2, 16), TUESDAY)
    sessions = [[f"{day:%Y%m%d}-09:30:00", f"{day:%Y%m%d}-16:00:00", f"{day:%Y%m%d}"] for day in days]
    assert saw["schedule"] == (sessions if client.version >= 165 else Refused(321))
    assert saw["family codes"] == [[ACCOUNT, ""]]
    assert ["NASDAQ", "Q"] in saw["smart components"]
    assert saw["option chains"] == saw["news providers"] == saw["exchanges with depth"] == []
    assert saw["user info"] == (ABSENT if client.version < 167 else "")


def test_what_is_not_imitated_is_refused_so_that_no_client_waits(saw: Transcript) -> None:
    assert saw["fundamental data"] in (Refused(430), ABSENT)
    assert saw["historical ticks"] == Refused(10187)
    assert saw["histogram"] == Refused(10188)
