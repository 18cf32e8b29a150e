"""The command `elumenta-nb`."""

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import elumenta_nb
from elumenta_nb import _session
from elumenta_nb._cli import main


@pytest.fixture
def sandbox(monkeypatch):
    monkeypatch.setenv("ELUMENTA_MODE", "sandbox")


def test_alone_it_lists_its_commands(capsys):
    assert main([]) == 0

    page = capsys.readouterr().out
    for name in ("demo", "sandbox", "price", "spend", "balance", "models", "plans", "recover"):
        assert re.search(rf"^{name}\b", page, re.MULTILINE)


def test_its_version_is_that_of_the_package(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"elumenta-nb {elumenta_nb.__version__}\n"


@pytest.mark.parametrize("name", ["demo", "sandbox", "price", "spend", "recover"])
def test_every_command_has_a_page(capsys, name):
    assert main([name, "-h"]) == 0
    assert f"elumenta-nb {name}" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["demo", "price", "spend"])
def test_help_of_a_command_is_its_page(capsys, name):
    assert main([name, "-h"]) == 0
    page = capsys.readouterr().out
    assert main(["help", name]) == 0
    assert capsys.readouterr().out == page


@pytest.mark.parametrize(
    "words",
    [["--max-price", "1", "one.ipynb"], ["one.ipynb", "--max-price=1"], ["--notebook", "one.ipynb", "--max", "1"]],
)
def test_the_limit_of_a_notebook_may_stand_anywhere(capsys, sandbox, words):
    cell = {"cell_type": "code", "metadata": {}, "outputs": [], "source": "%%elumenta text gpt-5\nhello"}
    Path("one.ipynb").write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}))

    assert main(["price", *words]) == 1
    assert "Run All costs 2 tokens" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["price", "-h"], ["price", "any.ipynb", "-h"]])
def test_the_page_of_price_has_both_its_forms(words, capsys):
    assert main(words) == 0

    page = capsys.readouterr().out
    assert "elumenta-nb price FILE.ipynb [--max-price N" in page
    assert "elumenta-nb price MODEL" in page
    assert page.index("status 1") < page.index("--count")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["pric"], "Did you mean price?"),
        (["price"], "which model"),
        (["spend", "--by", "moon"], "one of cell"),
        (["sandbox", "--prt", "1"], "--port"),
        (["price", "dall-e-4"], "dall-e-3"),
        (["price", "gpt-5", "one.ipynb"], "one.ipynb"),
        (["price", "gpt-5", "—count", "2"], "Did you mean --count?"),
        (["help", "prise"], "Did you mean price?"),
    ],
)
def test_a_wrong_command_line_is_status_2_and_says_what_is_wrong(capsys, sandbox, words, part):
    assert main(words) == 2
    assert part in capsys.readouterr().err


def test_no_key_and_no_mode_is_status_1_with_both_ways_out(capsys):
    assert main(["balance"]) == 1

    said = capsys.readouterr().err
    assert "elumenta-nb login" in said
    assert "ELUMENTA_MODE=sandbox" in said


def test_the_price_of_a_call(capsys, sandbox):
    assert main(["price", "dall-e-3", "--size", "1792x1024", "--quality", "hd", "--count", "2"]) == 0
    assert "dall-e-3: 26 tokens" in capsys.readouterr().out


def test_what_was_spent(capsys, sandbox):
    _session.current().run(_ask(), _session.Origin())
    assert main(["spend", "--by", "model"]) == 0
    assert re.search(r"gpt-5\b.*\b2\b", capsys.readouterr().out)


def test_the_catalogue_needs_no_key(capsys, sandbox):
    assert main(["models", "--category", "video", "--max", "50"]) == 0
    assert "sora-2" in capsys.readouterr().out


def _ask():
    from elumenta_nb._values import Ask

    return Ask(model="gpt-5", prompt="hello")


@pytest.mark.slow
def test_the_sandbox_serves_other_programs_until_it_is_stopped():
    process = subprocess.Popen(
        [sys.executable, "-m", "elumenta_nb", "sandbox"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        lines = [process.stdout.readline() for _ in range(4)]
        url, key = re.search(r"ELUMENTA_BASE_URL=(\S+) ELUMENTA_API_KEY=(\S+)", "".join(lines)).groups()
        request = urllib.request.Request(f"{url}/balance", headers={"Authorization": f"Bearer {key}"})
        told = json.load(urllib.request.urlopen(request, timeout=10))
    finally:
        process.send_signal(2)
        _out, err = process.communicate(timeout=20)

    assert 1500 in told.values()
    assert process.returncode == 130
    assert "Traceback" not in err


@pytest.mark.kernel
@pytest.mark.slow
def test_the_demo_runs_without_a_key_over_what_an_earlier_one_left():
    room = Path.cwd() / "build" / "demo"
    room.mkdir(parents=True)
    (room / ".made-by-elumenta-nb-demo").touch()
    (room / "old.html").touch()
    done = subprocess.run(
        [sys.executable, "-m", "elumenta_nb", "demo"], capture_output=True, text=True, timeout=120, check=False
    )

    assert done.returncode == 0, done.stderr
    assert not (room / "old.html").exists()
    assert (room / "01_quickstart.html").stat().st_size > 10_000
    assert (room / "01_quickstart.ipynb").is_file()
    assert str(room / "01_quickstart.html") in done.stdout
    assert re.search(r"Together: \d+ tokens", done.stdout)
    assert "Next:" in done.stdout


def test_the_demo_never_empties_a_folder_that_is_not_its_own(capsys):
    theirs = Path.cwd() / "build" / "demo" / "thesis.txt"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")

    assert main(["demo"]) == 1
    assert theirs.read_text() == "mine"
