"""What an error body says: the general form, the flat form of 429, and no form at all."""

import json

import pytest

from elumenta_nb._wire import read_error
from elumenta_nb._wire._said import DOCUMENTED

LIMIT = {
    "error": "rate_limit_exceeded",
    "message": "Hourly limit reached: 100 requests/hour on VIP plan",
    "retry_after": 847,
    "plan": "vip",
    "limit_hour": 100,
    "limit_day": 1000,
}


def said(status, body, **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_error(status, raw, {name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize("nested", [False, True], ids=["E4 flat", "E4 details"])
def test_a_limit_says_how_long_and_which(nested):
    facts = {name: value for name, value in LIMIT.items() if name not in ("error", "message")}
    body = {"error": LIMIT["error"], "message": LIMIT["message"], "details": facts} if nested else LIMIT
    found = said(429, body)

    assert (found.code, found.retry_after, found.plan) == ("rate_limit_exceeded", 847, "vip")
    assert (found.limit_hour, found.limit_day, found.documented) == (100, 1000, True)


@pytest.mark.parametrize(("status", "code"), sorted(DOCUMENTED))
def test_the_documented_pairs_of_status_and_code_are_known(status, code):
    assert said(status, {"error": code, "message": "m", "details": {}}).documented


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, {"error": "internal", "message": "m"}),
        (500, {"error": "model_unavailable"}),
        (502, {"error": "provider_error"}),
        (503, {"error": "provider_error"}),
        (500, {"message": "provider_error"}),
        (500, {"error": {"code": "provider_error"}}),
        (500, b""),
        (500, b"provider_error"),
        (500, b"<html>provider_error</html>"),
        (500, b'{"error": "provider_err'),
        (500, b'["provider_error"]'),
    ],
)
def test_anything_else_documents_nothing(status, body):
    assert not said(status, body).documented


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"<!DOCTYPE html><html><h1>502</h1>", "html"),
        (b"  <HTML>", "html"),
        (b"Bad gateway", "text"),
        (b"{}", "json"),
        (b"[1]", "text"),
    ],
)
def test_the_form_is_named(body, form):
    assert said(502, body).form == form


def test_a_page_is_not_quoted_but_a_plain_sentence_is():
    assert said(502, b"<html><p>secret</p>").message == ""
    assert said(502, b"upstream   timed\nout").message == "upstream timed out"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": "x", "message": "words"}, "words"),
        ({"detail": "Not Found"}, "Not Found"),
        ({"detail": [{"loc": ["body", "text"], "msg": "field required"}]}, "body.text: field required"),
        ({"error": "only a code"}, "only a code"),
        ({"error": {"message": "inner"}}, "inner"),
        ({"message": 5}, ""),
    ],
)
def test_the_words_are_found(body, message):
    assert said(422, body).message == message


HOSTILE = "\x1b[2Jno\x1b[31m \x07tokens\x00\nof\r\n\u202ethis\u200b account\u2028now"


@pytest.mark.parametrize(
    "body",
    [
        {"error": "x", "message": HOSTILE},
        {"detail": HOSTILE},
        {"error": {"message": HOSTILE}},
        {"detail": [{"msg": HOSTILE}]},
        {"detail": [HOSTILE]},
        HOSTILE.encode(),
    ],
)
def test_what_a_server_says_is_one_line_without_what_a_terminal_acts_on(body):
    assert said(400, body).message == "no tokens of this account now"


def test_the_field_of_an_error_is_no_way_around_that():
    assert said(422, {"detail": [{"loc": ["\x1b[2J", "a\nb"], "msg": "m"}]}).message == ".a b: m"


def test_long_words_are_cut():
    assert len(said(400, {"message": "x" * 10_000}).message) == 400


DATE = "Sun, 01 Mar 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry_after": "30"}, 30),
        ({"retry_after": "Sun, 01 Mar 2026 12:01:00 GMT", "date": DATE}, 60),
        ({"retry_after": "Sun, 01 Mar 2026 11:00:00 GMT", "date": DATE}, 0),
        ({"retry_after": "Sun, 01 Mar 2026 12:01:00 GMT"}, None),
        ({"retry_after": "-5"}, None),
        ({"retry_after": "nan"}, None),
        ({"x_ratelimit_remaining_hour": "0", "x_ratelimit_reset_hour": "1772366460", "date": DATE}, 60),
        ({"x_ratelimit_remaining_hour": "5", "x_ratelimit_reset_hour": "1772366460", "date": DATE}, None),
        ({}, None),
    ],
)
def test_without_a_body_s_figure_the_headers_are_asked(headers, wait_s):
    assert said(429, {"error": "rate_limit_exceeded"}, **headers).retry_after == wait_s


@pytest.mark.parametrize("value", ["soon", None, True, -3, [], 1e300, "1e5"])
def test_an_odd_wait_is_missing(value):
    assert said(429, {**LIMIT, "retry_after": value}).retry_after is None
