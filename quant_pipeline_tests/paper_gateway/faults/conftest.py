"""A gateway with a market of its own, and a real client that is connected to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ib_insync import IB

from quant_pipeline_tests.paper_gateway.gateway_room import GatewayRoom, connected, gateway_room


@pytest.fixture
def room(tmp_path: Path) -> Iterator[GatewayRoom]:
    with gateway_room(tmp_path) as room:
        yield room


@pytest.fixture
def ib(room: GatewayRoom) -> Iterator[IB]:
    with connected(room.port) as ib:
        yield ib
