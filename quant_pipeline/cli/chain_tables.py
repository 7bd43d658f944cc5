"""The sections of an explanation: a title and a table for each link of the chain from the order back to the bars.

Rendering only, readable at 80 columns and without colour; ``explain`` prints them in this order. What was traded stands
in exchange time, what this machine made in UTC; both with their day, for a market that is replayed has another. Words
about an order are of both clocks in one table, which says of each whose time it is.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from quant_pipeline.automation.sessions import EXCHANGE_TIME
from quant_pipeline.cli.panels import dollars, price, signed_dollars
from quant_pipeline.history.journal_tables import OPEN_STATES
from quant_pipeline.history.order_chain import OrderChain, Row, Version

COMPONENTS = ("momentum", "mean_reversion", "volatility", "volume", "microstructure")
OURS = ("planned", "sending", "unknown", "refused")
"""Events that are our own doing; the others are the broker's words."""
READ_LATER = ("reconciled", "report")
"""What the broker's lists said when they were read, or that nothing came: journaled by this machine's clock."""
NOT_RECORDED = Text("Not recorded.", style="dim")


def sections(chain: OrderChain) -> Iterator[tuple[str, RenderableType]]:
    """Title and content of every section that says something of this chain."""
    yield "Decided", _decided(chain)
    yield "On the quote", _quote(chain.quote) if chain.quote else NOT_RECORDED
    yield "On daily bars", _bars(chain)
    yield "With the account", _account(chain)
    if chain.quality:
        yield "Quality filter", _quality(chain.quality)
    if chain.score:
        yield "Score", _score(chain.score, chain.settings)
        yield "Key signals", _key_signals(chain.score)
    if chain.sized_order:
        yield "Risk", _risk(chain.sized_order)
    if chain.legs:
        yield "Orders", _legs(chain.legs)
        yield "What was said of them", _events(chain)
        yield "Fills", _fills(chain)
        yield "Trade", _trade(chain)
    yield "Versions", _versions(chain)


def _decided(chain: OrderChain) -> RenderableType:
    decided = chain.decided
    codes = {_stage(version.asset): version.code_version for version in chain.versions}
    rows = [
        ("slot", chain.slot),
        ("run", decided.run_id),
        ("version", f"{decided.asset} {decided.materialization_id}, {decided.finished_at:%Y-%m-%d %H:%M:%S UTC}"),
        ("code", ", ".join(f"{stage} {code}" for stage, code in codes.items())),
        ("settings", decided.settings_hash),
        *_settings(chain),
    ]
    return _pairs(rows)


def _settings(chain: OrderChain) -> list[tuple[str, str]]:
    if chain.settings is None:
        return [("", "what is behind this hash was not recorded")]
    scoring, risk = chain.settings["scoring"], chain.settings["risk"]
    return [
        (
            "",
            f"threshold {scoring['threshold']:g}, stop {scoring['stop_atr_min']:g}-{scoring['stop_atr_max']:g} ATR, "
            f"target {scoring['reward_to_risk']:g} R",
        ),
        (
            "",
            f"risk a trade {risk['max_risk_per_trade_pct']:g} %, a symbol {risk['max_position_pct']:g} %, "
            f"total risk {risk['max_total_risk_pct']:g} %, in use {risk['max_utilization_pct']:g} %",
        ),
        ("", "all of them: explain --json, or lineage.settings in history.duckdb"),
    ]


def _quote(quote: Row) -> RenderableType:
    age = (quote["observed_at"] - quote["quoted_at"]).total_seconds() if quote["quoted_at"] else None
    shortable = {True: "yes", False: "no", None: "not known"}[quote["shortable"]]
    return _pairs(
        [
            ("bid", f"{price(quote['bid'])} x {_whole(quote['bid_size'])}"),
            ("ask", f"{price(quote['ask'])} x {_whole(quote['ask_size'])}"),
            ("last", f"{price(quote['last'])}, {_whole(quote['volume'])} shares in the session so far"),
            ("quoted at", "never" if age is None else f"{_moment(quote['quoted_at'])}, {age:.0f} s old when read"),
            ("halted", "yes" if quote["halted"] else "no"),
            ("shortable", shortable),
        ]
    )


def _bars(chain: OrderChain) -> RenderableType:
    bars, version = chain.bars, _version(chain, "bars")
    if bars is None:
        return NOT_RECORDED
    last = bars["last_bar"]
    partial = "none"
    if last["partial"]:
        figures = ", ".join(f"{name} {price(last[name])}" for name in ("open", "high", "low", "close"))
        partial = f"{figures}, {_whole(last['volume'])} shares"
    return _pairs(
        [
            ("bars", f"{bars['bars']}, {bars['first']} to {bars['last']}; complete to {bars['last_complete']}"),
            ("partial", partial),
            ("data hash", f"{version.data_hash} (all symbols)" if version else ""),
        ]
    )


def _account(chain: OrderChain) -> RenderableType:
    account, held = chain.account, chain.position
    if account is None:
        return NOT_RECORDED
    counts = {asset: version.rows for asset in ("portfolio", "working_orders") if (version := _version(chain, asset))}
    position = f"{_whole(held['quantity'])} shares at {price(held['average_price'])}" if held else "none"
    return _pairs(
        [
            ("account", f"{account['account']}, read at {_moment(account['read_at'])}"),
            ("capital", f"{dollars(account['capital'])} of {dollars(account['net_liquidation'])} net liquidation"),
            ("deployed", f"{dollars(account['deployed'])}, available {dollars(account['available'])}"),
            ("day's P&L", signed_dollars(account["daily_pnl"])),
            ("held", f"{counts.get('portfolio', 0)} positions, {counts.get('working_orders', 0)} orders working"),
            ("in this stock", position),
        ]
    )


def _quality(quality: Row) -> RenderableType:
    spread = "unknown" if quality["spread_pct"] is None else f"{quality['spread_pct']:.3f} %"
    result = "passed" if quality["passed"] else f"rejected: {quality['reason']}"
    return _pairs([("result", result), ("price", f"{price(quality['price'])}, spread {spread}")])


def _score(score: Row, settings: Row | None) -> RenderableType:
    weights = settings["scoring"]["weights"] if settings else {}
    table = _table("component", ">score", ">weight", ">points")
    for component in COMPONENTS:
        earned, weight = score[f"{component}_score"], weights.get(component)
        points = None if weight is None else weight * earned
        table.add_row(
            component.replace("_", " "),
            f"{earned:.2f}",
            "" if weight is None else f"{100 * weight:g} %",
            _points(points),
        )
    table.add_row("total", "", "", f"{score['total_score']:.2f}", style="bold")
    trade = _pairs(
        [
            ("direction", f"{score['direction']}; the other direction scored {score['opposite_score']:.2f}"),
            ("prices", f"entry {price(score['entry_price'])}, stop {price(score['stop_price'])}, "
                       f"target {price(score['target_price'])}, ATR {score['atr']:.4g}"),
            ("expected", f"{score['expected_return_pct']:+.2f} %, chance of the target "
                         f"{100 * score['win_probability']:.1f} %, confidence {score['confidence']:.0f}"),
        ]
    )  # fmt: skip
    return Group(table, trade)


def _key_signals(score: Row) -> RenderableType:
    table = _table(">points", "what it says", "indicator", ">value", space=1)
    for signal in score["key_signals"]:
        table.add_row(_points(signal["contribution"]), signal["text"], signal["name"], f"{signal['value']:.5g}")
    missing = score["missing_signals"]
    if not missing:
        return table
    return Group(table, Text(f"Without {', '.join(missing)}, for which the history is too short.", style="dim"))


def _risk(order: Row) -> RenderableType:
    size = (
        f"approved: {order['quantity']:,} shares worth {dollars(order['position_value'])}, "
        f"{dollars(order['risk_amount'])} lost at the stop"
    )
    result = Text(size if order["approved"] else f"refused: {order['reason']}")
    limits = order.get("limits")
    if not limits:
        return Group(result, Text("How the limits stood was not recorded then.", style="dim"))
    table = _table("limit", ">figure", ">allowed", "unit", "")
    for limit in limits:
        table.add_row(
            limit["limit"], _figure(limit, "figure"), _figure(limit, "allowed"), limit["unit"], _bound(limit)
        )  # fmt: skip
    return Group(result, table)


def _bound(limit: Row) -> str:
    """A word where the limit did not let the order pass."""
    if limit["figure"] is None:
        return "not known"
    least = limit["limit"] == "min_position_value"
    beyond = limit["figure"] < limit["allowed"] if least else limit["figure"] > limit["allowed"]
    return "beyond" if beyond else ""


def _legs(legs: Sequence[Row]) -> RenderableType:
    table = _table("leg", "action", "type", ">price", ">shares", "state", ">filled", ">at", ">permanent id")
    for leg in legs:
        table.add_row(
            leg["leg"], leg["action"], leg["order_type"], price(leg["price"]), _whole(leg["quantity"]),
            leg["state"].replace("_", " "), _whole(leg["filled_quantity"]), price(leg["average_fill_price"]),
            str(leg["perm_id"] or "none"),
        )  # fmt: skip
    reasons = [Text(f"{leg['leg']}: {leg['reason']}") for leg in legs if leg["reason"]]
    return Group(table, *reasons)


def _events(chain: OrderChain) -> RenderableType:
    table = _table("time", "by", "leg", "word", "status", ">filled", "text", space=1)
    events = sorted(
        ((event, leg["leg"]) for leg in chain.legs for event in leg["events"]), key=lambda one: one[0]["id"]
    )
    bills = {event["order_ref"]: event["id"] for event, _ in events if event["kind"] == "commission"}
    for event, leg in events:
        at, by = _when_and_by_whom(chain, event)
        code = f"{event['code']}: " if event["code"] is not None else ""
        filled = _whole(event["filled"]) if event["filled"] is not None else ""
        if event["filled"] and event["average_price"]:
            filled += f" at {price(event['average_price'])}"
        table.add_row(
            _clock(at), by, leg, event["kind"].replace("_", " "),
            event["status"] or "", filled,
            _billed(chain, event["order_ref"]) if event["id"] in bills.values() else f"{code}{event['text'] or ''}",
        )  # fmt: skip
    whose = "In the exchange's time zone; broker by its clock, us and recorded by ours."
    return Group(table, Text(whose, style="dim"))


def _when_and_by_whom(chain: OrderChain, event: Row) -> tuple[dt.datetime | str, str]:
    """The time of an event and whose clock it is of: a fill has the broker's, what else was read later only ours."""
    if event["kind"] in OURS:
        return event["at"], "us"
    if event["kind"] == "fill":
        told = next((fill["filled_at"] for fill in chain.fills if fill["exec_id"] == event["exec_id"]), None)
        return (told, "broker") if told else (event["at"], "recorded")
    return event["at"], "recorded" if event["exec_id"] or event["kind"] in READ_LATER else "broker"


def _billed(chain: OrderChain, order_ref: str) -> str:
    """What the fills of a leg cost, which stands beside the last word the broker said of it."""
    known = [
        fill["commission"]
        for fill in chain.fills
        if fill["order_ref"] == order_ref and not fill["corrected_by"] and fill["commission"] is not None
    ]
    return dollars(sum(known)) + (f" of {len(known)} fills" if len(known) > 1 else "") if known else ""


def _fills(chain: OrderChain) -> RenderableType:
    if not chain.fills:
        ended = _ended_unfilled(chain.legs[0])
        return Text(
            "It ended unfilled." if ended else "None read yet; executions are read with the slots that follow.",
            style="dim",
        )
    table = _table("exchange time", "side", ">shares", ">price", ">commission", "execution")
    for fill in chain.fills:
        commission = dollars(fill["commission"]) if fill["commission"] is not None else "not yet"
        corrected = f", corrected by {fill['corrected_by']}" if fill["corrected_by"] else ""
        table.add_row(
            _clock(fill["filled_at"]), fill["side"], _whole(fill["quantity"]), price(fill["price"]), commission,
            f"{fill['exec_id']}{corrected}",
        )  # fmt: skip
    return table


def _ended_unfilled(leg: Row) -> bool:
    """Whether an order is over without a share, so that no execution of it can follow."""
    return leg["state"] not in OPEN_STATES and not leg["filled_quantity"]


def _trade(chain: OrderChain) -> RenderableType:
    trade = chain.trade
    if trade is None:
        return Text(_no_trade(chain), style="dim")
    left = f"{price(trade['exit_price'])} on average; still open" if trade["exit_quantity"] else "none, still open"
    if trade["closed_at"]:
        left = f"{price(trade['exit_price'])} on {_moment(trade['closed_at'])}, by {trade['exit_reason']}"
    table = _pairs(
        [
            ("trade", f"{trade['status']}, {trade['direction']} {_whole(trade['entry_quantity'])} shares"),
            ("opened by", trade["entry_order_ref"]),
            ("in", f"{price(trade['entry_price'])} on {_moment(trade['opened_at'])}"),
            ("out", left),
            *(_result(trade) if trade["closed_at"] else _result_so_far(trade, chain.last_price)),
            ("worst / best", f"{signed_dollars(trade['mae'])} / {signed_dollars(trade['mfe'])} on the way"),
        ]
    )
    if _fills_since(chain, trade):
        return Group(table, Text("There were fills since; quant-pipeline report measures it again.", style="yellow"))
    return table


def _no_trade(chain: OrderChain) -> str:
    if not chain.fills:
        return "None: no fill is known."
    return "Not measured yet; quant-pipeline report measures what was traded."


def _result(trade: Row) -> list[tuple[str, str]]:
    risk = f", {trade['r_multiple']:+.2f} R" if trade["r_multiple"] is not None else ""
    return [("P&L", f"{signed_dollars(trade['net_pnl'])} net of {_commission(trade)}{risk}")]


def _result_so_far(trade: Row, last: Row | None) -> list[tuple[str, str]]:
    """What is held and what is gone, apart: the commission of a trade is paid before anything is earned."""
    at, seen, unrealized = trade["last_price"], ", as it was measured", trade["unrealized_pnl"]
    if last is not None and unrealized is not None:
        sign = 1 if trade["direction"] == "LONG" else -1
        unrealized += sign * (last["price"] - at) * trade["open_quantity"]
        at, seen = last["price"], f" in slot {last['slot']}"
    held = f"{_whole(trade['open_quantity'])} shares at {price(at)}{seen}"
    gone = f"{signed_dollars(trade['gross_pnl'])} on {_whole(trade['exit_quantity'])} shares gone"
    return [
        ("unrealised", f"{signed_dollars(unrealized)} on {held}"),
        ("realised", f"{signed_dollars(trade['net_pnl'])}: {gone}, less {_commission(trade)}"),
    ]


def _commission(trade: Row) -> str:
    return f"{dollars(trade['commission'])} commission" + ("" if trade["commissions_known"] else " (not all known yet)")


def _fills_since(chain: OrderChain, trade: Row) -> bool:
    """Whether the bracket was filled further than the trade that was measured of it."""
    filled = sum(fill["quantity"] for fill in chain.fills if not fill["corrected_by"])
    return filled > trade["entry_quantity"] + trade["exit_quantity"]


def _versions(chain: OrderChain) -> RenderableType:
    table = _table("asset", ">id", "data hash", ">rows", "made, UTC", space=1)
    others: dict[str, list[str]] = {}
    for version in chain.versions:
        table.add_row(
            version.asset, str(version.materialization_id), version.data_hash,
            "gone" if version.pruned else f"{version.rows:,}", f"{version.finished_at:%m-%d %H:%M:%S}",
        )  # fmt: skip
        if version.run_id != chain.decided.run_id:
            others.setdefault(version.run_id, []).append(version.asset)
    runs = [Text(f"By run {run}: {', '.join(assets)}.", style="dim") for run, assets in others.items()]
    return Group(table, *runs)


def _version(chain: OrderChain, asset: str) -> Version | None:
    return next((version for version in chain.versions if version.asset == asset), None)


def _stage(asset: str) -> str:
    if asset == "executions":
        return "act"
    return "decide" if asset in ("quality_filter", "indicators", "scores", "sized_orders") else "observe"


def _pairs(rows: Iterable[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", min_width=11)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    return table


def _table(*columns: str, space: int = 2) -> Table:
    """A table of columns with space between them; a name that begins with ``>`` is of a column of figures."""
    table = Table(box=None, padding=(0, space, 0, 0), pad_edge=False)
    for column in columns:
        table.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left", header_style="dim")
    return table


def _moment(at: dt.datetime) -> str:
    """Day and time at the exchange, with the name of its clock."""
    return f"{at.astimezone(EXCHANGE_TIME):%Y-%m-%d %H:%M:%S %Z}"


def _clock(at: dt.datetime | str) -> str:
    """The same for a column that says whose time it is, where the year does not fit."""
    return f"{(dt.datetime.fromisoformat(at) if isinstance(at, str) else at).astimezone(EXCHANGE_TIME):%m-%d %H:%M:%S}"


def _whole(amount: float | None) -> str:
    return "unknown" if amount is None else f"{amount:,.0f}"


def _points(points: float | None) -> str:
    return "" if points is None else f"{points:.2f}"


def _figure(limit: Row, name: str) -> str:
    decimals = 0 if limit["unit"] == "positions" else 2
    return "" if limit[name] is None else f"{limit[name]:,.{decimals}f}"
