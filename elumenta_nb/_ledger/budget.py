"""Budgets: which ones cover a call, and their running totals.

A budget's row is its current bucket: `from_us <= started_us < to_us`, and `spent` and `held` are the sums over the
calls it covers. Whether a call is covered follows from facts of its row that never change, so a call settled next month
still counts where it was reserved. Rows with ``source="elsewhere"`` are not covered: a budget guards what is bought here.
"""

from __future__ import annotations

import calendar
import json
from dataclasses import dataclass
from datetime import UTC, datetime, time as clock_time, timedelta
from typing import TYPE_CHECKING, Final, Self

from elumenta_nb._errors import BudgetExceeded
from elumenta_nb._language import gettext as _, tokens

from .entry import BudgetState, Per, at, micros
from .words import ELSEWHERE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from .database import Tx
    from .words import Place

__all__ = ["Bucket", "Purse", "count", "exceeded", "period"]

FOREVER_US: Final = 2**62

_READ: Final = (
    'SELECT no, api, account, per, target, "user", tag, title, ceiling, from_us, to_us, spent, held FROM budgets'
    " WHERE api = :api AND account = :account"
)
_OF_MAPS: Final = " AND (per <> 'map' OR target {in_texts})"
_MOVE: Final = "UPDATE budgets SET spent = spent + :spent, held = held + :held WHERE no = :no"
_TURN: Final = "UPDATE budgets SET from_us = :from_us, to_us = :to_us, spent = :spent, held = :held WHERE no = :no"
_COUNT: Final = (
    "SELECT COALESCE(SUM(tokens), 0), COALESCE(SUM(held), 0) FROM calls"
    " WHERE started_us >= :from_us AND started_us < :to_us AND place_no {in_ids}"
)
_SUMMED: Final = "SELECT COALESCE(SUM(tokens), 0), COALESCE(SUM(held), 0) FROM sums WHERE place_no {in_ids}"
_PLACES: Final = (
    'SELECT no, notebook, "user", tags, map_id FROM places'
    " WHERE api = :api AND account = :account AND source <> 'elsewhere'"
)


@dataclass(slots=True)
class Bucket:
    """A budget as read in a transaction, and what the transaction changes in it."""

    no: int
    api: str
    account: str
    per: Per
    target: str
    user: str
    tag: str
    title: str
    limit: int
    from_us: int
    to_us: int
    spent: int
    held: int
    more_spent: int = 0
    more_held: int = 0

    def covers(self, place: Place, kernel: str, started_us: int) -> bool:
        return (
            self.from_us <= started_us < self.to_us
            and place.source != ELSEWHERE
            and (not self.user or self.user == place.user)
            and (not self.tag or self.tag in place.tags)
            and (self.per != "notebook" or self.target == place.notebook)
            and (self.per != "kernel" or self.target == kernel)
            and (self.per != "map" or self.target == place.map_id)
        )

    def has_room(self, ask: int) -> bool:
        return self.spent + self.held + ask <= self.limit

    def move(self, spent: int, held: int) -> None:
        self.spent += spent
        self.held += held
        self.more_spent += spent
        self.more_held += held

    def state(self) -> BudgetState:
        timed = self.per in {"day", "month"}
        return BudgetState(
            per=self.per,
            limit=self.limit,
            spent=self.spent,
            held=self.held,
            account=self.account,
            api=self.api,
            target=self.target,
            user=self.user,
            tag=self.tag,
            title=self.title,
            starts_at=at(self.from_us) if timed else None,
            ends_at=at(self.to_us) if timed else None,
        )


class Purse:
    """The budgets of the accounts a transaction touches: read and locked once, checked in memory, written once.

    Of the budgets of maps only those of `maps`, or all without it: an account may have had a thousand maps.
    """

    def __init__(
        self,
        tx: Tx,
        accounts: Iterable[tuple[str, str]],
        now_us: int,
        *,
        keep: bool = True,
        maps: Iterable[str] | None = None,
    ) -> None:
        self._tx = tx
        known = None if maps is None else set(maps)
        self._buckets = {
            pair: [_rolled(tx, bucket, now_us, keep=keep) for bucket in read(tx, *pair, lock=keep, maps=known)]
            for pair in sorted(set(accounts))
        }

    @classmethod
    def of(cls, tx: Tx, places: Collection[Place], now_us: int, *, keep: bool = True) -> Self:
        """The budgets that may cover calls from these places."""
        accounts = ((place.api, place.account) for place in places)
        return cls(tx, accounts, now_us, keep=keep, maps=(place.map_id for place in places))

    def covering(self, place: Place, kernel: str, started_us: int) -> list[Bucket]:
        buckets = self._buckets[place.api, place.account]
        return [bucket for bucket in buckets if bucket.covers(place, kernel, started_us)]

    def all(self) -> list[Bucket]:
        return [bucket for buckets in self._buckets.values() for bucket in buckets]

    def write(self) -> None:
        self._tx.many(
            _MOVE,
            [
                {"no": bucket.no, "spent": bucket.more_spent, "held": bucket.more_held}
                for bucket in self.all()
                if bucket.more_spent or bucket.more_held
            ],
        )


def read(tx: Tx, api: str, account: str, *, lock: bool = False, maps: set[str] | None = None) -> list[Bucket]:
    sql, facts = _READ, {}
    if maps is not None:
        sql, facts = sql + _OF_MAPS, {"texts": json.dumps(sorted(maps - {""}))}
    sql += " ORDER BY no{lock}" if lock else " ORDER BY no"
    return [Bucket(*row) for row in tx.all(sql, api=api, account=account, **facts)]


def _rolled(tx: Tx, bucket: Bucket, now_us: int, *, keep: bool) -> Bucket:
    """The bucket of the period that `now_us` is in; a new period starts from what its calls say."""
    if not bucket.from_us <= now_us < bucket.to_us:
        turn(tx, bucket, *period(bucket.per, now_us, cycle(tx, bucket.api, bucket.account)), keep=keep)
    return bucket


def turn(tx: Tx, bucket: Bucket, from_us: int, to_us: int, *, keep: bool = True) -> None:
    """Move a budget to another period and count what is in it; without `keep` only for a reader's eyes."""
    bucket.from_us, bucket.to_us = from_us, to_us
    bucket.spent, bucket.held = count(tx, bucket)
    if keep:
        tx.run(_TURN, no=bucket.no, from_us=from_us, to_us=to_us, spent=bucket.spent, held=bucket.held)


def cycle(tx: Tx, api: str, account: str) -> int | None:
    """When the account's billing cycle ends, as the server told it last."""
    found = tx.one("SELECT cycle_us FROM accounts WHERE api = :api AND account = :account", api=api, account=account)
    return found[0] if found else None


def count(tx: Tx, bucket: Bucket) -> tuple[int, int]:
    """Spent and held of a budget, counted from the calls."""
    places = [
        row[0]
        for row in tx.all(_PLACES, api=bucket.api, account=bucket.account)
        if (bucket.per != "notebook" or row[1] == bucket.target)
        and (not bucket.user or row[2] == bucket.user)
        and (not bucket.tag or bucket.tag in json.loads(row[3]))
        and (bucket.per != "map" or row[4] == bucket.target)
    ]
    if bucket.per == "map":  # a map is of places of its own, so they were added up already
        found = tx.one(_SUMMED, ids=json.dumps(places))
        assert found is not None
        return int(found[0]), int(found[1])
    sql, from_us, facts = _COUNT, bucket.from_us, {}
    if bucket.per == "kernel":
        kernel = tx.one("SELECT no, first_us FROM kernels WHERE name = :name", name=bucket.target)
        if kernel is None:
            return 0, 0
        sql += " AND kernel_no = :kernel"
        facts["kernel"] = kernel[0]
    found = tx.one(sql, from_us=from_us, to_us=bucket.to_us, ids=json.dumps(places), **facts)
    assert found is not None
    return int(found[0]), int(found[1])


def period(per: Per, now_us: int, cycle_us: int | None) -> tuple[int, int]:
    """The period of a budget that `now_us` is in.

    A day is the local day. A month is the billing cycle (the day of the month on which `cycle_us` says it ends), or
    the local calendar month while that is not known.
    """
    if per not in {"day", "month"}:
        return -FOREVER_US, FOREVER_US
    local = at(now_us).astimezone()
    if per == "day":
        today = local.date()
        return _midnight(datetime.combine(today, clock_time())), _midnight(
            datetime.combine(today + timedelta(days=1), clock_time())
        )
    if cycle_us is None:
        first = local.date().replace(day=1)
        return _midnight(datetime.combine(first, clock_time())), _midnight(
            datetime.combine(_months(first.year, first.month, 1, 1), clock_time())
        )
    end = at(cycle_us)
    now = at(now_us)
    months = (now.year - end.year) * 12 + now.month - end.month - 2
    while _shifted(end, months) <= now:
        months += 1
    return micros(_shifted(end, months - 1)), micros(_shifted(end, months))


def _midnight(naive: datetime) -> int:
    """A naive local time as microseconds UTC, with the offset of that day, not of today."""
    return micros(naive.astimezone(UTC))


def _months(year: int, month: int, day: int, more: int) -> datetime:
    index = year * 12 + month - 1 + more
    year, month = divmod(index, 12)
    return datetime(year, month + 1, min(day, calendar.monthrange(year, month + 1)[1]))  # noqa: DTZ001 - a calendar date


def _shifted(end: datetime, months: int) -> datetime:
    """A cycle's end so many months on; one that ends on the 31st ends a shorter month on its last day."""
    day = _months(end.year, end.month, end.day, months)
    return end.replace(year=day.year, month=day.month, day=day.day)


def exceeded(bucket: Bucket, ask: int) -> BudgetExceeded:
    state = bucket.state()
    hint = [state.to_raise(state.used + ask)]
    if state.held:
        hint.append(_("{tokens} held by open calls: %elumenta jobs").format(tokens=tokens(state.held)))
    message = _("The budget ({name}) is {limit}: {spent} spent, {held} held, and this asks for {asked}.").format(
        name=state.name, limit=tokens(state.limit), spent=state.spent, held=state.held, asked=ask
    )
    return BudgetExceeded(
        message,
        hint="\n".join(hint),
        budget=state.name,
        limit=state.limit,
        used=state.spent,
        held=state.held,
        asked=ask,
    )


def fullest(buckets: Sequence[Bucket]) -> BudgetState | None:
    """The budget nearest to its limit: the one a receipt shows."""
    if not buckets:
        return None
    return max(
        (bucket.state() for bucket in buckets), key=lambda state: (state.used / max(state.limit, 1), -state.left)
    )
