"""Short lists of calls: the dearest, and those that were not charged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .query import entries
from .totals import conditions, period

if TYPE_CHECKING:
    from .database import Tx
    from .entry import Entry, Where

__all__ = ["dearest", "uncharged"]


def dearest(tx: Tx, where: Where, n: int, now_us: int) -> list[Entry]:
    """The n calls that were charged most, the dearest first."""
    return _listed(tx, where, n, now_us, ("c.tokens > 0", "c.tokens DESC, c.id"))


def uncharged(tx: Tx, where: Where, n: int, now_us: int) -> list[Entry]:
    """The last n calls that failed or were never sent, the newest first."""
    return _listed(tx, where, n, now_us, ("c.status > 3", "c.id DESC"))


def _listed(tx: Tx, where: Where, n: int, now_us: int, which_order: tuple[str, str]) -> list[Entry]:
    which, order = which_order
    limits, facts = conditions(tx, where, "c")
    within, bounds = period(where)
    clause = " AND ".join([which, *limits, *within])
    inner = f"SELECT c.id FROM calls c WHERE {clause} ORDER BY {order} LIMIT {int(n)}"  # noqa: S608 - constants
    return entries(tx, f"c.id IN ({inner}) ORDER BY {order}", now_us, **facts, **bounds)
