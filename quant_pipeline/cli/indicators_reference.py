"""Every indicator in tables: what ``quant-pipeline indicators`` prints and what ``docs/indicators.md`` holds.

Only the layout belongs here; what the indicators are is declared in ``quant.indicators.table``. A test keeps page and
command equal.
"""

from __future__ import annotations

from quant_pipeline.quant.indicators.table import INDICATORS, Group, Indicator
from quant_pipeline.quant.signals import SIGNAL_NAMES

GROUPS: dict[Group, tuple[str, str]] = {
    "momentum": ("Momentum", "How fast price moves, and which side moves it."),
    "volatility": ("Volatility", "How far price ranges, and where it stands in that range."),
    "trend": ("Trend", "Where the averages are and where they go."),
    "volume": (
        "Volume",
        "How much trades, and on which days. The volume of a session that is not over is paced first.",
    ),
    "mean_reversion": ("Mean reversion", "How far price is from where it usually is."),
    "microstructure": ("Microstructure", "The quote itself; no bars are needed."),
}

INTRODUCTION = f"""# Indicators

Each row of the frame `indicators` is a stock, each column one of these {len(INDICATORS)}. They are computed from daily
bars and the quote, at the latest bar: during the session that is today's, with its volume brought to a whole day's by
the usual course of volume. A value is missing until its *warm-up* is over, the number of bars it needs; it is never
infinite.

`C`, `H`, `L`, `V` are close, high, low and volume of a daily bar, `t` is the latest one. Prices are dollars. Where
TA-Lib has the same function, the tests hold the two equal to 1e-9. A star marks what a [signal](signals.md) reads.
"""


def indicators_reference() -> str:
    """The page as Markdown."""
    return "\n".join([INTRODUCTION, *(_group(group) for group in GROUPS)])


def _group(group: Group) -> str:
    name, meaning = GROUPS[group]
    rows = "\n".join(_row(indicator) for indicator in INDICATORS if indicator.group == group)
    return f"""## {name}

{meaning}

| indicator | unit | warm-up | from | formula | source | TA-Lib |
|---|---|---:|---|---|---|---|
{rows}
"""


def _row(indicator: Indicator) -> str:
    star = " *" if indicator.name in SIGNAL_NAMES else ""
    talib = f"`{indicator.talib}`" if indicator.talib else ""
    inputs = ", ".join(indicator.inputs).replace("_", " ")
    formula = indicator.formula.replace("|", "\\|")
    return (
        f"| `{indicator.name}`{star} | {indicator.unit} | {indicator.warm_up} | {inputs} | {formula} "
        f"| {indicator.source} | {talib} |"
    )
