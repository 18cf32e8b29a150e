"""Run by another, for nothing: the notebook whose results are committed, without key or network."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from elumenta_nb._store import Store

FOLDER = Path(__file__).parents[2] / "notebooks"
STORED = "05_paid_once"
AUDIT = """
import json, elumenta_nb as el
frame = el.spend(columns="all")
print(json.dumps({"balance": el.balance().tokens, "spent": int(frame["tokens"].sum())}))
"""


def run(path: Path) -> dict:
    """Restart and run all; what account and ledger say then."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(AUDIT))
    folder = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=folder).execute()
    return json.loads("".join(out.text for out in notebook.cells[-1].outputs if out.output_type == "stream"))


@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_made_up_past_comes_after_other_notebooks_of_the_same_home(tmp_path, monkeypatch):
    monkeypatch.setenv("ELUMENTA_HOME", str(tmp_path / "home"))
    (tmp_path / "folder").mkdir()
    told = []
    for name in ("05_paid_once", "07_spend_analysis"):
        told.append(run(Path(shutil.copy(FOLDER / f"{name}.ipynb", tmp_path / "folder"))))

    assert told[1]["spent"] > 915 + told[0]["spent"]
    assert told[1]["balance"] == 1500 - told[1]["spent"]


@pytest.fixture
def nbval(tmp_path, monkeypatch):
    """Run the notebook under nbval as CI would: the store alone, no key."""
    folder, home = tmp_path / "folder", tmp_path / "home"
    folder.mkdir()
    shutil.copy(FOLDER / f"{STORED}.ipynb", folder)
    shutil.copytree(FOLDER / "elumenta_media", folder / "elumenta_media")
    rules = Path(__file__).parent / "sanitize.cfg"
    monkeypatch.setenv("ELUMENTA_HOME", str(home))
    monkeypatch.setenv("ELUMENTA_REUSE", "only")

    def run() -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-sanitize-with", str(rules), "-q"]
        command += ["-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(folder), f"{STORED}.ipynb"]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=150, check=False)

    run.folder, run.home = folder, home
    return run


@pytest.mark.kernel
@pytest.mark.slow
def test_with_its_results_beside_it_a_notebook_runs_without_key_and_network_and_shows_what_is_committed(nbval):
    before = {path.name: path.read_bytes() for path in (nbval.folder / "elumenta_media").iterdir()}
    done = nbval()

    assert done.returncode == 0, done.stdout[-6000:]
    assert re.search(r"\d+ passed", done.stdout)
    assert "failed" not in done.stdout
    assert not (nbval.home / "sandbox.sqlite").exists(), "no server was started"
    assert {path.name: path.read_bytes() for path in (nbval.folder / "elumenta_media").iterdir()} == before


@pytest.mark.kernel
@pytest.mark.slow
def test_a_result_that_is_missing_fails_the_run_by_its_name(nbval):
    for path in (nbval.folder / "elumenta_media").glob("image-*"):
        path.unlink()
    done = nbval()

    assert done.returncode == 1
    assert "NotStored" in done.stdout
    assert len(re.findall(r"^FAILED ", done.stdout, re.MULTILINE)) == 2, "the cell, and the one that uses its result"


def test_the_cells_that_nbval_compares_show_what_is_stored():
    notebook = nbformat.read(FOLDER / f"{STORED}.ipynb", as_version=4)
    compared = [cell for cell in notebook.cells if "nbval-check-output" in cell.metadata.get("tags", [])]

    assert len(compared) >= 6
    assert all(cell.outputs for cell in compared)


def test_the_committed_results_are_whole_small_and_the_sandbox_s():
    folder = FOLDER / "elumenta_media"
    store = Store(folder, fallback=folder)
    takes = store.takes()

    assert store.damaged == {}
    assert len(takes) >= 7
    assert {take.api for take in takes} == {"sandbox"}
    assert {take.category for take in takes} == {"text", "image"}
    assert sum(path.stat().st_size for path in folder.iterdir()) < 150_000
    named = {take.path.name for take in takes} | {item.path.name for take in takes for item in take.media}
    assert {path.name for path in folder.iterdir()} == named
    private = re.compile(r"nb_[A-Za-z0-9]{12,}|/(?:root|home|Users|tmp)/\w")
    assert not [take.name for take in takes if private.search(take.path.read_text(encoding="utf-8"))]
