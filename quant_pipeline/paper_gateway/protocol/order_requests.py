"""Placing and cancelling orders: the longest message of the protocol, read down to what the gateway imitates.

The whole layout up to ``whatIf`` is walked, since optional groups in the middle move what follows. What an order may
not carry here (algorithms, hedges, conditions, scales) is named, so that it is refused and never silently dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from quant_pipeline.paper_gateway.protocol.securities import ContractQuery, read_contract
from quant_pipeline.paper_gateway.protocol.wire import FieldError, Fields

MAX_PARAMETERS = 100


@dataclass(frozen=True)
class PlaceOrder:
    """3: an order as the client words it; nothing is checked yet."""

    order_id: int
    contract: ContractQuery
    action: str
    quantity: float
    order_type: str
    limit_price: float | None
    aux_price: float | None
    tif: str
    oca_group: str
    oca_type: int
    account: str
    order_ref: str
    transmit: bool
    parent_id: int
    outside_rth: bool
    what_if: bool
    not_imitated: tuple[str, ...]
    trail_stop_price: float | None = None
    trailing_percent: float | None = None


@dataclass(frozen=True)
class CancelOrder:
    """4: cancel an order of this client."""

    order_id: int


def read_cancel_order(fields: Fields) -> CancelOrder:
    """Message 4; the time of a manual cancel, which newer clients add, makes no difference."""
    fields.skip(1)
    return CancelOrder(fields.integer())


def read_place_order(fields: Fields) -> PlaceOrder:
    """Message 3 of server versions 157 to 176.

    Raises:
        FieldError: The message is cut off or a number is none. Combination (BAG) orders are not read.
    """
    order_id, contract = fields.integer(), read_contract(fields)
    if order_id < 1:
        raise FieldError(f"{order_id} is no order id")
    if contract.sec_type == "BAG":
        raise FieldError("combination orders are not imitated")
    fields.skip(2)  # secIdType, secId
    action, quantity, order_type = fields.text(), fields.number() or 0.0, fields.text()
    limit_price, aux_price, tif, oca_group = fields.number(), fields.number(), fields.text(), fields.text()
    account = fields.text()
    fields.skip(2)  # openClose, origin
    order_ref, transmit, parent_id = fields.text(), fields.flag(), fields.integer()
    fields.skip(4)  # blockOrder, sweepToFill, displaySize, triggerMethod
    outside_rth = fields.flag()
    fields.skip(3)  # hidden, sharesAllocation, discretionaryAmt
    refused = [name for name in ("goodAfterTime", "goodTillDate") if fields.text()]
    fields.skip(8)  # faGroup, faMethod, faPercentage, faProfile, modelCode, shortSaleSlot, designatedLocation, exempt
    oca_type = fields.integer()
    fields.skip(2)  # rule80A, settlingFirm
    if fields.flag():
        refused.append("allOrNone")
    tail = _read_tail(fields)
    return PlaceOrder(
        order_id=order_id,
        contract=contract,
        action=action,
        quantity=quantity,
        order_type=order_type,
        limit_price=limit_price,
        aux_price=aux_price,
        tif=tif,
        oca_group=oca_group,
        oca_type=oca_type,
        account=account,
        order_ref=order_ref,
        transmit=transmit,
        parent_id=parent_id,
        outside_rth=outside_rth,
        what_if=tail.what_if,
        not_imitated=(*refused, *tail.not_imitated),
        trail_stop_price=tail.trail_stop_price,
        trailing_percent=tail.trailing_percent,
    )


class _Tail(NamedTuple):
    trail_stop_price: float | None
    trailing_percent: float | None
    what_if: bool
    not_imitated: list[str]


def _read_tail(fields: Fields) -> _Tail:
    """From ``minQty`` to the conditions: trailing prices, ``whatIf``, and the names of what is not imitated."""
    refused: list[str] = []
    fields.skip(14)  # minQty .. volatilityType
    delta_neutral = fields.text()
    fields.skip(1 if not delta_neutral else 9)  # deltaNeutralAuxPrice and, if there is one, its eight fields
    fields.skip(2)  # continuousUpdate, referencePriceType
    trail_stop_price, trailing_percent = fields.number(), fields.number()
    fields.skip(2)  # scaleInitLevelSize, scaleSubsLevelSize
    if (fields.number() or 0.0) > 0:
        refused.append("scalePriceIncrement")
        fields.skip(7)
    fields.skip(3)  # scaleTable, activeStartTime, activeStopTime
    if fields.text():
        refused.append("hedgeType")
        fields.skip(1)
    fields.skip(4)  # optOutSmartRouting, clearingAccount, clearingIntent, notHeld
    if fields.flag():
        refused.append("deltaNeutralContract")
        fields.skip(3)
    if fields.text():
        refused.append("algoStrategy")
        fields.skip(2 * _bounded(fields.integer()))
    fields.skip(1)  # algoId
    what_if = fields.flag()
    fields.skip(4)  # orderMiscOptions, solicited, randomizeSize, randomizePrice
    if fields.text() not in ("", "0"):  # the number of conditions; PEG BENCH is refused by its type anyway
        refused.append("conditions")
    return _Tail(trail_stop_price, trailing_percent, what_if, refused)


def _bounded(count: int) -> int:
    if not 0 <= count <= MAX_PARAMETERS:
        raise FieldError(f"an order with {count} parameters is not possible")
    return count
