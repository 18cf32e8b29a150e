"""Running a map: a fixed number of loops takes calls from one iterator and gives what became of each to a sink.

It knows nothing of frames and shows nothing. The tasks may be those of a whole frame or of one partition in a
cluster's worker: what keeps rows from being bought twice and budgets from being overrun is in the ledger.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from anyio import to_thread

from elumenta_nb._engine import intent_of
from elumenta_nb._errors import (
    AuthFailed,
    BadReply,
    BudgetExceeded,
    ConfigError,
    DownloadFailed,
    ElumentaError,
    InsufficientTokens,
    JobTimedOut,
    LedgerError,
    OutcomeUnknown,
    PlanRequired,
    RateLimited,
    ServerError,
    TransportError,
)
from elumenta_nb._generation import Generation
from elumenta_nb._language import gettext as _
from elumenta_nb._ledger import Taken
from elumenta_nb._result import Result
from elumenta_nb._texts import Texts
from elumenta_nb._values import Retrying, Stopped

from ._gate import Gate
from ._joining import Joining

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from elumenta_nb._ledger import Entry
    from elumenta_nb._order import Order
    from elumenta_nb._services import Services
    from elumenta_nb._values import Event

__all__ = ["Done", "Runner", "Task"]

HITS_ALL: Final = (AuthFailed, InsufficientTokens, PlanRequired, ConfigError, LedgerError)  # not this row's fault
TROUBLE: Final = (ServerError, TransportError, BadReply, OutcomeUnknown)
TROUBLES: Final = 25  # so many calls in a row with such an error, and none without: the map stops
LOOK_S: Final = 2.0
DRAIN_S: Final = 60.0  # for the calls under way when the map was stopped
BREATH: Final = 256  # calls that are settled without a wait, before others get their turn


@dataclass(slots=True)
class Task:
    """A call to see through: `order` priced and with its fingerprint; `entry` the ledger's row where there is one.

    `once`: a key that only one row of the account, open or paid, may hold; without one it is bought whatever there is.
    """

    number: int
    order: Order
    entry: Entry | None = None
    once: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a task. `status`: ``completed``, ``failed``, ``not bought``, ``pending`` or ``unknown``."""

    number: int
    status: str
    result: Result | None = None
    error: str = ""
    tokens: int = 0
    call_id: int | None = None


class Runner:
    """Sees tasks through. `run` on the background loop; `stop` and the figures from any thread.

    `sink` is called on the loop, once for each task that was taken, in any order; those that were never taken stay in
    the iterator. `stopped` says why it ended early, with the `error` behind it.
    """

    def __init__(
        self,
        services: Services,
        account: str,
        tasks: Iterator[Task],
        sink: Callable[[Done], None],
        *,
        concurrency: int,
        label: str = "",
        on_error: str = "keep",
        gate: Gate | None = None,
        drain_s: float = DRAIN_S,
    ) -> None:
        self._services = replace(services, texts=Texts(services.store, label))
        self._account = account
        self._tasks = tasks
        self._sink = sink
        self._again: deque[Task] = deque()
        self._raises = on_error == "raise"
        self._concurrency = concurrency
        self._drain_s = drain_s
        client = services.client
        self.gate = gate or Gate(concurrency, limits=lambda: client.limits, skew_s=lambda: client.skew_s)
        self._joining = Joining(
            self._services, account, joined=self._joined, free=self._bought_after_all, failed=self._fail
        )
        self._holding = 0
        self._room: list[asyncio.Future[None]] = []
        self._least: int | None = None  # what did not fit into a budget while nothing was under way
        self._why_not = ""
        self._troubles = 0
        self._cut_off: dict[int, Stopped] = {}  # by call: what was true of it when its loop was cancelled
        self._home: asyncio.AbstractEventLoop | None = None
        self.draining: asyncio.Future[None] | None = None  # behind an interrupted cell
        self.under_way: set[int] = set()  # tasks that were taken, and their outcome is not told yet
        self.stopped = ""
        self.error: ElumentaError | None = None
        self.reason = ""  # why nothing is sent for a while

    # ------------------------------------------------------------ from outside

    def stop(self, why: str, error: ElumentaError | None = None) -> None:
        """Take no more tasks. What is under way is seen through."""
        if not self.stopped:
            self.stopped, self.error = why, error
        if self._home is None or self._home is _running_loop():
            self._close_doors()
        else:
            self._home.call_soon_threadsafe(self._close_doors)

    def _close_doors(self) -> None:
        self.gate.close()
        self._joining.close()

    async def run(self) -> None:
        """Until all tasks are done or it was stopped. Cancelled, it takes no more, and what is under way goes on behind."""
        self._home = asyncio.get_running_loop()
        ending = asyncio.ensure_future(self._end())
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            if ending.cancelled():
                raise
            self.stop(_("stopped by you"))
            self.draining = ending
            self._services.background.add(ending)
            ending.add_done_callback(self._services.background.discard)
            raise

    async def _end(self) -> None:
        """Run the loops to their end; what they leave to find out may give them more to do."""
        more = True
        try:
            while more:
                loops = [asyncio.ensure_future(self._loop()) for _ in range(self._concurrency)]
                await self._wait_for(loops)
                await self._joining.over()
                more = bool(self._again) and not self.gate.closed
        finally:
            while self._again:
                self._put(Done(self._again.popleft().number, "not bought", error=self.stopped))
            assert self._services.texts is not None
            await self._services.texts.close()

    async def _wait_for(self, loops: list[asyncio.Task[None]]) -> None:
        """Until all loops have ended; of stopped ones at most `drain_s`. Raises what a loop raised, when all are at rest."""
        waiting, closed_for_s = set(loops), 0.0
        wrong: BaseException | None = None
        while waiting and closed_for_s < self._drain_s:
            done, waiting = await asyncio.wait(waiting, timeout=LOOK_S, return_when=asyncio.FIRST_EXCEPTION)
            closed_for_s += LOOK_S if self.gate.closed and not done else 0.0
            for loop in done:
                if (error := loop.exception()) is not None:
                    wrong = wrong or error
                    self.stop(f"{type(error).__name__}: {error}")
        if waiting:  # the server takes its time: these rows stay open, and the next run finds them
            for loop in waiting:
                loop.cancel()
            await asyncio.wait(waiting, timeout=10)
        if wrong is not None:
            raise wrong

    # ------------------------------------------------------------ the loops

    async def _loop(self) -> None:
        quick = 0
        while self.gate.try_enter() or await self.gate.enter():
            task: Task | None = None
            try:
                task = self._again.popleft() if self._again else next(self._tasks, None)
                if task is None:
                    return
                self.under_way.add(task.number)
                if self._is_beyond(task):
                    quick += 1
                    self._put(Done(task.number, "not bought", error=self._why_not))
                elif task.entry is not None:
                    await self._known(task, task.entry)
                else:
                    await self._buy(task)
            except asyncio.CancelledError:
                if task is not None:
                    self._leave(task)
                raise
            finally:
                self.gate.leave()
            if quick >= BREATH:
                quick = 0
                await asyncio.sleep(0)

    def _is_beyond(self, task: Task) -> bool:
        return self._least is not None and task.entry is None and task.order.held >= self._least

    async def _buy(self, task: Task) -> None:
        order = task.order
        order.depart()
        try:
            answer = await self._services.writer.reserve(
                intent_of(self._services, self._account, order, once=task.once)
            )
        except BudgetExceeded as error:
            await self._refused(task, error)
            return
        except ElumentaError as error:
            self._fail(task, error)
            return
        if isinstance(answer, Taken):
            await self._known(task, answer.entry)
            return
        order.call_id = answer
        self._holding += 1
        try:
            result = await Generation(self._services, order, self._heard).buy()
        except RateLimited as error:
            self.reason = str(error)
            self.gate.refused(error.retry_after)
            task.order = fresh(order)
            self._again.append(task)
        except ElumentaError as error:
            self._fail(task, error)
        else:
            self._succeed(task, result)
        finally:
            self._holding -= 1
            self._make_room()

    async def _known(self, task: Task, entry: Entry) -> None:
        """A row of the ledger has this call: fetched where it is paid, waited for where it is open."""
        if entry.open:
            self._joining.add(task, entry)
            return
        services, order = self._services, task.order.of_row(entry)
        try:
            take = await to_thread.run_sync(lambda: services.store.of_call(entry.id, services.api, entry.fingerprint))
            take = take or await Generation(services, order, self._heard).fetch()
        except RateLimited as error:
            self.reason = str(error)
            self.gate.refused(error.retry_after)
            task.entry = entry
            self._again.append(task)
        except ElumentaError as error:
            error.call_id = entry.id
            self._fail(task, error)
        else:
            self._joined(task, Result.from_take(take, base=services.store.base, call_id=entry.id, reused=True))

    def _heard(self, event: Event) -> None:
        if isinstance(event, Retrying):
            self.reason = event.reason
        elif isinstance(event, Stopped) and event.call_id is not None:
            self._cut_off[event.call_id] = event

    # ------------------------------------------------------------ budgets

    async def _refused(self, task: Task, error: BudgetExceeded) -> None:
        """What is under way may cost less than it holds: the row is asked again when something ended."""
        if self._holding and not self.gate.closed:
            room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._room.append(room)
            await room
            self._again.appendleft(task)
            return
        self._why_not = " ".join([str(error), *error.hint.splitlines()[:1]])  # how to go on stands in the row
        held = task.order.held
        self._least = held if self._least is None else min(self._least, held)
        self._put(Done(task.number, "not bought", error=self._why_not))

    def _make_room(self) -> None:
        room, self._room = self._room, []
        for waiter in room:
            if not waiter.done():
                waiter.set_result(None)

    # ------------------------------------------------------------ how rows end

    def _succeed(self, task: Task, result: Result) -> None:
        self._troubles = 0
        self.gate.went_well()
        self._put(Done(task.number, "completed", result, "", result.tokens, result.id))
        texts = self._services.texts
        if texts is not None and texts.trouble:  # what comes now is paid, and could not be kept
            self.stop(_("results cannot be stored: {why}").format(why=texts.trouble))

    def _joined(self, task: Task, result: Result) -> None:
        """A row that another run bought: it costs this one nothing."""
        self._put(Done(task.number, "completed", result, "", 0, result.id))

    def _bought_after_all(self, task: Task) -> None:
        """The row that was in the way is known to have cost nothing."""
        task.entry = None
        task.order = fresh(task.order)
        self._again.append(task)

    def _leave(self, task: Task) -> None:
        """A row whose loop was cancelled: the next run of the map finds what its call is by then."""
        order = task.order
        call_id = order.call_id or (task.entry.id if task.entry is not None else None)
        cut_off = self._cut_off.get(order.call_id)
        status = cut_off.status if cut_off is not None else "completed" if task.entry is not None else "cancelled"
        if status == "cancelled":
            self._put(Done(task.number, "not bought", error=self.stopped))
        elif status == "completed":
            tokens = order.receipt.tokens if order.receipt is not None else 0
            why = _("stopped before it was stored; it is paid, and the map run again fetches it")
            self._put(Done(task.number, "failed", error=why, tokens=tokens, call_id=call_id))
        else:
            left = "pending" if status == "pending" else "unknown"
            self._put(Done(task.number, left, error=_("stopped while it ran"), call_id=call_id))

    def _fail(self, task: Task, error: ElumentaError) -> None:
        status = (
            "unknown"
            if isinstance(error, OutcomeUnknown)
            else "pending"
            if isinstance(error, JobTimedOut)
            else "failed"
        )
        tokens = (error.tokens or 0) if isinstance(error, DownloadFailed) and error.spent == "yes" else 0
        self._put(Done(task.number, status, None, f"{type(error).__name__}: {error}", tokens, error.call_id))
        self._troubles = self._troubles + 1 if isinstance(error, TROUBLE) else 0
        if isinstance(error, HITS_ALL):
            self.stop(str(error), error)
        elif self._troubles >= max(TROUBLES, 2 * self._concurrency):
            self.stop(_("{n} calls in a row failed: {why}").format(n=self._troubles, why=error), error)
        elif self._raises:
            self.stop(str(error), error)

    def _put(self, done: Done) -> None:
        self.under_way.discard(done.number)
        self._sink(done)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def fresh(order: Order) -> Order:
    """The same order, as if it had never left."""
    from elumenta_nb._order import Order as _Order

    made = _Order.of_call(order.call, order.resolved, order.index)
    made.quote, made.quoted, made.held, made.fingerprint = order.quote, order.quoted, order.held, order.fingerprint
    return made
