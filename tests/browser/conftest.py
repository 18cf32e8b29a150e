"""One server for all browser tests, one Chromium for a module, and each module once in each front end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fronts import EDITORS, Jupyter, chromium, running


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    with running(tmp_path_factory.mktemp("jupyter")) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module", params=EDITORS)
def front(request: pytest.FixtureRequest) -> str:
    return request.param
