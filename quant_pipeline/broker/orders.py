"""What sends: brackets go out here, and nowhere else in the project.

Whether an order may be sent is decided before (``assets.act`` and the risk manager), and what was intended is written
down by the caller, who is told of each leg before it goes on the wire. This module puts the legs on the wire, transmits
only with the last one, listens, and reports what the broker said. It knows an order by its reference and permanent id;
the order id only serves to match an answer within one connection. A leg the broker says nothing about is reported as
unknown, never as rejected.

Callbacks run in the thread of the caller, one after the other.
"""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from quant_pipeline.broker.account import read_open_orders
from quant_pipeline.broker.brackets import BracketOrder, BrokerEvent, Leg, LegReport
from quant_pipeline.broker.client_library import IB, Contract, Order
from quant_pipeline.broker.leg_states import LegState, OrderLedger
from quant_pipeline.broker.session import BrokerSession, Role
from quant_pipeline.broker.wire import Message
from quant_pipeline.errors import BrokerError, TradingBlockedError

OnSending = Callable[[str, int], None]
OnEvent = Callable[[BrokerEvent], None]

# Events carry the broker's time, which has whole seconds; a reading older than this is taken anew.
CLOCK_SECONDS = 1.0
LISTEN_SECONDS = 0.1
LEGS_PER_BRACKET = 3


@dataclass
class SentBracket:
    """The legs of one bracket that were, or may have been, put on the wire."""

    legs: list[LegState]
    withdrawn: bool = False

    @property
    def entry(self) -> LegState:
        """The parent of the others."""
        return self.legs[0]

    @property
    def transmitted(self) -> bool:
        """Whether the entry may be at the market: the leg that transmits went out, and neither was refused."""
        return len(self.legs) == LEGS_PER_BRACKET and not self.legs[-1].refused and not self.entry.refused

    @property
    def broken(self) -> bool:
        """Whether the broker has refused a leg, so that the bracket can never be whole."""
        return any(leg.refused for leg in self.legs)

    @property
    def settled(self) -> bool:
        """Whether there is nothing left to wait for."""
        if self.withdrawn and not self.entry.filled:
            return all(leg.done for leg in self.legs)
        return all(leg.acknowledged for leg in self.legs)


class OrderDesk:
    """Sends and cancels orders over a session of role ORDERS.

    Raises ``TradingBlockedError`` when the account is not a paper account and live trading is not armed for it.
    """

    def __init__(self, session: BrokerSession) -> None:
        if session.role is not Role.ORDERS:
            raise ValueError(f"orders go over a session of role ORDERS, not {session.role.name}")
        if not session.is_paper and not (session.settings.live and session.settings.account == session.account):
            raise TradingBlockedError(
                f"Account {session.account} is not a paper account; set live = true and account = "
                f'"{session.account}" to trade it.'
            )
        self._session = session
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._ledger = OrderLedger(session.client_id)
        session.wire.listen(self._inbox.put)

    def place_bracket(
        self, bracket: BracketOrder, on_sending: OnSending, on_event: OnEvent, seconds: float | None = None
    ) -> tuple[LegReport, ...]:
        """``place_brackets`` for one."""
        return self.place_brackets([bracket], on_sending, on_event, seconds)

    def place_brackets(
        self,
        brackets: Sequence[BracketOrder],
        on_sending: OnSending,
        on_event: OnEvent,
        seconds: float | None = None,
    ) -> tuple[LegReport, ...]:
        """Send brackets and wait for the broker's word on every leg; three reports a bracket, in order.

        ``on_sending(order_ref, order_id)`` is called before a leg is put on the wire and has to make the intent
        durable. When it raises ``TradingBlockedError`` nothing more is sent; when it raises anything else, the bracket
        at hand is withdrawn and the error goes on. ``on_event`` gets everything the broker says meanwhile. ``seconds``
        (default ``settings.execution.acknowledge_seconds``) is counted from the last leg. A lost connection is no error
        here: legs are reported as unknown where they may have gone out, as not sent where they have not.
        """
        self._read_clock()
        sent: list[SentBracket] = []
        stopped = ""
        for bracket in brackets:
            stopped = stopped or self._send(bracket, sent, on_sending, on_event)
        self._await_settled(sent, on_event, seconds)
        known = {leg.order_ref: leg for bracket in sent for leg in bracket.legs}
        return tuple(
            known[leg.order_ref].report() if leg.order_ref in known else LegReport.not_sent(leg.order_ref, stopped)
            for bracket in brackets
            for leg in bracket.legs()
        )

    def cancel(self, order: str | int, on_event: OnEvent, seconds: float | None = None) -> LegReport:
        """Cancel an open order of this client, by its reference or permanent id, and wait for the broker's word.

        Raises ``BrokerError`` when the broker has no such open order, has several, or another client sent it.
        """
        self._read_clock()
        leg = self._open_leg(order)
        self._cancel([leg])
        until = time.monotonic() + self._allowed(seconds)
        while not (leg.done or leg.cancel_refused) and time.monotonic() < until and self._session.connected:
            self.listen(on_event, LISTEN_SECONDS)
        return leg.report()

    def listen(self, on_event: OnEvent, seconds: float = 0.0) -> None:
        """Deliver what has come in; wait up to ``seconds`` for the first message."""
        with contextlib.suppress(BrokerError):  # a lost connection is told by the reports; the last time will do
            self._read_clock()
        wait = seconds
        while True:
            try:
                message = self._inbox.get(timeout=wait) if wait > 0 else self._inbox.get_nowait()
            except queue.Empty:
                return
            wait = 0.0
            event = self._ledger.note(message)
            if event is not None:
                on_event(event)

    def _send(self, bracket: BracketOrder, sent: list[SentBracket], on_sending: OnSending, on_event: OnEvent) -> str:
        """Send one bracket; returns why sending has to stop, or nothing."""
        if self._session.link_lost:
            return "TWS has lost its link to IB's servers; nothing is sent until it is back."
        out = SentBracket([])
        try:
            order_ids = self._session.request(_order_ids, "order ids")
            for leg, order_id in zip(bracket.legs(), order_ids, strict=True):
                on_sending(leg.order_ref, order_id)
                if not out.legs:
                    sent.append(out)
                out.legs.append(self._ledger.expect(leg.order_ref, order_id))
                self._put_on_wire(bracket, leg, order_id, parent_id=order_ids[0])
            self.listen(on_event)
        except (BrokerError, TradingBlockedError) as error:
            self._withdraw(out)
            return str(error)
        except BaseException:
            self._withdraw(out)
            raise
        return ""

    def _put_on_wire(self, bracket: BracketOrder, leg: Leg, order_id: int, parent_id: int) -> None:
        contract = Contract(
            conId=bracket.con_id, symbol=bracket.symbol, secType="STK", exchange="SMART", currency="USD"
        )
        order = Order(
            orderId=order_id,
            parentId=0 if leg.is_entry else parent_id,
            orderRef=leg.order_ref,
            account=self._session.account,
            action=leg.action,
            totalQuantity=bracket.quantity,
            orderType=leg.order_type,
            tif=leg.time_in_force,
            transmit=leg.is_last,
        )
        if leg.order_type == "LMT":
            order.lmtPrice = leg.price
        else:
            order.auxPrice = leg.price
        # Through the client and not IB.placeOrder: no Trade object is wanted, its state is not to be trusted.
        self._session.send(lambda ib: ib.client.placeOrder(order_id, contract, order), f"order {leg.order_ref}")

    def _await_settled(self, sent: list[SentBracket], on_event: OnEvent, seconds: float | None) -> None:
        until = time.monotonic() + self._allowed(seconds)
        self.listen(on_event)
        while True:
            for bracket in sent:
                if bracket.broken and not bracket.withdrawn:
                    self._withdraw(bracket)
            waiting = any(not bracket.settled for bracket in sent)
            if not waiting or time.monotonic() >= until or not self._session.connected:
                self.listen(on_event)
                return
            self.listen(on_event, LISTEN_SECONDS)

    def _withdraw(self, bracket: SentBracket) -> None:
        """Take back a bracket that cannot be whole, so that no entry works without its stop.

        Once transmitted, only the entry is cancelled: it takes its children along if it has not filled, and keeps its
        stop if it has. Before that, nothing can have filled and every leg is cleared away.
        """
        bracket.withdrawn = True
        legs = [bracket.entry] if bracket.transmitted else bracket.legs
        with contextlib.suppress(BrokerError):  # a lost connection leaves the legs unknown, which is what is reported
            self._cancel([leg for leg in legs if not leg.done])

    def _cancel(self, legs: Iterable[LegState]) -> None:
        for leg in legs:
            order_id = leg.order_id
            self._session.send(lambda ib, it=order_id: ib.client.cancelOrder(it), f"the cancel of {leg.order_ref}")

    def _open_leg(self, order: str | int) -> LegState:
        found = [
            open_.order
            for open_ in read_open_orders(self._session)
            if order in (open_.order.order_ref, open_.order.perm_id)
        ]
        if len(found) != 1:
            count = "several open orders" if found else "no open order"
            raise BrokerError(f"The broker has {count} {order}; reconcile and name one by its permanent id.")
        if found[0].client_id != self._session.client_id:
            raise BrokerError(
                f"Order {order} was sent by client id {found[0].client_id}, and only that client can cancel it; this "
                f"one is {self._session.client_id}."
            )
        return self._ledger.adopt(found[0])

    def _read_clock(self) -> None:
        self._ledger.broker_time = self._session.now(CLOCK_SECONDS)

    def _allowed(self, seconds: float | None) -> float:
        return self._session.settings.execution.acknowledge_seconds if seconds is None else seconds


async def _order_ids(ib: IB) -> list[int]:
    return [ib.client.getReqId() for _ in range(LEGS_PER_BRACKET)]
