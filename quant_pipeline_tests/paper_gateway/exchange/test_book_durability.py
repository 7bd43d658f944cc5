"""The book: what was acknowledged is there after any death, and a transaction happens whole or not at all."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from quant_pipeline.errors import QuantPipelineError, UsageError
from quant_pipeline.paper_gateway.exchange.book import FIRST_PERM_ID, Book
from quant_pipeline.paper_gateway.exchange.orders import Action, Order, OrderTerms, OrderType, Status, TimeInForce
from quant_pipeline_tests.paper_gateway.scripted_market import at


def opened(home: Path, identity: str = "scripted") -> Book:
    return Book(home / "account" / "book.sqlite", identity=identity, cash=50_000.0)


def order(book: Book, order_id: int = 1) -> Order:
    terms = OrderTerms("AAA", Action.BUY, 100, OrderType.LIMIT, 10.0, None, TimeInForce.GTC, order_ref="ref")
    return Order(book.next_perm_id(), 17, order_id, terms, Status.SUBMITTED, "", 0, at("10:15"), at("16:00"))


def filled(book: Book, resting: Order) -> Order:
    done = replace(resting, status=Status.FILLED, filled=100, average_price=10.0, completed_at=at("10:20"))
    book.save(done)
    book.record_fill(done, 100, 10.0, at("10:20"))
    return done


def test_a_reopened_book_is_the_same_book(tmp_path: Path) -> None:
    book = opened(tmp_path)
    with book.transaction():
        working, done = order(book, 1), order(book, 2)
        book.save(working)
        book.save(done)
        filled(book, done)
        book.save_time(at("10:30"))
    executions, portfolio, live = book.executions_since(at("09:30")), book.portfolio, dict(book.live)
    book.close()

    again = opened(tmp_path)
    assert again.live == live == {working.perm_id: working}
    assert again.executions_since(at("09:30")) == executions
    assert again.portfolio == portfolio
    assert again.last_time == at("10:30")
    assert again.next_order_id == 3
    assert again.next_perm_id() == FIRST_PERM_ID + 2
    assert again.find(17, 2) == again.order(done.perm_id)
    assert [each.perm_id for each in again.completed_since(at("10:20"))] == [done.perm_id]
    assert again.completed_since(at("10:21")) == []
    again.close()


def test_a_transaction_that_fails_leaves_neither_file_nor_memory_changed(tmp_path: Path) -> None:
    book = opened(tmp_path)
    with book.transaction():
        resting = book.save(order(book))

    def fail_half_way() -> None:
        with book.transaction():
            filled(book, resting)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert book.live == {resting.perm_id: resting}
    assert book.portfolio.cash == 50_000.0
    assert book.executions_since(at("09:30")) == []
    with book.transaction():
        filled(book, resting)
    assert [each.exec_id[8:] for each in book.executions_since(at("09:30"))] == [".00000001.01.01"]
    book.close()


def test_an_order_id_of_a_client_can_never_be_overwritten_by_another_order(tmp_path: Path) -> None:
    book = opened(tmp_path)
    with book.transaction():
        book.save(order(book, 1))
    with pytest.raises(sqlite3.IntegrityError), book.transaction():
        book.save(order(book, 1))
    assert len(book.live) == 1
    book.close()


def test_positions_before_an_instant_leave_out_what_came_later(tmp_path: Path) -> None:
    book = opened(tmp_path)
    with book.transaction():
        filled(book, book.save(order(book)))
    assert book.portfolio_before(at("10:20")).cash == 50_000.0
    assert book.portfolio_before(at("10:21")).held["AAA"].quantity == 100
    book.close()


def test_a_book_belongs_to_one_process_and_one_market(tmp_path: Path) -> None:
    book = opened(tmp_path)
    with pytest.raises(UsageError, match="Another gateway"):
        opened(tmp_path)
    book.close()
    with pytest.raises(UsageError, match="belongs to the market scripted"):
        opened(tmp_path, identity="other")
    opened(tmp_path).close()


def test_a_file_that_is_no_book_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "account" / "book.sqlite"
    path.parent.mkdir()
    path.write_text("this is not a database, but it is long enough to be taken for one" * 40)
    with pytest.raises(QuantPipelineError, match="cannot be opened"):
        opened(tmp_path)


def test_the_executions_of_two_markets_never_share_an_id(tmp_path: Path) -> None:
    ids = []
    for identity in ("synthetic-7", "replay-abc"):
        with contextlib.closing(Book(tmp_path / identity / "book.sqlite", identity=identity, cash=50_000.0)) as book:
            with book.transaction():
                filled(book, book.save(order(book)))
            ids += [each.exec_id for each in book.executions_since(at("09:30"))]
    assert len(ids) == len(set(ids)) == 2


def as_layout_1(path: Path) -> None:
    """Take away what layout 2 added."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        for column in ("commission", "triggered", "trailing_stop"):
            db.execute(f"ALTER TABLE orders DROP COLUMN {column}")
        db.execute("ALTER TABLE executions DROP COLUMN last_liquidity")
        db.execute("UPDATE account SET value = '1' WHERE name = 'layout'")
        (terms,) = db.execute("SELECT terms FROM orders WHERE order_id = 1").fetchone()
        older = {name: value for name, value in json.loads(terms).items() if not name.startswith("trail_")}
        db.execute("UPDATE orders SET terms = ? WHERE order_id = 1", (json.dumps(older),))
        db.commit()


def test_a_book_of_the_first_layout_is_taken_over_with_all_it_holds(tmp_path: Path) -> None:
    book = opened(tmp_path)
    with book.transaction():
        working, done = book.save(order(book, 1)), order(book, 2)
        filled(book, book.save(done))
    executions, portfolio = book.executions_since(at("09:30")), book.portfolio
    book.close()
    as_layout_1(book.path)

    again = opened(tmp_path)
    assert again.live == {working.perm_id: working}
    assert again.executions_since(at("09:30")) == executions
    assert again.portfolio == portfolio
    assert again.order(done.perm_id).commission == executions[0].commission == 1.0
    again.close()
    opened(tmp_path).close()


def test_a_book_of_a_newer_layout_is_left_alone(tmp_path: Path) -> None:
    book = opened(tmp_path)
    book.close()
    with contextlib.closing(sqlite3.connect(book.path)) as db:
        db.execute("UPDATE account SET value = '99' WHERE name = 'layout'")
        db.commit()
    with pytest.raises(UsageError, match="newer version"):
        opened(tmp_path)


def test_what_changes_takes_the_time_along(tmp_path: Path) -> None:
    book = opened(tmp_path)
    with book.transaction(at("10:30")):
        book.save(order(book))
    assert book.last_time == at("10:30")
    with book.transaction(at("10:31")):
        pass
    assert book.last_time == at("10:30")
    book.close()
