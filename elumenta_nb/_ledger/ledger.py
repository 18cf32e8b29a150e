"""The ledger: an intent is on disk before a request leaves, what it cost is counted once, a budget is never overrun.

Every method takes and returns lists and is one durable transaction. Calls are safe from any thread and process.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from elumenta_nb._errors import BudgetExceeded, LedgerError
from elumenta_nb._values import Origin

from . import audit, listing, query
from .book import Book
from .budget import Purse, fullest
from .columns import Columns, read_columns
from .database import Database
from .entry import at
from .limits import clear_budget, read_budgets, set_budget, set_cycle
from .totals import read_totals

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from datetime import datetime, tzinfo
    from pathlib import Path

    from elumenta_nb._errors import Spent

    from .database import Tx
    from .entry import (
        BudgetState,
        Drift,
        Elsewhere,
        Entry,
        GenerationId,
        Intent,
        Per,
        Release,
        Restored,
        Settlement,
        Taken,
        Where,
    )

__all__ = ["Ledger"]

T = TypeVar("T")

_BEFORE_SENDING = frozenset({"reserve", "reserve_together", "restore"})
_BY_LOOKING = frozenset({"claim", "elsewhere"})  # they ask whether another row has the generation


class Ledger:
    """The calls of one database. `url` is a SQLAlchemy URL; `clock` gives seconds since the epoch.

    Nothing is opened or created before the first use. Errors are `LedgerError`; their `spent` is ``"no"`` for what
    happens before a request is sent and ``"maybe"`` after it.
    """

    def __init__(
        self,
        url: str | Path,
        *,
        clock: Callable[[], float] = time.time,
        busy_s: float = 30.0,
        mounts: str | None = None,
    ) -> None:
        self._database = Database(url, clock=clock, busy_s=busy_s, mounts=mounts)
        self._book = Book(self._database)

    def __repr__(self) -> str:
        return f"Ledger({self._database.shown!r})"

    def __reduce__(self) -> Any:
        raise TypeError("a ledger is not pickled: give its address to the other process")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    @property
    def path(self) -> Path | None:
        """The file, or ``None`` for a server."""
        return self._database.path

    @property
    def journal(self) -> str:
        """``"WAL"``; ``"TRUNCATE"`` on a network file system; ``""`` for a server."""
        return self._database.journal

    @property
    def remote(self) -> bool:
        """A transaction crosses a network: an event loop gives it to a thread."""
        return self._database.remote

    def open(self) -> None:
        """Open or create it now. Raises `LedgerError`."""
        self._database.look(lambda tx: tx.one("SELECT 1"))

    def close(self) -> None:
        """Close its connections; the next use opens them again."""
        self._database.close()

    # ------------------------------------------------------------ what happens to calls

    def run(self, operations: Sequence[tuple[str, Sequence[Any]]]) -> list[list[Any]]:
        """Several operations in one transaction, in order: what happened in one tick of a loop is one commit.

        An operation is the name of a method of `Book` and its items. An item that names no row is answered by a
        `LedgerError`, one that a budget refuses by a `BudgetExceeded`; neither undoes the others.
        """
        spent: Spent = "no" if all(name in _BEFORE_SENDING for name, _items in operations) else "maybe"
        alone = any(name in _BY_LOOKING for name, _items in operations)

        def work(tx: Tx) -> list[list[Any]]:
            self._book.refresh()
            now_us = self._database.now_us()
            return [getattr(self._book, name)(tx, now_us, items) for name, items in operations]

        return self._database.change(work, spent=spent, alone=alone)

    def _run(self, name: str, items: Iterable[Any]) -> list[Any]:
        items = list(items)
        (outcome,) = self.run([(name, items)]) if items else ([],)
        for answer in outcome:
            if isinstance(answer, LedgerError):
                raise answer
        return outcome

    def reserve(self, intents: Iterable[Intent], *, together: bool = False) -> list[int | Taken | BudgetExceeded]:
        """A durable row, with its hold, for each intent that its budgets have room for; nothing was sent yet.

        Each intent is treated on its own; `Taken` is the answer where another row holds its key `once`. With `together`
        one that does not fit refuses all of them, and none has a key.
        """
        return self._run("reserve_together" if together else "reserve", intents)

    def restore(self, items: Iterable[Restored]) -> list[int]:
        """Rows of calls served from the store: 0 tokens."""
        return self._run("restore", items)

    def accept(self, items: Iterable[tuple[int, GenerationId]]) -> list[bool]:
        """The job's id, on disk before the first wait. False: the row is final already."""
        return self._run("accept", items)

    def claim(self, items: Iterable[tuple[int, GenerationId]]) -> list[bool]:
        """`accept` for a generation found in the history: false when it belongs to another row."""
        return self._run("claim", items)

    def settle(self, items: Iterable[Settlement]) -> list[BudgetState | None]:
        """What calls cost, counted once; the answer is the fullest budget that covers each."""
        return self._run("settle", items)

    def release(self, items: Iterable[Release]) -> list[bool]:
        """Calls that cost nothing give their hold back.

        False: the row is settled, was sent (`cancelled`), or its own kernel waits or was answered meanwhile (`lost`).
        """
        return self._run("release", items)

    def doubt(self, items: Iterable[tuple[int, str]]) -> list[bool]:
        """Sent, and no answer: unknown; the hold stays. The text says why."""
        return self._run("doubt", items)

    def renew(self, items: Iterable[tuple[int, float]]) -> list[bool]:
        """Leases that end so many seconds from now: somebody still waits."""
        return self._run("renew", items)

    def adopt(self, items: Iterable[Elsewhere]) -> list[int | None]:
        """Rows of what the account spent elsewhere; ``None`` where the generation is one of ours."""
        return self._run("elsewhere", items)

    # ------------------------------------------------------------ budgets

    def set_budget(
        self,
        limit: int,
        *,
        per: Per = "notebook",
        account: str,
        api: str,
        origin: Origin | None = None,
        user: str = "",
        tag: str = "",
        title: str = "",
    ) -> BudgetState:
        """Set or change a budget; what its calls have spent until now counts. Raises `ConfigError` for a bad limit.

        ``per="map"`` is the budget of the map `origin.map_id`, in every kernel and on every machine; `title` is what
        people call it.
        """
        facts: dict[str, Any] = {"per": per, "account": account, "api": api, "origin": origin or Origin()}
        facts |= {"user": user, "tag": tag, "title": title}
        return self._database.change(lambda tx: set_budget(tx, self._database.now_us(), limit, **facts), alone=True)

    def clear_budget(
        self,
        *,
        per: Per = "notebook",
        account: str,
        api: str,
        origin: Origin | None = None,
        user: str = "",
        tag: str = "",
    ) -> bool:
        """Remove a budget. False: there was none."""
        facts: dict[str, Any] = {"per": per, "account": account, "api": api, "origin": origin or Origin()}
        return self._database.change(lambda tx: clear_budget(tx, **facts, user=user, tag=tag), alone=True)

    def budgets(self, *, account: str | None = None, api: str | None = None) -> list[BudgetState]:
        """Every budget, as of now."""
        return self._database.look(lambda tx: read_budgets(tx, self._database.now_us(), account=account, api=api))

    def budget_state(self, origin: Origin, account: str, api: str) -> BudgetState | None:
        """The fullest budget that would cover a call from here."""
        now_us = self._database.now_us()
        place = query.place_like(origin, account, api)
        return self._database.look(
            lambda tx: fullest(Purse.of(tx, [place], now_us, keep=False).covering(place, origin.kernel, now_us))
        )

    def set_cycle(self, account: str, api: str, ends_at: datetime | None) -> None:
        """When the account's billing cycle ends (`plan_expires_at`): monthly budgets follow it."""
        self._database.change(lambda tx: set_cycle(tx, self._database.now_us(), account, api, ends_at), alone=True)

    # ------------------------------------------------------------ reading

    def call(self, call_id: int) -> Entry:
        """One row. Raises `NotFound`."""
        return self._read(query.call, call_id, self._database.now_us())

    def open_calls(
        self, account: str | None = None, api: str | None = None, *, ids: Iterable[int] | None = None
    ) -> list[Entry]:
        """Rows that are reserved, pending or unknown, the oldest first. An expired lease reads as unknown."""
        wanted = None if ids is None else list(ids)
        now_us = self._database.now_us()
        return self._database.look(lambda tx: query.open_calls(tx, now_us, account=account, api=api, ids=wanted))

    def is_left_to(self, user: str, row: Entry) -> bool:
        """Whether an open call is this user's to finish.

        In a file every one is. A server has the calls of a team: each finishes their own, so that nobody's result is
        shown to another; and one cell that many have is not one call.
        """
        return not self.remote or row.origin.user in {"", user}

    def released_since(self, account: str, api: str, since: datetime) -> list[Entry]:
        """Rows that were released because no history showed them, and may still be found."""
        return self._read(query.released_since, self._database.now_us(), account, api, since)

    def requests(self, account: str, api: str, model: str, *, since: datetime) -> dict[str, list[int]]:
        """The calls of a model since then that were not told their generation, by the hash of their prompts."""
        return self._read(query.requests, account, api, model, since)

    def nameless(
        self,
        account: str,
        api: str,
        model: str,
        prompt_hash: str,
        *,
        since: datetime,
        until: datetime,
        ids: Sequence[int] | None = None,
    ) -> list[Entry]:
        """Rows of one request that have no generation and may have one: open, settled without an id, released as lost.

        `ids` are those that it can be, where they are known.
        """
        facts = (self._database.now_us(), account, api, model, prompt_hash, since, until)
        return self._read(partial(query.nameless, ids=ids), *facts)

    def uncertain(self, account: str, api: str, since: datetime) -> list[Entry]:
        """Settled rows whose figure is an estimate, or whose generation was not told."""
        return self._read(query.uncertain, self._database.now_us(), account, api, since)

    def now(self) -> datetime:
        """The time by the ledger's clock."""
        return at(self._database.now_us())

    def owned(self, generation_ids: Iterable[GenerationId], *, account: str, api: str) -> set[GenerationId]:
        """Those of the ids that belong to a call of this ledger."""
        return self._read(self._book.owned, api, account, list(generation_ids))

    def begun(self, generation_ids: Iterable[GenerationId], *, account: str, api: str) -> dict[GenerationId, float]:
        """When the calls began that the server told these ids itself, as Unix time; none for any other id."""
        found = self._read(self._book.begun, api, account, list(generation_ids))
        return {generation: started_us / 1e6 for generation, started_us in found.items()}

    def failed_as(self, generation_ids: Iterable[GenerationId], *, account: str, api: str) -> list[Entry]:
        """Calls with these generations that were told to have failed, and cost nothing."""
        ids = self._read(self._book.failed_as, api, account, list(generation_ids))
        return list(self._read(query.by_ids, ids, self._database.now_us()).values())

    def of_fingerprints(self, account: str, api: str, fingerprints: Sequence[str]) -> dict[str, list[Entry]]:
        """Rows that are open or were paid (not reused ones), by fingerprint, each list the oldest first."""
        return self._read(query.of_fingerprints, self._database.now_us(), account, api, fingerprints)

    def sent_since(self, account: str, api: str, since: datetime) -> int:
        """How many requests of the account left since then, or are about to: calls of every kernel, each time sent."""
        return self._read(query.sent_since, account, api, since)

    def paid_most(self, api: str, model: str, price_key: str) -> int | None:
        """The highest charge seen for these parameters."""
        return self._read(query.paid_most, api, model, price_key)

    def has_seen(self, account: str, api: str) -> bool:
        """The account has a row here."""
        return self._read(query.has_seen, account, api)

    def totals(self, by: Sequence[str], where: Where, *, tz: tzinfo | None = None) -> list[tuple[Any, ...]]:
        """Aggregates by keys of `totals.KEYS`: the keys, then `totals.FIGURES`. `tz` is of ``"day"``, default local."""
        return self._read(read_totals, tuple(by), where, tz)

    def dearest(self, n: int, where: Where) -> list[Entry]:
        """The n calls that were charged most, the dearest first."""
        return self._read(listing.dearest, where, n, self._database.now_us())

    def uncharged(self, n: int, where: Where) -> list[Entry]:
        """The last n calls that failed or were never sent, the newest first."""
        return self._read(listing.uncharged, where, n, self._database.now_us())

    def columns(self, wanted: Collection[str], where: Where) -> Columns:
        """Rows as numpy arrays, the oldest first: facts of `columns.FACTS`, texts of `columns.TEXTS`."""
        return self._read(read_columns, wanted, where, self._database.now_us())

    def _read(self, read: Callable[..., T], *facts: Any) -> T:
        return self._database.look(lambda tx: read(tx, *facts))

    # ------------------------------------------------------------ health

    def health(self) -> audit.Health:
        """Its address with passwords masked, its schema and size; what is wrong in its file, how far its server is."""
        return self._read(partial(audit.health, is_file=self.path is not None), self._database.shown)

    def check(self) -> list[Drift]:
        """Running totals that do not equal their rows: none, unless the file was edited by hand."""
        return self._read(audit.check)

    def rebuild(self) -> list[Drift]:
        """Count all running totals anew; what was wrong."""
        return self._database.change(audit.rebuild, alone=True)
