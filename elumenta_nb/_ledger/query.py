"""Reading the ledger: rows to go on with, and small facts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from elumenta_nb._errors import NotFound
from elumenta_nb._language import gettext as _
from elumenta_nb._values import Origin

from .entry import STATUSES, Entry, Flag, State, at, micros
from .row import generation_of
from .words import Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from .database import Tx

__all__ = [
    "by_ids",
    "call",
    "entries",
    "has_seen",
    "nameless",
    "of_fingerprints",
    "open_calls",
    "paid_most",
    "place_like",
    "released_since",
    "requests",
    "sent_since",
    "uncertain",
]

_CHUNK: Final = 2_000
_ENTRY: Final = (
    "SELECT c.id, c.status, p.account, p.api, p.source, p.notebook, p.cell_id, c.execution_count, d.source_hash, p.label,"
    ' p.tags, p."user", p.host, p.map_id, k.name, d.run, m.category, m.model, m.provider, d.params, c.prompt_chars,'
    " d.prompt_hash, d.fingerprint, d.price_key, d.folder, d.count_index, c.quoted, c.held, c.tokens, c.saved,"
    " c.started_us, c.ended_us, c.lease_us, c.generation_no, c.generation_name, c.balance_after, c.latency_us,"
    " c.attempts, c.restored_from, d.media, d.error, c.flags"
    " FROM calls c JOIN details d ON d.call_id = c.id JOIN places p ON p.no = c.place_no"
    " JOIN models m ON m.no = c.model_no JOIN kernels k ON k.no = c.kernel_no WHERE "
)


def _entry(row: Sequence[Any], now_us: int) -> Entry:
    (id_, status, account, api, source, notebook, cell_id, execution_count, source_hash, label, tags, user, host, map_id,
     kernel, run, category, model, provider, params, prompt_chars, prompt_hash, fingerprint, price_key, folder, count_index,
     quoted, held, tokens, saved, started_us, ended_us, lease_us, number, name, balance_after, latency_us, attempts,
     restored_from, media, error, flags) = row  # fmt: skip
    if status == State.RESERVED and lease_us is not None and lease_us <= now_us:
        status = State.UNKNOWN
    origin = Origin(
        source=source,
        notebook=notebook,
        cell_id=cell_id,
        execution_count=execution_count,
        source_hash=source_hash,
        label=label,
        tags=tuple(json.loads(tags)) if tags else (),
        user=user,
        host=host,
        kernel=kernel,
        run=run,
        map_id=map_id,
    )
    return Entry(
        id=id_,
        status=STATUSES[status],
        account=account,
        api=api,
        origin=origin,
        category=category,
        model=model,
        provider=provider,
        params=json.loads(params),
        prompt_chars=prompt_chars,
        prompt_hash=prompt_hash,
        fingerprint=fingerprint,
        price_key=price_key,
        folder=folder,
        count_index=count_index,
        quoted=quoted,
        held=held,
        tokens=tokens,
        saved=saved,
        started_at=at(started_us),
        ended_at=None if ended_us is None else at(ended_us),
        lease_until=None if lease_us is None else at(lease_us),
        generation_id=generation_of(number, name, flags),
        balance_after=balance_after,
        latency_s=None if latency_us is None else latency_us / 1e6,
        attempts=attempts,
        restored_from=restored_from,
        media=tuple(json.loads(media)),
        error=error,
        reused=bool(flags & Flag.REUSED),
        estimated=bool(flags & Flag.ESTIMATED),
        adopted=bool(flags & Flag.ADOPTED),
        lost=bool(flags & Flag.LOST),
    )


def entries(tx: Tx, which: str, now_us: int, **facts: Any) -> list[Entry]:
    """Rows by a condition, and an order, on `c` (calls), `d`, `p`, `m`, `k`."""
    return [_entry(row, now_us) for row in tx.all(_ENTRY + which, **facts)]


def by_ids(tx: Tx, ids: Iterable[int], now_us: int) -> dict[int, Entry]:
    rows = tx.all(_ENTRY + "c.id {in_ids}", ids=json.dumps(sorted(ids)))
    return {entry.id: entry for entry in (_entry(row, now_us) for row in rows)}


def call(tx: Tx, call_id: int, now_us: int) -> Entry:
    row = tx.one(_ENTRY + "c.id = :id", id=call_id)
    if row is None:
        raise NotFound(_("The ledger has no call {id}.").format(id=call_id), hint=_("The last calls: %elumenta spend"))
    return _entry(row, now_us)


def open_calls(tx: Tx, now_us: int, *, account: str | None, api: str | None, ids: Sequence[int] | None) -> list[Entry]:
    sql, facts = _ENTRY + "c.status < 3 AND p.source <> 'elsewhere'", {}
    for name, value in (("account", account), ("api", api)):
        if value is not None:
            sql, facts[name] = f"{sql} AND p.{name} = :{name}", value
    if ids is not None:
        sql, facts["ids"] = sql + " AND c.id {in_ids}", json.dumps(list(ids))
    return [_entry(row, now_us) for row in tx.all(sql + " ORDER BY c.id", **facts)]


def released_since(tx: Tx, now_us: int, account: str, api: str, since: datetime) -> list[Entry]:
    rows = tx.all(
        _ENTRY + "c.started_us >= :since_us AND c.status = 4 AND (c.flags & 8) <> 0"
        " AND p.account = :account AND p.api = :api ORDER BY c.id",
        since_us=micros(since),
        account=account,
        api=api,
    )
    return [_entry(row, now_us) for row in rows]


def requests(tx: Tx, account: str, api: str, model: str, since: datetime) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for prompt_hash, id_ in tx.all(
        "SELECT d.prompt_hash, c.id FROM calls c JOIN details d ON d.call_id = c.id JOIN places p ON p.no = c.place_no"
        " JOIN models m ON m.no = c.model_no WHERE c.started_us >= :since_us AND (c.flags & 1) = 0"
        " AND (c.generation_no IS NULL AND c.generation_name IS NULL OR (c.flags & 4) <> 0)"
        " AND p.source <> 'elsewhere' AND p.account = :account AND p.api = :api AND m.model = :model",
        since_us=micros(since),
        account=account,
        api=api,
        model=model,
    ):
        found.setdefault(prompt_hash, []).append(id_)
    return found


def nameless(  # noqa: PLR0917 - as its siblings
    tx: Tx,
    now_us: int,
    account: str,
    api: str,
    model: str,
    prompt_hash: str,
    since: datetime,
    until: datetime,
    ids: Sequence[int] | None = None,
) -> list[Entry]:
    which, facts = ("c.id {in_ids} AND ", {"ids": json.dumps(ids)}) if ids is not None else ("", {})
    rows = tx.all(
        _ENTRY
        + which
        + "c.started_us BETWEEN :since_us AND :until_us AND c.generation_no IS NULL AND c.generation_name IS NULL"
        " AND (c.status IN (0, 2) OR c.status = 3 AND (c.flags & 1) = 0 OR c.status = 4 AND (c.flags & 8) <> 0)"
        " AND p.source <> 'elsewhere' AND p.account = :account AND p.api = :api AND m.model = :model"
        " AND d.prompt_hash = :prompt_hash ORDER BY c.id",
        since_us=micros(since),
        until_us=micros(until),
        account=account,
        api=api,
        model=model,
        prompt_hash=prompt_hash,
        **facts,
    )
    return [_entry(row, now_us) for row in rows]


def uncertain(tx: Tx, now_us: int, account: str, api: str, since: datetime) -> list[Entry]:
    rows = tx.all(
        _ENTRY + "c.started_us >= :since_us AND c.status = 3 AND (c.flags & 1) = 0 AND p.source <> 'elsewhere'"
        " AND ((c.flags & 2) <> 0 OR c.generation_no IS NULL AND c.generation_name IS NULL)"
        " AND p.account = :account AND p.api = :api ORDER BY c.id",
        since_us=micros(since),
        account=account,
        api=api,
    )
    return [_entry(row, now_us) for row in rows]


def of_fingerprints(tx: Tx, now_us: int, account: str, api: str, fingerprints: Sequence[str]) -> dict[str, list[Entry]]:
    """Rows that are open or were paid, by fingerprint; a reused row was not paid."""
    found: dict[str, list[Entry]] = {}
    wanted = sorted(set(fingerprints) - {""})
    for start in range(0, len(wanted), _CHUNK):
        ids = tx.all(
            "SELECT call_id FROM details WHERE fingerprint <> '' AND fingerprint {in_texts}",
            texts=json.dumps(wanted[start : start + _CHUNK]),
        )
        if not ids:
            continue
        rows = tx.all(
            _ENTRY + "c.id {in_ids} AND c.status < 4 AND (c.flags & 1) = 0"
            " AND p.account = :account AND p.api = :api ORDER BY c.id",
            ids=json.dumps([row[0] for row in ids]),
            account=account,
            api=api,
        )
        for row in rows:
            entry = _entry(row, now_us)
            found.setdefault(entry.fingerprint, []).append(entry)
    return found


def sent_since(tx: Tx, account: str, api: str, since: datetime) -> int:
    """Requests of the account that left since then: each sending of a call, and of a reserved call the one to come."""
    places = [
        row[0]
        for row in tx.all(
            "SELECT no FROM places WHERE api = :api AND account = :account AND source <> 'elsewhere'",
            api=api,
            account=account,
        )
    ]
    row = tx.one(
        "SELECT COALESCE(SUM(CASE WHEN attempts < 1 THEN 1 ELSE attempts END), 0) FROM calls"
        " WHERE started_us >= :since_us AND status <> 5 AND (flags & 1) = 0 AND place_no {in_ids}",
        since_us=micros(since),
        ids=json.dumps(places),
    )
    assert row is not None
    return int(row[0])


def paid_most(tx: Tx, api: str, model: str, price_key: str) -> int | None:
    row = tx.one(
        "SELECT tokens FROM dearest WHERE api = :api AND model = :model AND price_key = :price_key",
        api=api,
        model=model,
        price_key=price_key,
    )
    return None if row is None else int(row[0])


def has_seen(tx: Tx, account: str, api: str) -> bool:
    sql = "SELECT 1 FROM places WHERE api = :api AND account = :account AND source <> 'elsewhere' LIMIT 1"
    return tx.one(sql, api=api, account=account) is not None


def place_like(origin: Origin, account: str, api: str) -> Place:
    """Where a call from `origin` would be, for asking which budgets cover it."""
    return Place(
        0, api, account, origin.user, origin.host, origin.notebook, origin.cell_id, origin.label, origin.tags,
        origin.source, origin.map_id,
    )  # fmt: skip
