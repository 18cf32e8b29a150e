"""A world to spend money in: a sandbox in either dialect, treated as a live API, and a session that waits less."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from elumenta_nb._session import Session
from elumenta_nb._values import Ask, Origin
from elumenta_nb.sandbox import serve


class QuickSession(Session):
    """Waits a twentieth of what it should."""

    @staticmethod
    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / 20)


class World:
    """A server, sessions against it, and what both sides say was spent."""

    def __init__(self, server: Any, home: Path) -> None:
        self.server = server
        self.home = home
        self.before = server.account.balance
        self._sessions: list[Session] = []
        self.session = self.new_session()

    def new_session(self, **settings: Any) -> Session:
        """As a kernel that starts now: same key, same home."""
        session = QuickSession(
            **{"api_key": self.server.api_key, "base_url": self.server.url, "home": self.home, **settings}
        )
        self._sessions.append(session)
        return session

    def buy(self, model: str, prompt: str | None = "a quiet harbour", **ask: Any) -> list[Any]:
        origin = ask.pop("origin", Origin(source="python"))
        return self.session.run(Ask(model=model, prompt=prompt, **ask), origin)

    @property
    def charged(self) -> int:
        """What the account paid, as the server knows it."""
        return self.before - self.server.account.balance

    @property
    def booked(self) -> int:
        """What the ledger says was paid."""
        frame = self.session.spend(columns="all")
        return int(frame["tokens"].sum())

    @property
    def history(self) -> list[dict[str, Any]]:
        """The generations of the account, as the history tells them."""
        frame = self.session.account_history()
        return frame.to_dict("records")

    def posts(self, *paths: str) -> int:
        """How many requests to generate arrived at the server."""
        wanted = paths or ("/generate", "/generate/stream", "/stt")
        return sum(seen.method == "POST" and seen.path.removeprefix("/api/v2") in wanted for seen in self.server.seen)

    def settle(self) -> None:
        """What a person does after trouble: a new kernel, and recover."""
        self.session = self.new_session()
        self.session.reconcile()

    def close(self) -> None:
        for session in self._sessions:
            session.close()


@pytest.fixture(params=["a", pytest.param("b", marks=pytest.mark.slow)])  # one reply family in `make test-quick`
def dialect(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def plain_servers() -> Iterator[dict[str, Any]]:
    """One server a dialect for the whole run: starting it is most of what a small test costs."""
    servers: dict[str, Any] = {}
    yield servers
    for server in servers.values():
        server.stop()


@pytest.fixture
def server_of(dialect: str, plain_servers: dict[str, Any]) -> Iterator[Callable[..., Any]]:
    servers: list[Any] = []

    def make(**options: Any) -> Any:
        if options:
            servers.append(serve(**{"dialect": dialect, "time_scale": 0.002, **options}))
            return servers[-1]
        if dialect not in plain_servers:
            plain_servers[dialect] = serve(dialect=dialect, time_scale=0.002)
        server = plain_servers[dialect]
        server.faults.clear()
        server.seen.clear()
        server.control("reset")
        return server

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def world_of(tmp_path: Path, server_of: Callable[..., Any]) -> Iterator[Callable[..., World]]:
    worlds: list[World] = []

    def make(**options: Any) -> World:
        worlds.append(World(server_of(**options), tmp_path / "home"))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()


@pytest.fixture
def world(world_of: Callable[..., World]) -> World:
    return world_of()
