"""Running a paper gateway as a process: start, say so, leave a note for others to find it, end cleanly.

``serve`` is what the command line calls. A clock that stands still is moved by lines on standard input, which ``steps``
reads. Finding and starting gateways
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
from collections.abc import Coroutine
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from quant_pipeline.errors import UsageError
from quant_pipeline.paper_gateway.exchange.book import Book
from quant_pipeline.paper_gateway.faults.fault import FaultPlan, read_faults
from quant_pipeline.paper_gateway.gateway_clock import ManualClock, clock_starting
from quant_pipeline.paper_gateway.gateway_note import GatewayNote, fingerprint
from quant_pipeline.paper_gateway.options import GatewayOptions, account_of, book_path, build_market
from quant_pipeline.paper_gateway.server import HOST, PaperGateway, claimed_port
from quant_pipeline.paper_gateway.steps import follow_steps

log = logging.getLogger(__name__)

IDLE_CHECK_SECONDS = 1.0


def serve(options: GatewayOptions) -> None:
    """Run a gateway until it is told to end by SIGINT or SIGTERM, or has been idle for too long.

    Prints ``listening on 127.0.0.1:PORT`` once it accepts connections. At speed 0 it also ends with standard input.

    Raises:
        UsageError: The port is in use, bars or faults cannot be read, or another gateway has the book.
        QuantPipelineError: The book cannot be opened, or cannot be written any more.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    home = options.home.expanduser().absolute()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"The home {home} cannot be made ({error.strerror}); choose another with --home.") from error
    faults = FaultPlan() if options.faults is None else read_faults(options.faults)
    with claimed_port(options.port) as listener:
        market = build_market(options)
        account = account_of(market.identity)
        with contextlib.closing(Book(book_path(home, account), identity=market.identity, cash=options.cash)) as book:
            clock = clock_starting(options.at, options.speed, book.last_time)
            gateway = PaperGateway(
                market, clock, book, account, limits=options.limits, liquidity=options.liquidity, faults=faults
            )
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
        steps = _steps(gateway, note, home) if isinstance(gateway.clock, ManualClock) else None
        await _until_ended(gateway, ended, options.idle_minutes, steps)
    finally:
        note.remove(home)
        await gateway.stop()


async def _steps(gateway: PaperGateway, note: GatewayNote, home: Path) -> None:
    """Follow the steps of standard input; the note tells others where the clock stands."""
    assert isinstance(gateway.clock, ManualClock)
    async for at in follow_steps(gateway, gateway.clock):
        replace(note, clock_started=at.isoformat()).write(home)
        print(f"at {at.isoformat()}", flush=True)  # noqa: T201 - the line whoever moves the clock waits for


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


async def _until_ended(
    gateway: PaperGateway,
    ended: asyncio.Event,
    idle_minutes: float | None,
    steps: Coroutine[Any, Any, None] | None,
) -> None:
    waiting = asyncio.create_task(ended.wait())
    failing = asyncio.create_task(gateway.wait_failed())
    tasks: set[asyncio.Task[Any]] = {waiting, failing}
    if steps is not None:
        tasks.add(asyncio.create_task(steps))
    try:
        while True:
            done, _ = await asyncio.wait(tasks, timeout=IDLE_CHECK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if done:
                log.info("told to end" if waiting in done else "standard input ended")
                return
            idle = time.monotonic() - gateway.last_busy
            if idle_minutes is not None and gateway.is_idle and idle >= idle_minutes * 60:
                log.info("nobody was connected for %g minutes", idle_minutes)
                return
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
