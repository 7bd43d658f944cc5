"""A trader's client on the official ibapi, 9.81 or 10: every step of the scenario with callbacks and a reader thread.

Run in an environment that has either version; what they name differently is told apart by what they have. See
``conversation``, and ``callbacks_of_ibapi`` for what is heard.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from typing import Any

from callbacks_of_ibapi import (
    ACCOUNT,
    COMPLETED_ORDERS,
    CURRENT_TIME,
    DEPTH,
    FAMILIES,
    NEWS,
    OPEN_ORDERS,
    PARAMETERS,
    POSITIONS,
    RULES,
    Callbacks,
)
from conversation import (
    PATIENCE,
    AbsentError,
    RefusedError,
    converse,
)

client: Any = importlib.import_module("ibapi.client")
contract: Any = importlib.import_module("ibapi.contract")
order: Any = importlib.import_module("ibapi.order")
scanner: Any = importlib.import_module("ibapi.scanner")
execution: Any = importlib.import_module("ibapi.execution")
tag_value: Any = importlib.import_module("ibapi.tag_value")


def _cancel_words() -> list[Any]:
    """What newer versions want to be told with a cancel."""
    try:
        return [importlib.import_module("ibapi.order_cancel").OrderCancel()]
    except ImportError:
        return []


class Trader:
    """One connection, and the steps that are taken over it."""

    def __init__(self) -> None:
        self.heard = Callbacks()
        self.api = client.EClient(self.heard)
        self._req_id = 9000
        self._streams: dict[str, int] = {}
        self._kept: dict[str, int] = {}
        self._live: dict[str, int] = {}
        self._orders: dict[str, Any] = {}

    def wait(self, happened: Callable[[], object]) -> None:
        with self.heard.news:
            if not self.heard.news.wait_for(happened, PATIENCE):
                raise TimeoutError(f"it did not happen in time; {self.heard.problems.found}")

    def ask(self, send: Callable[..., None], *given: Any, key: Any = None) -> list[Any]:
        """Ask something and return what was told until its end; a key is given where there is no request id."""
        heard = self.heard
        self._req_id += 1
        found = self._req_id if key is None else key
        heard.told.pop(found, None)
        heard.ended.discard(found)
        send(*([found] if key is None else []), *given)
        self.wait(lambda: found in heard.ended or found in heard.refused)
        if found in heard.refused:
            raise RefusedError(*heard.refused[found])
        return heard.told.get(found, [])

    # ---- connection ---------------------------------------------------------------------------------------------

    def connect(self, port: int, client_id: int) -> Any:
        self.api.connect("127.0.0.1", port, client_id)
        threading.Thread(target=self.api.run, daemon=True).start()
        self.wait(lambda: "connected" in self.heard.ended and self.heard.accounts)
        return {"version": self.api.serverVersion(), "accounts": self.heard.accounts}

    def disconnect(self) -> Any:
        self.api.disconnect()
        return self.heard.problems.found

    def current_time(self) -> Any:
        return self.ask(self.api.reqCurrentTime, key=CURRENT_TIME)[0]

    # ---- the market ---------------------------------------------------------------------------------------------

    def stock(self, symbol: str) -> Any:
        found = contract.Contract()
        found.symbol, found.secType, found.exchange, found.currency = symbol, "STK", "SMART", "USD"
        return found

    def scan(self, code: str, rows: int, above_price: float) -> Any:
        wanted = scanner.ScannerSubscription()
        wanted.numberOfRows, wanted.instrument, wanted.locationCode = rows, "STK", "STK.US.MAJOR"
        wanted.scanCode, wanted.abovePrice = code, above_price
        return self.ask(self.api.reqScannerSubscription, wanted, [], [tag_value.TagValue("usdVolumeAbove", "1000")])

    def scanner_parameters(self) -> Any:
        return self.ask(self.api.reqScannerParameters, key=PARAMETERS)

    def contract(self, symbol: str) -> Any:
        return self.ask(self.api.reqContractDetails, self.stock(symbol))

    def market_rule(self, rule: int) -> Any:
        return self.ask(self.api.reqMarketRule, rule, key=RULES)

    def matching_symbols(self, pattern: str) -> Any:
        return self.ask(self.api.reqMatchingSymbols, pattern)

    def history(self, symbol: str, length: str, size: str, what: str) -> Any:
        return self.ask(self.api.reqHistoricalData, self.stock(symbol), "", length, size, what, 1, 2, False, [])

    def head_time_stamp(self, symbol: str) -> Any:
        return self.ask(self.api.reqHeadTimeStamp, self.stock(symbol), "TRADES", 1, 2)[0]

    def schedule(self, symbol: str, days: int) -> Any:
        given = (self.stock(symbol), "", f"{days} D", "1 day", "SCHEDULE", 1, 1, False, [])
        return self.ask(self.api.reqHistoricalData, *given)

    def keep_bars(self, symbol: str) -> Any:
        given = (self.stock(symbol), "", "1 D", "15 mins", "TRADES", 1, 2, True, [])
        bars = self.ask(self.api.reqHistoricalData, *given)
        self._kept[symbol] = self._req_id
        return bars[-1]

    def kept_bars(self, symbol: str, close: float) -> Any:
        req_id = self._kept.pop(symbol)
        bars = self.heard.told[req_id]
        updates = self.heard.told.setdefault(("kept", req_id), [])
        self.wait(lambda: updates and updates[-1][4] == close)
        self.api.cancelHistoricalData(req_id)
        return list({bar[0]: bar for bar in (*bars, *updates)}.values())[-2:]

    def live_bars(self, symbol: str) -> Any:
        self._req_id += 1
        self._live[symbol] = self._req_id
        self.heard.told[self._req_id] = []
        self.api.reqRealTimeBars(self._req_id, self.stock(symbol), 5, "TRADES", True, [])

    def live_bars_told(self, symbol: str, count: int) -> Any:
        req_id = self._live.pop(symbol)
        self.wait(lambda: len(self.heard.told[req_id]) >= count)
        self.api.cancelRealTimeBars(req_id)
        return self.heard.told[req_id]

    def stream(self, symbol: str) -> Any:
        self._req_id += 1
        self._streams[symbol] = self._req_id
        self.api.reqMktData(self._req_id, self.stock(symbol), "236", False, False, [])

    def quote(self, symbol: str, ask: float) -> Any:
        ticks = self.heard.ticks.setdefault(self._streams[symbol], {})
        self.wait(lambda: ticks.get("ask") == ask)
        self.current_time()
        return ticks

    def end_stream(self, symbol: str) -> Any:
        self.api.cancelMktData(self._streams.pop(symbol))

    def snapshot(self, symbol: str) -> Any:
        self.ask(self.api.reqMktData, self.stock(symbol), "", True, False, [])
        return self.heard.ticks[self._req_id]

    # ---- orders -------------------------------------------------------------------------------------------------

    def bracket(self, symbol: str, quantity: float, entry: float, target: float, stop: float, slot: str) -> Any:
        parent = self._order("BUY", "LMT", quantity, f"{slot}:entry", tif="DAY", lmtPrice=entry, transmit=False)
        self._place(symbol, parent)
        child = {"parentId": parent.orderId, "tif": "GTC"}
        orders = (
            self._order("SELL", "LMT", quantity, f"{slot}:target", lmtPrice=target, transmit=False, **child),
            self._order("SELL", "STP", quantity, f"{slot}:stop", auxPrice=stop, **child),
        )
        for each in orders:
            self._place(symbol, each)

    def limit(self, symbol: str, quantity: float, price: float, ref: str) -> Any:
        self._place(symbol, self._order("BUY", "LMT", quantity, ref, tif="GTC", lmtPrice=price))

    def modify(self, symbol: str, ref: str, price: float) -> Any:
        self._orders[ref].lmtPrice = price
        self._place(symbol, self._orders[ref])

    def cancel(self, ref: str) -> Any:
        self.api.cancelOrder(self._orders[ref].orderId, *_cancel_words())

    def cancel_everything(self) -> Any:
        self.api.reqGlobalCancel(*_cancel_words())

    def _order(self, action: str, kind: str, quantity: float, ref: str, **more: Any) -> Any:
        found = order.Order()
        found.action, found.orderType, found.totalQuantity, found.orderRef = action, kind, quantity, ref
        found.eTradeOnly = found.firmQuoteOnly = False  # true by default in 9.81, which today's servers refuse
        for name, value in more.items():
            setattr(found, name, value)
        return found

    def _place(self, symbol: str, placed: Any) -> None:
        if not placed.orderId:
            placed.orderId = self.heard.next_id
            self.heard.next_id += 1
        self.heard.refs[placed.orderId] = placed.orderRef
        self._orders[placed.orderRef] = placed
        self.api.placeOrder(placed.orderId, self.stock(symbol), placed)

    def await_orders(self, statuses: dict[str, str], fees: int) -> Any:
        heard = self.heard
        self.wait(
            lambda: heard.fees_told >= fees and all(heard.statuses.get(ref) == each for ref, each in statuses.items())
        )
        self.current_time()
        told, heard.events = heard.events, []
        return told

    def what_if(self, symbol: str, quantity: float, price: float) -> Any:
        wanted = self._order("BUY", "LMT", quantity, "", tif="DAY", lmtPrice=price, whatIf=True)
        order_id = self.heard.next_id
        self.heard.next_id += 1
        return self.ask(self.api.placeOrder, order_id, self.stock(symbol), wanted, key=order_id)

    def open_orders(self, everyone: bool) -> Any:
        found = self.ask(self.api.reqAllOpenOrders if everyone else self.api.reqOpenOrders, key=OPEN_ORDERS)
        self.heard.events = []
        return sorted(found)

    def completed_orders(self) -> Any:
        return sorted(self.ask(self.api.reqCompletedOrders, False, key=COMPLETED_ORDERS))

    def executions(self, **wanted: Any) -> Any:
        chosen = execution.ExecutionFilter()
        for name, value in wanted.items():
            setattr(chosen, name, value)
        found = self.ask(self.api.reqExecutions, chosen)
        self.heard.events = []
        return sorted([*row, *self.heard.fees[exec_id]] for exec_id, row in found)

    # ---- the account --------------------------------------------------------------------------------------------

    def positions(self) -> Any:
        return {symbol: held for symbol, *held in self.ask(self.api.reqPositions, key=POSITIONS)}

    def positions_multi(self) -> Any:
        return self.ask(self.api.reqPositionsMulti, self.heard.accounts[0], "")

    def account_summary(self, tags: list[str]) -> Any:
        return dict(self.ask(self.api.reqAccountSummary, "All", ",".join(tags)))

    def account_updates(self, tags: list[str]) -> Any:
        found = dict(self.ask(self.api.reqAccountUpdates, True, self.heard.accounts[0], key=ACCOUNT))
        held = {key[1]: row for key, row in found.items() if isinstance(key, tuple) and row[0]}
        return {"values": {tag: found[tag] for tag in tags}, "portfolio": held}

    def pnl(self) -> Any:
        return self.ask(self.api.reqPnL, self.heard.accounts[0], "")[:3]

    def pnl_single(self, con_id: int) -> Any:
        return self.ask(self.api.reqPnLSingle, self.heard.accounts[0], "", con_id)[:5]

    # ---- what is there, and what is not -------------------------------------------------------------------------

    def family_codes(self) -> Any:
        return self.ask(self.api.reqFamilyCodes, key=FAMILIES)

    def smart_components(self) -> Any:
        return self.ask(self.api.reqSmartComponents, "9c0001")

    def option_chains(self, symbol: str, con_id: int) -> Any:
        return self.ask(self.api.reqSecDefOptParams, symbol, "", "STK", con_id)

    def news_providers(self) -> Any:
        return self.ask(self.api.reqNewsProviders, key=NEWS)

    def depth_exchanges(self) -> Any:
        return self.ask(self.api.reqMktDepthExchanges, key=DEPTH)

    def user_info(self) -> Any:
        self._needs("reqUserInfo")
        return self.ask(self.api.reqUserInfo)[0]

    def _needs(self, request: str) -> None:
        if not hasattr(self.api, request):
            raise AbsentError

    def fundamentals(self, symbol: str) -> Any:
        self._needs("reqFundamentalData")
        return self.ask(self.api.reqFundamentalData, self.stock(symbol), "ReportSnapshot", [])

    def historical_ticks(self, symbol: str) -> Any:
        given = (self.stock(symbol), "", "20180220 10:00:00", 10, "TRADES", 1, True, [])
        return self.ask(self.api.reqHistoricalTicks, *given)

    def histogram(self, symbol: str) -> Any:
        return self.ask(self.api.reqHistogramData, self.stock(symbol), True, "3 days")


converse(Trader())
