"""``quant-pipeline up`` in a real browser: the graph is there, a click runs a slot, Ctrl-C ends everything."""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from quant_pipeline.paper_gateway import embedded
from quant_pipeline_tests.cli.conftest import SLOT, Run, assert_refused, clean_environment

CHROMIUM = shutil.which("chromium")
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
READY_SECONDS = 150.0
RUN_SECONDS = 90.0
END_SECONDS = 40.0
UI_MILLISECONDS = 60_000.0
ASSETS = ("universe", "quotes", "bars", "quality_filter", "indicators", "scores", "sized_orders", "executions")
RUNS = """{ runsOrError(limit: 20) { ... on Runs { results { status tags { key value } } } } }"""

pytestmark = [
    pytest.mark.timeout(300),
    # In CI a missing browser is an error, not a reason to look away.
    pytest.mark.skipif(CHROMIUM is None and not os.environ.get("CI"), reason="chromium is not installed"),
]


@dataclass(frozen=True)
class Served:
    """A running ``quant-pipeline up``."""

    process: subprocess.Popen[str]
    url: str
    home: Path


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("up")
    home = folder / "home"
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "quant_pipeline", "up", "--port", str(port), "--at", SLOT],
        cwd=folder,
        env=clean_environment(home, QUANT_BROKER__MESSAGES_PER_SECOND="0", QUANT_UNIVERSE__SIZE="12"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_for_line(process, "Ready: http://127.0.0.1:")
        yield Served(process, f"http://127.0.0.1:{port}", home)
    finally:
        end_for_certain(process, home)


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM or "chromium", args=SWITCHES)
        page = browser.new_page(viewport={"width": 1600, "height": 900})
        page.set_default_timeout(UI_MILLISECONDS)
        expect.set_options(timeout=UI_MILLISECONDS)
        try:
            yield page
        finally:
            browser.close()


def test_the_sensor_runs_the_slot_that_is_going_on(up: Served) -> None:
    runs = wait_for_runs(up, 1)
    assert runs[0]["dagster/partition"] == SLOT
    assert runs[0]["dagster/sensor_name"] == "every_slot"


def test_a_click_in_the_job_graph_runs_the_slot(up: Served, page: Page) -> None:
    wait_for_runs(up, 1)
    page.goto(f"{up.url}/locations/quant_pipeline/jobs/slot")
    page.get_by_role("button", name="Materialize all").click()
    page.get_by_text("Select a partition or create one").click()
    page.get_by_text(SLOT, exact=True).first.click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Launch").click()
    by_hand = [run for run in wait_for_runs(up, 2) if "dagster/sensor_name" not in run]
    assert [run["dagster/partition"] for run in by_hand] == [SLOT]
    page.goto(f"{up.url}/runs")
    expect(page.get_by_text("Manually launched")).to_have_count(1)
    expect(page.get_by_text(re.compile("^Success$"))).to_have_count(2)


def test_the_lineage_of_the_orders_leads_to_the_bars(up: Served, page: Page) -> None:
    page.goto(f"{up.url}/assets/executions?view=lineage&lineageScope=upstream&lineageDepth=10")
    graph = page.locator("svg")
    for asset in ASSETS:
        expect(graph.get_by_text(asset, exact=True).first).to_be_visible()
    expect(graph.get_by_text("published_history", exact=True)).to_have_count(0)


def test_the_trades_stand_between_the_orders_and_the_tear_sheet(up: Served, page: Page) -> None:
    page.goto(f"{up.url}/assets/trades?view=lineage&lineageScope=neighbors")
    graph = page.locator("svg")
    for asset in ("sized_orders", "executions", "trades", "tear_sheet"):
        expect(graph.get_by_text(asset, exact=True).first).to_be_visible()
    expect(graph.get_by_text("universe", exact=True)).to_have_count(0)


def test_a_second_up_on_the_same_home_or_port_is_refused(up: Served, quant_pipeline: Run) -> None:
    port = up.url.rpartition(":")[2]
    assert_refused(quant_pipeline("up", "--port", port), 2, port, "in use")
    assert_refused(quant_pipeline("up", "--port", str(free_port()), QUANT_HOME=str(up.home)), 2, "is running on")


def test_ctrl_c_ends_everything_that_was_started(up: Served) -> None:
    started = descendants(up.process.pid)
    gateway = embedded.running(up.home)
    assert gateway is not None
    assert len(started) >= 4, "the UI, the daemon and the code server are processes of their own"
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(timeout=END_SECONDS) == 0
    assert {pid for pid in {*started, gateway.pid} if is_alive(pid)} == set()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_line(process: subprocess.Popen[str], beginning: str) -> None:
    """Read what the process says, and go on reading, so that it never waits for us."""
    said: queue.Queue[str] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            said.put(line)

    threading.Thread(target=read, daemon=True).start()
    deadline = time.monotonic() + READY_SECONDS
    lines = []
    while time.monotonic() < deadline:
        try:
            lines.append(said.get(timeout=1.0))
        except queue.Empty:
            assert process.poll() is None, "".join(lines)
            continue
        if lines[-1].startswith(beginning):
            return
    pytest.fail(f"not ready after {READY_SECONDS:g} s: {''.join(lines)}")


def wait_for_runs(up: Served, succeeded: int) -> list[dict[str, str]]:
    """Tags of the runs that succeeded, newest first, once there are so many; a run that failed ends the wait."""
    deadline = time.monotonic() + RUN_SECONDS
    runs: list[dict[str, Any]] = []
    while time.monotonic() < deadline:
        runs = ask(up, RUNS)["runsOrError"]["results"]
        assert not [run for run in runs if run["status"] in {"FAILURE", "CANCELED"}], runs
        done = [run for run in runs if run["status"] == "SUCCESS"]
        if len(done) >= succeeded:
            return [{tag["key"]: tag["value"] for tag in run["tags"]} for run in done]
        time.sleep(0.5)
    pytest.fail(f"{succeeded} runs should have succeeded within {RUN_SECONDS:g} s: {runs}")


def ask(up: Served, query: str) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{up.url}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)["data"]


def descendants(pid: int) -> set[int]:
    """All processes that a process has started, and theirs, as /proc has them now."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        for child in children.get(waiting.pop(), []):
            found.add(child)
            waiting.append(child)
    return found


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and only waits to be taken note of does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def end_for_certain(process: subprocess.Popen[str], home: Path) -> None:
    """Leave nothing running, whatever the tests found."""
    left = descendants(process.pid)
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=END_SECONDS)
    for pid in left:
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)
    embedded.stop(home)
