"""The sandbox's server: uvicorn on 127.0.0.1 in a daemon thread, silent, started in well under a second."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from elumenta_nb._catalog import Model, catalog
from elumenta_nb._errors import ConfigError
from elumenta_nb._language import gettext as _

from .economy import Economy
from .faults import FaultLayer, Faults
from .rows import Refusal
from .scratch import Scratch

if TYPE_CHECKING:
    import asyncio
    from collections import deque
    from collections.abc import Callable, Collection, Iterable, Mapping
    from types import TracebackType
    from typing import Self

    from .faults import Seen
    from .replies import Dialect
    from .rows import Account

__all__ = ["Server", "serve"]

_START_S: Final = 15.0


def serve(
    port: int = 0,
    *,
    state: Path | None = None,
    dialect: Dialect = "a",
    time_scale: float = 0.05,
    strict_access: bool = False,
    plan: str = "vip",
    balance: int | None = None,
    extra_models: Iterable[Model | Mapping[str, Any]] = (),
    slow_models: Collection[str] = (),
    strict_forms: bool = False,
    count_all: bool = False,
    clock: Callable[[], float] = time.time,
) -> Server:
    """Start a sandbox and return when it answers.

    `state` is the file that accounts, jobs and history live in (``None``: one of its own, deleted at the end); several
    servers may share it. `plan` and `balance` are those of a new file. `dialect` is the reply family. `time_scale`
    shortens the documented waits. `strict_access` asks for VIP or Elite, as the real API does. `extra_models` are
    served beside the token page's. `slow_models` answer ``pending``. `strict_forms` refuses the other family's form
    of a request. `count_all` counts every request against the limits, not only generations.

    Raises `ConfigError` when the extra ``sandbox`` is not installed, the port is taken, `state` cannot be written, or
    there is no such plan or balance.
    """
    return Server(
        port,
        state=state,
        dialect=dialect,
        time_scale=time_scale,
        strict_access=strict_access,
        plan=plan,
        balance=balance,
        extra_models=extra_models,
        slow_models=slow_models,
        strict_forms=strict_forms,
        count_all=count_all,
        clock=clock,
    )


class Server:
    """A running sandbox: `url` is the API's base URL, `api_key` the key of its first account. A context manager."""

    def __init__(
        self,
        port: int,
        *,
        state: Path | None,
        dialect: Dialect,
        time_scale: float,
        strict_access: bool,
        plan: str,
        balance: int | None,
        extra_models: Iterable[Model | Mapping[str, Any]],
        slow_models: Collection[str],
        strict_forms: bool,
        count_all: bool,
        clock: Callable[[], float],
    ) -> None:
        modules = _modules()
        self._stopped = False
        with contextlib.ExitStack() as undo:  # whatever fails below, nothing of it stays
            scratch = None if state else Scratch()
            if scratch is not None:
                undo.callback(scratch.remove)
            self.state = scratch.path / "sandbox.sqlite" if scratch else Path(str(state))
            try:
                self._economy = Economy(
                    self.state,
                    plan=plan,
                    balance=balance,
                    strict_access=strict_access,
                    count_all=count_all,
                    clock=clock,
                )
            except Refusal as refusal:
                raise ConfigError(str(refusal)) from None
            undo.callback(self._economy.close)
            self.faults = Faults()
            self._api = modules.Api(
                self._economy,
                self.faults,
                dialect=dialect,
                time_scale=time_scale,
                strict_forms=strict_forms,
                count_all=count_all,
                slow_models=slow_models,
                models=dict(catalog().models) | {model.slug: model for model in map(_model, extra_models)},
                clock=clock,
            )
            undo.callback(self._api.close)
            self._listener = _listen(port)
            undo.callback(self._listener.close)
            self.port: int = self._listener.getsockname()[1]
            self.origin = f"http://127.0.0.1:{self.port}"
            self.url = f"{self.origin}/api/v2"
            self._connections: dict[Any, asyncio.Transport] = {}
            self._server = modules.uvicorn.Server(self._config(modules))
            self._thread = threading.Thread(target=self._run, name="elumenta-sandbox", daemon=True)
            self._thread.start()
            undo.callback(self._halt)
            self._wait_until_it_answers()
            self._undo = undo.pop_all()

    def _config(self, modules: _Modules) -> Any:
        return modules.uvicorn.Config(
            FaultLayer(self._api.build(), self.faults, self._hang_up),
            http=_protocol(modules.H11Protocol, self._connections),
            ws="none",
            loop="asyncio",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,  # the application tells the sandbox's own clock
            timeout_keep_alive=75,
        )

    def _run(self) -> None:
        self._server.run(sockets=[self._listener])

    def _wait_until_it_answers(self) -> None:
        limit = time.monotonic() + _START_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > limit:
                raise ConfigError(_("The sandbox did not start."), hint=f"port {self.port}")
            time.sleep(0.005)

    def _hang_up(self, client: Any, flush: bool) -> None:  # noqa: FBT001 - a callback with two arguments
        transport = self._connections.get(tuple(client))
        if transport is not None:
            transport.close() if flush else transport.abort()

    @property
    def api_key(self) -> str:
        """The key of the first account; the same for every server on this state."""
        return self._economy.api_key

    @property
    def account(self) -> Account:
        """The first account as it stands now."""
        return self._economy.account(self._economy.first_account)

    @property
    def seen(self) -> deque[Seen]:
        """The last requests as they arrived, oldest first; the key is not kept."""
        return self.faults.seen

    def add_account(self, *, plan: str = "vip", balance: int | None = None) -> str:
        """Open another account; its key."""
        return self._economy.add_account(plan=plan, balance=balance)

    def add_key(self, name: str = "another") -> str:
        """Another key of the first account."""
        return str(self._economy.add_key(self._economy.first_account, name)["key"])

    def control(self, verb: str, *args: Any) -> dict[str, Any]:
        """Do a verb on the first account (see `Economy.control`) and tell how it stands.

        Raises `ConfigError` for a verb or argument that does not exist.
        """
        try:
            return self._economy.control(self._economy.first_account, verb, *args)
        except Refusal as refusal:
            raise ConfigError(str(refusal)) from None

    def fault(
        self,
        kind: str,
        *,
        path: str | None = None,
        method: str | None = None,
        times: int = 1,
        after: int = 0,
        **options: Any,
    ) -> None:
        """Queue a fault for the next `times` requests that match, after `after` of them (see `faults.KINDS`).

        `path` is a pattern below the base URL (``/generate``, ``/generate/*``, ``/storage/*``); none is any API path.
        """
        self.faults.add(kind, path=path, method=method, times=times, after=after, **options)

    def stop(self) -> None:
        """Stop answering and close the state. May be called twice."""
        if self._stopped:
            return
        self._stopped = True
        self._undo.close()

    def _halt(self) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Server {self.url}{' stopped' if self._stopped else ''}>"


class _Modules:
    """What the extra brings."""

    def __init__(self) -> None:
        import av  # noqa: F401 - films and sounds need it; better to say so now than at the first download
        import numpy as np  # noqa: F401 - as above
        import python_multipart  # noqa: F401 - as above, for uploads
        import uvicorn
        from uvicorn.protocols.http.h11_impl import H11Protocol

        from .app import Api

        self.uvicorn = uvicorn
        self.H11Protocol = H11Protocol
        self.Api = Api


def _modules() -> _Modules:
    try:
        return _Modules()
    except ImportError as error:
        raise ConfigError(
            _("The sandbox needs {module}, which is not installed.").format(module=error.name or error),
            hint='pip install "elumenta-nb[sandbox]"',
        ) from error


def _protocol(base: type[Any], connections: dict[Any, asyncio.Transport]) -> type[Any]:
    """The protocol of uvicorn that also keeps its connections, so that a fault can close one without an answer."""

    class Protocol(base):  # type: ignore[misc] # its base is known only once uvicorn is imported
        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            connections[transport.get_extra_info("peername")] = transport

        def connection_lost(self, exc: Exception | None) -> None:
            connections.pop(self.client, None)
            super().connection_lost(exc)

    return Protocol


def _listen(port: int) -> socket.socket:
    # asyncio turns Nagle's algorithm off only where the protocol is named; with it every reply is 40 ms late
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise ConfigError(_("Port {port} cannot be used: {reason}").format(port=port, reason=error)) from error
    listener.listen(1024)
    return listener


def _model(row: Model | Mapping[str, Any]) -> Model:
    if isinstance(row, Model):
        return row
    facts = {"minimum": 1, "maximum": row.get("minimum", 1), "category": "text", "in_table": False, **row}
    return Model(**facts)
