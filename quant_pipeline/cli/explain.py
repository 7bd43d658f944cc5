"""``quant-pipeline explain``: what is recorded of one decision, from the order back to the bars, for a person.

Choosing what is said and in what words belongs here; the chain comes from ``history.order_chain``, how tables look from
``chain_tables``. Nothing that takes seconds to load is imported, since an explanation is wanted at once.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
from rich.padding import Padding
from rich.text import Text

from quant_pipeline.cli import chain_tables
from quant_pipeline.cli.panels import console, price
from quant_pipeline.errors import HistoryError
from quant_pipeline.history.journal_reading import refuse_lost_journal
from quant_pipeline.history.order_chain import OrderChain, Row, parse_asked, read_chain


def print_explanation(home: Path, asked: str, slot: str | None, *, as_json: bool) -> None:
    """Print the chain of what was asked for.

    Raises ``UsageError`` where there is no such order, symbol or slot, and ``HistoryError`` after the explanation when
    the order journal is gone, so that the orders were told from its copy in the history.
    """
    chain = read_chain(home, parse_asked(asked, slot))
    if as_json:
        click.echo(json.dumps(_as_json(chain), default=_plain))
    else:
        _print(chain)
    try:
        refuse_lost_journal(home)
    except HistoryError as error:
        raise HistoryError(f"The orders were told from the copy of the journal in the history: {error}") from error


def _as_json(chain: OrderChain) -> dict[str, Any]:
    newest = chain.newest
    told = None if newest is None else {"slot": newest.slot, "explanation": verdict(newest)}
    return {"explanation": verdict(chain), **asdict(replace(chain, newest=None)), "newest": told}


def _print(chain: OrderChain) -> None:
    out = console()
    out.print(Text(f"{chain.order_ref}  ", style="bold") + Text(verdict(chain)))
    if chain.newest is not None:
        out.print(Text(f"In its newest slot, {chain.newest.slot}: {verdict(chain.newest)}"))
    for note in chain.notes:
        out.print(Text(note, style="yellow"))
    for title, content in chain_tables.sections(chain):
        out.print()
        out.print(Text(title, style="bold"))
        out.print(Padding(content, (0, 0, 0, 2)))


def verdict(chain: OrderChain) -> str:
    """What became of the symbol, in a sentence or two."""
    quality, score, order = chain.quality, chain.score, chain.sized_order
    if chain.legs:
        return f"{_as_sent(chain)}. {_fate(chain)}"
    if order is not None and order["approved"]:
        return f"{_order_in_words(order)}, approved and not sent: {_why_not_sent(chain)}."
    if order is not None:
        return f"{order['direction']}, score {_total(chain)}, refused by the risk limits: {order['reason']}."
    if score is not None:
        threshold = ((chain.settings or {}).get("scoring") or {}).get("threshold")
        below = f"below the threshold of {threshold:g}" if threshold is not None else "below the threshold"
        reached = chain.decided.asset == "sized_orders"
        return f"{score['direction']}, score {_total(chain)}" + (
            f", {below}: no order." if reached else "; the slot ended before orders were sized."
        )
    if quality is not None and not quality["passed"]:
        return f"Rejected by the quality filter: {quality['reason']}."
    if quality is not None and chain.decided.asset in ("sized_orders", "scores"):
        return "Passed the quality filter and could not be scored: it has no ATR, or its quote is one-sided."
    return f"Not decided: the last thing recorded of the slot is {chain.decided.asset}."


def _as_sent(chain: OrderChain) -> str:
    legs = {leg["leg"]: leg for leg in chain.legs}
    if "entry" not in legs:
        leg = chain.legs[0]
        at = "the market" if leg["price"] is None else price(leg["price"])
        return f"{leg['leg'].capitalize()} of a position: {leg['action']} {leg['quantity']:,.0f} shares at {at}"
    prices = {f"{name}_price": legs[name]["price"] if name in legs else None for name in ("entry", "stop", "target")}
    direction = "LONG" if legs["entry"]["action"] == "BUY" else "SHORT"
    return _order_in_words({"direction": direction, "quantity": legs["entry"]["quantity"], **prices})


def _order_in_words(order: Row) -> str:
    return (
        f"{order['direction']} {order['quantity']:,.0f} shares at {price(order['entry_price'])}, "
        f"stop {price(order['stop_price'])}, target {price(order['target_price'])}"
    )


def _fate(chain: OrderChain) -> str:
    if chain.trade is not None and chain.trade["status"] == "closed":
        trade = chain.trade
        return f"Closed by its {trade['exit_reason']}, {trade['net_pnl']:+,.2f} dollars net."
    entry, *others = chain.legs
    told = f"The {entry['leg']} is {entry['state'].replace('_', ' ')}"
    if entry["average_fill_price"]:
        told += f" ({entry['filled_quantity']:,.0f} at {price(entry['average_fill_price'])})"
    rest = ", ".join(f"{leg['leg']} {leg['state'].replace('_', ' ')}" for leg in others)
    reason = f" ({entry['reason']})" if entry["reason"] else ""
    return f"{told}{reason}{f'; {rest}' if rest else ''}."


def _why_not_sent(chain: OrderChain) -> str:
    reasons = [row["reason"] for row in chain.executions if row["reason"]]
    if reasons:
        return reasons[0]
    return "the slot ended before" if not any(one.asset == "executions" for one in chain.versions) else "not recorded"


def _total(chain: OrderChain) -> str:
    return f"{chain.score['total_score']:.1f}" if chain.score else "not recorded"


def _plain(value: Any) -> str:
    if isinstance(value, dt.date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is not known to JSON")
