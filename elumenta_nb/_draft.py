"""A result on its way into the store, and what it is called there.

A file is complete and on the disk before it has its name, and the sidecar that names it is written last. Names are ours,
ASCII, and hold no word of a prompt.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import re
import secrets
import unicodedata
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from ._disk import PART, sync, write_durably
from ._errors import BadReply, DownloadFailed
from ._language import gettext as _
from ._preview import drawn_poster, pixels, poster
from ._sidecar import HASH_WHOLE_BYTES, SUFFIX, Take, as_json, digest_file, edges
from ._sniff import FileType, measure, sniff_file
from ._values import Media

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ._values import Call, Reply

__all__ = ["Draft", "fingerprint", "stem", "take_of"]

FINGERPRINT_VERSION: Final = 1
POSTER_BYTES: Final = 48 * 1024


class Draft:
    """A result on its way into the store: stream the file to `path`, a thumbnail to `poster_path`, then `commit`."""

    def __init__(self, folder: Path, call: Call, api: str, known: str = "", *, tell: Callable[[Take], None]) -> None:
        self._tell = tell
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
        self._tell(take)
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
