"""Faults from a TOML file: what is read, and what is said of a file that makes no sense."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from quant_pipeline.automation.sessions import EXCHANGE_TIME
from quant_pipeline.errors import UsageError
from quant_pipeline.paper_gateway.faults.fault import CATALOGUE, Fault, FaultPlan, Moment, Subject, read_faults

NOW = dt.datetime(2018, 2, 20, 10, 15, tzinfo=EXCHANGE_TIME)


def read(tmp_path: Path, text: str) -> FaultPlan:
    path = tmp_path / "faults.toml"
    path.write_text(text)
    return read_faults(path)


def test_a_file_gives_its_faults_and_its_seed(tmp_path: Path) -> None:
    plan = read(
        tmp_path,
        """
        seed = 7
        [[fault]]
        what = "lose_ack"
        symbol = "A*"
        nth = 3
        [[fault]]
        what = "restart"
        after = "23:45"
        seconds = 90
        [[fault]]
        what = "halt"
        after = 2018-02-20T10:20:00
        """,
    )
    assert plan.seed == 7
    assert plan.faults[0] == Fault("lose_ack", symbol="A*", nth=3)
    assert plan.faults[1] == Fault("restart", after=dt.time(23, 45), seconds=90.0)
    assert plan.faults[2].after == dt.datetime(2018, 2, 20, 10, 20)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[fault]]\nwhat = "explode"', "Fault 1 .* There is no fault 'explode'; there are lose_request"),
        ("[[fault]]\nnth = 1", "Fault 1 .* does not say `what` happens"),
        ('[[fault]]\nwhat = "halt"\nsymbl = "A"', "unknown entry 'symbl'; there are what, message, symbol"),
        ('[[fault]]\nwhat = "halt"\nnth = "3"', "nth is '3'; it must be a whole number"),
        ('[[fault]]\nwhat = "halt"\nnth = 0', "nth counts from 1"),
        ('[[fault]]\nwhat = "halt"\nchance = 2', "chance lies above 0"),
        ('[[fault]]\nwhat = "halt"\nseconds = nan', "must be sensible amounts"),
        ('[[fault]]\nwhat = "halt"\nafter = "noon"', "after is 'noon'; write exchange time"),
        ('[[fault]]\nwhat = "restart"', "restart needs `after`"),
        ('[[fault]]\nwhat = "halt"\nmessage = "place_order"', "halt cannot strike the message"),
        ('[[fault]]\nwhat = "no_answer"\nmessage = "poem"', "cannot strike the message 'poem'"),
        ('[[fault]]\nwhat = "cancel_refused"\ncode = 1', "cannot tell 1; it tells 10147, 10148"),
        ("faults = 3", "hold faults; write `seed` and"),
        ('seed = "x"', "write `seed` and"),
        ("[[fault]", "are no TOML"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read(tmp_path, text)


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.toml cannot be read"):
        read_faults(tmp_path / "nowhere.toml")


def test_a_fault_concerns_what_its_selectors_say() -> None:
    fault = Fault("lose_ack", symbol="A*", order_ref="*:stop", client=3, after=dt.time(10, 0), until=dt.time(11, 0))
    assert fault.concerns(NOW, Subject(3, "AAPL", "s:AAPL:stop"))
    assert not fault.concerns(NOW, Subject(4, "AAPL", "s:AAPL:stop"))
    assert not fault.concerns(NOW, Subject(3, "MSFT", "s:MSFT:stop"))
    assert not fault.concerns(NOW, Subject(3, "AAPL", "s:AAPL:entry"))
    assert not fault.concerns(NOW.replace(hour=9), Subject(3, "AAPL", "s:AAPL:stop"))
    assert not fault.concerns(NOW.replace(hour=11), Subject(3, "AAPL", "s:AAPL:stop"))


def test_every_fault_of_the_catalogue_can_be_written_down(tmp_path: Path) -> None:
    tables = [
        f'[[fault]]\nwhat = "{what}"' + ('\nafter = "10:00"' if kind.moment is Moment.CLOCK else "")
        for what, kind in CATALOGUE.items()
    ]
    assert [fault.what for fault in read(tmp_path, "\n".join(tables)).faults] == list(CATALOGUE)
