"""The pictures of the tear sheet: matplotlib drawings as inline SVG.

How a picture is drawn and made part of a page belongs here; which figures it shows is for ``cards``. A drawing is
small (5.4 x 3 inches), so that its words can be read on a phone, and uses the colours of the page by their names in
CSS, so that it follows light, dark and print. Its words stay words; its ids begin with its name, so that two drawings
on a page do not clash. Equal figures give equal bytes.
"""

from __future__ import annotations

import datetime as dt
import html
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from quant_pipeline.metrics import figures

WIDTH = 5.4
HEIGHT = 3.0
FONT = 12
SMALL_FONT = 10.8
FEW_DAYS = 8
LONGEST_LABEL = 14
FEW_BARS = 6
START = "start"
BIN_R = 0.5
LOWEST_R, HIGHEST_R = -3.0, 5.0

# Colours no one else uses; each stands for a variable of the page's style sheet until the drawing is finished.
_COLOURS = {
    "#010101": "ink",
    "#010102": "muted",
    "#010103": "line",
    "#010104": "gain",
    "#010105": "loss",
    "#010106": "third",
}
INK, MUTED, LINE, GAIN, LOSS, THIRD = _COLOURS
_STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": FONT,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": FONT,
    "axes.labelsize": SMALL_FONT,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": SMALL_FONT,
    "ytick.labelsize": SMALL_FONT,
    "legend.frameon": False,
    "legend.fontsize": SMALL_FONT,
    "lines.linewidth": 1.6,
}
_XML_HEAD = re.compile(r"^.*?(?=<svg)", flags=re.DOTALL)
_NOT_NEEDED = re.compile(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</defs>|<!--.*?-->", flags=re.DOTALL)
_OPENING_TAG = re.compile(r"<svg[^>]*?viewBox=\"([^\"]*)\"[^>]*>")
_REFERENCE = re.compile(r"(url\(#|href=\"#)([^\")]+)")
_ID = re.compile(r" id=\"([^\"]*)\"")
_FONT_FAMILY = re.compile(r"font-family: [^;\"]*(; )?")
_NO_ROTATION = re.compile(r" transform=\"rotate\(-?0 [^\"]*\"")
_GEOMETRY = re.compile(r"\b(?:d|x|y|transform)=\"[^\"]*\"")
_LONG_NUMBER = re.compile(r"(-?\d+\.\d)\d+")
_BLANKS = re.compile(r"[ \n]+")


@dataclass(frozen=True)
class Line:
    """A line over time: what it is called, its values and its colour."""

    name: str
    values: Sequence[float | None]
    colour: str
    dashes: str = "-"


@dataclass(frozen=True)
class Bin:
    """A range of scores and the shares (0-1) of its trades.

    ``predicted`` to hit the target, ``realised`` so, between ``low`` and ``high`` but for chance, and ``won`` anyhow.
    """

    name: str
    predicted: float | None
    realised: float | None
    low: float | None
    high: float | None
    won: float | None
    trades: int


class Drawing:
    """One picture: draw on ``axes``, then take ``svg``. ``name`` is unique on the page, ``says`` its words.

    All are of one size, so that two of them fill a row of the page.
    """

    def __init__(self, name: str, says: str) -> None:
        self._name = name
        self._says = says
        with self._style():
            self._figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
            self.axes: Axes = self._figure.subplots()
            self.axes.tick_params(length=0)
            self.axes.tick_params(axis="x", pad=6)

    def legend_above(self, columns: int) -> None:
        """Name the lines above the drawing."""
        with self._style():
            self._figure.legend(loc="outside upper left", ncols=columns, handlelength=1.4, columnspacing=1.2)

    def svg(self) -> Markup:
        """The drawing as an element of a page."""
        written = io.StringIO()
        with self._style():
            self._figure.savefig(written, format="svg", metadata={"Date": None}, transparent=True)
        return Markup(_as_part_of_a_page(written.getvalue(), self._name, self._says))

    @contextmanager
    def _style(self) -> Iterator[None]:
        with rc_context(_STYLE), rc_context({"svg.hashsalt": self._name}):
            yield


def equity(name: str, days: Sequence[dt.date], values: Sequence[float], says: str, *, from_start: bool) -> Markup:
    """Equity in dollars at the end of each session; ``from_start`` when the first value is that before all of them."""
    drawing = Drawing(name, says)
    axes = drawing.axes
    axes.plot(_numbers(days), values, color=GAIN, marker=_mark(days), markersize=4)
    axes.axhline(values[0], color=MUTED, linewidth=0.9, linestyle=":")
    _dollars_on(axes.yaxis)
    _days_on(axes, days, from_start=from_start)
    return drawing.svg()


def drawdown(name: str, days: Sequence[dt.date], values: Sequence[float], says: str, *, from_start: bool) -> Markup:
    """Distance from the highest equity so far, in percent, zero or below; ``from_start`` as for the equity."""
    drawing = Drawing(name, says)
    axes = drawing.axes
    axes.fill_between(_numbers(days), values, color=LOSS, alpha=0.3, linewidth=0)
    axes.plot(_numbers(days), values, color=LOSS, linewidth=1.2, marker=_mark(days), markersize=4)
    axes.set_ylim(min(values) * 1.05 or -1.0, 0)
    _percent_on(axes.yaxis)
    _days_on(axes, days, from_start=from_start)
    return drawing.svg()


def exposure(
    name: str, days: Sequence[dt.date], long: Sequence[float], short: Sequence[float], lines: Sequence[Line], says: str
) -> Markup:
    """Long above and short below zero as areas, gross and net as lines; percent of capital."""
    drawing = Drawing(name, says)
    axes = drawing.axes
    axes.fill_between(_numbers(days), long, color=GAIN, alpha=0.35, linewidth=0, label="long")
    axes.fill_between(_numbers(days), [-value for value in short], color=LOSS, alpha=0.35, linewidth=0, label="short")
    _plot(axes, days, lines)
    axes.axhline(0, color=MUTED, linewidth=0.9)
    _percent_on(axes.yaxis)
    _days_on(axes, days)
    drawing.legend_above(4)
    return drawing.svg()


def over_days(name: str, days: Sequence[dt.date], lines: Sequence[Line], unit: str, says: str) -> Markup:
    """Lines over sessions, from zero up."""
    drawing = Drawing(name, says)
    _plot(drawing.axes, days, lines)
    drawing.axes.set_ylim(bottom=0)
    drawing.axes.set_ylabel(unit)
    _days_on(drawing.axes, days)
    drawing.legend_above(3)
    return drawing.svg()


def multiples(name: str, values: Sequence[float], says: str) -> Markup:
    """How many trades ended at which multiple of their risk, in steps of half an R; the ends hold what is beyond."""
    drawing = Drawing(name, says)
    axes = drawing.axes
    steps = int((HIGHEST_R - LOWEST_R) / BIN_R)
    counts = [0] * steps
    for value in values:
        counts[min(max(int((value - LOWEST_R) // BIN_R), 0), steps - 1)] += 1
    starts = [LOWEST_R + BIN_R * step for step in range(steps)]
    colours = [LOSS if start < 0 else GAIN for start in starts]
    axes.bar(starts, counts, width=BIN_R * 0.92, align="edge", color=colours)
    axes.axvline(0, color=MUTED, linewidth=0.9)
    axes.set_xticks([LOWEST_R, -2, -1, 0, 1, 2, 3, 4, HIGHEST_R])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: figures.signed_step(at)))
    axes.set_xlabel("R")
    axes.set_ylabel("trades")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: figures.count(value)))
    axes.grid(visible=False, axis="x")
    return drawing.svg()


def profit_bars(name: str, labels: Sequence[str], values: Sequence[float], says: str) -> Markup:
    """Profit and loss in dollars, a bar each from the top down, losses to the left."""
    drawing = Drawing(name, says)
    axes = drawing.axes
    places = range(len(labels))
    thickness = 0.7 * min(len(labels) / FEW_BARS, 1.0)
    axes.barh(places, values, height=thickness, color=[GAIN if value >= 0 else LOSS for value in values])
    axes.axvline(0, color=MUTED, linewidth=0.9)
    for place, value in zip(places, values, strict=True):
        # On the empty side of the zero line, so that no figure is cut off and the sign shows twice.
        axes.annotate(
            figures.signed_dollars(value), (0, place), (-5 if value >= 0 else 5, 0), textcoords="offset points",
            ha="right" if value >= 0 else "left", va="center", fontsize=SMALL_FONT, color=INK,
        )  # fmt: skip
    axes.set_yticks(places, [_short(label) for label in labels])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    widest = max((abs(value) for value in values), default=0.0) or 1.0
    axes.set_xlim(min(min(values), -0.45 * widest) * 1.05, max(max(values), 0.45 * widest) * 1.05)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    _dollars_on(axes.xaxis)
    axes.grid(visible=False, axis="y")
    return drawing.svg()


def calibration(name: str, bins: Sequence[Bin], says: str) -> Markup:
    """Predicted against realised share of targets reached by score, with what chance alone would explain."""
    drawing = Drawing(name, says)
    axes = drawing.axes
    for place, bin_ in enumerate(bins):
        if bin_.low is not None and bin_.high is not None:
            axes.plot([place, place], [100 * bin_.low, 100 * bin_.high], color=GAIN, linewidth=5, alpha=0.3)
    axes.plot(
        *_percents([bin_.realised for bin_ in bins]), "o", color=GAIN, markersize=7, label="hit target, 95 % range"
    )
    axes.plot(*_percents([bin_.won for bin_ in bins]), "D", color=THIRD, markersize=6, markerfacecolor="none",
              markeredgewidth=1.5, label="gained")  # fmt: skip
    axes.plot(*_percents([bin_.predicted for bin_ in bins]), "_", color=LOSS, markersize=20, markeredgewidth=2.4,
              label="predicted")  # fmt: skip
    axes.set_xticks(range(len(bins)), [f"{bin_.name}\nn {figures.count(bin_.trades)}" for bin_ in bins])
    axes.set_xlim(-0.6, len(bins) - 0.4)
    axes.set_ylim(0, None)
    axes.set_xlabel("score, n trades")
    _percent_on(axes.yaxis)
    axes.grid(visible=False, axis="x")
    drawing.legend_above(3)
    return drawing.svg()


def _short(label: str) -> str:
    """A label that leaves room for its bar; the tables have it whole."""
    return label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…"


def _plot(axes: Axes, days: Sequence[dt.date], lines: Sequence[Line]) -> None:
    for line in lines:
        values = [float("nan") if value is None else value for value in line.values]
        axes.plot(_numbers(days), values, color=line.colour, linestyle=line.dashes, marker=_mark(days), markersize=4,
                  label=line.name)  # fmt: skip


def _mark(days: Sequence[dt.date]) -> str:
    return "o" if len(days) <= FEW_DAYS else ""


def _percents(shares: Sequence[float | None]) -> tuple[list[int], list[float]]:
    """Places and percentages of the shares that are known."""
    there = [(place, 100 * share) for place, share in enumerate(shares) if share is not None]
    return [place for place, _ in there], [percent for _, percent in there]


def _numbers(days: Sequence[dt.date]) -> Any:
    # The types of matplotlib know of numbers only, though it draws dates.
    return list(days)


def _days_on(axes: Axes, days: Sequence[dt.date], *, from_start: bool = False) -> None:
    if len(days) <= FEW_DAYS:
        names = [START if from_start and place == 0 else f"{day:%b %-d}" for place, day in enumerate(days)]
        every = 1 if len(days) <= 5 else 2
        axes.set_xticks(_numbers(days[::every]), names[::every])
    else:
        locator = AutoDateLocator(minticks=3, maxticks=6)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.margins(x=0.02)
    axes.grid(visible=False, axis="x")


def _dollars_on(axis: Any) -> None:
    axis.set_major_formatter(FuncFormatter(lambda value, _: figures.dollar_step(value)))


def _percent_on(axis: Any) -> None:
    axis.set_major_locator(MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: figures.percent_step(value)))


def _as_part_of_a_page(drawn: str, name: str, says: str) -> str:
    """The file matplotlib writes, as an element among others: named, described, in the page's fonts and colours."""
    drawn = _NOT_NEEDED.sub("", _XML_HEAD.sub("", drawn))
    referenced = {found[1] for found in _REFERENCE.findall(drawn)}
    drawn = _ID.sub(lambda found: f' id="{name}-{found[1]}"' if found[1] in referenced else "", drawn)
    drawn = _REFERENCE.sub(rf"\g<1>{name}-\g<2>", drawn).replace("xlink:href", "href")
    drawn = _FONT_FAMILY.sub("", _NO_ROTATION.sub("", drawn))
    drawn = _GEOMETRY.sub(lambda found: _LONG_NUMBER.sub(r"\1", found[0]), drawn)
    for colour, variable in _COLOURS.items():
        drawn = drawn.replace(colour, f"var(--{variable})")
    words = html.escape(says)
    opening = f'<svg class="chart" role="img" aria-label="{words}" viewBox="\\1"><title>{words}</title>'
    return _BLANKS.sub(" ", _OPENING_TAG.sub(lambda found: opening.replace("\\1", found[1]), drawn, count=1)).strip()
