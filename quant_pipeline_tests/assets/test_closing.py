"""What became of orders while nobody listened, and the account at the close: of a real gateway, in real files."""

from __future__ import annotations

import datetime as dt
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from quant_pipeline import frames
from quant_pipeline.assets.closing import closing_fills, closing_reading
from quant_pipeline.assets.slot_run import SlotRun
from quant_pipeline.broker.brackets import BracketOrder
from quant_pipeline.history.order_journal import JournaledOrder, OrderJournal
from quant_pipeline.history.store import History
from quant_pipeline.settings import Settings
from quant_pipeline_tests.assets.decided_slot import (
    PATIENT,
    QUIET,
    at_broker,
    execute,
    journaled,
    materialise,
    record,
)
from quant_pipeline_tests.broker.conftest import Gateway, running_gateway
from quant_pipeline_tests.broker.scripted_broker import EXECUTIONS, Answer, scripted_broker
from quant_pipeline_tests.broker.trading_floor import FILL_SECONDS, SLOT, Market

LATER = "2026-11-20T10:30"
LAST_SLOT = "2026-11-20T15:45"
AFTER_THE_CLOSE = "2026-11-20T16:05"
ALL_OPEN_ORDERS = "16"
NO_EXECUTIONS: dict[str, Answer] = {EXECUTIONS: lambda fields: [(55, 1, fields[2])]}


@dataclass(frozen=True)
class Traded:
    """A bracket that was sent and filled at 10:15, and whose target the market reaches before 10:30."""

    bracket: BracketOrder
    home: Path
    book: Path

    def copy(self, folder: Path) -> Traded:
        """The same with a home and a book of the test's own."""
        return Traded(
            self.bracket, shutil.copytree(self.home, folder / "home"), shutil.copytree(self.book, folder / "book")
        )


@pytest.fixture(scope="module")
def left_alone(later_gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Traded:
    folder = tmp_path_factory.mktemp("left_alone")
    with running_gateway(folder / "book") as gateway:
        settings = settings_at(gateway, folder / "home")
        market = Market.read(settings)
        bracket = rising(market, Market.read(later_gateway.settings()))
        record(settings, market, [bracket])
        execute(settings)
        wait_for_position(settings, bracket)
    return Traded(bracket, folder / "home", folder / "book")


@pytest.fixture
def traded(left_alone: Traded, tmp_path: Path) -> Traded:
    return left_alone.copy(tmp_path)


@pytest.fixture
def later(traded: Traded) -> Iterator[Settings]:
    """A quarter of an hour later: the target has filled, and the broker cancelled the stop, while nobody listened."""
    with running_gateway(traded.book, at=f"{LATER}:00") as gateway:
        yield settings_at(gateway, traded.home)


def settings_at(gateway: Gateway, home: Path) -> Settings:
    return gateway.settings(home=home, execution=PATIENT)


def rising(market: Market, later: Market) -> BracketOrder:
    """A bracket on the stock that rises most, with an entry that fills at once and a target on its way."""
    both = market.quotes.merge(later.quotes[["symbol", "bid"]], on="symbol", suffixes=("", "_later"))
    best = both.iloc[(both["bid_later"] / both["ask"]).to_numpy().argmax()]
    entry, target = round(best["ask"] * 1.002, 2), round((best["ask"] + best["bid_later"]) / 2, 2)
    assert entry < target, "the market of the default seed rises by more than 1 % somewhere"
    return BracketOrder(
        f"{SLOT}:{best['symbol']}",
        best["symbol"],
        int(best["con_id"]),
        "LONG",
        10,
        entry,
        round(entry * 0.9, 2),
        target,
    )


def wait_for_position(settings: Settings, bracket: BracketOrder) -> None:
    until = time.monotonic() + FILL_SECONDS
    while not (held := at_broker(settings).position(bracket.symbol)) and time.monotonic() < until:
        time.sleep(0.2)
    assert held == bracket.quantity


def states(settings: Settings, bracket: BracketOrder) -> dict[str, str]:
    orders = journaled(settings)
    return {leg.leg: orders[leg.order_ref].state for leg in bracket.legs()}


def journaled_legs(traded: Traded) -> list[JournaledOrder]:
    return OrderJournal(traded.home).for_slot(SLOT)


def close_the_day(settings: Settings) -> dict[str, dict[str, Any]]:
    """Run what reads the broker after the close; the metadata of each asset."""
    with closing(SlotRun(settings)) as run:
        result = dg.materialize([closing_fills, closing_reading], resources={"slot_run": run}, run_config=QUIET)
    return {
        event.asset_key.to_user_string(): {
            name: value.value for name, value in event.step_materialization_data.materialization.metadata.items()
        }
        for event in result.get_asset_materialization_events()
        if event.asset_key is not None
    }


def record_nothing(settings: Settings, asset: str) -> None:
    """An empty frame of the later slot, for assets that need one before them."""
    History(settings.home).append(
        asset, frames.empty(asset), slot=LATER, run_id="another run", code_version="tests",
        settings_hash=settings.decision_hash, inputs=[], started_at=dt.datetime.now(dt.UTC),
    )  # fmt: skip


def mirrored(settings: Settings) -> dict[str, tuple[str, str | None]]:
    """State and reason of each leg in the copy of the journal that people read."""
    with duckdb.connect(settings.home / "history.duckdb", read_only=True) as reader:
        return {
            leg: (state, reason)
            for leg, state, reason in reader.execute("SELECT leg, state, reason FROM journal.intents").fetchall()
        }


def test_the_stop_of_a_bracket_that_its_target_closed_is_cancelled_in_the_journal_and_its_copy(
    traded: Traded, later: Settings
) -> None:
    before = states(later, traded.bracket)
    assert (before["target"], before["stop"]) == ("working", "working")
    for asset in ("executions", "fills"):
        record_nothing(later, asset)
    materialise(later, "portfolio_status", "published_history", slot=LATER)
    assert states(later, traded.bracket) == {"entry": "filled", "target": "filled", "stop": "cancelled"}
    assert mirrored(later) == {
        "entry": ("filled", None),
        "target": ("filled", None),
        "stop": ("cancelled", "Cancelled by OCA group"),
    }
    assert at_broker(later).position(traded.bracket.symbol) == 0


def test_after_the_close_it_is_settled_as_well_and_said(traded: Traded, later: Settings) -> None:
    told = close_the_day(later)["closing_fills"]
    assert (told["executions of the day"], told["not journaled before"], told["orders settled"]) == (2, 2, 1)
    assert states(later, traded.bracket) == {"entry": "filled", "target": "filled", "stop": "cancelled"}
    again = close_the_day(later)["closing_fills"]
    assert (again["not journaled before"], again["orders settled"]) == (0, 0)


def test_a_bracket_that_still_works_is_left_as_it_is(traded: Traded) -> None:
    with running_gateway(traded.book) as gateway:
        settings = settings_at(gateway, traded.home)
        ref = traded.bracket.legs()[2].order_ref
        journaled_before = journaled(settings)[ref]
        assert close_the_day(settings)["closing_fills"]["orders settled"] == 0
        assert journaled(settings)[ref] == journaled_before


def test_a_broker_that_does_not_say_which_orders_are_open_settles_nothing(traded: Traded) -> None:
    before = journaled_legs(traded)
    with scripted_broker(NO_EXECUTIONS, accounts=before[0].account) as server:
        settings = server.settings(request_seconds=0.5).model_copy(update={"home": traded.home})
        with closing(SlotRun(settings)) as run:
            assert dg.materialize([closing_fills], resources={"slot_run": run}, run_config=QUIET).success
    assert ALL_OPEN_ORDERS in [fields[0] for fields in server.received]
    assert journaled_legs(traded) == before


def test_the_close_is_read_once_on_its_day_and_kept_under_the_last_slot(traded: Traded) -> None:
    with running_gateway(traded.book, at=AFTER_THE_CLOSE) as gateway:
        settings = settings_at(gateway, traded.home)
        first, again = close_the_day(settings), close_the_day(settings)
    history = History(settings.home)
    recorded = history.recorded("closing_account", LAST_SLOT)
    positions = history.recorded("closing_portfolio", LAST_SLOT)
    assert recorded is not None
    assert positions is not None
    assert recorded[1]["read_at"].iloc[0] >= dt.datetime(2026, 11, 20, 21, 5, tzinfo=dt.UTC)
    assert first["closing_account"]["materialization_id"] == recorded[0].id
    assert first["closing_portfolio"]["dagster/row_count"] == len(positions[1])
    assert recorded[0].run_id == positions[0].run_id
    for name in frames.CLOSING_FRAMES:
        assert again[name] == {"not read": "the close of 2026-11-20 was read before"}


@pytest.mark.parametrize(
    ("at", "why"), [("2026-11-20T15:50", "it ends at 16:00"), ("2026-11-21T10:00", "there is no session today")]
)
def test_while_a_session_goes_on_and_on_other_days_no_close_is_read(tmp_path: Path, at: str, why: str) -> None:
    with running_gateway(tmp_path / "book", at=at) as gateway:
        settings = settings_at(gateway, tmp_path / "home")
        told = close_the_day(settings)
    assert {name: told[name] for name in frames.CLOSING_FRAMES} == {
        name: {"not read": why} for name in frames.CLOSING_FRAMES
    }
    assert not History(settings.home).recorded_anything()
