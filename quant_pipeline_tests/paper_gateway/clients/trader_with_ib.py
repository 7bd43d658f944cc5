"""A trader's client on ib_insync or ib_async, whose API is the same: every step of the scenario as the library has it.

Run as ``python trader_with_ib.py ib_async`` in an environment that has that library; see ``conversation``.
"""

from __future__ import annotations

import datetime as dt
import importlib
import re
import sys
import time
from collections.abc import Callable
from typing import Any

from conversation import PATIENCE, SIZE_OF, TICKS, Problems, converse, number

api: Any = importlib.import_module(sys.argv[1])

ORDERS = ("openOrder", "orderStatus", "execDetails", "commissionReport", "error")
HEARD = (*ORDERS, "priceSizeTick", "tickSize", "tickGeneric", "tickString", "positionMulti", "familyCodes")
"""Callbacks that are recorded as they come, before the library makes something of them."""


class Trader:
    """One connection and what was heard over it."""

    def __init__(self) -> None:
        # The wrapper logs every error the server sends, which is no complaint about a layout.
        self.problems = Problems(ignored=(f"{api.__name__}.wrapper",))
        self.ib = api.IB()
        self.ib.RequestTimeout = PATIENCE
        self.ib.RaiseRequestErrors = True
        self.events: list[list[Any]] = []
        self.statuses: dict[str, str] = {}
        self.fees = 0
        self.ticks: dict[int, dict[str, float]] = {}
        self.streams: dict[str, int] = {}
        self.quotes: dict[str, Any] = {}
        self.kept: dict[str, Any] = {}
        self.live: dict[str, Any] = {}
        self.multi: list[list[Any]] = []
        self.families: list[list[str]] = []
        self._refs: dict[int, str] = {}
        self._ref_of_execution: dict[str, str] = {}
        self._orders: dict[str, Any] = {}

    # ---- connection ---------------------------------------------------------------------------------------------

    def connect(self, port: int, client_id: int) -> Any:
        self.ib.connect("127.0.0.1", port, clientId=client_id, timeout=PATIENCE)
        for name in HEARD:
            self._listen(name, getattr(self, f"_{name}"))
        return {"version": self.ib.client.serverVersion(), "accounts": self.ib.managedAccounts()}

    def _listen(self, name: str, hear: Callable[..., None]) -> None:
        """Hear a callback before the library does."""
        inner = getattr(self.ib.wrapper, name)

        def both(*args: Any) -> None:
            hear(*args)
            inner(*args)

        setattr(self.ib.wrapper, name, both)

    def disconnect(self) -> Any:
        self.ib.disconnect()
        return self.problems.found

    def wait(self, happened: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not happened():
            if time.monotonic() > deadline:
                raise TimeoutError("it did not happen in time")
            self.ib.sleep(0.01)

    def current_time(self) -> Any:
        return int(self.ib.reqCurrentTime().timestamp())

    # ---- callbacks ----------------------------------------------------------------------------------------------

    def _openOrder(self, order_id: int, contract: Any, order: Any, state: Any) -> None:  # noqa: N802
        if not order.whatIf:
            self.events.append(["openOrder", order.orderRef, state.status])

    def _orderStatus(  # noqa: N802
        self, order_id: int, status: str, filled: float, remaining: float, average: float, *more: Any
    ) -> None:
        ref = self._refs.get(order_id, str(order_id))
        self.statuses[ref] = status
        self.events.append(["orderStatus", ref, status, filled, remaining, average, more[4]])

    def _execDetails(self, req_id: int, contract: Any, execution: Any) -> None:  # noqa: N802
        self._ref_of_execution[execution.execId] = execution.orderRef
        if req_id == -1:
            told = [execution.orderRef, execution.side, float(execution.shares), execution.price]
            self.events.append(["execDetails", *told])

    def _commissionReport(self, report: Any) -> None:  # noqa: N802
        self.fees += 1
        realized = number(report.realizedPNL) or 0.0
        self.events.append(["commission", self._ref_of_execution[report.execId], report.commission, realized])

    def _error(self, req_id: int, code: int, *_: Any) -> None:
        if req_id in self._refs:
            self.events.append(["error", self._refs[req_id], code])

    def _priceSizeTick(self, req_id: int, kind: int, price: float, size: float) -> None:  # noqa: N802
        self._tickGeneric(req_id, kind, price)
        if kind in SIZE_OF:
            self._tickGeneric(req_id, SIZE_OF[kind], size)

    def _tickSize(self, req_id: int, kind: int, size: float) -> None:  # noqa: N802
        self._tickGeneric(req_id, kind, size)

    def _tickGeneric(self, req_id: int, kind: int, value: float) -> None:  # noqa: N802
        self.ticks.setdefault(req_id, {})[TICKS[kind]] = float(value)

    def _tickString(self, req_id: int, kind: int, value: str) -> None:  # noqa: N802
        self._tickGeneric(req_id, kind, float(value))

    def _positionMulti(self, req_id: int, account: str, model: str, contract: Any, *held: float) -> None:  # noqa: N802
        self.multi.append([account, contract.symbol, *held])

    def _familyCodes(self, found: Any) -> None:  # noqa: N802
        self.families += [[each.accountID, each.familyCodeStr] for each in found]

    # ---- the market ---------------------------------------------------------------------------------------------

    def stock(self, symbol: str) -> Any:
        return api.Stock(symbol, "SMART", "USD")

    def scan(self, code: str, rows: int, above_price: float) -> Any:
        subscription = api.ScannerSubscription(
            numberOfRows=rows,
            instrument="STK",
            locationCode="STK.US.MAJOR",
            scanCode=code,
            abovePrice=above_price,
        )
        options = [api.TagValue("usdVolumeAbove", "1000")]
        found = self.ib.reqScannerData(subscription, [], options)
        contracts = [(row.rank, row.contractDetails.contract) for row in found]
        return [[rank, each.symbol, each.conId, each.exchange, each.currency] for rank, each in contracts]

    def scanner_parameters(self) -> Any:
        return re.findall("<scanCode>([A-Z_]+)</scanCode>", self.ib.reqScannerParameters())

    def contract(self, symbol: str) -> Any:
        return [
            [
                *(each.contract.conId, each.contract.symbol, each.contract.primaryExchange, each.contract.currency),
                *(each.longName, each.minTick, each.industry, each.stockType, each.validExchanges),
                *(each.marketRuleIds, each.timeZoneId, each.liquidHours, each.tradingHours),
            ]
            for each in self.ib.reqContractDetails(self.stock(symbol))
        ]

    def market_rule(self, rule: int) -> Any:
        return [[each.lowEdge, each.increment] for each in self.ib.reqMarketRule(rule)]

    def matching_symbols(self, pattern: str) -> Any:
        found = self.ib.reqMatchingSymbols(pattern)
        return [[each.contract.symbol, each.contract.secType, each.contract.primaryExchange] for each in found]

    def history(self, symbol: str, length: str, size: str, what: str) -> Any:
        bars = self.ib.reqHistoricalData(self.stock(symbol), "", length, size, what, True, 2)
        return [self._row(bar) for bar in bars]

    def _row(self, bar: Any) -> list[Any]:
        date = bar.date
        at = int(date.timestamp()) if isinstance(date, dt.datetime) else f"{date:%Y%m%d}"
        return [at, bar.open, bar.high, bar.low, bar.close, float(bar.volume), bar.average, bar.barCount]

    def head_time_stamp(self, symbol: str) -> Any:
        return int(self.ib.reqHeadTimeStamp(self.stock(symbol), "TRADES", True, 2).timestamp())

    def schedule(self, symbol: str, days: int) -> Any:
        found = self.ib.reqHistoricalSchedule(self.stock(symbol), days)
        return [[each.startDateTime, each.endDateTime, each.refDate] for each in found.sessions]

    def keep_bars(self, symbol: str) -> Any:
        bars = self.ib.reqHistoricalData(self.stock(symbol), "", "1 D", "15 mins", "TRADES", True, 2, True)
        self.kept[symbol] = bars
        return self._row(bars[-1])

    def kept_bars(self, symbol: str, close: float) -> Any:
        bars = self.kept.pop(symbol)
        self.wait(lambda: bars[-1].close == close)
        self.ib.cancelHistoricalData(bars)
        return [self._row(bar) for bar in bars[-2:]]

    def live_bars(self, symbol: str) -> Any:
        self.live[symbol] = self.ib.reqRealTimeBars(self.stock(symbol), 5, "TRADES", True)

    def live_bars_told(self, symbol: str, count: int) -> Any:
        bars = self.live.pop(symbol)
        self.wait(lambda: len(bars) >= count)
        self.ib.cancelRealTimeBars(bars)
        return [
            [int(bar.time.timestamp()), bar.open_, bar.high, bar.low, bar.close, float(bar.volume), bar.wap, bar.count]
            for bar in bars
        ]

    def _qualified(self, symbol: str) -> Any:
        (found,) = self.ib.qualifyContracts(self.stock(symbol))
        return found

    def stream(self, symbol: str) -> Any:
        self.quotes[symbol] = self._qualified(symbol)
        ticker = self.ib.reqMktData(self.quotes[symbol], "236")
        tickers = self.ib.wrapper.reqId2Ticker
        self.streams[symbol] = next(req_id for req_id, each in tickers.items() if each is ticker)

    def quote(self, symbol: str, ask: float) -> Any:
        ticks = self.ticks.setdefault(self.streams[symbol], {})
        self.wait(lambda: ticks.get("ask") == ask)
        self.current_time()
        return ticks

    def end_stream(self, symbol: str) -> Any:
        self.ib.cancelMktData(self.quotes.pop(symbol))

    def snapshot(self, symbol: str) -> Any:
        (ticker,) = self.ib.reqTickers(self._qualified(symbol))
        assert ticker.contract.symbol == symbol
        return self.ticks[max(self.ticks)]

    # ---- orders -------------------------------------------------------------------------------------------------

    def bracket(self, symbol: str, quantity: float, entry: float, target: float, stop: float, slot: str) -> Any:
        orders = self.ib.bracketOrder("BUY", quantity, entry, target, stop)
        for order, leg, tif in zip(orders, ("entry", "target", "stop"), ("DAY", "GTC", "GTC"), strict=True):
            order.tif, order.orderRef = tif, f"{slot}:{leg}"
            self._place(symbol, order)

    def limit(self, symbol: str, quantity: float, price: float, ref: str) -> Any:
        self._place(symbol, api.LimitOrder("BUY", quantity, price, tif="GTC", orderRef=ref))

    def modify(self, symbol: str, ref: str, price: float) -> Any:
        self._orders[ref].lmtPrice = price
        self._place(symbol, self._orders[ref])

    def cancel(self, ref: str) -> Any:
        self.ib.cancelOrder(self._orders[ref])

    def cancel_everything(self) -> Any:
        self.ib.reqGlobalCancel()

    def _place(self, symbol: str, order: Any) -> None:
        order.orderId = order.orderId or self.ib.client.getReqId()
        self._refs[order.orderId] = order.orderRef
        self._orders[order.orderRef] = order
        self.ib.placeOrder(self.stock(symbol), order)

    def await_orders(self, statuses: dict[str, str], fees: int) -> Any:
        self.wait(lambda: self.fees >= fees and all(self.statuses.get(ref) == each for ref, each in statuses.items()))
        self.current_time()
        told, self.events = self.events, []
        return told

    def what_if(self, symbol: str, quantity: float, price: float) -> Any:
        state = self.ib.whatIfOrder(self.stock(symbol), api.LimitOrder("BUY", quantity, price, tif="DAY"))
        margins = (state.initMarginBefore, state.initMarginChange, state.initMarginAfter, state.equityWithLoanAfter)
        return [*(number(each) for each in margins), number(state.commission), state.commissionCurrency]

    def open_orders(self, everyone: bool) -> Any:
        trades = self.ib.reqAllOpenOrders() if everyone else self.ib.reqOpenOrders()
        self.events.clear()
        return sorted(
            [
                *(trade.order.orderRef, trade.order.action, trade.order.orderType, float(trade.order.totalQuantity)),
                *(trade.order.lmtPrice, trade.order.auxPrice, trade.order.tif, trade.orderStatus.status),
            ]
            for trade in trades
        )

    def completed_orders(self) -> Any:
        trades = self.ib.reqCompletedOrders(False)
        return sorted(
            [trade.order.orderRef, trade.orderStatus.status, float(trade.order.filledQuantity)] for trade in trades
        )

    def executions(self, **wanted: Any) -> Any:
        found = {fill.execution.execId for fill in self.ib.reqExecutions(api.ExecutionFilter(**wanted))}
        self.events.clear()
        # What the request gives has no commissions where the fill was known before; the list of all fills has.
        fills = [fill for fill in self.ib.fills() if fill.execution.execId in found]
        return sorted(
            [
                *(fill.execution.orderRef, fill.contract.symbol, fill.execution.side, float(fill.execution.shares)),
                *(fill.execution.price, float(fill.execution.cumQty), fill.execution.avgPrice),
                *(int(fill.execution.time.timestamp()), fill.execution.exchange, fill.execution.acctNumber),
                *(fill.commissionReport.commission, number(fill.commissionReport.realizedPNL) or 0.0),
            ]
            for fill in fills
        )

    # ---- the account --------------------------------------------------------------------------------------------

    def positions(self) -> Any:
        return {each.contract.symbol: [float(each.position), each.avgCost] for each in self.ib.reqPositions()}

    def positions_multi(self) -> Any:
        account = self.ib.managedAccounts()[0]
        self.multi.clear()
        self.ib.client.reqPositionsMulti(self.ib.client.getReqId(), account, "")
        self.current_time()
        return self.multi

    def account_summary(self, tags: list[str]) -> Any:
        found = {each.tag: each.value for each in self.ib.accountSummary()}
        return {tag: found[tag] for tag in tags}

    def account_updates(self, tags: list[str]) -> Any:
        self.ib.reqAccountUpdates(self.ib.managedAccounts()[0])
        found = {each.tag: each.value for each in self.ib.accountValues() if each.currency in ("", "USD")}
        held = {
            each.contract.symbol: [
                *(float(each.position), each.marketPrice, each.marketValue),
                *(each.averageCost, each.unrealizedPNL, each.realizedPNL),
            ]
            for each in self.ib.portfolio()
            if each.position
        }
        return {"values": {tag: found[tag] for tag in tags}, "portfolio": held}

    def pnl(self) -> Any:
        account = self.ib.managedAccounts()[0]
        found = self.ib.reqPnL(account)
        self.wait(lambda: found.dailyPnL == found.dailyPnL)  # not a number until it was told
        self.ib.cancelPnL(account)
        return [found.dailyPnL, found.unrealizedPnL, found.realizedPnL]

    def pnl_single(self, con_id: int) -> Any:
        account = self.ib.managedAccounts()[0]
        found = self.ib.reqPnLSingle(account, "", con_id)
        self.wait(lambda: found.dailyPnL == found.dailyPnL)
        self.ib.cancelPnLSingle(account, "", con_id)
        return [float(found.position), found.dailyPnL, found.unrealizedPnL, found.realizedPnL, found.value]

    # ---- what is there, and what is not -------------------------------------------------------------------------

    def family_codes(self) -> Any:
        self.ib.client.reqFamilyCodes()  # the library has no method of its own for it
        self.current_time()
        return self.families

    def smart_components(self) -> Any:
        return [[each.exchange, each.exchangeLetter] for each in self.ib.reqSmartComponents("9c0001")]

    def option_chains(self, symbol: str, con_id: int) -> Any:
        return self.ib.reqSecDefOptParams(symbol, "", "STK", con_id)

    def news_providers(self) -> Any:
        return self.ib.reqNewsProviders()

    def depth_exchanges(self) -> Any:
        return self.ib.reqMktDepthExchanges()

    def user_info(self) -> Any:
        return self.ib.reqUserInfo() or ""

    def fundamentals(self, symbol: str) -> Any:
        return self.ib.reqFundamentalData(self.stock(symbol), "ReportSnapshot")

    def historical_ticks(self, symbol: str) -> Any:
        return self.ib.reqHistoricalTicks(self.stock(symbol), "", "20180220 10:00:00", 10, "TRADES", True)

    def histogram(self, symbol: str) -> Any:
        return self.ib.reqHistogramData(self.stock(symbol), True, "3 days")


converse(Trader())
