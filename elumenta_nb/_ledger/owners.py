"""Which rows have a generation: the call it was told to, one that claims it, one that was spent elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .entry import Flag
from .row import split_id
from .words import ELSEWHERE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .database import Tx
    from .entry import GenerationId

__all__ = ["owned", "owners"]

_OWNERS: Final = (
    "SELECT c.id, p.source FROM calls c JOIN places p ON p.no = c.place_no WHERE p.api = :api AND p.account = :account"
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
    return {
        generation
        for generation in ids
        if any(source != ELSEWHERE for _id, source in owners(tx, api, account, split_id(generation)[:2]))
    }
