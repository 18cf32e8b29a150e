"""Rows whose call is under way elsewhere: of an earlier run that was killed, or of another kernel that maps the same.

Nobody buys such a row until it is known what became of it. In rounds, all rows together: the ledger is asked first,
for another kernel may have finished it, then the account's history, once for all of them.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from anyio import to_thread

from elumenta_nb._errors import ElumentaError, OutcomeUnknown
from elumenta_nb._generation import Generation
from elumenta_nb._language import gettext as _
from elumenta_nb._recovery import GRACE_S, Shelf, find, given_up
from elumenta_nb._result import Result

if TYPE_CHECKING:
    from collections.abc import Callable

    from elumenta_nb._ledger import Entry
    from elumenta_nb._services import Services
    from elumenta_nb._values import Event

    from ._runner import Task

__all__ = ["Joining"]

ROUNDS_S: Final = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)  # then every 30 s
SLOW_ROUND_S: Final = 30.0
PATIENCE_S: Final = 45.0  # since anything was learned, once there is nothing else to do


class Joining:
    """Finds out, and tells `joined` with the result, `free` where the row may be bought, or `failed`."""

    def __init__(
        self,
        services: Services,
        account: str,
        *,
        joined: Callable[[Task, Result], None],
        free: Callable[[Task], None],
        failed: Callable[[Task, ElumentaError], None],
    ) -> None:
        self._services = services
        self._account = account
        self._joined = joined
        self._free = free
        self._failed = failed
        self._rows: dict[int, Task] = {}
        self._unread: dict[int, int] = {}  # rounds that a paid row's take was not in the store
        self._collecting: set[asyncio.Task[None]] = set()
        self._working: asyncio.Task[None] | None = None
        self._news_at = time.monotonic()
        self._hurries = False
        self._nap: asyncio.Future[None] | None = None
        self.closed = False

    def __len__(self) -> int:
        return len(self._rows) + len(self._collecting)

    def add(self, task: Task, entry: Entry) -> None:
        task.entry = entry
        self._rows[entry.id] = task
        if self._working is None or self._working.done():
            self._working = asyncio.ensure_future(self._work())

    def close(self) -> None:
        """Look no further; what is being fetched is fetched."""
        self.closed = True
        if self._nap is not None:
            self._nap.cancel()

    async def over(self) -> None:
        """There is nothing else to do: wait until all is known, or nothing is learned any more."""
        self._hurries, self._news_at = True, time.monotonic()
        if self._working is not None:
            await asyncio.wait({self._working})
            self._working.result()
        while self._collecting:
            await asyncio.wait(self._collecting)

    # ------------------------------------------------------------ rounds

    async def _work(self) -> None:
        rounds = 0
        while self._rows and not self.closed:
            wait_s = ROUNDS_S[rounds] if rounds < len(ROUNDS_S) else SLOW_ROUND_S
            self._nap = asyncio.ensure_future(self._services.sleep(wait_s))
            await asyncio.wait({self._nap})
            rounds += 1
            if not self.closed:
                await self._round()
            if self._hurries and time.monotonic() - self._news_at > PATIENCE_S:
                break
        for call_id in list(self._rows):
            task = self._rows.pop(call_id)
            self._failed(task, self._given_up(task))

    async def _round(self) -> None:
        services = self._services
        asked = list(self._rows)
        rows = await to_thread.run_sync(lambda: {call_id: services.ledger.call(call_id) for call_id in asked})
        shelf: Shelf | None = None
        for call_id, row in rows.items():
            task = self._rows[call_id]
            if row.status == "completed":
                await self._paid(task, row)
            elif not row.open:
                self._leave(call_id)
                self._free(task)
            elif row.generation_id is not None:
                self._collect(task, row)
            else:
                shelf = shelf or Shelf(services, min(other.started_at.timestamp() for other in rows.values()))
                await self._look(task, row, shelf)

    async def _paid(self, task: Task, row: Entry) -> None:
        """Another kernel finished it: its take is in the store or on the way there, else the server has it."""
        services = self._services
        take = await to_thread.run_sync(lambda: services.store.of_call(row.id, services.api, row.fingerprint))
        if take is not None:
            self._leave(row.id)
            self._joined(task, Result.from_take(take, base=services.store.base, call_id=row.id, reused=True))
            return
        self._unread[row.id] = self._unread.get(row.id, 0) + 1
        if self._unread[row.id] > 2:
            self._collect(task, row)

    async def _look(self, task: Task, row: Entry, shelf: Shelf) -> None:
        services = self._services
        order = task.order.of_row(row)
        order.shelf = shelf
        try:
            found = await find(services, order)
        except OutcomeUnknown as error:  # several could be it: a person has to look
            self._leave(row.id)
            self._failed(task, error)
            return
        except ElumentaError:
            return  # the server is in trouble: the next round
        if found is not None:
            self._collect(task, services.ledger.call(row.id))
        elif await given_up(services, order, row):
            self._leave(row.id)
            self._free(task)

    def _leave(self, call_id: int) -> None:
        del self._rows[call_id]
        self._unread.pop(call_id, None)
        self._news_at = time.monotonic()

    # ------------------------------------------------------------ fetching

    def _collect(self, task: Task, row: Entry) -> None:
        self._leave(row.id)
        fetching = asyncio.ensure_future(self._fetch(task, row))
        self._collecting.add(fetching)
        fetching.add_done_callback(self._collecting.discard)

    async def _fetch(self, task: Task, row: Entry) -> None:
        try:
            result = await Generation(self._services, task.order.of_row(row), _unheard).resume()
        except ElumentaError as error:
            self._failed(task, error)
        else:
            self._joined(task, result)

    def _given_up(self, task: Task) -> OutcomeUnknown:
        entry = task.entry
        assert entry is not None
        return OutcomeUnknown(
            _("an earlier run was cut off here, and it is not known whether the call was made"),
            hint=_("It is not bought twice: run the map again in {n} minutes.").format(
                n=round((self._services.grace_s or GRACE_S) / 60)
            ),
            tokens=entry.held,
            call_id=entry.id,
        )


def _unheard(_event: Event) -> None:
    pass
