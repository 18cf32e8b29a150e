"""Execute the notebooks in the sandbox, each in a folder and a home of its own, and save them with their outputs.

    python scripts/notebooks.py [NAME …]

Files a notebook makes stay in the temporary folder: what is committed shows posters and previews without them. But for
`WITH_RESULTS`, whose folder of results is committed beside it, to be run with ELUMENTA_REUSE=only.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
WITH_RESULTS = "05_paid_once"
CALLED_FROM = "/notebooks"  # the folder that spend knows them by: the same on every machine, as outputs name it
KEPT = {"kernelspec": KERNEL, "language_info": {"name": "python"}}


def clean(notebook: nbformat.NotebookNode) -> None:
    """Leave out what only says when and by what it was run, and the state of widgets that are gone."""
    notebook.metadata = nbformat.from_dict(KEPT)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        cell.metadata.pop("trusted", None)


def execute(path: Path, room: Path) -> nbformat.NotebookNode:
    """The executed notebook. Its first cell opts in to the sandbox; the environment says nothing."""
    here = room / path.stem
    here.mkdir()
    notebook = nbformat.read(shutil.copy(path, here), as_version=4)
    for name in [name for name in os.environ if name.startswith("ELUMENTA_")]:
        del os.environ[name]
    os.environ |= {
        "ELUMENTA_HOME": str(room / f"{path.stem}-home"),
        "ELUMENTA_LANG": "en",
        "ELUMENTA_NOTEBOOK": f"{CALLED_FROM}/{path.name}",  # nbclient tells no name
    }
    NotebookClient(notebook, timeout=180, kernel_name="python3", resources={"metadata": {"path": str(here)}}).execute()
    return notebook


def main() -> int:
    chosen = sys.argv[1:]
    for path in sorted(FOLDER.glob("*.ipynb")):
        if chosen and path.stem not in chosen:
            continue
        with tempfile.TemporaryDirectory() as room:
            notebook = execute(path, Path(room))
            if path.stem == WITH_RESULTS:
                shutil.rmtree(FOLDER / "elumenta_media", ignore_errors=True)
                shutil.copytree(Path(room) / path.stem / "elumenta_media", FOLDER / "elumenta_media")
        clean(notebook)
        nbformat.validate(notebook)
        nbformat.write(notebook, path)
        print(f"{path.name}: {path.stat().st_size / 1024:.0f} KiB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
