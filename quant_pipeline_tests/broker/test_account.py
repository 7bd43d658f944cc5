"""The account: three frames that agree with each other, capped capital, and corrected fills."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from quant_pipeline import frames
from quant_pipeline.broker.account import PARENT_GONE, correction_of, is_entry, read_account, read_fills, root_of
from quant_pipeline.broker.session import BrokerSession


def order(perm_id: int, symbol: str, action: str, parent: int) -> dict[str, object]:
    return {
        "perm_id": perm_id,
        "order_ref": None,
        "parent_perm_id": parent,
        "client_id": 18,
        "symbol": symbol,
        "action": action,
        "order_type": "LMT",
        "price": 10.0,
        "quantity": 100.0,
        "remaining": 100.0,
        "status": "Submitted",
    }


def position(symbol: str, quantity: float) -> dict[str, object]:
    return {
        "symbol": symbol,
        "con_id": 1,
        "quantity": quantity,
        "average_price": 10.0,
        "market_price": 10.0,
        "market_value": 10.0 * quantity,
        "unrealized_pnl": 0.0,
    }


def test_a_new_book_has_its_cash_and_nothing_else(reading: BrokerSession) -> None:
    read = read_account(reading, reading.settings)
    account = read.account.iloc[0]
    assert account["account"] == reading.account
    assert account["net_liquidation"] == account["capital"] == account["available"] == 100_000
    assert account["deployed"] == 0
    assert read.portfolio.empty
    assert read.working_orders.empty
    assert read_fills(reading).empty
    assert read.read_at == account["read_at"]


def test_capital_is_capped_by_the_setting(reading: BrokerSession) -> None:
    settings = reading.settings.model_copy(update={"capital": 25_000.0})
    account = read_account(reading, settings).account.iloc[0]
    assert (account["net_liquidation"], account["capital"], account["available"]) == (100_000, 25_000, 25_000)


def test_reading_twice_reads_the_same(reading: BrokerSession) -> None:
    first, second = (read_account(reading, reading.settings).account.drop(columns="read_at") for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


def test_an_entry_has_no_parent_and_no_opposite_position() -> None:
    orders = frames.validate(
        "working_orders",
        pd.DataFrame(
            [
                order(1, "NEW", "BUY", 0),
                order(2, "NEW", "SELL", 1),
                order(3, "HELD", "SELL", 0),
                order(4, "HELD", "BUY", 0),
                order(5, "SHORTED", "BUY", 0),
                order(6, "SHORTED", "SELL", 0),
                order(7, "GONE", "SELL", PARENT_GONE),
            ]
        ),
    )
    portfolio = frames.validate("portfolio", pd.DataFrame([position("HELD", 100), position("SHORTED", -100)]))
    assert list(orders["perm_id"][is_entry(orders, portfolio)]) == [1, 4, 6]
    assert list(orders["perm_id"][is_entry(orders, frames.empty("portfolio"))]) == [1, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("exec_id", "root", "correction"),
    [("0000e0d5.65c2.01.01", "0000e0d5.65c2.01", 1), ("0000e0d5.65c2.01.02", "0000e0d5.65c2.01", 2), ("odd", "odd", 0)],
)
def test_the_last_part_of_an_execution_id_counts_corrections(exec_id: str, root: str, correction: int) -> None:
    assert (root_of(exec_id), correction_of(exec_id)) == (root, correction)


def test_a_missing_realized_profit_is_missing_and_not_zero(reading: BrokerSession) -> None:
    realized = read_account(reading, reading.settings).account["realized_pnl"].iloc[0]
    assert math.isnan(realized) or realized == 0
