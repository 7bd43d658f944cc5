"""The gateway as a process: found or started once, replaced when it must be, and its book intact after any death."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from ib_insync import IB, LimitOrder, Trade

from quant_pipeline.automation.sessions import sessions_between
from quant_pipeline.errors import UsageError
from quant_pipeline.paper_gateway import embedded
from quant_pipeline.paper_gateway.__main__ import read_options
from quant_pipeline.paper_gateway.embedded import RunningGateway, ensure_running, running, stop
from quant_pipeline.settings import Settings, load_settings
from quant_pipeline_tests.paper_gateway.gateway_room import connected, stock, until
from quant_pipeline_tests.paper_gateway.scripted_market import at

FRIDAY = dt.date(2026, 11, 20)


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    settings = load_settings(home=tmp_path / "home", gateway={"start_seconds": 60.0, "idle_minutes": 5.0})
    yield settings
    stop(settings.home)


def daily_bars(path: Path, price: float = 50.0) -> Path:
    """A file of daily bars for two symbols."""
    bar = {"open": price, "high": price + 1, "low": price - 1, "close": price, "volume": 9_000}
    days = sessions_between(dt.date(2018, 1, 2), dt.date(2018, 3, 2))
    rows = [{"symbol": symbol, "date": day, **bar} for symbol in ("AAA", "BBB") for day in days]
    pd.DataFrame(rows).to_parquet(path)
    return path


def bought(ib: IB) -> list[Trade]:
    """A bracket whose entry has filled, on the most active stock there is."""
    contract = stock("AAA")
    (quote,) = ib.reqTickers(contract)
    orders = ib.bracketOrder("BUY", 10, quote.ask, round(quote.ask * 1.5, 2), round(quote.ask * 0.5, 2), tif="GTC")
    for order, leg in zip(orders, ("entry", "target", "stop"), strict=True):
        order.orderRef = f"s:{leg}"
    trades = [ib.placeOrder(contract, order) for order in orders]
    until(ib, lambda: trades[0].orderStatus.status == "Filled" and trades[1].orderStatus.status == "Submitted")
    return trades


def until_dead(pid: int) -> None:
    """Wait for a killed process; its sockets may close before it is gone."""
    deadline = time.monotonic() + 10
    while is_alive(pid):
        assert time.monotonic() < deadline, "it did not die"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    return embedded._is_alive(pid)


def acknowledged(trades: list[Trade]) -> set[int]:
    """Permanent ids of the orders the gateway has said anything about."""
    return {trade.orderStatus.permId for trade in trades if trade.orderStatus.permId}


def until_closed(ib: IB) -> None:
    """Let the client notice that the gateway is gone; its library says so by an exception."""
    with contextlib.suppress(ConnectionError):
        until(ib, lambda: not ib.isConnected())


def test_kill_9_loses_nothing_and_a_book_goes_on_under_a_later_clock(settings: Settings, tmp_path: Path) -> None:
    bars = daily_bars(tmp_path / "daily.parquet")
    first = ensure_running(settings, at=at("10:15"), bars=bars)
    with connected(first.port) as ib:
        trades = bought(ib)
        perm_ids = {trade.order.orderRef: trade.orderStatus.permId for trade in trades}
        execution = ib.fills()[0].execution
        burst = [
            ib.placeOrder(stock(symbol), LimitOrder(side, 1, price, tif="GTC", orderRef="burst"))
            for _ in range(18)
            for symbol in ("AAA", "BBB")
            for side, price in (("BUY", 1.0), ("SELL", 1_000.0))
        ]
        until(ib, lambda: len(acknowledged(burst)) >= 20)
        os.kill(first.pid, signal.SIGKILL)
        until_closed(ib)
    until_dead(first.pid)
    assert running(settings.home) is None

    second = ensure_running(settings, at=at("11:30"), bars=bars)
    assert (second.account, second.market_identity) == (first.account, first.market_identity)
    with connected(second.port) as ib:
        live = ib.openTrades()
        assert acknowledged(burst) <= {trade.order.permId for trade in live if trade.order.orderRef == "burst"}
        assert {trade.order.orderRef: trade.order.permId for trade in live if trade.order.orderRef != "burst"} == {
            ref: perm_ids[ref] for ref in ("s:target", "s:stop")
        }
        (fill,) = ib.fills()
        assert (fill.execution.execId, fill.execution.permId) == (execution.execId, execution.permId)
        assert (ib.positions()[0].position, ib.positions()[0].contract.symbol) == (10, "AAA")
        assert [each.order.orderRef for each in ib.reqCompletedOrders(False)] == ["s:entry"]
        assert ib.client.getReqId() > max(trade.order.orderId for trade in trades)
        assert at("11:30") <= ib.reqCurrentTime() < at("11:40")


def test_callers_at_once_start_one_gateway_and_later_ones_find_it(settings: Settings) -> None:
    found: list[RunningGateway] = []
    callers = [threading.Thread(target=lambda: found.append(ensure_running(settings))) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(90)
    assert len(found) == 4
    assert len(set(found)) == 1
    assert running(settings.home) == found[0] == ensure_running(settings)
    note = json.loads((settings.home / "gateway.json").read_text())
    assert (note["pid"], note["port"], note["account"]) == (found[0].pid, found[0].port, found[0].account)
    assert found[0].account.startswith("DU")

    assert stop(settings.home)
    assert not is_alive(found[0].pid)
    assert not (settings.home / "gateway.json").exists()
    assert running(settings.home) is None
    assert not stop(settings.home)


def test_a_later_time_or_other_bars_replace_it_and_an_earlier_time_does_not(settings: Settings, tmp_path: Path) -> None:
    bars = daily_bars(tmp_path / "daily.parquet")
    first = ensure_running(settings, at=at("10:15"), bars=bars)
    assert ensure_running(settings, at=at("10:00"), bars=bars) == first
    assert ensure_running(settings, bars=bars) == ensure_running(settings) == first

    later = ensure_running(settings, at=at("11:30"))
    assert not is_alive(first.pid)
    assert (later.account, later.market_identity) == (first.account, first.market_identity)

    other = ensure_running(settings, bars=daily_bars(tmp_path / "other.parquet", price=70.0))
    assert not is_alive(later.pid)
    assert other.market_identity != first.market_identity
    books = sorted(path.parent.name for path in (settings.home / "gateway").glob("*/book.sqlite"))
    assert books == sorted({first.account, other.account})


def test_bars_that_cannot_be_played_are_said_in_one_sentence(settings: Settings, tmp_path: Path) -> None:
    bars = tmp_path / "daily.parquet"
    pd.read_parquet(daily_bars(bars)).drop(columns="close").to_parquet(bars)
    with pytest.raises(UsageError, match="close") as raised:
        ensure_running(settings, bars=bars)
    assert raised.value.exit_status == 2
    assert "\n" not in str(raised.value)
    assert running(settings.home) is None


# ---- the command ----------------------------------------------------------------------------------------------------


def command(home: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "quant_pipeline.paper_gateway", "--home", str(home), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_command_says_where_it_listens_and_gives_its_port_to_no_other(tmp_path: Path) -> None:
    process = command(tmp_path / "first", "--at", "2026-11-20T10:15", "--seed", "3")
    assert process.stdout is not None
    address, _, port = process.stdout.readline().rstrip("\n").rpartition(":")
    assert address == "listening on 127.0.0.1"
    with connected(int(port)) as ib:
        assert ib.reqCurrentTime() >= at("10:15", FRIDAY)
        second = command(tmp_path / "second", "--port", port)
        out, said = second.communicate(timeout=60)
        assert (second.returncode, out) == (2, "")
        assert said == f"Port {port} on 127.0.0.1 is in use; choose another with --port, or 0 for a free one.\n"
        process.send_signal(signal.SIGINT)
        until_closed(ib)
    rest, said = process.communicate(timeout=30)
    assert (process.returncode, rest) == (0, "")
    assert "told to end" in said
    assert not (tmp_path / "first" / "gateway.json").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--at", "yesterday"], "is not a time"),
        (["--port", "70000"], "70000 is not in the range"),
        (["--cash", "-5"], "positive amount"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: list[str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        read_options(options)


def test_an_idle_gateway_ends_by_itself(tmp_path: Path) -> None:
    process = command(tmp_path, "--idle-minutes", "0.01")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "nobody was connected" in said


def test_a_note_of_a_dead_gateway_is_not_believed(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(30)
    values = {
        "pid": process.pid,
        "port": 1,
        "account": "DU1",
        "market_name": "m",
        "market_identity": "m",
        "options": {},
        "fingerprint": [],
        "started": "2026-01-01T00:00:00+00:00",
        "clock_started": "2026-01-01T00:00:00+00:00",
        "speed": 1.0,
    }
    (tmp_path / "gateway.json").write_text(json.dumps(values))
    assert running(tmp_path) is None
    (tmp_path / "gateway.json").write_text("half a no")
    assert running(tmp_path) is None
