"""Take the pictures of the README: the quickstart, run in a real JupyterLab, light and dark.

python docs/screenshots.py
"""

from __future__ import annotations

import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "browser"))

from lab import THEMES, browser_page, open_notebook, run_all, running  # noqa: E402 - its folder must be on the path

COLOURS = 192
NAMES = {"light": "quickstart.png", "dark": "quickstart-dark.png"}


def main() -> int:
    (HERE / "images").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as room, running(Path(room) / "lab") as lab:
        for theme in THEMES:
            lab.theme(theme)
            with browser_page(width=1000, height=1500) as page:
                open_notebook(page, lab, "01_quickstart.ipynb", single=True)
                run_all(page)
                page.evaluate("document.querySelector('.jp-WindowedPanel-outer').scrollTop = 0")
                page.wait_for_timeout(500)
                shot = page.locator(".jp-NotebookPanel-notebook").screenshot()
            picture = Image.open(BytesIO(shot)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
            picture.save(HERE / "images" / NAMES[theme], optimize=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
