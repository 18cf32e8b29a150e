r"""PURE. A model's Markdown made inert, whatever renders it.

Renderers of notebooks run what Markdown holds: JupyterLab keeps raw HTML of a fresh output, nbconvert keeps it always,
with ``javascript:`` links, and puts a mermaid fence unescaped into its page. They also disagree on where code and math
begin. So the text is not filtered but written anew, in a form that leaves nothing to disagree about:

- code stands in backtick fences longer than any run inside, blank lines around, never indented less than its fence;
- a code span or formula is kept only where it opens and closes on one line in the plainest way;
- links are inline, ``http(s)`` or ``mailto``, percent-encoded; images become links to look at;
- every other ``<``, backtick, bracket, dollar sign and backslash becomes a character reference.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ._inline import formula, label_of, reference, safe_line, safe_link

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["plain", "safe_markdown"]

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
_MARKER: Final = re.compile(r" *(?:[-*+]|\d{1,9}[.)])(?: |$)")
_FENCE: Final = re.compile(
    r"(?P<indent> *)(?P<markers>(?:(?:[-*+]|\d{1,9}[.)]) +)*)(?P<fence>`{3,}(?=[^`]*$)|~{3,})(?P<info>.*)"
)
_QUOTE: Final = re.compile(r" {0,3}> ?")
_DEPTH: Final = 6  # of quotes in quotes that are rewritten as such
_LANGUAGE: Final = re.compile(r"[A-Za-z0-9_+#.-]{1,30}")
_MATH_LINE: Final = re.compile(r"(?P<indent> *)(?P<open>\$\$|\\\[)(?P<rest>.*)")
_MATH_LINES: Final = 200
_DELIMITER: Final = frozenset(" |:->*+0123456789.)")  # of the line under a table's head, in whatever contains it
_DEFINED: Final = re.compile(r" *:(?=\s)")
_TASK: Final = re.compile(r" *(?:[-*+]|\d{1,9}[.)]) +\[[ xX]\](?= )")
_DEFINITION: Final = re.compile(
    r" {0,3}\[(?P<label>[^\[\]^\\][^\[\]\\]{0,200})\]: *<?(?P<url>[^\s<>]{1,2000})>?"
    r"(?: +(?:\"[^\"]*\"|'[^']*'|\([^()]*\)))? *"
)


def plain(text: str) -> str:
    """The text without control characters, which a terminal acts on; lines end in a newline."""
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def safe_markdown(text: str) -> str:
    """Markdown that looks as `text` was meant and can run, load and link to nothing but ``http(s)`` and ``mailto``."""
    lines = [line.expandtabs(4) for line in plain(text).split("\n")]
    targets: dict[str, str] = {}
    for line in lines:
        if (found := _DEFINITION.fullmatch(line)) and (url := safe_link(found["url"])):
            targets.setdefault(label_of(found["label"]), url)
    return "\n".join(_Writer(targets).blocks(lines, 0)).strip("\n")


class _Writer:
    """Writes the blocks of a document; `targets` are its link definitions, already safe."""

    def __init__(self, targets: Mapping[str, str]) -> None:
        self.targets = targets

    def blocks(self, lines: list[str], depth: int) -> list[str]:
        out: list[str] = []
        tables = _table_lines(lines)
        at, in_list = 0, False
        while at < len(lines):
            line = lines[at]
            if depth < _DEPTH and _QUOTE.match(line):
                at = self._quote(lines, at, depth, out)
            elif found := _FENCE.fullmatch(line):
                at = _fenced(lines, at, found, out, in_list=in_list or bool(found["markers"]))
                in_list = in_list or bool(found["markers"])
                continue
            elif (found := _MATH_LINE.fullmatch(line)) and (end := _display(lines, at, found, out)):
                at = end
                continue
            elif not in_list and line.startswith("    ") and line.strip() and (not out or not out[-1].strip()):
                at = _indented(lines, at, out)
            elif (found := _DEFINITION.fullmatch(line)) and label_of(found["label"]) in self.targets:
                at += 1
            else:
                if _MARKER.match(line):
                    in_list = True
                elif line.strip() and not line.startswith("  ") and (not out or not out[-1].strip()):
                    in_list = False
                out.append(self.line(line, in_table=at in tables))
                at += 1
        return out

    def _quote(self, lines: list[str], at: int, depth: int, out: list[str]) -> int:
        inner = []
        while at < len(lines) and (found := _QUOTE.match(lines[at])):
            inner.append(lines[at][found.end() :])
            at += 1
        _blank(out)
        out += [f"> {line}".rstrip() if line else ">" for line in self.blocks(inner, depth + 1)]
        out.append("")
        return at

    def line(self, text: str, *, in_table: bool) -> str:
        """One line of text."""
        head = ""
        if found := _TASK.match(text):
            head, text = found[0], text[found.end() :]
        elif found := _DEFINED.match(text):
            head, text = found[0].replace(":", reference(":")), text[found.end() :]
        return head + safe_line(text, self.targets, in_table=in_table)


def _blank(out: list[str]) -> None:
    if out and out[-1].strip():
        out.append("")


def _fenced(lines: list[str], at: int, found: re.Match[str], out: list[str], *, in_list: bool) -> int:
    fence, given = found["fence"], len(found["indent"])
    indent = given if in_list else 0
    markers = "".join(f"{marker} " for marker in found["markers"].split())
    wide = len(found["indent"] + found["markers"])
    closing = re.compile(rf" {{0,{wide + 3}}}{re.escape(fence[0])}{{{len(fence)},}} *")
    at += 1
    code = []
    while at < len(lines) and not closing.fullmatch(lines[at]):
        code.append(_dedented(lines[at], wide))
        at += 1
    language = _LANGUAGE.match(found["info"].strip())
    _write_code(code, language[0] if language else "", out, " " * indent + markers)
    return at + 1


def _write_code(code: list[str], language: str, out: list[str], lead: str) -> None:
    if language.lower().startswith("mermaid"):
        language = "text"  # nbconvert puts it into the page unescaped
    fence = "`" * max(3, 1 + max((len(run) for line in code for run in re.findall("`+", line)), default=0))
    pad = " " * len(lead)
    _blank(out)
    out.append(lead + fence + language)
    out += [pad + line if line.strip() else "" for line in code]
    out += [pad + fence, ""]


def _dedented(line: str, by: int) -> str:
    return line[min(by, len(line) - len(line.lstrip(" "))) :]


def _indented(lines: list[str], at: int, out: list[str]) -> int:
    code: list[str] = []
    while at < len(lines) and (lines[at].startswith("    ") or not lines[at].strip()):
        code.append(lines[at][4:])
        at += 1
    while code and not code[-1].strip():
        code.pop()
    _write_code(code, "", out, "")
    return at


def _display(lines: list[str], at: int, found: re.Match[str], out: list[str]) -> int:
    """Write the formula of its own lines that opens here; where it ends, 0 where there is none."""
    closing = "$$" if found["open"] == "$$" else "\\]"
    rest, content = found["rest"], []
    for end in range(at, min(at + _MATH_LINES, len(lines))):
        if end > at:
            rest = lines[end]
            if not rest.strip():
                return 0
        inside, mark, after = rest.partition(closing)
        content.append(inside)
        if mark:
            written = formula("\n".join(line.strip() for line in content).strip())
            if after.strip(" .,;") or not written:
                return 0
            pad = found["indent"]
            _blank(out)
            out += [f"{pad}{line}" for line in ("$$", *written.split("\n"), "$$")]
            out.append("")
            return end + 1
    return 0


def _table_lines(lines: list[str]) -> set[int]:
    """The lines of paragraphs in which a renderer may see a table."""
    found: set[int] = set()
    start = 0
    for end in range(len(lines) + 1):
        if end == len(lines) or not lines[end].strip():
            if any("-" in line and _DELIMITER.issuperset(line) for line in lines[start:end]):
                found.update(range(start, end))
            start = end + 1
    return found
