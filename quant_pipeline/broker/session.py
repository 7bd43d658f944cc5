"""One connection to TWS or IB Gateway, with plain blocking methods that always end.

ib_insync's synchronous interface fails in worker threads and under running event loops, and Dagster calls us from both.
A ``BrokerSession`` therefore owns an event loop in a thread of its own, runs ib_insync's asynchronous interface there,
and bounds every request in time. Connecting, the address, the account, the broker's clock and the translation of
failures into one sentence belong here; what is asked of the broker belongs to the modules beside this one, which call
``request``.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import datetime as dt
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Self, TypeVar

from quant_pipeline.broker.client_library import IB, Contract, RequestError
from quant_pipeline.broker.error_codes import CLIENT_ID_IN_USE, LINK_LOST, LINK_RESTORED
from quant_pipeline.broker.wire import ErrorMessage, Message, Wire
from quant_pipeline.errors import BrokerError
from quant_pipeline.settings import Settings

PAPER_ACCOUNT_PREFIX = "DU"
# A broker needs a moment to notice that the last session with this client id has gone.
CLIENT_ID_RELEASE_SECONDS = 1.5
CLIENT_ID_RETRY_SECONDS = 0.1
CLOSE_SECONDS = 2.0
# What a thread switch may add to a bound that the loop keeps itself.
HANDOVER_SECONDS = 5.0
ERRORS_KEPT = 1000

T = TypeVar("T")


class Role(Enum):
    """What a connection is for: the offset of its client id, and whether it may send orders."""

    OBSERVE = (0, True)
    ORDERS = (1, False)
    STATUS = (2, True)
    SENSOR = (3, True)
    DOCTOR = (4, True)

    @property
    def client_id_offset(self) -> int:
        """What is added to ``settings.ib_client_id``."""
        return self.value[0]

    @property
    def read_only(self) -> bool:
        """Whether the connection must never send an order."""
        return self.value[1]


@dataclass(frozen=True)
class ClockReading:
    """The machine's (``time.monotonic``) and the broker's time (aware, UTC, whole seconds) at one moment."""

    machine: float
    broker: dt.datetime


def connect(settings: Settings, role: Role, *, address: tuple[str, int] | None = None) -> BrokerSession:
    """A ready connection to the configured broker, or to the embedded paper gateway, which is started if need be.

    Use it as a context manager. ``address`` (host and port) is for callers that looked it up before and want that very
    broker or none. Raises ``BrokerError`` with one sentence when the broker refuses, does not answer in
    ``settings.broker.connect_seconds``, holds the client id already, or does not know ``settings.account``.
    """
    host, port = address or broker_address(settings)
    return BrokerSession(settings, role, host, port)


def broker_address(settings: Settings) -> tuple[str, int]:
    """Host and port of the configured broker, or of the embedded paper gateway, which is started if need be."""
    if settings.ib_host is not None and settings.ib_port is not None:
        return settings.ib_host, settings.ib_port
    # Only the embedded default needs the gateway's package; a real broker does not.
    from quant_pipeline.paper_gateway.embedded import ensure_running

    gateway = ensure_running(settings)
    return gateway.host, gateway.port


class BrokerSession:
    """One connection. Methods block, may be called from any thread, and raise ``BrokerError`` in bounded time."""

    def __init__(self, settings: Settings, role: Role, host: str, port: int) -> None:
        self.settings = settings
        self.role = role
        self.host = host
        self.port = port
        self.client_id = settings.ib_client_id + role.client_id_offset
        self.errors: list[ErrorMessage] = []
        self.open_lines: list[Contract] = []
        self._one_at_a_time = threading.RLock()
        self._link_lost = False
        self._clock: ClockReading | None = None
        self._last_acts: list[Callable[[IB], None]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run_loop, name=f"broker-{role.name.lower()}", daemon=True)
        self._thread.start()
        try:
            self._connect()
            self.accounts = tuple(self._ib.client.getAccounts())
            self.account = self._chosen_account()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"BrokerSession({self.role.name}, {self.address}, client id {self.client_id})"

    @property
    def address(self) -> str:
        """Host and port, as a person writes them."""
        return f"{self.host}:{self.port}"

    @property
    def is_paper(self) -> bool:
        """Whether the account is a paper account, which IB numbers DU..."""
        return self.account.startswith(PAPER_ACCOUNT_PREFIX)

    @property
    def connected(self) -> bool:
        """Whether the connection to TWS or IB Gateway stands."""
        return self._ib.isConnected()

    @property
    def link_lost(self) -> bool:
        """Whether TWS has said that it lost its own link to IB's servers, and not yet that it is back."""
        return self._link_lost

    @property
    def server_version(self) -> int:
        """Version of the protocol agreed on."""
        return self._ib.client.serverVersion()

    def now(self, max_age_seconds: float = 0.0) -> dt.datetime:
        """The broker's time: aware, UTC, whole seconds.

        It is asked for, unless the last answer is younger than the age given. Nothing is ever added to an answer, since
        the broker's clock may run at any speed.
        """
        return self.read_clock(max_age_seconds).broker

    def read_clock(self, max_age_seconds: float = 0.0) -> ClockReading:
        """The broker's time beside the machine's, asked for unless the last reading is younger than the age given."""
        last = self._clock
        if last is not None and time.monotonic() - last.machine < max_age_seconds and self.connected:
            return last
        return self.request(self.clock_reading, "the broker's time")

    async def clock_reading(self, ib: IB) -> ClockReading:
        """Read the clock, in the connection's own thread."""
        now = await ib.reqCurrentTimeAsync()
        self._clock = ClockReading(time.monotonic(), now)
        return self._clock

    def request(self, ask: Callable[[IB], Awaitable[T]], what: str, seconds: float | None = None) -> T:
        """Run one request, or a group of them, on the connection and wait for its result.

        ``ask`` is called in the connection's own thread; ``what`` completes "the request for ...". The bound is
        ``settings.broker.request_seconds`` unless ``seconds`` says otherwise. Raises ``BrokerError`` when the broker
        refuses, does not answer in time, or the connection is lost; never returns less than was asked for.
        """
        allowed = self.settings.broker.request_seconds if seconds is None else seconds
        with self._one_at_a_time:
            if not self._loop.is_running():
                raise self._lost(what)
            pending = asyncio.run_coroutine_threadsafe(self._bounded(ask, what, allowed), self._loop)
            try:
                return pending.result(allowed + HANDOVER_SECONDS)
            except concurrent.futures.TimeoutError:
                pending.cancel()
                raise self._unanswered(what, allowed) from None

    def send(self, act: Callable[[IB], None], what: str) -> None:
        """Put messages on the wire that have no answer of their own, and return when the throttle has let them out."""

        async def sent(ib: IB) -> None:
            act(ib)
            await self.drained()

        self.request(sent, what)

    def before_close(self, act: Callable[[IB], None]) -> None:
        """Let something be said to the broker before the connection ends, such as the end of a subscription."""
        self._last_acts.append(act)

    async def drained(self) -> None:
        """Wait, in the connection's own thread, until the throttle holds nothing back."""
        await self._unthrottled.wait()

    @property
    def wire(self) -> Wire:
        """Where messages about orders can be listened to."""
        return self._wire

    def close(self) -> None:
        """End the connection and its thread. Takes two seconds at most, may be called twice."""
        if not self._thread.is_alive():
            return
        closing = asyncio.run_coroutine_threadsafe(self._disconnect(), self._loop)
        try:
            closing.result(CLOSE_SECONDS)
        except concurrent.futures.TimeoutError:
            closing.cancel()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_SECONDS)

    def _run_loop(self) -> None:
        # ib_insync finds its loop through the thread it runs in.
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            asyncio.set_event_loop(None)
            self._loop.close()

    def _connect(self) -> None:
        release_by = time.monotonic() + CLIENT_ID_RELEASE_SECONDS
        seconds = self.settings.broker.connect_seconds
        while True:
            connecting = asyncio.run_coroutine_threadsafe(self._connect_once(seconds), self._loop)
            try:
                return connecting.result(seconds + HANDOVER_SECONDS)
            except _ClientIdInUseError:
                if time.monotonic() >= release_by:
                    raise BrokerError(
                        f"Client id {self.client_id} is already connected to {self.address}; end the other program "
                        f"that uses it or set another ib_client_id (QUANT_IB_CLIENT_ID)."
                    ) from None
                time.sleep(CLIENT_ID_RETRY_SECONDS)

    async def _connect_once(self, seconds: float) -> None:
        """Shake hands and no more: what ib_insync's own connect asks on top is asked by whoever needs it."""
        self._prepare()
        gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def refused(text: str) -> None:
            if not gone.done():
                gone.set_result(text)

        client = self._ib.client
        client.apiError += refused
        connecting = asyncio.ensure_future(client.connectAsync(self.host, self.port, self.client_id, seconds))
        await asyncio.wait({connecting, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        client.apiError -= refused
        if connecting.done() and not connecting.cancelled() and connecting.exception() is None:
            return
        connecting.cancel()
        (failure,) = await asyncio.gather(connecting, return_exceptions=True)
        raise self._not_connected(failure, gone.result() if gone.done() else "", seconds)

    def _prepare(self) -> None:
        self._ib = ib = IB()
        ib.RaiseRequestErrors = True
        ib.RequestTimeout = self.settings.broker.request_seconds
        # Executions without a time zone are the exchange's: US stocks only are traded here.
        ib.TimezoneTWS = "America/New_York"
        ib.client.MaxRequests = self.settings.broker.messages_per_second
        ib.wrapper.clientId = self.client_id
        self._lost_event = asyncio.Event()
        self._unthrottled = asyncio.Event()
        self._unthrottled.set()
        ib.client.throttleStart += self._unthrottled.clear
        ib.client.throttleEnd += self._unthrottled.set
        ib.client.apiEnd += self._lost_event.set
        self._wire = Wire(ib)
        self._wire.listen(self._note_error)

    def _not_connected(self, failure: object, text: str, seconds: float) -> Exception:
        if any(error.code == CLIENT_ID_IN_USE for error in self.errors):
            self.errors.clear()
            return _ClientIdInUseError()
        if isinstance(failure, ConnectionRefusedError):
            return BrokerError(
                f"Nothing listens at {self.address}; start TWS or IB Gateway with its API enabled, or unset "
                f"QUANT_IB_HOST and QUANT_IB_PORT to use the embedded paper gateway."
            )
        if isinstance(failure, OSError) and not isinstance(failure, TimeoutError | ConnectionError):
            return BrokerError(
                f"{self.address} cannot be reached ({failure.strerror or failure}); check host and port."
            )
        if text and not text.startswith("API connection failed"):
            said = self.errors[-1].text if self.errors else text
            return BrokerError(f"{self.address} ended the connection before it was ready: {said.rstrip('.')}.")
        return BrokerError(
            f"{self.address} did not answer as TWS within {seconds:g} s; check that its API is enabled and accepts "
            f"this machine, and that no dialogue of TWS waits for an answer."
        )

    async def _bounded(self, ask: Callable[[IB], Awaitable[T]], what: str, seconds: float) -> T:
        lost = asyncio.ensure_future(self._lost_event.wait())
        answer = asyncio.ensure_future(_answered(ask, self._ib))
        try:
            await asyncio.wait({answer, lost}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
        except RequestError as error:
            raise BrokerError(
                f"The broker refused the request for {what}: {error.message.strip().rstrip('.')} (code {error.code})."
            ) from error
        except ConnectionError as error:
            raise self._lost(what) from error
        except TimeoutError as error:
            raise self._unanswered(what, seconds) from error
        finally:
            lost.cancel()
            answer.cancel()
            await asyncio.gather(lost, answer, return_exceptions=True)
        raise self._lost(what) if self._lost_event.is_set() else self._unanswered(what, seconds)

    def _lost(self, what: str) -> BrokerError:
        return BrokerError(
            f"The connection to the broker at {self.address} was lost during the request for {what}; check that TWS, "
            f"IB Gateway or the paper gateway runs, then run the slot again."
        )

    def _unanswered(self, what: str, seconds: float) -> BrokerError:
        last = f"; its last word was: {self.errors[-1].text.rstrip('.')}" if self.errors else ""
        return BrokerError(
            f"The broker at {self.address} did not answer the request for {what} within {seconds:g} s{last}."
        )

    def _note_error(self, message: Message) -> None:
        if not isinstance(message, ErrorMessage):
            return
        self.errors.append(message)
        del self.errors[:-ERRORS_KEPT]
        if message.code in LINK_LOST:
            self._link_lost = True
        elif message.code in LINK_RESTORED:
            self._link_lost = False

    def _chosen_account(self) -> str:
        wanted = self.settings.account
        if wanted is None and len(self.accounts) == 1:
            return self.accounts[0]
        if wanted in self.accounts:
            return str(wanted)
        offered = ", ".join(self.accounts)
        if wanted is None:
            raise BrokerError(f"The login has several accounts ({offered}); name one of them (account, QUANT_ACCOUNT).")
        raise BrokerError(
            f"The login at {self.address} has no account {wanted}, it has {offered}; correct the setting."
        )

    async def _disconnect(self) -> None:
        if not hasattr(self, "_ib"):
            return
        connection = self._ib.client.conn
        if connection.transport is not None:
            gone = asyncio.Event()
            connection.disconnected += lambda _text: gone.set()
            for act in self._last_acts:
                act(self._ib)
            self._ib.client.disconnect()
            await asyncio.wait_for(gone.wait(), CLOSE_SECONDS / 2)


class _ClientIdInUseError(Exception):
    """The broker said 326; worth another try for a moment."""


async def _answered(ask: Callable[[IB], Awaitable[T]], ib: IB) -> T:
    return await ask(ib)
