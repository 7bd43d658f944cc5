"""No order breaks a limit; each limit passes at its value, refuses above it and says its name and figure."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_pipeline import frames
from quant_pipeline.errors import UsageError
from quant_pipeline.quant import PortfolioRiskManager
from quant_pipeline.quant.book import read_book
from quant_pipeline.settings import RiskSettings
from quant_pipeline_tests.quant.market_data import SLOT, account_of, orders_of, portfolio_of

NONE = portfolio_of()
NO_ORDERS = orders_of()


def offers(*rows: tuple[str, float, float, float]) -> pd.DataFrame:
    """Score rows of (symbol, score, entry, stop); the direction follows from the stop."""
    return pd.DataFrame(
        [
            {
                "symbol": symbol,
                "direction": "LONG" if stop <= entry else "SHORT",
                "total_score": score,
                "entry_price": entry,
                "stop_price": stop,
                "target_price": max(entry + 2.5 * (entry - stop), 0.01),
            }
            for symbol, score, entry, stop in rows
        ],
        columns=["symbol", "direction", "total_score", "entry_price", "stop_price", "target_price"],
    )


def size(
    rows: pd.DataFrame,
    account: pd.DataFrame | None = None,
    portfolio: pd.DataFrame = NONE,
    working: pd.DataFrame = NO_ORDERS,
    **limits: object,
) -> pd.DataFrame:
    manager = PortfolioRiskManager(RiskSettings.model_validate(limits))
    made = manager.size(rows, account_of() if account is None else account, portfolio, working, SLOT)
    return frames.validate("sized_orders", made)


def refusal(*args: object, **kwargs: object) -> str:
    """The reason the only offer is refused."""
    (row,) = size(*args, **kwargs).to_dict("records")  # pyright: ignore[reportArgumentType]
    assert not row["approved"]
    assert row["quantity"] == row["risk_amount"] == row["position_value"] == 0
    return row["reason"]


def test_the_size_is_the_smaller_of_what_risk_and_value_allow() -> None:
    made = size(offers(("AAA", 80, 100.0, 98.0), ("BBB", 70, 50.0, 25.0)), sizing_capital="total")
    assert made["quantity"].tolist() == [50, 40]
    assert made["position_value"].tolist() == [5000.0, 2000.0]
    assert made["risk_amount"].tolist() == [100.0, 1000.0]
    assert made["order_ref"].tolist() == [f"{SLOT}:AAA:entry", f"{SLOT}:BBB:entry"]


def test_each_order_is_sized_on_what_those_before_it_left() -> None:
    made = size(offers(("AAA", 80, 10.0, 9.9), ("BBB", 70, 10.0, 9.9)))
    assert made["quantity"].tolist() == [500, 475]


def test_forty_odd_equal_offers_fill_the_book_to_nine_tenths() -> None:
    made = size(offers(*((f"S{n:02d}", 90 - n / 10, 20.0, 19.5) for n in range(60))))
    assert 44 <= np.count_nonzero(made["approved"]) <= 50
    assert 0.85 <= np.sum(made["position_value"].to_numpy()) / 100_000 <= 0.90
    assert all(reason.startswith("max_utilization_pct") for reason in made["reason"].dropna())


def test_the_best_score_comes_first_and_ties_go_by_symbol() -> None:
    made = size(offers(("CCC", 70, 10.0, 9.0), ("BBB", 70, 10.0, 9.0), ("AAA", 60, 10.0, 9.0), ("DDD", 90, 10.0, 9.0)))
    assert made["symbol"].tolist() == ["DDD", "BBB", "CCC", "AAA"]


def test_the_number_of_positions_is_limited_with_entries_counted() -> None:
    book = {"portfolio": portfolio_of(("HELD", 10, 20, 20)), "working": orders_of((1, 0, "WAIT", "BUY", "LMT", 20, 10))}
    assert np.all(size(offers(("NEW", 80, 10.0, 9.5)), max_positions=3, **book)["approved"])
    assert (
        refusal(offers(("NEW", 80, 10.0, 9.5)), max_positions=2, **book) == "max_positions: 2 of 2 positions are taken"
    )


@pytest.mark.parametrize(
    ("portfolio", "working"),
    [
        (portfolio_of(("NEW", 5, 20, 20)), NO_ORDERS),
        (portfolio_of(("NEW", -5, 20, 20)), NO_ORDERS),
        (NONE, orders_of((1, 0, "NEW", "BUY", "LMT", 20, 5))),
        (NONE, orders_of((2, 1, "NEW", "SELL", "STP", 20, 5))),
    ],
    ids=["held long", "held short", "on order", "a leg left over"],
)
def test_a_symbol_that_is_held_or_on_order_is_not_opened_again(portfolio: pd.DataFrame, working: pd.DataFrame) -> None:
    assert refusal(offers(("NEW", 80, 10.0, 9.5)), portfolio=portfolio, working=working).startswith(
        "allow_duplicate_symbols: NEW"
    )


def test_a_closed_position_does_not_hold_its_symbol() -> None:
    assert np.all(size(offers(("NEW", 80, 10.0, 9.5)), portfolio=portfolio_of(("NEW", 0, 20, 20)))["approved"])


def test_the_risk_of_one_trade_passes_at_its_limit_and_is_cut_to_it_above() -> None:
    assert size(offers(("AAA", 80, 100.0, 50.0)), max_position_pct=100.0)["risk_amount"].item() == 1000.0
    just_above = size(offers(("AAA", 80, 100.0, 49.99)), max_position_pct=100.0)
    assert just_above["quantity"].item() == 19
    assert refusal(offers(("AAA", 80, 2000.0, 999.99)), max_position_pct=100.0).startswith(
        "max_risk_per_trade_pct: a share risks $1,000.01, over 1 % of $100,000.00"
    )


def test_the_value_of_one_symbol_passes_at_its_limit_and_is_refused_a_cent_above() -> None:
    assert size(offers(("AAA", 80, 5000.0, 4999.0)))["position_value"].item() == 5000.0
    assert refusal(offers(("AAA", 80, 5000.01, 4999.0))).startswith(
        "max_position_pct: 5 % of $100,000.00 buys no share at 5000.01"
    )


@pytest.mark.parametrize(("held_risk", "approved"), [(19_900.0, True), (19_900.01, False)])
def test_total_risk_passes_at_its_limit_and_is_refused_a_cent_above(held_risk: float, approved: bool) -> None:
    held = portfolio_of(("HELD", 1000, 20.0, 20.0))
    stop = orders_of((1, 9, "HELD", "SELL", "STP", 20.0 - held_risk / 1000, 1000))
    made = size(offers(("AAA", 80, 100.0, 98.0)), account_of(deployed=0), held, stop, sizing_capital="total")
    assert bool(made["approved"].item()) is approved
    if not approved:
        assert made["reason"].item().startswith("max_total_risk_pct: $20,000.01 (20.00 % of capital)")


@pytest.mark.parametrize(("deployed", "approved"), [(84_750.0, True), (84_750.01, False)])
def test_the_reserve_is_kept_free_below_the_utilisation_limit(deployed: float, approved: bool) -> None:
    made = size(offers(("AAA", 80, 100.0, 98.0)), account_of(deployed=deployed), sizing_capital="total")
    assert bool(made["approved"].item()) is approved
    if not approved:
        assert made["reason"].item().endswith("the limit is 90 % less 0.25 % kept in reserve")


@pytest.mark.parametrize(("deployed", "approved"), [(85_000.0, True), (85_000.01, False)])
def test_utilisation_passes_at_its_limit_and_is_refused_a_cent_above(deployed: float, approved: bool) -> None:
    made = size(
        offers(("AAA", 80, 100.0, 98.0)),
        account_of(deployed=deployed),
        sizing_capital="total",
        utilization_reserve_pct=0,
    )
    assert bool(made["approved"].item()) is approved
    if not approved:
        assert made["reason"].item() == (
            "max_utilization_pct: $90,000.01 (90.00 % of capital) would be deployed, the limit is 90 %"
        )


@pytest.mark.parametrize(("entry", "approved"), [(100.0, True), (99.99, False)])
def test_a_position_must_be_worth_its_commission(entry: float, approved: bool) -> None:
    made = size(offers(("AAA", 80, entry, entry / 2)), account_of(5000.0))
    assert bool(made["approved"].item()) is approved
    if not approved:
        assert made["reason"].item() == "min_position_value: $99.99 is below $100.00"


def test_a_refused_order_leaves_room_for_the_next() -> None:
    made = size(offers(("BIG", 90, 7000.0, 6990.0), ("SMALL", 80, 50.0, 49.0)))
    assert made["approved"].tolist() == [False, True]


def test_without_capital_nothing_is_approved() -> None:
    assert refusal(offers(("AAA", 80, 10.0, 9.0)), account_of(0.0)).startswith("max_position_pct")


def test_a_score_whose_stop_is_its_entry_is_not_traded() -> None:
    assert refusal(offers(("AAA", 80, 10.0, 10.0))) == "max_risk_per_trade_pct: the stop is at the entry"


def test_a_position_without_a_stop_counts_its_whole_value_as_risk() -> None:
    assert read_book(portfolio_of(("HELD", -100, 20, 25)), NO_ORDERS, 1e5).risk == 2500.0


def test_shares_beyond_the_stop_count_their_whole_value_as_risk() -> None:
    partly = orders_of((1, 9, "HELD", "SELL", "STP", 24.0, 60))
    assert read_book(portfolio_of(("HELD", 100, 20, 25)), partly, 1e5).risk == 60 * 1.0 + 40 * 25.0


def test_a_working_entry_counts_by_its_stop_and_without_one_by_its_value() -> None:
    with_stop = orders_of(
        (1, 0, "WAIT", "SELL", "LMT", 50.0, 10),
        (2, 1, "WAIT", "BUY", "STP", 53.0, 10),
        (3, 1, "WAIT", "BUY", "LMT", 42.5, 10),
    )
    book = read_book(NONE, with_stop, 1e5)
    assert (len(book.entries), book.value, book.risk) == (1, 500.0, 30.0)
    assert read_book(NONE, with_stop.iloc[:1], 1e5).risk == 500.0


def test_an_entry_without_a_price_counts_as_a_full_position() -> None:
    book = read_book(NONE, orders_of((1, 0, "WAIT", "BUY", "MKT", math.nan, 10)), 1e5)
    assert (book.value, book.risk) == (5000.0, 5000.0)


def test_an_exit_whose_parent_is_gone_is_no_entry() -> None:
    exits = orders_of((2, 0, "HELD", "SELL", "STP", 18, 10), (3, 0, "HELD", "SELL", "LMT", 30, 10))
    book = read_book(portfolio_of(("HELD", 10, 20, 21)), exits, 1e5)
    assert book.entries == ()
    assert (book.positions[0].stop, book.positions[0].target) == (18.0, 30.0)


def test_the_book_counts_where_the_account_lags_behind_it() -> None:
    held = portfolio_of(("HELD", 1000, 90.0, 90.0))
    stop = orders_of((1, 0, "HELD", "SELL", "STP", 89.9, 1000))
    assert refusal(offers(("AAA", 80, 10.0, 9.9)), account_of(deployed=0), held, stop).startswith("max_utilization_pct")


def test_an_account_frame_must_have_one_row() -> None:
    with pytest.raises(UsageError, match="0 rows"):
        size(offers(), frames.empty("account"))


def test_no_offers_give_an_empty_frame_that_keeps_its_contract() -> None:
    assert size(offers()).empty


PRICE = st.integers(min_value=100, max_value=200_000).map(lambda cents: cents / 100)
OFFER = st.tuples(PRICE, st.floats(min_value=-0.4, max_value=0.4), st.floats(min_value=0, max_value=100))
HELD = st.tuples(st.integers(min_value=-400, max_value=400), PRICE, st.one_of(st.none(), PRICE))
WAITING = st.tuples(st.integers(min_value=1, max_value=300), PRICE, st.one_of(st.none(), PRICE))
LIMITS = st.fixed_dictionaries(
    {
        "max_positions": st.integers(min_value=1, max_value=12),
        "max_risk_per_trade_pct": st.floats(min_value=0.1, max_value=5),
        "max_total_risk_pct": st.floats(min_value=0.5, max_value=40),
        "max_position_pct": st.floats(min_value=0.5, max_value=40),
        "max_utilization_pct": st.floats(min_value=1, max_value=100),
        "sizing_capital": st.sampled_from(["available", "total"]),
    }
)


@settings(max_examples=80)
@given(
    wanted=st.lists(OFFER, max_size=12),
    held=st.lists(HELD, max_size=4),
    waiting=st.lists(WAITING, max_size=3),
    limits=LIMITS,
    capital=st.floats(min_value=0, max_value=300_000),
    deployed=st.floats(min_value=0, max_value=400_000),
)
def test_no_inputs_break_a_limit(
    wanted: list[tuple[float, float, float]],
    held: list[tuple[int, float, float | None]],
    waiting: list[tuple[int, float, float | None]],
    limits: dict[str, object],
    capital: float,
    deployed: float,
) -> None:
    # Offers H0 and W0 meet a position and an entry of the same symbol where there is one.
    names = ["H0", "W0", *(f"N{n}" for n in range(len(wanted)))]
    rows = offers(
        *(
            (name, score, entry, max(round(entry * (1 + away), 2), 0.01))
            for name, (entry, away, score) in zip(names, wanted, strict=False)
        )
    )
    portfolio = portfolio_of(*((f"H{n}", shares, price, price) for n, (shares, price, _) in enumerate(held)))
    orders = []
    for n, (shares, _, stop) in enumerate(held):
        if stop is not None and shares:
            orders.append((100 + n, 99, f"H{n}", "SELL" if shares > 0 else "BUY", "STP", stop, abs(shares)))
    for n, (shares, price, stop) in enumerate(waiting):
        orders.append((200 + 2 * n, 0, f"W{n}", "BUY", "LMT", price, shares))
        if stop is not None:
            orders.append((201 + 2 * n, 200 + 2 * n, f"W{n}", "SELL", "STP", stop, shares))
    working = orders_of(*orders)

    made = size(rows, account_of(capital, deployed), portfolio, working, **limits)
    rules = RiskSettings.model_validate(limits)
    book = read_book(portfolio, working, capital)
    approved = made.loc[made["approved"]]
    entry, stop, shares, risk, value = (
        approved[name].to_numpy() for name in ("entry_price", "stop_price", "quantity", "risk_amount", "position_value")
    )
    symbols = approved["symbol"].to_list()
    cent = 0.01
    assert made["reason"].isna().equals(made["approved"])
    assert not set(symbols) & book.busy
    assert len(set(symbols)) == len(symbols)
    if symbols:
        assert len(book.symbols) + len(symbols) <= rules.max_positions
        assert book.risk + risk.sum() <= rules.max_total_risk_pct / 100 * capital + cent
        assert max(deployed, book.value) + value.sum() <= rules.max_utilization_pct / 100 * capital + cent
    assert np.all(risk <= rules.max_risk_per_trade_pct / 100 * capital + cent)
    assert np.all(value <= rules.max_position_pct / 100 * capital + cent)
    assert np.all(value >= rules.min_position_value - cent)
    np.testing.assert_allclose(value, shares * entry, atol=1e-3)
    np.testing.assert_allclose(risk, shares * np.abs(entry - stop), atol=1e-3)
    again = size(rows.iloc[::-1], account_of(capital, deployed), portfolio.iloc[::-1], working.iloc[::-1], **limits)
    pd.testing.assert_frame_equal(made, again)
