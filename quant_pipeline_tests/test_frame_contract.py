"""The quick look at a frame: it may say yes only where pandera would, and says yes to what the pipeline makes."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_pipeline.errors import HistoryError
from quant_pipeline.frame_contract import BREAKS, keeps_contract
from quant_pipeline.frames import FRAMES, empty, validate
from quant_pipeline_tests.history.recorded_frames import bars_of, frames_of, quality_filter

ASSETS = tuple(asset for asset in FRAMES if asset != "bars")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(ASSETS).flatmap(lambda asset: st.tuples(st.just(asset), frames_of(asset))))
def test_a_frame_that_was_validated_is_known_to_be_right_and_pandera_leaves_it_as_it_is(
    made: tuple[str, pd.DataFrame],
) -> None:
    asset, frame = made
    assert keeps_contract(FRAMES[asset], frame)
    pd.testing.assert_frame_equal(FRAMES[asset].validate(frame), validate(asset, frame))


def test_every_check_that_the_frames_use_is_known() -> None:
    used = {check.name for schema in FRAMES.values() for column in schema.columns.values() for check in column.checks}
    assert used == set(BREAKS)


def changed(asset: str, frame: pd.DataFrame, **columns: object) -> tuple[str, pd.DataFrame]:
    return asset, frame.assign(**columns)


FILTER = quality_filter("A", "B")
BARS = bars_of(A={"2026-11-19": 1.0, "2026-11-20*": 2.0})
UNIVERSE = validate(
    "universe",
    pd.DataFrame({"rank": [1, 2], "symbol": ["A", "B"], "con_id": [1, 2], "exchange": "X", "scan_code": "Y"}),
)
WRONG = {
    "a value twice": changed("universe", UNIVERSE, symbol=pd.Series(["A", "A"], dtype="str")),
    "a value too small": changed("universe", UNIVERSE, rank=[0, 1]),
    "a missing text": changed("universe", UNIVERSE, exchange=pd.Series(["X", None], dtype="str")),
    "a key twice": changed("bars", BARS, date=BARS["date"].iloc[0]),
    "a missing date": changed("bars", BARS, date=[BARS["date"].iloc[0], pd.NaT]),
    "a column that is not declared": changed("quality_filter", FILTER, more=1.0),
    "a column that is absent": ("quality_filter", FILTER.drop(columns="price")),
    "another order of columns": ("quality_filter", FILTER[list(FILTER.columns)[::-1]]),
}


@pytest.mark.parametrize(("asset", "frame"), WRONG.values(), ids=WRONG)
def test_whatever_is_wrong_is_left_to_pandera_which_says_it(asset: str, frame: pd.DataFrame) -> None:
    assert not keeps_contract(FRAMES[asset], frame)
    with pytest.raises(HistoryError, match=f"The frame of {asset} does not keep its contract"):
        validate(asset, frame)


def test_a_word_that_is_not_among_those_allowed_is_wrong() -> None:
    orders = pd.concat([empty("working_orders")] * 2)
    assert keeps_contract(FRAMES["working_orders"], orders)
    row = {"perm_id": 1, "order_ref": None, "parent_perm_id": 0, "client_id": 1, "symbol": "A", "action": "KEEP",
           "order_type": "LMT", "price": 1.0, "quantity": 1.0, "remaining": 1.0, "status": "Submitted"}  # fmt: skip
    with pytest.raises(HistoryError, match="action"):
        validate("working_orders", pd.DataFrame([row]))


def test_types_that_only_need_putting_right_are_put_right() -> None:
    frame = UNIVERSE.astype({"rank": "int32", "symbol": object})
    assert not keeps_contract(FRAMES["universe"], frame)
    pd.testing.assert_frame_equal(validate("universe", frame), UNIVERSE)
