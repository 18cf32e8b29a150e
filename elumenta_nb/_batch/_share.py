"""The account's requests as everybody uses them who shares the ledger: what one process sends, the others count."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from anyio import to_thread

from elumenta_nb._errors import LedgerError

if TYPE_CHECKING:
    from elumenta_nb._services import Services
    from elumenta_nb._values import Limits

__all__ = ["Share"]

HOUR: Final = timedelta(hours=1)
LOOKS_S: Final = 1.0
CLOSE_S: Final = 0.2  # between looks when few are left


class Share:
    """What `Gate` asks for limits: the smaller of what the last reply told and what the ledger's rows leave of the hour.

    `hour` is the account's limit where no reply has told it yet. `keep` looks into the ledger now and then.
    """

    def __init__(self, services: Services, account: str, hour: int | None, *, few: int) -> None:
        self._services = services
        self._account = account
        self._hour = hour
        self._few = few
        self._sent: int | None = None

    def __call__(self) -> Limits:
        told = self._services.client.limits
        hour = told.hour if told.hour is not None else self._hour
        if not hour or self._sent is None:
            return told
        left = max(0, hour - self._sent)
        return replace(told, hour=hour, hour_left=left if told.hour_left is None else min(left, told.hour_left))

    async def keep(self) -> None:
        """Look until cancelled."""
        while True:
            with contextlib.suppress(LedgerError):  # the calls themselves will say so
                await self._look()
            left = self().hour_left
            await self._services.sleep(CLOSE_S if left is not None and left <= self._few else LOOKS_S)

    async def _look(self) -> None:
        told, ledger, services = self._services.client.limits, self._services.ledger, self._services
        if not (told.hour if told.hour is not None else self._hour):
            self._sent = None
            return
        now = ledger.now()
        since = now - HOUR
        if told.resets_at is not None:
            began = told.resets_at - timedelta(seconds=services.client.skew_s) - HOUR
            since = max(since, began if began <= now else since)
        self._sent = await to_thread.run_sync(lambda: ledger.sent_since(self._account, services.api, since))
