"""The time of the paper gateway: the wall clock, a moment in the past, a faster one, or one that a test moves by hand.

Only the source of "now" belongs here; when the exchange is open is ``automation.sessions``' business. The gateway's
command makes one clock and hands it to the server, which answers reqCurrentTime from it, so that it becomes the time of
the whole pipeline.
"""

from __future__ import annotations

import datetime as dt
import math
import time
from collections.abc import Callable
from typing import Protocol

from quant_pipeline.automation.sessions import EXCHANGE_TIME, previous_session, session_on
from quant_pipeline.errors import UsageError

FIRST_LIGHT = dt.timedelta(minutes=45)
"""How long after the open a session starts that is replayed because the market is closed: 10:15."""


class Clock(Protocol):
    """Whatever says what time it is at the exchange."""

    @property
    def runs(self) -> bool:
        """Whether time passes by itself; else it stands still between steps, and nothing may ask the machine's."""
        ...

    def now(self) -> dt.datetime:
        """The present instant as an aware datetime in exchange time."""
        ...


class GatewayClock:
    """A clock that starts at an instant and runs ``speed`` times as fast as the machine's monotonic clock."""

    runs = True

    def __init__(self, start: dt.datetime, speed: float = 1.0) -> None:
        if not (math.isfinite(speed) and speed > 0):
            raise UsageError(f"The clock's speed is {speed}; give a number above 0, such as 1 or 60.")
        self.speed = speed
        self._start = exchange_time(start).astimezone(dt.UTC)
        self._started = time.monotonic()

    @classmethod
    def starting(
        cls,
        at: dt.datetime | None = None,
        speed: float = 1.0,
        not_before: dt.datetime | None = None,
        *,
        wall_time: Callable[[], dt.datetime] = lambda: dt.datetime.now(EXCHANGE_TIME),
    ) -> GatewayClock:
        """Return the clock a gateway starts with.

        Args:
            at: The instant to start at; naive means exchange time, and it need not lie in a session. None means the
                wall clock while the exchange is open and otherwise 10:15 of the last completed session, so that a first
                run on a Sunday shows a market.
            speed: Seconds of the exchange per second of the machine, above 0.
            not_before: The last instant the gateway's book has seen; time never runs back behind it.
            wall_time: Where the wall clock is read.

        Raises:
            UsageError: The speed is not a positive number.
            SlotError: The instant lies outside the exchange calendar.
        """
        return cls(starting_instant(at, not_before, wall_time=wall_time), speed)

    def now(self) -> dt.datetime:
        """The present instant as an aware datetime in exchange time; never runs backwards."""
        elapsed = dt.timedelta(seconds=(time.monotonic() - self._started) * self.speed)
        return (self._start + elapsed).astimezone(EXCHANGE_TIME)


class ManualClock:
    """A clock that stands still until it is moved, for tests and for stepping through a session."""

    runs = False

    def __init__(self, start: dt.datetime) -> None:
        self._now = exchange_time(start).astimezone(dt.UTC)

    def now(self) -> dt.datetime:
        """The instant it was last moved to, in exchange time."""
        return self._now.astimezone(EXCHANGE_TIME)

    def set(self, instant: dt.datetime) -> None:
        """Move to an instant; naive means exchange time.

        Raises:
            ValueError: The instant lies before the present one.
        """
        moved = exchange_time(instant).astimezone(dt.UTC)
        if moved < self._now:
            raise ValueError(f"the clock stands at {self.now()} and does not run back to {instant}")
        self._now = moved

    def advance(self, by: dt.timedelta) -> None:
        """Move forward by a span of time, which must not be negative."""
        self.set(self._now + by)


def clock_starting(at: dt.datetime | None, speed: float, not_before: dt.datetime | None) -> GatewayClock | ManualClock:
    """The clock of a gateway: one that stands still at speed 0, else one that runs.

    Raises:
        UsageError: The speed is negative or no number.
        SlotError: The instant lies outside the exchange calendar.
    """
    if speed == 0:
        return ManualClock(starting_instant(at, not_before))
    return GatewayClock.starting(at, speed, not_before)


def starting_instant(
    at: dt.datetime | None = None,
    not_before: dt.datetime | None = None,
    *,
    wall_time: Callable[[], dt.datetime] = lambda: dt.datetime.now(EXCHANGE_TIME),
) -> dt.datetime:
    """Where a clock starts, as ``GatewayClock.starting`` describes it."""
    start = _default_start(wall_time()) if at is None else exchange_time(at)
    if not_before is not None:
        start = max(start, exchange_time(not_before))
    session_on(start.date())
    return start


def exchange_time(instant: dt.datetime) -> dt.datetime:
    """The instant in exchange time; a naive one is taken to be exchange time already."""
    if instant.tzinfo is None:
        return instant.replace(tzinfo=EXCHANGE_TIME)
    return instant.astimezone(EXCHANGE_TIME)


def _default_start(wall: dt.datetime) -> dt.datetime:
    wall = exchange_time(wall)
    today = session_on(wall.date())
    if today is not None and today.is_open(wall):
        return wall
    completed = today if today is not None and wall >= today.closes else previous_session(wall.date())
    return completed.opens + FIRST_LIGHT
