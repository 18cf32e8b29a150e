"""Panels with a real session against a sandbox treated as a live API, driven as a front end drives them: by traits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from worlds import QuickSession, Servers, until

from elumenta_nb._panels import Panel
from elumenta_nb._session import Session
from elumenta_nb.sandbox import serve


class Desk:
    """A server, a session against it, panels, and what the server says was paid."""

    def __init__(self, server: Any, home: Path, kind: type[Session] = QuickSession) -> None:
        self.server = server
        self.before = server.account.balance
        self.session = kind(api_key=server.api_key, base_url=server.url, home=home)
        self.names: dict[str, Any] = {}

    def panel(self, category: str | None = None, model: str | None = None, **options: Any) -> Panel:
        """A panel whose price is exact, and whose list has what the server serves."""
        panel = Panel(lambda: self.session, None, category=category, model=model, namespace=self.names, **options)
        assert panel.served.wait(20)
        until(lambda: panel.line.price is not None and panel.line.price.exact and panel.line.purse.balance is not None)
        return panel

    def fill(self, panel: Panel, **values: Any) -> None:
        """Choose values, and wait for the price of exactly that."""
        for name, value in values.items():
            if name == "prompt":
                panel.form.prompt.value = value
            else:
                panel.form.controls[name].widget.value = value
        until(lambda: panel.line.price is not None and panel.line.price.exact)

    def buy(self, panel: Panel) -> None:
        """Click, and wait until it has ended."""
        panel.generate.click()
        until(lambda: not panel.purchase.is_busy)

    @property
    def charged(self) -> int:
        return self.before - self.server.account.balance

    @property
    def rows(self) -> Any:
        return self.session.spend(columns="all")

    def posts(self) -> int:
        """How many requests to generate arrived at the server."""
        paths = ("/generate", "/generate/stream", "/stt")
        return sum(seen.method == "POST" and seen.path.removeprefix("/api/v2") in paths for seen in self.server.seen)


@pytest.fixture(scope="session")
def panel_servers() -> Iterator[Servers]:
    servers = Servers()
    yield servers
    servers.stop()


@pytest.fixture
def server(panel_servers: Servers) -> Any:
    return panel_servers.of("a")


@pytest.fixture
def desk_of(tmp_path: Path, server: Any) -> Iterator[Callable[..., Desk]]:
    desks: list[Desk] = []

    def make(at: Any = None, kind: type[Session] = QuickSession) -> Desk:
        desks.append(Desk(at or server, tmp_path / f"home{len(desks)}", kind))
        return desks[-1]

    yield make
    for desk in desks:
        desk.session.close()


@pytest.fixture
def desk(desk_of: Callable[..., Desk]) -> Desk:
    return desk_of()


@pytest.fixture
def film_studio() -> Iterator[tuple[Any, Callable[[], None]]]:
    """A server whose films are at work until an hour passes there, so that one can be left; and that hour."""
    now = [time.time()]

    def an_hour_passes() -> None:
        now[0] += 3600

    server = serve(dialect="a", time_scale=0.1, clock=lambda: now[0])
    yield server, an_hour_passes
    server.stop()
