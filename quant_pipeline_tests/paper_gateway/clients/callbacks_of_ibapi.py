"""What the official ibapi, 9.81 or 10, tells a client: every callback of the scenario, filed under what it answers.

Imported by ``trader_with_ibapi``, which does the asking; see ``conversation``.
"""

from __future__ import annotations

import datetime as dt
import importlib
import re
import threading
from typing import Any
from zoneinfo import ZoneInfo

from conversation import TICKS, Problems, number

wrapper: Any = importlib.import_module("ibapi.wrapper")

OPEN_ORDERS, COMPLETED_ORDERS, POSITIONS, ACCOUNT = "open orders", "completed orders", "positions", "account"
CURRENT_TIME, RULES, PARAMETERS, FAMILIES = "current time", "market rule", "scanner parameters", "family codes"
NEWS, DEPTH = "news providers", "depth exchanges"


class Callbacks(wrapper.EWrapper):
    """Files everything that is heard under the request it answers."""

    def __init__(self) -> None:
        wrapper.EWrapper.__init__(self)
        # The wrappers log every error the server sends; a client that listens overrides that.
        self.problems = Problems()
        self.told: dict[Any, list[Any]] = {}
        self.ended: set[Any] = set()
        self.refused: dict[int, tuple[int, str]] = {}
        self.news = threading.Condition()
        self.next_id = 0
        self.accounts: list[str] = []
        self.events: list[list[Any]] = []
        self.statuses: dict[str, str] = {}
        self.fees: dict[str, tuple[float, float]] = {}
        self.fees_told = 0
        self.ticks: dict[int, dict[str, float]] = {}
        self.refs: dict[int, str] = {}
        self.ref_of_execution: dict[str, str] = {}

    def tell(self, key: Any, *values: Any, end: bool = False) -> None:
        with self.news:
            self.told.setdefault(key, []).extend(values)
            if end:
                self.ended.add(key)
            self.news.notify_all()

    def error(self, reqId: int, *more: Any) -> None:  # noqa: N803
        code, text = more[:2] if isinstance(more[1], str) else more[1:3]
        with self.news:
            if reqId in self.refs:
                self.events.append(["error", self.refs[reqId], code])
            elif reqId >= 0:
                self.refused[reqId] = (code, text)
            self.news.notify_all()

    # ---- connection ---------------------------------------------------------------------------------------------

    def nextValidId(self, orderId: int) -> None:  # noqa: N802, N803
        self.next_id = orderId
        self.tell("connected", end=True)

    def managedAccounts(self, accountsList: str) -> None:  # noqa: N802, N803
        self.accounts = accountsList.split(",")

    def currentTime(self, time: int) -> None:  # noqa: N802
        self.tell(CURRENT_TIME, time, end=True)

    # ---- the market ---------------------------------------------------------------------------------------------

    def scannerData(self, reqId: int, rank: int, details: Any, *_: str) -> None:  # noqa: N802, N803
        found = details.contract
        self.tell(reqId, [rank, found.symbol, found.conId, found.exchange, found.currency])

    def scannerDataEnd(self, reqId: int) -> None:  # noqa: N802, N803
        self.tell(reqId, end=True)

    def scannerParameters(self, xml: str) -> None:  # noqa: N802
        self.tell(PARAMETERS, *re.findall("<scanCode>([A-Z_]+)</scanCode>", xml), end=True)

    def contractDetails(self, reqId: int, details: Any) -> None:  # noqa: N802, N803
        found = details.contract
        self.tell(
            reqId,
            [
                *(found.conId, found.symbol, found.primaryExchange, found.currency),
                *(details.longName, details.minTick, details.industry, details.stockType, details.validExchanges),
                *(details.marketRuleIds, details.timeZoneId, details.liquidHours, details.tradingHours),
            ],
        )

    def contractDetailsEnd(self, reqId: int) -> None:  # noqa: N802, N803
        self.tell(reqId, end=True)

    def marketRule(self, rule: int, steps: Any) -> None:  # noqa: N802
        self.tell(RULES, *([each.lowEdge, each.increment] for each in steps), end=True)

    def symbolSamples(self, reqId: int, found: Any) -> None:  # noqa: N802, N803
        rows = [[each.contract.symbol, each.contract.secType, each.contract.primaryExchange] for each in found]
        self.tell(reqId, *rows, end=True)

    def historicalData(self, reqId: int, bar: Any) -> None:  # noqa: N802, N803
        self.tell(reqId, _row(bar))

    def historicalDataEnd(self, reqId: int, start: str, end: str) -> None:  # noqa: N802, N803
        self.tell(reqId, end=True)

    def historicalDataUpdate(self, reqId: int, bar: Any) -> None:  # noqa: N802, N803
        self.tell(("kept", reqId), _row(bar))

    def realtimeBar(self, reqId: int, time: int, *bar: Any) -> None:  # noqa: N802, N803
        prices, volume, average, count = bar[:4], float(bar[4]), float(bar[5]), bar[6]
        self.tell(reqId, [time, *prices, volume, average, count])

    def headTimestamp(self, reqId: int, text: str) -> None:  # noqa: N802, N803
        self.tell(reqId, int(text), end=True)

    def historicalSchedule(self, reqId: int, start: str, end: str, zone: str, found: Any) -> None:  # noqa: N802, N803
        self.tell(reqId, *([each.startDateTime, each.endDateTime, each.refDate] for each in found), end=True)

    def tickPrice(self, reqId: int, tickType: int, price: float, attrib: Any) -> None:  # noqa: N802, N803
        self.tickGeneric(reqId, tickType, price)

    def tickSize(self, reqId: int, tickType: int, size: Any) -> None:  # noqa: N802, N803
        self.tickGeneric(reqId, tickType, size)

    def tickString(self, reqId: int, tickType: int, value: str) -> None:  # noqa: N802, N803
        self.tickGeneric(reqId, tickType, value)

    def tickGeneric(self, reqId: int, tickType: int, value: Any) -> None:  # noqa: N802, N803
        with self.news:
            self.ticks.setdefault(reqId, {})[TICKS[tickType]] = float(value)
            self.news.notify_all()

    def tickSnapshotEnd(self, reqId: int) -> None:  # noqa: N802, N803
        self.tell(reqId, end=True)

    # ---- orders -------------------------------------------------------------------------------------------------

    def openOrder(self, orderId: int, contract: Any, order: Any, state: Any) -> None:  # noqa: N802, N803
        if order.whatIf:
            fee = getattr(state, "commission", None) or getattr(state, "commissionAndFees", None)
            currency = getattr(state, "commissionCurrency", "") or getattr(state, "commissionAndFeesCurrency", "")
            margins = (state.initMarginBefore, state.initMarginChange, state.initMarginAfter, state.equityWithLoanAfter)
            self.tell(orderId, *(number(each) for each in margins), number(fee), currency, end=True)
            return
        terms = [float(order.totalQuantity), order.lmtPrice, order.auxPrice, order.tif, state.status]
        row = [order.orderRef, order.action, order.orderType, *terms]
        with self.news:
            self.events.append(["openOrder", order.orderRef, state.status])
        self.tell(OPEN_ORDERS, row)

    def openOrderEnd(self) -> None:  # noqa: N802
        self.tell(OPEN_ORDERS, end=True)

    def orderStatus(  # noqa: N802
        self,
        orderId: int,  # noqa: N803
        status: str,
        filled: Any,
        remaining: Any,
        average: float,
        *more: Any,
    ) -> None:
        ref = self.refs.get(orderId, str(orderId))
        with self.news:
            self.statuses[ref] = status
            self.events.append(["orderStatus", ref, status, float(filled), float(remaining), average, more[4]])
            self.news.notify_all()

    def completedOrder(self, contract: Any, order: Any, state: Any) -> None:  # noqa: N802
        self.tell(COMPLETED_ORDERS, [order.orderRef, state.status, float(order.filledQuantity)])

    def completedOrdersEnd(self) -> None:  # noqa: N802
        self.tell(COMPLETED_ORDERS, end=True)

    def execDetails(self, reqId: int, contract: Any, told: Any) -> None:  # noqa: N802, N803
        self.ref_of_execution[told.execId] = told.orderRef
        if reqId == -1:
            self.events.append(["execDetails", told.orderRef, told.side, float(told.shares), told.price])
            return
        at = dt.datetime.strptime(told.time[:17], "%Y%m%d %H:%M:%S").replace(tzinfo=ZoneInfo(told.time[18:]))
        row = [
            *(told.orderRef, contract.symbol, told.side, float(told.shares), told.price),
            *(float(told.cumQty), told.avgPrice, int(at.timestamp()), told.exchange, told.acctNumber),
        ]
        self.tell(reqId, (told.execId, row))

    def execDetailsEnd(self, reqId: int) -> None:  # noqa: N802, N803
        self.tell(reqId, end=True)

    def commissionReport(self, report: Any) -> None:  # noqa: N802
        self._charged(report, report.commission)

    def commissionAndFeesReport(self, report: Any) -> None:  # noqa: N802
        self._charged(report, report.commissionAndFees)

    def _charged(self, report: Any, fee: float) -> None:
        realized = number(report.realizedPNL) or 0.0
        with self.news:
            self.fees[report.execId] = (fee, realized)
            self.fees_told += 1
            self.events.append(["commission", self.ref_of_execution[report.execId], fee, realized])
            self.news.notify_all()

    # ---- the account --------------------------------------------------------------------------------------------

    def position(self, account: str, contract: Any, held: Any, average: float) -> None:
        self.tell(POSITIONS, [contract.symbol, float(held), average])

    def positionEnd(self) -> None:  # noqa: N802
        self.tell(POSITIONS, end=True)

    def positionMulti(  # noqa: N802
        self,
        reqId: int,  # noqa: N803
        account: str,
        model: str,
        contract: Any,
        held: Any,
        average: float,
    ) -> None:
        self.tell(reqId, [account, contract.symbol, float(held), average])

    def positionMultiEnd(self, reqId: int) -> None:  # noqa: N802, N803
        self.tell(reqId, end=True)

    def accountSummary(self, reqId: int, account: str, tag: str, value: str, currency: str) -> None:  # noqa: N802, N803
        self.tell(reqId, (tag, value))

    def accountSummaryEnd(self, reqId: int) -> None:  # noqa: N802, N803
        self.tell(reqId, end=True)

    def updateAccountValue(self, tag: str, value: str, currency: str, account: str) -> None:  # noqa: N802
        self.tell(ACCOUNT, (tag, value))

    def updatePortfolio(self, contract: Any, held: Any, *values: Any) -> None:  # noqa: N802
        self.tell(ACCOUNT, (("held", contract.symbol), [float(held), *values[:-1]]))

    def accountDownloadEnd(self, account: str) -> None:  # noqa: N802
        self.tell(ACCOUNT, end=True)

    def pnl(self, reqId: int, *values: float) -> None:  # noqa: N803
        self.tell(reqId, *values, end=True)

    def pnlSingle(self, reqId: int, held: Any, *values: float) -> None:  # noqa: N802, N803
        self.tell(reqId, float(held), *values, end=True)

    # ---- what is there ------------------------------------------------------------------------------------------

    def familyCodes(self, found: Any) -> None:  # noqa: N802
        self.tell(FAMILIES, *([each.accountID, each.familyCodeStr] for each in found), end=True)

    def smartComponents(self, reqId: int, found: Any) -> None:  # noqa: N802, N803
        self.tell(reqId, *([each.exchange, each.exchangeLetter] for each in found), end=True)

    def securityDefinitionOptionParameterEnd(self, reqId: int) -> None:  # noqa: N802, N803
        self.tell(reqId, end=True)

    def newsProviders(self, found: Any) -> None:  # noqa: N802
        self.tell(NEWS, *found, end=True)

    def mktDepthExchanges(self, found: Any) -> None:  # noqa: N802
        self.tell(DEPTH, *found, end=True)

    def userInfo(self, reqId: int, brand: str) -> None:  # noqa: N802, N803
        self.tell(reqId, brand, end=True)


def _row(bar: Any) -> list[Any]:
    average = bar.average if hasattr(bar, "average") else bar.wap
    at = bar.date if len(bar.date) == 8 else int(bar.date)
    return [at, bar.open, bar.high, bar.low, bar.close, float(bar.volume), float(average), bar.barCount]
