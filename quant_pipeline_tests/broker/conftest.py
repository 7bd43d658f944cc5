"""A paper gateway of the tests' own: a real process on a real socket, its market at a Friday's quarter past ten."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from quant_pipeline.broker.session import BrokerSession, Role, connect
from quant_pipeline.paper_gateway.embedded import LIFTED_LIMITS
from quant_pipeline.settings import Settings, load_settings
from quant_pipeline_tests.broker.trading_floor import Market

FRIDAY_MORNING = "2026-11-20T10:15"


@dataclass(frozen=True)
class Gateway:
    """A running paper gateway and the settings that lead to it."""

    process: subprocess.Popen[str]
    port: int
    home: Path

    def settings(self, **overrides: object) -> Settings:
        defaults: dict[str, object] = {
            "home": self.home / "pipeline",
            "ib_host": "127.0.0.1",
            "ib_port": self.port,
            "broker": {"messages_per_second": 0, "request_seconds": 10.0},
        }
        return load_settings(**(defaults | overrides))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


@contextmanager
def running_gateway(home: Path, *options: str, at: str = FRIDAY_MORNING) -> Iterator[Gateway]:
    command = [sys.executable, "-m", "quant_pipeline.paper_gateway", "--port", "0", "--home", str(home), "--at", at]
    # The settings below let the client ask as fast as it can, as it does at an embedded gateway.
    command += [part for name in LIFTED_LIMITS for part in ("--limit", f"{name}=off")]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening on 127.0.0.1:"), line
        yield Gateway(process, int(line.strip().rpartition(":")[2]), home)
    finally:
        process.kill()
        process.communicate(timeout=10)


@pytest.fixture(scope="session")
def quiet_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that tests only read from."""
    with running_gateway(tmp_path_factory.mktemp("quiet_gateway")) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that takes orders; each test trades stocks of its own."""
    with running_gateway(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def market(gateway: Gateway) -> Market:
    """The stocks of the morning that can be traded, most active first."""
    return Market.read(gateway.settings())


@pytest.fixture
def mortal_gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway for one test, which may kill it."""
    with running_gateway(tmp_path / "mortal_gateway") as gateway:
        yield gateway


@pytest.fixture
def reading(quiet_gateway: Gateway) -> Iterator[BrokerSession]:
    """A read-only connection to the quiet gateway."""
    with connect(quiet_gateway.settings(), Role.OBSERVE) as session:
        yield session


@pytest.fixture
def sent_messages(monkeypatch: pytest.MonkeyPatch) -> Callable[[BrokerSession], list[str]]:
    """Records the messages that a session puts on the wire from now on."""

    def record(session: BrokerSession) -> list[str]:
        client = session._ib.client
        messages: list[str] = []
        send = client.conn.sendMsg

        def recorded(message: bytes) -> None:
            messages.append(message[4:].decode())
            send(message)

        monkeypatch.setattr(client.conn, "sendMsg", recorded)
        return messages

    return record
