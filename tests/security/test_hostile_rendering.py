"""S3: what a model or a server writes never runs: in JupyterLab, Notebook 7 and nbconvert's HTML, in a real browser.

An alarm rings when a dialog opens, when a page loads anything that is not its own server's, and when something active
stands in an output. A control notebook of raw HTML must ring in each front end, or the alarm is broken.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat
import pytest
from hostile_samples import HTML, SVG, markdown, numbered
from hostile_told import CELLS, HostileApi
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from nbformat.sign import NotebookNotary
from strange_api import StrangeApi

from elumenta_nb._result import Result

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "browser"))
from fronts import chromium, running  # noqa: E402 - its folder must be on the path first

SHOTS = HERE.parents[1] / "build" / "screenshots"
KEY = "nb_live_Zq7Kx2Vt9Lm4Rw8Jc3Hd6Pf1Ys5Ng0Ba7Ue4Io"
KINDS = {"Markdown": markdown(), "HTML": HTML, "SVG": SVG}
SAMPLES = numbered([sample for samples in KINDS.values() for sample in samples], first=1)
CONTROL = [
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<details open ontoggle=alert(1)>x</details>",
    "<video><source onerror=alert(1)></video>",
    "<img src=https://evil.example/pixel.png>",
    "<a href='javascript:alert(1)'>x</a>",
    "<style>@import 'https://evil.example/x.css'</style>",
]
FRONTS = ["JupyterLab", "Notebook 7", "nbconvert lab", "nbconvert classic"]
UNTRUSTED = ["texts-untrusted", "told-untrusted"]  # as a colleague opens them
AT_ONCE = 5  # pages that are open side by side: what one of them draws late is waited for while the next is loaded
CDN = {"cdnjs.cloudflare.com", "unpkg.com", "cdn.jsdelivr.net"}  # where nbconvert's own template asks for its scripts

pytestmark = [
    pytest.mark.browser,
    pytest.mark.kernel,
    pytest.mark.slow,
    pytest.mark.timeout(420),
    pytest.mark.xdist_group("browser"),
    # Playwright's own event loop and pipes close after the test
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

AUDIT = r"""(styled) => {
    const found = [];
    const outputs = document.querySelectorAll('.jp-OutputArea-output, .output_area .output_subarea');
    const never = ['SCRIPT', 'IFRAME', 'FRAME', 'OBJECT', 'EMBED', 'APPLET', 'META', 'BASE', 'LINK', 'FORM', 'TEMPLATE', 'MARQUEE',
                   'FOREIGNOBJECT', 'ANIMATE', 'SET'];
    const ownScript = /^\s*var element = (document\.getElementById\('[\w-]+'\)|\$\('#[\w-]+'\));\s*$/;  // nbconvert's, for widgets
    for (const output of outputs) for (const one of output.querySelectorAll('*')) {
        const tag = one.tagName.toUpperCase();
        if (tag === 'SCRIPT' && (one.type.startsWith('application/vnd.jupyter.') || ownScript.test(one.text))) continue;
        if (never.includes(tag) || (tag === 'STYLE' && !styled)) found.push(one.outerHTML.slice(0, 200));
        for (const {name, value} of one.attributes) {
            if (name.startsWith('on') || name === 'srcdoc') found.push(`${tag} ${name}=${value}`.slice(0, 200));
            const leads = ['href', 'src', 'xlink:href', 'action', 'formaction', 'data', 'poster', 'background'].includes(name);
            if (!leads || !/^[\s\x00-\x20]*(javascript|vbscript|data:(?!image\/(png|jpeg)|audio\/|video\/)|file)/i.test(value)) continue;
            // JupyterLab makes a link of any address in plain text; browsers open no data: address from a link
            if (tag === 'A' && value.startsWith('data:') && one.closest('.jp-RenderedText')) continue;
            // a chart of the dashboard, drawn as an image: scripts do not run in one, and it loads nothing
            if (tag === 'IMG' && value.startsWith('data:image/svg+xml;base64,') && atob(value.split(',')[1]).includes('class="marks"')) continue;
            found.push(`${tag} ${name}=${value}`.slice(0, 200));
        }
    }
    return [outputs.length, found];
}"""


@dataclass
class Seen:
    """What became of one page."""

    outputs: int = 0
    rang: list[str] = field(default_factory=list)
    active: list[str] = field(default_factory=list)
    text: str = ""


def output(data: dict[str, Any], metadata: dict[str, Any] | None = None) -> Any:
    return nbformat.v4.new_output("display_data", data=data, metadata=metadata or {})


def notebook(outputs: list[list[Any]]) -> Any:
    cells = [nbformat.v4.new_code_cell("", outputs=group, execution_count=n + 1) for n, group in enumerate(outputs)]
    made = nbformat.v4.new_notebook(cells=cells)
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return made


def texts() -> Any:
    """Every sample as the result of a text model, in the shapes a text can have."""
    results = [Result(text=sample, model="gpt-5", category="text", tokens=2) for sample in SAMPLES]
    shapes = [
        Result(text=sample, model="gpt-5", category="text", tokens=2, shape=shape)
        for shape in ("text", "code", "json")
        for sample in SAMPLES[::7]
    ]
    outputs = [output(*result._repr_mimebundle_()) for result in (*results, *shapes)]
    return notebook([outputs[at : at + 20] for at in range(0, len(outputs), 20)])


def control() -> Any:
    samples = numbered(CONTROL, first=9000)
    return notebook([[output({"text/html": sample, "text/plain": ""})] for sample in samples])


def told(room: Path) -> Any:
    """Every place where a server's own words are shown, with the widgets as they were saved."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in CELLS])
    room.mkdir()
    with StrangeApi(HostileApi()) as api:
        manager = KernelManager(kernel_name="python3", transport="ipc", ip=str(room / "k"))
        manager.kernel_spec.argv[0] = sys.executable
        environment = {
            **os.environ,
            "ELUMENTA_HOME": str(room / "home"),
            "ELUMENTA_BASE_URL": api.url,
            "ELUMENTA_API_KEY": KEY,
            "SERVER_SOFTWARE": "voila/0.5",  # widgets that live, as in a front end
        }
        client = NotebookClient(
            made, km=manager, timeout=60, allow_errors=True, resources={"metadata": {"path": str(room)}}
        )
        client.execute(env=environment)
    return made


class Watch:
    """A page with its alarm."""

    def __init__(self, page: Any, origin: str) -> None:
        self.page, self.origin = page, origin
        self.rang: list[str] = []
        self.opened = 0.0
        page.set_default_timeout(60_000)  # two cores may be busy with other tests
        page.on("dialog", self._dialog)
        page.on("popup", lambda popup: self.rang.append(f"popup {popup.url}"))
        page.route("**/*", self._route)

    def _dialog(self, dialog: Any) -> None:
        if dialog.type == "beforeunload":
            dialog.accept()
            return
        self.rang.append(f"{dialog.type} {dialog.message}")
        dialog.dismiss()

    def _route(self, route: Any) -> None:
        url = route.request.url
        if url.startswith((self.origin, "data:", "blob:", "file:", "about:")):
            route.continue_()
            return
        if urlsplit(url).hostname not in CDN:
            self.rang.append(f"loads {url}")
        route.abort("aborted")

    def open(self, url: str, *, count: int) -> None:
        self.page.goto(url)
        outputs = "document.querySelectorAll('.jp-OutputArea-output, .output_area .output_subarea')"
        self.page.wait_for_function(f"{outputs}.length >= {count}")
        self.opened = time.monotonic()

    def look(self, *, styled: bool) -> Seen:
        """What it came to at least two seconds later: mermaid, MathJax and widgets are drawn later than the rest."""
        self.page.wait_for_timeout(max(0.0, 2 - (time.monotonic() - self.opened)) * 1000)
        outputs, active = self.page.evaluate(AUDIT, styled)
        return Seen(outputs, list(self.rang), active, self.page.inner_text("body")[:400_000])


@pytest.fixture(scope="module")
def looks(tmp_path_factory):
    """Every notebook in every front end: `looks[front, notebook]`."""
    room = tmp_path_factory.mktemp("hostile")
    made = {"texts": texts(), "told": told(room / "told"), "control": control()}
    counts = {name: sum(len(cell.outputs) for cell in one.cells) * 3 // 4 for name, one in made.items()}
    found: dict[tuple[str, str], Seen] = {}
    for name, one in made.items():
        for template in ("lab", "classic"):
            page = HTMLExporter(template_name=template).from_notebook_node(one)[0]
            (room / f"{name}-{template}.html").write_text(page, encoding="utf-8")
    SHOTS.mkdir(parents=True, exist_ok=True)
    with running(room / "lab") as lab, chromium() as browser:
        context = browser.new_context(viewport={"width": 1200, "height": 2000})
        origin = f"http://127.0.0.1:{lab.port}"
        notary = NotebookNotary(data_dir=str(lab.room / "data"))
        for name, one in made.items():
            nbformat.write(one, lab.notebooks / f"{name}-untrusted.ipynb")
            nbformat.write(one, lab.notebooks / f"{name}.ipynb")
            notary.sign(nbformat.read(lab.notebooks / f"{name}.ipynb", as_version=4))
        pages = [("JupyterLab", name, lab.url("lab", f"{name}.ipynb")) for name in (*made, *UNTRUSTED)]
        pages += [("Notebook 7", name, lab.url("notebook7", f"{name}.ipynb")) for name in made]
        pages += [
            (f"nbconvert {template}", name, (room / f"{name}-{template}.html").as_uri())
            for name in made
            for template in ("lab", "classic")
        ]
        for together in (pages[at : at + AT_ONCE] for at in range(0, len(pages), AT_ONCE)):
            watches = []
            for _front, name, url in together:
                watches.append(Watch(context.new_page(), origin))
                watches[-1].open(url, count=counts[name.split("-")[0]])
            for (front, name, _url), watch in zip(together, watches, strict=True):
                found[front, name] = watch.look(styled=name.split("-")[0] == "told")
                watch.page.screenshot(path=SHOTS / f"hostile-{front.replace(' ', '-')}-{name}.png")
                watch.page.close()
        notary.store.close()
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_there_are_enough_samples_of_each_kind(kind):
    assert len(set(KINDS[kind])) >= 40


@pytest.mark.parametrize("front", FRONTS)
def test_the_alarm_rings_where_html_is_raw(looks, front):
    seen = looks[front, "control"]

    assert len({ring.split()[0] for ring in seen.rang}) == 2, seen.rang  # dialogs, and loads from elsewhere
    assert len(seen.rang) >= 4
    assert len(seen.active) >= 4


@pytest.mark.parametrize(
    ("front", "name"),
    [*((front, name) for front in FRONTS for name in ("texts", "told")), *(("JupyterLab", name) for name in UNTRUSTED)],
)
def test_nothing_a_model_or_a_server_says_runs_or_loads(looks, front, name):
    seen = looks[front, name]

    assert seen.rang == []
    assert seen.active == []
    assert seen.outputs > 15


@pytest.mark.parametrize("front", FRONTS)
def test_what_was_said_is_there_to_be_read(looks, front):
    assert "alert(" in looks[front, "texts"].text
    assert "alert(" in looks[front, "told"].text
