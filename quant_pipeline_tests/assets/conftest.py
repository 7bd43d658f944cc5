"""Paper gateways of the tests' own, and a home for each test whose pipeline trades at one of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from quant_pipeline.settings import Settings
from quant_pipeline_tests.assets.decided_slot import AWAY, PATIENT, Stocks, materialise
from quant_pipeline_tests.broker.conftest import Gateway, running_gateway
from quant_pipeline_tests.broker.trading_floor import Market


@dataclass(frozen=True)
class RanSlot:
    """A slot that was run whole while it went on; ``settings_when_over`` lead its home to the later gateway."""

    settings: Settings
    settings_when_over: Settings
    result: dg.ExecuteInProcessResult
    told: list[str]


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that takes orders; each test trades stocks of its own."""
    with running_gateway(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def market(gateway: Gateway) -> Market:
    """The stocks of the morning that can be traded, most active first; the same at every gateway of that morning."""
    return Market.read(gateway.settings())


@pytest.fixture(scope="session")
def later_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The same market a quarter of an hour later, when the slot is over."""
    with running_gateway(tmp_path_factory.mktemp("later_gateway"), at="2026-11-20T10:30:00") as gateway:
        yield gateway


@pytest.fixture
def settings(gateway: Gateway, tmp_path: Path) -> Settings:
    """A home of the test's own, trading at the gateway that all tests share."""
    return gateway.settings(home=tmp_path / "home", execution=PATIENT)


@pytest.fixture
def mortal_gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway for one test, which may kill it."""
    with running_gateway(tmp_path / "mortal_gateway") as gateway:
        yield gateway


@pytest.fixture(scope="session")
def ran_slot(later_gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RanSlot]:
    """One whole slot, at a gateway of its own."""
    folder = tmp_path_factory.mktemp("ran_slot")
    told: list[str] = []
    with running_gateway(folder / "gateway") as gateway:
        settings = gateway.settings(home=folder / "home")
        result = materialise(settings, progress=lambda asset, _text: told.append(asset))
        yield RanSlot(settings, later_gateway.settings(home=folder / "home"), result, told)


@pytest.fixture(scope="session")
def places() -> Any:
    return count()


@pytest.fixture
def fresh(market: Market, places: Any) -> Stocks:
    """Brackets that wait off the market, each on a stock that no other test of the shared gateway trades."""
    return lambda number: [market.bracket(next(places), away=AWAY) for _ in range(number)]
