"""Bringing a paid result home: the file fetched, stored with its sidecar, once, whoever waits for it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from anyio import to_thread

from ._errors import DownloadFailed, ElumentaError
from ._language import gettext as _
from ._result import Result
from ._sniff import sniff_file
from ._values import Downloading, Settled

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ._order import Order
    from ._services import Services
    from ._store import Take
    from ._values import Event, Receipt, Reply

__all__ = ["Delivery"]

MAX_MEDIA_BYTES: Final = 4 * 1024**3
MAX_POSTER_BYTES: Final = 8 * 1024**2


class Delivery:
    """The last step of an order. The charge is settled; what fails here is fetched again for nothing."""

    def __init__(self, services: Services, order: Order, emit: Callable[[Event], None]) -> None:
        self._services = services
        self._order = order
        self._emit = emit

    async def collect(self, reply: Reply) -> Result:
        """Bring the paid result home: fetch the file, store it with its sidecar. Raises `DownloadFailed`."""
        receipt = self._order.receipt
        assert receipt is not None
        call = self._order.call
        complete = True
        if reply.text is None and reply.url is None and self._order.text:
            reply, complete = replace(reply, text="".join(self._order.text)), False  # cut, and no history lists it
        if reply.url is None and reply.text is None:
            raise DownloadFailed(
                _("{model}: the server says completed, and gave neither a text nor a file.").format(
                    model=self._order.what
                ),
                hint=_("To ask again, at no cost: %elumenta show {id}").format(id=self._order.call_id),
                tokens=receipt.tokens,
                call_id=self._order.call_id,
            )
        if reply.url is None and call.reuse == "off":  # a text outside a cell: the ledger and the history have it
            result = self._kept(reply, receipt, complete=complete)
        else:
            result = await self._stored(reply, receipt, complete=complete)
        self._emit(Settled(index=self._order.index, receipt=receipt))
        self._services.purse.refresh_behind()
        return result

    def _kept(self, reply: Reply, receipt: Receipt, *, complete: bool) -> Result:
        """A text that is not stored."""
        result = Result.from_reply(
            reply,
            model=self._order.call.model,
            category=self._order.call.category,
            tokens=receipt.tokens,
            quoted=receipt.quoted,
            call_id=receipt.call_id,
            latency=receipt.latency_s,
            sandbox=receipt.sandbox,
            receipt=receipt,
            complete=complete,
        )
        return replace(result, folder=self._services.store.folder)

    async def _stored(self, reply: Reply, receipt: Receipt, *, complete: bool) -> Result:
        try:
            take = await self.take(reply, receipt, complete=complete)
        except (ElumentaError, OSError) as error:
            if reply.url is None:  # a text is in our hands: losing it because a disk is full would be absurd
                kept = replace(receipt, note=_("not stored: {why}").format(why=error))
                self._order.receipt = kept
                return self._kept(reply, kept, complete=complete)
            again = _("To fetch it again, at no cost: %elumenta show {id}")
            if self._order.call.reuse in {"all", "media"} and not self._order.call.fresh:
                again = _("To fetch it again, at no cost: run the cell again, or %elumenta show {id}")
            raise DownloadFailed(
                _("{model} was paid, but its file was not fetched: {why}").format(model=self._order.what, why=error),
                hint=again.format(id=self._order.call_id),
                tokens=receipt.tokens,
                call_id=self._order.call_id,
            ) from error
        return Result.from_take(take, base=self._services.store.base, call_id=self._order.call_id, receipt=receipt)

    async def take(self, reply: Reply, receipt: Receipt, *, complete: bool) -> Take:
        services, call_id = self._services, self._order.call_id
        if services.texts is not None and not self._order.is_joined:  # a map asks for a call once
            return await self._new_take(reply, receipt, complete=complete)
        async with services.storing.setdefault(call_id, asyncio.Lock()):
            if self._order.is_joined or call_id in services.stored:  # two runs of a cell may wait for one job
                take = await to_thread.run_sync(
                    lambda: services.store.of_call(call_id, services.api, self._order.fingerprint)
                )
                if take is not None and (take.complete or not complete):
                    return take
            take = await self._new_take(reply, receipt, complete=complete)
            services.stored.add(call_id)
        services.storing.pop(call_id, None)
        return take

    async def _new_take(self, reply: Reply, receipt: Receipt, *, complete: bool) -> Take:
        services, order = self._services, self._order
        if services.texts is not None and reply.url is None and complete:
            return services.texts.keep(
                order.call,
                reply,
                api=services.api,
                fingerprint=order.fingerprint,
                tokens=receipt.tokens,
                call_id=order.call_id,
                quoted=receipt.quoted,
                latency_s=receipt.latency_s,
                balance_after=reply.balance,
            )
        draft = await to_thread.run_sync(lambda: services.store.begin(order.call, services.api, order.fingerprint))
        try:
            digest = ""
            if reply.url is not None:
                file = await services.client.download(
                    reply.url, draft.path, max_bytes=MAX_MEDIA_BYTES, progress=self._downloading
                )
                digest = file.digest
                await to_thread.run_sync(self._check, draft.path)
                if reply.thumbnail_url is not None:
                    with contextlib.suppress(ElumentaError):  # a poster is nice to have, not paid for
                        await services.client.download(
                            reply.thumbnail_url, draft.poster_path, max_bytes=MAX_POSTER_BYTES
                        )
            return await to_thread.run_sync(
                lambda: draft.commit(
                    reply,
                    tokens=receipt.tokens,
                    quoted=receipt.quoted,
                    digest=digest,
                    call_id=order.call_id,
                    latency_s=receipt.latency_s,
                    balance_after=reply.balance,
                    complete=complete,
                )
            )
        except BaseException:
            draft.discard()
            raise

    def _check(self, path: Path) -> None:
        """A sign-in page or an error with status 200 is not what was paid for. Raises `DownloadFailed`."""
        kind = sniff_file(path)
        if self._order.resolved.returns != "text" and kind.is_page:
            raise DownloadFailed(_("a page came in its place ({mime})").format(mime=kind.mime))

    def _downloading(self, done_bytes: int, total_bytes: int | None) -> None:
        self._emit(Downloading(index=self._order.index, done_bytes=done_bytes, total_bytes=total_bytes))
