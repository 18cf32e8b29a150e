"""`%elumenta doctor`: is everything in order, and what to do where it is not. Reports what is broken, never raises it."""

from __future__ import annotations

import contextlib
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

from . import _reach
from ._errors import ElumentaError, redact
from ._findings import Finding, Report
from ._language import gettext as _, ngettext, number, span, tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._reach import Facts
    from ._wiring import Wiring

__all__ = ["Report", "examine", "without_session"]

SCARCE_BYTES: Final = 100 * 10**6
FAR_S: Final = 0.02
ANSWERS_A_CALL: Final = 20  # of a ledger on a server: statements of reserve, accept and settle
SKEW_S: Final = 30.0
SHOWN: Final = 5  # damaged results by name
PACKAGES: Final = ("elumenta-nb", "ipython", "ipykernel", "ipywidgets", "httpx", "pandas", "sqlalchemy")


def without_session(error: ElumentaError) -> Report:
    """The report where settings are such that there is no session."""
    findings = [Finding(topic=_("settings"), state="problem", text=str(error), advice=error.hint)]
    return Report((*findings, *_versions(None)))


def examine(session: Wiring, user: str = "") -> Report:
    """Look at everything a call of this user needs. Works without a key and raises nothing of what it finds."""
    facts = _reach.Facts(session, user)
    findings: list[Finding] = []
    for topic, look in (
        (_("mode"), _mode),
        (_("key"), _key),
        (_("address"), _reach.address),
        (_("proxy"), _reach.proxy),
        (_("certificates"), _reach.certificates),
        (_("server"), _reach.server),
        (_("account"), _reach.account),
        (_("limits"), _reach.limits),
        (_("ledger"), _ledger),
        (_("open calls"), _open_calls),
        (_("results"), _store),
        (_("budgets"), _budgets),
        (_("versions"), _versions),
    ):
        findings += _looked(topic, look, facts)
    return Report(tuple(findings))


Look = Any  # Callable[[Facts], Iterator[Finding]]; versions need no facts


def _looked(topic: str, look: Look, facts: Facts) -> list[Finding]:
    try:
        return list(look(facts))
    except ElumentaError as error:
        return [Finding(topic=topic, state="problem", text=str(error), advice=error.hint)]
    except Exception as error:  # noqa: BLE001 - whatever is broken is reported, for that is what was asked
        text = f"{type(error).__name__}: {redact(str(error))}"
        advice = _("This should not happen: please report it.")
        return [Finding(topic=topic, state="problem", text=text, advice=advice)]


def _mode(facts: Facts) -> Iterator[Finding]:
    settings = facts.session.settings
    source = settings.sources.get("mode", "")
    texts = {
        "live": _("live: calls are charged"),
        "sandbox": _("SANDBOX: nothing is charged"),
        "only": _("store only: stored results are shown, nothing is sent"),
    }
    facts.session.settings.where()  # raises NoKey with both ways out
    text = texts[facts.mode] + (f" ({source})" if source else "")
    yield Finding(topic=_("mode"), state="ok", text=text)


def _key(facts: Facts) -> Iterator[Finding]:
    settings = facts.session.settings
    source = settings.sources.get("api_key", "")
    if settings.api_key is None:
        text = _("none, and none is needed in this mode") if facts.mode else _("none")
        yield Finding(topic=_("key"), state="ok" if facts.mode else "note", text=text)
        return
    shown = _("{key} from {source}").format(key=settings.api_key.last_four, source=source or "?")
    if facts.mode == "sandbox":
        shown += _("; the sandbox does not use it")
    yield Finding(topic=_("key"), state="ok", text=shown)


def _ledger(facts: Facts) -> Iterator[Finding]:
    topic = _("ledger")
    ledger = facts.session.ledger()
    ledger.open()
    health = ledger.health()
    parts = [health.shown]
    if ledger.path is not None:
        size = sum(path.stat().st_size for path in ledger.path.parent.glob(f"{ledger.path.name}*"))
        parts += [ledger.journal, _("{n} kB").format(n=number(-(-size // 1000)))]
    else:
        parts += [health.server, _("{n} ms away").format(n=number(max(round(health.latency_s * 1000, 1), 0.1)))]
    parts += [_("schema {n}").format(n=health.schema), ngettext("{n} call", "{n} calls", health.calls)]
    yield Finding(topic=topic, state="ok", text=" · ".join(parts))
    if ledger.journal and ledger.journal != "WAL":
        text = _("it is on a network file system: a rollback journal is used instead of WAL, which is slower")
        advice = _("For several machines at once: ELUMENTA_LEDGER_URL=postgresql+psycopg://HOST/NAME")
        yield Finding(topic=topic, state="note", text=text, advice=advice)
    if health.latency_s > FAR_S:
        text = _("it is far away: each call waits about {time} for it").format(
            time=span(health.latency_s * ANSWERS_A_CALL)
        )
        yield Finding(topic=topic, state="note", text=text, advice=_("Take a server in the same network."))
    if abs(health.skew_s) > SKEW_S:
        text = _(
            "its clock and this machine's differ by {time}: a budget for a day begins at another time then"
        ).format(time=span(abs(health.skew_s)))
        yield Finding(topic=topic, state="note", text=text, advice=_("Set both clocks by the network (NTP)."))
    if health.damage:
        text = _("the database is damaged: {why}").format(why=health.damage)
        advice = _("Move it aside (mv {path} {path}.damaged); %elumenta recover then lists what was spent.")
        yield Finding(topic=topic, state="problem", text=text, advice=advice.format(path=ledger.path))
    elif drift := ledger.check():
        text = ngettext(
            "{n} running total does not equal its rows", "{n} running totals do not equal their rows", len(drift)
        )
        advice = _("Was the file edited by hand? To count anew: {line}").format(
            line="import elumenta_nb as el; el.session().ledger().rebuild()"
        )
        yield Finding(topic=topic, state="problem", text=f"{text}: {drift[0].name}", advice=advice)
    if ledger.path is not None and (free := shutil.disk_usage(ledger.path.parent).free) < SCARCE_BYTES:
        text = _("its disk has {n} MB left").format(n=number(free // 10**6))
        yield Finding(topic=topic, state="note", text=text, advice=_("Free some space."))


def _open_calls(facts: Facts) -> Iterator[Finding]:
    topic = _("open calls")
    ledger, user = facts.session.ledger(), facts.user
    rows = [row for row in ledger.open_calls() if facts.api(row.api)]
    if not rows:
        yield Finding(topic=topic, state="ok", text=_("none"))
        return
    own = [row for row in rows if ledger.is_left_to(user, row)]
    others = [row for row in rows if not ledger.is_left_to(user, row)]
    for found, text, line in (
        (own, _("{calls} (up to {tokens})"), "%elumenta recover"),
        (others, _("{calls} of other users (up to {tokens})"), "%elumenta recover --everyone"),
    ):
        if found:
            calls = ngettext("{n} unfinished call", "{n} unfinished calls", len(found))
            told = text.format(calls=calls, tokens=tokens(sum(row.held for row in found)))
            advice = _("To get the results and free the hold: {line}").format(line=line)
            yield Finding(topic=topic, state="note", text=told, advice=advice)


def _store(facts: Facts) -> Iterator[Finding]:
    topic = _("results")
    store = facts.session.store()
    existed = store.folder.is_dir()
    store.check()
    takes = store.takes()
    size = sum(item.size_bytes for take in takes for item in take.media)
    text = f"{store.folder} · " + ngettext("{n} result", "{n} results", len(takes))
    text += " · " + _("{n} MB").format(n=number(round(size / 10**6, 1)))
    yield Finding(topic=topic, state="ok", text=text)
    if store.note:
        advice = _("Set ELUMENTA_MEDIA_DIR to a folder you can write to.")
        yield Finding(topic=topic, state="note", text=store.note, advice=advice)
    damaged = store.damaged
    for path, why in list(damaged.items())[:SHOWN]:
        text = _("{name} is not shown: {why}").format(name=path.name, why=why)
        advice = _("Put the file back from a copy; else the cell fetches it again, at no cost while the server has it.")
        yield Finding(topic=topic, state="note", text=text, advice=advice)
    if len(damaged) > SHOWN:
        text = ngettext("{n} more is damaged", "{n} more are damaged", len(damaged) - SHOWN)
        yield Finding(topic=topic, state="note", text=text)
    if not existed and not takes:
        with contextlib.suppress(OSError):
            store.folder.rmdir()  # made to try it; a look leaves nothing behind


def _budgets(facts: Facts) -> Iterator[Finding]:
    topic = _("budgets")
    states = [state for state in facts.session.ledger().budgets() if facts.api(state.api)]
    if not states:
        yield Finding(topic=topic, state="ok", text=_("none (to set one: %elumenta budget 200)"))
    for state in states:
        text = _("{name}: {used} of {limit} spent and held").format(
            name=state.scope or state.name, used=number(state.used), limit=tokens(state.limit)
        )
        if state.warn:
            yield Finding(topic=topic, state="note", text=text, advice=state.to_raise("N"))
        else:
            yield Finding(topic=topic, state="ok", text=text)


def _versions(_facts: Facts | None) -> Iterator[Finding]:
    found = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(_("{name} not installed").format(name=name))
    yield Finding(topic=_("versions"), state="ok", text=" · ".join(found))
