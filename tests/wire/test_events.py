"""A text stream in both documented forms, however its bytes are cut."""

import json

import pytest

from elumenta_nb._wire import Delta, Ended, EventStream, Failed, Finished, Lost, Started
from elumenta_nb._wire._events import MAX_LINE


def wire(*events: object, end: str = "\n") -> bytes:
    lines = [event if isinstance(event, str) else json.dumps(event) for event in events]
    return "".join(f"data: {line}{end}{end}" for line in lines).encode()


def read(body: bytes, size: int | None = None) -> list:
    stream = EventStream()
    size = size or max(1, len(body))
    events = [event for at in range(0, len(body), size) for event in stream.feed(body[at : at + size])]
    return events + stream.close()


FORM_A = wire(
    {"type": "generation_start", "id": 18473, "model": "gpt-5"},
    {"type": "content_delta", "delta": "При"},
    {"type": "content_delta", "delta": " вет"},
    {"type": "generation_end", "id": 18473, "tokens_spent": 3},
    "[DONE]",
)
FORM_B = wire(
    {"type": "generation_start", "id": "gen_01j9x2abc123", "model": "gpt-5"},
    {"type": "content_delta", "delta": "При"},
    {"type": "content_delta", "delta": " вет"},
    {"type": "generation_end", "id": "gen_01j9x2abc123", "tokens_used": 3, "balance_remaining": 297},
    "[DONE]",
)


@pytest.mark.parametrize(
    ("body", "identity", "balance"), [(FORM_A, 18473, None), (FORM_B, "gen_01j9x2abc123", 297)], ids="AB"
)
def test_r8_both_forms_tell_the_same_story(body, identity, balance):
    start, first, second, end, done = read(body)

    assert start == Started(identity, "gpt-5")
    assert first.text + second.text == "При вет"
    assert (end.reply.id, end.reply.tokens, end.reply.balance, end.reply.status) == (identity, 3, balance, "completed")
    assert done == Finished()


@pytest.mark.parametrize(
    "body", [FORM_A, FORM_B, FORM_A.replace(b"\n", b"\r\n"), FORM_A.replace(b"\n", b"\r")], ids=["A", "B", "CRLF", "CR"]
)
def test_the_story_does_not_depend_on_where_the_bytes_are_cut(body):
    whole = read(body)

    assert len(whole) == 5
    for cut in range(1, len(body)):
        stream = EventStream()
        assert stream.feed(body[:cut]) + stream.feed(body[cut:]) + stream.close() == whole
    assert read(body, size=1) == whole


def test_comments_blank_lines_names_and_the_mark_at_the_front_are_passed_over():
    body = b"\xef\xbb\xbf: keep-alive\n\n\nid: 5\nretry: 10\nevent: message\n" + wire(
        {"type": "content_delta", "delta": "x"}
    )

    assert read(body) == [Delta("x")]


def test_an_event_named_by_its_line_instead_of_its_type_is_understood():
    assert read(b'event: error\ndata: {"message": "down"}\n\n') == [Failed("down")]


def test_an_event_over_several_lines_is_one():
    assert read(b'data: {"type": "content_delta",\ndata: "delta": "x"}\n\n') == [Delta("x")]


def test_the_last_event_counts_without_its_last_line_break():
    assert read(b'data: {"type": "generation_end", "tokens_spent": 3}')[0].reply.tokens == 3


def test_a_piece_in_an_object_is_a_piece():
    assert read(wire({"type": "content_delta", "delta": {"type": "text_delta", "text": "Hi"}})) == [Delta("Hi")]
    assert read(wire({"type": "content_delta", "delta": {"content": "Hi"}})) == [Delta("Hi")]
    assert read(wire({"type": "content_delta", "delta": {"x": 1}})) == []


@pytest.mark.parametrize("kind", ["generation_end", "error"])
def test_an_event_that_was_cut_ends_nothing(kind):
    assert read(f'data: {{"type": "{kind}", "id": 5, "tokens_spent": 3'.encode()) == [Lost()]


def test_a_character_that_was_cut_between_two_deltas_is_put_together():
    body = b'data: {"type":"content_delta","delta":"a\\ud83d"}\n\ndata: {"type":"content_delta","delta":"\\ude00b"}\n\n'

    assert "".join(event.text for event in read(body)) == "a\N{GRINNING FACE}b"


def test_half_a_character_at_the_end_is_replaced():
    assert read(b'data: {"type":"content_delta","delta":"a\\ud83d"}\n\n') == [
        Delta("a"),
        Delta("\N{REPLACEMENT CHARACTER}"),
    ]


@pytest.mark.parametrize("data", ["5", "null", "not json", "[1]", '"x"'])
def test_an_event_that_is_no_object_is_lost_alone(data):
    assert read(f"data: {data}\n\n".encode() + wire({"type": "content_delta", "delta": "x"})) == [Lost(), Delta("x")]


@pytest.mark.parametrize(
    "event",
    [
        {"type": "content_delta", "delta": None},
        {"type": "content_delta", "delta": {"a": 1}},
        {"type": "content_delta"},
        {"type": "a_later_version", "delta": "x"},
        {"type": 5},
        {},
    ],
)
def test_an_odd_event_adds_nothing(event):
    assert read(wire(event)) == []


def test_an_error_event_carries_its_words():
    assert read(wire({"type": "error", "message": "content policy"})) == [Failed("content policy")]
    assert read(wire({"type": "error", "error": {"message": "m"}, "id": 4})) == [Failed("m", 4)]
    assert read(wire({"type": "error", "message": "\x1b[2Jcontent\npolicy"})) == [Failed("content policy")]


def test_a_line_of_a_hundred_megabytes_is_dropped_without_keeping_it():
    stream = EventStream()
    chunk = b"x" * (1024**2)
    stream.feed(b"data: ")
    for _ in range(100):
        assert stream.feed(chunk) == []
        assert len(stream._line) <= MAX_LINE
    after = wire({"type": "generation_end", "tokens_spent": 3})

    assert [type(event) for event in stream.feed(b"\n" + after)] == [Lost, Ended]


def test_many_lines_of_one_event_are_capped_too():
    stream = EventStream()
    events = []
    for _ in range(10):
        events += stream.feed(b"data: " + b"y" * (1024**2) + b"\n")

    assert Lost() in events
