"""The account's books: rows of its history, and totals."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from elumenta_nb._catalog import catalog

from .rows import Generation

if TYPE_CHECKING:
    import sqlite3

__all__ = ["generation", "history", "stats"]


def history(
    db: sqlite3.Connection,
    account: int,
    *,
    page: int,
    limit: int,
    categories: tuple[str, ...],
    model: str,
    status: str,
    favorites_only: bool,
) -> tuple[list[Generation], int]:
    """A page of the account's generations, newest first, and how many there are in all."""
    values: list[Any]
    where, values = ["account = ?", "NOT hidden"], [account, *categories]
    if categories:
        where.append(f"category IN ({', '.join('?' * len(categories))})")
    for column, value in (("model", model), ("status", status)):
        if value:
            where.append(f"{column} = ?")
            values.append(value)
    if favorites_only:
        where.append("favorite")
    condition = " AND ".join(where)
    total = db.execute(f"SELECT count(*) FROM generation WHERE {condition}", values).fetchone()[0]  # noqa: S608 - columns are ours
    rows = db.execute(
        f"SELECT * FROM generation WHERE {condition} ORDER BY id DESC LIMIT ? OFFSET ?",  # noqa: S608 - columns are ours
        [*values, limit, (page - 1) * limit],
    ).fetchall()
    return [generation(row) for row in rows], int(total)


def stats(db: sqlite3.Connection, account: int, *, since: float) -> dict[str, Any]:
    """Totals of completed generations in the shape of ``GET /user/stats``; `since` begins the recent ones."""
    categories = catalog().categories
    groups = {row.stats: {"count": 0, "tokens": 0} for row in categories.values()}
    recent = {"generations": 0, "tokens_spent": 0}
    rows = db.execute(
        "SELECT category, count(*) AS n, sum(tokens) AS tokens, sum(created_at >= ?) AS new,"
        " sum(tokens * (created_at >= ?)) AS spent"
        " FROM generation WHERE account = ? AND status = 'completed' AND hidden < 2 GROUP BY category",
        (since, since, account),
    ).fetchall()
    for row in rows:
        group = groups[categories[row["category"]].stats]
        group["count"] += row["n"]
        group["tokens"] += row["tokens"]
        recent["generations"] += row["new"]
        recent["tokens_spent"] += row["spent"]
    return {
        "total_generations": sum(group["count"] for group in groups.values()),
        "tokens_spent_total": sum(group["tokens"] for group in groups.values()),
        "breakdown": groups,
        "recent_30d": recent,
    }


def generation(row: sqlite3.Row) -> Generation:
    return Generation(
        id=row["id"],
        model=row["model"],
        category=row["category"],
        prompt=row["prompt"],
        params=json.loads(row["params"]),
        status=row["status"],
        price=row["price"],
        tokens=row["tokens"],
        balance=row["balance"],
        text=row["text"],
        error=row["error"],
        media=json.loads(row["media"]) if row["media"] else None,
        created_at=row["created_at"],
        ready_at=row["ready_at"],
        completed_at=row["completed_at"],
        favorite=bool(row["favorite"]),
        rating=row["rating"],
    )
