"""Both sides of the account compared: what the server charged, what the ledger says."""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elumenta_nb._ledger import Entry, Ledger, Where
from elumenta_nb.sandbox.replies import own_id


@dataclass(frozen=True, slots=True)
class Made:
    """A generation as the server has it."""

    id: int
    status: str
    tokens: int


def made(server: Any) -> dict[int, Made]:
    """All generations of the server's state, hidden ones too."""
    with sqlite3.connect(server.state) as db:
        rows = db.execute("SELECT id, status, tokens FROM generation").fetchall()
    db.close()
    return {row[0]: Made(*row) for row in rows}


def rows_of(ledger: Ledger) -> list[Entry]:
    """All rows of a ledger."""
    with sqlite3.connect(str(ledger.path)) as db:
        ids = [row[0] for row in db.execute("SELECT id FROM calls ORDER BY id")]
    db.close()
    return [ledger.call(id_) for id_ in ids]


def healthy(path: Path) -> str:
    """What ``PRAGMA integrity_check`` says."""
    with sqlite3.connect(path) as db:
        (answer,) = db.execute("PRAGMA integrity_check").fetchone()
    db.close()
    return str(answer)


def left(row: Entry) -> str:
    """A row that recovery left open, and what may say why."""
    return (
        f"call {row.id} of account {row.account!r}: {row.status}, {row.held} held, {row.model} {dict(row.params)},"
        f" generation {row.generation_id}, sent {row.attempts} times, since {row.started_at:%H:%M:%S.%f}: {row.error}"
    )


def compared(server: Any, ledger: Ledger, dialect: str, paid: int) -> dict[str, Any]:
    """The figures that have to be zero, and those they come from. `paid` is what the account has less than before."""
    at_server, rows = made(server), rows_of(ledger)
    owners = Counter(
        number
        for row in rows
        if row.generation_id is not None and (number := own_id(str(row.generation_id), dialect)) is not None
    )
    owned = set(owners)
    charged = {row.id for row in rows if row.status == "completed"}
    _calls, booked, held, *_rest = ledger.totals((), Where(api=rows[0].api))[0] if rows else (0, 0, 0)
    by_id = {own_id(str(row.generation_id), dialect): row for row in rows if row.generation_id is not None}
    wrong = [
        (number, generation.tokens, by_id[number].tokens)
        for number, generation in at_server.items()
        if number in by_id and by_id[number].tokens != generation.tokens
    ]
    return {
        "rows": len(rows),
        "generations": len(at_server),
        "completed": sum(item.status == "completed" for item in at_server.values()),
        "charged": paid,
        "booked": int(booked),
        "difference": int(booked) - paid,
        "open": sum(row.open for row in rows),
        "left open": [left(row) for row in rows if row.open],
        "held": int(held),
        "owned twice": sorted(number for number, n in owners.items() if n > 1),
        "without a row": sorted(
            number for number, item in at_server.items() if number not in owned and item.status == "completed"
        ),
        "failed without a row": sum(
            number not in owned and item.status != "completed" for number, item in at_server.items()
        ),
        "wrong figure": wrong,
        "adopted": sum(row.adopted for row in rows),
        "released as lost": sum(row.lost for row in rows),
        "drift": [drift.name for drift in ledger.check()],
        "integrity": healthy(Path(str(ledger.path))),
        "completed rows": sorted(charged),
    }
