"""The grid US stocks are quoted and ordered on, which is finer below a dollar (SEC Rule 612).

Asked by ``order_entry`` before it takes an order and by ``trailing``, which makes prices of its own.
"""

from __future__ import annotations

SUB_DOLLAR_TICK = 0.0001
DOLLAR_TICK = 0.01


def tick_size(price: float) -> float:
    """$0.0001 below a dollar, one cent from there on."""
    return SUB_DOLLAR_TICK if price < 1 else DOLLAR_TICK


def on_grid(price: float) -> bool:
    """Whether a price is positive and a whole number of ticks."""
    ticks = price / tick_size(price)
    return price > 0 and abs(ticks - round(ticks)) < 1e-6 * max(1.0, ticks)
