"""A PostgreSQL of the tests' own: ``python tests/postgres/postgres_server.py`` finds or installs its programs.

In this order: `ELUMENTA_TEST_POSTGRES` (a folder with ``initdb`` and ``postgres``), the PATH, the usual folders,
``apt-get install postgresql`` as root. When nothing works it says what to install and fails: tests of the ledger in
PostgreSQL are never skipped in silence.

A server lives in a folder of its own, listens on a socket there and ends with the tests. Where those were killed, the
next that starts one ends what they left: a lock in the folder says whose tests still run. PostgreSQL refuses to run as
root, so root starts it as another user.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
)
USERS = ("postgres", "nobody")
PREFIX, ALIVE = "el-pg-", "alive"
ADVICE = """No PostgreSQL was found and none could be installed. Do one of these, then run again:
  Debian, Ubuntu:  sudo apt-get install postgresql
  Fedora:          sudo dnf install postgresql-server
  macOS:           brew install postgresql
  one you have:    ELUMENTA_TEST_POSTGRES=/path/to/its/bin make test
`make test-quick` needs none."""


def _whole(folder: Path | None) -> Path | None:
    return folder if folder and all(os.access(folder / name, os.X_OK) for name in ("initdb", "postgres")) else None


def _version(folder: Path) -> list[int]:
    return [int(word) for word in "".join(c if c.isdigit() else " " for c in str(folder)).split()]


def find() -> Path | None:
    """The folder of ``initdb`` and ``postgres``, the newest where there are several."""
    if wish := os.environ.get("ELUMENTA_TEST_POSTGRES"):
        if not _whole(Path(wish)):
            raise SystemExit(f"ELUMENTA_TEST_POSTGRES={wish} has no initdb and postgres.")
        return Path(wish)
    if on_path := shutil.which("initdb"):
        if found := _whole(Path(on_path).resolve().parent):
            return found
    folders = [folder for place in PLACES for folder in Path("/").glob(place[1:]) if _whole(folder)]
    return max(folders, key=_version, default=None)


def provided() -> Path:
    """As `find`, and installs them where that can be done."""
    found = find()
    if found is None and shutil.which("apt-get") and os.geteuid() == 0:
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update", "-q"], ["install", "-y", "-q", "--no-install-recommends", "postgresql"]):
            subprocess.run(["apt-get", *words], stdin=subprocess.DEVNULL, stdout=sys.stderr, env=quiet, check=False)
        found = find()
    if found is None:
        raise SystemExit(ADVICE)
    return found


def _user() -> str | None:
    """Whose processes they are: root's are another's."""
    if os.geteuid() != 0:
        return None
    for name in USERS:
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise SystemExit("PostgreSQL does not run as root, and there is no user postgres or nobody.")


def _as(user: str | None) -> dict[str, object]:
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}


def sweep(programs: Path) -> None:
    """End the servers whose tests were killed, and remove their folders."""
    for alive in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{ALIVE}"):
        with contextlib.suppress(OSError), alive.open("rb+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            stop = [programs / "pg_ctl", "stop", "-D", alive.parent / "data", "-m", "immediate", "-s"]
            subprocess.run(stop, cwd="/", capture_output=True, check=False, **_as(_user()))
            shutil.rmtree(alive.parent, ignore_errors=True)


class Server:
    """One server in a temporary folder. `durable` keeps fsync on: for figures, not for tests."""

    def __init__(self, *, durable: bool = False) -> None:
        found = find()
        if found is None:
            raise RuntimeError(ADVICE)
        self._bin = found
        self._user = _user()
        sweep(found)
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX))  # short: a socket's path has at most 107 characters
        self._lock = (self.folder / f".{ALIVE}").open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        (self.folder / f".{ALIVE}").rename(self.folder / ALIVE)  # under its name it is locked already
        if self._user:
            shutil.chown(self.folder, self._user)
        self._data = self.folder / "data"
        self._options = ["-c", "max_connections=400", "-c", "max_prepared_transactions=0"]
        if not durable:
            self._options += ["-c", "fsync=off"]
        self._process: subprocess.Popen[bytes] | None = None
        self._names = 0
        words = ["-U", "elumenta", "--auth-local=trust", "--auth-host=scram-sha-256", "-N", "-E", "UTF8"]
        self._run("initdb", "-D", self._data, "--locale=C", *words)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.end()

    def _as_user(self) -> dict[str, object]:
        return _as(self._user)

    def _run(self, name: str, *words: object) -> None:
        done = subprocess.run(
            [self._bin / name, *map(str, words)], capture_output=True, cwd=self.folder, text=True, check=False, **self._as_user()
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{name}: {done.stderr[-2000:]}")

    def start(self, *, port: int = 0) -> None:
        """Start it and wait until it answers; on a loopback `port` too where one is given."""
        listen = ["-c", f"listen_addresses={'127.0.0.1' if port else ''}", "-p", str(port or 5432)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self._data, "-k", self.folder, *listen, *self._options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, **self._as_user(),
            )  # fmt: skip
        self.port = port or 5432
        deadline = time.monotonic() + 30
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text(errors="replace")[-2000:])
            time.sleep(0.02)

    def _answers(self) -> bool:
        import psycopg

        try:
            with psycopg.connect(self._line("postgres"), connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    def _line(self, name: str) -> str:
        return f"host={self.folder} port={self.port} user=elumenta dbname={name}"

    def stop(self, *, crash: bool = False) -> None:
        """End it; with `crash` as if the power failed: what was not committed is lost."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT if crash else signal.SIGINT)
            self._process.wait(30)

    def end(self) -> None:
        self.stop(crash=True)
        self._lock.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, sql: str, *values: object, database: str = "postgres") -> list[tuple[object, ...]]:
        """The rows of a statement, committed at once."""
        import psycopg

        with psycopg.connect(self._line(database), autocommit=True) as connection:
            cursor = connection.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else []

    def database(self) -> str:
        """The address of a new, empty database."""
        self._names += 1
        name = f"ledger_{self._names}"
        self.ask(f"CREATE DATABASE {name}")
        return self.url(name)

    def schema(self) -> str:
        """The address of a new, empty schema: as good as a database for a ledger, and made in a millisecond."""
        self._names += 1
        self.ask(f"CREATE SCHEMA ledger_{self._names}")
        return self.url("postgres") + f"&options=-csearch_path%3Dledger_{self._names}"

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://elumenta@/{name}?host={self.folder}&port={self.port}"

    def drop_connections(self, name: str) -> int:
        """Cut every connection to a database, as an administrator does."""
        rows = self.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", name)
        return len(rows)


if __name__ == "__main__":
    print(provided())
