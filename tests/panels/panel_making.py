"""What the tests of panels share: a session that waits less, and waiting for what a person would see."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from elumenta_nb._session import Session


class QuickSession(Session):
    """Waits a twentieth of what it should."""

    @staticmethod
    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / 20)


def until(condition: Callable[[], Any], timeout_s: float = 20) -> Any:
    """Wait for it, as a person looks at a panel."""
    ends = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.01)
    return found
