"""Moving a clock that stands still, by lines on standard input: ``+60``, ``10:30``, ``2018-02-20T10:30:00``.

So a test in any language can walk through a session. Reading the lines and doing what follows from a step belong here;
``serve`` answers each on standard output. A line that is none of these is told on standard error and changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import math
import os
import sys
import threading
from collections.abc import AsyncIterator

from quant_pipeline.automation.sessions import session_on
from quant_pipeline.errors import QuantPipelineError, UsageError
from quant_pipeline.paper_gateway.gateway_clock import ManualClock, exchange_time
from quant_pipeline.paper_gateway.server import PaperGateway

LONGEST_LINE = 1_000
READ_BYTES = 65_536


async def follow_steps(gateway: PaperGateway, clock: ManualClock) -> AsyncIterator[dt.datetime]:
    """Take each step that standard input asks for; yield the time of it when all that follows from it was sent.

    What clients had sent before the line was written is answered before the step. Returns when the input ends.
    """
    lines = _lines()
    while (line := await lines.get()) is not None:
        await gateway.settle()
        try:
            clock.set(read_step(line, clock.now()))
        except QuantPipelineError as error:
            print(error, file=sys.stderr, flush=True)  # noqa: T201 - what the person reads
            continue
        try:
            gateway.step()
        except Exception as error:
            gateway.failed(error)
        await gateway.settle()
        yield clock.now()


def read_step(line: str, now: dt.datetime) -> dt.datetime:
    """The instant a line moves the clock to.

    Raises:
        UsageError: The line is no step, or one back.
        SlotError: The instant lies outside the exchange calendar.
    """
    text = line.strip()
    try:
        instant = _instant(text, now)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{text[:40]!r} does not move the clock; write seconds (+60), a time (10:30) or 2018-02-20T10:30:00."
        ) from None
    session_on(instant.date())
    if instant < now:
        raise UsageError(f"The clock stands at {now.isoformat()} and does not run back to {text}.")
    return instant


def _instant(text: str, now: dt.datetime) -> dt.datetime:
    if text.startswith("+"):
        seconds = float(text)
        if not math.isfinite(seconds):
            raise ValueError(text)
        # Through UTC: a step over a night in which the clocks change is as long as it says.
        return exchange_time(now.astimezone(dt.UTC) + dt.timedelta(seconds=seconds))
    if "-" in text:
        return exchange_time(dt.datetime.fromisoformat(text))
    return exchange_time(dt.datetime.combine(now.date(), dt.time.fromisoformat(text)))


def _lines() -> asyncio.Queue[str | None]:
    """The lines of standard input as they come; None after the last one.

    Read by a thread of its own, since standard input may be a file, a terminal or a pipe. It reads the bare descriptor:
    a lock of ``sys.stdin`` that it held would be in the way when the process ends.
    """
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | None] = asyncio.Queue()

    def put(line: str | None) -> None:
        with contextlib.suppress(RuntimeError):  # the gateway has ended meanwhile
            loop.call_soon_threadsafe(lines.put_nowait, line)

    def read() -> None:
        rest = b""
        while data := os.read(sys.stdin.fileno(), READ_BYTES):
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                put(line[:LONGEST_LINE].decode(errors="replace"))
            rest = rest[:LONGEST_LINE]
        if rest:
            put(rest.decode(errors="replace"))
        put(None)

    threading.Thread(target=read, daemon=True).start()
    return lines
