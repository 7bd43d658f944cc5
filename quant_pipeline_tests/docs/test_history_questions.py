"""The questions of the history page answer what they ask: read as a trader reads them, on rows made for it.

That they run on what is really recorded is tried in ``test_readme``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "history.md").read_text(encoding="utf-8")
SLOT = "2026-11-20T10:15"


def question(number: int) -> tuple[str, str]:
    """Words and query of a question."""
    part = PAGE[PAGE.index(f"**{number}. ") :]
    words, _, rest = part.partition("```sql\n")
    return words, rest.partition("```")[0]


@pytest.fixture
def history() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as connection:
        for schema in ("current", "journal", "metrics"):
            connection.execute(f"CREATE SCHEMA {schema}")
        yield connection


def answer(history: duckdb.DuckDBPyConnection, number: int) -> list[dict[str, object]]:
    result = history.execute(question(number)[1])
    names = [name for name, *_ in result.description or []]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def test_refusals_are_counted_by_the_limit_whatever_stock_and_figures_they_name(
    history: duckdb.DuckDBPyConnection,
) -> None:
    history.execute(
        "CREATE TABLE current.sized_orders AS SELECT * FROM (VALUES "
        f"('{SLOT}', 'A', false, 'allow_duplicate_symbols: A is already held or on order'), "
        f"('{SLOT}', 'BRK B', false, 'allow_duplicate_symbols: BRK B is already held or on order'), "
        f"('{SLOT}', 'C', false, 'max_utilization_pct: $90,072.62 (90.07 % of capital) would be deployed'), "
        f"('{SLOT}', 'D', true, NULL)) AS t(slot, symbol, approved, reason)"
    )
    history.execute("CREATE TABLE current.scores AS SELECT slot, symbol, 70.0 AS total_score FROM current.sized_orders")
    assert [(row["refused_by"], row["orders"]) for row in answer(history, 5)] == [
        ("allow_duplicate_symbols", 2),
        ("max_utilization_pct", 1),
    ]


def test_a_minimum_is_far_from_its_limit_when_it_is_far_above_it(history: duckdb.DuckDBPyConnection) -> None:
    limits = [("min_position_value", 2_500.0, 100.0), ("max_positions", 19.0, 100.0), ("max_position_pct", 4.9, 5.0),
              ("allow_duplicate_symbols", 1.0, 1.0)]  # fmt: skip
    listed = ", ".join(
        f"{{'limit': '{name}', 'figure': {figure}, 'allowed': {allowed}, 'unit': '%'}}"
        for name, figure, allowed in limits
    )
    history.execute(
        f"CREATE TABLE current.sized_orders AS SELECT '{SLOT}' AS slot, 'A' AS symbol, true AS approved, "
        f"[{listed}] AS limits UNION ALL SELECT '{SLOT}', 'B', true, "
        "[{'limit': 'min_position_value', 'figure': 200.0, 'allowed': 100.0, 'unit': '%'}]"
    )
    told = [(row["limit"], row["closest"], row["used_pct"]) for row in answer(history, 6)]
    assert told == [("max_position_pct", "A", 98.0), ("min_position_value", "B", 50.0), ("max_positions", "A", 19.0)]


def test_slippage_is_a_cost_when_it_is_positive_as_it_is_said_to_be(history: duckdb.DuckDBPyConnection) -> None:
    words, _ = question(7)
    assert re.search(r"positive is a cost.*bought dearer or sold cheaper", " ".join(words.split()))
    history.execute(
        "CREATE TABLE journal.intents AS SELECT * FROM (VALUES ('a', 'entry', 100.0), ('b', 'stop', 95.0), "
        "('c', 'exit', NULL)) AS t(order_ref, leg, price)"
    )
    history.execute(
        "CREATE TABLE journal.fills AS SELECT * FROM (VALUES ('a', 'BUY', 10.0, 99.9, 2.0, NULL), "
        "('b', 'SELL', 10.0, 94.5, 1.0, NULL), ('b', 'SELL', 10.0, 1.0, 9.0, 'x'), "
        "('c', 'SELL', 10.0, 94.5, 0.5, NULL)) AS t(order_ref, side, quantity, price, commission, corrected_by)"
    )
    told = [(row["leg"], row["commission"], row["slippage"], row["slippage_bp"]) for row in answer(history, 7)]
    assert told == [("entry", 2.0, -1.0, -10.0), ("stop", 1.0, 5.0, 52.63), ("exit", 0.5, None, None)]


def test_the_best_and_the_worst_ten_trades_are_shown(history: duckdb.DuckDBPyConnection) -> None:
    history.execute(
        "CREATE TABLE metrics.trades AS SELECT 'A' AS symbol, 'LONG' AS direction, '' AS entry_slot, '' AS "
        "exit_reason, range::DOUBLE AS net_pnl, 1.0 AS r_multiple, 1.0 AS mae_r, 1.0 AS mfe_r, 1.0 AS holding_hours, "
        "'closed' AS status FROM range(100)"
    )
    assert [row["net_pnl"] for row in answer(history, 2)] == [*range(99, 89, -1), *range(9, -1, -1)]


def test_a_rejected_stock_has_its_most_frequent_fault_whatever_its_figures(
    history: duckdb.DuckDBPyConnection,
) -> None:
    history.execute(
        "CREATE TABLE current.quality_filter AS SELECT * FROM (VALUES "
        "('A', false, 'price 4.99 is not above 5.00', 0.1), ('A', false, 'price 4.99 is not above 5.00', 0.1), "
        "('A', false, 'spread 0.16 % is not below 0.15 %', 0.16), "
        "('A', false, 'spread 0.1504 % is not below 0.15 %', 0.15), ('A', false, 'spread 0.2 % is not below 0.15 %', "
        "0.2), ('B', true, NULL, 0.1)) AS t(symbol, passed, reason, spread_pct)"
    )
    [row] = answer(history, 9)
    assert (row["symbol"], row["slots"], row["most_often"]) == ("A", 5, "spread … % is not below … %")
