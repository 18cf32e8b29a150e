"""The way to the API, looked at step by step: address, proxy, certificates, server, account, limits.

One free request tells it all; none is sent where nothing is ever sent.
"""

from __future__ import annotations

import contextlib
import platform
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ._address import is_loopback
from ._catalog import catalog
from ._config import BASE_URL
from ._errors import ElumentaError, NoKey, redact
from ._findings import Finding
from ._language import day, gettext as _, number, span, tokens
from ._wiring import runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ._client import Probe
    from ._wiring import Wiring

__all__ = ["TROUBLES", "Facts", "account", "address", "certificates", "limits", "proxy", "server"]

FEW_LEFT: Final = 20  # requests of the hour
SLOW_S: Final = 3.0


@dataclass(slots=True)
class Facts:
    """What several looks need, found out once."""

    session: Wiring
    user: str = ""
    mode: str = ""
    probe: Probe | None = None
    why_no_probe: ElumentaError | None = None
    base_url: str = field(init=False, default="")

    def __post_init__(self) -> None:
        settings = self.session.settings
        self.base_url = settings.base_url
        with contextlib.suppress(NoKey):
            self.mode = settings.where()
        if self.mode == "only":
            return
        try:
            self.probe = runtime.call(self._ask)
        except ElumentaError as error:
            self.why_no_probe = error

    async def _ask(self) -> Probe:
        from ._client import probe

        if self.mode == "sandbox":
            server = self.session.server()
            self.base_url = server.url
            return await probe(server.url, lambda: server.api_key)
        return await probe(self.base_url, self.session.settings.api_key)

    @property
    def is_local(self) -> bool:
        return is_loopback(urlsplit(self.base_url).hostname or "")

    @property
    def api(self) -> Callable[[str], bool]:
        """Whether a row's API is one of the kind in use: the sandbox, or any other."""
        sandbox = self.mode == "sandbox"
        return lambda api: (api == "sandbox") == sandbox


def address(facts: Facts) -> Iterator[Finding]:
    settings = facts.session.settings
    source = settings.sources.get("base_url", "")
    if facts.mode != "live" or facts.base_url == BASE_URL:
        yield Finding(topic=_("address"), state="ok", text=facts.base_url)
        return
    text = _("{url}, not the usual {usual} ({source})").format(url=facts.base_url, usual=BASE_URL, source=source)
    yield Finding(topic=_("address"), state="note", text=text)


def proxy(facts: Facts) -> Iterator[Finding]:
    from ._client import proxy_shown

    shown = proxy_shown(facts.base_url)
    if shown:
        text = _("{proxy}, from the environment").format(proxy=shown)
    elif facts.is_local:
        text = _("none: this machine is never asked through a proxy")
    else:
        text = _("none for this address (HTTPS_PROXY, ALL_PROXY, NO_PROXY)")
    yield Finding(topic=_("proxy"), state="ok", text=text)


def certificates(facts: Facts) -> Iterator[Finding]:
    topic = _("certificates")
    if urlsplit(facts.base_url).scheme == "http":
        yield Finding(topic=topic, state="ok", text=_("none needed: http on this machine"))
        return
    places = ssl.get_default_verify_paths()
    text = _("the system's store")
    if platform.system() == "Linux":
        found = places.cafile or places.capath
        if not found:
            advice = _("Install the package ca-certificates, or set SSL_CERT_FILE to your organisation's certificates.")
            yield Finding(topic=topic, state="problem", text=_("the system's store is empty"), advice=advice)
            return
        text += f" ({found})"
    yield Finding(topic=topic, state="ok", text=text)


def server(facts: Facts) -> Iterator[Finding]:
    topic, probe = _("server"), facts.probe
    if facts.mode == "only":
        yield Finding(topic=topic, state="ok", text=_("not asked: in this mode nothing is sent"))
        return
    if facts.why_no_probe is not None:
        raise facts.why_no_probe
    assert probe is not None
    if probe.trouble:
        words, advice = TROUBLES[probe.trouble]()
        host = urlsplit(facts.base_url).hostname
        text = words.format(host=host, proxy=probe.proxy or "?", status=probe.status or "–", time=_took(probe.seconds))
        why = f" ({redact(probe.why)})" if probe.why else ""
        yield Finding(topic=topic, state="problem", text=text + why, advice=advice)
        return
    took = _took(probe.seconds)
    if probe.status in (404, 405):
        text = _("answers {status} in {time}: there is no API at this address").format(status=probe.status, time=took)
        yield Finding(topic=topic, state="problem", text=text, advice=_("Is ELUMENTA_BASE_URL right?"))
    elif probe.status >= 500:
        text = _("answers {status} in {time}: {message}").format(
            status=probe.status, time=took, message=probe.message or "–"
        )
        yield Finding(topic=topic, state="problem", text=text, advice=_("The trouble is theirs: try again later."))
    else:
        slow = probe.seconds > SLOW_S
        text = _("answers in {time}").format(time=took)
        yield Finding(topic=topic, state="note" if slow else "ok", text=text + (_(", which is slow") if slow else ""))


def _took(seconds: float) -> str:
    return span(seconds) if seconds >= 1 else _("{n} ms").format(n=round(seconds * 1000))


TROUBLES: Final[dict[str, Callable[[], tuple[str, str]]]] = {
    "dns": lambda: (
        _("the name {host} is not found"),
        _("Is there a network (a VPN, a captive portal)? Is ELUMENTA_BASE_URL right?"),
    ),
    "refused": lambda: (
        _("{host} refuses the connection"),
        _("Nothing listens there, or a firewall stops it. Is ELUMENTA_BASE_URL right?"),
    ),
    "timeout": lambda: (
        _("{host} does not answer within {time}"),
        _("A firewall may drop it: does your network need a proxy (HTTPS_PROXY=http://HOST:PORT)?"),
    ),
    "tls": lambda: (
        _("the certificate of {host} is not accepted"),
        _("A proxy that reads along has its own certificate: add it to the system's store, or set SSL_CERT_FILE.")
        + "\n"
        + _("Is the clock of this machine right?"),
    ),
    "proxy": lambda: (
        _("the proxy {proxy} does not let it through"),
        _("Check HTTPS_PROXY (with user and password if it asks: 407), or add the host to NO_PROXY."),
    ),
    "lost": lambda: (_("the connection to {host} fails"), _("Try again; then look at proxy and firewall.")),
    "page": lambda: (
        _("{host} answers a web page, not JSON (status {status})"),
        _("A login page of the network, or the wrong ELUMENTA_BASE_URL: it ends in /api/v2."),
    ),
    "unreadable": lambda: (
        _("{host} answers what is not JSON (status {status})"),
        _("Is ELUMENTA_BASE_URL right? It ends in /api/v2."),
    ),
}


def account(facts: Facts) -> Iterator[Finding]:
    topic, probe = _("account"), facts.probe
    if not facts.mode or facts.mode == "only" or probe is None or probe.trouble:
        yield Finding(topic=topic, state="ok" if facts.mode == "only" else "note", text=_("not asked"))
        return
    if probe.status == 401:
        advice = _("Make or look up a key at elumenta.ru/web, Profile, API Keys; then: %elumenta login")
        yield Finding(topic=topic, state="problem", text=_("the server does not accept the key"), advice=advice)
        return
    if probe.status == 403:
        text = _("the account's plan has no API access")
        yield Finding(topic=topic, state="problem", text=text, advice=_api_plans())
        return
    told = probe.balance
    if told is None:
        yield Finding(topic=topic, state="note", text=_("the server does not tell the balance"))
        return
    text = tokens(told.tokens)
    row = next((plan for plan in catalog().plans if told.plan.lower() in (plan.api, plan.name.lower())), None)
    if told.plan:
        until = " " + _("until {day}").format(day=day(told.expires_at)) if told.expires_at else ""
        text += _(", plan {plan}").format(plan=(row.name if row else told.plan) + until)
    if facts.mode == "live" and row is not None and not row.has_api:
        yield Finding(topic=topic, state="problem", text=text + _(": no API access"), advice=_api_plans())
        return
    empty = told.tokens == 0
    advice = _("What tokens cost: %elumenta plans") if empty else ""
    yield Finding(topic=topic, state="note" if empty else "ok", text=text, advice=advice)


def _api_plans() -> str:
    names = ", ".join(plan.name for plan in catalog().plans if plan.has_api)
    return _("API access needs one of these plans: {names}. %elumenta plans").format(names=names)


def limits(facts: Facts) -> Iterator[Finding]:
    topic = _("limits")
    told = facts.probe.limits if facts.probe else None
    parts = []
    if told is not None and told.hour_left is not None:
        parts.append(
            _("{left} of {limit} requests left this hour").format(
                left=number(told.hour_left), limit=number(told.hour or 0)
            )
        )
    if told is not None and told.day_left is not None:
        parts.append(_("{left} of {limit} today").format(left=number(told.day_left), limit=number(told.day or 0)))
    if told is None or not parts:
        yield Finding(topic=topic, state="ok", text=_("not told"))
        return
    left = min(count for count in (told.hour_left, told.day_left) if count is not None)
    advice = ""
    if told.hour and left < FEW_LEFT:
        advice = _(
            "They belong to the account, with the bot and the web. Polls get rarer; wait, or take a larger plan."
        )
    yield Finding(topic=topic, state="note" if advice else "ok", text=", ".join(parts), advice=advice)
