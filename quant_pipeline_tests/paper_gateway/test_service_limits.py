"""The limits of the service, each met by a real ib_insync client, and each lifted."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
from ib_insync import IB, LimitOrder, ScannerSubscription
from ib_insync.wrapper import RequestError

from quant_pipeline.errors import UsageError
from quant_pipeline.paper_gateway.__main__ import read_options
from quant_pipeline.paper_gateway.answers.history_bars import by_minutes, by_seconds, duration
from quant_pipeline.paper_gateway.embedded import ensure_running, stop
from quant_pipeline.paper_gateway.markets.synthetic_market import SyntheticMarket
from quant_pipeline.paper_gateway.service_limits import (
    NO_LIMITS,
    MessagePace,
    ServiceLimits,
    SmallBarPacing,
    Violations,
)
from quant_pipeline.settings import load_settings
from quant_pipeline_tests.paper_gateway.gateway_room import RawClient, connected, errors_of, gateway_room, stock, until
from quant_pipeline_tests.paper_gateway.scripted_market import ScriptedMarket, at

REFUSED_CONNECTION = (-1, 100)


@contextmanager
def client_under(home: Path, market: ScriptedMarket | None = None, **limits: int | bool | None) -> Iterator[IB]:
    """A client of a gateway with no limits but those that are named."""
    with (
        gateway_room(home, market, limits=dataclasses.replace(NO_LIMITS, **limits)) as room,
        connected(room.port) as ib,
    ):
        yield ib


def ask_for_time(ib: IB, times: int) -> None:
    for _ in range(times):
        ib.client.reqCurrentTime()


def answered_times(ib: IB, times: int) -> list[object]:
    """Ask for the time and wait for all the answers; the client's own table has room for one question only."""
    answered: list[object] = []
    with patch.object(ib.wrapper, "currentTime", answered.append):
        ask_for_time(ib, times)
        until(ib, lambda: len(answered) == times)
    return answered


# ---- messages a second ----------------------------------------------------------------------------------------------


def test_a_client_that_sends_too_fast_is_told_and_the_third_time_sent_away(tmp_path: Path) -> None:
    with client_under(tmp_path, messages_per_second=50) as ib:
        heard = errors_of(ib)
        for violations in (1, 2):
            ib.sleep(1.1)
            ask_for_time(ib, 120)
            until(ib, lambda expected=violations: heard.count(REFUSED_CONNECTION) == expected)
        ib.sleep(1.1)
        ask_for_time(ib, 120)
        with contextlib.suppress(ConnectionError):
            until(ib, lambda: not ib.isConnected())
        assert heard == [REFUSED_CONNECTION] * 3
        assert not ib.isConnected()


def test_a_client_that_throttles_itself_to_45_messages_never_hears_of_it(tmp_path: Path) -> None:
    with client_under(tmp_path, messages_per_second=50) as ib:
        ib.sleep(1.0)
        heard = errors_of(ib)
        ib.client.MaxRequests = 45
        assert len(answered_times(ib, 100)) == 100
        assert heard == []


def test_without_the_limit_messages_may_come_as_fast_as_they_can(tmp_path: Path) -> None:
    with client_under(tmp_path) as ib:
        heard = errors_of(ib)
        assert len(answered_times(ib, 1_000)) == 1_000
        assert heard == []


def test_the_allowance_fills_up_with_time_and_never_above_a_second() -> None:
    pace = MessagePace(50)
    assert sum(pace.allows(100.0) for _ in range(80)) == 50
    assert sum(pace.allows(100.5) for _ in range(80)) == 25
    assert sum(pace.allows(500.0) for _ in range(80)) == 50


def test_messages_refused_within_a_second_are_one_violation() -> None:
    violations = Violations()
    assert [violations.begins(now) for now in (5.0, 5.5, 5.9, 6.0, 6.1)] == [True, False, False, True, False]
    assert not violations.are_too_many
    assert violations.begins(9.0)
    assert violations.are_too_many


# ---- scans ----------------------------------------------------------------------------------------------------------


def many_stocks() -> ScriptedMarket:
    return ScriptedMarket(prices={f"S{number:03d}": 10.0 + number for number in range(60)})


@pytest.mark.parametrize(("limit", "rows"), [(50, 50), (7, 7), (None, 60)])
def test_a_scan_gives_as_many_rows_as_the_service_allows(tmp_path: Path, limit: int | None, rows: int) -> None:
    with client_under(tmp_path, many_stocks(), rows_per_scan=limit) as ib:
        wanted = ScannerSubscription(instrument="STK", locationCode="STK.US.MAJOR", scanCode="MOST_ACTIVE")
        assert len(ib.reqScannerData(wanted)) == rows


@pytest.mark.parametrize(("limit", "refused"), [(10, 1), (None, 0)])
def test_the_eleventh_scan_is_refused_until_one_is_cancelled(tmp_path: Path, limit: int | None, refused: int) -> None:
    with client_under(tmp_path, active_scans=limit) as ib:
        heard = errors_of(ib)
        wanted = ScannerSubscription(instrument="STK", locationCode="STK.US.MAJOR", scanCode="MOST_ACTIVE")
        scans = [ib.reqScannerSubscription(wanted) for _ in range(11)]
        ib.reqCurrentTime()
        assert heard == [(scans[-1].reqId, 322)] * refused
        ib.cancelScannerSubscription(scans[0])
        again = ib.reqScannerSubscription(wanted)
        until(ib, lambda: len(again))


# ---- quotes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "refused"), [(3, 101), (None, None)])
def test_quotes_and_five_second_bars_share_the_market_data_lines(
    tmp_path: Path, limit: int | None, refused: int | None
) -> None:
    with client_under(tmp_path, market_data_lines=limit) as ib:
        heard = errors_of(ib)
        first = stock("AAA")
        ib.reqMktData(first)
        ib.reqMktData(stock("BBB"))
        ib.reqRealTimeBars(stock("CCC"), 5, "TRADES", True)
        ib.reqMktData(stock("FUND"))
        ib.reqCurrentTime()
        assert [code for _, code in heard] == ([] if refused is None else [refused])
        ib.cancelMktData(first)
        (ticker,) = ib.reqTickers(stock("FUND"))
        assert ticker.ask == 30.01


def test_all_clients_share_the_market_data_lines(tmp_path: Path) -> None:
    limits = dataclasses.replace(NO_LIMITS, market_data_lines=1)
    with gateway_room(tmp_path, limits=limits) as room, connected(room.port, 1) as one, connected(room.port, 2) as two:
        heard = errors_of(two)
        one.reqMktData(stock("AAA"))
        one.reqCurrentTime()
        two.reqMktData(stock("BBB"))
        two.reqCurrentTime()
        assert [code for _, code in heard] == [101]


# ---- bars -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "refused"), [(50, 1), (None, 0)])
def test_no_more_than_fifty_histories_are_kept_up_to_date(tmp_path: Path, limit: int | None, refused: int) -> None:
    with client_under(tmp_path, open_history_requests=limit) as ib:
        heard = errors_of(ib)
        for _ in range(51):
            request = ib.client.getReqId()
            ib.client.reqHistoricalData(request, stock("AAA"), "", "1 D", "1 min", "TRADES", True, 1, True, [])
        ib.reqCurrentTime()
        assert [code for _, code in heard] == [322] * refused


@pytest.mark.parametrize(("limit", "answered"), [(50, 50), (None, 60)])
def test_of_sixty_histories_asked_in_one_breath_fifty_are_answered(
    tmp_path: Path, limit: int | None, answered: int
) -> None:
    limits = dataclasses.replace(NO_LIMITS, open_history_requests=limit)
    with gateway_room(tmp_path, limits=limits) as room:
        raw = RawClient(room.port)
        raw.greet()
        raw.receive_until(9)
        contract = (0, "AAA", "STK", "", 0.0, "", "", "SMART", "", "USD", "", "", 0)
        raw.send_together(
            [(20, number, *contract, "", "1 day", "5 D", 1, "TRADES", 1, 0, "") for number in range(60)] + [(49, 1)]
        )
        ids: list[str] = []
        while (message := raw.receive()) is not None and message[0] != "49":
            ids.append(message[0])
        assert ids.count("17") == answered
        raw.close()


@pytest.mark.parametrize(("limit", "paced"), [(60, True), (None, False)])
def test_the_same_small_bars_are_not_given_twice_in_15_seconds(tmp_path: Path, limit: int | None, paced: bool) -> None:
    market = ScriptedMarket()
    market.prints("AAA", *((f"10:{minute:02d}:00", 50.0 + minute / 100) for minute in range(10)))
    with client_under(tmp_path, market, small_bar_requests=limit) as ib:
        assert len(ib.reqHistoricalData(stock("AAA"), "", "3600 S", "30 secs", "TRADES", True)) == 10
        ib.reqHistoricalData(stock("AAA"), "", "3600 S", "1 min", "TRADES", True)
        ib.reqHistoricalData(stock("AAA"), "", "3600 S", "1 min", "TRADES", True)
        if paced:
            with pytest.raises(RequestError, match="pacing violation"):
                ib.reqHistoricalData(stock("AAA"), "", "3600 S", "30 secs", "TRADES", True)
        else:
            ib.reqHistoricalData(stock("AAA"), "", "3600 S", "30 secs", "TRADES", True)


def test_small_bars_are_paced_as_ib_words_it() -> None:
    pacing = SmallBarPacing(60)
    assert not pacing.refuses("AAA", "one", 1, 0.0)
    assert pacing.refuses("AAA", "one", 1, 14.9)
    assert not pacing.refuses("AAA", "one", 1, 15.0)
    in_two_seconds = [pacing.refuses("BBB", f"BBB {number}", 1, 20.0 + number / 10) for number in range(6)]
    assert in_two_seconds == [False] * 5 + [True]
    with_bid_ask = [pacing.refuses("CCC", f"CCC {number}", 2, 30.0 + number / 10) for number in range(3)]
    assert with_bid_ask == [False, False, True]
    in_ten_minutes = [pacing.refuses(f"S{number}", "x" * number, 1, 60.0 + number) for number in range(80)]
    assert in_ten_minutes.count(False) == 60 - 1 - 1 - 5 - 4
    assert not pacing.refuses("AAA", "again", 1, 800.0)


def test_small_bars_are_cut_from_the_same_trades_as_minutes() -> None:
    market = SyntheticMarket(7)
    symbol, end = market.instruments[0].symbol, at("10:15")
    minutes = _bars(by_minutes(market, symbol, end, duration("3600 S"), 1, "TRADES", 2))
    seconds = _bars(by_seconds(market, symbol, end, duration("3600 S"), 15, "TRADES", 2))
    assert len(seconds) == 4 * len(minutes) == 180
    for place, minute in enumerate(minutes):
        parts = seconds[4 * place : 4 * place + 4]
        assert parts[0][:2] == minute[:2]
        assert max(float(part[2]) for part in parts) == float(minute[2])
        assert min(float(part[3]) for part in parts) == float(minute[3])
        assert parts[-1][4] == minute[4]
        assert sum(int(part[5]) for part in parts) == int(minute[5])


def _bars(counted: tuple[int, str]) -> list[list[str]]:
    """The fields of bars, eight of each."""
    fields = counted[1].split("\0")[:-1]
    return [fields[start : start + 8] for start in range(0, len(fields), 8)]


# ---- orders and connections -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "refused"), [(20, 1), (None, 0)])
def test_the_twenty_first_order_for_one_contract_and_side_is_refused(
    tmp_path: Path, limit: int | None, refused: int
) -> None:
    with client_under(tmp_path, orders_per_contract_and_side=limit) as ib:
        trades = [ib.placeOrder(stock("AAA"), LimitOrder("BUY", 1, 40.0, tif="DAY")) for _ in range(21)]
        other_side = ib.placeOrder(stock("AAA"), LimitOrder("SELL", 1, 60.0, tif="DAY"))
        until(ib, lambda: all(trade.orderStatus.status != "PendingSubmit" for trade in [*trades, other_side]))
        working = [trade.orderStatus.status in ("Submitted", "PreSubmitted") for trade in trades]
        assert working.count(False) == refused
        assert other_side.orderStatus.status == "Submitted"


def test_a_read_only_api_refuses_orders_and_their_lists_and_nothing_else(tmp_path: Path) -> None:
    limits = dataclasses.replace(NO_LIMITS, read_only=True)
    with gateway_room(tmp_path, limits=limits) as room, connected(room.port, read_only=True) as ib:
        heard = errors_of(ib)
        trade = ib.placeOrder(stock("AAA"), LimitOrder("BUY", 1, 40.0))
        until(ib, lambda: heard)
        assert heard == [(trade.order.orderId, 321)]
        ib.client.reqOpenOrders()
        ib.client.reqCompletedOrders(False)
        ib.client.reqGlobalCancel()
        ib.reqCurrentTime()
        assert heard[1:] == [(-1, 321)] * 3
        assert len(ib.reqHistoricalData(stock("AAA"), "", "5 D", "1 day", "TRADES", True)) == 5
        assert room.book.live == {}


@pytest.mark.parametrize(("limit", "served"), [(2, 2), (None, 3)])
def test_so_many_clients_are_served_at_one_time(tmp_path: Path, limit: int | None, served: int) -> None:
    with gateway_room(tmp_path, limits=dataclasses.replace(NO_LIMITS, connected_clients=limit)) as room:
        clients = [RawClient(room.port) for _ in range(3)]
        for number, client in enumerate(clients[:served]):
            client.greet(client_id=number)
            assert client.receive_until(9)
        assert served == 3 or clients[-1].is_closed()
        for client in clients:
            client.close()


# ---- how limits are worded ------------------------------------------------------------------------------------------


def test_limits_are_ibs_unless_the_command_line_says_otherwise() -> None:
    assert read_options([]).limits == ServiceLimits()
    chosen = read_options(
        ["--limit", "messages_per_second=off", "--limit", "rows-per-scan=20", "--limit", "read_only=on"]
    )
    assert chosen.limits == ServiceLimits(messages_per_second=None, rows_per_scan=20, read_only=True)


@pytest.mark.parametrize("word", ["scans=5", "rows_per_scan", "rows_per_scan=0", "rows_per_scan=many", "read_only=3"])
def test_a_limit_that_makes_no_sense_is_refused_in_one_sentence(word: str) -> None:
    with pytest.raises(UsageError, match=r"There is no limit 'scans'; there are|The limit \w+ is "):
        read_options(["--limit", word])


def test_the_embedded_gateway_leaves_to_the_settings_what_they_hold_the_pipeline_to(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, gateway={"start_seconds": 60.0, "idle_minutes": 5.0})
    try:
        gateway = ensure_running(settings)
        with connected(gateway.port) as ib:
            heard = errors_of(ib)
            assert len(answered_times(ib, 300)) == 300
            wanted = ScannerSubscription(instrument="STK", locationCode="STK.US.MAJOR", scanCode="MOST_ACTIVE")
            for _ in range(11):
                ib.reqScannerSubscription(wanted)
            ib.reqCurrentTime()
            assert [code for _, code in heard] == [322]
    finally:
        stop(settings.home)
