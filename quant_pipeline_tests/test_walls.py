"""The walls of the house, read from the imports themselves."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "quant_pipeline"
MODULES = sorted(PACKAGE.rglob("*.py"))


@cache
def imports_of(path: Path) -> frozenset[str]:
    return frozenset(_imported(path))


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively; the walls read absolute names"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def importers_of(*prefixes: str) -> set[str]:
    return {
        path.relative_to(PACKAGE).as_posix()
        for path in MODULES
        for name in imports_of(path)
        if any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)
    }


def test_only_the_broker_room_imports_the_client_library() -> None:
    importers = importers_of("ib_insync", "eventkit")
    assert importers, "the test would pass on an empty tree"
    assert {name for name in importers if not name.startswith("broker/")} == set()


def test_only_act_and_the_broker_room_know_how_to_send_orders() -> None:
    importers = importers_of("quant_pipeline.broker.orders")
    assert "assets/act.py" in importers
    assert {name for name in importers if not name.startswith("broker/")} == {"assets/act.py"}


@pytest.mark.parametrize("room", ["broker", "history", "assets", "automation", "paper_gateway", "verification", "cli"])
def test_quant_is_pure(room: str) -> None:
    assert not {name for name in importers_of(f"quant_pipeline.{room}") if name.startswith("quant/")}


def test_quant_and_history_know_nothing_of_dagster() -> None:
    importers = importers_of("dagster")
    assert importers
    assert not {name for name in importers if name.startswith(("quant/", "history/", "broker/", "paper_gateway/"))}


def test_dagsters_dbt_library_which_takes_seconds_to_load_is_imported_in_one_place() -> None:
    assert importers_of("dagster_dbt") == {"assets/metrics.py"}
    assert importers_of("quant_pipeline.assets.metrics") == {"definitions.py"}
    named = "from quant_pipeline.assets.metrics import"
    definitions = (PACKAGE / "definitions.py").read_text(encoding="utf-8").splitlines()
    assert [line.startswith(" ") for line in definitions if named in line] == [True], "only when the metrics are wanted"


def test_the_metrics_room_reads_the_history_and_knows_neither_broker_nor_dagster() -> None:
    assert importers_of("quant_pipeline.metrics")
    others = ("dagster", "quant_pipeline.broker", "quant_pipeline.assets", "quant_pipeline.paper_gateway")
    assert not {name for name in importers_of(*others) if name.startswith("metrics/")}


def test_verification_knows_neither_broker_nor_dagster_and_nothing_it_verifies_knows_it() -> None:
    others = ("dagster", "quant_pipeline.broker", "quant_pipeline.assets", "quant_pipeline.paper_gateway")
    assert not {name for name in importers_of(*others) if name.startswith("verification/")}
    users = {name for name in importers_of("quant_pipeline.verification") if not name.startswith("verification/")}
    assert users == {"cli/verify.py"}


def test_the_paper_gateway_does_not_borrow_from_the_client_it_stands_in_for() -> None:
    assert not {name for name in importers_of("quant_pipeline.broker") if name.startswith("paper_gateway/")}


def test_every_module_opens_with_what_belongs_there() -> None:
    silent = [
        path.relative_to(PACKAGE).as_posix()
        for path in MODULES
        if path.stat().st_size and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []
