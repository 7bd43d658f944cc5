"""The synthetic market follows from its seed alone, keeps its secrets, and behaves like a market of stocks."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_pipeline.automation.sessions import EXCHANGE_TIME, Session, session_on
from quant_pipeline.errors import UsageError
from quant_pipeline.paper_gateway.markets.fictional_stocks import population
from quant_pipeline.paper_gateway.markets.market import Market, Quote
from quant_pipeline.paper_gateway.markets.synthetic_market import SyntheticMarket
from quant_pipeline.paper_gateway.markets.synthetic_prices import DailyPrices

SEED = 7
MINUTE = dt.timedelta(minutes=1)
DAY = dt.timedelta(days=1)
WIDEST_SPREAD = 0.0015
NEEDED_BARS = 60


@cache
def market() -> SyntheticMarket:
    return SyntheticMarket(SEED)


def session(day: str = "2026-11-20") -> Session:
    found = session_on(dt.date.fromisoformat(day))
    assert found is not None
    return found


def eastern(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=EXCHANGE_TIME)


symbols = st.integers(0, 499).map(lambda index: market().instruments[index].symbol)
days = st.sampled_from(["2012-07-03", "2018-02-20", "2024-12-31", "2025-01-02", "2026-11-20"])
seconds = st.integers(0, 390 * 60).map(lambda second: dt.timedelta(seconds=second))


def test_it_is_a_market_of_five_hundred_companies_with_names_of_their_own():
    asked: Market = market()
    assert asked.name == "synthetic market, seed 7"
    assert asked.identity == "synthetic-7"
    assert len(asked.instruments) == 500
    for attribute in ("symbol", "name", "con_id"):
        assert len({getattr(instrument, attribute) for instrument in asked.instruments}) == 500
    assert {instrument.primary_exchange for instrument in asked.instruments} == {"NYSE", "NASDAQ", "AMEX"}
    assert all(len(instrument.symbol) == 4 and instrument.symbol.isalpha() for instrument in asked.instruments)
    assert all(0 < instrument.con_id < 2**31 for instrument in asked.instruments)


def test_no_company_trades_under_a_symbol_known_from_the_exchanges():
    known = {
        "AAPL",
        "NFLX",
        "NVDA",
        "QCOM",
        "JBLU",
        "EXPE",
        "ZBRA",
        "XRAY",
        "VRTX",
        "NVAX",
        "QUAD",
        "HALO",
        "WYNN",
        "FOXA",
    }
    for seed in range(20):
        assert known.isdisjoint(instrument.symbol for instrument in population(seed).instruments)


def test_a_negative_seed_is_refused_in_words():
    with pytest.raises(UsageError, match="give a whole number from 0 on"):
        SyntheticMarket(-1)


def test_another_seed_is_another_market():
    at = eastern("2026-11-20T10:15")
    other = SyntheticMarket(SEED + 1)
    assert other.identity != market().identity
    assert [i.symbol for i in other.instruments] != [i.symbol for i in market().instruments]
    assert {quote.last for quote in other.quotes(at).values()} != {quote.last for quote in market().quotes(at).values()}


@settings(max_examples=8)
@given(symbols, days, seconds, st.sampled_from(["2031-01-02", "2010-01-04", "2026-11-20", "2025-01-02"]))
def test_answers_do_not_depend_on_what_was_asked_before(symbol: str, day: str, second: dt.timedelta, other: str):
    at = session(day).opens + second
    fresh = SyntheticMarket(SEED)
    elsewhere = dt.datetime.combine(min(dt.date.fromisoformat(other), dt.date(2027, 1, 4)), dt.time(12), EXCHANGE_TIME)
    fresh.quote(symbol, elsewhere)
    fresh.daily_bars(symbol, elsewhere, 365)
    assert fresh.quote(symbol, at) == market().quote(symbol, at)
    assert fresh.daily_bars(symbol, at, 400) == market().daily_bars(symbol, at, 400)
    assert fresh.minute_bars(symbol, at - 20 * MINUTE, at) == market().minute_bars(symbol, at - 20 * MINUTE, at)


@given(symbols, days, seconds)
def test_a_quote_says_what_was_traded_so_far_and_nothing_more(symbol: str, day: str, second: dt.timedelta):
    opens = session(day).opens
    at = min(opens + second, session(day).closes)
    quote = market().quote(symbol, at)
    traded = market().price_range(symbol, opens - MINUTE, at)
    today = market().daily_bars(symbol, at, 1)
    assert quote is not None
    assert traded is not None
    assert (quote.open, quote.high, quote.low, quote.last, quote.volume) == (
        traded.open, traded.high, traded.low, traded.close, traded.volume,
    )  # fmt: skip
    assert [(bar.start, bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in today] == [
        (opens.date(), traded.open, traded.high, traded.low, traded.close, traded.volume)
    ]
    assert 0 < quote.bid <= quote.last <= quote.ask
    assert quote.bid < quote.ask
    assert min(quote.bid_size, quote.ask_size, quote.last_size) >= 100
    assert quote.at == at


@given(symbols, days)
def test_the_day_of_a_session_becomes_the_bar_of_the_day(symbol: str, day: str):
    opens, closes = session(day).opens, session(day).closes
    at_close = market().daily_bars(symbol, closes, 1)
    weeks_later = [bar for bar in market().daily_bars(symbol, closes + 20 * DAY, 30) if bar.start == opens.date()]
    minutes = market().minute_bars(symbol, opens, closes)
    assert at_close == weeks_later or market().daily_bars(symbol, closes + 20 * DAY, 30)[0].start > opens.date()
    bar = at_close[0]
    assert bar.open == minutes[0].open
    assert bar.high == max(minute.high for minute in minutes)
    assert bar.low == min(minute.low for minute in minutes)
    assert bar.close == minutes[-1].close
    assert bar.volume == sum(minute.volume for minute in minutes)


@given(symbols, days, st.lists(seconds, min_size=3, max_size=5))
def test_volume_only_grows_and_the_range_only_widens(symbol: str, day: str, moments: list[dt.timedelta]):
    opens = session(day).opens
    quotes = [market().quote(symbol, opens + moment) for moment in sorted(moments)]
    seen = [quote for quote in quotes if quote is not None]
    assert len(seen) == len(quotes)
    for earlier, later in pairwise(seen):
        assert earlier.volume <= later.volume
        assert earlier.high <= later.high
        assert earlier.low >= later.low


@given(symbols, days, seconds, st.integers(1, 600))
def test_a_price_range_lies_within_the_bars_of_its_minutes(symbol: str, day: str, second: dt.timedelta, length: int):
    since = min(session(day).opens + second, session(day).closes - 11 * MINUTE)
    until = since + dt.timedelta(seconds=length)
    traded = market().price_range(symbol, since, until)
    bars = market().minute_bars(symbol, since.replace(second=0), until + MINUTE)
    if traded is None:
        quote = market().quote(symbol, until)
        assert quote is not None
        assert quote.halted or length < 60
    else:
        assert min(bar.low for bar in bars) <= traded.low <= traded.high <= max(bar.high for bar in bars)


@given(symbols, days, st.lists(st.integers(-3600, 30 * 3600), min_size=3, max_size=5, unique=True))
def test_price_ranges_add_up_across_sessions(symbol: str, day: str, offsets: list[int]):
    cuts = [session(day).opens + dt.timedelta(seconds=offset) for offset in sorted(offsets)]
    pieces = [market().price_range(symbol, since, until) for since, until in pairwise(cuts)]
    whole = market().price_range(symbol, cuts[0], cuts[-1])
    traded = [piece for piece in pieces if piece is not None]
    assert (whole is None) == (not traded)
    if whole is not None:
        assert whole.volume == sum(piece.volume for piece in traded)
        assert (whole.high, whole.low) == (max(p.high for p in traded), min(p.low for p in traded))
        assert (whole.open, whole.close) == (traded[0].open, traded[-1].close)


def test_outside_hours_the_last_session_stands_still():
    symbol = market().instruments[0].symbol
    friday = market().quote(symbol, session("2026-11-20").closes)
    for text in ("2026-11-20T16:00", "2026-11-20T20:00", "2026-11-22T12:00", "2026-11-23T09:29:59"):
        assert market().quote(symbol, eastern(text)) == friday
    monday = market().quote(symbol, eastern("2026-11-23T09:30"))
    assert monday is not None
    assert friday is not None
    assert monday.previous_close == friday.last


def test_a_half_day_ends_at_one():
    symbol = market().instruments[0].symbol
    bars = market().minute_bars(symbol, eastern("2025-11-28T09:30"), eastern("2025-11-28T20:00"))
    assert len(bars) == 211
    assert bars[-1].start == eastern("2025-11-28T13:00")
    assert market().quote(symbol, eastern("2025-11-28T13:00")) == market().quote(symbol, eastern("2025-11-28T15:00"))


def test_daily_bars_cover_the_days_asked_for_and_end_with_today():
    symbol = _seasoned()
    during = market().daily_bars(symbol, eastern("2026-11-20T10:15"), 365)
    assert (during[0].start, during[-1].start) == (dt.date(2025, 11, 21), dt.date(2026, 11, 20))
    assert len(during) == 251
    before = market().daily_bars(symbol, eastern("2026-11-20T09:29"), 365)
    assert before == during[:-1]
    assert market().daily_bars(symbol, eastern("2026-11-22T12:00"), 2) == []


def test_the_calendar_s_first_days_have_a_market():
    symbol = _seasoned()
    assert market().quote(symbol, eastern("2010-01-02T12:00")) is None
    assert market().quotes(eastern("2010-01-02T12:00")) == {}
    assert market().quote(symbol, eastern("2010-01-04T12:00")) is not None
    assert len(market().daily_bars(symbol, eastern("2010-01-06T12:00"), 10_000)) == 3


def test_an_unknown_symbol_has_nothing():
    at = eastern("2026-11-20T12:00")
    assert market().quote("AAPL", at) is None
    assert market().daily_bars("AAPL", at, 30) == []
    assert market().minute_bars("AAPL", at - DAY, at) == []
    assert market().price_range("AAPL", at - DAY, at) is None


def test_quotes_are_the_quotes_of_all_instruments():
    at = eastern("2024-03-05T14:31:07")
    quotes = market().quotes(at)
    assert len(quotes) == 500
    assert all(market().quote(symbol, at) == quote for symbol, quote in quotes.items())


@pytest.mark.parametrize("seed", [SEED, 1, 20])
@pytest.mark.parametrize("day", ["2016-08-16", "2024-03-05", "2026-11-20"])
def test_of_the_hundred_most_active_eighty_to_ninety_are_fit_to_trade(seed: int, day: str):
    asked = market() if seed == SEED else SyntheticMarket(seed)
    for minutes in (45, 90, 240, 375):
        at = session(day).opens + dt.timedelta(minutes=minutes)
        verdicts = _verdicts(asked, at)
        assert 78 <= verdicts["fit"] <= 92, (minutes, verdicts)
        assert verdicts["cheap"] >= 1
        assert verdicts["wide"] >= 1


def test_the_reasons_to_reject_vary_from_slot_to_slot():
    seen = [_verdicts(market(), session().opens + dt.timedelta(minutes=15 * slot)) for slot in range(2, 26)]
    assert len({tuple(sorted(verdicts.items())) for verdicts in seen}) > 5
    assert sum(verdicts["halted"] for verdicts in seen) > 0
    assert sum(verdicts["young"] for verdicts in seen) > 0


def test_a_halted_stock_does_not_trade():
    at = session().opens + 2 * 60 * MINUTE
    halted = [symbol for symbol, quote in market().quotes(at).items() if quote.halted]
    assert halted
    for symbol in halted:
        assert market().price_range(symbol, at, at + 5 * dt.timedelta(seconds=1)) is None


def test_a_few_stocks_cannot_be_borrowed():
    shortable = [quote.shortable_shares for quote in market().quotes(eastern("2026-11-20T12:00")).values()]
    assert 2 <= shortable.count(0) <= 25
    assert min(shares for shares in shortable if shares) > 100_000


def test_returns_behave_like_those_of_real_stocks():
    """The bands hold what 158 large US stocks did from 2015 to 2018, with room for smaller companies."""
    stocks = population(SEED)
    blocks = [DailyPrices(SEED, stocks).block(number) for number in (12, 13, 14, 15)]
    close = np.log(np.vstack([block.close for block in blocks]) / 100)
    returns = np.diff(close, axis=0)
    daily = returns.std(axis=0)
    assert daily.min() > 0.007
    assert daily.max() < 0.05
    assert 0.013 < np.median(daily) < 0.019

    assert 2.0 < np.median(_excess_kurtosis(returns)) < 10.0
    assert 0.05 < _autocorrelation(np.abs(returns), 1).mean() < 0.25
    assert 0.02 < _autocorrelation(np.abs(returns), 10).mean() < 0.15
    assert abs(_autocorrelation(returns, 1).mean()) < 0.05
    correlations = np.corrcoef(returns.T)[np.triu_indices(500, 1)]
    assert 0.18 < correlations.mean() < 0.42

    month = close[20:] - close[:-20]
    assert 0.045 < np.median(month.std(axis=1)) < 0.08
    assert 0.7 < np.median(month.var(axis=0) / (20 * returns.var(axis=0))) < 1.1
    averages = np.apply_along_axis(lambda path: np.convolve(path, np.ones(50) / 50, "valid"), 0, close)
    above = (close[49:] > averages).mean(axis=1)
    assert 0.4 < above.mean() < 0.65
    assert above.max() - above.min() > 0.5


def test_ranges_and_volumes_behave_like_those_of_real_stocks():
    block = DailyPrices(SEED, population(SEED)).block(15)
    high, low, close = block.high / 100, block.low / 100, block.close / 100
    assert 1.0 < np.median(np.log(high / low).mean(axis=0) / np.diff(np.log(close), axis=0).std(axis=0)) < 1.5
    true_range = np.maximum(high[1:], close[:-1]) - np.minimum(low[1:], close[:-1])
    assert 1.4 < np.median(true_range / close[1:]) * 100 < 2.6

    usual = np.median(block.volume, axis=0)
    assert usual.min() > 50_000
    assert usual.max() < 100e6
    deviation = np.log(block.volume / usual)
    assert 0.25 < deviation.std(axis=0).mean() < 0.5
    moved = np.abs(np.diff(np.log(close), axis=0))
    assert 0.25 < np.corrcoef(moved.ravel(), deviation[1:].ravel())[0, 1] < 0.6


def test_prices_are_whole_cents_between_two_and_nine_hundred_dollars_for_nearly_all():
    prices = np.array([quote.last for quote in market().quotes(eastern("2026-11-20T15:00")).values()])
    assert np.allclose(prices * 100, np.round(prices * 100))
    assert prices.min() > 1.0
    assert prices.max() < 1_000
    assert ((prices > 15) & (prices < 300)).mean() > 0.75


def _seasoned() -> str:
    turns = population(SEED).young_turn
    return market().instruments[int(np.flatnonzero(turns < 0)[0])].symbol


def _verdicts(asked: SyntheticMarket, at: dt.datetime) -> Counter[str]:
    quotes = asked.quotes(at)
    active = sorted(quotes, key=lambda symbol: -quotes[symbol].volume)[:100]
    return Counter(_verdict(asked, symbol, quotes[symbol]) for symbol in active)


def _verdict(asked: SyntheticMarket, symbol: str, quote: Quote) -> str:
    if quote.last <= 5:
        return "cheap"
    if quote.halted:
        return "halted"
    if (quote.ask - quote.bid) / ((quote.ask + quote.bid) / 2) >= WIDEST_SPREAD:
        return "wide"
    return "fit" if len(asked.daily_bars(symbol, quote.at, 120)) >= NEEDED_BARS else "young"


def _excess_kurtosis(returns: np.ndarray) -> np.ndarray:
    centred = returns - returns.mean(axis=0)
    return (centred**4).mean(axis=0) / (centred**2).mean(axis=0) ** 2 - 3


def _autocorrelation(series: np.ndarray, lag: int) -> np.ndarray:
    centred = series - series.mean(axis=0)
    return (centred[lag:] * centred[:-lag]).mean(axis=0) / (centred**2).mean(axis=0)
