"""Which rows have a generation: the call it was told to, one that claims it, one that was spent elsewhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from .entry import Flag, State
from .row import split_id
from .words import ELSEWHERE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .database import Tx
    from .entry import GenerationId

__all__ = ["begun", "failed_as", "owned", "owners"]

_OWNERS: Final = (
    "SELECT c.id, p.source, c.started_us, c.flags, c.status, c.tokens, c.generation_no, c.generation_name"
    " FROM calls c JOIN places p ON p.no = c.place_no WHERE p.api = :api AND p.account = :account"
)
_YIELDING: Final = f" AND (p.source = '{ELSEWHERE}' OR (c.flags & {int(Flag.ADOPTED)}) <> 0)"  # as `Change.yields`


def owners(
    tx: Tx, api: str, account: str, named: tuple[int | None, str | None], *, yielding: bool = False
) -> list[tuple[int, str]]:
    """The rows of the account that have this generation (as stored): id, source. `yielding`: those that give way."""
    number, name = named
    column, value = ("generation_no", number) if number is not None else ("generation_name", name)
    sql = f"{_OWNERS} AND c.{column} = :value{_YIELDING if yielding else ''}"  # constants all of them
    return [(row[0], row[1]) for row in tx.all(sql, api=api, account=account, value=value)]


def owned(tx: Tx, api: str, account: str, ids: Iterable[GenerationId]) -> set[GenerationId]:
    """Those of the ids that belong to a call of this ledger (not to a row of what was spent elsewhere)."""
    return {generation for generation, _row in _own(tx, api, account, ids)}


def begun(tx: Tx, api: str, account: str, ids: Iterable[GenerationId]) -> dict[GenerationId, int]:
    """When the calls began that were told these ids, not those that were found by them: Unix time in microseconds."""
    return {
        generation: started_us
        for generation, (_id, _source, started_us, flags, *_rest) in _own(tx, api, account, ids)
        if not flags & Flag.ADOPTED
    }


def failed_as(tx: Tx, api: str, account: str, ids: Iterable[GenerationId]) -> list[int]:
    """Calls that failed and cost nothing, one for each of these generations that no other call has, the last of them."""
    last: dict[GenerationId, int] = {}
    taken: set[GenerationId] = set()
    for generation, (id_, _source, _started_us, _flags, status, tokens, *_rest) in _own(tx, api, account, ids):
        last[generation] = id_
        if status != State.FAILED or tokens:
            taken.add(generation)
    return [id_ for generation, id_ in last.items() if generation not in taken]


def _own(tx: Tx, api: str, account: str, ids: Iterable[GenerationId]) -> list[tuple[GenerationId, Sequence[Any]]]:
    """Each of the ids with the calls of this ledger that have it, the oldest first."""
    wanted: dict[tuple[int | None, str | None], list[GenerationId]] = {}
    for generation in ids:
        wanted.setdefault(split_id(generation)[:2], []).append(generation)
    numbers = json.dumps([number for number, _name in wanted if number is not None])
    names = json.dumps([name for _number, name in wanted if name is not None])
    rows: list[tuple[Any, ...]] = []
    if numbers != "[]":
        rows += tx.all(f"{_OWNERS} AND c.generation_no {{in_ids}}", api=api, account=account, ids=numbers)
    if names != "[]":
        rows += tx.all(f"{_OWNERS} AND c.generation_name {{in_texts}}", api=api, account=account, texts=names)
    return [(generation, row) for row in sorted(rows) if row[1] != ELSEWHERE for generation in wanted[row[6], row[7]]]
