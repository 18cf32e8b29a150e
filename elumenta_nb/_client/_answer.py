"""Reading the answer to a paid request, whichever form it has: one JSON reply, or a stream of events.

Every way in which it can end is a `Reply` or a `Setback`; what was understood on the way (an id, the text so far) is on
the error, because a call that is in doubt is found again by its id.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

from elumenta_nb._errors import BadReply, ElumentaError, GenerationFailed
from elumenta_nb._language import gettext as _, number, span
from elumenta_nb._wire import (
    Delta,
    Ended,
    EventStream,
    Failed,
    Finished,
    Lost as Unread,
    Started,
    read_error,
    read_json,
    read_reply,
    understood,
)

from ._policy import Loss, Setback, judge_loss, unreadable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from elumenta_nb._values import Reply
    from elumenta_nb._wire import StreamEvent

    from ._exchange import Exchange

__all__ = ["MAX_BODY", "Watch", "read_answer"]

MAX_BODY: Final = 16 * 1024**2
MAX_STREAM: Final = 64 * 1024**2
EVENTLESS_S: Final = 600.0  # keep-alive comments are signs of life, but not for ever
LONGEST_S: Final = 3600.0
GRACE_S: Final = 0.25  # for `[DONE]` after the last event, so that the connection can be used again
_MARK: Final = b"\xef\xbb\xbf"
_OPENS_EVENTS: Final = b"deir:"  # data: event: id: retry: and a comment


class Watch(Protocol):
    """Who is told how a paid request goes."""

    def sent(self) -> None:
        """The first byte is being written: from here on it may be charged. Told again for each attempt."""

    async def accepted(self, generation_id: int | str) -> None:
        """The server's id was learned. It is awaited: make it durable before returning.

        An error of ours raised here does not stop the reading, for what follows is paid: the id is on the reply, and on
        the error where there is none.
        """

    def delta(self, text: str) -> None:
        """A piece of the text came."""

    def retrying(self, reason: str, wait_s: float) -> None:
        """What was sent so far is known not to be charged; it is sent again in `wait_s` seconds."""


@dataclass(slots=True)
class _Story:
    """What a stream has told so far."""

    watch: Watch
    veil: Callable[[str | None], str]
    id: int | str | None = None
    model: str = ""
    pieces: list[str] = field(default_factory=list)
    ended: Reply | None = None
    failed: str | None = None
    finished: bool = False
    has_gap: bool = False  # an event could not be read that may have been a piece of the text

    @property
    def over(self) -> bool:
        return self.finished or self.ended is not None or self.failed is not None

    async def hear(self, event: StreamEvent) -> None:
        match event:
            case Delta(text) if not self.over:
                self.say(self.veil(text))
            case Started(id, model):
                self.model = model
                await self.learn(id)
            case Ended(reply):
                self.ended = _both(self.ended, reply)
                await self.learn(reply.id)
            case Failed(message, id):
                if self.ended is None:  # after the end the text is whole
                    self.failed = message
                await self.learn(id)
            case Finished():
                self.finished = True
            case Unread(is_gap=True) if not self.over:
                self.has_gap = True

    def say(self, text: str) -> None:
        if text:
            self.pieces.append(text)
            self.watch.delta(text)

    async def learn(self, generation_id: int | str | None) -> None:
        if generation_id is not None and generation_id != self.id:
            self.id = generation_id
            await _learn(self.watch, generation_id)


def _both(first: Reply | None, second: Reply) -> Reply:
    """A stream's end that is told twice. What only one of them tells counts, and of two charges the greater."""
    if first is None:
        return second
    return replace(
        second,
        id=first.id if second.id is None else second.id,
        text=second.text or first.text,
        tokens=max((told for told in (first.tokens, second.tokens) if told is not None), default=None),
        balance=first.balance if second.balance is None else second.balance,
    )


async def _learn(watch: Watch, generation_id: int | str) -> None:
    with contextlib.suppress(ElumentaError):
        await watch.accepted(generation_id)


async def read_answer(
    exchange: Exchange,
    watch: Watch,
    *,
    streamed: bool,
    within_s: float,
    hide: Callable[[bytes], bytes],
    veil: Callable[[str | None], str],
) -> Reply | Setback:
    """The reply in a 2xx answer. `hide` masks the key in a body that repeats it, `veil` in a text that comes in pieces."""
    async with contextlib.aclosing(exchange.chunks(within_s=LONGEST_S if streamed else within_s)) as chunks:
        head = b""
        async for chunk in chunks:
            head += chunk
            if first := head.removeprefix(_MARK).lstrip()[:1]:
                if first in _OPENS_EVENTS:
                    story = _Story(watch, veil)
                    try:
                        return await _events(exchange, head, chunks, story, EventStream(hide))
                    finally:
                        story.say(veil(None))
                break
            if len(head) > MAX_BODY:
                break
        parts, size = [head], len(head)
        async for chunk in chunks:
            parts.append(chunk)
            size += len(chunk)
            if size > MAX_BODY:
                exchange.loss = Loss(why=_("more than {n} bytes").format(n=number(MAX_BODY)), sent=True)
                break
    return await _whole(exchange, hide(b"".join(parts)), watch, streamed=streamed)


async def _whole(exchange: Exchange, body: bytes, watch: Watch, *, streamed: bool) -> Reply | Setback:
    parsed = read_json(body)
    reply = understood(read_reply(parsed.value)) if parsed.whole else None
    if reply is None:  # cut or foreign; an id that arrived complete still leads to the generation
        return await _in_doubt(exchange, body, read_reply(parsed.value).id, watch)
    if reply.id is not None:
        await _learn(watch, reply.id)
    if streamed and reply.status == "completed" and reply.text:
        watch.delta(reply.text)
    return reply


async def _in_doubt(exchange: Exchange, body: bytes, generation_id: int | str | None, watch: Watch) -> Setback:
    if exchange.loss is not None:
        setback = judge_loss(exchange.loss, paid=True)
    else:
        setback = unreadable(exchange.status, read_error(exchange.status, body, exchange.headers), paid=True)
    if generation_id is not None:
        setback.error.generation_id = generation_id
        await _learn(watch, generation_id)
    return setback


async def _events(
    exchange: Exchange, head: bytes, chunks: AsyncIterator[bytes], story: _Story, stream: EventStream
) -> Reply | Setback:
    loop = asyncio.get_running_loop()
    size, heard_at = len(head), loop.time()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(None) as grace:
            for event in stream.feed(head):
                await story.hear(event)
            while not story.finished:
                if story.over and grace.when() is None:
                    grace.reschedule(loop.time() + GRACE_S)
                chunk = await anext(chunks, None)
                if chunk is None:
                    break
                size += len(chunk)
                events = stream.feed(chunk)
                for event in events:
                    await story.hear(event)
                heard_at = loop.time() if events else heard_at
                if size > MAX_STREAM or loop.time() - heard_at > EVENTLESS_S:
                    why = (
                        _("more than {n} bytes").format(n=number(MAX_STREAM))
                        if size > MAX_STREAM
                        else _("no event for {time}").format(time=span(EVENTLESS_S))
                    )
                    exchange.loss = Loss(why=why, sent=True)
                    break
            else:
                grace.reschedule(loop.time() + GRACE_S)
                while await anext(chunks, None) is not None:
                    pass
    for event in stream.close():
        await story.hear(event)
    story.say(story.veil(None))
    return _outcome(exchange, story)


def _outcome(exchange: Exchange, story: _Story) -> Reply | Setback:
    text = "".join(story.pieces)
    end = story.ended
    if end is not None and story.failed is None:
        exchange.has_gap = story.has_gap
        return replace(
            end,
            id=story.id if end.id is None else end.id,
            model=end.model or story.model,
            text=text or end.text or "",
        )
    error: ElumentaError
    if story.failed is not None:
        charge = (end.tokens if end is not None else None) or 0  # an end that tells a charge is a charge
        error = GenerationFailed(
            story.failed or _("the server gave no reason"),
            status=exchange.status,
            spent="yes" if charge else "no",
            tokens=charge,
        )
    elif exchange.loss is not None:
        error = judge_loss(exchange.loss, paid=True).error
    else:
        error = BadReply(
            _("The stream stopped before its end."),
            hint=_("What became of the call: %elumenta recover"),
            status=exchange.status,
        )
    error.partial = text
    error.generation_id = story.id
    return Setback(error=error)
