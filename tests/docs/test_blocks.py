"""What the README and the how-tos tell people to type works: cells in a real shell, commands in a real folder.

Not run are the few things that install, need the network or a person; `test_commands` and `ASKS` name them all, and
check them in another way.
"""

import ast
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from doc_blocks import PAGES, ROOT, blocks_of, cells_of, commands_of
from IPython.core.interactiveshell import InteractiveShell
from packaging.requirements import Requirement
from traitlets.config import Config

from elumenta_nb._config import _SPECS
from elumenta_nb._parser import parse
from elumenta_nb._verbs import VERBS

ASKS = {"%elumenta login"}  # cells that ask a person for a key: their lines are parsed
LANGUAGES = {"", "python", "bash", "sh", "text", "yaml", "toml", "ini", "json"}
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
BINARIES = Path(sys.executable).parent


class Shell(InteractiveShell):
    """IPython itself, but an error is kept instead of printed."""

    def showtraceback(self, *_args, **_options):
        pass


@pytest.fixture
def shell():
    InteractiveShell.clear_instance()
    config = Config()
    config.HistoryManager.enabled = False
    config.HistoryManager.hist_file = ":memory:"
    hook = sys.displayhook
    made = Shell.instance(config=config)
    yield made
    made.run_cell("%unload_ext elumenta_nb")
    made.history_manager.end_session()
    sys.displayhook = hook
    InteractiveShell.clear_instance()


@pytest.mark.parametrize("page", [page for page in PAGES if cells_of(page)])
def test_the_cells_of_a_page_run_one_after_the_other(page, shell, capsys):
    done = []
    for cell in cells_of(page):
        if cell.first in ASKS:
            assert parse(cell.first.removeprefix("%elumenta "), verbs=VERBS, lookup=str).verb
            continue
        ended = shell.run_cell(cell.body, store_history=True)
        error = ended.error_before_exec or ended.error_in_exec
        assert (type(error).__name__ if error else "") == cell.raises, f"{cell.body}\n{error}\nafter {done}"
        done.append(cell.first)

    assert done


def test_the_cells_are_found():
    """A change of the form of pages must not make the test above run nothing."""
    assert len(cells_of("docs/howto/budgets.md")) >= 10
    assert len(cells_of("README.md")) >= 4
    assert {block.raises for block in cells_of("docs/howto/budgets.md")} >= {"ConfirmPrice", "BudgetExceeded"}
    assert sum(len(cells_of(page)) for page in PAGES) >= 50


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_of_a_kind_that_is_looked_at(page):
    for block in blocks_of(page):
        assert block.language in LANGUAGES, block.info
        if block.language == "yaml":
            assert yaml.safe_load(block.body)
        if block.language == "toml":
            assert tomllib.loads(block.body)
        if block.language == "python" and not block.is_cell:
            ast.parse(block.body)


# ---------------------------------------------------------------- commands of a terminal


def check_make(words):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(words[1:]) <= targets


def check_pip(words):
    """What is installed are packages of ours or tools by their names, and the extras are there."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert words[:2] == ["pip", "install"]
    for word in words[2:]:
        if word == "-e":
            continue
        local = re.fullmatch(r"\.(\[.*\])?", word)
        asked = Requirement(f"elumenta-nb{local[1] or ''}" if local else word)
        assert asked.name != "elumenta-nb" or asked.extras <= set(extras)


def check_export(words):
    known = {spec.env for spec in _SPECS.values()} | {"ELUMENTA_NOTEBOOK"}
    for word in words[1:]:
        name, equals, value = word.partition("=")
        assert name in known
        assert equals
        assert value


def check_module(words):
    assert words[1] == "-m"
    assert importlib.util.find_spec(words[2])


# Not run: `make` and `pip` change the machine, `export` names a server of the reader's, modules of ours take minutes.
CHECKED = {"make": check_make, "pip": check_pip, "export": check_export, "python": check_module}
RUN = {"elumenta-nb", "jupyter", "pytest", "papermill"}


def settings_and_words(command):
    words = shlex.split(command)
    settings = {}
    while words and re.match(r"[A-Z_]+=", words[0]):
        name, _, value = words.pop(0).partition("=")
        settings[name] = value
    return settings, [words[0].removeprefix(".venv/bin/"), *words[1:]]


def commands():
    return [(page, command) for page in PAGES for command in commands_of(page)]


def steps():
    """The `run:` lines of the CI files that pages show."""
    for page in PAGES:
        for block in blocks_of(page):
            if block.language == "yaml":
                yield from re.findall(r"run: (.+)", block.body)


def test_every_command_is_run_or_checked():
    for _page, command in commands():
        _, words = settings_and_words(command)
        assert words[0] in RUN | set(CHECKED), command
    assert len(CHECKED) == 4


@pytest.mark.parametrize("command", sorted({c for _, c in commands() if settings_and_words(c)[1][0] in CHECKED}))
def test_a_command_that_is_not_run_is_one_that_exists(command):
    settings, words = settings_and_words(command)

    assert set(settings) <= {"SEED", "JOBS", *(spec.env for spec in _SPECS.values())}
    CHECKED[words[0]](words)


@pytest.mark.parametrize("command", list(steps()))
def test_a_step_of_ci_is_a_command_of_these(command):
    words = shlex.split(command)

    if words[0] in CHECKED:
        CHECKED[words[0]](words)
    else:
        assert any(words[:2] == settings_and_words(told)[1][:2] for _page, told in commands())


@pytest.fixture
def folder(tmp_path):
    """A folder as the pages have it: the notebooks, what they stored, rules for nbval, a table, the postcard for papermill."""
    here = tmp_path / "folder"
    shutil.copytree(ROOT / "notebooks", here)
    first, *rest = cells_of("docs/howto/papermill.md")
    made = nbformat.v4.new_notebook(metadata={"kernelspec": KERNEL})
    made.cells = [nbformat.v4.new_code_cell(cell.body.rstrip()) for cell in (first, *rest)]
    made.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(made, here / "postcard.ipynb")
    made.cells = [nbformat.v4.new_code_cell("%%elumenta text gpt-5\nOne line on the sea")]
    nbformat.write(made, here / "report.ipynb")
    (here / "goods.csv").write_text("title\nWool blanket\nOak chair\n", encoding="utf-8")
    [rules] = [block for block in blocks_of("docs/howto/ci.md") if block.language == "ini"]
    (here / "sanitize.cfg").write_text(rules.body, encoding="utf-8")
    return here


@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.parametrize("command", sorted({c for _, c in commands() if settings_and_words(c)[1][0] in RUN}))
def test_a_command_of_a_page_runs(command, folder):
    settings, words = settings_and_words(command)
    environment = {"ELUMENTA_MODE": "sandbox", **os.environ, **settings}
    if settings.get("ELUMENTA_REUSE") == "only":
        del environment["ELUMENTA_MODE"]
        (folder / "pytest.ini").write_text("[pytest]\n")
    environment["PATH"] = f"{BINARIES}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        words,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    if words[0] == "papermill":
        saved = nbformat.read(folder / words[2], as_version=4)
        assert words[words.index("-p") + 2] in saved.cells[1].source
        assert any(
            "image/" in mime for cell in saved.cells for out in cell.get("outputs", []) for mime in out.get("data", {})
        )
