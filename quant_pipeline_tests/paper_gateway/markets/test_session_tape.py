"""A tape can be cut at any second, and its pieces add up."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_pipeline.automation.sessions import Session, session_on
from quant_pipeline.paper_gateway.markets.intraday_path import DayBar, tape_through
from quant_pipeline.paper_gateway.markets.session_tape import MINUTE, SessionTape

SECONDS = 390 * 60


def session() -> Session:
    found = session_on(dt.date(2018, 2, 20))
    assert found is not None
    return found


def tape_of(bars: dict[int, tuple[float, float, float, float, int]]) -> SessionTape:
    minutes = np.array(list(bars))
    prices = np.array([bar[:4] for bar in bars.values()]).T
    return SessionTape(session(), minutes, prices, np.array([bar[4] for bar in bars.values()]))


RISING = (10.0, 10.9, 9.8, 10.5, 600)
FALLING = (10.5, 10.6, 10.0, 10.1, 6000)
AUCTION = (10.2, 10.3, 10.1, 10.25, 5000)


def test_nothing_is_known_before_the_first_trade():
    tape = tape_of({2: RISING})
    assert tape.so_far(119) is None
    assert tape.between(-1, 119) is None
    first = tape.so_far(120)
    assert first is not None
    assert (first.open, first.high, first.low, first.close) == (10.0, 10.0, 10.0, 10.0)


def test_a_rising_minute_goes_low_first_and_a_falling_one_high_first():
    rising, falling = tape_of({0: RISING}), tape_of({0: FALLING})
    by_second = [rising.so_far(second) for second in (0, 20, 40, 59)]
    assert [found and found.close for found in by_second] == [10.0, 9.8, 10.9, 10.5]
    by_second = [falling.so_far(second) for second in (0, 20, 40, 59)]
    assert [found and found.close for found in by_second] == [10.5, 10.6, 10.0, 10.1]


def test_a_missing_minute_leaves_the_last_trade_standing():
    tape = tape_of({0: RISING, 5: FALLING})
    standing = tape.so_far(4 * 60)
    assert standing is not None
    assert (standing.close, standing.volume) == (10.5, 600)
    assert tape.between(59, 4 * 60 + 59) is None


def test_the_closing_auction_happens_in_the_instant_of_the_close():
    tape = tape_of({389: RISING, 390: AUCTION})
    before, after = tape.so_far(SECONDS - 1), tape.so_far(SECONDS)
    assert before is not None
    assert after is not None
    assert (before.close, before.volume) == (10.5, 600)
    assert (after.close, after.volume) == (10.25, 5600)
    auction = tape.between(SECONDS - 1, SECONDS)
    assert auction is not None
    assert (auction.open, auction.high, auction.low, auction.close, auction.volume) == AUCTION
    assert tape.between(SECONDS, SECONDS) is None


def test_bars_are_those_that_started_and_ended_between_two_instants():
    tape = tape_of({0: RISING, 1: FALLING, 3: RISING, 390: AUCTION})
    opens, closes = session().opens, session().closes
    second = dt.timedelta(seconds=1)

    def starts(since: dt.datetime, until: dt.datetime) -> list[dt.date | dt.datetime]:
        return [bar.start for bar in tape.bars(since, until)]

    assert starts(opens, opens + 2 * MINUTE) == [opens, opens + MINUTE]
    assert starts(opens + second, opens + 2 * MINUTE - second) == []
    assert starts(opens + MINUTE, closes - second) == [opens + MINUTE, opens + 3 * MINUTE]
    assert starts(opens - dt.timedelta(days=1), closes) == [opens, opens + MINUTE, opens + 3 * MINUTE, closes]
    assert starts(closes, closes + dt.timedelta(days=1)) == [closes]
    assert starts(closes + second, closes + dt.timedelta(days=1)) == []


day_bars = st.tuples(
    st.integers(150, 90_000), st.integers(0, 1500), st.integers(0, 1500), st.floats(0, 1), st.floats(0, 1)
).map(
    lambda drawn: (
        drawn[0] / 100,
        (drawn[0] + drawn[1] + drawn[2]) / 100,
        round(drawn[0] + (drawn[1] + drawn[2]) * drawn[3]) / 100,
        round(drawn[0] + (drawn[1] + drawn[2]) * drawn[4]) / 100,
    )
)


@given(
    day_bars, st.integers(1, 10**9), st.integers(0, 2**32), st.sampled_from([range(0), range(3, 90), range(200, 375)])
)
def test_a_path_keeps_to_its_daily_bar(prices: tuple[float, ...], volume: int, seed: int, halted: range):
    low, high, opening, close = prices
    bar = DayBar(opening, high, low, close, volume)
    tape = tape_through(bar, session(), np.random.default_rng(seed), halted)
    day = tape.so_far(SECONDS)
    assert day is not None
    assert (day.open, day.high, day.low, day.close, day.volume) == (opening, high, low, close, volume)
    minutes = tape.bars(session().opens, session().closes)
    assert len(minutes) == 391 - len(halted)
    for minute in minutes:
        assert (
            low <= minute.low <= min(minute.open, minute.close) <= max(minute.open, minute.close) <= minute.high <= high
        )
        assert minute.volume >= 0


@given(st.integers(0, 2**32), st.lists(st.integers(-1, SECONDS), min_size=2, max_size=6, unique=True))
def test_pieces_of_a_tape_add_up(seed: int, cuts: list[int]):
    bar = DayBar(100.0, 104.5, 98.25, 103.0, 1_234_567)
    tape = tape_through(bar, session(), np.random.default_rng(seed), range(30, 90))
    cuts = sorted({-1, *cuts})
    pieces = [piece for piece in map(tape.between, cuts, cuts[1:]) if piece is not None]
    whole, known = tape.between(-1, cuts[-1]), tape.so_far(cuts[-1])
    assert whole == known
    assert whole is not None
    assert whole.volume == sum(piece.volume for piece in pieces)
    assert whole.high == max(piece.high for piece in pieces)
    assert whole.low == min(piece.low for piece in pieces)
    assert whole.close == pieces[-1].close


@given(st.integers(0, 2**32), st.integers(0, SECONDS - 1), st.integers(1, 3000))
def test_trades_lie_within_the_bars_of_their_minutes(seed: int, after: int, length: int):
    bar = DayBar(20.0, 21.0, 19.0, 19.5, 400_000)
    tape = tape_through(bar, session(), np.random.default_rng(seed))
    until = min(after + length, SECONDS)
    traded = tape.between(after, until)
    assert traded is not None
    first, last = session().opens + (after + 1) // 60 * MINUTE, session().opens + (until // 60 + 1) * MINUTE
    bars = tape.bars(first, last)
    assert min(bar.low for bar in bars) <= traded.low <= traded.high <= max(bar.high for bar in bars)
    assert traded.low <= min(traded.open, traded.close)
    assert max(traded.open, traded.close) <= traded.high


def test_volume_is_heaviest_at_the_ends_of_the_day():
    bar = DayBar(100.0, 102.0, 99.0, 101.0, 10_000_000)
    tape = tape_through(bar, session(), np.random.default_rng(1))
    shares = [(tape.so_far(minute * 60 - 1) or pytest.fail("no trades")).volume / 1e7 for minute in (30, 195, 360, 390)]
    assert 0.10 < shares[0] < 0.22
    assert 0.40 < shares[1] < 0.60
    assert 0.72 < shares[2] < 0.85
    assert 0.90 < shares[3] < 0.94
