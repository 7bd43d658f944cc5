"""Sizing, the order of the offers, and what refuses every one of them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from quant_pipeline import frames
from quant_pipeline.errors import UsageError
from quant_pipeline_tests.quant.market_data import SLOT, account_of, orders_of, portfolio_of
from quant_pipeline_tests.quant.risk_room import NO_BARS, NO_ORDERS, NONE, offers, refusal, size, sized


def test_the_size_is_the_smaller_of_what_risk_and_value_allow() -> None:
    made = size(offers(("AAA", 80, 100.0, 98.0), ("BBB", 70, 50.0, 25.0)), sizing_capital="total")
    assert made["quantity"].tolist() == [50, 40]
    assert made["position_value"].tolist() == [5000.0, 2000.0]
    assert made["risk_amount"].tolist() == [100.0, 1000.0]
    assert made["order_ref"].tolist() == [f"{SLOT}:AAA:entry", f"{SLOT}:BBB:entry"]


def test_a_quotient_a_hair_below_a_whole_number_of_shares_is_that_number() -> None:
    third = math.nextafter(5_000 / 3, math.inf)
    assert 5_000 / third < 3
    assert size(offers(("NEW", 80, third, third - 10)))["quantity"].item() == 3


def test_a_value_that_only_dust_puts_below_the_least_is_worth_having() -> None:
    entry, shares, least = 1.63, 58, 94.54
    assert shares * entry < least
    made = size(offers(("NEW", 80, entry, entry - 0.1)), max_position_pct=least / 1_000, min_position_value=least)
    assert made["quantity"].item() == shares


def test_what_the_account_has_left_is_what_is_sized_on_where_it_says_less_than_the_book() -> None:
    assert size(offers(("AAA", 80, 100.0, 98.0)), account_of().assign(available=20_000.0))["quantity"].item() == 10


def test_each_order_is_sized_on_what_those_before_it_left() -> None:
    made = size(offers(("AAA", 80, 10.0, 9.9), ("BBB", 70, 10.0, 9.9)))
    assert made["quantity"].tolist() == [500, 475]


def test_forty_odd_equal_offers_fill_the_book_to_nine_tenths() -> None:
    made = size(offers(*((f"S{n:02d}", 90 - n / 10, 20.0, 19.5) for n in range(60))))
    assert 44 <= np.count_nonzero(made["approved"]) <= 50
    assert 0.85 <= np.sum(made["position_value"].to_numpy()) / 100_000 <= 0.90
    assert all(reason.startswith("max_utilization_pct") for reason in made["reason"].dropna())


def test_the_best_score_comes_first_and_ties_go_by_symbol() -> None:
    made = size(offers(("CCC", 70, 10.0, 9.0), ("BBB", 70, 10.0, 11.0), ("AAA", 60, 10.0, 9.0), ("DDD", 90, 10.0, 9.0)))
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


def test_a_refused_order_leaves_room_for_the_next() -> None:
    made = size(offers(("BIG", 90, 7000.0, 6990.0), ("SMALL", 80, 50.0, 49.0)))
    assert made["approved"].tolist() == [False, True]


def test_the_book_counts_where_the_account_lags_behind_it() -> None:
    held = portfolio_of(("HELD", 1000, 90.0, 90.0))
    stop = orders_of((1, 0, "HELD", "SELL", "STP", 89.9, 1000))
    assert refusal(offers(("AAA", 80, 10.0, 9.9)), account_of(deployed=0), held, stop).startswith("max_utilization_pct")


ONE = offers(("NEW", 80, 100.0, 98.0))
HELD = portfolio_of(("HELD", 10, 20.0, 20.0))


@pytest.mark.parametrize("sizing", ["available", "total"])
@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"capital": math.nan}, "account: capital is nan"),
        ({"capital": math.inf}, "account: capital is inf"),
        ({"capital": -1.0}, "account: capital is -1.00"),
        ({"deployed": math.nan}, "account: deployed is nan"),
        ({"available": math.nan}, "account: available is nan"),
        ({"available": -5.0}, "account: available is -5.00"),
        ({"capital": 0.0, "available": 0.0}, "account: there is no capital to trade with"),
    ],
)
def test_an_account_that_is_not_known_refuses_every_offer(values: dict[str, float], reason: str, sizing: str) -> None:
    two = offers(("AAA", 80, 100.0, 98.0), ("BBB", 70, 10.0, 9.0))
    made = sized(two, account_of().assign(**values), NONE, NO_ORDERS, NO_BARS, sizing_capital=sizing)
    assert not np.any(made["approved"])
    assert np.all(made["quantity"] == 0)
    assert all(text.startswith(reason) for text in made["reason"])


@pytest.mark.parametrize(
    ("portfolio", "working", "reason"),
    [
        (HELD.assign(market_price=math.nan), NO_ORDERS, "portfolio: the price of HELD, which is held, is not known"),
        (HELD.assign(market_price=-1.0), NO_ORDERS, "portfolio: the price of HELD, which is held, is not known"),
        (HELD.assign(market_price=math.inf), NO_ORDERS, "portfolio: the price of HELD, which is held, is not known"),
        (HELD.assign(quantity=math.nan), NO_ORDERS, "portfolio: how many shares of HELD are held is not known"),
        (
            HELD,
            orders_of((1, 9, "HELD", "SELL", "STP", 19.0, 10)).assign(remaining=math.nan),
            "working_orders: what the stop of HELD covers is not known",
        ),
        (
            NONE,
            orders_of((1, 0, "WAIT", "BUY", "LMT", 19.0, 10)).assign(remaining=math.nan),
            "working_orders: what the entry into WAIT would cost is not known",
        ),
        (
            NONE,
            orders_of((1, 0, "WAIT", "BUY", "LMT", -19.0, 10)),
            "working_orders: what the entry into WAIT would cost is not known",
        ),
    ],
)
def test_a_book_that_is_not_known_refuses_every_offer(
    portfolio: pd.DataFrame, working: pd.DataFrame, reason: str
) -> None:
    for limits in ({}, {"max_cluster_pct": 50.0}):
        made = sized(ONE, account_of(), portfolio, working, NO_BARS, **limits)
        assert made["reason"].to_list() == [reason]
        assert made["quantity"].to_list() == [0]


def test_fractions_of_shares_that_are_held_count_for_what_they_are() -> None:
    half = portfolio_of(("HELD", 0.5, 20_000.0, 20_000.0))
    assert refusal(ONE, portfolio=half, max_gross_exposure_pct=10.0).startswith(
        "max_gross_exposure_pct: $14,500.00 (14.50 % of capital)"
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"total_score": math.nan}, "total_score: nan is not a score"),
        ({"total_score": 100.1}, "total_score: 100.1 is not a score"),
        ({"direction": "FLAT"}, "direction: FLAT is neither LONG nor SHORT"),
        ({"entry_price": math.nan}, "entry_price: nan is not a price"),
        ({"entry_price": 0.0}, "entry_price: 0 is not a price"),
        ({"entry_price": 1e-300}, "entry_price: 1e-300 is not a price"),
        ({"entry_price": math.inf}, "entry_price: inf is not a price"),
        ({"stop_price": -3.0}, "stop_price: -3 is not a price"),
        ({"target_price": math.nan}, "target_price: nan is not a price"),
        ({"stop_price": 100.0}, "stop_price: 100.00 is not below the entry at 100.00"),
        ({"stop_price": 101.0}, "stop_price: 101.00 is not below the entry at 100.00"),
        ({"direction": "SHORT"}, "stop_price: 98.00 is not above the entry at 100.00"),
        ({"target_price": 99.0}, "target_price: 99.00 is not above the entry at 100.00"),
    ],
)
def test_an_offer_that_is_no_trade_is_refused_and_the_next_one_is_not(change: dict[str, object], reason: str) -> None:
    unsound = pd.concat([ONE.assign(**change), offers(("SOUND", 10, 50.0, 49.0))], ignore_index=True)
    made = sized(unsound, account_of(), NONE, NO_ORDERS, NO_BARS)
    answers = {row["symbol"]: row for row in made.to_dict("records")}
    assert answers["NEW"]["reason"].startswith(reason)
    assert (answers["NEW"]["approved"], answers["SOUND"]["approved"]) == (False, True)


def test_a_symbol_that_is_offered_twice_is_opened_once_whatever_the_order_of_the_rows() -> None:
    twice = offers(("NEW", 80, 100.0, 98.0), ("NEW", 80, 90.0, 88.0))
    made = sized(twice, account_of(), NONE, NO_ORDERS, NO_BARS)
    again = sized(twice.iloc[::-1], account_of(), NONE, NO_ORDERS, NO_BARS)
    assert made["approved"].to_list() == [True, False]
    pd.testing.assert_frame_equal(made, again)


def test_what_forbids_every_order_is_told_before_what_forbids_one() -> None:
    lost = account_of(daily_pnl=-9_000.0)
    assert refusal(offers(("HELD", 80, 100.0, 98.0)), lost, HELD).startswith("max_daily_loss_pct")
    assert refusal(ONE.assign(target_price=99.0), lost).startswith("max_daily_loss_pct")
    assert refusal(offers(("HELD", 80, 100.0, 98.0)), portfolio=HELD, max_positions=1).startswith("allow_duplicate")
    assert refusal(ONE, portfolio=HELD, max_positions=1, max_total_risk_pct=0.0).startswith("max_positions")


def test_an_account_frame_must_have_one_row() -> None:
    with pytest.raises(UsageError, match="0 rows"):
        size(offers(), frames.empty("account"))


def test_no_offers_give_an_empty_frame_that_keeps_its_contract() -> None:
    assert size(offers()).empty
