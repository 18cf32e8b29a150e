"""S3: replies. Any value in any field, endless streams, lines of 100 MB, JSON without a bottom: a typed error or a right
result, and every token the server took is in the ledger.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from strange_api import Told
from till_api import KEY, Raw, Till, at_once, books, dumps, session_at

import elumenta_nb as el
from elumenta_nb._client import Client, _answer
from elumenta_nb._values import Ask, Call, Origin

DEEP = "[" * 10_000 + "]" * 10_000


ODD: list[Any] = [
    None, True, False, 0, -1, 3.5, 1e308, Raw("NaN"), Raw("-Infinity"), Raw("1" + "0" * 400), Raw("-0"), 2**63, "", " ", "7", "seven", "null", "\x00",
    "\ud800", "x" * 100_000, "<b>7</b>", "../../etc/passwd", "2026-02-30T25:61:00Z", "9999-12-31T23:59:59-14:00", [], {}, [None], [[1, 2], [3]], {"": ""},
    {"id": 5, "value": {"id": 6}}, ["completed"], Raw(DEEP), Raw('{"a":' * 10_000 + "1" + "}" * 10_000), Raw('"\\u0000\\ud83d"'), Raw('{"a":1,"a":2}'),
]  # fmt: skip
LABELS = [str(value)[:20].encode("unicode_escape").decode() or "empty" for value in ODD]


@pytest.fixture(scope="module")
def till():
    with Till() as running:
        yield running


@pytest.fixture
def world(till):
    """In memory where there is a disk of it: thousands of durable commits are not what is tried here."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        room = Path(folder)
        till.made.clear()
        till.twist = lambda _what, obj: obj
        session = session_at(till, room / "home")
        yield till, session
        session.close()


def buy(session: el.Session, prompt: str, **ask: Any) -> el.Result | el.ElumentaError:
    """The result or the typed error; anything else fails the test."""
    try:
        return session.run(Ask(model="gpt-5", prompt=prompt, **ask), Origin(source="python"))[0]
    except el.ElumentaError as error:
        assert len("\n".join(error._render_traceback_()).splitlines()) <= 10
        return error


def with_field(name: str, value: Any):
    """The same object with another value at a path (`items.0.id`)."""

    def change(obj: Any) -> Any:
        made = json.loads(json.dumps(obj))
        at, *_ = [made]
        *steps, last = name.split(".")
        for step in steps:
            at = at[int(step)] if step.isdigit() else at[step]
        at[int(last) if last.isdigit() else last] = value
        return made

    return change


PAID = "id status model_slug category prompt result_text tokens_spent balance_remaining created_at completed_at result_metadata usage processing_ms seed".split()


def some_of(field: str) -> list[Any]:
    """A third of the values, another one for each field."""
    return ODD[sum(map(ord, field)) % 3 :: 3]


def is_nothing(value: Any) -> bool:
    return value == "-0" or (value == 0 and value is not False)


DECISIVE = ["id", "status", "result_text", "tokens_spent", "url", "data"]  # of these every value, of the others a third
OTHERS = [*PAID, "result_url", "error", "thumbnail_url", "eta_seconds", "progress", "content", "generation"]


@pytest.mark.parametrize("field", [*DECISIVE, *(name for name in OTHERS if name not in DECISIVE)])
def test_any_value_in_any_field_of_a_paid_reply_is_booked_to_the_token(world, field):
    """After every call what was taken is booked, or held and booked by recover; nothing but typed errors is raised."""
    till, session = world
    twist = [None]
    till.twist = lambda what, obj: with_field(field, twist[0])(obj) if what == "generate" else obj
    values = ODD if field in DECISIVE else some_of(field)
    for n, value in enumerate(values):
        twist[0] = value
        outcome = buy(session, f"{field} {n}")
        if field == "tokens_spent" and is_nothing(value):
            till.made[-1]["tokens_spent"] = 0  # the server's own word
        if isinstance(outcome, el.ElumentaError):
            assert outcome.spent != "no" or books(session) == (till.taken, 0), LABELS[n]
    booked, held = books(session)
    assert booked + held >= till.taken
    till.twist = lambda _what, obj: obj
    session.reconcile()

    assert books(session) == (till.taken, 0)
    assert len(till.made) == len(values)


@pytest.mark.parametrize("field", ["type", "id", "delta", "tokens_spent", "model", "message", "text"])
def test_any_value_in_any_field_of_any_event_of_a_stream_is_booked_to_the_token(world, field):
    till, session = world
    twist = [None]

    def change(what: str, obj: Any) -> Any:
        if what != "stream":
            return obj
        events = [
            json.loads(part.removeprefix("data: ")) for part in obj.decode().split("\n\n") if part.startswith("data: {")
        ]
        at = events[twist[0][0] % len(events)]
        at[field] = twist[0][1]
        return b"".join(b"data: " + dumps(event) + b"\n\n" for event in events) + b"data: [DONE]\n\n"

    till.twist = change
    for n, value in enumerate(ODD):
        place = 3 if field == "tokens_spent" else n % 4
        twist[0] = (place, value)
        buy(session, f"{field} {n} {place}", stream=True)
        if field == "tokens_spent" and is_nothing(value):
            till.made[-1]["tokens_spent"] = 0  # the server's own word
    till.twist = lambda _what, obj: obj
    session.reconcile()

    assert books(session) == (till.taken, 0)


FREE = {
    "price": ["token_cost", "min_token_cost", "max_token_cost", "pricing_type"],
    "status": ["id", "status", "tokens_spent", "result_text", "result_url", "error", "progress", "eta_seconds", "created_at"],
    "history": ["items", "total", "page", "limit", "items.0", "items.0.id", "items.0.status", "items.0.tokens_spent", "items.0.created_at", "items.0.prompt", "items.0.model_slug"],
    "balance": ["token_balance", "plan", "plan_expires_at", "bonus_tokens", "plan_tokens_remaining", "next_refill_at"],
    "me": ["id", "name", "plan", "rate_limit_hourly", "token_balance"],
    "stats": ["tokens_spent_total", "total_generations", "breakdown", "breakdown.text", "breakdown.text.count", "recent_30d"],
    "models": ["items", "total", "items.0", "items.0.slug", "items.0.name", "items.0.category", "items.0.min_token_cost", "items.0.max_token_cost", "items.0.config", "items.0.config.sizes", "items.0.provider"],
}  # fmt: skip
CALLS = {
    "price": lambda s: s.quote("gpt-5"),
    "status": lambda s: s.services() and s.call(lambda: s.services().client.poll(1000)),
    "history": lambda s: s.account_history(),
    "balance": lambda s: s.balance(),
    "me": lambda s: s.me(),
    "stats": lambda s: s.stats(),
    "models": lambda s: (setattr(s, "_served_at", None), s.served_models(), s.models()),
}


@pytest.mark.parametrize(
    ("what", "field"), [(what, field) for what, fields in FREE.items() for field in [*fields, "itself"]]
)
def test_any_value_in_any_field_of_what_is_free_is_a_value_or_a_typed_error(world, what, field):
    """And a purchase made while the server answers so is booked all the same."""
    till, session = world
    buy(session, "the first")
    twist = [None]
    till.twist = lambda kind, obj: (
        (twist[0] if field == "itself" else with_field(field, twist[0])(obj)) if kind == what else obj
    )
    for n, value in enumerate(some_of(what + field)):
        twist[0] = dumps({"x": value})[5:-1] if field == "itself" else value
        try:
            CALLS[what](session)
        except el.ElumentaError as error:
            assert error.spent in ("no", "maybe")
        if n % 6 == 0:
            buy(session, f"{what} {field} {n}", max_price=10**9)
    till.twist = lambda _what, obj: obj
    session.reconcile()
    session.reconcile(elsewhere=True)

    assert books(session) == (till.taken, 0)


# ------------------------------------------------------------------ bodies and streams without an end


def forever(piece: bytes, first: bytes = b""):
    yield first
    while True:
        yield piece


def one_line(first: bytes, megabytes: int, last: bytes = b""):
    yield first
    for _ in range(megabytes):
        yield b"x" * 1024**2
    yield last


START = b'data: {"type": "generation_start", "id": 1000, "model": "gpt-5"}\n\n'
STREAMS = {
    "comments for ever": lambda: forever(b": still here\n\n", START),
    "empty events for ever": lambda: forever(b"data:\n\n", START),
    "line breaks for ever": lambda: forever(b"\n" * 65536, START),
    "carriage returns for ever": lambda: forever(b"\r" * 65536, START),
    "text for ever": lambda: forever(b'data: {"type": "content_delta", "delta": "' + b"x" * 60_000 + b'"}\n\n', START),
    "data lines of one event for ever": lambda: forever(b"data: x\n" * 1000, START),
    "event names for ever": lambda: forever(b"event: x\nid: 5\nretry: 1\n", START),
    "a line of 100 MB": lambda: one_line(START + b"data: ", 100, b"\n\n"),
    "a line of 100 MB without an end": lambda: one_line(START + b"data: ", 100),
    "100 MB before the first event": lambda: one_line(b"", 100, START),
    "a delta of 100 MB": lambda: one_line(START + b'data: {"type": "content_delta", "delta": "', 100, b'"}\n\n'),
    "a JSON of 100 MB": lambda: one_line(b'{"id": 1000, "result_text": "', 100, b'", "tokens_spent": 7}'),
    "JSON nested for ever": lambda: forever(b"[" * 65536, b'{"id": 1000, "a": '),
    "numbers for ever": lambda: forever(b"9" * 65536, b'{"id": 1000, "tokens_spent": '),
    "spaces for ever": lambda: forever(b" " * 65536),
    "nothing but a start": lambda: iter([START]),
    "events nested 10,000 deep": lambda: iter([START, b"data: " + DEEP.encode() + b"\n\n"] * 3),
    "half a character for ever": lambda: forever(b"\xd0" * 65536, START),
}  # fmt: skip


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "reply"])
@pytest.mark.parametrize("kind", STREAMS)
def test_an_answer_without_an_end_is_given_up_on_and_its_charge_found(world, monkeypatch, kind, streamed):
    monkeypatch.setattr(_answer, "EVENTLESS_S", 0.3)
    monkeypatch.setattr(_answer, "MAX_STREAM", 8 * 1024**2)
    till, session = world
    headers = {"content-type": "text/event-stream"}
    till.twist = lambda what, obj: Told(STREAMS[kind](), headers=headers) if what in ("stream", "generate") else obj
    began = time.monotonic()
    outcome = buy(session, kind, stream=streamed)
    took = time.monotonic() - began
    till.twist = lambda _what, obj: obj
    session.reconcile()

    assert took < 20
    assert isinstance(outcome, el.Result) or outcome.spent == "maybe"
    assert len(till.made) == 1
    assert books(session) == (till.taken, 0)


BODIES = {
    "nothing": b"",
    "a web page": b"<!doctype html><title>login</title>",
    "half a reply": b'{"id": 1000, "status": "completed", "tokens_sp',
    "nested 10,000 deep": b'{"id": 1000, "status": "completed", "x": ' + DEEP.encode() + b', "result_text": "y", "tokens_spent": 7}',
    "nested a million deep": b'{"id": 1000, "x": ' + b"[" * 10**6,
    "binary": bytes(range(256)) * 50,
    "UTF-16": json.dumps({"id": 1000, "status": "completed", "result_text": "y", "tokens_spent": 7}).encode("utf-16"),
    "a list": b"[1, 2, 3]",
    "a number": b"7",
    "a string": b'"completed"',
    "null": b"null",
    "two objects": b'{"id": 1000}{"id": 1001}',
    "the same name ten thousand times": b"{" + b'"id": 1000,' * 10_000 + b'"status": "completed", "result_text": "y", "tokens_spent": 7}',
    "a hundred thousand names": json.dumps({f"n{n}": n for n in range(100_000)} | {"id": 1000, "status": "completed", "result_text": "y", "tokens_spent": 7}).encode(),
    "a byte order mark": b"\xef\xbb\xbf" + b'{"id": 1000, "status": "completed", "result_text": "y", "tokens_spent": 7}',
    "a message of an error in a 200": b'{"error": "server_error", "message": "no"}',
}  # fmt: skip


def of_id(body: bytes, identity: int) -> bytes:
    """The body with the id of the generation it is about."""
    for coding in ("ascii", "utf-16-le"):
        body = body.replace("1000".encode(coding), str(identity).encode(coding))
    return body


@pytest.mark.parametrize("status", [200, 202, 500, 502, 400, 408, 418, 599])
def test_any_body_under_any_status_keeps_the_books(world, status):
    till, session = world
    for name, body in BODIES.items():
        till.twist = lambda what, obj, body=body: Told(of_id(body, obj["id"]), status) if what == "generate" else obj
        outcome = buy(session, f"{status} {name}")
        if status != 400:
            assert isinstance(outcome, el.Result) or outcome.spent != "no", name
        else:
            till.made.pop()  # what is refused with a documented 4xx is not charged (api, errors)
            assert outcome.spent == "no"
    till.twist = lambda _what, obj: obj
    session.reconcile()

    assert books(session) == (till.taken, 0)


def test_headers_of_any_kind_change_nothing(world):
    till, session = world
    for n, value in enumerate(
        ["", "-1", "soon", "9" * 500, "NaN", "é", "1, 2", "Thu, 32 Foo 2026 99:99:99 GMT", "\x7f"]
    ):
        names = (
            "retry-after",
            "date",
            "x-ratelimit-limit-hour",
            "x-ratelimit-remaining-hour",
            "x-ratelimit-reset-hour",
            "x-request-id",
        )
        headers = dict.fromkeys(names, value.encode("latin-1", "replace").decode("latin-1"))
        till.twist = lambda what, obj, headers=headers: (
            Told(dumps(obj), headers=headers) if what in ("generate", "balance") else obj
        )
        assert isinstance(buy(session, f"headers {n}"), el.Result)
        session.balance()

    assert books(session) == (till.taken, 0)


# ------------------------------------------------------------------ HTTP without an end


OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
HEADS = {
    "a status line": (b"HTTP/1.1 200 ", b"x" * 4096),
    "header lines": (OK, b"x-more: and more\r\n" * 100),
    "one header": (OK + b"x-more: ", b"x" * 4096),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 50),
    "interim answers with hints": (b"", b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" * 50),
    "a chunk's length": (OK + b"transfer-encoding: chunked\r\n\r\n", b"0" * 4096),
    "a chunk's extension": (OK + b"transfer-encoding: chunked\r\n\r\n5;x=", b"x" * 4096),
    "trailers": (OK + b"transfer-encoding: chunked\r\n\r\n0\r\n", b"x-more: and more\r\n" * 100),
    "empty lines before the answer": (b"", b"\r\n" * 2000),
    "another protocol": (b"", b"SSH-2.0-OpenSSH_9.6\r\n" * 100),
    "two lengths": (OK + b"content-length: 2\r\ncontent-length: 5\r\n\r\n{}   ", b"x" * 4096),
    "a length and chunks": (
        OK + b"content-length: 2\r\ntransfer-encoding: chunked, chunked\r\n\r\n",
        b"2\r\n{}\r\n" * 50,
    ),
}


class Endless:
    """A server of bytes: `first`, and then the same again and again until the client has enough."""

    def __init__(self, first: bytes, again: bytes) -> None:
        self.first, self.again, self.asked = first, again, 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/api/v2"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            if client.recv(65536):
                self.asked += 1
                client.sendall(self.first)
                while True:
                    client.sendall(self.again)

    def close(self) -> None:
        self._listener.close()


@pytest.mark.parametrize("kind", HEADS)
def test_an_answer_whose_head_never_ends_is_given_up_on_and_may_be_charged(kind):
    """The client alone: what is not HTTP leaves the outcome open, at once, and is never sent again."""

    async def create() -> tuple[el.ElumentaError, float, int]:
        server = Endless(*HEADS[kind])
        client = Client(base_url=server.url, key=lambda: KEY, sleep=at_once)
        began = time.monotonic()
        try:
            with pytest.raises(el.ElumentaError) as caught:
                await client.create(Call(category="text", model="gpt-5", prompt="x"), Quiet())
        finally:
            await client.aclose()
            server.close()
        return caught.value, time.monotonic() - began, server.asked

    error, took, asked = asyncio.run(create())

    assert error.spent == "maybe"
    assert asked == 1
    assert took < 10


class Quiet:
    """Hears of a paid request and says nothing."""

    def sent(self) -> None: ...

    async def accepted(self, generation_id: int | str) -> None: ...

    def delta(self, text: str) -> None: ...

    def retrying(self, reason: str, wait_s: float) -> None: ...
