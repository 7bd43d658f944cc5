"""The contract between the stages: right types for empty frames, and one sentence for what breaks it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from quant_pipeline.errors import HistoryError
from quant_pipeline.frames import FRAMES, empty, validate
from quant_pipeline.history.store import History, data_hash
from quant_pipeline.quant import QuantScorer, TechnicalIndicators
from quant_pipeline.settings import ScoringSettings
from quant_pipeline_tests.history.recorded_frames import MADE, SLOT
from quant_pipeline_tests.quant.market_data import market


def universe(**changes: object) -> pd.DataFrame:
    row = {"rank": 1, "symbol": "ABCD", "con_id": 7, "exchange": "NYSE", "scan_code": "MOST_ACTIVE"}
    return pd.DataFrame([{**row, **changes}])


@pytest.mark.parametrize("asset", sorted(FRAMES))
def test_an_empty_frame_has_the_columns_and_types_of_a_full_one(asset: str) -> None:
    frame = empty(asset)
    assert list(frame.columns) == list(FRAMES[asset].columns)
    assert dict(validate(asset, frame).dtypes) == dict(frame.dtypes)


@pytest.mark.parametrize("asset", sorted(FRAMES))
def test_every_column_says_what_it_holds(asset: str) -> None:
    assert FRAMES[asset].description
    assert all(column.description for column in FRAMES[asset].columns.values())


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (universe(rank=0), ["rank", "greater_than_or_equal_to(1)"]),
        (universe().drop(columns="con_id"), ["con_id"]),
        (universe(extra=1), ["extra"]),
        (universe()[["symbol", "rank", "con_id", "exchange", "scan_code"]], ["symbol", "out-of-order"]),
        (universe(symbol=None), ["symbol", "null"]),
        (pd.concat([universe(), universe(rank=2)]), ["symbol", "duplicate"]),
    ],
)
def test_a_frame_that_breaks_its_contract_is_refused_in_one_sentence(frame: pd.DataFrame, words: list[str]) -> None:
    with pytest.raises(HistoryError) as refusal:
        validate("universe", frame)
    message = str(refusal.value)
    assert message.startswith("The frame of universe does not keep its contract: ")
    assert "\n" not in message
    assert "{" not in message
    assert all(word in message for word in words), message


def test_types_are_coerced_and_the_index_is_made_new() -> None:
    frame = validate("universe", universe(rank=1.0, con_id="7").set_index(pd.Index([5])))
    assert str(frame["con_id"].dtype) == "int64"
    assert list(frame.index) == [0]


def test_lists_of_names_come_back_from_the_history_as_they_were(tmp_path: Path) -> None:
    bars, quotes = market(4, length=70)
    made = QuantScorer(ScoringSettings.model_validate({})).score(TechnicalIndicators().latest(bars, quotes), quotes)
    made["missing_signals"] = [[], ["range_52w_position"], ["rsi_7", "a name, with ' and \""], []]
    frame = validate("scores", made)
    history = History(tmp_path)
    version = history.append("scores", frame, slot=SLOT, **MADE)
    pd.testing.assert_frame_equal(history.frame(version.id), frame, check_exact=True)
    assert data_hash("scores", history.frame(version.id)) == version.data_hash
