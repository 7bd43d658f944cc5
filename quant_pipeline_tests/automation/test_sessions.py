"""The exchange's calendar, held against days whose hours are public knowledge."""

from __future__ import annotations

import datetime as dt

import pytest

from quant_pipeline.automation.sessions import (
    EXCHANGE_TIME,
    next_session,
    previous_session,
    session_at,
    session_on,
    sessions_between,
)
from quant_pipeline.errors import SlotError

UTC = dt.UTC


@pytest.mark.parametrize(
    ("day", "closes"),
    [
        (dt.date(2026, 11, 20), dt.time(16, 0)),  # an ordinary Friday
        (dt.date(2026, 11, 27), dt.time(13, 0)),  # the day after Thanksgiving
        (dt.date(2018, 7, 3), dt.time(13, 0)),  # the day before Independence Day
        (dt.date(2018, 12, 24), dt.time(13, 0)),  # Christmas Eve
    ],
)
def test_sessions_open_at_half_past_nine_and_close_as_the_exchange_says(day: dt.date, closes: dt.time) -> None:
    session = session_on(day)
    assert session is not None
    assert session.opens.time() == dt.time(9, 30)
    assert session.closes.time() == closes


@pytest.mark.parametrize(
    "day",
    [
        dt.date(2026, 11, 26),  # Thanksgiving
        dt.date(2018, 12, 5),  # day of mourning for President Bush
        dt.date(2018, 2, 19),  # Presidents' Day
        dt.date(2026, 11, 22),  # a Sunday
    ],
)
def test_holidays_and_weekends_have_no_session(day: dt.date) -> None:
    assert session_on(day) is None


def test_the_open_follows_daylight_saving() -> None:
    before, after = session_on(dt.date(2026, 3, 6)), session_on(dt.date(2026, 3, 9))
    assert before is not None
    assert after is not None
    assert before.opens.astimezone(UTC).time() == dt.time(14, 30)
    assert after.opens.astimezone(UTC).time() == dt.time(13, 30)


def test_a_session_includes_its_open_and_not_its_close() -> None:
    opens = dt.datetime(2026, 11, 20, 9, 30, tzinfo=EXCHANGE_TIME)
    closes = dt.datetime(2026, 11, 20, 16, 0, tzinfo=EXCHANGE_TIME)
    assert session_at(opens) is not None
    assert session_at(opens - dt.timedelta(seconds=1)) is None
    assert session_at(closes) is None
    assert session_at(closes - dt.timedelta(microseconds=1)) is not None


def test_the_neighbours_of_a_weekend_are_friday_and_monday() -> None:
    sunday = dt.date(2026, 11, 22)
    assert previous_session(sunday).day == dt.date(2026, 11, 20)
    assert next_session(sunday).day == dt.date(2026, 11, 23)
    assert sessions_between(dt.date(2026, 11, 23), dt.date(2026, 11, 29)) == [
        dt.date(2026, 11, 23),
        dt.date(2026, 11, 24),
        dt.date(2026, 11, 25),
        dt.date(2026, 11, 27),
    ]


def test_progress_runs_from_zero_to_one_over_the_session() -> None:
    session = session_on(dt.date(2026, 11, 27))
    assert session is not None
    assert session.minutes == 210
    assert session.progress(session.opens - dt.timedelta(hours=1)) == 0.0
    assert session.progress(session.opens + dt.timedelta(minutes=105)) == pytest.approx(0.5)
    assert session.progress(session.closes + dt.timedelta(hours=1)) == 1.0


def test_a_day_outside_the_calendar_is_refused_with_its_bounds() -> None:
    with pytest.raises(SlotError, match=r"2010-01-02 is outside the exchange calendar, which covers 2010-01-04 to"):
        session_on(dt.date(2010, 1, 2))
