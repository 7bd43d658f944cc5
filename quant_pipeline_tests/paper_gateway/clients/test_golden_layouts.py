"""How many fields every message has at every version, and that the official decoders read each of them to its end.

The numbers follow from the decoders of ibapi (9.81 at version 157, 10.50 from 157 to 176) and, for the messages marked
so, from what a real server of version 173 was recorded saying.
"""

from __future__ import annotations

import inspect
import re

import pytest

from quant_pipeline.paper_gateway.exchange.orders import (
    Action,
    Execution,
    Order,
    OrderTerms,
    OrderType,
    Status,
    TimeInForce,
)
from quant_pipeline.paper_gateway.markets.market import Instrument, MarketBar
from quant_pipeline.paper_gateway.protocol import order_replies, replies
from quant_pipeline.paper_gateway.protocol.replies import Message
from quant_pipeline.paper_gateway.protocol.wire import HIGHEST_VERSION, LOWEST_VERSION, encode
from quant_pipeline_tests.paper_gateway.clients.environments import CLIENTS, Client
from quant_pipeline_tests.paper_gateway.clients.interview import interview
from quant_pipeline_tests.paper_gateway.scripted_market import at

VERSIONS = range(LOWEST_VERSION, HIGHEST_VERSION + 1)
OFFICIAL = [client for client in CLIENTS if client.name.startswith("ibapi")]
STOCK = Instrument(1001, "AAA", "Aaa Incorporated", "NASDAQ", "Tools")
TERMS = OrderTerms("AAA", Action.BUY, 100, OrderType.LIMIT, 50.5, None, TimeInForce.GTC, "g", 1, "ref", 3)
ORDER = Order(1_800_000_007, 17, 5, TERMS, Status.SUBMITTED, "", 1_800_000_001, at("10:15"), None)
EXECUTION = Execution(
    exec_id="0000e0d5.00000001.01.01",
    perm_id=1_800_000_007,
    client_id=17,
    order_id=5,
    symbol="AAA",
    action=Action.BUY,
    shares=100,
    price=50.4,
    at=at("10:15"),
    cumulative=100,
    average_price=50.4,
    order_ref="ref",
    commission=1.0,
    realized_pnl=None,
)
BAR = MarketBar(at("10:15"), 50.0, 51.0, 49.0, 50.5, 1000, 50.2, 10)
ROW = "20180220\x0050.0\x0051.0\x0049.0\x0050.5\x001000\x0050.2\x0010\0"

# Fields with the message id, from a version on.
GOLDEN: dict[str, dict[int, int]] = {
    "tick_price": {157: 7},
    "tick_size": {157: 5},
    "order_status": {157: 12},
    "error": {157: 5, 166: 6},
    "open_order": {157: 128, 158: 129, 160: 130, 162: 131, 170: 136},
    "what_if": {157: 128, 158: 129, 160: 130, 162: 131, 170: 136},
    "account_value": {157: 6},
    "portfolio_value": {157: 20},
    "account_time": {157: 3},
    "next_valid_id": {157: 3},
    "contract_details": {157: 39, 163: 40},
    "execution_details": {157: 31},
    "managed_accounts": {157: 3},  # recorded
    "historical_data": {157: 5 + 8},
    "scanner_parameters": {157: 3},
    "scanner_data": {157: 4 + 16},
    "tick_generic": {157: 5},
    "tick_string": {157: 5},
    "current_time": {157: 3},  # recorded
    "real_time_bar": {157: 11},
    "contract_details_end": {157: 3},
    "open_order_end": {157: 2},
    "account_download_end": {157: 3},
    "execution_details_end": {157: 3},
    "snapshot_end": {157: 3},
    "market_data_type": {157: 4},
    "commission_report": {157: 8},
    "position": {157: 16},  # recorded
    "position_end": {157: 2},  # recorded
    "account_summary": {157: 7},  # recorded
    "account_summary_end": {157: 3},  # recorded
    "position_multi": {157: 18},
    "position_multi_end": {157: 3},
    "account_update_multi": {157: 8},
    "account_update_multi_end": {157: 3},
    "option_chain_end": {157: 2},
    "nothing_there": {157: 3},
    "family_codes": {157: 4},
    "symbol_samples": {157: 3 + 6, 176: 3 + 8},
    "tick_parameters": {157: 5},
    "smart_components": {157: 3 + 2 * 3},
    "head_time_stamp": {157: 3},
    "historical_data_update": {157: 10},
    "market_rule": {157: 3 + 2 * 2},
    "pnl": {157: 5},
    "pnl_single": {157: 7},
    "completed_order": {157: 96, 170: 101},
    "completed_orders_end": {157: 1},
    "historical_schedule": {165: 6 + 3},
    "user_info": {167: 3},
}


EMPTY, WHOLE, DECIMAL, WORD = "", "whole number", "decimal number", "word"
# The kinds of fields a real server of version 173 was recorded saying about a stock.
RECORDED: dict[str, list[str]] = {
    "current_time": [WHOLE] * 3,
    "managed_accounts": [WHOLE, WHOLE, WORD],
    "position": [
        *(WHOLE, WHOLE, WORD, WHOLE, WORD, WORD, EMPTY, DECIMAL, EMPTY, EMPTY),
        *(WORD, WORD, WORD, WORD, WHOLE, DECIMAL),
    ],
    "position_end": [WHOLE, WHOLE],
    "account_summary": [WHOLE, WHOLE, WHOLE, WORD, WORD, DECIMAL, WORD],
    "account_summary_end": [WHOLE] * 3,
}


def messages(version: int) -> dict[str, Message | str]:
    """One of every message the gateway says to a client of a version, by the function that words it."""
    effect: Message = [f"{value}.00" for value in range(1, 10)]
    known: dict[str, Message | str] = {
        "tick_price": replies.tick_price(3, 1, 10.0, 100),
        "tick_size": replies.tick_size(3, 8, 1000),
        "order_status": order_replies.order_status(ORDER),
        "error": replies.error(version, 3, 200, "no"),
        "open_order": order_replies.open_order(version, STOCK, ORDER, "DU1"),
        "what_if": order_replies.what_if(version, STOCK, ORDER, "DU1", [*effect, 1.25]),
        "account_value": replies.account_value("NetLiquidation", "1.00", "USD", "DU1"),
        "portfolio_value": replies.portfolio_value(STOCK, 5, 11.0, 10.0, 5.0, 0.0, "DU1"),
        "account_time": replies.account_time("10:15"),
        "next_valid_id": replies.next_valid_id(1),
        "contract_details": replies.contract_details(version, 3, STOCK, "20180221:CLOSED", "20180221:CLOSED"),
        "execution_details": order_replies.execution_details(3, STOCK, EXECUTION, "DU1"),
        "managed_accounts": replies.managed_accounts("DU1"),
        "historical_data": replies.historical_data(3, "20180219", "20180220", 1, ROW),
        "scanner_parameters": replies.scanner_parameters("<xml/>"),
        "scanner_data": replies.scanner_data(3, [STOCK]),
        "tick_generic": replies.tick_generic(3, 49, 0.0),
        "tick_string": replies.tick_string(3, 45, "1519139700"),
        "current_time": replies.current_time(1519139700),
        "real_time_bar": replies.real_time_bar(3, BAR),
        "contract_details_end": replies.contract_details_end(3),
        "open_order_end": order_replies.open_order_end(),
        "account_download_end": replies.account_download_end("DU1"),
        "execution_details_end": order_replies.execution_details_end(3),
        "snapshot_end": replies.snapshot_end(3),
        "market_data_type": replies.market_data_type(3, 1),
        "commission_report": order_replies.commission_report(EXECUTION),
        "position": replies.position("DU1", STOCK, -5, 10.0),
        "position_end": replies.position_end(),
        "account_summary": replies.account_summary(3, "DU1", "NetLiquidation", "1.00", "USD"),
        "account_summary_end": replies.account_summary_end(3),
        "position_multi": replies.position_multi(3, "DU1", STOCK, 5, 10.0),
        "position_multi_end": replies.position_multi_end(3),
        "account_update_multi": replies.account_update_multi(3, "DU1", "NetLiquidation", "1.00", "USD"),
        "account_update_multi_end": replies.account_update_multi_end(3),
        "option_chain_end": replies.option_chain_end(3),
        "nothing_there": replies.nothing_there(77, 3),
        "family_codes": replies.family_codes("DU1"),
        "symbol_samples": replies.symbol_samples(version, 3, [STOCK]),
        "tick_parameters": replies.tick_parameters(3, 0.01),
        "smart_components": replies.smart_components(3, [("NYSE", "N"), ("NASDAQ", "Q")]),
        "head_time_stamp": replies.head_time_stamp(3, "20100104-14:30:00"),
        "historical_data_update": replies.historical_data_update(3, "1519139700", BAR),
        "market_rule": replies.market_rule(26, [(0.0, 0.0001), (1.0, 0.01)]),
        "pnl": replies.pnl(3, 1.0, 2.0, 3.0),
        "pnl_single": replies.pnl_single(3, 5, 1.0, None, 0.0, 55.0),
        "completed_order": order_replies.completed_order(version, STOCK, ORDER, "DU1"),
        "completed_orders_end": order_replies.completed_orders_end(),
    }
    if version >= 165:
        known["historical_schedule"] = replies.historical_schedule(3, [("20180220-09:30:00", "20180220-16:00:00", "d")])
    if version >= 167:
        known["user_info"] = replies.user_info(3)
    return known


def fields(message: Message | str) -> list[str]:
    text = message if isinstance(message, str) else encode(message)[4:].decode()
    return text.split("\0")[:-1]


def kind(field: str) -> str:
    if not field:
        return EMPTY
    if re.fullmatch(r"-?\d+", field):
        return WHOLE
    return DECIMAL if re.fullmatch(r"-?\d+\.\d+", field) else WORD


def test_every_message_the_gateway_can_say_is_in_the_table() -> None:
    said = {
        name
        for module in (replies, order_replies)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }
    assert said == set(GOLDEN)


@pytest.mark.parametrize("version", VERSIONS)
def test_field_counts_are_golden(version: int) -> None:
    expected = {
        name: counts[max(since for since in counts if since <= version)]
        for name, counts in GOLDEN.items()
        if min(counts) <= version
    }
    assert {name: len(fields(message)) for name, message in messages(version).items()} == expected


def test_fields_are_of_the_kinds_a_real_server_was_recorded_saying() -> None:
    said = messages(173)
    assert {name: [kind(field) for field in fields(said[name])] for name in RECORDED} == RECORDED


@pytest.mark.parametrize("official", OFFICIAL, ids=lambda client: client.name)
def test_the_official_decoder_reads_every_message_to_its_end(official: Client) -> None:
    decoding = Client(official.name, "decodes_with_ibapi.py", (), official.version, official.lock)
    versions = [version for version in VERSIONS if version <= official.version]
    with interview(decoding) as reader:
        for version in versions:
            said = messages(version)
            unread = reader.step("decode", version=version, messages=[fields(message) for message in said.values()])
            assert dict(zip(said, unread, strict=True)) == dict.fromkeys(said, 0), version
