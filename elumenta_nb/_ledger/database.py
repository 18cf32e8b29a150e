"""The database behind the ledger: where it is, how it is opened, one transaction at a time, errors a person can use.

What differs between SQLite and PostgreSQL is here, in `dialects` and in `server`, and nowhere else.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from elumenta_nb._errors import LedgerError, Spent
from elumenta_nb._journal import journal_for
from elumenta_nb._language import gettext as _

from .dialects import DIALECTS
from .file import existing, identity, make_private, prepare
from .schema import MIGRATIONS, VERSION, Migration
from .server import Mark, NotKept, Patience, connecting, is_closed, settings
from .trouble import of_driver, trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy.engine import Engine

__all__ = ["Database", "Tx"]

T = TypeVar("T")
Row = tuple[Any, ...]

_BUSY_S: Final = 30.0
_SECRET_OPTIONS: Final = ("password", "sslpassword")


class Tx:
    """The statements of one transaction. `learned` is what caches may keep once it is committed."""

    __slots__ = ("_cursor", "_native", "_remote", "learned")

    def __init__(self, cursor: Any, native: Callable[[str], str], *, remote: bool = False) -> None:
        self._cursor = cursor
        self._native = native
        self._remote = remote
        self.learned: list[Callable[[], None]] = []

    def all(self, sql: str, **values: Any) -> list[Row]:
        self._cursor.execute(self._native(sql), values)
        rows: list[Row] = self._cursor.fetchall()
        return rows

    def one(self, sql: str, **values: Any) -> Row | None:
        self._cursor.execute(self._native(sql), values)
        row: Row | None = self._cursor.fetchone()
        return row

    def stream(self, sql: str, size: int, **values: Any) -> Iterator[list[Row]]:
        """Pieces of at most `size` rows: a server sends them one by one."""
        cursor = self._cursor.connection.cursor(name="elumenta") if self._remote else self._cursor
        try:
            cursor.execute(self._native(sql), values)
            while rows := cursor.fetchmany(size):
                yield rows
        finally:
            if self._remote:
                cursor.close()

    def run(self, sql: str, **values: Any) -> int:
        """How many rows it changed."""
        self._cursor.execute(self._native(sql), values)
        changed: int = self._cursor.rowcount
        return changed

    def many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        if len(rows) == 1:
            self._cursor.execute(self._native(sql), rows[0])
        elif rows:
            self._cursor.executemany(self._native(sql), rows)


class Database:
    """One writer connection, reads apart. Opened at first use, again after a fork; never pickled."""

    def __init__(
        self,
        url: str | Path,
        *,
        clock: Callable[[], float] = time.time,
        busy_s: float = _BUSY_S,
        mounts: str | None = None,
    ) -> None:
        try:
            # A path is no URL: it may hold a question mark.
            self.url: URL = make_url(url) if isinstance(url, str) else URL.create("sqlite", database=str(url))
            self.kind = self.url.get_backend_name()
        except (ArgumentError, NoSuchModuleError, ValueError):
            raise LedgerError(
                _("The ledger's address cannot be read."),
                hint=_("ELUMENTA_LEDGER_URL looks like sqlite:////home/me/ledger.db or postgresql+psycopg://host/name"),
            ) from None  # the cause repeats the address with its password
        if self.kind not in DIALECTS:
            raise LedgerError(
                _("The ledger can be in SQLite or PostgreSQL, not {kind}.").format(kind=self.kind),
                hint=_("Set ELUMENTA_LEDGER_URL to a sqlite:/// or postgresql+psycopg:// address, or unset it."),
            )
        self._clock = clock
        self._words = DIALECTS[self.kind]
        self._busy_s = busy_s
        self._mounts = mounts
        self.path: Path | None = None
        if self.kind == "sqlite":
            if not self.url.database or self.url.database == ":memory:" or self.url.database.startswith("file:"):
                raise LedgerError(
                    _("The ledger needs a file: it has to outlive the kernel."),
                    hint=_("Set ELUMENTA_LEDGER_URL to sqlite:////a/path/ledger.db, or unset it."),
                )
            self.path = Path(self.url.database).expanduser().absolute()
            self.url = self.url.set(drivername="sqlite", database=str(self.path))  # Python's own driver, none other
        elif "+" not in self.url.drivername:
            self.url = self.url.set(drivername="postgresql+psycopg")
        self.journal = "" if self.path is None else journal_for(existing(self.path.parent), mounts)
        self.native = lru_cache(maxsize=512)(self._to_native)
        self._lock = threading.RLock()
        self._engine: Engine | None = None
        self._writer: Any = None
        self._mark = Mark()
        self._pid = 0
        self._identity: tuple[int, int] | None = None
        self.opened = 0  # how often: what was learned from another file or before a fork is not true here

    def __repr__(self) -> str:
        return f"Database({self.shown!r})"

    def __reduce__(self) -> Any:
        raise TypeError("a ledger is not pickled: give its address to the other process")

    @property
    def shown(self) -> str:
        """The address with its passwords masked."""
        query = {name: "***" if name in _SECRET_OPTIONS else value for name, value in self.url.query.items()}
        return self.url.set(query=query).render_as_string(hide_password=True)

    @property
    def remote(self) -> bool:
        """A transaction crosses a network: not to be waited for on an event loop."""
        return self.path is None

    def now_us(self) -> int:
        return int(self._clock() * 1_000_000)

    # ------------------------------------------------------------ transactions

    def change(self, work: Callable[[Tx], T], *, spent: Spent = "no", alone: bool = False) -> T:
        """`work` in a durable transaction. On a server it may be run again: the one that broke off left nothing.

        `spent` is what an error says about money; `alone` keeps other writers out until it ends.
        """
        with self._lock, self._told(spent):
            patience = Patience(self._busy_s)
            while True:
                try:
                    with self._transaction(alone=alone) as tx:
                        return work(tx)
                except Exception as error:
                    if not self._again(patience, error):
                        raise

    def look(self, work: Callable[[Tx], T]) -> T:
        """`work` in one consistent view, beside the writer; run again when a server's connection was lost."""
        with self._told("no"):
            patience = Patience(self._busy_s)
            while True:
                try:
                    with self._view() as tx:
                        return work(tx)
                except Exception as error:
                    if not self._again(patience, error):
                        raise

    @contextlib.contextmanager
    def write(self) -> Iterator[Tx]:
        """As `change`, once."""
        with self._lock, self._told("no"), self._transaction() as tx:
            yield tx

    def _again(self, patience: Patience, error: Exception) -> bool:
        """Whether to run a transaction again; a server that was never reached is not waited for."""
        if not self.remote or not self.opened:
            return False
        with self._lock:
            if is_closed(self._writer):
                self.close()
        return patience.again(error)

    @contextlib.contextmanager
    def _transaction(self, *, alone: bool = False) -> Iterator[Tx]:
        connection = self._open()
        with contextlib.closing(connection.cursor()) as cursor:
            begin = self._words["begin_alone" if alone else "begin"]
            cursor.execute(f"{begin}; {self._mark.next()}" if self.remote else begin)
            try:
                tx = Tx(cursor, self.native, remote=self.remote)
                yield tx
            except BaseException:
                with contextlib.suppress(Exception):  # a connection that is gone has rolled back already
                    cursor.execute("ROLLBACK")
                raise
            self._commit(connection, cursor)
        for keep in tx.learned:
            keep()

    def _commit(self, connection: Any, cursor: Any) -> None:
        try:
            cursor.execute("COMMIT")
        except Exception as error:
            if self.remote and is_closed(connection):
                if self._was_kept():
                    return
                raise NotKept from error
            with contextlib.suppress(Exception):
                cursor.execute("ROLLBACK")
            raise

    def _was_kept(self) -> bool:
        """Whether the transaction whose COMMIT was not answered was committed. Raises `LedgerError` if nobody knows."""
        patience = Patience(self._busy_s)
        kept = None
        while True:
            self.close()
            try:
                with contextlib.closing(self._open().cursor()) as cursor:
                    cursor.execute("BEGIN")
                    kept = self._mark.kept(cursor)
                    cursor.execute("ROLLBACK")
                break
            except Exception as error:  # noqa: BLE001 - asked again, or said below
                if not patience.again(error):
                    break
        if kept is None:
            raise LedgerError(
                _("The ledger {where} went away while it was written to.").format(where=self._where),
                hint=_("When it is back, {line} looks up what was open.").format(line="%elumenta recover"),
            )
        return kept

    @contextlib.contextmanager
    def _view(self) -> Iterator[Tx]:
        engine = self._engine if self.remote and self._pid == os.getpid() else None
        if engine is None:  # else a reader does not wait for a writer that waits for a lock of the server
            with self._lock:
                self._open()
                engine = self._engine
        assert engine is not None
        with contextlib.closing(engine.raw_connection()) as pooled:
            cursor = pooled.cursor()
            try:
                cursor.execute(self._words["begin_reading"])
                yield Tx(cursor, self.native, remote=self.remote)
            finally:
                with contextlib.suppress(Exception):
                    cursor.execute("ROLLBACK")
                cursor.close()

    def new_ids(self, tx: Tx, count: int) -> Sequence[int]:
        """Ids for `count` rows of ``calls``. SQLite's single writer counts on; rows are never deleted."""
        if self.kind == "sqlite":
            row = tx.one("SELECT COALESCE(MAX(id), 0) FROM calls")
            assert row is not None
            return range(row[0] + 1, row[0] + 1 + count)
        wanted = "SELECT nextval(pg_get_serial_sequence('calls', 'id')) FROM generate_series(1, :count)"
        return [row[0] for row in tx.all(wanted, count=count)]

    def close(self) -> None:
        with self._lock:
            if self._writer is not None and self._pid == os.getpid():
                with contextlib.suppress(Exception):
                    self._writer.close()
                if self._engine is not None:
                    self._engine.dispose()
            self._writer = self._engine = None

    # ------------------------------------------------------------ opening

    def _open(self) -> Any:
        if self._writer is not None and self._pid == os.getpid():
            if self.path is None or identity(self.path) == self._identity:
                return self._writer
            self.close()  # the file was moved or removed: what is written to it now would be lost
        if self._engine is not None and self._pid != os.getpid():
            _INHERITED.append((self._engine, self._writer))  # closing them here would harm the parent's
            self._mark = Mark()
        self._writer = None
        self._engine = self._connectable()
        self._pid = os.getpid()
        if self.path is not None:
            make_private(self.path)
        pooled = self._engine.raw_connection()
        connection = pooled.driver_connection
        pooled.detach()
        try:
            self._migrate(connection)
            if self.remote:
                with contextlib.closing(connection.cursor()) as cursor:  # type: ignore[union-attr] # a DBAPI connection is untyped
                    self._mark.make(cursor)
        except BaseException:
            with contextlib.suppress(Exception):
                connection.close()  # type: ignore[union-attr] # a DBAPI connection is untyped
            self._engine.dispose()
            self._engine = None
            raise
        self._writer = connection
        self._identity = None if self.path is None else identity(self.path)
        self.opened += 1
        return connection

    def _connectable(self) -> Engine:
        if self.path is None:
            try:
                engine = create_engine(
                    self.url,
                    connect_args=connecting(self.url),
                    isolation_level="AUTOCOMMIT",
                    pool_pre_ping=True,
                    pool_size=1,  # a server counts connections: a kernel has two while it rests
                    max_overflow=20,
                )
            except (ImportError, NoSuchModuleError):
                raise LedgerError(
                    _("The ledger is in PostgreSQL and its driver is not installed."),
                    hint=_("{install}; the address then begins with {start}").format(
                        install='pip install "elumenta-nb[postgres]"', start="postgresql+psycopg://"
                    ),
                ) from None
            event.listen(engine, "connect", lambda connection, _record: settings(connection, self._busy_s))
            return engine
        engine = create_engine(
            self.url,
            connect_args={"timeout": self._busy_s, "check_same_thread": False, "isolation_level": None},
        )
        event.listen(engine, "connect", self._prepare)
        return engine

    def _prepare(self, connection: Any, _record: Any) -> None:
        self.journal = prepare(connection, self.journal, self._busy_s)

    def _migrate(self, connection: Any) -> None:
        cursor = connection.cursor()
        # Who connects anew does not wait for all who write: it looks first.
        while not (self.remote and self._migrated(cursor) == VERSION):
            cursor.execute(self._words["begin_alone"])
            try:
                number = self._migrated(cursor)
                if number > VERSION:
                    raise self._too_new(number)  # noqa: TRY301 - the transaction has to end here too
                waiting = [migration for migration in MIGRATIONS if migration.number > number]
                if not waiting:
                    cursor.execute("ROLLBACK")
                    break
                self._apply(cursor, waiting[0])
                cursor.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(Exception):
                    cursor.execute("ROLLBACK")
                raise
        cursor.close()

    def _migrated(self, cursor: Any) -> int:
        cursor.execute(self._words["tables"])
        if not cursor.fetchone()[0]:
            return 0
        cursor.execute("SELECT COALESCE(MAX(number), 0) FROM migrations")
        found: int = cursor.fetchone()[0]
        return found

    def _apply(self, cursor: Any, migration: Migration) -> None:
        cursor.execute(
            "CREATE TABLE IF NOT EXISTS migrations ("
            "number INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, at_us BIGINT NOT NULL)"
        )
        for statement in migration.statements:
            cursor.execute(statement.format(key=self._words["key"], rowless=self._words["rowless"]))
        record = "INSERT INTO migrations (number, name, at_us) VALUES (:number, :name, :at_us)"
        now = time.time_ns() // 1000
        cursor.execute(self.native(record), {"number": migration.number, "name": migration.name, "at_us": now})

    def _to_native(self, sql: str) -> str:
        filled = sql
        for word in ("in_ids", "in_texts", "lock"):
            filled = filled.replace(f"{{{word}}}", self._words[word])
        if self.kind == "sqlite":
            return filled  # sqlite3 takes :name as it is
        assert self._engine is not None
        return str(text(filled).compile(dialect=self._engine.dialect))

    # ------------------------------------------------------------ errors

    @property
    def _where(self) -> str:
        return str(self.path) if self.path is not None else self.shown

    def _trouble(self, error: BaseException, spent: Spent) -> LedgerError:
        secret = str(self.url.password or "")
        return trouble(error, where=self._where, busy_s=self._busy_s, secret=secret, spent=spent)

    def _too_new(self, number: int) -> LedgerError:
        message = _("The ledger {where} was written by a newer elumenta_nb (schema {number}, this is {own}).")
        return LedgerError(
            message.format(where=self._where, number=number, own=VERSION), hint="pip install --upgrade elumenta-nb"
        )

    @contextlib.contextmanager
    def _told(self, spent: Spent) -> Iterator[None]:
        try:
            yield
        except LedgerError as error:
            if error.spent == "no":
                error.spent = spent
            raise
        except NotKept as error:
            raise self._trouble(error.__cause__ or error, spent) from None
        except DBAPIError as error:
            raise self._trouble(error.orig or error, spent) from None  # its text repeats the statement and its values
        except OSError as error:
            raise self._trouble(error, spent) from error
        except Exception as error:
            if not of_driver(error):
                raise
            raise self._trouble(error, spent) from error


_INHERITED: Final[list[Any]] = []  # connections of the parent process, kept from being closed by the collector
