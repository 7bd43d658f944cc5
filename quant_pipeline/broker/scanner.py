"""The universe: the most active stocks, put together from several market scans.

IB returns at most 50 rows a scan and no prices, so more than 50 stocks take one scan over all prices, whose rows are
exactly the 50 most active in order, and one scan per price band. How the bands' rows are ranked among each other is
decided here (``ranked``); which stocks are good enough to be scored is not.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import pairwise

import pandas as pd

from quant_pipeline import frames
from quant_pipeline.broker.client_library import IB, ScannerSubscription
from quant_pipeline.broker.error_codes import Meaning, meaning_of
from quant_pipeline.broker.session import BrokerSession
from quant_pipeline.broker.wire import ErrorMessage, Message
from quant_pipeline.errors import BrokerError
from quant_pipeline.settings import UniverseSettings

ROWS_PER_SCAN = 50
SCANS_AT_A_TIME = 10
# The place a band that has none of the first 50 is given in them: half of one stock.
ABSENT_BAND_COUNT = 0.5


@dataclass(frozen=True)
class ScanRow:
    """One stock of a scan; its place in the scan is its place in the list."""

    symbol: str
    con_id: int
    exchange: str


def read_universe(session: BrokerSession, settings: UniverseSettings) -> pd.DataFrame:
    """The ``settings.size`` most active stocks as a ``universe`` frame, best first; fewer when the broker has fewer.

    Raises ``BrokerError`` when a scan fails, or finds nothing at all.
    """
    everything = _subscription(settings, None, None)
    bands = [_subscription(settings, low, high) for low, high in pairwise((*settings.price_bands, None))]
    only_one = settings.size <= ROWS_PER_SCAN
    wanted = [everything] if only_one else [everything, *bands]

    async def scan_all(ib: IB) -> list[list[ScanRow]]:
        gate = asyncio.Semaphore(SCANS_AT_A_TIME)
        return list(await asyncio.gather(*(_scan(session, ib, subscription, gate) for subscription in wanted)))

    first, *others = session.request(scan_all, "the most active stocks")
    if not first:
        raise BrokerError(
            f"The broker's scan {settings.scan_code} of {settings.location} found no stocks; check universe.scan_code, "
            f"universe.location and the market data subscriptions."
        )
    return _frame(ranked(first, others)[: settings.size], settings.scan_code)


def ranked(first: list[ScanRow], bands: list[list[ScanRow]]) -> list[ScanRow]:
    """The rows of the scan over all prices, then the bands' other rows by the place they are estimated to have.

    A band that supplied k of the first n is taken to go on supplying k of every n: its row at place r stands at n * r /
    k overall. Equal estimates are ordered by symbol. No stock appears twice.
    """
    leaders = {row.con_id for row in first}
    estimates: dict[int, tuple[float, str, ScanRow]] = {}
    for band in bands:
        supplied = sum(row.con_id in leaders for row in band) or ABSENT_BAND_COUNT
        for place, row in enumerate(band, start=1):
            if row.con_id not in leaders:
                estimate = (len(first) * place / supplied, row.symbol, row)
                estimates[row.con_id] = min(estimates.get(row.con_id, estimate), estimate, key=lambda it: it[:2])
    followers = [row for _, _, row in sorted(estimates.values(), key=lambda it: it[:2])]
    by_symbol: dict[str, ScanRow] = {}
    for row in (*first, *followers):
        by_symbol.setdefault(row.symbol, row)
    return list(by_symbol.values())


def _subscription(settings: UniverseSettings, low: float | None, high: float | None) -> ScannerSubscription:
    subscription = ScannerSubscription(
        numberOfRows=ROWS_PER_SCAN,
        instrument="STK",
        locationCode=settings.location,
        scanCode=settings.scan_code,
        stockTypeFilter=settings.stock_type,
    )
    if low is not None:
        subscription.abovePrice = low
    if high is not None:
        subscription.belowPrice = high
    return subscription


async def _scan(
    session: BrokerSession, ib: IB, subscription: ScannerSubscription, gate: asyncio.Semaphore
) -> list[ScanRow]:
    async with gate:
        finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def arrived(*_: object) -> None:
            if not finished.done():
                finished.set_result(None)

        def failed(message: Message) -> None:
            if isinstance(message, ErrorMessage) and message.request_id == rows.reqId and not finished.done():
                if meaning_of(message.code) is Meaning.NO_DATA:
                    finished.set_result(None)
                elif meaning_of(message.code) is not Meaning.INFORMATION:
                    finished.set_exception(BrokerError(f"The broker refused the scan: {message.text}."))

        rows = ib.reqScannerSubscription(subscription)
        rows.updateEvent += arrived
        try:
            with session.wire.heard_by(failed):
                await finished
            return _stocks(rows)
        finally:
            if ib.isConnected():
                ib.cancelScannerSubscription(rows)


def _stocks(rows: list) -> list[ScanRow]:
    contracts = [row.contractDetails.contract for row in sorted(rows, key=lambda row: row.rank)]
    return [
        ScanRow(contract.symbol, contract.conId, contract.primaryExchange or contract.exchange or "SMART")
        for contract in contracts
        if contract.secType == "STK"
    ]


def _frame(rows: list[ScanRow], scan_code: str) -> pd.DataFrame:
    return frames.validate(
        "universe",
        pd.DataFrame(
            {
                "rank": range(1, len(rows) + 1),
                "symbol": [row.symbol for row in rows],
                "con_id": [row.con_id for row in rows],
                "exchange": [row.exchange for row in rows],
                "scan_code": scan_code,
            }
        ),
    )
