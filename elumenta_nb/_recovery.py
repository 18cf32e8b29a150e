"""Finding out what became of a request whose answer was lost: by its id, else in the account's history.

The API documents no idempotency key, so this is what stands between a lost answer and paying twice. A generation is
adopted only when it can be nobody else's: same model and prompt, made in the call's time window, owned by no other
row, told apart from the calls that look alike (`_alike`), and while none of them is still waiting for its own answer.
Only calls of one run of another kernel do not wait for each other once a person recovers them: they died together.
The history is read before the ledger: a request that leaves after that cannot be in it, and one that left before has
its row. So of many calls the rows that ask for the same are told once, and what became of them each time.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING, Final

from ._alike import EARLY_S, SLACK_S, WINDOW_S, Request, astray, candidates, told_apart
from ._errors import BadParam, BadReply, ElumentaError, NotFound, OutcomeUnknown, ServerError
from ._history import Listing
from ._language import gettext as _
from ._ledger import Release
from ._order import no_answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ._ledger import Entry
    from ._order import Order
    from ._services import Services
    from ._values import Reply

__all__ = [
    "GRACE_S",
    "WEEK",
    "Shelf",
    "find",
    "given_up",
    "grace",
    "look_up",
    "look_up_together",
    "siblings",
    "take_over",
    "unanswered",
]

LOOKS_S: Final = (0.0, 0.5, 1.0, 2.0, 4.0)  # an interrupted server shows the generation when it has finished it
FRESH_S: Final = 120.0  # a call older than this is not waited for: one look
GRACE_S: Final = 900.0  # after this an unanswered call that nobody waits for and no history shows is released
DAY_S: Final = 86_400.0
WEEK: Final = timedelta(days=7)  # for so long a released call can still be found
WITNESSES: Final = 50  # generations whose calls are known, which show the history's clock


class Shelf:
    """Listings read once, for the many calls of a recovery, and which rows ask for the same. All began after `since`.

    `kernel` is the one that looks, where a person asked for it: then calls of one run do not wait for each other.
    """

    def __init__(self, services: Services, since: float, *, kernel: str | None = None) -> None:
        self._services = services
        self._since = since
        self._kernel = kernel
        self._listings: dict[tuple[str, str], Listing | ElumentaError] = {}
        self._requests: dict[str, dict[str, list[int]]] = {}  # by model and hash of the prompt

    async def of(self, category: str, model: str) -> Listing:
        """Raises what the server says, to all of the calls what it said to the first."""
        key = (category, model)
        if key not in self._listings:
            try:
                self._listings[key] = await self._read(category, model)
            except ElumentaError as error:
                self._listings[key] = error
        listing = self._listings[key]
        if isinstance(listing, ElumentaError):
            raise listing
        return listing

    async def _read(self, category: str, model: str) -> Listing:
        services = self._services
        listing = await Listing.read(services, category, model, self._since)
        since = datetime.fromtimestamp(self._since, UTC) - timedelta(seconds=WINDOW_S)
        self._requests[model] = services.ledger.requests(await services.account(), services.api, model, since=since)
        return listing

    def like(self, order: Order) -> list[int] | None:
        """Rows of the order's request whose generations the listing may have; ``None``: it was not read."""
        requests = self._requests.get(order.call.model)
        return None if requests is None else requests.get(order.prompt_hash, [])

    def unites(self, order: Order, row: Entry) -> bool:
        """Whether both are of one run of another kernel, which died with both or with none of them.

        What that kernel is told while it lives stands above what is found here.
        """
        ours, theirs = order.call.origin, row.origin
        if self._kernel is None or ours.kernel in {"", self._kernel}:
            return False
        return (ours.kernel, ours.run) == (theirs.kernel, theirs.run)


async def look_up_together(services: Services, orders: Sequence[Order], kernel: str) -> dict[int, OutcomeUnknown]:
    """Look up calls without an answer that a person wants recovered, all of them in each look.

    What is found is written into its order and its row. Nothing is put in doubt: a call that may still be under way
    keeps what protects its generation. The answer has those for which several generations could be, by call.
    """
    left = sorted(orders, key=lambda order: order.call_id)
    since = min((order.began_at for order in left), default=0.0)
    unclear: dict[int, OutcomeUnknown] = {}
    for wait_s in LOOKS_S if left else ():
        await services.sleep(wait_s)
        shelf, before = Shelf(services, since, kernel=kernel), len(left)
        for order in list(left):
            order.shelf, order.missing = shelf, False
            unclear.pop(order.call_id, None)
            try:
                if await find(services, order) is not None:
                    left.remove(order)
            except OutcomeUnknown as error:
                unclear[order.call_id] = error
            except ElumentaError:
                continue  # the server is still in trouble
        is_news = len(left) < before  # it may tell the others apart
        if not any(
            is_news if order.call_id in unclear else not order.missing or time.time() - order.began_at <= FRESH_S
            for order in left
        ):
            break
    return unclear


async def siblings(services: Services, orders: Iterable[Order], kernel: str) -> list[Entry]:
    """Open rows that ask for the same as one of the orders, of its run, in a kernel that is not this one."""
    shelf = Shelf(services, 0.0, kernel=kernel)
    alike: dict[tuple[str, str], list[Order]] = {}
    for order in orders:
        alike.setdefault((order.call.model, order.prompt_hash), []).append(order)
    known = {order.call_id for same in alike.values() for order in same}
    rows = services.ledger.open_calls(await services.account(), services.api) if alike else []
    return [
        row
        for row in rows
        if row.id not in known
        and row.generation_id is None
        and any(
            shelf.unites(order, row) and abs(row.started_at.timestamp() - order.began_at) <= WINDOW_S
            for order in alike.get((row.model, row.prompt_hash), ())
        )
    ]


async def unanswered(services: Services, order: Order) -> OutcomeUnknown:
    """Why an open call was not found, and what to do."""
    others = _others(services, order, await services.account())
    waits = [row for row in others if _keeps_waiting(order, row)]
    if not waits:
        return no_answer(order, _("it was not answered when it was made"))
    error = no_answer(order, _("call {id} asked for the same, and may still be under way").format(id=waits[0].id))
    ends = max((row.lease_until for row in waits if row.lease_until), default=services.ledger.now())
    error.hint = _("Look again when that is done, at the latest in {n} minutes: %elumenta recover {id}").format(
        id=order.call_id, n=max(1, ceil((ends - services.ledger.now()).total_seconds() / 60))
    )
    return error


async def look_up(services: Services, order: Order) -> Reply | None:
    """The server's word on an order without an answer, or ``None`` when it does not turn up in about 8 seconds.

    `order.missing` then says whether the history was read and does not show it. Raises `OutcomeUnknown` when several
    generations could be it.
    """
    for wait_s in LOOKS_S:
        order.missing = False
        await services.sleep(wait_s)
        try:
            found = await find(services, order)
        except OutcomeUnknown:
            raise
        except ElumentaError:
            found = None  # the server is still in trouble, or does not know the id
        if found is not None:
            return found
        if order.missing and time.time() - order.began_at > FRESH_S:
            break
    return None


async def find(services: Services, order: Order) -> Reply | None:
    """One look. What is found in the history belongs to the order from then on. Raises as `look_up`, and what the server says."""
    if order.generation_id is None:
        return await _adopt(services, order)
    try:
        return await services.client.poll(order.generation_id)
    except (NotFound, BadReply, ServerError) as error:  # its page has nothing to say: the history may
        try:
            listing = await _listing(services, order)
        except ElumentaError:
            raise error from None
        listed = listing.item(order.generation_id)
        if listed is None or not listed.status:
            order.missing = isinstance(error, NotFound) and listed is None and listing.whole
            raise
        return listed


def grace(services: Services) -> float:
    """For how many seconds a call without news stays open. The kernel that waits for its answer renews that."""
    return GRACE_S if services.grace_s is None else services.grace_s


async def given_up(services: Services, order: Order, row: Entry) -> str:
    """Release a row that is nowhere at the server although its grace is over, and say why; ``""``: it stays open.

    It stays adoptable for a week. A row whose kernel still waits, or was answered meanwhile, is not released.
    """
    age_s = (services.ledger.now() - row.started_at).total_seconds()
    if not order.missing or age_s <= grace(services):
        return ""
    if order.generation_id is None:
        why = _("the account's history does not show it: released, not charged")
    else:
        why = _("the server knows no generation {id} and its history does not show it: released, not charged").format(
            id=order.generation_id
        )
    gone = Release(call_id=row.id, status="failed", error=why, generation_id=order.generation_id, lost=True)
    return why if await services.writer.release(gone) else ""


async def _listing(services: Services, order: Order) -> Listing:
    category, model = order.resolved.category.wire[0], order.call.model
    if order.shelf is not None:
        return await order.shelf.of(category, model)
    return await Listing.read(services, category, model, order.began_at)


async def _adopt(services: Services, order: Order) -> Reply | None:
    listing = await _listing(services, order)
    account = await services.account()
    others = _others(services, order, account)
    ahead_s = _ahead(services, order, listing, account)
    moments = _moments(services, order, ahead_s)
    free = _free(services, account, candidates(order, listing.made, moments))
    if any(_keeps_waiting(order, row) for row in others):
        return None
    alike = [row for row in others if row.fingerprint == order.fingerprint]
    free, unclear = _ours(order, others, free)
    ours = _place(order, alike)
    if ours >= len(free) and any(item.status == "pending" for item in unclear):
        return None  # its charge will tell
    if len(free) > len(alike) + 1 or (unclear and ours >= len(free)):
        raise _several(order, [*free, *unclear], rivals=bool(unclear))
    if ours >= len(free):
        maybe = _free(services, account, astray(order, listing.made, moments, is_clock_known=ahead_s is not None))
        order.astray = tuple(item.id for item in maybe if item.id is not None)
        is_read = ahead_s is None or ahead_s - services.client.skew_s >= EARLY_S - WINDOW_S  # back to the earliest
        order.missing = listing.whole and not order.astray and is_read
        return None
    reply = free[ours]
    assert reply.id is not None
    if not await services.writer.claim(order.call_id, reply.id):
        return None  # another kernel was quicker: look again
    order.generation_id = reply.id
    return await _complete(services, reply)


def _free(services: Services, account: str, items: Sequence[Reply]) -> list[Reply]:
    """Those that belong to no call of the ledger."""
    ids = [item.id for item in items if item.id is not None]
    owned = services.ledger.owned(ids, account=account, api=services.api)
    return [item for item in items if item.id not in owned]


def _ahead(services: Services, order: Order, listing: Listing, account: str) -> float | None:
    """How many seconds the history's clock is ahead of ours, by calls of about that day whose generation is known.

    ``None`` where there are none, or they contradict each other. That the history tells UTC is not documented.
    """
    made = listing.made.near(order.began_at, WITNESSES)
    began = services.ledger.begun(made, account=account, api=services.api)
    seen = [made[id_] - at for id_, at in began.items() if abs(at - order.began_at) <= DAY_S]
    return min(seen) if seen and max(seen) - min(seen) <= WINDOW_S else None


def _moments(services: Services, order: Order, ahead_s: float | None) -> tuple[float, ...]:
    """When the order began by the history's clock: as the server's answers tell the time, and as its history does."""
    told = order.began_at + services.client.skew_s
    if ahead_s is None or -SLACK_S <= ahead_s - services.client.skew_s <= WINDOW_S:  # a call takes its time
        return (told,)
    return (told, order.began_at + ahead_s - EARLY_S)


def _keeps_waiting(order: Order, row: Entry) -> bool:
    """Whether the order must wait for this row: it may still get its own answer."""
    return row.status == "reserved" and not (order.shelf is not None and order.shelf.unites(order, row))


def _ours(order: Order, others: Sequence[Entry], free: list[Reply]) -> tuple[list[Reply], list[Reply]]:
    """Of the generations that nobody has those of this very request, and those that may be another's as well."""
    rivals = [
        row for row in others if row.fingerprint != order.fingerprint and (order.is_lost or not row.lost)
    ]  # one that was given up hardly has a generation
    wanted = Request(order.fingerprint, order.call.params, order.quoted)
    ours, unclear = told_apart(free, wanted, [Request(row.fingerprint, row.params, row.quoted) for row in rivals])
    certain = sum(row.status == "completed" for row in rivals)  # they have one, whatever becomes of the others
    sure = order.is_settled + sum(row.status == "completed" for row in others if row.fingerprint == order.fingerprint)
    if unclear and not certain and len(unclear) <= sure:
        known = {item.id for item in (*ours, *unclear)}
        return [item for item in free if item.id in known], []
    if not sure and len(unclear) <= certain:
        return ours, []
    return ours, unclear


def _several(order: Order, items: Sequence[Reply], *, rivals: bool) -> OutcomeUnknown:
    text = _("{model}: several generations of the account could be the lost one: {ids}.")
    if rivals:
        text = _(
            "{model}: an equal call with other options is open too, and the server does not tell whose this is: {ids}."
        )
    return OutcomeUnknown(
        text.format(model=order.what, ids=", ".join(str(item.id) for item in items)),
        hint=_("Compare them in %elumenta account-history; then choose one: %elumenta recover {id} {example}").format(
            id=order.call_id, example=items[0].id
        ),
        tokens=order.held,
        call_id=order.call_id,
    )


async def take_over(services: Services, order: Order, generation_id: int | str) -> None:
    """A person says which generation is an open call's. Raises `BadParam` for one that cannot be."""
    listing = await _listing(services, order)
    ahead_s = _ahead(services, order, listing, await services.account())
    moments = _moments(services, order, ahead_s)
    fitting = [
        *candidates(order, listing.made, moments),
        *astray(order, listing.made, moments, is_clock_known=ahead_s is not None),
    ]
    why = ""
    if order.generation_id is not None:
        why = _("call {id} has its generation already").format(id=order.call_id)
    elif not any(str(item.id) == str(generation_id) for item in fitting):
        why = _("its model, prompt, parameters or time are not those of call {id}").format(id=order.call_id)
    elif not await services.writer.claim(order.call_id, generation_id):
        why = _("another call has it")
    if why:
        raise BadParam(
            _("Generation {generation} is not taken: {why}.").format(generation=generation_id, why=why),
            hint=_("The account's generations: %elumenta account-history"),
        )


async def _complete(services: Services, item: Reply) -> Reply:
    """The reply of a generation found in the history: one of the two families lists no texts (api section 10)."""
    if item.status != "completed" or item.text is not None or item.url is not None:
        return item
    assert item.id is not None
    try:
        told = await services.client.poll(item.id)
    except ElumentaError:
        return item
    return replace(told, tokens=item.tokens if told.tokens is None else told.tokens) if told.status else item


def _others(services: Services, order: Order, account: str) -> Sequence[Entry]:
    """The other rows of the same request that have no generation, and may have one."""
    began = datetime.fromtimestamp(order.began_at, UTC)
    window = timedelta(seconds=WINDOW_S)
    rows = services.ledger.nameless(
        account,
        services.api,
        order.call.model,
        order.prompt_hash,
        since=began - window,
        until=began + window,
        ids=order.shelf.like(order) if order.shelf is not None else None,
    )
    return [row for row in rows if row.id != order.call_id]


def _place(order: Order, others: Sequence[Entry]) -> int:
    """Which of the free generations, the oldest first, is the order's.

    A row that was told "completed" has one for certain, an open one perhaps, one that was given up hardly.
    """
    ours = (order.is_lost, not order.is_settled, order.call_id)
    return sum((row.lost, row.status != "completed", row.id) < ours for row in others)
