"""Which rows have a generation: the call it was told to, one that claims it, one that was spent elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .entry import Flag, State
from .row import split_id
from .words import ELSEWHERE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .database import Tx
    from .entry import GenerationId

__all__ = ["begun", "failed_as", "owned", "owners"]

_OWNERS: Final = "SELECT c.id, p.source, c.started_us, c.flags, c.status, c.tokens FROM calls c JOIN places p ON p.no = c.place_no WHERE p.api = :api AND p.account = :account"
_YIELDING: Final = f" AND (p.source = '{ELSEWHERE}' OR (c.flags & {int(Flag.ADOPTED)}) <> 0)"  # as `Change.yields`


def owners(
    tx: Tx, api: str, account: str, named: tuple[int | None, str | None], *, yielding: bool = False
) -> list[tuple[int, str]]:
    """The rows of the account that have this generation (as stored): id, source. `yielding`: those that give way."""
    return [(row[0], row[1]) for row in _rows(tx, api, account, named, _YIELDING if yielding else "")]


def owned(tx: Tx, api: str, account: str, ids: Iterable[GenerationId]) -> set[GenerationId]:
    """Those of the ids that belong to a call of this ledger (not to a row of what was spent elsewhere)."""
    return {
        generation
        for generation in ids
        if any(source != ELSEWHERE for _id, source in owners(tx, api, account, split_id(generation)[:2]))
    }


def begun(tx: Tx, api: str, account: str, ids: Iterable[GenerationId]) -> dict[GenerationId, int]:
    """When the calls began that were told these ids, not those that were found by them: Unix time in microseconds."""
    return {
        generation: started_us
        for generation in ids
        for _id, source, started_us, flags, _status, _tokens in _rows(tx, api, account, split_id(generation)[:2])
        if source != ELSEWHERE and not flags & Flag.ADOPTED
    }


def failed_as(tx: Tx, api: str, account: str, ids: Iterable[GenerationId]) -> list[int]:
    """Calls with these generations that failed and cost nothing."""
    return [
        id_
        for generation in ids
        for id_, source, _started_us, _flags, status, tokens in _rows(tx, api, account, split_id(generation)[:2])
        if source != ELSEWHERE and status == State.FAILED and not tokens
    ]


def _rows(tx: Tx, api: str, account: str, named: tuple[int | None, str | None], more: str = "") -> Sequence[Any]:
    number, name = named
    column, value = ("generation_no", number) if number is not None else ("generation_name", name)
    sql = f"{_OWNERS} AND c.{column} = :value{more}"  # constants all of them
    return tx.all(sql, api=api, account=account, value=value)
