"""`Result`: what a call returns. Plain data that shows itself in a notebook, prints, pickles and compares."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

from ._language import gettext as _, tokens as _tokens
from ._preview import converted, preview
from ._render import EMBED_BYTES, PICTURE_BYTES, File, Shown, Viewer, bundle, embeds, file_facts, link, viewer_of
from ._saved import save_copy

if TYPE_CHECKING:
    from pathlib import Path

    from ._sidecar import Take
    from ._values import Media, Receipt, Reply

__all__ = ["Result", "code_of", "parse_json"]

_FENCE: Final = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n`]*\n(.*?)^[ \t]*\1[`~]*[ \t]*$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A finished generation.

    `id` is the ledger's row, `generation_id` the server's number; `text` is what a model wrote, `path` and `paths` are
    files on this machine, `url` is where the server kept the file. In Elumenta tokens: `tokens` is what this call was
    charged (0 when `reused`), `paid` what the result cost when it was made, `quoted` the price told before,
    `balance_after` what the reply said was left (``None``: it did not). `latency` is in seconds; `llm_usage` is the
    provider's own count, never billed; `raw` is the reply as received, without the key. `str()` gives the text, or the
    path of the file.
    """

    id: int | None = None
    generation_id: int | str | None = None
    model: str = ""
    category: str = ""
    status: str = "completed"
    text: str | None = None
    media: tuple[Media, ...] = ()
    url: str | None = None
    tokens: int = 0
    quoted: int = 0
    paid: int = 0
    balance_after: int | None = None
    latency: float | None = None
    reused: bool = False
    llm_usage: dict[str, Any] | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False)
    sandbox: bool = False
    complete: bool = True
    shape: str = "markdown"
    receipt: Receipt | None = None
    take_id: str = ""
    folder: Path | None = None  # of the store
    base: Path | None = None  # of the notebook: relative links start there
    viewer: Viewer | None = None  # None: as the place it is shown in needs

    @classmethod
    def from_take(
        cls,
        take: Take,
        *,
        base: Path | None = None,
        reused: bool = False,
        call_id: int | None = None,
        shape: str | None = None,
        viewer: Viewer | None = None,
        receipt: Receipt | None = None,
    ) -> Result:
        """The result of a stored take. `reused`: it was found, not bought, so this call cost nothing."""
        return cls(
            id=call_id if call_id is not None else take.call_id,
            generation_id=take.generation_id,
            model=take.model,
            category=take.category,
            text=take.text,
            media=take.media,
            url=take.url or None,
            tokens=0 if reused else take.tokens,
            quoted=take.quoted,
            paid=take.tokens,
            balance_after=take.balance_after,
            latency=take.latency_s,
            reused=reused,
            llm_usage=dict(take.usage) if take.usage is not None else None,
            raw=dict(take.raw),
            sandbox=take.sandbox,
            complete=take.complete,
            shape=shape or "markdown",
            receipt=receipt,
            take_id=take.id,
            folder=take.folder,
            base=base,
            viewer=viewer,
        )

    @classmethod
    def from_reply(
        cls,
        reply: Reply,
        *,
        model: str,
        category: str,
        tokens: int,
        quoted: int = 0,
        call_id: int | None = None,
        latency: float | None = None,
        sandbox: bool = False,
        status: str | None = None,
        complete: bool = True,
        shape: str | None = None,
        receipt: Receipt | None = None,
    ) -> Result:
        """A result without a stored file: a text that was not kept, or a generation that failed."""
        return cls(
            id=call_id,
            generation_id=reply.id,
            model=model,
            category=category,
            status=status or reply.status or "completed",
            text=reply.text,
            url=reply.url,
            tokens=tokens,
            quoted=quoted,
            paid=tokens,
            balance_after=reply.balance,
            latency=latency,
            llm_usage=dict(reply.usage) if reply.usage is not None else None,
            raw=dict(reply.raw),
            sandbox=sandbox,
            complete=complete,
            shape=shape or "markdown",
            receipt=receipt,
        )

    @property
    def path(self) -> Path | None:
        """The stored file, ``None`` for a text."""
        return self.media[0].path if self.media else None

    @property
    def paths(self) -> list[Path]:
        """All stored files."""
        return [item.path for item in self.media]

    @property
    def mime(self) -> str:
        """The type of the file as its bytes tell it; ``text/plain`` for a text."""
        return self.media[0].mime if self.media else "text/plain"

    @property
    def value(self) -> Any:
        """The text (`json`: parsed, `code`: without its fence), or the path of the file."""
        if self.text is None:
            return self.path
        return _SHAPES.get(self.shape, str)(self.text)

    def save(self, path: str | Path) -> Path:
        """Write a copy of the file, or the text, to `path` (a file, or a folder); the path written.

        A picture becomes PNG, JPEG or WebP as the path's extension says. Raises `BadParam` where that cannot be
        written or would replace a file that is not an earlier copy.
        """
        folders = [self.folder] if self.folder else []
        if self.media:
            item = self.media[0]
            asked = _PICTURES.get(PurePath(path).suffix.lower(), item.mime)
            other = converted(item.path, asked) if asked != item.mime and item.mime in _PICTURES.values() else None
            return save_copy(other or item.path, path, name=item.path.name, folders=folders)
        name = f"{self.category or 'text'}-{self.take_id or self.id or 'result'}.txt"
        return save_copy((self.text or "").encode("utf-8", "replace"), path, name=name, folders=folders)

    def __str__(self) -> str:
        return self.text if self.text is not None else str(self.path or "")

    def __repr__(self) -> str:
        what = [part for part in (self.category, self.model) if part]
        facts = [self._relative(self.path), file_facts(self._file(self.media[0]))] if self.path else []
        if self.text is not None:
            short = " ".join(self.text[:200].split())
            facts = [repr(short[:60] + ("…" if len(short) > 60 or len(self.text) > 200 else ""))]
        marks = [*(["SANDBOX"] if self.sandbox else []), *([self.status] if self.status != "completed" else [])]
        return f"<Result {' · '.join([*marks, ' '.join(what), _tokens(self.paid), *facts])}>"

    def __hash__(self) -> int:
        return hash((self.id, self.generation_id, self.take_id, self.model, self.text))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:  # noqa: ARG002 - IPython's protocol
        return bundle(self.shown())

    def shown(self, viewer: Viewer | None = None) -> Shown:
        """The facts and bytes a notebook shows."""
        viewer = viewer or self.viewer or viewer_of(os.environ)
        value = self.value if self.text is not None and self.shape in _SHAPES else None
        facts = {
            "model": self.model,
            "category": self.category,
            "tokens": self.tokens,
            "paid": self.paid,
            "call_id": self.id,
            "generation_id": self.generation_id,
            "reused": self.reused,
            "sandbox": self.sandbox,
            "files": [self._relative(path) for path in self.paths],
        }
        return Shown(
            model=self.model,
            tokens=self.paid,
            text=self.text,
            shape=self.shape,
            value=value,
            files=tuple(self._file(item, viewer) for item in self.media),
            sandbox=self.sandbox,
            complete=self.complete,
            status=self.status,
            facts=facts,
        )

    def _file(self, item: Media, viewer: Viewer | None = None) -> File:
        """With a viewer: with the bytes it is shown by."""
        href = self._href(item.path)
        picture = data = None
        if viewer is not None:
            how: Viewer = viewer if href or viewer == "embed" else "embed"
            limit = EMBED_BYTES if viewer == "embed" else PICTURE_BYTES
            if item.mime.startswith("image/"):
                picture = preview(item.path, limit_bytes=limit)
            elif item.poster is not None:
                picture = preview(item.poster, limit_bytes=PICTURE_BYTES // 3)
            if not item.mime.startswith("image/") and embeds(item.mime, item.size_bytes, how):
                data = _read(item.path, item.size_bytes)
        return File(
            name=self._relative(item.path),
            mime=item.mime,
            size_bytes=item.size_bytes,
            href=href,
            width=item.width,
            height=item.height,
            duration_s=item.duration_s,
            picture=picture,
            data=data,
        )

    def _relative(self, path: Path | None) -> str:
        """The path from the notebook's folder with forward slashes; its bare name where it lies elsewhere."""
        if path is None:
            return ""
        if self.base is not None:
            try:
                return path.relative_to(self.base).as_posix()
            except ValueError:
                pass
        return path.name

    def _href(self, path: Path) -> str:
        """Empty where the file is not below the notebook's folder: a server serves nothing outside its root."""
        if self.base is None or not path.is_relative_to(self.base):
            return ""
        return link(path.relative_to(self.base).as_posix())


def _read(path: Path, size: int) -> bytes | None:
    try:
        with path.open("rb") as file:
            data = file.read(size + 1)
    except OSError:
        return None
    return data if len(data) == size else None


def code_of(text: str) -> str:
    """The code of an answer: what its first fence holds, else all of it."""
    found = _FENCE.search(text)
    return (found[2] if found else text).strip("\n")


def parse_json(text: str) -> Any:
    """The JSON value of an answer, its fence stripped. Raises `ValueError` where it is none."""
    try:
        return _decoded(text.strip())
    except ValueError:
        return _decoded(code_of(text).strip())


def _decoded(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError(_("nested too deeply")) from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _json_or_text(text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError:
        return text


_PICTURES: Final = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
_SHAPES: Final = {"json": _json_or_text, "code": code_of}
