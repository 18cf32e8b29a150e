"""One background event loop for the process: `run` for a cell that waits, `submit` for one that does not.

The loop thread talks to the network and the ledger; the caller's thread drains a queue of events and alone touches
the front end. An interrupt ends the wait at once while the cancelled task finishes its book-keeping behind it.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
import time
from concurrent.futures import CancelledError
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from ._language import gettext as _

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterator
    from concurrent.futures import Future

    from anyio.from_thread import BlockingPortal

    from ._values import Event

__all__ = ["Handle", "Runtime", "View"]

T = TypeVar("T")
TICK_S: Final = 0.1  # keeps every wait interruptible, and moves clocks on screen
FAREWELL_S: Final = 0.5  # how long an interrupted cell waits to hear what happened to its call
LAST_WORD_S: Final = 8.0  # how long a stopped background call is heard out
_END: Final = object()


class View(Protocol):
    """What shows a running call; called on the thread that waits."""

    def __call__(self, event: Event) -> None: ...

    def tick(self) -> None: ...


class Silent:
    """Shows nothing."""

    def __call__(self, event: Event) -> None:
        pass

    def tick(self) -> None:
        pass


class Handle(Generic[T]):
    """A call that runs in the background.

    `result(timeout)` waits (seconds), `stop()` stops waiting (an accepted job goes on at the server and is charged),
    `done()` asks, `events()` iterates over what happens, and `await handle` gives the result in async code.
    """

    def __init__(self, future: Future[T], events: SimpleQueue[Any]) -> None:
        self._future = future
        self._events = events
        self._show: Callable[[], None] | None = None
        self.is_told = False  # whether its receipt was shown, or has its place

    def result(self, timeout: float | None = None) -> T:
        """The result. Raises what the call raised, or `TimeoutError` after `timeout` seconds (it goes on).

        Where it was stopped, `CancelledError` says so in a few lines.
        """
        try:
            return self._result(timeout)
        except CancelledError:
            charged = _("What was accepted is still charged: %elumenta recover")
            raise _short(CancelledError, _("Stopped waiting."), charged) from None

    def _result(self, timeout: float | None) -> T:
        ends = None if timeout is None else time.monotonic() + timeout
        while not self._future.done():
            left = TICK_S if ends is None else min(TICK_S, ends - time.monotonic())
            if left <= 0:
                raise _short(TimeoutError, _("There is no result yet. The call goes on in the background."))
            try:
                return self._future.result(left)
            except TimeoutError:
                if self._future.done():
                    break
        return self._future.result()

    def stop(self) -> None:
        """Stop waiting. What was not sent is cancelled; what was accepted can still be recovered."""
        self._future.cancel()

    def done(self) -> bool:
        """Whether it has ended, one way or another."""
        return self._future.done()

    def then(self, callback: Callable[[Handle[T]], None]) -> None:
        """Call back when it is done, on the background thread."""
        self._future.add_done_callback(lambda _: callback(self))

    def watch(self, view: View) -> None:
        """Show what happens on this thread until it has ended, `view.tick()` about every 0.1 s. For one reader."""
        given_up = None
        while True:
            try:
                event = self._events.get(timeout=TICK_S)
            except Empty:
                view.tick()
                if self.done():  # stopped: its last word comes when its books are written
                    given_up = given_up or time.monotonic() + LAST_WORD_S
                    if time.monotonic() > given_up:
                        return
                continue
            if event is _END:
                self._events.put(_END)
                return
            view(event)

    def events(self) -> Iterator[Event]:
        """What happens, as it happens; ends with the call. For one reader."""
        while True:
            try:
                event = self._events.get(timeout=TICK_S)
            except Empty:
                continue
            if event is _END:
                self._events.put(_END)
                return
            yield event

    def last_words(self, hear: Callable[[Event], object]) -> None:
        """Hear what a stopped call still says, for half a second at most. For one reader."""
        ends = time.monotonic() + FAREWELL_S
        while (left := ends - time.monotonic()) > 0:
            try:
                event = self._events.get(timeout=left)
            except Empty:
                return
            if event is _END:
                self._events.put(_END)
                return
            hear(event)

    def __await__(self) -> Generator[Any, None, T]:
        return self._wait().__await__()

    async def _wait(self) -> T:
        # In slices: an interrupt does not wake a sleeping kernel loop, and a bare wrap_future would sit it out.
        waiter = asyncio.wrap_future(self._future)
        try:
            while not waiter.done():
                await asyncio.wait({waiter}, timeout=TICK_S)
            return waiter.result()
        except BaseException:
            self._future.cancel()
            raise

    def shown_by(self, show: Callable[[], None]) -> None:
        """Show it so where it is the value of a cell."""
        self._show = show

    def _ipython_display_(self) -> None:
        if self._show is None:
            raise NotImplementedError  # IPython shows its repr, then
        self._show()

    def __repr__(self) -> str:
        state = "done" if self.done() else "running"
        return f"<Handle {state}>"


def _short(kind: type[Exception], *lines: str) -> Exception:
    """An error that is shown in these lines: IPython asks the exception itself."""
    error = kind(" ".join(lines))
    _shown(error, *lines)
    return error


def _shown(error: BaseException, *lines: str) -> None:
    shown = [f"\x1b[31m{type(error).__name__}\x1b[0m: {lines[0]}", *lines[1:]]
    error._render_traceback_ = lambda: shown  # type: ignore[attr-defined]  # an attribute of this one exception


class Runtime:
    """The portal thread, made at the first use, once per process; a forked child makes its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._portal: BlockingPortal | None = None
        self._contexts: list[Any] = []  # a parent's too: collected in a forked child, it would wait for ever
        self._pid = 0
        self._at_exit: list[Callable[[], Awaitable[None]]] = []

    def portal(self) -> BlockingPortal:
        if self._portal is not None and self._pid == os.getpid():
            return self._portal
        with self._lock:
            if self._portal is None or self._pid != os.getpid():
                from anyio.from_thread import start_blocking_portal

                context = start_blocking_portal("asyncio", name="elumenta_nb")
                self._contexts.append(context)
                self._portal = context.__enter__()
                self._pid = os.getpid()
                atexit.register(self._stop, self._portal, self._portal.call(threading.current_thread), self._pid)
            return self._portal

    def on_exit(self, close: Callable[[], Awaitable[None]]) -> None:
        """Run `close` on the loop before it stops."""
        self._at_exit.append(close)

    def forget(self, close: Callable[[], Awaitable[None]]) -> None:
        if close in self._at_exit:
            self._at_exit.remove(close)

    def _stop(self, portal: BlockingPortal, thread: threading.Thread, pid: int) -> None:
        if os.getpid() != pid:
            return
        for close in self._at_exit:
            self._quietly(portal, close)
        self._quietly(portal, portal.stop, True)
        thread.join(5)  # a thread still running when Python 3.13 collects the portal's context hangs the exit

    @staticmethod
    def _quietly(portal: BlockingPortal, function: Callable[..., Any], *args: Any) -> None:
        with contextlib.suppress(BaseException):  # the interpreter is going down: nobody is left to tell
            portal.start_task_soon(function, *args).result(timeout=5)

    def submit(self, make: Callable[[Callable[[Event], None]], Awaitable[T]]) -> Handle[T]:
        """Start `make(emit)` on the loop and return at once."""
        events: SimpleQueue[Any] = SimpleQueue()

        async def guarded() -> T:
            try:
                return await make(events.put)
            finally:
                events.put(_END)

        return Handle(self.portal().start_task_soon(guarded), events)

    def run(self, make: Callable[[Callable[[Event], None]], Awaitable[T]], view: View | None = None) -> T:
        """Run `make(emit)` on the loop and wait, showing its events on this thread.

        An interrupt (or any error of the view) cancels it, waits half a second for its last word, and goes on up.
        """
        show = Silent() if view is None else view
        handle = self.submit(make)
        queue = handle._events  # noqa: SLF001 - the other half of this module
        try:
            while True:
                try:
                    event = queue.get(timeout=TICK_S)
                except Empty:
                    show.tick()
                    continue
                if event is _END:
                    break
                show(event)
        except BaseException as why:
            handle.stop()
            handle.last_words(show)
            if isinstance(why, KeyboardInterrupt):  # whoever has more to say of it says so above
                _shown(why, _("stopped waiting."))
            raise
        return handle._future.result()  # noqa: SLF001 - as above

    def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """Run a coroutine function that tells no events."""
        return self.run(lambda _emit: function())
