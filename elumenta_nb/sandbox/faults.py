"""Faults on demand, exact to the byte: what a client meets on a bad day, in a fixed order, as often as asked.

A raw ASGI layer around the application. `drop_after` runs the request to its end (charged) and then closes the
connection without one byte of an answer; `drop_before` closes it before anything happens.
"""

from __future__ import annotations

import asyncio
import fnmatch
import json
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

__all__ = ["DOCUMENTED", "KINDS", "FaultLayer", "Faults", "Seen"]

PREFIX: Final = "/api/v2"
CONTROL: Final = "/sandbox/control"
DOCUMENTED: Final = {
    400: ("bad_request", "Invalid or missing parameters"),
    401: ("not_authenticated", "Not authenticated"),
    402: ("insufficient_tokens", "Your balance is zero"),
    403: ("insufficient_plan", "This needs a higher plan"),
    404: ("not_found", "Generation or model not found"),
    422: ("validation_error", "The request does not fit the schema"),
    429: ("rate_limit_exceeded", "Hourly limit reached: 100 requests/hour on VIP plan"),
    500: ("provider_error", "Provider error: upstream failed"),
    503: ("model_unavailable", "The model is down or overloaded"),
}
KINDS: Final[dict[str, dict[str, Any]]] = {  # kind: the options it takes, with their defaults
    "drop_before": {},
    "drop_after": {},
    "cut_body": {"keep": None},
    "slow": {"seconds": 1.0, "before": False},
    "status": {"code": 500, "body": None, "processed": False},
    "ratelimit": {"retry_after": 1},
    "garbage": {"body": "\x00\x01 not JSON \x7f", "processed": True},
    "html": {"code": 200, "processed": False},
    "stream_cut": {"after_pieces": 1},
    "fail": {"reason": "Provider error: content policy violation"},
    "pending": {"seconds": 1.0},
    "long": {"pieces": 4000, "per_second": 0},
}
_HTML: Final = b"<!doctype html><title>Gateway</title><h1>A web page, not JSON</h1>"
_SEEN: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A request as it arrived; the key itself is not kept."""

    method: str
    path: str
    query: str
    authorized: bool  # it carried an Authorization header
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON, ``None`` when it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(slots=True, kw_only=True)
class _Fault:
    kind: str
    path: str | None
    method: str | None
    times: int
    after: int
    options: dict[str, Any] = field(default_factory=dict)

    def wants(self, method: str, path: str) -> bool:
        if self.method is not None and self.method.upper() != method:
            return False
        if self.path is None:
            return path.startswith(PREFIX)
        short = path.removeprefix(PREFIX)
        return fnmatch.fnmatchcase(short, self.path) or fnmatch.fnmatchcase(path, self.path)


class Faults:
    """The queue. The first fault that matches a request takes it; `after` matching requests pass before that."""

    def __init__(self) -> None:
        self._queue: list[_Fault] = []
        self._lock = threading.Lock()
        self.seen: deque[Seen] = deque(maxlen=_SEEN)

    def add(
        self,
        kind: str,
        *,
        path: str | None = None,
        method: str | None = None,
        times: int = 1,
        after: int = 0,
        **options: Any,
    ) -> None:
        """Queue a fault. Raises `ValueError` for a kind or option that does not exist."""
        if kind not in KINDS:
            raise ValueError(f"no fault {kind!r}; faults: {', '.join(KINDS)}")
        known = KINDS[kind]
        if wrong := set(options) - set(known):
            raise ValueError(f"{kind} takes {', '.join(known) or 'no options'}, not {', '.join(sorted(wrong))}")
        fault = _Fault(kind=kind, path=path, method=method, times=times, after=after, options={**known, **options})
        with self._lock:
            self._queue.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._queue.clear()

    def waiting(self) -> list[dict[str, Any]]:
        """What is still queued."""
        with self._lock:
            return [
                {"kind": fault.kind, "path": fault.path, "times": fault.times, "after": fault.after}
                for fault in self._queue
            ]

    def take(self, method: str, path: str) -> _Fault | None:
        with self._lock:
            for fault in self._queue:
                if not fault.wants(method, path):
                    continue
                if fault.after > 0:
                    fault.after -= 1
                    continue
                fault.times -= 1
                if fault.times <= 0:
                    self._queue.remove(fault)
                return fault
        return None


class FaultLayer:
    """The ASGI layer. `hang_up(client, flush)` closes the client's connection, after what was written or at once."""

    def __init__(self, app: App, faults: Faults, hang_up: Callable[[Any, bool], None]) -> None:
        self._app = app
        self._faults = faults
        self._hang_up = hang_up

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body, receive = await _whole(receive)
        if body is None:
            return
        path = scope["path"]
        if path == CONTROL:
            await self._app(scope, receive, send)
            return
        self._note(scope, body)
        fault = self._faults.take(scope["method"], path)
        if fault is None:
            await self._app(scope, receive, send)
            return
        scope["sandbox.fault"] = {"kind": fault.kind, **fault.options}
        await getattr(self, f"_{fault.kind}")(fault.options, scope, receive, send)

    def _note(self, scope: MutableMapping[str, Any], body: bytes) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        authorized = headers.pop("authorization", None) is not None
        self._faults.seen.append(
            Seen(
                method=scope["method"],
                path=scope["path"],
                query=scope["query_string"].decode("latin-1"),
                authorized=authorized,
                headers=headers,
                body=body[: 1 << 16],
            )
        )

    async def _close(self, scope: MutableMapping[str, Any], *, flush: bool, receive: Receive) -> None:
        """Hang up, and return when the server has noticed (it answers 500 to an application that said nothing)."""
        self._hang_up(scope["client"], flush)
        for _ in range(200):
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            await asyncio.sleep(0.001)

    async def _drop_before(self, _options: Mapping[str, Any], scope: Any, receive: Receive, _send: Send) -> None:
        await self._close(scope, flush=False, receive=receive)

    async def _drop_after(self, _options: Mapping[str, Any], scope: Any, receive: Receive, _send: Send) -> None:
        await self._app(scope, receive, _nowhere)
        await self._close(scope, flush=False, receive=receive)

    async def _cut_body(self, options: Mapping[str, Any], scope: Any, receive: Receive, send: Send) -> None:
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await self._app(scope, receive, keep)
        body = b"".join(message.get("body", b"") for message in messages[1:])
        kept = len(body) // 2 if options["keep"] is None else min(int(options["keep"]), max(len(body) - 1, 0))
        headers = [pair for pair in messages[0]["headers"] if pair[0].lower() != b"content-length"]
        headers.append((b"content-length", str(max(len(body), 1)).encode()))
        await send({"type": "http.response.start", "status": messages[0]["status"], "headers": headers})
        await send({"type": "http.response.body", "body": body[:kept], "more_body": True})
        await self._close(scope, flush=True, receive=receive)

    async def _slow(self, options: Mapping[str, Any], scope: Any, receive: Receive, send: Send) -> None:
        waited = bool(options["before"])
        if waited:
            await asyncio.sleep(float(options["seconds"]))

        async def late(message: Message) -> None:
            nonlocal waited
            if not waited:
                waited = True
                await asyncio.sleep(float(options["seconds"]))
            await send(message)

        await self._app(scope, receive, late)

    async def _status(self, options: Mapping[str, Any], scope: Any, receive: Receive, send: Send) -> None:
        code, body = int(options["code"]), options["body"]
        if body == "documented":
            error, message = DOCUMENTED.get(code, ("provider_error", "Provider error: upstream failed"))
            body = {"error": error, "message": message, "details": {}}
        await self._instead(options, scope, receive, send, code, body)

    async def _ratelimit(self, options: Mapping[str, Any], scope: Any, receive: Receive, send: Send) -> None:
        facts = {"plan": "vip", "limit_hour": 100, "limit_day": 1000}
        error, message = DOCUMENTED[429]
        body = {"error": error, "message": message, "retry_after": options["retry_after"], **facts}
        await self._instead(options, scope, receive, send, 429, body)

    async def _garbage(self, options: Mapping[str, Any], scope: Any, receive: Receive, send: Send) -> None:
        await self._instead(options, scope, receive, send, 200, options["body"], b"application/json")

    async def _html(self, options: Mapping[str, Any], scope: Any, receive: Receive, send: Send) -> None:
        await self._instead(options, scope, receive, send, int(options["code"]), _HTML, b"text/html; charset=utf-8")

    async def _instead(  # noqa: PLR0917 - the ASGI triple and an answer
        self,
        options: Mapping[str, Any],
        scope: Any,
        receive: Receive,
        send: Send,
        code: int,
        body: Any,
        content_type: bytes | None = None,
    ) -> None:
        """Answer with this in the place of what the application says, if it is asked at all."""
        if options.get("processed"):
            await self._app(scope, receive, _nowhere)
        if isinstance(body, dict | list):
            body, content_type = json.dumps(body), b"application/json"
        data = body if isinstance(body, bytes) else str(body or "").encode()
        headers = [(b"content-length", str(len(data)).encode())]
        if content_type or data:
            headers.append((b"content-type", content_type or b"text/plain; charset=utf-8"))
        await send({"type": "http.response.start", "status": code, "headers": headers})
        await send({"type": "http.response.body", "body": data})

    async def _stream_cut(self, options: Mapping[str, Any], scope: Any, receive: Receive, send: Send) -> None:
        """Charged, and cut after so many pieces. A reply that is no stream is cut in its body."""
        pieces, cut = int(options["after_pieces"]), False

        async def count(message: Message) -> None:
            nonlocal pieces, cut
            if cut:
                return
            if b'"content_delta"' in message.get("body", b""):
                pieces -= 1
            if pieces <= 0 and "sandbox.settle" in scope:
                cut = True
                scope["sandbox.settle"]()
            await send(message)
            if cut:
                self._hang_up(scope["client"], True)

        await self._app(scope, receive, count)
        if cut:
            await self._close(scope, flush=True, receive=receive)

    async def _fail(self, _options: Mapping[str, Any], scope: Any, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)  # the application reads the fault and dooms the generation

    async def _pending(self, _options: Mapping[str, Any], scope: Any, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)  # the application reads the fault and answers before it is done

    async def _long(self, _options: Mapping[str, Any], scope: Any, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)  # the application reads the fault and answers at such a length and pace


async def _nowhere(_message: Message) -> None:
    """Where an answer goes that nobody shall get."""


async def _whole(receive: Receive) -> tuple[bytes | None, Receive]:
    """The request's body, and a `receive` that tells it again; ``None`` when the client went away first."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None, receive
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    body, told = b"".join(parts), False

    async def again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return body, again
