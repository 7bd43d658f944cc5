"""The order journal: written before it is sent, never twice, and only the broker ends what is unknown."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import multiprocessing
import os
import shutil
import sqlite3
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_pipeline.errors import HistoryError
from quant_pipeline.history.journal_tables import BROKER_STATES, NEXT_BY_BROKER, NEXT_BY_US, STATES
from quant_pipeline.history.order_journal import Intent, JournaledOrder, OrderJournal

SLOT = "2026-11-20T10:15"
AT = dt.datetime(2026, 11, 20, 15, 16, 1, 5, tzinfo=dt.UTC)


def intent(symbol: str = "AAPL", leg: str = "entry", quantity: float = 90.0) -> Intent:
    parent = None if leg == "entry" else f"{SLOT}:{symbol}:entry"
    return Intent(
        f"{SLOT}:{symbol}:{leg}", "DU1", SLOT, symbol, leg, "BUY", "LMT", quantity, 150.25, "DAY", parent, 17
    )  # fmt: skip


REF = intent().order_ref


@pytest.fixture
def journal(tmp_path: Path) -> OrderJournal:
    return OrderJournal(tmp_path, wait_seconds=5)


def fill(exec_id: str, quantity: float, price: float = 150.0, *, ref: str | None = REF, commission: float | None = 1.0
         ) -> dict[str, object]:  # fmt: skip
    return {"exec_id": exec_id, "order_ref": ref, "perm_id": 77, "symbol": "AAPL", "side": "BUY", "quantity": quantity,
            "price": price, "commission": commission, "filled_at": AT}  # fmt: skip


def fills(*rows: dict[str, object]) -> pd.DataFrame:
    return pd.DataFrame(rows)


def recorded(journal: OrderJournal, *rows: dict[str, object], account: str = "DU1") -> set[str]:
    """Record fills and return those that were new."""
    return journal.record_fills(fills(*rows), account=account)


def state_of(journal: OrderJournal, order_ref: str = REF) -> JournaledOrder:
    order = journal.find(order_ref)
    assert order is not None
    return order


def race(home: Path, start: float, winners: multiprocessing.Queue[list[str]]) -> None:
    while dt.datetime.now(dt.UTC).timestamp() < start:
        pass
    journal = OrderJournal(home)
    won: list[str] = []
    for first in range(0, 1000, 50):
        won += journal.plan([intent(f"S{index}") for index in range(first, first + 50)])
    winners.put(won)


def claim(home: Path, winners: multiprocessing.Queue[int]) -> None:
    journal, won = OrderJournal(home), 0
    for index in range(200):
        try:
            journal.mark_sending(intent(f"S{index}").order_ref, 17, index)
            won += 1
        except HistoryError:
            continue
    winners.put(won)


def test_an_intent_is_written_once_and_kept_as_it_was(journal: OrderJournal) -> None:
    assert journal.plan([intent(), intent(leg="stop")], at=AT) == {REF, f"{SLOT}:AAPL:stop"}
    assert journal.plan([intent(quantity=1.0), intent(leg="target")]) == {f"{SLOT}:AAPL:target"}
    order = state_of(journal)
    assert (order.quantity, order.state, order.created_at, order.materialization_id) == (90.0, "planned", AT, 17)
    assert [order.leg for order in journal.for_slot(SLOT)] == ["entry", "stop", "target"]
    assert journal.find("nobody's") is None


def test_planning_is_whole_or_not_at_all(journal: OrderJournal) -> None:
    broken = dataclasses.replace(intent("MSFT"), quantity=None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(sqlite3.IntegrityError):
        journal.plan([intent(), broken])
    assert journal.find(REF) is None


def test_four_processes_that_plan_the_same_thousand_get_a_thousand_winners(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    winners = context.Queue()
    start = dt.datetime.now(dt.UTC).timestamp() + 1.0
    racers = [context.Process(target=race, args=(tmp_path, start, winners)) for _ in range(4)]
    for racer in racers:
        racer.start()
    won = [winners.get(timeout=90) for _ in racers]
    for racer in racers:
        racer.join(30)
    assert sorted(itertools.chain.from_iterable(won)) == sorted(intent(f"S{index}").order_ref for index in range(1000))
    assert len(OrderJournal(tmp_path).for_slot(SLOT)) == 1000


def test_of_two_processes_that_want_to_send_an_order_one_may(tmp_path: Path) -> None:
    OrderJournal(tmp_path).plan([intent(f"S{index}") for index in range(200)])
    context = multiprocessing.get_context("forkserver")
    winners = context.Queue()
    senders = [context.Process(target=claim, args=(tmp_path, winners)) for _ in range(2)]
    for sender in senders:
        sender.start()
    assert sum(winners.get(timeout=60) for _ in senders) == 200
    for sender in senders:
        sender.join(30)


def test_an_order_goes_from_plan_to_fill(journal: OrderJournal) -> None:
    journal.plan([intent()])
    sending = journal.mark_sending(REF, 18, 5)
    assert (sending.state, sending.client_id, sending.order_id) == ("sending", 18, 5)
    journal.record_event(REF, "status", state="working", status="Submitted", perm_id=77, at=AT)
    partly = journal.record_event(
        REF, "status", state="partly_filled", filled=40.0, remaining=50.0, average_price=150.1
    )
    assert (partly.state, partly.perm_id, partly.filled_quantity, partly.average_fill_price) == (
        "partly_filled", 77, 40.0, 150.1,
    )  # fmt: skip
    filled = journal.record_event(REF, "status", state="filled", filled=90.0, remaining=0.0, average_price=150.2)
    assert (filled.state, filled.filled_quantity, filled.average_fill_price) == ("filled", 90.0, 150.2)
    assert journal.events_of(REF)["kind"].tolist() == ["planned", "sending", "status", "status", "status"]
    assert journal.events_of(REF)["at"].iloc[2] == AT.isoformat(timespec="microseconds")


def test_an_order_that_is_not_planned_cannot_be_claimed_for_sending(journal: OrderJournal) -> None:
    with pytest.raises(HistoryError, match="not in the journal"):
        journal.mark_sending(REF, 18, 5)
    journal.plan([intent()])
    journal.mark_sending(REF, 18, 5)
    with pytest.raises(HistoryError, match="is sending in the journal and cannot become sending"):
        journal.mark_sending(REF, 18, 6)
    assert state_of(journal).order_id == 5


def test_unknown_ends_by_the_brokers_word_only(journal: OrderJournal) -> None:
    journal.plan([intent()])
    journal.mark_sending(REF, 18, 5)
    assert journal.mark_unknown(REF, "no answer within 10 s").reason == "no answer within 10 s"
    for ours in (lambda: journal.refuse(REF, "too late"), lambda: journal.mark_sending(REF, 18, 6)):
        with pytest.raises(HistoryError, match="reconcile with the broker"):
            ours()
    assert journal.record_event(REF, "reconciled", state="working", perm_id=77).state == "working"


def test_what_the_broker_does_not_have_can_be_sent_again(journal: OrderJournal) -> None:
    journal.plan([intent()])
    journal.mark_sending(REF, 18, 5)
    journal.mark_unknown(REF, "connection lost")
    assert journal.mark_absent(REF).state == "planned"
    assert journal.mark_sending(REF, 18, 9).order_id == 9


def test_a_refusal_says_why_and_is_not_open(journal: OrderJournal) -> None:
    journal.plan([intent(), intent("MSFT")])
    assert journal.refuse(REF, "the quote is stale").reason == "the quote is stale"
    assert [order.symbol for order in journal.open_intents("DU1")] == ["MSFT"]
    assert journal.open_intents("U9") == []


def test_an_error_taken_for_a_rejection_is_put_right(journal: OrderJournal) -> None:
    journal.plan([intent()])
    journal.mark_sending(REF, 18, 5)
    rejected = journal.record_event(REF, "error", state="rejected", code=201, text="margin")
    assert (rejected.state, rejected.reason) == ("rejected", "margin")
    back = journal.record_event(REF, "status", state="working", status="Submitted")
    assert (back.state, back.reason) == ("working", None)


WORDS = (
    ("working", None), ("working", None), ("partly_filled", 30.0), ("partly_filled", 60.0), ("filled", 90.0),
    ("filled", 90.0),
)  # fmt: skip


@given(order=st.permutations(WORDS))
def test_words_that_come_late_or_twice_end_in_the_same_order(
    order: list[tuple[str, float | None]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    journal = OrderJournal(tmp_path_factory.mktemp("home"))
    journal.plan([intent()])
    journal.mark_sending(REF, 18, 5)
    for state, filled in order:
        journal.record_event(REF, "status", state=state, filled=filled, average_price=None if filled is None else 150.0)
    last = state_of(journal)
    assert (last.state, last.filled_quantity, last.average_fill_price) == ("filled", 90.0, 150.0)
    assert len(journal.events_of(REF)) == 2 + len(WORDS)
    journal.close()


def test_a_state_the_broker_cannot_mean_is_a_bug(journal: OrderJournal) -> None:
    journal.plan([intent()])
    with pytest.raises(ValueError, match="planned"):
        journal.record_event(REF, "status", state="planned")
    assert len(journal.events_of(REF)) == 1


def test_the_tables_of_states_know_every_state_and_nothing_follows_a_fill() -> None:
    assert set(NEXT_BY_US) == set(NEXT_BY_BROKER) == set(STATES)
    assert NEXT_BY_US["filled"] == NEXT_BY_BROKER["filled"] == ()
    assert all(set(states) <= set(BROKER_STATES) for states in NEXT_BY_BROKER.values())
    assert NEXT_BY_US["unknown"] == ("planned",)


def test_each_execution_counts_once_and_makes_the_orders_figures(journal: OrderJournal) -> None:
    journal.plan([intent()])
    journal.mark_sending(REF, 18, 5)
    assert recorded(journal, fill("e.1.01", 30, 150.0, commission=None)) == {"e.1.01"}
    assert state_of(journal).state == "partly_filled"
    assert recorded(journal, fill("e.1.01", 30, 150.0), fill("e.2.01", 60, 153.0)) == {"e.2.01"}
    order = state_of(journal)
    assert (order.state, order.filled_quantity, order.average_fill_price) == ("filled", 90.0, 152.0)
    assert recorded(journal, fill("e.1.01", 30, 150.0), fill("e.2.01", 60, 153.0)) == set()
    assert journal.events_of(REF)["kind"].tolist() == ["planned", "sending", "fill", "commission", "fill"]


def test_a_correction_replaces_the_execution_it_corrects(journal: OrderJournal) -> None:
    journal.plan([intent()])
    journal.mark_sending(REF, 18, 5)
    recorded(journal, fill("e.1.01", 90, 150.0), fill("e.1.02", 90, 149.0))
    recorded(journal, fill("e.1.01", 90, 150.0))
    assert state_of(journal).average_fill_price == 149.0
    assert {row[0]: row[-2] for row in journal.changes_since(0).fills} == {"e.1.01": "e.1.02", "e.1.02": None}


def test_fills_of_others_are_kept_without_an_order(journal: OrderJournal) -> None:
    others = (fill("m.1.01", 5, ref=None), fill("m.2.01", 5, ref="manual"))
    assert recorded(journal, *others, account="DU2") == {"m.1.01", "m.2.01"}
    assert {row[0]: row[-1] for row in journal.changes_since(0).fills} == {"m.1.01": "DU2", "m.2.01": "DU2"}


def test_a_journal_that_is_gone_is_not_replaced(journal: OrderJournal, tmp_path: Path) -> None:
    journal.plan([intent()])
    backup = shutil.copy(tmp_path / "orders.sqlite", tmp_path / "backup")
    for name in ("orders.sqlite", "orders.sqlite-wal", "orders.sqlite-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    for opened in (journal, OrderJournal(tmp_path)):
        with pytest.raises(HistoryError, match="is gone; restore a backup"):
            opened.plan([intent("MSFT")])
    assert not (tmp_path / "orders.sqlite").exists()
    shutil.move(backup, tmp_path / "orders.sqlite")
    assert OrderJournal(tmp_path).plan([intent("MSFT")]) == {intent("MSFT").order_ref}


@pytest.mark.parametrize("cut", [False, True])
def test_a_damaged_journal_is_said_to_be_so_and_kept(tmp_path: Path, cut: bool) -> None:
    journal = OrderJournal(tmp_path)
    journal.plan([intent(f"S{index}") for index in range(200)])
    journal.close()
    path = tmp_path / "orders.sqlite"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] if cut else b"not a journal" * 1000)
    damaged = path.read_bytes()
    with pytest.raises(HistoryError, match=r"is damaged .* restore a backup"):
        OrderJournal(tmp_path).open_intents("DU1")
    assert path.read_bytes() == damaged


def test_a_journal_of_a_newer_version_is_refused(journal: OrderJournal, tmp_path: Path) -> None:
    journal.plan([intent()])
    journal.close()
    with sqlite3.connect(tmp_path / "orders.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(HistoryError, match="layout version 99"):
        OrderJournal(tmp_path).plan([intent("MSFT")])


def test_somebody_elses_database_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "orders.sqlite") as connection:
        connection.execute("CREATE TABLE diary (day TEXT)")
    connection.close()
    with pytest.raises(HistoryError, match="is not an order journal"):
        OrderJournal(tmp_path).plan([intent()])


def test_a_writer_that_holds_the_journal_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    OrderJournal(tmp_path).plan([intent()])
    holder = sqlite3.connect(tmp_path / "orders.sqlite", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    hasty = OrderJournal(tmp_path, wait_seconds=0.1)
    with pytest.raises(HistoryError, match="locked"):
        hasty.plan([intent("MSFT")])
    assert hasty.find(REF) is not None
    holder.execute("ROLLBACK")
    holder.close()
    assert hasty.plan([intent("MSFT")])


def test_every_write_is_on_the_disk_before_the_call_returns(journal: OrderJournal, tmp_path: Path) -> None:
    journal.plan([intent()])
    child = os.fork()
    if child == 0:
        OrderJournal(tmp_path).mark_sending(REF, 18, 5)
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert state_of(OrderJournal(tmp_path)).state == "sending"
    with journal._read() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
