"""Requests that look alike in the history, where it shows a model and a prompt: whose generation is whose. PURE.

A generation is a request's when it is nobody else's: the parameters that the server tells say so, or else its charge is
what this one was quoted and no other. What could be another's is not guessed at: whoever runs the cell chooses.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ._order import hash_prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._order import Order
    from ._values import Reply

__all__ = ["EARLY_S", "SLACK_S", "WINDOW_S", "Request", "astray", "candidates", "fits", "told_apart"]

SLACK_S: Final = 5.0  # server timestamps have whole seconds, and so has the Date header that tells its clock
WINDOW_S: Final = 900.0  # a generation made later than this after the intent is another one
EARLY_S: Final = 120.0  # a clock that is read from other calls: each of them took its time until it was made
ZONES_S: Final = 14 * 3600.0  # the furthest that local time is from UTC
_BEGINNING: Final = 20  # characters by which a prompt that was cut is recognised
_CUTS: Final = frozenset(
    {50, 64, 80, 100, 120, 128, 140, 150, 160, 200, 250, 255, 256, 300, 400, 500, 512, 1000, 1024, 2000, 2048}
)
_TOLD: Final = ("params", "parameters", "settings", "input", "options")  # where a server may repeat what it was asked


@dataclass(frozen=True, slots=True)
class Request:
    """What is known of a call without an answer. Equal fingerprints are equal requests: their results may be swapped."""

    fingerprint: str
    params: Mapping[str, Any]
    quoted: int


def fits(item: Reply, params: Mapping[str, Any]) -> bool:
    """Whether the generation may have been asked for with these parameters: what is not told is not held against it."""
    told = _told(item)
    return not any(name in told and not _equal(told[name], value) for name, value in params.items())


def told_apart(items: Sequence[Reply], ours: Request, rivals: Sequence[Request]) -> tuple[list[Reply], list[Reply]]:
    """Those of the generations that can only be of our request, and those that can be of ours or of another."""
    requests = {request.fingerprint: request for request in (ours, *rivals)}
    certain: list[Reply] = []
    unclear: list[Reply] = []
    for item in items:
        takers = [request for request in requests.values() if fits(item, request.params)]
        if len(takers) > 1 and item.status == "completed":
            takers = [request for request in takers if request.quoted == item.tokens] or takers
        if any(request.fingerprint == ours.fingerprint for request in takers):
            (certain if len(takers) == 1 else unclear).append(item)
    return certain, unclear


def _told(item: Reply) -> dict[str, Any]:
    told: dict[str, Any] = {} if item.seed is None else {"seed": item.seed}
    for name in _TOLD:
        found = item.raw.get(name)
        if isinstance(found, Mapping):
            told |= {str(key): value for key, value in found.items() if value is not None}
    return told


def _equal(told: Any, given: Any) -> bool:
    """Parameters as JSON and forms write them: 5, 5.0 and "5" are one."""
    try:
        return float(told) == float(given)
    except (TypeError, ValueError):
        return str(told).strip().casefold() == str(given).strip().casefold()


def candidates(order: Order, items: Sequence[Reply], moments: Sequence[float]) -> list[Reply]:
    """Generations that fit the order, the oldest first; not asked whose they are.

    `moments` is when it began by the clock of the server, or by the several clocks that it may have.
    """
    fitting = [
        item for item in items if _is_alike(item, order) and _is_then(item, moments) and _may_be(item.prompt, order)
    ]
    return sorted(fitting, key=lambda item: (item.created_at.timestamp() if item.created_at else 0.0, _rank(item)))


def astray(order: Order, items: Sequence[Reply], moments: Sequence[float], *, is_clock_known: bool) -> list[Reply]:
    """Generations that a person should look at before the order is given up: nothing here is proof enough to adopt one.

    Those of its very prompt at another time, where nothing shows the clock of the history; those of its time whose
    prompt may be its own, cut without a sign.
    """
    found = []
    for item in items:
        if not order.prompt_chars or not item.prompt or not _is_alike(item, order):
            continue
        if _is_then(item, moments):
            is_astray = _may_be_cut(item.prompt, order)
        else:
            made = item.created_at.timestamp() if item.created_at else order.began_at
            is_near = abs(made - order.began_at) <= ZONES_S + WINDOW_S
            is_astray = is_near and not is_clock_known and _is_prompt(item.prompt, order)
        if is_astray:
            found.append(item)
    return found


def _is_alike(item: Reply, order: Order) -> bool:
    return (not item.model or item.model == order.call.model) and fits(item, order.call.params)


def _is_then(item: Reply, moments: Sequence[float]) -> bool:
    if item.created_at is None:
        return True
    made = item.created_at.timestamp()
    return any(began - SLACK_S <= made <= began + WINDOW_S for began in moments)


def _may_be(prompt: str | None, order: Order) -> bool:
    """Whether the prompt that a history tells may be the order's: it may be left out, shortened, or written anew."""
    if not order.prompt_chars or not prompt or not prompt.strip() or _is_prompt(prompt, order):
        return True
    cut = prompt.rstrip()
    if not cut.endswith(("…", "...")):
        return False
    head = cut.rstrip("….")
    return len(head) < order.prompt_chars and (not order.call.prompt or _begins(order.call.prompt, head))


def _is_prompt(prompt: str, order: Order) -> bool:
    plain = prompt.replace("\r\n", "\n")
    forms = (prompt, plain, unicodedata.normalize("NFC", plain), unicodedata.normalize("NFD", plain))
    return any(hash_prompt(form) == order.prompt_hash for form in forms)


def _may_be_cut(prompt: str, order: Order) -> bool:
    """Whether it may be the beginning of the order's prompt, without a sign that there was more."""
    if len(prompt) >= order.prompt_chars:
        return False
    if order.call.prompt:
        return len(prompt.strip()) >= _BEGINNING and _begins(order.call.prompt, prompt)
    return len(prompt) in _CUTS


def _begins(whole: str, head: str) -> bool:
    one, other = (" ".join(unicodedata.normalize("NFC", text).split()) for text in (whole, head))
    return one.startswith(other)


def _rank(item: Reply) -> tuple[int, str]:
    """Ids of one second in the order in which they were given: shorter ones first, then by their digits."""
    text = str(item.id)
    return len(text), text
