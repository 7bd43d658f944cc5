"""The embedded gateway from the outside: find the running one, start it as a process of its own, stop it.

Any process that needs the default broker calls ``ensure_running``; two that call at once start one gateway. What a
gateway is and does belongs to ``serve`` and ``server``; this module only looks at the note it leaves, its process and
its port.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from quant_pipeline.errors import BrokerError, UsageError
from quant_pipeline.paper_gateway.gateway_clock import exchange_time
from quant_pipeline.paper_gateway.gateway_note import GatewayNote, fingerprint
from quant_pipeline.settings import Settings

HOST = "127.0.0.1"
POLL_SECONDS = 0.05
CONNECT_SECONDS = 1.0
STOP_SECONDS = 10.0
KILL_SECONDS = 5.0

LIFTED_LIMITS = ("messages_per_second", "market_data_lines", "open_history_requests")
"""What the settings under ``broker`` hold the pipeline to by itself: the embedded gateway does not count it again, so
that a client whose throttle is switched off is served as fast as it can be."""

_started_here: dict[int, subprocess.Popen[bytes]] = {}
"""Gateways this process started, kept so that they are reaped when they end."""


@dataclass(frozen=True)
class RunningGateway:
    """A gateway that accepts connections."""

    host: str
    port: int
    pid: int
    account: str
    market_name: str
    market_identity: str


def running(home: Path) -> RunningGateway | None:
    """The gateway of a home, or None where none is running that answers."""
    note = _living_note(home.expanduser().absolute())
    return None if note is None else _as_running(note)


def ensure_running(
    settings: Settings,
    *,
    at: dt.datetime | None = None,
    speed: float = 1.0,
    bars: Path | None = None,
    minute_bars: Path | None = None,
) -> RunningGateway:
    """Return the running gateway of the settings' home, started or started anew if it must be.

    One that plays other bars than asked for is replaced, and so is one whose clock is before ``at``, with its book
    kept. A clock that is at ``at`` or after it is left alone: time does not run backwards. Without ``at`` and
    ``bars``, whatever runs will do.

    Args:
        settings: Home, seed, cash, idle time and how long a start may take.
        at: Exchange time the gateway must have reached; naive means exchange time.
        speed: Of the clock, if a gateway is started.
        bars: Daily bars to replay (Parquet); None asks for no particular market.
        minute_bars: Minute bars to go with them.

    Raises:
        UsageError: The gateway cannot be started as asked, a bars file without a column for example.
        BrokerError: It did not start in time.
    """
    home = settings.home.expanduser().absolute()
    deadline = time.monotonic() + settings.gateway.start_seconds
    with _only_one_starts(home, deadline):
        note = _living_note(home)
        if note is not None:
            other_market = bars is not None and note.fingerprint != fingerprint(bars, minute_bars)
            behind = at is not None and exchange_time(at) > _clock_of(note)
            if not other_market and not behind:
                return _as_running(note)
            if bars is None:
                bars, minute_bars = _bars_of(note)
            else:
                from quant_pipeline.paper_gateway.options import GatewayOptions, build_market  # loads a market

                # What cannot be played must not cost the market that is being played.
                build_market(GatewayOptions(home=home, bars=bars, minute_bars=minute_bars))
            _stop(note)
        return _start(settings, home, deadline, at=at, speed=speed, bars=bars, minute_bars=minute_bars)


def stop(home: Path) -> bool:
    """End the gateway of a home; true when one was running. It is asked first and killed only if it does not answer."""
    note = _living_note(home.expanduser().absolute())
    if note is None:
        return False
    _stop(note)
    return True


# ---- starting -------------------------------------------------------------------------------------------------------


def _start(
    settings: Settings,
    home: Path,
    deadline: float,
    *,
    at: dt.datetime | None,
    speed: float,
    bars: Path | None,
    minute_bars: Path | None,
) -> RunningGateway:
    gateway = settings.gateway
    command = [sys.executable, "-m", "quant_pipeline.paper_gateway", "--home", str(home)]
    command += ["--seed", str(gateway.seed), "--cash", repr(gateway.cash), "--speed", repr(float(speed))]
    command += ["--idle-minutes", repr(gateway.idle_minutes)]
    for name in LIFTED_LIMITS:
        command += ["--limit", f"{name}=off"]
    for option, value in (
        ("--at", at and exchange_time(at).replace(tzinfo=None).isoformat()),
        ("--bars", bars),
        ("--minute-bars", minute_bars),
    ):
        if value is not None:
            command += [option, str(value)]
    log = home / "logs" / "gateway.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        began = output.tell()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    _started_here[process.pid] = process
    while time.monotonic() < deadline:
        status = process.poll()
        if status is not None:
            raise _reason_of_death(log, began, status)
        note = GatewayNote.read(home)
        if note is not None and note.pid == process.pid and _answers(note.port):
            return _as_running(note)
        time.sleep(POLL_SECONDS)
    process.kill()
    process.wait(KILL_SECONDS)
    raise BrokerError(
        f"The paper gateway did not start within {settings.gateway.start_seconds:g} s; see {log}, "
        "or allow it more with gateway.start_seconds."
    )


def _reason_of_death(log: Path, began: int, status: int) -> BrokerError | UsageError:
    with log.open("rb") as written:
        written.seek(began)
        lines = [line for line in written.read().decode(errors="replace").splitlines() if line.strip()]
    said = lines[-1] if lines else f"It ended with status {status} and said nothing; see {log}."
    return UsageError(said) if status == UsageError.exit_status else BrokerError(f"The paper gateway ended: {said}")


@contextlib.contextmanager
def _only_one_starts(home: Path, deadline: float) -> Iterator[None]:
    """Hold the right to start or stop the gateway of a home; it dies with the process that holds it."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        handle = (home / "gateway.lock").open("a")
    except OSError as error:
        raise UsageError(f"The home {home} cannot be used ({error.strerror}); set QUANT_HOME to another.") from error
    with handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise BrokerError(
                        f"Another process has been starting the paper gateway of {home} too long."
                    ) from None
                time.sleep(POLL_SECONDS)
        yield


# ---- looking --------------------------------------------------------------------------------------------------------


def _living_note(home: Path) -> GatewayNote | None:
    note = GatewayNote.read(home)
    return note if note is not None and _is_alive(note.pid) and _answers(note.port) else None


def _as_running(note: GatewayNote) -> RunningGateway:
    return RunningGateway(HOST, note.port, note.pid, note.account, note.market_name, note.market_identity)


def _clock_of(note: GatewayNote) -> dt.datetime:
    """What the gateway's clock shows now, from when it was started and how fast it runs."""
    elapsed = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(note.started)
    return dt.datetime.fromisoformat(note.clock_started) + elapsed * note.speed


def _bars_of(note: GatewayNote) -> tuple[Path | None, Path | None]:
    bars, minute_bars = note.options.get("bars"), note.options.get("minute_bars")
    return (Path(bars) if bars else None, Path(minute_bars) if minute_bars else None)


def _is_alive(pid: int) -> bool:
    child = _started_here.get(pid)
    if child is not None:
        return child.poll() is None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _answers(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=CONNECT_SECONDS):
            return True
    except OSError:
        return False


# ---- stopping -------------------------------------------------------------------------------------------------------


def _stop(note: GatewayNote) -> None:
    for signal_number, patience in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(note.pid, signal_number)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if not _is_alive(note.pid):
                return
            time.sleep(POLL_SECONDS)
    raise BrokerError(f"The paper gateway (process {note.pid}) does not end; end it by hand.")
