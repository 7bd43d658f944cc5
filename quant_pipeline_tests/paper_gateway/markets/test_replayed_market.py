"""A replay shows what the recorded bars say, when they say it, and nothing before."""

from __future__ import annotations

import datetime as dt
import logging
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quant_pipeline.automation.sessions import EXCHANGE_TIME, sessions_between
from quant_pipeline.errors import MarketDataFileError
from quant_pipeline.paper_gateway.markets.market import Market, Quote
from quant_pipeline.paper_gateway.markets.replayed_market import ReplayedMarket

REAL = Path(__file__).parents[3].parent / "shared" / "data"
needs_real_data = pytest.mark.skipif(not REAL.is_dir(), reason="the real market data are not beside the project")

TUESDAY, WEDNESDAY = dt.date(2018, 2, 20), dt.date(2018, 2, 21)
MINUTE = dt.timedelta(minutes=1)
SHARED_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)


def eastern(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=EXCHANGE_TIME)


def recorded_days() -> pd.DataFrame:
    """Two stocks with a year of days up to the Wednesday, and one that the minutes do not have."""
    random = np.random.default_rng(5)
    days = sessions_between(dt.date(2017, 2, 21), WEDNESDAY)
    frames = []
    for symbol, level in (("AAA", 20.0), ("BBB", 150.0), ("CCC", 60.0)):
        close = np.round(level * np.exp(np.cumsum(random.normal(0, 0.012, len(days)))), 2)
        opening = np.round(close * np.exp(random.normal(0, 0.006, len(days))), 2)
        high = np.round(np.maximum(opening, close) + random.random(len(days)) * level / 100, 2)
        low = np.round(np.minimum(opening, close) - random.random(len(days)) * level / 100, 2)
        volume = random.integers(500_000, 3_000_000, len(days))
        frames.append(
            pd.DataFrame(
                {
                    "symbol": symbol,
                    "date": days,
                    "open": opening,
                    "high": high,
                    "low": low,
                    "close": close,
                    "volume": volume,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def recorded_minutes(last_close: dict[str, float]) -> pd.DataFrame:
    """The Tuesday and Wednesday of AAA and BBB, every seventh minute of BBB missing."""
    random = np.random.default_rng(6)
    frames = []
    for symbol, level in last_close.items():
        for day in (TUESDAY, WEDNESDAY):
            minute = np.array([m for m in range(391) if symbol == "AAA" or m % 7])
            path = np.round(level * np.exp(np.cumsum(random.normal(0, 0.0006, len(minute) + 1))), 2)
            beyond = np.round(random.random((2, len(minute))) * level / 2000, 2)
            start = pd.Timestamp(day).as_unit("us") + pd.Timedelta(hours=9, minutes=30)
            frames.append(
                pd.DataFrame(
                    {
                        "symbol": symbol,
                        "ts": start + pd.to_timedelta(minute, unit="m"),
                        "open": path[:-1],
                        "high": np.maximum(path[:-1], path[1:]) + beyond[0],
                        "low": np.minimum(path[:-1], path[1:]) - beyond[1],
                        "close": path[1:],
                        "volume": random.integers(100, 20_000, len(minute)),
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bars")
    days = recorded_days()
    closes = {row["symbol"]: row["close"] for row in records(days[days["date"] == TUESDAY])}
    days.to_parquet(path / "days.parquet", index=False)
    recorded_minutes({symbol: closes[symbol] for symbol in ("AAA", "BBB")}).to_parquet(
        path / "minutes.parquet", index=False
    )
    return path


@pytest.fixture(scope="module")
def market(folder: Path) -> ReplayedMarket:
    return ReplayedMarket(folder / "days.parquet", folder / "minutes.parquet")


@pytest.fixture(scope="module")
def days_only(folder: Path) -> ReplayedMarket:
    return ReplayedMarket(folder / "days.parquet")


def test_it_is_a_market_of_the_symbols_of_its_files(market: ReplayedMarket, days_only: ReplayedMarket):
    asked: Market = market
    assert [instrument.symbol for instrument in asked.instruments] == ["AAA", "BBB", "CCC"]
    assert asked.name == "replay of days.parquet with minutes.parquet"
    assert days_only.name == "replay of days.parquet"
    assert len({instrument.con_id for instrument in asked.instruments}) == 3
    assert [i.con_id for i in asked.instruments] == [i.con_id for i in days_only.instruments]


def test_its_identity_is_that_of_the_content(
    market: ReplayedMarket, days_only: ReplayedMarket, folder: Path, tmp_path: Path
):
    copied = tmp_path / "elsewhere.parquet"
    copied.write_bytes((folder / "days.parquet").read_bytes())
    assert ReplayedMarket(copied).identity == days_only.identity
    assert market.identity != days_only.identity
    assert market.identity.startswith("replay-")
    assert len(market.identity) == len("replay-") + 12
    changed = pd.read_parquet(copied)
    changed.loc[100, "volume"] += 1
    changed.to_parquet(copied, index=False)
    assert ReplayedMarket(copied).identity != days_only.identity


def test_a_malformed_file_is_refused(folder: Path, tmp_path: Path):
    with pytest.raises(MarketDataFileError, match="does not exist"):
        ReplayedMarket(tmp_path / "none.parquet")
    with pytest.raises(MarketDataFileError, match="lacks the column ts"):
        ReplayedMarket(folder / "days.parquet", folder / "days.parquet")


def test_a_quote_comes_from_the_minute_being_played(market: ReplayedMarket, folder: Path):
    minutes = pd.read_parquet(folder / "minutes.parquet")
    bar = minutes[(minutes["symbol"] == "AAA") & (minutes["ts"] == "2018-02-20 10:15")].iloc[0]
    lasts = [_quote(market, "AAA", f"2018-02-20T10:15:{second:02d}").last for second in range(60)]
    assert lasts[0] == bar["open"]
    assert lasts[59] == bar["close"]
    assert min(lasts) == pytest.approx(bar["low"])
    assert max(lasts) == pytest.approx(bar["high"])


def test_today_s_bar_is_made_of_the_minutes_so_far(market: ReplayedMarket, folder: Path):
    minutes = pd.read_parquet(folder / "minutes.parquet")
    so_far = minutes[
        (minutes["symbol"] == "BBB") & (minutes["ts"] < "2018-02-21 10:15") & (minutes["ts"] >= "2018-02-21")
    ]
    today = market.daily_bars("BBB", eastern("2018-02-21T10:14:59"), 10)[-1]
    assert (today.start, today.open, today.close) == (
        WEDNESDAY,
        records(so_far)[0]["open"],
        records(so_far)[-1]["close"],
    )
    assert (today.high, today.low) == (so_far["high"].max(), so_far["low"].min())
    assert today.volume == so_far["volume"].sum()


def test_days_before_are_those_of_the_daily_file(market: ReplayedMarket, folder: Path):
    days = pd.read_parquet(folder / "days.parquet")
    expected = days[(days["symbol"] == "AAA") & (days["date"] < WEDNESDAY)].tail(30)
    bars = market.daily_bars("AAA", eastern("2018-02-21T10:15"), 365)[:-1][-30:]
    assert [bar.start for bar in bars] == expected["date"].tolist()
    for column in ("open", "high", "low", "close", "volume"):
        assert [getattr(bar, column) for bar in bars] == expected[column].tolist()
    quote = _quote(market, "AAA", "2018-02-21T10:15")
    assert quote.previous_close == records(expected)[-1]["close"]


def test_a_day_the_daily_file_lacks_is_made_of_minutes(folder: Path, tmp_path: Path):
    days = pd.read_parquet(folder / "days.parquet")
    days[~((days["symbol"] == "AAA") & (days["date"] == TUESDAY))].to_parquet(tmp_path / "gap.parquet", index=False)
    minutes = pd.read_parquet(folder / "minutes.parquet")
    tuesday = minutes[(minutes["symbol"] == "AAA") & (minutes["ts"] < "2018-02-21")]
    market = ReplayedMarket(tmp_path / "gap.parquet", folder / "minutes.parquet")
    bar = market.daily_bars("AAA", eastern("2018-02-21T10:15"), 30)[-2]
    assert (bar.start, bar.open, bar.close) == (TUESDAY, records(tuesday)[0]["open"], records(tuesday)[-1]["close"])
    assert (bar.high, bar.low, bar.volume) == (tuesday["high"].max(), tuesday["low"].min(), tuesday["volume"].sum())
    assert _quote(market, "AAA", "2018-02-21T10:15").previous_close == bar.close


def test_minute_bars_are_the_recorded_ones(market: ReplayedMarket, folder: Path):
    minutes = pd.read_parquet(folder / "minutes.parquet")
    expected = minutes[(minutes["symbol"] == "BBB") & (minutes["ts"] < "2018-02-21 10:00")]
    bars = market.minute_bars("BBB", eastern("2018-02-19T00:00"), eastern("2018-02-21T10:00"))
    assert [bar.start for bar in bars] == [ts.tz_localize(EXCHANGE_TIME) for ts in expected["ts"]]
    for column in ("open", "high", "low", "close", "volume"):
        assert [getattr(bar, column) for bar in bars] == expected[column].tolist()


def test_a_missing_minute_is_not_filled(market: ReplayedMarket):
    before, during = _quote(market, "BBB", "2018-02-20T09:36:59"), _quote(market, "BBB", "2018-02-20T09:37:30")
    assert (during.last, during.volume) == (before.last, before.volume)
    assert market.price_range("BBB", eastern("2018-02-20T09:36:59"), eastern("2018-02-20T09:37:59")) is None
    assert market.quote("BBB", eastern("2018-02-20T09:30:30")) is None


def test_the_last_minute_is_the_closing_auction(market: ReplayedMarket, folder: Path):
    minutes = pd.read_parquet(folder / "minutes.parquet")
    auction = minutes[(minutes["symbol"] == "AAA") & (minutes["ts"] == "2018-02-20 16:00")].iloc[0]
    before, after = _quote(market, "AAA", "2018-02-20T15:59:59"), _quote(market, "AAA", "2018-02-20T16:00")
    assert after.volume - before.volume == auction["volume"]
    assert after.last == auction["close"]
    assert market.quote("AAA", eastern("2018-02-20T21:00")) == after


def test_minutes_outside_the_session_are_left_out(folder: Path, tmp_path: Path):
    minutes = pd.read_parquet(folder / "minutes.parquet")
    early = minutes.iloc[[0]].assign(
        ts=pd.Timestamp("2018-02-20 08:00"), open=999.0, high=999.0, low=999.0, close=999.0
    )
    pd.concat([early, minutes], ignore_index=True).astype({"ts": "datetime64[us]"}).to_parquet(
        tmp_path / "early.parquet"
    )
    with_early = ReplayedMarket(folder / "days.parquet", tmp_path / "early.parquet")
    assert with_early.quote("AAA", eastern("2018-02-20T08:30")) == with_early.quote("AAA", eastern("2018-02-16T16:00"))
    assert _quote(with_early, "AAA", "2018-02-20T16:00").high < 999


def test_a_stock_without_minutes_is_not_quoted_on_a_day_that_has_them(market: ReplayedMarket):
    assert market.quote("CCC", eastern("2018-02-20T12:00")) is None
    assert sorted(market.quotes(eastern("2018-02-20T12:00"))) == ["AAA", "BBB"]
    assert market.daily_bars("CCC", eastern("2018-02-21T12:00"), 5)[-1].start == TUESDAY
    assert sorted(market.quotes(eastern("2018-02-16T12:00"))) == ["AAA", "BBB", "CCC"]


def test_before_the_first_and_after_the_last_bar_there_is_no_quote(market: ReplayedMarket):
    assert market.quotes(eastern("2017-02-17T12:00")) == {}
    assert market.quotes(eastern("2017-02-21T09:29")) == {}
    assert len(market.quotes(eastern("2017-02-21T09:31"))) == 3
    assert market.quotes(eastern("2018-02-21T23:00")) == market.quotes(eastern("2018-02-21T16:00"))
    assert market.quotes(eastern("2018-02-22T09:00")) == market.quotes(eastern("2018-02-21T16:00"))
    assert market.quotes(eastern("2018-02-22T09:31")) == {}
    assert market.daily_bars("AAA", eastern("2017-02-17T12:00"), 30) == []
    assert market.daily_bars("AAA", eastern("2018-03-01T12:00"), 30)[-1].start == WEDNESDAY


def test_a_day_of_daily_bars_alone_is_played_along_its_bar(days_only: ReplayedMarket, folder: Path):
    days = pd.read_parquet(folder / "days.parquet")
    for recorded in records(days[days["date"] > dt.date(2018, 2, 1)]):
        opens = dt.datetime.combine(recorded["date"], dt.time(9, 30), EXCHANGE_TIME)
        closes = opens + 390 * MINUTE
        traded = days_only.price_range(recorded["symbol"], opens - MINUTE, closes)
        assert traded is not None
        for column in ("open", "high", "low", "close", "volume"):
            assert getattr(traded, column) == recorded[column]
        noon = days_only.quote(recorded["symbol"], opens + 150 * MINUTE)
        assert noon is not None
        assert recorded["low"] <= noon.low <= noon.last <= noon.high <= recorded["high"]
        assert 0 < noon.volume < recorded["volume"]


def test_a_day_without_volume_did_not_trade(folder: Path, tmp_path: Path):
    days = pd.read_parquet(folder / "days.parquet")
    days.loc[(days["symbol"] == "AAA") & (days["date"] == TUESDAY), "volume"] = 0
    days.to_parquet(tmp_path / "idle.parquet", index=False)
    market = ReplayedMarket(tmp_path / "idle.parquet")
    assert market.quote("AAA", eastern("2018-02-20T12:00")) is None
    assert TUESDAY not in [bar.start for bar in market.daily_bars("AAA", eastern("2018-02-21T12:00"), 30)]


def test_days_are_brought_to_the_scale_of_minutes_that_are_adjusted_differently_and_it_is_said(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    minutes = pd.read_parquet(folder / "minutes.parquet")
    prices = ["open", "high", "low", "close"]
    minutes.loc[minutes["symbol"] == "BBB", prices] *= 2
    minutes.to_parquet(tmp_path / "split.parquet", index=False)
    with caplog.at_level(logging.WARNING):
        market = ReplayedMarket(folder / "days.parquet", tmp_path / "split.parquet")
    (warning,) = caplog.records
    assert "adjusted differently, so the daily bars of these are multiplied: BBB by 2" in warning.getMessage()
    assert "AAA" not in warning.getMessage()
    bars = market.daily_bars("BBB", eastern("2018-02-21T12:00"), 5)
    assert 0.8 < bars[-1].close / bars[-2].close < 1.2


moments = st.integers(0, 2 * 24 * 3600).map(lambda second: eastern("2018-02-20T09:00") + dt.timedelta(seconds=second))


@SHARED_FOLDER
@given(st.sampled_from(["AAA", "BBB", "CCC"]), moments)
def test_nothing_after_an_instant_changes_what_is_said_about_it(
    folder: Path, market: ReplayedMarket, symbol: str, at: dt.datetime
):
    """The files cut off after the running minute and the day before give the same answers."""
    days, minutes = pd.read_parquet(folder / "days.parquet"), pd.read_parquet(folder / "minutes.parquet")
    known_minutes = minutes[minutes["ts"] <= pd.Timestamp(at.replace(tzinfo=None))]
    if known_minutes.empty:
        return
    days[days["date"] < at.date()].to_parquet(folder / "known_days.parquet", index=False)
    known_minutes.to_parquet(folder / "known_minutes.parquet", index=False)
    known = ReplayedMarket(folder / "known_days.parquet", folder / "known_minutes.parquet")
    assert known.quote(symbol, at) == market.quote(symbol, at)
    assert known.quotes(at) == market.quotes(at)
    assert known.daily_bars(symbol, at, 365) == market.daily_bars(symbol, at, 365)
    assert known.minute_bars(symbol, at - 90 * MINUTE, at) == market.minute_bars(symbol, at - 90 * MINUTE, at)
    assert known.price_range(symbol, at - 20 * MINUTE, at) == market.price_range(symbol, at - 20 * MINUTE, at)


@SHARED_FOLDER
@given(st.sampled_from(["AAA", "BBB"]), moments, st.integers(1, 5000))
def test_no_price_is_traded_that_the_bars_did_not_reach(
    market: ReplayedMarket, folder: Path, symbol: str, since: dt.datetime, length: int
):
    until = since + dt.timedelta(seconds=length)
    traded = market.price_range(symbol, since, until)
    bars = market.minute_bars(symbol, since.replace(second=0), until + MINUTE)
    if traded is None:
        assert all(bar.start > until or bar.start + MINUTE <= since + 2 * MINUTE for bar in bars)
        return
    assert min(bar.low for bar in bars) <= traded.low <= traded.high <= max(bar.high for bar in bars)
    assert traded.volume <= sum(bar.volume for bar in bars)


@SHARED_FOLDER
@given(st.lists(moments, min_size=2, max_size=6))
def test_the_order_of_questions_does_not_matter(folder: Path, days_only: ReplayedMarket, asked: list[dt.datetime]):
    fresh = ReplayedMarket(folder / "days.parquet")
    backwards = [fresh.quotes(at) for at in reversed(asked)]
    assert [days_only.quotes(at) for at in asked] == backwards[::-1]


@SHARED_FOLDER
@given(st.lists(moments, min_size=3, max_size=6))
def test_volume_only_grows_within_a_day(market: ReplayedMarket, asked: list[dt.datetime]):
    during = [at for at in sorted(asked) if dt.time(9, 31) <= at.time()]
    for day in {at.date() for at in during}:
        volumes = [market.quotes(at)["AAA"].volume for at in during if at.date() == day]
        assert volumes == sorted(volumes)


@cache
def real_market() -> ReplayedMarket:
    return ReplayedMarket(REAL / "us_daily.parquet", REAL / "us_minute.parquet")


@needs_real_data
def test_the_real_week_is_played():
    market = real_market()
    quotes = market.quotes(eastern("2018-02-20T10:15"))
    assert len(quotes) == 104
    apple = quotes["AAPL"]
    assert (apple.open, apple.previous_close) == (172.05, pytest.approx(172.43))
    assert apple.low <= apple.last <= apple.high
    bars = market.daily_bars("AAPL", apple.at, 365)
    assert len(bars) == 252
    assert (bars[-2].start, bars[-1].start) == (dt.date(2018, 2, 16), TUESDAY)


@needs_real_data
def test_most_of_the_real_stocks_have_a_tight_book():
    quotes = real_market().quotes(eastern("2018-02-21T11:30")).values()
    tight = [(quote.ask - quote.bid) / quote.last < 0.0015 for quote in quotes]
    assert 0.9 < sum(tight) / len(tight) <= 1.0


@needs_real_data
def test_the_real_files_disagree_about_three_stocks(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        ReplayedMarket(REAL / "us_daily.parquet", REAL / "us_minute.parquet")
    assert "multiplied: GE by 1.04, HON by 1.0" in caplog.text
    assert "TJX by 2." in caplog.text


@needs_real_data
def test_a_real_stock_that_only_the_minutes_have_gets_its_days_from_them():
    bars = real_market().daily_bars("FOXA", eastern("2018-02-22T12:00"), 365)
    assert [bar.start.day for bar in bars] == [16, 20, 21, 22]


def records(frame: Any) -> list[dict[str, Any]]:
    return frame.to_dict("records")


def _quote(market: Market, symbol: str, at: str) -> Quote:
    quote = market.quote(symbol, eastern(at))
    assert quote is not None
    return quote
