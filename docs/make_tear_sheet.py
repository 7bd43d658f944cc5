"""Makes the pictures of the tear sheet, on a desk and on a phone, from a generated half year.

Run by hand when the page has changed, from the project's root: ``.venv/bin/python -m docs.make_tear_sheet``. Needs the
development set-up (``make test`` makes it) and Chromium, takes a few minutes and works in a folder of its own. With
``--history FILE`` it takes a published history that is there instead.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from benchmarks.generated_year import generate
from docs.make_pictures import IMAGES, SWITCHES
from quant_pipeline.metrics.build import build_metrics
from quant_pipeline.metrics.tear_sheet import write_tear_sheet
from quant_pipeline.settings import load_settings

SESSIONS = 126
DESK, PHONE = (1280, 1560), (375, 1000)


def main(history: Path | None) -> None:
    """Make both pictures."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        published = history or measured_half_year(home)
        photograph(write_tear_sheet(published, Path(folder) / "report.html"))


def measured_half_year(home: Path) -> Path:
    """The published history of a generated half year, with its metrics."""
    generate(home, sessions=SESSIONS, appended=0)
    return build_metrics(load_settings(home=home)).published


def photograph(sheet: Path) -> None:
    """Take the top of the page as it looks on a desk, and on a phone in the dark."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=SWITCHES)
        take(browser, sheet, "tear_sheet.png", DESK)
        take(browser, sheet, "tear_sheet_phone.png", PHONE, dark=True)
        browser.close()


def take(browser: Browser, sheet: Path, name: str, size: tuple[int, int], *, dark: bool = False) -> None:
    """One picture; that of a phone has two pixels for each of the page's, as phones have."""
    page = browser.new_page(
        viewport={"width": size[0], "height": size[1]},
        device_scale_factor=2 if dark else 1,
        color_scheme="dark" if dark else "light",
    )
    page.goto(sheet.as_uri())
    page.screenshot(path=IMAGES / name)
    page.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--history", type=Path, help="a published history with metrics, instead of a generated one")
    main(parser.parse_args().history)
