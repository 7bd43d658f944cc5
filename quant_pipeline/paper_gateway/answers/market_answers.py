"""Answers about the market: bars, scans and quotes, and the repeated telling of what is subscribed to.

Reads the market at the gateway's time and nothing later. Called by ``client_session`` through ``ANSWERS`` and by
``server`` once a second through ``push``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from quant_pipeline.errors import SlotError
from quant_pipeline.paper_gateway.answers import history_bars
from quant_pipeline.paper_gateway.answers.history_bars import (
    ASK,
    BID,
    DAY_BAR,
    IMITATED,
    MIDPOINT,
    MINUTE_BARS,
    SECOND_BARS,
    TRADES,
    HistoryError,
)
from quant_pipeline.paper_gateway.answers.live_bars import KeptBars, five_second_bars
from quant_pipeline.paper_gateway.answers.market_limits import has_no_history, has_no_line, has_no_scan
from quant_pipeline.paper_gateway.answers.reference_answers import known_instrument
from quant_pipeline.paper_gateway.answers.scans import ScanError, parameters_xml, scan
from quant_pipeline.paper_gateway.markets.market import Quote
from quant_pipeline.paper_gateway.protocol import replies
from quant_pipeline.paper_gateway.protocol.requests import (
    CancelBars,
    CancelQuote,
    CancelScan,
    HeadTimeStamp,
    HistoryRequest,
    LiveBarsRequest,
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
LIVE_BARS = (TRADES, MIDPOINT, BID, ASK)
SCHEDULE = "SCHEDULE"
SCAN_AGAIN = dt.timedelta(seconds=30)
HISTORY_REFUSED = "Historical Market Data Service error message:"


def _history(session: ClientSession, request: HistoryRequest) -> None:
    instrument = known_instrument(session, request.req_id, request.contract)
    if instrument is None:
        return
    if has_no_history(session, request):
        return
    now = session.gateway.clock.now()
    try:
        if request.what == SCHEDULE:
            _tell_schedule(session, request, now)
            return
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
    if request.keep_up_to_date:
        session.subscriptions.bars[request.req_id] = KeptBars(request, instrument.symbol, now)
    else:
        session.unsent_histories += 1


def _tell_schedule(session: ClientSession, request: HistoryRequest, now: dt.datetime) -> None:
    if session.version < replies.SCHEDULE_SINCE or request.bar_size != DAY_BAR:
        text = f"A schedule is given with {DAY_BAR} bars to clients of version {replies.SCHEDULE_SINCE} on"
        raise HistoryError(f"Error validating request.-'bD' : cause - {text}")
    sessions = history_bars.schedule(_end(request, now), history_bars.duration(request.duration))
    session.send(replies.historical_schedule(request.req_id, sessions))


def _end(request: HistoryRequest, now: dt.datetime) -> dt.datetime:
    try:
        return min(parse_time(request.end), now) if request.end else now
    except FieldError as error:
        raise HistoryError(f"End Date/Time: {error}", code=10314) from error


def _bars(
    session: ClientSession, request: HistoryRequest, symbol: str, now: dt.datetime
) -> tuple[dt.datetime, dt.datetime, int, str]:
    if request.keep_up_to_date and request.end:
        raise HistoryError("Error validating request.-'bD' : cause - Bars that are kept up to date have no end")
    if request.keep_up_to_date and request.bar_size in SECOND_BARS:
        text = "The paper gateway keeps bars of seconds up to date as real-time bars only"
        raise HistoryError(f"Error validating request.-'bD' : cause - {text}")
    if request.what not in IMITATED:
        raise HistoryError(
            f"Error validating request.-'bD' : cause - The paper gateway has no {request.what[:40]} bars"
        )
    length = history_bars.duration(request.duration)
    end = _end(request, now)
    market = session.gateway.market
    if request.bar_size == DAY_BAR:
        count, rows = history_bars.daily(market, session.gateway.settled_days, symbol, end, length, request.what)
    elif request.bar_size in MINUTE_BARS:
        minutes = MINUTE_BARS[request.bar_size]
        count, rows = history_bars.by_minutes(market, symbol, end, length, minutes, request.what, request.date_format)
    elif request.bar_size in SECOND_BARS:
        seconds = SECOND_BARS[request.bar_size]
        count, rows = history_bars.by_seconds(market, symbol, end, length, seconds, request.what, request.date_format)
    else:
        sizes = ", ".join([*SECOND_BARS, *MINUTE_BARS, DAY_BAR])
        text = f"Historical data bar size setting is invalid. Legal ones are: {sizes}"
        raise HistoryError(f"Error validating request.-'bD' : cause - {text}")
    return end, length.since(end), count, rows


def _head_time_stamp(session: ClientSession, request: HeadTimeStamp) -> None:
    gateway = session.gateway
    instrument = known_instrument(session, request.req_id, request.contract)
    if instrument is None:
        return
    now = gateway.clock.now()
    text = history_bars.head_time_stamp(gateway.market, instrument.symbol, now, request.date_format)
    if text is None:
        session.error(request.req_id, 162, f"{HISTORY_REFUSED}No head time stamp")
        return
    session.send(replies.head_time_stamp(request.req_id, text))


def _live_bars(session: ClientSession, request: LiveBarsRequest) -> None:
    gateway = session.gateway
    instrument = known_instrument(session, request.req_id, request.contract)
    if instrument is None:
        return
    if request.what not in LIVE_BARS:
        text = f"The paper gateway has no {request.what[:40]} real-time bars; there are {', '.join(LIVE_BARS)}"
        session.error(request.req_id, 321, f"Error validating request.-'bD' : cause - {text}")
        return
    if has_no_line(session, request.req_id):
        return
    session.subscriptions.bars[request.req_id] = five_second_bars(request, instrument.symbol, gateway.clock.now())


def _cancel_bars(session: ClientSession, request: CancelBars) -> None:
    """Forget a subscription; cancelling a history that was answered at once is no error."""
    session.subscriptions.bars.pop(request.req_id, None)


def _scan(session: ClientSession, request: ScanRequest) -> None:
    gateway = session.gateway
    if has_no_scan(session, request.req_id):
        return
    try:
        quotes = gateway.accountant.quotes(gateway.clock.now())
        found = scan(request, gateway.market.instruments, quotes, gateway.limits.rows_per_scan)
    except ScanError as error:
        session.subscriptions.scans.pop(request.req_id, None)
        session.error(request.req_id, 162, f"{HISTORY_REFUSED}{error}")
        return
    session.subscriptions.scans[request.req_id] = (request, gateway.clock.now())
    session.send(replies.scanner_data(request.req_id, found))


def _cancel_scan(session: ClientSession, request: CancelScan) -> None:
    session.subscriptions.scans.pop(request.req_id, None)


def _scan_parameters(session: ClientSession, _: ScanParameters) -> None:
    session.send(replies.scanner_parameters(parameters_xml()))


def _quote(session: ClientSession, request: QuoteRequest) -> None:
    gateway = session.gateway
    instrument = known_instrument(session, request.req_id, request.contract)
    if instrument is None:
        return
    if request.snapshot and request.generic_ticks:
        text = "Snapshot market data subscription is not applicable to generic ticks"
        session.error(request.req_id, 321, f"Error validating request.-'bW' : cause - {text}")
        return
    if has_no_line(session, request.req_id):
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
    """Tell a client what has changed in its quotes and bars, and its scans again when they are due."""
    for req_id, (request, symbol, before) in list(session.subscriptions.quotes.items()):
        quote = quotes.get(symbol)
        if quote is None or quote == before:
            continue
        for message in ticks(req_id, quote, request.generic_ticks, before):
            session.send(message)
        session.subscriptions.quotes[req_id] = (request, symbol, quote)
    gateway = session.gateway
    for bars in session.subscriptions.bars.values():
        for message in bars.due(gateway.market, gateway.clock.now()):
            session.send(message)
    for request, told in list(session.subscriptions.scans.values()):
        if gateway.clock.now() - told >= SCAN_AGAIN:
            _scan(session, request)


ANSWERS: dict[type, Callable[[ClientSession, Any], None]] = {
    HistoryRequest: _history,
    HeadTimeStamp: _head_time_stamp,
    LiveBarsRequest: _live_bars,
    CancelBars: _cancel_bars,
    ScanRequest: _scan,
    CancelScan: _cancel_scan,
    ScanParameters: _scan_parameters,
    QuoteRequest: _quote,
    CancelQuote: _cancel_quote,
}
