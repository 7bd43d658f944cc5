"""The decide stages: what is withheld and why, the whole scan, and that it decides the same every time."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from quant_pipeline import frames
from quant_pipeline.quant import QuantMarketScanner, QuantScan, run_quant_scan
from quant_pipeline.settings import Settings
from quant_pipeline_tests.quant.market_data import (
    OBSERVED_AT,
    SLOT,
    TODAY,
    account_of,
    bars_from,
    market,
    orders_of,
    portfolio_of,
    quotes_for,
    universe_of,
    walk,
)

SETTINGS = Settings.model_validate({})
SCANNER = QuantMarketScanner(SETTINGS)


def scan_of(bars: pd.DataFrame, quotes: pd.DataFrame, universe: pd.DataFrame | None = None) -> QuantScan:
    return run_quant_scan(
        SETTINGS,
        universe=universe_of(quotes) if universe is None else universe,
        quotes=quotes,
        bars=bars,
        account=account_of(),
        portfolio=portfolio_of(),
        working_orders=orders_of(),
        slot_key=SLOT,
        session_progress=0.12,
    )


def reason_for(bars: pd.DataFrame, quotes: pd.DataFrame) -> str | None:
    """The reason the first symbol of the universe is withheld; the others must pass."""
    verdict = SCANNER.quality_filter(universe_of(quotes), quotes, bars)
    frames.validate("quality_filter", verdict)
    assert np.all(verdict["passed"].iloc[1:]), verdict
    first = verdict.iloc[0]
    assert first["passed"] == pd.isna(first["reason"])
    return None if first["passed"] else first["reason"]


@pytest.fixture
def sound() -> tuple[pd.DataFrame, pd.DataFrame]:
    return market(3, seed=21)


def test_sound_symbols_pass_without_a_reason(sound) -> None:
    assert reason_for(*sound) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"halted": True}, "trading is halted"),
        ({"bid": np.nan}, "one-sided quote: bid none"),
        ({"ask": np.nan}, "ask none"),
        ({"bid": 100.2, "ask": 100.0}, "crossed quote: bid 100.20 above ask 100.00"),
        ({"last": np.nan}, "no last price"),
        ({"quoted_at": pd.NaT}, "the quote has no time"),
        ({"quoted_at": OBSERVED_AT - pd.Timedelta(seconds=61)}, "quote is 61 s old, 60 s are allowed"),
        ({"bid": 4.999, "ask": 5.001, "last": 5.0}, "price 5.00 is not above 5.00"),
        ({"bid": 99.925, "ask": 100.075}, "spread 0.15 % is not below 0.15 %"),
        ({"bid": 99.845, "ask": 100.155}, "spread 0.31 % is not below 0.15 %"),
        ({"bid": 66.46, "ask": 66.56}, "spread 0.1504 % is not below 0.15 %"),
        ({"bid": 4.996, "ask": 4.997, "last": 4.9961}, "price 4.996 is not above 5.00"),
        ({"quoted_at": OBSERVED_AT - pd.Timedelta(seconds=60.4)}, "quote is 60.4 s old, 60 s are allowed"),
        ({"bid": np.inf}, "one-sided quote"),
        ({"bid": 0.0}, "one-sided quote: bid none"),
        ({"ask": -1.0}, "ask none"),
        ({"bid_size": 0.0}, "no shares at the bid"),
        ({"ask_size": 0.0}, "no shares at the ask"),
        ({"bid_size": -100.0}, "no shares at the bid"),
        ({"ask_size": np.nan}, "no shares at the ask"),
        ({"bid": 4.99, "ask": 4.99, "last": 4.99}, "price 4.99 is not above 5.00"),
    ],
)
def test_a_quote_that_cannot_be_traded_on_is_withheld(sound, change: dict[str, object], reason: str) -> None:
    bars, quotes = sound
    for column, value in change.items():
        quotes.loc[0, column] = value
    found = reason_for(bars, quotes)
    assert found is not None
    assert reason in found


def test_a_locked_quote_passes_with_a_spread_of_0(sound) -> None:
    """Both sides are there, and a limit order at that price pays no spread."""
    bars, quotes = sound
    quotes.loc[0, ["bid", "ask"]] = quotes.loc[0, "last"]
    assert reason_for(bars, quotes) is None
    verdict = SCANNER.quality_filter(universe_of(quotes), quotes, bars)
    assert verdict["spread_pct"].iloc[0] == 0.0
    scores = SCANNER.scores(SCANNER.indicators(verdict, quotes, bars, 1.0), quotes)
    assert "S000" in set(frames.validate("scores", scores)["symbol"])


def test_a_quote_exactly_as_old_as_allowed_is_fresh(sound) -> None:
    bars, quotes = sound
    quotes.loc[0, "quoted_at"] = OBSERVED_AT - pd.Timedelta(seconds=60)
    assert reason_for(bars, quotes) is None


def test_a_symbol_without_a_quote_or_bars_is_withheld(sound) -> None:
    bars, quotes = sound
    verdict = SCANNER.quality_filter(universe_of(quotes), quotes.iloc[1:], bars[bars["symbol"] != "S001"])
    assert verdict["reason"].tolist()[:2] == ["no quote", "no daily bars"]
    assert np.isnan(verdict["price"].iloc[0])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"close": np.nan}, "has no close"),
        ({"volume": np.nan}, "has no volume"),
        ({"open": np.inf}, "has no open"),
        ({"open": np.nan}, "has no open"),
        ({"high": np.nan}, "has no high"),
        ({"low": np.nan}, "has no low"),
        ({"low": -np.inf}, "has no low"),
        ({"open": -3.0}, "has open -3"),
        ({"low": 0.0}, "has low 0"),
        ({"volume": -1.0}, "has volume -1"),
        ({"high": 0.01, "low": 0.02}, "is impossible"),
        ({"high": 1.0}, "is impossible: close"),
        ({"open": 9999.0}, "is impossible: open 9999.00"),
    ],
)
def test_an_impossible_bar_withholds_its_symbol(sound, change: dict[str, float], reason: str) -> None:
    bars, quotes = sound
    for column, value in change.items():
        bars.loc[100, column] = value
    found = reason_for(bars, quotes)
    assert found is not None
    assert found.startswith(f"bar of {bars.loc[100, 'date'].date()}")
    assert reason in found


def test_two_bars_of_a_day_withhold_their_symbol(sound) -> None:
    bars, quotes = sound
    found = reason_for(pd.concat([bars, bars.iloc[[50]]]), quotes)
    assert found == f"two bars of {bars.loc[50, 'date'].date()}"


@pytest.mark.parametrize(
    ("factor", "name"), [(0.5, "2:1 split"), (1 / 3, "3:1 split"), (2 / 3, "3:2 split"), (10.0, "1:10 reverse split")]
)
def test_a_jump_like_an_unadjusted_split_withholds_its_symbol(sound, factor: float, name: str) -> None:
    bars, _ = sound
    closes = walk(260, daily=0.003, seed=2)
    jumped = bars_from("S000", np.concatenate([closes[:150], closes[150:] * factor]), seed=3)
    jumped.loc[150, "open"] = closes[149] * factor
    bars = pd.concat([jumped, bars[bars["symbol"] != "S000"]])
    found = reason_for(bars, quotes_for(bars))
    assert found is not None
    assert f"like a {name}" in found


@pytest.mark.parametrize(("factor", "name"), [(1 / 4, "4:1 split"), (2 / 3, "3:2 split"), (8.0, "1:8 reverse split")])
def test_a_split_of_today_shows_against_the_quote(sound, factor: float, name: str) -> None:
    bars, quotes = sound
    quotes.loc[0, ["bid", "ask", "last"]] = quotes.loc[0, ["bid", "ask", "last"]] * factor
    found = reason_for(bars, quotes)
    assert found is not None
    assert found.endswith(f"like a {name}")


def test_a_large_fall_that_is_no_split_passes(sound) -> None:
    bars, _ = sound
    closes = walk(260, daily=0.003, seed=2)
    fallen = bars_from("S000", np.concatenate([closes[:150], closes[150:] * 0.57]), seed=3)
    bars = pd.concat([fallen, bars[bars["symbol"] != "S000"]])
    assert reason_for(bars, quotes_for(bars)) is None


@pytest.mark.parametrize(("completed", "passes"), [(60, True), (59, False)])
def test_today_does_not_count_as_a_completed_bar(sound, completed: int, passes: bool) -> None:
    bars, quotes = sound
    short = bars[bars["symbol"] == "S000"].tail(completed + 1).copy()
    short.loc[short.index[-1], "partial"] = True
    found = reason_for(pd.concat([short, bars[bars["symbol"] != "S000"]]), quotes)
    assert found == (None if passes else "59 completed bars, 60 are needed")


def test_a_history_that_ended_long_ago_is_withheld(sound) -> None:
    bars, quotes = sound
    old = bars["symbol"].eq("S000") & (bars["date"] > TODAY - pd.Timedelta(days=8))
    found = reason_for(bars[~old], quotes)
    assert found is not None
    assert found.startswith("the last bar is of 2026-11-1")


def test_a_stock_that_does_not_move_is_withheld(sound) -> None:
    bars, quotes = sound
    own = bars["symbol"] == "S000"
    for field in ("open", "high", "low", "close"):
        bars.loc[own, field] = quotes.loc[0, "last"]
    assert reason_for(bars, quotes) == "average true range 0.0000: too small for a stop"


def test_a_stock_that_moves_too_much_for_a_target_is_withheld(sound) -> None:
    bars, quotes = sound
    own = bars["symbol"] == "S000"
    bars.loc[own, "high"] = bars.loc[own, "close"] * 1.3
    bars.loc[own, "low"] = bars.loc[own, "close"] * 0.9
    found = reason_for(bars, quotes)
    assert found is not None
    assert found.endswith("% of the price: too large for stop and target")


def test_one_reason_a_symbol_the_first_in_order(sound) -> None:
    bars, quotes = sound
    quotes.loc[0, ["halted", "last"]] = [True, np.nan]
    bars.loc[100, "close"] = np.nan
    assert reason_for(bars, quotes) == "trading is halted"


def test_everything_wrong_at_once_is_withheld_symbol_by_symbol_and_the_slot_goes_on() -> None:
    bars, quotes = market(20, seed=5)
    rows = {symbol: bars.index[bars["symbol"] == symbol] for symbol in quotes["symbol"]}
    quotes.loc[0, "halted"] = True
    quotes.loc[1, "bid"] = quotes.loc[1, "ask"] * 1.01
    quotes.loc[2, "ask"] = np.nan
    quotes.loc[3, "bid_size"] = 0.0
    quotes.loc[4, ["bid", "ask", "last"]] = quotes.loc[4, ["bid", "ask", "last"]] / 10
    bars.loc[rows["S005"][7], "close"] = np.nan
    bars.loc[rows["S006"][7], "high"] = 0.01
    bars.loc[rows["S007"][:-20], ["open", "high", "low", "close"]] *= 2
    bars = bars.drop(rows["S008"])
    bars = pd.concat([bars, bars.loc[rows["S009"][[3]]]])
    scan = scan_of(bars, quotes)
    withheld = scan.quality_filter.loc[~scan.quality_filter["passed"]].set_index("symbol")["reason"]
    expected = {
        "S000": "trading is halted", "S001": "crossed quote", "S002": "one-sided quote", "S003": "no shares at the bid",
        "S004": "10:1 split", "S005": "has no close", "S006": "is impossible", "S007": "like a 2:1 split",
        "S008": "no daily bars", "S009": "two bars of",
    }  # fmt: skip
    assert set(withheld.index) == set(expected)
    assert all(words in withheld[symbol] for symbol, words in expected.items()), withheld
    assert set(scan.scores["symbol"]) == set(quotes["symbol"]) - set(expected)
    for name in ("quality_filter", "indicators", "scores", "sized_orders"):
        frames.validate(name, getattr(scan, name))


def test_a_withheld_symbol_changes_nothing_for_the_others() -> None:
    bars, quotes = market(12, seed=8)
    whole = scan_of(bars, quotes).scores
    bars.loc[100, "close"] = np.nan
    without = scan_of(bars, quotes).scores
    expected = whole.loc[whole["symbol"] != "S000"].reset_index(drop=True)
    assert len(without) == 11
    pd.testing.assert_frame_equal(without, expected, rtol=0, atol=1e-9)


def test_every_stage_keeps_its_contract_and_the_funnel_narrows() -> None:
    bars, quotes = market(40, seed=5)
    quotes.loc[3, "halted"] = True
    scan = scan_of(bars, quotes)
    for name in ("quality_filter", "indicators", "scores", "sized_orders"):
        frames.validate(name, getattr(scan, name))
    funnel = list(scan.funnel.values())
    assert funnel == sorted(funnel, reverse=True)
    assert scan.funnel["scanned"] == 40
    assert scan.funnel["scored"] == 39
    assert np.count_nonzero(scan.scores["total_score"] >= 60) == len(scan.sized_orders)
    assert set(scan.scores["settings_hash"]) == {SETTINGS.decision_hash}


def test_an_empty_market_gives_empty_frames_that_keep_their_contracts() -> None:
    scan = scan_of(frames.empty("bars"), frames.empty("quotes"), frames.empty("universe"))
    for name in ("quality_filter", "indicators", "scores", "sized_orders"):
        assert frames.validate(name, getattr(scan, name)).empty, name


def test_a_market_in_which_nothing_passes_gives_reasons_and_no_scores() -> None:
    bars, quotes = market(3)
    scan = scan_of(bars, quotes.assign(halted=True))
    assert set(scan.quality_filter["reason"]) == {"trading is halted"}
    assert scan.funnel["approved"] == 0


def test_the_same_frames_decide_the_same_whatever_the_order_of_their_rows() -> None:
    bars, quotes = market(20, seed=6)
    first = scan_of(bars, quotes)
    again = scan_of(bars, quotes)
    universe = universe_of(quotes)
    shuffled = scan_of(
        bars.sample(frac=1, random_state=1),
        quotes.sample(frac=1, random_state=2),
        universe.sample(frac=1, random_state=3),
    )
    for name in ("quality_filter", "indicators", "scores", "sized_orders"):
        pd.testing.assert_frame_equal(getattr(first, name), getattr(again, name), check_exact=True)
        pd.testing.assert_frame_equal(getattr(first, name), getattr(shuffled, name), check_exact=True)


def test_inputs_are_left_as_they_were() -> None:
    bars, quotes = market(5)
    before = bars.copy(), quotes.copy()
    scan_of(bars, quotes)
    pd.testing.assert_frame_equal(bars, before[0])
    pd.testing.assert_frame_equal(quotes, before[1])


def test_the_package_imports_no_frames_no_broker_and_no_dagster() -> None:
    code = (
        "import sys; from quant_pipeline.quant import *; "
        "heavy = {'dagster', 'ib_insync', 'duckdb', 'pandera', 'quant_pipeline.frames'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
