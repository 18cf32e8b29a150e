"""A server that says exactly what a script tells it to, on real TCP: whole answers, cut ones, none, garbage.

Each request takes the next act of the script; when the script is over, the last act is repeated.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from elumenta_nb._client import Client
from elumenta_nb._values import Call

KEY = "nb_canary0123456789abcdef0123456789abcdef012345"
TEXT = Call(category="text", model="gpt-5", prompt="Hi")
STREAM = Call(category="text", model="gpt-5", prompt="Hi", stream=True)


@dataclass
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


Act = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def head(status: int, headers: dict[str, str] | None = None, *, length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    if length is not None:
        lines.append(f"content-length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def raw(*pieces: bytes, pause_s: float = 0.0, close: bool = True) -> Act:
    """These bytes, then the connection is closed."""

    async def act(_reader, writer):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)
        if close:
            writer.close()

    return act


def reply(body=None, *, status: int = 200, headers: dict[str, str] | None = None, close: bool = False) -> Act:
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    kind = {"content-type": "application/json", **(headers or {})}
    return raw(head(status, kind, length=len(data)) + data, close=close)


def chunked(*pieces: bytes, end: bool = True, kind: str = "text/event-stream", pause_s: float = 0.0) -> Act:
    framed = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces]
    start = head(200, {"content-type": kind, "transfer-encoding": "chunked"})
    return raw(start, *framed, *([b"0\r\n\r\n"] if end else []), pause_s=pause_s, close=not end)


def events(*given, end: bool = True) -> Act:
    lines = [event if isinstance(event, str) else json.dumps(event) for event in given]
    return chunked(*(f"data: {line}\n\n".encode() for line in lines), end=end)


def reset() -> Act:
    """The connection is reset, not closed."""

    async def act(_reader, writer):
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return act


def silence(seconds: float = 30.0) -> Act:
    async def act(_reader, _writer):
        await asyncio.sleep(seconds)

    return act


DROP = raw()


@dataclass
class Server:
    script: list[Act]
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    drop_connections: int = 0  # so many are closed before anything is read
    idle_s: float | None = None  # an idle connection is closed after so long
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v2"

    @property
    def paths(self) -> list[str]:
        return [f"{seen.method} {seen.path.removeprefix('/api/v2')}" for seen in self.seen]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError, TimeoutError):
            if self.drop_connections:
                self.drop_connections -= 1
                writer.close()
                return
            while not writer.is_closing():
                async with asyncio.timeout(self.idle_s):
                    text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                line, *lines = text.split("\r\n")
                headers = {
                    name.lower(): value for name, _, value in (entry.partition(": ") for entry in lines if entry)
                }
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                method, path, _ = line.split(" ")
                self.seen.append(Seen(method, path, headers, body))
                await self.script[min(len(self.seen), len(self.script)) - 1](reader, writer)
                await writer.drain()
        writer.close()

    @contextlib.asynccontextmanager
    async def run(self):
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**22)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in asyncio.all_tasks():  # whoever still serves a connection
                if task is not asyncio.current_task() and "_serve" in repr(task.get_coro()):
                    task.cancel()
            await asyncio.sleep(0)


@dataclass
class Told:
    """A `Watch` that writes down what it was told."""

    times_sent: int = 0
    ids: list[int | str] = field(default_factory=list)
    deltas: list[str] = field(default_factory=list)
    retries: list[tuple[str, float]] = field(default_factory=list)

    def sent(self) -> None:
        self.times_sent += 1

    async def accepted(self, generation_id: int | str) -> None:
        self.ids.append(generation_id)

    def delta(self, text: str) -> None:
        self.deltas.append(text)

    def retrying(self, reason: str, wait_s: float) -> None:
        self.retries.append((reason, wait_s))


@dataclass
class Naps:
    """Sleeps that take no time and are written down."""

    taken: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
        await asyncio.sleep(0)


@dataclass
class Outcome:
    """What became of a scenario: its value or its error, and what the server and the watch saw."""

    server: Server
    told: Told
    naps: Naps
    client: Client
    value: object = None
    error: BaseException | None = None


def play(
    *script: Act, call: Call | None = None, do=None, server: Server | None = None, url: str = "", **options
) -> Outcome:
    """Run the script against `create(call)`, or against `do(client)`."""

    async def scenario() -> Outcome:
        scripted = server or Server(list(script))
        async with scripted.run():
            naps = Naps()
            client = Client(base_url=url or scripted.url, key=lambda: KEY, sleep=naps, **options)
            outcome = Outcome(scripted, Told(), naps, client)
            try:
                outcome.value = await (do(client) if do else client.create(call or TEXT, outcome.told))
            except Exception as error:
                outcome.error = error
            finally:
                await client.aclose()
            return outcome

    return asyncio.run(scenario())
