"""Results beside the notebook: media and sidecars, written so that a paid result is never lost, and found again.

A file is complete and on the disk before it has its name, and the sidecar that names it is written last: at any moment a
folder holds whole takes, and perhaps a file nobody names. Two kernels may write one folder: no name is used twice.
The server names nothing; names are ours, ASCII, and hold no word of a prompt.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ._disk import room, sweep, unwritable
from ._draft import Draft, fingerprint
from ._errors import ConfigError
from ._index import Index, is_current, preferred
from ._language import gettext as _
from ._saved import check_target
from ._sidecar import Damaged, Take, is_there, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ._values import Call, Reuse

__all__ = ["Draft", "Store", "Take", "fingerprint"]

SANDBOX: Final = "sandbox"
NEED_BYTES: Final = 32 * 1024 * 1024
_RUNS: Final = 512
_TRIED_S: Final = 5.0


class Store:
    """The takes of one media folder.

    `folder` is where new takes go: the one asked for, or `fallback` where that cannot be written (then `note` says
    so). Takes are found in both. `base` is the notebook's folder, from which relative links start. Thread-safe.
    """

    def __init__(self, folder: Path, *, fallback: Path, base: Path | None = None) -> None:
        self._wanted = Path(folder).absolute()
        self._fallback = Path(fallback).absolute()
        self.base = Path(base).absolute() if base else self._wanted.parent
        self.note = ""
        self._refused = False
        self._lock = threading.RLock()
        self._indexes = tuple(Index(folder) for folder in dict.fromkeys((self._wanted, self._fallback)))
        self._tried: dict[Path, float] = {}
        self._claims: OrderedDict[str, set[str]] = OrderedDict()
        self._hashed: dict[Path, tuple[int, int, int]] = {}
        self._bad: dict[Path, str] = {}
        self._swept = False

    @property
    def folder(self) -> Path:
        return self._fallback if self._refused else self._wanted

    # ---------------------------------------------------------------- before paying

    def check(self, save: str | Path | None = None, *, need_bytes: int = NEED_BYTES) -> None:
        """Refuse now what would fail after paying: a store or `--save` target that cannot be written, a full disk.

        Raises `ConfigError` for the store and `BadParam` for the target. Nothing is left behind.
        """
        folder = self._place()
        room(folder, need_bytes)
        if save is not None:
            check_target(save, folders=self._folders(), need_bytes=need_bytes)

    def _place(self) -> Path:
        """The folder new takes go to, made and tried; the fallback where the wanted one cannot be written."""
        with self._lock:
            if not self._refused:
                why_not = self._unwritable(self._wanted)
                if not why_not:
                    return self._wanted
                self._refused = True
                self.note = _("{folder} cannot be written ({why}); results go to {fallback}.").format(
                    folder=self._wanted, why=why_not, fallback=self._fallback
                )
            why_not = self._unwritable(self._fallback)
            if why_not:
                raise ConfigError(
                    _("Results can be stored neither in {folder} nor in {fallback} ({why}).").format(
                        folder=self._wanted, fallback=self._fallback, why=why_not
                    ),
                    hint=_("Set ELUMENTA_MEDIA_DIR to a folder you can write to, or free space."),
                )
            return self._fallback

    def _unwritable(self, folder: Path) -> str:
        """Tried at most every few seconds: a loop of short texts need not try before each."""
        if folder.is_dir() and time.monotonic() - self._tried.get(folder, -_TRIED_S) < _TRIED_S:
            return ""
        why_not = unwritable(folder)
        if not why_not:
            self._tried[folder] = time.monotonic()
        return why_not

    def _folders(self) -> tuple[Path, ...]:
        return (self._wanted, self._fallback)

    # ---------------------------------------------------------------- finding

    def fingerprint(self, call: Call, api: str) -> str:
        """What two calls must share to have one result: the origin and all that was given, never defaults."""
        return fingerprint(call, api)

    def find(self, call: Call, api: str, *, policy: Reuse | None = None) -> Take | None:
        """The take to show instead of buying, claimed for this run of the cell; ``None``: buy.

        Preferred: the same cell, then the same source, then what the last ``--fresh`` bought, then the oldest. One
        take is handed out once in a run (`call.origin.run`). A damaged take is passed over (`damaged` says why), and
        so is a cut text. With ``only`` a take of another origin may be shown, the sandbox's last.
        """
        with self._lock:
            claimed = self._claimed(call.origin.run) if call.origin.run else set()  # a script asks for each by itself
            for take in self._offered(call, api, policy or call.reuse):
                if take.id in claimed or (call.origin.run and take.run == call.origin.run):
                    continue
                claimed.add(take.id)
                return take
        return None

    def peek(self, call: Call, api: str, *, policy: Reuse | None = None) -> list[Take]:
        """All takes that `find` could hand out in a new run, the preferred first; none is claimed."""
        with self._lock:
            return list(self._offered(call, api, policy or call.reuse))

    def known(self) -> list[Take]:
        """Every take by its sidecar alone; the files are not compared."""
        with self._lock:
            self._refresh()
            return [take for index in self._indexes for take in index.takes()]

    def _offered(self, call: Call, api: str, policy: Reuse) -> Iterator[Take]:
        if policy == "off" or (call.fresh and policy != "only"):
            return
        for take in self._candidates(call, api, policy):
            if take.complete and (take.media or policy != "media") and self._sound(take):
                yield take

    def _candidates(self, call: Call, api: str, policy: Reuse) -> Iterator[Take]:
        self._refresh()
        others = {known for index in self._indexes for known in index.apis} - {api} if policy == "only" else set()
        for origin in [api, *sorted(others, key=lambda other: (other == SANDBOX, other))]:
            wanted = fingerprint(call, origin)
            found = [
                take
                for index in self._indexes
                for take in index.of(wanted)
                if (take.api, take.category, take.model) == (origin, call.category, call.model)
            ]
            yield from preferred(found, call)

    def _claimed(self, run: str) -> set[str]:
        claimed = self._claims.setdefault(run, set())
        self._claims.move_to_end(run)
        while len(self._claims) > _RUNS:
            self._claims.popitem(last=False)
        return claimed

    def _sound(self, take: Take) -> bool:
        try:
            if not is_current(take):
                self._refresh(force=True)
                return False
            verify(take, self._hashed)
        except Damaged as why:
            self._bad[take.path] = str(why)
            return False
        self._bad.pop(take.path, None)
        return True

    def take(self, take_id: str) -> Take | None:
        """The take of that id, if it is sound."""
        return next(self._where(lambda take: take.id == take_id), None)

    def of_call(self, call_id: int, api: str, fingerprint: str = "") -> Take | None:
        """The take that the ledger's row bought, a whole one before one that was cut.

        `fingerprint` is the row's: a folder may hold takes of another ledger, whose rows have the same numbers.
        """
        with self._lock:
            self._refresh()
            found = [
                take
                for index in self._indexes
                for take in index.of_call(call_id)
                if take.api == api and fingerprint in ("", take.fingerprint)
            ]
            return next((take for take in sorted(found, key=lambda take: not take.complete) if self._sound(take)), None)

    def holds(self, fingerprints: Iterable[str], *, category: str, model: str) -> set[str]:
        """Those of the fingerprints that have a whole take, for a plan over many: the folder is read once.

        A file is looked at (its size), not hashed: who shows a take compares the hash.
        """
        held: set[str] = set()
        with self._lock:
            self._refresh()
            for wanted in fingerprints:
                for index in self._indexes:
                    if index.has_text(wanted) or any(
                        take.complete and (take.category, take.model) == (category, model) and is_there(take)
                        for take in index.beside(wanted)
                    ):
                        held.add(wanted)
                        break
        return held

    def brief(self, wanted: str, call: Callable[[], Call]) -> Take | None:
        """The take of a fingerprint that `holds` told, by its sidecar or line alone; the folder is not read again."""
        with self._lock:
            found = [take for index in self._indexes for take in index.of(wanted) if take.complete and is_there(take)]
        return found[0] if len(found) == 1 else preferred(found, call())[0] if found else None

    @property
    def apis(self) -> set[str]:
        """Where its takes were bought."""
        with self._lock:
            self._refresh()
            return {known for index in self._indexes for known in index.apis}

    def belongs(self, folder: Path) -> bool:
        """Whether results that were to go to this folder are looked for here."""
        return folder in self._folders()

    def takes(self) -> list[Take]:
        """All sound takes, the oldest first; every file is compared with its hash."""
        return sorted(self._where(lambda _take: True), key=lambda take: (take.created_at, take.id))

    def _where(self, wanted: Callable[[Take], bool]) -> Iterator[Take]:
        with self._lock:
            self._refresh()
            found = [take for index in self._indexes for take in index.takes() if wanted(take)]
            return iter([take for take in found if self._sound(take)])

    @property
    def damaged(self) -> dict[Path, str]:
        """Sidecars that are not shown, and why."""
        with self._lock:
            self._refresh()
            return {**{path: why for index in self._indexes for path, why in index.damaged.items()}, **self._bad}

    def _refresh(self, *, force: bool = False) -> None:
        for index in self._indexes:
            index.refresh(force=force)
        gone = [path for path in self._bad if not path.exists()]
        for path in gone:
            del self._bad[path]

    # ---------------------------------------------------------------- writing

    def begin(self, call: Call, api: str, known: str = "") -> Draft:
        """A place for the result of a call that is about to be sent. Raises `ConfigError` where there is none.

        `known` is the fingerprint of a call of an earlier kernel, whose prompt is not known any more.
        """
        folder = self._place()
        with self._lock:
            if not self._swept:
                self._swept = True
                sweep(folder)
        return Draft(folder, call, api, known, tell=self._committed)

    def _committed(self, take: Take) -> None:
        with self._lock:
            if take.run:
                self._claimed(take.run).add(take.id)
            for item in take.media:
                with contextlib.suppress(OSError):
                    status = item.path.lstat()
                    self._hashed[item.path] = (status.st_ino, status.st_size, status.st_mtime_ns)
