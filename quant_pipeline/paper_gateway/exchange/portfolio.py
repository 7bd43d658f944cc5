"""Positions, cash and realised profit as they follow from executions, and what an execution costs.

Pure arithmetic: no prices of the market, no storage. ``book`` keeps one portfolio in step with its executions and can
rebuild it from them at any time; ``account_values`` puts prices on it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

COMMISSION_PER_SHARE = 0.005
MINIMUM_COMMISSION = 1.0
MAXIMUM_COMMISSION_SHARE = 0.01


def commission(shares: int, price: float) -> float:
    """IB's fixed scheme for US stocks in dollars, to a hundredth of a cent.

    $0.005 a share, at least $1, at most 1 % of the trade's value; the maximum overrides the minimum.
    """
    fee = max(MINIMUM_COMMISSION, shares * COMMISSION_PER_SHARE)
    return round(min(fee, shares * price * MAXIMUM_COMMISSION_SHARE), 4)


@dataclass(frozen=True)
class Position:
    """Shares held (negative when short) and what one of them cost, commissions included, as IB counts it."""

    quantity: int = 0
    average_cost: float = 0.0
    realized_pnl: float = 0.0


@dataclass
class Portfolio:
    """Cash and positions by symbol; a closed position stays, with quantity 0, for its realised profit."""

    cash: float
    positions: dict[str, Position] = field(default_factory=dict)

    def apply(self, symbol: str, signed_shares: int, price: float, fee: float) -> float | None:
        """Book a trade and return the profit it realised, net of commissions, or None where it closed nothing.

        Args:
            symbol: What was traded.
            signed_shares: Shares bought, or minus the shares sold.
            price: Dollars a share.
            fee: Commission in dollars.
        """
        position = self.positions.get(symbol, Position())
        closing = _closing_shares(position.quantity, signed_shares)
        opening = signed_shares - closing
        total = abs(signed_shares)
        opening_fee = fee * abs(opening) / total
        self.cash -= signed_shares * price + fee
        realized = None
        if closing:
            realized = closing * (position.average_cost - price) - (fee - opening_fee)
            position = replace(
                position,
                quantity=position.quantity + closing,
                realized_pnl=position.realized_pnl + realized,
            )
        if opening:
            cost = position.quantity * position.average_cost + opening * price + opening_fee
            quantity = position.quantity + opening
            position = replace(position, quantity=quantity, average_cost=cost / quantity)
        self.positions[symbol] = position if position.quantity else replace(position, average_cost=0.0)
        return realized

    def copy(self) -> Portfolio:
        """A portfolio of its own with the same content."""
        return Portfolio(self.cash, dict(self.positions))

    @property
    def held(self) -> dict[str, Position]:
        """The positions that are open."""
        return {symbol: position for symbol, position in self.positions.items() if position.quantity}


def _closing_shares(held: int, signed_shares: int) -> int:
    if held * signed_shares >= 0:
        return 0
    size = min(abs(held), abs(signed_shares))
    return size if signed_shares > 0 else -size
