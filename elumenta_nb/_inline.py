"""PURE. One line of a model's Markdown, written anew: code spans, formulas, links, and everything else literal."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from ._language import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["formula", "label_of", "reference", "safe_line", "safe_link"]

_TAG: Final = re.compile(r"<[A-Za-z/!?]")
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


def safe_link(url: str) -> str | None:
    """The URL as it may stand in a link: ``http(s)`` or ``mailto``, no character with a meaning; else ``None``."""
    decoded = html.unescape(url).strip()
    if not _SCHEME.match(decoded) or any(char <= " " or char == "\x7f" for char in decoded):
        return None
    encoded = quote(decoded, safe="%/:?#@!&',;=+-._~", errors="replace")
    return re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", encoded).replace("&", "&amp;")


def label_of(text: str) -> str:
    return " ".join(text.split()).casefold()


def reference(char: str) -> str:
    """The character, and nothing else to any renderer.

    MathJax looks through the finished page once more, where a reference is a plain character again: there only an
    element of its own keeps ``costs $5 or $6`` and a literal backslash from being taken for TeX.
    """
    reference = f"&#{ord(char)};"
    return f"<span>{reference}</span>" if char in "$\\" else reference


def safe_line(text: str, targets: Mapping[str, str], *, in_table: bool = False) -> str:
    """One line of text, its links resolved by `targets` (label to safe URL)."""
    return _Line(text, targets, in_table=in_table).written()


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
            self.out[-1] = kept + reference("~") * (len(self.out[-1]) - len(kept))
        before = self.out[-1][-1:] if self.out else ""
        if self.in_url or before in ("`", "$"):
            self.out.append(" ")
        self.in_url = False
        self.out.append(piece)

    def escape(self, at: int) -> int:
        following = self.text[at + 1 : at + 2]
        if following == "(" and (end := self._closing("\\)", at + 2)) > 0:
            inner = formula(self.text[at + 2 : end].strip())
            if inner:
                return self._math("$", inner, end + 2)
        if following in _PUNCTUATION and following:
            self.add(reference(following))
            return at + 2
        self.add("  " if not following else reference("\\"))
        return at + 1

    def code(self, at: int) -> int:
        end = self.runs[at]
        stop = self.runs.get(-at - 1)
        if stop is None:
            self.add(reference("`") * (end - at))
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
        self.add(run if len(run) < 3 else reference("~") * len(run))
        return end

    def dollar(self, at: int) -> int:
        sign = "$$" if self.text.startswith("$$", at) else "$"
        start = at + len(sign)
        end = self._closing(sign, start)
        if end > start:
            content = self.text[start:end]
            tight = content[0] != " " and content[-1] != " " and not self.text[end + 1 : end + 2].isdigit()
            if (sign == "$$" or tight) and (inner := formula(content.strip())):
                return self._math(sign, inner, end + len(sign))
        self.add(reference("$") * len(sign))
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
        self.add("!" if not self.text.startswith("[", at + 1) else reference("!"))
        return at + 1

    def bracket(self, at: int) -> int:
        if self.text[at] == "[" and self.targets is not None and (found := self._target(at)):
            label, url, end = found
            self.construct(f"[{_Line(label, None, in_table=self.in_table).written().strip() or url}]({url})")
            return end
        self.add(reference(self.text[at]))
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
        url = (self.targets or {}).get(label_of(name))
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
    return re.sub(r"[\\`$<!\[\]*_~|]", lambda found: reference(found[0]), text)


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


def formula(content: str) -> str:
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
