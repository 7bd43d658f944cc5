"""Answers about the market: bars, scans and quotes, and the repeated telling of what is subscribed to.

Reads the market at the gateway's time and nothing later. Called by ``client_session`` through ``ANSWERS`` and by
``server`` once a second through ``push``.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from quant_pipeline.errors import SlotError
from quant_pipeline.paper_gateway.answers import history_bars
from quant_pipeline.paper_gateway.answers.history_bars import DAY_BAR, IMITATED, MINUTE_BARS, HistoryError
from quant_pipeline.paper_gateway.answers.reference_answers import NO_CONTRACT
from quant_pipeline.paper_gateway.answers.scans import ScanError, parameters_xml, scan
from quant_pipeline.paper_gateway.markets.market import Quote
from quant_pipeline.paper_gateway.protocol import replies
from quant_pipeline.paper_gateway.protocol.requests import (
    CancelQuote,
    CancelScan,
    HistoryRequest,
    QuoteRequest,
    ScanParameters,
    ScanRequest,
)
from quant_pipeline.paper_gateway.protocol.ticks import ticks
from quant_pipeline.paper_gateway.protocol.wire import FieldError
from quant_pipeline.paper_gateway.protocol.wire_times import parse_time, zoned_text

if TYPE_CHECKING:
    from quant_pipeline.paper_gateway.client_session import ClientSession

LIVE_DATA = 1
SCAN_AGAIN_SECONDS = 30.0
HISTORY_REFUSED = "Historical Market Data Service error message:"


def _history(session: ClientSession, request: HistoryRequest) -> None:
    instrument = session.gateway.securities.find(request.contract)
    if instrument is None:
        session.error(request.req_id, 200, NO_CONTRACT)
        return
    now = session.gateway.clock.now()
    try:
        end, start, count, rows = _bars(session, request, instrument.symbol, now)
    except HistoryError as error:
        session.error(request.req_id, error.code, str(error))
        return
    except SlotError:  # before the calendar begins
        end, start, count, rows = now, now, 0, ""
    if not count:
        session.error(request.req_id, 162, f"{HISTORY_REFUSED}HMDS query returned no data: {instrument.symbol}")
        return
    session.send_text(replies.historical_data(request.req_id, zoned_text(start), zoned_text(end), count, rows))


def _bars(
    session: ClientSession, request: HistoryRequest, symbol: str, now: dt.datetime
) -> tuple[dt.datetime, dt.datetime, int, str]:
    if request.keep_up_to_date:
        raise HistoryError("Error validating request.-'bD' : cause - The paper gateway does not keep bars up to date")
    if request.what not in IMITATED:
        raise HistoryError(
            f"Error validating request.-'bD' : cause - The paper gateway has no {request.what[:40]} bars"
        )
    length = history_bars.duration(request.duration)
    try:
        end = min(parse_time(request.end), now) if request.end else now
    except FieldError as error:
        raise HistoryError(f"End Date/Time: {error}", code=10314) from error
    market = session.gateway.market
    if request.bar_size == DAY_BAR:
        count, rows = history_bars.daily(market, symbol, end, length, request.what)
    elif request.bar_size in MINUTE_BARS:
        minutes = MINUTE_BARS[request.bar_size]
        count, rows = history_bars.by_minutes(market, symbol, end, length, minutes, request.what, request.date_format)
    else:
        sizes = ", ".join([*MINUTE_BARS, DAY_BAR])
        text = f"Historical data bar size setting is invalid. Legal ones are: {sizes}"
        raise HistoryError(f"Error validating request.-'bD' : cause - {text}")
    return end, length.since(end), count, rows


def _scan(session: ClientSession, request: ScanRequest) -> None:
    gateway = session.gateway
    try:
        found = scan(request, gateway.market.instruments, gateway.accountant.quotes(gateway.clock.now()))
    except ScanError as error:
        session.subscriptions.scans.pop(request.req_id, None)
        session.error(request.req_id, 162, f"{HISTORY_REFUSED}{error}")
        return
    session.subscriptions.scans[request.req_id] = (request, time.monotonic())
    session.send(replies.scanner_data(request.req_id, found))


def _cancel_scan(session: ClientSession, request: CancelScan) -> None:
    session.subscriptions.scans.pop(request.req_id, None)


def _scan_parameters(session: ClientSession, _: ScanParameters) -> None:
    session.send(replies.scanner_parameters(parameters_xml()))


def _quote(session: ClientSession, request: QuoteRequest) -> None:
    gateway = session.gateway
    instrument = gateway.securities.find(request.contract)
    if instrument is None:
        session.error(request.req_id, 200, NO_CONTRACT)
        return
    if request.snapshot and request.generic_ticks:
        text = "Snapshot market data subscription is not applicable to generic ticks"
        session.error(request.req_id, 321, f"Error validating request.-'bW' : cause - {text}")
        return
    session.send(replies.tick_parameters(request.req_id, instrument.min_tick))
    session.send(replies.market_data_type(request.req_id, LIVE_DATA))
    quote = gateway.market.quote(instrument.symbol, gateway.clock.now())
    for message in ticks(request.req_id, quote, request.generic_ticks) if quote else ():
        session.send(message)
    if request.snapshot:
        session.send(replies.snapshot_end(request.req_id))
    else:
        session.subscriptions.quotes[request.req_id] = (request, instrument.symbol, quote)


def _cancel_quote(session: ClientSession, request: CancelQuote) -> None:
    if session.subscriptions.quotes.pop(request.req_id, None) is None:
        session.error(request.req_id, 300, f"Can't find EId with tickerId:{request.req_id}")


def push(session: ClientSession, quotes: Mapping[str, Quote]) -> None:
    """Tell a client what has changed in its quotes, and its scans again when they are due."""
    for req_id, (request, symbol, before) in list(session.subscriptions.quotes.items()):
        quote = quotes.get(symbol)
        if quote is None or quote == before:
            continue
        for message in ticks(req_id, quote, request.generic_ticks, before):
            session.send(message)
        session.subscriptions.quotes[req_id] = (request, symbol, quote)
    for request, told in list(session.subscriptions.scans.values()):
        if time.monotonic() - told >= SCAN_AGAIN_SECONDS:
            _scan(session, request)


ANSWERS: dict[type, Callable[[ClientSession, Any], None]] = {
    HistoryRequest: _history,
    ScanRequest: _scan,
    CancelScan: _cancel_scan,
    ScanParameters: _scan_parameters,
    QuoteRequest: _quote,
    CancelQuote: _cancel_quote,
}
