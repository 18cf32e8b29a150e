"""Requests that look alike in the history, where it shows a model and a prompt: whose generation is whose. PURE.

A generation is a request's when it is nobody else's: the parameters that the server tells say so, or else its charge is
what this one was quoted and no other. What could be another's is not guessed at: whoever runs the cell chooses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._values import Reply

__all__ = ["Request", "fits", "told_apart"]

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
