"""The part of a map that a cluster's worker sees through. It runs in the worker's process, from the worker's own key.

Any part may be run a second time, on another worker, after the first one died: `prepare` finds what is paid, and the
ledger's keys let nothing be bought twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import platform
import socket
import threading
import time
import uuid
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from elumenta_nb._buying import Buying
from elumenta_nb._config import load
from elumenta_nb._errors import ConfigError, ElumentaError, RateLimited, ServerError, TransportError
from elumenta_nb._keys import Address, Secret
from elumenta_nb._language import gettext as _, language, set_language
from elumenta_nb._wiring import runtime

from ._gate import Gate
from ._map import Prepared, prepare
from ._share import Share

if TYPE_CHECKING:
    import pandas as pd

    from elumenta_nb._services import Services
    from elumenta_nb._values import Event, Origin

    from ._runner import Runner
    from ._sheet import Cells
    from ._spec import Spec

__all__ = ["Deal", "Told", "check", "machine", "prepared_at", "see_through", "stop_name", "work"]

PULSE_S: Final = 0.5  # between two tellings of how far a part is
ASKS_S: Final = 1.0  # between two looks whether the map was stopped
TRIES: Final = 4
BLIND_S: Final = 20.0
KEPT: Final = 16  # sessions of a worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """What must be the same on all workers, and no secret: the key and the ledger's password are their own.

    `run` names this run of the map. `machine` is set where only this machine's processes can take part, and `why_here`
    says why. `sandbox` is where the client's sandbox answers, and its key, which is no secret.
    """

    run: str
    version: str
    account: str
    base_url: str
    sandbox: tuple[str, str] | None
    request_form: Literal["params", "flat"]
    job_timeout_s: float
    grace_s: float | None
    ledger: str
    ledger_is_private: bool
    folder: str
    base: str
    machine: str
    why_here: str
    origin: Origin
    hour: int | None
    width: int
    on_error: str
    language: str

    @property
    def place(self) -> str:
        """What a session of a worker depends on."""
        facts = asdict(self)
        for name in ("run", "origin", "hour", "width", "on_error", "language"):
            del facts[name]
        return json.dumps(facts, sort_keys=True)

    @property
    def probe(self) -> Path:
        """The file by which a worker knows that it sees the folder of the client."""
        return Path(self.folder) / f".map-{self.run}.part"


@dataclass(slots=True)
class Told:
    """What became of a part: the cells of its calls in their order; why it stopped, and the error behind that."""

    cells: list[Cells] = field(default_factory=list)
    stopped: str = ""
    error: ElumentaError | None = None


def stop_name(run: str) -> str:
    """The event that ends a map on all workers, and the topic they tell their progress under."""
    return f"elumenta-map-{run}"


def machine() -> str:
    """What tells machines apart, until they are started again."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{socket.gethostname()} {uuid.getnode():x} {platform.system()}"


def package() -> str:
    try:
        return version("elumenta-nb")
    except PackageNotFoundError:
        return ""


# -------------------------------------------------------------------- may this worker take part?


def check(deal: Deal) -> None:
    """Raises `ConfigError` for what is wrong with this worker. Nothing is opened and nothing is sent."""
    if deal.language != language():
        set_language(deal.language)
    if deal.version != package():
        raise ConfigError(
            _("it has elumenta-nb {theirs}, and the map was made by {ours}.").format(
                theirs=package() or "?", ours=deal.version or "?"
            )
        )
    if deal.machine and deal.machine != machine():
        raise ConfigError(
            _("it is on another machine ({host}), and {why}").format(host=socket.gethostname(), why=deal.why_here)
        )
    if not deal.probe.is_file():
        raise ConfigError(
            _("it does not see the folder of the results, {folder}.").format(folder=deal.folder),
            hint=_("Mount it under the same path on all workers, or set ELUMENTA_MEDIA_DIR to a folder they share."),
        )
    own = load({})
    if deal.sandbox is None and own.api_key is None:
        raise ConfigError(
            _("it has no API key."),
            hint=_(
                "A key never travels with the work: set ELUMENTA_API_KEY where the workers are started, or keep the"
                " key file in their ELUMENTA_HOME."
            ),
        )
    if deal.ledger_is_private and Address(own.ledger_url or "").bare != deal.ledger:
        raise ConfigError(
            _("its ledger is {theirs}, and the map's is {ours}.").format(
                theirs=Address(own.ledger_url or "").bare or _("not set"), ours=deal.ledger
            ),
            hint=_(
                "An address with a password never travels with the work: set ELUMENTA_LEDGER_URL where the workers are"
                " started, to the same address."
            ),
        )


class Hand(Buying):
    """The session of a worker: the settings of the deal, its own key, and the client's sandbox where that is used."""

    def __init__(self, deal: Deal) -> None:
        ledger: dict[str, Any] = {} if deal.ledger_is_private else {"ledger_url": deal.ledger}
        super().__init__(
            mode="live" if deal.sandbox is None else "sandbox",
            base_url=deal.base_url,
            request_form=deal.request_form,
            job_timeout_s=deal.job_timeout_s,
            media_dir=deal.folder,
            reuse="all",  # what may come from the store is the map's own word
            **ledger,
        )
        self._deal = deal
        self.start_in(Path(deal.base))

    def sandbox_at(self) -> tuple[str, Secret]:
        assert self._deal.sandbox is not None
        url, key = self._deal.sandbox
        return url, Secret(key)

    def _wire(self) -> Services:
        return replace(super()._wire(), grace_s=self._deal.grace_s)


_lock: Final = threading.Lock()
_hands: Final[dict[str, Hand]] = {}  # of this process: what one part opened the next one uses
_checked: Final[set[str]] = set()


def _hand(deal: Deal) -> Hand:
    """The session for a deal. Raises `ConfigError` where this worker cannot take part."""
    with _lock:
        if deal.run not in _checked:
            check(deal)
        hand = _hands.get(deal.place)
        if hand is None:
            while len(_hands) >= KEPT:
                _hands.pop(next(iter(_hands))).close()
            hand = _hands[deal.place] = Hand(deal)
        if deal.run in _checked:
            return hand
        services = hand.services()
        services.store.check()
        if services.store.folder != Path(deal.folder):
            raise ConfigError(services.store.note)
        if runtime.call(services.account) != deal.account:
            raise ConfigError(
                _("its key is of another account than the map's."),
                hint=_("Budget and limits are those of one account: give all workers a key of it."),
            )
        _checked.add(deal.run)
    return hand


# -------------------------------------------------------------------- a part


class Pulse:
    """Tells the client how far a part is, and the part when the map was stopped. Of the thread that waits."""

    def __init__(self, deal: Deal, part: int, prepared: Prepared, runner: Runner) -> None:
        import distributed

        untyped: Any = distributed
        self._worker = untyped.get_worker()
        self._key = self._worker.get_current_task()
        self._flag = untyped.Event(stop_name(deal.run))
        self._topic = stop_name(deal.run)
        self._part = part
        self._sheet = prepared.sheet
        self._runner = runner
        self._told_at = self._asked_at = time.monotonic()

    def __call__(self, event: Event) -> None:
        pass

    def tick(self) -> None:
        now = time.monotonic()
        if now - self._told_at >= PULSE_S:
            self._told_at = now
            self._tell()
        if now - self._asked_at >= ASKS_S and not self._runner.stopped:
            self._asked_at = now
            if self._is_over():
                runtime.portal().start_task_soon(self._runner.stop, _("stopped by you"))

    def _tell(self) -> None:
        tally, runner = self._sheet.brief(), self._runner
        self._worker.log_event(
            self._topic,
            {
                "part": self._part,
                "done": tally.done,
                "failed": tally.failed,
                "tokens": tally.tokens,
                "waits_s": runner.gate.waits_s,
                "reason": runner.reason,
            },
        )

    def _is_over(self) -> bool:
        """The map was stopped, or its client is gone: then the scheduler has taken the task back."""
        task = self._worker.state.tasks.get(self._key)
        if task is None or task.state == "cancelled":
            return True
        try:
            return bool(self._flag.is_set())
        except OSError:  # no scheduler: nobody waits for this part any more
            return True


def work(deal: Deal, spec: Spec, frame: pd.DataFrame, part: int) -> Told:
    """See the calls of these rows through. Raises `ConfigError` where this worker cannot take part."""
    prepared, runner = see_through(deal, spec, frame, part)
    calls = range(len(prepared.survey.fingerprints))
    return Told([prepared.sheet.cells(number) for number in calls], runner.stopped, runner.error)


def see_through(deal: Deal, spec: Spec, frame: pd.DataFrame, part: int) -> tuple[Prepared, Runner]:
    """A part from its rows to its sheet."""
    deal = replace(deal, origin=replace(deal.origin, run=f"{deal.run}:{part}"))
    prepared = prepared_at(deal, spec, frame)
    services = prepared.services
    share = Share(services, deal.account, deal.hour, few=4 * deal.width)
    gate = Gate(deal.width, limits=share, skew_s=lambda: services.client.skew_s)
    runner = prepared.runner(concurrency=deal.width, on_error=deal.on_error, part=f"{deal.run}:{part}", gate=gate)
    prepared.restore()

    async def run() -> None:
        looking = asyncio.ensure_future(share.keep())
        try:
            await runner.run()
        finally:
            looking.cancel()

    plan = prepared.plan
    if plan.to_buy or plan.open or plan.paid:
        runtime.run(lambda _emit: run(), Pulse(deal, part, prepared, runner))
    prepared.sheet.leave(runner.stopped, but=runner.under_way)
    _own_tokens(prepared, deal)
    return prepared, runner


def _own_tokens(prepared: Prepared, deal: Deal) -> None:
    """Count what this part paid, in whichever attempt at it; what another part of this run paid, that one counts."""
    sheet, own = prepared.sheet, prepared.rows.origin.run
    marks = [mark.hex() for mark in prepared.survey.fingerprints]
    known = prepared.services.ledger.of_fingerprints(deal.account, prepared.services.api, marks)
    rows = {entry.id: entry for entries in known.values() for entry in entries}
    for number in range(len(marks)):
        cells = sheet.cells(number)
        entry = rows.get(cells.call_id or 0)
        if entry is None or cells.status != "completed":
            continue
        if entry.origin.run == own:
            sheet.put_cells(number, cells._replace(tokens=entry.tokens or 0))
        elif entry.origin.run.startswith(f"{deal.run}:"):
            sheet.put_cells(number, cells._replace(tokens=0))


def prepared_at(deal: Deal, spec: Spec, frame: pd.DataFrame) -> Prepared:
    """A part on this worker, planned. Raises `ConfigError` where it cannot take part.

    Questions of price may meet the account's limit too: then they are asked again.
    """
    try:
        hand = _hand(deal)
    except ConfigError as error:
        raise at_worker(error, _address()) from None
    for attempt in range(TRIES):
        try:
            return prepare(hand, frame, spec, budget=None, concurrency=deal.width, origin=deal.origin)
        except (RateLimited, ServerError, TransportError) as error:
            if attempt == TRIES - 1:
                raise
            time.sleep(min(error.retry_after or BLIND_S, 300) if isinstance(error, RateLimited) else 2**attempt)
    raise AssertionError


def _address() -> str:
    from distributed import get_worker

    return str(get_worker().address)


def at_worker(error: ConfigError, address: str) -> ConfigError:
    """The error with the name of the worker whose it is."""
    return ConfigError(_("Worker {address}: {why}").format(address=address, why=error), hint=error.hint)
