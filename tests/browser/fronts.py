"""JupyterLab 4, Notebook 7 and Voila on one server, and their pages in a real browser: what the browser tests and
`docs/screenshots.py` share.

All that the server reads or writes is in the folder it is given. Each notebook lies in a folder of its own, which is
also the home of its kernel: a ledger and a sandbox for each.
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat

HERE = Path(__file__).parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

from provision import FLAGS, provision  # noqa: E402 - its folder must be on the path first

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

NOTEBOOKS = HERE.parents[1] / "notebooks"
SHOTS = HERE.parents[1] / "build" / "screenshots"
FRONTS = {"lab": "lab/tree/{path}", "notebook7": "notebooks/{path}", "voila": "voila/render/{path}"}
EDITORS = ("lab", "notebook7")  # where notebooks are run by hand
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
QUIET = {
    "@jupyterlab/apputils-extension": {
        "notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}
    },
    "@jupyterlab/notebook-extension": {"tracker": {"windowingMode": "none"}},
}
HOME = 'import os\nos.environ["ELUMENTA_HOME"] = os.path.join(os.getcwd(), ".elumenta")\n'

PLAYS = """async (media) => {
    const can = media.tagName !== 'VIDEO' || media.canPlayType('video/mp4; codecs="avc1.42E01E"');
    if (!can) return 'this Chromium has no H.264: install Debian\\'s chromium or Google Chrome';
    media.muted = true;
    try { await media.play(); } catch (error) { return 'play: ' + error.message + ' ' + (media.error?.message ?? ''); }
    const start = media.currentTime;
    for (let i = 0; i < 300; i++) {
        await new Promise(done => setTimeout(done, 100));
        if (media.readyState >= 2 && (media.currentTime > start + 0.2 || media.ended)) { media.pause(); return 'plays'; }
    }
    return `stands still at ${media.currentTime}, readyState ${media.readyState}`;
}"""
# Until nothing of the outputs has changed for half a second, every picture is there and no colour moves any more.
DRAWN = """() => new Promise((done, failed) => {
    const began = performance.now();
    let last = '', since = began;
    const look = () => {
        const outputs = [...document.querySelectorAll('.jp-OutputArea-output')];
        const size = outputs.map(one => `${one.innerHTML.length} ${one.offsetWidth} ${one.offsetHeight}`).join();
        const waits = outputs.some(one => [...one.querySelectorAll('img')].some(img => !img.complete))
            || document.getAnimations().some(one => one instanceof CSSTransition && one.playState === 'running');
        if (waits || size !== last) [last, since] = [size, performance.now()];
        if (performance.now() - began > 60000) failed(new Error('the outputs do not come to rest'));
        performance.now() - since > 500 ? done(true) : setTimeout(look, 50);
    };
    look();
})"""
INDICATOR = ".jp-Notebook-ExecutionIndicator"
WIDTHS = "all => all.map(one => one.naturalWidth)"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Jupyter:
    """A running server of all three. `place` puts a notebook there, `url` opens it with its token."""

    def __init__(self, room: Path) -> None:
        self.room = room
        self.notebooks = room / "notebooks"
        self.notebooks.mkdir(parents=True)
        startup = room / "ipython" / "profile_default" / "startup"
        startup.mkdir(parents=True)
        (startup / "00-home.py").write_text(HOME)
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
        """The theme of the pages loaded from here on."""
        self._setting("@jupyterlab/apputils-extension", "themes", {"theme": THEMES[name]})

    def place(self, name: str, what: Sequence[str] | Path) -> str:
        """A notebook of these cells, or a copy of this one, in a folder called `name`; its path on the server."""
        path = self.notebooks / name / f"{what.stem if isinstance(what, Path) else name}.ipynb"
        path.parent.mkdir(parents=True)
        if isinstance(what, Path):
            shutil.copy(what, path)
        else:
            made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in what])
            made.metadata["kernelspec"] = KERNEL
            nbformat.write(made, path)
        return path.relative_to(self.notebooks).as_posix()

    def copy(self, path: str) -> str:
        """What a colleague gets: a copy of the saved file, beside it. It has no signature: it is not trusted."""
        copy = (self.notebooks / path).with_name("colleague.ipynb")
        shutil.copy(self.notebooks / path, copy)
        return copy.relative_to(self.notebooks).as_posix()

    def url(self, front: str, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{FRONTS[front].format(path=path)}?token={self.token}&reset"

    def shut_down_kernels(self) -> None:
        for session in json.loads(self._api("GET", "sessions")):
            self._api("DELETE", f"sessions/{session['id']}")

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
        raise RuntimeError(f"Jupyter did not start:\n{self.log.read_text()[-3000:]}")


@contextmanager
def running(room: Path) -> Iterator[Jupyter]:
    jupyter = Jupyter(room)
    server = jupyter.start()
    try:
        yield jupyter
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(10)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The Chromium that `provision` found or installed. No asyncio.run() works in this thread until it is closed."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=provision(), args=list(FLAGS), headless=True)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Heard:
    """What a page complained of, and whom it asked beyond this machine. `begin` forgets what the front end said."""

    errors: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def begin(self) -> None:
        self.errors.clear()


@contextmanager
def new_page(browser: Browser, *, width: int = 1280, height: int = 1600) -> Iterator[tuple[Page, Heard]]:
    """A page with nothing kept from others, and what it is heard to say."""
    context = browser.new_context(viewport={"width": width, "height": height})
    page, heard = context.new_page(), Heard()
    page.set_default_timeout(60_000)  # two cores may be busy with other tests
    page.on("console", lambda told: heard.errors.append(told.text) if told.type == "error" else None)
    page.on("pageerror", lambda error: heard.errors.append(f"{error.message}\n{error.stack}"))
    page.on("request", lambda asked: None if is_here(asked.url) else heard.strangers.append(asked.url))
    try:
        yield page, heard
    finally:
        context.close()


def is_here(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "data:", "blob:"))


def open_notebook(page: Page, jupyter: Jupyter, front: str, path: str) -> None:
    """Load a notebook and wait until its kernel is idle."""
    page.goto(jupyter.url(front, path))
    page.wait_for_selector(".jp-NotebookPanel .jp-Notebook .jp-Cell")
    # A server that has not listed its kernels yet makes JupyterLab ask which one; a person would accept.
    asked = page.locator(".jp-Dialog")
    page.add_locator_handler(asked, lambda: page.locator(".jp-Dialog .jp-mod-accept").first.click())
    for _ in range(2):
        page.wait_for_timeout(500)
        if asked.count():
            page.locator(".jp-Dialog .jp-mod-accept").first.click()
        page.wait_for_selector(".jp-NotebookPanel .jp-Notebook-ExecutionIndicator[data-status='idle']")


def menu(page: Page, *items: str) -> None:
    """Click through the menu: ``menu(page, "Settings", "Theme", "JupyterLab Dark")``."""
    page.locator("#jp-MainMenu").get_by_text(items[0], exact=True).click()
    for item in items[1:]:
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
    drawn(page)


def drawn(page: Page) -> None:
    """Wait until the outputs stand as they are, however slow the machine."""
    page.evaluate(DRAWN)


def run_cells(page: Page, *places: int) -> None:
    """Run these cells one after the other, each until it has its number."""
    for at in places:
        run_cell(page, at)
        page.wait_for_function(
            "at => /\\d/.test(document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')[at].textContent)", arg=at
        )


def run_cell(page: Page, at: int) -> None:
    """Click into a cell and run it, as a person does; it is not waited for."""
    page.locator(".jp-CodeCell .jp-InputArea-editor .cm-content").nth(at).click()
    page.keyboard.press("Control+Enter")


def save(page: Page) -> None:
    with page.expect_response(lambda got: got.request.method == "PUT" and "/api/contents/" in got.url):
        menu(page, "File", "Save Notebook")
    page.wait_for_timeout(300)


def outputs(page: Page) -> str:
    return "\n".join(page.locator(".jp-OutputArea-output:visible").all_inner_texts())


def shoot(page: Page, name: str, of: Locator | None = None) -> None:
    """A picture of the page, or of a part of it, in build/screenshots."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    (of or page).screenshot(path=SHOTS / f"{name}.png")


def shoot_notebook(page: Page, name: str) -> None:
    """The whole notebook as one picture: the page is made as tall as its content."""
    size = page.viewport_size
    page.evaluate("document.querySelector('.jp-WindowedPanel-outer').scrollTop = 0")
    page.set_viewport_size({"width": size["width"], "height": 9000})
    page.wait_for_timeout(600)
    end = page.locator(".jp-Cell").last.bounding_box()
    height = min(9000, end["y"] + end["height"] + 40)
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", clip={"x": 0, "y": 0, "width": size["width"], "height": height})
    page.set_viewport_size(size)
