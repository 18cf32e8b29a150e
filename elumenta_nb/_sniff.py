"""What a file is, from its bytes: a content type and a file name are claims, the bytes are what a browser will act on."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, Literal

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["HEAD_BYTES", "FileType", "Measures", "measure", "sniff", "sniff_file"]

HEAD_BYTES: Final = 64 * 1024
Family = Literal["image", "audio", "video", "text", "other"]


@dataclass(frozen=True, slots=True)
class FileType:
    """A MIME type, the extension its files get here, and how it may be shown (`other` and `text` never are)."""

    mime: str
    ext: str
    family: Family

    @property
    def is_page(self) -> bool:
        """Whether it is written for people or programs to read: what a server says in place of a picture or a sound."""
        return self.family == "text" or self.mime in {"text/html", "application/xml"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """What a container says of itself: pixels and seconds, ``None`` where it does not."""

    width: int | None = None
    height: int | None = None
    duration_s: float | None = None


# The extensions of HTML, SVG and scripts end in .txt: a click on the link shows their source and runs nothing.
_BINARY: Final = FileType("application/octet-stream", "bin", "other")
_HTML: Final = FileType("text/html", "html.txt", "other")
_SVG: Final = FileType("image/svg+xml", "svg.txt", "other")
_XML: Final = FileType("application/xml", "xml.txt", "other")
_JSON: Final = FileType("application/json", "json", "text")
_TEXT: Final = FileType("text/plain", "txt", "text")

_PREFIXES: Final[tuple[tuple[bytes, FileType], ...]] = (
    (b"\x89PNG\r\n\x1a\n", FileType("image/png", "png", "image")),
    (b"\xff\xd8\xff", FileType("image/jpeg", "jpg", "image")),
    (b"GIF87a", FileType("image/gif", "gif", "image")),
    (b"GIF89a", FileType("image/gif", "gif", "image")),
    (b"fLaC", FileType("audio/flac", "flac", "audio")),
    (b"ID3", FileType("audio/mpeg", "mp3", "audio")),
    (b"%PDF-", FileType("application/pdf", "pdf", "other")),
    (b"PK\x03\x04", FileType("application/zip", "zip", "other")),
    (b"\x1f\x8b", FileType("application/gzip", "gz", "other")),
    (b"BM", FileType("image/bmp", "bmp", "other")),
    (b"II*\x00", FileType("image/tiff", "tiff", "other")),
    (b"MM\x00*", FileType("image/tiff", "tiff", "other")),
)
_RIFF: Final = {
    b"WEBP": FileType("image/webp", "webp", "image"),
    b"WAVE": FileType("audio/wav", "wav", "audio"),
    b"AVI ": FileType("video/x-msvideo", "avi", "other"),
}
_MP4: Final = FileType("video/mp4", "mp4", "video")
_BRANDS: Final = {
    b"M4A ": FileType("audio/mp4", "m4a", "audio"),
    b"M4B ": FileType("audio/mp4", "m4a", "audio"),
    b"qt  ": FileType("video/quicktime", "mov", "video"),
    b"avif": FileType("image/avif", "avif", "other"),
    b"avis": FileType("image/avif", "avif", "other"),
    b"heic": FileType("image/heic", "heic", "other"),
    b"heix": FileType("image/heic", "heic", "other"),
    b"mif1": FileType("image/heic", "heic", "other"),
}
_MARKUP: Final = re.compile(
    rb"<(?:!doctype\s+html|html|head|body|script|iframe|style|title|meta|link|a|p|b|i|br|div|span|table|h[1-6]|img|"
    rb"video|audio|object|embed|form|input|base|math|template|details|!--)[\s/>!-]",
    re.IGNORECASE,
)
_SVG_TAG: Final = re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?svg[\s/>]", re.IGNORECASE)
_CONTROL: Final = bytes(set(range(32)) - {0x08, 0x09, 0x0A, 0x0C, 0x0D, 0x1B})


def sniff(head: bytes) -> FileType:
    """The type of a file that begins with `head` (its first `HEAD_BYTES`); never raises."""
    for prefix, kind in _PREFIXES:
        if head.startswith(prefix):
            return kind
    if head[:4] in (b"RIFF", b"RF64"):
        return _RIFF.get(head[8:12], _BINARY)
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], _MP4)
    if head[4:8] in (b"moov", b"mdat", b"wide"):
        return _BRANDS[b"qt  "]
    if head.startswith(b"\x1aE\xdf\xa3"):
        if b"webm" in head[:128]:
            return FileType("video/webm", "webm", "video")
        return FileType("video/x-matroska", "mkv", "other")
    if head.startswith(b"OggS"):
        theora = b"theora" in head[:256]
        return FileType("video/ogg", "ogv", "video") if theora else FileType("audio/ogg", "ogg", "audio")
    return _frames(head) or _written(head)


def _frames(head: bytes) -> FileType | None:
    """Raw MPEG audio has no signature, only a sync word whose other bits must make sense."""
    if len(head) < 4 or head[0] != 0xFF:
        return None
    if head[1] & 0xF6 == 0xF0:
        return FileType("audio/aac", "aac", "audio")
    version, layer, rate, sampling = head[1] >> 3 & 3, head[1] >> 1 & 3, head[2] >> 4, head[2] >> 2 & 3
    if head[1] & 0xE0 == 0xE0 and version != 1 and layer != 0 and rate not in (0, 15) and sampling != 3:
        return FileType("audio/mpeg", "mp3", "audio")
    return None


def _written(head: bytes) -> FileType:
    """Text told apart: markup is found anywhere in the head, as a browser that guesses would."""
    text = _utf8(head)
    if text is None:
        return _BINARY
    start = text.lstrip(b" \t\r\n\x0c")
    if _SVG_TAG.search(start) and (start[:1] == b"<"):
        return _HTML if _MARKUP.match(start) and not start.startswith(b"<!--") else _SVG
    if _MARKUP.search(start) and start[:1] == b"<":
        return _HTML
    if start.startswith(b"<?xml"):
        return _XML
    if start[:1] in (b"{", b"["):
        try:
            json.loads(start)
        except (ValueError, RecursionError):
            return _JSON if len(head) >= HEAD_BYTES else _TEXT
        return _JSON
    return _TEXT


def _utf8(head: bytes) -> bytes | None:
    """The head as UTF-8 without its mark, or ``None`` for binary data."""
    if not head:
        return None
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            head = head[: len(head) & ~1].decode("utf-16").encode()
        except ValueError:
            return None
    head = head.removeprefix(b"\xef\xbb\xbf")
    if head.translate(None, _CONTROL) != head:
        return None
    try:
        head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # a character cut at the end of the head is no error
            return None
    return head


def sniff_file(path: Path) -> FileType:
    """The type of a file on disk. Raises `OSError` when it cannot be read."""
    with path.open("rb") as file:
        return sniff(file.read(HEAD_BYTES))


def measure(path: Path, kind: FileType) -> Measures:
    """Size and length as the container tells them; a file that lies or is damaged gives ``None``s, never an error."""
    reader = _READERS.get(kind.mime)
    if reader is None:
        return Measures()
    try:
        with path.open("rb") as file:
            return reader(file, path.stat().st_size)
    except (OSError, ValueError, struct.error, IndexError, OverflowError):
        return Measures()


def _measure_mp4(file: BinaryIO, size: int) -> Measures:
    found = _box(file, 0, size, b"moov")
    if found is None:
        return Measures()
    start, end = found
    duration = width = height = None
    if header := _box(file, start, end, b"mvhd"):
        file.seek(header[0])
        body = file.read(32)
        scale, length = struct.unpack(">IQ", body[20:32]) if body[0] == 1 else struct.unpack(">II", body[12:20])
        duration = length / scale if scale else None
    at = start
    for _track in range(16):
        track = _box(file, at, end, b"trak")
        if track is None:
            break
        at = track[1]
        if header := _box(file, *track, b"tkhd"):
            file.seek(header[1] - 8)
            wide, high = struct.unpack(">II", file.read(8))
            if wide >> 16 and high >> 16:
                width, height = wide >> 16, high >> 16
                break
    return Measures(width=_side(width), height=_side(height), duration_s=_seconds(duration))


def _box(file: BinaryIO, start: int, end: int, name: bytes) -> tuple[int, int] | None:
    """Where the body of the first box of that name lies between two offsets."""
    at = start
    for _step in range(10_000):
        if at + 8 > end:
            return None
        file.seek(at)
        head = file.read(16)
        length, kind = struct.unpack(">I4s", head[:8])
        body = at + 8
        if length == 1:
            length, body = struct.unpack(">Q", head[8:16])[0], at + 16
        stop = end if length == 0 else at + length
        if stop <= at or stop > end or stop < body:
            return None
        if kind == name:
            return body, stop
        at = stop
    return None


def _measure_wav(file: BinaryIO, size: int) -> Measures:
    at, rate = 12, 0
    for _step in range(1000):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            break
        kind, length = struct.unpack("<4sI", head)
        if kind == b"fmt ":
            rate = struct.unpack("<I", file.read(16)[8:12])[0]
        if kind == b"data" and rate:
            return Measures(duration_s=_seconds(min(length, size - at - 8) / rate))
        at += 8 + length + (length & 1)
    return Measures()


def _side(pixels: int | None) -> int | None:
    return pixels if pixels and 0 < pixels <= 65_535 else None


def _seconds(length: float | None) -> float | None:
    return round(length, 3) if length is not None and 0 < length < 360_000 else None


_READERS: Final = {
    "video/mp4": _measure_mp4,
    "video/quicktime": _measure_mp4,
    "audio/mp4": _measure_mp4,
    "audio/wav": _measure_wav,
}
