"""The dashboard in JupyterLab: charts with no network, filters that move the figures, a still where no kernel is."""

import re
import shutil
from pathlib import Path

import nbformat
import pytest
from lab import THEMES, browser_page, open_notebook, run_all, running

SHOTS = Path(__file__).parents[2] / "build" / "screenshots"
SOURCES = ["%load_ext elumenta_nb\n%elumenta sandbox on", "%elumenta sandbox past", "%elumenta dashboard"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.kernel,
    pytest.mark.slow,
    pytest.mark.timeout(420),
    pytest.mark.xdist_group("browser"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
def lab(tmp_path):
    with running(tmp_path / "lab") as server:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in SOURCES])
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, server.notebooks / "dashboard.ipynb")
        yield server


def shoot(page, name: str, width: int) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    size = page.viewport_size
    page.set_viewport_size({"width": width, "height": 3200})
    page.wait_for_timeout(1200)
    page.locator(".elumenta-dashboard").first.screenshot(path=SHOTS / f"{name}.png")
    page.set_viewport_size(size)


def spent(page) -> int:
    tile = page.locator(".elumenta-dashboard [role=group][aria-label=Spent]").inner_text()
    return int(re.search(r"([\d,]+) token", tile)[1].replace(",", ""))


@pytest.mark.parametrize("theme", THEMES)
def test_charts_are_drawn_offline_and_filters_move_the_figures(lab, theme):
    lab.theme(theme)
    said = []
    with browser_page(width=1500) as page:
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: said.append(request.url) if "127.0.0.1" not in request.url else None)
        open_notebook(page, lab, "dashboard.ipynb")
        run_all(page)
        page.wait_for_function("() => document.querySelectorAll('.elumenta-dashboard .vega-embed svg').length === 3")
        page.wait_for_timeout(800)
        shoot(page, f"dashboard-{theme}", 1500)
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
        page.wait_for_timeout(500)
        shoot(page, f"dashboard-narrow-{theme}", 760)
        hidden = page.locator("[class^=elumenta-still]").first.is_hidden()

    assert 0 < pictures < whole
    assert bars > 30
    assert min(widths) > 300
    assert hidden
    assert [line for line in said if re.search("elumenta|vega|anywidget|https?://(?!127)", line)] == []


def test_opened_again_without_a_kernel_there_is_a_picture_and_no_complaint(lab):
    lab.theme("light")
    with browser_page(width=1200) as page:
        open_notebook(page, lab, "dashboard.ipynb")
        run_all(page)
        page.wait_for_function("() => document.querySelectorAll('.elumenta-dashboard .vega-embed svg').length === 3")
        page.wait_for_timeout(1000)
        page.locator("#jp-MainMenu").get_by_text("File", exact=True).click()
        page.get_by_text("Save Notebook", exact=True).click()
        page.wait_for_timeout(1500)
    copy = lab.notebooks / "colleague.ipynb"
    shutil.copy(lab.notebooks / "dashboard.ipynb", copy)
    size = copy.stat().st_size
    with browser_page(width=1200) as page:
        open_notebook(page, lab, copy.name)
        page.wait_for_timeout(3500)
        picture = page.locator(".jp-OutputArea-output img").evaluate_all("all => all.map(one => one.naturalWidth)")
        said = page.locator(".jp-OutputArea-output").all_inner_texts()
        SHOTS.mkdir(parents=True, exist_ok=True)
        page.set_viewport_size({"width": 1200, "height": 2600})
        page.wait_for_timeout(800)
        page.screenshot(path=SHOTS / "dashboard-no-kernel.png")

    assert size < 400 * 1024
    assert picture
    assert max(picture) > 500
    assert any("The balance ends about" in text for text in said)
