"""The table of the broker's codes."""

from __future__ import annotations

import pytest

from quant_pipeline.broker.error_codes import CODES, Meaning, meaning_for_order, meaning_of


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (110, Meaning.REJECTED),
        (201, Meaning.REJECTED),
        (202, Meaning.CANCELLED),
        (203, Meaning.REJECTED),
        (399, Meaning.INFORMATION),
        (404, Meaning.HELD),
        (2104, Meaning.INFORMATION),
        (2106, Meaning.INFORMATION),
        (2158, Meaning.INFORMATION),
        (10147, Meaning.RACE),
        (10148, Meaning.RACE),
        (10349, Meaning.INFORMATION),
        (424242, Meaning.UNKNOWN),
    ],
)
def test_a_code_means_for_an_order_what_the_table_says(code: int, meaning: Meaning) -> None:
    assert meaning_for_order(code) is meaning


def test_a_missing_contract_rejects_an_order_and_withholds_a_symbol() -> None:
    assert meaning_for_order(200) is Meaning.REJECTED
    assert meaning_of(200) is Meaning.NO_DATA


def test_every_row_says_something_and_none_is_called_unknown() -> None:
    assert all(row.text and row.meaning is not Meaning.UNKNOWN for row in CODES.values())
