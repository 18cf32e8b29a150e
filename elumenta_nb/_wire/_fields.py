"""One field at a time: the first alias that fits wins, and a value that does not fit is missing, alone."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeVar
from urllib.parse import quote

from elumenta_nb._values import MAX_TOKENS

from ._json import clean_text

__all__ = [
    "count",
    "first",
    "identity",
    "identity_of",
    "mapping",
    "moment",
    "number",
    "seconds",
    "status",
    "text",
    "tokens",
    "url",
    "word",
    "words",
]

T = TypeVar("T")
Generation = Literal["completed", "pending", "failed"]

_WHOLE: Final = re.compile(r"\s*[+]?\d{1,19}(\.0{1,18})?\s*", re.ASCII)
_DECIMAL: Final = re.compile(r"\s*-?\d{1,18}(\.\d{1,18})?\s*", re.ASCII)
_LONGEST_ID: Final = 200
_LONGEST_WORDS: Final = 400  # of an error; a page of text is no message
_ESCAPE: Final = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])")  # what a terminal would act on
_LONGEST_URL: Final = 8192
_HOST: Final = re.compile(r"([a-z][a-z0-9+.-]*:)?//[^/?#]*", re.IGNORECASE | re.ASCII)
_IN_URL: Final = "!#$%&'()*+,/:;=?@[]~"
_BIGGEST_ID: Final = 2**63
# Only the first of each is documented. A word that is not here is "not told": the job is asked again.
_STATUSES: Final[Mapping[str, Generation]] = {
    **dict.fromkeys(("completed", "complete", "succeeded", "success", "done", "finished"), "completed"),
    **dict.fromkeys(("pending", "queued", "processing", "in_progress", "running", "started"), "pending"),
    "failed": "failed",  # what failed is not charged, so it must be meant: other words only as `_replies` says
}


def first(source: Mapping[str, Any], names: tuple[str, ...], read: Callable[[Any], T | None]) -> T | None:
    """The first of the aliases that is there and fits."""
    for name in names:
        value = source.get(name)
        if value is not None and (found := read(value)) is not None:
            return found
    return None


def mapping(value: Any) -> Mapping[str, Any] | None:
    return value if isinstance(value, Mapping) else None


def text(value: Any) -> str | None:
    """A text; a list of text parts (`[{"type": "text", "text": …}]`) is joined."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        parts = [part.get("text") if isinstance(part, Mapping) else part for part in value]
        joined = "".join(clean_text(part) for part in parts if isinstance(part, str))
        return joined or None
    return None


def word(value: Any) -> str | None:
    """A short text without line breaks, as a name or code is."""
    found = clean_text(value).strip() if isinstance(value, str) else ""
    return found[:_LONGEST_ID] if found else None


def words(value: Any) -> str | None:
    """A sentence for a person: one line of a length that can be read, without what a terminal would act on."""
    found = text(value)
    if found is None:
        return None
    line = " ".join(_ESCAPE.sub("", found[: _LONGEST_WORDS * 8]).split())
    return "".join(char for char in line if char.isprintable())[:_LONGEST_WORDS] or None


def tokens(value: Any) -> int | None:
    """A token figure: a whole number from 0 to 10^9; anything else is missing."""
    found = _whole(value)
    return found if found is not None and 0 <= found <= MAX_TOKENS else None


def count(value: Any) -> int | None:
    """A whole number that is not negative: pixels, requests, milliseconds."""
    found = _whole(value)
    return found if found is not None and 0 <= found < _BIGGEST_ID else None


def number(value: Any) -> float | None:
    """A finite number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return float(value) if _DECIMAL.fullmatch(value) else None
    if isinstance(value, int | float):
        try:
            found = float(value)
        except OverflowError:
            return None
        return found if math.isfinite(found) else None
    return None


def seconds(value: Any) -> float | None:
    """A length of time: finite and not negative."""
    found = number(value)
    return found if found is not None and 0 <= found < 10**10 else None


def identity(value: Any) -> int | str | None:
    """A generation's id, as it came: a whole number or a short text (api S1)."""
    if isinstance(value, str):
        fits = 0 < len(value) <= _LONGEST_ID and value.isprintable() and not value.isspace() and value.strip(".")
        return clean_text(value) if fits else None
    found = _whole(value)
    return found if found is not None and -_BIGGEST_ID <= found < _BIGGEST_ID else None


def identity_of(source: Mapping[str, Any], *names: str) -> int | str | None:
    """`first` for an id: a union is more than a type checker infers."""
    return next((found for name in names if (found := identity(source.get(name))) is not None), None)


def url(value: Any, levels: int = 3) -> str | None:
    """An address without control characters, of an object the `url`, of a list the first.

    What may not stand in an address, as a space, is written as it must be (`%20`); a host is left as it is.
    """
    if levels and isinstance(value, list):
        return next((found for item in value[:100] if (found := url(item, levels - 1)) is not None), None)
    if levels and isinstance(value, Mapping):
        return url(value.get("url"), levels - 1)
    if not isinstance(value, str):
        return None
    found = clean_text(value.strip())
    if not 0 < len(found) <= _LONGEST_URL or not found.isprintable():
        return None
    host = _HOST.match(found)
    start = host.end() if host else 0
    return None if " " in found[:start] else found[:start] + quote(found[start:], safe=_IN_URL)


def status(value: Any) -> Generation | None:
    return _STATUSES.get(value.strip().lower()) if isinstance(value, str) else None


def moment(value: Any) -> datetime | None:
    """A time in UTC: ISO 8601 (without a zone it is UTC) or Unix seconds."""
    try:
        if isinstance(value, str) and not value.strip().isdigit():
            found = datetime.fromisoformat(value.strip())
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
        stamp = number(value)
        return datetime.fromtimestamp(stamp, UTC) if stamp is not None and stamp > 0 else None
    except (ValueError, OverflowError, OSError):
        return None


def _whole(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if math.isfinite(value) and value == int(value) else None
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value.partition(".")[0])
    return None
