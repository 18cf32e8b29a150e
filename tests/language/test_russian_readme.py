"""README.ru.md says what README.md says: the same parts, tables, commands and links, with the prices of the catalogue."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGLISH = (ROOT / "README.md").read_text(encoding="utf-8")
RUSSIAN = (ROOT / "README.ru.md").read_text(encoding="utf-8")


def commands(text: str) -> list[str]:
    """The lines of the code blocks without their comments and prompts."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = (line.partition("#")[0].strip() for block in blocks for line in block.splitlines())
    return [line for line in lines if re.match(r"%|make |import |el\.", line)]


def codes(text: str) -> set[str]:
    """Verbs, variables and options named in the text."""
    return set(re.findall(r"%%?elumenta [a-z-]+|ELUMENTA_[A-Z_]+|(?<=`)--[a-z-]+|\bel\.\w+\(", text))


def test_the_generated_tables_are_those_of_the_catalogue(tables):
    assert tables.rewritten(RUSSIAN, "ru") == RUSSIAN, "run `make tables`"


def test_every_generated_table_is_there(tables):
    assert [part["name"] for part in tables.PART.finditer(RUSSIAN)] == [
        part["name"] for part in tables.PART.finditer(ENGLISH)
    ]


def test_the_parts_are_the_same():
    shape = re.compile(r"^#+(?= )", re.MULTILINE)

    assert shape.findall(RUSSIAN) == shape.findall(ENGLISH)


def test_each_table_has_as_many_rows():
    def rows(text):
        return [len(block.splitlines()) for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)]

    assert rows(RUSSIAN) == rows(ENGLISH)


def test_the_code_is_the_same():
    assert commands(RUSSIAN) == commands(ENGLISH)


def test_what_is_named_is_the_same():
    only_ours = codes(RUSSIAN) - codes(ENGLISH)

    assert codes(ENGLISH) - codes(RUSSIAN) == set()
    assert only_ours <= {"el.configure("}


@pytest.mark.parametrize(("text", "other"), [(ENGLISH, "README.ru.md"), (RUSSIAN, "README.md")])
def test_each_names_the_other(text, other):
    assert f"({other})" in text.split("\n## ")[0]


def test_links_lead_somewhere():
    links = re.findall(r"\]\((?!http)([^)]+)\)|(?:src|srcset)=\"([^\"]+)\"", RUSSIAN)
    headings = {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", RUSSIAN, re.MULTILINE)
    }
    missing = [
        path
        for pair in links
        if (path := pair[0] or pair[1]) and not (path[1:] in headings if path[0] == "#" else (ROOT / path).exists())
    ]

    assert missing == []


def test_prices_are_in_russian_form():
    assert "1\N{NO-BREAK SPACE}690\N{NO-BREAK SPACE}₽" in RUSSIAN
    assert "2,41" in RUSSIAN
    assert re.findall(r"\d,\d{3}\b", RUSSIAN) == []
