"""The line of a running map: how far it is, what it spent, how fast it goes, what it waits for. In a script: nothing."""

from __future__ import annotations

import shutil
import sys
import time
import uuid
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from elumenta_nb._receipt import said
from elumenta_nb._surroundings import here

from ._words import progress_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from elumenta_nb._progress import Front
    from elumenta_nb._values import Event

    from ._sheet import Tally

__all__ = ["Counted", "Running", "Show"]

EVERY_S: Final = 0.2
PATIENCE_S: Final = 0.4  # a map that is done by then shows only what it left
WINDOW_S: Final = 20.0  # of the rate


class Counted(Protocol):
    """What counts: a sheet, or that of a cluster."""

    @property
    def done(self) -> int: ...

    def brief(self) -> Tally: ...


class Waits(Protocol):
    @property
    def waits_s(self) -> float: ...


class Running(Protocol):
    """What says why nothing is sent: a runner, or a cluster's workers."""

    @property
    def gate(self) -> Waits: ...

    @property
    def reason(self) -> str: ...


class Show:
    """Draws at most five times a second, on the thread that waits. `quiet` shows nothing at all; `sandbox` marks it so."""

    def __init__(
        self,
        sheet: Counted,
        runner: Running,
        *,
        quiet: bool = False,
        sandbox: bool = False,
        front: Front | None = None,
        terminal: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sheet = sheet
        self._runner = runner
        self._quiet = quiet
        self._mark = "SANDBOX · " if sandbox else ""
        self._front = front if front is not None or quiet else here()
        self._terminal = None if quiet else _terminal(self._front, terminal)
        self._clock = clock
        self._began = self._drawn_at = clock()
        self._seen: deque[tuple[float, int]] = deque([(self._began, sheet.done)])
        self._slot = ""
        self._shown = ""

    def __call__(self, event: Event) -> None:
        pass

    def tick(self) -> None:
        now = self._clock()
        if self._quiet or now - self._drawn_at < EVERY_S or now - self._began < PATIENCE_S:
            return
        self._drawn_at = now
        self._note(now)
        line = self._mark + self.line(now)
        if line != self._shown:
            self._shown = line
            self._put(line)

    def line(self, now: float) -> str:
        tally, gate = self._sheet.brief(), self._runner.gate
        then, done = self._seen[0]
        rate = (tally.done - done) / (now - then) if now > then else 0.0
        left_s = (tally.calls - tally.done) / rate if rate > 0 else None
        return progress_line(tally, rate=rate, left_s=left_s, waits_s=gate.waits_s, reason=self._runner.reason)

    def _note(self, now: float) -> None:
        self._seen.append((now, self._sheet.done))
        while len(self._seen) > 2 and now - self._seen[0][0] > WINDOW_S:
            self._seen.popleft()

    def _put(self, line: str) -> None:
        if self._terminal is not None:
            self._terminal.write(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}")
            self._terminal.flush()
        elif self._front is not None and self._front.is_kernel:
            if self._slot:
                self._front.update(self._slot, said(line))
            elif self._front.is_live:
                self._slot = uuid.uuid4().hex
                self._front.show(said(line), slot=self._slot)

    def close(self, line: str) -> None:
        """Leave this line."""
        if self._quiet:
            return
        line = self._mark + line
        if self._terminal is not None:
            self._terminal.write(f"\r\x1b[K{line}\n")
            self._terminal.flush()
        elif self._front is not None and self._front.is_kernel:
            if self._slot:
                self._front.update(self._slot, said(line))
            else:
                self._front.show(said(line))


def _terminal(front: Front | None, given: TextIO | None) -> TextIO | None:
    if given is not None or (front is not None and front.is_kernel):
        return given
    return sys.stderr if sys.stderr.isatty() else None
