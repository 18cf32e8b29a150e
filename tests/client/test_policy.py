"""The rule about money, as a table: what an answer means, and whether the request may be sent again."""

import json

import pytest

from elumenta_nb._client._policy import MAX_SENDS, Loss, Setback, judge, judge_loss, pause
from elumenta_nb._errors import RateLimited, TransportError
from elumenta_nb._wire import read_error
from elumenta_nb._wire._said import DOCUMENTED


def verdict(status, body, *, paid=True, **headers):
    return judge(status, read_error(status, json.dumps(body).encode(), headers), paid=paid, now=0.0)


@pytest.mark.parametrize("code", ["", "provider_error", "model_unavailable", "rate_limit_exceeded", "other"])
def test_only_documented_answers_say_that_nothing_was_charged_and_only_two_of_them_are_repeated(code):
    for status in range(300, 600):
        found = verdict(status, {"error": code, "message": "m"} if code else {})
        refused = (400, 401, 402, 403, 404, 405, 413, 415, 422, 429)
        harmless = status in refused or (status, code) in DOCUMENTED or status in (301, 307, 308)

        assert (status, found.error.spent) == (status, "no" if harmless else "maybe")
        assert (status, found.again) == (status, status == 429 or (status, code) == (503, "model_unavailable"))
        assert found.error.status == status


def test_a_request_that_costs_nothing_never_says_maybe_and_is_repeated_after_a_gateway_s_words_5xx_and_429():
    for status in range(300, 600):
        found = verdict(status, {}, paid=False)

        assert found.error.spent == "no"
        assert found.error.hint or status in (400, 422) or not found.again, status
        assert (status, found.again) == (status, status in (408, 425, 429, 499) or status >= 500)


@pytest.mark.parametrize(
    ("loss", "paid", "spent", "again"),
    [
        (Loss(why="x", sent=False), True, "no", True),
        (Loss(why="x", sent=False, lasting=True), True, "no", False),
        (Loss(why="x", sent=True), True, "maybe", False),
        (Loss(why="x", sent=True, lasting=True), True, "maybe", False),
        (Loss(why="x", sent=False), False, "no", True),
        (Loss(why="x", sent=True), False, "no", True),
        (Loss(why="x", sent=True, lasting=True), False, "no", False),
    ],
)
def test_a_paid_request_that_was_sent_is_never_repeated(loss, paid, spent, again):
    found = judge_loss(loss, paid=paid)

    assert type(found.error) is TransportError
    assert (found.error.spent, found.again) == (spent, again)
    assert "%elumenta" in found.error.hint


@pytest.mark.parametrize(
    ("paid", "wait_s", "again"),
    [(True, 0, True), (True, 120, True), (True, 120.5, False), (True, 3600, False), (True, None, True),
     (False, 10, True), (False, 11, False), (False, None, True)],
)  # fmt: skip
def test_a_limit_is_waited_for_when_it_is_short(paid, wait_s, again):
    found = verdict(429, {"error": "rate_limit_exceeded", "retry_after": wait_s}, paid=paid)

    assert isinstance(found.error, RateLimited)
    assert (found.again, found.error.retry_after) == (again, wait_s)
    assert ("Again at" in str(found.error)) == (not again)


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_pauses_grow_and_end(chance):
    setback = Setback(error=TransportError(), again=True)
    pauses = [pause(sends, setback, chance) for sends in range(1, MAX_SENDS)]

    assert pauses == sorted(pauses)
    assert sum(pauses) < 6
    assert pause(MAX_SENDS, setback, chance) is None


def test_a_pause_is_never_shorter_than_the_server_asks():
    setback = Setback(error=TransportError(), again=True, wait_s=30)

    assert 30 < pause(1, setback, 0.0) < pause(1, setback, 1.0) < 31


def test_what_may_not_be_repeated_is_not_paused_for():
    assert pause(1, Setback(error=TransportError()), 0.5) is None


@pytest.mark.parametrize("wait_s", [10**9, 10**9 - 1, 1e9])
def test_an_absurd_limit_is_still_said(wait_s):
    assert "Again" in str(verdict(429, {"error": "rate_limit_exceeded", "retry_after": wait_s}).error)
