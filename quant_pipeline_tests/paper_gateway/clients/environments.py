"""Environments of their own for the clients that may not be installed beside ib_insync, made once and kept.

Each is made from a lock file beside this module (names, versions and hashes only) in the user's cache folder, under a
key of the lock's content and the version of Python, so that a changed lock makes a new one. Test runs in parallel wait
for one another. Needs a package index the first time and nothing after. A lock is renewed with ``uv pip compile`` and
the options that ``make lock`` has.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
CACHE = Path.home() / ".cache" / "quant-pipeline" / "clients"
PATIENCE = 100.0
"""Seconds for one step of an installation; below the time a test may take."""


@dataclass(frozen=True)
class Client:
    """A client library, the script that speaks through it, and the server version it settles on.

    Attributes:
        name: What tests are called by.
        script: The trader beside this module.
        arguments: What the script is started with.
        version: The highest server version the library and the gateway share.
        lock: Its lock file; None for the library the project itself is built on.
    """

    name: str
    script: str
    arguments: tuple[str, ...]
    version: int
    lock: str | None = None

    @property
    def command(self) -> list[str]:
        """How its trader is started; the environment is made when it is not there yet."""
        python = sys.executable if self.lock is None else str(environment(FOLDER / "locks" / self.lock))
        return [python, str(FOLDER / self.script), *self.arguments]


CLIENTS = (
    Client("ib_insync-0.9.86", "trader_with_ib.py", ("ib_insync",), 176),
    Client("ib_async-2.1.0", "trader_with_ib.py", ("ib_async",), 176, "ib_async-2.1.0.lock"),
    Client("ibapi-9.81.1", "trader_with_ibapi.py", (), 157, "ibapi-9.81.1.lock"),
    Client("ibapi-10.50.2", "trader_with_ibapi.py", (), 176, "ibapi-10.50.2.lock"),
)


def place(lock: Path, cache: Path = CACHE, version: tuple[int, ...] = sys.version_info[:3]) -> Path:
    """Where the environment of a lock file and a version of Python lies."""
    content = hashlib.sha256(lock.read_bytes() + repr(version).encode()).hexdigest()
    return cache / f"{lock.stem}-{content[:16]}"


def environment(lock: Path, cache: Path = CACHE) -> Path:
    """The Python of the environment that a lock file describes; fails the test when it cannot be made."""
    home = place(lock, cache)
    python = home / "bin" / "python"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{home.name}.being-made").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        # The mark is written last: what was left behind half made is made again.
        if not (home / "complete").exists() or not python.exists():
            shutil.rmtree(home, ignore_errors=True)
            uv = Path(sys.executable).with_name("uv")
            _run(lock, [str(uv), "venv", "--quiet", "--python", sys.executable, str(home)])
            install = ["pip", "install", "--quiet", "--require-hashes", "--python", str(python), "-r", str(lock)]
            _run(lock, [str(uv), *install])
            (home / "complete").touch()
    return python


def _run(lock: Path, command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.fail(f"The environment of {lock.name} cannot be made: {error}. Is uv installed, and the index in reach?")
    if done.returncode:
        pytest.fail(
            f"The environment of {lock.name} cannot be made; a package index must be in reach the first time.\n"
            f"{' '.join(command[1:3])} said:\n{done.stderr.strip()}"
        )
