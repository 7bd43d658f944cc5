"""Under a clock that stands still a run is the same every time: the same seed and inputs give the same bytes."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ib_insync import (
    ExecutionFilter,
    LimitOrder,
    MarketOrder,
    Order,
    ScannerSubscription,
    Stock,
    StopLimitOrder,
    StopOrder,
)

from quant_pipeline_tests.paper_gateway.gateway_process import GatewayProcess, Trader, gateway_process

FAULTS = """
seed = 11

[[fault]]
what = "duplicates"
chance = 0.5
times = 0

[[fault]]
what = "late_commission"
chance = 0.4
times = 0
seconds = 40

[[fault]]
what = "correction"
chance = 0.3
times = 0
seconds = 20

[[fault]]
what = "order_warning"
chance = 0.3
times = 0

[[fault]]
what = "history_error"
chance = 0.3
times = 0

[[fault]]
what = "delayed_data"
chance = 0.4
times = 0

[[fault]]
what = "split_frames"
chance = 0.5
times = 0
bytes = 0

[[fault]]
what = "connectivity_lost"
after = "10:17:30"
seconds = 45

[[fault]]
what = "thin_market"
shares = 400
"""
SEED = "3"


def symbols_in(scan: list[str]) -> list[str]:
    return scan[6::16][: int(scan[3])]


def morning(gateway: GatewayProcess) -> tuple[bytes, bytes, list[list[str]]]:
    """A session with a bit of everything: what the trader heard, what an observer heard, and the trader's messages."""
    trader, observer = Trader(gateway.port, 7), Trader(gateway.port, 8)
    told: list[list[str]] = []
    try:
        observer.say.reqPositions()
        observer.say.reqAccountUpdates(True, "")
        observer.say.reqPnL(5, "", "")
        observer.hear()
        _subscribe(trader, told)
        scans = [message for message in told if message[0] == "20"]
        symbols = symbols_in(scans[0])[:4]
        _ask_about(trader, symbols)
        told += trader.hear()
        _trade(trader, symbols, told)
        for line in ("+1", "+20", "10:16", "+45.5", "10:18", "+60", "2018-02-20T10:30:00", "15:59:30", "+60"):
            gateway.step(line)
            told += trader.hear()
            observer.hear()
        trader.say.reqExecutions(90, ExecutionFilter())
        trader.say.reqCompletedOrders(False)
        trader.say.reqAllOpenOrders()
        told += trader.hear()
        return bytes(trader.heard), bytes(observer.heard), told
    finally:
        trader.close()
        observer.close()


def _subscribe(trader: Trader, told: list[list[str]]) -> None:
    scan = ScannerSubscription(instrument="STK", locationCode="STK.US.MAJOR", scanCode="MOST_ACTIVE")
    trader.say.reqScannerSubscription(1, scan, [], [])
    told += trader.hear()


def _ask_about(trader: Trader, symbols: list[str]) -> None:
    for number, symbol in enumerate(symbols):
        contract = Stock(symbol, "SMART", "USD")
        trader.say.reqContractDetails(100 + number, contract)
        trader.say.reqHistoricalData(200 + number, contract, "", "1 Y", "1 day", "TRADES", True, 1, False, [])
        trader.say.reqHistoricalData(300 + number, contract, "", "2 D", "15 mins", "BID_ASK", True, 1, False, [])
        trader.say.reqHistoricalData(400 + number, contract, "", "1 D", "1 min", "TRADES", True, 1, True, [])
        trader.say.reqMktData(500 + number, contract, "236", False, False, [])
        trader.say.reqMktData(600 + number, contract, "", True, False, [])
        trader.say.reqRealTimeBars(700 + number, contract, 5, "TRADES", True, [])


def _trade(trader: Trader, symbols: list[str], told: list[list[str]]) -> None:
    """Brackets that fill in parts, and one order of every kind."""
    asks = {int(tick[2]): float(tick[4]) for tick in told if tick[:1] == ["1"] and tick[3] == "2"}
    for number, symbol in enumerate(symbols):
        contract, ask = Stock(symbol, "SMART", "USD"), asks[600 + number]
        entry, target, stop = trader.order_id(), trader.order_id(), trader.order_id()
        size = 900
        legs = (
            (entry, LimitOrder("BUY", size, ask, tif="DAY", transmit=False)),
            (target, LimitOrder("SELL", size, round(ask * 1.004, 2), tif="GTC", parentId=entry, transmit=False)),
            (stop, StopOrder("SELL", size, round(ask * 0.996, 2), tif="GTC", parentId=entry)),
        )
        for order_id, order in legs:
            order.orderRef = f"{symbol}:{order_id}"
            trader.say.placeOrder(order_id, contract, order)
    contract, ask = Stock(symbols[0], "SMART", "USD"), asks[600]
    for order in (
        MarketOrder("BUY", 50),
        StopLimitOrder("SELL", 30, round(ask * 0.99, 2), round(ask * 0.998, 2), tif="GTC"),
        Order(orderType="TRAIL", action="SELL", totalQuantity=40, auxPrice=0.2, tif="GTC"),
        LimitOrder("BUY", 10, round(ask * 0.5, 2), tif="GTC"),
        LimitOrder("BUY", 10, ask, whatIf=True),
    ):
        trader.say.placeOrder(trader.order_id(), contract, order)
    resting = trader.next_order_id - 2
    told += trader.hear()
    trader.say.placeOrder(resting, contract, LimitOrder("BUY", 20, round(ask * 0.6, 2), tif="GTC"))
    trader.say.cancelOrder(resting)
    told += trader.hear()


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("faults") / "faults.toml"
    path.write_text(FAULTS, encoding="utf-8")
    return path


def played(home: Path, faults: Path, hash_seed: str) -> tuple[bytes, bytes, list[list[str]], str]:
    options = ("--at", "2018-02-20T10:15", "--seed", SEED, "--faults", str(faults), "--cash", "2000000")
    with gateway_process(home, *options, PYTHONHASHSEED=hash_seed) as gateway:
        heard = morning(gateway)
        assert gateway.end_input() == 0
        return *heard, gateway.log.read_text()


def test_the_same_inputs_give_the_same_bytes_in_two_processes(tmp_path: Path, faults: Path) -> None:
    # Side by side, for what splits its frames waits between the pieces.
    with ThreadPoolExecutor(2) as threads:
        playing = [threads.submit(played, tmp_path / seed, faults, seed) for seed in ("1", "2")]
        first, second = [each.result() for each in playing]
    assert first[0] == second[0], "the trader"
    assert first[1] == second[1], "the observer"

    _, _, told, log = first
    kinds = {message[0] for message in told}
    assert {"1", "2", "3", "4", "5", "10", "11", "17", "20", "50", "57", "59", "90", "101"} <= kinds
    partial = [message for message in told if message[0] == "3" and float(message[3]) > 0 and float(message[4]) > 0]
    assert partial, "something was filled in parts"
    assert len([message for message in told if message[0] == "20"]) > 1, "the scan was told again"
    struck = set(re.findall(r"fault (\w+) strikes", log))
    assert struck >= {
        "duplicates", "late_commission", "correction", "order_warning", "history_error", "delayed_data",
        "split_frames", "connectivity_lost",
    }  # fmt: skip
