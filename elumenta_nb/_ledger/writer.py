"""The ledger for an event loop: what is awaited in one tick of the loop is one transaction."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, cast

from elumenta_nb._errors import ElumentaError

from .entry import Release

if TYPE_CHECKING:
    from collections.abc import Sequence

    from elumenta_nb._errors import BudgetExceeded

    from .entry import BudgetState, GenerationId, Intent, Restored, Settlement, Taken
    from .ledger import Ledger

__all__ = ["Writer"]

_IN_ONE_LIST: Final = frozenset({"reserve", "accept", "settle", "release"})  # each of their items is on its own
_BEFORE_SENDING: Final = frozenset({"reserve", "reserve_together", "restore"})  # without them nothing is sent
_Waiting = tuple[str, list[Any], "asyncio.Future[list[Any]]"]


class Writer:
    """Awaitable operations of a `Ledger`, for one loop.

    A waiter that is cancelled does not undo what it wrote, with one exception: a reservation that nobody received is
    cancelled, because nothing will be sent for it. SQLite is written on the loop itself (0.2 ms; a thread of its own
    makes a call slower), a server from a thread.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: list[_Waiting] = []
        self._flushing: asyncio.Task[None] | None = None
        self._scheduled = False

    async def reserve(self, intent: Intent) -> int | Taken:
        """The row's number, or the row that holds the intent's key. Raises `BudgetExceeded`, `LedgerError`."""
        (answer,) = await self._reserve("reserve", [intent])
        return answer

    async def reserve_together(self, intents: Sequence[Intent]) -> list[int]:
        """All of them or none; none has a key `once`. Raises `BudgetExceeded`, `LedgerError`."""
        return [answer for answer in await self._reserve("reserve_together", list(intents)) if isinstance(answer, int)]

    async def restore(self, item: Restored) -> int:
        (call_id,) = await self._ask("restore", [item])
        return cast("int", call_id)

    async def accept(self, call_id: int, generation_id: GenerationId) -> bool:
        (known,) = await self._ask("accept", [(call_id, generation_id)])
        return cast("bool", known)

    async def claim(self, call_id: int, generation_id: GenerationId) -> bool:
        (claimed,) = await self._ask("claim", [(call_id, generation_id)])
        return cast("bool", claimed)

    async def settle(self, item: Settlement) -> BudgetState | None:
        (state,) = await self._ask("settle", [item])
        return cast("BudgetState | None", state)

    async def release(self, item: Release) -> bool:
        (released,) = await self._ask("release", [item])
        return cast("bool", released)

    async def doubt(self, call_id: int, error: str) -> bool:
        (doubted,) = await self._ask("doubt", [(call_id, error)])
        return cast("bool", doubted)

    async def renew(self, call_id: int, lease_s: float) -> bool:
        (renewed,) = await self._ask("renew", [(call_id, lease_s)])
        return cast("bool", renewed)

    async def drain(self) -> None:
        """Wait until everything that was asked for is written."""
        while self._waiting or self._flushing is not None:  # noqa: ASYNC110 - the loop writes in its next tick
            await asyncio.sleep(0)

    async def _reserve(self, name: str, intents: list[Intent]) -> list[int | Taken]:
        answer = self._enqueue(name, intents)
        try:
            outcome = cast("list[int | Taken | BudgetExceeded]", await answer)
        except asyncio.CancelledError:
            if answer.done() and not answer.cancelled() and answer.exception() is None:
                self._cancel(answer.result())
            raise
        answers: list[int | Taken] = []
        for item in outcome:
            if isinstance(item, Exception):
                raise item
            answers.append(item)
        return answers

    async def _ask(self, name: str, items: list[Any]) -> list[Any]:
        outcome = await self._enqueue(name, items)
        for answer in outcome:
            if isinstance(answer, Exception):
                raise answer
        return outcome

    def _enqueue(self, name: str, items: list[Any]) -> asyncio.Future[list[Any]]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Any]] = loop.create_future()
        self._waiting.append((name, items, answer))
        if not self._scheduled and self._flushing is None:
            self._scheduled = True
            loop.call_soon(self._flush, loop)
        return answer

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        self._scheduled = False
        if self._ledger.remote:
            self._flushing = loop.create_task(self._flush_apart())
            return
        batch = self._take()
        try:
            outcome = _run(self._ledger, batch) if batch else []
        except Exception as error:  # noqa: BLE001 - it belongs to those who wait
            _refuse(batch, error)
        else:
            self._answer(batch, outcome)

    async def _flush_apart(self) -> None:
        try:
            while batch := self._take():
                try:
                    outcome = await asyncio.to_thread(_run, self._ledger, batch)
                except Exception as error:  # noqa: BLE001 - it belongs to those who wait
                    _refuse(batch, error)
                else:
                    self._answer(batch, outcome)
        finally:
            self._flushing = None

    def _answer(self, batch: Sequence[_Waiting], outcome: Sequence[list[Any]]) -> None:
        for (name, _items, answer), result in zip(batch, outcome, strict=True):
            if not answer.done():
                answer.set_result(result)
            elif name.startswith("reserve"):  # its waiter left while it was written
                self._cancel(result)

    def _cancel(self, outcome: Sequence[int | Taken | BudgetExceeded]) -> None:
        """Nobody received these reservations, so nothing will be sent for them."""
        rows = [Release(call_id=call_id, status="cancelled") for call_id in outcome if isinstance(call_id, int)]
        if rows:
            self._enqueue("release", rows)

    def _take(self) -> list[_Waiting]:
        """What waits; a reservation whose waiter is gone is dropped."""
        waiting, self._waiting = self._waiting, []
        return [entry for entry in waiting if not (entry[0].startswith("reserve") and entry[2].cancelled())]


def _run(ledger: Ledger, batch: Sequence[_Waiting]) -> list[list[Any]]:
    """One transaction; operations of one kind are one list, for a list costs little more than one item."""
    operations: list[tuple[str, list[Any]]] = []
    lists: dict[str, int] = {}
    places: list[tuple[int, int]] = []  # of each waiter: which operation, and where its items begin
    for name, items, _waiter in batch:
        at = lists.get(name)
        if at is None:
            at = len(operations)
            operations.append((name, []))
            if name in _IN_ONE_LIST:
                lists[name] = at
        places.append((at, len(operations[at][1])))
        operations[at][1].extend(items)
    outcome = ledger.run(operations)
    return [outcome[at][start : start + len(entry[1])] for (at, start), entry in zip(places, batch, strict=True)]


def _refuse(batch: Sequence[_Waiting], error: Exception) -> None:
    for name, _items, answer in batch:
        if not answer.done():
            answer.set_exception(_own(error, name))


def _own(error: Exception, name: str) -> Exception:
    """The error for one waiter: each adds to it what it knows, and a tick's other waiters are other calls."""
    if not isinstance(error, ElumentaError):
        return error
    own = type(error).__new__(type(error), *error.args)  # copy.copy would share the attributes where Dask is loaded
    own.__dict__.update(vars(error), details=dict(error.details))
    own.__cause__, own.__context__ = error.__cause__, error.__context__
    own.__suppress_context__ = error.__suppress_context__
    if name in _BEFORE_SENDING:
        own.spent = "no"
    return own.with_traceback(error.__traceback__)
