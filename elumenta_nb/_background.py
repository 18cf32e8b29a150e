"""A background call in a cell: a line that moves while it runs, then what came of it and its receipt.

The call ends on the background thread; displays belong to the kernel's loop, so every change is handed over to it. What
a saved notebook keeps of a call that was not over says when it began and how to get its result, never just "running".
"""

from __future__ import annotations

import html
import time
import uuid
from concurrent.futures import CancelledError
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from . import _receipt
from ._errors import ElumentaError
from ._language import day, gettext as _, span

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping, Sequence

    from ._progress import Subject
    from ._result import Result
    from ._runtime import Handle
    from ._shell import Shell

__all__ = ["follow"]

_PLACES: Final = 8  # for results, at most: more of them are shown on demand
_NOTHING: Final = {"text/plain": ""}
_QUICK_S, _SLOW_S, _QUICK_FOR_S = 1.0, 5.0, 60.0  # between two moves of the line, and when it becomes slower


def follow(
    handle: Handle[list[Result]], front: Shell, subject: Subject, *, now: bool = True, quiet: bool = False
) -> None:
    """Show the call in every cell whose value it is, and with `now` in the running one, whatever that does with it.

    `quiet`: not in the running one, even if it is its value.
    """
    follower = _Follower(handle, front, subject, silent=front.run if quiet else "")
    handle.shown_by(follower.in_cell)
    if now:
        follower.in_cell()


class _Follower:
    """Shows one call. `in_cell` does so once in a run of a cell."""

    def __init__(self, handle: Handle[list[Result]], front: Shell, subject: Subject, *, silent: str) -> None:
        self._handle = handle
        self._front = front
        self._subject = subject
        self._name = f"{subject.model} × {subject.count}" if subject.count > 1 else subject.model
        self._began = time.monotonic()
        self._since = datetime.now(UTC)
        self._run = silent  # the run of a cell that shows it already, or is not to

    def in_cell(self) -> None:
        if self._run == self._front.run:
            return
        self._run = self._front.run
        if self._handle.done():
            self._handle.is_told = True
            for bundle in self._outcome():
                self._front.show(*bundle)
            return
        loop = self._front.loop()
        if loop is None or not self._front.is_live:
            self._front.show(_receipt.said(f"{self._line()} · {_('to wait for it: {line}').format(line='.result()')}"))
            return
        self._handle.is_told = True
        places = [uuid.uuid4().hex for _place in range(min(self._subject.count, _PLACES) + 1)]
        self._front.show(_receipt.said(self._line(moving=True)), slot=places[0])
        for place in places[1:-1]:
            self._front.show(_NOTHING, slot=place)
        to_get = _("Its result comes here. If it did not: {recover}, or {spend} and {show}").format(
            recover="%elumenta recover", spend="%elumenta spend", show="%elumenta show ID"
        )
        self._front.show(_receipt.said(to_get), slot=places[-1])
        loop.call_later(_QUICK_S, self._move, loop, places[0])

        def ended(_done: Handle[list[Result]]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._end, places)

        self._handle.then(ended)

    def _line(self, *, moving: bool = False) -> str:
        clock = f"{self._since.astimezone():%H:%M}"
        since = _("in the background since {day}, {clock}").format(day=day(self._since), clock=clock)
        parts = [self._name, since]
        if moving:
            past, (low, high) = span(int(time.monotonic() - self._began)), self._subject.typical_s
            parts.append(_("{past} of about {low}–{high} s").format(past=past, low=f"{low:g}", high=f"{high:g}"))
        return " · ".join(parts)

    def _move(self, loop: asyncio.AbstractEventLoop, place: str) -> None:
        if not self._handle.done():
            self._front.update(place, _receipt.said(self._line(moving=True)))
            is_quick = time.monotonic() - self._began < _QUICK_FOR_S
            loop.call_later(_QUICK_S if is_quick else _SLOW_S, self._move, loop, place)

    def _end(self, places: Sequence[str]) -> None:
        """What came of it where it ran: results in the first places, the last words in the last one."""
        *results, last = self._outcome()
        for place, bundle in zip(places[:-1], [*results, *[(_NOTHING, {})] * len(places)], strict=False):
            self._front.update(place, *bundle)
        self._front.update(places[-1], *last)

    def _outcome(self) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        """Its results as they show themselves, then its receipt, or why there is none."""
        try:
            results: Sequence[Result] = self._handle.result()
        except ElumentaError as error:
            lines = [f"{type(error).__name__}: {error}", error.money()]
            return [*_shown(error.results), (_told([*lines, *(f"→ {line}" for line in error.hint.splitlines())]), {})]
        except CancelledError:
            charged = _("What was accepted is still charged: %elumenta recover")
            return [(_told([_("{model}: stopped waiting").format(model=self._name), charged]), {})]
        from ._render import receipt

        receipts = [result.receipt for result in results if result.receipt is not None]
        if not receipts:
            return [*_shown(results), (_NOTHING, {})]
        note = _("the others: {line}").format(line="%elumenta show ID") if len(results) > _PLACES else ""
        return [*_shown(results), receipt(_receipt.together(receipts, note=note))]


def _shown(results: Sequence[Result]) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    return [result._repr_mimebundle_() for result in results[:_PLACES]]


def _told(lines: Sequence[str]) -> dict[str, str]:
    """What happened, in bold, and what follows from it."""
    first, *more = (html.escape(line) for line in lines)
    below = "".join(f"<div>{line}</div>" for line in more)
    return {
        "text/plain": "\n".join(lines),
        "text/html": f'<div><div style="font-weight:bold">{first}</div>{below}</div>',
    }
