"""The frozen values that travel between the layers: plain data, no I/O, no back-references.

Tokens are Elumenta tokens (integers); times are UTC `datetime`s; names end in their unit (`_s`, `_bytes`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

__all__ = [
    "Accepted",
    "Ask",
    "Balance",
    "Call",
    "Download",
    "Downloading",
    "Event",
    "History",
    "Input",
    "Limits",
    "Media",
    "Message",
    "Origin",
    "Profile",
    "Quote",
    "Quoted",
    "Receipt",
    "Reply",
    "Retrying",
    "Reuse",
    "Sent",
    "Settled",
    "Status",
    "Stopped",
    "Surface",
    "TextDelta",
    "Waiting",
]

Status = Literal["reserved", "pending", "completed", "failed", "cancelled", "unknown"]
Surface = Literal["magic", "panel", "python", "batch", "elsewhere"]
Reuse = Literal["all", "media", "off", "only"]

MAX_TOKENS = 10**9  # a token figure outside 0..10^9 is read as missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a call comes from. `notebook` is its base name and a hash of its folder; empty strings are "not known"."""

    source: Surface = "python"
    notebook: str = ""
    cell_id: str = ""
    execution_count: int | None = None
    source_hash: str = ""  # of the cell's source: finds a take again where the front end sends no cell id
    label: str = ""
    tags: tuple[str, ...] = ()
    user: str = ""
    host: str = ""
    kernel: str = ""  # one per process: the budget `per="kernel"`
    run: str = ""  # one per run of a cell: a take is handed out once in a run
    map_id: str = ""  # one per map over a frame, the same when it is run again: the budget `per="map"`


@dataclass(frozen=True, slots=True)
class Message:
    """An earlier turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """What a call works on: the API takes a URL, speech-to-text uploads a file. `digest` is the file's sha256."""

    param: str
    url: str = ""
    path: Path | None = None
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a person asks for on any surface, before it is resolved against the table.

    `options` are checked by the table, `extra` (`-p`, `params=`) is passed on. `shape` is how a text answer is read
    (``markdown | text | json | code``). `max_price` is for all `count` generations together.
    """

    category: str | None = None
    model: str | None = None
    prompt: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    input: Any = None  # a path, a URL or a Result
    count: int = 1
    max_price: int | None = None
    reuse: Reuse | None = None
    fresh: bool = False
    stream: bool = False
    shape: str | None = None
    chat: str | None = None
    save: str | None = None
    embed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One generation to buy: resolved, rendered, ready to price. `params` holds what was given, never defaults."""

    category: str
    model: str
    prompt: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    messages: tuple[Message, ...] = ()
    inputs: tuple[Input, ...] = ()
    stream: bool = False
    reuse: Reuse = "off"
    fresh: bool = False
    origin: Origin = field(default_factory=Origin)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A price in Elumenta tokens. `exact` is false for a figure of the table or of an older reply ("about 2")."""

    tokens: int
    minimum: int
    maximum: int
    pricing_type: str = "fixed"  # fixed | matrix | per_second | per_point
    exact: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """The account's tokens, and where the server tells them its two pools and the next refill."""

    tokens: int
    plan: str = ""
    expires_at: datetime | None = None
    plan_tokens: int | None = None
    package_tokens: int | None = None
    refills_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the rate-limit headers said last; ``None`` is "not told"."""

    hour: int | None = None
    hour_left: int | None = None
    day: int | None = None
    day_left: int | None = None
    resets_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A generation as the server tells it, in either reply family; every field is optional on the wire.

    `status` is ``""`` when it could not be read. `tokens` is ``None`` when the reply has no believable figure.
    """

    id: int | str | None = None
    status: Literal["completed", "pending", "failed", ""] = ""
    model: str = ""
    category: str = ""
    prompt: str | None = None
    text: str | None = None
    url: str | None = None
    thumbnail_url: str | None = None
    error: str = ""
    tokens: int | None = None
    balance: int | None = None
    progress: float | None = None  # 0..100
    eta_s: float | None = None
    processing_ms: int | None = None
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None
    seed: int | None = None
    usage: Mapping[str, Any] | None = None  # LLM tokens of the provider: for reference, never billed
    created_at: datetime | None = None
    completed_at: datetime | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Who the key belongs to. A limit of 0 is unlimited, ``None`` is "not told"."""

    id: str = ""
    name: str = ""
    plan: str = ""
    expires_at: datetime | None = None
    balance: int | None = None
    plan_tokens: int | None = None  # the plan's monthly allowance
    used_tokens: int | None = None  # in this period
    limit_hour: int | None = None
    limit_day: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A page of the account's past generations, as a rule newest first.

    `received` and `ids` are of the page before filtering here; `unread` counts rows that say nothing of a generation.
    """

    items: tuple[Reply, ...] = ()
    total: int | None = None
    page: int = 1
    limit: int = 20
    received: int = 0
    ids: tuple[int | str, ...] = ()
    unread: int = 0

    @property
    def pages(self) -> int | None:
        return None if self.total is None else -(-self.total // max(1, self.limit))

    @property
    def more(self) -> bool:
        """Whether another page may have items."""
        if self.received == 0:
            return False
        return self.received >= self.limit if self.pages is None else self.page < self.pages


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """A file as fetched: its length, sha256 (hex) and what the server calls its type."""

    size_bytes: int
    digest: str
    content_type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """A stored file: what it is, as sniffed from its bytes, and how big."""

    path: Path
    mime: str
    size_bytes: int
    digest: str
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None
    poster: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What the calls of a cell cost, as shown under its output; `model` names several as ``gpt-5 × 2 + dall-e-3``.

    `anew` is how this surface buys what was restored once more.
    """

    call_id: int | None
    model: str
    status: Status
    tokens: int
    quoted: int
    latency_s: float
    balance: int | None = None
    balance_exact: bool = False
    budget_used: int | None = None
    budget_limit: int | None = None
    budget_name: str = ""
    reused: bool = False
    paid_before: int | None = None
    paid_at: datetime | None = None
    anew: str = "--fresh"
    sandbox: bool = False
    note: str = ""


# Events: facts the engine tells while a call runs. `index` counts the calls of one cell (`--count`) from 0.


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    index: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoted(Event):
    quote: Quote
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent(Event):
    """The request is on its way: from here on the call may be charged."""

    call_id: int
    held: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted(Event):
    """The server has the job; its id is in the ledger."""

    call_id: int
    generation_id: int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta(Event):
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(Event):
    """A poll's news about a job."""

    progress: float | None = None
    eta_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrying(Event):
    reason: str
    wait_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloading(Event):
    done_bytes: int
    total_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled(Event):
    receipt: Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped(Event):
    """The person stopped waiting. `status` is ``cancelled`` only when nothing was sent."""

    call_id: int | None
    status: Status
    at_risk: int  # tokens that may still be charged
