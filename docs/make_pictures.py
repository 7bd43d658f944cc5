"""Makes the pictures of the README: what ``make run`` prints, and the Dagster UI with one slot materialised.

Run by hand when what they show has changed: ``.venv/bin/python docs/make_pictures.py``. Needs the development set-up
(``make test`` makes it) and Chromium. Works in a folder of its own, so the project's ``.quant`` is left alone.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
SLOT = "2026-11-20T10:15"
COLUMNS = 80
READY_SECONDS = 120.0
MILLISECONDS = 60_000.0
# The exported picture would fetch its font from the network; any fixed-width font of the reader's will do.
FONT_FROM_THE_NETWORK = re.compile(r"@font-face \{.*?\}\s*", flags=re.DOTALL)
SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def main() -> None:
    """Make all pictures."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        # The command names itself in what it prints: as it would in a clone.
        (project / ".venv").symlink_to(ROOT / ".venv")
        try:
            draw_run(run_slot(project))
            with served_ui(project) as url:
                photograph(url)
        finally:
            command(project, "gateway", "--stop")


def command(project: Path, *arguments: str) -> str:
    """What a command prints in a terminal of 80 columns, with its colours."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("QUANT_", "DAGSTER_"))}
    return subprocess.run(
        [".venv/bin/quant-pipeline", *arguments],
        cwd=project,
        env={**inherited, "FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def run_slot(project: Path) -> str:
    """Run one slot as ``make run`` does; the time is given, so that the pictures always show the same market."""
    return command(project, "run", "--at", SLOT)


def draw_run(printed: str) -> None:
    """Draw what was printed as it looks in a terminal."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text("$ make run", style="bold"))
    console.print(Text.from_ansi(printed.rstrip()))
    picture = FONT_FROM_THE_NETWORK.sub("", console.export_svg(title="make run", theme=MONOKAI))
    (IMAGES / "run.svg").write_text(picture, encoding="utf-8")


@contextmanager
def served_ui(project: Path) -> Iterator[str]:
    """The Dagster UI without the daemon, so that no sensor adds slots beside the one that was run."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = project / ".quant"
    process = subprocess.Popen(
        [ROOT / ".venv/bin/dagster-webserver", "-h", "127.0.0.1", "-p", str(port), "-w", ROOT / "workspace.yaml"],
        cwd=project,
        env={**os.environ, "QUANT_HOME": str(home), "DAGSTER_HOME": str(home / "dagster")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(url)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def wait_until_ready(url: str) -> None:
    """Return once the UI answers."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/server_info", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    sys.exit(f"The Dagster UI was not ready after {READY_SECONDS:.0f} s.")


def photograph(url: str) -> None:
    """Take the picture of the UI."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=SWITCHES)
        page = browser.new_page(viewport={"width": 1600, "height": 720})
        page.set_default_timeout(MILLISECONDS)
        lineage(page, url)
        browser.close()


def lineage(page: Page, url: str) -> None:
    """All assets with their groups opened, and nothing else that takes room."""
    page.goto(f"{url}/asset-groups/")
    page.get_by_text("Hide navigation").click()
    close_the_list_of_groups(page)
    page.keyboard.press("Alt+e")
    page.locator("svg").get_by_text("published_history", exact=True).wait_for()
    settle(page)
    page.screenshot(path=IMAGES / "lineage.png")


def close_the_list_of_groups(page: Page) -> None:
    """The button that closes it has no name; it stands beside the box to jump with."""
    box = page.get_by_placeholder("Jump to").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] + 22, box["y"] + box["height"] / 2)


def settle(page: Page) -> None:
    """Let drawings end that say nothing of when they do, with the pointer out of the way."""
    page.mouse.move(5, 5)
    page.wait_for_timeout(4000)


if __name__ == "__main__":
    main()
