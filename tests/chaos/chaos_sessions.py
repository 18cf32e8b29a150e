"""Sessions for bad days: they wait less than they should, and one of them lives an hour later than the others."""

from __future__ import annotations

import asyncio
import time

from elumenta_nb._ledger import Ledger
from elumenta_nb._session import Session

LATER_S = 3600.0


class Hasty(Session):
    """Waits a hundredth of what it should between polls and looks."""

    @staticmethod
    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / 100)


class Later(Hasty):
    """A kernel of an hour later: every lease and every grace of the calls before it is over."""

    def ledger(self) -> Ledger:
        with self._lock:
            if self._ledger is None:
                self._ledger = Ledger(self._settings.ledger(), clock=lambda: time.time() + LATER_S)
            return self._ledger
