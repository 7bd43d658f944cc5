"""Whatever the indicators are: contributions add up, directions mirror, bounds hold, and every score stands alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_pipeline.quant.key_signals import key_signals, missing_signals
from quant_pipeline.quant.ratings import BLOCK, LONG, SHORT, Rater, rater
from quant_pipeline.quant.signals import COMPONENTS, SIGNAL_NAMES, SIGNALS, Signal, signals_in_force
from quant_pipeline.settings import ScoringSettings, SignalSettings

DEFAULTS = ScoringSettings.model_validate({})
PLACES = {name: place for place, name in enumerate(SIGNAL_NAMES)}
CENTRES = np.array([np.nan if signal.centre is None else signal.centre for signal in SIGNALS])


def rater_by(settings: ScoringSettings) -> Rater:
    weights = settings.weights.model_dump()
    return rater(signals_in_force(settings.signals), tuple(weights[component] for component in COMPONENTS))


RATER = rater_by(DEFAULTS)


def value_of(signal: Signal) -> st.SearchStrategy[float]:
    """Values on the ramp, at its knots, beyond its ends, and none."""
    first, last = signal.ramp[0][0], signal.ramp[-1][0]
    around = st.floats(first - (last - first), last + (last - first))
    return st.one_of(around, st.sampled_from([knot for knot, _ in signal.ramp]), st.just(np.nan))


ONE_SYMBOL = st.tuples(*(value_of(signal) for signal in SIGNALS))
MARKET = st.lists(ONE_SYMBOL, min_size=1, max_size=8).map(lambda symbols: np.array(symbols, dtype=float).T)
KNOTS = st.lists(st.floats(-50, 50).map(lambda value: round(value, 3)), min_size=2, max_size=5, unique=True).map(sorted)
OVERRIDE = st.builds(
    lambda weight, knots, strengths: SignalSettings(weight=weight, ramp=tuple(zip(knots, strengths, strict=False))),
    st.none() | st.floats(0.01, 5),
    KNOTS,
    st.lists(st.floats(0, 100), min_size=5, max_size=5),
)
OVERRIDES = st.dictionaries(st.sampled_from(SIGNAL_NAMES), OVERRIDE, max_size=6)


@given(MARKET, OVERRIDES)
def test_contributions_add_up_to_the_total_in_both_directions(
    values: np.ndarray, overrides: dict[str, SignalSettings]
) -> None:
    by = rater_by(DEFAULTS.model_copy(update={"signals": overrides}))
    contributions = by.contributions(values, by.strengths(values))
    np.testing.assert_allclose(contributions.sum(axis=1), by.rate(values).totals, rtol=0, atol=1e-9)


@given(MARKET, OVERRIDES)
def test_mirrored_values_swap_the_directions(values: np.ndarray, overrides: dict[str, SignalSettings]) -> None:
    by = rater_by(DEFAULTS.model_copy(update={"signals": overrides}))
    mirrored = np.where(np.isnan(CENTRES[:, None]), values, 2.0 * CENTRES[:, None] - values)
    straight, turned = by.rate(values), by.rate(mirrored)
    np.testing.assert_allclose(straight.totals, turned.totals[::-1], rtol=0, atol=1e-9)
    np.testing.assert_allclose(straight.components, turned.components[::-1], rtol=0, atol=1e-9)


@given(MARKET, OVERRIDES)
def test_components_and_totals_lie_between_0_and_100(values: np.ndarray, overrides: dict[str, SignalSettings]) -> None:
    rating = rater_by(DEFAULTS.model_copy(update={"signals": overrides})).rate(values)
    assert np.all((rating.components >= 0.0) & (rating.components <= 100.0))
    assert np.all((rating.totals >= 0.0) & (rating.totals <= 100.0))


@given(MARKET)
def test_the_score_of_a_symbol_does_not_depend_on_its_company(values: np.ndarray) -> None:
    together = RATER.rate(values)
    for symbol in range(values.shape[1]):
        alone = RATER.rate(values[:, [symbol]])
        np.testing.assert_allclose(alone.totals[:, 0], together.totals[:, symbol], rtol=0, atol=1e-9)
        assert alone.is_long[0] == together.is_long[symbol]


@given(MARKET)
def test_strengths_are_the_ramps_read_off(values: np.ndarray) -> None:
    """Against plain interpolation, which knows nothing of pieces."""
    strengths = RATER.strengths(values)
    for place, signal in enumerate(SIGNALS):
        at, height = zip(*signal.ramp, strict=True)
        mirrored = values[place] if signal.centre is None else 2.0 * signal.centre - values[place]
        np.testing.assert_allclose(strengths[LONG, place], np.interp(values[place], at, height), rtol=0, atol=1e-9)
        np.testing.assert_allclose(strengths[SHORT, place], np.interp(mirrored, at, height), rtol=0, atol=1e-9)


@given(MARKET, st.integers(1, len(SIGNALS)))
def test_key_signals_are_the_largest_contributions_with_values_and_words(values: np.ndarray, count: int) -> None:
    points = RATER.contributions(values, RATER.strengths(values)[LONG])
    for symbol, reasons in enumerate(key_signals(SIGNALS, values, points, count)):
        own = [reason["contribution"] for reason in reasons]
        assert own == sorted(own, reverse=True)
        assert len(reasons) == min(count, np.count_nonzero(np.isfinite(values[:, symbol])))
        for reason in reasons:
            place = PLACES[reason["name"]]
            assert reason["value"] == values[place, symbol]
            assert reason["contribution"] == points[place, symbol]
            assert reason["text"].startswith(SIGNALS[place].label)
        left_out = np.delete(points[:, symbol], [PLACES[reason["name"]] for reason in reasons])
        if len(reasons) == count and left_out.size:
            assert own[-1] >= left_out.max()


@given(MARKET)
def test_missing_signals_are_those_without_a_value_in_the_order_of_the_signals(values: np.ndarray) -> None:
    for symbol, missing in enumerate(missing_signals(SIGNALS, values)):
        assert missing == [name for name, value in zip(SIGNAL_NAMES, values[:, symbol], strict=True) if np.isnan(value)]


@given(ONE_SYMBOL)
def test_less_evidence_never_means_more_confidence_in_the_same_signals(one: tuple[float, ...]) -> None:
    """Taking away a signal that says the same of both directions leaves the agreement and lowers the completeness."""
    whole = np.array(one)[:, None]
    less = whole.copy()
    less[PLACES["atr_pct_14"]] = np.nan
    assert confidence(less)[0] <= confidence(whole)[0] + 1e-9


def test_many_symbols_are_rated_as_few_are() -> None:
    random = np.random.default_rng(5)
    first, last = (np.array([[signal.ramp[end][0]] for signal in SIGNALS]) for end in (0, -1))
    values = random.uniform(first, last, (len(SIGNALS), 2 * BLOCK + 17))
    values[random.random(values.shape) < 0.01] = np.nan
    whole = RATER.rate(values)
    parts = [RATER.rate(values[:, symbol : symbol + 1]).totals for symbol in range(values.shape[1])]
    np.testing.assert_allclose(whole.totals, np.hstack(parts), rtol=0, atol=1e-9)


def test_nobody_to_rate_gives_an_empty_rating() -> None:
    rating = RATER.rate(np.empty((len(SIGNALS), 0)))
    assert rating.components.shape == (2, 5, 0)
    assert rating.totals.shape == (2, 0)


def test_equal_totals_are_long() -> None:
    centred = np.array([signal.ramp[0][0] if signal.centre is None else signal.centre for signal in SIGNALS])
    assert RATER.rate(centred[:, None]).is_long[0]


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_without_any_defined_signal_is_0_and_the_others_are_as_they_were(component: str) -> None:
    values = np.array([signal.ramp[1][0] for signal in SIGNALS])[:, None]
    own = np.array([signal.component == component for signal in SIGNALS])
    whole, without = RATER.rate(values), RATER.rate(np.where(own[:, None], np.nan, values))
    place = COMPONENTS.index(component)  # pyright: ignore[reportArgumentType]
    assert np.all(without.components[:, place] == 0.0)
    np.testing.assert_allclose(
        np.delete(without.components, place, axis=1), np.delete(whole.components, place, axis=1), atol=1e-9
    )


def test_nothing_known_is_a_score_of_0_without_confidence() -> None:
    nothing = np.full((len(SIGNALS), 1), np.nan)
    assert RATER.rate(nothing).totals.tolist() == [[0.0], [0.0]]
    assert confidence(nothing).tolist() == [0.0]


def test_an_undefined_signal_leaves_its_weight_to_the_others_of_its_component() -> None:
    values = np.array([signal.ramp[0][0] for signal in SIGNALS])[:, None]
    values[[PLACES["spread_pct"], PLACES["quote_imbalance"]], 0] = 0.0, np.nan
    assert RATER.rate(values).components[LONG, COMPONENTS.index("microstructure"), 0] == pytest.approx(100.0)


def test_equal_scores_can_have_different_confidence() -> None:
    """Signals that agree mildly, against a few that shout and others that contradict them."""
    mild = symbol_with(di_spread_14=2, ema_9_vs_21=0.1, sma_50_slope=0.01, macd_hist_atr=0.02, range_52w_position=0.55)
    shouting = symbol_with(di_spread_14=-6, ema_9_vs_21=-0.2, sma_50_slope=0.1, macd_hist_atr=-0.1, cmf_20=-0.05)
    lift = points_of(shouting) - points_of(mild)
    mild, shouting = (mild, shouting) if lift > 0 else (shouting, mild)
    # The turnover says nothing of the direction, so it can make the totals equal without touching the agreement.
    turnovers = np.linspace(10, 1000, 100_000)
    tuned = np.repeat(mild, len(turnovers), axis=1)
    tuned[PLACES["dollar_volume_20"]] = turnovers
    nearest = np.argmin(np.abs(RATER.rate(tuned).totals[LONG] - points_of(shouting)))
    equal = tuned[:, [nearest]]
    assert points_of(equal) == pytest.approx(points_of(shouting), abs=1e-3)
    assert abs(confidence(equal)[0] - confidence(shouting)[0]) > 10


def test_equal_confidence_can_stand_beside_different_scores() -> None:
    calm, wild = symbol_with(atr_pct_14=2.0), symbol_with(atr_pct_14=6.5)
    assert points_of(calm) > points_of(wild) + 3
    assert confidence(calm)[0] == pytest.approx(confidence(wild)[0], abs=1e-9)


def test_the_weights_of_a_component_are_brought_back_to_a_sum_of_1() -> None:
    signals = signals_in_force({"rsi_14": SignalSettings(weight=3.0), "spread_pct": SignalSettings(weight=0.0)})
    for component in COMPONENTS:
        assert sum(signal.weight for signal in signals if signal.component == component) == pytest.approx(1.0)
    by_name = {signal.indicator: signal for signal in signals}
    assert by_name["rsi_14"].weight == pytest.approx(3.0 / 3.9)
    assert (by_name["spread_pct"].weight, by_name["quote_imbalance"].weight) == (0.0, 1.0)


def test_without_overrides_the_signals_are_as_declared() -> None:
    assert signals_in_force({}) == SIGNALS


@given(OVERRIDES)
def test_overriding_with_what_is_in_force_changes_nothing(overrides: dict[str, SignalSettings]) -> None:
    in_force = signals_in_force(overrides)
    same = {signal.indicator: SignalSettings(weight=signal.weight, ramp=signal.ramp) for signal in in_force}
    assert signals_in_force(same) == in_force


def symbol_with(**values: float) -> np.ndarray:
    """A symbol at the centres, or at the middle of the ramps that have none, but for the given values."""
    usual = [signal.ramp[1][0] if signal.centre is None else signal.centre for signal in SIGNALS]
    symbol = np.array(usual)[:, None]
    for name, value in values.items():
        symbol[PLACES[name]] = value
    return symbol


def points_of(symbol: np.ndarray) -> float:
    return float(RATER.rate(symbol).totals[LONG, 0])


def confidence(values: np.ndarray) -> np.ndarray:
    """Confidence in LONG."""
    strengths = RATER.strengths(values)
    return RATER.confidence(values, strengths[LONG], strengths[SHORT])
