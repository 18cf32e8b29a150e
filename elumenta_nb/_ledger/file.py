"""The file of a ledger in SQLite: made for its owner alone, opened with a journal, told from another at its place."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["existing", "identity", "make_private", "prepare"]


def prepare(connection: Any, journal: str, busy_s: float) -> str:
    """Settings of a new connection; the journal that the file has then."""
    cursor = connection.cursor()
    deadline = time.monotonic() + busy_s
    while True:
        try:
            found: str = cursor.execute(f"PRAGMA journal_mode={journal}").fetchone()[0].upper()
            break
        except sqlite3.OperationalError as error:  # several kernels at the first start: it does not wait itself
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0.005, 0.05))  # noqa: S311 - jitter
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA journal_size_limit=16777216")
    cursor.close()
    return found


def identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def existing(folder: Path) -> Path:
    return next((parent for parent in (folder, *folder.parents) if parent.exists()), folder)


def make_private(path: Path) -> None:
    """The folder (0700) and the file (0600) before SQLite makes them with the umask; WAL files copy the file's."""
    if not path.parent.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
