r"""What happens to a call, written down: every operation takes a list and works inside one transaction.

    reserve -> RESERVED -accept-> PENDING -settle-> COMPLETED
                  |  \___doubt___    |  \
                  |              \   |   release -> FAILED (lost: adoptable)
                  release         UNKNOWN -claim-> PENDING
                  v
              CANCELLED (never sent)

The server's word is final and counted once: a second settle corrects by the difference, a settle after a release adopts
the row, a release after a settle is refused. Every change of `tokens` and `held` goes through `_Change`, which keeps
`sums` and the budgets in step.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from elumenta_nb._errors import BudgetExceeded, LedgerError
from elumenta_nb._language import gettext as _

from .budget import Bucket, Place, Purse, exceeded, fullest
from .entry import BudgetState, Flag, State, micros

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from elumenta_nb._values import Origin

    from .database import Database, Tx
    from .entry import Elsewhere, GenerationId, Intent, Release, Restored, Settlement

__all__ = ["Book", "generation_of", "split_id"]

_INSERT: Final = (
    "INSERT INTO calls (id, place_no, model_no, kernel_no, status, flags, started_us, ended_us, quoted, held, tokens,"
    " balance_after, latency_us, generation_no, execution_count, restored_from, prompt_chars, generation_name, attempts,"
    " saved, lease_us) VALUES (:id, :place_no, :model_no, :kernel_no, :status, :flags, :started_us, :ended_us, :quoted,"
    " :held, :tokens, :balance_after, :latency_us, :generation_no, :execution_count, :restored_from, :prompt_chars,"
    " :generation_name, :attempts, :saved, :lease_us)"
)
_INSERT_DETAILS: Final = (
    "INSERT INTO details (call_id, prompt_hash, fingerprint, price_key, source_hash, run, count_index, folder, params,"
    " media, error) VALUES (:id, :prompt_hash, :fingerprint, :price_key, :source_hash, :run, :count_index, :folder,"
    " :params, :media, :error)"
)
_READ: Final = (
    "SELECT c.id, c.place_no, c.model_no, c.kernel_no, c.status, c.flags, c.started_us, c.quoted, c.held, c.tokens,"
    " c.generation_no, c.generation_name, c.balance_after, c.latency_us, c.attempts, c.ended_us, c.lease_us, d.price_key"
    " FROM calls c JOIN details d ON d.call_id = c.id WHERE c.id IN {ids} ORDER BY c.id{lock}"
)
_UPDATE: Final = (
    "UPDATE calls SET status = :status, flags = :flags, held = :held, tokens = :tokens, generation_no = :generation_no,"
    " generation_name = :generation_name, balance_after = :balance_after, latency_us = :latency_us, attempts = :attempts,"
    " ended_us = :ended_us, lease_us = :lease_us WHERE id = :id"
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
_DEAREST: Final = (
    "INSERT INTO dearest (api, model, price_key, tokens) VALUES (:api, :model, :price_key, :tokens)"
    " ON CONFLICT (api, model, price_key) DO UPDATE SET tokens ="
    " CASE WHEN excluded.tokens > dearest.tokens THEN excluded.tokens ELSE dearest.tokens END"
)
_OWNERS: Final = (
    "SELECT c.id, c.generation_no, c.generation_name, p.source FROM calls c JOIN places p ON p.no = c.place_no"
    " WHERE p.api = :api AND p.account = :account"
)
_SOURCE_ELSEWHERE: Final = "elsewhere"
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


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


@dataclass(slots=True)
class _Change:
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
    new: bool = False
    media: str | None = None
    error: str | None = None
    touched: bool = False
    before: tuple[int, int, int] = (0, 0, 0)

    def counted(self) -> tuple[int, int, int]:
        return self.tokens, self.held, int(self.status == State.FAILED)

    def learn(self, generation_id: GenerationId | None, *, again: bool = False) -> None:
        """Keep the id; the first one told stays unless the row is adopted anew."""
        if generation_id is None or (not again and self.has_id):
            return
        self.generation_no, self.generation_name, form = split_id(generation_id)
        self.flags = (self.flags & ~Flag.TEXT_ID) | form

    @property
    def has_id(self) -> bool:
        return self.generation_no is not None or self.generation_name is not None

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
        }


class Book:
    """The operations, and the words they need (places, models, kernels) remembered once committed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._places: dict[tuple[str, ...], Place] = {}
        self._places_by_no: dict[int, Place] = {}
        self._models: dict[tuple[str, str, str], int] = {}
        self._model_names: dict[int, str] = {}
        self._kernels: dict[str, int] = {}
        self._kernel_names: dict[int, str] = {}
        self._dearest: dict[tuple[str, str, str], int] = {}
        self._seen: set[tuple[str, str]] = set()

    # ------------------------------------------------------------ new rows

    def reserve(
        self, tx: Tx, now_us: int, intents: Sequence[Intent], *, together: bool = False
    ) -> list[int | BudgetExceeded]:
        """A durable row for each intent that every budget has room for; with `together`, for all or for none."""
        purse = Purse(tx, ((intent.api, intent.account) for intent in intents), now_us)
        placed = [self._place(tx, intent) for intent in intents]
        covering = [
            purse.covering(place, intent.origin.kernel, now_us) for place, intent in zip(placed, intents, strict=True)
        ]
        if together and (refusal := _refusal_together(intents, covering)):
            return [refusal] * len(intents)
        outcome: list[int | BudgetExceeded] = []
        granted: list[tuple[Intent, Place]] = []
        for intent, place, buckets in zip(intents, placed, covering, strict=True):
            if full := [bucket for bucket in buckets if not bucket.has_room(intent.held)]:
                outcome.append(exceeded(full[0], intent.held))
                continue
            for bucket in buckets:
                bucket.move(0, intent.held)
            outcome.append(len(granted))
            granted.append((intent, place))
        if not granted:
            return outcome
        ids = self._database.new_ids(tx, len(granted))
        rows, details, sums = [], [], _Sums()
        for id_, (intent, place) in zip(ids, granted, strict=True):
            row = self._row(tx, id_, place, intent, now_us)
            row |= {"held": intent.held, "quoted": intent.quoted, "lease_us": now_us + int(intent.lease_s * 1e6)}
            rows.append(row)
            details.append(_details(id_, intent))
            sums.add(place.no, row["model_no"], now_us, calls=1, held=intent.held)
        self._insert(tx, rows, details, sums)
        purse.write()
        return [ids[place] if isinstance(place, int) else place for place in outcome]

    def reserve_together(self, tx: Tx, now_us: int, intents: Sequence[Intent]) -> list[int | BudgetExceeded]:
        """All of them or none: the calls of one ``--count``."""
        return self.reserve(tx, now_us, intents, together=True)

    def restore(self, tx: Tx, now_us: int, items: Sequence[Restored]) -> list[int]:
        """Rows of calls served from the store: 0 tokens, so no budget is asked."""
        ids = self._database.new_ids(tx, len(items))
        rows, details, sums = [], [], _Sums()
        for id_, item in zip(ids, items, strict=True):
            place = self._place(tx, item)
            row = self._row(tx, id_, place, item, now_us)
            row |= {"status": int(State.COMPLETED), "flags": int(Flag.REUSED), "ended_us": now_us}
            row |= {"restored_from": item.restored_from, "saved": item.saved, "latency_us": 0, "attempts": 0}
            rows.append(row)
            details.append(_details(id_, item) | {"media": _dump(item.media)})
            sums.add(place.no, row["model_no"], now_us, calls=1, reused=1, saved=item.saved)
        self._insert(tx, rows, details, sums)
        return list(ids)

    def elsewhere(self, tx: Tx, now_us: int, items: Sequence[Elsewhere]) -> list[int | None]:
        """Rows of what the account spent elsewhere; ``None`` where the generation is one of ours. Told again: updated."""
        outcome: list[int | None] = []
        for item in items:
            number, name, form = split_id(item.generation_id)
            owners = self._owners(tx, item.api, item.account, [(number, name)])
            if any(source != _SOURCE_ELSEWHERE for _id, _form, source in owners):
                outcome.append(None)
                continue
            status = {"pending": State.PENDING, "completed": State.COMPLETED, "failed": State.FAILED}[item.status]
            cost = item.tokens if status is State.COMPLETED else 0
            held = item.tokens if status is State.PENDING else 0
            ended_us = micros(item.ended_at) if item.ended_at else None
            if owners:
                changes = self._read(tx, [owners[0][0]])
                change = changes[owners[0][0]]
                change.status, change.tokens, change.held, change.ended_us = int(status), cost, held, ended_us
                change.error, change.touched = item.error, True
                self._write(tx, changes.values(), Purse(tx, (), now_us))
                outcome.append(change.id)
                continue
            place = self._place(tx, item)
            started_us = micros(item.started_at)
            (id_,) = self._database.new_ids(tx, 1)
            row = self._row(tx, id_, place, item, started_us)
            row |= {"status": int(status), "flags": int(Flag.ADOPTED | form), "quoted": item.tokens, "tokens": cost}
            row |= {"held": held, "ended_us": ended_us, "generation_no": number, "generation_name": name}
            sums = _Sums()
            failed = int(status is State.FAILED)
            sums.add(place.no, row["model_no"], started_us, calls=1, tokens=cost, held=held, failed=failed)
            self._insert(tx, [row], [_details(id_, item) | {"error": item.error}], sums)
            outcome.append(id_)
        return outcome

    # ------------------------------------------------------------ rows that exist

    def accept(self, tx: Tx, now_us: int, items: Sequence[tuple[int, GenerationId]]) -> list[bool | LedgerError]:
        """The server has the job: its id is on disk before the first wait. False: the row is final already."""
        return self._change(tx, now_us, [(call_id, (generation,)) for call_id, generation in items], self._accept)

    def claim(self, tx: Tx, now_us: int, items: Sequence[tuple[int, GenerationId]]) -> list[bool | LedgerError]:
        """As `accept`, for a generation found in the history: false when another row has it or this one is final."""
        return self._change(tx, now_us, [(call_id, (generation,)) for call_id, generation in items], self._claim)

    def settle(self, tx: Tx, now_us: int, items: Sequence[Settlement]) -> list[BudgetState | LedgerError | None]:
        """Completed: what it cost, counted once. The answer is the fullest budget that covers it, for the receipt."""
        purse_states: list[BudgetState | LedgerError | None] = []
        changes = self._read(tx, [item.call_id for item in items])
        purse = self._purse(tx, changes.values(), now_us)
        for item in items:
            change = changes.get(item.call_id)
            if change is not None:
                self._settle(tx, change, item, now_us)
        self._write(tx, changes.values(), purse)
        for item in items:
            change = changes.get(item.call_id)
            if change is None:
                purse_states.append(_no_row(item.call_id))
            else:
                purse_states.append(fullest(purse.covering(change.place, change.kernel, change.started_us)))
        return purse_states

    def release(self, tx: Tx, now_us: int, items: Sequence[Release]) -> list[bool | LedgerError]:
        """Nothing to pay: the hold is given back. False when the row is settled, or `cancelled` after it was sent."""
        return self._change(tx, now_us, [(item.call_id, (item,)) for item in items], self._release)

    def doubt(self, tx: Tx, now_us: int, items: Sequence[tuple[int, str]]) -> list[bool | LedgerError]:
        """Sent, and no answer that can be read: unknown, the hold stays. False: the row is final already."""
        return self._change(tx, now_us, [(call_id, (error,)) for call_id, error in items], self._doubt)

    def renew(self, tx: Tx, now_us: int, items: Sequence[tuple[int, float]]) -> list[bool | LedgerError]:
        """Somebody still waits for it: the lease ends so many seconds from now."""
        return self._change(tx, now_us, [(call_id, (lease_s,)) for call_id, lease_s in items], self._renew)

    def note_attempts(self, tx: Tx, now_us: int, items: Sequence[tuple[int, int]]) -> list[bool | LedgerError]:
        """How many times its request was sent until now."""
        return self._change(tx, now_us, [(call_id, (attempts,)) for call_id, attempts in items], self._note_attempts)

    def _change(self, tx: Tx, now_us: int, items: Any, apply: Any) -> list[bool | LedgerError]:
        changes = self._read(tx, [call_id for call_id, _rest in items])
        purse = self._purse(tx, changes.values(), now_us)
        outcome: list[bool | LedgerError] = []
        for call_id, rest in items:
            change = changes.get(call_id)
            outcome.append(_no_row(call_id) if change is None else apply(tx, change, now_us, *rest))
        self._write(tx, changes.values(), purse)
        return outcome

    def _accept(self, tx: Tx, change: _Change, now_us: int, generation: GenerationId) -> bool:
        if change.status in {State.COMPLETED, State.CANCELLED} or (
            change.status == State.FAILED and not change.flags & Flag.LOST
        ):
            return False
        if change.status == State.FAILED:  # released too early: the history shows it after all
            change.held, change.ended_us = change.quoted, None
            change.flags &= ~Flag.LOST
        change.status, change.touched, change.error = int(State.PENDING), True, ""
        change.attempts = max(change.attempts, 1)
        self._learn(tx, change, generation, again=False)
        return True

    def _claim(self, tx: Tx, change: _Change, now_us: int, generation: GenerationId) -> bool:
        number, name, _form = split_id(generation)
        owners = self._owners(tx, change.place.api, change.place.account, [(number, name)])
        if any(source != _SOURCE_ELSEWHERE and id_ != change.id for id_, _key, source in owners):
            return False
        if change.has_id and (change.generation_no, change.generation_name) != (number, name):
            return False
        if not self._accept(tx, change, now_us, generation):
            return False
        change.flags |= Flag.ADOPTED
        # Written at once: the next claim of the same list must see it.
        tx.run(_UPDATE, **change.update())
        return True

    def _settle(self, tx: Tx, change: _Change, item: Settlement, now_us: int) -> None:
        figure = item.tokens
        if figure is None:
            if change.status == State.COMPLETED:
                figure = change.tokens  # a figure of the server stays
            else:
                figure = change.quoted
                change.flags |= Flag.ESTIMATED
        else:
            change.flags &= ~Flag.ESTIMATED
        if change.status != State.COMPLETED:
            change.ended_us = micros(item.ended_at) if item.ended_at else now_us
            change.latency_us = change.ended_us - change.started_us if item.latency_s is None else None
        change.status, change.touched = int(State.COMPLETED), True
        change.tokens, change.held, change.lease_us = figure, 0, None
        change.flags = (change.flags & ~Flag.LOST) | (Flag.ADOPTED if item.adopted else 0)
        self._note(tx, change, item)
        change.error = item.error
        if item.media:
            change.media = _dump(item.media)
        self._learn_price(tx, change)

    def _release(self, tx: Tx, change: _Change, now_us: int, item: Release) -> bool:
        if change.status == State.COMPLETED or (
            item.status == "cancelled" and change.status not in {State.RESERVED, State.CANCELLED}
        ):
            return False
        if change.status in {State.FAILED, State.CANCELLED}:
            if not item.lost and change.flags & Flag.LOST:  # the server has said so by now
                change.flags, change.error, change.touched = change.flags & ~Flag.LOST, item.error, True
                self._note(tx, change, item)
            return True
        change.status = int(State.FAILED if item.status == "failed" else State.CANCELLED)
        change.touched, change.ended_us, change.lease_us = True, now_us, None
        change.tokens = change.held = 0
        change.latency_us = now_us - change.started_us
        change.flags |= Flag.LOST if item.lost else 0
        self._note(tx, change, item)
        change.error = item.error
        return True

    def _doubt(self, _tx: Tx, change: _Change, _now_us: int, error: str) -> bool:
        if change.status >= State.COMPLETED:
            return False
        change.status, change.error, change.touched = int(State.UNKNOWN), error, True
        return True

    def _renew(self, _tx: Tx, change: _Change, now_us: int, lease_s: float) -> bool:
        if change.status >= State.COMPLETED:
            return False
        change.lease_us, change.touched = now_us + int(lease_s * 1e6), True
        return True

    def _note_attempts(self, _tx: Tx, change: _Change, _now_us: int, attempts: int) -> bool:
        change.attempts, change.touched = max(change.attempts, attempts), True
        return True

    def _note(self, tx: Tx, change: _Change, item: Settlement | Release) -> None:
        """What a final answer tells besides its cost."""
        if item.balance_after is not None:
            change.balance_after = item.balance_after
        if item.latency_s is not None:
            change.latency_us = int(item.latency_s * 1e6)
        if item.attempts is not None:
            change.attempts = max(change.attempts, item.attempts)
        self._learn(tx, change, item.generation_id, again=False)

    def _learn(self, tx: Tx, change: _Change, generation: GenerationId | None, *, again: bool) -> None:
        """Keep the id; a row of `elsewhere` that had it was this call, and is emptied."""
        known = change.has_id
        change.learn(generation, again=again)
        if known or not change.has_id:
            return
        key = (change.generation_no, change.generation_name)
        owners = self._owners(tx, change.place.api, change.place.account, [key])
        for other in [id_ for id_, _key, source in owners if source == _SOURCE_ELSEWHERE]:
            merged = self._read(tx, [other])
            merged[other].status, merged[other].tokens, merged[other].held = int(State.CANCELLED), 0, 0
            merged[other].generation_no = merged[other].generation_name = None
            merged[other].error = _("this is call {id}").format(id=change.id)
            merged[other].touched = True
            self._write(tx, merged.values(), Purse(tx, (), 0))

    def _learn_price(self, tx: Tx, change: _Change) -> None:
        """The highest charge seen for these parameters: what the next call of them holds at least."""
        if not change.price_key:
            return
        key = (change.place.api, self._model_name(tx, change.model_no), change.price_key)
        if change.tokens <= self._dearest.get(key, 0):
            return
        tx.run(_DEAREST, api=key[0], model=key[1], price_key=key[2], tokens=change.tokens)
        figure = change.tokens
        tx.learned.append(lambda: self._dearest.__setitem__(key, figure))

    # ------------------------------------------------------------ reading and writing

    def _owners(
        self, tx: Tx, api: str, account: str, keys: Sequence[tuple[int | None, str | None]]
    ) -> list[tuple[int, int | str, str]]:
        """The rows that have one of these generation ids: row, id, source."""
        found: list[tuple[int, int | str, str]] = []
        for number, name in keys:
            column, value = ("generation_no", number) if number is not None else ("generation_name", name)
            sql = f"{_OWNERS} AND c.{column} = :value"  # one of two constants
            found += [
                (row[0], row[1] if row[1] is not None else row[2], row[3])
                for row in tx.all(sql, api=api, account=account, value=value)
            ]
        return found

    def owned(self, tx: Tx, api: str, account: str, ids: Iterable[GenerationId]) -> set[GenerationId]:
        """Those of the ids that belong to a call of this ledger (not to a row of what was spent elsewhere)."""
        mine: set[GenerationId] = set()
        for generation in ids:
            number, name, _form = split_id(generation)
            owners = self._owners(tx, api, account, [(number, name)])
            if any(source != _SOURCE_ELSEWHERE for _id, _key, source in owners):
                mine.add(generation)
        return mine

    def _read(self, tx: Tx, ids: Iterable[int]) -> dict[int, _Change]:
        changes: dict[int, _Change] = {}
        for row in tx.all(_READ, ids=json.dumps(sorted(set(ids)))):
            id_, place_no, model_no, kernel_no, *rest = row
            change = _Change(id_, self._place_of(tx, place_no), model_no, self._kernel_name(tx, kernel_no), *rest)
            change.before = change.counted()
            changes[id_] = change
        return changes

    def _purse(self, tx: Tx, changes: Iterable[_Change], now_us: int) -> Purse:
        return Purse(tx, ((change.place.api, change.place.account) for change in changes), now_us)

    def _write(self, tx: Tx, changes: Iterable[_Change], purse: Purse) -> None:
        sums = _Sums()
        touched = [change for change in changes if change.touched]
        for change in touched:
            tokens, held, failed = (now - then for now, then in zip(change.counted(), change.before, strict=True))
            if tokens or held or failed:
                sums.add(change.place.no, change.model_no, change.started_us, tokens=tokens, held=held, failed=failed)
            if (tokens or held) and change.place.source != _SOURCE_ELSEWHERE:
                for bucket in purse.covering(change.place, change.kernel, change.started_us):
                    bucket.move(tokens, held)
        tx.many(_UPDATE, [change.update() for change in touched])
        tx.many(_MEDIA, [{"id": c.id, "media": c.media} for c in touched if c.media is not None])
        tx.many(_ERROR, [{"id": c.id, "error": c.error} for c in touched if c.error is not None])
        tx.many(_SUM, sums.rows())
        purse.write()

    def _insert(self, tx: Tx, rows: list[dict[str, Any]], details: list[dict[str, Any]], sums: _Sums) -> None:
        tx.many(_INSERT, rows)
        tx.many(_INSERT_DETAILS, details)
        tx.many(_SUM, sums.rows())

    def _row(self, tx: Tx, id_: int, place: Place, item: Intent | Restored | Elsewhere, now_us: int) -> dict[str, Any]:
        origin = _origin(item)
        return {
            "id": id_,
            "place_no": place.no,
            "model_no": self._model(tx, item.category, item.model, item.provider),
            "kernel_no": self._kernel(tx, origin.kernel if origin else "", now_us),
            "status": int(State.RESERVED),
            "flags": 0,
            "started_us": now_us,
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
        }

    # ------------------------------------------------------------ words

    def _place(self, tx: Tx, item: Intent | Restored | Elsewhere) -> Place:
        origin = _origin(item)
        if origin is None:
            words = (item.api, item.account, "", "", "", "", "", "", _SOURCE_ELSEWHERE)
        else:
            words = (
                item.api,
                item.account,
                origin.user,
                origin.host,
                origin.notebook,
                origin.cell_id,
                origin.label,
                _dump(sorted(set(origin.tags))),
                origin.source,
            )
        if known := self._places.get(words):
            return known
        digest = hashlib.sha1(_dump(words).encode(), usedforsecurity=False).hexdigest()
        no = _number(
            tx,
            "SELECT no FROM places WHERE digest = :digest",
            'INSERT INTO places (digest, api, account, "user", host, notebook, cell_id, label, tags, source)'
            " VALUES (:digest, :api, :account, :user, :host, :notebook, :cell_id, :label, :tags, :source)"
            " ON CONFLICT (digest) DO NOTHING",
            {"digest": digest},
            dict(zip(_PLACE_WORDS, words, strict=True)),
        )
        tx.run(_NEW_ACCOUNT, api=item.api, account=item.account, first_us=self._database.now_us())
        place = Place(no, *words[:7], tags=tuple(json.loads(words[7])) if words[7] else (), source=words[8])
        self._keep_place(tx, words, place)
        return place

    def _keep_place(self, tx: Tx, words: tuple[str, ...], place: Place) -> None:
        def keep() -> None:
            self._places[words] = self._places_by_no[place.no] = place

        tx.learned.append(keep)

    def _place_of(self, tx: Tx, no: int) -> Place:
        if known := self._places_by_no.get(no):
            return known
        row = tx.one(
            'SELECT api, account, "user", host, notebook, cell_id, label, tags, source FROM places WHERE no = :no',
            no=no,
        )
        assert row is not None
        place = Place(no, *row[:7], tags=tuple(json.loads(row[7])) if row[7] else (), source=row[8])
        self._keep_place(tx, tuple(row), place)
        return place

    def _model(self, tx: Tx, category: str, model: str, provider: str) -> int:
        key = (category, model, provider)
        if known := self._models.get(key):
            return known
        facts = {"category": category, "model": model, "provider": provider}
        no = _number(
            tx,
            "SELECT no FROM models WHERE category = :category AND model = :model AND provider = :provider",
            "INSERT INTO models (category, model, provider) VALUES (:category, :model, :provider)"
            " ON CONFLICT (category, model, provider) DO NOTHING",
            facts,
            facts,
        )
        tx.learned.append(lambda: self._models.__setitem__(key, no))
        return no

    def _model_name(self, tx: Tx, no: int) -> str:
        if known := self._model_names.get(no):
            return known
        row = tx.one("SELECT model FROM models WHERE no = :no", no=no)
        assert row is not None
        name: str = row[0]
        tx.learned.append(lambda: self._model_names.__setitem__(no, name))
        return name

    def _kernel(self, tx: Tx, name: str, now_us: int) -> int:
        if known := self._kernels.get(name):
            return known
        no = _number(
            tx,
            "SELECT no FROM kernels WHERE name = :name",
            "INSERT INTO kernels (name, first_us) VALUES (:name, :first_us) ON CONFLICT (name) DO NOTHING",
            {"name": name},
            {"name": name, "first_us": now_us},
        )
        tx.learned.append(lambda: self._kernels.__setitem__(name, no))
        return no

    def _kernel_name(self, tx: Tx, no: int) -> str:
        known = self._kernel_names.get(no)
        if known is not None:
            return known
        row = tx.one("SELECT name FROM kernels WHERE no = :no", no=no)
        assert row is not None
        name: str = row[0]
        tx.learned.append(lambda: self._kernel_names.__setitem__(no, name))
        return name


_PLACE_WORDS: Final = ("api", "account", "user", "host", "notebook", "cell_id", "label", "tags", "source")
_NEW_ACCOUNT: Final = (
    "INSERT INTO accounts (api, account, first_us) VALUES (:api, :account, :first_us)"
    " ON CONFLICT (api, account) DO NOTHING"
)


class _Sums:
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


def _refusal_together(intents: Sequence[Intent], covering: Sequence[Sequence[Bucket]]) -> BudgetExceeded | None:
    asked: dict[int, int] = {}
    buckets: dict[int, Bucket] = {}
    for intent, covered in zip(intents, covering, strict=True):
        for bucket in covered:
            asked[bucket.no] = asked.get(bucket.no, 0) + intent.held
            buckets[bucket.no] = bucket
    full = [no for no, bucket in buckets.items() if not bucket.has_room(asked[no])]
    return exceeded(buckets[full[0]], asked[full[0]]) if full else None


def _number(tx: Tx, find: str, insert: str, key: Mapping[str, Any], facts: Mapping[str, Any]) -> int:
    """The number of a word, made when it is new; another process may make it at the same moment."""
    row = tx.one(find, **key)
    if row is None:
        tx.run(insert, **{**key, **facts})
        row = tx.one(find, **key)
    assert row is not None
    return int(row[0])


def _origin(item: Intent | Restored | Elsewhere) -> Origin | None:
    return getattr(item, "origin", None)


def _details(id_: int, item: Intent | Restored | Elsewhere) -> dict[str, Any]:
    origin = _origin(item)
    return {
        "id": id_,
        "prompt_hash": item.prompt_hash,
        "fingerprint": getattr(item, "fingerprint", ""),
        "price_key": getattr(item, "price_key", ""),
        "source_hash": origin.source_hash if origin else "",
        "run": origin.run if origin else "",
        "count_index": getattr(item, "count_index", 0),
        "folder": getattr(item, "folder", ""),
        "params": _dump(dict(getattr(item, "params", {}))),
        "media": "[]",
        "error": "",
    }


def _no_row(call_id: int) -> LedgerError:
    return LedgerError(
        _("The ledger has no call {id}: it is not the ledger the call was written to.").format(id=call_id),
        hint=_("%elumenta doctor says which ledger is in use."),
        spent="maybe",
        call_id=call_id,
    )
