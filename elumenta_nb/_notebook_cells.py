"""The lines of a saved notebook that buy something, found without running anything. PURE but for reading the file.

nbformat is not needed: a notebook is JSON. A line inside a string is not taken for a magic: the cell is parsed as Python
with its magics replaced by calls of marked names.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ._errors import BadParam
from ._language import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Cell", "Said", "read_notebook"]

_CELL_MAGIC: Final = re.compile(r"%%(\w+)[ \t]*(.*)")
_LINE_MAGIC: Final = re.compile(r"(?P<before>\s*(?:[^#'\"%=()]+=\s*)?)%elumenta\b(?P<line>.*)")
_OTHER: Final = re.compile(r"(\s*)(?:[%!]|\?)|(\s*).*\?\s*$")
_ASSIGNED: Final = re.compile(r"(\s*[^#'\"%=()]+=\s*)[%!]")
_AROUND_PYTHON: Final = frozenset({"time", "timeit", "capture", "prun"})
_PAID: Final = frozenset({"generate", "generate_many", "submit", "agenerate", "stream", "map"})
_MARK: Final = "_elumenta_line_{n}_"
_NOT_RUN: Final = "skip-execution"


@dataclass(frozen=True, slots=True)
class Said:
    """What a cell says to the magic: the line, and the body of a cell magic (``None`` for a line)."""

    line: str
    body: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A code cell. `number` counts code cells from 1: what stands in its brackets after Run All."""

    number: int
    id: str
    source: str
    said: tuple[Said, ...] = ()
    python_calls: int = 0  # places where Python buys; how often they run is not known

    @property
    def source_hash(self) -> str:
        """As the store keeps it of the cell a result came from."""
        return hashlib.sha256(self.source.strip().encode("utf-8", "replace")).hexdigest()[:16]


def read_notebook(path: Path) -> list[Cell]:
    """The code cells that run, in order. Raises `BadParam` for a file that is no notebook."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8-sig"))
        cells = notebook["cells"]
        sources = [(cell, _text(cell["source"])) for cell in cells if cell.get("cell_type") == "code"]
    except OSError as error:
        raise BadParam(_("{path} cannot be read: {why}.").format(path=path, why=error.strerror or error)) from None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise BadParam(
            _("{path} is not a notebook.").format(path=path),
            hint=_("A notebook is a file NAME.ipynb of format 4, as Jupyter saves it."),
        ) from None
    names = _Names([source for _row, source in sources])  # `_cell` here hides the function from Python 3.12.1
    return [_cell(number, cell, source, names) for number, (cell, source) in enumerate(sources, 1)]


def _text(source: Any) -> str:
    text = "".join(source) if isinstance(source, list) else source
    if not isinstance(text, str):
        raise TypeError
    return text


def _cell(number: int, cell: dict[str, Any], source: str, names: _Names) -> Cell:
    name = cell.get("id")
    facts: dict[str, Any] = {"number": number, "id": name if isinstance(name, str) else "", "source": source}
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    if isinstance(tags, list) and _NOT_RUN in tags:
        return Cell(**facts)
    first, _newline, body = source.lstrip("\n\r").partition("\n")
    found = _CELL_MAGIC.match(first.lstrip())
    if found is None:
        said, calls = _of_python(source, names)
    elif found[1] == "elumenta":
        said, calls = [Said(found[2].strip(), body)], 0
    elif found[1] in _AROUND_PYTHON:
        said, calls = _of_python(body, names)
    else:
        said, calls = [], 0
    return Cell(**facts, said=tuple(said), python_calls=calls)


def _of_python(source: str, names: _Names) -> tuple[list[Said], int]:
    lines = list(_joined(source))
    found: dict[str, Said] = {}
    plain = []
    for line in lines:
        magic = _LINE_MAGIC.match(line)
        other = _OTHER.match(line)
        if magic is not None:
            mark = _MARK.format(n=len(found))
            found[mark] = Said(magic["line"].strip(), None)
            plain.append(f"{magic['before']}{mark}()")
        elif assigned := _ASSIGNED.match(line):
            plain.append(f"{assigned[1]}None")
        elif other is not None:
            plain.append((other[1] or other[2] or "") + "pass")
        else:
            plain.append(line)
    tree = _parsed("\n".join(plain))
    if tree is None:  # Python that cannot be parsed will not run, but the magics of a shell dialect might
        return list(found.values()), 0
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    ran = {func.id for func in called if isinstance(func, ast.Name)}
    return [said for mark, said in found.items() if mark in ran], sum(names.buys(func) for func in called)


def _joined(source: str) -> Iterator[str]:
    """The lines, those that end in a backslash after a magic joined with the next."""
    held = ""
    for line in source.splitlines():
        whole = held + line
        if _LINE_MAGIC.match(whole) and whole.endswith("\\"):
            held = whole[:-1] + " "
            continue
        held = ""
        yield whole
    if held:
        yield held


def _parsed(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


class _Names:
    """What the notebook calls this package and its functions."""

    def __init__(self, sources: list[str]) -> None:
        self.modules = {"el", "elumenta_nb"}
        self.functions: set[str] = set()
        for source in sources:
            for line in source.splitlines():
                tree = _parsed(line.strip()) if "elumenta_nb" in line else None
                for node in ast.walk(tree) if tree else ():
                    if isinstance(node, ast.Import):
                        self.modules |= {
                            alias.asname for alias in node.names if alias.asname and "elumenta_nb" in alias.name
                        }
                    elif isinstance(node, ast.ImportFrom) and node.module == "elumenta_nb":
                        self.functions |= {alias.asname or alias.name for alias in node.names if alias.name in _PAID}

    def buys(self, func: ast.expr) -> bool:
        """Whether calling this may buy something."""
        if isinstance(func, ast.Name):
            return func.id in self.functions
        if not isinstance(func, ast.Attribute):
            return False
        of = func.value
        if isinstance(of, ast.Name):
            return of.id in self.modules and func.attr in _PAID
        return isinstance(of, ast.Attribute) and of.attr == "elumenta" and func.attr == "map"
