"""Aggregates of calls, made in SQL.

Without a period they come from `sums` (milliseconds at a million calls); with one, and by day, from the calls in it.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from .entry import Where, at, micros

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from .database import Tx

__all__ = ["FIGURES", "KEYS", "conditions", "offsets", "read_totals"]

KEYS: Final = {
    "account": "p.account",
    "user": 'p."user"',
    "host": "p.host",
    "notebook": "p.notebook",
    "cell": "CASE p.label WHEN '' THEN p.cell_id ELSE p.label END",
    "cell_id": "p.cell_id",
    "label": "p.label",
    "map": "p.map_id",
    "tag": "p.tags",
    "source": "p.source",
    "category": "m.category",
    "model": "m.model",
    "provider": "m.provider",
    "day": "s.day",
}
FIGURES: Final = ("calls", "tokens", "held", "failed", "reused", "saved", "first_us", "last_us")
_JOINS: Final = {"p": " JOIN places p ON p.no = s.place_no", "m": " JOIN models m ON m.no = s.model_no"}
_NUMBERS: Final = {"p": "c.place_no", "m": "c.model_no"}
_ADDED: Final = (
    "SUM(s.calls), SUM(s.tokens), SUM(s.held), SUM(s.failed), SUM(s.reused), SUM(s.saved), MIN(s.first_us),"
    " MAX(s.last_us)"
)
_COUNTED: Final = (
    "COUNT(*) AS calls, SUM(c.tokens) AS tokens, SUM(c.held) AS held,"
    " SUM(CASE c.status WHEN 4 THEN 1 ELSE 0 END) AS failed, SUM(c.flags & 1) AS reused, SUM(c.saved) AS saved,"
    " MIN(c.started_us) AS first_us, MAX(c.started_us) AS last_us"
)
_DAY_US: Final = 86_400_000_000

Totals = list[tuple[Any, ...]]


def conditions(tx: Tx, where: Where, table: str) -> tuple[list[str], dict[str, Any]]:
    """The conditions on `place_no` and `model_no` of a table; none where every place or model fits."""
    wanted: list[str] = []
    facts: dict[str, Any] = {}
    places = tx.all('SELECT no, api, account, notebook, source, "user", tags FROM places')
    fitting = [
        row[0]
        for row in places
        if (row[1] != "sandbox" if where.api is None else row[1] == where.api)
        and where.account in {None, row[2]}
        and where.notebook in {None, row[3]}
        and where.source in {None, row[4]}
        and where.user in {None, row[5]}
        and (where.tag is None or where.tag in json.loads(row[6] or "[]"))
    ]
    if len(fitting) < len(places):
        wanted.append(f"{table}.place_no {{in_ids}}")
        facts["ids"] = json.dumps(fitting)
    if where.category is not None or where.model is not None:
        models = [
            str(int(row[0]))
            for row in tx.all("SELECT no, category, model FROM models")
            if where.category in {None, row[1]} and where.model in {None, row[2]}
        ]
        wanted.append(f"{table}.model_no IN ({', '.join(models) or 'NULL'})")
    return wanted, facts


def period(where: Where) -> tuple[list[str], dict[str, Any]]:
    wanted = []
    facts = {}
    if where.since_us is not None:
        wanted.append("c.started_us >= :since_us")
        facts["since_us"] = where.since_us
    if where.until_us is not None:
        wanted.append("c.started_us < :until_us")
        facts["until_us"] = where.until_us
    return wanted, facts


def read_totals(tx: Tx, by: Sequence[str], where: Where, tz: tzinfo | None) -> Totals:
    """One row per group: the keys, then `FIGURES`; the dearest first. A call with two tags is in both their rows."""
    keys = [KEYS[key] for key in by]
    joins = [join for name, join in _JOINS.items() if any(f"{name}." in key for key in keys)]
    wanted, facts = conditions(tx, where, "s")
    source = "sums"
    if "day" in by or where.since_us is not None or where.until_us is not None:
        wanted, facts = conditions(tx, where, "c")
        within, bounds = period(where)
        facts |= bounds
        groups = [column for name, column in _NUMBERS.items() if any(f"{name}." in key for key in keys)]
        listed = [f"{_local_day(tx, where, tz)} AS day"] if "day" in by else []
        inner = f"SELECT {', '.join([*listed, *groups, _COUNTED])} FROM calls c{_all(within + wanted)}"  # noqa: S608 - constants
        source = f"({inner}{_grouped(len(listed) + len(groups))})"
        wanted = []
    sql = f"SELECT {', '.join([*keys, _ADDED])} FROM {source} s{''.join(joins)}{_all(wanted)}{_grouped(len(keys))}"  # noqa: S608 - constants
    rows = [
        (*row[: len(keys)], *(int(figure) for figure in row[len(keys) :]))
        for row in tx.all(sql, **facts)
        if row[len(keys)]
    ]
    if "tag" in by:
        rows = _by_single_tag(rows, by.index("tag"), len(keys))
    return sorted(rows, key=lambda row: (-row[len(keys) + 1], -row[len(keys)], [str(key) for key in row[: len(keys)]]))


def _grouped(columns: int) -> str:
    return f" GROUP BY {', '.join(str(number + 1) for number in range(columns))}" if columns else ""


def _all(conditions_: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions_)}" if conditions_ else ""


def _by_single_tag(rows: Totals, place: int, keys: int) -> Totals:
    merged: dict[tuple[Any, ...], list[int]] = {}
    for row in rows:
        for tag in json.loads(row[place] or "[]") or [""]:
            key = (*row[:place], tag, *row[place + 1 : keys])
            figures = row[keys:]
            old = merged.get(key)
            if old is None:
                merged[key] = list(figures)
            else:
                added = [was + more for was, more in zip(old[:6], figures[:6], strict=True)]
                merged[key] = [*added, min(old[6], figures[6]), max(old[7], figures[7])]
    return [(*key, *figures) for key, figures in merged.items()]


def _local_day(tx: Tx, where: Where, tz: tzinfo | None) -> str:
    """SQL for the number of the local day since 1970: the time plus the zone's offset, which changes twice a year."""
    row = tx.one("SELECT MIN(first_us), MAX(last_us) FROM sums")
    first, last = row if row is not None and row[0] is not None else (0, 0)
    first = max(first, where.since_us) if where.since_us is not None else first
    last = min(last, where.until_us) if where.until_us is not None else last
    pieces = offsets(first, max(first, last), tz)
    sql = f"(c.started_us + {pieces[-1][1]})"
    for until, offset in reversed(pieces[:-1]):
        sql = f"(CASE WHEN c.started_us < {until} THEN c.started_us + {offset} ELSE {sql} END)"
    return f"({sql} / {_DAY_US})"


def offsets(first_us: int, last_us: int, tz: tzinfo | None) -> list[tuple[int, int]]:
    """The zone's offsets in microseconds over a span, each with the moment until which it holds."""

    def offset(us: int) -> int:
        there = at(us).astimezone(tz).utcoffset()
        return (there or timedelta()) // timedelta(microseconds=1)

    pieces: list[tuple[int, int]] = []
    here = first_us
    while here < last_us:
        then = min(here + _DAY_US, last_us)
        if offset(then) != offset(here):
            low, high = here, then
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(middle) == offset(here) else (low, middle)
            pieces.append((high, offset(here)))
        here = then
    return [*pieces, (micros(datetime.max.replace(tzinfo=UTC)), offset(last_us))]
