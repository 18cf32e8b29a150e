"""What every handler needs of HTTP: bodies, numbers in a query, parts of a file, errors in the documented form."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from .rows import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

__all__ = ["event", "http_error", "json_body", "object_body", "ranged", "server_error", "whole"]

_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")
_CODES: Final = {404: "not_found", 405: "bad_request", 400: "bad_request", 413: "bad_request"}


def event(event: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(event, ensure_ascii=False)}\n\n"


async def json_body(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError):
        raise Refusal(400, "bad_request", "The body is not JSON") from None


async def object_body(request: Request) -> dict[str, Any]:
    body = await json_body(request)
    if not isinstance(body, dict):
        raise Refusal(422, "validation_error", "body: must be an object", {"body": "must be an object"})
    return body


def whole(text: str | None, name: str, default: int, maximum: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:12]) <= maximum):
        raise Refusal(422, "validation_error", f"{name}: from 1 to {maximum}", {name: f"from 1 to {maximum}"})
    return int(text)


def ranged(request: Request, data: bytes, mime: str) -> Response:
    """The file, or the part of it a player asks for."""
    headers = {"Accept-Ranges": "bytes", "Cache-Control": "private, max-age=3600"}
    found = _RANGE.fullmatch(request.headers.get("range", ""))
    if found is None or not (found[1] or found[2]):
        return Response(data, media_type=mime, headers=headers)
    if found[1]:
        start, end = int(found[1]), min(int(found[2] or len(data)), len(data) - 1)
    else:
        start, end = max(len(data) - int(found[2]), 0), len(data) - 1
    if start > end:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
    return Response(data[start : end + 1], 206, media_type=mime, headers=headers)


async def http_error(_request: Request, error: Exception) -> Response:
    """Paths and methods that do not exist, in the documented form."""
    assert isinstance(error, HTTPException)
    body = {"error": _CODES.get(error.status_code, "bad_request"), "message": str(error.detail), "details": {}}
    return JSONResponse(body, error.status_code)


def server_error(error: Exception) -> Response:
    """A defect of the sandbox: told as such, with nothing charged."""
    body = {"error": "provider_error", "message": f"The sandbox has a defect: {error!r}", "details": {}}
    return JSONResponse(body, 500)
