"""The sandbox's verbs for teaching: what one would otherwise pay, wait or hope for, done at once.

Each takes the transaction, the account, the time and the words after the verb; `TypeError`, `ValueError` and
`OverflowError` mean that the words do not fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from elumenta_nb._catalog import catalog

from . import limits
from .rows import Refusal, plan_named

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

__all__ = ["MONTH", "VERBS"]

MONTH: Final = 30 * 86400


def _status(_db: sqlite3.Connection, _account: int, _now: float) -> None:
    """``status``: nothing to do."""


def _plan(db: sqlite3.Connection, account: int, now: float, name: str) -> None:
    """``plan NAME``: as if bought now, with a full month of tokens; package tokens stay."""
    plan = plan_named(name)
    db.execute(
        "UPDATE account SET plan = ?, plan_tokens = ?, refills_at = ? WHERE id = ?",
        (plan.api, plan.tokens, now + MONTH if plan.monthly else None, account),
    )


def _topup(db: sqlite3.Connection, account: int, _now: float, *words: str) -> None:
    """``topup PACKAGE``: by its name (``Pro Pack``, ``pro-pack``) or its tokens."""
    wanted = "".join(words).translate({ord(c): None for c in " -_"}).lower()
    for package in catalog().packages:
        if wanted in (package.name.replace(" ", "").lower(), str(package.tokens)):
            db.execute("UPDATE account SET package_tokens = package_tokens + ? WHERE id = ?", (package.tokens, account))
            return
    known = ", ".join(package.name for package in catalog().packages)
    raise Refusal(400, "bad_request", f"No package {' '.join(words)!r}; packages: {known}")


def _balance(db: sqlite3.Connection, account: int, _now: float, plan_tokens: str, package_tokens: str = "0") -> None:
    """``balance PLAN_TOKENS [PACKAGE_TOKENS]``."""
    pools = (max(int(plan_tokens), 0), max(int(package_tokens), 0))
    db.execute("UPDATE account SET plan_tokens = ?, package_tokens = ? WHERE id = ?", (*pools, account))


def _fail(db: sqlite3.Connection, account: int, _now: float, which: str = "next", *words: str) -> None:
    """``fail next [N] [REASON …]``, ``fail off``: the next generations fail and are not charged."""
    if which not in ("next", "off"):
        raise ValueError(which)
    n = 0 if which == "off" else 1
    if words and words[0].isdigit():
        n, words = int(words[0]), words[1:]
    db.execute("UPDATE account SET fail_next = ?, fail_reason = ? WHERE id = ?", (n, " ".join(words), account))


def _limit(db: sqlite3.Connection, account: int, _now: float, hour: str, day: str | None = None) -> None:
    """``limit HOUR [DAY]``, counted from now; 0 is unlimited; ``limit plan`` returns to the plan's own."""
    per_hour = None if hour == "plan" else max(int(hour), 0)
    per_day = 0 if per_hour == 0 else None
    if day is not None:
        per_day = max(int(day), 0)
    db.execute("UPDATE account SET limit_hour = ?, limit_day = ? WHERE id = ?", (per_hour, per_day, account))
    limits.forget(db, account)


def _reset(db: sqlite3.Connection, account: int, now: float) -> None:
    """``reset``: as new, on its plan. The history is emptied, jobs under way are dropped, made files stay."""
    name = db.execute("SELECT plan FROM account WHERE id = ?", (account,)).fetchone()[0]
    _plan(db, account, now, name)
    db.execute(
        "UPDATE account SET package_tokens = 0, limit_hour = NULL, limit_day = NULL, fail_next = 0, settings = '{}'"
        " WHERE id = ?",
        (account,),
    )
    db.execute(
        "UPDATE generation SET status = 'failed', error = 'The sandbox was reset' WHERE account = ?"
        " AND status = 'pending'",
        (account,),
    )
    db.execute("UPDATE generation SET hidden = 2 WHERE account = ?", (account,))
    limits.forget(db, account)


VERBS: Final[dict[str, Callable[..., Any]]] = {
    "balance": _balance,
    "fail": _fail,
    "limit": _limit,
    "plan": _plan,
    "reset": _reset,
    "status": _status,
    "topup": _topup,
}
