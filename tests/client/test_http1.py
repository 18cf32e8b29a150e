"""Answers as servers send them: what HTTP/1.1 allows is read, what it does not is an error and never a guess."""

import asyncio
import json

import pytest
from scripted_server import TEXT, Told, play, raw, reply

from elumenta_nb import _errors as e

DONE = {"id": 1, "status": "completed", "result_text": "Hello", "tokens_spent": 3}
BODY = json.dumps(DONE).encode()
LENGTH = b"content-length: %d\r\n" % len(BODY)


def chunks(*pieces: bytes, end: bytes = b"0\r\n\r\n", more: bytes = b"") -> bytes:
    return b"".join(b"%x%b\r\n%b\r\n" % (len(piece), more, piece) for piece in pieces) + end


GOOD = {
    "a header that is folded": b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\n" + LENGTH + b"\r\n" + BODY,
    "a length": b"HTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n" + BODY,
    "no words after the status": b"HTTP/1.1 200\r\n" + LENGTH + b"\r\n" + BODY,
    "bare line breaks": b"HTTP/1.1 200 OK\n" + LENGTH.replace(b"\r", b"") + b"\n" + BODY,
    "the end of the connection": b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n" + chunks(BODY[:9], BODY[9:]),
    "chunks with extensions": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks(BODY, more=b";a=b"),
    "chunks and trailers": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    + chunks(BODY, end=b"0\r\nx-sum: 1\r\n\r\n"),
    "chunks rather than a length": b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n"
    + chunks(BODY),
    "no encoding, by its name": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Identity\r\n" + LENGTH + b"\r\n" + BODY,
    "no encoding, to the end": b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\n" + BODY,
    "news before it": b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n" + BODY,
}
BAD = {
    "the same length twice": b"HTTP/1.1 200 OK\r\n" + LENGTH * 2 + b"\r\n" + BODY,
    "another protocol": b"HTTP/2 200 OK\r\n" + LENGTH + b"\r\n" + BODY,
    "no protocol": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "a header without a colon": b"HTTP/1.1 200 OK\r\nthis is none\r\n" + LENGTH + b"\r\n" + BODY,
    "two lengths": b"HTTP/1.1 200 OK\r\n" + LENGTH + b"content-length: 3\r\n\r\n" + BODY,
    "a length that is none": b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n" + BODY,
    "an unknown encoding": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n" + chunks(BODY),
    "two encodings that contradict": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: identity\r\n"
    + LENGTH
    + b"\r\n"
    + BODY,
    "less than the length, and no encoding": b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n"
    + LENGTH
    + b"\r\n"
    + BODY[:-3],
    "a chunk without a size": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n" + BODY,
    "a chunk longer than it says": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n"
    + BODY
    + b"\r\n0\r\n\r\n",
    "chunks without an end": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks(BODY[:20], end=b""),
    "less than the length": b"HTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n" + BODY[:-3],
    "a change of protocol": b"HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n",
    "a head without an end": b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000,
}


@pytest.mark.parametrize("sent", GOOD.values(), ids=GOOD)
@pytest.mark.parametrize("bytewise", [False, True])
def test_an_answer_that_http_allows_is_read_however_it_is_cut(sent, bytewise):
    pieces = [sent[i : i + 7] for i in range(0, len(sent), 7)] if bytewise else [sent]

    ran = play(raw(*pieces, pause_s=0.001 if bytewise else 0.0))

    assert (ran.value.text, ran.value.tokens) == ("Hello", 3)


@pytest.mark.parametrize("sent", BAD.values(), ids=BAD)
def test_an_answer_that_cannot_be_read_leaves_the_call_open_and_it_is_not_sent_again(sent):
    ran = play(raw(sent))

    assert isinstance(ran.error, e.ElumentaError)
    assert ran.error.spent == "maybe"
    assert len(ran.server.seen) == 1


def test_a_connection_that_said_more_than_was_asked_is_not_used_again():
    more = b"HTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n" + BODY + b"HTTP/1.1 200 OK\r\n"

    async def twice(client):
        await client.create(TEXT, Told())
        await asyncio.sleep(0.02)
        return await client.create(TEXT, Told())

    ran = play(raw(more, close=False), reply(DONE), do=twice)

    assert ran.value.text == "Hello"
    assert ran.server.connections == 2


def test_an_answer_of_no_encoding_ends_where_its_length_says_and_its_connection_with_it():
    sent = b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n" + LENGTH + b"\r\n" + BODY

    async def twice(client):
        return [(await client.create(TEXT, Told())).text for _ in range(2)]

    ran = play(raw(sent, close=False), reply(DONE), do=twice)

    assert ran.value == ["Hello", "Hello"]
    assert ran.server.connections == 2


def test_a_connection_is_used_again_unless_the_server_says_that_it_closes():
    async def thrice(client):
        return [(await client.create(TEXT, Told())).text for _ in range(3)]

    kept = play(reply(DONE), do=thrice)
    closed = play(reply(DONE, headers={"connection": "close"}), do=thrice)

    assert (kept.server.connections, closed.server.connections) == (1, 3)
