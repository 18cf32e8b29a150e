"""The line to the API: connections, the key, and what every answer tells besides (limits, the server's clock).

The key is put on at the last moment, on requests to the API's own origin only, by a closure: no attribute holds it.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import httpx

from elumenta_nb import _wire as wire
from elumenta_nb._address import check_base_url, is_loopback
from elumenta_nb._errors import AuthFailed, BadParam, redact
from elumenta_nb._keys import key_in_prompt
from elumenta_nb._language import gettext as _
from elumenta_nb._values import Limits

from ._exchange import Exchange, timeouts
from ._http1 import Sending
from ._routes import Lanes, http_transport, route_to

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable

    from ._routes import TransportFactory

__all__ = ["Line"]

_DATE_EVERY_S: Final = 10.0
_SHORTEST_KEY: Final = 12  # to look for in a body: a shorter text may be there by chance


class Line:
    """The way to one API for one key. `hide` masks the key in a body that repeats it, a `veil` in a text in pieces."""

    def __init__(
        self, base_url: str, key: Callable[[], str], factory: TransportFactory | None, clock: Callable[[], float]
    ) -> None:
        self.base_url = check_base_url(base_url)
        self._base = httpx.URL(self.base_url)
        self._factory = factory
        self._clock = clock
        self._sign = _signer(key, self._base)
        self._is_direct = False  # on our own connections: without a proxy
        self.hide = _hider(key)
        self._is_told = _finder(key)
        self.veil: Callable[[], Callable[[str | None], str]] = lambda: _veil(key)
        self._lanes: Lanes | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._dated_at = float("-inf")
        self.limits = Limits()
        self.skew_s = 0.0

    @property
    def is_local(self) -> bool:
        """Whether the API is on this machine."""
        return is_loopback(self._base.host)

    def exchange(
        self,
        request: wire.Request,
        *,
        read_s: float,
        on_sent: Callable[[], None] | None = None,
        files: contextlib.ExitStack | None = None,
        signed: bool = True,
    ) -> Exchange:
        """The request, signed, not yet sent. `files` closes what an upload opened."""
        headers = [("accept", "text/event-stream" if request.stream else "application/json"), *_COMMON]
        facts: dict[str, Any] = {}
        if request.upload is not None and files is not None:
            try:
                file = files.enter_context(request.upload.path.open("rb"))
            except OSError as error:
                raise BadParam(_("The file cannot be read: {why}.").format(why=error)) from None
            facts = {
                "files": {request.upload.field: (request.upload.filename, file)},
                "data": dict(request.fields or {}),
            }
        elif request.body is not None:
            if self._is_told(request.body):
                raise key_in_prompt()
            headers.append(("content-type", "application/json"))
            facts = {"content": request.body}
        lanes, url = self._connections(), _url(self.base_url, request.path)
        extensions: dict[str, Any] = {"timeout": timeouts(read_s=read_s)}
        made: httpx.Request | Sending
        if self._is_direct and request.upload is None:
            made = Sending(request.method, url, _fields(url, headers, request.body), request.body or b"", extensions)
        else:
            made = httpx.Request(request.method, url, headers=headers, extensions=extensions, **facts)
        if signed:
            self._sign(made)
        return Exchange(lanes, made, traced=self._factory is None, on_sent=on_sent)

    def _connections(self) -> Lanes:
        loop = asyncio.get_running_loop()
        if self._lanes is None or self._loop is not loop:  # connections belong to the loop that made them
            route = route_to(self._base.scheme, self._base.host, self._base.port)
            factory = self._factory or http_transport
            self._is_direct = self._factory is None and route.proxy is None
            self._lanes, self._loop = Lanes(lambda: factory(route)), loop
        return self._lanes

    def note(self, exchange: Exchange) -> None:
        """What every answer tells besides: the limits, and the server's clock."""
        limits = wire.read_limits(exchange.headers)
        if limits is not None:
            self.limits = limits
        now = self._clock()
        if abs(now - self._dated_at) >= _DATE_EVERY_S:
            date = wire.http_date(exchange.headers.get("date"))
            if date is not None:
                self._dated_at = now
                self.skew_s = date.timestamp() + 0.5 - now  # the header has whole seconds

    async def aclose(self) -> None:
        lanes, self._lanes = self._lanes, None
        if lanes is not None and self._loop is asyncio.get_running_loop():
            await lanes.aclose()


_COMMON: Final = (("user-agent", "elumenta-nb"), ("accept-encoding", "identity"))


@lru_cache(maxsize=64)
def _url(base_url: str, path: str) -> httpx.URL:
    return httpx.URL(base_url + path)


def _fields(url: httpx.URL, headers: list[tuple[str, str]], body: bytes | None) -> list[tuple[bytes, bytes]]:
    fields = [(b"host", _host(url)), *_in_bytes(tuple(headers))]
    if body is not None:
        fields.append((b"content-length", b"%d" % len(body)))
    return fields


@lru_cache(maxsize=64)
def _host(url: httpx.URL) -> bytes:
    return httpx.Request("GET", url).headers["host"].encode("ascii")


@lru_cache(maxsize=16)
def _in_bytes(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.encode("ascii"), value.encode("ascii")) for name, value in headers)


def _signer(key: Callable[[], str], base: httpx.URL) -> Callable[[httpx.Request | Sending], None]:
    """Puts the key on a request to the API's own origin; a closure, so that no attribute holds the key."""

    @lru_cache(maxsize=64)
    def is_ours(url: httpx.URL) -> bool:
        return (url.scheme, url.host, url.port, url.userinfo) == (base.scheme, base.host, base.port, b"")

    def sign(request: httpx.Request | Sending) -> None:
        if not is_ours(request.url):
            return
        secret = key()
        if not secret.isascii() or not secret.isprintable() or " " in secret or not secret:
            raise AuthFailed(
                _("That is not an Elumenta key: a key begins with nb_ and has no spaces."), hint="%elumenta login"
            )
        if isinstance(request, Sending):
            request.fields.append((b"authorization", f"Bearer {secret}".encode("ascii")))
        else:
            request.headers["authorization"] = f"Bearer {secret}"

    return sign


def _finder(key: Callable[[], str]) -> Callable[[bytes], bool]:
    """Whether a body that is to be sent holds the key: whoever reads prompts would have it."""

    def is_told(body: bytes) -> bool:
        raw = key().encode()
        return len(raw) >= _SHORTEST_KEY and raw in body

    return is_told


def _hider(key: Callable[[], str]) -> Callable[[bytes], bytes]:
    """Masks the key in a body that repeats it: what is kept of a reply holds none."""

    def hide(body: bytes) -> bytes:
        secret = key()
        raw = secret.encode()
        return body.replace(raw, redact(secret).encode()) if len(raw) >= _SHORTEST_KEY and raw in body else body

    return hide


def _veil(key: Callable[[], str]) -> Callable[[str | None], str]:
    """Masks the key in a text that comes in pieces: the end of a piece that may be its beginning waits for the next.

    ``None`` asks for what still waits.
    """
    held = ""

    def veil(piece: str | None) -> str:
        nonlocal held
        if piece is None:
            text, held = redact(held), ""
            return text
        secret = key()
        if len(secret) < _SHORTEST_KEY:
            return piece
        text = (held + piece).replace(secret, redact(secret))
        most = len(text) - len(secret) + 1
        at = text.find(secret[0], max(0, most))
        while at >= 0 and not secret.startswith(text[at:]):
            at = text.find(secret[0], at + 1)
        held = text[at:] if at >= 0 else ""
        return text[:at] if at >= 0 else text

    return veil
