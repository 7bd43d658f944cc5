"""A clock that stands still is moved by lines on standard input; all that follows is there when it answers."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ib_insync import LimitOrder, ScannerSubscription, Stock

from quant_pipeline.automation.sessions import EXCHANGE_TIME
from quant_pipeline.errors import SlotError, UsageError
from quant_pipeline.paper_gateway import embedded
from quant_pipeline.paper_gateway.gateway_note import GatewayNote
from quant_pipeline.paper_gateway.steps import read_step
from quant_pipeline_tests.paper_gateway.gateway_process import GatewayProcess, Trader, gateway_process
from quant_pipeline_tests.paper_gateway.scripted_market import at

NOW = at("10:15")


@pytest.mark.parametrize(
    ("line", "moved"),
    [
        ("+60", at("10:16")),
        ("+0.5", NOW + dt.timedelta(seconds=0.5)),
        ("+0", NOW),
        ("10:30", at("10:30")),
        ("10:30:05\r", at("10:30:05")),
        ("10:15", NOW),
        ("2018-02-20T10:30:00", at("10:30")),
        ("2018-02-21 09:30", at("09:30", dt.date(2018, 2, 21))),
        ("2018-02-20T10:30:00-05:00", at("10:30")),
        ("2018-02-20T15:30:00+00:00", at("10:30")),
    ],
)
def test_a_line_is_a_step(line: str, moved: dt.datetime) -> None:
    assert read_step(line, NOW) == moved
    assert read_step(line, NOW).tzinfo is EXCHANGE_TIME


@pytest.mark.parametrize(
    "line",
    ["", "60", "-60", "+-1", "+", "+x", "+nan", "+inf", "+1e300", "noon", "25:00", "2018-13-01T10:00", "10:30 please"],
)
def test_a_line_that_is_no_step_is_said_to_be_none(line: str) -> None:
    with pytest.raises(UsageError, match="does not move the clock"):
        read_step(line, NOW)


@pytest.mark.parametrize("line", ["10:14", "2018-02-20T10:14:59"])
def test_time_does_not_run_back(line: str) -> None:
    with pytest.raises(UsageError, match="does not run back"):
        read_step(line, NOW)


@pytest.mark.parametrize("line", ["1999-01-04T10:00", "2100-01-04T10:00", "+9999999999"])
def test_there_is_no_time_outside_the_calendar(line: str) -> None:
    with pytest.raises(SlotError, match="outside the exchange calendar"):
        read_step(line, NOW)


def test_a_step_over_the_night_clocks_change_is_as_long_as_it_says() -> None:
    before = at("12:00", dt.date(2018, 3, 10))
    assert read_step("+86400", before) == at("13:00", dt.date(2018, 3, 11))


@given(st.text(max_size=30))
def test_no_line_is_anything_but_a_step_or_a_sentence(line: str) -> None:
    with contextlib.suppress(UsageError, SlotError):
        assert read_step(line, NOW) >= NOW


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    with gateway_process(tmp_path / "home", "--at", "2018-02-20T10:15", "--seed", "3") as gateway:
        yield gateway


def test_what_was_sent_before_a_step_is_answered_before_it(gateway: GatewayProcess) -> None:
    trader = Trader(gateway.port)
    scan = ScannerSubscription(instrument="STK", locationCode="STK.US.MAJOR", scanCode="MOST_ACTIVE")
    trader.say.reqScannerSubscription(1, scan, [], [])
    symbol = next(message for message in trader.hear() if message[0] == "20")[6]
    for number in range(20):
        trader.say.placeOrder(
            trader.order_id(), Stock(symbol, "SMART", "USD"), LimitOrder("BUY", 1, 1.0 + number / 100)
        )
        trader.say.reqCurrentTime()
        assert gateway.step("+60") == f"2018-02-20T10:{16 + number}:00-05:00"
        answered = trader.receive_until(49)
        assert dt.datetime.fromtimestamp(int(answered[2]), EXCHANGE_TIME) == at(f"10:{15 + number}")
    trader.close()


def test_a_line_that_is_none_changes_nothing_and_the_end_of_the_input_ends_it(
    gateway: GatewayProcess, tmp_path: Path
) -> None:
    for line in ("nonsense", "10:00", "1999-01-04T10:00"):
        gateway.tell(line)
    assert gateway.step("10:30") == "2018-02-20T10:30:00-05:00"
    note = GatewayNote.read(tmp_path / "home")
    assert note is not None
    assert note.clock_started == "2018-02-20T10:30:00-05:00"
    assert gateway.end_input() == 0
    said = gateway.log.read_text().splitlines()
    assert len([line for line in said if "INFO" not in line]) == 3
    assert "standard input ended" in said[-1]
    assert embedded.running(tmp_path / "home") is None


def test_time_stands_still_between_steps(gateway: GatewayProcess) -> None:
    trader = Trader(gateway.port)
    times = set()
    for _ in range(3):
        trader.say.reqCurrentTime()
        times.add(trader.receive_until(49)[2])
    assert times == {str(int(NOW.timestamp()))}
    trader.close()
