"""The ledger's schema as numbered migrations: each runs in one transaction with its record, and only forward.

A star: narrow integer facts in `calls`, words in `places`, `models` and `kernels`, what is rarely read in `details`.
`sums` and `budgets` hold running totals: derived from `calls`, kept in the same transaction, verified by `check()`.
Rows of `calls` are never deleted. Times are microseconds UTC. A released migration is never edited: add another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["MIGRATIONS", "VERSION", "Migration"]


@dataclass(frozen=True, slots=True)
class Migration:
    """`{key}` is an integer primary key that counts up, `{rowless}` what makes a table its own index."""

    number: int
    name: str
    statements: tuple[str, ...]


_FIRST: Final = (
    """
    CREATE TABLE places (
        no {key},
        digest VARCHAR(40) NOT NULL UNIQUE,
        api TEXT NOT NULL,
        account TEXT NOT NULL,
        "user" TEXT NOT NULL,
        host TEXT NOT NULL,
        notebook TEXT NOT NULL,
        cell_id TEXT NOT NULL,
        label TEXT NOT NULL,
        tags TEXT NOT NULL,
        source TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE models (
        no {key},
        category TEXT NOT NULL,
        model TEXT NOT NULL,
        provider TEXT NOT NULL,
        UNIQUE (category, model, provider)
    )
    """,
    """
    CREATE TABLE kernels (
        no {key},
        name TEXT NOT NULL UNIQUE,
        first_us BIGINT NOT NULL
    )
    """,
    """
    CREATE TABLE calls (
        id {key},
        place_no INTEGER NOT NULL,
        model_no INTEGER NOT NULL,
        kernel_no INTEGER NOT NULL,
        status SMALLINT NOT NULL,
        flags SMALLINT NOT NULL,
        started_us BIGINT NOT NULL,
        ended_us BIGINT,
        quoted BIGINT NOT NULL,
        held BIGINT NOT NULL,
        tokens BIGINT NOT NULL,
        balance_after BIGINT,
        latency_us BIGINT,
        generation_no BIGINT,
        execution_count INTEGER,
        restored_from BIGINT,
        prompt_chars BIGINT NOT NULL,
        generation_name TEXT,
        attempts INTEGER NOT NULL,
        saved BIGINT NOT NULL,
        lease_us BIGINT
    )
    """,
    "CREATE INDEX calls_started ON calls (started_us)",
    "CREATE INDEX calls_open ON calls (id) WHERE status < 3",
    "CREATE INDEX calls_generation_no ON calls (generation_no) WHERE generation_no IS NOT NULL",
    "CREATE INDEX calls_generation_name ON calls (generation_name) WHERE generation_name IS NOT NULL",
    """
    CREATE TABLE details (
        call_id BIGINT NOT NULL PRIMARY KEY,
        prompt_hash TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        price_key TEXT NOT NULL,
        source_hash TEXT NOT NULL,
        run TEXT NOT NULL,
        count_index INTEGER NOT NULL,
        folder TEXT NOT NULL,
        params TEXT NOT NULL,
        media TEXT NOT NULL,
        error TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE sums (
        place_no INTEGER NOT NULL,
        model_no INTEGER NOT NULL,
        calls BIGINT NOT NULL,
        tokens BIGINT NOT NULL,
        held BIGINT NOT NULL,
        failed BIGINT NOT NULL,
        reused BIGINT NOT NULL,
        saved BIGINT NOT NULL,
        first_us BIGINT NOT NULL,
        last_us BIGINT NOT NULL,
        PRIMARY KEY (place_no, model_no)
    ){rowless}
    """,
    """
    CREATE TABLE budgets (
        no {key},
        api TEXT NOT NULL,
        account TEXT NOT NULL,
        per VARCHAR(8) NOT NULL,
        target TEXT NOT NULL,
        "user" TEXT NOT NULL,
        tag TEXT NOT NULL,
        ceiling BIGINT NOT NULL,
        from_us BIGINT NOT NULL,
        to_us BIGINT NOT NULL,
        spent BIGINT NOT NULL,
        held BIGINT NOT NULL,
        UNIQUE (api, account, per, target, "user", tag)
    )
    """,
    """
    CREATE TABLE accounts (
        api TEXT NOT NULL,
        account TEXT NOT NULL,
        cycle_us BIGINT,
        PRIMARY KEY (api, account)
    ){rowless}
    """,
    """
    CREATE TABLE dearest (
        api TEXT NOT NULL,
        model TEXT NOT NULL,
        price_key TEXT NOT NULL,
        tokens BIGINT NOT NULL,
        PRIMARY KEY (api, model, price_key)
    ){rowless}
    """,
    """
    CREATE TABLE notices (
        name TEXT NOT NULL PRIMARY KEY,
        at_us BIGINT NOT NULL
    )
    """,
    # For people and their tools: the words beside the figures. The package itself reads the narrow tables.
    """
    CREATE VIEW spend AS
    SELECT c.id, c.started_us, c.ended_us, p.api, p.account, p."user", p.host, p.notebook, p.cell_id,
        c.execution_count, p.label, p.tags, p.source, m.category, m.model, m.provider,
        CASE c.status WHEN 0 THEN 'reserved' WHEN 1 THEN 'pending' WHEN 2 THEN 'unknown' WHEN 3 THEN 'completed'
            WHEN 4 THEN 'failed' ELSE 'cancelled' END AS status,
        c.quoted, c.held, c.tokens, c.balance_after, c.latency_us,
        COALESCE(c.generation_name, CAST(c.generation_no AS TEXT)) AS generation_id,
        c.attempts, c.flags % 2 AS reused, c.saved, c.restored_from, c.prompt_chars,
        d.prompt_hash, d.params, d.media, d.error
    FROM calls c
    JOIN places p ON p.no = c.place_no
    JOIN models m ON m.no = c.model_no
    JOIN details d ON d.call_id = c.id
    """,
)

# Rows that are held once, found by fingerprint, or belong to a map; what a map's budget is called.
_MAPS: Final = (
    "ALTER TABLE calls ADD COLUMN once VARCHAR(32)",
    # Open or paid: a row that failed or was cancelled gives its key up without a word.
    "CREATE UNIQUE INDEX calls_once ON calls (once) WHERE once IS NOT NULL AND status < 4",
    "CREATE INDEX details_fingerprint ON details (fingerprint) WHERE fingerprint <> ''",
    "ALTER TABLE places ADD COLUMN map_id TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE budgets ADD COLUMN title TEXT NOT NULL DEFAULT ''",
    "DROP VIEW spend",
    """
    CREATE VIEW spend AS
    SELECT c.id, c.started_us, c.ended_us, p.api, p.account, p."user", p.host, p.notebook, p.cell_id,
        c.execution_count, p.label, p.tags, p.source, m.category, m.model, m.provider,
        CASE c.status WHEN 0 THEN 'reserved' WHEN 1 THEN 'pending' WHEN 2 THEN 'unknown' WHEN 3 THEN 'completed'
            WHEN 4 THEN 'failed' ELSE 'cancelled' END AS status,
        c.quoted, c.held, c.tokens, c.balance_after, c.latency_us,
        COALESCE(c.generation_name, CAST(c.generation_no AS TEXT)) AS generation_id,
        c.attempts, c.flags % 2 AS reused, c.saved, c.restored_from, c.prompt_chars,
        d.prompt_hash, d.params, d.media, d.error, p.map_id
    FROM calls c
    JOIN places p ON p.no = c.place_no
    JOIN models m ON m.no = c.model_no
    JOIN details d ON d.call_id = c.id
    """,
)

_WRITERS: Final = (
    """
    CREATE TABLE writers (
        name VARCHAR(32) NOT NULL PRIMARY KEY,
        turn BIGINT NOT NULL,
        at_us BIGINT NOT NULL
    ){rowless}
    """,
)

MIGRATIONS: Final[tuple[Migration, ...]] = (
    Migration(1, "first", _FIRST),
    Migration(2, "maps", _MAPS),
    Migration(3, "writers", _WRITERS),
)

VERSION: Final = MIGRATIONS[-1].number
