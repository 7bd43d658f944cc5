"""What one limit says of one order: the figure it would come to, what is allowed, and the refusal in words.

How a figure is held against its limit and how both are recorded belong here, with what can be said of the limits
before there is an order. What the figures are, and in which order they are judged, is for ``portfolio_risk_manager``;
``quant-pipeline doctor`` asks whether the limits leave room for any order at all.

A recorded figure is rounded, the decision is not: where rounding would put a figure on the other side of its limit,
the nearest one on the right side is recorded, so that the record and the decision always agree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from quant_pipeline.settings import RiskSettings

DUST = 1e-6
"""Floating-point dust: a figure within this many dollars of a limit is at the limit."""

PERCENT = "% of capital"
DOLLARS = "$"
POSITIONS = "positions"

DECIMALS = 3
"""Figures are recorded to these: in percent of $100,000 that is to the dollar.

Of the room the limits take in the history, one decimal more costs a tenth, all of them half as much again.
"""

_STEP = 10.0**-DECIMALS

NEAREST_STOP, FARTHEST_STOP = 0.01, 0.20
"""Shares of the price between which nearly every stop of 1.5 to 2 average true ranges lies."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One limit's word on one order: ``figure`` as it would be with the order, NaN where that is not known.

    ``refusal`` is the reason in words where the limit does not let the order pass. The figure may not be above
    ``allowed``, or not below it where it is the ``least``.
    """

    limit: str
    figure: float
    allowed: float
    unit: str
    refusal: str | None = None
    least: bool = False

    def record(self) -> dict[str, Any]:
        """The row of ``limits`` in a ``sized_orders`` frame."""
        # Adding zero makes -0.0 the zero that is read back.
        allowed = round(self.allowed, DECIMALS) + 0.0
        return {"limit": self.limit, "figure": self._beside(allowed), "allowed": allowed, "unit": self.unit}

    def _beside(self, allowed: float) -> float:
        """The rounded figure, on the side of the rounded limit it was judged to be."""
        if math.isnan(self.figure):
            return math.nan  # this one object, which equals itself inside of lists
        figure = round(self.figure, DECIMALS) + 0.0
        refused = self.refusal is not None
        if refused == (figure < allowed if self.least else figure > allowed):
            return figure
        return round(allowed + (-_STEP if self.least else _STEP), DECIMALS) if refused else allowed


def of_capital(
    limit: str, amount: float, allowed_pct: float, capital: float, what: str, *, reserve_pct: float = 0.0
) -> Judgement:
    """Dollars held against a limit in percent of capital, less a reserve; ``what`` says what the dollars are."""
    usable_pct = allowed_pct - reserve_pct
    allowed = usable_pct / 100.0 * capital
    share = 100.0 * amount / capital
    refusal = None
    if not amount <= allowed + DUST:
        kept = f" less {reserve_pct:g} % kept in reserve" if reserve_pct else ""
        refusal = (
            f"{limit}: ${amount:,.2f} ({share:.2f} % of capital) {what}, "
            f"the limit is {allowed_pct:g} %{kept} (${max(allowed, 0.0):,.2f})"
        )
    return Judgement(limit, share, max(usable_pct, 0.0), PERCENT, refusal)


def not_judged(limits: RiskSettings) -> tuple[Judgement, ...]:
    """What the limits that need a size say of an order that has none: every figure is unknown."""
    allowed = {
        "max_position_pct": limits.max_position_pct,
        "max_risk_per_trade_pct": limits.max_risk_per_trade_pct,
        "min_position_value": limits.min_position_value,
        "max_total_risk_pct": limits.max_total_risk_pct,
        "max_utilization_pct": usable_pct(limits),
        "max_gross_exposure_pct": limits.max_gross_exposure_pct,
        "max_net_exposure_pct": limits.max_net_exposure_pct,
        "max_cluster_pct": limits.max_cluster_pct,
    }
    return tuple(
        Judgement(limit, math.nan, most, DOLLARS if limit == "min_position_value" else PERCENT)
        for limit, most in allowed.items()
        if most is not None
    )


def usable_pct(limits: RiskSettings) -> float:
    """The part of capital that may be deployed, in percent: the limit less its reserve."""
    return max(limits.max_utilization_pct - limits.utilization_reserve_pct, 0.0)


def no_room(limits: RiskSettings, capital: float | None) -> str | None:
    """Why these limits cannot approve anything, even with nothing committed, in one sentence; None where they can.

    Args:
        limits: The limits.
        capital: Dollars that may be used, or None where only the account says so.

    An order has the size that its risk and its value allow and is not made smaller to fit what the whole book may come
    to, so that a limit on the book below the size of one order stops them all. With a stop at a distance of d (a share
    of the price) the value is the smaller of ``max_position_pct`` and ``max_risk_per_trade_pct`` / d.
    """
    by_value, by_risk = limits.max_position_pct, limits.max_risk_per_trade_pct
    for name, most in (("max_position_pct", by_value), ("max_risk_per_trade_pct", by_risk)):
        if most == 0.0:
            return f"risk.{name} is 0, so that no order has a size and nothing will be approved; raise it."
    if capital is not None and by_value / 100.0 * capital < limits.min_position_value:
        return (
            f"risk.min_position_value is ${limits.min_position_value:,.2f}, but risk.max_position_pct allows "
            f"{by_value:g} % of ${capital:,.2f}, so that nothing will be approved; lower the one or raise the other."
        )
    least_value, least_risk = min(by_value, by_risk / FARTHEST_STOP), min(by_risk, by_value * NEAREST_STOP)
    rooms = (
        ("max_total_risk_pct", limits.max_total_risk_pct, least_risk, "risks"),
        ("max_utilization_pct", usable_pct(limits), least_value, "is worth"),
        ("max_gross_exposure_pct", limits.max_gross_exposure_pct, least_value, "is worth"),
        ("max_net_exposure_pct", limits.max_net_exposure_pct, least_value, "is worth"),
        ("max_cluster_pct", limits.max_cluster_pct, least_value, "is worth"),
    )
    for name, room, least, what in rooms:
        if room is not None and room < least:
            return (
                f"risk.{name} leaves {room:g} % of capital, but one order {what} {least:g} % or more by "
                "risk.max_position_pct and risk.max_risk_per_trade_pct and is not made smaller to fit, so that "
                "nothing will be approved; raise the one or lower the others."
            )
    return None
