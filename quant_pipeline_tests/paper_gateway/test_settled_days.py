"""Bars of past days are written once, and read as if they had been written for the request."""

from __future__ import annotations

import datetime as dt

from hypothesis import given, settings
from hypothesis import strategies as st

from quant_pipeline.paper_gateway.answers.history_bars import daily, day_row, duration
from quant_pipeline.paper_gateway.answers.settled_days import SettledDays
from quant_pipeline.paper_gateway.markets.synthetic_market import SyntheticMarket
from quant_pipeline_tests.paper_gateway.scripted_market import at

MARKET = SyntheticMarket(7)
SYMBOLS = [instrument.symbol for instrument in MARKET.instruments[:3]]
YEAR_BEFORE = dt.date(2017, 2, 20)
windows = st.tuples(
    st.sampled_from(SYMBOLS), st.integers(0, 360).map(lambda days: YEAR_BEFORE + dt.timedelta(days)), st.integers(0, 90)
)


@settings(max_examples=40, deadline=None)
@given(st.lists(windows, min_size=1, max_size=8), st.sampled_from([1, 100, 100_000]))
def test_any_window_has_the_rows_of_its_days(asked: list[tuple[str, dt.date, int]], rows_kept: int) -> None:
    settled = SettledDays(MARKET, day_row, rows_kept)
    for symbol, first, days in asked:
        last = first + dt.timedelta(days)
        expected = [day_row(bar) for bar in MARKET.daily_bars(symbol, at("09:00", last + dt.timedelta(1)), days + 2)]
        assert settled.rows(symbol, first, last) == expected[-len(expected) :] == _within(expected, first, last)


def _within(rows: list[str], first: dt.date, last: dt.date) -> list[str]:
    return [row for row in rows if f"{first:%Y%m%d}" <= row[:8] <= f"{last:%Y%m%d}"]


def test_the_day_that_is_traded_is_never_kept() -> None:
    settled = SettledDays(MARKET, day_row)
    morning, later = (
        daily(MARKET, settled, SYMBOLS[0], at(clock), duration("5 D"), "TRADES") for clock in ("10:15", "15:00")
    )
    assert morning[0] == later[0] == 5
    assert morning[1].split("\0")[:32] == later[1].split("\0")[:32]
    assert morning[1].split("\0")[32] == later[1].split("\0")[32] == "20180220"
    assert int(morning[1].split("\0")[37]) < int(later[1].split("\0")[37])


def test_a_symbol_that_was_not_asked_for_long_is_forgotten_first() -> None:
    settled = SettledDays(MARKET, day_row, rows_kept=60)
    first, last = dt.date(2018, 1, 2), dt.date(2018, 2, 15)
    for symbol in (SYMBOLS[0], SYMBOLS[1], SYMBOLS[0], SYMBOLS[2]):
        assert len(settled.rows(symbol, first, last)) == 32
    assert list(settled._by_symbol) == [SYMBOLS[2]]
