"""What a person calls from Python: one generation, several, in the background, awaited, streamed, or only its price.

In a notebook a call knows its cell and shows its progress there; in a script it is quiet.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ._buying import Buying
from ._errors import BadParam
from ._language import gettext as _
from ._result import Result
from ._runtime import TICK_S, Handle
from ._surroundings import leave, origin, run, show, tell
from ._values import Ask, TextDelta

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator

    from ._values import Event, Quote, Reuse

__all__ = ["Calling", "Pending", "Stream"]


class Pending(Handle[Result]):
    """One generation in the background: a `Handle` of a single `Result`."""

    def __init__(self, handle: Handle[list[Result]]) -> None:
        super().__init__(handle._future, handle._events)  # type: ignore[arg-type]  # noqa: SLF001 - the same call
        self._handle = handle

    def result(self, timeout: float | None = None) -> Result:
        """The result. Raises what the call raised, or `TimeoutError` after `timeout` seconds (it goes on)."""
        return _waited(self._handle, timeout)

    def __await__(self) -> Generator[Any, None, Result]:
        return self._one().__await__()

    async def _one(self) -> Result:
        try:
            results = await self._handle
        except asyncio.CancelledError as stop:
            leave(self._handle, stop, [])
            raise
        tell(self._handle, results)
        return results[0]

    def _ipython_display_(self) -> None:
        self._handle._ipython_display_()


class Stream:
    """The pieces of a text as they arrive; `result` when they have all come.

    Iterate with ``for`` or ``async for``. Leaving early stops the stream; what it cost is found out and booked.
    """

    def __init__(self, handle: Handle[list[Result]]) -> None:
        self._handle = handle
        self._heard: list[Event] = []  # beside the pieces

    def __iter__(self) -> Iterator[str]:
        told: list[str] = []
        try:
            for event in self._handle.events():
                if isinstance(event, TextDelta):
                    told.append(event.text)
                    yield event.text
                else:
                    self._heard.append(event)
        except BaseException as why:
            self._left(why)
            raise
        whole, so_far = self.result.text or "", "".join(told)
        if len(whole) > len(so_far) and whole.startswith(so_far):  # the rest of a torn stream was found on its page
            yield whole[len(so_far) :]

    async def __aiter__(self) -> AsyncIterator[str]:
        pieces = iter(self)
        try:
            while (piece := await self._next(pieces)) is not None:
                yield piece
        except BaseException as why:
            self._left(why)  # `pieces` notices only when the next one comes
            raise

    async def _next(self, pieces: Iterator[str]) -> str | None:
        """The next piece, awaited in slices: an interrupt does not wake a sleeping kernel loop."""
        coming = asyncio.ensure_future(asyncio.to_thread(next, pieces, None))
        coming.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody waits for it when stopped
        while not coming.done():
            await asyncio.wait({coming}, timeout=TICK_S)
        return coming.result()

    def _left(self, why: BaseException) -> None:
        self._handle.stop()
        if not sys.is_finalizing():  # a script that ends closes its streams when there is nobody left to tell
            leave(self._handle, why, self._heard)

    @property
    def result(self) -> Result:
        """The finished result; waits for it."""
        return _waited(self._handle)

    def stop(self) -> None:
        """Stop the stream; what it cost is found out and booked."""
        self._handle.stop()


class Calling(Buying):
    """The part of a session that is called from Python. Every method is written here once."""

    def generate(
        self,
        /,
        model: str,
        prompt: str | None = None,
        *,
        category: str | None = None,
        input: Any = None,
        max_price: int | None = None,
        reuse: Reuse | None = None,
        tag: str | None = None,
        params: dict[str, Any] | None = None,
        **options: Any,
    ) -> Result:
        """Buy one generation and wait for it.

        `model` is a slug (``"gpt-5"``), `category` is needed only for one that nobody knows; `input` is a path, a URL or a
        `Result` to work on. `options` are the API's parameters of the model (``size="1792x1024"``), `params` passes any
        others. `max_price` is in Elumenta tokens, and above `confirm_above` it is the consent. `reuse` is ``"all"``,
        ``"media"``, ``"off"`` or ``"only"`` (never send): which stored results may be shown instead of buying. `tag`
        marks the spend.

        Before anything is sent: `NoKey`, `BadParam`, `UnknownModel`, `PriceAboveMax`, `ConfirmPrice`, `BudgetExceeded`.
        Any `ElumentaError` says by `.spent` whether it was charged: ``"no"``, ``"maybe"``, ``"yes"``.
        Source of the parameters: docs.elumenta.ru/en/api-reference/generate/create.
        """
        ask = _ask(model, prompt, params, options, category=category, input=input, max_price=max_price, reuse=reuse)
        return run(self, ask, _tags(tag))[0]

    def generate_many(
        self,
        /,
        model: str,
        prompt: str | None = None,
        count: int = 2,
        *,
        category: str | None = None,
        input: Any = None,
        max_price: int | None = None,
        reuse: Reuse | None = None,
        tag: str | None = None,
        params: dict[str, Any] | None = None,
        **options: Any,
    ) -> list[Result]:
        """Buy `count` generations in parallel; `max_price` is for all of them together.

        The rest is as for `generate`. After a partial success the error carries what was done in `.results`.
        """
        ask = _ask(
            model,
            prompt,
            params,
            options,
            category=category,
            input=input,
            max_price=max_price,
            reuse=reuse,
            count=count,
        )
        return run(self, ask, _tags(tag))

    def submit(
        self,
        /,
        model: str,
        prompt: str | None = None,
        *,
        category: str | None = None,
        input: Any = None,
        max_price: int | None = None,
        reuse: Reuse | None = None,
        tag: str | None = None,
        params: dict[str, Any] | None = None,
        **options: Any,
    ) -> Pending:
        """As `generate`, in the background: ``.result() .stop() .done() .events()``, and awaitable."""
        ask = _ask(model, prompt, params, options, category=category, input=input, max_price=max_price, reuse=reuse)
        handle = self.start(ask, origin(_tags(tag)))
        show(handle, self, ask)
        return Pending(handle)

    async def agenerate(
        self,
        /,
        model: str,
        prompt: str | None = None,
        *,
        category: str | None = None,
        input: Any = None,
        max_price: int | None = None,
        reuse: Reuse | None = None,
        tag: str | None = None,
        params: dict[str, Any] | None = None,
        **options: Any,
    ) -> Result:
        """As `generate`, for async code: does not block the event loop it is awaited on."""
        ask = _ask(model, prompt, params, options, category=category, input=input, max_price=max_price, reuse=reuse)
        place = origin(_tags(tag))
        started: list[Handle[list[Result]]] = []
        is_left = threading.Event()

        def start() -> None:
            started.append(self.start(ask, place))
            if is_left.is_set():
                started[0].stop()

        try:
            await asyncio.to_thread(start)  # an unknown slug asks the server first
        except asyncio.CancelledError as stop:
            is_left.set()  # in this order, as above in the other: one of the two sees it
            for handle in started:
                handle.stop()
                leave(handle, stop, [])
            raise
        return await Pending(started[0])

    def stream(
        self,
        /,
        model: str,
        prompt: str | None = None,
        *,
        category: str | None = None,
        max_price: int | None = None,
        reuse: Reuse | None = None,
        tag: str | None = None,
        params: dict[str, Any] | None = None,
        **options: Any,
    ) -> Stream:
        """A text as it is written: an iterator of pieces (for, async for), with the `Result` in `.result` at the end."""
        ask = _ask(model, prompt, params, options, category=category, max_price=max_price, reuse=reuse, stream=True)
        return Stream(self.start(ask, origin(_tags(tag))))

    def quote(self, /, model: str, count: int = 1, *, category: str | None = None, **params: Any) -> Quote:
        """The server's price for `count` generations, in Elumenta tokens; nothing is generated.

        Source: docs.elumenta.ru/en/api-reference/models/calculate-price.
        """
        one, total = self.price(Ask(category=category, model=model, options=params, count=count))
        return replace(one, tokens=total, minimum=one.minimum * count, maximum=one.maximum * count)


def _waited(handle: Handle[list[Result]], timeout: float | None = None) -> Result:
    """The only result of a call, its receipt shown in the cell that waited; it goes on when the waiting ends early."""
    try:
        results = handle.result(timeout)
    except KeyboardInterrupt as stop:
        from ._interrupt import shorten

        goes_on = _("The call goes on in the background: {wait} waits for it again, {stop} stops it.")
        shorten(stop, [goes_on.format(wait=".result()", stop=".stop()")])
        raise
    tell(handle, results)
    return results[0]


def _ask(model: str, prompt: str | None, params: dict[str, Any] | None, options: dict[str, Any], **more: Any) -> Ask:
    if not isinstance(model, str):
        raise BadParam(_("The model is a slug such as 'gpt-5', not {value!r}.").format(value=model))
    if params is not None and not isinstance(params, Mapping):
        raise BadParam(_("`params` is a dict of the API's parameters, not {kind}.").format(kind=type(params).__name__))
    return Ask(model=model, prompt=prompt, options=options, extra=params or {}, **more)


def _tags(tag: str | None) -> tuple[str, ...]:
    if tag is not None and not isinstance(tag, str):
        raise BadParam(_("A tag is text, not {kind}.").format(kind=type(tag).__name__))
    return (tag,) if tag else ()
