"""The README says what the catalogue says, and has a line for each line of Elumenta's token page.

`token_page.md` is a copy of https://docs.elumenta.ru/en/concepts/tokens as read in November 2026.
"""

import importlib.util
import re
from pathlib import Path

import pytest

from elumenta_nb._catalog import catalog

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGE = (Path(__file__).parent / "token_page.md").read_text(encoding="utf-8")

_spec = importlib.util.spec_from_file_location("tables", ROOT / "scripts" / "tables.py")
tables = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tables)


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def page_rows(heading: str) -> list[list[str]]:
    """The cells of the page's table under a heading, without its head."""
    part = re.split(rf"^#+ {re.escape(heading)}.*$", PAGE, flags=re.MULTILINE)[1].split("\n#")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


GROUPS = {
    "text": "Text Models (12)",
    "image": "Image Models (10)",
    "video": "Video Models (7)",
    "music": "Music (2)",
    "tts": "TTS — Text to Speech (6)",
    "stt": "STT — Speech to Text (3)",
    "audio-tools": "ElevenLabs Audio Tools (5)",
    "image-tools": "Image & Video Tools (7)",
}


def test_generated_tables_are_those_of_the_catalogue():
    assert tables.rewritten(README) == README, "run `make tables`"


def test_every_generated_table_is_in_the_readme():
    assert {part["name"] for part in tables.PART.finditer(README)} == set(tables.TABLES)


@pytest.mark.parametrize("category", GROUPS)
def test_the_catalogue_has_the_page_s_models_in_order_with_their_prices(category):
    page = [(row[0].strip("`"), row[-1]) for row in page_rows(GROUPS[category])]
    ours = [(model.slug, model.price) for model in catalog().of(category)]

    assert ours == page


@pytest.mark.parametrize("category", ["image", "video"])
def test_the_catalogue_has_the_page_s_names_providers_and_tiers(category):
    page = [tuple(cell.strip("`") for cell in row[:4]) for row in page_rows(GROUPS[category])]
    ours = [(model.slug, model.name, model.provider, model.tier) for model in catalog().of(category)]

    assert ours == page


def test_the_catalogue_has_the_page_s_plans():
    page = [(row[0], row[1], row[2]) for row in page_rows("Subscription Plans")]
    ours = [
        (
            plan.name,
            f"{plan.tokens:,}" + ("" if plan.monthly else " (one-time)"),
            f"{plan.rubles:,} ₽" + ("/mo" if plan.monthly else ""),
        )
        for plan in catalog().plans
    ]

    assert ours == page


def test_the_catalogue_has_the_page_s_packages():
    page = [tuple(row) for row in page_rows("Token Packages")]
    ours = [(row.name, f"{row.tokens:,}", f"{row.rubles:,} ₽") for row in catalog().packages]

    assert ours == page


def test_each_line_of_the_token_page_has_a_row():
    told = section("Everything on the token page, and where it is")
    first_cells = [line.split("|")[1].strip() for line in told.splitlines() if line.startswith("| ")]
    headings = [line.lstrip("# ") for line in PAGE.splitlines() if line.startswith(("## ", "### "))]
    headings = [heading for heading in headings if heading != "Documentation Index"]

    missing = [h for h in headings if not any(cell.startswith(h) for cell in first_cells)]
    assert len(headings) == 14
    assert missing == []
    assert any("tokens are not deducted" in cell for cell in first_cells)
    assert any("not LLM tokens" in cell for cell in first_cells)


def test_the_page_s_own_example_is_told():
    assert "13, from 5 to 13, matrix" in section("Everything on the token page, and where it is")


def test_the_files_the_readme_names_exist():
    links = re.findall(r"\]\((?!http|#)([^)]+)\)|(?:src|srcset)=\"([^\"]+)\"", README)
    missing = [path for pair in links if (path := pair[0] or pair[1]) and not (ROOT / path).exists()]

    assert missing == []


def test_every_notebook_is_told_of():
    missing = [path.name for path in (ROOT / "notebooks").glob("*.ipynb") if f"(notebooks/{path.name})" not in README]

    assert missing == []


def test_the_make_targets_the_readme_names_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))

    assert set(re.findall(r"make ([a-z]+(?:-[a-z]+)?)(?=\s|`)", README)) - {"an"} <= targets


def test_the_environment_variables_the_readme_names_are_read():
    source = (ROOT / "elumenta_nb" / "_config.py").read_text(encoding="utf-8")
    named = set(re.findall(r"ELUMENTA_[A-Z_]+", README))

    assert {
        name for name in named if name not in source and name.removeprefix("ELUMENTA_").lower() not in source
    } == set()


def written_lines() -> list[str]:
    """Each line of the magic that the README writes, in a fence or in backquotes."""
    fences = re.findall(r"^```\w*\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL))
    lines = [line for text in [*fences, *spans] for line in text.splitlines()]
    found = [re.sub(r"\s+#.*$", "", line) for line in lines if re.match(r"%%?elumenta\b", line)]
    return sorted({re.sub(r"^%%?elumenta\s*", "", line) for line in found if "CATEGORY" not in line})


@pytest.mark.parametrize("line", written_lines())
def test_a_line_of_the_magic_in_the_readme_is_one_the_magic_takes(line):
    from elumenta_nb._parser import parse
    from elumenta_nb._verbs import VERBS

    read = parse(line, verbs=VERBS, lookup=str)

    assert read.verb or read.category or not line


def test_the_functions_the_readme_names_exist():
    import elumenta_nb as el

    named = set(re.findall(r"\bel\.([a-z_]+)\(", README))

    assert {"generate", "spend", "map"} <= named <= set(dir(el))
