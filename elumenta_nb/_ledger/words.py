"""The words of calls (places, models, kernels) as numbers, remembered once their transaction is committed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from elumenta_nb._values import Origin

    from .database import Database, Tx
    from .entry import Elsewhere, Intent, Restored

__all__ = ["ELSEWHERE", "Place", "Words", "dump", "origin_of"]

ELSEWHERE: Final = "elsewhere"
_PLACE_WORDS: Final = ("api", "account", "user", "host", "notebook", "cell_id", "label", "tags", "source", "map_id")


@dataclass(frozen=True, slots=True)
class Place:
    """A row of `places`: where calls come from."""

    no: int
    api: str
    account: str
    user: str
    host: str
    notebook: str
    cell_id: str
    label: str
    tags: tuple[str, ...]
    source: str
    map_id: str = ""


class Words:
    """The numbers this process knows. A database that was opened anew (a fork, a file replaced) is learned anew."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._opened = database.opened
        self._places: dict[tuple[str, ...], Place] = {}
        self._places_by_no: dict[int, Place] = {}
        self._models: dict[tuple[str, str, str], int] = {}
        self._model_names: dict[int, str] = {}
        self._kernels: dict[str, int] = {}
        self._kernel_names: dict[int, str] = {}

    def refresh(self) -> bool:
        """Forget everything if the database was opened again; true if so."""
        if self._opened == self._database.opened:
            return False
        self._opened = self._database.opened
        for known in (self._places, self._places_by_no, self._models, self._model_names, self._kernels):
            known.clear()
        self._kernel_names.clear()
        return True

    def place(self, tx: Tx, item: Intent | Restored | Elsewhere) -> Place:
        origin = origin_of(item)
        if origin is None:
            words = (item.api, item.account, "", "", "", "", "", "", ELSEWHERE, "")
        else:
            words = (
                item.api,
                item.account,
                origin.user,
                origin.host,
                origin.notebook,
                origin.cell_id,
                origin.label,
                dump(sorted(set(origin.tags))),
                origin.source,
                origin.map_id,
            )
        if known := self._places.get(words):
            return known
        told = words if words[-1] else words[:-1]  # places are older than maps
        digest = hashlib.sha1(dump(told).encode(), usedforsecurity=False).hexdigest()
        no = _number(
            tx,
            "SELECT no FROM places WHERE digest = :digest",
            'INSERT INTO places (digest, api, account, "user", host, notebook, cell_id, label, tags, source, map_id)'
            " VALUES (:digest, :api, :account, :user, :host, :notebook, :cell_id, :label, :tags, :source, :map_id)"
            " ON CONFLICT (digest) DO NOTHING",
            {"digest": digest},
            dict(zip(_PLACE_WORDS, words, strict=True)),
        )
        place = _place(no, words)
        self._keep_place(tx, words, place)
        return place

    def _keep_place(self, tx: Tx, words: tuple[str, ...], place: Place) -> None:
        def keep() -> None:
            self._places[words] = self._places_by_no[place.no] = place

        tx.learned.append(keep)

    def place_of(self, tx: Tx, no: int) -> Place:
        if known := self._places_by_no.get(no):
            return known
        row = tx.one(
            'SELECT api, account, "user", host, notebook, cell_id, label, tags, source, map_id'
            " FROM places WHERE no = :no",
            no=no,
        )
        assert row is not None
        place = _place(no, row)
        self._keep_place(tx, tuple(row), place)
        return place

    def model(self, tx: Tx, category: str, model: str, provider: str) -> int:
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

    def model_name(self, tx: Tx, no: int) -> str:
        if known := self._model_names.get(no):
            return known
        row = tx.one("SELECT model FROM models WHERE no = :no", no=no)
        assert row is not None
        name: str = row[0]
        tx.learned.append(lambda: self._model_names.__setitem__(no, name))
        return name

    def kernel(self, tx: Tx, name: str, now_us: int) -> int:
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

    def kernel_name(self, tx: Tx, no: int) -> str:
        known = self._kernel_names.get(no)
        if known is not None:
            return known
        row = tx.one("SELECT name FROM kernels WHERE no = :no", no=no)
        assert row is not None
        name: str = row[0]
        tx.learned.append(lambda: self._kernel_names.__setitem__(no, name))
        return name


def _number(tx: Tx, find: str, insert: str, key: Mapping[str, Any], facts: Mapping[str, Any]) -> int:
    """The number of a word, made when it is new; another process may make it at the same moment."""
    row = tx.one(find, **key)
    if row is None:
        tx.run(insert, **{**key, **facts})
        row = tx.one(find, **key)
    assert row is not None
    return int(row[0])


def origin_of(item: Intent | Restored | Elsewhere) -> Origin | None:
    return getattr(item, "origin", None)


_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode


def dump(value: object) -> str:
    return _encode(value)


def _place(no: int, words: Sequence[str]) -> Place:
    api, account, user, host, notebook, cell_id, label, tags, source, map_id = words
    return Place(
        no, api, account, user, host, notebook, cell_id, label, tuple(json.loads(tags or "[]")), source, map_id
    )
