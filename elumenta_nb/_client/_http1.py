"""HTTP/1.1 on one asyncio connection, as an httpx transport: what is needed of it, and nothing that repeats a request.

httpx's own transport spends most of its time in its pool, in a state machine written in Python and in checkpoints: here
a request is one write, and an answer one or two reads, at about a fifth of the work (`bench_map`). It tells
`send_request_headers.started` when the first byte is about to be written, as httpx's does. What a server says beyond
the rules is an error, never a guess: such a call is looked up.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from ._routes import Route

__all__ = ["Answer", "Connection", "Sending"]

MAX_HEAD: Final = 64 * 1024
MOST_INTERIM: Final = 16  # 100 Continue and its like, which nobody asked for
HIGH_WATER: Final = 512 * 1024  # bytes of an answer that wait to be read
_END: Final = re.compile(rb"\r?\n\r?\n")
_STATUS: Final = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)(?: ([^\r\n]*))?\Z")
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00\r\n]*)\Z")
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00]*)?\Z")
_DIGITS: Final = re.compile(rb"\d{1,18}\Z")
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
        """Wait until what was written may leave. Raises `httpx.WriteTimeout`, `httpx.WriteError`."""
        if self._full is not None:
            try:
                await asyncio.wait_for(asyncio.shield(self._full), within_s)
            except TimeoutError as error:
                raise httpx.WriteTimeout("") from error
        if self.over and self.error is not None:
            raise httpx.WriteError(str(self.error)) from self.error


def _late(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(httpx.ReadTimeout(""))


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
        self._rest = b""  # read beyond the head of an answer
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
        line, self._line, self._rest = self._line, None, b""
        if line is not None and line.transport is not None:
            line.transport.abort()

    # ------------------------------------------------------------ the way there

    def _kept(self, request: Sending) -> _Line | None:
        """The open connection, if there is one that can be trusted."""
        line = self._line
        if line is None:
            return None
        stale = asyncio.get_running_loop().time() - self._idle_since > self._keepalive_s
        if _place(request) != self._place or stale or line.over or line.came or self._rest:
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
        self._line, self._place, self._rest = line, place, b""
        return line

    async def _send(self, line: _Line, request: Sending, within_s: float) -> None:
        if request.content is not None:
            line.transport.write(_start(request) + request.content)  # in no variable: the key is in it
            await line.drained(within_s)
            return
        line.transport.write(_start(request))
        async for piece in request.pieces:
            if piece:
                line.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if request.chunked else piece)
                await line.drained(within_s)
        if request.chunked:
            line.transport.write(b"0\r\n\r\n")

    # ------------------------------------------------------------ the answer

    async def _answer(self, line: _Line, within_s: float) -> Answer:
        for _interim in range(MOST_INTERIM):
            status, headers, keeps = await self._head(line, within_s)
            if status >= 200:
                break
            if status == 101:
                raise httpx.RemoteProtocolError("101 was not asked for")
        else:
            raise httpx.RemoteProtocolError("interim answers without an end")
        length = _length(status, headers)
        body = _Body(self, line, length, within_s, keeps=keeps and length != _TO_THE_END)
        return Answer(status, headers, body)

    async def _head(self, line: _Line, within_s: float) -> tuple[int, list[tuple[bytes, bytes]], bool]:
        data = self._rest
        while (end := _END.search(data)) is None:
            if len(data) > MAX_HEAD:
                raise httpx.RemoteProtocolError("the head of the answer is too long")
            more = await line.read(within_s)
            if not more:
                raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
            data = data + more if data else more
        self._rest = data[end.end() :]
        first, *lines = data[: end.start()].split(b"\n")
        found = _STATUS.match(first.rstrip(b"\r"))
        if found is None:
            raise httpx.RemoteProtocolError("the answer is not HTTP/1.1")
        headers = [_header(text.rstrip(b"\r")) for text in lines]
        wishes = b",".join(value for name, value in headers if name.lower() == b"connection").lower()
        return int(found[2]), headers, found[1] == b"1" and b"close" not in wishes

    async def _more(self, line: _Line, within_s: float) -> bytes:
        if self._rest:
            data, self._rest = self._rest, b""
            return data
        return await line.read(within_s)

    def _finished(self, *, keeps: bool) -> None:
        if keeps:
            self._idle_since = asyncio.get_running_loop().time()
        else:
            self._drop()


_CHUNKED: Final = -1
_TO_THE_END: Final = -2  # of the connection


class _Body(httpx.AsyncByteStream):
    """The body of an answer; read to its end it leaves the connection for the next request."""

    def __init__(self, connection: Connection, line: _Line, length: int, within_s: float, *, keeps: bool) -> None:
        self._connection = connection
        self._line = line
        self._length = length
        self._within_s = within_s
        self._keeps = keeps
        self._done = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._length == _CHUNKED:
            async for piece in self._chunks():
                yield piece
        elif self._length == _TO_THE_END:
            while data := await self._next():
                yield data
        else:
            left = self._length
            while left:
                data = await self._next()
                if not data:
                    raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")
                if len(data) > left:
                    self._connection._rest = data[left:]  # noqa: SLF001 - two halves of one connection
                    data = data[:left]
                left -= len(data)
                yield data
        self._end()

    async def aclose(self) -> None:
        if not self._done:  # given up in the middle: what comes is not for the next request
            self._keeps = False
            self._end()

    def _end(self) -> None:
        self._done = True
        self._connection._finished(keeps=self._keeps)  # noqa: SLF001 - as above

    async def _next(self) -> bytes:
        return await self._connection._more(self._line, self._within_s)  # noqa: SLF001 - as above

    async def _chunks(self) -> AsyncIterator[bytes]:
        while True:
            text = (await self._text()).rstrip(b"\r")
            size = _SIZE.match(text)
            if size is None:
                raise httpx.RemoteProtocolError("a piece of the answer has no readable length")
            left = int(size[1], 16)
            if not left:
                break
            while left:
                data = await self._next()
                if not data:
                    raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")
                if len(data) > left:
                    self._connection._rest = data[left:]  # noqa: SLF001 - as above
                    data = data[:left]
                left -= len(data)
                yield data
            if (await self._text()).rstrip(b"\r"):
                raise httpx.RemoteProtocolError("a piece of the answer is longer than it says")
        size_of_trailers = 0  # they say nothing that is asked for
        while trailer := (await self._text()).rstrip(b"\r"):
            size_of_trailers += len(trailer)
            if size_of_trailers > MAX_HEAD:
                raise httpx.RemoteProtocolError("trailers without an end")

    async def _text(self) -> bytes:
        """The next line, without its line break."""
        data = b""
        while (end := data.find(b"\n")) < 0:
            if len(data) > MAX_HEAD:
                raise httpx.RemoteProtocolError("a line of the answer is too long")
            more = await self._next()
            if not more:
                raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")
            data = data + more if data else more
        self._connection._rest = data[end + 1 :]  # noqa: SLF001 - as above
        return data[:end]


def _header(text: bytes) -> tuple[bytes, bytes]:
    found = _HEADER.match(text)
    if found is None:
        raise httpx.RemoteProtocolError("a header of the answer cannot be read")
    return found[1], found[2].rstrip(b" \t")


def _length(status: int, headers: list[tuple[bytes, bytes]]) -> int:
    """How long the body is, or how it ends."""
    if status in (204, 304):
        return 0
    packed = [value.lower() for name, value in headers if name.lower() == b"transfer-encoding"]
    if packed:
        if packed != [b"chunked"]:
            raise httpx.RemoteProtocolError("the answer has an unknown transfer encoding")
        return _CHUNKED
    lengths = {
        part.strip() for name, value in headers if name.lower() == b"content-length" for part in value.split(b",")
    }
    if not lengths:
        return _TO_THE_END
    told = lengths.pop()
    if lengths or not _DIGITS.match(told):
        raise httpx.RemoteProtocolError("the answer's length cannot be read")
    return int(told)


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
