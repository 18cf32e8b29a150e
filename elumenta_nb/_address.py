"""Where the API may live: what a base URL must look like, and which hosts are this machine. Pure; no look-ups."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from ._errors import ConfigError
from ._language import gettext as _

__all__ = ["check_base_url", "is_loopback", "origin_of"]

_PLAIN = re.compile(r"[!-~\u00a1-\U0010ffff]+")  # no spaces, no control characters
_HOST = re.compile(r"(?=.{1,253}\Z)(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)*[^\W_](?:[\w-]{0,61}[^\W_])?\.?")
_PORTS = {"https": 443, "http": 80}


def check_base_url(url: str) -> str:
    """The API's base URL in its plain form, without a slash at the end.

    Raises `ConfigError` unless it is https, or http on this machine: anything else would show the key to the network.
    """
    text = url.strip()
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _refusal(text, _("it cannot be read")) from None
    scheme = parts.scheme.lower()
    if not _PLAIN.fullmatch(text) or "\\" in text:
        raise _refusal(text, _("it has a space or another character that an address cannot have"))
    if scheme not in _PORTS:
        raise _refusal(text, _("it does not start with https://"))
    if parts.username is not None or parts.password is not None:
        raise _refusal(f"{scheme}://…@{host}", _("it has a user name or password in it"))
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise _refusal(text, _("it goes on after the path"))
    if not (_address(host) or (_HOST.fullmatch(host) and _is_spelt(host))):
        raise _refusal(text, _("it has no host name"))
    if any(step in (".", "..") for step in parts.path.split("/")):
        raise _refusal(text, _("its path has dots for a step"))
    if scheme == "http" and not is_loopback(host):
        raise _refusal(text, _("http would show your key to the network; http is for this machine only"))
    shown = f"[{host}]" if ":" in host else host
    where = shown if port in (None, _PORTS[scheme]) else f"{shown}:{port}"
    return f"{scheme}://{where}{parts.path}".rstrip("/")


def origin_of(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: two addresses with the same three are the same server. Raises `ValueError`."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(scheme, 0)


def is_loopback(host: str) -> bool:
    """Whether the host is this machine, by its name or number alone: names are not looked up."""
    if host.lower() == "localhost":
        return True
    address = _address(host)
    if address is None or getattr(address, "ipv4_mapped", None):  # Python 3.13 reads ::ffff:127.0.0.1 as loopback
        return False
    return address.is_loopback


def _is_spelt(host: str) -> bool:
    """Whether the letters of an international name are ones that a name can have."""
    if host.isascii() and "xn--" not in host.lower():
        return True
    import idna

    try:
        return bool(idna.decode(idna.encode(host, uts46=True)))
    except UnicodeError:
        return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _refusal(url: str, why: str) -> ConfigError:
    return ConfigError(
        _("The base URL {url!r} cannot be used: {why}.").format(url=url[:100], why=why),
        hint=_("ELUMENTA_BASE_URL is normally https://elumenta.ru/api/v2"),
    )
