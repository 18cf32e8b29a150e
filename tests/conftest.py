"""What every test gets: an empty environment, a home and a folder of its own, English, a fresh session, no network.

The network guard is `tests/guard/sitecustomize.py`, so that kernels and scripts which a test starts have it too.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Machines are noisy: no example is judged by its milliseconds, and a run is the same every time.
settings.register_profile("house", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

GUARD = Path(__file__).parent / "guard"
sys.path.append(str(Path(__file__).parent / "postgres"))
_rooms = itertools.count()
PROXIES = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
OURS = ("ELUMENTA_", "JPY_", "PAPERMILL_", "JUPYTER_")

_spec = importlib.util.spec_from_file_location("elumenta_test_guard", GUARD / "sitecustomize.py")
assert _spec and _spec.loader
network_guard = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = network_guard
_spec.loader.exec_module(network_guard)  # guards this process from here on


def pytest_report_header() -> list[str]:
    import sqlite3

    return [f"sqlite {sqlite3.sqlite_version}; network: loopback only"]


def _given(name: str) -> bool:
    return name.startswith(OURS) or name.lower() in PROXIES


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """A PostgreSQL of this test process (`tests/postgres/postgres_server.py`). Tests that use it are marked so."""
    import postgres_server

    with postgres_server.Server() as server:
        yield server


# `tmp_path_factory` and a MonkeyPatch of its own instead of function-scoped fixtures: Hypothesis refuses those.
@pytest.fixture(autouse=True)
def _clean_room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    room = tmp_path_factory.getbasetemp() / "rooms" / str(next(_rooms))  # mktemp reads the whole folder for a number
    room.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if _given(name)]:
            if not name.startswith("ELUMENTA_TEST_"):
                patch.delenv(name)
        patch.setenv("ELUMENTA_HOME", str(room / "home"))
        patch.setenv("ELUMENTA_LANG", "en")
        patch.setenv("IPYTHONDIR", str(room / "ipython"))
        patch.setenv("JUPYTER_PLATFORM_DIRS", "1")  # without it jupyter_core warns in children
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(GUARD), os.environ.get("PYTHONPATH")])))
        patch.chdir(room)
        yield
    _forget()


def _forget() -> None:
    """End what a test left in the process: the session and a chosen language."""
    if session := sys.modules.get("elumenta_nb._session"):
        session.reset()
    if language := sys.modules.get("elumenta_nb._language"):
        language.set_language(None)
