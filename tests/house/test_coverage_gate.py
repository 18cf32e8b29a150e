"""The coverage gate measures what it says, and it can fail."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import covered  # noqa: E402 - from the folder that was just named


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """A coverage report with these (covered, all) lines and branches of one file of a group."""
    monkeypatch.setattr(covered, "FOUND", tmp_path / "coverage.json")

    def write(lines, branches, groups=("_client/_api.py", "_engine.py", "_ledger/book.py")):
        summary = {
            "covered_lines": lines,
            "num_statements": 100,
            "covered_branches": branches,
            "num_branches": 100,
        }
        files = {f"elumenta_nb/{name}": {"summary": summary} for name in groups}
        covered.FOUND.write_text(json.dumps({"files": files}))

    return write


def test_enough_is_enough(measured, capsys):
    measured(90, 85)

    assert covered.judged()
    assert "engine" in capsys.readouterr().out


@pytest.mark.parametrize(("lines", "branches"), [(89, 85), (90, 84), (0, 100)])
def test_too_little_fails(measured, capsys, lines, branches):
    measured(lines, branches)

    assert not covered.judged()
    assert "TOO LOW" in capsys.readouterr().out


def test_a_group_that_was_not_measured_fails(measured):
    measured(100, 100, groups=("_client/_api.py", "_engine.py"))

    assert not covered.judged()


def test_nothing_measured_at_all_fails(measured):
    assert not covered.judged()


def test_the_status_is_that_of_the_gate(tmp_path):
    done = subprocess.run([sys.executable, "-c", "import covered; covered.FOUND = covered.Path('no'); covered.sys.argv = ['', '--only-read']; raise SystemExit(covered.main())"], cwd=ROOT / "scripts", check=False)  # fmt: skip

    assert done.returncode == 1


def test_what_is_measured_is_what_is_judged():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["coverage"]["run"][
        "include"
    ]
    places = {pattern.removeprefix("*/elumenta_nb/").removesuffix("*") for pattern in patterns}

    assert places == {place for group in covered.GROUPS.values() for place in group}
    assert [place for place in places if not (ROOT / "elumenta_nb" / place).exists()] == []
