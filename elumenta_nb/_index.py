"""What a folder of takes holds, each sidecar read once, and which take a call should be shown."""

from __future__ import annotations

import itertools
import os
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from ._sidecar import SUFFIX, Damaged, Take, from_json

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ._values import Call

__all__ = ["Index", "is_current", "preferred"]

_SETTLED_NS: Final = 2_000_000_000  # a folder changed more recently than this may change again within one tick


_Entry = tuple[tuple[int, int, int], Take | None]  # (inode, size, mtime) of a sidecar, and what it said


class Index:
    """The sidecars of one folder, read once each; the folder's mtime tells whether to look again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.damaged: dict[Path, str] = {}
        self._entries: dict[str, _Entry] = {}
        self._by_fingerprint: dict[str, list[Take]] = {}
        self._seen = 0

    def takes(self) -> Iterable[Take]:
        return itertools.chain.from_iterable(self._by_fingerprint.values())

    def of(self, wanted: str) -> list[Take]:
        return self._by_fingerprint.get(wanted, [])

    def refresh(self, *, force: bool = False) -> None:
        try:
            changed = self.folder.stat().st_mtime_ns
        except OSError:
            self._entries, self._by_fingerprint, self.damaged, self._seen = {}, {}, {}, 0
            return
        if changed == self._seen and not force:
            return
        self._scan(force=force)
        # a file written in the same tick as this scan would not move the mtime again: look once more next time
        self._seen = changed if time.time_ns() - changed > _SETTLED_NS else 0

    def _scan(self, *, force: bool) -> None:
        """Read the sidecars that are new. Known ones are kept: whether one is still so is asked when it is chosen."""
        try:
            names = {entry.name for entry in os.scandir(self.folder) if entry.name.endswith(SUFFIX)}
        except OSError:
            names = set()
        kept = {name: seen for name, seen in self._entries.items() if name in names}
        changed = len(kept) != len(self._entries)
        self.damaged = {path: why for path, why in self.damaged.items() if path.name in names}
        for name in names:
            if name not in kept or force or self.folder / name in self.damaged:
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
        self.damaged.pop(path, None)
        try:
            entries[name] = (signature, from_json(self.folder, name))
        except Damaged as why:
            entries[name] = (signature, None)
            self.damaged[path] = str(why)
        return True

    def _group(self) -> None:
        grouped: defaultdict[str, list[Take]] = defaultdict(list)
        ids: set[str] = set()
        for _seen, take in self._entries.values():
            if take is not None and take.id not in ids:
                ids.add(take.id)
                grouped[take.fingerprint].append(take)
        self._by_fingerprint = dict(grouped)


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
    again = from_json(take.folder, take.name)
    return again == take
