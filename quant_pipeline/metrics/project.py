"""The dbt project of the metrics: where it is, what dbt is told when it runs, and the manifest that Dagster reads.

The SQL is dbt's (``dbt_metrics``); running it on a history is ``build``'s. ``assets.metrics`` asks here for the
manifest, which says what models there are. It depends on the project's files and dbt's version and on nothing else, so
it is kept in the user's cache, one for each state of the files, and beside it what dbt remembers of parsing them: homes
come and go, the source tree is not written to, and dbt takes five seconds to make either.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from quant_pipeline.errors import MetricsError
from quant_pipeline.history.file_lock import locked
from quant_pipeline.settings import Settings

PROJECT = Path(__file__).parents[2] / "dbt_metrics"
MANIFEST = "manifest.json"
PARSED = "partial_parse.msgpack"
PARSE_SECONDS = 120.0
KEPT_STATES = 8
# Parsing opens no history, but the profile wants a name.
NO_HISTORY = Path("no_history.duckdb")
_PARSING = "parsing-"
_MADE_BY_DBT = ("target", "logs", "dbt_packages")


def dbt_program() -> Path:
    """The ``dbt`` of this installation. Raises ``MetricsError`` when there is none."""
    beside = Path(sys.executable).with_name("dbt")
    found = str(beside) if beside.exists() else shutil.which("dbt")
    if found is None:
        raise MetricsError("dbt is not installed beside this Python; install the locked versions again with make.")
    return Path(found)


def dbt_environment(history: Path, target: Path) -> dict[str, str]:
    """What dbt reads from its environment: the file it works on, and where its files go, outside the source tree."""
    return {
        "DBT_PROFILES_DIR": str(PROJECT),
        "DBT_TARGET_PATH": str(target),
        "DBT_LOG_PATH": str(target),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DBT_USE_COLORS": "false",
        "DO_NOT_TRACK": "1",
        "QUANT_HISTORY": str(history),
        **_kept_bytecode(),
    }


def _kept_bytecode() -> dict[str, str]:
    """Variables that let a process keep what it compiles in our cache, where it may not beside the sources.

    dbt has two thousand modules: compiling them takes seconds, each time.
    """
    if not os.environ.get("PYTHONDONTWRITEBYTECODE"):
        return {}
    kept = os.environ.get("PYTHONPYCACHEPREFIX") or str(_cache().with_name("bytecode"))
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": kept}


def process_environment(history: Path, target: Path) -> dict[str, str]:
    """The environment of a dbt process: ours, without what the user may have told another dbt project."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DBT_")}
    return inherited | dbt_environment(history, target)


def build_arguments(settings: Settings) -> tuple[str, ...]:
    """What follows ``dbt`` to build every model and run every test of the data.

    The unit tests are of the models, not of the data: they run with the project's own tests.
    """
    told = ("--project-dir", str(PROJECT), "--vars", variables(settings))
    return ("build", *told, "--exclude-resource-type", "unit_test")


def variables(settings: Settings) -> str:
    """The settings that the metrics depend on, as JSON."""
    return json.dumps(settings.metrics.model_dump(mode="json"), sort_keys=True)


def manifest_path() -> Path:
    """The project as dbt describes it, with its files as they are now, made when there is none yet.

    Raises ``MetricsError`` with dbt's own words when the project cannot be parsed.
    """
    cache = _cache()
    made = cache / definitions_stamp() / MANIFEST
    if made.is_file():
        return made
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MetricsError(
            f"The folder {cache} cannot be used ({error.strerror}); mend that or set XDG_CACHE_HOME to another."
        ) from error
    with locked(cache / "parse.lock", PARSE_SECONDS, "The dbt project is being parsed"):
        if not made.is_file():
            _parse(made)
            _forget_the_oldest(cache)
    return made


def recall_parsing(target: Path) -> None:
    """Let dbt begin with what it knew of the project's files as they are, if a build in another home kept it.

    It saves the first build of a home the parsing, which takes longer than all the SQL of a small one.
    """
    kept = _cache() / definitions_stamp() / PARSED
    if kept.is_file() and not (target / PARSED).exists():
        shutil.copyfile(kept, target / PARSED)


def keep_parsing(target: Path) -> None:
    """Keep what dbt knows of the files after a build, for other homes; where the cache cannot be used, they parse."""
    kept = _cache() / definitions_stamp() / PARSED
    if kept.exists():
        return
    with suppress(OSError):
        known = (target / PARSED).read_bytes()
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
            beside = Path(scratch) / PARSED
            beside.write_bytes(known)
            beside.replace(kept)


def first_error(log: str) -> str:
    """The first error of a log that dbt wrote, in one line; empty when there is none."""
    lines = log.splitlines()
    for index, line in enumerate(lines):
        if "[error]" in line:
            told = [" ".join(words.split()) for words in lines[index : index + 6]]
            told[0] = told[0].partition("]: ")[2]
            sentence = " ".join(words for words in told if words and words != "Encountered an error:")
            return sentence[:300].rstrip(".")
    return ""


def _parse(manifest: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=_PARSING, dir=manifest.parents[1]) as scratch:
        target = Path(scratch)
        try:
            finished = subprocess.run(
                [dbt_program(), "parse", "--project-dir", PROJECT, "--no-partial-parse"],
                env=process_environment(NO_HISTORY, target),
                cwd=target,
                capture_output=True,
                text=True,
                timeout=PARSE_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise MetricsError(
                f"dbt did not parse {PROJECT} within {PARSE_SECONDS:g} s; try again on a quieter machine."
            ) from error
        parsed = target / MANIFEST
        if finished.returncode != 0 or not parsed.is_file():
            log = target / "dbt.log"
            words = first_error(log.read_text(encoding="utf-8")) if log.is_file() else finished.stderr.strip()
            raise MetricsError(f"The dbt project {PROJECT} cannot be parsed ({words}); correct it.")
        manifest.parent.mkdir(exist_ok=True)
        parsed.replace(manifest)


def _forget_the_oldest(cache: Path) -> None:
    states = [path for path in cache.iterdir() if path.is_dir() and not path.name.startswith(_PARSING)]
    for state in sorted(states, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT_STATES:]:
        shutil.rmtree(state, ignore_errors=True)


def _cache() -> Path:
    chosen = os.environ.get("XDG_CACHE_HOME")
    return (Path(chosen) if chosen else Path.home() / ".cache") / "quant-pipeline" / "dbt"


def definitions_stamp() -> str:
    """Sixteen hex digits that change when a file of the project or the version of dbt does."""
    digest = hashlib.sha256(f"{version('dbt-core')} {version('dbt-duckdb')}".encode())
    for path in _source_files():
        digest.update(path.relative_to(PROJECT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _source_files() -> Iterator[Path]:
    if not (PROJECT / "dbt_project.yml").is_file():
        raise MetricsError(f"The dbt project {PROJECT} is not there; install quant-pipeline from a whole clone.")
    for path in sorted(PROJECT.rglob("*")):
        if path.is_file() and path.relative_to(PROJECT).parts[0] not in _MADE_BY_DBT:
            yield path
