"""What the broker's codes mean: one table, with the action we take.

An order's fate is never read from a code that is not listed here: an unknown code leaves the order unknown, and unknown
ends only by what the broker says of the order itself. Sources: IB's list of message codes and the traps that were
reproduced with the client library (10349 arrives while the order lives; 110 arrives without any status). Acting on a
meaning belongs to the callers: ``orders``, ``quotes``, ``bars`` and ``session``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Meaning(Enum):
    """What a code says about the order, the request or the connection it came for."""

    REJECTED = "the order was not accepted and does not exist at the broker"
    CANCELLED = "the order is cancelled"
    HELD = "the order lives and waits"
    INFORMATION = "nothing has happened to the order or request"
    RACE = "a cancel came too late or found no order; the order's own state decides"
    NO_DATA = "the broker has no such contract or data; the symbol is withheld"
    LINK = "TWS and IB's servers lost or regained each other"
    UNKNOWN = "not in the table; treated as unknown, never as rejected"


@dataclass(frozen=True)
class BrokerCode:
    """One code with its meaning and what we do about it."""

    code: int
    meaning: Meaning
    text: str


CLIENT_ID_IN_USE = 326
LINK_LOST = frozenset({1100, 2110})
LINK_RESTORED = frozenset({1101, 1102})
PACING_TEXT = "pacing violation"

_TABLE = (
    BrokerCode(103, Meaning.REJECTED, "duplicate order id: the leg was not taken"),
    BrokerCode(104, Meaning.RACE, "a filled order cannot be changed"),
    BrokerCode(105, Meaning.RACE, "the change does not match the order, which stays as it was"),
    BrokerCode(107, Meaning.REJECTED, "the order is incomplete"),
    BrokerCode(109, Meaning.REJECTED, "the price is too far from the market for TWS's precautions"),
    BrokerCode(110, Meaning.REJECTED, "the price is off the tick grid; no status ever follows"),
    BrokerCode(111, Meaning.REJECTED, "time in force and order type do not go together"),
    BrokerCode(116, Meaning.REJECTED, "the exchange is closed to orders"),
    BrokerCode(133, Meaning.REJECTED, "the order could not be submitted"),
    BrokerCode(135, Meaning.RACE, "no order with this id; for a child, its parent is gone"),
    BrokerCode(136, Meaning.RACE, "the order cannot be cancelled"),
    BrokerCode(161, Meaning.RACE, "the order is not in a state to be cancelled"),
    BrokerCode(162, Meaning.NO_DATA, "no history, or the request came too fast"),
    BrokerCode(165, Meaning.NO_DATA, "a scan found nothing"),
    BrokerCode(200, Meaning.NO_DATA, "no such contract; an order for it was not taken"),
    BrokerCode(201, Meaning.REJECTED, "the order was rejected, the text says why"),
    BrokerCode(202, Meaning.CANCELLED, "the order was cancelled"),
    BrokerCode(203, Meaning.REJECTED, "the security may not be traded in this account"),
    BrokerCode(321, Meaning.REJECTED, "the request is invalid, or the API is read-only"),
    BrokerCode(354, Meaning.NO_DATA, "no market data subscription"),
    BrokerCode(387, Meaning.REJECTED, "the order type is not supported for this stock"),
    BrokerCode(388, Meaning.REJECTED, "the order is smaller than the minimum"),
    BrokerCode(391, Meaning.REJECTED, "the time in force is not valid here"),
    BrokerCode(399, Meaning.INFORMATION, "a remark on an order that lives, such as when it will work"),
    BrokerCode(404, Meaning.HELD, "the order is held while shares to sell short are located"),
    BrokerCode(434, Meaning.REJECTED, "the order has no size"),
    BrokerCode(435, Meaning.REJECTED, "the order names no account"),
    BrokerCode(460, Meaning.REJECTED, "no permission to trade this"),
    BrokerCode(1100, Meaning.LINK, "TWS lost IB's servers: nothing is sent until they are back"),
    BrokerCode(1101, Meaning.LINK, "the servers are back, subscriptions were lost"),
    BrokerCode(1102, Meaning.LINK, "the servers are back, subscriptions were kept"),
    BrokerCode(2110, Meaning.LINK, "TWS lost IB's servers, it will reconnect by itself"),
    BrokerCode(10006, Meaning.REJECTED, "the parent of the order is missing"),
    BrokerCode(10089, Meaning.INFORMATION, "quotes need a subscription, delayed ones may follow"),
    BrokerCode(10090, Meaning.INFORMATION, "part of the quotes needs a subscription, delayed ones may follow"),
    BrokerCode(10147, Meaning.RACE, "the order to cancel was not found"),
    BrokerCode(10148, Meaning.RACE, "the order to cancel is done already"),
    BrokerCode(10167, Meaning.INFORMATION, "delayed quotes are sent instead"),
    BrokerCode(10168, Meaning.NO_DATA, "no market data subscription and delayed quotes are off"),
    BrokerCode(10197, Meaning.NO_DATA, "another session of the login takes the market data"),
    BrokerCode(10349, Meaning.INFORMATION, "the time in force was set by a preset; the order lives"),
)

CODES: dict[int, BrokerCode] = {row.code: row for row in _TABLE}
"""Code to its row."""


def meaning_of(code: int) -> Meaning:
    """What a code means for a request or the connection. Codes 2100-2199 are remarks of TWS unless listed."""
    if code in CODES:
        return CODES[code].meaning
    return Meaning.INFORMATION if 2100 <= code < 2200 else Meaning.UNKNOWN


def meaning_for_order(code: int) -> Meaning:
    """What a code means when it comes for an order: as ``meaning_of``, but a missing contract is a rejection."""
    return Meaning.REJECTED if code == 200 else meaning_of(code)
