"""One paid generation: send once, wait, settle, bring the result home.

Order is the promise: the row is on disk before this begins, the job's id before the first wait, the charge before the
download. What was sent and not answered is looked up, never sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, Final, Literal

from anyio import CancelScope, move_on_after

from ._delivery import Delivery
from ._errors import (
    BadReply,
    DownloadFailed,
    ElumentaError,
    GenerationFailed,
    LedgerError,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    ServerError,
    TransportError,
)
from ._language import gettext as _, tokens as _tokens
from ._ledger import Release, Settlement
from ._order import SLOW_POLL_S, Order, Watcher, no_answer, poll_delay, timed_out, way_back
from ._recovery import find, grace, look_up
from ._values import Receipt, Retrying, Stopped, Waiting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from ._ledger import BudgetState
    from ._result import Result
    from ._services import Services
    from ._store import Take
    from ._values import Event, Reply, Status

__all__ = ["Generation"]

GONE: Final = frozenset({403, 404, 410})  # what a file's host says of a file that it has no more
LOST_POLLS: Final = 3  # a job the server does not know so often in a row is looked up in the history
PAGE_S: Final = 5  # for one question that is only to make sure
FAREWELL_S: Final = 5  # for the book-keeping of a call that is stopped
SHORTEST_RENEWAL_S: Final = 0.1


class Generation:
    """One order on its way. `buy` and `resume` give its `Result` or raise a typed error that says what was spent."""

    def __init__(self, services: Services, order: Order, emit: Callable[[Event], None]) -> None:
        self._services = services
        self._order = order
        self._emit = emit
        self._watch = Watcher(services.writer, order, emit)
        self._delivery = Delivery(services, order, emit)
        self._paid: Reply | None = None  # while it is booked and brought home
        self._is_counted = False

    async def buy(self) -> Result:
        """Send the reserved order and see it through."""
        async with self._may_be_stopped():
            return await self._home(await self._answer())

    async def resume(self) -> Result:
        """Wait for an open call of the ledger, whoever started it, and collect its result.

        Raises as a call does; a call that the history does not know stays open until its grace is over.
        """
        async with self._may_be_stopped():
            if self._order.generation_id is None:
                reply = await self._found(OutcomeUnknown(_("it was not answered when it was made")))
            else:
                try:
                    reply = await self._services.client.poll(self._order.generation_id)
                except (NotFound, BadReply) as error:
                    reply = await self._found(error)
            return await self._home(await self._finished(reply))

    async def fetch(self) -> Take:
        """Bring home the result of a call that is paid already. Raises `DownloadFailed`; nothing is ever bought."""
        again = _("To try again, at no cost: run the cell again.")
        try:
            return await self._fetch()
        except (DownloadFailed, NotFound, OutcomeUnknown, BadReply) as error:
            gone = error.status in GONE
            another = _("To buy another: {option}").format(option=self._order.anew)
            raise DownloadFailed(
                _("{model} was paid before ({tokens}, call {id}), and its result did not come: {why}").format(
                    model=self._order.what,
                    tokens=_tokens(self._order.paid or 0),
                    id=self._order.call_id,
                    why=_("the server does not have it any more.") if gone else error,
                ),
                hint=another if gone else f"{again}\n{another}",
                spent="no",
                call_id=self._order.call_id,
                status=error.status,
            ) from error
        except ElumentaError as error:
            error.spent, error.tokens, error.call_id = "no", None, self._order.call_id
            error.hint = "\n".join(filter(None, [error.hint, again]))
            raise

    # ------------------------------------------------------------ sent once

    async def _answer(self) -> Reply:
        """The final reply of the server: sent once, waited for, and looked up where the answer got lost."""
        try:
            reply = await self._sent()
        except ElumentaError as error:
            error.call_id = self._order.call_id
            if isinstance(error, GenerationFailed):
                reply = await self._overtaken(error)
            elif error.spent == "no":
                with contextlib.suppress(LedgerError):  # what happened is said; the lease frees the hold
                    await self._services.writer.release(self._release("failed", error))
                raise
            else:
                reply = await self._found(error)
        if reply.id is not None:
            await self._watch.accepted(reply.id)
        return await self._finished(reply)

    async def _sent(self) -> Reply:
        """What the one request brought. While it is under way no other kernel takes the row for an abandoned one."""
        renewing = asyncio.ensure_future(self._renew())
        try:
            return await self._services.client.create(
                self._order.call, self._watch, waits_for_limits=self._services.texts is None
            )
        finally:
            renewing.cancel()

    async def _renew(self) -> None:
        lease_s = grace(self._services)
        while True:
            await asyncio.sleep(max(lease_s / 3, SHORTEST_RENEWAL_S))
            with contextlib.suppress(LedgerError):  # the next time
                await self._services.writer.renew(self._order.call_id, lease_s)

    async def _overtaken(self, error: GenerationFailed) -> Reply:
        """A stream that ended with an error may have been made and charged all the same: its page tells.

        Raises the failure where the page has nothing else, or is not to be had.
        """
        generation_id = self._order.generation_id or error.generation_id
        reply: Reply | None = None
        if generation_id is not None and error.spent == "no" and self._order.call.stream:
            with move_on_after(PAGE_S), contextlib.suppress(ElumentaError):
                reply = await self._services.client.poll(generation_id)
        if reply is None or reply.status not in ("completed", "pending"):
            raise await self._failed(str(error), error, reply) from None
        return reply

    # ------------------------------------------------------------ looked up and waited for

    async def _found(self, error: ElumentaError) -> Reply:
        """The reply of a call whose answer was lost. Raises `OutcomeUnknown` when it does not turn up in time."""
        await self._remember()
        with contextlib.suppress(LedgerError):  # the row stays as it is, open
            await self._services.writer.doubt(self._order.call_id, f"{type(error).__name__}: {error}")
        reply = await look_up(self._services, self._order)
        if reply is not None:
            return reply
        raise no_answer(self._order, error) from error

    async def _remember(self) -> None:
        """The job's id on the disk. A ledger that is away for a moment does not lose the job: it is asked again."""
        with contextlib.suppress(LedgerError):
            await self._watch.remembered()

    async def _finished(self, reply: Reply) -> Reply:
        """The reply once it is final: an accepted job is waited for."""
        if reply.id is None and not _is_final(reply):
            reply = await self._found(BadReply(_("the reply has no id")))
        return reply if _is_final(reply) else await self._wait(reply)

    async def _wait(self, reply: Reply) -> Reply:
        """Poll an accepted job to its end. Raises `JobTimedOut`; the job goes on and can be recovered."""
        ends = time.monotonic() + self._services.job_timeout_s
        polls = lost = 0
        while not _is_final(reply):
            assert reply.id is not None
            await self._remember()
            delay = poll_delay(polls, reply.eta_s, self._services.client.limits)
            if time.monotonic() + delay > ends:
                raise timed_out(self._order)
            await self._services.sleep(delay)
            polls += 1
            try:
                news = await self._news(reply.id, ends)
            except (NotFound, BadReply) as error:
                lost += 1
                if lost == LOST_POLLS:
                    reply, lost = await self._elsewhere(error, reply), 0
                continue
            if news is None:
                continue
            reply, lost = news, 0
            if not _is_final(reply):
                self._emit(Waiting(index=self._order.index, progress=reply.progress, eta_s=reply.eta_s))
        return reply

    async def _elsewhere(self, error: NotFound | BadReply, reply: Reply) -> Reply:
        """What the history says of a job whose page is gone, or cannot be read: that one is there, and waited for."""
        self._order.shelf = None  # what a recovery read of the history is old by now
        if isinstance(error, NotFound):
            return await self._found(error)
        with contextlib.suppress(ElumentaError):
            return await find(self._services, self._order) or reply
        return reply

    async def _news(self, generation_id: int | str, ends: float) -> Reply | None:
        """One poll; ``None`` where it brought nothing, for the job does not depend on our connection."""
        try:
            return await self._services.client.poll(generation_id)
        except RateLimited as error:
            wait_s = min(error.retry_after or SLOW_POLL_S, max(0.0, ends - time.monotonic()))
            self._emit(Retrying(index=self._order.index, reason=_("request limit reached"), wait_s=wait_s))
            await self._services.sleep(wait_s)
        except (TransportError, ServerError):
            pass
        except (NotFound, BadReply):
            raise
        except ElumentaError as error:
            error.spent, error.tokens, error.call_id = "maybe", self._order.held, self._order.call_id
            error.hint = "\n".join(filter(None, [error.hint, way_back(self._order)]))
            raise
        return None

    # ------------------------------------------------------------ booked and brought home

    async def _home(self, reply: Reply) -> Result:
        """A final reply: booked, then brought home. Raises `GenerationFailed`."""
        if reply.status == "failed":
            raise await self._failed(reply.error, reply=reply)
        self._paid = reply
        await self._settle(reply)
        return await self._delivery.collect(reply)

    async def _settle(self, reply: Reply) -> None:
        quoted, told, note = self._order.quoted, reply.tokens, ""
        if told is None and reply.id is not None:
            await self._remember()
            told = await self._charge_of(reply.id)
        tokens = told
        if tokens is None:
            tokens = self._order.paid
        if tokens is None:
            tokens, note = quoted, _("the server did not say what it charged: the quote was booked")
        if tokens > quoted:
            self._services.prices.learn(self._order.resolved, tokens)
            note = note or _("quoted {quoted}, charged {tokens}").format(quoted=quoted, tokens=tokens)
        if self._order.note:
            note = f"{note} · {self._order.note}" if note else self._order.note
        self._counted(tokens, reply.balance)
        latency_s = time.monotonic() - self._order.began
        settlement = Settlement(
            call_id=self._order.call_id,
            tokens=told,
            generation_id=reply.id,
            balance_after=reply.balance,
            latency_s=latency_s,
            attempts=self._order.attempts,
        )
        budget: BudgetState | None = None
        try:
            budget = await self._services.writer.settle(settlement)
        except LedgerError as error:  # the result is paid: show it, and leave the row open for recover
            note = _("not booked ({why}); after mending it: %elumenta recover {id}").format(
                why=error, id=self._order.call_id
            )
        if budget is not None and budget.warn:
            used = (
                100 * budget.used // budget.limit if budget.limit else 100
            )  # it may have been set to nothing meanwhile
            share = _("{n} % of this budget is used").format(n=used)
            note = " · ".join(filter(None, [note, share]))
        self._order.receipt = Receipt(
            call_id=self._order.call_id,
            model=self._order.call.model,
            status="completed",
            tokens=tokens,
            quoted=quoted,
            latency_s=latency_s,
            balance=self._services.purse.tokens,
            balance_exact=self._services.purse.exact,
            budget_used=budget.used if budget else None,
            budget_limit=budget.limit if budget else None,
            budget_name=budget.name if budget else "",
            sandbox=self._services.api == "sandbox",
            note=note,
        )

    async def _charge_of(self, generation_id: int | str) -> int | None:
        """A completed reply without a figure: the status page may have it. While it says pending its 0 is no figure."""
        with move_on_after(PAGE_S), contextlib.suppress(ElumentaError):
            told = await self._services.client.poll(generation_id)
            return told.tokens if told.status == "completed" else None
        return None

    def _counted(self, tokens: int, left: int | None) -> None:
        """The balance beside the receipts, once for a call, however often it is settled."""
        if self._is_counted:
            return
        self._is_counted = True
        if self._order.is_joined:  # charged at a time nobody here knows: maybe before the balance was asked for
            self._services.purse.doubt()
        else:
            self._services.purse.settled(tokens, left, self._order.began)

    async def _failed(
        self, why: str, error: ElumentaError | None = None, reply: Reply | None = None
    ) -> GenerationFailed:
        """The failure, booked: nothing, or what the server says that it charged all the same."""
        told = error.tokens if error is not None and error.spent == "yes" else reply.tokens if reply is not None else 0
        order, why = self._order, why or _("the server gave no reason")
        if told:
            message = _("{model} failed, and {tokens} were charged: {why}").format(
                model=order.what, tokens=_tokens(told), why=why
            )
            hint = _("A failure should cost nothing: ask Elumenta's support about it.")
        else:
            message = _("{model} failed, not charged: {why}").format(model=order.what, why=why)
            hint = _("Change the prompt, or try again later.")
        failed = GenerationFailed(
            message, hint=hint, spent="yes" if told else "no", tokens=told or 0, call_id=order.call_id
        )
        failed.partial = getattr(error, "partial", "") or "".join(order.text)
        failed.generation_id = order.generation_id
        with contextlib.suppress(LedgerError):  # what happened is said; recover finds the row open
            if told:
                self._counted(told, None)
                await self._services.writer.settle(
                    Settlement(
                        call_id=order.call_id,
                        tokens=told,
                        generation_id=order.generation_id,
                        attempts=order.attempts,
                        error=f"{type(failed).__name__}: {failed}",
                    )
                )
            else:
                await self._services.writer.release(self._release("failed", failed))
        return failed

    def _release(self, status: Literal["failed", "cancelled"], error: BaseException | str) -> Release:
        text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
        return Release(
            call_id=self._order.call_id,
            status=status,
            error=text,
            attempts=self._order.attempts,
            generation_id=self._order.generation_id,
        )

    async def _fetch(self) -> Take:
        services, order = self._services, self._order
        named = order.generation_id is not None
        reply = await find(services, order)
        if reply is not None:
            reply = await self._finished(reply)
        if reply is None or (reply.text is None and reply.url is None):
            gone = order.missing if reply is None else True
            raise DownloadFailed(_("the server does not tell it."), status=404 if gone else None)
        if reply.tokens is not None and (reply.tokens != order.paid or not named):
            await services.writer.settle(Settlement(call_id=order.call_id, tokens=reply.tokens, generation_id=reply.id))
            order.paid = reply.tokens
        receipt = Receipt(
            call_id=order.call_id,
            model=order.call.model,
            status="completed",
            tokens=order.paid or 0,
            quoted=order.quoted,
            latency_s=time.monotonic() - order.began,
        )
        return await self._delivery.take(reply, receipt, complete=True)

    # ------------------------------------------------------------ stopped

    @contextlib.asynccontextmanager
    async def _may_be_stopped(self) -> AsyncIterator[None]:
        """Who stops waiting is told what may still be charged, and the ledger says it too."""
        try:
            yield
        except asyncio.CancelledError:
            with CancelScope(shield=True):
                await self._stopped()
            raise

    async def _stopped(self) -> None:
        order = self._order
        status: Status
        if self._paid is not None:
            status, at_risk = "completed", 0
        elif not order.was_sent:
            status, at_risk = "cancelled", 0
        elif order.generation_id is not None and not order.text:
            status, at_risk = "pending", order.held
        else:  # a cut stream or an unanswered request: the history will tell
            status, at_risk = "unknown", order.held
        with move_on_after(FAREWELL_S), contextlib.suppress(LedgerError):  # the person is told all the same
            await self._write_down(status)
        if self._paid is not None:
            self._behind(self._keep(self._paid))
        elif status == "unknown":
            self._behind(self._learn())
        self._emit(Stopped(index=order.index, call_id=order.call_id or None, status=status, at_risk=at_risk))

    async def _write_down(self, status: Status) -> None:
        """What is true of the row of a stopped call; a paid one is booked behind it."""
        if status != "completed":
            await self._watch.remembered()
        if status == "cancelled":
            await self._services.writer.release(self._release("cancelled", _("stopped before it was sent")))
        elif status == "unknown":
            await self._services.writer.doubt(self._order.call_id, _("stopped while it ran"))

    def _behind(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._services.background.add(task)
        task.add_done_callback(self._services.background.discard)

    async def _keep(self, reply: Reply) -> None:
        """Behind a stopped cell: what is paid is booked, and a text, which is in our hands, is stored all the same."""
        with contextlib.suppress(ElumentaError):
            if self._order.receipt is None:
                await self._settle(reply)
            if reply.url is None:
                await self._delivery.collect(reply)

    async def _learn(self) -> None:
        """Behind a stopped cell: what it cost after all, and the text as far as it came."""
        with contextlib.suppress(ElumentaError):
            reply = await look_up(self._services, self._order)
            if reply is not None and _is_final(reply):
                await self._home(reply)


def _is_final(reply: Reply) -> bool:
    """A reply without a status that brings a result is one of the two families' way to say completed."""
    return reply.status in ("completed", "failed") or (
        not reply.status and (reply.url is not None or reply.text is not None)
    )
