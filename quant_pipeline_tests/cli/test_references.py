"""The pages on signals and indicators: complete, and the same in the documentation as on the command line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from quant_pipeline.cli.commands import commands
from quant_pipeline.cli.indicators_reference import indicators_reference
from quant_pipeline.cli.schema_reference import SCHEMAS, schema_reference
from quant_pipeline.cli.signals_reference import signals_reference
from quant_pipeline.frames import FRAMES
from quant_pipeline.quant.indicators.table import INDICATORS
from quant_pipeline.quant.signals import SIGNAL_NAMES
from quant_pipeline.settings import load_settings

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", ["signals", "indicators", "schema"])
def test_the_documentation_is_what_the_command_prints(name: str) -> None:
    printed = CliRunner().invoke(commands, [name])
    assert printed.exit_code == 0
    documented = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    assert documented == printed.output, f"run: quant-pipeline {name} > docs/{name}.md"


def test_every_table_and_column_says_what_it_is() -> None:
    # The one table without: a comment beside a column's default cannot be read back from DuckDB's log.
    page = schema_reference().replace("| `version` | INTEGER |  |\n", "").replace("| `since` | TIMESTAMPTZ |  |\n", "")
    assert set(re.findall(r"^### (\w+)\.", page, flags=re.MULTILINE)) == set(SCHEMAS) - {"current"}
    assert len(re.findall(r"^### history\.", page, flags=re.MULTILINE)) == len(FRAMES) + 1
    assert re.findall(r"^\|[^|]+\|[^|]+\|\s*\|$", page, flags=re.MULTILINE) == []


def test_every_signal_is_explained_once() -> None:
    rows = re.findall(r"^\| [^|]+, `(\w+)` \|", signals_reference(), flags=re.MULTILINE)
    assert sorted(rows) == sorted(SIGNAL_NAMES)


def test_every_indicator_is_explained_once_and_those_that_are_scored_are_marked() -> None:
    rows = re.findall(r"^\| `(\w+)`( \*)? \|", indicators_reference(), flags=re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted(indicator.name for indicator in INDICATORS)
    assert {name for name, star in rows if star} == set(SIGNAL_NAMES)


@pytest.mark.parametrize("page", [signals_reference, indicators_reference])
def test_every_row_of_a_table_has_as_many_cells_as_its_head(page) -> None:
    tables = re.findall(r"(?:^\|.*\n?)+", page(), flags=re.MULTILINE)
    assert tables
    for table in tables:
        widths = {len(re.findall(r"(?<!\\)\|", row)) for row in table.strip().splitlines()}
        assert len(widths) == 1, table


def test_the_example_of_other_parameters_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", signals_reference(), flags=re.DOTALL)
    (tmp_path / "quant_pipeline.toml").write_text(example, encoding="utf-8")
    scoring = load_settings(home=tmp_path).scoring
    assert scoring.signals["rsi_14"].weight == 0.2
    assert scoring.weights.momentum == 0.35
