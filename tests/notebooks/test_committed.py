"""The notebooks as they are committed: small, complete, private, and visibly in the sandbox."""

import json
import re
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
PRIVATE = re.compile(r"nb_(?!YOUR_API_KEY)[A-Za-z0-9]{12,}|/(?:root|home|Users|tmp)/\w")

every = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def texts(notebook) -> str:
    """Sources and outputs but for the pictures' bytes."""
    kept = []
    for cell in notebook.cells:
        kept.append(cell.source)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            kept += [json.dumps(value) for mime, value in data.items() if not mime.startswith("image/")]
            kept.append(str(output.get("text", "")))
    return re.sub(r"data:[\w/;+-]+base64,[\w+/=]+", "", "\n".join(kept))


def test_there_are_notebooks():
    assert {path.stem for path in NOTEBOOKS} >= {"01_quickstart", "02_images_and_video"}


@every
def test_it_is_a_valid_notebook_for_any_python_3(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)

    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook.metadata


@every
def test_every_code_cell_has_been_run_without_an_error(path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]

    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [
        out
        for cell in cells
        for out in cell.outputs
        if out.output_type == "error" and "raises-exception" not in cell.metadata.get("tags", [])
    ]
    assert any(cell.outputs for cell in cells)


@every
def test_the_first_code_cell_opts_in_to_the_sandbox(path):
    first = next(cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")

    assert "%load_ext elumenta_nb" in first.source
    assert "%elumenta sandbox on" in first.source


@every
def test_it_is_small(path):
    media = len(re.findall(r'"image/|<audio', path.read_text(encoding="utf-8")))

    assert path.stat().st_size < (100 + 300 * max(1, media)) * 1024
    assert path.stat().st_size < 1536 * 1024


@every
def test_it_holds_no_key_and_no_path_of_the_machine_it_was_made_on(path):
    assert PRIVATE.findall(texts(nbformat.read(path, as_version=4))) == []


def test_the_quickstart_is_quick():
    assert len(nbformat.read(FOLDER / "01_quickstart.ipynb", as_version=4).cells) <= 12
