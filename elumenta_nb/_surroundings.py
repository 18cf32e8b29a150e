"""The cell a Python call comes from, and how it shows itself there: in a notebook live, in a script quietly.

A cell of several calls gets one receipt for all of them, under its value.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final
from weakref import WeakKeyDictionary

from . import _receipt
from ._config import user_name
from ._errors import BadParam
from ._language import gettext as _
from ._values import Origin

if TYPE_CHECKING:
    from ._buying import Buying
    from ._progress import Subject
    from ._result import Result
    from ._runtime import Handle
    from ._shell import Shell
    from ._values import Ask, Receipt

__all__ = ["Receipts", "here", "is_live", "notebook", "origin", "run", "show"]

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

    live = Live(shell, _subject(session, ask), safe=safe_markdown, owns_cell=False)
    try:
        return session.run(ask, shell.origin(tags, source="python"), live)
    except KeyboardInterrupt as stop:
        explain(stop, live.record, ask)
        raise
    finally:
        slot = live.close()
        Receipts.of(shell).add(live.record.receipts, slot)


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
    """The receipts of the running cell, shown as one when it ends."""

    _by_shell: ClassVar[WeakKeyDictionary[Shell, Receipts]] = WeakKeyDictionary()

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._run = ""
        self._kept: list[Receipt] = []

    @classmethod
    def of(cls, shell: Shell) -> Receipts:
        return cls._by_shell.setdefault(shell, cls(shell))

    def add(self, receipts: list[Receipt], slot: str) -> None:
        if slot:  # the place where the progress was shown
            shown = _line(receipts) if receipts else ({"text/plain": ""}, {})
            self._shell.update(slot, *shown)
        if slot or not receipts:
            return
        if self._run != self._shell.run:
            self._run, self._kept = self._shell.run, []
        if not self._kept:
            self._shell.after_cell(self._show)
        self._kept += receipts

    def _show(self) -> None:
        if self._kept:
            self._shell.show(*_line(self._kept))
            self._kept = []


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
