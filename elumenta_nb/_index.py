"""What a folder of takes holds, each sidecar read once, and which take a call should be shown.

Of a file of texts only the places of its lines are kept, read on from where it ended the last time: a map of 100,000
rows is one such file.
"""

from __future__ import annotations

import itertools
import os
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from ._language import gettext as _
from ._lines import is_texts, line_at, read_on
from ._sidecar import SUFFIX, Damaged, Take, from_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from ._values import Call

__all__ = ["Index", "is_current", "preferred"]

_PLACE_BITS: Final = 44  # of a line's place in its file; the file's number is above them
_SETTLED_NS: Final = 2_000_000_000  # a folder changed more recently than this may change again within one tick


_Entry = tuple[tuple[int, int, int], Take | None]  # (inode, size, mtime) of a sidecar, and what it said


class Texts:
    """The lines of a folder's files of texts: where each begins, by fingerprint and by call."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._forget()

    def _forget(self) -> None:
        self._names: list[str] = []
        self._read: dict[str, tuple[int, int]] = {}  # inode, and how far
        self._by_fingerprint: dict[bytes, tuple[int, ...]] = {}
        self._by_call: dict[int, int] = {}
        self.apis: set[str] = set()
        self.damaged: dict[Path, str] = {}

    def refresh(self, names: set[str] | None = None) -> None:
        """Read on; `names` are the files there are now, where the folder was looked through."""
        known = set(self._read) if names is None else names
        if any(self._is_other(name) for name in (*self._read, *known)):
            self._forget()  # rare: a file was replaced, cut or removed
            known = known & {entry.name for entry in os.scandir(self._folder)} if names is None else known
        for name in sorted(known):
            self._read_on(name)

    def _is_other(self, name: str) -> bool:
        """Whether what was read of it is not there any more."""
        if name not in self._read:
            return False
        try:
            status = (self._folder / name).lstat()
        except OSError:
            return True
        inode, end = self._read[name]
        return status.st_ino != inode or status.st_size < end

    def _read_on(self, name: str) -> None:
        path = self._folder / name
        try:
            status = path.lstat()
            inode, end = self._read.get(name, (status.st_ino, 0))
            if status.st_size == end:
                return
            if name not in self._read:
                self._names.append(name)
            place = self._names.index(name) << _PLACE_BITS
            for found in read_on(path, end):
                end = found.end
                if found.fingerprint is None:
                    self.damaged[path] = _("A line of {file} is not what was stored.").format(file=name)
                elif found.complete:
                    at = place | found.offset
                    self._by_fingerprint[found.fingerprint] = (*self._by_fingerprint.get(found.fingerprint, ()), at)
                    self.apis.add(found.api)
                    if found.call_id is not None:
                        self._by_call[found.call_id] = at
        except OSError as error:
            self.damaged[path] = _("{file} cannot be read: {why}").format(file=name, why=error.strerror)
            return
        self._read[name] = (inode, end)

    def holds(self, fingerprint: str) -> bool:
        return bytes.fromhex(fingerprint) in self._by_fingerprint

    def of(self, fingerprint: str) -> list[Take]:
        return list(self._takes(self._by_fingerprint.get(bytes.fromhex(fingerprint), ())))

    def of_call(self, call_id: int) -> list[Take]:
        return list(self._takes([self._by_call[call_id]] if call_id in self._by_call else []))

    def all(self) -> Iterator[Take]:
        return self._takes(itertools.chain.from_iterable(self._by_fingerprint.values()))

    def _takes(self, places: Iterable[int]) -> Iterator[Take]:
        for place in places:
            name = self._names[place >> _PLACE_BITS]
            try:
                yield line_at(self._folder, name, place & ((1 << _PLACE_BITS) - 1))
            except Damaged as why:
                self.damaged[self._folder / name] = str(why)


class Index:
    """The sidecars of one folder, read once each; the folder's mtime tells whether to look again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._damaged: dict[Path, str] = {}
        self._texts = Texts(folder)
        self._entries: dict[str, _Entry] = {}
        self._by_fingerprint: dict[str, list[Take]] = {}
        self._by_call: dict[int, list[Take]] = {}
        self._seen = 0

    @property
    def damaged(self) -> dict[Path, str]:
        return {**self._damaged, **self._texts.damaged}

    @property
    def apis(self) -> set[str]:
        """Where its takes were bought."""
        return {take.api for take in self._sidecars()} | self._texts.apis

    def _sidecars(self) -> Iterator[Take]:
        return itertools.chain.from_iterable(self._by_fingerprint.values())

    def takes(self) -> Iterable[Take]:
        return itertools.chain(self._sidecars(), self._texts.all())

    def of(self, wanted: str) -> list[Take]:
        return [*self._by_fingerprint.get(wanted, ()), *self._texts.of(wanted)]

    def beside(self, wanted: str) -> list[Take]:
        """As `of`, of takes with a sidecar."""
        return self._by_fingerprint.get(wanted, [])

    def has_text(self, wanted: str) -> bool:
        """Whether a file of texts has a line for it; the line is not read again."""
        return self._texts.holds(wanted)

    def of_call(self, call_id: int) -> list[Take]:
        return [*self._by_call.get(call_id, ()), *self._texts.of_call(call_id)]

    def refresh(self, *, force: bool = False) -> None:
        try:
            changed = self.folder.stat().st_mtime_ns
        except OSError:
            self._entries, self._by_fingerprint, self._by_call, self._damaged, self._seen = {}, {}, {}, {}, 0
            self._texts = Texts(self.folder)
            return
        if changed == self._seen and not force:
            self._texts.refresh()
            return
        self._scan(force=force)
        # a file written in the same tick as this scan would not move the mtime again: look once more next time
        self._seen = changed if time.time_ns() - changed > _SETTLED_NS else 0

    def _scan(self, *, force: bool) -> None:
        """Read the sidecars that are new. Known ones are kept: whether one is still so is asked when it is chosen."""
        try:
            everything = [entry.name for entry in os.scandir(self.folder)]
        except OSError:
            everything = []
        names = {name for name in everything if name.endswith(SUFFIX)}
        self._texts.refresh({name for name in everything if is_texts(name)})
        kept = {name: seen for name, seen in self._entries.items() if name in names}
        changed = len(kept) != len(self._entries)
        self._damaged = {path: why for path, why in self._damaged.items() if path.name in names}
        for name in names:
            if name not in kept or force or self.folder / name in self._damaged:
                changed |= self._read(name, kept)
        self._entries = kept
        if changed:
            self._group()

    def _read(self, name: str, entries: dict[str, _Entry]) -> bool:
        """Read one sidecar unless it is the file that was read before; whether something changed."""
        path = self.folder / name
        try:
            signature = _signature(path)
        except OSError:
            return entries.pop(name, None) is not None
        if name in entries and entries[name][0] == signature:
            return False
        self._damaged.pop(path, None)
        try:
            entries[name] = (signature, from_json(self.folder, name))
        except Damaged as why:
            entries[name] = (signature, None)
            self._damaged[path] = str(why)
        return True

    def _group(self) -> None:
        grouped: defaultdict[str, list[Take]] = defaultdict(list)
        ids: set[str] = set()
        for _seen, take in self._entries.values():
            if take is not None and take.id not in ids:
                ids.add(take.id)
                grouped[take.fingerprint].append(take)
        self._by_fingerprint = dict(grouped)
        by_call: defaultdict[int, list[Take]] = defaultdict(list)
        for take in self._sidecars():
            if take.call_id is not None:
                by_call[take.call_id].append(take)
        self._by_call = dict(by_call)


def preferred(takes: list[Take], call: Call) -> list[Take]:
    """Same cell, same source, the last ``--fresh``, the oldest; a loop's takes in the order they were bought."""
    starts: dict[str, float] = {}
    for take in takes:
        run, at = take.run or take.id, take.created_at.timestamp()
        starts[run] = min(starts.get(run, at), at)
    origin = call.origin

    def key(take: Take) -> tuple[Any, ...]:
        return (
            not (origin.cell_id and take.cell_id == origin.cell_id),
            not (origin.source_hash and take.source_hash == origin.source_hash),
            not take.fresh,
            -starts[take.run or take.id] if take.fresh else 0.0,
            starts[take.run or take.id],
            take.call_id or 0,  # parallel calls finish in any order; their rows are in the order they were asked for
            take.created_at,
            take.id,
        )

    return sorted(takes, key=key)


def _signature(path: Path) -> tuple[int, int, int]:
    status = path.lstat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def is_current(take: Take) -> bool:
    """Whether the sidecar still says what was indexed: an editor may change it without touching the folder."""
    if take.offset is not None:
        return line_at(take.folder, take.name, take.offset) == take
    return from_json(take.folder, take.name) == take
