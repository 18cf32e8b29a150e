"""Panel and dashboard in Russian, in JupyterLab and in Notebook 7: words, a result, plurals, and labels that fit."""

import re

import pytest
from fronts import new_page, open_notebook, run_all, shoot

OPEN = """%load_ext elumenta_nb
import elumenta_nb as el
el.configure(mode="sandbox", lang="ru")
el.budget(200)"""
CELLS = (OPEN, "%elumenta sandbox past", "el.panel('image')", "%elumenta dashboard")
# Labels, buttons, tabs and tiles whose words are wider than their place.
CUT_OFF = """() => [...document.querySelectorAll('.elumenta-panel :is(.widget-label, button, .lm-TabBar-tabLabel, [role=group] *)')]
    .filter(one => one.offsetParent && one.scrollWidth > one.clientWidth && getComputedStyle(one).display !== 'inline')
    .map(one => one.innerText)"""
ENGLISH = re.compile(
    r"\b(tokens?|balance|budget|generate|search|category|prompt|spent|held|calls?|model|cell|of|the|and|is|by)\b",
    re.IGNORECASE,
)
OURS = re.compile(r"%?%elumenta[^\n]*|https?://\S+")  # what is typed and addressed stays English

pytestmark = [
    pytest.mark.browser,
    pytest.mark.kernel,
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.xdist_group("browser"),
    # Playwright's own event loop and pipes close after the test
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def english(text: str) -> list[str]:
    return ENGLISH.findall(OURS.sub("", text))


def test_a_panel_and_the_dashboard_speak_russian_and_fit(front, jupyter, browser):
    jupyter.theme("light")
    path = jupyter.place(f"russian-{front}", CELLS)
    with new_page(browser, width=1280, height=2600) as (page, heard):
        open_notebook(page, jupyter, front, path)
        heard.begin()
        run_all(page)
        panel, dashboard = page.locator(".elumenta-panel").first, page.locator(".elumenta-dashboard")
        panel.locator(".elumenta-price").wait_for()
        panel.get_by_label("Запрос", exact=True).fill("Маяк в тумане")
        panel.get_by_label("сколько").fill("2")
        page.keyboard.press("Tab")
        panel.get_by_text("2 токена (2 × 1)").wait_for()
        panel.get_by_role("button", name="Сгенерировать", exact=True).click()
        panel.locator(".elumenta-notice.elumenta-good").first.wait_for(timeout=60_000)
        page.locator(".elumenta-dashboard .vega-embed svg").nth(2).wait_for()
        page.wait_for_timeout(500)
        said = panel.inner_text()
        shoot(page, f"russian-{front}-panel", panel)
        panel.get_by_role("tab", name="Модели").click()
        models = panel.inner_text()
        shoot(page, f"russian-{front}-models", panel)
        panel.get_by_role("tab", name="Не завершено").click()
        jobs = panel.inner_text()
        shoot(page, f"russian-{front}-jobs", panel)
        spend = dashboard.inner_text()
        shoot(page, f"russian-{front}-dashboard", dashboard)
        cut = [word for word in page.evaluate(CUT_OFF) if word]
    jupyter.shut_down_kernels()

    assert "Готово · 2 токена" in said
    assert "(этот блокнот)" in said
    assert "Потрачено" in spend
    assert "905 токенов" in spend
    assert re.search(r"1\s804\s₽", spend)
    assert cut == []
    assert [english(text) for text in (said, models, jobs, spend)] == [[], [], [], []]
    assert heard.errors == []
