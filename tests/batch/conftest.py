"""A world to map in: a sandbox in either dialect treated as a live API, and sessions that wait less."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from elumenta_nb._session import Session
from elumenta_nb.sandbox import serve


class QuickSession(Session):
    """Waits a twentieth of what it should, and gives a lost call up after two seconds."""

    grace_s = 2.0

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
        """As a kernel that starts now: same key, same home, same folder."""
        given = {"api_key": self.server.api_key, "base_url": self.server.url, "home": self.home, "confirm_above": 0}
        session = QuickSession(**{**given, **settings})
        session.start_in(self.home)
        self._sessions.append(session)
        return session

    def map(self, data: Any, template: str | None = "{{title}}: one line", *, model: str = "gpt-5-nano", **more: Any):
        return self.session.map(data, template, model=model, **more)

    @property
    def charged(self) -> int:
        """What the account paid, as the server knows it."""
        return self.before - self.server.account.balance

    @property
    def booked(self) -> int:
        """What the ledger says was paid."""
        return int(self.session.spend(columns="all")["tokens"].sum())

    @property
    def bought(self) -> dict[str, int]:
        """How often each prompt was charged."""
        with contextlib.closing(sqlite3.connect(self.server.state)) as db:
            rows = db.execute("SELECT prompt, COUNT(*) FROM generation WHERE tokens > 0 AND hidden < 2 GROUP BY prompt")
            return dict(rows.fetchall())

    @property
    def taken(self) -> int:
        """How many generations the server took in, whatever became of them."""
        with contextlib.closing(sqlite3.connect(self.server.state)) as db:
            return int(db.execute("SELECT COUNT(*) FROM generation WHERE hidden < 2").fetchone()[0])

    def close(self) -> None:
        for session in self._sessions:
            session.close()


def goods(n: int, start: int = 0) -> pd.DataFrame:
    """A frame of `n` different things, with labels that are not their positions."""
    return pd.DataFrame(
        {"title": [f"mug {i}" for i in range(start, start + n)], "seed": range(n)},
        index=[f"k{i}" for i in range(start, start + n)],
    )


@pytest.fixture(params=["a", pytest.param("b", marks=pytest.mark.slow)])  # one reply family in `make test-quick`
def dialect(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def batch_servers() -> Iterator[dict[str, Any]]:
    servers: dict[str, Any] = {}
    yield servers
    for server in servers.values():
        server.stop()


@pytest.fixture
def world_of(dialect: str, tmp_path: Path, batch_servers: dict[str, Any]) -> Iterator[Callable[..., World]]:
    worlds: list[World] = []
    own: list[Any] = []

    def make(**options: Any) -> World:
        if options:
            server = serve(**{"dialect": dialect, "time_scale": 0.002, "plan": "elite", **options})
            own.append(server)
        else:
            if dialect not in batch_servers:
                batch_servers[dialect] = serve(dialect=dialect, time_scale=0.002, plan="elite")
            server = batch_servers[dialect]
            server.faults.clear()
            server.seen.clear()
            server.control("reset")
            server.control("plan", "elite")
            server.control("limit", "0")
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        worlds.append(World(server, home))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()
    for server in own:
        server.stop()


@pytest.fixture
def world(world_of: Callable[..., World]) -> World:
    return world_of()


@pytest.fixture
def goods_of() -> Callable[..., pd.DataFrame]:
    return goods
