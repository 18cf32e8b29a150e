"""A stranger's JSON: read without ever raising, and read in part where the whole cannot be.

What comes out is safe to keep: at most `DEPTH` levels deep, only finite numbers, no half characters.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

__all__ = ["Parsed", "clean_text", "decode", "parse_json", "read_json", "tidy"]

DEPTH: Final = 64
_DIGITS: Final = 40  # of an integer; a longer one is no figure of ours
_SALVAGE_LEVELS: Final = 3
_HALF_ESCAPE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_MARKS: Final = re.compile(r'["\[\]{},]')
_MOST_MARKS: Final = 10**6  # of a text that is read in part; beyond it nobody means a reply
_SPACE: Final = " \t\r\n"


class Parsed(NamedTuple):
    """A value, and whether its end was seen. A member that could not be read is missing from it either way."""

    value: Any
    whole: bool


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= _DIGITS else None


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


_DECODER: Final = json.JSONDecoder(
    strict=False, parse_int=_integer, parse_float=_finite, parse_constant=lambda _name: None
)


def read_json(body: bytes | str) -> Parsed:
    """The JSON of a body, tidied. `value` is ``None`` where nothing could be read."""
    text = decode(body) if isinstance(body, bytes) else body
    parsed = parse_json(text)
    # Few brackets cannot nest deeply, and without an escape there is no half character: the usual reply stops here.
    if text.count("{") + text.count("[") > DEPTH or _HALF_ESCAPE.search(text):
        return Parsed(tidy(parsed.value), parsed.whole)
    return parsed


def parse_json(text: str) -> Parsed:
    """As `read_json`, untidied: a piece of a stream may end in half a character that the next piece completes."""
    try:
        return Parsed(_DECODER.decode(text), whole=True)
    except (ValueError, RecursionError):  # cut, garbage, or nested so deep that only its members can be read
        return _salvage(text, _SALVAGE_LEVELS)


def decode(body: bytes) -> str:
    """The text of a body: UTF-8 with or without its mark, UTF-16 with its mark, else Latin-1, which reads anything."""
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        return clean_text(body.decode("utf-16", errors="replace"))
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start >= len(body) - 3:  # cut inside its last character
            return body.decode("utf-8-sig", errors="ignore")
        return body.decode("latin-1")


def clean_text(text: str) -> str:
    """The text with surrogate pairs joined and lone halves replaced, so that it can be written anywhere."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def tidy(value: Any, depth: int = 0) -> Any:
    """The value without what could harm whoever keeps it; what is nested too deeply becomes ``None``."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        if depth >= DEPTH:
            return None
        return {clean_text(str(key)): tidy(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return None if depth >= DEPTH else [tidy(item, depth + 1) for item in value]
    return value


def _salvage(text: str, levels: int) -> Parsed:
    """The members that arrived complete and can be read alone; ``None`` where the text is no object or array."""
    start = len(text) - len(text.lstrip(_SPACE))
    opening = text[start : start + 1]
    if opening not in ("{", "["):
        return Parsed(None, whole=False)
    parts, whole = _parts(text, start + 1)
    if opening == "[":
        return Parsed([value for part in parts if (value := _value(part, levels)) is not None], whole)
    members = [_member(part, levels) for part in parts]
    return Parsed({key: value for key, value in members if key is not None and value is not None}, whole)


def _member(part: str, levels: int) -> tuple[str | None, Any]:
    part = part.lstrip(_SPACE)
    try:
        key, end = _DECODER.raw_decode(part)
    except (ValueError, RecursionError):
        return None, None
    rest = part[end:].lstrip(_SPACE)
    if not isinstance(key, str) or not rest.startswith(":"):
        return None, None
    return key, _value(rest[1:], levels)


def _value(part: str, levels: int) -> Any:
    try:
        return _DECODER.decode(part)
    except RecursionError:
        return _salvage(part, levels - 1).value if levels > 1 else None
    except ValueError:
        return None


def _parts(text: str, at: int) -> tuple[list[str], bool]:
    """The members of the object or array that opened before `at`, and whether its end was seen.

    The last member counts only if something follows it: a figure that was cut is another figure.
    """
    found: list[str] = []
    depth, begin = 0, at
    for _step in range(_MOST_MARKS):
        token = _MARKS.search(text, at)
        if token is None:
            break
        mark, at = token[0], token.end()
        if mark == '"':
            at = _after_string(text, at)
            if not at:
                break  # a string that was cut
        elif mark in "[{":
            depth += 1
        elif depth and mark in "]}":
            depth -= 1
        elif depth == 0:
            found.append(text[begin : token.start()])
            begin = at
            if mark != ",":
                return found, True
    return found, False


def _after_string(text: str, at: int) -> int:
    """The place after the string that opened before `at`, or 0."""
    while (end := text.find('"', at)) >= 0:
        before = end
        while before > at and text[before - 1] == "\\":
            before -= 1
        if (end - before) % 2 == 0:
            return end + 1
        at = end + 1
    return 0
