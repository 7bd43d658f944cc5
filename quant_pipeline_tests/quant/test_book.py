"""What the account is committed to, as the broker's frames tell it."""

from __future__ import annotations

import math

import pandas as pd

from quant_pipeline.quant.book import read_book
from quant_pipeline_tests.quant.market_data import orders_of, portfolio_of
from quant_pipeline_tests.quant.risk_room import NO_ORDERS, NONE


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


def test_long_and_short_values_count_positions_and_working_entries() -> None:
    held = portfolio_of(("UP", 100, 20, 25), ("DOWN", -10, 50, 40), ("GONE", 0, 5, 5))
    waiting = orders_of(
        (1, 0, "BUYS", "BUY", "LMT", 10.0, 30),
        (2, 0, "SELLS", "SELL", "LMT", 20.0, 5),
        (3, 0, "UP", "BUY", "LMT", 24.0, 1),
        (4, 0, "DOWN", "BUY", "LMT", 38.0, 10),
        (5, 1, "BUYS", "SELL", "STP", 9.0, 30),
    )
    book = read_book(held, waiting, 1e5)
    assert (book.long_value, book.short_value) == (2500.0 + 300.0 + 24.0, 400.0 + 100.0)
    assert book.value == book.long_value + book.short_value
    assert book.unknown is None


def test_of_several_exits_the_worst_is_what_may_be_counted_on() -> None:
    for side, shares, near, far, targets in (
        ("SELL", 100, 24.0, 23.0, (28.0, 31.0)),
        ("BUY", -100, 26.0, 27.0, (22.0, 19.0)),
    ):
        stops = orders_of((1, 9, "HELD", side, "STP", near, 30), (2, 9, "HELD", side, "STP LMT", far, 50))
        limits = orders_of(*((3 + at, 9, "HELD", side, "LMT", price, 30) for at, price in enumerate(targets)))
        book = read_book(portfolio_of(("HELD", shares, 20, 25)), pd.concat([stops, limits]), 1e5)
        assert (book.positions[0].stop, book.positions[0].target) == (far, targets[0])
        assert book.risk == 80 * 2.0 + 20 * 25.0
    entry = orders_of(
        (1, 0, "WAIT", "BUY", "LMT", 50.0, 10),
        (2, 1, "WAIT", "SELL", "STP", 49.0, 10),
        (3, 1, "WAIT", "SELL", "STP", 46.0, 10),
    )
    assert read_book(NONE, entry, 1e5).risk == 40.0
