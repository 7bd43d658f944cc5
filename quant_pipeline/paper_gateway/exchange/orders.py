"""Orders and executions as the gateway keeps them.

Only data and what follows from one order alone. How orders live belongs to ``order_desk``, how they are stored to
``book``, how they look on the wire to ``order_replies``. All times are aware datetimes, prices dollars, quantities
shares.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum


class Action(StrEnum):
    """Which side of the market an order takes."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for a purchase, -1 for a sale."""
        return 1 if self is Action.BUY else -1


class OrderType(StrEnum):
    """The order types that are imitated."""

    LIMIT = "LMT"
    MARKET = "MKT"
    STOP = "STP"


class TimeInForce(StrEnum):
    """How long an order works."""

    DAY = "DAY"
    GTC = "GTC"


class Status(StrEnum):
    """The words of the wire for where an order stands."""

    PRE_SUBMITTED = "PreSubmitted"
    SUBMITTED = "Submitted"
    FILLED = "Filled"
    CANCELLED = "Cancelled"
    INACTIVE = "Inactive"

    @property
    def is_live(self) -> bool:
        """Whether the order can still be filled."""
        return self in (Status.PRE_SUBMITTED, Status.SUBMITTED)


HELD_FOR_PARENT = "child"
HELD_FOR_TRIGGER = "trigger"


@dataclass(frozen=True)
class OrderTerms:
    """What a client asks for; everything about an order that the client may decide."""

    symbol: str
    action: Action
    quantity: int
    order_type: OrderType
    limit_price: float | None
    stop_price: float | None
    tif: TimeInForce
    oca_group: str = ""
    oca_type: int = 0
    order_ref: str = ""
    parent_id: int = 0
    outside_rth: bool = False


@dataclass(frozen=True)
class Order:
    """An accepted order. ``perm_id`` names it for ever; ``order_id`` only together with ``client_id``."""

    perm_id: int
    client_id: int
    order_id: int
    terms: OrderTerms
    status: Status
    why_held: str
    parent_perm_id: int
    placed_at: dt.datetime
    expires_at: dt.datetime | None
    filled: int = 0
    average_price: float = 0.0
    last_price: float = 0.0
    completed_at: dt.datetime | None = None
    completed_status: str = ""

    @property
    def remaining(self) -> int:
        """Shares that are still to be filled."""
        return self.terms.quantity - self.filled

    @property
    def is_working(self) -> bool:
        """Whether prices can fill it now: alive and not asleep behind its parent."""
        return self.status.is_live and self.why_held != HELD_FOR_PARENT


@dataclass(frozen=True)
class Execution:
    """One fill. ``realized_pnl`` is None where it only opened or enlarged a position."""

    exec_id: str
    perm_id: int
    client_id: int
    order_id: int
    symbol: str
    action: Action
    shares: int
    price: float
    at: dt.datetime
    cumulative: int
    average_price: float
    order_ref: str
    commission: float
    realized_pnl: float | None
