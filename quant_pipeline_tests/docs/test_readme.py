"""README and CONTRIBUTING say what is so: their commands run, their queries answer, their names exist.

Every command in them must be accounted for in ``TRIED``, so that a new one cannot come in untried.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import duckdb
import pytest

from quant_pipeline.automation.dagster_home import dagster_home
from quant_pipeline.cli.commands import commands
from quant_pipeline.cli.main import run_command
from quant_pipeline.definitions import build_definitions
from quant_pipeline.home import SETTINGS_FILE
from quant_pipeline.paper_gateway import embedded
from quant_pipeline.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
HISTORY_PAGE = (ROOT / "docs" / "history.md").read_text(encoding="utf-8")
METRICS_PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
TEXTS = {
    "README.md": README,
    "CONTRIBUTING.md": CONTRIBUTING,
    "docs/history.md": HISTORY_PAGE,
    "docs/metrics.md": METRICS_PAGE,
}
BEFORE, SLOT = "2026-11-18T10:15", "2026-11-20T10:15"
PROGRAM = "quant-pipeline"
SECONDS = 100

pytestmark = pytest.mark.timeout(240)

PARSED = "its options are read by test_commands_of_ours_are_spelt_right"
TRIED = {
    "make run": "test_make_knows_the_target; CI starts from a clean clone",
    "make test": "test_make_knows_the_target; CI runs it",
    "make check": "test_make_knows_the_target; CI runs it",
    "make up": "test_make_knows_the_target; cli/test_up.py runs what it runs",
    "make lock": "test_make_knows_the_target",
    "make bench": "test_make_knows_the_target; quant/indicators/test_benchmark.py tries what it times and writes",
    ".venv/bin/quant-pipeline run": "the fixture home",
    ".venv/bin/quant-pipeline run --at 2018-02-20T10:15 --bars daily.parquet --minute-bars minutes.parquet": PARSED,
    ".venv/bin/quant-pipeline status": "test_the_commands_of_the_table_work",
    ".venv/bin/quant-pipeline explain ZORU": "test_the_commands_of_the_table_work",
    ".venv/bin/quant-pipeline verify": "test_the_commands_of_the_table_work",
    ".venv/bin/quant-pipeline report": "test_the_questions_of_the_history_page_are_answered",
    ".venv/bin/quant-pipeline schema": "cli/test_references.py",
    "quant-pipeline explain ZORU": "test_the_commands_of_the_table_work",
    "quant-pipeline verify": "test_the_commands_of_the_table_work",
    "quant-pipeline report": "test_the_questions_of_the_history_page_are_answered",
    "quant-pipeline schema": "cli/test_references.py",
    "quant-pipeline backup": "test_a_backup_restores_and_the_history_is_exported",
    "quant-pipeline restore": "test_a_backup_restores_and_the_history_is_exported",
    "quant-pipeline restore all.tar.zst": "test_a_backup_restores_and_the_history_is_exported",
    "quant-pipeline export --out parquet": "test_a_backup_restores_and_the_history_is_exported",
    "quant-pipeline compact": "cli/test_compact.py",
    ".venv/bin/python -m docs.make_tear_sheet": "test_modules_that_are_named_start",
    ".venv/bin/quant-pipeline doctor": "test_the_paper_account_block_satisfies_the_doctor",
    ".venv/bin/quant-pipeline compact": "cli/test_compact.py",
    ".venv/bin/quant-pipeline gateway": "cli/test_gateway_command.py",
    ".venv/bin/quant-pipeline settings": "test_the_commands_of_the_table_work",
    ".venv/bin/quant-pipeline signals": "test_the_commands_of_the_table_work",
    ".venv/bin/quant-pipeline indicators": "test_the_commands_of_the_table_work",
    ".venv/bin/quant-pipeline up": "cli/test_up.py",
    "quant-pipeline settings": "cli/test_settings_reference.py",
    "quant-pipeline signals": "cli/test_references.py",
    "quant-pipeline indicators": "cli/test_references.py",
    ".venv/bin/dagster dev": "cli/test_up.py, which starts it",
    "export DAGSTER_HOME=$PWD/.quant/dagster": "test_the_dagster_home_is_where_it_is_said_to_be",
    ".venv/bin/dagster job execute -m quant_pipeline.definitions -j end_of_day": "test_the_end_of_day_runs_without_up",
    "export QUANT_IB_HOST=127.0.0.1 QUANT_IB_PORT=4002": "test_the_paper_account_block_satisfies_the_doctor",
    ".venv/bin/quant-pipeline backup": "test_a_backup_restores_and_the_history_is_exported",
    ".venv/bin/quant-pipeline restore all.tar.zst": "test_a_backup_restores_and_the_history_is_exported",
    ".venv/bin/quant-pipeline export --out parquet": "test_a_backup_restores_and_the_history_is_exported",
    "export QUANT_CAPITAL=100000": "test_the_paper_account_block_satisfies_the_doctor",
    ".venv/bin/python docs/make_pictures.py": "test_scripts_that_are_named_exist",
    ".venv/bin/python -m docs.make_funnel daily.parquet": "test_modules_that_are_named_start",
    ".venv/bin/python -m benchmarks.indicators --quick": "test_modules_that_are_named_start",
    "apt install chromium": "CI installs it",
    "pre-commit install": "test_scripts_that_are_named_exist",
}
STARTS = ("make ", "quant-pipeline ", ".venv/bin/", "export ", "dagster ", "apt ", "pre-commit ", "python ", "duckdb ")


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language, without their common indent."""
    fenced = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, flags=re.DOTALL | re.MULTILINE)
    return ["\n".join(line.removeprefix(indent) for line in body.splitlines()) for indent, body in fenced]


def commands_in(text: str) -> Iterator[str]:
    for block in blocks(text, "sh"):
        yield from (line for line in block.splitlines() if line.strip())
    without_blocks = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)
    yield from (span for span in re.findall(r"`([^`\n]+)`", without_blocks) if span.startswith(STARTS))


ALL_COMMANDS = sorted({command for text in TEXTS.values() for command in commands_in(text)})
OURS = [command for command in ALL_COMMANDS if re.match(rf"(\.venv/bin/)?{PROGRAM}\b", command)]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder as a clone looks after ``make run`` on two mornings: the environment, and a home with their slots."""
    folder = tmp_path_factory.mktemp("clone")
    (folder / ".venv").symlink_to(Path(sys.prefix))
    try:
        for at in (BEFORE, SLOT):
            done = shell(folder, f".venv/bin/quant-pipeline run --at {at}", QUANT_BROKER__MESSAGES_PER_SECOND="0")
            assert done.returncode == 0, done.stderr
        yield folder
    finally:
        embedded.stop(folder / ".quant")


def shell(folder: Path, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("QUANT_", "DAGSTER_"))}
    return subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=folder,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_every_command_is_accounted_for() -> None:
    assert set(ALL_COMMANDS) == set(TRIED)


@pytest.mark.parametrize("command", [command for command in OURS if command != "quant-pipeline restore"])
def test_commands_of_ours_are_spelt_right(command: str) -> None:
    name, *options = shlex.split(command)[1:]
    chosen = commands.commands[name]
    chosen.make_context(name, options)


@pytest.mark.parametrize("option", sorted(set(re.findall(r"`(--[a-z-]+)", README))))
def test_options_that_are_named_exist(option: str) -> None:
    known = {
        spelling
        for command in commands.commands.values()
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for spelling in parameter.opts
    }
    assert option in known


@pytest.mark.parametrize("command", [command for command in ALL_COMMANDS if command.startswith("make ")])
def test_make_knows_the_target(command: str) -> None:
    done = subprocess.run(
        ["make", "-n", *shlex.split(command)[1:]], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr


def test_scripts_that_are_named_exist() -> None:
    assert (ROOT / "docs" / "make_pictures.py").is_file()
    assert (ROOT / ".pre-commit-config.yaml").is_file()


@pytest.mark.parametrize("command", [command for command in ALL_COMMANDS if "python -m " in command])
def test_modules_that_are_named_start(command: str) -> None:
    """They are imported and know the options; what they take minutes for is not begun."""
    done = shell(ROOT, f"{shlex.quote(sys.executable)} {command.partition(' ')[2]} --help")
    assert done.returncode == 0, done.stderr
    assert "usage: " in done.stdout


@pytest.mark.parametrize(
    "subcommand", ["status", "status --json", "explain ZORU", "verify", "settings", "signals", "indicators"]
)
def test_the_commands_of_the_table_work(
    clone: Path, subcommand: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith(("QUANT_", "DAGSTER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(clone)
    status = run_command(shlex.split(subcommand))
    printed = capsys.readouterr()
    assert status == 0, printed.err
    assert printed.out
    assert printed.err == ""


def test_a_backup_restores_and_the_history_is_exported(clone: Path) -> None:
    made = shell(clone, ".venv/bin/quant-pipeline backup --out all.tar.zst")
    assert made.returncode == 0, made.stderr
    restored = shell(clone, ".venv/bin/quant-pipeline restore all.tar.zst", QUANT_HOME=str(clone / "another"))
    assert restored.returncode == 0, restored.stderr
    exported = shell(clone, ".venv/bin/quant-pipeline export --out parquet")
    assert exported.returncode == 0, exported.stderr
    assert (clone / "parquet" / "current" / "scores.parquet").is_file()


def test_the_paper_account_block_satisfies_the_doctor(clone: Path) -> None:
    """With the paper gateway in the place of IB Gateway, on the port it has."""
    (block,) = [block for block in blocks(README, "sh") if "QUANT_IB_HOST" in block]
    gateway = embedded.running(clone / ".quant")
    assert gateway is not None
    # Against a broker that is not embedded the clocks must agree, and the paper gateway's stands in the past.
    done = shell(
        clone, block.replace("4002", str(gateway.port)), QUANT_EXECUTION__MAX_CLOCK_SKEW_SECONDS=str(10 * 365 * 86400)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"connected to 127.0.0.1:{gateway.port}" in done.stdout


def test_the_dagster_home_is_where_it_is_said_to_be(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "restored after the test")
    assert dagster_home(clone / ".quant") == clone / ".quant" / "dagster"
    assert any((clone / ".quant" / "dagster").iterdir())


def test_the_end_of_day_runs_without_up(clone: Path) -> None:
    (block,) = blocks(METRICS_PAGE, "sh")
    done = shell(clone, block)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (clone / ".quant" / "report.html").is_file()
    with duckdb.connect(str(clone / ".quant" / "history.duckdb"), read_only=True) as history:
        assert history.execute("SELECT count(*) FROM metrics.slot_health").fetchone() == (2,)


@pytest.mark.parametrize("query", [part.strip() for block in blocks(README, "sql") for part in block.split(";")][:-1])
def test_the_queries_answer_on_a_published_history(clone: Path, query: str) -> None:
    with duckdb.connect(str(clone / ".quant" / "history.duckdb"), read_only=True) as history:
        assert history.execute(query).fetchall()


@pytest.fixture(scope="module")
def lived_in(clone: Path) -> Path:
    """A published history with closed trades and metrics: two mornings, and the report."""
    done = shell(clone, ".venv/bin/quant-pipeline report")
    assert done.returncode == 0, done.stderr
    return clone / ".quant" / "history.duckdb"


def test_there_are_ten_questions() -> None:
    assert len(blocks(HISTORY_PAGE, "sql")) == 10


@pytest.mark.parametrize("query", blocks(HISTORY_PAGE, "sql"))
def test_the_questions_of_the_history_page_are_answered(lived_in: Path, query: str) -> None:
    with duckdb.connect(str(lived_in), read_only=True) as history:
        assert history.execute(query).fetchall()


def test_the_python_that_is_shown_runs_on_a_published_history(clone: Path) -> None:
    (example,) = blocks(README, "python")
    shown = subprocess.run(
        [sys.executable, "-c", example], cwd=clone, capture_output=True, text=True, timeout=100, check=False
    )
    assert shown.returncode == 0, shown.stderr
    assert "spread_pct" in shown.stdout


def test_the_schemas_that_are_named_are_in_the_published_history(clone: Path) -> None:
    table = README[README.index("| schema | holds |") :].partition("\n\n")[0]
    with duckdb.connect(str(clone / ".quant" / "history.duckdb"), read_only=True) as history:
        for schema in re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE):
            example = {"lineage": "materializations", "journal": "intents", "metrics": None}.get(schema, "scores")
            if example is None:
                continue  # it is filled by the report, which the questions of the history page are tried after
            assert history.execute(f"SELECT count(*) FROM {schema}.{example}").fetchone() != (0,)


def test_the_settings_file_that_is_shown_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = blocks(README, "toml")
    (tmp_path / SETTINGS_FILE).write_text(example, encoding="utf-8")
    monkeypatch.setenv("QUANT_HOME", str(tmp_path))
    monkeypatch.setenv("QUANT_IB_HOST", "127.0.0.1")
    monkeypatch.setenv("QUANT_IB_PORT", "4001")
    settings = load_settings()
    assert {name: getattr(settings, name) for name in tomllib.loads(example)} == tomllib.loads(example)


@pytest.mark.parametrize(
    ("section", "name"),
    sorted({
        (section, name)
        for section, name in re.findall(r"`([a-z_]+)\.([a-z_]+)`", README)
        if section in Settings.model_fields
    }),
)  # fmt: skip
def test_settings_that_are_named_exist(section: str, name: str) -> None:
    assert name in type(getattr(Settings(), section)).model_fields


@pytest.mark.parametrize("variable", sorted(set(re.findall(r"\b(QUANT_[A-Z_]+)", README + CONTRIBUTING))))
def test_variables_that_are_named_exist(variable: str) -> None:
    assert variable.removeprefix("QUANT_").lower() in Settings.model_fields


def test_the_stages_hold_the_assets_that_the_table_says(tmp_path: Path) -> None:
    table = README[README.index("| stage | assets |") :].partition("\n\n")[0]
    said = {
        stage: set(re.findall(r"`(\w+)`", assets))
        for stage, assets in re.findall(r"^\| (\w+) \| (`.*) \|$", table, flags=re.MULTILINE)
    }
    found: dict[str, set[str]] = {}
    for spec in build_definitions(Settings(home=tmp_path), metrics=True).resolve_all_asset_specs():
        found.setdefault(spec.group_name or "", set()).add(spec.key.path[-1])
    assert said == found


def test_the_folders_that_contributors_are_told_of_are_the_rooms_of_the_package() -> None:
    table = CONTRIBUTING[CONTRIBUTING.index("| folder |") :].partition("\n\n")[0]
    rooms = {path.parent.name for path in (ROOT / "quant_pipeline").glob("*/__init__.py")}
    assert set(re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)) == rooms


@pytest.mark.parametrize(("page", "target"), [
    (page, target) for page, text in TEXTS.items() for target in re.findall(r"\]\(([^)#]+)\)", text)
    if not target.startswith("http")
])  # fmt: skip
def test_links_lead_somewhere(page: str, target: str) -> None:
    assert (ROOT / page).parent.joinpath(target).is_file()


def test_pictures_need_nothing_from_the_network() -> None:
    picture = (ROOT / "docs" / "images" / "run.svg").read_text(encoding="utf-8")
    assert "@font-face" not in picture
    assert "@import" not in picture
