"""The sandbox's state file: tables, the one connection, and transactions that two server processes may share."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from elumenta_nb._errors import ConfigError
from elumenta_nb._journal import journal_for
from elumenta_nb._language import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["State"]

_VERSION = 1
_TABLES = """
CREATE TABLE account (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, plan TEXT NOT NULL,
    plan_tokens INTEGER NOT NULL CHECK (plan_tokens >= 0),
    package_tokens INTEGER NOT NULL CHECK (package_tokens >= 0),
    refills_at REAL, created_at REAL NOT NULL,
    limit_hour INTEGER, limit_day INTEGER,
    fail_next INTEGER NOT NULL DEFAULT 0, fail_reason TEXT NOT NULL DEFAULT '',
    settings TEXT NOT NULL DEFAULT '{}'
);
CREATE TABLE key (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, name TEXT NOT NULL, account INTEGER NOT NULL, created_at REAL NOT NULL);
CREATE TABLE usage (account INTEGER, kind TEXT, started REAL NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (account, kind));
CREATE TABLE generation (
    id INTEGER PRIMARY KEY AUTOINCREMENT, account INTEGER NOT NULL, model TEXT NOT NULL, category TEXT NOT NULL,
    prompt TEXT NOT NULL, params TEXT NOT NULL, status TEXT NOT NULL, price INTEGER NOT NULL,
    tokens INTEGER NOT NULL DEFAULT 0, balance INTEGER, text TEXT, error TEXT, doom TEXT, media TEXT,
    created_at REAL NOT NULL, ready_at REAL NOT NULL, completed_at REAL,
    favorite INTEGER NOT NULL DEFAULT 0, rating INTEGER, hidden INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX generation_pending ON generation (account, ready_at) WHERE status = 'pending';
CREATE INDEX generation_account ON generation (account, id);
INSERT INTO sqlite_sequence (name, seq) VALUES ('generation', 18472);
"""


class State:
    """One SQLite file, one connection, one lock. `write` is a transaction that begins by taking the write lock.

    On a network file system it has a rollback journal. `mounts` is the text of ``/proc/self/mountinfo``.
    """

    def __init__(self, path: Path, *, mounts: str | None = None) -> None:
        self.path = path
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            with self._closed_on_error():
                self._prepare(journal_for(path.parent, mounts))
        except (OSError, sqlite3.Error) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise ConfigError(
                _("The sandbox's file {path} cannot be used: {why}.").format(path=path, why=why),
                hint=_(
                    "Set ELUMENTA_HOME to a folder that can be written. A damaged file can be removed: no real money is in it."
                ),
            ) from None

    @contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._db.close()
            raise

    def _prepare(self, journal: str) -> None:
        self._db.row_factory = sqlite3.Row
        self._db.execute(f"PRAGMA journal_mode = {journal}")
        self._db.execute("PRAGMA synchronous = NORMAL")  # survives a killed process, which is what matters here
        with self.write() as db:
            if db.execute("PRAGMA user_version").fetchone()[0] == 0:
                for statement in _TABLES.split(";\n"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {_VERSION}")

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            yield self._db

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")  # refused while another process reads a file without WAL
            except BaseException:
                if self._db.in_transaction:  # a full disk has rolled it back already
                    self._db.execute("ROLLBACK")
                raise

    def close(self) -> None:
        with self._lock:
            self._db.close()
