"""An API on a loopback port that answers whatever it is told to, and writes down every request with all its headers.

`plain` answers as the real one does; a test wraps it for the paths it wants to be strange. Several may run at once:
they are the other hosts to which a key must not go.
"""

from __future__ import annotations

import json
import ssl
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

PREFIX = "/api/v2"
DONE: dict[str, Any] = {
    "id": 1,
    "status": "completed",
    "model_slug": "gpt-5",
    "result_text": "Hello",
    "tokens_spent": 2,
}


@dataclass(frozen=True)
class Heard:
    """A request as it arrived; `path` is below the base URL where it begins with that."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.removeprefix(PREFIX).split("?")[0]

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def everything(self) -> str:
        return f"{self.method} {self.target} {self.headers} {self.body!r}"


@dataclass(frozen=True)
class Told:
    """An answer. `body` may be an iterator: it is sent piece by piece, and the connection closed after it."""

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def pieces(self) -> Iterable[bytes]:
        if isinstance(self.body, bytes):
            return [self.body]
        if isinstance(self.body, (dict, list, str, int, float, type(None))):
            return [json.dumps(self.body).encode()]
        return self.body  # type: ignore[no-any-return]  # an iterator of bytes


Answer = Callable[[Heard], Told | None]


def plain(heard: Heard) -> Told:
    """What the documentation says, for a text of 2 tokens."""
    match heard.method, heard.path:
        case "POST", path if path.endswith("/calculate-price"):
            return Told({"token_cost": 2, "min_token_cost": 2, "max_token_cost": 2, "pricing_type": "fixed"})
        case "POST", "/generate" | "/generate/stream" | "/stt":
            return Told(DONE)
        case "GET", "/balance" | "/user/balance":
            return Told({"token_balance": 1000, "plan": "vip"})
        case "GET", "/user/me":
            return Told({"id": 7, "name": "someone", "plan": "vip", "token_balance": 1000})
        case "GET", "/user/stats":
            return Told({"total_generations": 1, "tokens_spent_total": 2})
        case "GET", "/user/history":
            return Told({"items": [], "total": 0, "page": 1, "limit": 100})
        case "GET", "/models":
            return Told({"items": [], "total": 0})
        case "GET", path if path.startswith("/generate/"):
            return Told(DONE)
        case _:
            return Told({"error": "not_found", "message": "no such place"}, 404)


class StrangeApi:
    """The running server. `answer` may return ``None`` for what `plain` should answer; it can be replaced at any time."""

    def __init__(
        self, answer: Answer | None = None, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.answer = answer or (lambda heard: None)
        self.heard: list[Heard] = []
        self.broken: list[str] = []
        self._server = ThreadingHTTPServer((host, 0), self._handler())
        self._server.handle_error = lambda *_about: self._failed()  # type: ignore[method-assign]
        self._server.daemon_threads = True
        self._server.block_on_close = False
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        self.origin = f"{'https' if tls else 'http'}://{host}:{self.port}"
        self.url = self.origin + PREFIX
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def _failed(self) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client may hang up whenever it likes
            self.broken.append(traceback.format_exc())

    def of(self, method: str, path: str = "") -> list[Heard]:
        return [heard for heard in self.heard if heard.method == method and heard.path.startswith(path)]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # head and body are two writes: each answer would be 40 ms late

            def log_message(self, *_args: Any) -> None:
                pass

            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                heard = Heard(self.command, self.path, tuple(self.headers.items()), body)
                api.heard.append(heard)
                try:
                    told = api.answer(heard) or plain(heard)
                except ConnectionError:  # as told: the connection is closed without a word
                    self.close_connection = True
                    return
                whole = told.pieces
                length = sum(map(len, whole)) if isinstance(whole, list) else None
                try:
                    self.send_response(told.status)
                    headers = {"content-type": "application/json", **told.headers}
                    for name, value in headers.items():
                        self.send_header(name, value)
                    if length is None:
                        self.send_header("connection", "close")
                    elif "content-length" not in {name.lower() for name in headers}:
                        self.send_header("content-length", str(length))
                    self.end_headers()
                    for piece in whole:
                        self.wfile.write(piece)
                except OSError:
                    self.close_connection = True  # the client had enough
                if length is None:
                    self.close_connection = True

            do_GET = do_POST = do_PUT = do_CONNECT = do_HEAD = _any  # noqa: N815 - the names that http.server calls

        return Handler

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        assert self.broken == [], self.broken[0]  # a server that fails by itself tests nothing
