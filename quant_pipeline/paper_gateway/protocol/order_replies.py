"""Orders, executions and commissions on the wire: the longest messages a server sends.

Layouts follow the client's decoder field by field; comments name what stands at a place, since most of an order is
empty for a stock. Golden field counts hold them in the tests (an open order at version 176 has 136 fields).
"""

from __future__ import annotations

from quant_pipeline.paper_gateway.exchange.orders import Execution, Order
from quant_pipeline.paper_gateway.markets.market import Instrument
from quant_pipeline.paper_gateway.protocol.replies import Message
from quant_pipeline.paper_gateway.protocol.securities import CURRENCY, contract_fields
from quant_pipeline.paper_gateway.protocol.wire import UNSET
from quant_pipeline.paper_gateway.protocol.wire_times import zoned_text

BOUGHT, SOLD = "BOT", "SLD"
LIVE = -1
"""The request id of executions that nobody asked for."""

DELTA_NEUTRAL_NONE = "None"
"""A word and not an absence: eight more fields follow it."""


def order_status(order: Order) -> Message:
    """3: where an order stands."""
    return [
        3,
        order.order_id,
        order.status,
        order.filled,
        order.remaining,
        order.average_price,
        order.perm_id,
        order.terms.parent_id,
        order.last_price,
        order.client_id,
        order.why_held,
        0,  # mktCapPrice
    ]


def open_order(version: int, instrument: Instrument, order: Order, account: str) -> Message:
    """5: an order with all its terms."""
    terms = order.terms
    fields: Message = [
        5,
        order.order_id,
        *contract_fields(instrument),
        terms.action,
        terms.quantity,
        terms.order_type,
        terms.limit_price or 0.0,
        terms.stop_price or terms.trail_amount or 0.0,
        terms.tif,
        terms.oca_group,
        account,
        "",  # openClose
        0,  # origin
        terms.order_ref,
        order.client_id,
        order.perm_id,
        terms.outside_rth,
        *_no_schedule(),
        *_no_settlement(),
        -1,  # exemptCode
        0,  # auctionStrategy
        *[""] * 6,  # startingPrice, stockRefPrice, delta, stockRangeLower, stockRangeUpper, displaySize
        *[0] * 3,  # blockOrder, sweepToFill, allOrNone
        "",  # minQty
        terms.oca_type or 3,
        *[0] * 2,  # eTradeOnly, firmQuoteOnly
        "",  # nbboPriceCap
        terms.parent_id,
        0,  # triggerMethod
        "",  # volatility
        0,  # volatilityType
        DELTA_NEUTRAL_NONE,
        "",  # deltaNeutralAuxPrice
        *[0, "", "", "", "?", 0, 0, ""],  # the eight fields behind the delta-neutral type
        *[0, 0],  # continuousUpdate, referencePriceType
        *_trailing(order),
        *[""] * 3,  # basisPoints, basisPointsType, comboLegsDescrip
        *_no_legs_and_scale(),
        0,  # optOutSmartRouting
        *_clearing(),
        *[0, 0],  # solicited, whatIf
        order.status,
    ]
    return fields + [UNSET] * 9 + _order_tail(version, order)


def what_if(version: int, instrument: Instrument, order: Order, account: str, effect: Message) -> Message:
    """5: the answer to a what-if order: an open order whose nine margin fields and commission are filled in.

    Args:
        version: The server version.
        instrument: What the order would trade.
        order: The order that was not placed.
        account: The account it would trade for.
        effect: Nine margins (before, change, after; each initial, maintenance, equity), then the commission.
    """
    fields = open_order(version, instrument, order, account)
    status = len(fields) - len(_order_tail(version, order)) - 10
    fields[status - 1] = 1
    fields[status + 1 : status + 1 + len(effect)] = effect
    return fields


def _trailing(order: Order) -> Message:
    """trailStopPrice, where the stop stands now, and trailingPercent."""
    stop, percent = _trail_stop(order), order.terms.trail_percent
    return ["" if stop is None else stop, "" if percent is None else percent]


def _trail_stop(order: Order) -> float | None:
    return order.terms.trail_stop if order.trailing_stop is None else order.trailing_stop


def _trail_stop_or_unset(order: Order) -> float | str:
    """The same price at its second place; clients believe this one."""
    stop = _trail_stop(order)
    return UNSET if stop is None else stop


def _order_tail(version: int, order: Order) -> Message:
    """From the commission of an order state to the end of an open order."""
    return [
        *[UNSET] * 3,  # commission, minCommission, maxCommission
        CURRENCY,
        "",  # warningText
        *[0] * 2,  # randomizeSize, randomizePrice
        0,  # number of conditions
        "None",  # adjustedOrderType
        UNSET,  # triggerPrice
        _trail_stop_or_unset(order),
        *[UNSET] * 4,  # lmtPriceOffset, adjustedStopPrice, adjustedStopLimitPrice, adjustedTrailingAmount
        0,  # adjustableTrailingUnit
        *[""] * 3,  # softDollarTier
        *[0] * 5,  # cashQty, dontUseAutoPriceForHedge, isOmsContainer, discretionaryUpToLimit, usePriceMgmtAlgo
        *([""] if version >= 158 else []),  # duration
        *([""] if version >= 160 else []),  # postToAts
        *([0] if version >= 162 else []),  # autoCancelParent
        *([""] * 5 if version >= 170 else []),  # minTradeQty .. midOffsetAtHalf
    ]


def completed_order(version: int, instrument: Instrument, order: Order, account: str) -> Message:
    """101: an order that is filled, cancelled or refused. It carries no order id and no client."""
    terms = order.terms
    return [
        101,
        *contract_fields(instrument),
        terms.action,
        terms.quantity,
        terms.order_type,
        terms.limit_price or 0.0,
        terms.stop_price or terms.trail_amount or 0.0,
        terms.tif,
        terms.oca_group,
        account,
        "",  # openClose
        0,  # origin
        terms.order_ref,
        order.perm_id,
        terms.outside_rth,
        *_no_schedule()[:3],
        *_no_schedule()[4:],
        *_no_settlement(),
        -1,  # exemptCode
        *[""] * 6,  # startingPrice, stockRefPrice, delta, stockRangeLower, stockRangeUpper, displaySize
        *[0] * 2,  # sweepToFill, allOrNone
        "",  # minQty
        terms.oca_type or 3,
        0,  # triggerMethod
        "",  # volatility
        0,  # volatilityType
        DELTA_NEUTRAL_NONE,
        "",  # deltaNeutralAuxPrice
        *[0, 0, 0, ""],  # the four fields behind the delta-neutral type
        *[0, 0],  # continuousUpdate, referencePriceType
        *_trailing(order),
        "",  # comboLegsDescrip
        *_no_legs_and_scale(),
        *_clearing(),
        0,  # solicited
        order.status,
        *[0] * 2,  # randomizeSize, randomizePrice
        0,  # number of conditions
        _trail_stop_or_unset(order),
        UNSET,  # lmtPriceOffset
        *[0] * 3,  # cashQty, dontUseAutoPriceForHedge, isOmsContainer
        "",  # autoCancelDate
        order.filled,
        0,  # refFuturesConId
        0,  # autoCancelParent
        "",  # shareholder
        *[0] * 2,  # imbalanceOnly, routeMarketableToBbo
        order.parent_perm_id,
        zoned_text(order.completed_at or order.placed_at),
        order.completed_status,
        *([""] * 5 if version >= 170 else []),  # minTradeQty .. midOffsetAtHalf
    ]


def _no_schedule() -> Message:
    """From ``hidden`` to ``rule80A`` and ``percentOffset``; the fourth field is one that completed orders lack."""
    return [
        *[0, 0, ""],  # hidden, discretionaryAmt, goodAfterTime
        "",  # sharesAllocation
        *[""] * 4,  # faGroup, faMethod, faPercentage, faProfile
        *[""] * 4,  # modelCode, goodTillDate, rule80A, percentOffset
    ]


def _no_settlement() -> Message:
    return ["", 0, ""]  # settlingFirm, shortSaleSlot, designatedLocation


def _no_legs_and_scale() -> Message:
    return [
        *[0] * 3,  # numbers of combo legs, order legs, routing parameters
        *[""] * 3,  # scaleInitLevelSize, scaleSubsLevelSize, scalePriceIncrement
        "",  # hedgeType
    ]


def _clearing() -> Message:
    return [
        "",  # clearingAccount
        "IB",  # clearingIntent
        0,  # notHeld
        0,  # delta-neutral contract present
        "",  # algoStrategy
    ]


def open_order_end() -> Message:
    """53: all open orders were told."""
    return [53, 1]


def completed_orders_end() -> Message:
    """102: all completed orders were told."""
    return [102]


def execution_details(req_id: int, instrument: Instrument, execution: Execution, account: str) -> Message:
    """11: one fill."""
    return [
        11,
        req_id,
        execution.order_id,
        *contract_fields(instrument, instrument.primary_exchange),
        execution.exec_id,
        zoned_text(execution.at),
        account,
        instrument.primary_exchange,
        BOUGHT if execution.action.sign > 0 else SOLD,
        execution.shares,
        execution.price,
        execution.perm_id,
        execution.client_id,
        0,  # liquidation
        execution.cumulative,
        execution.average_price,
        execution.order_ref,
        "",  # evRule
        "",  # evMultiplier
        "",  # modelCode
        execution.last_liquidity,
    ]


def execution_details_end(req_id: int) -> Message:
    """55: all executions were told."""
    return [55, 1, req_id]


def commission_report(execution: Execution) -> Message:
    """59: what a fill cost and what it realised."""
    realized = UNSET if execution.realized_pnl is None else round(execution.realized_pnl, 4)
    return [59, 1, execution.exec_id, execution.commission, CURRENCY, realized, UNSET, ""]
