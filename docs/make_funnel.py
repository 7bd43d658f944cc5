"""Makes ``docs/funnel.md`` and its picture: how wide the funnel is on real days.

Run by hand when the score has changed, from the project's root: ``.venv/bin/python -m docs.make_funnel daily.parquet``.
The file holds daily bars with the columns ``symbol, date, open, high, low, close, volume``, from a year before 2016 on.
It stays where it is; only counts go into the project. The days are those that ``test_calibration`` looks at.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from quant_pipeline_tests.quant.market_days import (
    MIDDLE_SPREAD_PCT,
    SPREAD_VARIES,
    MarketDay,
    by_quarter,
    market_days,
    read_daily_bars,
)

DOCS = Path(__file__).parent
FIRST, LAST = "2016-01-01", "2018-12-31"
WANTED = (50, 60)
ONE_SPREAD_PCT = (0.02, 0.04, 0.06, 0.1)
CHOSEN = (80, 85, 90)

# Read on white and on black alike, and told apart with the common kinds of colour blindness.
TEXT, PASSED, LONG, SHORT = "#768390", "#768390", "#388bfd", "#db8b2d"
STYLE: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "funnel", "font.family": "sans-serif", "font.size": 10.5,
    "text.color": TEXT, "axes.labelcolor": TEXT, "axes.edgecolor": TEXT, "xtick.color": TEXT, "ytick.color": TEXT,
    "axes.facecolor": "none", "axes.spines.top": False, "axes.spines.right": False,
}  # fmt: skip


def main(path: str) -> None:
    """Look at the days of a file of daily bars, draw the picture and write the page."""
    bars = read_daily_bars(path)
    days = list(market_days(bars, FIRST, LAST))
    with mpl.rc_context(STYLE):
        figure = drawn(days)
        figure.savefig(DOCS / "images" / "funnel.svg", transparent=True, metadata={"Date": None})
    (DOCS / "funnel.md").write_text(page(days, one_spread(bars), len(bars["symbol"].unique())), encoding="utf-8")


def one_spread(bars: pd.DataFrame) -> pd.DataFrame:
    """Median number at or above the threshold: a row a spread that all have, a column a number of stocks that pass."""
    medians = {}
    for spread in ONE_SPREAD_PCT:
        days = list(market_days(bars, FIRST, LAST, spread_pct=spread))
        medians[f"{spread:.2f} %"] = {
            count: np.median([_above_of_some(day, count) for day in days]) for count in CHOSEN
        }
    return pd.DataFrame(medians).T


def _above_of_some(day: MarketDay, count: int) -> int:
    """How many of so many symbols, drawn from the day, are above; a score does not depend on the others."""
    drawn = day.scores.sample(min(count, len(day.scores)), random_state=np.random.default_rng(day.day.toordinal()))
    return int(np.count_nonzero(drawn["total_score"] >= day.threshold))


def drawn(days: list[MarketDay]) -> Figure:
    """The funnel day by day, and below it where the scores lie."""
    figure = Figure(figsize=(9.0, 7.4), layout="constrained")
    by_day, scores = figure.subplots(2, 1, height_ratios=(3, 2))
    _draw_days(by_day, days)
    _draw_scores(scores, days)
    return figure


def _draw_days(axes: Axes, days: list[MarketDay]) -> None:
    at = pd.DatetimeIndex([day.day for day in days])
    long, short = (np.array([day.above_of(direction) for day in days]) for direction in ("LONG", "SHORT"))
    passed = np.array([day.passed for day in days])
    axes.fill_between(at, long, step="mid", color=LONG, alpha=0.75, linewidth=0)
    axes.fill_between(at, long, long + short, step="mid", color=SHORT, alpha=0.75, linewidth=0)
    axes.plot(at, passed, color=PASSED, linewidth=1.2)
    axes.hlines(WANTED, at[0], at[-1], color=TEXT, linewidth=1.0, linestyles=(0, (4, 3)))
    axes.xaxis.set_major_locator(AutoDateLocator(minticks=6, maxticks=14))
    axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator()))
    axes.set(xlim=(at[0], at[-1]), ylim=(0, 100), ylabel="stocks of the day's 100 most active")
    axes.set_title(
        f"Every 5th session: who passes the filter, and who scores {days[0].threshold:g} or more", loc="left"
    )
    last = at[-1] + pd.Timedelta(days=8)
    labels = (
        (passed[-8:].mean(), "pass the filter", PASSED),
        (np.mean(WANTED), f"{WANTED[0]} to {WANTED[1]} wanted", TEXT),
        (36.0, "SHORT", SHORT),
        (10.0, "LONG", LONG),
    )
    for height, label, colour in labels:
        axes.text(last, float(height), label, color=colour, va="center", clip_on=False)  # pyright: ignore[reportArgumentType]


def _draw_scores(axes: Axes, days: list[MarketDay]) -> None:
    threshold = days[0].threshold
    of_direction = [
        np.concatenate([day.scores.loc[day.scores["direction"] == side, "total_score"].to_numpy() for day in days])
        for side in ("LONG", "SHORT")
    ]
    scores = np.concatenate(of_direction)
    edges = np.arange(float(np.floor(scores.min())), float(np.ceil(scores.max())) + 1.0)
    counts = [np.histogram(own, edges)[0] / len(days) for own in of_direction]
    axes.stairs(counts[0], edges, fill=True, color=LONG, alpha=0.75)
    axes.stairs(counts[0] + counts[1], edges, baseline=counts[0], fill=True, color=SHORT, alpha=0.75)
    highest = float(np.max(counts[0] + counts[1]))
    share = 100 * np.mean(scores >= threshold)
    axes.axvline(threshold, color=TEXT, linewidth=1.2)
    axes.text(threshold + 0.3, 1.08 * highest, f"threshold {threshold:g}: {share:.0f} % are at or above", va="center")
    axes.set(ylim=(0, 1.15 * highest), xlabel="total score of the better direction", ylabel="stocks a day and point")
    axes.set_title("Where the scores lie", loc="left", pad=10)


def page(days: list[MarketDay], same_spread: pd.DataFrame, stocks: int) -> str:
    """The page as Markdown, with the figures as they were measured."""
    threshold = days[0].threshold
    counts = pd.DataFrame(
        {
            "scanned": [day.scanned for day in days],
            "pass the quality filter": [day.passed for day in days],
            f"score {threshold:g} or more": [len(day.above) for day in days],
            "of them LONG": [day.above_of("LONG") for day in days],
            "of them SHORT": [day.above_of("SHORT") for day in days],
        }
    )
    stages = "\n".join(
        f"| {name} | {of_day.median():g} | {of_day.quantile(0.1):.0f} to {of_day.quantile(0.9):.0f} "
        f"| {of_day.min()} to {of_day.max()} |"
        for name, of_day in counts.items()
    )
    quarters = "\n".join(
        f"| {quarter} | {row['days']:g} | {row['passed']:g} | {row['above']:g} "
        f"| {100 * row['short'] / (row['long'] + row['short']):.0f} % |"
        for quarter, row in by_quarter(days).iterrows()
    )
    spreads = "\n".join(
        f"| {spread} | {' | '.join(f'{median:g}' for median in row)} |"
        for spread, row in zip(same_spread.index, same_spread.to_numpy(), strict=True)
    )
    alternative = f"Stocks that pass the filter and that score {threshold:g} or more, by day, and where the scores lie"
    return f"""# The funnel

How many stocks are left after each stage is an aim of the scanner: on the median day 80 to 90 of the 100
most active pass the quality filter, and {WANTED[0]} to {WANTED[1]} of these score {threshold:g} or more. This is
what it looked like on real days.

![{alternative}](images/funnel.svg)

| on {len(days)} days | median day | 8 days of 10 | all days |
|---|---:|---:|---:|
{stages}

The width breathes with the market, as it should: few stocks offer an orderly pullback in a sell-off such as that of
February 2018, many in a steady trend. No stock, date or price is treated in a way of its own.

## How it was measured

- Daily bars of {stocks} US stocks. Every 5th session of 2016 to 2018, the 100 stocks with the largest turnover of that
  day, each with the bars of the year before.
- The real stages: quality filter, indicators, scores, with the settings as they come.
- Quotes were not recorded, so they are drawn from a seed. A stock of middling turnover has a median spread of
  {MIDDLE_SPREAD_PCT:g} % of its price, one that trades four times as much half of that; two times in three a spread
  lies within a factor of {np.exp(SPREAD_VARIES):.1f} of its median.
- Scores are taken at the close, so that no volume is paced.

`.venv/bin/python -m docs.make_funnel daily.parquet` makes this page again from such a file, and
`test_calibration.py` holds its medians where it finds one.

## By quarter

| quarter | days | median that pass | median at {threshold:g} or more | share of SHORT |
|---|---:|---:|---:|---:|
{quarters}

## Does it hang on the quotes that were drawn?

On the spread, little. With one for all stocks, and a random 80, 85 or 90 of them, so many score {threshold:g} or more
on the median day. Up to 0.06 % a spread costs no points; if every stock had 0.10 %, fewer would be worth trading.

| spread | {" | ".join(f"of {count}" for count in CHOSEN)} |
|---|{"---:|" * len(CHOSEN)}
{spreads}
"""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Makes docs/funnel.md and its picture.")
    parser.add_argument("bars", help="Parquet file of daily bars, from a year before 2016 on")
    main(parser.parse_args().bars)
