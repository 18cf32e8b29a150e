"""The folder of a sandbox without a state of its own: gone with the server, at exit, or after a kill when the next starts.

A lock in the folder says that its process lives. The system lets go of it however a process ends; a process number
could be another's by then, or of another container that shares the folder for temporary files.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import BinaryIO, Final

try:
    import fcntl
except ImportError:  # Windows: what a killed process left is the system's to clean up
    fcntl = None  # type: ignore[assignment]

__all__ = ["Scratch"]

_PREFIX: Final = "elumenta-sandbox-"
_ALIVE: Final = "alive"


class Scratch:
    """A new folder at `path`; what killed processes left of theirs is removed first."""

    def __init__(self) -> None:
        parent = Path(tempfile.gettempdir())
        _sweep(parent)
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        atexit.register(self.remove)  # of a server nobody stopped
        self._lock = (self.path / f".{_ALIVE}").open("wb")
        _locked(self._lock)
        (self.path / f".{_ALIVE}").rename(self.path / _ALIVE)  # under its name it is locked already

    def remove(self) -> None:
        atexit.unregister(self.remove)
        self._lock.close()
        shutil.rmtree(self.path, ignore_errors=True)


def _locked(file: BinaryIO) -> bool:
    """Whether the lock is ours now; without locks nobody's folder is taken."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _sweep(parent: Path) -> None:
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX) and _is_ours(entry):
                with contextlib.suppress(OSError), Path(entry.path, _ALIVE).open("rb+") as file:
                    if _locked(file):
                        shutil.rmtree(entry.path, ignore_errors=True)


def _is_ours(entry: os.DirEntry[str]) -> bool:
    with contextlib.suppress(OSError):
        facts = entry.stat(follow_symlinks=False)
        return stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid()
    return False
