"""CHANGELOG.md keeps the form it names, so that a release is a matter of a heading."""

import re
import tomllib
from datetime import date
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
VERSIONS = re.findall(r"^## \[(.+?)\](?: - (\S+))?$", TEXT, re.MULTILINE)
KINDS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]


def test_what_is_not_released_comes_first_and_versions_go_down():
    names = [name for name, _day in VERSIONS]
    numbers = [tuple(map(int, name.split("."))) for name in names[1:]]

    assert names[0] == "Unreleased"
    assert numbers == sorted(numbers, reverse=True)
    assert len(re.findall(r"^## ", TEXT, re.MULTILINE)) == len(VERSIONS)


def test_a_release_has_a_day_and_none_is_newer_than_the_package():
    own = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

    for name, day in VERSIONS[1:]:
        assert date.fromisoformat(day)
        assert tuple(map(int, name.split("."))) <= tuple(map(int, own.split(".")))


def test_changes_are_sentences_under_the_headings_of_the_form():
    headings = re.findall(r"^### (.+)$", TEXT, re.MULTILINE)
    changes = re.findall(r"^- (.+(?:\n  .+)*)$", TEXT, re.MULTILINE)
    stray = [
        line for line in TEXT.partition("## [")[2].splitlines()[1:] if line and not line.startswith(("#", "- ", "  "))
    ]

    assert set(headings) <= set(KINDS)
    assert len(changes) > 20
    assert [change for change in changes if not re.search(r"[.)]$", change)] == []
    assert stray == []
