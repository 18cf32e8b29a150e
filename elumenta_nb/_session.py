"""The session: one account, one ledger, one store, and all that a surface asks of them.

Its `current()` is the one piece of global state of the package; `configure` and `reset` replace it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from ._books import book_elsewhere, choose, collect, explained, history_frame, jobs_frame, look_again, models_frame
from ._buying import KERNEL, partly
from ._catalog import catalog
from ._config import changed
from ._doctor import examine
from ._errors import BadParam, ConfigError, ElumentaError, NoKey
from ._keys import KeyFile, Keyring, Secret, check_key, hidden
from ._language import gettext as _, set_language
from ._mapping import Mapping
from ._result import Result
from ._surroundings import origin as here
from ._values import Limits, Origin
from ._wiring import runtime

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    import pandas as pd

    from ._doctor import Report
    from ._ledger import BudgetState, Entry
    from ._runtime import View
    from ._services import Services
    from ._store import Take
    from ._values import Balance, Profile

__all__ = ["Session", "Status", "configure", "current", "reset"]

_lock: Final = threading.RLock()
_KEPT_BACK: Final = 300  # of the sandbox's balance, by a made-up past: what is bought after it
_current: Session | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What a person wants to know at a glance; `balance` and `limits` only where they are known."""

    mode: str
    base_url: str
    key: str
    balance: Balance | None
    limits: Limits
    budgets: tuple[BudgetState, ...]
    open_calls: int
    open_tokens: int
    problem: str = ""  # why the server told less than it should


class Session(Mapping):
    """One account, one ledger, one store. Settings are those of the environment, replaced by the arguments.

    Nothing is opened before the first call. Raises `ConfigError` for a setting that cannot work.
    """

    def call(self, function: Callable[[], Awaitable[Any]]) -> Any:
        """Run one coroutine function on the background loop and wait."""
        return runtime.call(function)

    def balance(self) -> Balance:
        """Tokens, plan and its last day, as the server says now (docs.elumenta.ru/en/api-reference/user/balance)."""
        services = self.services()
        balance = runtime.call(self._ask_balance)
        services.purse.told(balance)
        return balance

    def me(self) -> Profile:
        """The account: name, plan, requests an hour and a day (docs.elumenta.ru/en/api-reference/user/me)."""
        return runtime.call(self.services().client.profile)

    def stats(self) -> dict[str, Any]:
        """The account's totals by category, on all channels (docs.elumenta.ru/en/api-reference/user/stats)."""
        return runtime.call(self.services().client.stats)

    @property
    def limits(self) -> Limits:
        """Requests left, as the last reply told them; nothing is asked."""
        return self._services.client.limits if self._services else Limits()

    def api(self) -> str | None:
        """Whose rows of the ledger count now: ``"sandbox"`` while it is in use, else ``None`` for all live ones."""
        with contextlib.suppress(NoKey):
            if self._settings.where() == "sandbox":
                return "sandbox"
        return None

    def open_entries(self, call_id: int | None = None, *, everyone: bool = False) -> list[Entry]:
        """The account's open calls; of a team's ledger the user's own, unless one is named or `everyone` is meant."""
        services = self.services()
        if services.api == "":
            return []
        account = self.account_name()
        rows = services.ledger.open_calls(account, services.api)
        if call_id is not None:
            return [row for row in rows if row.id == call_id]
        user = here().user
        return [row for row in rows if everyone or services.ledger.is_left_to(user, row)]

    def status(self) -> Status:
        """What is known without waiting for anything but the balance."""
        where = self._settings.where()
        services = self.services()
        balance, rows, budgets, problem = None, [], [], ""
        try:
            budgets = self.budget_states()
            rows = [] if where == "only" else self.open_entries()
            balance = None if where == "only" else self.balance()
        except ElumentaError as error:
            problem = f"{type(error).__name__}: {error}"
        key = self._settings.api_key
        return Status(
            mode=where,
            base_url=self._server.url if self._server else self._settings.base_url,
            key="–" if self._server or key is None else key.last_four,
            balance=balance,
            limits=services.client.limits,
            budgets=tuple(budgets),
            open_calls=len(rows),
            open_tokens=sum(row.held for row in rows),
            problem=problem,
        )

    def budget_states(self) -> list[BudgetState]:
        """The account's budgets with what is spent and held of each."""
        services = self.services()
        if not services.api:
            return []
        return services.ledger.budgets(account=self.account_name(), api=services.api)

    # ------------------------------------------------------------ books

    def models(
        self,
        category: str | None = None,
        *,
        tier: str | None = None,
        maximum: int | None = None,
        text: str | None = None,
    ) -> pd.DataFrame:
        """A row per model: name, category, provider, tier, its price in Elumenta tokens from `minimum` to `maximum`.

        `maximum` keeps those whose cheapest call costs no more, `text` those with all its words. From the page
        docs.elumenta.ru/en/concepts/tokens, and what the server lists beyond it once asked. Raises `BadParam`.
        """
        return models_frame(self._served.values(), category, tier=tier, maximum=maximum, text=text)

    def account_history(self, limit: int | None = None) -> pd.DataFrame:
        """The account's generations on all channels, newest first (docs.elumenta.ru/en/api-reference/user/history)."""
        services = self.services()
        return runtime.call(lambda: history_frame(services, limit))

    def spend(
        self,
        by: str | None = None,
        since: Any = None,
        account: str | None = None,
        tz: str | None = None,
        *,
        columns: Any = None,
    ) -> pd.DataFrame:
        """What was spent, from the ledger: a row per call, or one per `by` (cell, model, category, day, notebook, user, tag).

        `tokens` is what the server charged, `held` is reserved and not settled; their sum is the worst case. Sandbox
        rows are shown only while the sandbox is in use. `since` is a date, a time or a span (``"7d"``), days are of
        `tz`, else local, times UTC; ``columns="all"`` gives all of them. Raises `BadParam`.
        """
        from ._spend import spend_frame

        return spend_frame(self.ledger(), by=by, since=since, account=account, tz=tz, columns=columns, api=self.api())

    def budget(
        self,
        limit: int | None,
        per: str = "notebook",
        user: str | None = None,
        tag: str | None = None,
        *,
        origin: Origin | None = None,
    ) -> None:
        """Set a budget in Elumenta tokens per kernel, notebook, day or month; ``None`` removes it.

        Kept in the ledger, for all kernels; `user` and `tag` narrow it. `origin` is the place whose budget it is, the
        running cell when not given. Raises `BadParam`.
        """
        services = self.services()
        account = self.account_name()
        place = replace(origin or here(), kernel=KERNEL)
        from ._ledger import Period

        if per not in get_args(Period):
            raise BadParam(_("A budget is per {words}.").format(words=", ".join(get_args(Period))))
        where: dict[str, Any] = {"per": per, "account": account, "api": services.api, "origin": place}
        if limit is None:
            services.ledger.clear_budget(**where, user=user or "", tag=tag or "")
        else:
            services.ledger.set_budget(limit, **where, user=user or "", tag=tag or "")

    def budgets(self) -> pd.DataFrame:
        """The budgets of the account; `limit`, `spent`, `held` and `left` are Elumenta tokens."""
        import pandas as pd

        columns = ["per", "target", "user", "tag", "limit", "spent", "held", "left"]
        rows = [
            {column: getattr(state, column) for column in columns} | {"target": state.scope}
            for state in self.budget_states()
        ]
        return pd.DataFrame(rows, columns=columns)

    def doctor(self) -> Report:
        """Look at everything a call needs: settings, network, account, ledger, store. Reports, never raises."""
        return examine(self, here().user)

    def plans(self, monthly_tokens: int | None = None) -> pd.DataFrame:
        """Plans and packages (docs.elumenta.ru/en/concepts/tokens); with `monthly_tokens` the cheapest mixes first."""
        from ._spend import plans_frame

        last = None
        with contextlib.suppress(ElumentaError):  # without a key there is no plan to mark
            last = self.services().purse.last or self.balance()
        return plans_frame(monthly_tokens, current_plan=last.plan if last else None)

    def jobs(self, *, everyone: bool = False) -> pd.DataFrame:
        """Open calls, tokens held, age in seconds; of a team's ledger the user's own, unless `everyone` is meant."""
        return jobs_frame(self.open_entries(everyone=everyone), everyone=everyone)

    def resume(
        self,
        id: int | None = None,
        *,
        generation: int | str | None = None,
        everyone: bool = False,
        view: View | None = None,
    ) -> list[Result]:
        """Collect open calls of earlier kernels. Raises the first error after all were tried; it carries `.results`.

        In a team's ledger the user's own, unless one is named or `everyone` is meant. `generation` says which one of
        the account is the call's, where several could be. Raises `BadParam` for one that cannot be it.
        """
        rows = self.open_entries(id, everyone=everyone)
        if generation is not None:
            rows = rows if id is not None else []
            runtime.call(lambda: choose(self.services(), rows, generation))
            rows = self.open_entries(id)
        if id is not None and not rows:
            return [self.show(id)]
        bought = self._collect(rows, view)
        results = [item for item in bought if not isinstance(item, ElumentaError)]
        errors = [item for item in bought if isinstance(item, ElumentaError)]
        if errors:
            raise partly(errors[0], results, len(bought))
        return results

    def reconcile(self, elsewhere: bool = False, *, everyone: bool = False) -> pd.DataFrame:  # noqa: FBT001, FBT002 - the interface
        """Look up every open call (as `resume`); a row for each that changed.

        `elsewhere` also books what the account spent on other channels (bot, web, other machines), and explains the
        account's total in `.attrs`: ``account`` (what the server says was ever spent), ``ledger``, ``elsewhere`` and
        ``unlisted`` (spent, and not in the history any more), in Elumenta tokens.
        """
        import pandas as pd

        services = self.services()
        if services.api:
            runtime.call(lambda: self._look_again(services))
        before = {row.id: row for row in self.open_entries(everyone=everyone)}
        self._collect(list(before.values()), None)
        rows = []
        for call_id, old in before.items():
            now = services.ledger.call(call_id)
            if now.status != old.status:
                rows.append(
                    {"id": call_id, "model": old.model, "was": old.status, "status": now.status, "tokens": now.tokens}
                )
        if elsewhere:
            account = self.account_name()
            known = set(self.spend()["id"])
            rows += runtime.call(lambda: book_elsewhere(services, account, known))
        frame = pd.DataFrame(rows, columns=["id", "model", "was", "status", "tokens"])
        if elsewhere:
            frame.attrs |= explained(self.spend(), self.stats().get("tokens_spent_total"))
        return frame

    def _collect(self, rows: Sequence[Entry], view: View | None) -> list[Result | ElumentaError]:
        services = self.services()
        return runtime.run(lambda emit: collect(services, rows, emit, self._store_in), view)

    @staticmethod
    async def _look_again(services: Services) -> None:
        await look_again(services, await services.account())

    def _store_in(self, folder: Path) -> Any:
        services = self.services()
        return services.store if folder == services.store.folder else self._store_at(folder)

    def show(self, call_id: int) -> Result:
        """The result of a row of the ledger: from the store, else fetched again at no cost. Raises `BadParam`."""
        services = self.services()
        row = services.ledger.call(call_id)
        store = self._store_in(Path(row.folder)) if row.folder else services.store
        take = store.of_call(row.restored_from or call_id, services.api, row.fingerprint)
        if take is not None:
            return Result.from_take(take, base=store.base, call_id=call_id, reused=row.reused)
        if row.generation_id is None or row.status in ("failed", "cancelled"):
            raise BadParam(
                _("Call {id} ({model}) is {status} and has no result.").format(
                    id=call_id, model=row.model, status=row.status
                ),
                hint=row.error,
            )
        found = self._collect([row], None)[0]
        if isinstance(found, ElumentaError):
            raise found
        return found

    def take_of(self, row: Entry) -> Take | None:
        """The stored result of a row of the ledger, if its files are here; nothing is fetched."""
        with contextlib.suppress(ElumentaError, OSError):
            store = self._store_in(Path(row.folder)) if row.folder else self.services().store
            return store.of_call(row.restored_from or row.id, row.api, row.fingerprint)
        return None

    # ------------------------------------------------------------ choosing where calls go

    def sandbox(self, verb: str, *args: str) -> dict[str, Any]:
        """`on`, `off`, or a verb of the running sandbox; returns what it says, to show."""
        if verb == "on":
            self.change(mode="sandbox")
            if self._settings.where() == "only":  # nothing is ever sent: no server is needed
                return {"mode": "only"}
            return {"mode": "sandbox", "url": self.server().url}
        if verb == "off":
            self.change(mode="live")
            return {"mode": "live"}
        if verb == "past" and self._settings.where() == "sandbox":
            return self._past()
        where = self._settings.where()
        if where == "only":
            why = _("Only stored results are shown, so the sandbox does not run.")
            raise ConfigError(why, hint=_("Unset ELUMENTA_REUSE."))
        if where != "sandbox":
            raise ConfigError(_("The sandbox is off."), hint="%elumenta sandbox on")
        told = self.server().control(verb, *args)
        if verb == "reset":
            self.close()
        elif self._services is not None:  # a top-up shows in the next receipt
            self._services.purse.settled(0, told.get("balance"), time.monotonic())
        names = {plan.api: plan.name for plan in catalog().plans}  # the API calls Starter free
        return told | {"plan": names.get(told["plan"], told["plan"])}

    def _past(self) -> dict[str, Any]:
        """Three months of made-up spend, written once: in the ledger, and taken from the sandbox's balance.

        What is in the ledger already stays and is later: the past ends yesterday. Some of the balance is left.
        """
        from datetime import datetime

        from ._ledger import Where
        from ._past import HOST, live_through

        account = runtime.call(self.services().account)
        before = self.balance()
        hosts = {row[0]: row for row in self.ledger().totals(("host",), Where(api="sandbox", account=account))}
        if HOST in hosts:  # written before: the notebook is run again
            _host, calls, spent, *_rest = hosts[HOST]
            return {"calls": calls, "tokens": spent, "balance": before.tokens}
        url, today = self._settings.ledger(), datetime.now().astimezone().date()
        most = max(before.tokens - _KEPT_BACK, before.tokens // 2)
        made = live_through(url, account=account, api="sandbox", balance=before.tokens, today=today, at_most=most)
        left = before.tokens - made["tokens"]
        packages = min(self.server().control("status")["package_tokens"], left)  # those of the plan are spent first
        self.server().control("balance", str(left - packages), str(packages))
        return {**made, "balance": self.balance().tokens}

    def login(self, key: str | Secret, *, keyring: bool = False) -> Path | str:
        """Keep a key for later sessions: in a file only you can read, or in the keyring. Returns where."""
        secret, key = Secret(key) if isinstance(key, str) else key, ""
        secret = check_key(secret)
        where: Path | str
        if keyring:
            Keyring(self._settings.home).write(secret)
            where = _("the keyring")
        else:
            file = KeyFile(self._settings.home)
            file.write(secret)
            where = file.path
        self._arguments.pop("api_key", None)
        self.change()
        return where

    def logout(self) -> bool:
        """Forget the stored key; says whether there was one. A key in the environment stays."""
        existed = KeyFile(self._settings.home).remove()
        existed = Keyring(self._settings.home).remove() or existed
        self.change()
        return existed

    def use(self, **values: Any) -> None:
        """Replace settings without reading the environment again."""
        self._settings = changed(self._settings, **values)


# ---------------------------------------------------------------- the global state department


def current(folder: Path | None = None) -> Session:
    """The session of this process, made at the first use with the settings of the environment.

    `folder` is where a new one keeps its media when that is not the working directory of now.
    """
    global _current  # noqa: PLW0603 - the one piece of global state
    with _lock:
        if _current is None:
            _current = Session()
            if folder is not None:
                _current.start_in(folder)
            if _current.settings.lang is not None:
                set_language(_current.settings.lang)
        return _current


def configure(**settings: Any) -> Session:
    """Change settings of the session in use (names as in the environment, without ELUMENTA_). Returns it."""
    settings = hidden(settings)
    session = current()
    session.change(**settings)
    set_language(session.settings.lang)
    return session


def reset() -> None:
    """Forget the session: the next use makes a new one from the environment."""
    global _current
    with _lock:
        old, _current = _current, None
    if old is not None:
        old.close()
    set_language(None)
