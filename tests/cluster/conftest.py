"""A sandbox that other processes can reach, as an API with a key would be, and the account's books on its side."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from elumenta_nb import sandbox
from elumenta_nb._session import Session


class Books:
    """A server and what it charged, by prompt."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self._start = server.account.balance

    @property
    def spent(self) -> int:
        return self._start - self.server.account.balance

    def charged(self) -> dict[str, int]:
        """How often each prompt was charged."""
        with sqlite3.connect(self.server.state) as db:
            rows = db.execute("SELECT prompt, COUNT(*) FROM generation WHERE tokens > 0 GROUP BY prompt").fetchall()
        db.close()
        return dict(rows)


class Impatient(Session):
    """A session for which a call that no history shows was not made after two seconds, not after fifteen minutes."""

    grace_s = 2.0


@pytest.fixture
def impatient() -> type[Session]:
    return Impatient


@pytest.fixture
def served(tmp_path, monkeypatch) -> Iterator[Books]:
    """An API on loopback with a key in the environment, as on a machine whose workers have theirs there."""
    with sandbox.serve(state=tmp_path / "sandbox.sqlite", time_scale=0.15, balance=5000) as server:
        server.control("limit", "0")
        monkeypatch.setenv("ELUMENTA_BASE_URL", server.url)
        monkeypatch.setenv("ELUMENTA_API_KEY", server.api_key)
        yield Books(server)


@pytest.fixture
def threads() -> Iterator[SimpleNamespace]:
    """A cluster of two workers in this process: quick, and as unforgiving about what they are sent."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=False,
            protocol="tcp",
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        Client(cluster) as client,
    ):
        yield SimpleNamespace(client=client, cluster=cluster)
