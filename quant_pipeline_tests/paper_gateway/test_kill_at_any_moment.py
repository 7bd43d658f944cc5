"""Whenever the gateway is killed, what it had told is in the book: every acknowledged order, every execution, once.

A client trades as fast as it can while the process is killed with SIGKILL at moments drawn from a seed.
``GATEWAY_KILLS`` sets how many times, 25 by default; ``GATEWAY_KILLS_SEED`` draws other moments.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import random
import select
import shlex
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ib_insync import ExecutionFilter, LimitOrder, MarketOrder, Stock, StopOrder

from quant_pipeline.automation.sessions import sessions_between
from quant_pipeline.paper_gateway.exchange.book import Book
from quant_pipeline.paper_gateway.exchange.orders import Status
from quant_pipeline.paper_gateway.markets.replayed_market import ReplayedMarket
from quant_pipeline.paper_gateway.options import account_of, book_path
from quant_pipeline_tests.paper_gateway.gateway_process import Trader
from quant_pipeline_tests.paper_gateway.scripted_market import TUESDAY, at

KILLS = int(os.environ.get("GATEWAY_KILLS", "25"))
SEED = int(os.environ.get("GATEWAY_KILLS_SEED", "7"))
MOST_HEARD = 120
"""Messages the client takes in at most before the gateway is killed; drawn, as is how long it is left alive then."""

LAST_MOMENTS = 0.005
PATIENCE = 20.0

SYMBOLS = ("AAA", "BBB")
PRICE = 50.0
DEAD = (ConnectionError, OSError)


@dataclass
class Told:
    """What the client heard over all lives."""

    statuses: dict[int, tuple[str, int]] = field(default_factory=dict)
    """The last status and filled shares of each order, by permanent id."""

    executions: dict[str, tuple[int, float, int]] = field(default_factory=dict)
    """Shares, price and permanent id, by execution id."""

    cancelled: set[int] = field(default_factory=set)

    def take(self, message: list[str]) -> None:
        match message[0]:
            case "3":
                perm_id = int(message[6])
                self.statuses[perm_id] = (message[2], int(float(message[3])))
                if message[2] == "Cancelled":
                    self.cancelled.add(perm_id)
            case "11":
                self.executions[message[14]] = (int(float(message[19])), float(message[20]), int(message[21]))


class Lives:
    """Gateways that follow one another on one book."""

    def __init__(self, home: Path, bars: Path) -> None:
        options = ["--home", home, "--bars", bars, "--at", "2018-02-20T10:15", "--speed", "60", "--cash", "50000000"]
        lifted = ["messages_per_second=off", "orders_per_contract_and_side=off", "open_history_requests=off"]
        self._line = shlex.join([*map(str, options), *(part for limit in lifted for part in ("--limit", limit))])
        self.log = home.parent / "said.log"
        with self.log.open("w") as said:
            self._forks = subprocess.Popen(
                [sys.executable, "-m", "quant_pipeline_tests.paper_gateway.forked_gateways"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )
        self.pid = 0

    def begin(self) -> Trader:
        """Start a gateway; return a client that is introduced."""
        assert self._forks.stdin is not None
        assert self._forks.stdout is not None
        self._forks.stdin.write(f"{self._line}\n")
        self._forks.stdin.flush()
        self.pid = int(self._forks.stdout.readline())
        said = self._forks.stdout.readline()
        assert said.startswith("listening"), self.log.read_text()
        return Trader(int(said.rpartition(":")[2]))

    def kill(self) -> None:
        """Kill the gateway."""
        os.kill(self.pid, signal.SIGKILL)

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self.pid:
                os.kill(self.pid, signal.SIGKILL)
        for pipe in (self._forks.stdin, self._forks.stdout):
            if pipe is not None:
                pipe.close()
        self._forks.wait(10)


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    bar = {"open": PRICE, "high": PRICE * 1.04, "low": PRICE * 0.96, "close": PRICE * 1.01, "volume": 4_000_000}
    days = sessions_between(dt.date(2018, 1, 2), TUESDAY)
    path = tmp_path / "days.parquet"
    pd.DataFrame([{"symbol": symbol, "date": day, **bar} for symbol in SYMBOLS for day in days]).to_parquet(path)
    return path


@pytest.fixture
def lives(tmp_path: Path, bars: Path) -> Iterator[Lives]:
    lives = Lives(tmp_path / "home", bars)
    try:
        yield lives
    finally:
        lives.end()


def trade(trader: Trader, chance: random.Random, placed: list[int]) -> None:
    """One thing a trader does."""
    contract = Stock(chance.choice(SYMBOLS), "SMART", "USD")
    action = chance.choice(("BUY", "SELL"))
    size = chance.choice((1, 100, 700, 5_000))
    price = round(PRICE * chance.uniform(0.97, 1.03), 2)
    match chance.randrange(6):
        case 0:
            orders: list[Any] = [MarketOrder(action, size)]
        case 1 if placed:
            trader.say.cancelOrder(placed.pop(chance.randrange(len(placed))))
            return
        case 2:
            sign = 1 if action == "BUY" else -1
            back = "SELL" if action == "BUY" else "BUY"
            orders = [
                LimitOrder(action, size, price, transmit=False),
                LimitOrder(back, size, round(price + sign * 0.2, 2), tif="GTC", transmit=False),
                StopOrder(back, size, round(price - sign * 0.2, 2), tif="GTC"),
            ]
        case _:
            orders = [LimitOrder(action, size, price, tif="GTC")]
    parent = 0
    for order in orders:
        order_id = trader.order_id()
        order.parentId = parent
        parent = parent or order_id
        placed.append(order_id)
        trader.say.placeOrder(order_id, contract, order)


def live(lives: Lives, chance: random.Random, told: Told) -> None:
    """Trade until the gateway is killed, and take in all that it said before."""
    trader = lives.begin()
    placed: list[int] = []
    left = chance.randrange(MOST_HEARD)
    gives_up = time.monotonic() + PATIENCE
    try:
        while left > 0:
            assert time.monotonic() < gives_up, "the gateway says nothing"
            for _ in range(chance.randrange(1, 4)):
                trade(trader, chance, placed)
            while left > 0 and select.select([trader.socket], [], [], 0.002)[0]:
                message = trader.receive()
                assert message is not None
                told.take(message)
                left -= 1
        trade(trader, chance, placed)
        time.sleep(chance.uniform(0, LAST_MOMENTS))
        lives.kill()
        with contextlib.suppress(*DEAD):
            while (message := trader.receive()) is not None:
                told.take(message)
    finally:
        trader.close()


@contextlib.contextmanager
def opened(home: Path, bars: Path) -> Iterator[Book]:
    """The book, as the next gateway finds it."""
    identity = ReplayedMarket(bars).identity
    path = book_path(home, account_of(identity))
    with contextlib.closing(_free(path, identity)) as book:
        yield book


def _free(path: Path, identity: str) -> Book:
    """The book of a process that may not be wholly gone yet."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return Book(path, identity=identity, cash=1.0)
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def check(book: Book, told: Told) -> None:
    """What was told is in the book, nothing is there twice, and all of it adds up."""
    executions = book.executions_since(at("00:00"))
    by_id = {each.exec_id: (each.shares, each.price, each.perm_id) for each in executions}
    assert len(by_id) == len(executions)
    assert told.executions.items() <= by_id.items()

    filled: dict[int, int] = defaultdict(int)
    folded: dict[str, int] = defaultdict(int)
    for each in executions:
        filled[each.perm_id] += each.shares
        folded[each.symbol] += each.action.sign * each.shares
    for perm_id, (status, shares) in told.statuses.items():
        order = book.order(perm_id)
        assert order.filled == filled[perm_id] >= shares
        if status == "Filled":
            assert order.status is Status.FILLED
    for perm_id in told.cancelled:
        assert book.order(perm_id).status is Status.CANCELLED
    positions = {symbol: position.quantity for symbol, position in book.portfolio.held.items()}
    assert positions == {symbol: quantity for symbol, quantity in folded.items() if quantity}


@pytest.mark.timeout(100 + 4 * KILLS)
def test_nothing_that_was_told_is_lost_and_nothing_happens_twice(tmp_path: Path, bars: Path, lives: Lives) -> None:
    chance, told = random.Random(SEED), Told()
    for _ in range(KILLS):
        live(lives, chance, told)
        with opened(tmp_path / "home", bars) as book:
            check(book, told)
    assert len(told.statuses) > 2 * KILLS
    assert len(told.executions) > KILLS
    assert told.cancelled

    trader = lives.begin()
    trader.say.reqGlobalCancel()
    trader.hear()
    trader.say.reqExecutions(1, ExecutionFilter())
    trader.say.reqPositions()
    messages = trader.hear()
    trader.close()
    executions = [message for message in messages if message[0] == "11"]
    listed = [message[14] for message in executions]
    assert len(listed) == len(set(listed))
    assert told.executions.keys() <= set(listed)
    folded: dict[str, float] = defaultdict(float)
    for message in executions:
        folded[message[4]] += float(message[19]) * (1 if message[18] == "BOT" else -1)
    positions = {message[4]: float(message[14]) for message in messages if message[0] == "61"}
    assert positions == {symbol: shares for symbol, shares in folded.items() if shares}
