"""Requests an hour and a day: windows that begin with their first request, the documented 429 when one is full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .rows import Account, Refusal, Usage

if TYPE_CHECKING:
    import sqlite3

__all__ = ["count", "forget", "usage"]

_LENGTHS: Final = {"hour": 3600, "day": 86400}
_WORDS: Final = {"hour": "Hourly", "day": "Daily"}


def _windows(db: sqlite3.Connection, account: int, now: float) -> dict[str, tuple[float, int]]:
    """Start and count of each window."""
    windows = dict.fromkeys(_LENGTHS, (now, 0))
    for row in db.execute("SELECT kind, started, n FROM usage WHERE account = ?", (account,)):
        if now < row["started"] + _LENGTHS[row["kind"]]:
            windows[row["kind"]] = (row["started"], row["n"])
    return windows


def usage(db: sqlite3.Connection, account: Account, now: float) -> Usage:
    """What is left; of an unlimited account everything is 0."""
    windows = _windows(db, account.id, now)
    return Usage(
        hour=account.limit_hour,
        hour_left=max(account.limit_hour - windows["hour"][1], 0),
        day=account.limit_day,
        day_left=max(account.limit_day - windows["day"][1], 0),
        resets_at=int(windows["hour"][0] + _LENGTHS["hour"]),
    )


def count(db: sqlite3.Connection, account: Account, now: float) -> None:
    """Count one request. Raises `Refusal` (429) over a limit; a refused request is not counted."""
    windows = _windows(db, account.id, now)
    limits = {"hour": account.limit_hour, "day": account.limit_day}
    for kind, (started, n) in windows.items():
        if limits[kind] and n >= limits[kind]:
            raise Refusal(
                429,
                "rate_limit_exceeded",
                f"{_WORDS[kind]} limit reached: {limits[kind]} requests/{kind} on {account.row.name} plan",
                retry_after=max(1, round(started + _LENGTHS[kind] - now)),
                plan=account.plan,
                limit_hour=account.limit_hour,
                limit_day=account.limit_day,
            )
    for kind, (started, n) in windows.items():
        db.execute("INSERT OR REPLACE INTO usage VALUES (?, ?, ?, ?)", (account.id, kind, started, n + 1))


def forget(db: sqlite3.Connection, account: int) -> None:
    """Begin both windows anew."""
    db.execute("DELETE FROM usage WHERE account = ?", (account,))
