"""Why an approved order is not sent: one function for each thing that may forbid it, each answer with its reason.

Pure checks of what is known at the moment of sending: account, slot, broker's orders, journal, quote. They are asked by
``act`` and nobody else; limits on size and risk are the risk manager's and were checked before.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from quant_pipeline.automation.sessions import EXCHANGE_TIME
from quant_pipeline.automation.slots import Slot
from quant_pipeline.broker.brackets import BracketOrder
from quant_pipeline.broker.reconciliation import KnownOrder, OrderState
from quant_pipeline.history.order_journal import JournaledOrder
from quant_pipeline.settings import ExecutionSettings, Settings

TICK, TICK_BELOW_A_DOLLAR = 0.01, 0.0001
ENDED_STATES = ("filled", "cancelled", "rejected", "refused")


def account_refusal(settings: Settings, account: str, *, is_paper: bool, clock_skew: float) -> str | None:
    """Why nothing at all may be sent on this account, or None. ``clock_skew`` is in seconds."""
    if is_paper:
        return None
    if not settings.live:
        return f"account {account} is not a paper account and live trading is not armed (live = true, account)"
    if settings.account != account:
        return f"the broker reports account {account}, the settings name {settings.account}"
    if clock_skew > settings.execution.max_clock_skew_seconds:
        return f"the clocks of broker and machine differ by {clock_skew:.1f} s"
    return None


def slot_refusal(slot: Slot, now: dt.datetime) -> str | None:
    """Why nothing may be sent for this slot any more, or None."""
    if slot.is_over(now):
        return f"slot over since {slot.ends:%H:%M}, the broker's clock says {now.astimezone(EXCHANGE_TIME):%m-%d %H:%M}"
    return None


def doubled_refusal(state: OrderState) -> str | None:
    """Why nothing may be sent while one reference is on two open orders, or None."""
    if not state.doubled_refs:
        return None
    return f"two open orders at the broker carry the reference {state.doubled_refs[0]}; cancel one of them there"


def partial_refusal(bracket: BracketOrder, known: Sequence[KnownOrder]) -> str | None:
    """Why a bracket that the broker has in part is left to a person, or None. ``known`` are the legs it has."""
    if any(order.where == "open" or order.filled for order in known):
        return f"only {len(known)} of {len(bracket.legs())} legs are at the broker; end them there by hand"
    return None


def journal_refusal(entry: JournaledOrder | None) -> str | None:
    """Why a leg that the broker does not list as open is not sent again, or None. ``entry`` is its journal row."""
    if entry is None or entry.state == "planned":
        return None
    if entry.state in ENDED_STATES:
        return f"{entry.state} before ({entry.reason or 'by the broker'}), and nothing is sent twice"
    return f"{entry.state.replace('_', ' ')} in the journal and not at the broker; look there what became of it"


def ended_refusal(known: Sequence[KnownOrder]) -> str | None:
    """Why a bracket of which the broker lists ended legs only is not sent again, or None."""
    return f"{known[0].status or 'ended'} at the broker before, and nothing is sent twice" if known else None


def taken_refusal(bracket: BracketOrder, state: OrderState) -> str | None:
    """Why a stock in which something has happened since the decision is left alone, or None."""
    held = state.position(bracket.symbol)
    if held:
        return f"a position of {held:g} shares appeared at the broker after the decision"
    if any(order.symbol == bracket.symbol and order.where == "open" for order in state.orders):
        return "an order in the stock appeared at the broker after the decision"
    return None


def bracket_refusal(
    bracket: BracketOrder, quote: Mapping[str, Any], now: dt.datetime, settings: ExecutionSettings
) -> str | None:
    """Why this bracket may not be sent, or None. ``quote`` is its row of the quotes the decision was made on."""
    age = (now - quote["quoted_at"]).total_seconds() if pd.notna(quote["quoted_at"]) else None
    if age is None or age > settings.max_quote_age_seconds:
        return (
            f"quote {'missing' if age is None else f'{age:.0f} s old'}, {settings.max_quote_age_seconds:.0f} s allowed"
        )
    if not quote["bid"] < quote["ask"]:
        return f"quote crossed or one-sided: {quote['bid']} / {quote['ask']}"
    if quote["halted"]:
        return "trading in the stock is halted"
    if bracket.direction == "SHORT" and (pd.isna(quote["shortable"]) or not quote["shortable"]):
        return "no shares to short" if pd.notna(quote["shortable"]) else "not known whether there are shares to short"
    for price in (bracket.entry, bracket.stop, bracket.target):
        tick = TICK if price >= 1 else TICK_BELOW_A_DOLLAR
        if abs(price / tick - round(price / tick)) > 1e-6:
            return f"price {price} is off the tick grid of {tick}"
    return None
