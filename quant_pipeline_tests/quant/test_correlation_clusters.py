"""Which stocks move together: direction, single linkage, common bars, and what is not known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from quant_pipeline.quant import QuantMarketScanner
from quant_pipeline.quant.correlation_clusters import ClusterValue, CorrelationClusters, DailyCloses
from quant_pipeline.settings import Settings
from quant_pipeline_tests.quant.market_data import SLOT, account_of, orders_of, portfolio_of
from quant_pipeline_tests.quant.risk_room import NO_ORDERS, NONE, moving, offers, refusal, size

RETURNS = 20
STEPS = np.random.default_rng(3).normal(0.0, 0.02, (4, RETURNS + 1))
LONG, SHORT = 1, -1


def clusters(bars: pd.DataFrame, *committed: tuple[str, int, float], correlation: float = 0.8) -> CorrelationClusters:
    made = CorrelationClusters(DailyCloses.from_frame(bars, SYMBOLS), correlation=correlation, returns=RETURNS)
    for commitment in committed:
        made.commit(*commitment)
    return made


SYMBOLS = ["A", "B", "C", "D", "NEW"]


def mixed(share: float, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Returns whose correlation with ``one`` is the share, when ``other`` is made independent of it."""
    one, other = one - one.mean(), other - other.mean()
    other = other - one * (one @ other) / (one @ one)
    return share * one / np.linalg.norm(one) + np.sqrt(1 - share**2) * other / np.linalg.norm(other)


@pytest.mark.parametrize(
    ("moves", "held", "offered", "together"),
    [
        (1.0, LONG, LONG, True),
        (1.0, SHORT, SHORT, True),
        (1.0, LONG, SHORT, False),
        (1.0, SHORT, LONG, False),
        (-1.0, LONG, SHORT, True),
        (-1.0, SHORT, LONG, True),
        (-1.0, LONG, LONG, False),
        (-1.0, SHORT, SHORT, False),
    ],
)
def test_the_direction_decides_whether_two_stocks_move_together(
    moves: float, held: int, offered: int, together: bool
) -> None:
    bars = moving(("A", STEPS[0]), ("NEW", moves * STEPS[0]))
    value = clusters(bars, ("A", held, 700.0)).value_with("NEW", offered, 50.0)
    assert value == (ClusterValue(750.0, ("A",), 0) if together else ClusterValue(50.0, (), 0))


@pytest.mark.parametrize(("correlation", "together"), [(0.79, True), (0.8, True), (0.81, False)])
def test_a_correlation_at_the_threshold_is_an_edge(correlation: float, together: bool) -> None:
    latest = STEPS[:, 1:]
    mixture = np.concatenate([[0.01], mixed(0.8, latest[0], latest[1])])
    bars = moving(("A", STEPS[0]), ("NEW", mixture))
    assert clusters(bars, ("A", LONG, 1.0), correlation=correlation).value_with("NEW", LONG, 1.0).stocks == 1 + together


@pytest.mark.parametrize("scale", [0.1, 0.3, 0.7, 1.1, 1.3, 3.0])
@pytest.mark.parametrize("row", range(4))
def test_returns_in_proportion_are_together_even_at_a_threshold_of_one(row: int, scale: float) -> None:
    bars = moving(("A", STEPS[row]), ("NEW", scale * STEPS[row]))
    assert clusters(bars, ("A", LONG, 1.0), correlation=1.0).value_with("NEW", LONG, 1.0).stocks == 2


def test_a_stock_between_two_others_makes_one_cluster_of_them() -> None:
    between = mixed(np.sqrt(0.5), STEPS[0], mixed(0.0, STEPS[0], STEPS[1]))
    ends = STEPS[0], mixed(0.0, STEPS[0], STEPS[1])
    bars = moving(("A", ends[0]), ("B", ends[1]), ("C", between), ("NEW", ends[0]))
    apart = clusters(bars, ("A", LONG, 10.0), ("B", LONG, 20.0), correlation=0.6)
    assert apart.value_with("NEW", LONG, 1.0) == ClusterValue(11.0, ("A",), 0)
    assert apart.value_with("C", LONG, 1.0) == ClusterValue(31.0, ("A", "B"), 0)
    apart.commit("C", LONG, 40.0)
    assert apart.value_with("NEW", LONG, 1.0) == ClusterValue(71.0, ("A", "B", "C"), 0)


def test_a_stock_without_known_bars_counts_in_every_cluster_and_joins_none() -> None:
    bars = moving(("A", STEPS[0]), ("B", STEPS[1]), ("NEW", STEPS[2]))
    made = clusters(bars, ("A", LONG, 10.0), ("B", LONG, 20.0), ("D", SHORT, 5.0))
    assert made.value_with("NEW", LONG, 1.0) == ClusterValue(6.0, ("D",), 1)
    assert made.value_with("A", LONG, 1.0) == ClusterValue(16.0, ("A", "D"), 1)


def test_an_offer_without_known_bars_is_held_against_the_largest_cluster() -> None:
    bars = moving(("A", STEPS[0]), ("B", STEPS[1]))
    made = clusters(bars, ("A", LONG, 10.0), ("B", LONG, 20.0), ("D", LONG, 5.0))
    assert made.value_with("NEW", LONG, 1.0) == ClusterValue(26.0, ("B", "D"), 2)
    assert clusters(bars).value_with("NEW", LONG, 1.0) == ClusterValue(1.0, (), 1)


@pytest.mark.parametrize(
    "unknown",
    [
        moving(("NEW", STEPS[1][2:])),
        moving(("NEW", np.zeros(RETURNS + 1))),
        moving(("NEW", np.full(RETURNS + 1, 0.01))),
        moving(("NEW", STEPS[1][1:]), partial_last=True),
        moving(("NEW", STEPS[1])).assign(close=np.nan),
        moving(("NEW", STEPS[1])).assign(close=0.0),
        moving(("NEW", STEPS[1])).assign(close=-1.0),
    ],
    ids=["too short", "still", "steady", "short without today", "no closes", "worthless", "impossible"],
)
def test_bars_that_do_not_tell_how_a_stock_moves_are_not_known(unknown: pd.DataFrame) -> None:
    bars = pd.concat([moving(("A", STEPS[0])), unknown], ignore_index=True)
    assert clusters(bars, ("A", LONG, 10.0)).value_with("NEW", LONG, 1.0) == ClusterValue(11.0, ("A",), 1)


def test_only_completed_bars_count_and_only_the_latest_of_them() -> None:
    jump_today = STEPS[0].copy()
    jump_today[-1] = 9.0
    for partial, value in ((True, ClusterValue(2.0, ("A",), 0)), (False, ClusterValue(1.0, (), 0))):
        bars = moving(("A", STEPS[0]), ("NEW", jump_today), partial_last=partial)
        assert clusters(bars, ("A", LONG, 1.0)).value_with("NEW", LONG, 1.0) == value
    jump_long_ago = moving(("A", np.append(-5.0, STEPS[0])), ("NEW", np.append(5.0, STEPS[0])))
    assert clusters(jump_long_ago, ("A", LONG, 1.0)).value_with("NEW", LONG, 1.0) == ClusterValue(2.0, ("A",), 0)


def test_days_that_one_of_two_stocks_lacks_are_left_out_of_both() -> None:
    with_gap, whole = np.append(0.01, STEPS[0]), np.append(0.02, STEPS[0])
    whole[9], whole[10] = 3.0, STEPS[0][8] + STEPS[0][9] - 3.0
    with_gap[9], with_gap[10] = np.nan, STEPS[0][8] + STEPS[0][9]
    for pair in (("A", "NEW"), ("NEW", "A")):
        bars = moving((pair[0], with_gap), (pair[1], whole))
        assert clusters(bars, ("A", LONG, 1.0)).value_with("NEW", LONG, 1.0) == ClusterValue(2.0, ("A",), 0)


def test_a_second_commitment_in_a_stock_joins_the_first() -> None:
    made = clusters(moving(("A", STEPS[0])), ("A", LONG, 10.0))
    assert made.value_with("A", LONG, 1.0) == ClusterValue(11.0, ("A",), 0)


def test_a_gap_alone_joins_nothing() -> None:
    with_gap = np.append(0.01, STEPS[0])
    with_gap[9] = np.nan
    for pair in (("A", "NEW"), ("NEW", "A")):
        bars = moving((pair[0], with_gap), (pair[1], np.append(0.02, STEPS[1])))
        assert clusters(bars, ("A", LONG, 1.0)).value_with("NEW", LONG, 1.0) == ClusterValue(1.0, (), 0)


@pytest.mark.parametrize("lacking", [(slice(0, 20), slice(24, None)), (slice(0, None, 2), slice(1, None, 2))])
def test_two_stocks_with_too_few_bars_in_common_have_an_edge(lacking: tuple[slice, slice]) -> None:
    one, other = np.random.default_rng(4).normal(0.0, 0.02, (2, 2 * RETURNS + 4))
    one[lacking[0]], other[lacking[1]] = np.nan, np.nan
    bars = moving(("A", one), ("NEW", other))
    for sign in (LONG, SHORT):
        assert clusters(bars, ("A", LONG, 1.0)).value_with("NEW", sign, 1.0) == ClusterValue(2.0, ("A",), 0)


def test_the_limit_is_off_by_default_and_counts_positions_entries_and_approved_orders_when_on() -> None:
    steps = np.random.default_rng(5).normal(0.0, 0.02, 60)
    bars = moving(*((symbol, steps) for symbol in ("A", "B", "C", "HELD", "WAIT")))
    book = {
        "portfolio": portfolio_of(("HELD", 10, 100.0, 100.0)),
        "working": orders_of((1, 0, "WAIT", "BUY", "LMT", 100.0, 10)),
        "account": account_of(deployed=2_000.0),
        "bars": bars,
    }
    three = offers(("A", 90, 100.0, 98.0), ("B", 80, 100.0, 98.0), ("C", 70, 100.0, 98.0))
    assert np.all(size(three, sizing_capital="total", **book)["approved"])
    made = size(three, sizing_capital="total", max_cluster_pct=12.0, **book)
    assert made["approved"].to_list() == [True, True, False]
    assert (
        made["reason"]
        .iloc[2]
        .startswith(
            "max_cluster_pct: $17,000.00 (17.00 % of capital) would be in C and what moves with it "
            "(5 in all, with HELD, WAIT, A, B), the limit is 12 %"
        )
    )


def test_the_scanner_hands_the_bars_to_the_limit() -> None:
    steps = np.random.default_rng(5).normal(0.0, 0.02, 60)
    bars = moving(("A", steps), ("B", -steps), ("C", steps))
    three = offers(("A", 90, 100.0, 98.0), ("B", 80, 100.0, 98.0), ("C", 70, 100.0, 98.0))
    scanner = QuantMarketScanner(Settings.model_validate({"risk": {"max_cluster_pct": 9.0}}))
    made = scanner.sized_orders(three, account_of(), NONE, NO_ORDERS, bars, SLOT)
    assert made["approved"].to_list() == [True, True, False]


def test_a_refusal_says_how_many_count_because_their_bars_are_not_known() -> None:
    held = portfolio_of(("HELD", 100, 100.0, 100.0))
    reason = refusal(offers(("NEW", 80, 100.0, 98.0)), portfolio=held, max_cluster_pct=12.0)
    assert (
        "would be in NEW and what moves with it (2 in all, with HELD; 2 of them without known bars), the limit is 12 %"
        in reason
    )


def test_a_refusal_names_a_handful_of_what_is_in_the_cluster_and_counts_the_rest() -> None:
    held = portfolio_of(*((f"H{n}", 10, 100.0, 100.0) for n in range(7)))
    reason = refusal(offers(("NEW", 80, 100.0, 98.0)), portfolio=held, max_cluster_pct=10.0)
    assert "(8 in all, with H0, H1, H2, H3, H4 and 2 more; 8 of them without known bars)" in reason
    entry = orders_of((1, 0, "H0", "BUY", "LMT", 100.0, 10))
    reason = refusal(offers(("NEW", 80, 100.0, 98.0)), portfolio=held.head(1), working=entry, max_cluster_pct=5.0)
    assert "(3 in all, with H0; 3 of them without known bars)" in reason, "held and on order: two, with one name"
    alone = refusal(offers(("NEW", 80, 100.0, 98.0)), max_cluster_pct=4.0)
    assert "(1 in all; 1 of them without known bars)" in alone


def test_while_the_limit_is_off_the_bars_are_not_even_looked_at() -> None:
    nothing = pd.DataFrame()
    assert np.all(size(offers(("NEW", 80, 100.0, 98.0)), bars=nothing)["approved"])
