"""Every figure that is promised is measured by `make bench`, and the page has it."""

import re
from pathlib import Path

from bench.rows import Row

ROOT = Path(__file__).parents[2]
FIGURES = [f"P{number}" for number in range(1, 11)]


def test_each_figure_has_a_benchmark():
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "bench").glob("bench_*.py"))

    assert set(re.findall(r'"(P\d+)"', sources)) == set(FIGURES)


def test_the_page_has_each_figure_and_says_of_each_miss_by_how_much_and_why():
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| (P\d+) \| (.+) \|$", page, re.MULTILINE)
    missed = {figure for figure, rest in lines if "MISSED" in rest}
    explained = set(re.findall(r"^- \*\*(P\d+)\b", page.partition("## What misses")[2], re.MULTILINE))

    assert {figure for figure, _ in lines} == set(FIGURES)
    assert missed <= explained


def test_a_ratio_is_ours_over_the_peer_s():
    assert Row("P1", "import", 10.0, "ms", "httpx", 100.0).ratio == 0.1
    assert Row("P9", "polls", 28, "").ratio is None
