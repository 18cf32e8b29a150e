"""Results beside the notebook: media and sidecars, written so that a paid result is never lost, and found again.

A file is complete and on the disk before it has its name, and the sidecar that names it is written last: at any moment a
folder holds whole takes, and perhaps a file nobody names. Two kernels may write one folder: no name is used twice.
The server names nothing; names are ours, ASCII, and hold no word of a prompt.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import re
import secrets
import threading
import time
import unicodedata
from collections import OrderedDict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ._disk import PART, room, sweep, sync, unwritable, write_durably
from ._errors import BadReply, ConfigError, DownloadFailed
from ._index import Index, is_current, preferred
from ._language import gettext as _
from ._preview import drawn_poster, pixels, poster
from ._saved import check_target
from ._sidecar import HASH_WHOLE_BYTES, SUFFIX, Damaged, Take, as_json, digest_file, edges, is_there, verify
from ._sniff import FileType, measure, sniff_file
from ._values import Media

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from ._values import Call, Reply, Reuse

__all__ = ["Draft", "Store", "Take", "fingerprint", "take_of"]

SANDBOX: Final = "sandbox"
FINGERPRINT_VERSION: Final = 1
NEED_BYTES: Final = 32 * 1024 * 1024
POSTER_BYTES: Final = 48 * 1024
_RUNS: Final = 512
_TRIED_S: Final = 5.0


class Store:
    """The takes of one media folder.

    `folder` is where new takes go: the one asked for, or `fallback` where that cannot be written (then `note` says
    so). Takes are found in both. `base` is the notebook's folder, from which relative links start. Thread-safe.
    """

    def __init__(self, folder: Path, *, fallback: Path, base: Path | None = None) -> None:
        self._wanted = Path(folder).absolute()
        self._fallback = Path(fallback).absolute()
        self.base = Path(base).absolute() if base else self._wanted.parent
        self.note = ""
        self._refused = False
        self._lock = threading.RLock()
        self._indexes = tuple(Index(folder) for folder in dict.fromkeys((self._wanted, self._fallback)))
        self._tried: dict[Path, float] = {}
        self._claims: OrderedDict[str, set[str]] = OrderedDict()
        self._hashed: dict[Path, tuple[int, int, int]] = {}
        self._bad: dict[Path, str] = {}
        self._swept = False

    @property
    def folder(self) -> Path:
        return self._fallback if self._refused else self._wanted

    # ---------------------------------------------------------------- before paying

    def check(self, save: str | Path | None = None, *, need_bytes: int = NEED_BYTES) -> None:
        """Refuse now what would fail after paying: a store or `--save` target that cannot be written, a full disk.

        Raises `ConfigError` for the store and `BadParam` for the target. Nothing is left behind.
        """
        folder = self._place()
        room(folder, need_bytes)
        if save is not None:
            check_target(save, folders=self._folders(), need_bytes=need_bytes)

    def _place(self) -> Path:
        """The folder new takes go to, made and tried; the fallback where the wanted one cannot be written."""
        with self._lock:
            if not self._refused:
                why_not = self._unwritable(self._wanted)
                if not why_not:
                    return self._wanted
                self._refused = True
                self.note = _("{folder} cannot be written ({why}); results go to {fallback}.").format(
                    folder=self._wanted, why=why_not, fallback=self._fallback
                )
            why_not = self._unwritable(self._fallback)
            if why_not:
                raise ConfigError(
                    _("Results can be stored neither in {folder} nor in {fallback} ({why}).").format(
                        folder=self._wanted, fallback=self._fallback, why=why_not
                    ),
                    hint=_("Set ELUMENTA_MEDIA_DIR to a folder you can write to, or free space."),
                )
            return self._fallback

    def _unwritable(self, folder: Path) -> str:
        """Tried at most every few seconds: a loop of short texts need not try before each."""
        if folder.is_dir() and time.monotonic() - self._tried.get(folder, -_TRIED_S) < _TRIED_S:
            return ""
        why_not = unwritable(folder)
        if not why_not:
            self._tried[folder] = time.monotonic()
        return why_not

    def _folders(self) -> tuple[Path, ...]:
        return (self._wanted, self._fallback)

    # ---------------------------------------------------------------- finding

    def fingerprint(self, call: Call, api: str) -> str:
        """What two calls must share to have one result: the origin and all that was given, never defaults."""
        return fingerprint(call, api)

    def find(self, call: Call, api: str, *, policy: Reuse | None = None) -> Take | None:
        """The take to show instead of buying, claimed for this run of the cell; ``None``: buy.

        Preferred: the same cell, then the same source, then what the last ``--fresh`` bought, then the oldest. One
        take is handed out once in a run (`call.origin.run`). A damaged take is passed over (`damaged` says why), and
        so is a cut text. With ``only`` a take of another origin may be shown, the sandbox's last.
        """
        with self._lock:
            claimed = self._claimed(call.origin.run) if call.origin.run else set()  # a script asks for each by itself
            for take in self._offered(call, api, policy or call.reuse):
                if take.id in claimed or (call.origin.run and take.run == call.origin.run):
                    continue
                claimed.add(take.id)
                return take
        return None

    def peek(self, call: Call, api: str, *, policy: Reuse | None = None) -> list[Take]:
        """All takes that `find` could hand out in a new run, the preferred first; none is claimed."""
        with self._lock:
            return list(self._offered(call, api, policy or call.reuse))

    def known(self) -> list[Take]:
        """Every take by its sidecar alone; the files are not compared."""
        with self._lock:
            self._refresh()
            return [take for index in self._indexes for take in index.takes()]

    def _offered(self, call: Call, api: str, policy: Reuse) -> Iterator[Take]:
        if policy == "off" or (call.fresh and policy != "only"):
            return
        for take in self._candidates(call, api, policy):
            if take.complete and (take.media or policy != "media") and self._sound(take):
                yield take

    def _candidates(self, call: Call, api: str, policy: Reuse) -> Iterator[Take]:
        self._refresh()
        others = {known for index in self._indexes for known in index.apis} - {api} if policy == "only" else set()
        for origin in [api, *sorted(others, key=lambda other: (other == SANDBOX, other))]:
            wanted = fingerprint(call, origin)
            found = [
                take
                for index in self._indexes
                for take in index.of(wanted)
                if (take.api, take.category, take.model) == (origin, call.category, call.model)
            ]
            yield from preferred(found, call)

    def _claimed(self, run: str) -> set[str]:
        claimed = self._claims.setdefault(run, set())
        self._claims.move_to_end(run)
        while len(self._claims) > _RUNS:
            self._claims.popitem(last=False)
        return claimed

    def _sound(self, take: Take) -> bool:
        try:
            if not is_current(take):
                self._refresh(force=True)
                return False
            verify(take, self._hashed)
        except Damaged as why:
            self._bad[take.path] = str(why)
            return False
        self._bad.pop(take.path, None)
        return True

    def take(self, take_id: str) -> Take | None:
        """The take of that id, if it is sound."""
        return next(self._where(lambda take: take.id == take_id), None)

    def of_call(self, call_id: int, api: str) -> Take | None:
        """The take that the ledger's row bought, a whole one before one that was cut."""
        with self._lock:
            self._refresh()
            found = [take for index in self._indexes for take in index.of_call(call_id) if take.api == api]
            return next((take for take in sorted(found, key=lambda take: not take.complete) if self._sound(take)), None)

    def holds(self, fingerprints: Iterable[str], *, category: str, model: str) -> set[str]:
        """Those of the fingerprints that have a whole take, for a plan over many: the folder is read once.

        A file is looked at (its size), not hashed: who shows a take compares the hash.
        """
        held: set[str] = set()
        with self._lock:
            self._refresh()
            for wanted in fingerprints:
                for index in self._indexes:
                    if index.has_text(wanted) or any(
                        take.complete and (take.category, take.model) == (category, model) and is_there(take)
                        for take in index.beside(wanted)
                    ):
                        held.add(wanted)
                        break
        return held

    def brief(self, wanted: str, call: Call) -> Take | None:
        """The take of a fingerprint that `holds` told, by its sidecar or line alone; the folder is not read again."""
        with self._lock:
            found = [take for index in self._indexes for take in index.of(wanted) if take.complete and is_there(take)]
        return preferred(found, call)[0] if found else None

    @property
    def apis(self) -> set[str]:
        """Where its takes were bought."""
        with self._lock:
            self._refresh()
            return {known for index in self._indexes for known in index.apis}

    def belongs(self, folder: Path) -> bool:
        """Whether results that were to go to this folder are looked for here."""
        return folder in self._folders()

    def without_take(self, api: str, call_ids: Collection[int]) -> set[int]:
        """Those of the calls that have no result here; one that is damaged or was cut is none."""
        return {call_id for call_id in call_ids if not ((take := self.of_call(call_id, api)) and take.complete)}

    def takes(self) -> list[Take]:
        """All sound takes, the oldest first; every file is compared with its hash."""
        return sorted(self._where(lambda _take: True), key=lambda take: (take.created_at, take.id))

    def _where(self, wanted: Callable[[Take], bool]) -> Iterator[Take]:
        with self._lock:
            self._refresh()
            found = [take for index in self._indexes for take in index.takes() if wanted(take)]
            return iter([take for take in found if self._sound(take)])

    @property
    def damaged(self) -> dict[Path, str]:
        """Sidecars that are not shown, and why."""
        with self._lock:
            self._refresh()
            return {**{path: why for index in self._indexes for path, why in index.damaged.items()}, **self._bad}

    def _refresh(self, *, force: bool = False) -> None:
        for index in self._indexes:
            index.refresh(force=force)
        gone = [path for path in self._bad if not path.exists()]
        for path in gone:
            del self._bad[path]

    # ---------------------------------------------------------------- writing

    def begin(self, call: Call, api: str, known: str = "") -> Draft:
        """A place for the result of a call that is about to be sent. Raises `ConfigError` where there is none.

        `known` is the fingerprint of a call of an earlier kernel, whose prompt is not known any more.
        """
        folder = self._place()
        with self._lock:
            if not self._swept:
                self._swept = True
                sweep(folder)
        return Draft(self, folder, call, api, known)

    def _committed(self, take: Take) -> None:
        with self._lock:
            if take.run:
                self._claimed(take.run).add(take.id)
            for item in take.media:
                with contextlib.suppress(OSError):
                    status = item.path.lstat()
                    self._hashed[item.path] = (status.st_ino, status.st_size, status.st_mtime_ns)


class Draft:
    """A result on its way into the store: stream the file to `path`, a thumbnail to `poster_path`, then `commit`."""

    def __init__(self, store: Store, folder: Path, call: Call, api: str, known: str = "") -> None:
        self._store = store
        self._call = call
        self._api = api
        self._fingerprint = known or fingerprint(call, api)
        self.folder = folder
        self.id = secrets.token_hex(5)
        self.stem = stem(call.origin.label, call.category, call.model, self.id)
        self.path = folder / f".{self.stem}{PART}"
        self.poster_path = folder / f".{self.stem}.poster{PART}"

    def discard(self) -> None:
        """Remove what was written so far; harmless when nothing was."""
        for path in (self.path, self.poster_path):
            with contextlib.suppress(OSError):
                path.unlink()

    def commit(
        self,
        reply: Reply,
        *,
        tokens: int,
        quoted: int = 0,
        digest: str = "",
        call_id: int | None = None,
        latency_s: float | None = None,
        balance_after: int | None = None,
        complete: bool = True,
    ) -> Take:
        """Make it a take: the file gets its name, then the sidecar is written.

        `digest` is the file's sha256 where the download has it already. `complete` is false for a text cut in the
        middle. Raises `BadReply` where the reply holds no result, `DownloadFailed` where the disk refuses (the
        partial file stays, and the call can be collected again).
        """
        try:
            take = self._take(reply, digest, tokens=tokens, call_id=call_id)
            take = dataclasses.replace(
                take,
                quoted=quoted,
                latency_s=latency_s,
                balance_after=balance_after if balance_after is not None else reply.balance,
                complete=complete,
            )
            write_durably(take.path, as_json(take))
        except OSError as error:
            raise DownloadFailed(
                _("The result could not be stored in {folder}: {why}.").format(
                    folder=self.folder, why=error.strerror or error
                ),
                hint=_("Free space or choose another folder, then: %elumenta recover"),
                tokens=tokens,
                call_id=call_id,
            ) from error
        self._store._committed(take)  # noqa: SLF001 - one concern in two classes
        return take

    def _take(self, reply: Reply, digest: str, *, tokens: int, call_id: int | None) -> Take:
        media: tuple[Media, ...] = ()
        hashes: tuple[str, ...] = ()
        if self.path.exists():
            item, ends = self._media(reply, digest)
            media, hashes = (item,), (ends,)
        elif reply.text is None:
            raise BadReply(_("The server reports a result but sent none."), spent="yes", tokens=tokens, call_id=call_id)
        take = take_of(
            self._call,
            reply,
            api=self._api,
            fingerprint=self._fingerprint,
            folder=self.folder,
            name=self.stem + SUFFIX,
            take_id=self.id,
            tokens=tokens,
            call_id=call_id,
        )
        return dataclasses.replace(take, media=media, edges=hashes)

    def _media(self, reply: Reply, digest: str) -> tuple[Media, str]:
        kind = sniff_file(self.path)
        size = self.path.stat().st_size
        sync(self.path)
        final = self.folder / f"{self.stem}.{kind.ext}"
        digest = digest or digest_file(self.path)
        ends = edges(self.path) if size > HASH_WHOLE_BYTES else ""
        told = measure(self.path, kind)
        wide, high = (pixels(self.path) if kind.family == "image" else None) or (told.width, told.height)
        length = told.duration_s if told.duration_s is not None else reply.duration_s
        wide, high = (wide or reply.width, high or reply.height) if kind.family in ("image", "video") else (None, None)
        self.path.replace(final)
        still = self._poster(kind, wide, high, length) if kind.family == "video" else None
        with contextlib.suppress(OSError):
            self.poster_path.unlink()
        item = Media(
            path=final,
            mime=kind.mime,
            size_bytes=size,
            digest=digest,
            width=wide if wide and 0 < wide <= 65_535 else None,
            height=high if high and 0 < high <= 65_535 else None,
            duration_s=length if length is not None and 0 <= length < 10**6 else None,
            poster=still,
        )
        return item, ends

    def _poster(self, kind: FileType, width: int | None, height: int | None, length: float | None) -> Path | None:
        """A still beside the video. It is a convenience: without one the video is stored all the same."""
        with contextlib.suppress(Exception):
            data = b""
            with contextlib.suppress(OSError), self.poster_path.open("rb") as file:
                data = file.read(8 * 1024 * 1024)
            found = poster(data, limit_bytes=POSTER_BYTES) if data else None
            if found is None:
                caption = " - ".join([self._call.model, *([f"{length:g} s"] if length else []), kind.ext])
                found = drawn_poster(caption, width=width, height=height, limit_bytes=POSTER_BYTES)
            path = self.folder / f"{self.stem}.poster.jpg"
            write_durably(path, found.data)
            return path
        return None


def take_of(
    call: Call,
    reply: Reply,
    *,
    api: str,
    fingerprint: str,
    folder: Path,
    name: str,
    take_id: str,
    tokens: int,
    call_id: int | None,
    **more: Any,
) -> Take:
    """What is kept of a reply to a call; `name` is the file in `folder` that it is written to."""
    origin = call.origin
    return Take(
        id=take_id,
        folder=folder,
        name=name,
        api=api,
        category=call.category,
        model=call.model,
        fingerprint=fingerprint,
        created_at=datetime.now(UTC),
        prompt=call.prompt,
        params=dict(call.params),
        messages_hash=_messages_hash(call),
        text=reply.text,
        url=(reply.url or "")[:4000],
        tokens=tokens,
        generation_id=reply.id,
        call_id=call_id,
        cell_id=origin.cell_id[:500],
        source_hash=origin.source_hash[:500],
        run=origin.run[:500],
        label=origin.label[:500],
        fresh=call.fresh,
        usage=dict(reply.usage) if reply.usage is not None else None,
        raw=dict(reply.raw),
        **more,
    )


def fingerprint(call: Call, api: str) -> str:
    """sha256 over the version, the origin, category, model, rendered prompt, given parameters, turns and inputs."""
    facts = {
        "version": FINGERPRINT_VERSION,
        "api": api,
        "category": call.category,
        "model": call.model,
        "prompt": call.prompt,
        "params": dict(call.params),
        "messages": [[message.role, message.content] for message in call.messages],
        "inputs": [[item.param, item.digest or item.url] for item in call.inputs],
    }
    text = json.dumps(facts, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _messages_hash(call: Call) -> str:
    if not call.messages:
        return ""
    text = json.dumps([[message.role, message.content] for message in call.messages])
    return hashlib.sha256(text.encode()).hexdigest()


# -------------------------------------------------------------------- names


def stem(label: str, category: str, model: str, take_id: str) -> str:
    """``<label or category>-<model>-<id>``: ASCII, at most 100 characters, no device name, no leading dot."""
    return "-".join(part for part in (_word(label) or _word(category) or "result", _word(model), take_id) if part)


def _word(text: str) -> str:
    """The text as part of a file name; empty where that would lose a letter (Cyrillic, for one)."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    if any(char.isalnum() and not char.isascii() for char in plain):
        return ""
    return re.sub(r"[^A-Za-z0-9]+", "-", plain.replace(".", "-"))[:40].strip("-")
