r"""What happens to a call, written down: every operation takes a list and works inside one transaction.

    reserve -> RESERVED -accept-> PENDING -settle-> COMPLETED
                  |  \___doubt___    |  \
                  |              \   |   release -> FAILED (lost: adoptable)
                  release         UNKNOWN -claim-> PENDING
                  v
              CANCELLED (never sent)

The server's word is final and counted once: a second settle corrects by the difference, a settle after a release adopts
the row, a release after a settle is refused. Every change of `tokens` and `held` goes through `Change`, which keeps
`sums` and the budgets in step.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from elumenta_nb._errors import BudgetExceeded, LedgerError
from elumenta_nb._language import gettext as _

from .budget import Bucket, Purse, exceeded, fullest
from .entry import BudgetState, Flag, State, Taken, micros
from .once import holders_of, keep_keys, key_of
from .owners import begun, failed_as, owned, owners
from .query import by_ids
from .row import READ, UPDATE, Change, Hand, Sums, insert, new_details, new_row, split_id, update
from .words import ELSEWHERE, Words, dump, origin_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .database import Database, Tx
    from .entry import Elsewhere, GenerationId, Intent, Release, Restored, Settlement
    from .words import Place

__all__ = ["Book"]

_DEAREST: Final = (
    "INSERT INTO dearest (api, model, price_key, tokens) VALUES (:api, :model, :price_key, :tokens)"
    " ON CONFLICT (api, model, price_key) DO UPDATE SET tokens ="
    " CASE WHEN excluded.tokens > dearest.tokens THEN excluded.tokens ELSE dearest.tokens END"
)


class Book:
    """The operations, and the words they need (places, models, kernels) remembered once committed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._words = Words(database)
        self._dearest: dict[tuple[str, str, str], int] = {}

    def refresh(self) -> None:
        """Forget what was learned from a database that is not open any more."""
        if self._words.refresh():
            self._dearest.clear()

    # ------------------------------------------------------------ new rows

    def reserve(
        self, tx: Tx, now_us: int, intents: Sequence[Intent], *, together: bool = False
    ) -> list[int | Taken | BudgetExceeded]:
        """A durable row for each intent that every budget has room for; with `together`, for all or for none.

        `Taken` where another row, or an earlier intent of the list, holds the key `once`.
        """
        placed = [self._words.place(tx, intent) for intent in intents]
        purse = Purse.of(tx, placed, now_us)
        covering = [
            purse.covering(place, intent.origin.kernel, now_us) for place, intent in zip(placed, intents, strict=True)
        ]
        if together and (refusal := _refusal_together(intents, covering)):
            return [refusal] * len(intents)
        keys = [key_of(intent) for intent in intents]
        holders = holders_of(tx, keys)
        ids = iter(self._database.new_ids(tx, len(intents) - sum(key in holders for key in keys)))
        outcome: list[int | Taken | BudgetExceeded] = []
        taken: dict[int, int] = {}  # by position: the row that holds the key
        rows, details, sums = [], [], Sums()
        for intent, place, buckets, key in zip(intents, placed, covering, keys, strict=True):
            if key in holders:
                taken[len(outcome)] = holders[key]
                outcome.append(holders[key])
                continue
            if full := [bucket for bucket in buckets if not bucket.has_room(intent.held)]:
                outcome.append(exceeded(full[0], intent.held))
                continue
            for bucket in buckets:
                bucket.move(0, intent.held)
            id_ = next(ids)
            row = self._row(tx, id_, place, intent, now_us)
            row |= {"held": intent.held, "quoted": intent.quoted, "lease_us": now_us + int(intent.lease_s * 1e6)}
            row["once"] = key
            rows.append(row)
            details.append(new_details(id_, intent))
            sums.add(place.no, row["model_no"], now_us, calls=1, held=intent.held)
            outcome.append(id_)
            if key is not None:
                holders[key] = id_
        rows.sort(key=lambda row: row["once"] or "")  # two writers of the same keys meet in one order
        insert(tx, rows, details, sums)
        purse.write()
        if taken:
            entries = by_ids(tx, set(taken.values()), now_us)
            for position, id_ in taken.items():
                outcome[position] = Taken(entries[id_])
        return outcome

    def reserve_together(self, tx: Tx, now_us: int, intents: Sequence[Intent]) -> list[int | Taken | BudgetExceeded]:
        """All of them or none: the calls of one ``--count``."""
        return self.reserve(tx, now_us, intents, together=True)

    def restore(self, tx: Tx, now_us: int, items: Sequence[Restored]) -> list[int]:
        """Rows of calls served from the store: 0 tokens, so no budget is asked."""
        ids = self._database.new_ids(tx, len(items))
        rows, details, sums = [], [], Sums()
        for id_, item in zip(ids, items, strict=True):
            place = self._words.place(tx, item)
            row = self._row(tx, id_, place, item, now_us)
            row |= {"status": int(State.COMPLETED), "flags": int(Flag.REUSED), "ended_us": now_us}
            row |= {"restored_from": item.restored_from, "saved": item.saved, "latency_us": 0, "attempts": 0}
            rows.append(row)
            details.append(new_details(id_, item) | {"media": dump(item.media)})
            sums.add(place.no, row["model_no"], now_us, calls=1, reused=1, saved=item.saved)
        insert(tx, rows, details, sums)
        return list(ids)

    def elsewhere(self, tx: Tx, now_us: int, items: Sequence[Elsewhere]) -> list[int | None]:
        """Rows of what the account spent elsewhere; ``None`` where the generation is one of ours. Told again: updated."""
        outcome: list[int | None] = []
        for item in items:
            number, name, form = split_id(item.generation_id)
            rows = owners(tx, item.api, item.account, (number, name))
            if any(source != ELSEWHERE for _id, source in rows):
                outcome.append(None)
                continue
            status = {"pending": State.PENDING, "completed": State.COMPLETED, "failed": State.FAILED}[item.status]
            cost = item.tokens if status is State.COMPLETED else 0
            held = item.tokens if status is State.PENDING else 0
            ended_us = micros(item.ended_at) if item.ended_at else None
            if rows:
                changes = self._read(tx, [rows[0][0]])
                change = changes[rows[0][0]]
                change.status, change.tokens, change.held, change.ended_us = int(status), cost, held, ended_us
                change.error, change.touched = item.error, True
                self._write(tx, changes.values(), Purse(tx, (), now_us))
                outcome.append(change.id)
                continue
            place = self._words.place(tx, item)
            started_us = micros(item.started_at)
            (id_,) = self._database.new_ids(tx, 1)
            row = self._row(tx, id_, place, item, started_us)
            row |= {"status": int(status), "flags": int(Flag.ADOPTED | form), "quoted": item.tokens, "tokens": cost}
            row |= {"held": held, "ended_us": ended_us, "generation_no": number, "generation_name": name}
            sums = Sums()
            failed = int(status is State.FAILED)
            sums.add(place.no, row["model_no"], started_us, calls=1, tokens=cost, held=held, failed=failed)
            insert(tx, [row], [new_details(id_, item) | {"error": item.error}], sums)
            outcome.append(id_)
        return outcome

    # ------------------------------------------------------------ rows that exist

    def accept(self, tx: Tx, now_us: int, items: Sequence[tuple[int, GenerationId]]) -> list[bool | LedgerError]:
        """The server has the job: its id is on disk before the first wait. False: the row is final already.

        One that was settled by a generation found in the history, and is told another one, is open again.
        """
        return self._change(tx, now_us, [(call_id, (generation,)) for call_id, generation in items], self._accept)

    def claim(self, tx: Tx, now_us: int, items: Sequence[tuple[int, GenerationId]]) -> list[bool | LedgerError]:
        """As `accept`, for a generation found in the history: false when another row has it or this one is final."""
        return self._change(tx, now_us, [(call_id, (generation,)) for call_id, generation in items], self._claim)

    def settle(self, tx: Tx, now_us: int, items: Sequence[Settlement]) -> list[BudgetState | LedgerError | None]:
        """Completed: what it cost, counted once. The answer is the fullest budget that covers it, for the receipt."""
        hand = self._hand(tx, now_us, [item.call_id for item in items])
        for item in items:
            change = hand.changes.get(item.call_id)
            if change is not None:
                self._settle(hand, change, item)
        self._write(tx, hand.changes.values(), hand.purse)
        states: list[BudgetState | LedgerError | None] = []
        for item in items:
            change = hand.changes.get(item.call_id)
            if change is None:
                states.append(_no_row(item.call_id))
            else:
                states.append(fullest(hand.purse.covering(change.place, change.kernel, change.started_us)))
        return states

    def release(self, tx: Tx, now_us: int, items: Sequence[Release]) -> list[bool | LedgerError]:
        """Nothing to pay: the hold is given back.

        False when the row is settled, `cancelled` after it was sent, or `lost` while somebody waits for its answer or
        after it was told a generation that the release does not name.
        """
        return self._change(tx, now_us, [(item.call_id, (item,)) for item in items], self._release)

    def doubt(self, tx: Tx, now_us: int, items: Sequence[tuple[int, str]]) -> list[bool | LedgerError]:
        """Sent, and no answer that can be read: unknown, the hold stays. False: the row is final already."""
        return self._change(tx, now_us, [(call_id, (error,)) for call_id, error in items], self._doubt)

    def renew(self, tx: Tx, now_us: int, items: Sequence[tuple[int, float]]) -> list[bool | LedgerError]:
        """Somebody still waits for it: the lease ends so many seconds from now."""
        return self._change(tx, now_us, [(call_id, (lease_s,)) for call_id, lease_s in items], self._renew)

    def _change(self, tx: Tx, now_us: int, items: Any, apply: Any) -> list[bool | LedgerError]:
        hand = self._hand(tx, now_us, [call_id for call_id, _rest in items])
        outcome: list[bool | LedgerError] = []
        for call_id, rest in items:
            change = hand.changes.get(call_id)
            outcome.append(_no_row(call_id) if change is None else apply(hand, change, *rest))
        self._write(tx, hand.changes.values(), hand.purse)
        return outcome

    def _accept(self, hand: Hand, change: Change, generation: GenerationId) -> bool:
        if change.status == State.COMPLETED and change.has_wrong_id(generation):  # paid by what was another's
            change.tokens, change.held, change.ended_us = 0, change.quoted, None
            change.flags &= ~Flag.ESTIMATED
        elif change.status in {State.COMPLETED, State.CANCELLED} or (
            change.status == State.FAILED and not change.flags & Flag.LOST
        ):
            return False
        if change.status == State.FAILED:  # released too early: the history shows it after all
            change.held, change.ended_us = change.quoted, None
            change.flags &= ~Flag.LOST
        change.status, change.touched, change.error = int(State.PENDING), True, ""
        change.attempts = max(change.attempts, 1)
        self._learn(hand, change, generation)
        return True

    def _claim(self, hand: Hand, change: Change, generation: GenerationId) -> bool:
        named = split_id(generation)[:2]
        rows = owners(hand.tx, change.place.api, change.place.account, named)
        if any(source != ELSEWHERE and id_ != change.id for id_, source in rows):
            return False
        if change.has_id and change.named != named:
            return False
        was_told = change.has_id and not change.flags & Flag.ADOPTED
        if change.status == State.COMPLETED and not change.has_id:  # a charge without a name gets its name
            self._learn(hand, change, generation)
            change.touched = True
        elif not self._accept(hand, change, generation):
            return False
        if not was_told:
            change.flags |= Flag.ADOPTED
        _write_at_once(hand.tx, change)
        return True

    def _settle(self, hand: Hand, change: Change, item: Settlement) -> None:
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
            change.ended_us = hand.now_us
            change.latency_us = change.ended_us - change.started_us if item.latency_s is None else None
        change.status, change.touched = int(State.COMPLETED), True
        change.tokens, change.held, change.lease_us = figure, 0, None
        change.flags &= ~Flag.LOST
        change.attempts = max(change.attempts, 1)
        self._note(hand, change, item)
        change.error = item.error
        if item.media:
            change.media = dump(item.media)
        if item.balance_after is not None:
            change.balance_after = item.balance_after
        self._learn_price(hand.tx, change)

    def _release(self, hand: Hand, change: Change, item: Release) -> bool:
        if change.status == State.COMPLETED or (
            item.status == "cancelled" and change.status not in {State.RESERVED, State.CANCELLED}
        ):
            return False
        if change.status in {State.FAILED, State.CANCELLED}:
            if not item.lost and change.flags & Flag.LOST:  # the server has said so by now
                change.flags, change.error, change.touched = change.flags & ~Flag.LOST, item.error, True
                self._note(hand, change, item)
            return True
        if item.lost and (change.is_waited_for(hand.now_us) or change.named != split_id(item.generation_id)[:2]):
            return False
        change.status = int(State.FAILED if item.status == "failed" else State.CANCELLED)
        change.touched, change.ended_us, change.lease_us = True, hand.now_us, None
        change.tokens = change.held = 0
        change.latency_us = hand.now_us - change.started_us
        change.flags |= Flag.LOST if item.lost else 0
        self._note(hand, change, item)
        change.error = item.error
        return True

    def _doubt(self, _hand: Hand, change: Change, error: str) -> bool:
        if change.status >= State.COMPLETED:
            return False
        change.status, change.error, change.touched = int(State.UNKNOWN), error, True
        change.attempts = max(change.attempts, 1)
        return True

    def _renew(self, hand: Hand, change: Change, lease_s: float) -> bool:
        if change.status >= State.COMPLETED:
            return False
        change.lease_us, change.touched = hand.now_us + int(lease_s * 1e6), True
        return True

    def _note(self, hand: Hand, change: Change, item: Settlement | Release) -> None:
        """What a final answer tells besides its cost."""
        if item.latency_s is not None:
            change.latency_us = int(item.latency_s * 1e6)
        if item.attempts is not None:
            change.attempts = max(change.attempts, item.attempts)
        self._learn(hand, change, item.generation_id)

    def _learn(self, hand: Hand, change: Change, generation: GenerationId | None) -> None:
        """Keep the id that the server told for this call.

        Only a claim (an id found in the history) can be wrong: it gives way to what an answer says. A row of
        `elsewhere` that had the id was this call, and is emptied.
        """
        if generation is None:
            return
        named = split_id(generation)[:2]
        if change.has_id:
            if named == change.named or not change.flags & Flag.ADOPTED:
                return
            change.flags &= ~Flag.ADOPTED
        change.learn(generation)
        # Rows that the server told it to as well are not ours to judge, and not read: there may be thousands.
        for other, _source in owners(hand.tx, change.place.api, change.place.account, named, yielding=True):
            if other != change.id:
                self._give_up(hand, other, change)

    def _give_up(self, hand: Hand, other: int, owner: Change) -> None:
        """A row whose generation was told to be another call's: one spent elsewhere is emptied, a claim is undone.

        One that is in hand is changed there and written, and counted, once with the others.
        """
        changes = hand.changes if other in hand.changes else self._read(hand.tx, [other])
        change = changes[other]
        if not change.yields or change.named != owner.named:
            return  # the table does not know yet what an item before this one made of it
        change.status, change.tokens, change.held = int(State.CANCELLED), 0, 0
        if change.place.source != ELSEWHERE:
            change.status, change.held, change.ended_us = int(State.UNKNOWN), change.quoted, None
            change.flags &= ~(Flag.ADOPTED | Flag.ESTIMATED | Flag.LOST)
        change.generation_no = change.generation_name = None
        change.error = _("this is call {id}").format(id=owner.id)
        change.touched = True
        if changes is not hand.changes:
            self._write(hand.tx, changes.values(), self._purse(hand.tx, changes.values(), hand.now_us))

    def _learn_price(self, tx: Tx, change: Change) -> None:
        """The highest charge seen for these parameters, or for none: what the next call of them holds at least."""
        if change.place.source == ELSEWHERE or change.flags & (Flag.REUSED | Flag.ESTIMATED):
            return  # not bought here, or the quote again
        key = (change.place.api, self._words.model_name(tx, change.model_no), change.price_key)
        if change.tokens <= self._dearest.get(key, 0):
            return
        tx.run(_DEAREST, api=key[0], model=key[1], price_key=key[2], tokens=change.tokens)
        figure = change.tokens
        tx.learned.append(lambda: self._dearest.__setitem__(key, figure))

    # ------------------------------------------------------------ reading and writing

    owned = staticmethod(owned)
    begun = staticmethod(begun)
    failed_as = staticmethod(failed_as)

    def _hand(self, tx: Tx, now_us: int, ids: Iterable[int]) -> Hand:
        changes = self._read(tx, ids)
        return Hand(tx, now_us, changes, self._purse(tx, changes.values(), now_us))

    def _read(self, tx: Tx, ids: Iterable[int]) -> dict[int, Change]:
        changes: dict[int, Change] = {}
        for row in tx.all(READ, ids=json.dumps(sorted(set(ids)))):
            id_, place_no, model_no, kernel_no, *rest = row
            change = Change(
                id_, self._words.place_of(tx, place_no), model_no, self._words.kernel_name(tx, kernel_no), *rest
            )
            change.before, change.was = change.counted(), change.status
            changes[id_] = change
        return changes

    def _purse(self, tx: Tx, changes: Iterable[Change], now_us: int) -> Purse:
        return Purse.of(tx, [change.place for change in changes], now_us)

    def _write(self, tx: Tx, changes: Iterable[Change], purse: Purse) -> None:
        sums = Sums()
        touched = [change for change in changes if change.touched]
        keep_keys(tx, touched)
        for change in touched:
            tokens, held, failed = (now - then for now, then in zip(change.counted(), change.before, strict=True))
            if tokens or held or failed:
                sums.add(change.place.no, change.model_no, change.started_us, tokens=tokens, held=held, failed=failed)
            if (tokens or held) and change.place.source != ELSEWHERE:
                for bucket in purse.covering(change.place, change.kernel, change.started_us):
                    bucket.move(tokens, held)
        update(tx, touched, sums)
        purse.write()

    def _row(
        self, tx: Tx, id_: int, place: Place, item: Intent | Restored | Elsewhere, started_us: int
    ) -> dict[str, Any]:
        origin = origin_of(item)
        kernel_no = self._words.kernel(tx, origin.kernel if origin else "", started_us)
        model_no = self._words.model(tx, item.category, item.model, item.provider)
        return new_row(item, id_=id_, place=place, model_no=model_no, kernel_no=kernel_no, started_us=started_us)


def _refusal_together(intents: Sequence[Intent], covering: Sequence[Sequence[Bucket]]) -> BudgetExceeded | None:
    asked: dict[int, int] = {}
    buckets: dict[int, Bucket] = {}
    for intent, covered in zip(intents, covering, strict=True):
        for bucket in covered:
            asked[bucket.no] = asked.get(bucket.no, 0) + intent.held
            buckets[bucket.no] = bucket
    full = [no for no, bucket in buckets.items() if not bucket.has_room(asked[no])]
    return exceeded(buckets[full[0]], asked[full[0]]) if full else None


def _write_at_once(tx: Tx, change: Change) -> None:
    """Before the rest of its list, which must see which generation it has."""
    keep_keys(tx, [change])
    tx.run(UPDATE, **change.update())


def _no_row(call_id: int) -> LedgerError:
    return LedgerError(
        _("The ledger has no call {id}: it is not the ledger the call was written to.").format(id=call_id),
        hint=_("%elumenta doctor says which ledger is in use."),
        spent="maybe",
        call_id=call_id,
    )
