"""The sensors ask for the slot that is going on, and for the measuring of a session that has closed; for nothing else.

What time it is is for the broker's clock to say.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from quant_pipeline.automation.sensors import close_sensor
from quant_pipeline.automation.slots import parse_slot, slots_of
from quant_pipeline.definitions import build_definitions
from quant_pipeline.settings import Settings, load_settings
from quant_pipeline_tests.broker.conftest import running_gateway


@pytest.fixture
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """An instance with files, which the evaluation opens for itself, as it does below the daemon."""
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as instance:
        yield instance


def tick(settings: Settings, instance: dg.DagsterInstance) -> dg.SensorExecutionData:
    """What one evaluation asks for, with the partitions it asks for added, as the daemon does."""
    definitions = build_definitions(settings)
    repository = definitions.get_repository_def()
    with dg.build_sensor_context(instance_ref=instance.get_ref(), repository_def=repository) as context:
        asked = definitions.resolve_sensor_def("every_slot").evaluate_tick(context)
    for request in asked.dynamic_partitions_requests or ():
        assert isinstance(request, dg.AddDynamicPartitionsRequest)
        instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
    return asked


def runs_of(asked: dg.SensorExecutionData) -> list[tuple[str | None, str | None]]:
    return [(request.run_key, request.partition_key) for request in asked.run_requests or ()]


@pytest.mark.parametrize(
    ("at", "slot", "slots"),
    [("2026-11-20T10:29:00", "2026-11-20T10:15", 26), ("2026-11-27T12:50:00", "2026-11-27T12:45", 14)],
)
def test_the_slot_that_goes_on_is_asked_for_and_the_sessions_slots_are_added_once(
    at: str, slot: str, slots: int, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    with running_gateway(tmp_path, at=at) as gateway:
        instance.add_dynamic_partitions("slot", ["2026-11-19T15:45", f"{slot[:10]}T09:30"])
        first = tick(gateway.settings(), instance)
        assert runs_of(first) == [(slot, slot)]
        of_session = [other.key for other in slots_of(parse_slot(slot).session)]
        assert len(of_session) == slots
        assert instance.get_dynamic_partitions("slot") == ["2026-11-19T15:45", *of_session]
        (request,) = list(first.dynamic_partitions_requests or [])
        assert request.partition_keys == of_session[1:], "those that are there already are left"
        second = tick(gateway.settings(), instance)
        assert not second.dynamic_partitions_requests
        assert runs_of(second) == [(slot, slot)], "the run key tells Dagster that it is the same request"


@pytest.mark.parametrize("closed", ["2026-11-20T16:00:00", "2026-11-26T11:00:00"])
def test_a_closed_market_is_a_reason_to_skip(closed: str, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    with running_gateway(tmp_path, at=closed) as gateway:
        asked = tick(gateway.settings(), instance)
    assert asked.skip_message == f"The market is closed at {closed[:10]} {closed[11:16]}."
    assert runs_of(asked) == []
    assert instance.get_dynamic_partitions("slot") == []


def test_a_broker_that_is_not_there_is_a_reason_to_skip(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    asked = tick(load_settings(home=tmp_path, ib_host="127.0.0.1", ib_port=1), instance)
    assert asked.skip_message is not None
    assert asked.skip_message.startswith("Nothing listens at 127.0.0.1:1;")
    assert runs_of(asked) == []
    assert not asked.dynamic_partitions_requests


@pytest.mark.timeout(30)
def test_a_broker_that_takes_the_call_and_says_nothing_does_not_hold_the_sensor_up(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        silent = load_settings(home=tmp_path, ib_host="127.0.0.1", ib_port=port, broker={"connect_seconds": 0.5})
        asked = tick(silent, instance)
    assert asked.skip_message is not None
    assert asked.skip_message.startswith(f"127.0.0.1:{port} did not answer as TWS within 0.5 s;")
    assert runs_of(asked) == []


def after_close(settings: Settings, instance: dg.DagsterInstance) -> dg.SensorExecutionData:
    with dg.build_sensor_context(instance_ref=instance.get_ref()) as context:
        return close_sensor(settings, "end_of_day").evaluate_tick(context)


def with_something_published(settings: Settings) -> Settings:
    settings.home.mkdir(parents=True, exist_ok=True)
    (settings.home / "history.duckdb").touch()
    return settings


@pytest.mark.parametrize(
    ("at", "session"), [("2026-11-20T16:00:00", "2026-11-20"), ("2026-11-27T13:00:30", "2026-11-27")]
)
def test_a_session_is_measured_after_its_close_once(
    at: str, session: str, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    with running_gateway(tmp_path / "gateway", at=at) as gateway:
        settings = with_something_published(gateway.settings(home=tmp_path / "home"))
        for _ in range(2):
            asked = after_close(settings, instance)
            assert runs_of(asked) == [(session, None)], "the run key tells Dagster that it is the same request"


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        ("2026-11-20T15:59:00", "The session of 2026-11-20 ends at 16:00; it is 15:59."),
        ("2026-11-26T17:00:00", "There is no session on 2026-11-26."),
    ],
)
def test_before_the_close_and_on_a_holiday_there_is_nothing_to_measure(
    at: str, reason: str, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    with running_gateway(tmp_path / "gateway", at=at) as gateway:
        asked = after_close(with_something_published(gateway.settings(home=tmp_path / "home")), instance)
    assert asked.skip_message == reason
    assert runs_of(asked) == []


def test_where_nothing_was_recorded_there_is_nothing_to_measure(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    with running_gateway(tmp_path / "gateway", at="2026-11-20T16:00:00") as gateway:
        asked = after_close(gateway.settings(home=tmp_path / "home"), instance)
    assert asked.skip_message == "Nothing is recorded yet."


def test_without_its_broker_the_measuring_waits(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    asked = after_close(load_settings(home=tmp_path, ib_host="127.0.0.1", ib_port=1), instance)
    assert asked.skip_message is not None
    assert asked.skip_message.startswith("Nothing listens at 127.0.0.1:1;")
