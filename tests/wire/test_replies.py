"""One generation in two reply families: every shape row of the documentation's disagreements (S1 to S11), a pair each."""

import json
import time
from datetime import UTC, datetime

import pytest

from elumenta_nb._values import Reply
from elumenta_nb._wire import read_json, read_reply, understood

PENDING = {"id": 18500, "status": "pending", "model_slug": "kling-v2.1"}

# row, a reply of side A, a reply of side B, the fields both must give
SHAPES = [
    ("S1 int id", {"id": 18473}, {"id": 18473.0}, {"id": 18473}),
    ("S1 string id", {"id": "gen_01j9x2abc123"}, {"id": "gen_01j9x2abc123", "x": 1}, {"id": "gen_01j9x2abc123"}),
    ("S2 cost", {"tokens_spent": 3}, {"tokens_used": 3}, {"tokens": 3}),
    ("S3 text", {"result_text": " Hi"}, {"content": " Hi"}, {"text": " Hi"}),
    ("S4 file", {"result_url": "https://s/x.png"}, {"url": "https://s/x.png"}, {"url": "https://s/x.png"}),
    ("S4 audio", {"result_url": "https://c/x.mp3"}, {"output_url": "https://c/x.mp3"}, {"url": "https://c/x.mp3"}),
    ("S5 model", {"model_slug": "gpt-5"}, {"model": "gpt-5"}, {"model": "gpt-5"}),
    ("S6 category", {"category": "audio"}, {"type": "audio"}, {"category": "audio"}),
    (
        "S7 media",
        {"result_metadata": {"duration": 5, "width": 1920, "height": 1080}},
        {"duration": 5, "width": 1920, "height": 1080},
        {"duration_s": 5.0, "width": 1920, "height": 1080},
    ),
    ("S7 music", {"result_metadata": {"duration": 30}}, {"duration_seconds": 30}, {"duration_s": 30.0}),
    ("S8 no balance", {}, {"balance_remaining": None}, {"balance": None}),
    ("S8 balance", {"balance_remaining": 297}, {"balance_remaining": "297"}, {"balance": 297}),
    ("S9 no progress", {}, {"progress": None, "eta_seconds": None}, {"progress": None, "eta_s": None}),
    (
        "S9 progress",
        {"progress": 45, "eta_seconds": 32},
        {"progress": 45.0, "eta_seconds": "32"},
        {"progress": 45.0, "eta_s": 32.0},
    ),
    (
        "S10 pending",
        {**PENDING, "result_url": None, "tokens_spent": 0},
        {**PENDING, "processing_ms": None, "tokens_spent": 0, "created_at": None},
        {"id": 18500, "status": "pending", "url": None, "tokens": 0, "processing_ms": None},
    ),
    ("S11 no times", {}, {"created_at": ""}, {"created_at": None, "completed_at": None}),
    (
        "S11 times",
        {"created_at": "2026-03-01T12:00:00Z"},
        {"created_at": "2026-03-01T15:00:00+03:00"},
        {"created_at": datetime(2026, 3, 1, 12, tzinfo=UTC)},
    ),
]


@pytest.mark.parametrize("side", [1, 2], ids=["A", "B"])
@pytest.mark.parametrize("row", SHAPES, ids=lambda row: row[0])
def test_both_sides_of_a_disagreement_read_the_same(row, side):
    reply = read_reply(row[side])

    assert {name: getattr(reply, name) for name in row[3]} == row[3]


def test_the_first_alias_that_is_not_null_wins():
    assert read_reply({"tokens_spent": None, "tokens_used": 5}).tokens == 5
    assert read_reply({"tokens_spent": 4, "tokens_used": 5}).tokens == 4
    assert read_reply({"result_text": None, "content": "b"}).text == "b"


def test_an_alias_of_the_wrong_type_gives_way_to_one_that_fits():
    assert read_reply({"tokens_spent": "many", "tokens_used": 5}).tokens == 5
    assert read_reply({"result_url": {"x": 1}, "url": "https://s/x"}).url == "https://s/x"


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (13, 13),
        (0, 0),
        (10**9, 10**9),
        ("13", 13),
        (13.0, 13),
        ("13.0", 13),
        (" 13.00 ", 13),
        ("13.", None),
        ("13.05", None),
        (True, None),
        (False, None),
        (13.5, None),
        (-1, None),
        (10**9 + 1, None),
        (10**400, None),
        (float("nan"), None),
        (float("inf"), None),
        ("13.5", None),
        ("١٣", None),
        ("", None),
        (None, None),
        ([13], None),
        ({"n": 13}, None),
    ],
)
def test_a_charge_is_a_whole_number_from_0_to_a_billion_or_it_is_missing(given, read):
    assert read_reply({"tokens_spent": given}).tokens == read


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (5, 5),
        ("5", "5"),
        ("gen_x", "gen_x"),
        (True, None),
        ("", None),
        ("..", None),
        ("a\nb", None),
        (5.5, None),
        ("x" * 201, None),
        (2**70, None),
        ([], None),
    ],
)
def test_an_id_is_kept_as_it_came_or_is_missing(given, read):
    assert read_reply({"id": given}).id == read


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("https://s/my file.png", "https://s/my%20file.png"),
        ("https://s/a%20b.png?x=a b&sig=a%2Fb+c==", "https://s/a%20b.png?x=a%20b&sig=a%2Fb+c=="),
        ("https://s/кот.png", "https://s/%D0%BA%D0%BE%D1%82.png"),
        ("https://файлы.рф/кот", "https://файлы.рф/%D0%BA%D0%BE%D1%82"),
        ('https://s/a"b<c>\\d', "https://s/a%22b%3Cc%3E%5Cd"),
        (" https://s/x\n", "https://s/x"),
        ([{"url": "https://s/x"}], "https://s/x"),
        ({"url": "https://s/x"}, "https://s/x"),
        ([None, "https://s/x"], "https://s/x"),
        ("/files/my x.png", "/files/my%20x.png"),
        ("//s/x.png", "//s/x.png"),
        ("https://s .example/x", None),
        ("https://s/a\nb", None),
        ("https://s/a\x00b", None),
        ("https://s/a\u200bb", None),
        ("https://s/" + "x" * 9000, None),
        ([[[[["https://s/x"]]]]], None),
        ({"x": 1}, None),
        ([], None),
        ("", None),
    ],
)
def test_an_address_is_read_as_it_was_meant_and_never_with_a_control_character(given, read):
    assert read_reply({"id": 1, "status": "completed", "result_url": given}).url == read


def test_an_odd_metadata_never_costs_the_id_and_the_charge():
    reply = read_reply(
        {"id": 1, "status": "completed", "tokens_spent": 60, "result_url": "https://s/x", "result_metadata": 7}
    )

    assert (reply.id, reply.tokens, reply.url, reply.width) == (1, 60, "https://s/x", None)


def test_the_error_of_a_failed_job_is_text_or_an_object_with_a_message():
    assert read_reply({"status": "failed", "error": "Provider error: x"}).error == "Provider error: x"
    assert read_reply({"status": "failed", "error": {"message": "x"}}).error == "x"
    assert read_reply({"status": "failed", "error": 5}).error == ""


def test_the_reason_of_a_failure_is_one_line_without_what_a_terminal_acts_on():
    assert read_reply({"status": "failed", "error": "\x1b[31mno\x1b[0m\n" * 3}).error == "no no no"
    assert len(read_reply({"status": "failed", "error": {"message": "x\n" * 9000}}).error) == 400


def test_a_reply_that_is_the_only_item_of_a_list_is_found():
    only = [{"id": 4, "status": "completed", "content": "x"}]
    assert [read_reply(told).id for told in (only, {"data": only}, only * 2)] == [4, 4, None]


def test_a_reply_in_an_envelope_is_found():
    assert read_reply({"data": {"id": 4, "status": "completed"}}).id == 4


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (5, "5"),
        ({"да": [1]}, '{"да": [1]}'),
        ({"type": "text", "text": "Hi"}, "Hi"),
        ([{"a": 1}], '[{"a": 1}]'),
        ("", ""),
        (None, None),
        ({}, None),
        ([], None),
        (False, None),
    ],
)
def test_an_answer_that_came_as_a_value_is_kept_as_json(given, read):
    assert read_reply({"id": 1, "status": "completed", "content": given}).text == read
    assert read_reply({"id": 1, "result_text": given, "content": "Hi"}).text == ("" if given == "" else "Hi")


@pytest.mark.parametrize("name", ["data", "generation", "result"])
def test_the_status_of_the_request_is_not_that_of_the_generation(name):
    running = read_reply({"status": "success", name: {"id": 4, "status": "pending", "tokens_spent": 0}})
    told = read_reply({"id": 4, "status": "completed", name: {"id": 5, "status": "pending"}})

    assert (running.id, running.status) == (4, "pending")
    assert (told.id, told.status) == (4, "completed")


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (Reply(id=1, status="completed"), "completed"),
        (Reply(text="x"), "completed"),
        (Reply(url="https://s/x"), "completed"),
        (Reply(id=1), "pending"),
        (Reply(status="completed", tokens=3), "completed"),
        (Reply(status="failed"), "failed"),
        (Reply(), None),
        (Reply(status="pending"), None),
        (Reply(status="completed"), None),
        (Reply(tokens=3), None),
    ],
)
def test_a_reply_is_acted_on_only_when_it_says_enough(reply, status):
    found = understood(reply)

    assert (found.status if found else None) == status


def test_a_status_word_that_is_not_documented_is_asked_again_instead_of_believed():
    assert understood(read_reply({"id": 1, "status": "error"})).status == "pending"
    assert understood(read_reply({"id": 1, "status": "Completed "})).status == "completed"
    assert understood(read_reply({"id": 1, "status": 7})).status == "pending"


@pytest.mark.parametrize("word", ["error", "Cancelled", "canceled", "expired", "TIMEOUT"])
def test_another_word_for_failed_is_believed_with_a_reason_and_a_charge(word):
    told = {"id": 1, "status": word, "error": "stopped by the provider", "tokens_used": 0}

    assert read_reply(told).status == "failed"
    assert read_reply({**told, "error": None}).status == ""
    assert read_reply({**told, "tokens_used": None}).status == ""
    assert read_reply({**told, "status": "waiting"}).status == ""


# ------------------------------------------------------------------ JSON that is not quite JSON


def test_json_nested_ten_thousand_deep_costs_only_its_own_field():
    body = (
        b'{"id": 7, "status": "completed", "result_metadata": '
        + b"[" * 10_000
        + b"]" * 10_000
        + b', "tokens_spent": 3}'
    )
    parsed = read_json(body)
    reply = read_reply(parsed.value)

    assert parsed.whole
    assert (reply.id, reply.status, reply.tokens) == (7, "completed", 3)
    json.dumps(reply.raw)


def test_what_is_nested_deeply_but_parses_is_cut_off_so_that_it_can_be_written_again():
    parsed = read_json(b'{"id": 7, "x": ' + b"[" * 500 + b"]" * 500 + b"}")

    assert parsed.value["id"] == 7
    assert json.dumps(parsed.value).count("[") <= 65


@pytest.mark.parametrize("cut", range(1, 78))
def test_a_cut_body_gives_only_members_that_arrived_complete(cut):
    body = b'{"id": 18473, "status": "completed", "result_text": "h, {]", "tokens_spent": 1}'
    parsed = read_json(body[:cut])

    assert not parsed.whole
    whole = {"id": 18473, "status": "completed", "result_text": "h, {]"}
    assert all(whole[name] == value for name, value in (parsed.value or {}).items())
    assert ("id" in (parsed.value or {})) == (cut >= 13)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"5",
        b'"text"',
        b"[]",
        b"<html>",
        b"\xff\xfe\x00",
        b"{",
        b'{"a"',
        b'{"a":',
        b"nan",
        b"}{",
        b'{"a": undefined',
        b"\x00" * 9,
        b'{"id" 5}',
        b"[[[[",
    ],
)
def test_garbage_is_read_as_nothing(body):
    reply = read_reply(read_json(body).value)

    assert (reply.id, reply.status, reply.tokens, reply.text) == (None, "", None, None)


def test_a_member_that_is_no_json_falls_back_alone():
    parsed = read_json(b'{"id": 7, "x": undefined, "y": 1e999, "z": NaN, "n": ' + b"9" * 5000 + b', "tokens_spent": 3}')

    assert parsed.whole
    assert read_reply(parsed.value).tokens == 3
    assert json.dumps(parsed.value, allow_nan=False)


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"result_text": "\xd0\xb4\xd0\xb0"}',
        '{"result_text": "да"}'.encode("utf-16"),
        b'{"result_text": "\\u0434\\u0430"}',
    ],
    ids=["mark", "utf-16", "escapes"],
)
def test_a_body_may_come_in_other_encodings(body):
    assert read_reply(read_json(body).value).text == "да"


def test_latin_1_is_read_rather_than_lost():
    assert read_reply(read_json(b'{"id": 3, "result_text": "caf\xe9", "status": "completed"}').value).text == "café"


def test_half_a_character_never_reaches_whoever_writes_the_text():
    reply = read_reply(read_json(rb'{"result_text": "a\ud83d b \ud83d\ude00", "model": "\udc00"}').value)

    assert reply.text == "a\N{REPLACEMENT CHARACTER} b \N{GRINNING FACE}"
    json.dumps(reply.raw, ensure_ascii=False).encode()


def test_line_breaks_inside_a_string_are_forgiven():
    assert read_reply(read_json(b'{"result_text": "a\nb\tc"}').value).text == "a\nb\tc"


@pytest.mark.parametrize("filler", [b"\\n", b"x", b'\\"', b"\\\\"])
def test_a_large_cut_body_is_read_quickly(filler):
    body = b'{"id": 1, "a": "' + filler * (8 * 1024**2 // len(filler))
    began = time.thread_time()

    assert read_json(body).value == {"id": 1}
    assert time.thread_time() - began < 5


def test_millions_of_brackets_are_given_up_on():
    began = time.thread_time()

    assert read_json(b'{"id": 1, "a": ' + b"[" * 8 * 1024**2).value == {"id": 1}
    assert time.thread_time() - began < 5
