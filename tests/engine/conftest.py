"""A world to buy in: calls one by one, and what the account's history and the server's log say of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import worlds

from elumenta_nb._session import Session
from elumenta_nb._values import Ask, Origin


class World(worlds.World):
    def buy(self, model: str, prompt: str | None = "a quiet harbour", **ask: Any) -> list[Any]:
        origin = ask.pop("origin", Origin(source="python"))
        return self.session.run(Ask(model=model, prompt=prompt, **ask), origin)

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


@pytest.fixture(params=["a", pytest.param("b", marks=pytest.mark.slow)])  # one reply family in `make test-quick`
def dialect(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def plain_servers() -> Iterator[worlds.Servers]:
    servers = worlds.Servers()
    yield servers
    servers.stop()


@pytest.fixture
def server_of(dialect: str, plain_servers: worlds.Servers) -> Iterator[Callable[..., Any]]:
    yield lambda **options: plain_servers.of(dialect, **options)
    plain_servers.end_test()


@pytest.fixture
def world_of(tmp_path: Path, server_of: Callable[..., Any]) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(**options: Any) -> World:
        made.append(World(server_of(**options), tmp_path / "home"))
        return made[-1]

    yield make
    for world in made:
        world.close()


@pytest.fixture
def world(world_of: Callable[..., World]) -> World:
    return world_of()


@pytest.fixture
def later(world) -> Iterator[Any]:
    sessions: list[Session] = []

    def make() -> Session:
        sessions.append(worlds.Later(api_key=world.server.api_key, base_url=world.server.url, home=world.home))
        return sessions[-1]

    yield make
    for session in sessions:
        session.close()
