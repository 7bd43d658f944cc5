"""Orders go out once and only once, whatever happens between the decision and the broker's last word."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from quant_pipeline.assets import act
from quant_pipeline.broker.brackets import BracketOrder
from quant_pipeline.broker.session import BrokerSession
from quant_pipeline.errors import BrokerError
from quant_pipeline.history.order_journal import JournaledOrder, OrderJournal
from quant_pipeline.history.store import History
from quant_pipeline.settings import Settings
from quant_pipeline_tests.assets.decided_slot import (
    AWAY,
    PATIENT,
    Stocks,
    append,
    execute,
    journaled,
    materialise,
    orders_with,
    outcomes,
    record,
    refs_of,
    send_lone_entry,
    sized_orders,
)
from quant_pipeline_tests.assets.separate_runs import run_together, run_until_killed
from quant_pipeline_tests.broker.conftest import Gateway, running_gateway
from quant_pipeline_tests.broker.scripted_broker import (
    scripted_broker,
)
from quant_pipeline_tests.broker.trading_floor import SLOT, Market


def assert_each_is_once_at_the_broker(settings: Settings, brackets: list[BracketOrder]) -> None:
    refs = refs_of(brackets)
    assert sorted(order.order_ref for order in orders_with(settings, refs)) == sorted(refs)
    perm_ids = {order.order_ref: order.perm_id for order in orders_with(settings, refs)}
    assert {ref: order.perm_id for ref, order in journaled(settings).items()} == perm_ids


def test_a_bracket_is_sent_once_when_the_asset_is_run_twice(settings: Settings, market: Market, fresh: Stocks) -> None:
    brackets = fresh(3)
    decided = record(settings, market, brackets)
    first, second = execute(settings), execute(settings)
    assert list(first) == list(second) == refs_of(brackets)
    assert set(outcomes(first)) == {"sent"}
    assert set(outcomes(second)) == {"already_working"}
    assert_each_is_once_at_the_broker(settings, brackets)
    assert {order.materialization_id for order in journaled(settings).values()} == {decided.id}
    assert {(row["status"], row["reason"]) for row in second.values()} == {("working", None)}
    assert {ref: row["perm_id"] for ref, row in first.items()} == {ref: row["perm_id"] for ref, row in second.items()}


def test_nothing_approved_sends_nothing_and_needs_no_broker(tmp_path: Path, market: Market) -> None:
    with scripted_broker({}) as nobody:
        settings = nobody.settings().model_copy(update={"home": tmp_path})
        record(settings, market, [market.bracket(0)])
        refused = sized_orders([market.bracket(0)]).assign(approved=False, quantity=0, reason="a limit")
        append(settings, "sized_orders", refused)
        assert execute(settings) == {}
        assert nobody.received == []


def test_a_slot_that_sends_nothing_still_settles_what_was_cut_short_before(
    settings: Settings, market: Market, fresh: Stocks
) -> None:
    brackets = fresh(2)
    record(settings, market, brackets)
    execute(settings)
    taken, lost = (bracket.legs()[0].order_ref for bracket in brackets)
    with sqlite3.connect(settings.home / "orders.sqlite") as journal:
        journal.execute("UPDATE intents SET state = 'sending', perm_id = NULL WHERE order_ref = ?", (taken,))
        journal.execute(
            "UPDATE intents SET state = 'unknown', perm_id = NULL, order_ref = 'elsewhere' WHERE order_ref = ?", (lost,)
        )
    append(settings, "sized_orders", sized_orders(brackets).assign(approved=False, quantity=0, reason="a limit"))
    assert execute(settings) == {}
    settled = journaled(settings)
    assert settled[taken].state in ("working", "filled")
    assert settled[taken].perm_id
    assert settled["elsewhere"].state == "planned"


def test_two_processes_with_one_client_id_send_each_order_once(
    settings: Settings, market: Market, fresh: Stocks
) -> None:
    brackets = fresh(2)
    record(settings, market, brackets)
    answers = run_together([settings, settings])
    ran = [answer for answer in answers if isinstance(answer, dict)]
    for failed in (answer for answer in answers if isinstance(answer, str)):
        assert "is already connected" in failed
    for ref in refs_of(brackets):
        assert sorted(answer[ref] for answer in ran)[-1:] == ["sent"]
        assert [answer[ref] for answer in ran].count("sent") == 1
    assert_each_is_once_at_the_broker(settings, brackets)


def test_two_processes_with_client_ids_of_their_own_take_turns(
    settings: Settings, market: Market, fresh: Stocks
) -> None:
    brackets = fresh(2)
    record(settings, market, brackets)
    answers = run_together([settings, settings.model_copy(update={"ib_client_id": 40})])
    told = [set(answer.values()) if isinstance(answer, dict) else answer for answer in answers]
    assert sorted(told, key=str) == [{"already_working"}, {"sent"}]
    assert_each_is_once_at_the_broker(settings, brackets)


def test_an_order_about_to_be_sent_is_not_taken_for_one_that_never_was(
    settings: Settings, market: Market, fresh: Stocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    brackets = fresh(1)
    record(settings, market, brackets)
    claimed, other_done = threading.Event(), threading.Event()
    claim = OrderJournal.mark_sending

    def claim_and_dawdle(journal: OrderJournal, order_ref: str, client_id: int, order_id: int) -> JournaledOrder:
        order = claim(journal, order_ref, client_id, order_id)
        if order_ref.endswith(":stop") and not claimed.is_set():
            claimed.set()
            other_done.wait(2)
        return order

    def run_the_other() -> dict[str, Any]:
        assert claimed.wait(30)
        try:
            return execute(settings.model_copy(update={"ib_client_id": 40}))
        finally:
            other_done.set()

    monkeypatch.setattr(OrderJournal, "mark_sending", claim_and_dawdle)
    with ThreadPoolExecutor(2) as threads:
        one, other = threads.submit(execute, settings), threads.submit(run_the_other)
        assert set(outcomes(one.result(60))) == {"sent"}
        assert set(outcomes(other.result(60))) == {"already_working"}
    assert_each_is_once_at_the_broker(settings, brackets)


@pytest.mark.parametrize(
    ("moment", "leg", "survives"),
    [
        ("planned", "", False),
        ("claimed", "entry", False),
        ("sent", "entry", False),
        ("claimed", "stop", False),
        ("sent", "stop", True),
    ],
)
def test_a_run_killed_between_intent_and_answer_loses_and_doubles_nothing(
    settings: Settings, market: Market, fresh: Stocks, moment: str, leg: str, survives: bool
) -> None:
    brackets = first, second = fresh(2)
    record(settings, market, brackets)
    fatal = f"{moment} {second.order_ref}:{leg}" if leg else moment
    assert run_until_killed(settings, fatal) == -9
    assert History(settings.home).latest("executions", SLOT) is None
    assert set(journaled(settings)) == set(refs_of(brackets)), "every intent was on the disk before anything was sent"
    rerun = execute(settings)
    before = "already_working" if leg else "sent"
    assert {rerun[ref]["outcome"] for ref in refs_of([first])} == {before}
    assert {rerun[ref]["outcome"] for ref in refs_of([second])} == {"already_working" if survives else "sent"}
    assert_each_is_once_at_the_broker(settings, brackets)
    assert {order.state for order in journaled(settings).values()} == {"working"}


def test_an_incomplete_bracket_is_reported_and_neither_doubled_nor_completed(
    settings: Settings, market: Market, fresh: Stocks
) -> None:
    broken, whole = brackets = fresh(2)
    record(settings, market, brackets)
    send_lone_entry(settings, broken)
    for _ in range(2):
        rows = execute(settings)
        assert {rows[ref]["outcome"] for ref in refs_of([broken])} == {"refused"}
        assert {rows[ref]["reason"] for ref in refs_of([broken])} == {
            "only 1 of 3 legs are at the broker; end them there by hand"
        }
        assert len(orders_with(settings, refs_of([broken]))) == 1
    assert len(orders_with(settings, refs_of([whole]))) == 3, "the others are sent all the same"


def test_a_broker_that_breaks_off_or_is_gone_fails_the_asset_and_leaves_no_trace(
    mortal_gateway: Gateway, tmp_path: Path, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = mortal_gateway.settings(home=tmp_path / "home", execution=PATIENT)
    record(settings, market, [market.bracket(0, away=AWAY)])
    request = BrokerSession.request

    def break_off(session: BrokerSession, ask: Any, what: str, seconds: float | None = None) -> Any:
        if what == "the completed orders":
            mortal_gateway.kill()
        return request(session, ask, what, seconds)

    monkeypatch.setattr(BrokerSession, "request", break_off)
    with pytest.raises(BrokerError, match="was lost during the request for the completed orders"):
        execute(settings)
    with pytest.raises(BrokerError, match="Nothing listens at"):
        execute(settings)
    assert journaled(settings) == {}
    assert History(settings.home).latest("executions", SLOT) is None


def test_a_gateway_that_dies_in_mid_burst_costs_no_order_once_it_is_back(
    tmp_path: Path, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    brackets = first, second, third = [market.bracket(place, away=AWAY) for place in range(3)]
    send = BrokerSession.send
    with running_gateway(tmp_path / "gateway") as dying:
        settings = dying.settings(home=tmp_path / "home", execution={**PATIENT, "acknowledge_seconds": 2.0})
        record(settings, market, [first])
        execute(settings)
        append(settings, "sized_orders", sized_orders(brackets))

        def die_at_the_second_target(session: BrokerSession, put: Any, what: str) -> None:
            if what == f"order {second.order_ref}:target":
                dying.kill()
            send(session, put, what)

        with monkeypatch.context() as patch:
            patch.setattr(BrokerSession, "send", die_at_the_second_target)
            rows = execute(settings)
    assert {rows[ref]["outcome"] for ref in refs_of([first])} == {"already_working"}
    last_leg, never = refs_of([second])[-1], refs_of([third])
    assert {rows[ref]["outcome"] for ref in [last_leg, *never]} == {"refused"}
    assert all("was lost" in rows[ref]["reason"] for ref in [last_leg, *never])
    assert {journaled(settings)[ref].state for ref in [last_leg, *never]} == {"planned"}
    assert journaled(settings)[refs_of([second])[0]].state == "unknown"
    with running_gateway(tmp_path / "gateway") as back:
        settings = back.settings(home=tmp_path / "home", execution=PATIENT)
        again = execute(settings)
        assert {again[ref]["outcome"] for ref in refs_of([first])} == {"already_working"}
        assert {again[ref]["outcome"] for ref in refs_of([second, third])} == {"sent"}
        assert_each_is_once_at_the_broker(settings, brackets)


def test_intents_name_the_decision_the_run_acts_on_also_when_a_newer_one_appears(
    settings: Settings, market: Market, fresh: Stocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    brackets = fresh(1)
    decided = record(settings, market, brackets)
    read = act.read_order_state

    def read_while_another_run_decides(session: BrokerSession) -> Any:
        append(settings, "sized_orders", sized_orders(brackets))
        return read(session)

    monkeypatch.setattr(act, "read_order_state", read_while_another_run_decides)
    result = materialise(settings, "executions")
    assert {order.materialization_id for order in journaled(settings).values()} == {decided.id}
    executed = History(settings.home).latest("executions", SLOT, run_id=result.run_id)
    assert executed is not None
    behind = {made.asset: made.id for made in History(settings.home).inputs_of(executed.id)}
    assert behind["sized_orders"] == decided.id
