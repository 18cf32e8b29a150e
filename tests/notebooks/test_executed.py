"""Each notebook runs in the sandbox from nothing, and what it leaves is what it shows: files, receipts, a true sum."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "notebooks"
SANITIZE = Path(__file__).parent / "sanitize.cfg"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
START = 1500  # the sandbox's balance
AUDIT = """
import json, elumenta_nb as el
frame, balance = el.spend(columns="all"), el.balance()
print(json.dumps({
    "spent": int(frame["tokens"].sum()), "held": int(frame["held"].sum()), "balance": balance.tokens,
    "states": sorted(set(frame["status"].astype(str))), "rows": len(frame),
}))
"""

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(300)]


def run(name: str, room: Path) -> tuple[nbformat.NotebookNode, dict]:
    """The executed notebook and an audit asked of its own kernel after the last cell."""
    room.mkdir()
    notebook = nbformat.read(shutil.copy(FOLDER / f"{name}.ipynb", room), as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(AUDIT))
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(room)}}).execute()
    said = "".join(out.text for out in notebook.cells.pop().outputs if out.output_type == "stream")
    return notebook, json.loads(said)


@pytest.fixture(scope="module")
def executed(request, tmp_path_factory):
    """One execution per notebook for all tests of this module."""
    done: dict[str, tuple] = {}
    room = tmp_path_factory.mktemp("notebooks")

    def of(name: str) -> tuple[nbformat.NotebookNode, dict, Path]:
        if name not in done:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("ELUMENTA_HOME", str(room / f"{name}-home"))
                done[name] = (*run(name, room / name), room / name)
        return done[name]

    return of


def htmls(notebook) -> str:
    return "\n".join(
        out.data["text/html"]
        for cell in notebook.cells
        for out in cell.get("outputs", [])
        if "text/html" in out.get("data", {})
    )


every = pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.xdist_group(n)) for n in NOTEBOOKS])
quickstart = pytest.mark.xdist_group("01_quickstart")


@every
def test_it_runs_without_an_error_and_its_sum_is_the_account_s(name, executed):
    _, audit, _ = executed(name)

    assert audit["rows"] > 0
    assert audit["held"] == 0
    assert set(audit["states"]) <= {"completed", "failed", "cancelled"}
    assert START - audit["balance"] == audit["spent"] > 0


@every
def test_every_file_it_links_to_is_there_and_is_what_it_says(name, executed):
    notebook, _, folder = executed(name)
    linked = {
        unquote(path) for path in re.findall(r"(?:src|poster|href)=\"(?!data:|https?:|#)([^\"]+)\"", htmls(notebook))
    }

    assert [path for path in linked if not (folder / path).is_file()] == []
    for path in linked:
        head = (folder / path).read_bytes()[:16]
        if path.endswith(".mp4"):
            assert head[4:8] == b"ftyp"
        if path.endswith(".png"):
            assert head.startswith(b"\x89PNG")


@every
def test_no_cell_grows_the_notebook_by_more_than_300_kib(name, executed):
    notebook, _, _ = executed(name)
    grown = [sum(len(json.dumps(out)) for out in cell.outputs) for cell in notebook.cells if cell.cell_type == "code"]

    assert max(grown) <= 300 * 1024


@quickstart
def test_the_quickstart_shows_a_text_a_picture_and_a_film_each_with_its_price(executed):
    notebook, audit, folder = executed("01_quickstart")
    mimes = {mime for cell in notebook.cells for out in cell.get("outputs", []) for mime in out.get("data", {})}
    everything = json.dumps([cell.get("outputs", []) for cell in notebook.cells], ensure_ascii=False)

    assert {"text/markdown", "text/plain", "text/html"} <= mimes
    assert mimes & {"image/png", "image/jpeg"}
    assert "<video" in htmls(notebook)
    assert list((folder / "elumenta_media").glob("*.mp4"))
    assert everything.count("tokens ·") + everything.count("token ·") >= 3
    assert audit["rows"] >= 3


@quickstart
def test_the_html_of_the_quickstart_runs_nothing_of_ours(executed):
    from nbconvert import HTMLExporter

    notebook, _, _ = executed("01_quickstart")
    page, _ = HTMLExporter().from_notebook_node(notebook)
    body = page.split("<body", 1)[1]

    assert "<video" in body
    assert "data:image/" in body
    assert "javascript:" not in body
    assert not re.search(r"<img[^>]+src=\"https?:", body)


@every
def test_a_run_gives_the_outputs_that_are_committed(name, tmp_path):
    shutil.copy(FOLDER / f"{name}.ipynb", tmp_path)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval",
        "--nbval-sanitize-with",
        str(SANITIZE),
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    command += ["-c", os.devnull, "--rootdir", str(tmp_path), f"{name}.ipynb"]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)

    assert done.returncode == 0, done.stdout[-6000:]
    assert re.search(r"\d+ passed", done.stdout)
