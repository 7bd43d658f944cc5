"""``quant-pipeline up``: the gateway, the Dagster UI, the daemon and the sensors as one thing that starts and ends.

Dagster's own ``dagster dev`` is the process that is kept. It listens on 127.0.0.1 only, since Dagster has no login of
its own. One home is served once at a time: two daemons would work on the same queue of runs.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from quant_pipeline.automation.dagster_home import open_instance
from quant_pipeline.automation.slots import PARTITIONS, slots_of
from quant_pipeline.cli.market import prepare_market
from quant_pipeline.cli.run_slot import slot_now
from quant_pipeline.errors import QuantPipelineError, SlotError, UsageError
from quant_pipeline.paper_gateway import embedded
from quant_pipeline.settings import Settings

HOST = "127.0.0.1"
READY_SECONDS = 180.0
SAY_EVERY_SECONDS = 10.0
STOP_SECONDS = 20.0
KILL_SECONDS = 5.0
WORKSPACE = Path(__file__).parents[2] / "workspace.yaml"
END_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def serve_until_interrupted(
    settings: Settings,
    port: int,
    say: Callable[[str], None],
    *,
    at: dt.datetime | None = None,
    speed: float = 1.0,
    bars: Path | None = None,
    minute_bars: Path | None = None,
) -> None:
    """Run everything until Ctrl-C or until Dagster ends by itself, which is an error."""
    for number in END_SIGNALS:
        # Both end everything, also where a shell started us in the background and had SIGINT ignored.
        signal.signal(number, _interrupt)
    _check_free(port)
    with _only_one_here(settings.home):
        started_gateway = False
        process: subprocess.Popen[bytes] | None = None
        try:
            started_gateway = prepare_market(settings, say, at=at, speed=speed, bars=bars, minute_bars=minute_bars)
            _register_slots_of_the_session(settings, say)
            log = settings.home / "logs" / "dagster.log"
            process = _start_dagster(settings, port, log)
            say(f"Starting the Dagster UI, which takes a while; its log is {log}")
            _wait_until_ready(process, port, log, say)
            say(f"Ready: http://{HOST}:{port}   Ctrl-C ends everything.")
            process.wait()
            raise QuantPipelineError(f"Dagster ended by itself; its last words are in {log}.")
        except KeyboardInterrupt:
            say("Ending ...")
        finally:
            for number in END_SIGNALS:
                # An impatient second Ctrl-C must not leave half of it running; the ending is bounded in time.
                signal.signal(number, signal.SIG_IGN)
            if process is not None:
                _end(process)
            if started_gateway:
                embedded.stop(settings.home)
    say("All ended.")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def _only_one_here(home: Path) -> Iterator[None]:
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"The home {home} cannot be used ({error.strerror}); set QUANT_HOME to another.") from error
    with (home / "up.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"quant-pipeline up is running on {home} already; use that one, end it, or set QUANT_HOME to another."
            ) from None
        yield


def _register_slots_of_the_session(settings: Settings, say: Callable[[str], None]) -> None:
    """List the slots of the session that is going on, so that they can be clicked at once."""
    with open_instance(settings.home) as instance:
        try:
            slot = slot_now(settings)
        except SlotError as closed:
            say(str(closed))
            return
        say(f"It is slot {slot.key}; the sensor runs it and every slot after it")
        instance.add_dynamic_partitions(PARTITIONS, [other.key for other in slots_of(slot.session)])


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise UsageError(f"Port {port} is in use; choose another with --port.") from None


def _start_dagster(settings: Settings, port: int, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "dagster", "dev", "-h", HOST, "-p", str(port), "-w", str(WORKSPACE)]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env={**os.environ, "QUANT_HOME": str(settings.home)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path, say: Callable[[str], None]) -> None:
    started = said = time.monotonic()
    while time.monotonic() - started < READY_SECONDS:
        if process.poll() is not None:
            raise QuantPipelineError(f"Dagster could not start; its last words are in {log}.")
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/server_info", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
        if time.monotonic() - said >= SAY_EVERY_SECONDS:
            said = time.monotonic()
            say(f"  still starting, {said - started:.0f} s")
    raise QuantPipelineError(f"The Dagster UI was not ready after {READY_SECONDS:.0f} s; look into {log}.")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End Dagster and everything it started, which all live in one process group."""
    for number, patience in ((signal.SIGINT, STOP_SECONDS), (signal.SIGTERM, KILL_SECONDS), (signal.SIGKILL, 1.0)):
        deadline = time.monotonic() + patience
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        while time.monotonic() < deadline:
            process.poll()
            if not _group_lives(process.pid):
                return
            if number == signal.SIGINT and process.returncode is not None:
                break  # it has ended in order; what it left behind gets the next signal
            time.sleep(0.1)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
