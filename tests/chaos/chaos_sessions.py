"""Sessions for bad days: they wait less than they should, one goes out as through a proxy, one lives an hour later."""

from __future__ import annotations

import asyncio
import time

import httpx

from elumenta_nb._ledger import Ledger
from elumenta_nb._session import Session

LATER_S = 3600.0


class Hasty(Session):
    """Waits a hundredth of what it should between polls and looks."""

    @staticmethod
    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / 100)


class Roundabout(Hasty):
    """Goes out by httpx's own transport, as calls through a proxy do (a proxy is never asked for this machine)."""

    @staticmethod
    def transport(_route: object) -> httpx.AsyncBaseTransport:
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=4.0)
        return httpx.AsyncHTTPTransport(limits=limits)


TRANSPORTS = {"own": Hasty, "httpx": Roundabout}  # what a call can go out by


class Later(Hasty):
    """A kernel of an hour later: every lease and every grace of the calls before it is over."""

    def ledger(self) -> Ledger:
        with self._lock:
            if self._ledger is None:
                self._ledger = Ledger(self._settings.ledger(), clock=lambda: time.time() + LATER_S)
            return self._ledger
