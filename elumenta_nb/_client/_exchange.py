"""One request and its answer on the wire: what was sent, what came, and how it ended. Raises nothing of httpx's.

Whether a request was sent is decided by the transport's trace (a request byte is being written), never by the class of
an exception. A transport that gives no trace is taken to have sent it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import zlib
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import httpx

from elumenta_nb._language import gettext as _, number, span

from ._http1 import Answer, Connection, Sending
from ._policy import Loss

if TYPE_CHECKING:
    from ._routes import Lanes

__all__ = ["Exchange", "Timeouts", "timeouts"]

Timeouts = Mapping[str, float]
_WRITING: Final = ".send_request_headers.started"
_PACKED: Final = {"gzip": 47, "x-gzip": 47, "deflate": 47}  # zlib's window bits: 47 finds out which of the two it is
_LONGEST_WHY: Final = 160
CONNECT_S: Final = 10.0


@cache
def timeouts(*, read_s: float) -> Timeouts:
    """Seconds to connect, between two bytes read, for a write, and for a free connection."""
    return {"connect": CONNECT_S, "read": read_s, "write": 60.0, "pool": 600.0}


class Exchange:
    """One request on one connection. `open`, then `read` or `chunks`, then `close`; `loss` says what went wrong, if anything."""

    def __init__(
        self,
        lanes: Lanes,
        request: httpx.Request | Sending,
        *,
        traced: bool = False,
        on_sent: Callable[[], None] | None = None,
    ) -> None:
        self._lanes = lanes
        self._lane: httpx.AsyncBaseTransport | None = None
        self._request = request
        self._traced = traced  # the transport is known to tell when a byte is written
        self._on_sent = on_sent
        self._response: httpx.Response | Answer | None = None
        self._heard = False
        self._whole = False  # the answer was read to its end: the connection can be used again
        self.sent = False
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.loss: Loss | None = None
        self.has_gap = False  # a stream came to its end, and its text may miss a piece
        self.error: Exception | None = None  # under a loss before any answer: the doctor asks for its kind

    async def open(self, *, within_s: float) -> bool:
        """Send, and wait for status and headers. False: there is no answer, and `loss` says why."""
        self._request.extensions["trace"] = self._trace
        self._lane = lane = self._lanes.take()
        try:
            async with asyncio.timeout(within_s):
                response: httpx.Response | Answer
                if isinstance(self._request, Sending):
                    assert isinstance(lane, Connection)
                    response = await lane.send(self._request)
                else:
                    response = await lane.handle_async_request(self._request)
        except Exception as error:  # noqa: BLE001 - whatever a transport raises, the question is what was sent
            self.error = error
            self._suspect()
            url = self._request.url
            where = url.host if url.port is None else f"{url.host}:{url.port}"
            self.loss = Loss(why=f"{where}: {_why(error)}", sent=self.sent, lasting=_is_lasting(error))
        except BaseException:
            self._suspect()
            raise
        else:
            self._mark_sent()
            self._response = response
            self.status, self.headers = response.status_code, response.headers
            return True
        return False

    async def read(self, *, at_most: int, within_s: float) -> bytes:
        """The body; where it was cut, what came of it, with `loss` set."""
        parts: list[bytes] = []
        size = 0
        async with contextlib.aclosing(self.chunks(within_s=within_s)) as chunks:
            async for chunk in chunks:
                parts.append(chunk)
                size += len(chunk)
                if size > at_most:
                    self.loss = Loss(why=_("more than {n} bytes").format(n=number(at_most)), sent=True, lasting=True)
                    break
        return b"".join(parts)[:at_most]

    async def chunks(self, *, within_s: float) -> AsyncGenerator[bytes, None]:
        """The body as it comes, unpacked. It ends early, with `loss` set, when the connection does."""
        if self._response is None:
            return
        unpack = _Unpacker(self.headers.get("content-encoding", ""))
        ends = asyncio.get_running_loop().time() + within_s
        stream: Any = self._response.stream
        try:
            async for raw in stream:
                for chunk in unpack(raw):
                    yield chunk
                if asyncio.get_running_loop().time() > ends:
                    self.loss = Loss(why=_("not finished after {time}").format(time=span(within_s)), sent=True)
                    return
            self._whole = True
            if unpack.is_cut:
                self.loss = Loss(why=_("the packed body is not whole"), sent=True)
        except Exception as error:  # noqa: BLE001 - as above
            self.loss = Loss(why=_why(error), sent=True)

    async def close(self) -> None:
        """Give the connection back, or drop it where the answer was not read to its end."""
        lane, self._lane = self._lane, None
        response, self._response = self._response, None
        usable = False
        try:
            if response is not None:
                await response.aclose()
                usable = self._whole
        except Exception as error:  # noqa: BLE001 - the answer is here already
            self.loss = self.loss or Loss(why=_why(error), sent=True)
        finally:
            if lane is not None:
                await self._lanes.give(lane, usable=usable)

    async def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        self._heard = True
        if event.endswith(_WRITING) and getattr(info.get("request"), "method", b"") != b"CONNECT":
            self._mark_sent()

    def _suspect(self) -> None:
        if not self._heard and not self._traced:
            self._mark_sent()

    def _mark_sent(self) -> None:
        if not self.sent:
            self.sent = True
            if self._on_sent is not None:
                self._on_sent()


class _Unpacker:
    """Undoes gzip and deflate a piece at a time, so that no piece becomes huge; a body that only claims to be packed is
    passed on as it is.
    """

    _PIECE: Final = 256 * 1024

    def __init__(self, encoding: str) -> None:
        bits = _PACKED.get(encoding.strip().lower())
        self._machine = zlib.decompressobj(bits) if bits else None
        self._began = False

    @property
    def is_cut(self) -> bool:
        """Whether the packed body has not come to its own end."""
        return self._machine is not None and self._began and not self._machine.eof

    def __call__(self, raw: bytes) -> Iterator[bytes]:
        machine = self._machine
        if machine is None:
            yield raw
            return
        try:
            piece = machine.decompress(raw, self._PIECE)
        except zlib.error:
            if self._began:
                raise
            self._machine = None
            yield raw
            return
        self._began = True
        while True:
            if piece:
                yield piece
            if not machine.unconsumed_tail:
                return
            piece = machine.decompress(machine.unconsumed_tail, self._PIECE)


def _why(error: BaseException) -> str:
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        name = type(error).__name__
        return "timeout" if name == "TimeoutError" else name
    text = " ".join(str(error).split()).removesuffix(".") or type(error).__name__
    return text[:_LONGEST_WHY]


def _is_lasting(error: BaseException | None) -> bool:
    """Whether another try is bound to end the same way: a certificate, a proxy that wants a password, a bad request."""
    for _step in range(8):
        if error is None:
            return False
        if isinstance(error, ssl.SSLCertVerificationError | httpx.ProxyError | httpx.LocalProtocolError):
            return True
        error = error.__cause__ or error.__context__
    return False
