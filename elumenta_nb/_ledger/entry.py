"""What goes into the ledger and what comes out: frozen values, no SQL.

Tokens are Elumenta tokens; times are integer microseconds UTC (`_us`) inside and UTC `datetime`s in an `Entry`.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING, Any, Final, Literal

from elumenta_nb._language import gettext as _
from elumenta_nb._values import Origin, Status

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = [
    "STATUSES",
    "BudgetState",
    "Drift",
    "Elsewhere",
    "Entry",
    "Flag",
    "GenerationId",
    "Intent",
    "Per",
    "Period",
    "Release",
    "Restored",
    "Settlement",
    "State",
    "Taken",
    "Where",
    "at",
    "micros",
]

Period = Literal["kernel", "notebook", "day", "month"]  # a budget that a person sets
Per = Literal["kernel", "notebook", "day", "month", "map"]  # a map sets its own
GenerationId = int | str

WARN_AT: Final = 0.8  # of a budget's limit
_FOLDER_HASH: Final = re.compile(r"@[0-9a-f]{6}$")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class State(IntEnum):
    """A call's status as stored. Open states are below `COMPLETED`: an index of the schema relies on it."""

    RESERVED = 0
    PENDING = 1
    UNKNOWN = 2
    COMPLETED = 3
    FAILED = 4
    CANCELLED = 5


STATUSES: Final[tuple[Status, ...]] = ("reserved", "pending", "unknown", "completed", "failed", "cancelled")


class Flag(IntFlag):
    REUSED = 1  # restored from a stored take
    ESTIMATED = 2  # settled at the quote: the reply had no believable figure
    ADOPTED = 4  # its generation was found in the history, not told to us
    LOST = 8  # released because no history showed it; adoptable for 7 days
    TEXT_ID = 16  # the generation id came as text, although it is a number


def micros(moment: datetime) -> int:
    """Microseconds since the epoch; exact, unlike ``timestamp()``."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def at(us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=us)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A call about to be sent. `api` is ``"sandbox"`` or the API's origin; `folder` is where its media will go.

    `price_key` is a hash of the parameters that move the price; `held` is what is set aside until it is settled.
    `once` is a key that one row of the account holds at a time: while it is open and after it is paid, until it fails,
    is cancelled or is released.
    """

    account: str
    api: str
    category: str
    model: str
    quoted: int
    held: int
    provider: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    prompt_chars: int = 0
    prompt_hash: str = ""
    fingerprint: str = ""
    price_key: str = ""
    folder: str = ""
    count_index: int = 0
    lease_s: float = 900.0
    once: str = ""
    origin: Origin = field(default_factory=Origin)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """A call that completed. `tokens` is the server's figure; ``None`` settles at the quote and marks the row."""

    call_id: int
    tokens: int | None
    generation_id: GenerationId | None = None
    balance_after: int | None = None
    latency_s: float | None = None
    media: tuple[str, ...] = ()
    error: str = ""
    attempts: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A call that costs nothing: the server said so (`failed`), or it was never sent (`cancelled`).

    `lost` marks a row that no history showed: it stays adoptable for 7 days. It was looked for by `generation_id`,
    where that is given.
    """

    call_id: int
    status: Literal["failed", "cancelled"] = "failed"
    error: str = ""
    generation_id: GenerationId | None = None
    latency_s: float | None = None
    attempts: int | None = None
    lost: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A call served from the store: 0 tokens. `saved` is what the take cost when it was bought."""

    account: str
    api: str
    category: str
    model: str
    provider: str = ""
    restored_from: int | None = None
    saved: int = 0
    params: Mapping[str, Any] = field(default_factory=dict)
    prompt_chars: int = 0
    prompt_hash: str = ""
    fingerprint: str = ""
    folder: str = ""
    media: tuple[str, ...] = ()
    count_index: int = 0
    origin: Origin = field(default_factory=Origin)


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """A generation that the account's history shows and this ledger did not start."""

    account: str
    api: str
    generation_id: GenerationId
    category: str
    model: str
    status: Literal["pending", "completed", "failed"]
    tokens: int
    started_at: datetime
    ended_at: datetime | None = None
    provider: str = ""
    prompt_chars: int = 0
    prompt_hash: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A row of the ledger, with all that a new kernel needs to go on with it."""

    id: int
    status: Status
    account: str
    api: str
    origin: Origin
    category: str
    model: str
    provider: str
    params: Mapping[str, Any]
    prompt_chars: int
    prompt_hash: str
    fingerprint: str
    price_key: str
    folder: str
    count_index: int
    quoted: int
    held: int
    tokens: int
    saved: int
    started_at: datetime
    ended_at: datetime | None
    lease_until: datetime | None
    generation_id: GenerationId | None
    balance_after: int | None
    latency_s: float | None
    attempts: int
    restored_from: int | None
    media: tuple[str, ...]
    error: str
    reused: bool
    estimated: bool
    adopted: bool
    lost: bool

    @property
    def open(self) -> bool:
        return self.status in STATUSES[: State.COMPLETED]


@dataclass(frozen=True, slots=True)
class Taken:
    """The answer to an intent whose key `once` another row holds: that row. Nothing was reserved."""

    entry: Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetState:
    """A budget and what is used of it.

    `target` is the notebook, kernel or map it belongs to, `title` what people call a map; the rest narrows it.
    """

    per: Per
    limit: int
    spent: int
    held: int
    account: str = ""
    api: str = ""
    target: str = ""
    user: str = ""
    tag: str = ""
    title: str = ""
    starts_at: datetime | None = None
    ends_at: datetime | None = None

    @property
    def used(self) -> int:
        """Spent and held: the worst case."""
        return self.spent + self.held

    @property
    def left(self) -> int:
        return max(self.limit - self.used, 0)

    @property
    def warn(self) -> bool:
        """80 % of the limit is used."""
        return self.used >= WARN_AT * self.limit

    @property
    def scope(self) -> str:
        """Whose it is: a notebook, a kernel, a map; empty for all of the account."""
        return self.title or self.target

    def to_raise(self, limit: object) -> str:
        """What a person does to have a larger one."""
        if self.per == "map":
            return _("Run the map again with a larger budget: the rows that are done are not bought again.")
        words = "".join(
            f" --{flag} {shlex.quote(value)}"
            for flag, value in (("per", self.per), ("user", self.user), ("tag", self.tag))
            if value
        )
        return _("To raise it: {line}").format(line=f"%elumenta budget {limit}{words}")

    def counts_at(self, origin: Origin, tags: Collection[str] = ()) -> bool:
        """Whether a call from there, so tagged, is of this budget."""
        own = {"notebook": origin.notebook, "kernel": origin.kernel, "map": origin.map_id}
        return (
            self.target == own.get(self.per, "")
            and self.user in {"", origin.user}
            and (not self.tag or self.tag in origin.tags or self.tag in tags)
        )

    @property
    def name(self) -> str:
        """How a receipt of a call that it covers calls it: ``this notebook``, ``today, tag demo``."""
        return self._called(_("this notebook"), _("this kernel"))

    def name_at(self, origin: Origin) -> str:
        """How it is called there: another notebook's by its file."""
        file = _FOLDER_HASH.sub("", self.target)
        return self._called(
            _("this notebook") if self.target == origin.notebook else file or _("no notebook"),
            _("this kernel") if self.target == origin.kernel else _("another kernel"),
        )

    def _called(self, notebook: str, kernel: str) -> str:
        words = {
            "kernel": kernel,
            "notebook": notebook,
            "day": _("today"),
            "month": _("this month"),
            "map": _("map {name}").format(name=self.scope),
        }
        parts = [words[self.per]]
        if self.user:
            parts.append(_("user {name}").format(name=self.user))
        if self.tag:
            parts.append(_("tag {name}").format(name=self.tag))
        return ", ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A running total that does not equal its rows; `rebuild()` sets it right."""

    name: str
    stored: tuple[int, ...]
    counted: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Which rows. `api` ``None`` is every live API, never the sandbox; another ``None`` is "any"."""

    api: str | None = None
    account: str | None = None
    since_us: int | None = None
    until_us: int | None = None
    notebook: str | None = None
    source: str | None = None
    user: str | None = None
    tag: str | None = None
    category: str | None = None
    model: str | None = None
