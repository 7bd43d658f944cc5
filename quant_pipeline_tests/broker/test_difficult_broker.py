"""What real brokers say on bad days: remarks, silence, corrections, lost links. Unknown must not pass for something."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest

from quant_pipeline import frames
from quant_pipeline.broker import bars as bars_module
from quant_pipeline.broker.account import read_fills
from quant_pipeline.broker.bars import BarsRead, read_daily_bars
from quant_pipeline.broker.brackets import BracketOrder, BrokerEvent, LegReport, Outcome
from quant_pipeline.broker.client_library import IB
from quant_pipeline.broker.orders import OrderDesk
from quant_pipeline.broker.quotes import read_quotes
from quant_pipeline.broker.session import BrokerSession, Role, connect
from quant_pipeline.errors import BrokerError, TradingBlockedError
from quant_pipeline_tests.broker.frame_reading import every
from quant_pipeline_tests.broker.scripted_broker import (
    CANCEL_MARKET_DATA,
    CANCEL_ORDER,
    EXECUTIONS,
    HISTORY,
    MARKET_DATA,
    PLACE_ORDER,
    START_API,
    Fields,
    ScriptedBroker,
    error,
    order_status,
    scripted_broker,
)

NOW = dt.datetime(2026, 11, 20, 15, 15, tzinfo=dt.UTC)
BRACKET = BracketOrder("2026-11-20T10:15:AAPL", "AAPL", 265598, "LONG", 10, 150.25, 145.80, 161.38)
UNIVERSE = frames.validate(
    "universe",
    pd.DataFrame(
        {"rank": [1, 2], "symbol": ["AAPL", "MSFT"], "con_id": [1, 2], "exchange": "SMART", "scan_code": "MOST_ACTIVE"}
    ),
)
NO_QUOTES = frames.empty("quotes")


def history_of(fields: Fields) -> tuple[object, ...]:
    """Two completed days."""
    days = [("20261118", 10, 11, 9, 10.5, 1000, 10, 5), ("20261119", 10.5, 11, 9, 10, 1000, 10, 5)]
    return (17, fields[1], "", "", len(days), *(value for day in days for value in day))


def stock_of(fields: Fields) -> str:
    return fields[3]


def send_bracket(server: ScriptedBroker, seconds: float) -> tuple[tuple[LegReport, ...], list[BrokerEvent]]:
    events: list[BrokerEvent] = []
    with connect(server.settings(), Role.ORDERS) as session:
        reports = OrderDesk(session).place_bracket(BRACKET, lambda *_: None, events.append, seconds)
    return reports, events


def read_bars(session: BrokerSession) -> BarsRead:
    return read_daily_bars(session, UNIVERSE, NO_QUOTES, None, session.settings.broker, NOW)


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bars_module, "PACING_PAUSE_SECONDS", 0.01)


def test_a_login_with_several_accounts_asks_for_one_to_be_named() -> None:
    with scripted_broker({}, "DU0000001,DU0000002") as server:
        with pytest.raises(BrokerError, match=r"several accounts \(DU0000001, DU0000002\); name one"):
            connect(server.settings(), Role.OBSERVE)
        named = server.settings().model_copy(update={"account": "DU0000002"})
        with connect(named, Role.OBSERVE) as session:
            assert session.account == "DU0000002"


def test_orders_for_a_live_account_are_refused_unless_live_is_armed_for_it() -> None:
    with scripted_broker({}, "U7654321") as server:
        settings = server.settings()
        with connect(settings, Role.ORDERS) as session:
            assert not session.is_paper
            with pytest.raises(TradingBlockedError, match="U7654321 is not a paper account; set live = true"):
                OrderDesk(session)
        armed = settings.model_copy(update={"live": True, "account": "U7654321"})
        with connect(armed, Role.ORDERS) as session:
            OrderDesk(session)


def test_a_broker_that_hangs_up_during_the_handshake_is_told_with_its_words() -> None:
    def hang_up(_: Fields) -> list[tuple[object, ...]]:
        raise ConnectionError

    with (
        scripted_broker({START_API: hang_up}) as server,
        pytest.raises(BrokerError, match="ended the connection before it was ready"),
    ):
        connect(server.settings(), Role.OBSERVE)


def test_a_preset_that_changes_the_time_in_force_does_not_end_an_order() -> None:
    def take(fields: Fields) -> list[tuple[object, ...]]:
        order_id = int(fields[1])
        remark = error(order_id, 10349, "Order TIF was set to DAY based on order preset.")
        return [order_status(order_id, "Submitted", client_id=18, perm_id=500 + order_id), remark]

    with scripted_broker({PLACE_ORDER: take}) as server:
        reports, events = send_bracket(server, seconds=5)
    assert [report.outcome for report in reports] == [Outcome.WORKING] * 3
    assert {event.code for event in events if event.kind == "error"} <= {10349}


def test_an_order_the_broker_is_silent_about_is_unknown() -> None:
    with scripted_broker({}) as server:
        reports, _ = send_bracket(server, seconds=0.3)
        assert [fields[0] for fields in server.received].count(CANCEL_ORDER) == 0
    assert [report.outcome for report in reports] == [Outcome.UNKNOWN] * 3


def test_an_unknown_code_leaves_an_order_unknown() -> None:
    with scripted_broker({PLACE_ORDER: lambda fields: [error(fields[1], 77_777, "A new kind of trouble.")]}) as server:
        reports, _ = send_bracket(server, seconds=0.3)
    assert {(report.outcome, report.code, report.text) for report in reports} == {
        (Outcome.UNKNOWN, 77_777, "A new kind of trouble.")
    }


def test_a_refused_target_takes_the_entry_back_but_never_the_stop_of_an_entry_that_may_fill() -> None:
    def take(fields: Fields) -> list[tuple[object, ...]]:
        order_id = int(fields[1])
        if order_id == 2:
            return [error(order_id, 201, "Order rejected - reason: no")]
        return [order_status(order_id, "Submitted", client_id=18, perm_id=500 + order_id)]

    with scripted_broker({PLACE_ORDER: take}) as server:
        reports, _ = send_bracket(server, seconds=0.5)
        cancelled = [fields[2] for fields in server.received if fields[0] == CANCEL_ORDER]
    assert cancelled == ["1"]
    assert reports[1].outcome is Outcome.REJECTED


def test_nothing_is_sent_while_tws_has_lost_its_servers() -> None:
    lost, back = error(-1, 1100, "Connectivity lost"), error(-1, 1102, "Connectivity restored")
    words = iter([[lost], [back]])
    with (
        scripted_broker({"8": lambda _: next(words)}) as server,
        connect(server.settings(), Role.ORDERS) as session,
    ):
        session.request(_ask_ids, "trouble")
        assert session.link_lost
        reports = OrderDesk(session).place_bracket(BRACKET, lambda *_: None, lambda _: None, 0.1)
        assert {report.outcome for report in reports} == {Outcome.NOT_SENT}
        assert not [fields for fields in server.received if fields[0] == PLACE_ORDER]
        session.request(_ask_ids, "an end of trouble")
        assert not session.link_lost


async def _ask_ids(ib: IB) -> None:
    """The script answers the request for ids with its word about the link; the clock's answer comes after it."""
    ib.client.reqIds(1)
    await ib.reqCurrentTimeAsync()


def test_a_correction_takes_the_place_of_what_it_corrects_and_a_late_commission_finds_it() -> None:
    def told(fields: Fields) -> list[tuple[object, ...]]:
        def execution(exec_id: str, price: float) -> tuple[object, ...]:
            contract = (1, "AAPL", "STK", "", 0, "", "", "NASDAQ", "USD", "AAPL", "NMS")
            at = "20261120 10:16:00 US/Eastern"
            order = (501, 18, 0, 10, price, f"{BRACKET.order_ref}:entry", "", "", "", 1)
            return (11, fields[2], 1, *contract, exec_id, at, "DU0000001", "NASDAQ", "BOT", 10, price, *order)

        return [
            execution("0000e0d5.65c2.01.01", 150.25),
            execution("0000e0d5.65c2.01.02", 150.20),
            execution("0000e0d5.65c3.01.01", 150.22),
            (55, 1, fields[2]),
            (59, 1, "0000e0d5.65c2.01.01", 1.25, "USD", "", "", ""),
            (59, 1, "0000e0d5.65c3.01.01", 1.7976931348623157e308, "USD", "", "", ""),
        ]

    with scripted_broker({EXECUTIONS: told}) as server, connect(server.settings(), Role.OBSERVE) as session:
        fills = read_fills(session).set_index("exec_id")
    assert list(fills.index) == ["0000e0d5.65c2.01.02", "0000e0d5.65c3.01.01"]
    assert list(fills["price"]) == [150.20, 150.22]
    assert fills.loc["0000e0d5.65c2.01.02", "commission"] == 1.25
    assert pd.isna(fills.loc["0000e0d5.65c3.01.01", "commission"])
    assert fills["filled_at"].iloc[0] == pd.Timestamp("2026-11-20 15:16", tz="UTC")


def test_history_asked_for_too_fast_is_asked_for_again(no_pause: None) -> None:
    refusals = iter([True, False, False])

    def answer(fields: Fields) -> list[tuple[object, ...]]:
        pacing = "Historical Market Data Service error message:API historical data query cancelled: pacing violation"
        return [error(fields[1], 162, pacing)] if next(refusals) else [history_of(fields)]

    with scripted_broker({HISTORY: answer}) as server, connect(server.settings(), Role.OBSERVE) as session:
        read = read_bars(session)
    assert (read.requests, read.fetched_whole) == (3, 2)
    assert read.frame.groupby("symbol").size().to_dict() == {"AAPL": 2, "MSFT": 2}


def test_history_that_stays_too_fast_is_an_error_and_not_a_missing_symbol(no_pause: None) -> None:
    refusal = "pacing violation"
    with (
        scripted_broker({HISTORY: lambda fields: [error(fields[1], 162, refusal)]}) as server,
        connect(server.settings(), Role.OBSERVE) as session,
        pytest.raises(BrokerError, match="asked for too fast"),
    ):
        read_bars(session)


def test_a_symbol_without_history_is_absent() -> None:
    def answer(fields: Fields) -> list[tuple[object, ...]]:
        if stock_of(fields) == "MSFT":
            return [error(fields[1], 162, "Historical Market Data Service error message:HMDS query returned no data")]
        return [history_of(fields)]

    with scripted_broker({HISTORY: answer}) as server, connect(server.settings(), Role.OBSERVE) as session:
        assert set(read_bars(session).frame["symbol"]) == {"AAPL"}


def test_no_history_for_any_symbol_is_an_error() -> None:
    with (
        scripted_broker({HISTORY: lambda fields: [error(fields[1], 162, "returned no data")]}) as server,
        connect(server.settings(), Role.OBSERVE) as session,
        pytest.raises(BrokerError, match="no daily bars for any of 2 symbols"),
    ):
        read_bars(session)


def test_history_that_never_comes_is_an_error_that_names_the_symbol() -> None:
    def answer(fields: Fields) -> list[tuple[object, ...]]:
        return [history_of(fields)] if stock_of(fields) == "AAPL" else []

    with (
        scripted_broker({HISTORY: answer}) as server,
        connect(server.settings(request_seconds=0.3), Role.OBSERVE) as session,
        pytest.raises(BrokerError, match="daily bars of MSFT within"),
    ):
        read_bars(session)


def test_delayed_quotes_are_shown_but_not_dated() -> None:
    def answer(fields: Fields) -> list[tuple[object, ...]]:
        request = fields[2]
        if fields[4] == "MSFT":
            return [error(request, 354, "Requested market data is not subscribed.")]
        ticks = [(66, 150.24), (67, 150.26), (68, 150.25), (75, 149.0), (76, 149.5), (72, 151.0), (73, 149.1)]
        remark = error(request, 10167, "Requested market data is not subscribed. Displaying delayed market data.")
        return [
            remark,
            (58, 1, request, 3),
            *((1, 6, request, kind, price, 100, 0) for kind, price in ticks),
            (2, 6, request, 74, 123456),
        ]

    with scripted_broker({MARKET_DATA: answer}) as server, connect(server.settings(), Role.OBSERVE) as session:
        read_quotes(session, UNIVERSE, session.settings.broker)
        quotes = read_quotes(session, UNIVERSE, session.settings.broker).set_index("symbol")
        cancels = [fields for fields in server.received if fields[0] == CANCEL_MARKET_DATA]
    assert quotes.loc["AAPL", ["bid", "ask", "last", "volume"]].tolist() == [150.24, 150.26, 150.25, 123456]
    assert every(quotes["quoted_at"].isna())
    assert every(quotes["shortable"].isna())
    assert every(quotes.loc["MSFT", ["bid", "ask", "last", "volume"]].isna())
    assert len(cancels) == 1, "what the broker refused needs no cancel"


def test_a_halt_and_missing_sides_are_told_as_the_broker_means_them() -> None:
    def answer(fields: Fields) -> list[tuple[object, ...]]:
        request = fields[2]
        return [(1, 6, request, 1, -1, 0, 0), (1, 6, request, 4, 20.0, 100, 0), (45, 6, request, 49, 1.0),
                (45, 6, request, 46, 1.6)]  # fmt: skip

    with scripted_broker({MARKET_DATA: answer}) as server, connect(server.settings(), Role.OBSERVE) as session:
        quotes = read_quotes(session, UNIVERSE, session.settings.broker)
    assert every(quotes["bid"].isna())
    assert every(quotes["last"] == 20.0)
    assert every(quotes["halted"])
    assert list(quotes["shortable"]) == [False, False]
    assert every(quotes["quoted_at"].notna())
