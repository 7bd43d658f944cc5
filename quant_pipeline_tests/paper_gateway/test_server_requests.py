"""What a real ib_insync client gets from the gateway over a real socket: everything a slot asks before it trades."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from ib_insync import IB, Contract, PriceIncrement, ScannerSubscription, TagValue
from ib_insync.wrapper import RequestError

from quant_pipeline_tests.paper_gateway.gateway_room import (
    GatewayRoom,
    connected,
    errors_of,
    gateway_room,
    stock,
    until,
)
from quant_pipeline_tests.paper_gateway.scripted_market import TUESDAY, at


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayRoom]:
    with gateway_room(tmp_path_factory.mktemp("home")) as room:
        yield room


@pytest.fixture(scope="module")
def ib(room: GatewayRoom) -> Iterator[IB]:
    with connected(room.port) as ib:
        yield ib


def scanned(ib: IB, code: str = "MOST_ACTIVE", filters: list[TagValue] | None = None, **more: object) -> list[str]:
    subscription = ScannerSubscription(instrument="STK", locationCode="STK.US.MAJOR", scanCode=code)
    for name, value in more.items():
        setattr(subscription, name, value)
    rows = ib.reqScannerData(subscription, [], filters or [])
    contracts = [row.contractDetails.contract for row in rows]
    return [contract.symbol for contract in contracts if contract is not None]


def test_a_client_connects_and_is_in_step(room: GatewayRoom, ib: IB) -> None:
    assert ib.client.serverVersion() == 176
    (account,) = ib.managedAccounts()
    assert account.startswith("DU")
    assert account == room.gateway.account
    values = {value.tag: value.value for value in ib.accountValues() if value.currency == "USD"}
    assert values["NetLiquidation"] == values["TotalCashValue"] == "100000.00"
    assert (ib.positions(), ib.openTrades(), ib.fills()) == ([], [], [])


def test_the_exchange_time_is_the_time(ib: IB) -> None:
    assert ib.reqCurrentTime() == at("10:15")


def test_scans_rank_by_shares_dollars_and_change(room: GatewayRoom, ib: IB) -> None:
    assert scanned(ib, stockTypeFilter="CORP") == ["CCC", "AAA", "BBB"]
    assert scanned(ib, stockTypeFilter="ETF") == ["FUND"]
    assert scanned(ib, "MOST_ACTIVE_USD", numberOfRows=2) == ["CCC", "AAA"]
    assert scanned(ib, abovePrice=25.0, belowPrice=60.0, stockTypeFilter="CORP") == ["AAA"]
    assert scanned(ib, filters=[TagValue("priceAbove", "60")]) == ["CCC"]
    assert scanned(ib, locationCode="STK.NYSE") == ["FUND", "BBB"]


def test_scan_rows_carry_a_contract_that_can_be_used_as_it_is(ib: IB) -> None:
    subscription = ScannerSubscription(instrument="STK", locationCode="STK.US.MAJOR", scanCode="MOST_ACTIVE")
    contract = ib.reqScannerData(subscription)[0].contractDetails.contract
    assert contract is not None
    assert ib.reqContractDetails(Contract(conId=contract.conId))[0].contract == contract


@pytest.mark.parametrize(
    "wrong",
    [{"code": "HOTTEST"}, {"locationCode": "STK.MARS"}, {"stockTypeFilter": "X"}, {"filters": [TagValue("moon", "1")]}],
)
def test_a_scan_that_does_not_exist_is_refused(ib: IB, wrong: dict[str, object]) -> None:
    with pytest.raises(RequestError, match="162"):
        scanned(ib, **wrong)  # pyright: ignore[reportArgumentType] - wrong on purpose


def test_scanner_parameters_name_what_is_imitated(ib: IB) -> None:
    assert "<scanCode>MOST_ACTIVE</scanCode>" in ib.reqScannerParameters()


def test_contracts_are_found_by_id_and_by_symbol(ib: IB) -> None:
    (details,) = ib.reqContractDetails(stock("BBB"))
    assert details.contract is not None
    assert (details.contract.conId, details.contract.primaryExchange) == (1001, "NYSE")
    assert details.liquidHours.startswith("20180220:0930-20180220:1600;")
    (by_id,) = ib.reqContractDetails(Contract(conId=1001))
    assert by_id.contract == details.contract
    with pytest.raises(RequestError, match="200"):
        ib.reqContractDetails(stock("NONE"))
    with pytest.raises(RequestError, match="200"):
        ib.reqContractDetails(Contract(conId=1001, symbol="AAA"))


def test_the_price_grid_is_a_market_rule(ib: IB) -> None:
    rule_id = int(ib.reqContractDetails(stock("AAA"))[0].marketRuleIds.split(",")[0])
    assert ib.reqMarketRule(rule_id) == [PriceIncrement(0.0, 0.0001), PriceIncrement(1.0, 0.01)]


def test_symbols_are_found_by_their_beginning(ib: IB) -> None:
    found = ib.reqMatchingSymbols("bb") or []
    assert [each.contract.symbol for each in found if each.contract] == ["BBB"]


@pytest.mark.parametrize(
    ("length", "first", "count"),
    [
        ("1 D", dt.date(2018, 2, 20), 1),
        ("5 D", dt.date(2018, 2, 13), 5),
        ("1 W", dt.date(2018, 2, 14), 4),
        ("1 M", dt.date(2018, 1, 22), 21),
        ("1 Y", dt.date(2017, 2, 21), 252),
    ],
)
def test_daily_bars_reach_back_as_far_as_asked(ib: IB, length: str, first: dt.date, count: int) -> None:
    bars = ib.reqHistoricalData(stock("AAA"), "", length, "1 day", "TRADES", True)
    assert (len(bars), bars[0].date, bars[-1].date) == (count, first, TUESDAY)
    assert (bars[0].open, bars[0].high, bars[0].low, bars[0].close, bars[0].volume) == (50, 51, 49, 50, 1000)


def test_bars_end_where_they_are_told_to_and_never_in_the_future(ib: IB) -> None:
    for end, last in (
        (at("12:00", dt.date(2018, 2, 14)), dt.date(2018, 2, 14)),
        ("20180214-21:00:00", dt.date(2018, 2, 14)),
        ("20180214 16:00:00 US/Eastern", dt.date(2018, 2, 14)),
        (at("12:00", dt.date(2030, 1, 2)), TUESDAY),
    ):
        assert ib.reqHistoricalData(stock("AAA"), end, "3 D", "1 day", "TRADES", True)[-1].date == last


def test_midpoint_and_bid_ask_bars_have_no_volume(ib: IB) -> None:
    (middle,) = ib.reqHistoricalData(stock("AAA"), "", "1 D", "1 day", "MIDPOINT", True)
    (spread,) = ib.reqHistoricalData(stock("AAA"), "", "1 D", "1 day", "BID_ASK", True)
    assert (middle.close, middle.volume, middle.barCount) == (50.0, -1, -1)
    assert spread.low < 49 < 51 < spread.high
    assert spread.open < 50 < spread.close


def test_minute_bars_are_joined_on_the_grid_of_the_clock(ib: IB) -> None:
    minutes = ib.reqHistoricalData(stock("AAA"), "", "1 D", "1 min", "TRADES", True)
    quarters = ib.reqHistoricalData(stock("AAA"), "", "1 D", "15 mins", "TRADES", True, formatDate=2)
    assert (len(minutes), minutes[0].date, minutes[-1].date) == (45, at("09:30"), at("10:14"))
    assert [bar.date for bar in quarters] == [at("09:30"), at("09:45"), at("10:00")]
    assert (quarters[0].open, quarters[0].close, quarters[0].volume) == (50.30, 50.44, 150)


@pytest.mark.parametrize(
    ("length", "size", "what", "code"),
    [
        ("366 D", "1 day", "TRADES", 321),
        ("x", "1 day", "TRADES", 321),
        ("1 D", "7 mins", "TRADES", 321),
        ("1 D", "1 day", "FEES", 321),
    ],
)
def test_bars_that_do_not_exist_are_refused(ib: IB, length: str, size: str, what: str, code: int) -> None:
    with pytest.raises(RequestError, match=str(code)):
        ib.reqHistoricalData(stock("AAA"), "", length, size, what, True)


def test_a_hundred_histories_asked_at_once_all_arrive(ib: IB) -> None:
    async def ask() -> list[int]:
        asked = [ib.reqHistoricalDataAsync(stock("AAA"), "", "1 Y", "1 day", "TRADES", True) for _ in range(100)]
        return [len(bars) for bars in await asyncio.gather(*asked)]

    assert ib.run(ask()) == [252] * 100


def test_a_snapshot_is_a_whole_quote(ib: IB) -> None:
    (ticker,) = ib.reqTickers(stock("CCC"))
    assert (ticker.bid, ticker.ask, ticker.last) == (99.99, 100.01, 100.0)
    assert (ticker.bidSize, ticker.askSize, ticker.lastSize) == (300, 200, 100)
    assert (ticker.open, ticker.high, ticker.low, ticker.close) == (100.0, 100.0, 100.0, 100.0)
    assert (ticker.volume, ticker.halted) == (10_000, 0)


def test_a_snapshot_with_generic_ticks_is_refused(ib: IB) -> None:
    heard = errors_of(ib)
    ib.reqMktData(stock("AAA"), "236", snapshot=True)
    until(ib, lambda: 321 in [code for _, code in heard])


def test_quotes_stream_what_changes(room: GatewayRoom, ib: IB) -> None:
    contract = stock("AAA")
    ticker = ib.reqMktData(contract, "236")
    until(ib, lambda: ticker.ask == 50.01)
    assert (ticker.shortableShares, ticker.halted) == (50_000, 0)
    room.market.prints("AAA", ("10:16", 51.5))
    room.move_to("10:16")
    until(ib, lambda: ticker.ask == 51.51)
    assert (ticker.high, ticker.last) == (51.5, 51.5)
    ib.cancelMktData(contract)


def test_an_unknown_stock_has_no_quote(ib: IB) -> None:
    heard = errors_of(ib)
    ib.reqMktData(stock("NONE"))
    until(ib, lambda: 200 in [code for _, code in heard])


def test_account_summary_and_profit_are_told(ib: IB) -> None:
    summary = {value.tag: value.value for value in ib.accountSummary()}
    assert summary["NetLiquidation"] == "100000.00"
    assert summary["BuyingPower"] == "400000.00"
    profit = ib.reqPnL(ib.managedAccounts()[0])
    until(ib, lambda: profit.dailyPnL == 0)


def test_what_the_gateway_does_not_imitate_it_says_at_once(ib: IB) -> None:
    with pytest.raises(RequestError, match=r"430: .*does not imitate fundamental data"):
        ib.reqFundamentalData(stock("AAA"), "ReportSnapshot")
    with pytest.raises(RequestError, match=r"10187: .*does not imitate historical ticks"):
        ib.reqHistoricalTicks(stock("AAA"), "", "20180220 10:00:00", 10, "TRADES", True)


def test_bars_begin_with_the_first_session_there_is(ib: IB) -> None:
    first = dt.datetime(2010, 1, 4, 14, 30)
    assert ib.reqHeadTimeStamp(stock("AAA"), "TRADES", True, 1) == first
    assert ib.reqHeadTimeStamp(stock("AAA"), "TRADES", True, 2) == first.replace(tzinfo=dt.UTC)
    with pytest.raises(RequestError, match="200"):
        ib.reqHeadTimeStamp(stock("NONE"), "TRADES", True)


def test_bars_that_are_kept_up_to_date_have_no_end(ib: IB) -> None:
    with pytest.raises(RequestError, match="321"):
        ib.reqHistoricalData(stock("AAA"), at("10:00"), "1 D", "1 day", "TRADES", True, keepUpToDate=True)


def test_real_time_bars_that_do_not_exist_are_refused(ib: IB) -> None:
    heard = errors_of(ib)
    ib.reqRealTimeBars(stock("AAA"), 5, "YIELD", True)
    ib.reqRealTimeBars(stock("NONE"), 5, "TRADES", True)
    until(ib, lambda: [code for _, code in heard] == [321, 200])


def test_what_is_asked_about_something_unknown_is_refused(ib: IB) -> None:
    with pytest.raises(RequestError, match="321"):
        ib.reqSecDefOptParams("AAA", "", "STK", 4)
    with pytest.raises(RequestError, match="321"):
        ib.reqSmartComponents("9c0002")


def test_a_read_only_client_connects_too(room: GatewayRoom, tmp_path: Path) -> None:
    with connected(room.port, client_id=9, read_only=True) as reader:
        assert reader.isConnected()
