"""No network but loopback, for the test process (`tests/conftest.py` loads this) and for every Python it starts.

A child finds this file by `PYTHONPATH` and imports it as ``sitecustomize``. `NetworkRefused` is no `OSError`: code
under test must not take it for a server that is down.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

LOCAL_NAMES = {"", "localhost", "localhost.localdomain", "ip6-localhost", socket.gethostname().lower()}


class NetworkRefused(RuntimeError):  # noqa: N818 - it is what happened
    """A test tried to leave this machine."""


def _text(host: Any) -> str:
    return (host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)).lower()


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.split("%", maxsplit=1)[0])
    except ValueError:
        return None


def stays_here(host: Any) -> bool:
    if host is None:
        return True
    name = _text(host)
    address = _literal(name)
    return (address.is_loopback or address.is_unspecified) if address else name in LOCAL_NAMES


def _check_address(sock: socket.socket, address: Any) -> None:
    if sock.family in (socket.AF_INET, socket.AF_INET6) and not stays_here(address[0]):
        raise NetworkRefused(f"a test tried to reach {address[0]}:{address[1]}; only loopback is allowed")


def _check_name(host: Any) -> None:
    if not stays_here(host) and _literal(_text(host)) is None:  # an address needs no question to a server
        raise NetworkRefused(f"a test tried to look up {_text(host)}; only loopback is allowed")


def install() -> None:
    """Guard `socket` in this process; harmless when done twice."""
    if getattr(socket, "elumenta_guard", False):
        return
    socket.elumenta_guard = True  # type: ignore[attr-defined]  # a mark on the module that is patched
    connect, connect_ex, sendto = socket.socket.connect, socket.socket.connect_ex, socket.socket.sendto
    getaddrinfo, gethostbyname, gethostbyname_ex = socket.getaddrinfo, socket.gethostbyname, socket.gethostbyname_ex

    def guarded_connect(self: socket.socket, address: Any) -> None:
        _check_address(self, address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        _check_address(self, address)
        return connect_ex(self, address)

    def guarded_sendto(self: socket.socket, *args: Any) -> int:
        _check_address(self, args[-1])
        return sendto(self, *args)

    def guarded_getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
        _check_name(host)
        return getaddrinfo(host, *args, **options)

    def guarded_gethostbyname(host: Any) -> Any:
        _check_name(host)
        return gethostbyname(host)

    def guarded_gethostbyname_ex(host: Any) -> Any:
        _check_name(host)
        return gethostbyname_ex(host)

    patched: Any = socket.socket
    patched.connect, patched.connect_ex, patched.sendto = guarded_connect, guarded_connect_ex, guarded_sendto
    module: Any = socket
    module.getaddrinfo = guarded_getaddrinfo
    module.gethostbyname, module.gethostbyname_ex = guarded_gethostbyname, guarded_gethostbyname_ex


install()
