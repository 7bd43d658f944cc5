"""One trader's morning, played by each client against a gateway of its own on a clock that is moved by hand.

What is done and in which order; what must have been seen is in ``test_four_clients``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quant_pipeline_tests.paper_gateway.clients.environments import Client
from quant_pipeline_tests.paper_gateway.clients.interview import Interview, interview
from quant_pipeline_tests.paper_gateway.gateway_room import GatewayRoom, gateway_room
from quant_pipeline_tests.paper_gateway.scripted_market import ScriptedMarket

SUMMARY = ["NetLiquidation", "TotalCashValue", "BuyingPower", "GrossPositionValue", "Cushion"]
ACCOUNT = ["NetLiquidation", "TotalCashValue", "UnrealizedPnL", "RealizedPnL"]
AAA, BBB = 1000, 1001

Transcript = dict[str, Any]


def play(client: Client, home: Path) -> Transcript:
    """What a client saw at every step, by the name of the step."""
    with gateway_room(home, ScriptedMarket()) as room, interview(client) as trader:
        saw: Transcript = {"connect": trader.step("connect", port=room.port, client_id=7)}
        _observe(room, trader, saw)
        _trade(room, trader, saw)
        _account(room, trader, saw)
        _look_around(trader, saw)
        saw["problems"] = trader.step("disconnect")
        return saw


def _observe(room: GatewayRoom, trader: Interview, saw: Transcript) -> None:
    saw["current time"] = trader.step("current_time")
    saw["scan"] = trader.step("scan", code="MOST_ACTIVE", rows=3, above_price=25.0)
    saw["scan that does not exist"] = trader.step("scan", code="HOTTEST", rows=3, above_price=1.0)
    saw["scanner parameters"] = trader.step("scanner_parameters")
    saw["contract details"] = trader.step("contract", symbol="AAA")
    saw["unknown contract"] = trader.step("contract", symbol="NONE")
    saw["market rule"] = trader.step("market_rule", rule=26)
    saw["matching symbols"] = trader.step("matching_symbols", pattern="bb")
    for what in ("TRADES", "MIDPOINT", "BID_ASK", "BID", "ASK"):
        saw[f"daily {what}"] = trader.step("history", symbol="AAA", length="5 D", size="1 day", what=what)
        saw[f"15 minutes {what}"] = trader.step("history", symbol="AAA", length="1 D", size="15 mins", what=what)
    saw["head time stamp"] = trader.step("head_time_stamp", symbol="AAA")
    saw["snapshot"] = trader.step("snapshot", symbol="CCC")
    trader.step("stream", symbol="AAA")
    saw["streamed quote"] = trader.step("quote", symbol="AAA", ask=50.01)
    saw["bars that are kept"] = trader.step("keep_bars", symbol="AAA")
    trader.step("live_bars", symbol="AAA")
    trader.step("current_time")
    room.market.prints("AAA", ("10:15:03", 50.2), ("10:15:04", 50.1))
    room.move_to("10:15:12")
    saw["quote that moved"] = trader.step("quote", symbol="AAA", ask=50.11)
    saw["real-time bars"] = trader.step("live_bars_told", symbol="AAA", count=2)
    saw["bars that were kept"] = trader.step("kept_bars", symbol="AAA", close=50.1)
    trader.step("end_stream", symbol="AAA")


def _trade(room: GatewayRoom, trader: Interview, saw: Transcript) -> None:
    # One that ends at its target.
    trader.step("bracket", symbol="AAA", quantity=10, entry=49.0, target=51.0, stop=48.0, slot="up")
    saw["bracket placed"] = trader.step(
        "await_orders",
        fees=0,
        statuses={"up:entry": "Submitted", "up:target": "PreSubmitted", "up:stop": "PreSubmitted"},
    )
    saw["open orders"] = trader.step("open_orders", everyone=False)
    saw["all open orders"] = trader.step("open_orders", everyone=True)
    room.market.prints("AAA", ("10:20", 49.0), ("10:40", 51.0))
    room.move_to("10:21")
    saw["bracket filled"] = trader.step(
        "await_orders", fees=1, statuses={"up:entry": "Filled", "up:target": "Submitted"}
    )
    saw["position"] = trader.step("positions")
    room.move_to("10:41")
    saw["bracket closed by its target"] = trader.step(
        "await_orders", fees=2, statuses={"up:target": "Filled", "up:stop": "Cancelled"}
    )
    # One that ends at its stop.
    trader.step("bracket", symbol="BBB", quantity=10, entry=20.01, target=21.0, stop=19.0, slot="down")
    saw["bracket filled on arrival"] = trader.step("await_orders", fees=3, statuses={"down:entry": "Filled"})
    room.market.prints("BBB", ("10:50", 18.5))
    room.move_to("10:51")
    saw["bracket closed by its stop"] = trader.step(
        "await_orders", fees=4, statuses={"down:stop": "Filled", "down:target": "Cancelled"}
    )
    # One that is changed and taken back.
    trader.step("limit", symbol="CCC", quantity=3, price=99.0, ref="patient")
    trader.step("await_orders", fees=4, statuses={"patient": "Submitted"})
    trader.step("modify", symbol="CCC", ref="patient", price=98.5)
    saw["modified"] = trader.step("await_orders", fees=4, statuses={"patient": "Submitted"})
    saw["open orders after the change"] = trader.step("open_orders", everyone=False)
    trader.step("cancel", ref="patient")
    saw["cancelled"] = trader.step("await_orders", fees=4, statuses={"patient": "Cancelled"})
    # One the exchange does not take, and one that is only asked about.
    trader.step("limit", symbol="CCC", quantity=3, price=99.005, ref="off the grid")
    saw["refused"] = trader.step("await_orders", fees=4, statuses={})
    saw["what if"] = trader.step("what_if", symbol="AAA", quantity=1000, price=50.0)
    saw["completed orders"] = trader.step("completed_orders")
    saw["executions"] = trader.step("executions")
    saw["executions of a symbol"] = trader.step("executions", symbol="BBB")
    saw["executions of a side"] = trader.step("executions", side="SELL")
    saw["executions since"] = trader.step("executions", time="20180220 10:45:00 America/New_York")
    saw["executions of another client"] = trader.step("executions", clientId=8)


def _account(room: GatewayRoom, trader: Interview, saw: Transcript) -> None:
    trader.step("limit", symbol="CCC", quantity=4, price=100.01, ref="kept")
    saw["bought"] = trader.step("await_orders", fees=9, statuses={"kept": "Filled"})
    room.market.prints("CCC", ("10:55", 103.0))
    room.move_to("10:55")
    saw["positions"] = trader.step("positions")
    saw["positions multi"] = trader.step("positions_multi")
    saw["account summary"] = trader.step("account_summary", tags=SUMMARY)
    saw["account updates"] = trader.step("account_updates", tags=ACCOUNT)
    saw["profit"] = trader.step("pnl")
    saw["profit of a position"] = trader.step("pnl_single", con_id=1002)
    trader.step("limit", symbol="CCC", quantity=1, price=90.0, ref="last")
    trader.step("await_orders", fees=0, statuses={"last": "Submitted"})
    trader.step("cancel_everything")
    saw["cancelled everything"] = trader.step("await_orders", fees=0, statuses={"last": "Cancelled"})


def _look_around(trader: Interview, saw: Transcript) -> None:
    saw["schedule"] = trader.step("schedule", symbol="AAA", days=2)
    saw["family codes"] = trader.step("family_codes")
    saw["smart components"] = trader.step("smart_components")
    saw["option chains"] = trader.step("option_chains", symbol="AAA", con_id=AAA)
    saw["news providers"] = trader.step("news_providers")
    saw["exchanges with depth"] = trader.step("depth_exchanges")
    saw["user info"] = trader.step("user_info")
    saw["fundamental data"] = trader.step("fundamentals", symbol="AAA")
    saw["historical ticks"] = trader.step("historical_ticks", symbol="AAA")
    saw["histogram"] = trader.step("histogram", symbol="AAA")
