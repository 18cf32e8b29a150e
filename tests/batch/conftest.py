"""A world to map in: an account without limits, and what the server made of which prompt."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import worlds

from elumenta_nb._session import Session


class QuickSession(worlds.QuickSession):
    """Gives a lost call up after two seconds."""

    grace_s = 2.0


class World(worlds.World):
    kind = QuickSession

    def new_session(self, **settings: Any) -> Session:
        """As a kernel that starts now: same key, same home, same folder."""
        session = super().new_session(**{"confirm_above": 0, **settings})
        session.start_in(self.home)
        return session

    def map(self, data: Any, template: str | None = "{{title}}: one line", *, model: str = "gpt-5-nano", **more: Any):
        return self.session.map(data, template, model=model, **more)

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
def batch_servers() -> Iterator[worlds.Servers]:
    servers = worlds.Servers(("plan", "elite"), ("limit", "0"), plan="elite")
    yield servers
    servers.stop()


@pytest.fixture
def world_of(dialect: str, tmp_path: Path, batch_servers: worlds.Servers) -> Iterator[Callable[..., World]]:
    made: list[World] = []
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)

    def make(**options: Any) -> World:
        made.append(World(batch_servers.of(dialect, **options), home))
        return made[-1]

    yield make
    for world in made:
        world.close()
    batch_servers.end_test()


@pytest.fixture
def world(world_of: Callable[..., World]) -> World:
    return world_of()


@pytest.fixture
def goods_of() -> Callable[..., pd.DataFrame]:
    return goods
