"""Wires settings, client, ledger, store and engine together, at the first use; the sandbox when that was chosen."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import urlsplit

from ._config import Settings, load
from ._errors import BadReply, ElumentaError, NoKey, NotFound, PlanRequired, Rejected
from ._keys import Secret, hidden
from ._language import gettext as _
from ._runtime import Runtime
from ._values import Profile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from ._client import TransportFactory
    from ._engine import Engine
    from ._ledger import Ledger
    from ._services import Services
    from ._store import Store
    from ._values import Balance
    from .sandbox import Server

__all__ = ["Wiring", "runtime"]

WHO_S: Final = (0.0, 0.5, 1.5)  # waits before each time the account is asked for
runtime: Final = Runtime()  # one background loop for the process, whatever sessions there are


class Wiring:
    """What a session is made of. Nothing is opened before it is needed; `close` undoes it, and it can begin again."""

    sleep: ClassVar[Callable[[float], Awaitable[None]]] = staticmethod(asyncio.sleep)  # seams: tests wait less
    retry_sleep: ClassVar[Callable[[float], Awaitable[None]]] = staticmethod(asyncio.sleep)  # the client's
    grace_s: ClassVar[float | None] = None  # another: as `Services.grace_s`
    transport: ClassVar[TransportFactory | None] = None  # another: as the client's `transport_factory`

    def __init__(self, **settings: Any) -> None:
        self._arguments = settings = hidden(settings)
        self._settings = load(settings)
        self._folder = Path.cwd()
        self._lock = threading.RLock()
        self._engine: Engine | None = None
        self._services: Services | None = None
        self._ledger: Ledger | None = None
        self._server: Server | None = None
        self._account: str | None = None
        self._asking: asyncio.Task[str] | None = None
        self._cycle_ends: datetime | None = None

    def __repr__(self) -> str:
        settings: Settings | None = getattr(self, "_settings", None)
        if settings is None:  # what was wrong with its settings is being told
            return "<Session>"
        return f"<Session {settings.mode or 'live'} {settings.api_key.last_four if settings.api_key else 'no key'}>"

    def __reduce__(self) -> Any:
        raise TypeError(_("A session holds a key and a ledger: it cannot be pickled."))

    def start_in(self, folder: Path) -> None:
        """Media and relative links start here; before the first call."""
        self._folder = folder

    @property
    def settings(self) -> Settings:
        return self._settings

    @property
    def mode(self) -> str:
        """``live``, ``sandbox`` or ``only``. Raises `NoKey` when none was chosen."""
        return self._settings.where()

    # ------------------------------------------------------------ wiring

    def services(self) -> Services:
        """Client, ledger and store, made at the first use. Raises `NoKey` or `ConfigError`."""
        if self._services is None:
            with self._lock:
                if self._services is None:
                    self._services = self._wire()
        return self._services

    def _wire(self) -> Services:
        from ._client import Client
        from ._engine import Engine
        from ._ledger import Writer
        from ._prices import Prices, Purse
        from ._services import Services

        where = self._settings.where()
        base_url, key, api = self._settings.base_url, self._settings.api_key, self.api_name()
        if where == "sandbox":
            base_url, key = self.sandbox_at()
        client = Client(
            base_url=base_url,
            key=key or _no_key,
            request_form=self._settings.request_form,
            transport_factory=type(self).transport,
            sleep=type(self).retry_sleep,
        )
        ledger = self.ledger()
        services = Services(
            client=client,
            ledger=ledger,
            writer=Writer(ledger),
            store=self._store_at(None),
            prices=Prices(client, ledger, api),
            purse=Purse(self._ask_balance),
            api=api,
            account=self._ask_account,
            job_timeout_s=self._settings.job_timeout_s,
            sleep=type(self).sleep,
            grace_s=type(self).grace_s,
        )
        self._engine = Engine(services)
        runtime.on_exit(client.aclose)
        return services

    def api_name(self) -> str:
        """Whose takes and rows count: ``"sandbox"``, the API's origin, or ``""`` where nothing is sent."""
        parts = urlsplit(self._settings.base_url)
        live = f"{parts.scheme}://{parts.netloc}"
        with contextlib.suppress(NoKey):
            return {"sandbox": "sandbox", "only": ""}.get(self._settings.where(), live)
        return live

    def store(self, beside: Path | None = None) -> Store:
        """The store in use, or that of a notebook in another folder; works without a key."""
        if beside is None:
            return self._services.store if self._services else self._store_at(None)
        return self._store_at(beside / (self._settings.media_dir or Path("elumenta_media")), base=beside)

    def _store_at(self, folder: Path | None, base: Path | None = None) -> Store:
        from ._store import Store

        wanted = folder or self._folder / (self._settings.media_dir or Path("elumenta_media"))
        return Store(wanted, fallback=self._settings.home / "media", base=base or self._folder)

    def ledger(self) -> Ledger:
        """The ledger; works without a key. Raises `LedgerError` when it cannot be opened."""
        with self._lock:
            if self._ledger is None:
                from ._ledger import Ledger

                self._ledger = Ledger(self._settings.ledger())
            return self._ledger

    def server(self) -> Server:
        """The embedded sandbox, started when it is not running. Raises `ConfigError` without the extra."""
        with self._lock:
            if self._server is None:
                from .sandbox import serve

                self._server = serve(state=self._settings.home / "sandbox.sqlite")
            return self._server

    def sandbox_at(self) -> tuple[str, Secret]:
        """Where the sandbox answers, and its key, which is no secret."""
        server = self.server()
        return server.url, Secret(server.api_key)

    def close(self) -> None:
        """Close connections, the ledger and the sandbox; the session can be used again."""
        with self._lock:
            if self._services is not None:
                runtime.forget(self._services.client.aclose)
                with contextlib.suppress(ElumentaError):
                    runtime.call(self._services.writer.drain)
                with contextlib.suppress(ElumentaError):
                    runtime.call(self._services.client.aclose)
            if self._ledger is not None:
                self._ledger.close()
            if self._server is not None:
                self._server.stop()
            self._engine = self._services = self._ledger = self._server = self._account = None
            self._asking = self._cycle_ends = None  # another key or ledger may follow

    def change(self, **settings: Any) -> None:
        """Replace settings of this session; what depends on them is made again at the next call."""
        settings = hidden(settings)
        loaded = load({**self._arguments, **settings})
        self.close()
        self._arguments = {**self._arguments, **settings}
        self._settings = loaded

    def account_name(self) -> str:
        """The account's name in the ledger. Raises what the server says to the question."""
        return runtime.call(self.services().account)

    async def _ask_balance(self) -> Balance:
        """The balance; monthly budgets follow the billing cycle it tells."""
        services = self.services()
        balance = await services.client.balance()
        if balance.expires_at is not None and balance.expires_at != self._cycle_ends:
            services.ledger.set_cycle(await self._ask_account(), services.api, balance.expires_at)
            self._cycle_ends = balance.expires_at
        return balance

    async def _ask_account(self) -> str:
        """The account's name in the ledger: the id of /user/me, so that two keys of one account share budgets."""
        if self._account is None:
            services = self.services()
            if services.api == "sandbox":
                self._account = "sandbox"
            else:
                if self._asking is None or self._asking.done():  # asked once, whoever wants to know meanwhile
                    self._asking = asyncio.ensure_future(self._told_account(services))
                self._account = await asyncio.shield(self._asking)
        return self._account

    async def _told_account(self, services: Services) -> str:
        """The id of /user/me, asked for again where the answer cannot be read. Raises what the server says.

        Under a guessed name the rows of today would not be found tomorrow. Only an account that was never told an id
        goes by its key's last four.
        """
        from ._ledger import Where

        trouble: ElumentaError | None = None
        for wait_s in WHO_S:
            await services.sleep(wait_s)
            try:
                profile = await services.client.profile()
            except (BadReply, NotFound) as error:
                trouble = error
                continue
            except (PlanRequired, Rejected) as error:
                trouble = error
                break
            if profile.id:
                return profile.id
            trouble = None if profile != Profile() else BadReply(_("no profile can be read in it"))
        key = self._settings.api_key
        label = f"key {key.last_four}" if key else ""
        known = {row[0] for row in services.ledger.totals(("account",), Where(api=services.api))}
        if isinstance(trouble, BadReply) or (known and label not in known):
            why = trouble or _("the profile has no id")
            raise BadReply(
                _("The server does not say whose the key is (GET /user/me): {why}").format(why=why),
                hint=_(
                    "Nothing was sent: booked without the account's name, a call would be found by no other kernel.\n"
                    "Try again in a minute; %elumenta doctor looks at the connection."
                ),
                spent="no",
            ) from trouble
        return label


def _no_key() -> str:
    raise NoKey(_("There is no API key."), hint="%elumenta login")
