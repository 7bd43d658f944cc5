"""The list of settings: complete, and the same in the documentation as on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from quant_pipeline.cli.commands import commands
from quant_pipeline.cli.settings_reference import settings_reference
from quant_pipeline.settings import load_settings

# Its one value is the default, and it takes no text from a variable.
FIXED = "QUANT_RISK__ALLOW_DUPLICATE_SYMBOLS"
DOCUMENTED = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_documentation_is_what_the_command_prints() -> None:
    printed = CliRunner().invoke(commands, ["settings"])
    assert printed.exit_code == 0
    assert DOCUMENTED.read_text(encoding="utf-8") == printed.output, "run: quant-pipeline settings > docs/settings.md"


def rows() -> list[tuple[str, str]]:
    """Environment variable and default of every setting in the reference."""
    cells = [line.strip("| ").split(" | ") for line in settings_reference().splitlines() if line.startswith("| `")]
    return [(variable.strip("`"), default.strip("`")) for _, default, variable, _ in cells]


def test_every_default_is_accepted_through_the_variable_it_is_listed_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = load_settings(home=tmp_path)
    listed = [(variable, default) for variable, default in rows() if default != "unset" and variable != FIXED]
    assert len(listed) > 40
    for variable, default in listed:
        monkeypatch.setenv(variable, default)
    monkeypatch.setenv("QUANT_HOME", str(tmp_path))
    assert load_settings() == expected


def test_every_setting_has_a_meaning() -> None:
    meanings = [
        line.strip("| ").split(" | ")[3] for line in settings_reference().splitlines() if line.startswith("| `")
    ]
    assert all(meaning.strip() for meaning in meanings)
