"""A bracket, its legs, and what the broker says of them, as plain frozen data.

The shapes that cross the border between the order desk and its callers (the executions asset, the order journal). How
they come about belongs to ``orders`` and ``leg_states``.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import Enum
from typing import Literal, Self

OPPOSITE = {"BUY": "SELL", "SELL": "BUY"}
EventKind = Literal["open_order", "status", "execution", "commission", "error"]


@dataclass(frozen=True)
class Leg:
    """One order of a bracket; prices in dollars."""

    order_ref: str
    leg: Literal["entry", "target", "stop"]
    action: str
    order_type: Literal["LMT", "STP"]
    price: float
    time_in_force: Literal["DAY", "GTC"]

    @property
    def is_entry(self) -> bool:
        """Whether it is the parent of the others."""
        return self.leg == "entry"

    @property
    def is_last(self) -> bool:
        """Whether it transmits the whole bracket. The stop does: no entry can go out before its stop is there."""
        return self.leg == "stop"


@dataclass(frozen=True)
class BracketOrder:
    """A limit entry with a stop-loss and a profit target. ``order_ref`` is ``SLOT:SYMBOL``; quantity in shares."""

    order_ref: str
    symbol: str
    con_id: int
    direction: Literal["LONG", "SHORT"]
    quantity: int
    entry: float
    stop: float
    target: float

    def __post_init__(self) -> None:
        rising = self.stop < self.entry < self.target
        falling = self.stop > self.entry > self.target
        if self.quantity < 1 or min(self.stop, self.entry, self.target) <= 0:
            raise ValueError(f"{self.order_ref}: quantity and prices of a bracket are positive")
        if not (rising if self.direction == "LONG" else falling):
            raise ValueError(f"{self.order_ref}: stop, entry and target of a {self.direction} bracket are out of order")

    def legs(self) -> tuple[Leg, Leg, Leg]:
        """Entry, target and stop, in the order they are sent."""
        opens = "BUY" if self.direction == "LONG" else "SELL"
        closes = OPPOSITE[opens]
        return (
            Leg(f"{self.order_ref}:entry", "entry", opens, "LMT", self.entry, "DAY"),
            Leg(f"{self.order_ref}:target", "target", closes, "LMT", self.target, "GTC"),
            Leg(f"{self.order_ref}:stop", "stop", closes, "STP", self.stop, "GTC"),
        )


class Outcome(Enum):
    """What is known of a leg."""

    WORKING = "the broker has it and it waits"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "the broker refused it"
    UNKNOWN = "sent, or perhaps sent, and the broker has not said what became of it"
    NOT_SENT = "never put on the wire"


@dataclass(frozen=True)
class LegReport:
    """What is known of a leg when the waiting ends; ``code`` and ``text`` are the broker's last words about it."""

    order_ref: str
    outcome: Outcome
    order_id: int = 0
    perm_id: int = 0
    status: str = ""
    filled: float = 0.0
    average_price: float | None = None
    code: int | None = None
    text: str = ""

    @classmethod
    def not_sent(cls, order_ref: str, reason: str) -> Self:
        """The report of a leg that never went out."""
        return cls(order_ref, Outcome.NOT_SENT, text=reason)


@dataclass(frozen=True)
class BrokerEvent:
    """One thing the broker said about an order, with the broker's time of hearing it (whole seconds, UTC).

    ``status``, ``filled``, ``remaining`` and ``average_price`` come with kind ``status``; ``code`` and ``text`` with
    ``error``; ``exec_id``, ``quantity`` and ``price`` with ``execution`` (whose ``at`` is the time of the fill);
    ``exec_id`` and ``commission`` with ``commission``.
    """

    order_ref: str
    perm_id: int
    kind: EventKind
    at: dt.datetime
    status: str = ""
    code: int | None = None
    text: str = ""
    filled: float | None = None
    remaining: float | None = None
    average_price: float | None = None
    exec_id: str = ""
    quantity: float | None = None
    price: float | None = None
    commission: float | None = None
