"""A replay is honest: nothing is filled at a price its bar did not reach, and nothing is known before it happened."""

from __future__ import annotations

import datetime as dt
import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quant_pipeline.automation.sessions import EXCHANGE_TIME
from quant_pipeline.paper_gateway.answers.scans import RANKINGS, scan
from quant_pipeline.paper_gateway.exchange.account_values import Accountant
from quant_pipeline.paper_gateway.exchange.book import Book
from quant_pipeline.paper_gateway.exchange.order_desk import OrderDesk
from quant_pipeline.paper_gateway.exchange.order_events import OrderRequest
from quant_pipeline.paper_gateway.exchange.orders import Action, Execution, OrderTerms, OrderType, TimeInForce
from quant_pipeline.paper_gateway.markets.replayed_market import ReplayedMarket
from quant_pipeline.paper_gateway.protocol.requests import ScanRequest
from quant_pipeline_tests.paper_gateway.markets.test_replayed_market import (
    REAL,
    TUESDAY,
    eastern,
    needs_real_data,
    recorded_days,
    recorded_minutes,
)

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
MINUTE, SECOND = dt.timedelta(minutes=1), dt.timedelta(seconds=1)
OPENS = eastern("2018-02-20T09:31")
BUSY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
KINDS = tuple(OrderType)


@dataclass(frozen=True)
class Wish:
    """An order some seconds after the one before; its prices lie ``basis_points`` away from the last one."""

    seconds: int
    symbol: str
    action: Action
    kind: OrderType
    basis_points: int
    quantity: int

    def terms(self, last: float) -> OrderTerms:
        price = round(last * (1 + self.basis_points / 10_000), 2)
        terms = OrderTerms(self.symbol, self.action, self.quantity, self.kind, None, None, TimeInForce.GTC)
        match self.kind:
            case OrderType.LIMIT:
                return replace(terms, limit_price=price)
            case OrderType.STOP:
                return replace(terms, stop_price=price)
            case OrderType.STOP_LIMIT:
                return replace(terms, stop_price=price, limit_price=round(price + self.action.sign * 0.02, 2))
            case OrderType.TRAILING_STOP:
                return replace(terms, trail_amount=max(0.01, round(last * abs(self.basis_points) / 10_000, 2)))
            case OrderType.MARKET:
                return terms


def wishes(symbols: Sequence[str]) -> st.SearchStrategy[list[Wish]]:
    wish = st.builds(
        Wish,
        seconds=st.one_of(st.integers(0, 300), st.sampled_from([0, 60, 3_600, 70_000])),
        symbol=st.sampled_from(symbols),
        action=st.sampled_from(Action),
        kind=st.sampled_from(KINDS),
        basis_points=st.integers(-60, 60),
        quantity=st.sampled_from([1, 100, 900, 6_000]),
    )
    return st.lists(wish, min_size=1, max_size=12)


def drawn_wishes(chance: random.Random, symbols: Sequence[str], count: int) -> list[Wish]:
    return [
        Wish(
            chance.choice((0, 7, 30, 60)),
            chance.choice(symbols),
            chance.choice(tuple(Action)),
            chance.choice(KINDS),
            chance.randint(-60, 60),
            chance.choice((1, 100, 900, 6_000)),
        )
        for _ in range(count)
    ]


@contextmanager
def desk_of(market: ReplayedMarket) -> Iterator[OrderDesk]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as home:
        book = Book(Path(home) / "book.sqlite", identity=market.identity, cash=1e9)
        with closing(book):
            yield OrderDesk(market, book, Accountant(market), OPENS, orders_per_side=None)


def filled(market: ReplayedMarket, orders: Sequence[Wish], until: dt.datetime | None = None) -> list[Execution]:
    """What a stream of orders got until an instant, or until an hour after the last of them."""
    now, order_id = OPENS, 0
    with desk_of(market) as desk:
        for order_id, wish in enumerate(orders, 1):
            now += wish.seconds * SECOND
            if until is not None and now > until:
                break
            quote = market.quote(wish.symbol, now)
            if quote is not None:
                desk.place(OrderRequest(1, order_id, wish.terms(quote.last), transmit=True), now)
        desk.advance(now + 60 * MINUTE if until is None else until)
        return desk.book.executions_since(OPENS)


def in_short(executions: Sequence[Execution]) -> list[tuple[dt.datetime, str, float, int]]:
    """What tells fills apart whatever book they are in."""
    return [(each.at, each.symbol, each.price, each.shares) for each in executions]


def assert_reached(market: ReplayedMarket, executions: Sequence[Execution]) -> None:
    """Every price lies in the bar of its instant, in the one that ends there, or in the last one there was."""
    for each in executions:
        at = each.at.astimezone(EXCHANGE_TIME)
        bars = market.minute_bars(each.symbol, at.replace(hour=9, minute=30, second=0), at + MINUTE)
        begun = [bar for bar in bars if isinstance(bar.start, dt.datetime) and bar.start <= at]
        ends_here = [bar for bar in begun if bar.start == (at - SECOND).replace(second=0, microsecond=0)]
        assert any(bar.low <= each.price <= bar.high for bar in [begun[-1], *ends_here]), each


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bars")
    days = recorded_days()
    days.to_parquet(path / "days.parquet", index=False)
    tuesday = days[days["date"] == TUESDAY].set_index("symbol")["close"].to_dict()
    minutes = recorded_minutes({symbol: float(tuesday[symbol]) for symbol in ("AAA", "BBB")})
    # Minutes in which every trade had one price: there the spread of the modelled book lies beyond the bar.
    flat = minutes["ts"].dt.minute % 5 == 0
    for column in ("high", "low", "close"):
        minutes.loc[flat, column] = minutes.loc[flat, "open"]
    minutes.to_parquet(path / "minutes.parquet", index=False)
    return path


@pytest.fixture(scope="module")
def market(folder: Path) -> ReplayedMarket:
    return ReplayedMarket(folder / "days.parquet", folder / "minutes.parquet")


@BUSY
@given(wishes(["AAA", "BBB"]))
def test_nothing_is_filled_at_a_price_its_bar_did_not_reach(market: ReplayedMarket, orders: list[Wish]) -> None:
    assert_reached(market, filled(market, orders))


def test_a_market_order_in_a_minute_of_one_price_gets_that_price(market: ReplayedMarket) -> None:
    flat = [eastern("2018-02-20T10:20") + 5 * minutes * MINUTE for minutes in range(20)]
    quotes = {at: market.quote("BBB", at) for at in flat}
    at, quote = next((at, quote) for at, quote in quotes.items() if quote is not None and quote.ask > quote.highest)
    assert quote.highest == quote.lowest == quote.last
    (fill,) = filled(market, [Wish(int((at - OPENS).total_seconds()), "BBB", Action.BUY, OrderType.MARKET, 0, 1)])
    assert fill.price == quote.last


moments = st.integers(60, 9 * 3600 + 24 * 3600).map(lambda second: eastern("2018-02-20T09:30") + second * SECOND)


@BUSY
@given(moments, st.lists(st.integers(0, 30_000), max_size=4), wishes(["AAA", "BBB"]))
def test_what_comes_after_an_instant_changes_nothing_until_then(
    market: ReplayedMarket, folder: Path, at: dt.datetime, earlier: list[int], orders: list[Wish]
) -> None:
    """Files that end with the bar being played give the same quotes, scans, bars of today, ranges and fills."""
    known = cut(folder / "days.parquet", folder / "minutes.parquet", at)
    same_until(known, market, at, earlier, ["AAA", "BBB", "CCC"])
    assert in_short(filled(known, orders, at)) == in_short(filled(market, orders, at))


def cut(days: Path, minutes: Path, at: dt.datetime) -> ReplayedMarket:
    """A market of the same files without the days from that of ``at`` on and the minutes that start after it."""
    local = pd.Timestamp(at.replace(tzinfo=None))
    known_days, known_minutes = pd.read_parquet(days), pd.read_parquet(minutes)
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        whole_days = pd.to_datetime(known_days["date"]).dt.date < at.date()
        known_days[whole_days].to_parquet(Path(folder) / "days.parquet", index=False)
        known_minutes[known_minutes["ts"] <= local].to_parquet(Path(folder) / "minutes.parquet", index=False)
        return ReplayedMarket(Path(folder) / "days.parquet", Path(folder) / "minutes.parquet")


def same_until(
    known: ReplayedMarket, market: ReplayedMarket, at: dt.datetime, earlier: Sequence[int], symbols: Sequence[str]
) -> None:
    for moment in [at, *(at - seconds * SECOND for seconds in earlier)]:
        quotes = market.quotes(moment)
        assert {symbol: known.quote(symbol, moment) for symbol in symbols} == {
            symbol: market.quote(symbol, moment) for symbol in symbols
        }
        for code in RANKINGS:
            request = ScanRequest(1, 50, "STK", "STK.US.MAJOR", code, None, None, None, None, None, "ALL", "")
            rows = [each.symbol for each in scan(request, market.instruments, quotes, 50) if each.symbol in symbols]
            found = scan(request, known.instruments, known.quotes(moment), 50)
            assert [each.symbol for each in found if each.symbol in symbols] == rows
        for symbol in symbols:
            assert known.daily_bars(symbol, moment, 60) == market.daily_bars(symbol, moment, 60)
            assert known.minute_bars(symbol, moment - 45 * MINUTE, moment) == market.minute_bars(
                symbol, moment - 45 * MINUTE, moment
            )
            assert known.price_range(symbol, moment - 17 * MINUTE, moment) == market.price_range(
                symbol, moment - 17 * MINUTE, moment
            )


@cache
def real_market() -> ReplayedMarket:
    return ReplayedMarket(REAL / "us_daily.parquet", REAL / "us_minute.parquet")


@needs_real_data
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_filled_at_a_price_a_real_bar_did_not_reach(seed: int) -> None:
    market = real_market()
    symbols = sorted(market.quotes(eastern("2018-02-20T10:15")))
    executions = filled(market, drawn_wishes(random.Random(seed), symbols, 120))
    assert len(executions) > 60
    assert_reached(market, executions)


@needs_real_data
def test_real_bars_after_an_instant_change_nothing_until_then() -> None:
    """But for the stocks whose two files are adjusted differently: by how much is known from all days there are."""
    at, market = eastern("2018-02-22T11:07:30"), real_market()
    symbols = ["AAPL", "MSFT", "INTC", "BAC", "CSCO"]
    known = cut(REAL / "us_daily.parquet", REAL / "us_minute.parquet", at)
    same_until(known, market, at, [40, 6_000, 90_000], symbols)
    orders = drawn_wishes(random.Random(3), symbols, 30)
    assert in_short(filled(known, orders, at)) == in_short(filled(market, orders, at))
