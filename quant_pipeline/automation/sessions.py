"""The exchange's sessions: when it opens and closes, half days, holidays and daylight saving.

Everything that asks "is the market open" asks here, the paper gateway included, so that there is one calendar. Built on
exchange_calendars' XNYS. What a slot is does not belong here (``automation.slots``), nor does the present time, which
is the broker's.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from quant_pipeline.errors import SlotError

if TYPE_CHECKING:
    import exchange_calendars as xcals
    import pandas as pd

EXCHANGE = "XNYS"
EXCHANGE_TIME = ZoneInfo("America/New_York")
FIRST_DAY = dt.date(2010, 1, 4)
ONE_DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Session:
    """One trading day; ``opens`` and ``closes`` are aware datetimes in exchange time."""

    day: dt.date
    opens: dt.datetime
    closes: dt.datetime

    @property
    def minutes(self) -> int:
        """Length of the session: 390, or 210 on a half day."""
        return int((self.closes - self.opens).total_seconds() // 60)

    def is_open(self, at: dt.datetime) -> bool:
        """Whether the instant lies in the session; the close itself does not."""
        return self.opens <= at < self.closes

    def progress(self, at: dt.datetime) -> float:
        """Elapsed share of the session at an instant, 0 before the open and 1 after the close."""
        elapsed = (at - self.opens) / (self.closes - self.opens)
        return min(max(elapsed, 0.0), 1.0)


def session_on(day: dt.date) -> Session | None:
    """The session of a calendar day, or None on a day without one."""
    calendar = _calendar()
    _check_covered(day)
    label = _label(day)
    if not calendar.is_session(label):
        return None
    opens, closes = calendar.session_open_close(label)
    return Session(day, _in_exchange_time(opens), _in_exchange_time(closes))


def session_at(at: dt.datetime) -> Session | None:
    """The session that is open at an instant, or None when the market is closed."""
    session = session_on(at.astimezone(EXCHANGE_TIME).date())
    return session if session is not None and session.is_open(at) else None


def previous_session(day: dt.date) -> Session:
    """The last session before a calendar day."""
    _check_covered(day)
    label = _calendar().date_to_session(_label(day - ONE_DAY), direction="previous")
    return _existing(label)


def next_session(day: dt.date) -> Session:
    """The first session after a calendar day."""
    _check_covered(day)
    label = _calendar().date_to_session(_label(day + ONE_DAY), direction="next")
    return _existing(label)


def sessions_between(first: dt.date, last: dt.date) -> list[dt.date]:
    """The days with a session from ``first`` to ``last``, both included."""
    if first > last:
        return []
    _check_covered(first)
    _check_covered(last)
    return [label.date() for label in _calendar().sessions_in_range(_label(first), _label(last))]


def _label(day: dt.date) -> dt.datetime:
    return dt.datetime(day.year, day.month, day.day)  # noqa: DTZ001 - exchange_calendars labels sessions without a zone


def _existing(label: pd.Timestamp) -> Session:
    session = session_on(label.date())
    assert session is not None, label
    return session


def _in_exchange_time(instant: pd.Timestamp) -> dt.datetime:
    return instant.tz_convert(EXCHANGE_TIME).to_pydatetime()


def _check_covered(day: dt.date) -> None:
    last = _calendar().last_session.date()
    if not FIRST_DAY <= day <= last:
        raise SlotError(f"{day} is outside the exchange calendar, which covers {FIRST_DAY} to {last}.")


@lru_cache(maxsize=1)
def _calendar() -> xcals.ExchangeCalendar:
    import exchange_calendars as xcals  # it takes seconds to load, which those who only tell the time need not wait for

    return xcals.get_calendar(EXCHANGE, start=FIRST_DAY)
