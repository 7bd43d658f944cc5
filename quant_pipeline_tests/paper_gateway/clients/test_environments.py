"""The environments of the clients are made from their locks alone, once, and say why when they cannot be."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from quant_pipeline_tests.paper_gateway.clients.environments import CLIENTS, FOLDER, environment, place

SMALLEST = FOLDER / "locks" / "ibapi-9.81.1.lock"
LINE = re.compile(r"[a-z0-9-]+==[a-z0-9.]+( ; [a-z_]+ (<|>=) '[0-9.]+')? \\|    --hash=sha256:[0-9a-f]{64}( \\)?")


def test_every_client_but_the_projects_own_has_a_lock() -> None:
    locks = {path.name for path in (FOLDER / "locks").iterdir()}
    assert locks == {client.lock for client in CLIENTS if client.lock is not None}
    assert len(locks) == 3


@pytest.mark.parametrize("lock", sorted((FOLDER / "locks").iterdir()), ids=lambda path: path.stem)
def test_a_lock_holds_names_versions_and_hashes_only(lock: Path) -> None:
    for line in lock.read_text().splitlines():
        assert LINE.fullmatch(line), line


def test_an_environment_is_made_once_and_again_when_it_was_left_half_made(tmp_path: Path) -> None:
    python = environment(SMALLEST, tmp_path)
    version = subprocess.run(
        [python, "-W", "ignore", "-c", "import ibapi; print(ibapi.__version__)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert version.stdout.startswith("9.81.1")
    mark = python.parents[1] / "complete"
    made = mark.stat().st_mtime_ns
    assert environment(SMALLEST, tmp_path) == python
    assert mark.stat().st_mtime_ns == made
    mark.unlink()
    (python.parents[1] / "left over").touch()
    assert environment(SMALLEST, tmp_path) == python
    assert mark.exists()
    assert not (python.parents[1] / "left over").exists()


def test_a_lock_that_changed_or_another_python_has_an_environment_of_its_own(tmp_path: Path) -> None:
    changed = tmp_path / SMALLEST.name
    changed.write_text(SMALLEST.read_text() + "\n")
    places = {place(SMALLEST), place(changed), place(SMALLEST, version=(3, 13, 0))}
    assert len(places) == 3


def test_without_an_index_it_fails_and_says_what_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    with pytest.raises(pytest.fail.Exception, match="a package index must be in reach the first time"):
        environment(SMALLEST, tmp_path)
