"""One client's connection: handshake, frames in, answers out, and what the client has subscribed to.

Requests are read by ``requests`` and answered by the ``*_answers`` modules, each of which brings a table from request
to answer. Everything runs on the server's event loop; what is sent while one packet is handled leaves in one write. A
peer that breaks the protocol, stops reading or never introduces itself loses its connection and nothing else happens.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from quant_pipeline.paper_gateway.answers import account_answers, market_answers, order_answers, reference_answers
from quant_pipeline.paper_gateway.markets.market import Quote
from quant_pipeline.paper_gateway.protocol import replies
from quant_pipeline.paper_gateway.protocol.replies import Message
from quant_pipeline.paper_gateway.protocol.request_readers import read
from quant_pipeline.paper_gateway.protocol.requests import (
    AccountSummary,
    Ignored,
    NotImitated,
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

if TYPE_CHECKING:
    from quant_pipeline.paper_gateway.server import PaperGateway

log = logging.getLogger(__name__)

HANDSHAKE_SECONDS = 10.0
MAX_UNREAD_BYTES = 64 * 1024 * 1024
"""What may wait for a client that does not read; a year of bars for 500 symbols is about 10 MB."""

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
    scans: dict[int, tuple[ScanRequest, float]] = field(default_factory=dict)
    summaries: dict[int, AccountSummary] = field(default_factory=dict)
    topics: dict[tuple[str, int], Subscribe] = field(default_factory=dict)
    told_pnl: dict[int, Message] = field(default_factory=dict)


class ClientSession(asyncio.Protocol):
    """The server's side of one connection."""

    def __init__(self, gateway: PaperGateway) -> None:
        self.gateway = gateway
        self.client_id: int | None = None
        self.version = 0
        self.subscriptions = Subscriptions()
        self._frames = FrameBuffer()
        self._out: list[bytes] = []
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
        """Handle every request that is complete."""
        try:
            for text in self._frames.feed(data):
                if self._transport is None or self._transport.is_closing():
                    return
                self._handle(text)
        except WireError as error:
            self.drop(str(error))
        except Exception as error:
            self.drop("an internal error")
            self.gateway.failed(error)

    def pause_writing(self) -> None:
        """Ask a client that reads slowly for nothing more; its requests would only add to what waits."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on reading."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def drop(self, reason: str) -> None:
        """Close the connection after what was already said, with the reason in the log."""
        if self._transport is None or self._transport.is_closing():
            return
        peer = self._transport.get_extra_info("peername")
        log.warning("closed the connection of client %s at %s: %s", self.client_id, peer, reason)
        self._flush()
        self._transport.close()

    @property
    def is_ready(self) -> bool:
        """Whether the client has introduced itself and is still there."""
        return self.client_id is not None and self._transport is not None and not self._transport.is_closing()

    @property
    def is_listening(self) -> bool:
        """Whether the client subscribed to something that is told once a second."""
        return bool(self.subscriptions.quotes or self.subscriptions.scans or self.subscriptions.topics)

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
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(data)

    def _flush(self) -> None:
        if self._out and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._out))
            if self._transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
                log.warning("client %s does not read what it asked for; its connection is closed", self.client_id)
                self._transport.abort()
        self._out.clear()

    # ---- listening ----------------------------------------------------------------------------------------------

    def _handle(self, text: str) -> None:
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
            self.error(-1, 320, f"Server error when reading an API client request: message {values[0][:10]}: {error}")
            return
        if request is None:
            self.error(-1, 505, f"Fatal Error: Unknown message id: {values[0][:10]}")
            return
        self._answer(request)

    def _answer(self, request: Request) -> None:
        if isinstance(request, StartApi):
            self._start(request)
        elif self.client_id is None:
            self.error(-1, 504, "Not connected: start the API first")
        elif isinstance(request, NotImitated):
            text = f"Error validating request.-'bA' : cause - The paper gateway does not imitate {request.what}"
            self.error(request.req_id, 321, text)
        elif not isinstance(request, Ignored):
            ANSWERS[type(request)](self, request)

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
