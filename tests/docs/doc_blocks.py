"""The code blocks of the README and of the pages of the site, and the one place that says which are not run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
WRITTEN = sorted([*ROOT.glob("README*.md"), *(ROOT / "docs").rglob("*.md")])
PAGES = {path.relative_to(ROOT).as_posix(): path for path in WRITTEN}

_FENCE = re.compile(
    r"^(?:<!-- raises (?P<raises>\w+) -->\n)?(?P<pad> *)```(?P<info>[^\n]*)\n(?P<body>.*?)^(?P=pad)```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """`raises` is the error that the page says this cell ends in."""

    page: str
    language: str
    info: str
    body: str
    raises: str = ""

    @property
    def is_cell(self) -> bool:
        """A cell of a notebook: Python, or the magic in a fence without a language."""
        python = self.language == "python" and "title=" not in self.info
        return python or (self.language == "" and self.body.startswith("%"))

    @property
    def first(self) -> str:
        return self.body.splitlines()[0].split("  #")[0].strip()


def blocks_of(page: str) -> list[Block]:
    text = PAGES[page].read_text(encoding="utf-8")
    found = []
    for fence in _FENCE.finditer(text):
        pad = len(fence["pad"])
        body = "".join(line[pad:] if line.strip() else line for line in fence["body"].splitlines(keepends=True))
        language = fence["info"].split(" ")[0]
        found.append(Block(page, language, fence["info"], body, fence["raises"] or ""))
    return found


def cells_of(page: str) -> list[Block]:
    return [block for block in blocks_of(page) if block.is_cell]


def commands_of(page: str) -> list[str]:
    """The lines of its shell blocks, without comments."""
    lines = [line for block in blocks_of(page) if block.language in ("bash", "sh") for line in block.body.splitlines()]
    return [said for line in lines if (said := re.sub(r"(^|\s)#.*$", "", line).strip())]
