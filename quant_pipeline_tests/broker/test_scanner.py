"""The universe: 50 rows a scan, put together into our own ranking."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_pipeline.broker.scanner import ROWS_PER_SCAN, ScanRow, ranked, read_universe
from quant_pipeline.broker.session import BrokerSession
from quant_pipeline.errors import BrokerError


def row(number: int) -> ScanRow:
    return ScanRow(f"S{number:04d}", number + 1, "SMART")


def scans_of(band_of: list[int], bands: int) -> tuple[list[ScanRow], list[list[ScanRow]]]:
    """What the broker would answer for stocks in order of activity, given each stock's band."""
    stocks = [row(number) for number in range(len(band_of))]
    by_band = [[stock for stock, its in zip(stocks, band_of, strict=True) if its == band] for band in range(bands)]
    return stocks[:ROWS_PER_SCAN], [band[:ROWS_PER_SCAN] for band in by_band]


def test_a_hundred_stocks_come_ranked_and_unique(reading: BrokerSession) -> None:
    universe = read_universe(reading, reading.settings.universe)
    assert list(universe["rank"]) == list(range(1, 101))
    assert universe["symbol"].is_unique
    assert universe["con_id"].is_unique
    assert set(universe["scan_code"]) == {"MOST_ACTIVE"}


def test_the_first_fifty_are_the_scan_over_all_prices_in_its_order(reading: BrokerSession) -> None:
    settings = reading.settings.universe
    whole = read_universe(reading, settings)
    first = read_universe(reading, settings.model_copy(update={"size": ROWS_PER_SCAN}))
    assert list(first["symbol"]) == list(whole["symbol"][:ROWS_PER_SCAN])


def test_every_scan_is_cancelled(reading: BrokerSession, sent_messages: Callable[[BrokerSession], list[str]]) -> None:
    messages = sent_messages(reading)
    read_universe(reading, reading.settings.universe)
    kinds = [message.split("\0")[0] for message in messages]
    assert kinds.count("22") == 6
    assert kinds.count("23") == 6
    assert len(kinds) == 12


def test_a_scan_that_finds_nothing_is_an_error_and_not_an_empty_universe(reading: BrokerSession) -> None:
    settings = reading.settings.universe.model_copy(update={"scan_code": "NO_SUCH_SCAN"})
    with pytest.raises(BrokerError, match="scan"):
        read_universe(reading, settings)


def test_a_band_goes_on_supplying_as_it_did_among_the_first() -> None:
    # 40 of the first 50 are in band 0 and 10 in band 1: band 0's 41st is taken to stand at 51.25, its 44th at 55, where
    # band 1's 11th is taken to stand too.
    first, bands = scans_of([0, 0, 0, 0, 1] * 10 + [1] * 10 + [0] * 10, bands=2)
    followers = [stock.symbol for stock in ranked(first, bands)[ROWS_PER_SCAN:]]
    assert followers[:6] == ["S0060", "S0061", "S0062", "S0050", "S0063", "S0064"]


@given(st.lists(st.integers(0, 4), max_size=400))
def test_ranking_keeps_the_leaders_and_each_bands_order_and_repeats_nothing(band_of: list[int]) -> None:
    first, bands = scans_of(band_of, bands=5)
    result = ranked(first, bands)
    assert result[: len(first)] == first
    assert len({stock.con_id for stock in result}) == len(result)
    assert {stock.con_id for stock in result} == {stock.con_id for band in [first, *bands] for stock in band}
    for band in bands:
        places = [result.index(stock) for stock in band]
        assert places == sorted(places)
