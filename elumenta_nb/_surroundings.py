"""The cell a Python call comes from, and how it shows itself there: in a notebook live, in a script quietly.

A cell of several calls gets one receipt for all of them, under its value.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from asyncio import CancelledError
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final
from weakref import WeakKeyDictionary

from . import _receipt
from ._config import user_name
from ._errors import BadParam
from ._language import gettext as _
from ._values import Origin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._buying import Buying
    from ._progress import Record, Subject
    from ._result import Result
    from ._runtime import Handle
    from ._shell import Shell
    from ._values import Ask, Event, Receipt

__all__ = ["Receipts", "here", "is_live", "leave", "notebook", "origin", "run", "show", "tell"]

_shells: Final[WeakKeyDictionary[Any, Shell]] = WeakKeyDictionary()


def origin(tags: tuple[str, ...] = ()) -> Origin:
    """Where a Python call comes from: the running cell, or this script."""
    shell = _shell()
    if shell is not None:
        return shell.origin(tags, source="python")
    return Origin(source="python", tags=tags, user=user_name(os.environ), host=socket.gethostname())


def notebook(path: str | os.PathLike[str] | None) -> tuple[Path, dict[str, Any] | None]:
    """The file meant by `path`, and the variables of its kernel where that is this one. Raises `BadParam`."""
    shell = _shell()
    if path is not None:
        return Path(path), None
    if shell is not None:
        return shell.notebook_path(), shell.namespace if shell.is_kernel else None
    told = os.environ.get("ELUMENTA_NOTEBOOK")
    if not told:
        raise BadParam(_("The price of which notebook?"), hint=_("Give its path: {line}").format(line="NAME.ipynb"))
    return Path(told), None


def run(session: Buying, ask: Ask, tags: tuple[str, ...] = ()) -> list[Result]:
    """Run it with what the place offers: progress in a live cell, and a receipt under it."""
    shell = _shell()
    if shell is None:
        return session.run(ask, origin(tags))
    from ._interrupt import explain
    from ._markdown import safe_markdown
    from ._progress import Live

    receipts = Receipts.of(shell)
    live = Live(shell, _subject(session, ask), safe=safe_markdown, owns_cell=False, slot=receipts.lend())
    try:
        return session.run(ask, shell.origin(tags, source="python"), live)
    except KeyboardInterrupt as stop:
        explain(stop, live.record, ask)
        raise
    finally:
        slot = live.close()
        receipts.add(live.record.receipts, slot, redraw=live.has_shown)


def tell(handle: Handle[list[Result]], results: Sequence[Result]) -> None:
    """Give a call that was waited for in this cell its receipt, once, unless it shows itself elsewhere."""
    shell = _shell()
    if shell is not None and not handle.is_told:
        handle.is_told = True
        Receipts.of(shell).add([result.receipt for result in results if result.receipt is not None], "")


def leave(handle: Handle[list[Result]], why: BaseException, heard: list[Event]) -> None:
    """Let the cell say what a call may still cost that nobody waits for any more; `heard` is what it told so far.

    An interrupt says it itself, and a cancelled wait is shown in one line: what follows stands below it.
    """
    from ._interrupt import left, shorten

    shell = _shell()
    if shell is None:
        return
    if handle.is_told:
        if isinstance(why, KeyboardInterrupt | CancelledError):
            shorten(why, [_("What was accepted is still charged: %elumenta recover")])
        return
    handle.is_told = True
    if isinstance(why, KeyboardInterrupt):
        shorten(why, left(_record(handle, heard)))
        return
    if isinstance(why, CancelledError):
        shorten(why, [])

    def say() -> None:
        record = _record(handle, heard)
        if record.receipts:
            Receipts.of(shell).add(record.receipts, "")
        else:
            shell.show(_receipt.said(" ".join([_("Stopped waiting."), *left(record)])))

    shell.after_cell(say)


def _record(handle: Handle[list[Result]], heard: list[Event]) -> Record:
    from ._progress import Record

    handle.last_words(heard.append)
    record = Record(time.monotonic())
    for event in list(heard):
        record.note(event, record.began)
    return record


def show(handle: Handle[list[Result]], session: Buying, ask: Ask) -> None:
    """Let a call in the background show itself where it is the value of a cell."""
    shell = _shell()
    if shell is not None:
        from ._background import follow

        follow(handle, shell, _subject(session, ask), now=False)


def _subject(session: Buying, ask: Ask) -> Subject:
    from ._progress import Subject as _Subject

    resolved = session.resolve(ask)
    return _Subject(model=resolved.model.slug, typical_s=resolved.typical_s, count=ask.count)


class Receipts:
    """The receipts of the running cell: so far in the place of the progress, as one under the value when it ends.

    The calls of a cell share that place, which is empty in the end: a loop of a hundred leaves one line, not a hundred.
    """

    _by_shell: ClassVar[WeakKeyDictionary[Shell, Receipts]] = WeakKeyDictionary()

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._lock = threading.Lock()
        self._run = ""
        self._start()

    def _start(self) -> None:
        self._kept: list[Receipt] = []
        self._slot = ""
        self._is_lent = False

    @classmethod
    def of(cls, shell: Shell) -> Receipts:
        return cls._by_shell.setdefault(shell, cls(shell))

    def lend(self) -> str:
        """The place of the progress, for one call at a time; "" where there is none, or another thread has it."""
        with self._lock:
            self._turn()
            if self._is_lent or not self._slot:
                return ""
            self._is_lent = True
            return self._slot

    def add(self, receipts: list[Receipt], slot: str, *, outcome: str = "", redraw: bool = True) -> None:
        """A call has ended. `slot` is where its progress was shown, `redraw` whether anything was.

        `outcome` is shown there for a call without receipts, where no other call of the cell has one.
        """
        with self._lock:
            self._turn()
            if slot and self._slot not in ("", slot):  # beside another call, which keeps its place
                self._shell.update(slot, *(_line(receipts) if receipts else _said(outcome)))
                return
            is_first = bool(receipts) and not self._kept
            self._kept += receipts
            if slot:
                self._slot, self._is_lent = slot, False
                if redraw:
                    self._shell.update(slot, *(_line(self._kept) if self._kept else _said(outcome)))
        if is_first:
            self._shell.after_cell(self._show)

    def _turn(self) -> None:
        """Begin anew where another cell runs; what one beside it has not shown yet is shown now."""
        if self._run != self._shell.run:
            self._told()
            self._run = self._shell.run

    def _show(self) -> None:
        with self._lock:
            self._told()

    def _told(self) -> None:
        if self._kept:
            if self._slot:
                self._shell.update(self._slot, *_said(""))
            self._shell.show(*_line(self._kept))
        self._start()


def here() -> Shell | None:
    """The shell of the running notebook or terminal, or `None` in a script."""
    return _shell()


def is_live() -> bool:
    """Whether a widget of the running cell lives: nbclient, nbval and a terminal show its still instead."""
    shell = _shell()
    if shell is None or not shell.is_kernel:
        return False
    return shell.is_live or os.environ.get("SERVER_SOFTWARE", "").lower().startswith("voila")


def _line(receipts: list[Receipt]) -> tuple[dict[str, Any], dict[str, Any]]:
    from ._render import receipt

    return receipt(_receipt.together(receipts))


def _said(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A line of ours; an output cannot be taken back, but it can be empty."""
    return (dict(_receipt.said(text)) if text else {"text/plain": "", "text/html": ""}), {}


def _shell() -> Shell | None:
    """The shell of the running notebook or terminal, as the loaded extension knows it, else our own."""
    ipython = sys.modules.get("IPython")
    ip = ipython.get_ipython() if ipython is not None else None
    if ip is None:
        return None
    loaded = ip.magics_manager.registry.get("ElumentaMagics")
    if loaded is not None:
        front: Shell = loaded.front
        return front
    if ip not in _shells:
        from ._shell import Shell as _Shell

        shell = _Shell(ip)
        ip.events.register("pre_run_cell", shell.begin)
        ip.events.register("post_run_cell", shell.end)
        _shells[ip] = shell
    return _shells[ip]
