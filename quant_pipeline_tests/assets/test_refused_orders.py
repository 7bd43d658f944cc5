"""What must not be sent is refused with its reason, and nothing reaches the broker."""

from __future__ import annotations

from itertools import chain, repeat
from pathlib import Path
from typing import Any

from quant_pipeline.assets import act
from quant_pipeline.broker.brackets import BracketOrder
from quant_pipeline.broker.orders import OrderDesk
from quant_pipeline.broker.session import Role, connect
from quant_pipeline.history.order_journal import OrderJournal
from quant_pipeline.settings import Settings
from quant_pipeline_tests.assets.decided_slot import (
    AWAY,
    PATIENT,
    Stocks,
    at_broker,
    by_hand,
    execute,
    journaled,
    orders_with,
    outcomes,
    record,
    refs_of,
    send_lone_entry,
)
from quant_pipeline_tests.broker.conftest import Gateway
from quant_pipeline_tests.broker.scripted_broker import (
    CURRENT_TIME,
    EXECUTIONS,
    NOW,
    PLACE_ORDER,
    Answer,
    ScriptedBroker,
    scripted_broker,
)
from quant_pipeline_tests.broker.trading_floor import SLOT, Market, Notes, listen_until

OPEN_ORDERS, COMPLETED_ORDERS, POSITIONS = "16", "99", "61"
EMPTY_BROKER: dict[str, Answer] = {
    OPEN_ORDERS: lambda _: [(53, 1)],
    COMPLETED_ORDERS: lambda _: [(102,)],
    EXECUTIONS: lambda fields: [(55, 1, fields[2])],
    POSITIONS: lambda _: [(62, 1)],
}


def execute_at(server: ScriptedBroker, home: Path, market: Market, **chosen: object) -> dict[str, dict[str, Any]]:
    """Materialise an approved order at a broker that says what the test tells it to."""
    settings = server.settings().model_copy(update={"home": home, **chosen})
    record(settings, market, [market.bracket(0, away=AWAY)])
    return execute(settings)


def test_a_slot_that_is_over_sends_nothing(later_gateway: Gateway, tmp_path: Path, market: Market) -> None:
    settings = later_gateway.settings(home=tmp_path / "home", execution=PATIENT)
    record(settings, market, [market.bracket(0, away=AWAY)])
    rows = execute(settings)
    assert set(outcomes(rows)) == {"refused"}
    assert all(
        row["reason"].startswith("slot over since 10:30, the broker's clock says 11-20") for row in rows.values()
    )
    assert at_broker(settings).orders == ()
    assert journaled(settings) == {}


def test_a_slot_that_ends_while_the_broker_is_read_sends_nothing(tmp_path: Path, market: Market) -> None:
    ends = NOW + 15 * 60
    times = chain([ends - 1], repeat(ends))
    with scripted_broker({**EMPTY_BROKER, CURRENT_TIME: lambda _: [(49, 1, next(times))]}) as server:
        rows = execute_at(server, tmp_path, market)
        assert not [fields for fields in server.received if fields[0] == PLACE_ORDER]
    assert {row["reason"] for row in rows.values()} == {"slot over since 10:30, the broker's clock says 11-20 10:30"}


def test_a_real_account_that_is_not_armed_gets_no_order(tmp_path: Path, market: Market) -> None:
    with scripted_broker(EMPTY_BROKER, accounts="U7654321") as server:
        rows = execute_at(server, tmp_path, market)
        assert not [fields for fields in server.received if fields[0] == PLACE_ORDER]
    assert set(outcomes(rows)) == {"refused"}
    assert all(row["reason"].startswith("account U7654321 is not a paper account") for row in rows.values())


def test_a_real_account_whose_clock_is_not_ours_gets_no_order(tmp_path: Path, market: Market) -> None:
    with scripted_broker(EMPTY_BROKER, accounts="U7654321") as server:
        rows = execute_at(server, tmp_path, market, live=True, account="U7654321")
        assert not [fields for fields in server.received if fields[0] == PLACE_ORDER]
    assert all(row["reason"].startswith("the clocks of broker and machine differ by") for row in rows.values())


def test_a_stock_that_must_not_be_traded_now_is_refused_and_the_others_are_sent(
    settings: Settings, market: Market, fresh: Stocks
) -> None:
    halted, other = brackets = fresh(2)
    quotes = market.quotes.assign(halted=market.quotes["symbol"] == halted.symbol)
    record(settings, Market(quotes), brackets)
    rows = execute(settings)
    assert {rows[ref]["reason"] for ref in refs_of([halted])} == {"trading in the stock is halted"}
    assert orders_with(settings, refs_of([halted])) == []
    assert {rows[ref]["outcome"] for ref in refs_of([other])} == {"sent"}


def test_a_position_or_an_order_by_hand_after_the_decision_keeps_the_stock_alone(
    settings: Settings, market: Market, places: Any, fresh: Stocks
) -> None:
    # Above the ask, since the market may have moved since the quotes were read.
    bought = market.bracket(next(places), away=-0.02)
    (ordered,) = fresh(1)
    record(settings, market, [bought, ordered])
    notes = Notes()
    with connect(by_hand(settings), Role.ORDERS) as session:
        desk = OrderDesk(session)
        for bracket in (bought, ordered):
            theirs = BracketOrder(**{**vars(bracket), "order_ref": f"by-hand:{bracket.symbol}"})
            desk.place_bracket(theirs, notes.on_sending, notes.events.append)
        listen_until(desk, notes, lambda: bool(notes.of(f"by-hand:{bought.symbol}:entry", "execution")))
    rows = execute(settings)
    assert set(outcomes(rows)) == {"refused"}
    assert {row["reason"] for row in rows.values() if row["symbol"] == bought.symbol} == {
        "a position of 10 shares appeared at the broker after the decision"
    }
    assert {row["reason"] for row in rows.values() if row["symbol"] == ordered.symbol} == {
        "an order in the stock appeared at the broker after the decision"
    }
    assert orders_with(settings, refs_of([bought, ordered])) == []
    assert journaled(settings) == {}


def test_an_order_the_broker_rejects_is_refused_with_its_words_now_and_later(
    settings: Settings, market: Market, places: Any, fresh: Stocks
) -> None:
    dear = market.bracket(next(places), away=AWAY, quantity=1_000_000)
    (cheap,) = fresh(1)
    record(settings, market, [dear, cheap])
    first, second = execute(settings), execute(settings)
    entry = refs_of([dear])[0]
    assert {first[ref]["outcome"] for ref in refs_of([dear])} == {"refused"}
    assert first[entry]["reason"].startswith("Order rejected - reason:")
    assert {journaled(settings)[ref].state for ref in refs_of([dear])} == {"rejected"}
    assert {second[ref]["outcome"] for ref in refs_of([dear])} == {"refused"}
    assert second[entry]["reason"] == f"rejected before ({first[entry]['reason']}), and nothing is sent twice"
    assert {first[ref]["outcome"] for ref in refs_of([cheap])} == {"sent"}
    assert not [order for order in orders_with(settings, refs_of([dear])) if order.where == "open"]


def test_what_was_left_of_a_bracket_and_ended_by_hand_is_not_sent_again(
    settings: Settings, market: Market, fresh: Stocks
) -> None:
    (bracket,) = fresh(1)
    record(settings, market, [bracket])
    send_lone_entry(settings, bracket)
    with connect(settings, Role.ORDERS) as session:
        OrderDesk(session).cancel(bracket.legs()[0].order_ref, lambda _: None)
    rows = execute(settings)
    assert {row["reason"] for row in rows.values()} == {"Cancelled at the broker before, and nothing is sent twice"}
    assert [order.status for order in orders_with(settings, refs_of([bracket]))] == ["Cancelled"]


def test_one_reference_on_two_open_orders_stops_all_sending(
    mortal_gateway: Gateway, tmp_path: Path, market: Market
) -> None:
    settings = mortal_gateway.settings(home=tmp_path / "home", execution=PATIENT)
    doubled, other = brackets = [market.bracket(place, away=AWAY) for place in range(2)]
    record(settings, market, brackets)
    send_lone_entry(settings, doubled)
    send_lone_entry(by_hand(settings), doubled)
    rows = execute(settings)
    assert set(outcomes(rows)) == {"refused"}
    assert rows[refs_of([other])[0]]["reason"] == (
        f"two open orders at the broker carry the reference {doubled.order_ref}:entry; cancel one of them there"
    )
    assert orders_with(settings, refs_of([other])) == []


def test_an_order_that_worked_and_vanished_is_refused_and_the_others_are_sent(
    settings: Settings, market: Market, fresh: Stocks
) -> None:
    vanished, other = brackets = fresh(2)
    record(settings, market, brackets)
    journal = OrderJournal(settings.home)
    act.plan_intents([vanished], journal, "DU1", SLOT, 1)
    journal.mark_sending(refs_of([vanished])[0], 18, 1)
    journal.record_event(refs_of([vanished])[0], "status", state="working")
    rows = execute(settings)
    assert {rows[ref]["outcome"] for ref in refs_of([vanished])} == {"refused"}
    assert "not at the broker" in rows[refs_of([vanished])[0]]["reason"]
    assert {rows[ref]["outcome"] for ref in refs_of([other])} == {"sent"}


def test_a_child_that_was_rejected_before_keeps_its_whole_bracket_back(
    settings: Settings, market: Market, fresh: Stocks
) -> None:
    broken, other = brackets = fresh(2)
    record(settings, market, brackets)
    journal = OrderJournal(settings.home)
    act.plan_intents([broken], journal, "DU1", SLOT, 1)
    entry, _, stop = refs_of([broken])
    for order_id, ref in enumerate((entry, stop), start=1):
        journal.mark_sending(ref, 18, order_id)
    journal.record_event(stop, "error", state="rejected", text="No.")
    rows = execute(settings)
    assert {rows[ref]["reason"] for ref in refs_of([broken])} == {"rejected before (No.), and nothing is sent twice"}
    assert orders_with(settings, refs_of([broken])) == []
    assert {rows[ref]["outcome"] for ref in refs_of([other])} == {"sent"}
