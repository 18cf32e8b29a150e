"""What an answer other than a result says: its code, words, and how long to wait. Never raises."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from . import _fields as f
from ._json import decode, read_json

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["DOCUMENTED", "ServerSaid", "http_date", "read_error"]

# api.md section 11: with one of these bodies the server says that nothing was charged.
DOCUMENTED: Final = frozenset(
    {
        (400, "bad_request"),
        (401, "not_authenticated"),
        (401, "token_expired"),
        (402, "insufficient_tokens"),
        (403, "insufficient_plan"),
        (404, "not_found"),
        (422, "validation_error"),
        (429, "rate_limit_exceeded"),
        (500, "provider_error"),
        (503, "model_unavailable"),
    }
)
_WORDS: Final = 400  # of a message
_PAGE: Final = re.compile(rb"\s*(<!doctype|<html|<head|<body|<!--|<\?xml)", re.IGNORECASE)

Form = Literal["json", "html", "text", "empty"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSaid:
    """An error body. `documented`: status and code are a pair of the documentation. `retry_after` is in seconds."""

    code: str = ""
    message: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    retry_after: float | None = None
    plan: str = ""
    limit_hour: int | None = None
    limit_day: int | None = None
    documented: bool = False
    form: Form = "json"


def read_error(status: int, body: bytes, headers: Mapping[str, str]) -> ServerSaid:
    """The error of an answer, in the general form, with the fields of a 429 on top (E4), or in no form at all."""
    if not body.strip():
        return ServerSaid(form="empty", retry_after=_header_wait(status, headers))
    obj = read_json(body).value
    if not isinstance(obj, Mapping):
        page = _PAGE.match(body) is not None
        words = "" if page else f.words(decode(body[: _WORDS * 4])) or ""
        return ServerSaid(form="html" if page else "text", message=words, retry_after=_header_wait(status, headers))
    details = f.mapping(obj.get("details")) or {}
    code = f.first(obj, ("error", "code"), f.word) or ""
    wait_s = f.first(obj, ("retry_after",), f.seconds)
    if wait_s is None:
        wait_s = f.first(details, ("retry_after",), f.seconds)
    return ServerSaid(
        code=code,
        message=(f.first(obj, ("message", "detail", "error"), _sentence) or "")[:_WORDS],
        details=details,
        retry_after=_header_wait(status, headers) if wait_s is None else wait_s,
        plan=f.first(obj, ("plan",), f.word) or f.first(details, ("plan",), f.word) or "",
        limit_hour=_limit(obj, details, "limit_hour"),
        limit_day=_limit(obj, details, "limit_day"),
        documented=(status, code) in DOCUMENTED,
    )


def http_date(value: str | None) -> datetime | None:
    """A `Date` header, or ``None``."""
    if not value or len(value) > 64:
        return None
    try:
        found = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return found if found.tzinfo else None


def _limit(obj: Mapping[str, Any], details: Mapping[str, Any], name: str) -> int | None:
    found = f.first(obj, (name,), f.count)
    return f.first(details, (name,), f.count) if found is None else found


def _sentence(value: Any) -> str | None:
    """A message; of a list of field errors (`[{"loc": …, "msg": …}]`) each field with what is wrong."""
    if isinstance(value, str):
        return f.words(value)
    if isinstance(value, Mapping):
        return _sentence(value.get("message") or value.get("msg"))
    if isinstance(value, list):
        said = [_field_error(item) for item in value[:5]]
        return "; ".join(filter(None, said)) or None
    return None


def _field_error(item: Any) -> str:
    if not isinstance(item, Mapping):
        return f.words(item) or ""
    where = item.get("loc")
    named = (
        [f.words(str(step)) or "" for step in where if isinstance(step, str | int)] if isinstance(where, list) else []
    )
    said = f.words(item.get("msg")) or f.words(item.get("message")) or ""
    return f"{'.'.join(named)}: {said}" if named and said else said


def _header_wait(status: int, headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by the headers: `Retry-After` in either form, else the hour's reset where the hour is used up."""
    given = headers.get("retry-after", "")
    wait_s = f.seconds(given)
    if wait_s is not None:
        return wait_s
    now = http_date(headers.get("date"))
    if now is None:
        return None
    until = http_date(given)
    if until is None and status == 429 and f.count(headers.get("x-ratelimit-remaining-hour")) == 0:
        until = f.moment(headers.get("x-ratelimit-reset-hour"))
    return None if until is None else max(0.0, (until - now).total_seconds())
