"""A JupyterLab of its own and a page in a real browser: what the browser tests and `docs/screenshots.py` share.

Everything the server reads or writes is in the folder it is given: notebooks, home of the package, Jupyter's settings.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

from provision import FLAGS, provision  # noqa: E402 - its folder must be on the path first

if TYPE_CHECKING:
    from playwright.sync_api import Page

NOTEBOOKS = HERE.parents[1] / "notebooks"
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
QUIET = {
    "@jupyterlab/apputils-extension": {
        "notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}
    },
    "@jupyterlab/notebook-extension": {"tracker": {"windowingMode": "none"}},
}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Lab:
    """A running JupyterLab: `url(notebook)` opens one with its token; `theme` before a page is loaded."""

    def __init__(self, room: Path) -> None:
        self.room = room
        self.notebooks = room / "notebooks"
        self.notebooks.mkdir(parents=True)
        for path in NOTEBOOKS.glob("*.ipynb"):
            shutil.copy(path, self.notebooks)
        self.port = free_port()
        self.token = secrets.token_hex(16)
        self.log = room / "jupyter.log"
        for extension, settings in QUIET.items():
            for name, values in settings.items():
                self._setting(extension, name, values)

    def _setting(self, extension: str, name: str, values: dict) -> None:
        folder = self.room / "settings" / extension
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.jupyterlab-settings").write_text(json.dumps(values))

    def theme(self, name: str) -> None:
        self._setting("@jupyterlab/apputils-extension", "themes", {"theme": THEMES[name]})

    def url(self, notebook: str) -> str:
        return f"http://127.0.0.1:{self.port}/lab/tree/{notebook}?token={self.token}&reset"

    def _api(self, method: str, what: str) -> bytes:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        url = f"http://127.0.0.1:{self.port}/api/{what}"
        request = urllib.request.Request(url, method=method, headers={"Authorization": f"token {self.token}"})
        with opener.open(request, timeout=30) as answer:
            return answer.read()

    def _environment(self) -> dict[str, str]:
        folders = {
            "ELUMENTA_HOME": "home",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "IPYTHONDIR": "ipython",
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ELUMENTA_", "JPY_"))}
        guard = str(HERE.parent / "guard")  # no network but loopback, in the server and in its kernels
        rooms = {name: str(self.room / folder) for name, folder in folders.items()}
        return kept | rooms | {"ELUMENTA_LANG": "en", "PYTHONPATH": guard}

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={self.port}"]
        command += ["--ServerApp.port_retries=0", f"--IdentityProvider.token={self.token}", "--allow-root"]
        command += [f"--ServerApp.root_dir={self.notebooks}", "--LabApp.extension_manager=readonly"]
        with self.log.open("wb") as log:
            server = subprocess.Popen(
                command, cwd=self.notebooks, env=self._environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._wait(server)
        return server

    def _wait(self, server: subprocess.Popen[bytes]) -> None:
        ends = time.monotonic() + 60
        while time.monotonic() < ends:
            if server.poll() is not None:
                break
            try:
                self._api("GET", "status")
            except OSError:
                time.sleep(0.2)
            else:
                return
        server.kill()
        raise RuntimeError(f"JupyterLab did not start:\n{self.log.read_text()[-3000:]}")


@contextmanager
def running(room: Path) -> Iterator[Lab]:
    lab = Lab(room)
    server = lab.start()
    try:
        yield lab
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(10)


@contextmanager
def browser_page(*, width: int = 1280, height: int = 1600, scale: float = 1) -> Iterator[Page]:
    """A page of the Chromium that `provision` found or installed."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=provision(), args=list(FLAGS), headless=True)
        context = browser.new_context(viewport={"width": width, "height": height}, device_scale_factor=scale)
        page = context.new_page()
        page.set_default_timeout(90_000)  # two cores may be busy with other tests
        try:
            yield page
        finally:
            context.close()
            browser.close()


def open_notebook(page: Page, lab: Lab, notebook: str) -> None:
    """Load a notebook and wait until its kernel is idle."""
    page.goto(lab.url(notebook))
    page.wait_for_selector(".jp-NotebookPanel .jp-Notebook .jp-Cell")
    # A server that has not listed its kernels yet makes JupyterLab ask which one; a person would accept.
    asked = page.locator(".jp-Dialog")
    page.add_locator_handler(asked, lambda: page.locator(".jp-Dialog .jp-mod-accept").first.click())
    for _ in range(2):
        page.wait_for_timeout(1000)
        if asked.count():
            page.locator(".jp-Dialog .jp-mod-accept").first.click()
        page.wait_for_selector(".jp-NotebookPanel .jp-Notebook-ExecutionIndicator[data-status='idle']")


def menu(page: Page, title: str, item: str) -> None:
    page.locator("#jp-MainMenu").get_by_text(title, exact=True).click()
    page.locator(".lm-Menu-itemLabel").get_by_text(item, exact=True).click()


def run_all(page: Page, *, timeout_s: float = 240) -> None:
    """Clear what was saved, Run > Run All Cells by the menu, and wait until every cell has its number.

    A cell that fails ends the run: its error is raised with what it said.
    """
    menu(page, "Edit", "Clear Outputs of All Cells")
    menu(page, "Run", "Run All Cells")
    page.wait_for_function(
        """() => {
            const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(e => e.textContent);
            const status = document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status;
            const failed = document.querySelector("[data-mime-type='application/vnd.jupyter.error']");
            return prompts.length && status === 'idle' && (failed || prompts.every(text => /\\d/.test(text)));
        }""",
        timeout=timeout_s * 1000,
    )
    failed = page.locator("[data-mime-type='application/vnd.jupyter.error']").all_inner_texts()
    if failed:
        raise AssertionError(f"a cell failed: {failed[0][-2000:]}")
    page.wait_for_timeout(1500)  # the last outputs are drawn
