"""Finding out what became of a request whose answer was lost: by its id, else in the account's history.

The API documents no idempotency key, so this is what stands between a lost answer and paying twice. A generation is
adopted only when it can be nobody else's: same model and prompt, made in the call's time window, owned by no other
row, and while no identical request is still waiting for its own answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from ._errors import ElumentaError, OutcomeUnknown
from ._language import gettext as _
from ._order import hash_prompt

if TYPE_CHECKING:
    from ._generation import Services
    from ._ledger import Entry
    from ._order import Order
    from ._values import Reply

__all__ = ["GRACE_S", "candidates", "look_up"]

LOOKS_S: Final = (0.0, 0.5, 1.0, 2.0, 4.0)  # an interrupted server shows the generation when it has finished it
SLACK_S: Final = 5.0  # server timestamps have whole seconds, and so has the Date header that tells its clock
WINDOW_S: Final = 900.0  # a generation made later than this after the intent is another one
GRACE_S: Final = 900.0  # after this an unanswered call that no history shows is released
PAGES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """What a lost generation looks like. Times are seconds since 1970 on our clock."""

    account: str
    model: str
    category: str
    prompt_hash: str
    has_prompt: bool
    began_at: float


async def look_up(services: Services, order: Order) -> Reply | None:
    """The server's word on an order without an answer, or ``None`` when it does not turn up in about 8 seconds.

    Raises `OutcomeUnknown` when several generations could be it.
    """
    sought = Sought(
        account=await services.account(),
        model=order.call.model,
        category=order.resolved.category.wire[0],
        prompt_hash=order.prompt_hash,
        has_prompt=order.has_prompt,
        began_at=order.began_at,
    )
    for wait_s in LOOKS_S:
        await services.sleep(wait_s)
        try:
            if order.generation_id is not None:
                return await services.client.poll(order.generation_id)
            found = await _adopt(services, order, sought)
        except OutcomeUnknown:
            raise
        except ElumentaError:
            continue  # the server is still in trouble
        if found is not None:
            return found
    return None


async def _adopt(services: Services, order: Order, sought: Sought) -> Reply | None:
    siblings = _siblings(services, order, sought)
    if siblings is None:
        return None
    ours = sorted([*siblings, (order.began_at, order.call_id)]).index((order.began_at, order.call_id))
    found = await candidates(services, sought)
    if len(found) > len(siblings) + 1:
        raise OutcomeUnknown(
            _("{model}: several generations of the account could be the lost one: {ids}.").format(
                model=order.what, ids=", ".join(str(reply.id) for reply in found)
            ),
            hint=_("Compare them in %elumenta account-history; then %elumenta recover {id}").format(id=order.call_id),
            tokens=order.held,
            call_id=order.call_id,
        )
    if ours >= len(found):
        return None
    reply = found[ours]
    assert reply.id is not None
    if not await services.writer.claim(order.call_id, reply.id):
        return None  # another kernel was quicker: look again
    order.generation_id = reply.id
    return await _whole(services, reply)


async def _whole(services: Services, item: Reply) -> Reply:
    """The reply of a generation found in the history: one of the two families lists no texts (api section 10)."""
    if item.status != "completed" or item.text is not None or item.url is not None:
        return item
    assert item.id is not None
    try:
        told = await services.client.poll(item.id)
    except ElumentaError:
        return item
    return replace(told, tokens=item.tokens if told.tokens is None else told.tokens) if told.status else item


def _siblings(services: Services, order: Order, sought: Sought) -> list[tuple[float, int]] | None:
    """The other unanswered rows of the same request; ``None`` while one may still get its own answer."""
    siblings = []
    for row in services.ledger.open_calls(sought.account, services.api):
        if row.id == order.call_id or row.generation_id is not None or not _same(row, sought):
            continue
        if row.status == "reserved":
            return None
        siblings.append((row.started_at.timestamp(), row.id))
    return siblings


def _same(row: Entry, sought: Sought) -> bool:
    near = abs(row.started_at.timestamp() - sought.began_at) < WINDOW_S
    return row.model == sought.model and row.prompt_hash == sought.prompt_hash and near


async def candidates(services: Services, sought: Sought) -> list[Reply]:
    """Generations of the history that fit and belong to no row of the ledger, the oldest first."""
    skew = services.client.skew_s
    earliest = sought.began_at + skew - SLACK_S
    latest = sought.began_at + skew + WINDOW_S
    fitting: list[Reply] = []
    for page in range(1, PAGES + 1):
        history = await services.client.history(page=page, limit=100, category=sought.category, model=sought.model)
        for item in history.items:
            if item.id is None or (item.model and item.model != sought.model):
                continue
            made = item.created_at.timestamp() if item.created_at else None
            if made is not None and not earliest <= made <= latest:
                continue
            if sought.has_prompt and item.prompt is not None and hash_prompt(item.prompt) != sought.prompt_hash:
                continue
            fitting.append(item)
        times = [item.created_at.timestamp() for item in history.items if item.created_at]
        if (times and min(times) < earliest) or not history.more:
            break
    ids = [item.id for item in fitting if item.id is not None]
    owned = services.ledger.owned(ids, account=sought.account, api=services.api)
    free = [item for item in fitting if item.id not in owned]
    return sorted(free, key=lambda item: item.created_at.timestamp() if item.created_at else 0.0)
