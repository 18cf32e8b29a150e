"""A cell's calls, from price to results: restore what is stored, join what is open, buy the rest together.

What concerns the whole cell (price, consent, budget, key) is decided here, before anything is sent; what happens to
one paid generation is `_generation`'s. No `ExceptionGroup` leaves here: IPython shows those as no error.
"""

from __future__ import annotations

import contextlib
import time
from math import ceil
from typing import TYPE_CHECKING, Any, Final

from anyio import create_task_group, to_thread

from ._earlier import is_awaited, may_reuse, not_home
from ._errors import ElumentaError, LedgerError, NotStored, OutcomeUnknown
from ._generation import Generation
from ._language import gettext as _, ngettext, tokens as _tokens
from ._ledger import Intent, Restored
from ._prices import allowed, consent, price_key
from ._recovery import find, given_up, grace
from ._result import Result
from ._values import Quoted, Receipt, Settled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
    from datetime import datetime

    from ._ledger import Entry
    from ._order import Order
    from ._services import Services
    from ._store import Take
    from ._values import Event

__all__ = ["Engine", "intent_of"]

ASKED_S: Final = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0)  # for what another process asks for at this moment


class Engine:
    """Runs orders against one account. Lives on the background loop."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._greeted = False
        self._fetching: set[tuple[str, int]] = set()  # runs of a cell, and the paid calls they fetch

    async def execute(
        self,
        orders: Sequence[Order],
        *,
        max_price: int | None,
        confirm_above: int,
        emit: Callable[[Event], None],
    ) -> list[Result | ElumentaError]:
        """Run the orders of one cell: restore what is stored, buy the rest together, in their order.

        An order that fails after its price was accepted is an error in the list; what concerns all of them (price,
        consent, budget, key) is raised, and then nothing was sent.
        """
        results: dict[int, Result | ElumentaError] = {}
        to_buy: list[Order] = []
        judged: set[int] = set()
        waits = iter(ASKED_S)  # for all of them together
        for order in orders:
            had = await self._had(order, judged, waits, emit)
            if had is not None:
                results[order.index] = had
            else:
                to_buy.append(order)
        if to_buy:
            await self._price(to_buy, max_price=max_price, confirm_above=confirm_above, emit=emit)
            await self._reserve(to_buy)
            bought = await self._together([Generation(self._services, order, emit).buy() for order in to_buy])
            for order, result in zip(to_buy, bought, strict=True):
                results[order.index] = result
        return [results[order.index] for order in orders]

    async def _had(
        self, order: Order, judged: set[int], waits: Iterator[float], emit: Callable[[Event], None]
    ) -> Result | ElumentaError | None:
        """What was bought before: stored, still open, or paid and never fetched. ``None``: it has to be bought."""
        if not may_reuse(order):
            return None
        take = await self._stored(order)
        if take is not None:
            return await self._handed(order, take, emit)
        if order.call.reuse == "only":
            raise NotStored(
                _("There is no stored result of {what}, and only stored ones may be shown.").format(what=order.named),
                hint=_("To buy it: run it once with another reuse policy (ELUMENTA_REUSE, --reuse)"),
            )
        rows = await self._alike(order)
        if await self._has_waited(order, [row for row in rows if row.id not in judged], waits):
            take = await self._stored(order)
            if take is not None:
                return await self._handed(order, take, emit)
            rows = await self._alike(order)
        if not rows:
            return None
        earlier = await self._earlier(order, rows, judged, emit)
        if earlier is not None:
            return earlier
        return await self._fetched(order, rows, judged, emit)

    async def _stored(self, order: Order) -> Take | None:
        services = self._services
        return await to_thread.run_sync(lambda: services.store.find(order.call, services.api, policy=order.call.reuse))

    async def _alike(self, order: Order) -> list[Entry]:
        """Equal calls that are open or were paid, as far as they are this user's."""
        services = self._services
        fingerprint = services.store.fingerprint(order.call, services.api)
        account = await services.account()
        rows = services.ledger.of_fingerprints(account, services.api, [fingerprint]).get(fingerprint, [])
        return [row for row in rows if services.ledger.is_left_to(order.call.origin.user, row)]

    async def _has_waited(self, order: Order, rows: Sequence[Entry], waits: Iterator[float]) -> bool:
        """Whether there was something to wait for: another process asks for the same, or died while it did.

        Until one of these calls got its answer, or the history shows its generation; at most for `waits`, 45 seconds.
        """
        services = self._services
        under_way = [row for row in rows if _is_under_way(order, row)]
        for wait_s in waits if under_way else ():
            await services.sleep(wait_s)
            for row in under_way:
                if not _is_under_way(order, services.ledger.call(row.id)):
                    return True
                with contextlib.suppress(ElumentaError):  # the server is in trouble, or several could be it
                    if await find(services, order.of_row(row)) is not None:
                        return True
        return bool(under_way)

    async def _handed(
        self,
        order: Order,
        take: Take,
        emit: Callable[[Event], None],
        *,
        note: str = "",
        paid_at: datetime | None = None,
    ) -> Result:
        """A stored take as the result of this call: 0 tokens."""
        call = order.call
        call_id: int | None = None
        account = await self._known_account(order)
        if account:
            with contextlib.suppress(LedgerError):  # a result that costs nothing is shown without its row
                call_id = await self._services.writer.restore(
                    Restored(
                        account=account,
                        api=self._services.api,
                        origin=call.origin,
                        category=call.category,
                        model=call.model,
                        provider=order.resolved.model.provider,
                        params=dict(call.params),
                        prompt_chars=len(call.prompt),
                        prompt_hash=order.prompt_hash,
                        fingerprint=take.fingerprint,
                        restored_from=take.call_id,
                        saved=take.tokens,
                        folder=str(take.folder),
                        media=tuple(item.path.name for item in take.media),
                        count_index=order.index,
                    )
                )
        receipt = Receipt(
            call_id=call_id,
            model=call.model,
            status="completed",
            tokens=0,
            quoted=take.quoted,
            latency_s=time.monotonic() - order.began,
            reused=True,
            paid_before=take.tokens,
            paid_at=paid_at or take.created_at,
            anew=order.anew,
            sandbox=take.api == "sandbox",
            note=note,
        )
        result = Result.from_take(take, base=self._services.store.base, reused=True, call_id=call_id, receipt=receipt)
        emit(Settled(index=order.index, receipt=receipt))
        return result

    async def _known_account(self, order: Order) -> str:
        """Whose row a restored call is; ``""`` with ``only``, which sends nothing, and where the server is away."""
        if order.call.reuse == "only" or not self._services.api:
            return ""
        with contextlib.suppress(ElumentaError):
            return await self._services.account()
        return ""

    async def _earlier(
        self, order: Order, rows: Sequence[Entry], judged: set[int], emit: Callable[[Event], None]
    ) -> Result | ElumentaError | None:
        """What becomes of an open call of an earlier run of this very cell: waiting for it is free, another is not.

        One without an id is looked up first; while nobody knows whether it was made, it is not bought again.
        """
        services = self._services
        for row in sorted(rows, key=lambda row: _is_under_way(order, row)):  # those that got an answer first
            if row.id in judged or not (is_awaited(order, row) or _is_under_way(order, row)):
                continue
            judged.add(row.id)
            joined = order.of_row(row)
            result: Result | ElumentaError | None = None
            if joined.generation_id is None:
                result = await self._unmade(joined, row)
            if result is None:
                result = await self._kept(Generation(services, joined, emit).resume())
            if not (isinstance(result, OutcomeUnknown) and await given_up(services, joined, row)):
                return result
        return None

    async def _unmade(self, order: Order, row: Entry) -> OutcomeUnknown | None:
        """Why an open call without an id cannot be waited for; ``None``: it has one now."""
        why = _("the history does not show it yet")
        try:
            if await find(self._services, order) is not None:
                return None
        except OutcomeUnknown as error:
            return error
        except ElumentaError as error:
            why = str(error)
        if _is_under_way(order, row):
            return _still_asked(order, row, self._services.ledger.now())
        return _not_again(order, row, why)

    async def _fetched(
        self, order: Order, rows: Sequence[Entry], judged: set[int], emit: Callable[[Event], None]
    ) -> Result | ElumentaError | None:
        """The result of an equal call that was paid and never came here: a download failed, or a kernel died.

        An error where the server has it no more: another is bought on purpose only.
        """
        services, run = self._services, order.call.origin.run
        for row in await to_thread.run_sync(lambda: not_home(order, rows, services.store, services.api)):
            mine = (run, row.id)
            if row.id in judged or mine in self._fetching:
                continue
            judged.add(row.id)
            self._fetching.add(mine)
            try:
                take = await Generation(services, order.of_row(row), emit).fetch()
            except ElumentaError as error:
                return error
            finally:
                self._fetching.discard(mine)
            return await self._handed(order, take, emit, note=_("fetched now"), paid_at=row.started_at)
        return None

    async def _price(
        self, orders: Sequence[Order], *, max_price: int | None, confirm_above: int, emit: Callable[[Event], None]
    ) -> None:
        self._services.purse.refresh_behind()
        total = 0
        for order in orders:
            order.quote = await self._services.prices.quote(order.resolved)
            order.quoted = order.quote.tokens
            order.fingerprint = self._services.store.fingerprint(order.call, self._services.api)
            order.held = self._services.prices.held(order.resolved, order.quote)
            if not order.held and not order.quote.exact:
                most = allowed(max_price, what=order.what, surface=order.call.origin.source)
                order.held = max(1, int(most // len(orders)))
            total += order.held
            emit(Quoted(index=order.index, quote=order.quote, total=total))
        first = orders[0]
        count = len(orders)
        what = first.what if count == 1 else f"{count} × {first.what}"
        surface = first.call.origin.source
        consent(total, max_price=max_price, confirm_above=confirm_above, what=what, surface=surface)

    async def _reserve(self, orders: Sequence[Order]) -> None:
        account = await self._services.account()
        if not self._greeted:
            self._greeted = True
            orders[0].note = self._greeting(account, orders[0].call.origin.user)
        for order in orders:
            order.depart()
        intents = [intent_of(self._services, account, order) for order in orders]
        for order, call_id in zip(orders, await self._services.writer.reserve_together(intents), strict=True):
            order.call_id = call_id

    def _greeting(self, account: str, user: str) -> str:
        """What a person should know at the first call of a kernel: what tokens are, and what is unfinished."""
        services = self._services
        if services.store.note:
            return services.store.note
        if not services.ledger.has_seen(account, services.api):
            return _("Elumenta tokens are credits of the account, not LLM tokens")
        rows = [
            row for row in services.ledger.open_calls(account, services.api) if services.ledger.is_left_to(user, row)
        ]
        if not rows:
            return ""
        held = _tokens(sum(row.held for row in rows))
        calls = ngettext("{n} unfinished call", "{n} unfinished calls", len(rows))
        return _("{calls} (up to {tokens}): {line}").format(calls=calls, tokens=held, line="%elumenta recover")

    async def _together(self, runs: Sequence[Coroutine[Any, Any, Result]]) -> list[Result | ElumentaError]:
        """All of them side by side. A stop reaches each through its scope, so that what it shields is finished.

        A task that is cancelled itself (`gather` does that) would leave its shields, and its row as it was.
        """
        if len(runs) == 1:  # most cells: no task of its own
            return [await self._kept(runs[0])]
        ended: dict[int, Result | ElumentaError] = {}
        wrong: list[Exception] = []

        async def see_through(index: int, run: Awaitable[Result]) -> None:
            try:
                ended[index] = await self._kept(run)
            except Exception as error:  # noqa: BLE001 - raised when the others, which are paid too, are home
                wrong.append(error)

        async with create_task_group() as group:
            for index, run in enumerate(runs):
                group.start_soon(see_through, index, run)
        if wrong:
            raise wrong[0]
        return [ended[index] for index in range(len(runs))]

    @staticmethod
    async def _kept(run: Awaitable[Result]) -> Result | ElumentaError:
        try:
            return await run
        except ElumentaError as error:
            return error

    # ------------------------------------------------------------ calls of earlier runs

    async def resume(self, orders: Sequence[Order], emit: Callable[[Event], None]) -> list[Result | ElumentaError]:
        """Wait for open calls of the ledger, whoever started them, and collect their results."""
        return await self._together([Generation(self._services, order, emit).resume() for order in orders])


def intent_of(services: Services, account: str, order: Order, *, once: str = "") -> Intent:
    """The row that a priced order gets before it is sent. `once`: as `Intent.once`."""
    call = order.call
    return Intent(
        account=account,
        api=services.api,
        origin=call.origin,
        category=call.category,
        model=call.model,
        provider=order.resolved.model.provider,
        params=call.params,
        prompt_chars=order.prompt_chars,
        prompt_hash=order.prompt_hash,
        fingerprint=order.fingerprint,
        price_key=price_key(order.resolved),
        count_index=order.index,
        folder=str(services.store.folder),
        quoted=order.quoted,
        held=order.held,
        lease_s=grace(services),
        once=once,
    )


def _is_under_way(order: Order, row: Entry) -> bool:
    """Whether another process asks for it at this moment, or died while it did, where there is no cell to know it by.

    The lease of such a row says which of the two within 15 minutes. What this process asks for itself are other calls.
    """
    ours, theirs = order.call.origin, row.origin
    has_cell = any(origin.cell_id or origin.source_hash for origin in (ours, theirs))
    return row.status == "reserved" and not has_cell and theirs.kernel != ours.kernel


def _not_again(order: Order, row: Entry, why: str) -> OutcomeUnknown:
    return OutcomeUnknown(
        _("{model}: an earlier run of this cell was cut off, and it is not known whether it was made ({why}).").format(
            model=row.model, why=why.removesuffix(".")
        ),
        hint=_("It is not bought twice. To look again: %elumenta recover {id}; to buy another now: {option}").format(
            id=row.id, option=order.anew
        ),
        tokens=row.held,
        call_id=row.id,
    )


def _still_asked(order: Order, row: Entry, now: datetime) -> OutcomeUnknown:
    ends = row.lease_until or now
    return OutcomeUnknown(
        _("{model}: another process asked for the same (call {id}), and may still wait for the answer.").format(
            model=row.model, id=row.id
        ),
        hint=_(
            "It is not bought twice. Run it again when that is done, or in {n} minutes; "
            "to look again: %elumenta recover {id}; to buy another now: {option}"
        ).format(n=max(1, ceil((ends - now).total_seconds() / 60)), id=row.id, option=order.anew),
        tokens=row.held,
        call_id=row.id,
    )
