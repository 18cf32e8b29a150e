"""A world to spend money in: a sandbox in either dialect, treated as a live API, and sessions that wait less.

What the folders of tests share; a folder of its own adds what it alone needs in its conftest.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from elumenta_nb._ledger import Ledger
from elumenta_nb._session import Session
from elumenta_nb.sandbox import serve


class QuickSession(Session):
    """Waits a hundredth of what it should, between polls and looks as before another try of a request."""

    @staticmethod
    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / 100)

    @staticmethod
    async def retry_sleep(seconds: float) -> None:
        """A server that tells to wait for long is waited for: so a test can look at it, or stop it."""
        await asyncio.sleep(seconds if seconds > 10 else seconds / 100)


class Later(Session):
    """A kernel of an hour later: every grace is over, and it does not wait."""

    @staticmethod
    async def sleep(seconds: float) -> None:
        await asyncio.sleep(0)

    def ledger(self) -> Ledger:
        with self._lock:
            if self._ledger is None:
                self._ledger = Ledger(self._settings.ledger(), clock=lambda: time.time() + 3600)
            return self._ledger


class Servers:
    """The sandboxes of a test process. A plain one of each dialect is kept: starting it is most of what a small test costs."""

    def __init__(self, *commands: tuple[str, str], **options: Any) -> None:
        self._commands, self._options = commands, {"time_scale": 0.002, **options}
        self._kept: dict[str, Any] = {}
        self._own: list[Any] = []

    def of(self, dialect: str, **options: Any) -> Any:
        """The plain one as if it were new, or with options one of the test's own."""
        if options:
            self._own.append(serve(**{"dialect": dialect, **self._options, **options}))
            return self._own[-1]
        if dialect not in self._kept:
            self._kept[dialect] = serve(dialect=dialect, **self._options)
        server = self._kept[dialect]
        server.faults.clear()
        server.seen.clear()
        for command in (("reset",), *self._commands):
            server.control(*command)
        return server

    def end_test(self) -> None:
        while self._own:
            self._own.pop().stop()

    def stop(self) -> None:
        self.end_test()
        for server in self._kept.values():
            server.stop()


class World:
    """A server, sessions against it, and what both sides say was spent."""

    kind: type[Session] = QuickSession

    def __init__(self, server: Any, home: Path) -> None:
        self.server = server
        self.home = home
        self.before = server.account.balance
        self._sessions: list[Session] = []
        self.session = self.new_session()

    def new_session(self, **settings: Any) -> Session:
        """As a kernel that starts now: same key, same home."""
        given = {"api_key": self.server.api_key, "base_url": self.server.url, "home": self.home}
        self._sessions.append(self.kind(**{**given, **settings}))
        return self._sessions[-1]

    @property
    def charged(self) -> int:
        """What the account paid, as the server knows it."""
        return self.before - self.server.account.balance

    @property
    def booked(self) -> int:
        """What the ledger says was paid."""
        return int(self.session.spend(columns="all")["tokens"].sum())

    def close(self) -> None:
        for session in self._sessions:
            session.close()


def until(condition: Callable[[], Any], timeout_s: float = 20) -> Any:
    """Wait for it, as a person looks at a panel."""
    ends = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.01)
    return found
