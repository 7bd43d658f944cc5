"""Answers about the account: positions, values, summaries, profit and loss, and telling them again when they change.

The arithmetic is ``account_values``'. Called by ``client_session`` through ``ANSWERS`` and by ``server`` after fills
and once a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from quant_pipeline.paper_gateway.exchange.account_values import LEDGER, WITHOUT_CURRENCY, AccountState
from quant_pipeline.paper_gateway.protocol import replies
from quant_pipeline.paper_gateway.protocol.requests import AccountSummary, PositionsMulti, Subscribe
from quant_pipeline.paper_gateway.protocol.securities import CURRENCY

if TYPE_CHECKING:
    from quant_pipeline.paper_gateway.client_session import ClientSession

POSITIONS, ACCOUNT, ACCOUNT_MULTI, PNL, PNL_SINGLE = "positions", "account", "account multi", "pnl", "pnl single"


def _subscribe(session: ClientSession, request: Subscribe) -> None:
    topics = session.subscriptions.topics
    key = (request.topic, request.req_id)
    if not request.on:
        topics.pop(key, None)
        session.subscriptions.told_pnl.pop(request.req_id, None)
        return
    topics[key] = request
    if request.topic == POSITIONS:
        tell_positions(session, session.gateway.book.portfolio.held)
        session.send(replies.position_end())
        return
    _tell(session, request, _state(session))


def _account_summary(session: ClientSession, request: AccountSummary) -> None:
    if not request.tags:
        session.subscriptions.summaries.pop(request.req_id, None)
        return
    session.subscriptions.summaries[request.req_id] = request
    _tell_summary(session, request, _state(session))


def _positions_multi(session: ClientSession, request: PositionsMulti) -> None:
    gateway = session.gateway
    for symbol, position in gateway.book.portfolio.held.items():
        instrument = gateway.securities.by_symbol[symbol]
        quantity, cost = position.quantity, position.average_cost
        session.send(replies.position_multi(request.req_id, gateway.account, instrument, quantity, cost))
    session.send(replies.position_multi_end(request.req_id))


def _state(session: ClientSession) -> AccountState:
    gateway = session.gateway
    return gateway.accountant.state(gateway.book, gateway.clock.now())


def _tell(session: ClientSession, request: Subscribe, state: AccountState) -> None:
    if request.topic == ACCOUNT:
        _tell_account(session, state)
    elif request.topic == ACCOUNT_MULTI:
        for tag, value, currency in _values(state):
            account = session.gateway.account
            session.send(replies.account_update_multi(request.req_id, account, tag, value, currency))
        session.send(replies.account_update_multi_end(request.req_id))
    elif request.topic in (PNL, PNL_SINGLE):
        _tell_pnl(session, request, state)


def _values(state: AccountState) -> Iterable[tuple[str, str, str]]:
    for tag, value in state.words().items():
        yield tag, value, "" if tag in WITHOUT_CURRENCY else CURRENCY


def _tell_account(session: ClientSession, state: AccountState) -> None:
    gateway = session.gateway
    for tag, value, currency in _values(state):
        session.send(replies.account_value(tag, value, currency, gateway.account))
    for holding in state.holdings.values():
        instrument = gateway.securities.by_symbol[holding.symbol]
        session.send(
            replies.portfolio_value(
                instrument,
                holding.quantity,
                holding.price,
                holding.average_cost,
                holding.unrealized_pnl,
                holding.realized_pnl,
                gateway.account,
            )
        )
    session.send(replies.account_time(f"{gateway.clock.now():%H:%M}"))
    session.send(replies.account_download_end(gateway.account))


def _tell_summary(session: ClientSession, request: AccountSummary, state: AccountState) -> None:
    words = state.words()
    account = session.gateway.account
    for tag in sorted(request.tags):  # as a real server was recorded doing, whatever order they were asked in
        if tag in words:
            currency = "" if tag in WITHOUT_CURRENCY else CURRENCY
            session.send(replies.account_summary(request.req_id, account, tag, words[tag], currency))
        elif tag.startswith("$LEDGER"):
            for name in LEDGER:
                session.send(replies.account_summary(request.req_id, account, name, words[name], CURRENCY))
    session.send(replies.account_summary_end(request.req_id))


def _tell_pnl(session: ClientSession, request: Subscribe, state: AccountState) -> None:
    if request.topic == PNL:
        message = replies.pnl(request.req_id, state.daily_pnl, state.unrealized_pnl, state.realized_pnl)
    else:
        instrument = session.gateway.securities.by_con_id.get(request.con_id)
        holding = state.holdings.get(instrument.symbol) if instrument else None
        if holding is None:
            message = replies.pnl_single(request.req_id, 0, 0.0, None, 0.0, 0.0)
        else:
            message = replies.pnl_single(
                request.req_id,
                holding.quantity,
                holding.daily_pnl,
                holding.unrealized_pnl,
                holding.realized_pnl,
                holding.value,
            )
    if session.subscriptions.told_pnl.get(request.req_id) != message:
        session.subscriptions.told_pnl[request.req_id] = message
        session.send(message)


def tell_positions(session: ClientSession, symbols: Iterable[str]) -> None:
    """Tell a client the positions in some symbols, closed ones as quantity 0."""
    gateway = session.gateway
    for symbol in symbols:
        position = gateway.book.portfolio.positions[symbol]
        instrument = gateway.securities.by_symbol[symbol]
        session.send(replies.position(gateway.account, instrument, position.quantity, position.average_cost))


def after_fills(session: ClientSession, symbols: Iterable[str]) -> None:
    """Tell a client what fills in some symbols changed, as far as it subscribed to it."""
    topics = session.subscriptions.topics
    if (POSITIONS, 0) in topics:
        tell_positions(session, symbols)
    refresh(session)


def refresh(session: ClientSession) -> None:
    """Tell a client its account values again."""
    wanted = [request for request in session.subscriptions.topics.values() if request.topic != POSITIONS]
    if not wanted and not session.subscriptions.summaries:
        return
    state = _state(session)
    for request in wanted:
        _tell(session, request, state)
    for summary in session.subscriptions.summaries.values():
        _tell_summary(session, summary, state)


def push_pnl(session: ClientSession) -> None:
    """Tell a client its profit and loss if it moved."""
    wanted = [each for each in session.subscriptions.topics.values() if each.topic in (PNL, PNL_SINGLE)]
    if wanted:
        state = _state(session)
        for request in wanted:
            _tell_pnl(session, request, state)


ANSWERS: dict[type, Callable[[ClientSession, Any], None]] = {
    Subscribe: _subscribe,
    AccountSummary: _account_summary,
    PositionsMulti: _positions_multi,
}
