"""The JSON beside each stored result: what it is, what it cost, and which call it answers.

A folder of results travels with its notebook, so a sidecar may come from a stranger: it is read like hostile input.
It names files by bare names inside its own folder, with their size and hash; nothing else in it reaches a file system.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from ._language import gettext as _
from ._sniff import HEAD_BYTES, sniff
from ._values import MAX_TOKENS, Media

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "MAX_SIDECAR_BYTES",
    "SUFFIX",
    "VERSION",
    "Damaged",
    "Take",
    "as_json",
    "as_row",
    "compact",
    "digest_file",
    "edges",
    "from_bytes",
    "from_json",
    "is_safe_name",
    "is_there",
    "verify",
]

SUFFIX: Final = ".elumenta.json"
VERSION: Final = 1
MAX_SIDECAR_BYTES: Final = 16 * 1024 * 1024
MAX_MEDIA: Final = 16
HASH_WHOLE_BYTES: Final = 64 * 1024 * 1024  # larger files are compared by size and both ends
_EDGE: Final = 1024 * 1024
_CHUNK: Final = 1024 * 1024
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_ID: Final = re.compile(r"[0-9a-f]{10}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_MIME: Final = re.compile(r"[a-z]+/[a-z0-9.+-]{1,60}")
_DEEPEST: Final = 64
_DEVICES: Final = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}


class Damaged(Exception):  # noqa: N818 - it never leaves the store: a damaged take is skipped and listed
    """Why a sidecar or its files are not shown, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """One stored result of a call. `tokens` is what was charged when it was made; `api` is ``sandbox`` or an origin.

    `fresh`: bought although a take existed, so it is the one shown. `complete` is false for text cut in the middle.
    """

    id: str
    folder: Path
    name: str  # of the sidecar, in `folder`
    api: str
    category: str
    model: str
    fingerprint: str
    created_at: datetime
    prompt: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    messages_hash: str = ""
    text: str | None = None
    media: tuple[Media, ...] = ()
    url: str = ""
    tokens: int = 0
    quoted: int = 0
    balance_after: int | None = None
    latency_s: float | None = None
    generation_id: int | str | None = None
    call_id: int | None = None
    cell_id: str = ""
    source_hash: str = ""
    run: str = ""
    label: str = ""
    fresh: bool = False
    complete: bool = True
    usage: Mapping[str, Any] | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)
    offset: int | None = None  # where its line begins, of a take in a file of texts
    edges: tuple[str, ...] = ()  # of the large media, in order: hash of both ends; "" for a file hashed whole

    @property
    def path(self) -> Path:
        """The sidecar."""
        return self.folder / self.name

    @property
    def sandbox(self) -> bool:
        return self.api == "sandbox"


def is_safe_name(name: object) -> bool:
    """Whether a string can only be the name of a file in the folder it stands in, on every system."""
    return (
        isinstance(name, str)
        and _NAME.fullmatch(name) is not None
        and not name.endswith(".")
        and name.split(".")[0].lower() not in _DEVICES
    )


def as_json(take: Take) -> bytes:
    """The sidecar's bytes."""
    row = as_row(take)
    return (_dumped(row, indent=1) or _dumped(_lean(row), indent=1) or b"{}") + b"\n"


def as_row(take: Take) -> dict[str, Any]:
    """What is written of a take."""
    media = [
        {
            "file": item.path.name,
            "mime": item.mime,
            "bytes": item.size_bytes,
            "sha256": item.digest,
            "width": item.width,
            "height": item.height,
            "duration_s": item.duration_s,
            "poster": item.poster.name if item.poster else None,
            **({"edges": edge} if edge else {}),
        }
        for item, edge in zip(take.media, take.edges or ("",) * len(take.media), strict=True)
    ]
    return {
        "elumenta_nb": VERSION,
        "id": take.id,
        "api": take.api,
        "category": take.category,
        "model": take.model,
        "prompt": take.prompt,
        "params": dict(take.params),
        "messages_hash": take.messages_hash,
        "fingerprint": take.fingerprint,
        "created_at": take.created_at.astimezone(UTC).isoformat(),
        "text": take.text,
        "media": media,
        "url": take.url,
        "tokens": take.tokens,
        "quoted": take.quoted,
        "balance_after": take.balance_after,
        "latency_s": take.latency_s,
        "generation_id": take.generation_id,
        "call_id": take.call_id,
        "cell_id": take.cell_id,
        "source_hash": take.source_hash,
        "run": take.run,
        "label": take.label,
        "fresh": take.fresh,
        "complete": take.complete,
        "usage": dict(take.usage) if take.usage is not None else None,
        "raw": dict(take.raw),
    }


def compact(row: dict[str, Any]) -> bytes:
    """The row as one line of JSON, without its line break."""
    return _dumped(row) or _dumped(_lean(row)) or b"{}"


def _lean(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "raw": {}, "usage": None}


def _dumped(row: dict[str, Any], *, indent: int | None = None) -> bytes | None:
    """A reply may hold what JSON cannot (a lone surrogate is escaped; depth and odd objects are given up)."""
    if _is_deep(row):  # how deep JSON may nest differs between versions of Python, and between writing and reading
        return None
    try:
        separators = (",", ":") if indent is None else None
        return json.dumps(row, ensure_ascii=True, indent=indent, separators=separators, default=str).encode("ascii")
    except (TypeError, ValueError, RecursionError):
        return None


def _is_deep(value: Any) -> bool:
    """Whether it nests deeper than any reply does."""
    level = [value]
    for _depth in range(_DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list | tuple)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def from_json(folder: Path, name: str) -> Take | None:
    """The take a sidecar describes, ``None`` for a JSON file that is not a sidecar. Raises `Damaged`.

    Only the sidecar is read; the files it names are compared by `verify`.
    """
    return from_bytes(folder, name, _read_plain(folder / name, MAX_SIDECAR_BYTES))


def from_bytes(folder: Path, name: str, data: bytes) -> Take | None:
    """As `from_json`, of bytes that were read."""
    try:
        row = json.loads(data)
    except (ValueError, RecursionError):
        raise Damaged(_("{name} cannot be read as JSON.").format(name=name)) from None
    if not isinstance(row, dict) or "elumenta_nb" not in row:
        return None
    version = row["elumenta_nb"]
    if isinstance(version, int) and version > VERSION:
        raise Damaged(_("{name} was written by a newer version of this package.").format(name=name))
    try:
        return _take(folder, name, _Reader(row))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Damaged(
            _("{name} is not a sidecar as this package writes it: {why}").format(name=name, why=error)
        ) from None


class _Reader:
    """Reads fields of the expected type; anything else raises `ValueError` naming the field, never its value."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        self.row = row

    def text(self, name: str, *, longest: int = 500) -> str:
        value = self.row.get(name)
        if value is None:
            return ""
        if not isinstance(value, str) or len(value) > longest:
            raise ValueError(name)
        return value

    def matching(self, name: str, pattern: re.Pattern[str]) -> str:
        value = self.row.get(name)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(name)
        return value

    def whole(self, name: str, *, most: int = MAX_TOKENS) -> int | None:
        value = self.row.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise ValueError(name)
        return value

    def number(self, name: str) -> float | None:
        value = self.row.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
            raise ValueError(name)
        return float(value)

    def flag(self, name: str, *, default: bool) -> bool:
        value = self.row.get(name, default)
        if not isinstance(value, bool):
            raise ValueError(name)  # noqa: TRY004 - one kind of refusal for every field
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        value = self.row.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise ValueError(name)  # noqa: TRY004 - as above
        return value

    def items(self, name: str) -> list[Mapping[str, Any]]:
        value = self.row.get(name) or []
        if not isinstance(value, list) or len(value) > MAX_MEDIA or not all(isinstance(item, dict) for item in value):
            raise ValueError(name)
        return value


def _take(folder: Path, name: str, row: _Reader) -> Take:
    media, hashed = [], []
    for item in map(_Reader, row.items("media")):
        file, beside = item.row.get("file"), item.row.get("poster")
        if not is_safe_name(file):
            raise ValueError("media.file")
        if beside is not None and not is_safe_name(beside):
            raise ValueError("media.poster")
        size = item.whole("bytes", most=2**50)
        if size is None:
            raise ValueError("media.bytes")
        media.append(
            Media(
                path=folder / str(file),
                mime=item.matching("mime", _MIME),
                size_bytes=size,
                digest=item.matching("sha256", _DIGEST),
                width=item.whole("width", most=65_535),
                height=item.whole("height", most=65_535),
                duration_s=item.number("duration_s"),
                poster=folder / beside if beside else None,
            )
        )
        hashed.append(item.matching("edges", _DIGEST) if "edges" in item.row else "")
    text = row.row.get("text")
    if text is not None and not isinstance(text, str):
        raise ValueError("text")
    generation = row.row.get("generation_id")
    if isinstance(generation, bool) or not isinstance(generation, int | str | None) or len(str(generation)) > 200:
        raise ValueError("generation_id")
    created = datetime.fromisoformat(row.text("created_at"))
    if created.tzinfo is None:
        raise ValueError("created_at")
    return Take(
        id=row.matching("id", _ID),
        folder=folder,
        name=name,
        api=row.text("api"),
        category=row.text("category"),
        model=row.text("model"),
        fingerprint=row.matching("fingerprint", _DIGEST),
        created_at=created.astimezone(UTC),
        prompt=row.text("prompt", longest=MAX_SIDECAR_BYTES),
        params=row.mapping("params"),
        messages_hash=row.text("messages_hash"),
        text=text,
        media=tuple(media),
        url=row.text("url", longest=4000),
        tokens=row.whole("tokens") or 0,
        quoted=row.whole("quoted") or 0,
        balance_after=row.whole("balance_after"),
        latency_s=row.number("latency_s"),
        generation_id=generation,
        call_id=row.whole("call_id", most=2**62),
        cell_id=row.text("cell_id"),
        source_hash=row.text("source_hash"),
        run=row.text("run"),
        label=row.text("label"),
        fresh=row.flag("fresh", default=False),
        complete=row.flag("complete", default=True),
        usage=row.mapping("usage") or None,
        raw=row.mapping("raw"),
        edges=tuple(hashed),
    )


def verify(take: Take, known: dict[Path, tuple[int, int, int]]) -> None:
    """Raise `Damaged` unless every file of the take is what its sidecar says.

    `known` remembers (inode, size, mtime) of files whose hash has been compared, so each is hashed once a process; a
    checkout changes the mtime and costs one more hash. A file above 64 MiB is compared by size and its two ends.
    """
    if take.text is None and not take.media:
        raise Damaged(_("{name} has neither a text nor a file.").format(name=take.name))
    for item, edge in zip(take.media, take.edges or ("",) * len(take.media), strict=True):
        _verify_file(item, edge, known)
        if item.poster is not None and not stat.S_ISREG(_status(item.poster).st_mode):
            raise Damaged(_("{file} is not an ordinary file.").format(file=item.poster.name))


def is_there(take: Take) -> bool:
    """Whether its files are there in their sizes; what is in them is not read."""
    try:
        return all(item.path.lstat().st_size == item.size_bytes for item in take.media)
    except OSError:
        return False


def _verify_file(item: Media, edge: str, known: dict[Path, tuple[int, int, int]]) -> None:
    name = item.path.name
    status = _status(item.path)
    if not stat.S_ISREG(status.st_mode):
        raise Damaged(_("{file} is not an ordinary file.").format(file=name))
    if status.st_size != item.size_bytes:
        raise Damaged(
            _("{file} has {found} bytes, {expected} were stored.").format(
                file=name, found=status.st_size, expected=item.size_bytes
            )
        )
    seen = (status.st_ino, status.st_size, status.st_mtime_ns)
    if known.get(item.path) == seen:
        return
    try:
        whole = item.size_bytes <= HASH_WHOLE_BYTES or not edge
        same = digest_file(item.path) == item.digest if whole else edges(item.path) == edge
        with item.path.open("rb") as file:
            kind = sniff(file.read(HEAD_BYTES))
    except OSError as error:
        raise Damaged(_("{file} cannot be read: {why}").format(file=name, why=error.strerror)) from None
    if not same:
        raise Damaged(_("{file} is not the file that was stored (its hash differs).").format(file=name))
    if kind.mime != item.mime:
        raise Damaged(_("{file} is {found}, not {told}.").format(file=name, found=kind.mime, told=item.mime))
    known[item.path] = seen


def _status(path: Path) -> os.stat_result:
    try:
        return path.lstat()
    except (OSError, ValueError):
        raise Damaged(_("{file} is missing.").format(file=path.name)) from None


def _read_plain(path: Path, most: int) -> bytes:
    """The bytes of an ordinary file, not followed through a link, at most `most` of them."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise Damaged(_("{file} cannot be read: {why}").format(file=path.name, why=error.strerror)) from None
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise Damaged(_("{file} is not an ordinary file.").format(file=path.name))
        data = file.read(most + 1)
    if len(data) > most:
        raise Damaged(_("{file} is too large for a sidecar.").format(file=path.name))
    return data


def digest_file(path: Path) -> str:
    """The sha256 of a file, read in pieces."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            found.update(piece)
    return found.hexdigest()


def edges(path: Path) -> str:
    """The sha256 of a large file's first and last MiB."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        found.update(file.read(_EDGE))
        file.seek(-_EDGE, os.SEEK_END)
        found.update(file.read(_EDGE))
    return found.hexdigest()
