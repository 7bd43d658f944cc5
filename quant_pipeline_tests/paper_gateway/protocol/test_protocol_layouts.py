"""The layouts of messages, held against the real client's encoder and decoder and against golden field counts."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from ib_insync import LimitOrder, Order, Stock, StopOrder, TagValue
from ib_insync.decoder import Decoder

from quant_pipeline.paper_gateway.exchange.orders import Action, Execution, OrderTerms, OrderType, Status, TimeInForce
from quant_pipeline.paper_gateway.exchange.orders import Order as BookOrder
from quant_pipeline.paper_gateway.markets.market import Instrument
from quant_pipeline.paper_gateway.protocol import order_replies, replies
from quant_pipeline.paper_gateway.protocol.order_requests import PlaceOrder
from quant_pipeline.paper_gateway.protocol.replies import Message
from quant_pipeline.paper_gateway.protocol.request_readers import read
from quant_pipeline.paper_gateway.protocol.wire import UNSET, FrameBuffer, encode
from quant_pipeline_tests.paper_gateway.protocol.clients_mouth import Mouth
from quant_pipeline_tests.paper_gateway.scripted_market import at

VERSIONS = range(157, 177)
INSTRUMENT = Instrument(1001, "AAA", "Aaa Incorporated", "NASDAQ", "Tools")
TERMS = OrderTerms("AAA", Action.BUY, 100, OrderType.LIMIT, 50.5, None, TimeInForce.GTC, "g", 1, "slot:AAA:entry", 3)
ORDER = BookOrder(1_800_000_007, 17, 5, TERMS, Status.SUBMITTED, "", 1_800_000_001, at("10:15"), None)
EXECUTION = Execution(
    "0000e0d5.00000001.01.01",
    1_800_000_007,
    17,
    5,
    "AAA",
    Action.BUY,
    100,
    50.4,
    at("10:15"),
    100,
    50.4,
    "ref",
    1.0,
    None,
)


class Heard:
    """Stands where the client's wrapper does and remembers what the decoder tells it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *args: self.calls.append((name, args))


def decoded(
    message: Message | str, version: int, caplog: pytest.LogCaptureFixture
) -> list[tuple[str, tuple[Any, ...]]]:
    """What the real client's decoder makes of a message; fails on anything it swallows."""
    heard = Heard()
    decoder = Decoder(heard, version)  # pyright: ignore[reportArgumentType] - stands in for the wrapper
    (text,) = FrameBuffer().feed(b"API\0" + (encode(message) if isinstance(message, list) else _framed(message)))
    with caplog.at_level(logging.ERROR):
        decoder.interpret(text.split("\0")[:-1])
    assert not caplog.records, caplog.text
    return heard.calls


def _framed(text: str) -> bytes:
    return len(text.encode()).to_bytes(4, "big") + text.encode()


@pytest.mark.parametrize("version", VERSIONS)
def test_an_open_order_reads_back_at_every_version(version: int, caplog: pytest.LogCaptureFixture) -> None:
    [(name, (order_id, contract, order, state))] = decoded(
        order_replies.open_order(version, INSTRUMENT, ORDER, "DU1"), version, caplog
    )
    assert (name, order_id, contract.symbol, contract.conId) == ("openOrder", 5, "AAA", 1001)
    assert (order.action, order.totalQuantity, order.lmtPrice, order.tif) == ("BUY", 100, 50.5, "GTC")
    assert (order.orderRef, order.permId, order.clientId, order.parentId) == ("slot:AAA:entry", 1_800_000_007, 17, 3)
    assert (order.ocaGroup, order.account, state.status, order.whatIf) == ("g", "DU1", "Submitted", False)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_completed_order_reads_back_at_every_version(version: int, caplog: pytest.LogCaptureFixture) -> None:
    [(name, (contract, order, state))] = decoded(
        order_replies.completed_order(version, INSTRUMENT, ORDER, "DU1"), version, caplog
    )
    assert (name, contract.symbol, order.orderRef, order.permId) == (
        "completedOrder",
        "AAA",
        "slot:AAA:entry",
        1_800_000_007,
    )
    assert (order.parentPermId, state.status, order.filledQuantity) == (1_800_000_001, "Submitted", 0)


STOP_LIMIT = replace(TERMS, order_type=OrderType.STOP_LIMIT, stop_price=50.25)
TRAIL = replace(TERMS, order_type=OrderType.TRAILING_STOP, limit_price=None, trail_amount=1.25)
TRAIL_PERCENT = replace(TRAIL, trail_amount=None, trail_percent=2.5, trail_stop=48.0)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("layout", [order_replies.open_order, order_replies.completed_order])
@pytest.mark.parametrize(
    ("order", "prices"),
    [
        (replace(ORDER, terms=STOP_LIMIT), ("STP LMT", 50.5, 50.25, UNSET, UNSET)),
        (replace(ORDER, terms=TRAIL, trailing_stop=49.5), ("TRAIL", 0.0, 1.25, 49.5, UNSET)),
        (replace(ORDER, terms=TRAIL_PERCENT), ("TRAIL", 0.0, 0.0, 48.0, 2.5)),
    ],
)
def test_stop_limit_and_trailing_prices_stand_where_clients_read_them(
    version: int,
    layout: Callable[..., Message],
    order: BookOrder,
    prices: tuple[Any, ...],
    caplog: pytest.LogCaptureFixture,
) -> None:
    [(_, arguments)] = decoded(layout(version, INSTRUMENT, order, "DU1"), version, caplog)
    (read,) = [each for each in arguments if isinstance(each, Order)]
    found = (read.orderType, read.lmtPrice, read.auxPrice, read.trailStopPrice, read.trailingPercent)
    assert found == tuple(float(UNSET) if price == UNSET else price for price in prices)


def test_no_order_type_changes_the_number_of_fields() -> None:
    for terms in (TERMS, STOP_LIMIT, TRAIL, TRAIL_PERCENT):
        assert len(order_replies.open_order(176, INSTRUMENT, replace(ORDER, terms=terms), "DU1")) == 136


def test_field_counts_are_those_of_the_protocol() -> None:
    assert len(order_replies.open_order(176, INSTRUMENT, ORDER, "DU1")) == 136
    assert len(order_replies.execution_details(-1, INSTRUMENT, EXECUTION, "DU1")) == 31
    assert len(order_replies.order_status(ORDER)) == 12
    assert len(order_replies.commission_report(EXECUTION)) == 8


@pytest.mark.parametrize("version", VERSIONS)
def test_what_if_fills_the_margin_fields_of_an_open_order(version: int, caplog: pytest.LogCaptureFixture) -> None:
    effect: Message = [f"{number}.00" for number in range(1, 10)]
    message = order_replies.what_if(version, INSTRUMENT, ORDER, "DU1", [*effect, 1.25])
    [(_, (_, _, order, state))] = decoded(message, version, caplog)
    assert order.whatIf
    assert (state.initMarginBefore, state.initMarginChange, state.equityWithLoanAfter) == ("1.00", "4.00", "9.00")
    assert (state.commission, state.commissionCurrency) == (1.25, "USD")


@pytest.mark.parametrize("version", VERSIONS)
def test_contract_details_read_back_at_every_version(version: int, caplog: pytest.LogCaptureFixture) -> None:
    message = replies.contract_details(version, 9, INSTRUMENT, "20180220:0930-20180220:1600", "20180221:CLOSED")
    [(name, (req_id, details))] = decoded(message, version, caplog)
    assert (name, req_id, details.contract.conId, details.minTick) == ("contractDetails", 9, 1001, 0.01)
    assert (details.longName, details.industry, details.stockType) == ("Aaa Incorporated", "Tools", "COMMON")
    assert (details.marketRuleIds, details.validExchanges) == ("26,26", "SMART,NASDAQ")
    assert details.liquidHours == "20180221:CLOSED"


@pytest.mark.parametrize("version", VERSIONS)
def test_everything_else_reads_back(version: int, caplog: pytest.LogCaptureFixture) -> None:
    row = "20180220\x0050.0\x0051.0\x0049.0\x0050.5\x001000\x0050.2\x0010\0"
    messages: dict[str, Message | str] = {
        "execDetails": order_replies.execution_details(4, INSTRUMENT, EXECUTION, "DU1"),
        "commissionReport": order_replies.commission_report(EXECUTION),
        "orderStatus": order_replies.order_status(ORDER),
        "error": replies.error(version, 3, 200, "no"),
        "position": replies.position("DU1", INSTRUMENT, -5, 10.0),
        "updatePortfolio": replies.portfolio_value(INSTRUMENT, 5, 11.0, 10.0, 5.0, 0.0, "DU1"),
        "historicalData": replies.historical_data(3, "a", "b", 1, row),
        "scannerData": replies.scanner_data(3, [INSTRUMENT]),
        "marketRule": replies.market_rule(26, [(0.0, 0.0001), (1.0, 0.01)]),
        "symbolSamples": replies.symbol_samples(version, 3, [INSTRUMENT]),
        "priceSizeTick": replies.tick_price(3, 1, 10.0, 100),
        "pnlSingle": replies.pnl_single(3, 5, 1.0, None, 0.0, 55.0),
    }
    for name, message in messages.items():
        assert decoded(message, version, caplog)[0][0] == name


def test_layouts_agree_with_what_a_real_server_was_recorded_saying() -> None:
    assert replies.current_time(1752606307) == [49, 1, 1752606307]
    assert replies.managed_accounts("ACCOUNT_ID") == [15, 1, "ACCOUNT_ID"]
    position = replies.position("ACCOUNT_ID", INSTRUMENT, -110, 201.8829709)
    assert [str(field) for field in position] == (
        [
            "61",
            "3",
            "ACCOUNT_ID",
            "1001",
            "AAA",
            "STK",
            "",
            "0.0",
            "",
            "",
            "NASDAQ",
            "USD",
            "AAA",
            "NMS",
            "-110",
            "201.8829709",
        ]
    )
    assert replies.position_end() == [62, 1]
    assert replies.account_summary(9000, "A", "NetLiquidation", "246447.83", "USD") == [
        63, 1, 9000, "A", "NetLiquidation", "246447.83", "USD"
    ]  # fmt: skip
    assert replies.account_summary_end(9000) == [64, 1, 9000]


# ---- what clients send ----------------------------------------------------------------------------------------------


def placed(order: Order, version: int = 176) -> PlaceOrder:
    mouth = Mouth(version)
    mouth.placeOrder(5, Stock("AAA", "SMART", "USD"), order)
    request = read(mouth.said[-1], version)
    assert isinstance(request, PlaceOrder)
    return request


@pytest.mark.parametrize("version", VERSIONS)
def test_an_order_is_read_as_the_real_client_writes_it(version: int) -> None:
    request = placed(
        LimitOrder(
            "SELL",
            7,
            10.5,
            tif="GTC",
            ocaGroup="g",
            ocaType=2,
            orderRef="r",
            parentId=4,
            transmit=False,
            account="DU1",
            outsideRth=True,
            whatIf=True,
        ),
        version,
    )
    assert (request.order_id, request.contract.symbol, request.action, request.quantity) == (5, "AAA", "SELL", 7)
    assert (request.order_type, request.limit_price, request.aux_price, request.tif) == ("LMT", 10.5, None, "GTC")
    assert (request.oca_group, request.oca_type, request.order_ref, request.parent_id) == ("g", 2, "r", 4)
    assert (request.transmit, request.account, request.outside_rth, request.what_if) == (False, "DU1", True, True)
    assert request.not_imitated == ()


@pytest.mark.parametrize("version", VERSIONS)
def test_trailing_prices_are_read_as_the_real_client_writes_them(version: int) -> None:
    order = Order(action="SELL", totalQuantity=7, orderType="TRAIL", trailingPercent=2.5, trailStopPrice=48.0)
    request = placed(order, version)
    assert (request.order_type, request.aux_price) == ("TRAIL", None)
    assert (request.trailing_percent, request.trail_stop_price) == (2.5, 48.0)
    assert placed(LimitOrder("SELL", 7, 10.5), version).trail_stop_price is None


def test_a_stock_order_has_115_fields() -> None:
    mouth = Mouth(176)
    mouth.placeOrder(5, Stock("AAA", "SMART", "USD"), LimitOrder("BUY", 1, 10))
    assert len(mouth.said[-1]) == 115


def test_optional_groups_in_an_order_do_not_shift_what_follows() -> None:
    order = StopOrder("BUY", 7, 10.5, whatIf=True, deltaNeutralOrderType="None", hedgeType="D", algoStrategy="Adaptive")
    order.algoParams = [TagValue("adaptivePriority", "Normal")]
    order.scalePriceIncrement = 0.5
    request = placed(order)
    assert request.what_if
    assert request.not_imitated == ("scalePriceIncrement", "hedgeType", "algoStrategy")


def test_an_order_restricted_in_a_way_that_is_not_imitated_says_so() -> None:
    assert placed(LimitOrder("BUY", 7, 10.5, allOrNone=True)).not_imitated == ("allOrNone",)
    assert placed(LimitOrder("BUY", 7, 10.5, goodTillDate="20181231")).not_imitated == ("goodTillDate",)


def test_an_unset_realised_profit_is_written_as_the_wire_does() -> None:
    assert order_replies.commission_report(EXECUTION)[5] == UNSET
