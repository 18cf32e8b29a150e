"""The lower bounds that are declared are those that were tried: `make compat` writes the table of the page."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import compat  # noqa: E402 - from the folder that was just named

TABLE = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")


def test_every_lower_bound_was_tried_as_it_is_declared():
    tried = dict(re.findall(r"^\| ([\w.-]+) \| >= ([\w.]+) \| [\d.]+", TABLE, re.MULTILINE))

    assert tried == compat.lower_bounds(), "run `make compat`: it rewrites docs/compatibility.md"


def test_what_was_tried_is_the_lowest_there_is():
    for name, bound, tried in re.findall(r"^\| ([\w.-]+) \| >= ([\w.]+) \| ([\w.]+) \|$", TABLE, re.MULTILINE):
        assert tried.split(".")[: len(bound.split("."))] == bound.split("."), name


def test_each_environment_is_in_the_table():
    (head,) = re.findall(r"^\|\s+\| (`lowest`.+) \|$", TABLE, re.MULTILINE)

    assert head.split(" | ") == [f"`{env.name}`" for env in compat.ENVIRONMENTS]
