"""`elumenta-nb demo`: the quickstart notebook, run for real in the sandbox, in a folder and a home of its own.

Writes the executed notebook and its HTML, and says what each cell spent. No key is used, nothing is charged.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ._errors import ConfigError
from ._language import gettext as _, number, span, tokens

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["run"]

_NAME: Final = "01_quickstart.ipynb"
_MARK: Final = ".made-by-elumenta-nb-demo"  # only a folder with this file in it is ever emptied
_TIMEOUT_S: Final = 180
_BUILT_IN: Final = (  # where the notebook is not at hand: an installed package
    "%load_ext elumenta_nb\n%elumenta sandbox on",
    "%%elumenta text --max-price 1\nWhat is a token? Answer in two sentences.",
    "%%elumenta image dall-e-3 --size 1792x1024 --quality hd --quote\nA lighthouse at dawn, watercolour",
    "%%elumenta image dall-e-3 --size 1792x1024 --quality hd --max-price 13\nA lighthouse at dawn, watercolour",
    "%%elumenta video kling-v2.1 --max-price 26\nWaves around the lighthouse, slow pan",
    "%elumenta spend --by model",
)


def run(here: Path, say: Callable[[str], None]) -> int:
    """Run it below `here`/build; `say` gets each line for the person. Returns the exit status."""
    try:
        import nbclient
        import nbconvert  # noqa: F401 - asked for now, not after the notebook has run
        import nbformat
    except ImportError as error:
        raise ConfigError(
            _("The demo needs {package}, which is not installed.").format(package=error.name),
            hint='pip install "elumenta-nb[sandbox,notebook]"',
        ) from None
    room = _room(here / "build" / "demo")
    notebook, what = _notebook(nbformat)
    say(_("Running {what} in the sandbox: no key, nothing is charged.").format(what=what))
    began = time.monotonic()
    path = room / _NAME
    status = 0
    writes: Any = nbformat.writes  # untyped
    try:
        _execute(notebook, room, say)
    except nbclient.exceptions.CellExecutionError as error:
        say(_("A cell failed: {name}: {why}").format(name=error.ename, why=error.evalue))
        status = 1
    path.write_text(str(writes(notebook)), encoding="utf-8")
    page = path.with_suffix(".html")
    page.write_text(_html(notebook), encoding="utf-8")
    say("")
    for line in _spent(room):
        say(line)
    say("")
    say(_("Done in {time}.").format(time=span(time.monotonic() - began)))
    say(_("Open:      {path}").format(path=page))
    say(_("Notebook:  {path}").format(path=path))
    say(_("Next:      {line}").format(line=_next(here)))
    return status


def _room(folder: Path) -> Path:
    if folder.exists() and any(folder.iterdir()):
        if not (folder / _MARK).exists():
            raise ConfigError(
                _("{path} is not the demo's, and is left as it is.").format(path=folder),
                hint=_("Run the demo in another folder, or move that one away."),
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARK).touch()
    return folder


def _notebook(nbformat: Any) -> tuple[Any, str]:
    for place in (Path(__file__).parents[1] / "notebooks" / _NAME, Path(str(files(__package__))) / "notebooks" / _NAME):
        if place.is_file():
            return nbformat.read(place, as_version=4), f"notebooks/{_NAME}"
    cells = [nbformat.v4.new_code_cell(source) for source in _BUILT_IN]
    return nbformat.v4.new_notebook(cells=cells), _("a short tour")


def _execute(notebook: Any, room: Path, say: Callable[[str], None]) -> None:
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    codes = [index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"]

    def tell(cell: Any, cell_index: int) -> None:
        first = cell.source.strip().split("\n", 1)[0]
        say(f"  [{codes.index(cell_index) + 1}/{len(codes)}] {first[:90]}")

    manager = AsyncKernelManager(kernel_name="python3")
    sockets = tempfile.mkdtemp(prefix="elumenta-") if os.name == "posix" else ""
    if sockets:  # files instead of ports: nobody else can listen in
        manager.transport, manager.ip = "ipc", f"{sockets}/k"
    spec = manager.kernel_spec
    assert spec is not None
    spec.argv[0] = sys.executable  # the kernel of this very environment, whatever else is installed
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook,
        km=manager,
        timeout=_TIMEOUT_S,
        resources={"metadata": {"path": str(room)}},
        on_cell_execute=tell,
    )
    try:
        client.execute(cleanup_kc=True, env=_environment(room))
    finally:
        shutil.rmtree(sockets, ignore_errors=True)


def _environment(room: Path) -> dict[str, str]:
    ipython = room / "home" / "ipython"  # nobody's start-up files
    ipython.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ELUMENTA_")}
    if lang := os.environ.get("ELUMENTA_LANG"):
        kept["ELUMENTA_LANG"] = lang
    return kept | {
        "ELUMENTA_HOME": str(room / "home"),
        "ELUMENTA_MODE": "sandbox",
        "IPYTHONDIR": str(ipython),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # ipykernel's debugger warns about frozen modules on stderr
    }


def _html(notebook: Any) -> str:
    from nbconvert import HTMLExporter

    export: Any = HTMLExporter  # untyped
    body, _resources = export(template_name="lab").from_notebook_node(notebook)
    return str(body)


def _spent(room: Path) -> list[str]:
    """A line per cell that asked for something, from the ledger the notebook wrote."""
    from ._help import Page, Table
    from ._session import Session

    session = Session(home=room / "home", mode="sandbox")
    try:
        frame: Any = session.spend()
    finally:
        session.close()
    rows = [
        (
            f"[{row.execution_count}]",
            str(row.category),
            str(row.model),
            number(int(row.tokens)),
            span(float(row.latency_s)),
        )
        for row in frame.sort_values("id").itertuples()
    ]
    total = _("Together: {tokens} of the sandbox's, which cost nothing.").format(
        tokens=tokens(int(frame["tokens"].sum()))
    )
    head = (_("Cell"), _("Category"), _("Model"), _("Tokens"), _("Time"))
    return str(Page(_("What each cell spent"), (Table(head, tuple(rows)), total))).split("\n")


def _next(here: Path) -> str:
    return "make lab" if (here / "Makefile").is_file() else "jupyter lab"
