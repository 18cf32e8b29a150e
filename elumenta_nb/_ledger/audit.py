"""Running totals against the rows they are made of."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from .budget import count, read, turn
from .entry import Drift

if TYPE_CHECKING:
    from .budget import Bucket
    from .database import Tx

__all__ = ["Health", "check", "health", "rebuild"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The database at a glance. `shown` is its address without passwords, `damage` what SQLite finds wrong in the file.

    Of a server its name and version, how long it takes to answer, and how far its clock is ahead of this machine's.
    """

    shown: str
    schema: int
    calls: int
    damage: str = ""
    server: str = ""
    latency_s: float = 0.0
    skew_s: float = 0.0


_ASKED: Final = 5  # times, to see how far a server is
_FIGURES: Final = "calls, tokens, held, failed, reused, saved, first_us, last_us"
_STORED: Final = f"SELECT place_no, model_no, {_FIGURES} FROM sums"  # noqa: S608 - a constant
_COUNTED: Final = (
    "SELECT place_no, model_no, COUNT(*), SUM(tokens), SUM(held), SUM(CASE status WHEN 4 THEN 1 ELSE 0 END),"
    " SUM(flags & 1), SUM(saved), MIN(started_us), MAX(started_us) FROM calls GROUP BY place_no, model_no"
)


def _buckets(tx: Tx) -> list[Bucket]:
    pairs = tx.all("SELECT DISTINCT api, account FROM budgets ORDER BY api, account")
    return [bucket for api, account in pairs for bucket in read(tx, api, account)]


def health(tx: Tx, shown: str, *, is_file: bool) -> Health:
    schema, calls = tx.one("SELECT MAX(number) FROM migrations"), tx.one("SELECT COUNT(*) FROM calls")
    base = Health(shown=shown, schema=schema[0] if schema else 0, calls=calls[0] if calls else 0)
    if is_file:
        found = tx.one("PRAGMA quick_check(1)")
        return replace(base, damage="" if found is None or found[0] == "ok" else str(found[0]))
    took = []
    for _turn in range(_ASKED):
        began = time.perf_counter()
        tx.one("SELECT 1")
        took.append(time.perf_counter() - began)
    version, at_s = tx.one("SELECT current_setting('server_version'), EXTRACT(EPOCH FROM clock_timestamp())") or ("", 0)
    name = f"PostgreSQL {str(version).partition(' ')[0]}"
    return replace(base, server=name, latency_s=min(took), skew_s=float(at_s) - time.time())


def check(tx: Tx) -> list[Drift]:
    stored = {row[:2]: row[2:] for row in tx.all(_STORED)}
    counted = {row[:2]: tuple(int(figure) for figure in row[2:]) for row in tx.all(_COUNTED)}
    found = [
        Drift(name=f"sums {place_no}/{model_no}", stored=stored.get(key, ()), counted=counted.get(key, ()))
        for key in sorted(stored.keys() | counted.keys())
        for place_no, model_no in [key]
        if stored.get(key) != counted.get(key)
    ]
    for bucket in _buckets(tx):
        totals = count(tx, bucket)
        if totals != (bucket.spent, bucket.held):
            name = " ".join(filter(None, ("budget", bucket.per, bucket.target, bucket.user, bucket.tag)))
            found.append(Drift(name=name, stored=(bucket.spent, bucket.held), counted=totals))
    return found


def rebuild(tx: Tx) -> list[Drift]:
    found = check(tx)
    if found:
        tx.run("DELETE FROM sums")
        tx.run(f"INSERT INTO sums (place_no, model_no, {_FIGURES}) {_COUNTED}")
        for bucket in _buckets(tx):
            turn(tx, bucket, bucket.from_us, bucket.to_us)
    return found
