"""The account's books as frames: catalogue, history, open calls, recovery. What a session offers beside buying."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ._catalog import Model, catalog
from ._errors import BadParam, ElumentaError, LedgerError, OutcomeUnknown
from ._language import gettext as _
from ._order import Order, hash_prompt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    import pandas as pd

    from ._ledger import Entry
    from ._recovery import Shelf
    from ._result import Result
    from ._services import Services
    from ._values import Event, Reply

__all__ = [
    "book_elsewhere",
    "choose",
    "collect",
    "explained",
    "history_frame",
    "jobs_frame",
    "look_again",
    "models_frame",
]

MODEL_COLUMNS: Final = ("slug", "name", "category", "provider", "tier", "minimum", "maximum")
PAGE: Final = 100


def _limit(maximum: Any) -> float:
    if maximum is None:
        return inf
    if not isinstance(maximum, Real):
        raise BadParam(_("maximum= is a number of Elumenta tokens, not {value!r}.").format(value=maximum))
    return float(maximum)


def models_frame(
    served: Iterable[Model],
    category: str | None,
    *,
    tier: str | None = None,
    maximum: int | None = None,
    text: str | None = None,
) -> pd.DataFrame:
    """The catalogue with the page's columns, and what the server lists beyond it. Prices are Elumenta tokens."""
    import pandas as pd

    row = None
    if category is not None and (row := catalog().category(category)) is None:
        raise BadParam(
            _("There is no category {name!r}.").format(name=category),
            hint=_("Categories: {names}").format(names=", ".join(catalog().categories)),
        )
    most = _limit(maximum)
    words = (text or "").lower().split()
    models = [*catalog().models.values(), *(model for model in served if model.slug not in catalog().models)]
    rows = [
        {column: getattr(model, column) or "–" for column in MODEL_COLUMNS}
        for model in models
        if (row is None or model.category == row.name)
        and (tier is None or model.tier.lower().rstrip("+") == tier.lower().rstrip("+"))
        and model.minimum <= most
        and all(word in f"{model.slug} {model.name} {model.provider} {model.category}".lower() for word in words)
    ]
    frame = pd.DataFrame(rows, columns=list(MODEL_COLUMNS))
    return frame.set_index("slug")


async def history_frame(services: Services, limit: int | None) -> pd.DataFrame:
    """The account's generations on all channels, newest first; all of them without a limit."""
    import pandas as pd

    items: list[Any] = []
    async for item in _all_generations(services):
        items.append(item)
        if len(items) == limit:
            break
    columns = ["created_at", "model", "category", "status", "tokens", "prompt", "url"]
    frame = pd.DataFrame(
        [{"id": item.id, **{column: getattr(item, column) for column in columns}} for item in items],
        columns=["id", *columns],
    )
    frame["tokens"] = frame["tokens"].astype("Int64")
    frame["created_at"] = pd.to_datetime(frame["created_at"], utc=True)
    return frame


async def _all_generations(services: Services) -> AsyncIterator[Reply]:
    """The account's history, page by page, each generation once. A server that repeats a page has told all it will."""
    seen: set[int | str] = set()
    page = 1
    while True:
        history = await services.client.history(page=page, limit=PAGE)
        new = [item for item in history.items if item.id is None or item.id not in seen]
        before = len(seen)
        for item in new:
            yield item
            if item.id is not None:
                seen.add(item.id)
        if not history.more or len(seen) == before:
            return
        page += 1


def jobs_frame(rows: Sequence[Entry], *, everyone: bool = False) -> pd.DataFrame:
    """Open calls: what was asked, how long ago, what is held; and whose, when they are `everyone`'s."""
    import pandas as pd

    now = datetime.now(UTC)
    frame = pd.DataFrame(
        [
            {
                "id": row.id,
                "status": row.status,
                "model": row.model,
                "held": row.held,
                "age_s": round((now - row.started_at).total_seconds()),
                "notebook": row.origin.notebook,
                "label": row.origin.label,
                "generation_id": row.generation_id,
                "error": row.error,
                "user": row.origin.user,
            }
            for row in rows
        ],
        columns=["id", "status", "model", "held", "age_s", "notebook", "label", "generation_id", "error", "user"],
    )
    return frame.set_index("id") if everyone else frame.drop(columns="user").set_index("id")


def explained(spent: pd.DataFrame, total: object) -> dict[str, int]:
    """The account's `total` of tokens ever spent, as the server tells it, in parts."""
    own = spent["source"] != "elsewhere"
    account = total if isinstance(total, int) else int(spent["tokens"].sum())
    ledger, elsewhere = int(spent.loc[own, "tokens"].sum()), int(spent.loc[~own, "tokens"].sum())
    return {
        "account": account,
        "ledger": ledger,
        "elsewhere": elsewhere,
        "unlisted": account - ledger - elsewhere,
    }


async def collect(
    services: Services, rows: Sequence[Entry], emit: Callable[[Event], None], store_of: Callable[[Path], Any]
) -> list[Result | ElumentaError]:
    """Find out what became of open rows, each stored beside the notebook it came from.

    A row that the history does not show, although it was read, is released once its grace is over; it stays adoptable
    for a week.
    """
    from ._engine import Engine
    from ._recovery import given_up, unanswered

    orders = [Order.resumed(row, _resolved(row), index) for index, row in enumerate(rows)]
    unclear = await _look_up(services, rows, orders)
    results: list[Result | ElumentaError] = []
    for row, order in zip(rows, orders, strict=True):
        result: Result | ElumentaError
        if order.generation_id is None:  # its own kernel may have been told meanwhile
            order.generation_id = services.ledger.call(row.id).generation_id
        if order.generation_id is not None:
            own = replace(services, store=store_of(Path(row.folder))) if row.folder else services
            result = (await Engine(own).resume([order], emit))[0]
        else:
            result = unclear.get(row.id) or await unanswered(services, order)
        if isinstance(result, OutcomeUnknown) and (why := await given_up(services, order, row)):
            result = OutcomeUnknown(f"{row.model}: {why}", spent="no", call_id=row.id)
        results.append(result)
    return results


async def _look_up(services: Services, rows: Sequence[Entry], orders: Sequence[Order]) -> dict[int, OutcomeUnknown]:
    """Look up those without a generation, all together, and with them the rest of their runs: it has a claim too."""
    from ._buying import KERNEL
    from ._recovery import look_up_together, siblings

    nameless = {order.call_id: order for order in orders if order.generation_id is None}
    expired = [row for row in rows if row.status == "unknown" and row.id in nameless and not row.error]
    why = _("it was not answered when it was made")
    with contextlib.suppress(LedgerError):  # they stay as they are, open
        await asyncio.gather(*(services.writer.doubt(row.id, why) for row in expired))
    for row in await siblings(services, nameless.values(), KERNEL):
        nameless[row.id] = Order.resumed(row, _resolved(row))
    unclear = await look_up_together(services, list(nameless.values()), KERNEL)
    shelf = _shelf(services, rows)
    for order in orders:
        order.shelf = order.shelf or shelf
    return unclear


async def choose(services: Services, rows: Sequence[Entry], generation_id: int | str) -> None:
    """A person says which generation is the one open call's. Raises `BadParam` for one that cannot be."""
    from ._recovery import take_over

    if len(rows) != 1:
        raise BadParam(_("A generation is chosen for one unfinished call."), hint=_("Unfinished calls: %elumenta jobs"))
    await take_over(services, Order.resumed(rows[0], _resolved(rows[0])), generation_id)


async def look_again(services: Services, account: str) -> None:
    """What was booked without certainty, of the last week, asked for once more.

    A released call that the history shows by now is open again; a settled one without a generation or with an estimated
    charge gets what the server says.
    """
    from ._ledger import Settlement
    from ._recovery import WEEK, find

    since = services.ledger.now() - WEEK
    lost = services.ledger.released_since(account, services.api, since)
    guessed = services.ledger.uncertain(account, services.api, since)
    shelf = _shelf(services, [*lost, *guessed])
    for row in [*guessed, *lost]:
        order = replace(Order.resumed(row, _resolved(row)), shelf=shelf)
        try:
            told = await find(services, order)  # a lost one is claimed by this, and open again
        except ElumentaError:
            continue  # the next time
        if told is not None and told.tokens is None and told.id is not None and shelf is not None:
            with contextlib.suppress(ElumentaError):  # the page does not tell the charge: the history may
                listed = (await shelf.of(order.resolved.category.wire[0], row.model)).item(told.id)
                told = replace(told, tokens=listed.tokens if listed is not None else None)
        if told is not None and row.lost and row.generation_id is not None:
            await services.writer.accept(row.id, row.generation_id)  # the server knows its id again
        if told is not None and order.is_settled and told.status == "completed" and told.id is not None:
            figure = Settlement(call_id=row.id, tokens=told.tokens, generation_id=told.id)
            await services.writer.settle(figure)


def _shelf(services: Services, rows: Sequence[Entry]) -> Shelf | None:
    from ._recovery import Shelf

    return Shelf(services, min(row.started_at.timestamp() for row in rows)) if rows else None


async def book_elsewhere(services: Services, account: str, known: set[int]) -> list[dict[str, Any]]:
    """Book what the account's history shows and no row of the ledger started (bot, web, other machines).

    A call of ours that was told to have failed, and was made and charged after all, is settled. Returns a row for each
    of these, and for each that is not among the `known` rows of the ledger.
    """
    from ._ledger import Elsewhere, Settlement

    found: list[Elsewhere] = []
    async for item in _all_generations(services):
        if item.id is None or item.created_at is None or not item.status:
            continue
        category = catalog().of_wire(item.category, item.model)
        model = catalog().models.get(item.model)
        found.append(
            Elsewhere(
                account=account,
                api=services.api,
                generation_id=item.id,
                category=category.name if category else item.category,
                model=item.model,
                provider=model.provider if model else "",
                status=item.status,
                tokens=item.tokens or 0,
                started_at=item.created_at,
                prompt_chars=len(item.prompt or ""),
                prompt_hash=hash_prompt(item.prompt or ""),
            )
        )
    booked = services.ledger.adopt(found)
    made = {str(item.generation_id): item for item in found if item.status == "completed" and item.tokens}
    told_failed = services.ledger.failed_as(
        [item.generation_id for item in made.values()], account=account, api=services.api
    )
    late = [(row, made[str(row.generation_id)]) for row in told_failed]
    for row, charged in late:
        settled = Settlement(call_id=row.id, tokens=charged.tokens, generation_id=charged.generation_id)
        await services.writer.settle(settled)
    return [
        {"id": row.id, "model": row.model, "was": "failed", "status": "completed", "tokens": item.tokens}
        for row, item in late
    ] + [
        {"id": call_id, "model": item.model, "was": "elsewhere", "status": item.status, "tokens": item.tokens}
        for call_id, item in zip(booked, found, strict=True)
        if call_id is not None and call_id not in known
    ]


def _resolved(row: Entry) -> Any:
    """The table's rows of a ledger row; a model that left the table is a stranger of its category."""
    known = catalog().models.get(row.model)
    model = known or Model(slug=row.model, category=row.category, minimum=0, maximum=0, in_table=False)
    served = {} if known else {row.model: model}
    resolved = catalog().resolve(None, row.model, {}, served=served)
    return replace(resolved, params=dict(row.params))
