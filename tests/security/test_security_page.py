"""`docs/security.md` says what the tests do: its figures are theirs, and the files it names are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import test_hostile_files as files
import test_hostile_replies as replies
import test_key_origin as origin
from hostile_samples import HTML, SVG, markdown
from leak_paths import PATHS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
FREE = [(what, field) for what, fields in replies.FREE.items() for field in (*fields, "itself")]
PAID = {*replies.DECISIVE, *replies.OTHERS}
OTHERS = sum(
    len(replies.some_of(name)) for name in [*(PAID - {*replies.DECISIVE}), *(what + field for what, field in FREE)]
)
SAMPLES = [len(set(markdown())), len(set(HTML)), len(set(SVG))]
FIGURES = {
    f"{len(PATHS)} ways": 25,
    f"{len(origin.STATUSES)} statuses × {len(origin.PLACES)} kinds of address × {len(origin.CALLS)} requests": 0,
    f"{len(origin.OTHERS)} lookalike addresses": 40,
    f"{sum(SAMPLES)} samples ({SAMPLES[0]} Markdown, {SAMPLES[1]} HTML, {SAMPLES[2]} SVG)": 40,
    f"{len(set(files.NAMES))} names": 40,
    f"{len(files.LIES)} files that lie": 40,
    f"{len(files.BOMBS)} bombs": 0,
    f"{len(files.INSIDE)} addresses inside": 40,
    f"{len(replies.ODD)} odd values in {len(PAID) + 7 + len(FREE)} fields": 0,
    f"({len(replies.ODD) * (len(replies.DECISIVE) + 7) + OTHERS:,} replies)": 40,
    f"{len(replies.BODIES)} bodies under 6 statuses": 0,
    f"{len(replies.STREAMS)} answers without an end": 0,
}


@pytest.mark.parametrize("figure", FIGURES)
def test_its_figures_are_those_of_the_tests(figure):
    assert figure in PAGE
    assert int(re.findall(r"\d+", figure.replace(",", ""))[0]) >= FIGURES[figure]


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`((?:tests/\w+/)?test_\w+\.py)`", PAGE))))
def test_the_files_it_names_are_there(name):
    places = [ROOT / name, Path(__file__).parent / name, ROOT / "tests" / "store" / name]

    assert [place for place in places if place.is_file()]
