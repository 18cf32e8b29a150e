"""What is seen while a cell waits: text as it comes, or one line moved by the clock. Gone when the call is done.

A changing display is only made where it is seen; an update is sent no more often than its weight allows.
"""

from __future__ import annotations

import shutil
import sys
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, TextIO

from . import _receipt
from ._language import gettext as _, number, span, tokens
from ._values import Accepted, Downloading, Quoted, Retrying, Sent, Settled, Stopped, TextDelta, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ._values import Event, Receipt

__all__ = ["Front", "Live", "Pace", "Record", "Subject"]

_MIB: Final = 2**20
_PATIENCE_S: Final = 0.4  # a call that is done by then shows no line at all
_TAIL: Final = 60  # of the text, in a terminal
_REDRAW_S: Final = 0.1  # of a terminal's line


class Front(Protocol):
    """Where things are shown; a slot is a place that can be changed."""

    @property
    def is_kernel(self) -> bool: ...

    @property
    def is_live(self) -> bool: ...

    def show(self, data: Mapping[str, Any], metadata: Mapping[str, Any] | None = None, *, slot: str = "") -> None: ...

    def update(self, slot: str, data: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> None: ...

    def clear(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is waited for: the model, how long it typically takes, and how many."""

    model: str
    typical_s: tuple[float, float]
    count: int = 1
    tokens: int | None = None


class Pace:
    """When a growing text may be sent again.

    Every update sends the whole text, so it must have grown by 2 % since the last one (a geometric series: 4,000
    pieces stay below 3 MB) or have waited three seconds; and never more than 20 updates or about 60 kB a second.
    """

    QUICKEST_S: Final = 0.05
    BYTES_PER_S: Final = 60_000
    GROWTH: Final = 1.02
    PATIENCE_S: Final = 3.0

    def __init__(self) -> None:
        self._at = float("-inf")
        self._size = 0

    def is_due(self, size: int, now: float) -> bool:
        waited = now - self._at
        if size <= self._size or waited < max(self.QUICKEST_S, self._size / self.BYTES_PER_S):
            return False
        return size >= self._size * self.GROWTH or waited >= self.PATIENCE_S

    def sent(self, size: int, now: float) -> None:
        self._at, self._size = now, size


@dataclass(slots=True)
class Record:
    """What a running call has told so far. A view of its own: it shows nothing."""

    began: float
    price: int | None = None
    sent: bool = False
    call_ids: dict[int, int] = field(default_factory=dict)
    waiting: Waiting | None = None
    downloading: Downloading | None = None
    retrying: tuple[str, float] | None = None  # why, and the moment it goes on
    text: list[str] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    stopped: list[Stopped] = field(default_factory=list)

    def note(self, event: Event, now: float) -> None:
        """Take an event into account."""
        if not isinstance(event, Retrying):
            self.retrying = None
        match event:
            case Quoted(total=total):
                self.price = total
            case Sent(call_id=call_id) | Accepted(call_id=call_id):
                self.sent = True
                self.call_ids[event.index] = call_id
            case TextDelta(text=text):
                self.text.append(text)
            case Waiting():
                self.waiting = event
            case Retrying(reason=reason, wait_s=wait_s):
                self.retrying = (reason, now + wait_s)
            case Downloading():
                self.downloading = event
            case Settled(receipt=receipt):
                self.receipts.append(receipt)
            case Stopped():
                self.stopped.append(event)
            case _:
                pass

    def line(self, subject: Subject, now: float) -> str:
        """`kling-v2.1 · 26 tokens · 12 s of about 45–90 s`."""
        parts = [f"{subject.model} × {subject.count}" if subject.count > 1 else subject.model]
        price = self.price if self.price is not None else subject.tokens
        if price is not None:
            parts.append(tokens(price))
        if subject.count > 1 and self.receipts:
            parts.append(_("{done} of {count} done").format(done=len(self.receipts), count=subject.count))
        parts.append(self._doing(subject, now))
        return " · ".join(parts)

    def _doing(self, subject: Subject, now: float) -> str:
        if self.retrying is not None:
            reason, until = self.retrying
            return _("{reason}: waiting {time}").format(reason=reason, time=span(max(0, round(until - now))))
        if self.downloading is not None and self.downloading.done_bytes >= _MIB:
            done = number(self.downloading.done_bytes / _MIB)
            if self.downloading.total_bytes is None:
                return _("downloading, {done} MiB").format(done=done)
            total = number(self.downloading.total_bytes / _MIB)
            return _("downloading, {done} of {total} MiB").format(done=done, total=total)
        past = span(int(now - self.began))
        low, high = subject.typical_s
        about = _("{past} of about {low}–{high} s").format(past=past, low=f"{low:g}", high=f"{high:g}")
        if self.waiting is not None and self.waiting.progress is not None:
            return f"{about} · {self.waiting.progress:.0f} %"
        return about


class Live:
    """Shows a running call in the cell, and takes the display away again.

    `safe` makes a model's Markdown harmless. `owns_cell`: the cell shows nothing but this call, so its output may be
    cleared; otherwise the place of the display is given to the receipt. `slot`: a place of this cell to be used again.
    """

    def __init__(
        self,
        shell: Front,
        subject: Subject,
        *,
        safe: Callable[[str], str],
        owns_cell: bool,
        is_seen: bool = True,
        slot: str = "",
        clock: Callable[[], float] = time.monotonic,
        terminal: TextIO | None = None,
    ) -> None:
        self.record = Record(clock())
        self.has_shown = False
        self._shell = shell
        self._subject = subject
        self._safe = safe
        self._owns_cell = owns_cell
        self._clock = clock
        self._terminal = _terminal(shell, terminal) if is_seen else None
        self._is_seen = is_seen and shell.is_live and (shell.is_kernel or self._terminal is not None)
        self._pace = Pace()
        self._size = 0  # of the text so far
        self._slot = slot
        self._shown = ""
        self._written_at = float("-inf")

    def __call__(self, event: Event) -> None:
        now = self._clock()
        self.record.note(event, now)
        if isinstance(event, TextDelta):
            self._size += len(event.text.encode())
        if not isinstance(event, Settled | Stopped):
            self._draw(now)

    def tick(self) -> None:
        self._draw(self._clock())

    def _draw(self, now: float) -> None:
        if not self._is_seen:
            return
        if self._terminal is not None:
            self._write(self._terminal, now)
        elif self._size and self._subject.count == 1:
            if self._pace.is_due(self._size, now):
                text = "".join(self.record.text)
                self.record.text = [text]
                self._pace.sent(self._size, now)
                self._put({"text/plain": "…", "text/markdown": self._safe(text)})
        elif now - self.record.began >= _PATIENCE_S or self.record.retrying is not None:
            line = self.record.line(self._subject, now)
            if line != self._shown:
                self._shown = line
                self._put(_receipt.said(line))

    def _put(self, data: dict[str, str]) -> None:
        self.has_shown = True
        if self._slot:
            self._shell.update(self._slot, data)
        else:
            self._slot = uuid.uuid4().hex
            self._shell.show(data, slot=self._slot)

    def _write(self, terminal: TextIO, now: float) -> None:
        """One line of a terminal: how far it is, and the end of the text."""
        due = now - self.record.began >= _PATIENCE_S or self._size or self.record.retrying is not None
        if not due or now - self._written_at < _REDRAW_S:
            return
        self.record.text = ["".join(self.record.text)[-_TAIL:]]
        line = self.record.line(self._subject, now)
        if self._size:
            line += " · …" + "".join(char if char.isprintable() else " " for char in self.record.text[0])
        line = line[: shutil.get_terminal_size().columns - 1]  # a second line could not be wiped
        if line != self._shown:
            self._shown, self._written_at = line, now
            terminal.write(f"\r\x1b[K{line}")
            terminal.flush()

    def close(self) -> str:
        """Take the display away; what it leaves for the receipt is returned: the slot to put it in, or ""."""
        if self._terminal is not None and self._shown:
            self._terminal.write("\r\x1b[K")
            self._terminal.flush()
        if not self._slot or not self._owns_cell:
            return self._slot
        self._shell.clear()
        return ""


def _terminal(shell: Front, given: TextIO | None) -> TextIO | None:
    if given is not None or shell.is_kernel:
        return given
    return sys.stdout if sys.stdout.isatty() else None
