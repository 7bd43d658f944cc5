"""Whether a client may have one more scan, quote or history: the service's limits as they meet market data.

Counts what all clients have open and answers with IB's error where it is enough. The numbers are ``service_limits``'.
Called by ``market_answers`` before it answers.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from quant_pipeline.paper_gateway.answers.history_bars import BID_ASK, SECOND_BARS
from quant_pipeline.paper_gateway.answers.live_bars import FiveSecondBars, KeptBars
from quant_pipeline.paper_gateway.protocol.requests import HistoryRequest

if TYPE_CHECKING:
    from quant_pipeline.paper_gateway.client_session import ClientSession

NO_MORE_LINES = "Max number of tickers has been reached"
PACING_VIOLATION = "Historical Market Data Service error message:Historical data request pacing violation"


def has_no_line(session: ClientSession, req_id: int) -> bool:
    """Refuse a quote or five-second bars when all market-data lines are taken; true when it was refused."""
    limit = session.gateway.limits.market_data_lines
    if limit is None or session.gateway.in_use(_lines) < limit:
        return False
    session.error(req_id, 101, NO_MORE_LINES)
    return True


def has_no_scan(session: ClientSession, req_id: int) -> bool:
    """Refuse a scan when there are enough; one that is told again under its id is no other."""
    limit = session.gateway.limits.active_scans
    if limit is None or req_id in session.subscriptions.scans or session.gateway.in_use(_scans) < limit:
        return False
    _refuse(session, req_id, f"Only {limit} simultaneous API scanner subscriptions are allowed.")
    return True


def has_no_history(session: ClientSession, request: HistoryRequest) -> bool:
    """Refuse bars when too many requests are open, or when small bars are asked for too fast."""
    gateway = session.gateway
    limit = gateway.limits.open_history_requests
    if limit is not None and gateway.in_use(_histories) >= limit:
        _refuse(session, request.req_id, f"Only {limit} simultaneous API historical data requests allowed.")
        return True
    if gateway.bar_pacing is None or request.bar_size not in SECOND_BARS:
        return False
    contract = f"{request.contract} {request.what}"
    asked = f"{contract} {request.end} {request.duration} {request.bar_size} {request.regular_hours}"
    weight = 2 if request.what == BID_ASK else 1
    if not gateway.bar_pacing.refuses(contract, asked, weight, time.monotonic()):
        return False
    session.error(request.req_id, 162, PACING_VIOLATION)
    return True


def _refuse(session: ClientSession, req_id: int, cause: str) -> None:
    session.error(req_id, 322, f"Error processing request.-'bZ' : cause - {cause}")


def _lines(session: ClientSession) -> int:
    open_now = session.subscriptions
    return len(open_now.quotes) + sum(isinstance(bars, FiveSecondBars) for bars in open_now.bars.values())


def _scans(session: ClientSession) -> int:
    return len(session.subscriptions.scans)


def _histories(session: ClientSession) -> int:
    """Requests whose answer has not left yet, and those that are kept up to date."""
    kept = sum(isinstance(bars, KeptBars) for bars in session.subscriptions.bars.values())
    return session.unsent_histories + kept
