"""The desk that most tests of this folder stand at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from quant_pipeline_tests.paper_gateway.exchange.desk_room import Room
from quant_pipeline_tests.paper_gateway.scripted_market import at


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    """A quarter past ten, and every order is filled whole."""
    room = Room(tmp_path, at("10:15"))
    yield room
    room.book.close()


@pytest.fixture
def thin_room(tmp_path: Path) -> Iterator[Room]:
    """The same with the liquidity a gateway has by default: 300 shares bid, 200 offered, a tenth of what trades."""
    room = Room(tmp_path, at("10:15"), liquidity=0.1)
    yield room
    room.book.close()
