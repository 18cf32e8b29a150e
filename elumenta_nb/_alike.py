"""Requests that look alike in the history, where it shows a model and a prompt: whose generation is whose. PURE.

A generation is a request's when it is nobody else's: the parameters that the server tells say so, or else its charge is
what this one was quoted and no other. What could be another's is not guessed at: whoever runs the cell chooses.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Any, Final

from ._order import hash_prompt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ._order import Order
    from ._values import Reply

__all__ = ["EARLY_S", "SLACK_S", "WINDOW_S", "Generations", "Request", "astray", "candidates", "fits", "told_apart"]

SLACK_S: Final = 5.0  # server timestamps have whole seconds, and so has the Date header that tells its clock
WINDOW_S: Final = 900.0  # a generation made later than this after the intent is another one
EARLY_S: Final = 120.0  # how far a clock that is read from other calls, which took their time, or was set, may be off
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
    """Parameters as JSON and forms write them: 5, 5.0 and "5" are one, and so are lists and tuples of them."""
    if isinstance(told, Mapping) and isinstance(given, Mapping):
        return all(_equal(told[name], value) for name, value in given.items() if name in told)
    if isinstance(told, list | tuple) and isinstance(given, list | tuple):
        return len(told) == len(given) and all(map(_equal, told, given))
    try:
        return float(told) == float(given)
    except (TypeError, ValueError, OverflowError):
        return str(told).strip().casefold() == str(given).strip().casefold()


class Generations:
    """What a history lists, gone through once for the many calls that are looked for in it.

    It says which ones are worth a look: those of about a call's time, with its prompt. What they are is judged by
    `candidates` and `astray`. Groups are positions in `items`, in the order of their time; those without one come first.
    """

    def __init__(self, items: Iterable[Reply]) -> None:
        self.items = tuple(items)
        self._made = [-inf if item.created_at is None else item.created_at.timestamp() for item in self.items]
        self._all = sorted(range(len(self.items)), key=self._made.__getitem__)

    def named(self, generation_id: int | str) -> Reply | None:
        return self._by_id.get(str(generation_id))

    def near(self, at: float, count: int) -> dict[int | str, float]:
        """Those with an id that were made nearest to a moment, and when, in Unix time."""
        after = bisect_left(self._named, at, key=self._made.__getitem__)
        around = self._named[max(after - count, 0) : after + count]
        nearest = sorted(around, key=lambda position: abs(self._made[position] - at))[:count]
        return {id_: self._made[position] for position in nearest if (id_ := self.items[position].id) is not None}

    def of_prompt(self, order: Order, moments: Sequence[float]) -> Iterator[Reply]:
        """Those made then whose prompt may be the order's, or is not told."""
        groups = [self._all]
        if order.prompt_chars:
            groups = [self._by_prompt.get(order.prompt_hash, []), self._bare, *self._shortened.of(order.call.prompt)]
        return self._made_at(groups, moments)

    def cut_from(self, order: Order, moments: Sequence[float]) -> Iterator[Reply]:
        """Those made then whose prompt may be the beginning of the order's."""
        return self._made_at(self._beginnings.of(order.call.prompt) if order.call.prompt else [self._cut], moments)

    def of_other_times(self, order: Order) -> Iterator[Reply]:
        """Those with the order's very prompt, whenever they were made."""
        return (self.items[position] for position in sorted(self._by_prompt.get(order.prompt_hash, ())))

    def _made_at(self, groups: Iterable[Sequence[int]], moments: Sequence[float]) -> Iterator[Reply]:
        made = self._made.__getitem__
        found: set[int] = set()
        for group in groups:
            found.update(group[: bisect_right(group, -inf, key=made)])
            for began in moments:
                first = bisect_left(group, began - SLACK_S, key=made)
                found.update(group[first : bisect_right(group, began + WINDOW_S, lo=first, key=made)])
        return (self.items[position] for position in sorted(found))

    @cached_property
    def _by_id(self) -> dict[str, Reply]:
        return {str(item.id): item for item in reversed(self.items) if item.id is not None}

    @cached_property
    def _named(self) -> list[int]:
        return [n for n in self._all if self.items[n].id is not None and self._made[n] > -inf]

    @cached_property
    def _by_prompt(self) -> dict[str, list[int]]:
        groups: dict[str, list[int]] = defaultdict(list)
        for position, prompt in self._prompts:
            for digest in {hash_prompt(form) for form in _forms(prompt)}:
                groups[digest].append(position)
        return dict(groups)

    @cached_property
    def _bare(self) -> list[int]:
        prompts = {position for position, _prompt in self._prompts}
        return [position for position in self._all if position not in prompts]

    @cached_property
    def _shortened(self) -> _Beginnings:
        return _Beginnings((n, head) for n, prompt in self._prompts if (head := _head(prompt)) is not None)

    @cached_property
    def _beginnings(self) -> _Beginnings:
        return _Beginnings(self._prompts)

    @cached_property
    def _cut(self) -> list[int]:
        return [position for position, prompt in self._prompts if len(prompt) in _CUTS]

    @cached_property
    def _prompts(self) -> list[tuple[int, str]]:
        told = ((position, self.items[position].prompt) for position in self._all)
        return [(position, prompt) for position, prompt in told if prompt and prompt.strip()]


class _Beginnings:
    """Groups of generations by a text, to be found by one that may begin with it."""

    def __init__(self, texts: Iterable[tuple[int, str]]) -> None:
        self._groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        self._any: list[int] = []
        for position, text in texts:
            plain = _plain(text)
            self._groups[len(plain), hash(plain)].append(position)
            self._any.append(position)
        self._lengths = {length for length, _hash in self._groups}

    def of(self, whole: str) -> list[list[int]]:
        """Groups of those texts that `whole` begins with, and maybe others; all of them where it is not known."""
        if not whole:
            return [self._any]
        plain = _plain(whole)
        keys = ((length, hash(plain[:length])) for length in self._lengths if length <= len(plain))
        return [self._groups[key] for key in keys if key in self._groups]


def candidates(order: Order, listed: Generations, moments: Sequence[float]) -> list[Reply]:
    """Generations that fit the order, the oldest first; not asked whose they are.

    `moments` is when it began by the clock of the server, or by the several clocks that it may have.
    """
    fitting = [
        item for item in listed.of_prompt(order, moments) if _may_be(item.prompt, order) and _is_alike(item, order)
    ]
    return sorted(fitting, key=lambda item: (item.created_at.timestamp() if item.created_at else 0.0, _rank(item)))


def astray(order: Order, listed: Generations, moments: Sequence[float], *, is_clock_known: bool) -> list[Reply]:
    """Generations that a person should look at before the order is given up: nothing here is proof enough to adopt one.

    Those of its very prompt at another time, where nothing shows the clock of the history, or a moment too early, for
    the clock here may have been set since; those of its time whose prompt may be its own, cut without a sign.
    """
    if not order.prompt_chars:
        return []
    found = [item for item in listed.cut_from(order, moments) if _may_be_cut(item.prompt or "", order)]
    for item in listed.of_other_times(order):
        if item.created_at is None or _is_then(item, moments):
            continue
        made = item.created_at.timestamp()
        is_just_before = any(began - EARLY_S <= made < began for began in moments)
        if is_just_before or (not is_clock_known and abs(made - order.began_at) <= ZONES_S + WINDOW_S):
            found.append(item)
    return [item for item in found if _is_alike(item, order)]


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
    head = _head(prompt)
    if head is None:
        return False
    return len(head) < order.prompt_chars and (not order.call.prompt or _begins(order.call.prompt, head))


def _head(prompt: str) -> str | None:
    """What is left of a prompt that is shortened with a sign."""
    cut = prompt.rstrip()
    return cut.rstrip("….") if cut.endswith(("…", "...")) else None


def _is_prompt(prompt: str, order: Order) -> bool:
    return any(hash_prompt(form) == order.prompt_hash for form in _forms(prompt))


def _forms(prompt: str) -> set[str]:
    """Ways in which a server may have written it anew."""
    plain = prompt.replace("\r\n", "\n")
    return {prompt, plain, unicodedata.normalize("NFC", plain), unicodedata.normalize("NFD", plain)}


def _may_be_cut(prompt: str, order: Order) -> bool:
    """Whether it may be the beginning of the order's prompt, without a sign that there was more."""
    if len(prompt) >= order.prompt_chars:
        return False
    if order.call.prompt:
        return len(prompt.strip()) >= _BEGINNING and _begins(order.call.prompt, prompt)
    return len(prompt) in _CUTS


def _begins(whole: str, head: str) -> bool:
    return _plain(whole).startswith(_plain(head))


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _rank(item: Reply) -> tuple[int, str]:
    """Ids of one second in the order in which they were given: shorter ones first, then by their digits."""
    text = str(item.id)
    return len(text), text
