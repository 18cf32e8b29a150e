"""What an answer means for the money, and whether to send again. Pure: status and body in, verdict out.

Money decides: only what the documentation says is not charged, or what was never sent, is sent again. Everything else
that leaves the outcome open is "maybe", and is looked up, never repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from elumenta_nb._errors import (
    AuthFailed,
    BadReply,
    ElumentaError,
    InsufficientTokens,
    NotFound,
    PlanRequired,
    RateLimited,
    Rejected,
    ServerError,
    Spent,
    TransportError,
)
from elumenta_nb._language import gettext as _, span

if TYPE_CHECKING:
    from elumenta_nb._wire import ServerSaid

__all__ = ["LONGEST_WAIT_S", "MAX_SENDS", "Loss", "Setback", "judge", "judge_loss", "pause", "unreadable"]

MAX_SENDS: Final = 4  # of one request, the first included
LONGEST_WAIT_S: Final = 120.0  # a longer `retry_after` is said, not slept
LONGEST_FREE_WAIT_S: Final = 10.0  # for what costs nothing: a balance nobody waits minutes for
_FIRST_PAUSE_S: Final = 0.5
# Redirects by which the server says that it has not acted on the request (RFC 9110, 15.4). After 302 and 303 it may have.
_NOT_ACTED_ON: Final = frozenset({301, 307, 308})

# What the server, or a gateway before it, says without having acted. Another 4xx (408, 409, 425, 499) may come from a
# gateway that no longer waited for a server which did.
_NOT_DONE: Final = frozenset({400, 401, 402, 403, 404, 405, 413, 415, 422, 429})

# A gateway's word about this one exchange: what costs nothing is asked again, and a job's wait goes on.
_PASSING: Final = frozenset({408, 425, 499})

Words = Callable[[], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """No answer, or only a part of one. `lasting`: another try would end the same way."""

    why: str
    sent: bool
    lasting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Setback:
    """An attempt without a result: what to raise, and whether the request may be sent again (after `wait_s` at least)."""

    error: ElumentaError
    again: bool = False
    wait_s: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Row:
    error: type[ElumentaError]
    words: Words
    hint: Words


_ROWS: Final[dict[int, _Row]] = {
    400: _Row(Rejected, lambda: _("The server did not accept the request"), lambda: ""),
    401: _Row(
        AuthFailed,
        lambda: _("The server does not accept the key"),
        lambda: _("Make or look up a key at elumenta.ru/web, Profile, API Keys; then: %elumenta login"),
    ),
    402: _Row(
        InsufficientTokens,
        lambda: _("The account does not have the tokens for this"),
        lambda: _("What there is: %elumenta balance. What tokens cost: %elumenta plans"),
    ),
    403: _Row(
        PlanRequired,
        lambda: _("The account's plan does not include this"),
        lambda: _("The API needs VIP or Elite, Basic+ models any paid plan: %elumenta plans"),
    ),
    404: _Row(NotFound, lambda: _("The server does not know this model or generation"), lambda: "%elumenta models"),
    422: _Row(Rejected, lambda: _("The server did not accept the request"), lambda: ""),
    429: _Row(
        RateLimited,
        lambda: _("The account's request limit is reached"),
        lambda: _("Limits belong to the account, with the Telegram bot and the web: %elumenta"),
    ),
    500: _Row(
        ServerError,
        lambda: _("The model's provider failed"),
        lambda: _("A failed generation is not charged. Try again, or another model: %elumenta models"),
    ),
    503: _Row(
        ServerError,
        lambda: _("The model is not available now"),
        lambda: _("Try again later, or another model: %elumenta models"),
    ),
}
_OPEN: Final = _Row(
    ServerError,
    lambda: _("The server failed in a way that is not documented"),
    lambda: _("What became of the call: %elumenta recover"),
)


def judge(status: int, said: ServerSaid, *, paid: bool, now: float, location: str = "") -> Setback:
    """The verdict on an answer that is not 2xx. `paid`: the request may have cost tokens. `now` is Unix time."""
    if 300 <= status < 400:
        spent: Spent = "no" if not paid or status in _NOT_ACTED_ON else "maybe"
        error: ElumentaError = BadReply(
            _("The server sends us elsewhere ({status}, {where}), and the key does not go there.").format(
                status=status, where=location or "?"
            ),
            hint=_("If the API has moved: ELUMENTA_BASE_URL"),
            spent=spent,
            status=status,
        )
        return Setback(error=error)
    settled = status in _NOT_DONE or said.documented or (not paid and 400 <= status < 500 and status not in _PASSING)
    row = _ROWS.get(status, _ROWS[400]) if settled else _OPEN
    facts: dict[str, Any] = {
        "spent": "no" if settled or not paid else "maybe",
        "status": status,
        "code": said.code,
        "details": said.details,
        "hint": row.hint() if row is not _OPEN or paid else _free_hint(),
    }
    message = _sentence(row, status, said)
    if status == 429:
        wait_s = said.retry_after
        short = wait_s is None or wait_s <= (LONGEST_WAIT_S if paid else LONGEST_FREE_WAIT_S)
        if wait_s is not None and not short:
            message += " " + _again_at(now, wait_s)
        error = RateLimited(message, retry_after=wait_s, **facts)
        reason = _("request limit reached")
        return Setback(error=error, again=short, wait_s=wait_s, reason=reason)
    unavailable = status == 503 and said.documented
    again = unavailable or (not paid and (status >= 500 or status in _PASSING))
    longest_s = LONGEST_WAIT_S if paid else LONGEST_FREE_WAIT_S
    wait_s = min(said.retry_after, longest_s) if again and said.retry_after is not None else None
    reason = _("the model is not available now") if unavailable else _("the server failed")
    return Setback(error=row.error(message, **facts), again=again, wait_s=wait_s, reason=reason)


def _free_hint() -> str:
    return _("Try again later. What answers there: %elumenta doctor")


def judge_loss(loss: Loss, *, paid: bool) -> Setback:
    """The verdict on a request without an answer: what was sent may have been acted on."""
    if not loss.sent:
        error = TransportError(
            _("The server was not reached ({why}).").format(why=loss.why),
            hint=_("Nothing was sent. Network, proxy and address: %elumenta doctor"),
            spent="no",
        )
        return Setback(error=error, again=not loss.lasting, reason=_("the server was not reached"))
    error = TransportError(
        _("The connection was lost before the whole answer came ({why}).").format(why=loss.why),
        hint=_("What became of the call: %elumenta recover") if paid else _free_hint(),
        spent="maybe" if paid else "no",
    )
    return Setback(error=error, again=not paid and not loss.lasting, reason=_("the connection was lost"))


def unreadable(status: int, said: ServerSaid, why: str = "", *, paid: bool) -> Setback:
    """The verdict on a 2xx that cannot be read as a reply."""
    forms = {
        "html": _("The server answered a web page, not JSON."),
        "empty": _("The server answered nothing at all."),
    }
    message = forms.get(said.form, _("The server's answer cannot be read."))
    if why := why or (said.message if said.form == "json" else ""):
        message += f" ({why})"
    hint = _("What became of the call: %elumenta recover") if paid else _("Is ELUMENTA_BASE_URL right?")
    return Setback(error=BadReply(message, hint=hint, spent="maybe" if paid else "no", status=status, code=said.code))


def pause(sends: int, setback: Setback, chance: float) -> float | None:
    """Seconds to wait before sending again, or ``None`` to give up. `sends` were made; `chance` is in 0..1."""
    if not setback.again or sends >= MAX_SENDS:
        return None
    growing: float = _FIRST_PAUSE_S * 2 ** (sends - 1) * (0.75 + 0.5 * chance)
    # What the server asks for is a minimum: many clients must not come back in the same instant.
    return growing if setback.wait_s is None else setback.wait_s + growing


def _sentence(row: _Row, status: int, said: ServerSaid) -> str:
    ours = row.words()
    if said.form == "html":
        return _("{what} ({status}; it answered a web page, not JSON).").format(what=ours, status=status)
    if said.message:
        return _("{what}: {message}").format(what=ours, message=said.message)
    return _("{what} ({status}).").format(what=ours, status=status)


def _again_at(now: float, wait_s: float) -> str:
    try:
        at = datetime.fromtimestamp(now + wait_s).astimezone()
    except (ValueError, OverflowError, OSError):
        return _("Again in {span}.").format(span=span(wait_s))
    return _("Again at {time}, in {span}.").format(time=f"{at:%H:%M}", span=span(wait_s))
