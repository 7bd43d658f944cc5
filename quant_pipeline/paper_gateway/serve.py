"""Running a paper gateway as a process: start, say so, leave a note for others to find it, end cleanly.

``serve`` is what the command line calls, and ``python -m quant_pipeline.paper_gateway``. Finding and starting gateways
from other processes is ``embedded``'s business.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import os
import signal
import socket
import sys
import time
from dataclasses import asdict
from pathlib import Path

from quant_pipeline.errors import UsageError
from quant_pipeline.paper_gateway.exchange.book import Book
from quant_pipeline.paper_gateway.gateway_clock import GatewayClock
from quant_pipeline.paper_gateway.gateway_note import GatewayNote, fingerprint
from quant_pipeline.paper_gateway.options import GatewayOptions, account_of, book_path, build_market
from quant_pipeline.paper_gateway.server import HOST, PaperGateway, claimed_port

log = logging.getLogger(__name__)

IDLE_CHECK_SECONDS = 1.0


def serve(options: GatewayOptions) -> None:
    """Run a gateway until it is told to end by SIGINT or SIGTERM, or has been idle for too long.

    Prints ``listening on 127.0.0.1:PORT`` once it accepts connections.

    Raises:
        UsageError: The port is in use, the bars cannot be read, or another gateway has the book.
        QuantPipelineError: The book cannot be opened, or cannot be written any more.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    home = options.home.expanduser().absolute()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"The home {home} cannot be made ({error.strerror}); choose another with --home.") from error
    with claimed_port(options.port) as listener:
        market = build_market(options)
        account = account_of(market.identity)
        with contextlib.closing(Book(book_path(home, account), identity=market.identity, cash=options.cash)) as book:
            clock = GatewayClock.starting(options.at, options.speed, book.last_time)
            gateway = PaperGateway(market, clock, book, account)
            asyncio.run(_serve(gateway, listener, options, home))


async def _serve(gateway: PaperGateway, listener: socket.socket, options: GatewayOptions, home: Path) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signal_number, ended.set)
    port = await gateway.start(listener)
    note = _note(gateway, options, port)
    note.write(home)
    try:
        print(f"listening on {HOST}:{port}", flush=True)  # noqa: T201 - the line other programs wait for
        log.info("%s, account %s, exchange time %s", gateway.market.name, gateway.account, gateway.clock.now())
        await _until_ended(gateway, ended, options.idle_minutes)
    finally:
        note.remove(home)
        await gateway.stop()


def _note(gateway: PaperGateway, options: GatewayOptions, port: int) -> GatewayNote:
    plain = {
        name: str(value) if isinstance(value, Path | dt.datetime) else value for name, value in asdict(options).items()
    }
    return GatewayNote(
        pid=os.getpid(),
        port=port,
        account=gateway.account,
        market_name=gateway.market.name,
        market_identity=gateway.market.identity,
        options=plain,
        fingerprint=fingerprint(options.bars, options.minute_bars),
        started=dt.datetime.now(dt.UTC).isoformat(),
        clock_started=gateway.clock.now().isoformat(),
        speed=options.speed,
    )


async def _until_ended(gateway: PaperGateway, ended: asyncio.Event, idle_minutes: float | None) -> None:
    waiting = asyncio.create_task(ended.wait())
    failing = asyncio.create_task(gateway.wait_failed())
    try:
        while True:
            done, _ = await asyncio.wait(
                {waiting, failing}, timeout=IDLE_CHECK_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if failing in done:
                failing.result()
            if waiting in done:
                log.info("told to end")
                return
            idle = time.monotonic() - gateway.last_busy
            if idle_minutes is not None and gateway.is_idle and idle >= idle_minutes * 60:
                log.info("nobody was connected for %g minutes", idle_minutes)
                return
    finally:
        for task in (waiting, failing):
            task.cancel()
        await asyncio.gather(waiting, failing, return_exceptions=True)
