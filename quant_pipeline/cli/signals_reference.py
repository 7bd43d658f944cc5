"""What a score is, and every signal it is made of: what ``quant-pipeline signals`` prints, ``docs/signals.md`` holds.

The words about the arithmetic are here; every figure in them comes from the code that computes it, so that none grows
old. A test keeps page and command equal. What the signals are is declared in ``quant.signals``.
"""

from __future__ import annotations

import textwrap

import numpy as np

from quant_pipeline.quant.key_signals import text_of
from quant_pipeline.quant.signals import COMPONENTS, SIGNALS, Component, Signal
from quant_pipeline.quant.trade_prices import TradePrices, expected_return_pct, target_price, win_probability
from quant_pipeline.settings import ScoringSettings

EXAMPLE_SIGNAL = next(signal for signal in SIGNALS if signal.indicator == "rsi_14")
EXAMPLE_VALUE, EXAMPLE_SCORE = 54.0, 64.0
EXAMPLE_ENTRY, EXAMPLE_STOP = 150.25, 145.80

IN_WORDS: dict[Component, str] = {
    "momentum": "Is there a trend to trade with, and does it hold?",
    "mean_reversion": "Has price pulled back far enough to enter, and near enough to its trend to turn?",
    "volatility": "Is there room for the target, without a stop that means nothing?",
    "volume": "Is there money behind the move, and enough of it to get out again?",
    "microstructure": "What does the trade cost, and which side of the book is larger?",
}


def signals_reference() -> str:
    """The page as Markdown."""
    scoring = ScoringSettings.model_validate({})
    weights = scoring.weights.model_dump()
    return "\n\n".join(
        [
            *_introduction(scoring.threshold),
            *_what_a_score_is(weights),
            *_what_it_says_of_the_trade(scoring),
            *_short_histories(),
            *_other_parameters(),
            *_signals(weights),
        ]
    )


def _introduction(threshold: float) -> list[str]:
    return [
        "# Signals and scores",
        _paragraph(
            f"""Every stock that passes the quality filter is scored from 0 to 100, once as a LONG and once as a SHORT.
            The
            better direction becomes its score, and what is at or above {threshold:g} is offered to the risk manager.
            How
            many that are on real days is shown in [The funnel](funnel.md); the indicators behind the signals are listed
            in [Indicators](indicators.md)."""
        ),
    ]


def _what_a_score_is(weights: dict[str, float]) -> list[str]:
    signal, value, mirrored = EXAMPLE_SIGNAL, EXAMPLE_VALUE, 2.0 * (EXAMPLE_SIGNAL.centre or 0.0) - EXAMPLE_VALUE
    long, short = _strength(signal, value), _strength(signal, mirrored)
    of_total, of_component = weights[signal.component], signal.weight
    shares = ", ".join(f"{_name(component).lower()} {100 * weights[component]:g} %" for component in COMPONENTS)
    steps = (
        "**Strength.** A signal turns one indicator into 0-100 by a ramp: straight lines between points, flat beyond.",
        "**Direction.** Ramps are written for LONG. A *directional* signal is read for SHORT at the value mirrored "
        "about its centre, so that mirrored prices swap the two directions. The other signals say the same of both.",
        "**Component** = weighted mean of the strengths of its signals.",
        f"**Total** = weighted sum of the five components: {shares}.",
        "**Contribution** of a signal = weight of the component x weight of the signal x strength, in points. The "
        "contributions add up to the total; the ten largest are the `key_signals`, in words with their values.",
    )
    return [
        "## What a score is",
        "\n".join(_paragraph(f"{number}. {step}", indent=3) for number, step in enumerate(steps, start=1)),
        _paragraph(
            f"""For example, `{text_of(signal, value)}`. Its ramp gives {long:.1f} for LONG and, read at {mirrored:g},
            {short:.1f} for SHORT. The signal carries {100 * of_component:g} % of {signal.component}, which carries
            {100 * of_total:g} % of the total: {of_total:.2f} x {of_component:.2f} x {long:.1f} =
            {of_total * of_component * long:.2f} points for LONG."""
        ),
    ]


def _what_it_says_of_the_trade(scoring: ScoringSettings) -> list[str]:
    ratio, factor, score = scoring.reward_to_risk, scoring.odds_per_ten_points, EXAMPLE_SCORE
    target = target_price("LONG", EXAMPLE_ENTRY, EXAMPLE_STOP, ratio)
    chance = win_probability(np.array([score]), ratio, factor)
    prices = TradePrices(np.array([EXAMPLE_ENTRY]), np.array([EXAMPLE_STOP]), np.array([target]))
    expected = expected_return_pct(chance, prices).item()
    reward, risk = (100 * abs(price / EXAMPLE_ENTRY - 1) for price in (target, EXAMPLE_STOP))
    p = chance.item()
    columns = {
        "entry_price": "the price that trades now: the ask for LONG, the bid for SHORT",
        "stop_price": f"{scoring.stop_atr_min:g} `atr_14` away in a calm spell (`volatility_ratio` of "
        f"{scoring.stop_calm_ratio:g} or less), {scoring.stop_atr_max:g} in a lively one "
        f"({scoring.stop_lively_ratio:g} or more), on a straight line in between",
        "target_price": f"{ratio:g} times as far from the entry as the stop, on the other side",
        "win_probability": "the chance that the target is reached before the stop. A random walk reaches "
        f"+{ratio:g} before -1 with 1/(1 + {ratio:g}) = {100 / (1 + ratio):.1f} %; that is the answer at score 50, "
        f"and ten points of score multiply the odds by {factor:g}",
        "expected_return_pct": "p x reward - (1 - p) x risk, in percent of the entry, before costs",
        "confidence": "how far the evidence agrees, 0-100",
    }
    return [
        "## What a score says of the trade",
        _table(("column", "what it is"), "--", [(f"`{name}`", meaning) for name, meaning in columns.items()]),
        _paragraph(
            f"""For example, a LONG at {EXAMPLE_ENTRY:.2f} with its stop at {EXAMPLE_STOP:.2f} has its target at
            {target:.2f}: it risks {risk:.2f} % for {reward:.2f} %. With a score of {score:g} the odds are 1/{ratio:g} x
            {factor:g}^{(score - 50) / 10:g} = {p / (1 - p):.3f}, a chance of
            {100 * p:.1f} %. The expected return is {p:.3f}
            x
            {reward:.2f} - {1 - p:.3f} x {risk:.2f} = {expected:+.2f} %. The factor of {factor:g} is a modest edge by
            choice, not a measurement."""
        ),
        _paragraph(
            """**Confidence is not the score again.** It is the share of the directional weight whose signals say more
            for
            this direction than for the other (a signal that says the same of both counts half), times the share of all
            weight that is defined. Three signals that shout against five that disagree make a high score with a low
            confidence; a modest score on which all agree has a high one."""
        ),
    ]


def _short_histories() -> list[str]:
    return [
        "## Short histories",
        _paragraph(
            """A signal is undefined until its indicator has the bars it needs. Its weight then goes to the other
            signals
            of its component, its name into `missing_signals`, and the confidence falls by its share of the weight. A
            component without any defined signal is 0: nothing is earned for what is not known. A stock without `atr_14`
            or without a two-sided quote is not scored at all."""
        ),
    ]


def _other_parameters() -> list[str]:
    return [
        "## Other parameters",
        "Weights and ramps are settings. In `quant_pipeline.toml`:",
        textwrap.dedent(
            """\
            ```toml
            [scoring.signals.rsi_14]
            weight = 0.2
            ramp = [[35, 0], [50, 50], [60, 100]]

            [scoring.weights]
            momentum = 0.35
            mean_reversion = 0.20
            ```"""
        ),
        _paragraph(
            """The weights of the signals of a component are brought back to a sum of 1; those of the components must
            add
            up to 1 as written. A weight of 0 leaves a signal out. The hash of everything that decides stands beside
            each score as `settings_hash`; `lineage.settings` has the parameters behind the hash, all ramps included."""
        ),
    ]


def _signals(weights: dict[str, float]) -> list[str]:
    return [
        "## The signals",
        _paragraph(
            """*Weight* counts within the component; *points* is the most a signal can add to a total. In a ramp,
            an arrow leads from the value of the indicator to the strength."""
        ),
        *(part for component in COMPONENTS for part in _component(component, weights[component])),
    ]


def _component(component: Component, weight: float) -> list[str]:
    signals = [signal for signal in SIGNALS if signal.component == component]
    return [
        f"### {_name(component)}: {100 * weight:g} %",
        IN_WORDS[component],
        _table(
            ("signal", "weight", "points", "for SHORT", "ramp for LONG", "why", "source"),
            "-rr----",
            [_row(signal, weight) for signal in signals],
        )
        + ("\n" if component == COMPONENTS[-1] else ""),
    ]


def _row(signal: Signal, component_weight: float) -> tuple[str, ...]:
    unit = f" in{signal.unit}" if signal.unit.startswith(" ") else ""
    return (
        f"{signal.label}{unit}, `{signal.indicator}`",
        f"{100 * signal.weight:.4g} %",
        f"{100 * component_weight * signal.weight:.2f}",
        "the same" if signal.centre is None else f"mirrored about {signal.centre:g}",
        " · ".join(f"{value:g} → {strength:g}" for value, strength in signal.ramp),
        signal.reason,
        signal.source,
    )


def _strength(signal: Signal, value: float) -> float:
    at, strength = zip(*signal.ramp, strict=True)
    return float(np.interp(value, at, strength))


def _name(component: Component) -> str:
    return component.replace("_", " ").capitalize()


def _table(names: tuple[str, ...], sides: str, rows: list[tuple[str, ...]]) -> str:
    rule = tuple({"r": "---:"}.get(side, "---") for side in sides)
    return "\n".join(f"| {' | '.join(row)} |" for row in (names, rule, *rows))


def _paragraph(text: str, indent: int = 0) -> str:
    return textwrap.fill(
        " ".join(text.split()), 120, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )
