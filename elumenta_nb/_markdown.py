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

import html
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from ._language import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["plain", "safe_link", "safe_markdown"]

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
_TAG: Final = re.compile(r"<[A-Za-z/!?]")
_DEFINED: Final = re.compile(r" *:(?=\s)")
_TASK: Final = re.compile(r" *(?:[-*+]|\d{1,9}[.)]) +\[[ xX]\](?= )")
_DEFINITION: Final = re.compile(
    r" {0,3}\[(?P<label>[^\[\]^\\][^\[\]\\]{0,200})\]: *<?(?P<url>[^\s<>]{1,2000})>?"
    r"(?: +(?:\"[^\"]*\"|'[^']*'|\([^()]*\)))? *"
)
_TARGET: Final = re.compile(
    r"\( *(?:<(?P<angled>[^<>\n]{0,2000})>|(?P<bare>(?:[^\s()<>]|\([^\s()<>]{0,500}\)){1,2000}))"
    r"(?: +(?:\"[^\"\n]{0,500}\"|'[^'\n]{0,500}'|\([^()\n]{0,500}\)))? *\)"
)
_AUTOLINK: Final = re.compile(
    r"<((?:https?://|mailto:)[^\s<>\"'`\\|]{1,2000}|[\w.+-]{1,100}@[\w-]{1,100}(?:\.[\w-]{1,100})+)>"
)
_BREAK: Final = re.compile(r"<br */?>", re.IGNORECASE)
_URL: Final = re.compile(r"(?:https?|ftp):|www\.", re.IGNORECASE)  # what renderers make links of unasked
_SCHEME: Final = re.compile(r"(?:https?://[^/?#\s]|mailto:[^\s?]+@)", re.IGNORECASE)
_PUNCTUATION: Final = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_TEXT: Final = re.compile(r"[^\\`$<!\[\]~]+")
# Macros of TeX that reach HTML, links or styles in some renderer, or could spell out the name of one that does.
_ACTIVE_TEX: Final = re.compile(
    r"\\(?:href|url|require|style|class|css|html|data|include|input|unicode|char|tip|texttip|mathtip|action|toggle|mml|"
    r"bbox|[egx]?def|let|futurelet|(?:re)?newcommand|providecommand|(?:re)?newenvironment|csname|expandafter|catcode|"
    r"declare|load)",
    re.IGNORECASE,
)
_OPENS_MATH: Final = re.compile(r"\$\$|\\\\\[|\\begin\{")  # nbconvert looks for these before it looks for code
_ROW_SPACE: Final = re.compile(r"\\\\\[[\d.]+ *[a-z]{2}\]")
_ENVIRONMENT: Final = re.compile(r"\\(begin|end)\{([^{}]*)\}")
_BRACE: Final = re.compile(r"\\(?:begin|end)\{[a-z]*\*?\}|\\[{}$]|[{}]", re.IGNORECASE)


def plain(text: str) -> str:
    """The text without control characters, which a terminal acts on; lines end in a newline."""
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def safe_markdown(text: str) -> str:
    """Markdown that looks as `text` was meant and can run, load and link to nothing but ``http(s)`` and ``mailto``."""
    lines = [line.expandtabs(4) for line in plain(text).split("\n")]
    targets: dict[str, str] = {}
    for line in lines:
        if (found := _DEFINITION.fullmatch(line)) and (url := safe_link(found["url"])):
            targets.setdefault(_label(found["label"]), url)
    return "\n".join(_Writer(targets).blocks(lines, 0)).strip("\n")


def safe_link(url: str) -> str | None:
    """The URL as it may stand in a link: ``http(s)`` or ``mailto``, no character with a meaning; else ``None``."""
    decoded = html.unescape(url).strip()
    if not _SCHEME.match(decoded) or any(char <= " " or char == "\x7f" for char in decoded):
        return None
    encoded = quote(decoded, safe="%/:?#@!&',;=+-._~", errors="replace")
    return re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", encoded).replace("&", "&amp;")


def _label(text: str) -> str:
    return " ".join(text.split()).casefold()


def _reference(char: str) -> str:
    """The character, and nothing else to any renderer.

    MathJax looks through the finished page once more, where a reference is a plain character again: there only an
    element of its own keeps ``costs $5 or $6`` and a literal backslash from being taken for TeX.
    """
    reference = f"&#{ord(char)};"
    return f"<span>{reference}</span>" if char in "$\\" else reference


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
            elif (found := _DEFINITION.fullmatch(line)) and _label(found["label"]) in self.targets:
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
            head, text = found[0].replace(":", _reference(":")), text[found.end() :]
        return head + _Line(text, self.targets, in_table=in_table).written()


class _Line:
    """Writes the inline constructs of one line."""

    def __init__(
        self, text: str, targets: Mapping[str, str] | None, *, in_table: bool = False
    ) -> None:  # targets None: inside a link
        self.text = text
        self.targets = targets
        self.in_table = in_table
        self.out: list[str] = []
        self.runs = _runs(text)
        self.brackets = _brackets(text, self.runs)
        self.no_more: set[str] = set()
        self.in_url = False

    def written(self) -> str:
        at, text = 0, self.text
        while at < len(text):
            if found := _TEXT.match(text, at):
                self.add(found[0])
                at = found.end()
            else:
                at = _WRITERS[text[at]](self, at)
        return "".join(self.out)

    def add(self, piece: str) -> None:
        """Plain text of the output. A bare URL reaches to the next space, and would swallow what is joined to it."""
        last = piece.rsplit(maxsplit=1)[-1] if piece.strip() else ""
        if piece[-1:].isspace():
            self.in_url = False
        elif _URL.search(last):
            self.in_url = True
        elif last != piece:
            self.in_url = False
        self.out.append(piece)

    def construct(self, piece: str) -> None:
        """A code span, formula or link: kept apart from what it could be read together with."""
        if self.out and self.out[-1].endswith("~"):  # marked reads ~` as one run
            kept = self.out[-1].rstrip("~")
            self.out[-1] = kept + _reference("~") * (len(self.out[-1]) - len(kept))
        before = self.out[-1][-1:] if self.out else ""
        if self.in_url or before in ("`", "$"):
            self.out.append(" ")
        self.in_url = False
        self.out.append(piece)

    def escape(self, at: int) -> int:
        following = self.text[at + 1 : at + 2]
        if following == "(" and (end := self._closing("\\)", at + 2)) > 0:
            inner = _formula(self.text[at + 2 : end].strip())
            if inner:
                return self._math("$", inner, end + 2)
        if following in _PUNCTUATION and following:
            self.add(_reference(following))
            return at + 2
        self.add("  " if not following else _reference("\\"))
        return at + 1

    def code(self, at: int) -> int:
        end = self.runs[at]
        stop = self.runs.get(-at - 1)
        if stop is None:
            self.add(_reference("`") * (end - at))
            return end
        ticks, content = self.text[at:end], self.text[end : stop - (end - at)]
        if not self._keeps(content):
            self.add(_literal(content.strip()))
            return stop
        if self.in_table:
            content = re.sub(r"(?<!\\)\|", r"\\|", content)
        if content.endswith("\\"):  # marked would take it to escape the tick
            content = f" {content} "
        self.construct(ticks + content + ticks)
        return stop

    def _keeps(self, content: str) -> bool:
        """Whether every renderer takes this for code here."""
        if _OPENS_MATH.search(content) or not content.strip("` "):
            return False
        if self.targets is None and re.search(r"[\[\]<>!]", content):
            return False
        if self.in_table and "|" in content and re.search(r"\\(?!\|)|`", content):
            return False
        return not (_TAG.search(content) and re.search(r"[\\`*~\[\]@]", content))

    def tilde(self, at: int) -> int:
        end = at + 1
        while self.text.startswith("~", end):
            end += 1
        run = self.text[at:end]
        self.add(run if len(run) < 3 else _reference("~") * len(run))
        return end

    def dollar(self, at: int) -> int:
        sign = "$$" if self.text.startswith("$$", at) else "$"
        start = at + len(sign)
        end = self._closing(sign, start)
        if end > start:
            content = self.text[start:end]
            tight = content[0] != " " and content[-1] != " " and not self.text[end + 1 : end + 2].isdigit()
            if (sign == "$$" or tight) and (inner := _formula(content.strip())):
                return self._math(sign, inner, end + len(sign))
        self.add(_reference("$") * len(sign))
        return start

    def _math(self, sign: str, inner: str, end: int) -> int:
        if self.targets is None:  # a bracket of a formula could end the link around it
            self.add(_literal(f"{sign}{inner}{sign}"))
            return end
        self.construct(f"{sign}{inner}{sign}")
        return end

    def _closing(self, mark: str, start: int) -> int:
        if mark in self.no_more:
            return -1
        end = self.text.find(mark, start)
        if end < 0:
            self.no_more.add(mark)
        return end

    def angle(self, at: int) -> int:
        if found := _AUTOLINK.match(self.text, at):
            shown = found[1]
            url = safe_link(shown if ":" in shown else f"mailto:{shown}")
            if url and self.targets is not None:
                self.construct(f"[{_literal(shown)}]({url})")
            else:
                self.add(_literal(shown))
            return found.end()
        if self.in_table and "|" in self.text[:at] and (found := _BREAK.match(self.text, at)):
            self.add("<br>")
            return found.end()
        self.add("&lt;")
        return at + 1

    def bang(self, at: int) -> int:
        if self.text.startswith("[", at + 1) and (found := self._target(at + 1)):
            label, url, end = found
            alt = _literal(label).strip()
            shown = _("image: {alt}").format(alt=alt) if alt else _("image")
            self.construct(shown if self.targets is None else f"[{shown}]({url})")
            return end
        self.add("!" if not self.text.startswith("[", at + 1) else _reference("!"))
        return at + 1

    def bracket(self, at: int) -> int:
        if self.text[at] == "[" and self.targets is not None and (found := self._target(at)):
            label, url, end = found
            self.construct(f"[{_Line(label, None, in_table=self.in_table).written().strip() or url}]({url})")
            return end
        self.add(_reference(self.text[at]))
        return at + 1

    def _target(self, at: int) -> tuple[str, str, int] | None:
        """The label, the safe URL and the end of a link that begins at a bracket."""
        close = self.brackets.get(at)
        if close is None:
            return None
        label, after = self.text[at + 1 : close], close + 1
        if found := _TARGET.match(self.text, after):
            url = safe_link(found["angled"] if found["angled"] is not None else found["bare"])
            return (label, url, found.end()) if url else None
        name, end = label, after
        if self.text.startswith("[", after) and (stop := self.brackets.get(after)):
            name, end = self.text[after + 1 : stop] or label, stop + 1
        url = (self.targets or {}).get(_label(name))
        return (label, url, end) if url else None


_WRITERS: Final = {
    "\\": _Line.escape,
    "`": _Line.code,
    "$": _Line.dollar,
    "<": _Line.angle,
    "!": _Line.bang,
    "[": _Line.bracket,
    "]": _Line.bracket,
    "~": _Line.tilde,
}


def _literal(text: str) -> str:
    return re.sub(r"[\\`$<!\[\]*_~|]", lambda found: _reference(found[0]), text)


def _runs(text: str) -> dict[int, int]:
    """Where each run of backticks ends, by its start; under ``-start - 1`` where the code span it opens ends."""
    found = [(match.start(), match.end()) for match in re.finditer("`+", text)]
    runs: dict[int, int] = dict(found)
    following: dict[int, tuple[int, int]] = {}  # by length, seen from the right
    for start, end in reversed(found):
        if (closing := following.get(end - start)) is not None:
            runs[-start - 1] = closing[1]
        following[end - start] = (start, end)
    for match in re.finditer(r"\\(`+)", text):  # the first is escaped: what is left is a shorter run
        start, end = match.span(1)
        runs[start + 1] = end
    return runs


def _brackets(text: str, runs: Mapping[int, int]) -> dict[int, int]:
    """Which bracket closes which, code spans and escaped ones left out."""
    pairs: dict[int, int] = {}
    opened: list[int] = []
    at = 0
    while found := re.compile(r"[\\`\[\]]").search(text, at):
        at = found.start()
        char = text[at]
        if char == "\\":
            at += 2
            continue
        if char == "`":
            at = runs.get(-at - 1, 0) or runs.get(at, at + 1)
            continue
        if char == "[":
            opened.append(at)
        elif opened:
            pairs[opened.pop()] = at
        at += 1
    return pairs


def _formula(content: str) -> str:
    """TeX that means the same to each renderer and nothing as Markdown or HTML; empty where that cannot be had."""
    if not content or len(content) > 5000 or re.search(r"[$`]|\n *\n|\\\\[{}]|\\$|@@", content):
        return ""
    if _ACTIVE_TEX.search(content) or _URL.search(content):
        return ""
    depth = 0
    for found in _BRACE.finditer(content):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if depth < 0:
            return ""
    if depth or not _is_nested(content):
        return ""
    content = re.sub(r"\\\\(?=[()\[\]])", r"\\\\ ", _ROW_SPACE.sub(r"\\\\ ", content))
    content = re.sub(r"<(?=[A-Za-z/!?])", "< ", content)
    content = re.sub(r"\](?=[(\[:])", "] ", content)
    return content.replace("![", "! [")


def _is_nested(content: str) -> bool:
    """Whether each environment is closed within the formula."""
    opened: list[str] = []
    for what, name in _ENVIRONMENT.findall(content):
        if what == "begin":
            opened.append(name)
        elif not opened or opened.pop() != name:
            return False
    return not opened


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
            formula = _formula("\n".join(line.strip() for line in content).strip())
            if after.strip(" .,;") or not formula:
                return 0
            pad = found["indent"]
            _blank(out)
            out += [f"{pad}{line}" for line in ("$$", *formula.split("\n"), "$$")]
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
