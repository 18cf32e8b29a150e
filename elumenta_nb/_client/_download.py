"""Fetching a result's file: without the key, from public addresses only, straight to disk.

The address comes from a stranger. It must be https (http on this machine when the API itself is here); every redirect
is checked again; the host is looked up here and the connection made to the address that was checked, so that a name
cannot point elsewhere a moment later. Behind a proxy the proxy looks names up, and only written-out addresses are checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ipaddress
import random
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx
from anyio import CancelScope

from elumenta_nb._address import is_loopback
from elumenta_nb._errors import ConfigError, DownloadFailed
from elumenta_nb._language import gettext as _
from elumenta_nb._values import Download

from ._exchange import Exchange, timeouts
from ._routes import Lanes, http_transport, route_to

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from io import BufferedWriter
    from pathlib import Path

    from ._routes import Route, TransportFactory

__all__ = ["Downloads", "is_public"]

TRIES: Final = 3
MAX_HOPS: Final = 5
READ_S: Final = 60.0
LONGEST_S: Final = 6 * 3600.0
BLOCK: Final = 1024**2  # written at once
TELL_EVERY_S: Final = 0.1
SLOW_WINDOW_S: Final = 60.0  # in which at least SLOW_BYTES must come
SLOW_BYTES: Final = 16 * 1024
_ELSEWHERE: Final = frozenset({301, 302, 303, 307, 308})
_WORTH_ANOTHER_TRY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
# Not for the public network, and not known to every Python's `is_global`.
_SPECIAL: Final = (ipaddress.ip_network("192.0.0.0/24"), ipaddress.ip_network("64:ff9b:1::/48"))

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class _Refused:
    """Why a try gave no file; `again` if another may."""

    why: str
    again: bool = False
    status: int | None = None  # what the server answered


class Downloads:
    """Fetches files. `local`: the API is on this machine, so its files may be as well. `resolve` looks names up."""

    def __init__(
        self,
        *,
        local: bool,
        factory: TransportFactory | None,
        sleep: Callable[[float], Awaitable[None]],
        resolve: Callable[[str, int], Awaitable[list[str]]] | None = None,
    ) -> None:
        self._resolve = resolve or _resolve
        self._local = local
        self._factory = factory
        self._sleep = sleep
        self._lanes: dict[tuple[str, str], Lanes] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    async def fetch(
        self, url: str, target: Path, *, max_bytes: int, progress: Callable[[int, int | None], None] | None = None
    ) -> Download:
        """The file at `url`, written to `target`. Raises `DownloadFailed`; then no file is left."""
        refused = _Refused("")
        for tries in range(1, TRIES + 1):
            try:
                outcome = await self._once(url, target, max_bytes, progress)
            except OSError as error:
                outcome = _Refused(_("it cannot be written: {why}").format(why=error.strerror or error))
            if isinstance(outcome, Download):
                return outcome
            refused = outcome
            if not refused.again or tries == TRIES:
                break
            await self._sleep(0.5 * 2**tries * (0.75 + 0.5 * random.random()))  # noqa: S311 - spreads clients out
        raise DownloadFailed(
            _("The file was not fetched from {host}: {why}.").format(host=_host_of(url), why=refused.why),
            hint=_("It is paid and stays at the server for a while; to try again: %elumenta show ID"),
            status=refused.status,
        )

    async def aclose(self) -> None:
        lanes, self._lanes = list(self._lanes.values()), {}
        if self._loop is asyncio.get_running_loop():
            for route in lanes:
                await route.aclose()

    async def _once(
        self, url: str, target: Path, max_bytes: int, progress: Callable[[int, int | None], None] | None
    ) -> Download | _Refused:
        place: httpx.URL | None = None
        for _hop in range(MAX_HOPS + 1):
            try:
                place = httpx.URL(url) if place is None else place
                place.host  # noqa: B018 - a name that cannot exist is found out when it is read
            except (httpx.InvalidURL, ValueError, TypeError):
                return _Refused(_("the address cannot be read"))
            opened = await self._open(place)
            if isinstance(opened, _Refused):
                return opened
            try:
                if opened.status not in _ELSEWHERE:
                    return await self._save(opened, target, max_bytes, progress)
                location = opened.headers.get("location", "")
            finally:
                await opened.close()
            try:
                if not location:
                    return _Refused(_("the server answers {status}").format(status=opened.status))
                place = place.join(location)
            except (httpx.InvalidURL, ValueError, TypeError):
                return _Refused(_("it redirects to an address that cannot be read"))
        return _Refused(_("it redirects too often"))

    async def _open(self, place: httpx.URL) -> Exchange | _Refused:
        refused = self._check(place)
        if refused is not None:
            return refused
        try:
            route = route_to(place.scheme, place.host, place.port)
        except ConfigError as error:
            return _Refused(str(error))
        if route.proxy is not None:
            return await self._ask(place, route, None)
        port = place.port or {"https": 443, "http": 80}[place.scheme]
        try:
            addresses = await self._resolve(place.host, port)
        except (OSError, UnicodeError):
            return _Refused(_("the host is not known"), again=True)
        if not addresses or not all(self._may(address) for address in addresses):
            return _Refused(_("the host is not on the public network"))
        outcome: Exchange | _Refused = _Refused("")
        for address in addresses[:4]:
            outcome = await self._ask(place, route, address)
            if isinstance(outcome, Exchange):
                break
        return outcome

    def _check(self, place: httpx.URL) -> _Refused | None:
        here = self._local and is_loopback(place.host)
        if place.scheme != "https" and not (here and place.scheme == "http"):
            return _Refused(_("its address is not https"))
        port = 443 if place.port is None else place.port
        if not place.host or place.userinfo or not 0 < port < 2**16:
            return _Refused(_("the address has no host, no possible port, or a password in it"))
        if (is_loopback(place.host) or _address(place.host)) and not self._may(place.host):
            return _Refused(_("the host is not on the public network"))
        return None

    def _may(self, address: str) -> bool:
        """Whether a file may come from this address: a public one, or this machine when the API is here too."""
        if is_loopback(address):
            return self._local
        number = _address(address.split("%", maxsplit=1)[0])
        return number is not None and is_public(number)

    async def _ask(self, place: httpx.URL, route: Route, address: str | None) -> Exchange | _Refused:
        """Ask for the file at the address that was checked, under the host's name; `None`: the proxy finds it."""
        request = httpx.Request(
            "GET",
            place if address is None else place.copy_with(host=address),
            headers=[
                ("host", place.netloc.decode("ascii")),
                ("user-agent", "elumenta-nb"),
                ("accept", "*/*"),
                ("accept-encoding", "identity"),
            ],
            extensions={
                "timeout": timeouts(read_s=READ_S),
                **({} if address is None else {"sni_hostname": place.raw_host.decode("ascii")}),
            },
        )
        exchange = Exchange(self._connections(route), request, traced=self._factory is None)
        done = False
        try:
            done = await exchange.open(within_s=READ_S * 2)
        finally:
            if not done:
                await exchange.close()
        if done:
            return exchange
        loss = exchange.loss
        return _Refused(loss.why if loss else "", again=not (loss and loss.lasting))

    def _connections(self, route: Route) -> Lanes:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._lanes, self._loop = {}, loop
        name = (route.scheme, str(route.proxy.url) if route.proxy else "")
        if name not in self._lanes:
            factory = self._factory or http_transport
            self._lanes[name] = Lanes(lambda: factory(route))
        return self._lanes[name]

    async def _save(
        self,
        exchange: Exchange,
        target: Path,
        max_bytes: int,
        progress: Callable[[int, int | None], None] | None,
    ) -> Download | _Refused:
        if exchange.status != 200:
            why = _("the server answers {status}").format(status=exchange.status)
            return _Refused(why, again=exchange.status in _WORTH_ANOTHER_TRY, status=exchange.status)
        packed = exchange.headers.get("content-encoding", "identity").lower() not in ("", "identity")
        length = exchange.headers.get("content-length", "")
        total = int(length) if length.isascii() and length.isdigit() and len(length) <= 40 and not packed else None
        if total is not None and total > max_bytes:
            return _Refused(_too_large(max_bytes))
        try:
            with target.open("wb") as file:
                sink = _Sink(file, max_bytes, total, progress)
                refused = await _pour(exchange, sink)
        except BaseException:
            _remove(target)
            raise
        if refused is not None:
            _remove(target)
            return refused
        kind = exchange.headers.get("content-type", "").split(";")[0].strip().lower()[:100]
        return Download(size_bytes=sink.size, digest=sink.digest, content_type=kind if kind.isprintable() else "")


class _Sink:
    """Writes and hashes, a thread each, while the next block comes in: one block in flight, so memory stays flat."""

    def __init__(
        self,
        file: BufferedWriter,
        max_bytes: int,
        total: int | None,
        progress: Callable[[int, int | None], None] | None,
    ) -> None:
        self._file = file
        self._max = max_bytes
        self._progress = progress
        self._hash = hashlib.sha256()
        self._block: list[bytes] = []
        self._held = 0
        self._working: list[asyncio.Future[None]] = []
        self._told_at = 0.0
        self._window = (time.monotonic(), 0)
        self.total = total
        self.size = 0

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    async def add(self, chunk: bytes) -> _Refused | None:
        """Take a piece; a refusal where the file is too large or comes too slowly."""
        self._block.append(chunk)
        self._held += len(chunk)
        self.size += len(chunk)
        if self.size > self._max:
            return _Refused(_too_large(self._max))
        if self._held >= BLOCK:
            await self.flush()
        now = time.monotonic()
        if now - self._told_at >= TELL_EVERY_S:
            self._told_at = now
            self.tell()
        since, before = self._window
        if now - since < SLOW_WINDOW_S:
            return None
        self._window = (now, self.size)
        return _Refused(_("it comes too slowly"), again=True) if self.size - before < SLOW_BYTES else None

    async def flush(self) -> None:
        """Hand the block to the writer, once the one before is written."""
        await self.settle()
        block, self._block, self._held = self._block, [], 0
        loop = asyncio.get_running_loop()
        self._working = [loop.run_in_executor(None, work, block) for work in (self._write, self._digest)]

    async def settle(self) -> None:
        """Wait for the block in flight. Raises `OSError` where it could not be written."""
        working = self._working
        if working:
            await asyncio.wait(working)  # cancelled here, it is waited for again: the file is closed after it
            self._working = []
            for work in working:
                work.result()

    def tell(self) -> None:
        if self._progress is not None:
            self._progress(self.size, self.total)

    def _write(self, block: list[bytes]) -> None:
        for chunk in block:
            self._file.write(chunk)

    def _digest(self, block: list[bytes]) -> None:
        for chunk in block:
            self._hash.update(chunk)


async def _pour(exchange: Exchange, sink: _Sink) -> _Refused | None:
    """The whole body into the sink, or why not."""
    refused: _Refused | None = None
    try:
        async with contextlib.aclosing(exchange.chunks(within_s=LONGEST_S)) as chunks:
            async for chunk in chunks:
                refused = await sink.add(chunk)
                if refused is not None:
                    return refused
        if exchange.loss is None:
            await sink.flush()
    finally:
        with CancelScope(shield=True):  # the file must not be closed under the writer
            await sink.settle()
    if sink.total is not None and sink.size != sink.total:
        why = _("{size} of {total} bytes came").format(size=sink.size, total=sink.total)
        return _Refused(why, again=True)
    if exchange.loss is not None:
        return _Refused(exchange.loss.why, again=True)
    if sink.size == 0:
        return _Refused(_("the file is empty"), again=True)
    sink.tell()
    return None


def _remove(target: Path) -> None:
    with contextlib.suppress(OSError):
        target.unlink(missing_ok=True)


async def _resolve(host: str, port: int) -> list[str]:
    """The host's addresses in the order to try. Raises `OSError` where there are none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public network, also where a v6 address carries a v4 one."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address.teredo is not None:
            inner = address.teredo[1]
        elif address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    special = any(address in network for network in _SPECIAL)
    return address.is_global and not (special or address.is_multicast or address.is_reserved)


def _address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _host_of(url: str) -> str:
    """The host alone: the rest of the address may be signed."""
    try:
        return httpx.URL(url).host or "?"
    except (httpx.InvalidURL, ValueError, TypeError):
        return "?"


def _too_large(max_bytes: int) -> str:
    return _("it is larger than {size} MiB").format(size=max(1, max_bytes // 1024**2))
