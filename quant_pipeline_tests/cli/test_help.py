"""The help of a command tells a newcomer what it does, how it is written and how it ends."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from quant_pipeline.cli.commands import commands
from quant_pipeline_tests.cli.conftest import Run

EXAMPLE = re.compile(r"^ +(?:[A-Z_]+=\S+ )?quant-pipeline (.*?)(?: {2,}.*| [|>] .*)?$", re.MULTILINE)
ENDS_OTHERWISE = ("status", "explain", "report", "verify", "backup", "restore", "export", "compact")
"""Commands that may end with another status than 0, which whoever calls them from a script must know."""


def test_the_whole_begins_with_how_to_begin_and_says_how_it_ends(here: Run) -> None:
    told = here("--help")
    assert told.returncode == 0
    assert [example.split()[0] for example in EXAMPLE.findall(told.stdout)] == ["run", "status", "explain"]
    for word in ("QUANT_HOME", "0;", "1 when", "2 when", "130", "stderr"):
        assert word in told.stdout


@pytest.mark.parametrize("name", ["explain", "report", "verify", "backup", "restore", "export", "compact", "schema"])
def test_every_command_that_reads_the_record_has_an_example_that_can_be_written(here: Run, name: str) -> None:
    told = here(name, "--help").stdout
    examples = EXAMPLE.findall(told)
    assert examples
    for example in examples:
        assert example.split()[0] == name
        assert isinstance(commands.commands[name].make_context(name, shlex.split(example)[1:]), click.Context)


@pytest.mark.parametrize("name", ENDS_OTHERWISE)
def test_a_command_that_may_end_otherwise_says_when(here: Run, name: str) -> None:
    assert re.search(r"Ends with status [12] when", here(name, "--help").stdout)


@pytest.mark.parametrize("name", list(commands.commands))
def test_help_fits_a_terminal(here: Run, name: str) -> None:
    assert all(len(line) <= 80 for line in here(name, "--help").stdout.splitlines())
