"""The dashboard in JupyterLab and in Notebook 7: charts with no network, filters, dark and narrow, and without a kernel."""

import re

import pytest
from fronts import WIDTHS, menu, new_page, open_notebook, run_all, save, shoot

CELLS = ("%load_ext elumenta_nb\n%elumenta sandbox on", "%elumenta sandbox past", "%elumenta dashboard")
DRAWN = "() => document.querySelectorAll('.elumenta-dashboard .vega-embed svg').length === 3"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.kernel,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("browser"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def spent(page) -> int:
    tile = page.locator(".elumenta-dashboard [role=group][aria-label=Spent]").inner_text()
    return int(re.search(r"([\d,]+) token", tile)[1].replace(",", ""))


def shoot_dashboard(page, name: str) -> None:
    page.wait_for_timeout(500)
    shoot(page, name, page.locator(".elumenta-dashboard").first)


def test_charts_are_drawn_offline_filters_move_the_figures_and_a_picture_stays(front, jupyter, browser):
    jupyter.theme("light")
    path = jupyter.place(f"dashboard-{front}", CELLS)
    with new_page(browser, width=1500, height=2400) as (page, heard):
        open_notebook(page, jupyter, front, path)
        heard.begin()
        run_all(page)
        page.wait_for_function(DRAWN)
        shoot_dashboard(page, f"dashboard-{front}-light")
        whole = spent(page)
        widths = page.locator(".elumenta-dashboard .vega-embed svg").evaluate_all("all => all.map(e => e.clientWidth)")
        bars = page.locator(".elumenta-dashboard .vega-embed svg .mark-rect path").count()
        page.locator(".elumenta-filter-category select").select_option(label="image")
        page.wait_for_function(
            "old => !document.querySelector('.elumenta-dashboard [aria-label=Spent]').innerText.includes(old)",
            arg=f"{whole} tokens",
        )
        pictures = spent(page)
        page.locator(".elumenta-filter-group select").select_option(label="cell")
        page.locator(".elumenta-dashboard svg").get_by_text("hero picture · shop.ipynb").first.wait_for()
        menu(page, "Settings", "Theme", "JupyterLab Dark")
        page.wait_for_selector("body[data-jp-theme-light=false]", state="attached")
        shoot_dashboard(page, f"dashboard-{front}-dark")
        page.set_viewport_size({"width": 760, "height": 3200})
        shoot_dashboard(page, f"dashboard-{front}-narrow")
        menu(page, "Settings", "Theme", "JupyterLab Light")
        page.set_viewport_size({"width": 1500, "height": 2400})
        page.wait_for_selector("body[data-jp-theme-light=true]", state="attached")
        hidden = page.locator("[class^=elumenta-still]").first.is_hidden()
        save(page)
    copy = jupyter.copy(path)
    jupyter.shut_down_kernels()

    with new_page(browser, width=1200, height=2600) as (page, _heard):
        open_notebook(page, jupyter, front, copy)
        page.wait_for_timeout(2500)
        charts = page.locator(".jp-OutputArea-output img").evaluate_all(WIDTHS)
        said = page.locator(".jp-OutputArea-output:visible").all_inner_texts()
        shoot(page, f"dashboard-{front}-no-kernel")
    jupyter.shut_down_kernels()

    assert 0 < pictures < whole
    assert bars > 30
    assert min(widths) > 300
    assert hidden
    assert heard.errors == []
    assert heard.strangers == []
    assert (jupyter.notebooks / copy).stat().st_size < 400 * 1024
    assert charts
    assert max(charts) > 500
    assert any("The balance ends about" in text for text in said)
    assert not any("model not found" in text for text in said)
