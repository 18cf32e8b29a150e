"""Setting, changing, listing and removing budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, get_args

from elumenta_nb._errors import ConfigError
from elumenta_nb._language import gettext as _
from elumenta_nb._values import MAX_TOKENS

from .budget import Purse, cycle, period, read, turn
from .entry import BudgetState, Per, Period, micros

if TYPE_CHECKING:
    from datetime import datetime

    from elumenta_nb._values import Origin

    from .database import Tx

__all__ = ["clear_budget", "read_budgets", "set_budget", "set_cycle"]

_SET: Final = (
    'INSERT INTO budgets (api, account, per, target, "user", tag, title, ceiling, from_us, to_us, spent, held)'
    " VALUES (:api, :account, :per, :target, :user, :tag, :title, :ceiling, 0, 0, 0, 0)"
    ' ON CONFLICT (api, account, per, target, "user", tag)'
    " DO UPDATE SET ceiling = excluded.ceiling, title = excluded.title"
)
_CLEAR: Final = (
    "DELETE FROM budgets WHERE api = :api AND account = :account AND per = :per AND target = :target"
    ' AND "user" = :user AND tag = :tag'
)
_CYCLE: Final = (
    "INSERT INTO accounts (api, account, cycle_us) VALUES (:api, :account, :cycle_us)"
    " ON CONFLICT (api, account) DO UPDATE SET cycle_us = excluded.cycle_us"
)


def _target(per: Per, origin: Origin) -> str:
    return {"notebook": origin.notebook, "kernel": origin.kernel, "map": origin.map_id}.get(per, "")


def set_budget(
    tx: Tx,
    now_us: int,
    limit: int,
    *,
    per: Per,
    account: str,
    api: str,
    origin: Origin,
    user: str,
    tag: str,
    title: str,
) -> BudgetState:
    if per not in get_args(Per) or (per == "map" and not origin.map_id):
        raise ConfigError(_("A budget is per {names}.").format(names=", ".join(get_args(Period))))
    if type(limit) is not int or not 0 <= limit <= MAX_TOKENS:  # True is an int too
        raise ConfigError(
            _("A budget is a whole number of Elumenta tokens, not {value!r}.").format(value=limit),
            hint="%elumenta budget 500 --per notebook",
        )
    try:
        f"{user}{tag}{title}".encode()
    except UnicodeEncodeError as error:
        raise ConfigError(_("A budget's name cannot be written: {why}.").format(why=error)) from None
    target = _target(per, origin)
    tx.run(_SET, api=api, account=account, per=per, target=target, user=user, tag=tag, title=title, ceiling=limit)
    # A new row has an empty period, so it counts its calls here, as any budget does when its period rolls over.
    Purse(tx, [(api, account)], now_us, maps={origin.map_id})
    (bucket,) = [
        bucket
        for bucket in read(tx, api, account)
        if (bucket.per, bucket.target, bucket.user, bucket.tag) == (per, target, user, tag)
    ]
    return bucket.state()


def clear_budget(tx: Tx, *, per: Per, account: str, api: str, origin: Origin, user: str, tag: str) -> bool:
    target = _target(per, origin)
    return tx.run(_CLEAR, api=api, account=account, per=per, target=target, user=user, tag=tag) > 0


def read_budgets(tx: Tx, now_us: int, *, account: str | None, api: str | None) -> list[BudgetState]:
    pairs = [
        (row[0], row[1])
        for row in tx.all("SELECT DISTINCT api, account FROM budgets ORDER BY api, account")
        if account in {None, row[1]} and api in {None, row[0]}
    ]
    purse = Purse(tx, pairs, now_us, keep=False)
    return [bucket.state() for bucket in purse.all()]


def set_cycle(tx: Tx, now_us: int, account: str, api: str, ends_at: datetime | None) -> None:
    ends_us = micros(ends_at) if ends_at is not None else None
    if cycle(tx, api, account) == ends_us:
        return
    tx.run(_CYCLE, api=api, account=account, cycle_us=ends_us)
    for bucket in read(tx, api, account):
        if bucket.per == "month":
            turn(tx, bucket, *period("month", now_us, ends_us))
