"""The cards of the tear sheet: a picture or a table under its title, or the sentence that says what is missing.

Which figures a card shows, in which words, and when there are too few of them belongs here; the figures are read by
``readings``, shown by ``figures``, put into ``tables`` and drawn by ``charts``. In which order the cards stand is for
``tear_sheet``, the only caller.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup

from quant_pipeline.metrics import charts, figures, tables
from quant_pipeline.metrics.readings import NEWEST_TRADES, Readings, Row
from quant_pipeline.metrics.tables import FEW_TRADES, Table, are_few, table

TRADES_SHOWN = 25
POSITIONS_SHOWN = 20
TRADES_IN_PAGE = 1_000
"""So many of the newest trades; a year's six thousand would be most of the page and nobody would read them there."""
BEST_AND_WORST = 5
DAYS_SHOWN = 5
DAYS_IN_PAGE = 60
REASONS_SHOWN = 5
STAGES = ("observe", "decide", "act", "measure")
EXITS = {"exit": "by exit order", "manual": "by hand", "reversal": "by a reversal"}
NOT_BUILT = "The metrics have not been built in this history; quant-pipeline report builds them."


@dataclass(frozen=True)
class Card:
    """A picture or a table under its title, or the sentence that says what is missing; ``rest`` is folded away."""

    title: str
    note: str = ""
    picture: Markup | None = None
    table: Table | None = None
    rest: Table | None = None
    rest_title: str = ""
    missing: str = ""
    query: str = ""
    wide: bool = False
    heat: bool = False


def told_once(cards: list[Card]) -> list[Card]:
    """The cards, with those that miss the same thing told together in the place of the first of them."""
    titles: dict[str, list[str]] = {}
    for card in cards:
        titles.setdefault(card.missing, []).append(card.title)
    first = {card.missing: card.title for card in reversed(cards)}
    return [
        card if not card.missing else Card(", ".join(titles[card.missing]), missing=card.missing, wide=True)
        for card in cards
        if not card.missing or card.title == first[card.missing]
    ]


def returns(readings: Readings, account: str | None, name: str) -> list[Card]:
    """Equity, drawdown and the returns of the months."""
    days = readings.days(account)
    months = readings.months(account)
    start = starting_equity(days)
    points = len(days) + (start is not None)
    absent = _absent(readings, "daily_metrics", points, "session", "a curve")
    if absent:
        pictures = [Card("Equity", missing=absent), Card("Drawdown", missing=absent)]
    else:
        pictures = [_equity(days, start, name), _drawdown(days, start, name)]
    missing = "" if months else absent or "No return can be told yet: it takes a second session."
    return [
        *pictures,
        Card("Monthly returns, %", table=tables.monthly_returns(months) if months else None, missing=missing,
             note="Compounded from the sessions of each month." if months else "", wide=True, heat=True),
    ]  # fmt: skip


def starting_equity(days: list[Row]) -> float | None:
    """The equity that the first session's result is measured from; None when it was not read."""
    return days[0]["equity"] - days[0]["pnl"] if days and days[0]["pnl"] is not None else None


def _points(days: list[Row], value: str, start: float | None) -> tuple[list[dt.date], list[float]]:
    """The sessions and their values, after the start on the eve of the first of them when that is known."""
    sessions, values = [row["session"] for row in days], [row[value] or 0.0 for row in days]
    return (sessions, values) if start is None else ([sessions[0] - dt.timedelta(days=1), *sessions], [start, *values])


def _equity(days: list[Row], start: float | None, name: str) -> Card:
    sessions, values = _points(days, "equity", start)
    begins = "before the first session" if start is not None else f"on {figures.day(sessions[0])}"
    says = (
        f"Equity at the end of each session, from {figures.dollars(values[0])} {begins} "
        f"to {figures.dollars(values[-1])} on {figures.day(sessions[-1])}"
    )
    dotted = "the equity before the first session" if start is not None else "the first session's end"
    note = f"{figures.dollars(values[0])} → {figures.dollars(values[-1])}; dotted: {dotted}"
    picture = charts.equity(f"{name}-equity", sessions, values, says, from_start=start is not None)
    return Card("Equity", note, picture)


def _drawdown(days: list[Row], start: float | None, name: str) -> Card:
    sessions, values = _points(days, "drawdown_pct", None if start is None else 0.0)
    worst = min(range(len(values)), key=values.__getitem__)
    says = f"Drawdown, deepest {figures.percent(values[worst], 2)} on {figures.day(sessions[worst])}"
    note = f"Below the highest equity so far; now {figures.percent(values[-1], 2)}"
    picture = charts.drawdown(f"{name}-drawdown", sessions, values, says, from_start=start is not None)
    return Card("Drawdown", note, picture)


def exposure(readings: Readings, account: str | None, name: str) -> Card:
    """Long, short, gross and net value at the last reading of each session in which positions were read."""
    title = "Exposure, % of capital"
    days = [row for row in readings.days(account) if row["gross_exposure_pct"] is not None]
    absent = _absent(readings, "daily_metrics", len(days), "session with positions read", "a curve")
    if absent:
        return Card(title, missing=absent)
    sessions = [row["session"] for row in days]
    lines = [
        charts.Line("gross", [row["gross_exposure_pct"] for row in days], charts.INK, "--"),
        charts.Line("net", [row["net_exposure_pct"] for row in days], charts.INK),
    ]
    last = days[-1]
    says = (
        f"Exposure in percent of capital; at the end gross {figures.percent(last['gross_exposure_pct'])}, "
        f"net {figures.percent(last['net_exposure_pct'])}"
    )
    picture = charts.exposure(
        f"{name}-exposure", sessions, _of_capital(days, "long_value"), _of_capital(days, "short_value"), lines, says
    )
    note = "At the close of each session, or at its last reading where the close was not read; short below zero."
    return Card(title, note, picture)


def _of_capital(days: list[Row], value: str) -> list[float]:
    return [100 * abs(row[value] or 0.0) / row["capital"] if row["capital"] else 0.0 for row in days]


def trades(readings: Readings, account: str | None, name: str) -> list[Card]:
    """What the closed trades brought: in R, by direction, exit and symbol; and the exposure they took."""
    closed = readings.overall(account).get("trades", 0)
    titles = ("Result of a trade, in R", "Profit by direction and exit", "Profit by symbol", "By direction and exit")
    absent = _absent(readings, "trades", closed, "closed trade", "", enough=1)
    if absent:
        without = [Card(title, missing=absent) for title in titles]
        return [*without[:3], exposure(readings, account, name), without[3]]
    groups = [
        {**row, "name": row["value"] if row["scope"] == "direction" else EXITS.get(row["value"], f"by {row['value']}")}
        for row in readings.summary(account)
        if row["scope"] != "all" and row["trades"]
    ]
    grey = f"Grey where fewer than {FEW_TRADES} trades." if any(are_few(row["trades"]) for row in groups) else ""
    return [
        _multiples(readings, account, name),
        _profit_bars(titles[1], f"{name}-exits", [(row["name"], row["net_pnl"]) for row in groups], "Closed trades."),
        _symbols(readings, account, name),
        exposure(readings, account, name),
        Card(titles[3], grey, table=table(tables.BREAKDOWN, groups), wide=True),
    ]


def _multiples(readings: Readings, account: str | None, name: str) -> Card:
    title = "Result of a trade, in R"
    values = readings.multiples(account)
    if not values:
        return Card(title, missing="No closed trade had a stop to measure its risk by.")
    number, mean = figures.counted(len(values), "trade"), figures.multiple(readings.overall(account)["average_r"])
    says = f"{number} by their result in R: {sum(value > 0 for value in values)} above zero, on average {mean}"
    note = f"{number}, average {mean}; the ends hold what lies beyond"
    return Card(title, note, charts.multiples(f"{name}-multiples", values, says))


def _symbols(readings: Readings, account: str | None, name: str) -> Card:
    rows = readings.symbols(account)
    shown = rows if len(rows) <= 2 * BEST_AND_WORST else [*rows[:BEST_AND_WORST], *rows[-BEST_AND_WORST:]]
    some = f"The {BEST_AND_WORST} best and {BEST_AND_WORST} worst of {len(rows)}."
    note = some if len(shown) < len(rows) else "Closed trades."
    card = _profit_bars("Profit by symbol", f"{name}-symbols", [(row["symbol"], row["net_pnl"]) for row in shown], note)
    return Card(
        card.title, card.note, card.picture, rest=table(tables.SYMBOLS, rows), rest_title=f"All {len(rows)} symbols"
    )


def _profit_bars(title: str, name: str, bars: list[tuple[str, float]], note: str) -> Card:
    labels, values = [label for label, _ in bars], [value for _, value in bars]
    says = f"{title}: {', '.join(f'{label} {figures.signed_dollars(value)}' for label, value in bars)}"
    return Card(title, note, charts.profit_bars(name, labels, values, says))


def signals(readings: Readings, account: str | None, name: str) -> list[Card]:
    """How well scores foretold what became of their trades."""
    quality = readings.signal_quality(account)
    with_trades = [row for row in quality if row["trades"]]
    titles = ("Predicted and realised", "Average R by score")
    absent = _absent(readings, "signal_quality", len(with_trades), "closed trade with a signal", "", enough=1)
    if absent:
        return [Card(title, missing=absent) for title in titles]
    note = f"Pale where fewer than {FEW_TRADES} trades."
    by_component = Card(
        titles[1], note, table=tables.quality_by_component(quality), heat=True,
        rest=table(tables.SIGNAL_QUALITY, quality), rest_title="All figures by component and score",
    )  # fmt: skip
    return [_calibration(with_trades, name), by_component]


def _calibration(quality: list[Row], name: str) -> Card:
    title = "Predicted and realised"
    bins = calibration_bins(row for row in quality if row["component"] == "total")
    if not bins:
        return Card(title, missing="No closed trade has a total score yet.")
    says = "Share of trades that hit the target, by score: " + "; ".join(
        f"{bin_.name}: predicted {figures.share(bin_.predicted)}, realised {figures.share(bin_.realised)} "
        f"of {figures.counted(bin_.trades, 'trade')}, {figures.share(bin_.won)} ended with a gain"
        for bin_ in bins
    )
    note = "Closed trades; one that ended by time or by hand has not hit its target, but may have gained."
    return Card(title, note, charts.calibration(f"{name}-calibration", bins, says))


def open_positions(readings: Readings, account: str | None) -> Card:
    """The trades that are still open, best first."""
    rows = readings.open_trades(account)
    shown, folded = rows[:POSITIONS_SHOWN], rows[POSITIONS_SHOWN:]
    if not rows:
        return Card("", missing=_unless_built(readings, "trades", "No position is open."), wide=True)
    unrealized = [row["unrealized_pnl"] for row in rows if row["unrealized_pnl"] is not None]
    note = f"{figures.counted(len(rows), 'position')}, unrealised {figures.signed_dollars(sum(unrealized))}"
    return Card("", note, table=table(tables.OPEN_POSITIONS, shown), wide=True,
                rest=table(tables.OPEN_POSITIONS, folded) if folded else None,
                rest_title=f"The other {figures.counted(len(folded), 'position')}")  # fmt: skip


def closed_trades(readings: Readings, account: str | None) -> Card:
    """The newest closed trades, and how to get all of them."""
    rows = readings.closed_trades(account, TRADES_IN_PAGE)
    if not rows:
        return Card("", missing=_unless_built(readings, "trades", "No trade has been closed yet."), wide=True)
    everything = readings.overall(account).get("trades", len(rows))
    note = f"The newest of {figures.counted(everything, 'trade')} first, times in exchange time."
    if not all(row["commissions_known"] for row in rows):
        note += " * the broker has not reported every commission yet."
    folded = rows[TRADES_SHOWN:]
    return Card(
        "", note, table=table(tables.CLOSED_TRADES, rows[:TRADES_SHOWN]), wide=True,
        rest=table(tables.CLOSED_TRADES, folded) if folded else None,
        rest_title=f"The next {figures.counted(len(folded), 'trade')}",
        query=NEWEST_TRADES if everything > len(rows) else "",
    )  # fmt: skip


def _absent(readings: Readings, mart: str, number: int, noun: str, needs: str, *, enough: int = 2) -> str:
    """Why there is nothing to draw, or nothing."""
    if number >= enough:
        return ""
    if not readings.has(mart):
        return NOT_BUILT
    if number == 0:
        return f"There is no {noun} yet."
    return f"There is one {noun} so far; {needs} needs two."


def _unless_built(readings: Readings, mart: str, sentence: str) -> str:
    return sentence if readings.has(mart) else NOT_BUILT


def calibration_bins(quality: Iterable[Row]) -> list[charts.Bin]:
    """The bins of the total score, with the range in which the realised share would lie 95 times in 100."""
    return [
        charts.Bin(
            f"{figures.count(row['bin_low'])}–{figures.count(row['bin_high'])}",
            row["predicted_win_probability"],
            row["hit_target_share"],
            *wilson_range(row["hit_target_share"], row["trades"]),
            row["win_rate"],
            row["trades"],
        )
        for row in quality
    ]


def wilson_range(share: float | None, trades: int) -> tuple[float | None, float | None]:
    """The 95 % score interval of a share (0-1) seen in so many trades (Wilson, JASA 22, 1927)."""
    if share is None or trades == 0:
        return None, None
    z = 1.959964
    middle = share + z * z / (2 * trades)
    reach = z * math.sqrt(share * (1 - share) / trades + z * z / (4 * trades * trades))
    scale = 1 + z * z / trades
    return (middle - reach) / scale, (middle + reach) / scale


def slots(readings: Readings, account: str | None, name: str) -> list[Card]:
    """The funnel of each session and how long its slots took."""
    days = readings.slot_days(account)
    if not days:
        missing = _unless_built(readings, "slot_health", "No slot was recorded.")
        return [Card("Funnel of a slot", missing=missing), Card("Seconds a slot", missing=missing)]
    newest_first = days[::-1]
    shown, folded = newest_first[:DAYS_SHOWN], newest_first[DAYS_SHOWN:DAYS_IN_PAGE]
    by_session = Card(
        "By session",
        "Averages of a slot up to approved; from there on sums of the session, where a stock counts in every slot.",
        table=table(tables.SLOTS, shown), wide=True,
        rest=table(tables.SLOTS, folded) if folded else None,
        rest_title=f"The {figures.counted(len(folded), 'session')} before",
    )  # fmt: skip
    return [_funnel(days, name), _latency(days, name), by_session, _held_back(readings, account)]


def _held_back(readings: Readings, account: str | None) -> Card:
    title = "What was held back"
    rows = readings.reasons(account, REASONS_SHOWN)
    if not rows:
        return Card(title, missing="Nothing was rejected or refused.", wide=True)
    totals = {row["stage"]: f"{row['what']} {_times(row['held_back'])}" for row in rows}
    note = (
        f"In all, {', '.join(totals.values())}. A stock counts in every slot. "
        "Below, in how many slots a reason was the most frequent one."
    )
    return Card(title, note, table=table(tables.REASONS, rows), wide=True)


def _times(number: float) -> str:
    return "once" if number == 1 else f"{figures.count(number)} times"


def _funnel(days: list[Row], name: str) -> Card:
    title = "Funnel of a slot"
    if len(days) < 2:
        return Card(title, missing="There is one session so far; a curve needs two.")
    stages = (
        ("scanned", charts.MUTED, ":"), ("passed_quality", charts.THIRD, "-"), ("scored", charts.INK, "--"),
        ("above_threshold", charts.GAIN, "-"), ("approved", charts.LOSS, "-"),
    )  # fmt: skip
    lines = [
        charts.Line(figures.words(stage), [row[stage] for row in days], colour, dashes)
        for stage, colour, dashes in stages
    ]
    last = days[-1]
    says = "Stocks a slot, average of the session; in the last one " + ", ".join(
        f"{figures.count(last[stage])} {figures.words(stage)}" for stage, _, _ in stages
    )
    picture = charts.over_days(f"{name}-funnel", [row["session"] for row in days], lines, "stocks", says)
    return Card(title, "Stocks left after each stage, average of a session's slots.", picture)


def _latency(days: list[Row], name: str) -> Card:
    title = "Seconds a slot"
    if len(days) < 2:
        return Card(title, missing="There is one session so far; a curve needs two.")
    lines = [
        charts.Line("median", [row["median_seconds"] for row in days], charts.GAIN),
        charts.Line("slowest", [row["slowest_seconds"] for row in days], charts.LOSS, "--"),
    ]
    last = days[-1]
    says = (
        "Seconds from the first stage of a slot to the last; in the last session "
        f"{figures.seconds(last['median_seconds'])} in the middle, {figures.seconds(last['slowest_seconds'])} at most"
    )
    stages = ", ".join(f"{stage} {figures.seconds(last[f'{stage}_seconds'])}" for stage in STAGES)
    picture = charts.over_days(f"{name}-latency", [row["session"] for row in days], lines, "seconds", says)
    return Card(title, f"From its first stage to its last. In the last session, median: {stages}.", picture)
