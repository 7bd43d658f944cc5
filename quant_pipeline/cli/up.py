"""``quant-pipeline up``: the Dagster UI, the daemon and the sensors as one thing that starts and ends together.

Dagster's own ``dagster dev`` is the process that is kept; the gateway has been started before. It listens on 127.0.0.1
only, since Dagster has no login of its own.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from quant_pipeline.automation.dagster_home import open_instance
from quant_pipeline.automation.slots import slots_of
from quant_pipeline.cli.run_slot import slot_now
from quant_pipeline.errors import BrokerError, QuantPipelineError, SlotError, UsageError
from quant_pipeline.settings import Settings

HOST = "127.0.0.1"
READY_SECONDS = 120.0
STOP_SECONDS = 20.0
KILL_SECONDS = 5.0
WORKSPACE = Path(__file__).parents[2] / "workspace.yaml"


def serve_until_interrupted(settings: Settings, port: int, say: Callable[[str], None]) -> None:
    """Run the UI until Ctrl-C or until Dagster ends by itself, which is an error."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # Both end everything, also where a shell started us in the background and had SIGINT ignored.
        signal.signal(number, _interrupt)
    _check_free(port)
    _register_slots_of_the_session(settings)
    command = [sys.executable, "-m", "dagster", "dev", "-h", HOST, "-p", str(port), "-w", str(WORKSPACE)]
    environment = {**os.environ, "QUANT_HOME": str(settings.home)}
    log = settings.home / "logs" / "dagster.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        say(f"Starting the Dagster UI; its log is {log}")
        _wait_until_ready(process, port, log)
        say(f"Ready: http://{HOST}:{port}   Ctrl-C ends everything.")
        process.wait()
        raise QuantPipelineError(f"Dagster ended by itself; its last words are in {log}.")
    except KeyboardInterrupt:
        say("Ending ...")
    finally:
        _end(process)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _register_slots_of_the_session(settings: Settings) -> None:
    """List the slots of the session that is going on, so that they can be clicked at once."""
    with open_instance(settings.home) as instance:
        try:
            session = slot_now(settings).session
        except SlotError:
            return
        instance.add_dynamic_partitions("slot", [slot.key for slot in slots_of(session)])


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise UsageError(f"Port {port} is in use; choose another with --port.") from None


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise BrokerError(f"Dagster could not start; its last words are in {log}.")
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/server_info", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
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
