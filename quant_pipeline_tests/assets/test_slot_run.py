"""A run knows its slot, asks the broker only while the slot goes on, and says in one sentence what it cannot do."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from quant_pipeline.assets.slot_run import SlotRun
from quant_pipeline.automation.slots import parse_slot
from quant_pipeline.errors import HistoryError, NotRecordedError, QuantPipelineError, SlotError
from quant_pipeline.history.store import History
from quant_pipeline.settings import Settings, load_settings
from quant_pipeline_tests.assets.decided_slot import materialise
from quant_pipeline_tests.broker.conftest import Gateway
from quant_pipeline_tests.broker.trading_floor import SLOT

FUTURE, NO_SLOT = "2026-11-20T15:45", "2026-11-22T10:15"


def tries_of(result: dg.ExecuteInProcessResult) -> int:
    again = [event for event in result.all_events if event.event_type is dg.DagsterEventType.STEP_UP_FOR_RETRY]
    return 1 + len(again)


def failure_of(settings: Settings, *assets: str, slot: str = SLOT) -> tuple[type[QuantPipelineError], str, int]:
    """What assets that cannot be materialised fail with, and how often that was tried."""
    with pytest.raises(QuantPipelineError) as raised:
        materialise(settings, *assets, slot=slot)
    result = materialise(settings, *assets, slot=slot, raise_on_error=False)
    assert not result.success
    return type(raised.value), str(raised.value), tries_of(result)


def test_a_missing_input_is_named_and_not_tried_again(settings: Settings) -> None:
    kind, sentence, tries = failure_of(settings, "quotes")
    assert kind is NotRecordedError
    assert sentence == f"Slot {SLOT} has no universe yet; materialise universe first."
    assert tries == 1


def test_a_slot_that_has_not_begun_is_told_with_the_time_and_not_tried_again(settings: Settings) -> None:
    kind, sentence, tries = failure_of(settings, "universe", slot=FUTURE)
    assert kind is SlotError
    assert sentence.startswith(f"Slot {FUTURE} has not begun: the broker's clock says 2026-11-20 10:")
    assert tries == 1


def test_a_slot_that_is_over_and_was_never_observed_is_told_and_not_tried_again(
    later_gateway: Gateway, tmp_path: Path
) -> None:
    kind, sentence, tries = failure_of(later_gateway.settings(home=tmp_path), "account", "portfolio", "working_orders")
    assert kind is NotRecordedError
    assert sentence.startswith(f"Slot {SLOT} is over and was never observed (its account is not recorded)")
    assert tries == 1


def test_a_partition_that_is_no_slot_is_told_and_not_tried_again(settings: Settings) -> None:
    kind, sentence, tries = failure_of(settings, "universe", slot=NO_SLOT)
    assert kind is SlotError
    assert sentence == f"{NO_SLOT} is not a market slot: the exchange has no session on 2026-11-22."
    assert tries == 1


def test_a_damaged_journal_is_told_and_not_tried_again(settings: Settings) -> None:
    settings.home.mkdir()
    (settings.home / "orders.sqlite").write_bytes(b"no journal at all " * 100)
    kind, sentence, tries = failure_of(settings, "fills")
    assert kind is HistoryError
    assert "is damaged" in sentence
    assert tries == 1
    assert History(settings.home).latest("fills", SLOT) is None


def test_a_broker_that_fails_is_asked_once_more_by_those_who_observe(tmp_path: Path) -> None:
    nowhere = load_settings(home=tmp_path, ib_host="127.0.0.1", ib_port=1)
    result = materialise(nowhere, "universe", raise_on_error=False)
    assert not result.success
    assert tries_of(result) == 2
    (failure,) = [event for event in result.all_events if event.event_type is dg.DagsterEventType.STEP_FAILURE]
    assert "BrokerError: Nothing listens at 127.0.0.1:1;" in failure.step_failure_data.error_display_string
    assert History(tmp_path).count() == 0


def test_a_slot_is_over_at_its_end_by_the_brokers_clock(gateway: Gateway, later_gateway: Gateway) -> None:
    slot = parse_slot(SLOT)
    for at, over in ((gateway, False), (later_gateway, True)):
        run = SlotRun(at.settings())
        try:
            assert run.is_over(slot) is over
        finally:
            run.close()


def test_a_lost_connection_is_opened_again_when_it_is_needed(settings: Settings) -> None:
    run = SlotRun(settings)
    try:
        first = run.broker
        assert run.broker is first
        first.close()
        assert run.broker is not first
        assert run.broker.connected
    finally:
        run.close()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are listed by Linux only")
def test_a_run_that_ended_holds_no_file_of_its_home(settings: Settings) -> None:
    run = SlotRun(settings)
    journal = run.journal
    assert journal.count() == 0
    assert open_files_below(settings.home)
    run.close()
    assert open_files_below(settings.home) == []
    assert journal.count() == 0, "it opens again when it is needed"
    journal.close()


def open_files_below(home: Path) -> list[Path]:
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return [target for link in links if (target := Path(link.readlink())).is_relative_to(home)]
