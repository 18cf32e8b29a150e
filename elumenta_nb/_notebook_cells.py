"""The lines of a saved notebook that buy something, found without running anything. PURE but for reading the file.

nbformat is not needed: a notebook is JSON. A line inside a string is not taken for a magic: the cell is parsed as Python
with its magics replaced by calls of marked names.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from ._errors import BadParam
from ._language import gettext as _

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator
    from pathlib import Path

__all__ = ["Cell", "Said", "is_in_sandbox", "read_notebook"]

_CELL_MAGIC: Final = re.compile(r"%%(\w+)[ \t]*(.*)")
_BEFORE: Final = r"(?P<before>\s*(?:[^#%=]+=\s*)?)"  # of a magic whose value is kept: what it is assigned to
_LINE_MAGIC: Final = re.compile(rf"{_BEFORE}%elumenta\b(?P<line>.*)")
_OTHER: Final = re.compile(r"(\s*)(?:[%!?]|[\w.*%\[\]]+\?{1,2}\s*$)")
_ASSIGNED: Final = re.compile(rf"{_BEFORE}[%!]")
_AROUND_PYTHON: Final = frozenset({"time", "timeit", "capture", "prun"})
_TIMED: Final = re.compile(
    r"(?P<before>\s*(?:[^#'\"%=()]+=\s*)?)%(?P<name>time|timeit|prun)\s+(?:-\w\s*\d*\s+)*(?P<rest>.+)"
)
_SHELL_CALLS: Final = frozenset({"run_line_magic", "run_cell_magic"})
_PAID: Final = frozenset({"generate", "generate_many", "submit", "agenerate", "stream", "map"})
_MARK: Final = "_elumenta_line_{n}_"
_NOT_RUN: Final = "skip-execution"
_BUYS_NOTHING: Final = frozenset({"-h", "--help", "--quote"})
_LOOPS: Final = (ast.For, ast.AsyncFor, ast.While)
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class Said:
    """What a cell says to the magic: the line, and the body of a cell magic (``None`` for a line).

    `within` is what decides how often it runs, which nobody knows before.
    """

    line: str
    body: str | None
    within: Literal["", "loop", "function"] = ""


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


def is_in_sandbox(cells: list[Cell], verbs: Container[str]) -> bool:
    """Whether the notebook turns the sandbox on before it buys anything, and buys nothing with it off."""
    is_on = was_on = False
    for cell in cells:
        for said in cell.said:
            words = said.line.split()
            if words[:1] == ["sandbox"]:
                is_on = words[1:2] == ["on"] or (is_on and words[1:2] != ["off"])
                was_on = was_on or is_on
            elif words and words[0] not in verbs and not is_on and not _BUYS_NOTHING & set(words):
                return False
        if cell.python_calls and not is_on:
            return False
    return was_on


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
    said, calls = _said(source, names)
    return Cell(**facts, said=tuple(said), python_calls=calls)


def _said(source: str, names: _Names) -> tuple[list[Said], int]:
    """What a cell, or the body of a magic around Python, says; and how many places of it buy in Python."""
    first, _newline, body = source.lstrip("\n\r").partition("\n")
    found = _CELL_MAGIC.match(first.lstrip())
    if found is None:
        return _of_python(source, names)
    if found[1] == "elumenta":
        return [Said(found[2].strip(), body)], 0
    if found[1] not in _AROUND_PYTHON:
        return [], 0
    said, calls = _said(body, names)
    return [replace(one, within="loop") for one in said] if found[1] == "timeit" else said, calls


def _of_python(source: str, names: _Names) -> tuple[list[Said], int]:
    found: dict[str, Said] = {}
    plain = []
    for written in _joined(source):
        timed = _matched(_TIMED, written)
        line = timed["before"] + timed["rest"] if timed else written
        magic = _matched(_LINE_MAGIC, line)
        other = _OTHER.match(line)
        if magic is not None:
            mark = _MARK.format(n=len(found))
            found[mark] = Said(magic["line"].strip(), None, "loop" if timed and timed["name"] == "timeit" else "")
            plain.append(f"{magic['before']}{mark}()")
        elif other is not None:
            plain.append(f"{other[1]}pass")
        elif assigned := _matched(_ASSIGNED, line):
            plain.append(f"{assigned['before']}None")
        else:
            plain.append(line)
    tree = _parsed("\n".join(plain))
    if tree is None:  # it will not run, or it is a dialect of the shell that is not known here
        return list(found.values()), names.told(source)
    called = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    ran = _named(called)
    looped = _named(node for loop in ast.walk(tree) if isinstance(loop, _LOOPS) for node in ast.walk(loop))
    defined = _named(node for made in ast.walk(tree) if isinstance(made, _FUNCTIONS) for node in ast.walk(made))
    said = [
        replace(one, within="function" if mark in defined else "loop") if mark in looped | defined else one
        for mark, one in found.items()
        if mark in ran
    ]
    return said, sum(map(names.buys, called))


def _matched(pattern: re.Pattern[str], line: str) -> re.Match[str] | None:
    """The match, if what stands before the magic is nothing, or something that can be assigned to."""
    found = pattern.match(line)
    before = found["before"].strip() if found else ""
    return found if not before or _parsed(f"{before} 0") is not None else None


def _named(nodes: Iterable[ast.AST]) -> set[str]:
    """The plain names that are called."""
    return {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}


def _joined(source: str) -> Iterator[str]:
    """The lines, those that end in a backslash after a magic joined with the next."""
    held = ""
    for line in source.splitlines():
        whole = held + line
        if _matched(_LINE_MAGIC, whole) and whole.endswith("\\"):
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
        made = re.compile(rf"\s*(\w+)\s*=\s*(?:{'|'.join(sorted(self.modules))})\.(?:[Ss]ession|configure)\(")
        self.modules |= {found[1] for source in sources for line in source.splitlines() if (found := made.match(line))}

    def told(self, source: str) -> int:
        """How many calls that may buy something stand in a text that is not read as Python."""
        whose = "|".join(map(re.escape, sorted(self.modules)))
        calls = rf"\b(?:{whose}|\w+\.elumenta)\.(?:{'|'.join(sorted(_PAID))})\s*\("
        if self.functions:
            calls += rf"|(?<![\w.])(?:{'|'.join(map(re.escape, sorted(self.functions)))})\s*\("
        return len(re.findall(calls, source))

    def buys(self, call: ast.Call) -> bool:
        """Whether this call may buy something."""
        func = call.func
        if isinstance(func, ast.Name):
            return func.id in self.functions
        if not isinstance(func, ast.Attribute):
            return False
        if func.attr in _SHELL_CALLS:
            return bool(call.args) and isinstance(call.args[0], ast.Constant) and call.args[0].value == "elumenta"
        if func.attr == "map" and isinstance(func.value, ast.Attribute) and func.value.attr == "elumenta":
            return True
        return func.attr in _PAID and _root(func) in self.modules


def _root(node: ast.expr) -> str:
    """The name that a chain of attributes and calls begins with."""
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute):
            node = node.value
        elif isinstance(node, ast.Call):
            node = node.func
        else:
            return ""
    return node.id
