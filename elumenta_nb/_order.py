"""A call on its way through the engine: what is known of it so far, when to ask the server again, why it may not end."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field, replace
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Final

from ._errors import JobTimedOut, OutcomeUnknown
from ._language import gettext as _
from ._values import Accepted, Call, Receipt, Retrying, Sent, TextDelta

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._catalog import Resolved
    from ._ledger import Entry, Writer
    from ._recovery import Shelf
    from ._values import Event, Limits, Quote

__all__ = ["SLOW_POLL_S", "Order", "Watcher", "hash_prompt", "no_answer", "poll_delay", "timed_out", "way_back"]

POLLS_S: Final = (2, 4, 6, 8, 10)  # then every 25 s: 27 polls in ten minutes, which may count against 100 an hour
SLOW_POLL_S: Final = 25
FEW_LEFT: Final = 20  # requests of the hour


@dataclass(slots=True, kw_only=True)
class Order:
    """A call on its way through the engine. Tokens are Elumenta tokens."""

    call: Call
    resolved: Resolved
    index: int = 0
    quote: Quote | None = None
    quoted: int = 0
    held: int = 0
    fingerprint: str = ""
    call_id: int = 0
    generation_id: int | str | None = None
    attempts: int = 1
    was_sent: bool = False
    is_joined: bool = False  # begun by an earlier run, which may still wait for it too
    note: str = ""  # for the receipt: what a person should know once
    receipt: Receipt | None = None  # from the moment it is settled
    paid: int | None = None  # what a row that is settled already cost
    missing: bool = False  # the history was read, and does not show it
    astray: tuple[int | str, ...] = ()  # generations that a person should look at before it is given up
    is_lost: bool = False  # a row that was released because no history showed it
    is_settled: bool = False
    shelf: Shelf | None = None  # of a recovery: the history is read once for all of its calls
    text: list[str] = field(default_factory=list)  # what a stream brought so far
    began: float = field(default_factory=time.monotonic)
    began_at: float = field(default_factory=time.time)

    prompt_hash: str = ""
    prompt_chars: int = 0

    @classmethod
    def of_call(cls, call: Call, resolved: Resolved, index: int = 0) -> Order:
        """A new order, not yet priced."""
        chars = len(call.prompt) if call.prompt.strip() else 0
        return cls(call=call, resolved=resolved, index=index, prompt_hash=hash_prompt(call.prompt), prompt_chars=chars)

    def of_row(self, row: Entry) -> Order:
        """The same order, continued from the row of an earlier run of its cell."""
        return replace(self, **_known(row))

    @classmethod
    def resumed(cls, row: Entry, resolved: Resolved, index: int = 0) -> Order:
        """An open row of the ledger; its prompt is not known here, only its hash. What is recovered is stored."""
        call = Call(category=row.category, model=row.model, params=row.params, origin=row.origin, reuse="all")
        return cls(call=call, resolved=resolved, index=index, **_known(row))

    def depart(self) -> None:
        """It is reserved and sent now: what it waited for before is not its time."""
        self.began, self.began_at = time.monotonic(), time.time()

    @property
    def what(self) -> str:
        return self.call.model

    @property
    def named(self) -> str:
        """The model and how its prompt begins, for a message far away from its cell."""
        return f"{self.call.model} {shorten(self.call.prompt, 60, placeholder='…')!r}".removesuffix(" ''")

    @property
    def anew(self) -> str:
        """How its surface says that it is to be bought whatever is stored; ``""`` where nothing is ever sent."""
        if self.call.reuse == "only":
            return ""
        return 'reuse="off"' if self.call.origin.source in ("python", "batch") else "--fresh"


def _known(row: Entry) -> dict[str, Any]:
    return {
        "call_id": row.id,
        "held": row.held,
        "generation_id": row.generation_id,
        "attempts": row.attempts,
        "was_sent": True,
        "is_joined": True,
        "quoted": row.quoted,
        "fingerprint": row.fingerprint,
        "prompt_hash": row.prompt_hash,
        "prompt_chars": row.prompt_chars,
        "began_at": row.started_at.timestamp(),
        "paid": row.tokens if row.status == "completed" else None,
        "is_lost": row.lost,
        "is_settled": row.status == "completed",
    }


def hash_prompt(prompt: str) -> str:
    """What the ledger keeps of a prompt (sha256, hex); prompts themselves stay in the notebook and the store."""
    return hashlib.sha256(prompt.strip().encode()).hexdigest()


class Watcher:
    """The engine's ear at the client: what was sent, which id it got, which text arrived.

    The id of a stream is on the disk before `accepted` returns, any other before anything is waited for (`remembered`):
    an answer that is all there is brings its charge, and the id is written with that.
    """

    def __init__(self, writer: Writer, order: Order, emit: Callable[[Event], None]) -> None:
        self._writer = writer
        self._order = order
        self._emit = emit
        self._told = False
        self._owed: int | str | None = None

    def sent(self) -> None:
        self._order.was_sent = True
        if not self._told:
            self._told = True
            self._emit(Sent(index=self._order.index, call_id=self._order.call_id, held=self._order.held))

    async def accepted(self, generation_id: int | str) -> None:
        order = self._order
        if order.generation_id is None:
            order.generation_id = generation_id
            self._owed = generation_id
            if order.call.stream:
                await self.remembered()

    async def remembered(self) -> None:
        """Whatever id was learned is on the disk. Raises `LedgerError`; then the id is still owed."""
        generation_id, order = self._owed, self._order
        if generation_id is not None:
            await self._writer.accept(order.call_id, generation_id)
            self._owed = None
            self._emit(Accepted(index=order.index, call_id=order.call_id, generation_id=generation_id))

    def delta(self, text: str) -> None:
        self._order.text.append(text)
        self._emit(TextDelta(index=self._order.index, text=text))

    def retrying(self, reason: str, wait_s: float) -> None:
        self._order.attempts += 1
        self._order.was_sent = False  # what was sent is known not to be charged: a stop now has nothing to look up
        self._emit(Retrying(index=self._order.index, reason=reason, wait_s=wait_s))


def poll_delay(polls: int, eta_s: float | None, limits: Limits) -> float:
    """Seconds to wait before the next poll, after `polls` of them.

    The server's `eta_seconds` wins for the first five (a server that always says 1 must not eat the hourly limit);
    when few requests of the hour are left, polls are rarer.
    """
    usual = POLLS_S[polls] if polls < len(POLLS_S) else SLOW_POLL_S
    delay = float(usual)
    if eta_s is not None and eta_s >= 0:
        delay = min(max(eta_s, 1.0), 60.0) if polls < len(POLLS_S) else max(min(eta_s, 60.0), delay)
    if limits.hour_left is not None and limits.hour and limits.hour_left < FEW_LEFT:
        delay = max(delay, usual) * (4 if limits.hour_left < FEW_LEFT / 4 else 2)
    return delay


def way_back(order: Order) -> str:
    return _("To get it: %elumenta recover {id}").format(id=order.call_id)


def timed_out(order: Order) -> JobTimedOut:
    return JobTimedOut(
        _("{model} is not finished; it goes on at the server and is charged when it completes.").format(
            model=order.what
        ),
        hint=way_back(order),
        tokens=order.held,
        call_id=order.call_id,
    )


def no_answer(order: Order, why: object) -> OutcomeUnknown:
    error = OutcomeUnknown(
        _("{model}: the request was sent and no readable answer came ({why}).").format(
            model=order.what, why=str(why).removesuffix(".")
        ),
        hint=_("Do not run it again yet. To find out what became of it: %elumenta recover {id}").format(
            id=order.call_id
        ),
        tokens=order.held,
        call_id=order.call_id,
    )
    if order.astray:
        error.hint = _(
            "It may be one of the account's generations: {ids}. Compare in %elumenta account-history; "
            "then choose: %elumenta recover {id} {example}"
        ).format(ids=", ".join(map(str, order.astray)), id=order.call_id, example=order.astray[0])
    error.partial = "".join(order.text)
    return error
