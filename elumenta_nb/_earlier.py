"""What an earlier run of a cell left: calls to wait for, and results that were paid and never came home.

The engine collects them instead of buying, and the price of a notebook counts them as nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._ledger import Entry
    from ._order import Order
    from ._store import Store
    from ._values import Origin

__all__ = ["is_awaited", "may_reuse", "not_home"]


def may_reuse(order: Order) -> bool:
    """Whether the policy lets this call have what was bought before."""
    call = order.call
    if call.reuse == "only":
        return True
    return not call.fresh and (call.reuse == "all" or (call.reuse == "media" and order.resolved.returns != "text"))


def is_awaited(order: Order, row: Entry) -> bool:
    """Whether this open row is an earlier run of the order's cell: waiting for it is free, another is not.

    In a script, which has no cells, it is any equal call whose answer was lost, or that another process waits for.
    """
    ours, theirs = order.call.origin, row.origin
    if _is_of_cell(ours) or _is_of_cell(theirs):
        return row.open and theirs.run != ours.run and _same_cell(order, row)
    return row.status == "unknown" or (row.status == "pending" and theirs.kernel != ours.kernel)


def not_home(order: Order, rows: Iterable[Entry], store: Store, api: str) -> list[Entry]:
    """The paid rows of equal calls that have no result in this store, those of the same cell first. Reads the store."""
    run = order.call.origin.run
    rows = [row for row in rows if not row.open and store.belongs(Path(row.folder))]
    found = [
        row
        for row in rows
        if _is_kept(order, row)
        and not (run and row.origin.run == run)
        and not ((take := store.of_call(row.id, api, row.fingerprint)) and take.complete)
    ]
    return sorted(found, key=lambda row: (not _same_cell(order, row), row.id))


def _is_of_cell(origin: Origin) -> bool:
    return bool(origin.cell_id or origin.source_hash)


def _same_cell(order: Order, row: Entry) -> bool:
    ours, theirs = order.call.origin, row.origin
    same_source = ours.source_hash and ours.source_hash == theirs.source_hash
    return bool(same_source or (ours.cell_id and ours.cell_id == theirs.cell_id))


def _is_kept(order: Order, row: Entry) -> bool:
    """Whether the result of this row belongs in a store: a text asked for outside a cell was handed out and not kept."""
    return order.resolved.returns != "text" or row.origin.source == "magic" or _same_cell(order, row)
