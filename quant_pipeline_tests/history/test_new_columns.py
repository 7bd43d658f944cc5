"""A history from before a column existed: it gets the column, old rows are missing in it, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from quant_pipeline.frames import FRAMES, validate
from quant_pipeline.history.columns import columns_of
from quant_pipeline.history.schema import table_columns
from quant_pipeline.history.store import History, data_hash
from quant_pipeline_tests.history.recorded_frames import MADE, SLOT, STARTED


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path, wait_seconds=10)


@pytest.mark.parametrize(
    ("asset", "added"),
    [
        ("account", ["daily_pnl"]),
        ("sized_orders", ["limits"]),
        (
            "portfolio_status",
            ["daily_pnl", "long_value", "short_value", "gross_exposure_pct", "net_exposure_pct", "worst_positions"],
        ),
    ],
)
def test_a_file_from_before_a_column_keeps_its_rows_and_takes_new_ones(
    history: History, tmp_path: Path, asset: str, added: list[str]
) -> None:
    nested = {column.name for column in columns_of(asset) if column.nested}
    before = one_row(asset).assign(**{name: None if name in nested else np.nan for name in added})
    made = history.append(asset, before, slot=SLOT, **MADE)
    forget_columns(tmp_path / "working" / "history.duckdb", asset, added)
    program_of_today = History(tmp_path)
    old = program_of_today.frame(made.id)
    pd.testing.assert_frame_equal(old, validate(asset, before))
    assert data_hash(asset, validate(asset, old)) == made.data_hash
    again = program_of_today.append(asset, one_row(asset), slot=SLOT, **MADE)
    assert program_of_today.frame(again.id)[added].notna().to_numpy().all()
    with duckdb.connect(program_of_today.publish(), read_only=True) as reader:
        kept = ", ".join(f"count({name})" for name in added)
        assert reader.execute(f"SELECT count(*), {kept} FROM history.{asset}").fetchone() == (2, *[1] * len(added))
        assert reader.execute(f"SELECT {kept} FROM current.{asset}").fetchone() == (*[1] * len(added),)


def one_row(asset: str) -> pd.DataFrame:
    """A row of ones, empty lists and the first of what a column chooses from."""
    values = {column.name: [[]] if column.nested else [1] for column in columns_of(asset)}
    for name, column in FRAMES[asset].columns.items():
        for check in column.checks:
            if check.name == "isin":
                values[name] = [check.statistics["allowed_values"][0]]
    instants = {name: pd.to_datetime([STARTED]) for name in values if name.endswith("_at")}
    return validate(asset, pd.DataFrame({**values, **instants}))


def forget_columns(working: Path, asset: str, names: list[str]) -> None:
    """Make of a history file what a program left that did not know some columns; its view stays as it was."""
    view = ", ".join(f'"{name}"' for name, *_ in table_columns(asset) if name not in names)
    with duckdb.connect(working) as connection:
        connection.execute(f"CREATE OR REPLACE VIEW current.{asset} AS SELECT {view} FROM main.{asset}")
        for name in names:
            connection.execute(f'ALTER TABLE main.{asset} DROP COLUMN "{name}"')
