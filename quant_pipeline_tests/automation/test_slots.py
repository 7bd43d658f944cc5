"""Slots are the quarters of an hour of market sessions and nothing else."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_pipeline.automation.sessions import EXCHANGE_TIME, session_on
from quant_pipeline.automation.slots import SLOT_LENGTH, parse_slot, slot_at, slot_containing, slots_of
from quant_pipeline.errors import SlotError

DAYS = st.dates(dt.date(2016, 1, 4), dt.date(2026, 12, 31))


@given(day=DAYS)
def test_the_slots_of_a_session_cover_it_without_gap_or_overlap(day: dt.date) -> None:
    session = session_on(day)
    if session is None:
        return
    slots = slots_of(session)
    assert slots[0].starts == session.opens
    assert slots[-1].ends == session.closes
    assert all(earlier.ends == later.starts for earlier, later in itertools.pairwise(slots))
    assert len(slots) == session.minutes / 15


@given(instant=st.datetimes(dt.datetime(2016, 1, 4), dt.datetime(2026, 12, 31), timezones=st.just(dt.UTC)))
def test_the_slot_at_an_instant_contains_it_and_bears_its_start(instant: dt.datetime) -> None:
    slot = slot_at(instant)
    if slot is None:
        return
    assert slot.starts <= instant < slot.ends
    assert parse_slot(slot.key) == slot
    assert slot.has_begun(instant)
    assert not slot.is_over(instant)
    assert slot.is_over(slot.ends)
    assert not slot.has_begun(slot.starts - dt.timedelta(seconds=1))


def test_a_key_is_the_start_in_exchange_time() -> None:
    slot = parse_slot("2026-11-20T10:15")
    assert slot.starts == dt.datetime(2026, 11, 20, 15, 15, tzinfo=dt.UTC)
    assert slot.starts.tzinfo is EXCHANGE_TIME
    assert slot.ends - slot.starts == SLOT_LENGTH


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("tomorrow", "'tomorrow' is not a slot; write its start in exchange time, like 2026-11-20T10:15."),
        ("2026-11-20", "'2026-11-20' is not a slot; write its start in exchange time, like 2026-11-20T10:15."),
        ("2026-11-22T10:15", "the exchange has no session on 2026-11-22"),
        ("2026-11-20T10:20", "the slots of 2026-11-20 start every 15 minutes from 09:30 to 15:45"),
        ("2026-11-20T09:15", "the slots of 2026-11-20 start every 15 minutes from 09:30 to 15:45"),
        ("2026-11-27T13:00", "the slots of 2026-11-27 start every 15 minutes from 09:30 to 12:45"),
        ("2099-01-04T10:15", "2099-01-04 is outside the exchange calendar"),
    ],
)
def test_a_key_that_names_no_slot_is_refused_with_the_reason(key: str, message: str) -> None:
    with pytest.raises(SlotError) as refusal:
        parse_slot(key)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_slot_of_a_time_without_zone_is_in_exchange_time_and_a_closed_market_has_none() -> None:
    assert slot_containing(dt.datetime(2026, 11, 20, 10, 29, 59)).key == "2026-11-20T10:15"
    with pytest.raises(SlotError, match=r"closed at 2018-02-24 10:15.*opens on 2018-02-26 at 09:30"):
        slot_containing(dt.datetime(2018, 2, 24, 10, 15))
