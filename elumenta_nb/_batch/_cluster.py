"""A map on the workers of a Dask cluster: planned and consented here, seen through there, all against one ledger.

The calls are cut into parts. A part that Dask repeats, because its worker died, finds what is paid in the ledger and
the store, and buys only the rest. The key does not travel: see `Deal`.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from elumenta_nb._errors import BadParam, ConfigError, ElumentaError
from elumenta_nb._keys import Address
from elumenta_nb._language import gettext as _, language
from elumenta_nb._runtime import TICK_S

from ._plan import Fate
from ._sheet import Cells, shown_path
from ._worker import Deal, Told, at_worker, check, machine, package, stop_name, work

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from elumenta_nb._buying import Buying

    from ._map import Prepared
    from ._sheet import Tally
    from ._view import Counted, Show

__all__ = ["Board", "Crew", "Fleet", "client_of", "deal_of"]

PARTS_EACH: Final = 4  # for each thread of the cluster, so that none ends long before the others
MOST_CALLS: Final = 500  # of a part
GOODBYE_S: Final = 10.0  # an interrupted map waits so long for what its workers still bring
ROUNDS: Final = 3  # over rows that a budget had no room for, while others held more than they cost


def client_of(scheduler: Any) -> Any:
    """The Dask client that was given. Raises `BadParam` for anything else, `ConfigError` without Dask."""
    try:
        from distributed import Client
    except ImportError:
        raise ConfigError(
            _("A cluster needs Dask, which is not installed."), hint='pip install "elumenta-nb[batch]"'
        ) from None
    if not isinstance(scheduler, Client):
        raise BadParam(
            _("scheduler= is a Client of Dask, not {value}.").format(value=type(scheduler).__name__),
            hint="el.map(..., scheduler=distributed.Client())",
        )
    if scheduler.asynchronous or scheduler.status != "running":
        raise BadParam(
            _("The Client of Dask is asynchronous.")
            if scheduler.asynchronous
            else _("The Client of Dask is {status}.").format(status=scheduler.status)
        )
    return scheduler


def deal_of(prepared: Prepared, session: Buying, *, width: int, on_error: str) -> Deal:
    """What the workers are told."""
    services, settings = prepared.services, session.settings
    where = settings.ledger()
    path = services.ledger.path
    address = str(where) if isinstance(where, str) and path is None else f"sqlite:///{path}"
    bare = Address(address).bare
    sandbox = session.sandbox_at() if services.api == "sandbox" else None
    why = ""
    if path is not None:
        why = _("the ledger is a file of this one ({path}).").format(path=path)
    elif sandbox is not None:
        why = _("the sandbox answers on this one only.")
    return Deal(
        run=secrets.token_hex(6),
        version=package(),
        account=prepared.weighed.account,
        base_url=settings.base_url,
        sandbox=None if sandbox is None else (sandbox[0], sandbox[1]()),
        request_form=settings.request_form,
        job_timeout_s=settings.job_timeout_s,
        grace_s=services.grace_s,
        ledger=bare,
        ledger_is_private=bare != address,
        folder=str(services.store.folder),
        base=str(services.store.base),
        machine=machine() if why else "",
        why_here=why,
        origin=prepared.rows.origin,
        hour=prepared.plan.hour,
        width=width,
        on_error=on_error,
        language=language(),
    )


def mustered(client: Any, deal: Deal) -> None:
    """Ask all workers before anything is bought. Raises `ConfigError` naming one that cannot take part.

    One that joins later is asked when it gets its first part.
    """
    hint = ""
    if deal.machine and deal.ledger.startswith("sqlite"):
        hint = _("Workers on several machines need a ledger in PostgreSQL: ELUMENTA_LEDGER_URL.")
    found: dict[str, Any] = client.run(check, deal, on_error="return")
    for address, error in found.items():
        if isinstance(error, ConfigError):
            error.hint = error.hint or hint
            raise at_worker(error, address)
        if isinstance(error, BaseException):
            raise at_worker(
                ConfigError(
                    f"{type(error).__name__}: {error}",
                    hint=_("The workers need the same elumenta-nb as this kernel."),
                ),
                address,
            )


class Board:
    """The sheet of a map and what its workers told since: for the line that moves."""

    def __init__(self, sheet: Counted) -> None:
        self._sheet = sheet
        self.live: dict[int, dict[str, Any]] = {}

    def _sum(self, name: str) -> int:
        return sum(told[name] for told in [*self.live.values()])

    @property
    def done(self) -> int:
        return self._sheet.done + self._sum("done")

    def brief(self) -> Tally:
        tally = self._sheet.brief()
        return replace(
            tally,
            done=min(tally.calls, self.done),
            failed=tally.failed + self._sum("failed"),
            tokens=tally.tokens + self._sum("tokens"),
        )


class Fleet(ABC):
    """The workers of a cluster at a map: sends them its parts, hears how far they are, stops them.

    It shows itself as a `Runner` does. What a part is, and what becomes of it, is the business of the subclasses.
    """

    def __init__(self, client: Any, sheet: Counted, *, concurrency: int) -> None:
        self._client = client
        self._concurrency = concurrency
        self._flag: Any = None
        self._back: SimpleQueue[tuple[int, Any]] = SimpleQueue()
        self._parts: dict[int, Any] = {}  # that are with the cluster
        self._futures: dict[int, Any] = {}  # theirs: one that nobody holds is taken back
        self._next_part = 0
        self.abreast = max(1, min(concurrency, sum(client.nthreads().values())))
        self.board = Board(sheet)
        self.under_way: set[int] = set()
        self.stopped = ""
        self.error: ElumentaError | None = None

    @property
    def gate(self) -> Fleet:
        return self

    @property
    def waits_s(self) -> float:
        """How long no worker will send anything."""
        told = [*self.board.live.values()]
        return min((pulse["waits_s"] for pulse in told), default=0.0)

    @property
    def reason(self) -> str:
        return next((pulse["reason"] for pulse in [*self.board.live.values()] if pulse["waits_s"] > 0), "")

    def stop(self, why: str, error: ElumentaError | None = None) -> None:
        """No more parts, and the workers take no more calls. What is under way is seen through."""
        if not self.stopped:
            self.stopped, self.error = why, error
            if self._flag is not None:
                self._flag.set()

    def muster(self, deal: Deal) -> None:
        """Ask the workers whether they can take part. Raises `ConfigError`; nothing was sent."""
        self.deal = deal
        deal.probe.touch()
        try:
            mustered(self._client, deal)
        except BaseException:
            deal.probe.unlink(missing_ok=True)
            raise

    @contextlib.contextmanager
    def at_work(self, show: Show) -> Iterator[None]:
        """While parts are with the workers. An interrupt stops these, and waits a little for what they bring."""
        import distributed

        untyped: Any = distributed
        client, topic = self._client, stop_name(self.deal.run)
        self._flag = untyped.Event(topic, client=client)
        client.subscribe_topic(topic, self._heard)
        try:
            yield
        except BaseException:
            self.stop(_("stopped by you"))
            ends = time.monotonic() + GOODBYE_S
            with contextlib.suppress(KeyboardInterrupt):
                while self._parts and time.monotonic() < ends:
                    self._hear(show)
            raise
        finally:
            self.deal.probe.unlink(missing_ok=True)
            with contextlib.suppress(Exception):  # a cluster that is gone keeps nothing
                client.unsubscribe_topic(topic)
                if not self._parts:
                    self._flag.clear()

    def see_through(self, parts: Iterable[Any], show: Show) -> None:
        """Send the parts, as many at a time as there may be calls, until all came back or it was stopped."""
        waiting = deque(parts)
        while (waiting and not self.stopped) or self._parts:
            while waiting and not self.stopped and len(self._parts) < self._concurrency:
                number, self._next_part = self._next_part, self._next_part + 1
                part = self._parts[number] = waiting.popleft()
                self._futures[number] = future = self._sent(number, part)
                future.add_done_callback(partial(self._came_back, number))
            self._hear(show)

    def _came_back(self, number: int, future: Any) -> None:
        self._back.put((number, future))

    def _heard(self, event: tuple[float, Any]) -> None:
        pulse = event[1]
        if isinstance(pulse, dict) and pulse.get("part") in self._parts:
            self.board.live[pulse["part"]] = pulse

    def _hear(self, show: Show) -> None:
        try:
            number, future = self._back.get(timeout=TICK_S)
        except Empty:
            show.tick()
            return
        told = self._answer(future)
        self._taken(self._parts[number], told)
        del self._parts[number], self._futures[number]
        self.board.live.pop(number, None)
        if told.stopped:
            self.stop(told.stopped, told.error)

    def _answer(self, future: Any) -> Told:
        from distributed import KilledWorker

        try:
            told: Told = future.result()
        except ElumentaError as error:
            return Told(stopped=str(error), error=error)
        except KilledWorker:
            why = _("A worker died, and so did those that took its rows over.")
            hint = _("What is paid is kept: run the map again for the rest.")
            return Told(stopped=why, error=ConfigError(why, hint=hint, spent="maybe"))
        except Exception as error:  # noqa: BLE001 - whatever a cluster that ends says
            why = _("The cluster gave up: {why}").format(why=f"{type(error).__name__}: {error}")
            return Told(stopped=why, error=ConfigError(why, spent="maybe"))
        return told

    @abstractmethod
    def _sent(self, number: int, part: Any) -> Any:
        """The future of a part."""

    @abstractmethod
    def _taken(self, part: Any, told: Told) -> None:
        """A part came back, or was given up: then nothing is told of its rows."""


class Crew(Fleet):
    """The workers that see a planned map through: a part is some of its calls."""

    def __init__(self, prepared: Prepared, session: Buying, client: Any, *, concurrency: int, on_error: str) -> None:
        super().__init__(client, prepared.sheet, concurrency=concurrency)
        self._prepared = prepared
        self._began = prepared.services.ledger.now()
        self._deal = partial(deal_of, prepared, session, on_error=on_error)
        self._short: list[int] = []  # calls that a budget had no room for

    def begin(self) -> None:
        """Ask the workers whether they can take part. Raises `ConfigError`; nothing was sent."""
        self.muster(self._deal(width=max(1, self._concurrency // self.abreast)))

    def run(self, show: Show) -> None:
        """Until all parts came back or it was stopped."""
        fates = (Fate.PAID, Fate.OPEN, Fate.BUY)
        numbers = [number for fate in fates for number in self._prepared.weighed.numbers(fate)]
        size = max(1, min(MOST_CALLS, -(-len(numbers) // (PARTS_EACH * self.abreast))))
        try:
            with self.at_work(show):
                for _round in range(ROUNDS):
                    self.see_through((numbers[at : at + size] for at in range(0, len(numbers), size)), show)
                    numbers = self._with_room()
                    if not numbers or self.stopped:
                        break
        finally:
            for part in self._parts.values():
                self._look_up(part)

    def _sent(self, number: int, part: list[int]) -> Any:
        rows, survey = self._prepared.rows, self._prepared.survey
        frame = rows.part([survey.first[call] for call in part])
        name = f"elumenta-map-{self.deal.run}-{number}"
        return self._client.submit(work, self.deal, rows.spec, frame, number, key=name, pure=False)

    def _taken(self, part: list[int], told: Told) -> None:
        cells = dict(zip(part, told.cells, strict=False))
        for number, found in cells.items():
            if found.status != "waiting":
                self._prepared.sheet.put_cells(number, found)
            if found.status == "not bought" and not told.stopped:
                self._short.append(number)
        self._look_up([number for number in part if number not in cells or cells[number].status == "waiting"])

    def _look_up(self, numbers: Sequence[int]) -> None:
        """What the ledger knows of calls whose part did not come back, or left them under way."""
        prepared = self._prepared
        services, sheet = prepared.services, prepared.sheet
        marks = {prepared.survey.fingerprints[number].hex(): number for number in numbers}
        known = services.ledger.of_fingerprints(prepared.weighed.account, services.api, [*marks]) if marks else {}
        for mark, entries in known.items():
            new = [entry for entry in entries if entry.started_at >= self._began]
            if not new:
                continue
            entry = next((entry for entry in new if not entry.open), new[-1])
            take = None if entry.open else services.store.of_call(entry.id, services.api, entry.fingerprint)
            if take is not None:
                media = shown_path(take.media[0].path, services.store.base) if take.media else None
                out = take.text if take.text is not None else media
                sheet.put_cells(marks[mark], Cells("completed", out, entry.tokens or 0, "", entry.id))
            else:
                status = "pending" if entry.status == "pending" else "unknown"
                sheet.put_cells(marks[mark], Cells(status, None, entry.tokens or 0, self.stopped, entry.id))

    def _with_room(self) -> list[int]:
        """The calls for which there is room by now, as far as the fullest budget goes."""
        numbers, self._short = self._short, []
        prepared = self._prepared
        services, held = prepared.services, prepared.weighed.held
        if not numbers:
            return []
        state = services.ledger.budget_state(prepared.rows.origin, prepared.weighed.account, services.api)
        left = 0 if state is None else state.left
        fitting = []
        for number in numbers:
            price = held.get(prepared.survey.kinds[number], 0)
            if price <= left:
                left -= price
                fitting.append(number)
        return fitting
