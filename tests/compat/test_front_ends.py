"""What runs notebooks without a browser: a terminal IPython, nbclient, papermill, and nbconvert's HTML of the result."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pexpect
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

pytestmark = [pytest.mark.kernel, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
START = "%load_ext elumenta_nb\n%elumenta sandbox on"
PICTURE = "%%elumenta image dall-e-3 --max-price 15 -o cover\nA {{ what }} at dawn"
TOLD = 'import elumenta_nb as el\nprint("booked", int(el.spend()["tokens"].sum()), "balance", el.balance().tokens)'


def notebook(*sources: str) -> nbformat.NotebookNode:
    made = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    )
    for source in sources:
        cell = nbformat.v4.new_code_cell(source)
        if "# parameters" in source:
            cell.metadata["tags"] = ["parameters"]
        made.cells.append(cell)
    return made


def said(made: nbformat.NotebookNode) -> str:
    return "".join(out.get("text", "") for cell in made.cells for out in cell.get("outputs", []))


def mimes(made: nbformat.NotebookNode) -> set[str]:
    return {mime for cell in made.cells for out in cell.get("outputs", []) for mime in out.get("data", {})}


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> tuple[nbformat.NotebookNode, Path]:
    """A notebook with a text and a picture, executed once by nbclient."""
    room = tmp_path_factory.mktemp("nbclient")
    made = notebook(START, "what = 'quiet warehouse'", "%%elumenta text gpt-5\nOne line on {{ what }}", PICTURE, TOLD)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ELUMENTA_HOME", str(room / "home"))
        NotebookClient(made, timeout=60, resources={"metadata": {"path": str(room)}}).execute()
    return made, room


@pytest.mark.xdist_group("compat-nbclient")
def test_nbclient_keeps_the_outputs_the_receipts_and_the_files(executed):
    made, room = executed

    assert {"text/markdown", "text/plain"} <= mimes(made)
    assert mimes(made) & {"image/png", "image/jpeg"}
    assert [path.suffix for path in (room / "elumenta_media").iterdir() if path.suffix in (".png", ".jpg", ".webp")]
    words = said(made).split()
    booked, balance = int(words[words.index("booked") + 1]), int(words[words.index("balance") + 1])
    assert booked == 1500 - balance > 0
    nbformat.validate(made)


@pytest.mark.xdist_group("compat-nbclient")
def test_nbconvert_s_html_shows_the_text_and_the_picture(executed):
    page, _ = HTMLExporter().from_notebook_node(executed[0])
    body = page.split("<body", 1)[1]

    assert "data:image/" in body
    assert "SANDBOX" in body
    assert "quiet warehouse" in body
    assert "javascript:" not in body


def test_papermill_runs_it_with_a_parameter_and_saves_what_it_shows(tmp_path):
    source, saved = tmp_path / "report.ipynb", tmp_path / "saved.ipynb"
    nbformat.write(notebook("# parameters\nwhat = 'desk'", START, PICTURE, "cover", TOLD), source)

    papermill.execute_notebook(str(source), str(saved), {"what": "red harbour"}, cwd=str(tmp_path), progress_bar=False)

    made = nbformat.read(saved, as_version=4)
    assert mimes(made) & {"image/png", "image/jpeg"}
    sidecars = [path.read_text(encoding="utf-8") for path in (tmp_path / "elumenta_media").glob("*.json")]
    assert any("A red harbour at dawn" in text for text in sidecars), sidecars
    assert "booked" in said(made)


def test_papermill_stops_at_a_refused_cell_and_saves_what_was_refused(tmp_path):
    source, saved = tmp_path / "dear.ipynb", tmp_path / "saved.ipynb"
    nbformat.write(notebook(START, "%%elumenta image dall-e-3 --max-price 1\nA door", TOLD), source)

    with pytest.raises(papermill.PapermillExecutionError, match="max-price"):
        papermill.execute_notebook(str(source), str(saved), cwd=str(tmp_path), progress_bar=False)

    made = nbformat.read(saved, as_version=4)
    assert [out.output_type for cell in made.cells for out in cell.get("outputs", [])].count("error") == 1
    assert "booked" not in said(made), "the cell after the refused one did not run"


def test_a_terminal_ipython_shows_the_answer_and_the_receipt(tmp_path):
    env = {**os.environ, "TERM": "dumb", "COLUMNS": "200"}
    command = ["-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor", "--no-confirm-exit"]
    shell = pexpect.spawn(sys.executable, command, cwd=str(tmp_path), env=env, encoding="utf-8", timeout=30)
    try:
        for line, sign in {
            "%load_ext elumenta_nb": r"In \[2\]",
            "%elumenta sandbox on": r"In \[3\]",
            "%%elumenta text gpt-5 -o note\nOne line about tides\n\n": r"tokens? · .*balance",
            "print('paid', note.tokens > 0)": "paid True",
            "%elumenta balance": r"1[.,\s\u202f]?4\d\d",
            "%%elumenta image dall-e-3 --max-price 1\nA door\n\n": "max-price",
        }.items():
            shell.send(line + "\n")
            shell.expect(sign)
        shell.send("exit\n")
        shell.expect(pexpect.EOF)
    finally:
        shell.close()

    assert shell.exitstatus == 0


def test_a_script_of_ipython_runs_and_exits(tmp_path):
    script = tmp_path / "report.ipy"
    script.write_text(f"{START}\nr = %elumenta text gpt-5 One line\nprint('paid', r.tokens > 0)\n")

    done = subprocess.run(
        [sys.executable, "-m", "IPython", str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "paid True" in done.stdout
