"""The tables of the tear sheet: which columns they have, and how a row becomes cells.

A table is described by its columns, each with the name of a value and the way ``figures`` shows it; the template draws
them all alike. Which rows there are is for ``readings``, where a table stands for ``cards``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from quant_pipeline.metrics import figures
from quant_pipeline.metrics.readings import Row
from quant_pipeline.metrics.reasons import in_words

GAIN, LOSS = "gain", "loss"
FEW_TRADES = 30
"""Figures of fewer trades than these are pale: they cannot tell skill from luck."""


class Cell(NamedTuple):
    """What stands in a cell, and how: ``tone`` is gain or loss, ``note`` smaller words, ``strength`` 0-1 a heat.

    ``faint`` is a figure that rests on too little.
    """

    text: str
    tone: str = ""
    note: str = ""
    strength: float | None = None
    faint: bool = False


@dataclass(frozen=True)
class Column:
    """A column: its head, the value it shows and how; ``toned`` colours it by sign, ``left`` is for words.

    A figure ``of_trades`` is faint where its row has few of them. Words that are ``long`` may take several lines.
    """

    head: str
    value: str
    look: Callable[[Any], str]
    toned: bool = False
    left: bool = False
    long: bool = False
    of_trades: bool = False
    note: Callable[[Row], str] | None = None

    def cell(self, row: Row) -> Cell:
        """The cell of a row; a value the history does not have is missing."""
        value = row.get(self.value)
        tone = tone_of(value) if self.toned else ""
        note = self.note(row) if self.note else ""
        return Cell(self.look(value), tone, note, faint=self.of_trades and are_few(row["trades"]))


@dataclass(frozen=True)
class Table:
    """Heads and rows of cells; ``looks`` are the classes of its columns: ``l`` for words, ``long`` for many."""

    heads: tuple[str, ...]
    rows: list[tuple[Cell, ...]]
    looks: tuple[str, ...]


def are_few(trades: float | None) -> bool:
    """Whether figures of so many trades mean little."""
    return (trades or 0) < FEW_TRADES


def tone_of(value: float | None) -> str:
    """Gain, loss or neither, by the sign."""
    if value is None or value == 0 or not figures.known(value):
        return ""
    return GAIN if value > 0 else LOSS


def table(columns: Sequence[Column], rows: Sequence[Row]) -> Table:
    """The table of some rows."""
    return Table(
        tuple(column.head for column in columns),
        [tuple(column.cell(row) for column in columns) for row in rows],
        tuple("l long" if column.long else "l" if column.left else "" for column in columns),
    )


def _commission_pending(row: Row) -> str:
    return "" if row.get("commissions_known", True) else "*"


# What a person looks for first stands first: on a phone the rest has to be scrolled to.
CLOSED_TRADES = (
    Column("symbol", "symbol", figures.text, left=True),
    Column("side", "direction", figures.text, left=True),
    Column("net $", "net_pnl", figures.signed_money, toned=True, note=_commission_pending),
    Column("R", "r_multiple", figures.signed_ratio, toned=True),
    Column("exit by", "exit_reason", figures.words, left=True),
    Column("closed", "closed_at", figures.instant, left=True),
    Column("held", "holding_hours", figures.hours),
    Column("shares", "entry_quantity", figures.count),
    Column("entry $", "entry_price", figures.money),
    Column("exit $", "exit_price", figures.money),
    Column("MAE R", "mae_r", figures.signed_ratio),
    Column("MFE R", "mfe_r", figures.signed_ratio),
    Column("order", "entry_order_ref", figures.text, left=True),
)
OPEN_POSITIONS = (
    Column("symbol", "symbol", figures.text, left=True),
    Column("side", "direction", figures.text, left=True),
    Column("unrealised $", "unrealized_pnl", figures.signed_money, toned=True),
    Column("risk $", "initial_risk", figures.money),
    Column("last $", "last_price", figures.money),
    Column("entry $", "entry_price", figures.money),
    Column("stop $", "initial_stop", figures.money),
    Column("target $", "initial_target", figures.money),
    Column("shares", "open_quantity", figures.count),
    Column("opened", "opened_at", figures.instant, left=True),
    Column("order", "entry_order_ref", figures.text, left=True),
)
BREAKDOWN = (
    Column("", "name", figures.text, left=True),
    Column("closed", "trades", figures.count),
    Column("net $", "net_pnl", figures.signed_money, toned=True),
    Column("won", "win_rate", figures.share, of_trades=True),
    Column("average R", "average_r", figures.signed_ratio, toned=True, of_trades=True),
    Column("profit factor", "profit_factor", figures.ratio, of_trades=True),
    Column("expectancy $", "expectancy", figures.signed_money, toned=True, of_trades=True),
    Column("average win $", "average_win", figures.signed_money, of_trades=True),
    Column("average loss $", "average_loss", figures.signed_money, of_trades=True),
    Column("held", "average_hold_hours", figures.hours),
)
SYMBOLS = (
    Column("symbol", "symbol", figures.text, left=True),
    Column("net $", "net_pnl", figures.signed_money, toned=True),
    Column("average R", "average_r", figures.signed_ratio, toned=True),
    Column("trades", "trades", figures.count),
    Column("won", "winners", figures.count),
)
SIGNAL_QUALITY = (
    Column("score", "component", figures.words, left=True),
    Column("from", "bin_low", figures.count),
    Column("to", "bin_high", figures.count),
    Column("trades", "trades", figures.count),
    Column("net $", "net_pnl", figures.signed_money, toned=True),
    Column("average R", "average_r", figures.signed_ratio, toned=True, of_trades=True),
    Column("won", "win_rate", figures.share, of_trades=True),
    Column("hit target", "hit_target_share", figures.share, of_trades=True),
    Column("predicted", "predicted_win_probability", figures.share),
    Column("expectancy $", "expectancy", figures.signed_money, toned=True, of_trades=True),
    Column("signals", "signals", figures.count),
    Column("orders", "orders", figures.count),
    Column("filled", "filled", figures.count),
)
SLOTS = (
    Column("session", "session", figures.day, left=True),
    Column("slots", "slots", figures.count),
    Column("scanned", "scanned", figures.count),
    Column("passed quality", "passed_quality", figures.count),
    Column("scored", "scored", figures.count),
    Column("above threshold", "above_threshold", figures.count),
    Column("approved", "approved", figures.count),
    Column("rejected", "rejected", figures.count),
    Column("refused", "refused", figures.count),
    Column("legs sent", "legs_sent", figures.count),
    Column("legs refused", "legs_refused", figures.count),
    Column("median s", "median_seconds", figures.ratio),
    Column("slowest s", "slowest_seconds", figures.ratio),
)
REASONS = (
    Column("held back by", "stage", figures.text, left=True),
    Column("most frequent reason", "reason", in_words, long=True),
    Column("slots", "slots", figures.count),
)


def monthly_returns(months: Sequence[Row]) -> Table:
    """Years down, months across, the whole year at the end; returns in percent."""
    names = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "year")
    returns = {(row["year"], row["month"]): row["return_pct"] for row in months}
    strongest = max((abs(value) for (_, month), value in returns.items() if month is not None), default=0.0)
    rows = []
    for year in sorted({year for year, _ in returns}, reverse=True):
        cells = [_month(returns.get((year, month)), strongest) for month in range(1, 13)]
        whole = returns.get((year, None))
        rows.append((Cell(str(year)), *cells, Cell(figures.signed_plain_percent(whole), tone_of(whole))))
    return Table(("", *names), rows, ("l", *[""] * len(names)))


def quality_by_component(quality: Sequence[Row]) -> Table:
    """Components down, score bins across, the average R of the trades; pale where they are few."""
    bins = sorted({(row["bin_low"], row["bin_high"]) for row in quality if row["trades"]})
    by_place = {(row["component"], row["bin_low"]): row for row in quality}
    components = sorted({row["component"] for row in quality}, key=lambda name: (name != "total", name))
    strongest = max((abs(row["average_r"] or 0.0) for row in quality if not are_few(row["trades"])), default=0.0)
    rows = [
        (Cell(figures.words(name)), *(_quality(by_place.get((name, low)), strongest) for low, _ in bins))
        for name in components
    ]
    heads = tuple(f"{figures.count(low)}–{figures.count(high)}" for low, high in bins)
    return Table(("score", *heads), rows, ("l", *[""] * len(heads)))


def _month(value: float | None, strongest: float) -> Cell:
    if value is None:
        return Cell("")
    return Cell(figures.signed_plain_percent(value), tone_of(value), strength=_share_of(value, strongest))


def _quality(row: Row | None, strongest: float) -> Cell:
    if row is None or not row["trades"]:
        return Cell("")
    value, trades = row["average_r"], row["trades"]
    strength = 0.0 if are_few(trades) else _share_of(value, strongest)
    return Cell(figures.signed_ratio(value), tone_of(value), f"n {figures.count(trades)}", strength)


def _share_of(value: float | None, strongest: float) -> float:
    return min(abs(value) / strongest, 1.0) if value and strongest else 0.0
