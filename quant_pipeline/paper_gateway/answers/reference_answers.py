"""Answers about what there is: the clock, accounts, order ids, instruments and their price grid.

Nothing here depends on quotes or orders. Called by ``client_session`` through ``ANSWERS``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from quant_pipeline.paper_gateway.exchange.price_grid import DOLLAR_TICK, SUB_DOLLAR_TICK
from quant_pipeline.paper_gateway.exchange.trading_hours import exchange_day, hours_text
from quant_pipeline.paper_gateway.protocol import replies
from quant_pipeline.paper_gateway.protocol.requests import (
    ContractDetailsRequest,
    CurrentTime,
    FamilyCodes,
    ManagedAccounts,
    MarketRule,
    MatchingSymbols,
    NextOrderId,
    NothingThere,
    OptionChains,
    SmartComponents,
    UserInfo,
)

if TYPE_CHECKING:
    from quant_pipeline.paper_gateway.client_session import ClientSession
    from quant_pipeline.paper_gateway.markets.market import Instrument
    from quant_pipeline.paper_gateway.protocol.securities import ContractQuery

MAX_MATCHING_SYMBOLS = 16
EXCHANGE_LETTERS = (("AMEX", "A"), ("NYSE", "N"), ("ARCA", "P"), ("NASDAQ", "Q"), ("BATS", "Z"))
"""The exchanges whose stocks are played, by the letters of the consolidated tape."""

NO_CONTRACT = "No security definition has been found for the request"


def known_instrument(session: ClientSession, req_id: int, contract: ContractQuery) -> Instrument | None:
    """The instrument that a request is about; where there is none, the client is told so."""
    instrument = session.gateway.securities.find(contract)
    if instrument is None:
        session.error(req_id, 200, NO_CONTRACT)
    return instrument


def _current_time(session: ClientSession, _: CurrentTime) -> None:
    session.send(replies.current_time(int(session.gateway.clock.now().timestamp())))


def _managed_accounts(session: ClientSession, _: ManagedAccounts) -> None:
    session.send(replies.managed_accounts(session.gateway.account))


def _next_order_id(session: ClientSession, _: NextOrderId) -> None:
    session.send(replies.next_valid_id(session.gateway.book.next_order_id))


def _contract_details(session: ClientSession, request: ContractDetailsRequest) -> None:
    instrument = known_instrument(session, request.req_id, request.contract)
    if instrument is None:
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


def _option_chains(session: ClientSession, request: OptionChains) -> None:
    if request.con_id not in session.gateway.securities.by_con_id:
        session.error(request.req_id, 321, "Error validating request.-'bN' : cause - Invalid contract id")
        return
    session.send(replies.option_chain_end(request.req_id))


def _smart_components(session: ClientSession, request: SmartComponents) -> None:
    if request.bbo_exchange != replies.BBO_EXCHANGE:
        text = f"Error validating request.-'bQ' : cause - There is no best bid and offer {request.bbo_exchange[:20]}"
        session.error(request.req_id, 321, text)
        return
    session.send(replies.smart_components(request.req_id, EXCHANGE_LETTERS))


def _user_info(session: ClientSession, request: UserInfo) -> None:
    session.send(replies.user_info(request.req_id))


def _family_codes(session: ClientSession, _: FamilyCodes) -> None:
    session.send(replies.family_codes(session.gateway.account))


def _nothing_there(session: ClientSession, request: NothingThere) -> None:
    session.send(replies.nothing_there(request.reply, request.req_id))


ANSWERS: dict[type, Callable[[ClientSession, Any], None]] = {
    CurrentTime: _current_time,
    ManagedAccounts: _managed_accounts,
    NextOrderId: _next_order_id,
    ContractDetailsRequest: _contract_details,
    MarketRule: _market_rule,
    MatchingSymbols: _matching_symbols,
    OptionChains: _option_chains,
    SmartComponents: _smart_components,
    UserInfo: _user_info,
    FamilyCodes: _family_codes,
    NothingThere: _nothing_there,
}
