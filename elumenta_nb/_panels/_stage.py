"""Where widgets are changed: on whichever thread wants it, one change at a time, also while a cell keeps the kernel busy.

Handlers come on the kernel's main thread or, where the front end asks for it, on that of a subshell. What the notebook
keeps waits for the kernel's own loop. A handler that fails says so in the panel: a front end would bury it in a log.
"""

from __future__ import annotations

import threading
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["Latest", "Stage"]


class Stage:
    """Made on the thread that shows the widgets. `failed` is told what a handler or a change raised."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None, failed: Callable[[Exception], None]) -> None:
        self._loop = loop
        self._failed = failed
        self._thread = threading.get_ident()
        self._one = threading.RLock()
        self._is_kept_soon = False

    def do(self, change: Callable[[], None]) -> None:
        """Make this change, alone."""
        with self._one:
            self._try(change)

    def keep(self, update: Callable[[], None]) -> None:
        """Bring up to date what the notebook keeps: now, or once for all that ask, when a running cell has ended."""
        if self._loop is None or threading.get_ident() == self._thread:
            self.do(update)
        elif not self._is_kept_soon and not self._loop.is_closed():
            self._is_kept_soon = True
            self._loop.call_soon_threadsafe(self._keep, update)

    def _keep(self, update: Callable[[], None]) -> None:
        self._is_kept_soon = False
        self.do(update)

    def handler(self, function: Callable[..., None]) -> Callable[..., None]:
        """The function as a handler of a widget: what it raises is shown."""

        @wraps(function)
        def handle(*args: Any) -> None:
            self.do(lambda: function(*args))

        return handle

    def behind(self, work: Callable[[], None]) -> None:
        """Do work of a thread of its own; what it raises is shown, not lost in a log."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - as below
            told = error
            self.do(lambda: self._failed(told))

    def _try(self, change: Callable[[], None]) -> None:
        try:
            change()
        except Exception as error:  # noqa: BLE001 - whatever it is, the person must see it
            self._failed(error)


class Latest:
    """Does the last of several wishes, a moment after it was made, on a thread of its own."""

    def __init__(self, stage: Stage, delay_s: float, timer: Callable[..., threading.Timer] = threading.Timer) -> None:
        self._stage = stage
        self._delay_s = delay_s
        self._new_timer = timer
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._wish = 0

    def ask(self, work: Callable[[Callable[[], bool]], None], *, in_s: float | None = None) -> None:
        """Call ``work(is_last)`` soon, unless another wish comes first; `is_last` tells whether it still counts."""
        with self._lock:
            self._wish += 1
            mine = self._wish
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._new_timer(
                self._delay_s if in_s is None else in_s,
                self._stage.behind,
                args=(lambda: work(lambda: self._wish == mine),),
            )
            self._timer.daemon = True
            self._timer.start()
