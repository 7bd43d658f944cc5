"""The gateway's clock starts where it should, runs at its speed and never runs back."""

from __future__ import annotations

import datetime as dt

import pytest

from quant_pipeline.automation.sessions import EXCHANGE_TIME
from quant_pipeline.errors import SlotError, UsageError
from quant_pipeline.paper_gateway import gateway_clock
from quant_pipeline.paper_gateway.gateway_clock import Clock, GatewayClock, ManualClock, exchange_time

SOON = dt.timedelta(seconds=30)


def eastern(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=EXCHANGE_TIME)


def start_on(wall: str, not_before: dt.datetime | None = None) -> dt.datetime:
    return GatewayClock.starting(None, not_before=not_before, wall_time=lambda: eastern(wall)).now()


def test_a_given_instant_is_where_it_starts():
    at = eastern("2018-02-20T10:15")
    assert at <= GatewayClock.starting(at).now() < at + SOON


def test_a_naive_instant_is_exchange_time():
    now = GatewayClock.starting(dt.datetime.fromisoformat("2018-02-20T10:15")).now()
    assert now.utcoffset() == dt.timedelta(hours=-5)
    assert (now.hour, now.minute) == (10, 15)


def test_an_instant_in_another_zone_is_told_in_exchange_time():
    now = GatewayClock.starting(dt.datetime(2018, 7, 20, 14, 15, tzinfo=dt.UTC)).now()
    assert (now.hour, now.minute, now.utcoffset()) == (10, 15, dt.timedelta(hours=-4))


def test_an_instant_without_a_session_is_allowed():
    christmas = eastern("2018-12-25T11:00")
    assert christmas <= GatewayClock.starting(christmas).now() < christmas + SOON


def test_an_instant_outside_the_calendar_is_refused_in_words():
    with pytest.raises(SlotError, match="outside the exchange calendar"):
        GatewayClock.starting(eastern("1999-02-20T10:15"))


@pytest.mark.parametrize(
    ("wall", "expected"),
    [
        pytest.param("2026-11-20T11:07", "2026-11-20T11:07", id="in session: the wall clock"),
        pytest.param("2026-11-22T16:00", "2026-11-20T10:15", id="Sunday: Friday's session"),
        pytest.param("2026-11-23T08:00", "2026-11-20T10:15", id="Monday before the open: Friday's session"),
        pytest.param("2026-11-23T16:00", "2026-11-23T10:15", id="at the close: the session that just ended"),
        pytest.param("2026-11-26T12:00", "2026-11-25T10:15", id="Thanksgiving: the day before"),
        pytest.param("2026-11-27T14:00", "2026-11-27T10:15", id="after a half day: that half day"),
    ],
)
def test_without_an_instant_there_is_always_a_session(wall: str, expected: str):
    now = start_on(wall)
    assert eastern(expected) <= now < eastern(expected) + SOON


def test_time_never_runs_back_behind_the_book():
    assert start_on("2026-11-22T16:00", not_before=eastern("2026-11-20T11:40")) >= eastern("2026-11-20T11:40")
    given = GatewayClock.starting(eastern("2018-02-20T10:15"), not_before=eastern("2018-02-21T09:45"))
    assert given.now() >= eastern("2018-02-21T09:45")


def test_a_book_of_the_past_does_not_hold_the_clock_back():
    assert start_on("2026-11-20T11:07", not_before=eastern("2026-11-19T15:00")) >= eastern("2026-11-20T11:07")


def test_speed_multiplies_the_time_that_passes(monkeypatch: pytest.MonkeyPatch):
    machine = [100.0]
    monkeypatch.setattr(gateway_clock.time, "monotonic", lambda: machine[0])
    clock = GatewayClock.starting(eastern("2018-02-20T10:15"), speed=60)
    machine[0] += 15
    assert clock.now() == eastern("2018-02-20T10:30")


def test_a_night_of_daylight_saving_has_its_hour_less(monkeypatch: pytest.MonkeyPatch):
    machine = [0.0]
    monkeypatch.setattr(gateway_clock.time, "monotonic", lambda: machine[0])
    clock = GatewayClock(eastern("2018-03-11T01:30"))
    machine[0] += 3600
    assert clock.now().hour == 3


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_a_speed_that_is_none_is_refused_in_words(speed: float):
    with pytest.raises(UsageError, match="give a number above 0"):
        GatewayClock.starting(eastern("2018-02-20T10:15"), speed=speed)


def test_a_manual_clock_stands_still_until_it_is_moved():
    clock = ManualClock(eastern("2018-02-20T10:15"))
    asked: Clock = clock
    assert asked.now() == asked.now() == eastern("2018-02-20T10:15")
    clock.advance(dt.timedelta(minutes=15))
    assert asked.now() == eastern("2018-02-20T10:30")
    clock.set(eastern("2018-02-21T09:30"))
    assert asked.now() == eastern("2018-02-21T09:30")


def test_a_manual_clock_does_not_run_back():
    clock = ManualClock(eastern("2018-02-20T10:15"))
    with pytest.raises(ValueError, match="does not run back"):
        clock.advance(dt.timedelta(seconds=-1))
    with pytest.raises(ValueError, match="does not run back"):
        clock.set(eastern("2018-02-20T10:14"))


def test_exchange_time_keeps_the_instant():
    instant = dt.datetime(2018, 7, 20, 14, 15, tzinfo=dt.UTC)
    assert exchange_time(instant) == instant
