"""Sessions as the gateway needs them: is the exchange open, when does a DAY order end, which sessions lie in between.

The calendar itself is ``automation.sessions``, the only one of the project; this module only remembers its answers,
since the matching loop asks four times a second, and words them for contract details.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache

from quant_pipeline.automation.sessions import EXCHANGE_TIME, Session, next_session, previous_session, session_on

DAYS_IN_CONTRACT_DETAILS = 6
A_SECOND = dt.timedelta(seconds=1)


@lru_cache(maxsize=512)
def session_of(day: dt.date) -> Session | None:
    """The session of a calendar day, or None on a day without one."""
    return session_on(day)


def exchange_day(at: dt.datetime) -> dt.date:
    """The calendar day in New York."""
    return at.astimezone(EXCHANGE_TIME).date()


def midnight(day: dt.date) -> dt.datetime:
    """The instant a day begins in New York."""
    return dt.datetime.combine(day, dt.time(), EXCHANGE_TIME)


def is_open(at: dt.datetime) -> bool:
    """Whether the exchange trades at an instant."""
    session = session_of(exchange_day(at))
    return session is not None and session.is_open(at)


def latest_session(at: dt.datetime) -> Session:
    """The session that is open, or the last one that was."""
    session = session_of(exchange_day(at))
    return session if session is not None and session.opens <= at else previous_session(exchange_day(at))


def closing_after(at: dt.datetime) -> dt.datetime:
    """The close of the session that is open at an instant, or of the next one."""
    session = session_of(exchange_day(at))
    if session is None or session.closes <= at:
        session = next_session(exchange_day(at))
    return session.closes


def sessions_within(since: dt.datetime, until: dt.datetime) -> list[tuple[Session, dt.datetime, dt.datetime]]:
    """The stretches of trading time in (since, until]: each session with its start and end inside that window.

    The start is excluded, so one that holds the open begins a second before it: the opening trade is part of it.
    """
    stretches: list[tuple[Session, dt.datetime, dt.datetime]] = []
    session = session_of(exchange_day(since))
    if session is None:
        session = next_session(exchange_day(since))
    while session.opens <= until:
        start, end = max(since, session.opens - A_SECOND), min(until, session.closes)
        if start < end:
            stretches.append((session, start, end))
        session = next_session(session.day)
    return stretches


@lru_cache(maxsize=16)
def hours_text(day: dt.date) -> str:
    """Trading hours from a day on as contract details word them: ``20180220:0930-20180220:1600;20180224:CLOSED``."""
    days = (day + dt.timedelta(days=offset) for offset in range(DAYS_IN_CONTRACT_DETAILS))
    return ";".join(_hours(each) for each in days)


def _hours(day: dt.date) -> str:
    session = session_of(day)
    if session is None:
        return f"{day:%Y%m%d}:CLOSED"
    return f"{session.opens:%Y%m%d:%H%M}-{session.closes:%Y%m%d:%H%M}"
