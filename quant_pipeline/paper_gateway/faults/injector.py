"""Makes faults happen: decides whether one strikes, and does to requests, answers and connections what it says.

Called by ``client_session`` for every request and every packet that leaves, and by ``server`` for what is told about
orders and once a round of its matching loop; each asks ``is_armed`` first, so that a gateway without faults pays
nothing. What a fault is belongs to ``fault``, what it does to prices to ``faulty_market``. Whatever is late is late by
the gateway's clock, so that a run under a manual clock is the same every time; only the faults of the wire use the
machine's.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import heapq
import itertools
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from quant_pipeline.paper_gateway.exchange.order_events import Charged, Executed, OrderEvent, OrderReported, Told
from quant_pipeline.paper_gateway.exchange.orders import Execution, Status
from quant_pipeline.paper_gateway.exchange.price_grid import tick_size
from quant_pipeline.paper_gateway.faults.armed import Armed
from quant_pipeline.paper_gateway.faults.fault import Fault, FaultPlan, Moment, Subject, moment_on
from quant_pipeline.paper_gateway.faults.request_strikes import STRIKES, name_of
from quant_pipeline.paper_gateway.protocol.requests import (
    CancelOrder,
    ContractDetailsRequest,
    CurrentTime,
    HistoryRequest,
    PlaceOrder,
    QuoteRequest,
    Request,
    StartApi,
)

if TYPE_CHECKING:
    from quant_pipeline.paper_gateway.client_session import ClientSession
    from quant_pipeline.paper_gateway.server import PaperGateway

PIECE_SECONDS = 0.001
"""Between the pieces of a split frame, so that they do not meet again in one packet."""

LARGEST_DRAWN_PIECE = 64


class FaultInjector:
    """The faults of one gateway."""

    def __init__(self, gateway: PaperGateway, plan: FaultPlan) -> None:
        self._gateway = gateway
        self._seed = plan.seed
        self._armed: list[Armed] = []
        self._due: list[tuple[dt.datetime, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._silence = Outage()
        self._quote_farm = Outage()
        self._history_farm = Outage()
        self._closed_until: dt.datetime | None = None
        self._held: list[OrderEvent] = []
        self._wire_free: dict[ClientSession, float] = {}
        for fault in plan.faults:
            self.add(fault)

    @property
    def is_armed(self) -> bool:
        """Whether there is any fault at all."""
        return bool(self._armed)

    def add(self, fault: Fault) -> Armed:
        """Arm one more fault; what is returned counts its strikes."""
        armed = Armed(fault, random.Random(f"{self._seed}:{len(self._armed)}"))
        self._armed.append(armed)
        return armed

    def armed(self, moment: Moment) -> Iterable[Armed]:
        """The faults of a moment, in the order they were added."""
        return [armed for armed in self._armed if armed.fault.kind.moment is moment]

    # ---- requests -----------------------------------------------------------------------------------------------

    def intercepts(self, session: ClientSession, request: Request) -> bool:
        """Let faults have a request; true when one of them has dealt with it."""
        now = self._gateway.clock.now()
        if self._waits(session, request, now):
            return True
        name = name_of(request)
        subject = self._subject(session, request)
        for armed in self.armed(Moment.REQUEST):
            wanted = armed.fault.message or armed.fault.kind.message
            if wanted in (name, "any") and armed.strikes(now, subject):
                return STRIKES[armed.fault.what](self._gateway, session, request, armed.fault)
        return False

    def _waits(self, session: ClientSession, request: Request, now: dt.datetime) -> bool:
        """Hold a request back that nobody can answer during an outage; it is answered when that is over."""
        if isinstance(request, StartApi | CurrentTime):
            return False
        outages = [self._silence]
        if isinstance(request, QuoteRequest):
            outages.append(self._quote_farm)
        if isinstance(request, HistoryRequest):
            outages.append(self._history_farm)
        for outage in outages:
            if outage.lasts(now):
                outage.waiting.append((session, request))
                return True
        return False

    def _subject(self, session: ClientSession, request: Request) -> Subject:
        client = session.client_id
        match request:
            case StartApi(client_id):
                return Subject(client_id)
            case CancelOrder(order_id) if client is not None:
                order = self._gateway.book.find(client, order_id)
                return Subject(client, order.terms.symbol, order.terms.order_ref) if order else Subject(client)
            case PlaceOrder() | HistoryRequest() | QuoteRequest() | ContractDetailsRequest():
                instrument = self._gateway.securities.find(request.contract)
                symbol = instrument.symbol if instrument else request.contract.symbol
                return Subject(client, symbol, request.order_ref if isinstance(request, PlaceOrder) else "")
            case _:
                return Subject(client)

    # ---- what is told about orders ------------------------------------------------------------------------------

    def told(self, events: Sequence[OrderEvent]) -> list[OrderEvent]:
        """What is told now of what happened; the rest is told later or never."""
        now = self._gateway.clock.now()
        for armed in self.armed(Moment.TELLING):
            events = [later for event in events for later in self._after(armed, event, now)]
        if self._silence.lasts(now):
            self._held += events
            return []
        return list(events)

    def _after(self, armed: Armed, event: OrderEvent, now: dt.datetime) -> list[OrderEvent]:
        """What becomes of one event under one fault."""
        fault = armed.fault
        if isinstance(event, Told) or not isinstance(event, _STRUCK_EVENTS[fault.what]):
            return [event]
        if fault.what == "silent_fill":
            return [] if self._is_silenced(armed, event, now) else [event]
        if not armed.strikes(now, _subject_of(event)):
            return [event]
        match fault.what, event:
            case "duplicates", _:
                return [event] * fault.copies
            case "lost_commission", _:
                return []
            case "late_commission", _:
                self._later(now, fault.seconds, lambda: self._gateway.tell([event]))
                return []
            case "correction", Executed(execution):
                self._later(now, fault.seconds, lambda: self._correct(execution, fault.ticks))
        return [event]

    def _is_silenced(self, armed: Armed, event: OrderEvent, now: dt.datetime) -> bool:
        """Whether an order's fate is told by its executions alone; decided once an order."""
        if not isinstance(event, OrderReported) or event.order.status not in (Status.PRE_SUBMITTED, Status.SUBMITTED):
            return False
        perm_id = event.order.perm_id
        if perm_id not in armed.decided:
            armed.decided[perm_id] = armed.strikes(now, _subject_of(event))
        return armed.decided[perm_id]

    def _correct(self, execution: Execution, ticks: int) -> None:
        price = round(execution.price + ticks * tick_size(execution.price), 4)
        book = self._gateway.book
        with book.transaction():
            corrected = book.correct(execution.exec_id, price)
        self._gateway.tell([Executed(corrected), Charged(corrected)])

    # ---- the clock ----------------------------------------------------------------------------------------------

    def begin(self, now: dt.datetime) -> None:
        """Begin what the clock begins; called before a round of matching, whose news may already be held back."""
        for armed in self.armed(Moment.CLOCK):
            if armed.strikes(now):
                self._strike(armed.fault, now)

    def finish(self, now: dt.datetime) -> None:
        """Do what was put off until now; called after a round of matching."""
        while self._due and self._due[0][0] <= now:
            heapq.heappop(self._due)[2]()

    def _strike(self, fault: Fault, now: dt.datetime) -> None:
        # From when it was due, not from when the loop came round, or a step of the clock would stretch it.
        began = moment_on(fault.after, now) if fault.after is not None and fault.times == 1 else now
        ends = began + dt.timedelta(seconds=fault.seconds)
        if fault.what == "restart":
            self._closed_until = ends
            self._gateway.drop_all("the gateway restarts")
            return
        outage, (down, up) = {
            "connectivity_lost": (self._silence, _CONNECTIVITY[fault.data_lost]),
            "quote_farm_down": (self._quote_farm, _QUOTE_FARM),
            "history_farm_down": (self._history_farm, _HISTORY_FARM),
        }[fault.what]
        outage.until = ends
        self._gateway.tell_all(*down)
        self._later(began, fault.seconds, lambda: self._end(outage, up, forget=up[0] == _DATA_LOST))

    def _end(self, outage: Outage, up: tuple[int, str], *, forget: bool) -> None:
        self._gateway.tell_all(*up)
        if forget:
            self._gateway.forget_subscriptions()
        held, self._held = self._held, []
        self._gateway.tell(held)
        waiting, outage.waiting = outage.waiting, []
        for session, request in waiting:
            if session.is_ready:
                session.answer(request)

    def _later(self, since: dt.datetime, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._due, (since + dt.timedelta(seconds=seconds), next(self._numbers), action))

    def takes_connections(self, now: dt.datetime) -> bool:
        """Whether anybody is let in, which is not so during a restart."""
        return self._closed_until is None or now >= self._closed_until

    def quotes_flow(self, now: dt.datetime) -> bool:
        """Whether subscribers hear of new quotes."""
        return not (self._silence.lasts(now) or self._quote_farm.lasts(now))

    # ---- the wire -----------------------------------------------------------------------------------------------

    def sends(self, session: ClientSession, data: bytes, write: Callable[[bytes], None]) -> bool:
        """Send a packet in pieces or late; false when no fault wants it so."""
        struck = [armed.fault for armed in self.armed(Moment.WIRE) if armed.strikes(
            self._gateway.clock.now(), Subject(session.client_id))]  # fmt: skip
        loop = asyncio.get_running_loop()
        at = max(loop.time(), self._wire_free.get(session, 0.0))
        # Several packets may leave in one turn of the loop, in which no piece that is due goes out.
        if not struck and session not in self._wire_free:
            return False
        pieces = [data]
        for fault in struck:
            if fault.what == "slow":
                at += fault.seconds
            else:
                pieces = list(_pieces(data, fault.bytes, random.Random(f"{self._seed}:{len(data)}")))
        for piece in pieces:
            loop.call_at(at, write, piece)
            at += PIECE_SECONDS
        self._wire_free[session] = at
        loop.call_at(at, self._free_wire, session, at)
        return True

    def _free_wire(self, session: ClientSession, at: float) -> None:
        if self._wire_free.get(session) == at:
            del self._wire_free[session]

    def forget(self, session: ClientSession) -> None:
        """A connection is gone."""
        self._wire_free.pop(session, None)


@dataclass
class Outage:
    """A time in which something does not answer, and who waits for it."""

    until: dt.datetime | None = None
    waiting: list[tuple[ClientSession, Request]] = field(default_factory=list)

    def lasts(self, now: dt.datetime) -> bool:
        """Whether it is not over yet."""
        return self.until is not None and now < self.until


_STRUCK_EVENTS: dict[str, tuple[type, ...]] = {
    "silent_fill": (OrderReported,),
    "duplicates": (OrderReported, Executed),
    "correction": (Executed,),
    "late_commission": (Charged,),
    "lost_commission": (Charged,),
}

_DATA_LOST = 1101
_LOST = (1100, "Connectivity between IB and Trader Workstation has been lost.")
_CONNECTIVITY = {
    False: (_LOST, (1102, "Connectivity between IB and Trader Workstation has been restored - data maintained.")),
    True: (_LOST, (_DATA_LOST, "Connectivity between IB and Trader Workstation has been restored - data lost.")),
}
_QUOTE_FARM = (
    (2103, "Market data farm connection is broken:usfarm"),
    (2104, "Market data farm connection is OK:usfarm"),
)
_HISTORY_FARM = (
    (2105, "HMDS data farm connection is broken:ushmds"),
    (2106, "HMDS data farm connection is OK:ushmds"),
)


def _subject_of(event: OrderEvent) -> Subject:
    match event:
        case OrderReported(order):
            return Subject(order.client_id, order.terms.symbol, order.terms.order_ref)
        case Executed(execution) | Charged(execution):
            return Subject(execution.client_id, execution.symbol, execution.order_ref)
        case Told(client_id):
            return Subject(client_id)


def _pieces(data: bytes, size: int, draws: random.Random) -> Iterable[bytes]:
    position = 0
    while position < len(data):
        length = size or draws.randint(1, LARGEST_DRAWN_PIECE)
        yield data[position : position + length]
        position += length
