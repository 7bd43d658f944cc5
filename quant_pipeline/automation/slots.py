"""Slots: the 15-minute pieces of a session that are the partitions of every asset.

A slot is keyed by its start in exchange time, ``2026-11-20T10:15``. Keys, their order and their bounds belong here; the
calendar behind them is ``automation.sessions``, and which slot it is now is for the broker's clock to say.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quant_pipeline.automation.sessions import EXCHANGE_TIME, Session, next_session, session_at, session_on
from quant_pipeline.errors import SlotError

if TYPE_CHECKING:
    import pandas as pd

SLOT_LENGTH = dt.timedelta(minutes=15)
KEY_FORMAT = "%Y-%m-%dT%H:%M"
PARTITIONS = "slot"
"""Name of the set of partitions that Dagster keeps the slots in."""


@dataclass(frozen=True)
class Slot:
    """A quarter of an hour of a session; ``starts`` and ``ends`` are aware datetimes in exchange time."""

    session: Session
    starts: dt.datetime

    @property
    def key(self) -> str:
        """The slot's name, which is also its partition key."""
        return self.starts.strftime(KEY_FORMAT)

    @property
    def ends(self) -> dt.datetime:
        """The first instant that is no longer in the slot."""
        return min(self.starts + SLOT_LENGTH, self.session.closes)

    def is_over(self, now: dt.datetime) -> bool:
        """Whether the slot lies in the past."""
        return now >= self.ends

    def has_begun(self, now: dt.datetime) -> bool:
        """Whether the slot lies in the present or the past."""
        return now >= self.starts


def parse_slot(key: str) -> Slot:
    """The slot with a key. Raises ``SlotError`` saying why when there is none."""
    try:
        starts = dt.datetime.strptime(key, KEY_FORMAT).replace(tzinfo=EXCHANGE_TIME)
    except ValueError:
        raise SlotError(f"{key!r} is not a slot; write its start in exchange time, like 2026-11-20T10:15.") from None
    session = session_on(starts.date())
    if session is None:
        raise SlotError(f"{key} is not a market slot: the exchange has no session on {starts.date()}.")
    if not session.is_open(starts) or (starts - session.opens) % SLOT_LENGTH:
        raise SlotError(
            f"{key} is not a market slot: the slots of {starts.date()} start every 15 minutes from "
            f"{session.opens:%H:%M} to {slots_of(session)[-1].starts:%H:%M}."
        )
    return Slot(session, starts)


def slot_at(now: dt.datetime) -> Slot | None:
    """The slot an instant lies in, or None when the market is closed."""
    session = session_at(now)
    if session is None:
        return None
    elapsed = (now - session.opens) // SLOT_LENGTH
    return Slot(session, session.opens + elapsed * SLOT_LENGTH)


def slot_containing(at: dt.datetime) -> Slot:
    """The slot an instant lies in; a naive one is in exchange time. Raises ``SlotError`` when the market is closed."""
    local = at.replace(tzinfo=EXCHANGE_TIME) if at.tzinfo is None else at.astimezone(EXCHANGE_TIME)
    slot = slot_at(local)
    if slot is None:
        opens = next_session(local.date()).opens
        raise SlotError(
            f"The exchange is closed at {local:%Y-%m-%d %H:%M}, so there is no slot then; the next session after that "
            f"day opens on {opens:%Y-%m-%d at %H:%M}."
        )
    return slot


def slots_of(session: Session) -> list[Slot]:
    """All slots of a session in order: 26, or 14 on a half day."""
    count = -(-(session.closes - session.opens) // SLOT_LENGTH)
    return [Slot(session, session.opens + index * SLOT_LENGTH) for index in range(count)]


def session_progress(slot: Slot, quotes: pd.DataFrame) -> float:
    """Share of the session that had passed when a slot's quotes were read, 0-1."""
    observed = quotes["observed_at"].dropna().tolist()
    return slot.session.progress(max(observed, default=slot.starts))
