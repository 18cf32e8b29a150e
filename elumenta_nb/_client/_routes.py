"""How a request leaves this machine: proxies of the environment, certificates, and connections.

The seam: a `TransportFactory` is called with a `Route` and gives an `httpx.AsyncBaseTransport`. httpx ignores the
proxy variables as soon as it is handed a transport (encode/httpx#1122), so the proxy is looked up here, and a factory
of your own must use `route.proxy` to keep it. It is called for each connection in use: httpx's pool does work for every
request on every connection (encode/httpx#3215; at 100 at once it runs at 7 % of the ideal rate), so a pool here holds one.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final
from urllib.request import getproxies, proxy_bypass

import httpx

from elumenta_nb._address import is_loopback
from elumenta_nb._errors import ConfigError
from elumenta_nb._language import gettext as _

from ._http1 import Connection

__all__ = ["Lanes", "Route", "TransportFactory", "http_transport", "proxy_for", "route_to"]

MOST_IDLE: Final = 32
# Shorter than the 5 s after which common servers close an idle connection: a request on a connection that is closed in
# the same instant is one whose outcome nobody knows.
KEEPALIVE_S: Final = 4.0


@dataclass(frozen=True, slots=True)
class Route:
    """The way to one place: its scheme, and the proxy to go through (httpx masks the proxy's password in `repr`)."""

    scheme: str
    proxy: httpx.Proxy | None = None

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """Certificates of the system for https. Made once: it takes tens of milliseconds."""
        return _system_certificates() if self.scheme == "https" else _no_certificates()


TransportFactory = Callable[[Route], httpx.AsyncBaseTransport]


def http_transport(route: Route) -> httpx.AsyncBaseTransport:
    """The transport used unless another is given; it tells when a byte is written. Through a proxy it is httpx's own."""
    if route.proxy is None:
        return Connection(route, keepalive_s=KEEPALIVE_S)
    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEPALIVE_S)
    try:
        return httpx.AsyncHTTPTransport(verify=route.ssl_context, limits=limits, proxy=route.proxy)
    except (ImportError, ValueError) as error:
        why = str(error)
    raise ConfigError(
        _("The proxy of the environment cannot be used: {why}").format(why=why),
        hint=_("HTTPS_PROXY, HTTP_PROXY, ALL_PROXY; for a SOCKS proxy: pip install 'httpx[socks]'"),
    )


def route_to(scheme: str, host: str, port: int | None) -> Route:
    """The route to a host by the environment. Raises `ConfigError` for a proxy that cannot be read."""
    proxy = proxy_for(scheme, host, port)
    if proxy is None:
        return Route(scheme)
    try:
        return Route(scheme, httpx.Proxy(proxy))
    except (ValueError, httpx.InvalidURL):
        pass  # the address may hold a password: it is not repeated
    raise ConfigError(
        _("The proxy of the environment cannot be read."), hint=_("HTTPS_PROXY is normally http://HOST:PORT")
    )


def proxy_for(scheme: str, host: str, port: int | None) -> str | None:
    """The proxy for a host by HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY; never one for this machine."""
    if is_loopback(host):
        return None
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or proxy_bypass(host if port is None else f"{host}:{port}") or proxy_bypass(host):
        return None
    if _in_network(host, proxies.get("no", "")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _in_network(host: str, no_proxy: str) -> bool:
    """Whether NO_PROXY names the host's address by a network (`10.0.0.0/8`), which the standard library does not read."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    for entry in no_proxy.split(","):
        try:
            if "/" in entry and address in ipaddress.ip_network(entry.strip(), strict=False):
                return True
        except (ValueError, TypeError):
            continue
    return False


@cache
def _system_certificates() -> ssl.SSLContext:
    import truststore

    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["http/1.1"])
    return context


@cache
def _no_certificates() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody: httpx wants one for http as well


class Lanes:
    """The connections to one place, each in a transport of its own, used by one request at a time; the warmest first."""

    def __init__(self, make: Callable[[], httpx.AsyncBaseTransport]) -> None:
        self._make = make
        self._idle: deque[tuple[httpx.AsyncBaseTransport, float]] = deque()  # with the time it came
        self._open = True
        self.busy = 0

    def take(self) -> httpx.AsyncBaseTransport:
        """A connection for one request. Give it back with `give`."""
        lane = self._idle.pop()[0] if self._idle else self._make()
        self.busy += 1
        return lane

    async def give(self, lane: httpx.AsyncBaseTransport, *, usable: bool) -> None:
        """Give a connection back. One whose answer was not read to its end is dropped.

        httpcore keeps a connection for ever that was cancelled right after it was made; the next request on it would
        wait for it in vain.
        """
        self.busy -= 1
        now = asyncio.get_running_loop().time()
        if usable and self._open:
            self._idle.append((lane, now))
        else:
            await lane.aclose()
        # Many calls at once end in bursts: what they leave is wanted again in a moment.
        while len(self._idle) > max(MOST_IDLE, 4 * self.busy) or (
            self._idle and now - self._idle[0][1] > KEEPALIVE_S  # it would not be used again
        ):
            await self._idle.popleft()[0].aclose()

    async def aclose(self) -> None:
        """Close what is idle now, and what is busy when it is given back."""
        self._open = False
        idle = list(self._idle)
        self._idle.clear()
        for lane, _since in idle:
            await lane.aclose()
