"""Orders and executions as the gateway keeps them.

Only data and what follows from one order alone. How orders live belongs to ``order_desk``, how they are stored to
``book``, how they look on the wire to ``order_replies``. All times are aware datetimes, prices dollars, quantities
shares.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import IntEnum, StrEnum


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
    STOP_LIMIT = "STP LMT"
    TRAILING_STOP = "TRAIL"

    @property
    def waits_for_trigger(self) -> bool:
        """Whether a price has to be reached before the order works at all."""
        return self in (OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP)


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
HELD_FOR_LOCATE = "locate"


class OcaType(IntEnum):
    """What a fill does to the other orders of its one-cancels-all group.

    IB's "block" lets one order of a group be at the exchange at a time, so that two fills cannot race each other. Here
    a fill changes the group before the next order is looked at, so types 2 and 3 behave alike and nothing overfills.
    """

    CANCEL = 1
    REDUCE_WITH_BLOCK = 2
    REDUCE = 3


@dataclass(frozen=True)
class OrderTerms:
    """What a client asks for; everything about an order that the client may decide.

    A trailing stop follows at ``trail_amount`` dollars or at ``trail_percent`` of the price, one of which is given, and
    starts at ``trail_stop`` where that is given.
    """

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
    trail_amount: float | None = None
    trail_percent: float | None = None
    trail_stop: float | None = None

    @property
    def oca(self) -> OcaType:
        """How its fills change its group; 0, what clients leave unset, means to reduce."""
        return OcaType(self.oca_type or OcaType.REDUCE)


@dataclass(frozen=True)
class Order:
    """An accepted order. ``perm_id`` names it for ever; ``order_id`` only together with ``client_id``.

    Attributes:
        commission: What its fills have cost so far; the minimum counts once an order, not once a fill.
        triggered: Whether its stop price was reached, so that it now works as a market or a limit order.
        trailing_stop: Where the stop of a trailing order stands; None until it has seen a price.
    """

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
    commission: float = 0.0
    triggered: bool = False
    trailing_stop: float | None = None

    @property
    def remaining(self) -> int:
        """Shares that are still to be filled."""
        return self.terms.quantity - self.filled

    @property
    def is_working(self) -> bool:
        """Whether prices can fill it now: alive, not asleep behind its parent, not waiting for shares to borrow."""
        return self.status.is_live and self.why_held not in (HELD_FOR_PARENT, HELD_FOR_LOCATE)

    @property
    def working_type(self) -> OrderType:
        """What it works as: a stop whose price was reached is a market order, a stop-limit a limit order."""
        if not self.triggered:
            return self.terms.order_type
        return OrderType.LIMIT if self.terms.order_type is OrderType.STOP_LIMIT else OrderType.MARKET

    @property
    def stop_price(self) -> float | None:
        """Where it is triggered; a trailing stop has no such price before it has seen one of the market."""
        return self.trailing_stop if self.terms.order_type is OrderType.TRAILING_STOP else self.terms.stop_price


ADDED_LIQUIDITY, REMOVED_LIQUIDITY = 1, 2
"""Whether a fill was of an order that rested at its limit, or of one that took what others showed."""


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
    last_liquidity: int = REMOVED_LIQUIDITY
