"""Files of texts: many takes of one map in one file, a line of JSON each, only ever appended to.

A sidecar and an fsync for each of 10,000 short texts would be slow and ugly. A line ends with a checksum of what is
before it, so that damage is noticed; a last line without its end was being written when the kernel died, and is left
alone. As with sidecars, a file may come from a stranger and is read like hostile input.
"""

from __future__ import annotations

import os
import re
import stat
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from ._language import gettext as _
from ._sidecar import MAX_SIDECAR_BYTES, Damaged, Take, as_row, compact, from_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader
    from pathlib import Path

__all__ = ["PREFIX", "TEXTS", "Found", "as_line", "is_texts", "line_at", "read_on"]

PREFIX: Final = "texts-"
TEXTS: Final = ".elumenta.jsonl"
_FIRST: Final = (
    "elumenta_nb",
    "id",
    "fingerprint",
    "call_id",
    "complete",
    "api",
)  # of a line: an index reads no further
_HEAD: Final = re.compile(
    rb'\{"elumenta_nb":1,"id":"[0-9a-f]{10}","fingerprint":"([0-9a-f]{64})","call_id":(\d{1,18}|null),'
    rb'"complete":(true|false),"api":"([^"\\]{0,300})",'
)
_SUM: Final = 18  # bytes of `,"sum":"xxxxxxxx"}`
_CHUNK: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Found:
    """A whole line. `fingerprint` is ``None`` where it is damaged."""

    offset: int
    end: int
    fingerprint: bytes | None = None
    call_id: int | None = None
    complete: bool = False
    api: str = ""


def is_texts(name: str) -> bool:
    return name.startswith(PREFIX) and name.endswith(TEXTS)


def as_line(take: Take) -> bytes:
    """The take as a line, with its line break. `take` has a text and no media."""
    row = as_row(take)
    body = compact({**{name: row[name] for name in _FIRST}, **row})[:-1]
    return b'%b,"sum":"%08x"}\n' % (body, zlib.crc32(body))


def read_on(path: Path, start: int) -> Iterator[Found]:
    """The whole lines from `start` on. Raises `OSError`."""
    with _plain(path) as file:
        file.seek(start)
        rest, at = b"", start
        while piece := file.read(_CHUNK):
            lines = (rest + piece).split(b"\n")
            rest = lines.pop()
            for line in lines:
                end = at + len(line) + 1
                yield _found(line, at, end)
                at = end
            if len(rest) > MAX_SIDECAR_BYTES:
                yield Found(at, at + len(rest))
                return


def _found(line: bytes, offset: int, end: int) -> Found:
    head = _HEAD.match(line)
    if head is None or not _is_whole(line):
        return Found(offset, end)
    fingerprint, call_id, complete, api = head.groups()
    return Found(
        offset,
        end,
        bytes.fromhex(fingerprint.decode()),
        None if call_id == b"null" else int(call_id),
        complete == b"true",
        api.decode("ascii", "replace"),
    )


def _is_whole(line: bytes) -> bool:
    tail = line[-_SUM:]
    return tail == b',"sum":"%08x"}' % zlib.crc32(line[:-_SUM])


def line_at(folder: Path, name: str, offset: int) -> Take:
    """The take of the line that begins there. Raises `Damaged`."""
    try:
        with _plain(folder / name) as file:
            file.seek(offset)
            line = file.readline(MAX_SIDECAR_BYTES)
    except OSError as error:
        raise Damaged(_("{file} cannot be read: {why}").format(file=name, why=error.strerror)) from None
    if not line.endswith(b"\n") or not _is_whole(line[:-1]):
        raise Damaged(_("A line of {file} is not what was stored.").format(file=name))
    take = from_bytes(folder, name, line)
    if take is None or take.media or take.text is None:
        raise Damaged(_("A line of {file} is not what was stored.").format(file=name))
    return replace(take, offset=offset)


def _plain(path: Path) -> BufferedReader:
    """An ordinary file, not followed through a link."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    file = os.fdopen(handle, "rb")
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        file.close()
        raise OSError(0, _("not an ordinary file"))
    return file
