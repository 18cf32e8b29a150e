"""A text stream (server-sent events) in both documented forms, fed as the bytes come. Never raises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from . import _fields as f
from ._json import clean_text, decode, parse_json, tidy
from ._replies import read_reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from elumenta_nb._values import Reply

__all__ = ["Delta", "Ended", "EventStream", "Failed", "Finished", "Lost", "Started", "StreamEvent"]

MAX_LINE: Final = 4 * 1024**2
_DELTA: Final = ("delta", "text", "content")


@dataclass(frozen=True, slots=True)
class Started:
    """`generation_start`: the id is known."""

    id: int | str | None
    model: str


@dataclass(frozen=True, slots=True)
class Delta:
    """`content_delta`: a piece of the text."""

    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """`generation_end`: what was charged."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Failed:
    """`error`: the generation failed."""

    message: str
    id: int | str | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """`[DONE]`: nothing follows."""


@dataclass(frozen=True, slots=True)
class Lost:
    """An event that cannot be read: a line beyond `MAX_LINE`, or no JSON. `is_gap`: it may have been a piece of the text."""

    is_gap: bool = field(default=True, compare=False)


StreamEvent = Started | Delta | Ended | Failed | Finished | Lost


class EventStream:
    """Turns bytes into events, however they were cut on the way. `close` gives what a missing last line break held.

    `hide` is applied to the data of each event before it is read.
    """

    def __init__(self, hide: Callable[[bytes], bytes] | None = None) -> None:
        self._hide = hide
        self._line = bytearray()
        self._skipping = False  # inside a line that is too long: nothing of it is kept
        self._after_cr = False
        self._first = True
        self._data: list[bytes] = []
        self._size = 0
        self._name = ""
        self._half = ""  # a character that was cut between two deltas

    def feed(self, chunk: bytes) -> list[StreamEvent]:
        """The events that these bytes complete."""
        events: list[StreamEvent] = []
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if chunk.endswith(b"\r"):
            self._after_cr = True
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            self._keep(end)
            events += self._end_line()
        self._keep(rest)
        return events

    def close(self) -> list[StreamEvent]:
        """The events of an unfinished last line or block, if they are whole."""
        events = self._end_line() if self._line else []
        events += self._dispatch()
        if self._half:
            events.append(Delta("\N{REPLACEMENT CHARACTER}"))
            self._half = ""
        return events

    def _keep(self, part: bytes) -> None:
        if self._skipping or not part:
            return
        if len(self._line) + len(part) > MAX_LINE:
            self._skipping = True
            self._line.clear()
        else:
            self._line += part

    def _end_line(self) -> list[StreamEvent]:
        line = bytes(self._line)
        self._line.clear()
        if self._first:
            self._first = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if self._skipping:
            self._skipping = False
            return [Lost()]
        if not line:
            return self._dispatch()
        field, _, value = line.partition(b":")
        if field == b"data":
            value = value.removeprefix(b" ")
            self._size += len(value)
            if self._size > MAX_LINE:
                self._data, self._size = [], 0
                return [Lost()]
            self._data.append(value)
        elif field == b"event":
            self._name = decode(value).strip()
        return []

    def _dispatch(self) -> list[StreamEvent]:
        data, name = b"\n".join(self._data).strip(), self._name
        self._data, self._size, self._name = [], 0, ""
        if not data:
            return []
        if data == b"[DONE]":
            return [Finished()]
        parsed = parse_json(decode(self._hide(data) if self._hide else data))
        if not parsed.whole or not isinstance(parsed.value, Mapping):
            return [Lost(is_gap=data.startswith(b"{"))]
        return self._event(parsed.value, name)

    def _event(self, obj: Mapping[str, Any], name: str) -> list[StreamEvent]:
        kind = f.first(obj, ("type",), f.word) or name
        identity = f.identity_of(obj, "id")
        if kind == "content_delta":
            piece = f.first(obj, _DELTA, _raw_text)
            if piece is None and any(isinstance(obj.get(name), int | float) for name in _DELTA):
                return [Lost()]
            return self._delta(piece or "")
        if kind == "generation_start":
            return [Started(identity, f.first(obj, ("model", "model_slug"), f.word) or "")]
        if kind == "generation_end":
            return [Ended(replace(read_reply(tidy(obj)), status="completed", category=""))]
        if kind == "error":
            return [Failed(f.first(obj, ("message", "error"), _message) or "", identity)]
        return []  # an event of a later version

    def _delta(self, text: str) -> list[StreamEvent]:
        text, self._half = self._half + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return [Delta(clean_text(text))] if text else []


def _raw_text(value: Any) -> str | None:
    if isinstance(value, Mapping):
        value = next((value[name] for name in _DELTA if isinstance(value.get(name), str)), None)
    return value if isinstance(value, str) else None


def _message(value: Any) -> str | None:
    return f.words(value.get("message") if isinstance(value, Mapping) else value)
