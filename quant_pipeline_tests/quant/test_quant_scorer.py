"""Scores add up from their signals, mirror, say why, and know what they did without."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from quant_pipeline import frames
from quant_pipeline.quant.indicators.table import INDICATORS
from quant_pipeline.quant.key_signals import text_of
from quant_pipeline.quant.quant_scorer import SCORE_COLUMNS, QuantScore, QuantScorer
from quant_pipeline.quant.signals import COMPONENTS, SIGNAL_NAMES, SIGNALS
from quant_pipeline.quant.technical_indicators import TechnicalIndicators
from quant_pipeline.settings import ComponentWeights, ScoringSettings
from quant_pipeline_tests.quant.market_data import bars_from, market, quotes_for, walk

SCORER = QuantScorer(ScoringSettings.model_validate({}), "0123456789abcdef")


@pytest.fixture(scope="module")
def scored() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    bars, quotes = market(40, seed=11)
    indicators = TechnicalIndicators().latest(bars, quotes)
    return indicators, quotes, SCORER.score(indicators, quotes)


def test_every_signal_reads_a_declared_indicator_and_its_weights_make_a_whole() -> None:
    assert set(SIGNAL_NAMES) <= {indicator.name for indicator in INDICATORS}
    for component in COMPONENTS:
        weights = [signal.weight for signal in SIGNALS if signal.component == component]
        assert sum(weights) == pytest.approx(1.0), component


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.indicator)
def test_every_signal_has_a_rising_ramp_within_bounds_words_for_all_values_and_a_reason(signal) -> None:
    at, strength = zip(*signal.ramp, strict=True)
    assert list(at) == sorted(set(at))
    assert all(0 <= value <= 100 for value in strength)
    bounds = [bound for bound, _ in signal.words]
    assert bounds == sorted(bounds)
    assert bounds[-1] == float("inf")
    assert signal.reason
    assert signal.source


def test_the_frame_keeps_its_contract_and_is_sorted_best_first(scored) -> None:
    _, _, scores = scored
    frames.validate("scores", scores)
    assert scores["total_score"].is_monotonic_decreasing


def test_the_contributions_of_the_signals_add_up_to_the_total(scored) -> None:
    indicators, _, scores = scored
    for direction in ("LONG", "SHORT"):
        of_direction = scores[scores["direction"] == direction].set_index("symbol")
        totals = SCORER.contributions(indicators, direction).sum(axis=1)[of_direction.index]
        np.testing.assert_allclose(totals, of_direction["total_score"], rtol=0, atol=1e-9)


def test_the_total_is_the_weighted_sum_of_the_components(scored) -> None:
    _, _, scores = scored
    weights = ScoringSettings.model_validate({}).weights.model_dump()
    total = sum(weights[name] * scores[f"{name}_score"] for name in COMPONENTS)
    np.testing.assert_allclose(total, scores["total_score"], rtol=0, atol=1e-9)


def test_the_better_direction_wins(scored) -> None:
    indicators, _, scores = scored
    both = {d: SCORER.contributions(indicators, d).sum(axis=1) for d in ("LONG", "SHORT")}
    by_symbol = scores.set_index("symbol")
    best = pd.concat(both.values(), axis=1).max(axis=1)
    worst = pd.concat(both.values(), axis=1).min(axis=1)
    np.testing.assert_allclose(by_symbol["total_score"], best[by_symbol.index], atol=1e-9)
    np.testing.assert_allclose(by_symbol["opposite_score"], worst[by_symbol.index], atol=1e-9)


def test_prices_lie_on_the_right_sides_on_the_tick_and_at_the_reward_asked_for(scored) -> None:
    _, _, scores = scored
    sign = np.where(scores["direction"] == "LONG", 1.0, -1.0)
    risk = sign * (scores["entry_price"] - scores["stop_price"])
    reward = sign * (scores["target_price"] - scores["entry_price"])
    assert np.all(risk > 0)
    np.testing.assert_allclose(reward, 2.5 * risk, atol=0.005 + 1e-9)
    distance, atr, half_a_tick = risk.to_numpy(), scores["atr"].to_numpy(), 0.005 + 1e-9
    assert np.all(distance >= 1.5 * atr - half_a_tick)
    assert np.all(distance <= 2.0 * atr + half_a_tick)
    for column in ("entry_price", "stop_price", "target_price"):
        np.testing.assert_array_equal(scores[column], scores[column].round(2))


def test_mirrored_prices_swap_the_directions_and_nothing_else() -> None:
    bars = pd.concat([bars_from(f"S{n}", walk(260, drift=0.001 * (n - 5), seed=n), seed=n) for n in range(10)])
    quotes = quotes_for(bars).assign(bid_size=500.0, ask_size=500.0)
    mirrored = _mirror(bars)
    straight = SCORER.score(TechnicalIndicators().latest(bars, quotes), quotes).set_index("symbol").sort_index()
    turned = SCORER.score(TechnicalIndicators().latest(mirrored, quotes), quotes).set_index("symbol").sort_index()
    swapped = {"LONG": "SHORT", "SHORT": "LONG"}
    assert [swapped[direction] for direction in straight["direction"]] == turned["direction"].to_list()
    for column in ("total_score", "opposite_score", "confidence", "atr", *SCORE_COLUMNS):
        np.testing.assert_allclose(straight[column], turned[column], atol=1e-6, err_msg=column)


def test_key_signals_are_the_largest_contributions_in_words_with_their_values(scored) -> None:
    indicators, _, scores = scored
    best = QuantScore.from_row(scores.iloc[0].to_dict())
    points = SCORER.contributions(indicators, best.direction).loc[best.symbol]
    assert len(best.key_signals) == 10
    assert [signal.contribution for signal in best.key_signals] == pytest.approx(
        sorted(points, reverse=True)[:10], abs=1e-12
    )
    values = indicators.set_index("symbol").loc[best.symbol]
    assert all(signal.value == values[signal.name] for signal in best.key_signals)
    assert all(signal.text for signal in best.key_signals)


def test_a_signal_says_its_value_in_words() -> None:
    relative_strength = next(signal for signal in SIGNALS if signal.indicator == "rsi_14")
    assert text_of(relative_strength, 28.4) == "RSI(14) 28.4: oversold"


def test_a_short_history_shares_the_weight_of_what_is_undefined() -> None:
    bars = bars_from("YOUNG", walk(70, seed=4))
    quotes = quotes_for(bars)
    indicators = TechnicalIndicators().latest(bars, quotes)
    assert np.isnan(indicators["range_52w_position"].item())
    score = QuantScore.from_row(SCORER.score(indicators, quotes).iloc[0].to_dict())
    points = SCORER.contributions(indicators, score.direction).loc["YOUNG"]
    assert points["range_52w_position"] == 0.0
    assert points.sum() == pytest.approx(score.total_score, abs=1e-9)
    assert all(signal.name != "range_52w_position" for signal in score.key_signals)
    assert score.missing_signals == ("range_52w_position", "volatility_ratio")
    assert len(score.key_signals) == 10


def test_a_score_of_a_whole_history_did_without_nothing(scored) -> None:
    _, _, scores = scored
    assert scores["missing_signals"].to_list() == [[]] * len(scores)


def test_a_value_that_is_no_finite_number_is_missing(scored) -> None:
    indicators, quotes, _ = scored
    scores = SCORER.score(indicators.assign(cmf_20=np.inf, rsi_7=np.nan), quotes)
    assert scores["missing_signals"].to_list() == [["rsi_7", "cmf_20"]] * len(scores)
    named = {signal["name"] for reasons in scores["key_signals"] for signal in reasons}
    assert named.isdisjoint({"cmf_20", "rsi_7"})
    frames.validate("scores", scores)


def test_a_component_that_nothing_is_known_of_is_0_and_said_so(scored) -> None:
    indicators, quotes, scores = scored
    volume = [signal.indicator for signal in SIGNALS if signal.component == "volume"]
    without = SCORER.score(indicators.assign(**dict.fromkeys(volume, np.nan)), quotes)
    assert set(without["volume_score"]) == {0.0}
    assert without["missing_signals"].to_list() == [volume] * len(without)
    assert np.all(without["confidence"].to_numpy() <= 100 * (1 - 0.15))
    assert without["total_score"].to_numpy().mean() < scores["total_score"].to_numpy().mean()


def test_the_settings_change_what_a_signal_weighs_and_how_it_is_read(scored) -> None:
    indicators, quotes, _ = scored
    changed = {
        "spread_pct": {"weight": 0.0},
        "quote_imbalance": {"ramp": [[-1, 100], [1, 100]]},
        "rsi_14": {"weight": 0.4, "ramp": [[0, 0], [100, 100]]},
    }
    scorer = QuantScorer(ScoringSettings.model_validate({"signals": changed}))
    scores = scorer.score(indicators, quotes).set_index("symbol")
    assert set(scores["microstructure_score"]) == {100.0}
    points = scorer.contributions(indicators, "LONG")
    assert set(points["spread_pct"]) == {0.0}
    strength = indicators.set_index("symbol")["rsi_14"]
    np.testing.assert_allclose(points["rsi_14"], 0.3 * (0.4 / 1.3) * strength, atol=1e-9)
    for direction in ("LONG", "SHORT"):
        own = scores.loc[scores["direction"] == direction, "total_score"]
        totals = scorer.contributions(indicators, direction).sum(axis=1).reindex(own.index)
        np.testing.assert_allclose(totals, own, rtol=0, atol=1e-9)


def test_a_signal_without_weight_is_no_reason(scored) -> None:
    indicators, quotes, _ = scored
    settings = ScoringSettings.model_validate({"signals": {"quote_imbalance": {"weight": 0}}, "key_signals": 30})
    scores = QuantScorer(settings).score(indicators, quotes)
    for reasons in scores["key_signals"]:
        assert "quote_imbalance" not in [reason["name"] for reason in reasons]
        assert len(reasons) == len(SIGNALS) - 1


def test_rating_an_array_gives_what_the_frame_says(scored) -> None:
    indicators, _, scores = scored
    names = [signal.indicator for signal in SCORER.signals]
    rating = SCORER.rate(indicators[names].to_numpy().T)
    by_symbol = scores.set_index("symbol").loc[indicators["symbol"]]
    np.testing.assert_array_equal(rating.is_long, by_symbol["direction"] == "LONG")
    np.testing.assert_allclose(rating.totals.max(axis=0), by_symbol["total_score"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(rating.totals.min(axis=0), by_symbol["opposite_score"], rtol=0, atol=1e-9)


def test_less_evidence_means_less_confidence_at_the_same_prices() -> None:
    bars = bars_from("SAME", walk(260, drift=0.004, seed=8))
    quotes = quotes_for(bars)
    whole = TechnicalIndicators().latest(bars, quotes)
    known_less = whole.assign(range_52w_position=np.nan, volatility_ratio=np.nan, atr_trend=np.nan)
    confidence = [SCORER.score(frame, quotes)["confidence"].item() for frame in (whole, known_less)]
    assert confidence[1] < confidence[0]


def test_confidence_does_not_restate_the_score(scored) -> None:
    _, _, scores = scored
    assert abs(scores["confidence"].corr(scores["total_score"])) < 0.9
    assert np.all(scores["confidence"].between(0, 100))


def test_symbols_that_cannot_be_priced_are_left_out(scored) -> None:
    indicators, quotes, _ = scored
    quotes = quotes.copy()
    quotes.loc[0, "bid"] = np.nan
    without_range = indicators.assign(atr_14=indicators["atr_14"].mask(indicators["symbol"] == "S001"))
    assert set(indicators["symbol"]) - set(SCORER.score(without_range, quotes)["symbol"]) == {"S000", "S001"}


def test_nothing_to_score_gives_an_empty_frame_that_keeps_its_contract(scored) -> None:
    indicators, quotes, _ = scored
    assert frames.validate("scores", SCORER.score(indicators.iloc[:0], quotes)).empty


def test_component_weights_are_the_settings(scored) -> None:
    indicators, quotes, _ = scored
    only = ComponentWeights(momentum=1, mean_reversion=0, volatility=0, volume=0, microstructure=0)
    scores = QuantScorer(ScoringSettings.model_validate({"weights": only})).score(indicators, quotes)
    np.testing.assert_allclose(scores["total_score"], scores["momentum_score"], atol=1e-9)


def test_row_order_is_of_no_account(scored) -> None:
    indicators, quotes, scores = scored
    shuffled = SCORER.score(indicators.sample(frac=1, random_state=3), quotes.sample(frac=1, random_state=4))
    pd.testing.assert_frame_equal(shuffled, scores)


def _mirror(bars: pd.DataFrame) -> pd.DataFrame:
    """Every price reflected about its symbol's last close, so that what rose fell by as much."""
    last = dict(zip(bars["symbol"], bars["close"], strict=True))
    axis = 2.0 * np.array([last[symbol] for symbol in bars["symbol"]])
    return bars.assign(
        open=axis - bars["open"], high=axis - bars["low"], low=axis - bars["high"], close=axis - bars["close"]
    )
