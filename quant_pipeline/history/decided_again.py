"""What a later decision of the same slot would have meant for one symbol, in a sentence.

Which decisions there are is found by ``order_chain``; here they are compared, with the observations, the settings and
the code behind them. A decision that comes to the same order for the symbol is not worth a word, so none is said of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from quant_pipeline.history.rows import Row

MOST_SETTINGS = 6
"""So many settings are told with their values, the others are counted: a table of settings is not a sentence."""


@dataclass(frozen=True)
class Decision:
    """One decision on a symbol: its row of ``sized_orders``, None where it was not offered to the risk manager.

    ``settings`` is what is recorded behind the hash, None where nothing is. ``observed`` has the data hash of every
    frame of observations it was made from, by asset.
    """

    order: Row | None
    settings_hash: str
    settings: Row | None
    code_version: str
    observed: Mapping[str, str]


def other_outcome(symbol: str, first: Decision, later: Decision) -> str | None:
    """What the later decision would have meant and what was other about it; None where it came to the same order."""
    outcome = _outcome(symbol, first.order, later.order)
    if outcome is None:
        return None
    causes = [*_other_observations(first, later), *_other_settings(first, later), *_other_code(first, later)]
    doubt = {0: [], 1: [], 2: ["Both may be the cause"]}.get(len(causes), ["Each of them may be the cause"])
    return ". ".join([outcome, *causes, *doubt]) + "."


def _outcome(symbol: str, was: Row | None, now: Row | None) -> str | None:
    ordered_then, ordered_now = (order is not None and order["approved"] for order in (was, now))
    if not ordered_then and not ordered_now:
        return None
    if now is None:
        return f"no order, {symbol} was not offered to the risk limits"
    if not ordered_now:
        return f"no order, refused by {now['reason']}"
    if was is None or not ordered_then:
        return f"an order, {now['direction']} {now['quantity']:,} shares at {now['entry_price']:,.2f}"
    return ", ".join(_changes(was, now)) or None


def _changes(was: Row, now: Row) -> Iterator[str]:
    if now["direction"] != was["direction"]:
        yield f"{now['direction']} instead of {was['direction']}"
    if now["quantity"] != was["quantity"]:
        yield f"{now['quantity']:,} shares instead of {was['quantity']:,}"
    for name in ("entry", "stop", "target"):
        then, since = was[f"{name}_price"], now[f"{name}_price"]
        if since != then:
            yield f"{name} at {since:,.2f} instead of {then:,.2f}"


def _other_observations(first: Decision, later: Decision) -> Iterator[str]:
    assets = sorted({*first.observed, *later.observed})
    differing = [asset for asset in assets if first.observed.get(asset) != later.observed.get(asset)]
    if differing:
        yield f"On later observations ({', '.join(differing)})"


def _other_settings(first: Decision, later: Decision) -> Iterator[str]:
    if first.settings_hash == later.settings_hash:
        return
    if first.settings is None or later.settings is None:
        yield f"Other settings ({later.settings_hash}); which differ was not recorded"
        return
    then, now = dict(_named(first.settings)), dict(_named(later.settings))
    differing = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    told = [_change(name, then.get(name), now.get(name)) for name in differing[:MOST_SETTINGS]]
    more = f" and {len(differing) - len(told)} more, see lineage.settings" if len(differing) > len(told) else ""
    yield f"Settings then -> now: {', '.join(told)}{more}"


def _other_code(first: Decision, later: Decision) -> Iterator[str]:
    if first.code_version != later.code_version:
        yield f"Code then -> now: {first.code_version} -> {later.code_version}"


def _named(settings: Row, section: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting by its full name."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _named(value, f"{section}{name}.")
        else:
            yield f"{section}{name}", value


def _change(name: str, then: Any, now: Any) -> str:
    if isinstance(then, list) or isinstance(now, list):
        return f"{name} (other points)"
    return f"{name} {_said(then)} -> {_said(now)}"


def _said(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.12g}" if isinstance(value, (int, float)) else str(value)
