"""Voila: a page for those who see no code. Media play, the panel sells, the dashboard answers."""

import re

import pytest
from fronts import PLAYS, WIDTHS, new_page, shoot

CELLS = (
    "%load_ext elumenta_nb\nimport elumenta_nb as el\nel.configure(mode='sandbox')\nNone",
    "%elumenta sandbox past",
    "%%elumenta video luma-ray2-flash --duration 5\nA quiet harbour at dawn",
    "%%elumenta tts openai-tts\nGood morning from the harbour.",
    "el.panel('image')",
    "%elumenta dashboard",
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.kernel,
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.xdist_group("browser"),
    # Playwright's own event loop and pipes close after the test
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def test_voila_renders_and_plays_and_its_panel_and_filters_work(jupyter, browser):
    path = jupyter.place("voila", CELLS)
    with new_page(browser, width=1280, height=3200) as (page, heard):
        page.goto(jupyter.url("voila", path))
        panel, dashboard = page.locator(".elumenta-panel").first, page.locator(".elumenta-dashboard")
        panel.locator(".elumenta-price").wait_for()
        page.locator(".elumenta-dashboard .vega-embed svg").nth(2).wait_for()
        played = {what: page.locator(what).first.evaluate(PLAYS) for what in ("video", "audio")}
        shoot(page, "voila-1-opened")

        panel.get_by_label("Prompt", exact=True).fill("A small boat")
        panel.get_by_role("button", name="Generate", exact=True).click()
        panel.locator(".elumenta-notice.elumenta-good").wait_for()
        panel.locator(".elumenta-gallery img").first.wait_for()
        pictures = panel.locator(".elumenta-gallery img").evaluate_all(WIDTHS)
        tile = dashboard.locator("[role=group][aria-label=Spent]")
        whole = tile.inner_text()
        dashboard.locator(".elumenta-filter-category select").select_option(label="image")
        page.wait_for_function(
            "old => document.querySelector('.elumenta-dashboard [aria-label=Spent]').innerText !== old", arg=whole
        )
        shoot(page, "voila-2-used")
        stills = page.locator("[class^=elumenta-still]:visible").count()

    assert played == {"video": "plays", "audio": "plays"}
    assert min(pictures) > 0
    assert re.search(r"\d tokens", whole)
    assert stills == 0, "the still picture of what lives is hidden"
    assert [line for line in heard.errors if re.search("elumenta|widget|vega", line)] == []
    theirs = [url for url in heard.strangers if re.search("fontawesome|mathjax", url, re.IGNORECASE)]  # Voila's page
    assert heard.strangers == theirs
