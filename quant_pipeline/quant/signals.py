"""The signals a score is made of: one table of indicator, ramp, weight and words, with the reason for each.

What a trader would want to argue about is here and nowhere else: the arithmetic that adds the signals up is in
``ratings``, and the settings (``scoring.signals``) may change weights and ramps but declare no signals of their own. A
ramp is piecewise linear from the indicator's value to 0-100 and is written for LONG. A directional signal is read for
SHORT at the value mirrored about its centre, so that mirrored prices swap the directions; a signal without a centre
says the same of both. Only declarations belong here; the settings import them, so this module imports next to nothing.

Signals are measured in units that mirror exactly and compare across stocks (ATRs, places in a range, standard
deviations). The momentum and mean-reversion ramps pull against each other on purpose: together they favour a pullback
in an orderly trend, which is what a swing of two to five days lives on. Where a ramp turns follows the usual reading of
its source; a value that says nothing earns about half or less, so that points are evidence. The levels were then set so
that on real days 50 to 60 of the 80 to 90 stocks that pass the quality filter score 60 or more (``docs/funnel.md``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol

Component = Literal["momentum", "mean_reversion", "volatility", "volume", "microstructure"]
COMPONENTS: tuple[Component, ...] = ("momentum", "mean_reversion", "volatility", "volume", "microstructure")

Ramp = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Signal:
    """One reading of one indicator.

    ``ramp`` holds rising (value, strength) knots for LONG, flat beyond its ends. ``centre`` is what a directional value
    is mirrored about for SHORT; None means that the signal is the same for both directions. ``weight`` counts within
    the component. ``words`` holds (upper bound, what to call a value below it), the last bound infinite.
    """

    component: Component
    indicator: str
    ramp: Ramp
    weight: float
    centre: float | None
    label: str
    words: tuple[tuple[float, str], ...]
    reason: str
    source: str
    digits: int = 1
    unit: str = ""


class SignalOverride(Protocol):
    """What the settings may change of a signal; None leaves it as it is."""

    @property
    def weight(self) -> float | None:
        """Weight within its component."""

    @property
    def ramp(self) -> Ramp | None:
        """Its ramp for LONG."""


_ALL = float("inf")
_RSI_WORDS = ((30.0, "oversold"), (45.0, "weak"), (55.0, "neutral"), (70.0, "strong"), (_ALL, "overbought"))

SIGNALS: tuple[Signal, ...] = (
    Signal(
        "momentum", "di_spread_14", ((-20, 0), (0, 30), (10, 65), (25, 100)), 0.15, 0.0, "+DI less -DI",
        ((-10, "sellers in control"), (10, "neither side in control"), (_ALL, "buyers in control")),
        "Which side makes the larger daily advances", "Wilder (1978)",
    ),
    Signal(
        "momentum", "ema_9_vs_21", ((-0.75, 0), (0, 30), (1, 100)), 0.15, 0.0, "EMA 9 against EMA 21",
        ((-0.25, "short trend down"), (0.25, "short trend flat"), (_ALL, "short trend up")),
        "The trend of the holding period itself", "Murphy (1999)", 2, " ATR",
    ),
    Signal(
        "momentum", "sma_50_slope", ((-0.05, 0), (0, 25), (0.1, 100)), 0.25, 0.0, "Slope of SMA 50",
        ((-0.02, "falling"), (0.02, "flat"), (_ALL, "rising")),
        "Trade with the trend of the quarter: returns of 1-12 months persist",
        "Jegadeesh and Titman (1993); Moskowitz, Ooi and Pedersen (2012)", 3, " ATR a day",
    ),
    Signal(
        "momentum", "macd_hist_atr", ((-0.3, 0), (0, 40), (0.3, 100)), 0.10, 0.0, "MACD histogram",
        ((-0.05, "momentum fading"), (0.05, "momentum flat"), (_ALL, "momentum building")),
        "Momentum that builds rather than fades", "Appel (1979)", 2, " ATR",
    ),
    Signal(
        "momentum", "rsi_14", ((35, 0), (50, 50), (57, 100), (65, 100), (80, 20)), 0.1, 50.0, "RSI(14)", _RSI_WORDS,
        "An orderly advance keeps the RSI between 50 and 65; more is already stretched", "Cardwell (1990s)",
    ),
    Signal(
        "momentum", "adx_14", ((10, 0), (20, 50), (30, 100), (45, 100), (65, 40)), 0.10, None, "ADX(14)",
        ((20.0, "no trend"), (40.0, "trending"), (_ALL, "very strong trend")),
        "A trend strong enough to trade, whichever way it goes", "Wilder (1978)",
    ),
    Signal(
        "momentum", "range_52w_position", ((0.1, 0), (0.5, 40), (0.9, 100)), 0.15, 0.5, "Place in the 52-week range",
        ((0.25, "near its low"), (0.75, "inside"), (_ALL, "near its high")),
        "Strength near the high of the year persists, since buyers anchor on it", "George and Hwang (2004)", 2,
    ),
    Signal(
        "mean_reversion", "rsi_7", ((25, 100), (50, 50), (75, 0)), 0.25, 50.0, "RSI(7)", _RSI_WORDS,
        "Enter after the pullback, not after the run: weekly returns reverse", "Lehmann (1990); Jegadeesh (1990)",
    ),
    Signal(
        "mean_reversion", "zscore_20", ((-3, 50), (-1.5, 100), (0, 55), (1.75, 0)), 0.25, 0.0,
        "Close against its 20-day mean",
        ((-1.5, "far below"), (-0.5, "below"), (0.5, "near"), (1.5, "above"), (_ALL, "far above")),
        "Distance from the mean in its own deviations; a very large one may be news", "Bollinger (2001)", 2, " sd",
    ),
    Signal(
        "mean_reversion", "stoch_k", ((20, 100), (50, 55), (85, 0)), 0.2, 50.0, "Stochastic %K",
        ((20.0, "oversold"), (80.0, "inside its range"), (_ALL, "overbought")),
        "Place in the range of the last three weeks", "Lane (1984)",
    ),
    Signal(
        "mean_reversion", "sma_50_distance", ((-4, 0), (-1, 40), (0, 90), (2, 90), (5, 0)), 0.3, 0.0,
        "Close against SMA 50",
        ((-3, "far below its trend"), (0, "below its trend"), (3, "above its trend"), (_ALL, "stretched")),
        "A pullback should end near the trend it pulls back to, not below it", "Connors and Raschke (1995)",
        1, " ATR",
    ),
    Signal(
        "volatility", "atr_pct_14", ((0.5, 0), (1, 45), (1.75, 100), (3, 100), (7, 0)), 0.35, None, "ATR(14)",
        ((1.0, "quiet"), (4.0, "tradable"), (_ALL, "wild")),
        "Enough range for a target in a week, not so much that a stop means nothing", "Wilder (1978)", 2, " %",
    ),
    Signal(
        "volatility", "volatility_ratio", ((0.5, 80), (0.8, 100), (1.2, 70), (2, 20), (3, 0)), 0.20, None,
        "Range against its year",
        ((0.7, "calm"), (1.3, "usual"), (_ALL, "lively")),
        "Calm stocks keep their stops; volatility clusters", "Mandelbrot (1963); Engle (1982)", 2,
    ),
    Signal(
        "volatility", "atr_trend", ((0.85, 100), (1, 60), (1.15, 0)), 0.20, None, "ATR 14 against ATR 21",
        ((0.95, "ranges narrow"), (1.05, "ranges steady"), (_ALL, "ranges widen")),
        "Narrowing ranges come before a move, widening ones after it", "Crabel (1990)", 2,
    ),
    Signal(
        "volatility", "keltner_position",
        ((-1.5, 0), (-0.75, 60), (-0.25, 100), (0.25, 90), (1, 20), (1.5, 0)), 0.25, 0.0,
        "Place in the Keltner channel",
        ((-1, "below"), (-0.33, "lower third"), (0.33, "middle"), (1, "upper third"), (_ALL, "above")),
        "Room to the far side of the usual range before the target", "Raschke, after Keltner (1960)", 2,
    ),
    Signal(
        "volume", "volume_ratio", ((0.4, 0), (1, 55), (1.6, 100), (3.5, 100), (8, 20)), 0.3, None,
        "Volume against its 20-day mean",
        ((0.7, "thin"), (1.5, "usual"), (3.5, "heavy"), (_ALL, "a spike")),
        "Participation confirms; an extreme is an event", "Karpoff (1987)", 2, "x",
    ),
    Signal(
        "volume", "cmf_20", ((-0.2, 0), (0, 30), (0.2, 100)), 0.225, 0.0, "Chaikin money flow",
        ((-0.05, "distribution"), (0.05, "balanced"), (_ALL, "accumulation")),
        "Closes near the highs on volume show accumulation", "Chaikin (1980s)", 2,
    ),
    Signal(
        "volume", "obv_slope_20", ((-0.3, 0), (0, 30), (0.4, 100)), 0.225, 0.0, "Slope of on-balance volume",
        ((-0.1, "volume on falling days"), (0.1, "volume on both sides"), (_ALL, "volume on rising days")),
        "Volume should come on days in the direction of the trade", "Granville (1963)", 2,
    ),
    Signal(
        "volume", "dollar_volume_20", ((10, 0), (50, 30), (200, 60), (1000, 100)), 0.25, None, "Turnover",
        ((50.0, "modest"), (200.0, "good"), (_ALL, "deep")),
        "A position must be small against what trades in a day", "Amihud (2002)", 0, " $m a day",
    ),
    Signal(
        "microstructure", "spread_pct", ((0.06, 100), (0.15, 50)), 0.65, None, "Spread",
        ((0.04, "tight"), (0.08, "fair"), (_ALL, "wide")),
        "The spread is the cost that is certain: 0.06 % is about a fiftieth of what a trade risks, 0.15 % a twentieth",
        "Harris (2003)", 3, " %",
    ),
    Signal(
        "microstructure", "quote_imbalance", ((-0.8, 0), (0, 40), (0.8, 100)), 0.35, 0.0, "Quote imbalance",
        ((-0.3, "more offered"), (0.3, "balanced"), (_ALL, "more bid")),
        "The larger side of the book leads the next move", "Cont, Kukanov and Stoikov (2014)", 2,
    ),
)  # fmt: skip
"""All signals, component by component. Within a component the weights add up to 1."""

SIGNAL_NAMES = tuple(signal.indicator for signal in SIGNALS)


def signals_in_force(overrides: Mapping[str, SignalOverride]) -> tuple[Signal, ...]:
    """The signals with overrides by name, the weights within a component brought back to a sum of 1.

    A component whose weights are all 0 keeps them; the settings refuse that before it comes here.
    """
    changed = [_changed(signal, overrides.get(signal.indicator)) for signal in SIGNALS]
    sums = dict.fromkeys(COMPONENTS, 0.0)
    for signal in changed:
        sums[signal.component] += signal.weight
    # What is 1 but for rounding stays as it was written, so that taking the result for overrides changes nothing.
    divisors = {component: total if total and abs(total - 1.0) > 1e-9 else 1.0 for component, total in sums.items()}
    return tuple(replace(signal, weight=signal.weight / divisors[signal.component]) for signal in changed)


def _changed(signal: Signal, override: SignalOverride | None) -> Signal:
    if override is None:
        return signal
    weight = signal.weight if override.weight is None else override.weight
    return replace(signal, weight=weight, ramp=override.ramp or signal.ramp)
