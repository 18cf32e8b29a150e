"""The panel and the dashboard in Russian, in a real browser: words, a result, and labels that fit."""

import re

import nbformat
import pytest
from lab import browser_page, open_notebook, run_all, running

OPEN = """%load_ext elumenta_nb
import elumenta_nb as el
el.configure(mode="sandbox", lang="ru")
el.budget(200)"""
CUT_OFF = """() => [...document.querySelectorAll('.elumenta-panel .widget-label, .elumenta-panel button')]
    .filter(one => one.offsetParent && one.scrollWidth > one.clientWidth)
    .map(one => one.innerText)"""
ENGLISH = r"\b(tokens?|balance|budget|Generate|Search|Category|Prompt|Spent|Held|Calls)\b"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.kernel,
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.xdist_group("browser"),
    # Playwright's own event loop and pipes close after the test
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
def lab(tmp_path):
    with running(tmp_path / "lab") as server:
        yield server


def test_a_panel_and_the_dashboard_speak_russian_and_fit(lab):
    cells = [OPEN, "%elumenta sandbox past", "el.panel('image')", "%elumenta dashboard"]
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    made.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(made, lab.notebooks / "russian.ipynb")
    errors: list[str] = []
    with browser_page(width=1280, height=1750) as page:
        page.on("console", lambda told: errors.append(told.text) if told.type == "error" else None)
        open_notebook(page, lab, "russian.ipynb")
        run_all(page)
        page.locator(".elumenta-price").first.wait_for()
        panel = page.locator(".elumenta-panel").first
        panel.get_by_label("Запрос", exact=True).fill("Маяк в тумане")
        page.wait_for_timeout(1200)
        panel.get_by_role("button", name="Сгенерировать", exact=True).click()
        panel.locator(".elumenta-notice.elumenta-good").first.wait_for(timeout=60_000)
        said = panel.inner_text()
        tiles = page.get_by_role("group", name="Потрачено").first
        tiles.wait_for(state="attached")

        assert "Готово · 1 токен" in said
        assert "(этот блокнот)" in said
        assert [word for word in page.evaluate(CUT_OFF) if word] == []
        assert not re.search(ENGLISH, said)
        assert [text for text in errors if "elumenta" in text] == []
