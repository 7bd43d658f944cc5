"""One client's connection: handshake, frames in, answers out, and what the client has subscribed to.

Requests are read by ``requests`` and answered by the ``*_answers`` modules, each of which brings a table from request
to answer. Everything runs on the server's event loop; what is sent while one packet is handled leaves in one write. A
peer that breaks the protocol, stops reading or never introduces itself loses its connection and nothing else happens;
one that asks without end is asked to wait, so that the others have their turn and nothing piles up.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from quant_pipeline.paper_gateway.answers import account_answers, market_answers, order_answers, reference_answers
from quant_pipeline.paper_gateway.answers.live_bars import BarSubscription
from quant_pipeline.paper_gateway.markets.market import Quote
from quant_pipeline.paper_gateway.protocol import replies
from quant_pipeline.paper_gateway.protocol.order_requests import CancelOrder, PlaceOrder
from quant_pipeline.paper_gateway.protocol.replies import Message
from quant_pipeline.paper_gateway.protocol.request_readers import read
from quant_pipeline.paper_gateway.protocol.requests import (
    AccountSummary,
    CompletedOrders,
    GlobalCancel,
    Ignored,
    NextOrderId,
    NotImitated,
    OpenOrders,
    QuoteRequest,
    Request,
    ScanRequest,
    StartApi,
    Subscribe,
)
from quant_pipeline.paper_gateway.protocol.wire import (
    FieldError,
    FrameBuffer,
    WireError,
    encode,
    frame,
    negotiated_version,
)
from quant_pipeline.paper_gateway.protocol.wire_times import handshake_text
from quant_pipeline.paper_gateway.service_limits import Violations

if TYPE_CHECKING:
    from quant_pipeline.paper_gateway.server import PaperGateway

HANDSHAKE_SECONDS = 10.0
TURN_SECONDS = 0.05
"""How long one client's requests are handled before others have their turn."""

LINGER_SECONDS = 5.0
FLUSH_BYTES = 64 * 1024
MAX_UNREAD_BYTES = 16 * 1024 * 1024
"""What may wait for a client that does not read: the longest history there is, and then what it subscribed to."""

MAX_SUBSCRIPTIONS = 10_000
READ_ONLY = "Error validating request.-'bh' : cause - The API interface is currently in Read-Only mode."
ORDER_REQUESTS = (PlaceOrder, CancelOrder, GlobalCancel, OpenOrders, CompletedOrders, NextOrderId)
"""What TWS refuses as long as its API is read-only, the lists of orders among it."""

Answer = Callable[["ClientSession", Any], None]
ANSWERS: dict[type, Answer] = {
    **account_answers.ANSWERS,
    **market_answers.ANSWERS,
    **order_answers.ANSWERS,
    **reference_answers.ANSWERS,
}


@dataclass
class Subscriptions:
    """What a client wants to go on hearing of, by request id where it has one."""

    quotes: dict[int, tuple[QuoteRequest, str, Quote | None]] = field(default_factory=dict)
    scans: dict[int, tuple[ScanRequest, dt.datetime]] = field(default_factory=dict)
    bars: dict[int, BarSubscription] = field(default_factory=dict)
    summaries: dict[int, AccountSummary] = field(default_factory=dict)
    topics: dict[tuple[str, int], Subscribe] = field(default_factory=dict)
    told_pnl: dict[int, Message] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.quotes) + len(self.scans) + len(self.bars) + len(self.summaries) + len(self.topics)


class ClientSession(asyncio.Protocol):
    """The server's side of one connection."""

    def __init__(self, gateway: PaperGateway) -> None:
        self.gateway = gateway
        self.client_id: int | None = None
        self.version = 0
        self.subscriptions = Subscriptions()
        self._frames = FrameBuffer()
        self.unsent_histories = 0
        self._out: list[bytes] = []
        self._unsent_bytes = 0
        self._is_working = False
        self._is_full = False
        self._is_deaf = False
        self._violations = Violations()
        self._transport: asyncio.Transport | None = None
        self._handshake: asyncio.TimerHandle | None = None

    # ---- the connection -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock within which a client must introduce itself."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        loop = asyncio.get_running_loop()
        self._handshake = loop.call_later(HANDSHAKE_SECONDS, self.drop, "it did not introduce itself in time")
        self.gateway.joined(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client; its orders live on."""
        if self._handshake is not None:
            self._handshake.cancel()
        self._transport = None
        self.gateway.left(self)

    def data_received(self, data: bytes) -> None:
        """Handle every request that is complete, or as many as are this client's turn."""
        self._frames.feed(data)
        self._work()

    def pause_writing(self) -> None:
        """Handle nothing more for a client that reads slowly; the answers would only add to what waits."""
        self._is_full = True
        self._listen(False)

    def resume_writing(self) -> None:
        """Go on where the client was left."""
        self._is_full = False
        self._work()

    def _work(self) -> None:
        if self._is_full or self._is_working or self._transport is None or self._transport.is_closing():
            return
        self._is_working = True
        self.gateway.turns_taken += 1
        is_done = False
        try:
            is_done = self._take_turn(time.monotonic() + TURN_SECONDS)
        except WireError as error:
            self.drop(str(error))
        except Exception as error:
            self.drop("an internal error")
            self.gateway.failed(error)
        finally:
            self._is_working = False
        self._flush()
        self._listen(is_done and not self._is_full)
        if not is_done and not self._is_full:
            asyncio.get_running_loop().call_soon(self._work)

    def _take_turn(self, ends: float) -> bool:
        """Handle requests until a time; true when none is left."""
        transport = self._transport
        assert transport is not None
        for text in self._frames.frames():
            if transport.is_closing():
                break
            now = time.monotonic()
            self._handle(text, now)
            if self._unsent_bytes > FLUSH_BYTES:
                self._flush()
            if self._is_full or now > ends:
                return False
        if self.subscriptions.count > MAX_SUBSCRIPTIONS:
            self.drop(f"it subscribed to more than {MAX_SUBSCRIPTIONS} things")
        return True

    def _listen(self, wanted: bool) -> None:
        if wanted is not self._is_deaf or self._transport is None or self._transport.is_closing():
            return
        self._is_deaf = not wanted
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def drop(self, reason: str) -> None:
        """Close the connection after what was already said, with the reason in the log."""
        if self._transport is None or self._transport.is_closing():
            return
        peer = self._transport.get_extra_info("peername")
        text = "closed the connection of client %s at %s: %s"
        self.gateway.complaints.warn(text, self.client_id, peer, reason)
        self._flush()
        self._transport.close()
        # Closing waits until everything was read, which a peer may never do.
        asyncio.get_running_loop().call_later(LINGER_SECONDS, self._transport.abort)

    @property
    def is_ready(self) -> bool:
        """Whether the client has introduced itself and is still there."""
        return self.client_id is not None and self._transport is not None and not self._transport.is_closing()

    @property
    def is_listening(self) -> bool:
        """Whether the client subscribed to something that is told once a second."""
        wanted = self.subscriptions
        return bool(wanted.quotes or wanted.bars or wanted.scans or wanted.topics)

    # ---- talking ------------------------------------------------------------------------------------------------

    def send(self, message: Message) -> None:
        """Say something; it leaves when the packet that caused it has been handled."""
        self._write(encode(message))

    def send_text(self, text: str) -> None:
        """Say something that is already NUL-terminated text."""
        self._write(frame(text))

    def error(self, req_id: int, code: int, text: str) -> None:
        """Answer with an error, a warning or information."""
        self.send(replies.error(self.version, req_id, code, text))

    def _write(self, data: bytes) -> None:
        if not self._out and not self._is_working:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(data)
        self._unsent_bytes += len(data)

    def _flush(self) -> None:
        if self._out and self._transport is not None and not self._transport.is_closing():
            packet = b"".join(self._out)
            if not (self.gateway.faults.is_armed and self.gateway.faults.sends(self, packet, self._put)):
                self._transport.write(packet)
            if self._transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
                text = "client %s does not read what it asked for; its connection is closed"
                self.gateway.complaints.warn(text, self.client_id)
                self._transport.abort()
        self._out.clear()
        self._unsent_bytes = 0
        self.unsent_histories = 0

    def _put(self, data: bytes) -> None:
        """Let a piece of a packet go that a fault held back."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    @contextmanager
    def unheard(self) -> Iterator[None]:
        """Whatever is said inside is never heard."""
        self._flush()
        yield
        self._out.clear()

    # ---- listening ----------------------------------------------------------------------------------------------

    def _handle(self, text: str, now: float) -> None:
        pace = self.gateway.pace
        if pace is not None and self.version and not pace.allows(now):
            self._refuse_pace(pace.per_second, now)
            return
        if not self.version:
            self.version = negotiated_version(text.rstrip("\0"))
            self.send([self.version, handshake_text(self.gateway.clock.now())])
            return
        if not text.endswith("\0"):
            raise WireError("a message does not end with a NUL")
        values = text.split("\0")
        values.pop()
        try:
            request = read(values, self.version)
        except FieldError as error:
            self._not_understood(
                320, f"Server error when reading an API client request: message {values[0][:10]}: {error}"
            )
            return
        if request is None:
            self._not_understood(505, f"Fatal Error: Unknown message id: {values[0][:10]}")
            return
        if not (self.gateway.faults.is_armed and self.gateway.faults.intercepts(self, request)):
            self.answer(request)

    def answer(self, request: Request) -> None:
        """Answer a request that no fault has dealt with."""
        if isinstance(request, StartApi):
            self._start(request)
        elif self.client_id is None:
            self.error(-1, 504, "Not connected: start the API first")
        elif isinstance(request, NotImitated):
            self.error(request.req_id, request.code, f"The paper gateway does not imitate {request.what}")
        elif self.gateway.limits.read_only and isinstance(request, ORDER_REQUESTS):
            self.error(getattr(request, "order_id", -1), 321, READ_ONLY)
        elif not isinstance(request, Ignored):
            ANSWERS[type(request)](self, request)

    def _not_understood(self, code: int, text: str) -> None:
        self.gateway.complaints.warn("client %s was told %d: %s", self.client_id, code, text)
        self.error(-1, code, text)

    def _refuse_pace(self, limit: int, now: float) -> None:
        if self._violations.begins(now):
            text = "Max rate of messages per second has been exceeded:max"
            self.error(-1, 100, f"{text}={limit} rec={limit + 1} ({self._violations.count})")
            if self._violations.are_too_many:
                self.drop(f"it sent more than {limit} messages a second for the third time")

    def _start(self, request: StartApi) -> None:
        if self.client_id is not None:
            self.error(-1, 321, "Error validating request.-'bB' : cause - The API is already started")
            return
        if not self.gateway.admit(self, request.client_id):
            text = "Unable to connect as the client id is already in use. Retry with a unique client id."
            self.error(-1, 326, text)
            self.drop(f"client id {request.client_id} is already in use")
            return
        self.client_id = request.client_id
        if self._handshake is not None:
            self._handshake.cancel()
        self.send(replies.managed_accounts(self.gateway.account))
        self.send(replies.next_valid_id(self.gateway.book.next_order_id))
        for code, farm in (
            (2104, "Market data farm connection is OK:usfarm"),
            (2106, "HMDS data farm connection is OK:ushmds"),
        ):
            self.error(-1, code, farm)
        self.error(-1, 2158, "Sec-def data farm connection is OK:secdefnj")
