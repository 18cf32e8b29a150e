"""Take the pictures of the README: the quickstart, run in a real JupyterLab, light and dark.

python docs/screenshots.py
"""

from __future__ import annotations

import sys
import tempfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "browser"))

from fronts import NOTEBOOKS, SHOTS, THEMES, chromium, new_page, open_notebook, run_all, running  # noqa: E402 - its folder must be on the path

FIRST, LAST = "An image, its price first", "el.spend()"  # the cells that tell the story: price, picture, film, frame
WIDTH = 880
if TYPE_CHECKING:
    from playwright.sync_api import FloatRect, Page

NAMES = {"light": "quickstart.webp", "dark": "quickstart-dark.webp"}


def part(page: Page) -> FloatRect:
    """From the first to the last of those cells, without the panels around them."""
    cells = page.locator(".jp-Cell")
    top = cells.filter(has_text=FIRST).first.bounding_box()
    end = cells.filter(has_text=LAST).last.bounding_box()
    assert top
    assert end
    return {"x": top["x"], "y": top["y"], "width": top["width"], "height": end["y"] + end["height"] - top["y"]}


def main() -> int:
    (HERE / "images").mkdir(exist_ok=True)
    SHOTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as room, running(Path(room) / "lab") as jupyter, chromium() as browser:
        for theme in THEMES:
            jupyter.theme(theme)
            path = jupyter.place(theme, NOTEBOOKS / "01_quickstart.ipynb")
            with new_page(browser, width=1040, height=3400) as (page, _heard):
                open_notebook(page, jupyter, "lab", path)
                run_all(page)
                page.get_by_role("tab", name="File Browser").click()  # folds the side bar away
                page.evaluate("document.querySelector('.jp-WindowedPanel-outer').scrollTop = 0")
                page.wait_for_timeout(500)
                shot = page.screenshot(clip=part(page))
            picture = Image.open(BytesIO(shot)).convert("RGB")
            (SHOTS / f"quickstart-{theme}.png").write_bytes(shot)  # as it was taken, to compare
            picture.thumbnail((WIDTH, 10_000), Image.Resampling.LANCZOS)
            picture.save(HERE / "images" / NAMES[theme], quality=90, method=6)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
