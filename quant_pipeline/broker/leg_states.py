"""What one connection has heard about the orders it sent: messages in, states and events out.

Pure bookkeeping without a socket or a thread, so that every order of arrival can be tried in a test. Deciding what to
do about a state belongs to ``orders``; making events durable belongs to the order journal.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from quant_pipeline.broker.account import root_of
from quant_pipeline.broker.brackets import BrokerEvent, LegReport, Outcome
from quant_pipeline.broker.error_codes import Meaning, meaning_for_order
from quant_pipeline.broker.wire import (
    CommissionMessage,
    ErrorMessage,
    ExecutionMessage,
    Message,
    OrderMessage,
    StatusMessage,
)

CANCELLED_STATUSES = frozenset({"Cancelled", "ApiCancelled"})
# The broker has taken the order and it can still fill. Inactive is neither live nor surely dead.
LIVE_STATUSES = frozenset({"ApiPending", "PendingSubmit", "PreSubmitted", "Submitted", "PendingCancel"})
# Said in answer to a cancel of, or a child for, an order that is not there.
NOT_THERE = frozenset({135, 10006, 10147})


@dataclass
class LegState:
    """One order of this connection, as far as the broker has spoken."""

    order_ref: str
    order_id: int
    perm_id: int = 0
    status: str = ""
    filled: float = 0.0
    average_price: float | None = None
    code: int | None = None
    text: str = ""
    refused: bool = False
    cancelled: bool = False
    cancel_refused: bool = False

    @property
    def done(self) -> bool:
        """Whether it can never fill (any more)."""
        return self.outcome in (Outcome.FILLED, Outcome.CANCELLED, Outcome.REJECTED)

    @property
    def acknowledged(self) -> bool:
        """Whether the broker has said that it has the order, or has not."""
        return self.done or (self.perm_id > 0 and bool(self.status))

    @property
    def outcome(self) -> Outcome:
        """What is known: only what the broker said makes an order rejected or cancelled."""
        if self.status == "Filled":
            return Outcome.FILLED
        if self.refused:
            return Outcome.REJECTED
        if self.cancelled or self.status in CANCELLED_STATUSES:
            return Outcome.CANCELLED
        return Outcome.WORKING if self.perm_id > 0 and self.status in LIVE_STATUSES else Outcome.UNKNOWN

    def report(self) -> LegReport:
        """The state as a caller gets it."""
        return LegReport(
            order_ref=self.order_ref,
            outcome=self.outcome,
            order_id=self.order_id,
            perm_id=self.perm_id,
            status=self.status,
            filled=self.filled,
            average_price=self.average_price,
            code=self.code,
            text=self.text,
        )

    def note_error(self, message: ErrorMessage) -> None:
        """Take in a code; one that is not in the table changes nothing but the words."""
        self.code, self.text = message.code, message.text
        meaning = meaning_for_order(message.code)
        if meaning is Meaning.REJECTED or (message.code in NOT_THERE and not self.perm_id):
            self.refused = True
        elif meaning is Meaning.CANCELLED:
            self.cancelled = True
        elif meaning is Meaning.RACE:
            self.cancel_refused = True


class OrderLedger:
    """Turns the messages of one connection into events keyed by reference and permanent id, and into leg states."""

    def __init__(self, client_id: int) -> None:
        self.broker_time = dt.datetime.fromtimestamp(0, dt.UTC)
        self._client_id = client_id
        self._legs: dict[int, LegState] = {}
        self._refs: dict[int, str] = {}
        self._fills: dict[str, tuple[str, int]] = {}

    def expect(self, order_ref: str, order_id: int) -> LegState:
        """A leg is about to go on the wire."""
        leg = LegState(order_ref, order_id)
        self._legs[order_id] = leg
        return leg

    def adopt(self, order: OrderMessage) -> LegState:
        """The state of an open order of this client, which may have been sent by an earlier connection."""
        leg = self._legs.get(order.order_id)
        if leg is None or leg.perm_id not in (0, order.perm_id):
            leg = self.expect(order.order_ref, order.order_id)
        leg.perm_id, leg.status = order.perm_id, order.status
        return leg

    def note(self, message: Message) -> BrokerEvent | None:
        """Take in a message; the event it makes, or None when it concerns no order."""
        if isinstance(message, OrderMessage):
            return self._note_order(message)
        if isinstance(message, StatusMessage):
            return self._note_status(message)
        if isinstance(message, ExecutionMessage):
            return self._note_execution(message)
        if isinstance(message, CommissionMessage):
            return self._note_commission(message)
        return self._note_error(message)

    def _note_order(self, message: OrderMessage) -> BrokerEvent:
        if message.perm_id and message.order_ref:
            self._refs[message.perm_id] = message.order_ref
        leg = self._own(message.client_id, message.order_id) if not message.completed else None
        if leg is not None:
            leg.perm_id = message.perm_id or leg.perm_id
            leg.status = leg.status or message.status
        return BrokerEvent(
            message.order_ref,
            message.perm_id,
            "open_order",
            self.broker_time,
            message.status,
            quantity=message.quantity,
        )

    def _note_status(self, message: StatusMessage) -> BrokerEvent:
        leg = self._own(message.client_id, message.order_id)
        if leg is not None:
            leg.perm_id = message.perm_id or leg.perm_id
            # A status may come late or twice: what is filled stays filled.
            if leg.status != "Filled":
                leg.status = message.status
            if message.filled >= leg.filled and message.filled > 0:
                leg.filled, leg.average_price = message.filled, message.average_price
        return BrokerEvent(
            order_ref=leg.order_ref if leg is not None else self._refs.get(message.perm_id, ""),
            perm_id=message.perm_id,
            kind="status",
            at=self.broker_time,
            status=message.status,
            text=message.why_held,
            filled=message.filled,
            remaining=message.remaining,
            average_price=message.average_price or None,
        )

    def _note_execution(self, message: ExecutionMessage) -> BrokerEvent:
        order_ref = message.order_ref or self._refs.get(message.perm_id, "")
        self._fills[root_of(message.exec_id)] = (order_ref, message.perm_id)
        leg = self._own(message.client_id, message.order_id)
        if leg is not None:
            leg.perm_id = message.perm_id or leg.perm_id
            leg.filled, leg.average_price = max(leg.filled, message.cumulative), message.average_price
        return BrokerEvent(
            order_ref=order_ref,
            perm_id=message.perm_id,
            kind="execution",
            at=message.at,
            filled=message.cumulative,
            average_price=message.average_price,
            exec_id=message.exec_id,
            quantity=message.quantity,
            price=message.price,
        )

    def _note_commission(self, message: CommissionMessage) -> BrokerEvent:
        order_ref, perm_id = self._fills.get(root_of(message.exec_id), ("", 0))
        return BrokerEvent(
            order_ref, perm_id, "commission", self.broker_time, exec_id=message.exec_id, commission=message.commission
        )

    def _note_error(self, message: ErrorMessage) -> BrokerEvent | None:
        leg = self._legs.get(message.request_id)
        if leg is None:
            return None
        leg.note_error(message)
        return BrokerEvent(
            leg.order_ref, leg.perm_id, "error", self.broker_time, leg.status, message.code, message.text
        )

    def _own(self, client_id: int, order_id: int) -> LegState | None:
        return self._legs.get(order_id) if client_id == self._client_id else None
