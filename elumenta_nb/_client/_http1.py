"""HTTP/1.1 on one asyncio connection, as an httpx transport: what is needed of it, and nothing that repeats a request.

httpx's own transport spends most of its time in its pool, in a state machine written in Python and in checkpoints: here
a request is one write and an answer one or two reads, at about a third of the work (`bench_map`). Answers are read by
llhttp (httptools), Node's parser: what a server says beyond the rules is an error, never a guess, and such a call is
looked up. It tells `send_request_headers.started` when the first byte is about to be written, as httpx's does.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import httptools
import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from ._routes import Route

__all__ = ["Answer", "Connection", "Sending"]

MOST_UNSAID: Final = 64 * 1024  # bytes without a piece of the body: heads, interim answers, trailers
HIGH_WATER: Final = 512 * 1024  # bytes of an answer that wait to be read
_ADDRESS: Final = re.compile(r"[0-9.]+\Z|.*:")
_REFUSED: Final = "[Errno 111]"


class _Line(asyncio.Protocol):
    """The bytes of a connection: what came, and whether more will."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.came: deque[bytes] = deque()
        self.size = 0
        self.over = False  # nothing more comes
        self.error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False
        self._full: asyncio.Future[None] | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.came.append(data)
        self.size += len(data)
        if self.size > HIGH_WATER and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        self.over = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.over = True
        self.error = exc
        self._wake()
        self.resume_writing()

    def pause_writing(self) -> None:
        self._full = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        full, self._full = self._full, None
        if full is not None and not full.done():
            full.set_result(None)

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def read(self, within_s: float) -> bytes:
        """The next bytes; ``b""`` at the end. Raises `httpx.ReadTimeout`, `httpx.ReadError`."""
        while not self.came:
            if self.over:
                if self.error is not None:
                    raise httpx.ReadError(str(self.error)) from self.error
                return b""
            loop = asyncio.get_running_loop()
            waiter = self._waiter = loop.create_future()
            timer = loop.call_later(within_s, _late, waiter)
            try:
                await waiter
            finally:
                timer.cancel()
        data = self.came.popleft()
        self.size -= len(data)
        if self._paused and self.size < HIGH_WATER // 2:
            self._paused = False
            self.transport.resume_reading()
        return data

    async def drained(self, within_s: float) -> None:
        """Wait until what was written may leave. Raises `httpx.WriteTimeout`."""
        if self._full is not None:
            try:
                await asyncio.wait_for(asyncio.shield(self._full), within_s)
            except TimeoutError as error:
                raise httpx.WriteTimeout("") from error


def _late(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(httpx.ReadTimeout(""))


class _Speech:
    """One answer as llhttp reads it: status, fields, and the pieces of the body that came so far."""

    def __init__(self) -> None:
        self.status = 0  # until the head is whole
        self.fields: list[tuple[bytes, bytes]] = []
        self.pieces: deque[bytes] = deque()
        self.ended = False
        self._keeps = False
        self._to_the_end = False  # of the connection
        self._left: int | None = None  # bytes of the body that are still to come, where llhttp does not count them
        self._unsaid = 0
        self._broken = ""
        self._parser = httptools.HttpResponseParser(self)
        # A paid answer is not lost for an odd byte in a field nobody reads. Chunks win over a length, as RFC 9112 has it.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_chunked_length=True
        )

    @property
    def keeps(self) -> bool:
        """Whether the connection may be used again."""
        return self.ended and self._keeps and not self._to_the_end

    def feed(self, data: bytes) -> None:
        """What came. Raises `httpx.RemoteProtocolError` once the pieces before the fault were taken."""
        waiting = len(self.pieces)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._broken = "101 was not asked for"
        except httptools.HttpParserError as error:
            self._keeps = False  # where it is whole, what follows is not of it
            self._broken = "" if self.ended else f"the answer is not HTTP/1.1: {error}"
        self._unsaid = 0 if len(self.pieces) > waiting else self._unsaid + len(data)
        if self._unsaid > MOST_UNSAID:
            self._broken = "the answer says nothing, without an end"
        self.check()

    def check(self) -> None:
        if self._broken and not self.pieces:
            raise httpx.RemoteProtocolError(self._broken)

    def closed(self) -> None:
        """Nothing more comes. Raises `httpx.RemoteProtocolError` where something is missing."""
        if self.status and self._to_the_end:
            self.ended = True
        elif self.status:
            raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")
        else:
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.")

    # ------------------------------------------------------------ what llhttp calls

    def on_message_begin(self) -> None:
        if self.ended:
            self._keeps = False  # more than was asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.status:  # later ones are trailers: they say nothing that is asked for
            self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self.ended or status < 200:
            return
        told = {name.lower(): value.strip().lower() for name, value in self.fields}
        self._to_the_end = status not in (204, 304) and not told.keys() & {b"content-length", b"transfer-encoding"}
        codings = [value.strip().lower() for name, value in self.fields if name.lower() == b"transfer-encoding"]
        if codings == [b"identity"]:  # none, as HTTP/1.1 once said it; llhttp then reads to the end of the connection
            length = told.get(b"content-length", b"")
            self._left = int(length) if length.isdigit() else None
            self._to_the_end, self.ended = self._left is None, self._left == 0
        elif codings and codings[-1] != b"chunked":
            self._broken = "the answer has an unknown transfer encoding"
            return
        self.status, self._keeps = status, self._parser.should_keep_alive() and codings != [b"identity"]

    def on_body(self, body: bytes) -> None:
        if not self.status or self.ended:
            return
        if self._left is not None:
            body = body[: self._left]
            self._left -= len(body)
            self.ended = not self._left
        self.pieces.append(body)

    def on_message_complete(self) -> None:
        if self.status:
            self.ended = True
        else:
            self.fields.clear()  # of an interim answer


@dataclass(slots=True)
class Sending:
    """A request with a body that is whole, as it goes on the wire: no object of httpx's is made for it."""

    method: str
    url: httpx.URL
    fields: list[tuple[bytes, bytes]] = field(repr=False)  # the key is one of them
    content: bytes | None = field(repr=False)
    extensions: dict[str, Any] = field(repr=False)
    pieces: Any = field(default=None, repr=False)  # of a body that is made while it is sent
    chunked: bool = False
    length: int = 0  # of the pieces, where they are not chunked

    @classmethod
    def of(cls, request: httpx.Request) -> Sending:
        try:
            content: bytes | None = request.content
        except httpx.RequestNotRead:
            content = None
        return cls(
            request.method,
            request.url,
            request.headers.raw,
            content,
            request.extensions,
            request.stream,
            "content-length" not in request.headers,
            int(request.headers.get("content-length", 0)),
        )


@dataclass(slots=True)
class Answer:
    """Status, headers by their names in small letters, and the body to read."""

    status_code: int
    raw: list[tuple[bytes, bytes]]
    stream: _Body

    @property
    def headers(self) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for name, value in self.raw:
            key, text = name.decode("ascii").lower(), value.decode("latin-1")
            found[key] = f"{found[key]}, {text}" if key in found else text
        return found

    async def aclose(self) -> None:
        await self.stream.aclose()


class Connection(httpx.AsyncBaseTransport):
    """One connection to one place, opened when it is needed, used by one request at a time, for as long as both want.

    `keepalive_s`: one that was idle for longer is not used again.
    """

    def __init__(self, route: Route, *, keepalive_s: float) -> None:
        self._route = route
        self._keepalive_s = keepalive_s
        self._line: _Line | None = None
        self._place: tuple[str, int, str] | None = None
        self._idle_since = 0.0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it and read the head of the answer. Raises httpx's exceptions."""
        answer = await self.send(Sending.of(request))
        return httpx.Response(answer.status_code, headers=answer.raw, stream=answer.stream, request=request)

    async def send(self, request: Sending) -> Answer:
        """As `handle_async_request`."""
        timeout: Any = request.extensions.get("timeout", {})
        try:
            trace = request.extensions.get("trace")
            line = self._kept(request)
            if line is None:
                if trace is not None:
                    await trace("connection.connect_tcp.started", {})
                line = await self._connected(request, timeout.get("connect"))
            if trace is not None:
                await trace("http11.send_request_headers.started", {"request": request})
            await self._send(line, request, timeout.get("write") or 60.0)
            return await self._answer(line, timeout.get("read") or 600.0)
        except BaseException:
            self._drop()
            raise

    async def aclose(self) -> None:
        self._drop()

    def _drop(self) -> None:
        line, self._line = self._line, None
        if line is not None and line.transport is not None:
            line.transport.abort()

    # ------------------------------------------------------------ the way there

    def _kept(self, request: Sending) -> _Line | None:
        """The open connection, if there is one that can be trusted."""
        line = self._line
        if line is None:
            return None
        stale = asyncio.get_running_loop().time() - self._idle_since > self._keepalive_s
        if _place(request) != self._place or stale or line.over or line.came:
            self._drop()
            return None
        return line

    async def _connected(self, request: Sending, within_s: float | None) -> _Line:
        loop, place = asyncio.get_running_loop(), _place(request)
        host, port, name = place
        how: dict[str, Any] = {} if _ADDRESS.match(host) else {"happy_eyeballs_delay": 0.25}
        if request.url.scheme == "https":
            how |= {"ssl": self._route.ssl_context, "server_hostname": name}
        try:
            async with asyncio.timeout(within_s):
                _transport, line = await loop.create_connection(_Line, host, port, **how)
        except TimeoutError as error:
            raise httpx.ConnectTimeout("") from error
        except OSError as error:
            raise httpx.ConnectError(str(error)) from _plain(error)
        self._line, self._place = line, place
        return line

    async def _send(self, line: _Line, request: Sending, within_s: float) -> None:
        if request.content is not None:
            line.transport.write(_start(request) + request.content)  # in no variable: the key is in it
            await line.drained(within_s)
            return
        line.transport.write(_start(request))
        left = request.length
        async for piece in request.pieces:
            # A server may answer before it has read all of it, and hang up: its answer counts.
            if line.over or line.transport.is_closing():
                return
            left -= len(piece)
            if left < 0 and not request.chunked:
                break
            if piece:
                line.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if request.chunked else piece)
                await line.drained(within_s)
        if request.chunked:
            line.transport.write(b"0\r\n\r\n")
        elif left:  # the server would wait for the rest, or take what is too much for the next request
            raise httpx.LocalProtocolError("the file changed while it was sent")

    # ------------------------------------------------------------ the answer

    async def _answer(self, line: _Line, within_s: float) -> Answer:
        speech = _Speech()
        while not speech.status:
            await self.hear(line, speech, within_s)
        return Answer(speech.status, speech.fields, _Body(self, line, speech, within_s))

    @staticmethod
    async def hear(line: _Line, speech: _Speech, within_s: float) -> None:
        """Wait for more of an answer. Raises httpx's exceptions."""
        speech.check()
        data = await line.read(within_s)
        if data:
            speech.feed(data)
        else:
            speech.closed()

    def finished(self, *, keeps: bool) -> None:
        """The answer was read, or given up: keep the connection for the next request, or not."""
        if keeps:
            self._idle_since = asyncio.get_running_loop().time()
        else:
            self._drop()


class _Body(httpx.AsyncByteStream):
    """The body of an answer; read to its end it leaves the connection for the next request."""

    def __init__(self, connection: Connection, line: _Line, speech: _Speech, within_s: float) -> None:
        self._connection = connection
        self._line = line
        self._speech = speech
        self._within_s = within_s
        self._done = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        speech = self._speech
        while True:
            while speech.pieces:
                yield speech.pieces.popleft()
            if speech.ended:
                break
            await self._connection.hear(self._line, speech, self._within_s)
        self._end(keeps=speech.keeps)

    async def aclose(self) -> None:
        if not self._done:  # given up in the middle: what comes is not for the next request
            self._end(keeps=False)

    def _end(self, *, keeps: bool) -> None:
        self._done = True
        self._connection.finished(keeps=keeps)


def _start(request: Sending) -> bytes:
    head = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)]
    head += [b"%b: %b" % (name, value) for name, value in request.fields]
    return b"\r\n".join(head) + b"\r\n\r\n"


def _place(request: Sending) -> tuple[str, int, str]:
    """Where to connect, and the name that the server's certificate must have: it may be asked for by its number."""
    url = request.url
    port = url.port or (443 if url.scheme == "https" else 80)
    return url.host, port, request.extensions.get("sni_hostname") or url.raw_host.decode("ascii")


def _plain(error: OSError) -> OSError:
    """Of several addresses that all refused, one refusal: asyncio only writes down which errors there were."""
    text = str(error)
    if text.startswith("Multiple exceptions") and text.count("[Errno") == text.count(_REFUSED):
        return ConnectionRefusedError(111, text)
    return error
