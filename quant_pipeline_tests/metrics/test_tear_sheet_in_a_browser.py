"""The tear sheet in a real browser without a network: on a desk and on a phone, in the light and in the dark."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from quant_pipeline.metrics.tear_sheet import write_tear_sheet
from quant_pipeline_tests.metrics.measured_history import Scenario, write_history

CHROMIUM = shutil.which("chromium")
SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
DESK, PHONE = 1280, 375
READABLE_PIXELS = 9.0
LONG_NAME = "A" * 60
WORDS_IN_PICTURES = """() => [...document.querySelectorAll('svg.chart text')].map(text => {
    const scale = text.ownerSVGElement.getScreenCTM().a;
    return scale * parseFloat(getComputedStyle(text).fontSize);
})"""
WORDS_CUT_OFF = """() => [...document.querySelectorAll('svg.chart')].flatMap(svg => {
    const frame = svg.getBoundingClientRect();
    return [...svg.querySelectorAll('text')].filter(text => {
        const box = text.getBoundingClientRect();
        return box.left < frame.left - 2 || box.right > frame.right + 2 || box.bottom > frame.bottom + 2;
    }).map(text => text.textContent);
})"""
IS_CUT = "one => one.scrollWidth > one.clientWidth + 1"
LAST_COLUMN_BEYOND = """one => one.querySelector('thead th:last-child').getBoundingClientRect().right
    - one.getBoundingClientRect().right"""
FIRST_COLUMN_SHARE = """one => one.querySelector('tbody td').getBoundingClientRect().width / one.clientWidth"""
ROWS_OF_CARDS = """() => [...document.querySelectorAll('.cards')].flatMap(cards => {
    const rows = new Map();
    for (const card of cards.children) {
        const box = card.getBoundingClientRect();
        rows.set(box.top, [...(rows.get(box.top) ?? []), box]);
    }
    return [...rows.values()].map(row => ({
        bottoms: row.map(box => box.bottom), right: cards.getBoundingClientRect().right,
        filled: Math.max(...row.map(box => box.right)),
    }));
})"""

pytestmark = [
    # In CI a missing browser is an error, not a reason to look away.
    pytest.mark.skipif(CHROMIUM is None and not os.environ.get("CI"), reason="chromium is not installed"),
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of two accounts, one of them with names as long and as odd as they can be."""
    folder = tmp_path_factory.mktemp("browser")
    odd = Scenario(account="U2222222", seed=9, sessions=3, symbols=(LONG_NAME, "<b>&amp;</b>"))
    history = write_history(
        folder / "history.duckdb", replace(odd, account="DU1111111", sessions=90, symbols=("ALFA", "BRVO")), odd
    )
    return write_tear_sheet(history, folder / "page.html").as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM or "chromium", args=SWITCHES)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that has no network."""
    context = browser.new_context(offline=True)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_it_asks_for_nothing_and_complains_of_nothing(page: Page, url: str, width: int) -> None:
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(url)
    page.wait_for_load_state("networkidle")
    assert asked == [url]
    assert said == []


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_the_page_never_scrolls_sideways_though_its_tables_do(page: Page, url: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(url)
    for folded in page.locator("details").all():
        folded.evaluate("element => element.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    tables = page.locator(".scroll").evaluate_all("all => all.filter(one => one.scrollWidth > one.clientWidth).length")
    assert tables > 0, "a name of sixty letters has to be scrolled to"


def test_on_a_phone_the_result_of_a_trade_is_seen_before_one_scrolls(page: Page, url: str) -> None:
    page.set_viewport_size({"width": PHONE, "height": 800})
    page.goto(url)
    for title, heads in (("Closed trades", ("net $", "R")), ("Open positions", ("unrealised $", "risk $"))):
        table = page.locator(f"h3:text-is('{title}') + .cards .scroll").first
        frame = table.bounding_box()
        assert frame is not None
        for head in heads:
            box = table.locator("th", has_text=re.compile(f"^{re.escape(head)}$")).bounding_box()
            assert box is not None
            assert box["x"] + box["width"] <= frame["x"] + frame["width"] + 1, head


def test_on_a_phone_a_table_that_is_cut_says_so_and_its_last_column_can_be_scrolled_to(page: Page, url: str) -> None:
    page.set_viewport_size({"width": PHONE, "height": 800})
    page.goto(url)
    cut = [table for table in page.locator(".scroll:visible").all() if table.evaluate(IS_CUT)]
    assert len(cut) > 5
    for table in cut:
        said = table.evaluate(
            "one => one.previousElementSibling?.matches('.cue') && one.previousElementSibling.innerText"
        )
        columns = table.locator("thead th").count()
        assert said == f"{columns} columns: swipe sideways for the rest →"
        assert table.evaluate("one => getComputedStyle(one).backgroundImage").count("gradient") == 4, (
            "shaded at the edge"
        )
        table.evaluate("one => { one.scrollLeft = one.scrollWidth }")
        assert table.evaluate(LAST_COLUMN_BEYOND) <= 1
        assert table.evaluate(FIRST_COLUMN_SHARE) <= 0.5, "the first column stays and leaves room for the rest"


def test_on_a_desk_no_table_of_ordinary_names_is_cut_and_none_says_so(page: Page, url: str) -> None:
    page.set_viewport_size({"width": DESK, "height": 800})
    page.goto(url)
    assert page.locator(".cue:visible").count() == 0
    assert [table.inner_text() for table in page.locator("#a1 .scroll:visible").all() if table.evaluate(IS_CUT)] == []


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_cards_beside_one_another_end_together_and_fill_the_row(page: Page, url: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(url)
    for row in page.evaluate(ROWS_OF_CARDS):
        assert max(row["bottoms"]) - min(row["bottoms"]) <= 1
        assert row["right"] == pytest.approx(row["filled"], abs=1)


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_the_words_in_the_pictures_can_be_read(page: Page, url: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(url)
    sizes = page.evaluate(WORDS_IN_PICTURES)
    assert len(sizes) > 50
    assert min(sizes) >= READABLE_PIXELS
    assert page.evaluate(WORDS_CUT_OFF) == []


def test_two_pictures_stand_side_by_side_on_a_desk_and_one_below_the_other_on_a_phone(page: Page, url: str) -> None:
    page.goto(url)
    pictures = page.locator("svg.chart")
    for width, beside in ((DESK, True), (PHONE, False)):
        page.set_viewport_size({"width": width, "height": 800})
        first, second = pictures.nth(0).bounding_box(), pictures.nth(1).bounding_box()
        assert first is not None
        assert second is not None
        assert (second["x"] > first["x"] + first["width"]) == beside


def test_in_the_dark_the_page_and_its_pictures_are_dark_and_on_paper_light(page: Page, url: str) -> None:
    page.goto(url)
    ink = "getComputedStyle(document.querySelector('svg.chart path[style*=\"--gain\"]')).stroke"
    ground = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="light")
    light = page.evaluate(ground), page.evaluate(ink)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(ground), page.evaluate(ink)
    page.emulate_media(color_scheme="dark", media="print")
    paper = page.evaluate(ground), page.evaluate(ink)
    assert dark[0] != light[0]
    assert dark[1] != light[1]
    assert paper == ("rgb(255, 255, 255)", light[1])


def test_each_picture_has_a_name_and_no_id_is_given_twice(page: Page, url: str) -> None:
    page.goto(url)
    assert page.locator("svg.chart").count() == page.get_by_role("img").count() > 10
    assert page.locator("svg.chart").evaluate_all("all => all.every(one => one.getAttribute('aria-label').length > 20)")
    assert (
        page.evaluate(
            "[...document.querySelectorAll('[id]')].map(one => one.id).filter((id, at, all) => all.indexOf(id) !== at)"
        )
        == []
    )


def test_names_that_look_like_html_are_shown_as_they_are(page: Page, url: str) -> None:
    page.goto(url)
    assert page.locator("td b").count() == 0
    assert page.locator("td", has_text="<b>&amp;</b>").count() > 0


def test_it_prints(page: Page, url: str, tmp_path: Path) -> None:
    page.goto(url)
    page.pdf(path=tmp_path / "sheet.pdf", format="A4")
    assert (tmp_path / "sheet.pdf").read_bytes().startswith(b"%PDF")
