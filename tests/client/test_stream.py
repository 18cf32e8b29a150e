"""A stream and every way it can end. What came is kept; an end that was not told is looked up, never bought again."""

import asyncio
import json
import time

import pytest
from scripted_server import DROP, STREAM, Told, chunked, events, play, raw, reply

from elumenta_nb import _errors as e
from elumenta_nb._client import _answer

START = {"type": "generation_start", "id": 18473, "model": "gpt-5"}
ONE = {"type": "content_delta", "delta": "Hel"}
TWO = {"type": "content_delta", "delta": "lo"}
END = {"type": "generation_end", "id": 18473, "tokens_spent": 3}
END_B = {"type": "generation_end", "id": 18473, "tokens_used": 3, "balance_remaining": 297}


@pytest.mark.parametrize(
    "script",
    [
        (START, ONE, TWO, END, "[DONE]"),
        (START, ONE, TWO, END_B, "[DONE]"),
        (START, ONE, TWO, END),
        (START, ONE, TWO, {"type": "generation_end", "tokens_spent": 3}),
        (ONE, TWO, END),
        (START, ONE, TWO, END, {"type": "error", "message": "late"}),
        (START, ONE, "not json", TWO, {"type": "new_event"}, END),
        (START, START, ONE, TWO, END, ONE),
    ],
)
def test_a_stream_with_an_end_is_a_completed_reply(script):
    ran = play(events(*script), call=STREAM)

    assert ran.error is None
    assert (ran.value.status, ran.value.text, ran.value.tokens, ran.value.id) == ("completed", "Hello", 3, 18473)
    assert (ran.told.deltas, ran.told.ids, ran.told.times_sent) == (["Hel", "lo"], [18473], 1)
    assert ran.server.paths == ["POST /generate/stream"]
    assert ran.server.seen[0].headers["accept"] == "text/event-stream"


def test_the_first_text_is_told_before_the_last_has_come():
    """The server sends the rest only when the first is told."""
    told: list[str] = []

    class Heard(Told):
        def delta(self, text):
            told.append(text)

    first, rest = ([f"data: {json.dumps(event)}\n\n".encode() for event in some] for some in ((START, ONE), (TWO, END)))

    async def act(reader, writer):
        await chunked(*first, end=False)(reader, _Open(writer))
        async with asyncio.timeout(20):
            while not told:
                await asyncio.sleep(0.01)
        assert len(told) == 1
        framed = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in rest]
        await raw(*framed, b"0\r\n\r\n", close=False)(reader, writer)

    ran = play(act, do=lambda client: client.create(STREAM, Heard()))

    assert ran.value.text == "".join(told) == "Hello"
    assert len(told) == 2


UNFINISHED = {
    "ends after the text": events(START, ONE),
    "says it is done without an end": events(START, ONE, "[DONE]"),
    "is cut": events(START, ONE, end=False),
    "is cut inside an event": chunked(
        b'data: {"type":"generation_start","id":18473}\n\ndata: {"type":"content_delta","delta":"Hel"}\n\ndata: {"type":"generation_e', end=False
    ),
    "is cut inside the end's figure": chunked(
        b'data: {"type":"generation_start","id":18473}\n\ndata: {"type":"content_delta","delta":"Hel"}\n\ndata: {"type":"generation_end","tokens_spent":1', end=False
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNFINISHED)
def test_a_stream_without_an_end_is_open_and_keeps_what_came(name):
    ran = play(UNFINISHED[name], call=STREAM)

    assert isinstance(ran.error, e.BadReply | e.TransportError)
    assert (ran.error.spent, ran.error.partial, ran.error.generation_id) == ("maybe", "Hel", 18473)
    assert (len(ran.server.seen), ran.told.ids) == (1, [18473])


@pytest.mark.parametrize(
    "act",
    [
        DROP,
        raw(b""),
        events(end=True),
        events("[DONE]"),
        chunked(b": comment\n\n"),
        chunked(b"\n\n\n"),
        reply(b"data: {}"),
    ],
    ids=["drop", "nothing", "no events", "done alone", "comment", "blank", "an empty event"],
)
def test_a_stream_that_tells_nothing_is_open(act):
    ran = play(act, call=STREAM)

    assert (ran.error.spent, ran.error.partial, len(ran.server.seen)) == ("maybe", "", 1)


@pytest.mark.parametrize(
    "script",
    [
        (START, ONE, {"type": "error", "message": "content policy"}),
        ({"type": "error", "message": "content policy"}, "[DONE]"),
    ],
)
def test_an_error_event_is_a_failure_that_is_not_charged(script):
    ran = play(events(*script), call=STREAM)

    assert type(ran.error) is e.GenerationFailed
    assert (ran.error.spent, ran.error.tokens, str(ran.error)) == ("no", 0, "content policy")
    assert ran.error.partial == ("Hel" if len(script) == 3 else "")
    assert len(ran.server.seen) == 1


@pytest.mark.parametrize("end", [END, END_B, {"type": "generation_end", "tokens_spent": 3}], ids=["a", "b", "no id"])
def test_an_error_before_an_end_that_tells_a_charge_is_a_failure_that_was_charged(end):
    """Its text was cut: it is no result, and must not be kept as one."""
    ran = play(events(START, ONE, {"type": "error", "message": "content policy"}, end, "[DONE]"), call=STREAM)

    assert type(ran.error) is e.GenerationFailed
    assert (ran.error.spent, ran.error.tokens, str(ran.error)) == ("yes", 3, "content policy")
    assert (ran.error.partial, ran.error.generation_id) == ("Hel", 18473)
    assert (len(ran.server.seen), ran.told.ids) == (1, [18473])


@pytest.mark.parametrize("charge", [{}, {"tokens_spent": 0}, {"tokens_spent": "many"}])
def test_an_error_before_an_end_without_a_charge_leaves_the_id_to_ask_by(charge):
    ran = play(events(START, ONE, {"type": "error", "message": "x"}, {"type": "generation_end", **charge}), call=STREAM)

    assert type(ran.error) is e.GenerationFailed
    assert (ran.error.spent, ran.error.tokens, ran.error.generation_id) == ("no", 0, 18473)


def test_an_error_event_alone_leaves_the_id_to_ask_by():
    ran = play(events(START, ONE, {"type": "error", "message": "the gateway lost the client"}), call=STREAM)

    assert (ran.error.spent, ran.error.generation_id, ran.error.partial) == ("no", 18473, "Hel")


def test_after_the_end_the_server_may_be_slow_to_close_and_we_do_not_wait():
    body = [f"data: {json.dumps(event)}\n\n".encode() for event in (START, ONE, TWO, END)]

    async def create(client):
        began = time.perf_counter()
        reply = await client.create(STREAM, Told())
        return reply, time.perf_counter() - began

    async def act(reader, writer):
        await chunked(*body, end=False)(reader, _Open(writer))
        await asyncio.sleep(20)

    ran = play(act, do=create)
    reply_, took = ran.value

    assert (reply_.text, reply_.tokens) == ("Hello", 3)
    assert took < 5


@pytest.mark.parametrize("torn", ['{"type": "content_delta", "del', '{"type": "content_delta", "delta": 5}'])
def test_a_piece_that_cannot_be_read_is_not_missing_from_the_text(torn):
    page = reply({"id": 18473, "status": "completed", "result_text": "Hello you", "tokens_spent": 3})
    ran = play(events(START, ONE, torn, TWO, END, "[DONE]"), page, call=STREAM)

    assert (ran.value.text, ran.value.tokens, ran.error) == ("Hello you", 3, None)
    assert ran.server.paths == ["POST /generate/stream", "GET /generate/18473"]


@pytest.mark.parametrize("page", [DROP, reply({"error": "not_found"}, status=404), reply({"id": 18473})])
def test_a_page_that_does_not_know_the_missing_piece_costs_nothing_of_the_text(page):
    ran = play(events(START, ONE, '{"type": ', TWO, END, "[DONE]"), page, page, page, page, call=STREAM)

    assert (ran.value.text, ran.value.tokens, ran.error) == ("Hello", 3, None)


@pytest.mark.parametrize("again", [{"tokens_spent": 0}, {"tokens_spent": None}, {"tokens_used": 3, "id": None}])
def test_an_end_that_is_told_twice_takes_no_charge_back(again):
    ran = play(events(START, ONE, TWO, END_B, {**END, "tokens_spent": None, **again}, "[DONE]"), call=STREAM)

    assert (ran.value.text, ran.value.tokens, ran.value.balance, ran.value.id) == ("Hello", 3, 297, 18473)


class _Open:
    """A writer that is not closed."""

    def __init__(self, writer):
        self._writer = writer

    def __getattr__(self, name):
        return (lambda: None) if name == "close" else getattr(self._writer, name)


def test_a_connection_is_used_again_after_a_stream():
    async def twice(client):
        await client.create(STREAM, Told())
        return await client.create(STREAM, Told())

    ran = play(events(START, ONE, TWO, END, "[DONE]"), do=twice)

    assert (len(ran.server.seen), ran.server.connections) == (2, 1)


def test_an_endless_stream_of_comments_is_given_up_on(monkeypatch):
    monkeypatch.setattr(_answer, "EVENTLESS_S", 0.2)
    start = f"data: {json.dumps(START)}\n\n".encode()
    ran = play(chunked(start, *[b": still here\n\n"] * 1000, pause_s=0.02, end=False), call=STREAM)

    assert (ran.error.spent, ran.error.generation_id) == ("maybe", 18473)
    assert "no event" in str(ran.error)


def test_an_endless_stream_of_text_is_given_up_on(monkeypatch):
    monkeypatch.setattr(_answer, "MAX_STREAM", 100_000)
    piece = f"data: {json.dumps({'type': 'content_delta', 'delta': 'x' * 1000})}\n\n".encode()
    ran = play(chunked(*[piece] * 1000, end=False), call=STREAM)

    assert ran.error.spent == "maybe"
    assert 90_000 < len(ran.error.partial) < 200_000


def test_a_line_of_a_hundred_megabytes_ends_in_an_open_outcome():
    ran = play(chunked(b"data: ", *[b"x" * 1024**2] * 100, end=False), call=STREAM)

    assert (ran.error.spent, len(ran.server.seen)) == ("maybe", 1)


def test_a_stopped_stream_leaves_no_connection_behind():
    body = f"data: {json.dumps(START)}\n\n".encode()

    async def stop(client):
        told = Told()
        task = asyncio.ensure_future(client.create(STREAM, told))
        while not told.ids:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return client._line._lanes.busy

    ran = play(chunked(body, b": wait\n\n", pause_s=0.5, end=False), do=stop)

    assert ran.value == 0


PAGE = {"id": 18473, "status": "completed", "result_text": "Hello", "tokens_spent": 9}


@pytest.mark.parametrize(
    "sent",
    [
        events(START, {"type": "piece", "words": "Hel"}, END, "[DONE]"),
        reply({"id": 18473, "status": "completed", "tokens_spent": 3}),
    ],
    ids=["stream", "reply"],
)
def test_a_paid_text_that_cannot_be_read_on_its_way_is_asked_of_its_page(sent):
    ran = play(sent, reply(PAGE), call=STREAM)

    assert (ran.value.text, ran.value.tokens, ran.told.deltas) == ("Hello", 3, ["Hello"])
    assert ran.server.paths == ["POST /generate/stream", "GET /generate/18473"]


def test_an_answer_of_no_words_is_one_where_its_page_has_none_either():
    for page in (reply({**PAGE, "result_text": ""}), reply(b"", status=404)):
        ran = play(events(START, END, "[DONE]"), page, call=STREAM)

        assert (ran.value.text, ran.value.tokens, ran.told.deltas) == ("", 3, [])
