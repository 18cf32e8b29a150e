"""Each notebook runs in the sandbox from nothing, and what it leaves is what it shows: files, receipts, a true sum.

A notebook is executed once for all that is asked of its first run, and a second time for what a second run may cost.
"""

import copy
import json
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
from nbclient import NotebookClient
from nbval.plugin import IPyNbFile, coalesce_streams, get_sanitize_patterns

FOLDER = Path(__file__).parents[2] / "notebooks"
SANITIZE = Path(__file__).parent / "sanitize.cfg"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
START = 1500  # the sandbox's balance
AUDIT = """
import json, elumenta_nb as el
frame, balance = el.spend(columns="all"), el.balance()
armed = el.session().sandbox("status")["fail_next"]
print(json.dumps({
    "spent": int(frame["tokens"].sum()), "held": int(frame["held"].sum()), "balance": balance.tokens,
    "states": sorted(set(frame["status"].astype(str))), "rows": len(frame), "armed": armed,
}))
"""

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(300)]


def run(path: Path) -> tuple[nbformat.NotebookNode, dict]:
    """Restart and run all: the executed notebook, and an audit asked of its own kernel after the last cell."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(AUDIT))
    folder = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=folder).execute()
    said = "".join(out.text for out in notebook.cells.pop().outputs if out.output_type == "stream")
    return notebook, json.loads(said)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    return tmp_path_factory.mktemp("notebooks")


@pytest.fixture(scope="module")
def run_in_its_room(rooms):
    """The notebook is run where it was run before, with the home it had then."""

    def run_it(name: str) -> tuple[nbformat.NotebookNode, dict]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ELUMENTA_HOME", str(rooms / f"{name}-home"))
            patch.setenv("ELUMENTA_NOTEBOOK", f"/notebooks/{name}.ipynb")  # as scripts/notebooks.py calls them
            return run(rooms / name / f"{name}.ipynb")

    return run_it


@pytest.fixture(scope="module")
def executed(rooms, run_in_its_room):
    """The first run of a notebook, one for all tests of this module, and a copy of the folder as it left it."""
    done: dict[str, tuple] = {}

    def of(name: str) -> tuple[nbformat.NotebookNode, dict, Path]:
        if name not in done:
            (rooms / name).mkdir()
            shutil.copy(FOLDER / f"{name}.ipynb", rooms / name)
            notebook, audit = run_in_its_room(name)
            left = shutil.copytree(rooms / name, rooms / f"{name}-left")
            done[name] = (notebook, audit, left)
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


@pytest.fixture
def differences(request):
    """What nbval finds different between the outputs of a run and those that are committed, by cell."""
    rules = dict(get_sanitize_patterns(SANITIZE.read_text(encoding="utf-8")))

    def between(name: str, ran: nbformat.NotebookNode) -> dict[int, str]:
        committed = IPyNbFile.from_parent(request.session, path=FOLDER / f"{name}.ipynb")
        committed.sanitize_patterns.update(rules)
        cells = list(committed.collect())
        outputs = [cell.outputs for cell in ran.cells if cell.cell_type == "code"]
        return {
            cell.cell_num: "\n".join(cell.comparison_traceback)
            for cell, shown in zip(cells, outputs, strict=True)
            if not cell.compare_outputs(coalesce_streams(shown), coalesce_streams(cell.cell.outputs))
        }

    return between


@every
def test_a_run_gives_the_outputs_that_are_committed(name, executed, differences):
    notebook, _, _ = executed(name)

    assert differences(name, notebook) == {}


@quickstart
def test_another_price_a_missing_output_and_one_too_many_are_differences(executed, differences):
    notebook, _, _ = executed("01_quickstart")
    changed = copy.deepcopy(notebook)
    price = re.compile(r"\d+( tokens? ·)")
    written = [json.dumps(cell.get("outputs", []), ensure_ascii=False) for cell in changed.cells]
    dearer, silent, twice, *_ = [cell for cell, text in zip(changed.cells, written, strict=True) if price.search(text)]
    priced = json.dumps(dearer.outputs, ensure_ascii=False)
    dearer.outputs = nbformat.from_dict(json.loads(price.sub(r"77\1", priced)))
    silent.outputs.clear()
    twice.outputs.append(twice.outputs[-1])

    assert differences("01_quickstart", notebook) == {}
    assert len(differences("01_quickstart", changed)) == 3


@every
def test_restart_and_run_all_costs_nothing_the_second_time(name, executed, run_in_its_room):
    _, first, _ = executed(name)

    _, second = run_in_its_room(name)

    assert first["spent"] > 0
    assert second["balance"] == first["balance"]
    assert second["spent"] == first["spent"]
    assert second["rows"] > first["rows"], "what is shown again is in the ledger too, with 0 tokens"
    assert second["armed"] == 0, "no call of another notebook fails"
