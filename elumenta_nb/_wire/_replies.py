"""A generation as the server tells it, in either reply family (api.md section 13, S1 to S11)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal

from elumenta_nb._values import Reply

from . import _fields as f
from ._json import tidy

__all__ = ["TOKENS", "read_reply", "understood"]

TOKENS: Final = ("tokens_spent", "tokens_used")  # S2
_TEXT: Final = ("result_text", "content")  # S3
_URL: Final = ("result_url", "url", "output_url")  # S4
_DURATION: Final = ("duration", "duration_seconds")  # S7
_OVER: Final = frozenset(
    {"error", "failure", "cancelled", "canceled", "aborted", "rejected", "expired", "timeout", "timed_out"}
)
_ENVELOPES: Final = ("data", "generation", "result")


def read_reply(obj: Any) -> Reply:
    """The reply, every field on its own. Anything at all may be given; an empty `Reply` is "nothing readable"."""
    source = _unwrapped(obj)
    if source is None:
        return Reply()
    meta = f.mapping(source.get("result_metadata")) or {}
    return Reply(
        id=f.identity_of(source, "id", "generation_id"),
        status=f.first(source, ("status",), f.status) or _ended(source),
        model=f.first(source, ("model_slug", "model"), f.word) or "",
        category=f.first(source, ("category", "type"), f.word) or "",
        prompt=f.first(source, ("prompt",), f.text),
        text=_answer(source),
        url=f.first(source, _URL, f.url),
        thumbnail_url=f.first(source, ("thumbnail_url",), f.url),
        error=_reason(source),
        tokens=f.first(source, TOKENS, f.tokens),
        balance=f.first(source, ("balance_remaining",), f.tokens),
        progress=f.first(source, ("progress",), _percent),
        eta_s=f.first(source, ("eta_seconds",), f.seconds),
        processing_ms=f.first(source, ("processing_ms",), f.count),
        width=f.first(meta, ("width",), f.count) or f.first(source, ("width",), f.count),
        height=f.first(meta, ("height",), f.count) or f.first(source, ("height",), f.count),
        duration_s=f.first(meta, _DURATION, f.seconds) or f.first(source, _DURATION, f.seconds),
        seed=f.first(source, ("seed",), f.count),
        usage=f.first(source, ("usage",), f.mapping),
        created_at=f.first(source, ("created_at",), f.moment),
        completed_at=f.first(source, ("completed_at",), f.moment),
        raw=source,
    )


def understood(reply: Reply) -> Reply | None:
    """The reply with a status to act on, or ``None`` where it says too little to act on at all.

    No readable status: a result means completed, an id alone means that it can be asked for.
    """
    has_result = reply.text is not None or reply.url is not None
    has_id = reply.id is not None
    enough = {
        "completed": has_result or has_id or reply.tokens is not None,
        "pending": has_id,
        "failed": True,
        "": has_result or has_id,
    }
    if not enough[reply.status]:
        return None
    return reply if reply.status else replace(reply, status="completed" if has_result else "pending")


def _unwrapped(obj: Any) -> Mapping[str, Any] | None:
    obj = _alone(obj)
    if not isinstance(obj, Mapping):
        return None
    if "id" in obj or "generation_id" in obj:
        return obj
    for name in _ENVELOPES:  # beside one, a `status` is that of the request
        inner = _alone(obj.get(name))
        if isinstance(inner, Mapping) and ("id" in inner or ("status" in inner and "status" not in obj)):
            return inner
    return obj


def _alone(value: Any) -> Any:
    """The only item of a list."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _answer(source: Mapping[str, Any]) -> str | None:
    found = f.first(source, _TEXT, f.text)
    return f.first(source, _TEXT, _written) if found is None else found


def _written(value: Any) -> str | None:
    """An answer that came as a value and not as its text: it is paid, so it is kept as JSON."""
    if isinstance(value, bool) or value in ({}, []):
        return None
    inner = value.get("text") if isinstance(value, Mapping) else None
    return f.text(inner) or json.dumps(tidy(value), ensure_ascii=False)


def _ended(source: Mapping[str, Any]) -> Literal["failed", ""]:
    """Another word for failed is believed only where the server tells why, and what it charged."""
    given = source.get("status")
    meant = isinstance(given, str) and given.strip().lower() in _OVER
    return "failed" if meant and _reason(source) and f.first(source, TOKENS, f.tokens) is not None else ""


def _reason(source: Mapping[str, Any]) -> str:
    """Why it failed, in words: `error` is free text here (E2), at times an object with a `message`."""
    given = source.get("error")
    if isinstance(given, Mapping):
        given = given.get("message")
    return f.words(given) or ""


def _percent(value: Any) -> float | None:
    found = f.number(value)
    return found if found is not None and 0 <= found <= 100 else None
