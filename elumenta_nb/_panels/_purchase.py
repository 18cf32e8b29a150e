"""Buying behind a panel: one call at a time, on a thread of its own, heard out to its last word.

The lock is what keeps a second click from buying twice, from whatever thread and however late it comes.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from elumenta_nb._errors import ElumentaError
from elumenta_nb._language import gettext as _, tokens
from elumenta_nb._progress import Pace, Record, Subject
from elumenta_nb._values import Accepted, Sent, TextDelta

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from elumenta_nb._result import Result
    from elumenta_nb._runtime import Handle
    from elumenta_nb._session import Session
    from elumenta_nb._values import Ask, Event, Origin

__all__ = ["Outcome", "Purchase", "Screen"]

DOUBLE_CLICK_S: Final = 0.8  # a click for the same thing so soon after another one is the same click


@dataclass(frozen=True, slots=True)
class Screen:
    """Where a purchase shows itself; each is called on the thread of the purchase."""

    running: Callable[[str, str, float | None, bool], None]  # line, what may be charged, share, whether it was sent
    text: Callable[[str], None]
    ended: Callable[[Outcome], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended: with results, with an error (and what was done before it), or stopped."""

    results: tuple[Result, ...] = ()
    error: BaseException | None = None
    stopped: tuple[str, ...] = ()  # what that means, in sentences


class Purchase:
    """One thing is bought at a time. `begin` claims it, `start` runs it, `stop` stops waiting."""

    def __init__(
        self, session: Callable[[], Session], origin: Callable[[], Origin], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._session = session
        self._origin = origin
        self._clock = clock
        self._lock = threading.Lock()
        self._is_busy = False
        self._claimed_at = float("-inf")
        self._wish = ""
        self._handle: Handle[list[Result]] | None = None
        self._is_stopped = False

    @property
    def is_busy(self) -> bool:
        return self._is_busy

    def begin(self, wish: str) -> bool:
        """Claim it for what is wished for, in words; whether this click is the one that counts."""
        with self._lock:
            now = self._clock()
            if self._is_busy or (wish == self._wish and now - self._claimed_at < DOUBLE_CLICK_S):
                return False
            self._is_busy, self._is_stopped, self._claimed_at, self._wish = True, False, now, wish
            return True

    def end(self) -> None:
        """Give it back."""
        with self._lock:
            self._is_busy, self._handle = False, None

    def start(self, ask: Ask, price: int | None, screen: Screen) -> None:
        """Buy on a thread of its own; after `begin`."""
        threading.Thread(target=self._run, args=(ask, price, screen), name="elumenta panel", daemon=True).start()

    def stop(self) -> None:
        """Stop waiting; before it was submitted, before anything is sent."""
        with self._lock:
            self._is_stopped = True
            handle = self._handle
        if handle is not None:
            handle.stop()

    def _run(self, ask: Ask, price: int | None, screen: Screen) -> None:
        subject = Subject(model=ask.model or "", typical_s=(1, 60), tokens=price, count=ask.count)
        watch = _Watch(screen, subject, self._clock)
        try:
            outcome = Outcome(results=tuple(self._bought(ask, watch)))
        except CancelledError:
            outcome = Outcome(stopped=tuple(_left(watch.record, price)))
        except ElumentaError as error:
            outcome = Outcome(results=tuple(error.results), error=error)
        except BaseException as error:  # noqa: BLE001 - a thread's error would be lost in a log
            outcome = Outcome(error=error)
        screen.ended(outcome)

    def _bought(self, ask: Ask, watch: _Watch) -> Sequence[Result]:
        session = self._session()
        resolved = session.resolve(ask)
        watch.subject = replace(watch.subject, model=resolved.model.slug, typical_s=resolved.typical_s)
        if self._is_stopped:
            raise CancelledError
        handle = session.start(ask, self._origin())
        with self._lock:
            self._handle = handle
            is_stopped = self._is_stopped
        if is_stopped:
            handle.stop()
        handle.watch(watch)
        return handle.result()


class _Watch:
    """What a running call tells, as lines to show."""

    def __init__(self, screen: Screen, subject: Subject, clock: Callable[[], float]) -> None:
        self.subject = subject
        self.record = Record(clock())
        self._screen = screen
        self._clock = clock
        self._pace = Pace()
        self._size = 0
        self._is_accepted = False
        self._shown: tuple[str, str, float | None] | None = None
        self._draw()

    def __call__(self, event: Event) -> None:
        self.record.note(event, self._clock())
        if isinstance(event, Accepted):
            self._is_accepted = True
        if isinstance(event, TextDelta):
            self._size += len(event.text.encode())
            self._write()
        else:
            self._draw(at_once=isinstance(event, Sent | Accepted))

    def tick(self) -> None:
        if self._size:
            self._write()
        self._draw()

    def _write(self) -> None:
        now = self._clock()
        if self.subject.count == 1 and self._pace.is_due(self._size, now):  # several would be written into each other
            text = "".join(self.record.text)
            self.record.text = [text]
            self._pace.sent(self._size, now)
            self._screen.text(text)

    def _draw(self, *, at_once: bool = False) -> None:
        now = self._clock()
        shown = (self.record.line(self.subject, now), self._at_risk(), self._share(now))
        if at_once or self._shown is None or shown[:2] != self._shown[:2]:
            self._shown = shown
            self._screen.running(*shown, self.record.sent)

    def _at_risk(self) -> str:
        """What leaving now would cost."""
        price = self.record.price if self.record.price is not None else self.subject.tokens
        if not self.record.sent:
            return _("Nothing is sent yet: cancelling costs nothing.")
        if self._is_accepted and self.subject.count == 1:
            return _("If you stop waiting: {tokens} will still be charged.").format(tokens=tokens(price or 0))
        return _("If you stop waiting: up to {tokens} may still be charged.").format(tokens=tokens(price or 0))

    def _share(self, now: float) -> float | None:
        if self.subject.count > 1 and self.record.receipts:
            return len(self.record.receipts) / self.subject.count
        told = self.record.waiting.progress if self.record.waiting is not None else None
        if told is not None:
            return min(1.0, told / 100)
        return min(0.95, (now - self.record.began) / max(1.0, self.subject.typical_s[1]))


def _left(record: Record, price: int | None) -> list[str]:
    """What stopping meant, in sentences."""
    lines = []
    for event in record.stopped:
        number = event.call_id
        to_get = _("To get it: the tab Unfinished, or {line}").format(line=f"%elumenta recover {number}")
        if event.status == "cancelled":
            lines.append(_("Cancelled before it was sent. Nothing was charged."))
        elif event.status == "completed":
            lines.append(_("It was complete already: {line}").format(line=f"%elumenta show {number}"))
        elif event.status == "pending":
            lines.append(_("It goes on: {tokens} will still be charged.").format(tokens=tokens(event.at_risk)))
            lines.append(to_get)
        else:
            lines.append(_("Up to {tokens} may still be charged.").format(tokens=tokens(event.at_risk)))
            lines.append(to_get)
    if not lines and record.sent:
        lines.append(_("Up to {tokens} may still be charged.").format(tokens=tokens(record.price or price or 0)))
    return lines or [_("Cancelled before it was sent. Nothing was charged.")]
