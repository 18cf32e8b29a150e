"""What the tests of panels share: waiting for what a person would see."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def until(condition: Callable[[], Any], timeout_s: float = 20) -> Any:
    """Wait for it, as a person looks at a panel."""
    ends = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.01)
    return found
