"""What a frame is in the history: conversion without loss, and a hash that means the data and nothing else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_pipeline.errors import HistoryError
from quant_pipeline.frames import FRAMES, empty, validate
from quant_pipeline.history.columns import columns_of, data_hash, to_arrow, to_frame
from quant_pipeline_tests.history.recorded_frames import STARTED, bars_of, frames_of, quality_filter

ASSETS = [asset for asset in FRAMES if asset != "bars"]


@given(st.sampled_from(ASSETS).flatmap(lambda asset: st.tuples(st.just(asset), frames_of(asset))))
def test_any_frame_survives_the_conversion_exactly(case: tuple[str, pd.DataFrame]) -> None:
    asset, frame = case
    back = to_frame(asset, to_arrow(asset, frame))
    pd.testing.assert_frame_equal(back, frame, check_exact=True)
    assert data_hash(asset, back) == data_hash(asset, frame)


@pytest.mark.parametrize("asset", FRAMES)
def test_an_empty_frame_keeps_its_types(asset: str) -> None:
    back = to_frame(asset, to_arrow(asset, empty(asset)))
    pd.testing.assert_frame_equal(back, empty(asset))


def test_the_hash_does_not_see_index_storage_or_the_kind_of_missing() -> None:
    frame = quality_filter("AAPL", "MSFT")
    frame.loc[0, "price"] = np.nan
    other = frame.copy().set_index(pd.Index([7, 3]))
    other["price"] = pd.array([None, 10.0], dtype="Float64")
    other["symbol"] = pd.Series(["AAPL", "MSFT"], dtype=object, index=other.index)
    other["reason"] = pd.Series([None, pd.NA], dtype=object, index=other.index)
    assert data_hash("quality_filter", other) == data_hash("quality_filter", frame)


@pytest.mark.parametrize(
    ("column", "value"), [("price", np.nextafter(10.0, 11)), ("price", np.nan), ("passed", False), ("reason", ""),
                          ("symbol", "AAPl")]
)  # fmt: skip
def test_the_hash_sees_every_change(column: str, value: object) -> None:
    frame = quality_filter("AAPL", "MSFT")
    changed = frame.copy()
    changed[column] = [value, frame[column].iloc[1]]
    assert data_hash("quality_filter", changed) != data_hash("quality_filter", frame)


def test_the_hash_sees_the_order_of_rows() -> None:
    frame = quality_filter("AAPL", "MSFT")
    assert data_hash("quality_filter", frame) != data_hash("quality_filter", frame.iloc[::-1])


def test_a_zero_has_no_sign_in_a_column_or_in_a_struct() -> None:
    def panel(zero: float) -> pd.DataFrame:
        values = {name: [zero] for name in FRAMES["portfolio_status"].columns}
        position = {"symbol": "A", "direction": "LONG", "unrealized_pnl": zero}
        return validate(
            "portfolio_status",
            pd.DataFrame({**values, "open_positions": [[position]], "worst_positions": [[]], "observed_at": [STARTED]}),
        )

    assert data_hash("portfolio_status", panel(-0.0)) == data_hash("portfolio_status", panel(0.0))
    back = to_frame("portfolio_status", to_arrow("portfolio_status", panel(-0.0))).iloc[0]
    assert not np.signbit([back["unrealized_pnl"], back["open_positions"][0]["unrealized_pnl"]]).any()


def test_values_do_not_slip_from_one_column_into_the_next() -> None:
    left, right = quality_filter("A"), quality_filter("A")
    left["price"], left["spread_pct"] = [1.0], [np.nan]
    right["price"], right["spread_pct"] = [np.nan], [1.0]
    assert data_hash("quality_filter", left) != data_hash("quality_filter", right)


def test_the_hash_is_the_same_on_every_machine_and_day() -> None:
    bars = bars_of(AAPL={"2026-11-19": 10.5, "2026-11-20*": None})
    assert data_hash("bars", bars) == "92fe7ccac3610fe42f2a5eba8df18142"


def test_missing_numbers_in_structs_come_back_as_nan() -> None:
    panel = {name: [0] for name in FRAMES["portfolio_status"].columns}
    position = {"symbol": "A", "direction": "LONG", "quantity": 1.0, "entry": None, "current": np.nan, "stop": 1.0}
    frame = validate(
        "portfolio_status",
        pd.DataFrame(
            {**panel, "open_positions": [[position]], "worst_positions": [[]], "observed_at": [pd.Timestamp.now("UTC")]}
        ),
    )
    (back,) = to_frame("portfolio_status", to_arrow("portfolio_status", frame))["open_positions"].iloc[0]
    assert np.isnan([back["entry"], back["current"], back["target"]]).all()
    assert data_hash("portfolio_status", frame) == data_hash(
        "portfolio_status", to_frame("portfolio_status", to_arrow("portfolio_status", frame))
    )


def test_an_unknown_asset_is_refused_by_name() -> None:
    with pytest.raises(HistoryError, match="no asset 'prices'"):
        columns_of("prices")
