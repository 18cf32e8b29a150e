"""One request that costs nothing, to say how far it gets and how long it takes: the network part of the doctor."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import httpx

from elumenta_nb import _wire as wire
from elumenta_nb._values import Balance, Limits

from ._line import Line
from ._routes import proxy_for, route_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ._exchange import Exchange
    from ._routes import TransportFactory

__all__ = ["Probe", "probe", "proxy_shown"]

PROBE_S: Final = 10.0
MAX_PAGE: Final = 256 * 1024
Trouble = Literal["", "dns", "refused", "timeout", "tls", "proxy", "lost", "page", "unreadable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """How far one ``GET`` of the balance got. `trouble` is ``""`` where JSON came back, whatever its `status`."""

    trouble: Trouble = ""
    why: str = ""
    status: int = 0
    message: str = ""  # what the server says of an error
    seconds: float = 0.0
    proxy: str = ""  # it went through this one
    balance: Balance | None = None
    limits: Limits = field(default_factory=Limits)


def proxy_shown(base_url: str) -> str:
    """The proxy on the way to the API without its password, or ``""``. Raises `ConfigError` where it cannot be read."""
    url = httpx.URL(base_url)
    route_to(url.scheme, url.host, url.port)  # one that cannot be read is refused here
    found = proxy_for(url.scheme, url.host, url.port)
    if found is None:
        return ""
    proxy = httpx.URL(found)
    return f"{proxy.scheme}://{proxy.host}" + (f":{proxy.port}" if proxy.port else "")


async def probe(base_url: str, key: Callable[[], str] | None, *, factory: TransportFactory | None = None) -> Probe:
    """Ask for the balance once at each of its places. Without a key the question is not signed, and is refused.

    Raises `ConfigError` for a proxy that cannot be used; every other trouble is in the answer.
    """
    line = Line(base_url, key or str, factory, time.time)
    proxy = proxy_shown(line.base_url)
    try:
        for path in wire.balance_paths():
            exchange = line.exchange(wire.Request(method="GET", path=path), read_s=PROBE_S, signed=key is not None)
            found = await _ask(line, exchange, proxy)
            if found.trouble or found.status not in (404, 405):
                break
        return found
    finally:
        await line.aclose()


async def _ask(line: Line, exchange: Exchange, proxy: str) -> Probe:
    began = time.monotonic()
    try:
        if not await exchange.open(within_s=PROBE_S):
            kind = _kind(exchange.error, proxied=bool(proxy))
            why = exchange.loss.why if exchange.loss else ""
            return Probe(trouble=kind, why=why, seconds=time.monotonic() - began, proxy=proxy)
        seconds = time.monotonic() - began
        body = line.hide(await exchange.read(at_most=MAX_PAGE, within_s=PROBE_S))
    finally:
        await exchange.close()
    line.note(exchange)
    parsed = wire.read_json(body)
    said = wire.read_error(exchange.status, body, exchange.headers)
    trouble: Trouble = ""
    if not parsed.whole:
        trouble = "page" if said.form == "html" else "unreadable"
    if exchange.status == 407:
        trouble = "proxy"
    return Probe(
        trouble=trouble,
        why=said.message if trouble else "",
        status=exchange.status,
        message=said.message if exchange.status >= 400 else "",
        seconds=seconds,
        proxy=proxy,
        balance=wire.read_balance(parsed.value) if parsed.whole and exchange.status == 200 else None,
        limits=line.limits,
    )


def _kind(error: BaseException | None, *, proxied: bool) -> Trouble:
    """What kind of failure it was, by what lies under httpx's exception. Behind a proxy it is the proxy's, but for TLS."""
    found: Trouble = "lost"
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError):
            return "tls" if isinstance(cause, ssl.SSLCertVerificationError) or not proxied else "proxy"
        if isinstance(cause, httpx.ProxyError):
            return "proxy"
        if isinstance(cause, socket.gaierror):
            found = "dns"
        elif isinstance(cause, ConnectionRefusedError):
            found = "refused"
        elif found == "lost" and isinstance(cause, TimeoutError | httpx.TimeoutException | asyncio.TimeoutError):
            found = "timeout"
    return "proxy" if proxied else found


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    waiting, seen = [error], set[int]()
    while waiting:
        cause = waiting.pop()
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [cause.__cause__, cause.__context__]
        if isinstance(cause, BaseExceptionGroup):
            waiting += cause.exceptions
