"""Rows as numpy arrays: how a million calls become a frame in seconds and in the memory of the frame.

Only the narrow integers of `calls` are read row by row; the words of places and models are looked up once each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from .entry import State
from .totals import conditions, period

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy as np
    from numpy.typing import NDArray

    from .database import Tx
    from .entry import Where

__all__ = ["FACTS", "MISSING", "TEXTS", "Columns", "read_columns"]

MISSING: Final = -(2**62)  # stands for NULL on the way; no fact of a call is that small
_PIECE: Final = 8192

FACTS: Final = {
    # column of the frame -> (SQL, numpy type, may be missing)
    "id": ("c.id", "int64", False),
    "place": ("c.place_no", "int32", False),
    "model": ("c.model_no", "int32", False),
    "status": ("c.status", "int8", False),
    "flags": ("c.flags", "int8", False),
    "started_at": ("c.started_us", "int64", False),
    "ended_at": ("c.ended_us", "int64", True),
    "execution_count": ("c.execution_count", "int64", True),
    "quoted": ("c.quoted", "int64", False),
    "held": ("c.held", "int64", False),
    "tokens": ("c.tokens", "int64", False),
    "balance_after": ("c.balance_after", "int64", True),
    "latency_us": ("c.latency_us", "int64", True),
    "generation_no": ("c.generation_no", "int64", True),
    "attempts": ("c.attempts", "int64", False),
    "restored_from": ("c.restored_from", "int64", True),
    "prompt_chars": ("c.prompt_chars", "int64", False),
}
TEXTS: Final = {
    "generation_name": "c.generation_name",
    "prompt_hash": "d.prompt_hash",
    "params": "d.params",
    "media": "d.media",
    "error": "d.error",
}


@dataclass(frozen=True, slots=True)
class Columns:
    """Arrays of equal length. `facts` hold what `masks` marks as missing; `places` and `models` are words by number."""

    count: int
    facts: dict[str, NDArray[Any]] = field(default_factory=dict)
    masks: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    texts: dict[str, NDArray[np.object_]] = field(default_factory=dict)
    places: dict[int, tuple[str, ...]] = field(default_factory=dict)  # account, user, host, notebook, cell_id, label, …
    models: dict[int, tuple[str, ...]] = field(default_factory=dict)  # category, model, provider


def read_columns(tx: Tx, wanted: Collection[str], where: Where, now_us: int) -> Columns:
    """The facts and texts that are asked for, in one consistent view, ordered by id."""
    import numpy as np

    limits, facts = conditions(tx, where, "c")
    within, bounds = period(where)
    clause = "".join(f" AND {part}" for part in limits + within)
    facts |= bounds
    found = tx.one(f"SELECT COUNT(*) FROM calls c WHERE 1 = 1{clause}", **facts)  # noqa: S608 - constants
    count = int(found[0]) if found else 0
    names = [name for name in FACTS if name in wanted]
    texts = [name for name in TEXTS if name in wanted]
    if "generation_name" in texts and not _has_names(tx):
        texts.remove("generation_name")
    out = Columns(
        count,
        facts={name: np.empty(count, FACTS[name][1]) for name in names},
        masks={name: np.empty(count, np.bool_) for name in names if FACTS[name][2]},
        texts={name: np.empty(count, np.object_) for name in texts},
        places={
            row[0]: tuple(row[1:])
            for row in tx.all('SELECT no, account, "user", host, notebook, cell_id, label, tags, source FROM places')
        },
        models={row[0]: tuple(row[1:]) for row in tx.all("SELECT no, category, model, provider FROM models")},
    )
    if names:
        _fill_facts(tx, out, clause, facts, now_us)
    if texts:
        _fill_texts(tx, out, clause, facts)
    return out


def _has_names(tx: Tx) -> bool:
    return tx.one("SELECT 1 FROM calls WHERE generation_name IS NOT NULL LIMIT 1") is not None


def _fill_facts(tx: Tx, out: Columns, clause: str, facts: dict[str, Any], now_us: int) -> None:
    import numpy as np

    names = list(out.facts)
    expressions = {
        name: f"COALESCE({sql}, {MISSING})" if missing else sql for name, (sql, _type, missing) in FACTS.items()
    }
    expired = f"CASE WHEN c.status = {State.RESERVED:d} AND c.lease_us <= :now_us THEN {State.UNKNOWN:d}"
    if "status" in names:
        facts = facts | {"now_us": now_us}
    expressions["status"] = f"{expired} ELSE c.status END"
    listed = ", ".join(expressions[name] for name in names)
    start = 0
    for rows in tx.stream(f"SELECT {listed} FROM calls c WHERE 1 = 1{clause} ORDER BY c.id", _PIECE, **facts):  # noqa: S608 - constants
        flat = np.fromiter(chain.from_iterable(rows), np.int64, len(rows) * len(names))
        table = flat.reshape(len(rows), len(names))
        piece = slice(start, start + len(rows))
        for number, name in enumerate(names):
            column = table[:, number]
            out.facts[name][piece] = column
            if name in out.masks:
                out.masks[name][piece] = column == MISSING
        start += len(rows)


def _fill_texts(tx: Tx, out: Columns, clause: str, facts: dict[str, Any]) -> None:
    names = list(out.texts)
    joined = " JOIN details d ON d.call_id = c.id" if any(TEXTS[name].startswith("d.") for name in names) else ""
    listed = ", ".join(TEXTS[name] for name in names)
    start = 0
    sql = f"SELECT {listed} FROM calls c{joined} WHERE 1 = 1{clause} ORDER BY c.id"  # noqa: S608 - constants
    for rows in tx.stream(sql, _PIECE, **facts):
        for number, name in enumerate(names):
            out.texts[name][start : start + len(rows)] = [row[number] for row in rows]
        start += len(rows)
