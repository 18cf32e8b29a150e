"""A row of `calls` in a transaction: how it is inserted, changed and counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .entry import Flag, State
from .words import ELSEWHERE, dump, origin_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .budget import Purse
    from .database import Tx
    from .entry import Elsewhere, GenerationId, Intent, Restored
    from .words import Place

__all__ = [
    "READ",
    "UPDATE",
    "Change",
    "Hand",
    "Sums",
    "generation_of",
    "insert",
    "new_details",
    "new_row",
    "split_id",
    "update",
]

_INSERT: Final = (
    "INSERT INTO calls (id, place_no, model_no, kernel_no, status, flags, started_us, ended_us, quoted, held, tokens,"
    " balance_after, latency_us, generation_no, execution_count, restored_from, prompt_chars, generation_name, attempts,"
    " saved, lease_us, once) VALUES (:id, :place_no, :model_no, :kernel_no, :status, :flags, :started_us, :ended_us, :quoted,"
    " :held, :tokens, :balance_after, :latency_us, :generation_no, :execution_count, :restored_from, :prompt_chars,"
    " :generation_name, :attempts, :saved, :lease_us, :once)"
)
_INSERT_DETAILS: Final = (
    "INSERT INTO details (call_id, prompt_hash, fingerprint, price_key, source_hash, run, count_index, folder, params,"
    " media, error) VALUES (:id, :prompt_hash, :fingerprint, :price_key, :source_hash, :run, :count_index, :folder,"
    " :params, :media, :error)"
)
READ: Final = (
    "SELECT c.id, c.place_no, c.model_no, c.kernel_no, c.status, c.flags, c.started_us, c.quoted, c.held, c.tokens,"
    " c.generation_no, c.generation_name, c.balance_after, c.latency_us, c.attempts, c.ended_us, c.lease_us, d.price_key,"
    " c.once"
    " FROM calls c JOIN details d ON d.call_id = c.id WHERE c.id {in_ids} ORDER BY c.id{lock}"
)
UPDATE: Final = (
    "UPDATE calls SET status = :status, flags = :flags, held = :held, tokens = :tokens, generation_no = :generation_no,"
    " generation_name = :generation_name, balance_after = :balance_after, latency_us = :latency_us, attempts = :attempts,"
    " ended_us = :ended_us, lease_us = :lease_us, once = :once WHERE id = :id"
)
_MEDIA: Final = "UPDATE details SET media = :media WHERE call_id = :id"
_ERROR: Final = "UPDATE details SET error = :error WHERE call_id = :id"
_SUM: Final = (
    "INSERT INTO sums (place_no, model_no, calls, tokens, held, failed, reused, saved, first_us, last_us)"
    " VALUES (:place_no, :model_no, :calls, :tokens, :held, :failed, :reused, :saved, :first_us, :last_us)"
    " ON CONFLICT (place_no, model_no) DO UPDATE SET calls = sums.calls + excluded.calls,"
    " tokens = sums.tokens + excluded.tokens, held = sums.held + excluded.held, failed = sums.failed + excluded.failed,"
    " reused = sums.reused + excluded.reused, saved = sums.saved + excluded.saved,"
    " first_us = CASE WHEN excluded.first_us < sums.first_us THEN excluded.first_us ELSE sums.first_us END,"
    " last_us = CASE WHEN excluded.last_us > sums.last_us THEN excluded.last_us ELSE sums.last_us END"
)
_BIGGEST: Final = 2**63 - 1


def split_id(value: GenerationId | None) -> tuple[int | None, str | None, Flag]:
    """An id as stored: a number where it is one, in either form, so that 123 and "123" are the same generation."""
    if value is None:
        return None, None, Flag(0)
    if isinstance(value, str):
        plain = value.isascii() and value.isdigit() and (value == "0" or value[0] != "0") and len(value) <= 18
        return (int(value), None, Flag.TEXT_ID) if plain else (None, value, Flag(0))
    if 0 <= value <= _BIGGEST:
        return value, None, Flag(0)
    return None, str(value), Flag(0)


def generation_of(number: int | None, name: str | None, flags: int) -> GenerationId | None:
    if number is None:
        return name
    return str(number) if flags & Flag.TEXT_ID else number


@dataclass(slots=True)
class Change:
    """A row in hand: what it was, and what it becomes."""

    id: int
    place: Place
    model_no: int
    kernel: str
    status: int
    flags: int
    started_us: int
    quoted: int
    held: int
    tokens: int
    generation_no: int | None
    generation_name: str | None
    balance_after: int | None
    latency_us: int | None
    attempts: int
    ended_us: int | None
    lease_us: int | None
    price_key: str
    once: str | None
    was: int = State.RESERVED  # its status before this transaction
    media: str | None = None
    error: str | None = None
    touched: bool = False
    before: tuple[int, int, int] = (0, 0, 0)

    def counted(self) -> tuple[int, int, int]:
        return self.tokens, self.held, int(self.status == State.FAILED)

    def learn(self, generation_id: GenerationId) -> None:
        self.generation_no, self.generation_name, form = split_id(generation_id)
        self.flags = (self.flags & ~Flag.TEXT_ID) | form

    @property
    def reopened(self) -> bool:
        """It was over and cost nothing; now it is open or paid."""
        return self.was > State.COMPLETED >= self.status

    @property
    def has_id(self) -> bool:
        return self.generation_no is not None or self.generation_name is not None

    @property
    def named(self) -> tuple[int | None, str | None]:
        """Its generation as stored."""
        return self.generation_no, self.generation_name

    def has_wrong_id(self, told: GenerationId) -> bool:
        """Whether its generation is one that was found in the history, and the server tells another."""
        return self.has_id and bool(self.flags & Flag.ADOPTED) and self.named != split_id(told)[:2]

    def is_waited_for(self, now_us: int) -> bool:
        """Whether its request is about to be sent, or under way: nobody else can know yet what becomes of it."""
        return self.status == State.RESERVED and self.lease_us is not None and self.lease_us > now_us

    @property
    def yields(self) -> bool:
        """Its generation was never told to it: it gives way to a call that it was told to."""
        return self.place.source == ELSEWHERE or bool(self.flags & Flag.ADOPTED)

    def update(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "status": self.status,
            "flags": int(self.flags),
            "held": self.held,
            "tokens": self.tokens,
            "generation_no": self.generation_no,
            "generation_name": self.generation_name,
            "balance_after": self.balance_after,
            "latency_us": self.latency_us,
            "attempts": self.attempts,
            "ended_us": self.ended_us,
            "lease_us": self.lease_us,
            "once": self.once,
        }


@dataclass(frozen=True, slots=True)
class Hand:
    """An operation under way: the rows it was asked for, each read once and written once, and their budgets."""

    tx: Tx
    now_us: int
    changes: dict[int, Change]
    purse: Purse


class Sums:
    """What a transaction adds to `sums`, one row per place and model, in the order every writer locks them."""

    _NAMES = ("calls", "tokens", "held", "failed", "reused", "saved")

    def __init__(self) -> None:
        self._rows: dict[tuple[int, int], dict[str, int]] = {}

    def add(self, place_no: int, model_no: int, started_us: int, **more: int) -> None:
        row = self._rows.get((place_no, model_no))
        if row is None:
            row = dict.fromkeys(self._NAMES, 0) | {
                "place_no": place_no,
                "model_no": model_no,
                "first_us": started_us,
                "last_us": started_us,
            }
            self._rows[place_no, model_no] = row
        row["first_us"] = min(row["first_us"], started_us)
        row["last_us"] = max(row["last_us"], started_us)
        for name, value in more.items():
            row[name] += value

    def rows(self) -> list[dict[str, int]]:
        return [self._rows[key] for key in sorted(self._rows)]


def new_details(id_: int, item: Intent | Restored | Elsewhere) -> dict[str, Any]:
    origin = origin_of(item)
    return {
        "id": id_,
        "prompt_hash": item.prompt_hash,
        "fingerprint": getattr(item, "fingerprint", ""),
        "price_key": getattr(item, "price_key", ""),
        "source_hash": origin.source_hash if origin else "",
        "run": origin.run if origin else "",
        "count_index": getattr(item, "count_index", 0),
        "folder": getattr(item, "folder", ""),
        "params": dump(dict(getattr(item, "params", {}))),
        "media": "[]",
        "error": "",
    }


def new_row(
    item: Intent | Restored | Elsewhere, *, id_: int, place: Place, model_no: int, kernel_no: int, started_us: int
) -> dict[str, Any]:
    """The values of `_INSERT`, as of a row that was just reserved."""
    origin = origin_of(item)
    return {
        "id": id_,
        "place_no": place.no,
        "model_no": model_no,
        "kernel_no": kernel_no,
        "status": int(State.RESERVED),
        "flags": 0,
        "started_us": started_us,
        "ended_us": None,
        "quoted": 0,
        "held": 0,
        "tokens": 0,
        "balance_after": None,
        "latency_us": None,
        "generation_no": None,
        "execution_count": origin.execution_count if origin else None,
        "restored_from": None,
        "prompt_chars": item.prompt_chars,
        "generation_name": None,
        "attempts": 0,
        "saved": 0,
        "lease_us": None,
        "once": None,
    }


def insert(tx: Tx, rows: Sequence[dict[str, Any]], details: Sequence[dict[str, Any]], sums: Sums) -> None:
    tx.many(_INSERT, rows)
    tx.many(_INSERT_DETAILS, details)
    tx.many(_SUM, sums.rows())


def update(tx: Tx, changes: Iterable[Change], sums: Sums) -> None:
    changes = list(changes)
    tx.many(UPDATE, [change.update() for change in changes])
    tx.many(_MEDIA, [{"id": change.id, "media": change.media} for change in changes if change.media is not None])
    tx.many(_ERROR, [{"id": change.id, "error": change.error} for change in changes if change.error is not None])
    tx.many(_SUM, sums.rows())
