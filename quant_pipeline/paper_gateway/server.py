"""The paper gateway itself: accepts clients on 127.0.0.1, owns market, clock and book, and keeps time moving.

It routes what happens to orders to the clients they concern and runs the loops: matching, about four times a second,
and telling subscribers what changed, once a second. Under a clock that stands still there are no loops; whoever moves
it calls ``step``, and nothing depends on the machine's time. What is said is decided in the ``*_answers`` modules, what
happens to orders in ``order_desk``. Started by ``serve`` and by tests.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import errno
import logging
import socket
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence

from quant_pipeline.errors import QuantPipelineError, UsageError
from quant_pipeline.paper_gateway.answers import account_answers, history_bars, market_answers, order_answers
from quant_pipeline.paper_gateway.answers.settled_days import SettledDays
from quant_pipeline.paper_gateway.client_session import ClientSession, Subscriptions
from quant_pipeline.paper_gateway.complaints import Complaints
from quant_pipeline.paper_gateway.exchange.account_values import Accountant
from quant_pipeline.paper_gateway.exchange.book import Book
from quant_pipeline.paper_gateway.exchange.liquidity import DEFAULT_SHARE
from quant_pipeline.paper_gateway.exchange.order_desk import OrderDesk
from quant_pipeline.paper_gateway.exchange.order_events import Charged, Executed, OrderEvent, OrderReported, Told
from quant_pipeline.paper_gateway.faults.fault import FaultPlan, Moment
from quant_pipeline.paper_gateway.faults.faulty_market import FaultyMarket
from quant_pipeline.paper_gateway.faults.injector import FaultInjector
from quant_pipeline.paper_gateway.gateway_clock import Clock
from quant_pipeline.paper_gateway.markets.market import Market
from quant_pipeline.paper_gateway.protocol.securities import Securities
from quant_pipeline.paper_gateway.service_limits import MessagePace, ServiceLimits, SmallBarPacing

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
MAX_CONNECTIONS = 500
"""What the process can hold with the limit on clients lifted; a usual one may open 1024 files."""

BACKLOG = 100
MATCHING_SECONDS = 0.25
PUSH_SECONDS = 1.0
ACCOUNT_SECONDS = 180.0
"""How often account values are told again without a fill, as IB does."""

TIME_SAVED_SECONDS = 1.0
QUIET_ROUNDS = 3
"""Turns of the event loop without a packet after which nothing that clients have sent is unread."""

DEFAULT_LIMITS = ServiceLimits()
NO_FAULTS = FaultPlan()


def claimed_port(port: int) -> socket.socket:
    """A listening socket on 127.0.0.1; whoever connects waits until the gateway is ready.

    Raises:
        UsageError: The port is in use or not for this user.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        reason = "is in use" if error.errno == errno.EADDRINUSE else "may not be opened by this user"
        raise UsageError(f"Port {port} on {HOST} {reason}; choose another with --port, or 0 for a free one.") from error
    return listener


class PaperGateway:
    """A TWS stand-in on one port, with one account, one market and one clock."""

    def __init__(
        self,
        market: Market,
        clock: Clock,
        book: Book,
        account: str,
        *,
        limits: ServiceLimits = DEFAULT_LIMITS,
        liquidity: float | None = DEFAULT_SHARE,
        faults: FaultPlan = NO_FAULTS,
    ) -> None:
        self.faults = FaultInjector(self, faults)
        self.market: Market = FaultyMarket(market, lambda: self.faults.armed(Moment.MARKET))
        self.clock = clock
        self.book = book
        self.account = account
        self.securities = Securities(market.instruments)
        self.accountant = Accountant(self.market)
        self.desk = OrderDesk(
            self.market,
            book,
            self.accountant,
            clock.now(),
            liquidity=liquidity,
            orders_per_side=limits.orders_per_contract_and_side,
        )
        self.port = 0
        self.last_busy = time.monotonic()
        self.limits = limits
        self.pace = None if limits.messages_per_second is None else MessagePace(limits.messages_per_second)
        self.bar_pacing = None if limits.small_bar_requests is None else SmallBarPacing(limits.small_bar_requests)
        self.complaints = Complaints(log)
        self.settled_days = SettledDays(self.market, history_bars.day_row)
        self.turns_taken = 0
        self._refreshed_at = clock.now()
        self._connections: set[ClientSession] = set()
        self._sessions: dict[int, ClientSession] = {}
        self._server: asyncio.Server | None = None
        self._loops: list[asyncio.Task[None]] = []
        self._failure: asyncio.Future[None] | None = None

    # ---- running ------------------------------------------------------------------------------------------------

    async def start(self, listener: socket.socket | None = None) -> int:
        """Catch up with the market, accept clients and, if the clock runs, start the loops; return the port.

        Args:
            listener: What ``claimed_port`` gave; None claims a free port.
        """
        loop = asyncio.get_running_loop()
        self._failure = loop.create_future()
        # Orders that rested while no gateway ran are matched against all that has traded since, before anyone asks.
        self.desk.advance(self.clock.now())
        listener = listener or claimed_port(0)
        self.port = int(listener.getsockname()[1])
        self._server = await loop.create_server(lambda: ClientSession(self), sock=listener)
        if self.clock.runs:
            self._loops = [
                asyncio.create_task(self._repeat(MATCHING_SECONDS, self._match)),
                asyncio.create_task(self._repeat(PUSH_SECONDS, self._push)),
                asyncio.create_task(self._repeat(ACCOUNT_SECONDS, self._refresh)),
                asyncio.create_task(self._repeat(TIME_SAVED_SECONDS, self._save_time)),
            ]
        return self.port

    async def settle(self) -> None:
        """Return when all that clients have sent so far is answered, and the answers are on their way.

        What a client wrote to its socket before this is called has arrived: the sockets are of this machine.
        """
        quiet = 0
        while quiet < QUIET_ROUNDS:
            before = self.turns_taken
            await asyncio.sleep(0)
            quiet = quiet + 1 if self.turns_taken == before else 0

    async def wait_failed(self) -> None:
        """Return never, or raise what made the gateway unable to go on: the book cannot be written any more."""
        assert self._failure is not None
        await self._failure

    async def stop(self) -> None:
        """Close every connection and save the time; the book stays open for its owner to close."""
        for task in self._loops:
            task.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        if self._server is not None:
            self._server.close()
        self.drop_all("the gateway ends")
        if self._failure is not None and not self._failure.done():
            self._save_time(durable=True)
        await asyncio.sleep(0)

    async def _repeat(self, seconds: float, work: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                work()
            except Exception as error:
                self.failed(error)

    def failed(self, error: Exception) -> None:
        """Log a bug and go on; end the gateway when the book cannot be trusted to remember."""
        if isinstance(error, sqlite3.Error):
            log.error("the book cannot be written: %s", error)
            if self._failure is not None and not self._failure.done():
                text = f"The paper book {self.book.path} cannot be written ({error}); free some space and start again."
                self._failure.set_exception(QuantPipelineError(text))
        else:
            self.complaints.write(logging.ERROR, "an internal error; nothing of the request was kept", error=error)

    # ---- clients ------------------------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether nobody is connected."""
        return not self._connections

    def joined(self, session: ClientSession) -> None:
        """Count a new connection, or send it away when there are too many."""
        self._connections.add(session)
        self.last_busy = time.monotonic()
        allowed = min(self.limits.connected_clients or MAX_CONNECTIONS, MAX_CONNECTIONS)
        if len(self._connections) > allowed:
            session.drop(f"there are already {allowed} connections")
        elif not self.faults.takes_connections(self.clock.now()):
            session.drop("the gateway restarts")

    def in_use(self, count: Callable[[ClientSession], int]) -> int:
        """What all clients together have open of something."""
        return sum(count(session) for session in self._connections)

    def admit(self, session: ClientSession, client_id: int) -> bool:
        """Give a client its id; false when another connection has it."""
        holder = self._sessions.get(client_id)
        if holder is not None and holder.is_ready:
            return False
        self._sessions[client_id] = session
        return True

    def left(self, session: ClientSession) -> None:
        """Forget a connection."""
        self._connections.discard(session)
        self.faults.forget(session)
        self.last_busy = time.monotonic()
        if session.client_id is not None and self._sessions.get(session.client_id) is session:
            del self._sessions[session.client_id]
            self.desk.forget_staged(session.client_id)

    def publish(self, events: Sequence[OrderEvent]) -> None:
        """Tell what happened to orders, as far as no fault has other plans."""
        self.tell(self.faults.told(events) if self.faults.is_armed else events)

    def tell(self, events: Sequence[OrderEvent]) -> None:
        """Tell each client what happened to its orders, and everyone who asked what fills changed."""
        for event in events:
            session = self._sessions.get(_client_of(event))
            if session is not None and session.is_ready:
                order_answers.tell(session, event)
        filled = {event.execution.symbol: None for event in events if isinstance(event, Executed)}
        if filled:
            for session in self._ready():
                account_answers.after_fills(session, filled)

    def tell_all(self, code: int, text: str) -> None:
        """Tell every client about the state of the service."""
        for session in self._ready():
            session.error(-1, code, text)

    def forget_subscriptions(self) -> None:
        """Stop telling anybody anything that was not asked for anew."""
        for session in self._ready():
            session.subscriptions = Subscriptions()

    def drop_all(self, reason: str) -> None:
        """Close every connection."""
        for session in list(self._connections):
            session.drop(reason)

    def _ready(self) -> Iterable[ClientSession]:
        return [session for session in self._sessions.values() if session.is_ready]

    # ---- time ---------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Do once what the loops do, up to the clock's time; called after a clock that stands still was moved."""
        now = self.clock.now()
        self.faults.begin(now)
        self.publish(self.desk.advance(now))
        self._push()
        if now - self._refreshed_at >= dt.timedelta(seconds=ACCOUNT_SECONDS):
            self._refreshed_at = now
            self._refresh()
        self.faults.finish(now)
        self._save_time()

    def _match(self) -> None:
        """Match resting orders up to the clock's time and tell what happened."""
        now = self.clock.now()
        self.faults.begin(now)
        self.publish(self.desk.advance(now))
        self.faults.finish(now)

    def _push(self) -> None:
        sessions = [session for session in self._ready() if session.is_listening]
        if sessions and self.faults.quotes_flow(self.clock.now()):
            quotes = self.accountant.quotes(self.clock.now())
            for session in sessions:
                market_answers.push(session, quotes)
                account_answers.push_pnl(session)

    def _refresh(self) -> None:
        for session in self._ready():
            account_answers.refresh(session)

    def _save_time(self, *, durable: bool = False) -> None:
        # Not the clock's time: what traded since the last match must not be lost with the process.
        self.book.save_time(self.desk.matched_until, durable=durable)


def _client_of(event: OrderEvent) -> int:
    match event:
        case OrderReported(order):
            return order.client_id
        case Executed(execution) | Charged(execution):
            return execution.client_id
        case Told(client_id):
            return client_id
