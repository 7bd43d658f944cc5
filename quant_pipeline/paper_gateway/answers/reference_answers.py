"""Answers about what there is: the clock, accounts, order ids, instruments and their price grid.

Nothing here depends on quotes or orders. Called by ``client_session`` through ``ANSWERS``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from quant_pipeline.paper_gateway.exchange.matching import DOLLAR_TICK, SUB_DOLLAR_TICK
from quant_pipeline.paper_gateway.exchange.trading_hours import exchange_day, hours_text
from quant_pipeline.paper_gateway.protocol import replies
from quant_pipeline.paper_gateway.protocol.requests import (
    ContractDetailsRequest,
    CurrentTime,
    ManagedAccounts,
    MarketRule,
    MatchingSymbols,
    NextOrderId,
)

if TYPE_CHECKING:
    from quant_pipeline.paper_gateway.client_session import ClientSession

MAX_MATCHING_SYMBOLS = 16
NO_CONTRACT = "No security definition has been found for the request"


def _current_time(session: ClientSession, _: CurrentTime) -> None:
    session.send(replies.current_time(int(session.gateway.clock.now().timestamp())))


def _managed_accounts(session: ClientSession, _: ManagedAccounts) -> None:
    session.send(replies.managed_accounts(session.gateway.account))


def _next_order_id(session: ClientSession, _: NextOrderId) -> None:
    session.send(replies.next_valid_id(session.gateway.book.next_order_id))


def _contract_details(session: ClientSession, request: ContractDetailsRequest) -> None:
    instrument = session.gateway.securities.find(request.contract)
    if instrument is None:
        session.error(request.req_id, 200, NO_CONTRACT)
        return
    hours = hours_text(exchange_day(session.gateway.clock.now()))
    session.send(replies.contract_details(session.version, request.req_id, instrument, hours, hours))
    session.send(replies.contract_details_end(request.req_id))


def _market_rule(session: ClientSession, request: MarketRule) -> None:
    if request.rule_id != replies.MARKET_RULE_ID:
        text = f"Error validating request.-'bC' : cause - There is no market rule {request.rule_id}"
        session.error(-1, 321, text)
        return
    session.send(replies.market_rule(request.rule_id, [(0.0, SUB_DOLLAR_TICK), (1.0, DOLLAR_TICK)]))


def _matching_symbols(session: ClientSession, request: MatchingSymbols) -> None:
    pattern = request.pattern.strip().casefold()
    instruments = session.gateway.securities.by_symbol.values()
    found = [
        each
        for each in instruments
        if pattern and (each.symbol.casefold().startswith(pattern) or pattern in each.name.casefold())
    ]
    found.sort(key=lambda each: (each.symbol.casefold() != pattern, each.symbol))
    session.send(replies.symbol_samples(session.version, request.req_id, found[:MAX_MATCHING_SYMBOLS]))


ANSWERS: dict[type, Callable[[ClientSession, Any], None]] = {
    CurrentTime: _current_time,
    ManagedAccounts: _managed_accounts,
    NextOrderId: _next_order_id,
    ContractDetailsRequest: _contract_details,
    MarketRule: _market_rule,
    MatchingSymbols: _matching_symbols,
}
