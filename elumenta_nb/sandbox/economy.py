"""Accounts, plans, the two token pools, limits and generations of the sandbox: integers, one transaction per change.

Charged is when a generation becomes completed, never before, never when it fails: subscription tokens first, then
package tokens (en/concepts/subscriptions). Generations complete by the clock, so one whose process was killed is
completed by whoever looks next. Undocumented and decided here: several pending jobs can together exceed the balance;
the one that finds too little on completion fails and is not charged.
"""

from __future__ import annotations

import json
import secrets
import string
import time
from typing import TYPE_CHECKING, Any, Final

from . import books, limits
from ._schema import State
from .makers.media import seed_of
from .rows import Account, Generation, Refusal, Usage, min_plan, plan_named
from .verbs import MONTH, VERBS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from elumenta_nb._catalog import Model

__all__ = ["Economy"]

_DAY: Final = 86400
_LETTERS: Final = string.ascii_letters + string.digits
_SETTINGS: Final = {
    "language": "en",
    "image_format": "webp",
    "notifications_enabled": True,
    "default_image_size": "1024x1024",
}


class Economy:
    """All accounts of one state file. `clock` gives Unix seconds; `plan` and `balance` are those of a new file."""

    def __init__(
        self,
        path: Path,
        *,
        plan: str = "vip",
        balance: int | None = None,
        strict_access: bool = False,
        count_all: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._state = State(path)
        self._clock = clock
        self._strict_access = strict_access
        self._count_all = count_all  # the caller counts every request, so a generation is not counted here again
        try:
            with self._state.write() as db:
                if db.execute("SELECT 1 FROM account").fetchone() is None:
                    self._open_account(db, "Sandbox", plan, balance)
        except BaseException:
            self._state.close()
            raise

    def close(self) -> None:
        self._state.close()

    # ------------------------------------------------------------ accounts and keys

    @property
    def api_key(self) -> str:
        """The key of the first account; the same for every server on this file."""
        with self._state.read() as db:
            return str(db.execute("SELECT key FROM key ORDER BY id").fetchone()[0])

    @property
    def first_account(self) -> int:
        with self._state.read() as db:
            return int(db.execute("SELECT min(id) FROM account").fetchone()[0])

    def add_account(self, name: str = "Another", *, plan: str = "vip", balance: int | None = None) -> str:
        """Open another account; its key."""
        with self._state.write() as db:
            return self._open_account(db, name, plan, balance)

    def _open_account(self, db: sqlite3.Connection, name: str, plan: str, balance: int | None) -> str:
        now, row = self._clock(), plan_named(plan)
        if balance is not None and balance < 0:
            raise Refusal(400, "bad_request", f"A balance is 0 or more, not {balance}")
        own = row.tokens if balance is None else min(balance, row.tokens)
        extra = 0 if balance is None else balance - own
        account = db.execute(
            "INSERT INTO account (name, plan, plan_tokens, package_tokens, refills_at, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (name, row.api, own, extra, now + MONTH if row.monthly else None, now),
        ).lastrowid
        assert account is not None
        return str(self._add_key(db, account, "sandbox")["key"])

    def add_key(self, account: int, name: str) -> dict[str, Any]:
        with self._state.write() as db:
            return self._add_key(db, account, name)

    def _add_key(self, db: sqlite3.Connection, account: int, name: str) -> dict[str, Any]:
        key = "nb_" + "".join(secrets.choice(_LETTERS) for _ in range(45))
        now = self._clock()
        row = db.execute(
            "INSERT INTO key (key, name, account, created_at) VALUES (?, ?, ?, ?)", (key, name, account, now)
        )
        return {"id": row.lastrowid, "name": name, "key": key, "created_at": now}

    def rename_key(self, account: int, key_id: int, name: str) -> None:
        self._touch("UPDATE key SET name = ? WHERE account = ? AND id = ?", (name, account, key_id), f"No key {key_id}")

    def revoke_key(self, account: int, key_id: int) -> None:
        self._touch("DELETE FROM key WHERE account = ? AND id = ?", (account, key_id), f"No key {key_id}")

    def _touch(self, statement: str, values: tuple[Any, ...], missing: str) -> None:
        with self._state.write() as db:
            if db.execute(statement, values).rowcount == 0:
                raise Refusal(404, "not_found", missing)

    def owner_of(self, key: str) -> int | None:
        """The account a key belongs to."""
        with self._state.read() as db:
            row = db.execute("SELECT account FROM key WHERE key = ?", (key,)).fetchone()
        return int(row[0]) if row else None

    def account(self, number: int) -> Account:
        """The account, its due generations completed and its monthly tokens refilled."""
        self._catch_up(number)
        with self._state.read() as db:
            return self._account(db, number)

    def _account(self, db: sqlite3.Connection, number: int) -> Account:
        row = db.execute("SELECT * FROM account WHERE id = ?", (number,)).fetchone()
        plan = plan_named(row["plan"])
        return Account(
            id=row["id"],
            name=row["name"],
            plan=row["plan"],
            plan_tokens=row["plan_tokens"],
            package_tokens=row["package_tokens"],
            limit_hour=plan.hour if row["limit_hour"] is None else row["limit_hour"],
            limit_day=plan.day if row["limit_day"] is None else row["limit_day"],
            refills_at=row["refills_at"],
            created_at=row["created_at"],
            fail_next=row["fail_next"],
            settings={**_SETTINGS, **json.loads(row["settings"])},
        )

    def change_settings(self, number: int, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        with self._state.write() as db:
            merged = {**self._account(db, number).settings, **changes}
            db.execute("UPDATE account SET settings = ? WHERE id = ?", (json.dumps(merged), number))
        return merged

    def rename(self, number: int, name: str) -> None:
        with self._state.write() as db:
            db.execute("UPDATE account SET name = ? WHERE id = ?", (name, number))

    # ------------------------------------------------------------ limits

    def usage(self, number: int) -> Usage:
        with self._state.read() as db:
            return limits.usage(db, self._account(db, number), self._clock())

    def count(self, number: int) -> None:
        """Count one request. Raises the documented 429 when a limit is reached; a refused one is not counted."""
        with self._state.write() as db:
            limits.count(db, self._account(db, number), self._clock())

    # ------------------------------------------------------------ generations

    def submit(
        self,
        number: int,
        model: Model,
        *,
        prompt: str,
        params: Mapping[str, Any],
        price: int,
        wait_s: float,
        text: str | None = None,
        media: Mapping[str, Any] | None = None,
        doom: str | None = None,
    ) -> Generation:
        """Take a generation in: counted and pending, nothing charged. `doom` is the error it will fail with.

        The seed of `media` is that of the account's first call like this one, or of its second, and so on.
        Raises 403 when the plan is too low, 402 when the balance is below the price, 429 over a limit.
        """
        self._catch_up(number)
        now = self._clock()
        with self._state.write() as db:
            account = self._account(db, number)
            self._allow(account, model)
            if account.balance < price:
                raise Refusal(
                    402,
                    "insufficient_tokens",
                    f"Not enough tokens: {model.slug} costs {price}, the balance is {account.balance}",
                    {"token_balance": account.balance, "required": price},
                )
            if not self._count_all:
                limits.count(db, account, now)
            if doom is None and account.fail_next:
                reason = db.execute("SELECT fail_reason FROM account WHERE id = ?", (number,)).fetchone()[0]
                doom = reason or "Provider error: the sandbox was told to fail"
                db.execute("UPDATE account SET fail_next = fail_next - 1 WHERE id = ?", (number,))
            if media is not None:
                earlier = db.execute(
                    "SELECT count(*) FROM generation WHERE account = ? AND model = ? AND prompt = ? AND params = ?"
                    " AND hidden < 2",
                    (number, model.slug, prompt, json.dumps(params)),
                ).fetchone()[0]
                media = {**media, "seed": seed_of(model.slug, prompt, params, earlier)}
            row = db.execute(
                "INSERT INTO generation (account, model, category, prompt, params, status, price, text, media, doom,"
                " created_at, ready_at) VALUES (?, ?, ?, ?, ?, 'pending', ?, ?, ?, ?, ?, ?) RETURNING *",
                (
                    number,
                    model.slug,
                    model.category,
                    prompt,
                    json.dumps(params),
                    price,
                    text,
                    None if media is None else json.dumps(media),
                    doom,
                    now,
                    now + wait_s,
                ),
            ).fetchone()
        return books.generation(row)

    def allow(self, number: int, model: Model) -> None:
        """Raise the documented 403 when the account's plan does not have the model."""
        with self._state.read() as db:
            self._allow(self._account(db, number), model)

    def _allow(self, account: Account, model: Model) -> None:
        if account.plan == "free" and min_plan(model) != "free":
            raise Refusal(
                403,
                "insufficient_plan",
                f"Model {model.slug} requires the Basic plan or higher; your plan is Starter",
                {"plan": account.plan, "min_plan": min_plan(model), "model": model.slug},
            )

    def check_access(self, number: int) -> None:
        """With `strict_access`: raise the 403 of a plan that has no API."""
        if self._strict_access:
            account = self.account(number)
            if not account.row.has_api:
                raise Refusal(
                    403,
                    "insufficient_plan",
                    f"API access requires the VIP or Elite plan; your plan is {account.row.name}",
                    {"plan": account.plan, "min_plan": "vip"},
                )

    def finish(self, generation: int) -> Generation:
        """Complete a pending generation now, and charge it; one that is not pending is left as it is."""
        with self._state.write() as db:
            self._finish(db, generation)
            return books.generation(db.execute("SELECT * FROM generation WHERE id = ?", (generation,)).fetchone())

    def _finish(self, db: sqlite3.Connection, generation: int) -> None:
        row = db.execute("SELECT * FROM generation WHERE id = ? AND status = 'pending'", (generation,)).fetchone()
        if row is None:
            return
        account = self._account(db, row["account"])
        completed_at = min(row["ready_at"], self._clock())
        error = row["doom"]
        if error is None and account.balance < row["price"]:
            error = "Insufficient tokens when the generation completed"
        if error is not None:
            db.execute(
                "UPDATE generation SET status = 'failed', error = ?, text = NULL, completed_at = ? WHERE id = ?",
                (error, completed_at, generation),
            )
            return
        from_plan = min(row["price"], account.plan_tokens)
        db.execute(
            "UPDATE account SET plan_tokens = plan_tokens - ?, package_tokens = package_tokens - ? WHERE id = ?",
            (from_plan, row["price"] - from_plan, account.id),
        )
        db.execute(
            "UPDATE generation SET status = 'completed', tokens = price, balance = ?, completed_at = ? WHERE id = ?",
            (account.balance - row["price"], completed_at, generation),
        )

    def _catch_up(self, number: int) -> None:
        """Complete what the clock says is done, in its order, and refill the plan when its month is over."""
        now = self._clock()
        due = "SELECT id FROM generation WHERE account = ? AND status = 'pending' AND ready_at <= ? ORDER BY ready_at"
        with self._state.read() as db:
            refill = db.execute(
                "SELECT 1 FROM account WHERE id = ? AND refills_at IS NOT NULL AND refills_at <= ?", (number, now)
            ).fetchone()
            if refill is None and db.execute(due, (number, now)).fetchone() is None:
                return
        with self._state.write() as db:
            for row in db.execute(due, (number, now)).fetchall():
                self._finish(db, row["id"])
            account = self._account(db, number)
            if account.refills_at is not None and account.refills_at <= now:
                months = int((now - account.refills_at) // MONTH) + 1
                db.execute(
                    "UPDATE account SET plan_tokens = ?, refills_at = refills_at + ? WHERE id = ?",
                    (account.row.tokens, months * MONTH, number),
                )

    def generation(self, number: int, generation: int) -> Generation:
        """One of the account's own. Raises 404."""
        self._catch_up(number)
        with self._state.read() as db:
            row = db.execute(
                "SELECT * FROM generation WHERE id = ? AND account = ? AND NOT hidden", (generation, number)
            ).fetchone()
        if row is None:
            raise Refusal(404, "not_found", f"Generation {generation} not found")
        return books.generation(row)

    def stored(self, generation: int) -> Generation | None:
        """A completed generation of any account whose file is still kept: files are served without a key."""
        with self._state.read() as db:
            row = db.execute("SELECT * FROM generation WHERE id = ?", (generation,)).fetchone()
            if row is None:
                return None
            keeps = self._account(db, row["account"]).row.keeps_days
        if keeps and self._clock() > row["created_at"] + keeps * _DAY:
            return None
        if row["status"] == "pending":
            self._catch_up(row["account"])
            with self._state.read() as db:
                row = db.execute("SELECT * FROM generation WHERE id = ?", (generation,)).fetchone()
        return books.generation(row) if row["status"] == "completed" else None

    def history(
        self,
        number: int,
        *,
        page: int = 1,
        limit: int = 20,
        categories: tuple[str, ...] = (),
        model: str = "",
        status: str = "",
        favorites_only: bool = False,
    ) -> tuple[list[Generation], int]:
        """A page of the account's generations, newest first, and how many there are in all."""
        self._catch_up(number)
        with self._state.read() as db:
            return books.history(
                db,
                number,
                page=page,
                limit=limit,
                categories=categories,
                model=model,
                status=status,
                favorites_only=favorites_only,
            )

    def mark(self, number: int, generation: int, *, rating: int | None = None, hide: bool = False) -> Generation:
        """Rate a generation, take it out of the history, or (neither) toggle its favourite."""
        found = self.generation(number, generation)
        with self._state.write() as db:
            if hide:
                db.execute("UPDATE generation SET hidden = 1 WHERE id = ?", (generation,))
                return found
            if rating is not None:
                db.execute("UPDATE generation SET rating = ? WHERE id = ?", (rating, generation))
            else:
                db.execute("UPDATE generation SET favorite = NOT favorite WHERE id = ?", (generation,))
        return self.generation(number, generation)

    def stats(self, number: int) -> dict[str, Any]:
        """Totals of completed generations in the shape of ``GET /user/stats``."""
        self._catch_up(number)
        with self._state.read() as db:
            return books.stats(db, number, since=self._clock() - 30 * _DAY)

    # ------------------------------------------------------------ verbs for teaching

    def control(self, number: int, verb: str, *args: Any) -> dict[str, Any]:
        """Do a verb (``plan NAME``, ``topup PACKAGE``, ``balance N [N]``, ``fail next [N] [REASON]``, ``fail off``,
        ``limit HOUR [DAY]``, ``limit plan``, ``reset``, ``status``) and tell how the account stands.

        Raises `Refusal` (400) for a verb or argument that does not exist.
        """
        if verb not in VERBS:
            raise Refusal(400, "bad_request", f"No sandbox verb {verb!r}; verbs: {', '.join(VERBS)}")
        try:
            with self._state.write() as db:
                VERBS[verb](db, number, self._clock(), *(str(arg) for arg in args))
        except (TypeError, ValueError, OverflowError):
            raise Refusal(400, "bad_request", f"sandbox {verb} does not take {' '.join(map(str, args))!r}") from None
        return self.status(number)

    def status(self, number: int) -> dict[str, Any]:
        account = self.account(number)
        usage = self.usage(number)
        with self._state.read() as db:
            pending = db.execute(
                "SELECT count(*) FROM generation WHERE account = ? AND status = 'pending'", (number,)
            ).fetchone()[0]
        return {
            "plan": account.plan,
            "balance": account.balance,
            "plan_tokens": account.plan_tokens,
            "package_tokens": account.package_tokens,
            "limit_hour": usage.hour,
            "limit_hour_left": usage.hour_left,
            "limit_day": usage.day,
            "limit_day_left": usage.day_left,
            "fail_next": account.fail_next,
            "pending": pending,
        }
