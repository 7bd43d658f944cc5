"""Whatever clients send and prices do: what must hold of every fill, every order, the cash and the book.

Streams of random orders, changes, cancels and steps of time run on random prints; hypothesis makes small ones of those
that break a rule.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quant_pipeline.paper_gateway.exchange.liquidity import ROUND_LOT, minute_before
from quant_pipeline.paper_gateway.exchange.orders import HELD_FOR_PARENT, Action, Order, Status
from quant_pipeline_tests.paper_gateway.exchange.desk_room import Room
from quant_pipeline_tests.paper_gateway.scripted_market import at

SHARE = 0.1
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Books that need not survive a power failure need not wait for a disk."""

BUSY = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@dataclass(frozen=True)
class Step:
    """What a client does and how many seconds pass before it; prices are cents away from the symbol's first one."""

    kind: str
    seconds: int
    symbol: str
    action: str
    cents: int
    quantity: int
    target: int
    group: str
    oca_type: int


symbols = st.sampled_from(["AAA", "BBB"])
steps = st.lists(
    st.builds(
        Step,
        kind=st.sampled_from(
            ["LMT", "MKT", "STP", "STP LMT", "TRAIL", "bracket", "trailed", "modify", "cancel", "wait", "wait"]
        ),
        seconds=st.sampled_from([0, 0, 0, 1, 7, 7, 30, 30, 60, 60, 95, 95, 400, 400, 25_000]),
        symbol=symbols,
        action=st.sampled_from(["BUY", "SELL"]),
        cents=st.integers(-60, 60),
        quantity=st.sampled_from([1, 30, 100, 150, 250, 700]),
        target=st.integers(1, 12),
        group=st.sampled_from(["", "", "one", "two"]),
        oca_type=st.integers(0, 3),
    ),
    min_size=3,
    max_size=14,
)
prints = st.lists(
    st.tuples(symbols, st.integers(1, 3_000), st.integers(-80, 80)),
    min_size=5,
    max_size=40,
)
Prints = list[tuple[str, int, int]]


class Run:
    """One stream on one desk; ``told`` is everything clients heard."""

    def __init__(self, home: Path, trades: Prints, share: float | None) -> None:
        self._home = home
        self._trades = trades
        self._share = share
        self._next_id = 1
        self.told: list[str] = []
        self.room = self._opened()

    def _opened(self) -> Room:
        room = Room(self._home, at("10:15"), liquidity=self._share)
        room.market.shares_a_print = 900
        room.market.shortable = 600
        for symbol, second, cents in self._trades:
            clock = f"10:{15 + second // 60:02d}:{second % 60:02d}" if second < 2_700 else f"11:00:{second % 60:02d}"
            room.market.prints(symbol, (clock, round(room.market.prices[symbol] + cents / 100, 2)))
        return room

    def restart(self) -> None:
        """Die and come back with what the book remembers."""
        now = self.room.now
        self.room.book.close()
        self.room = self._opened()
        self.room.now = now

    def take(self, step: Step) -> None:
        self.room.now += dt.timedelta(seconds=step.seconds)
        price = round(self.room.market.prices[step.symbol] + step.cents / 100, 2)
        back = "SELL" if step.action == "BUY" else "BUY"
        more = {"symbol": step.symbol, "quantity": step.quantity, "oca": step.group, "oca_type": step.oca_type}
        child = {"symbol": step.symbol, "quantity": step.quantity, "tif": "GTC"}
        sign = 1 if step.action == "BUY" else -1
        match step.kind:
            case "LMT" | "MKT" | "STP":
                self._place(step.action, step.kind, price, **more)
            case "STP LMT":
                self._place(step.action, step.kind, price, stop=round(price - 0.05, 2), **more)
            case "TRAIL":
                self._place(step.action, "TRAIL", amount=max(1, abs(step.cents)) / 100, **more)
            case "bracket" | "trailed":
                entry = self._place(step.action, "LMT", price, transmit=False, **more)
                self._place(back, "LMT", round(price + sign * 0.3, 2), parent=entry, transmit=False, **child)
                if step.kind == "bracket":
                    self._place(back, "STP", round(price - sign * 0.3, 2), parent=entry, **child)
                else:
                    self._place(back, "TRAIL", amount=0.25, parent=entry, **child)
            case "modify":
                self._modify(step)
            case "cancel":
                self.told += self.room.cancel(step.target)
            case _:
                self.told += self._advance()

    def _advance(self) -> list[str]:
        local = self.room.now
        return self.room.move(f"{local:%H:%M:%S}", local.date())

    def _place(self, action: str, kind: str, price: float | None = None, **more: object) -> int:
        order_id, self._next_id = self._next_id, self._next_id + 1
        self.told += self.room.place(order_id, action, kind, price, **more)
        return order_id

    def _modify(self, step: Step) -> None:
        known = self.room.book.find(1, step.target)
        if known is None or known.terms.order_type not in ("LMT", "STP"):
            return
        base = known.terms.limit_price or known.terms.stop_price or 0.0
        self.told += self.room.place(
            step.target,
            known.terms.action,
            known.terms.order_type,
            round(base + step.cents / 400, 2),
            symbol=known.terms.symbol,
            quantity=step.quantity,
            tif=known.terms.tif,
        )

    def orders(self) -> list[Order]:
        found = (self.room.book.find(1, order_id) for order_id in range(1, self._next_id))
        return [order for order in found if order is not None]


@contextmanager
def run(trades: Prints, stream: list[Step], *, share: float | None = SHARE, restart_before: int = -1) -> Iterator[Run]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as home:
        played = Run(Path(home), trades, share)
        for index, step in enumerate(stream):
            if index == restart_before:
                played.restart()
            played.take(step)
        yield played
        played.room.book.close()


@BUSY
@given(prints, steps)
def test_every_fill_is_at_a_price_that_was_there_and_for_shares_that_were_there(
    trades: Prints, stream: list[Step]
) -> None:
    with run(trades, stream) as played:
        market = played.room.market
        taken: dict[tuple[str, Action, dt.datetime], int] = defaultdict(int)
        instants: dict[tuple[str, Action, dt.datetime], set[dt.datetime]] = defaultdict(set)
        for fill in played.room.fills():
            quote = market.quote(fill.symbol, fill.at)
            traded = market.price_range(fill.symbol, minute_before(fill.at), fill.at)
            assert quote is not None
            in_range = traded is not None and traded.low <= fill.price <= traded.high
            assert in_range or fill.price in (quote.bid, quote.ask)
            side = (fill.symbol, fill.action, minute_before(fill.at))
            taken[side] += fill.shares
            instants[side].add(fill.at)
        for (symbol, action, minute), shares in taken.items():
            whole = market.price_range(symbol, minute, minute + dt.timedelta(minutes=1))
            volume = whole.volume if whole else 0
            shown = 200 if action == "BUY" else 300
            assert shares <= max(ROUND_LOT, int(SHARE * volume)) + shown * len(instants[symbol, action, minute])


@BUSY
@given(prints, steps)
def test_fills_orders_cash_and_positions_add_up(trades: Prints, stream: list[Step]) -> None:
    with run(trades, stream) as played:
        book = played.room.book
        fills = played.room.fills()
        for order in played.orders():
            own = [fill for fill in fills if fill.perm_id == order.perm_id]
            assert sum(fill.shares for fill in own) == order.filled <= order.terms.quantity
            assert (order.status is Status.FILLED) == (order.remaining == 0)
            assert sum(fill.commission for fill in own) == pytest.approx(order.commission)
            assert all(fill.commission >= 0 for fill in own)
            if own:
                paid = sum(fill.shares * fill.price for fill in own)
                assert order.average_price == pytest.approx(paid / order.filled)
                assert order.commission == pytest.approx(min(max(1.0, 0.005 * order.filled), 0.01 * paid), abs=2e-4)
            if order.why_held == HELD_FOR_PARENT:
                assert order.parent_perm_id in book.live
        signed = sum(fill.action.sign * fill.shares * fill.price for fill in fills)
        fees = sum(fill.commission for fill in fills)
        assert book.portfolio.cash == pytest.approx(100_000 - signed - fees)
        for symbol, position in book.portfolio.positions.items():
            assert position.quantity == sum(f.action.sign * f.shares for f in fills if f.symbol == symbol)
            assert position.quantity >= -played.room.market.shortable
        invested = sum(position.quantity * position.average_cost for position in book.portfolio.positions.values())
        realized = sum(fill.realized_pnl or 0.0 for fill in fills)
        assert book.portfolio.cash + invested == pytest.approx(100_000 + realized)


@BUSY
@given(prints, steps)
def test_the_same_stream_is_told_in_the_same_words(trades: Prints, stream: list[Step]) -> None:
    with run(trades, stream) as first, run(trades, stream) as second:
        assert first.told == second.told
        assert first.room.fills() == second.room.fills()


@BUSY
@given(prints, steps, st.integers(1, 13))
def test_a_gateway_that_dies_between_two_messages_goes_on_as_if_it_had_not(
    trades: Prints, stream: list[Step], restart_before: int
) -> None:
    with (
        run(trades, stream, share=None) as lived,
        run(trades, stream, share=None, restart_before=restart_before) as died,
    ):
        assert died.told == lived.told
        assert died.orders() == lived.orders()
        assert died.room.book.portfolio == lived.room.book.portfolio


resting = st.lists(
    st.one_of(
        st.integers(-80, -2).map(lambda cents: ("LMT", {"price": 50 + cents / 100})),
        st.integers(2, 80).map(lambda cents: ("STP", {"price": 50 + cents / 100})),
        st.integers(2, 80).map(lambda cents: ("STP LMT", {"price": 50.5, "stop": 50 + cents / 100})),
        st.integers(2, 80).map(lambda cents: ("TRAIL", {"amount": cents / 100})),
    ),
    min_size=2,
    max_size=6,
)


@BUSY
@given(prints, resting, st.integers(2, 3), st.integers(1, 400))
def test_a_group_of_equal_orders_never_fills_more_than_one_of_them(
    trades: Prints, wanted: list[tuple[str, dict[str, float]]], oca_type: int, quantity: int
) -> None:
    with run(trades, []) as played:
        for order_id, (kind, terms) in enumerate(wanted, start=1):
            played.room.place(order_id, "BUY", kind, **terms, quantity=quantity, oca="one", oca_type=oca_type)
        for clock in ("10:25", "10:40", "11:30"):
            played.room.move(clock)
        assert sum(fill.shares for fill in played.room.fills()) <= quantity
