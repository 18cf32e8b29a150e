"""Requests that cost nothing: polls, prices, balance, history, models. They may be repeated, and they are bounded."""

import pytest
from scripted_server import DROP, head, play, raw, reply, reset

from elumenta_nb import _errors as e

DONE = {
    "id": 5,
    "status": "completed",
    "result_url": "https://storage.elumenta.ru/generations/5.mp4",
    "tokens_spent": 60,
}
BALANCE = {"token_balance": 283, "plan": "vip", "plan_expires_at": "2026-04-08T00:00:00Z"}
MISSING = reply({"error": "not_found", "message": "no", "details": {}}, status=404)


@pytest.mark.parametrize(
    "trouble", [DROP, reset(), reply(b"", status=500), reply(b"", status=502), reply(b"", status=503), reply(b"", status=504),
                reply(b"", status=408), reply(b"", status=425), reply(b"", status=499),
                reply({"error": "rate_limit_exceeded", "retry_after": 1}, status=429),
                raw(head(200, length=500) + b'{"id": 5') ],
    ids=["drop", "reset", "500", "502", "503", "504", "408", "425", "499", "429", "cut"],
)  # fmt: skip
def test_a_free_request_is_tried_again_after_trouble(trouble):
    ran = play(trouble, reply(DONE), do=lambda client: client.poll(5))

    assert ran.error is None
    assert (ran.value.tokens, len(ran.server.seen)) == (60, 2)


@pytest.mark.parametrize("trouble", [DROP, reply(b"", status=502), reply(b"", status=499)], ids=["drop", "502", "499"])
def test_it_is_not_tried_for_ever(trouble):
    ran = play(trouble, do=lambda client: client.balance())

    assert ran.error.spent == "no"
    assert len(ran.server.seen) == 4


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, e.Rejected),
        (401, e.AuthFailed),
        (403, e.PlanRequired),
        (404, e.NotFound),
        (302, e.BadReply),
        (301, e.BadReply),
    ],
)
def test_what_is_final_is_not_tried_again(status, kind):
    ran = play(reply(b"", status=status), do=lambda client: client.stats())

    assert type(ran.error) is kind
    assert (ran.error.spent, len(ran.server.seen)) == ("no", 1)


def test_a_gateway_that_did_not_wait_for_a_poll_is_trouble_and_no_refusal():
    ran = play(reply(b"", status=408), do=lambda client: client.poll(5))

    assert type(ran.error) is e.ServerError  # a job's wait goes on after it
    assert ran.error.spent == "maybe"


def test_a_poll_s_error_never_says_that_nothing_was_spent():
    for act in (
        DROP,
        MISSING,
        reply(b"[]"),
        reply(b"<html>"),
        reply(b"", status=401),
        reply({"error": "x"}, status=429),
    ):
        ran = play(act, do=lambda client: client.poll(5))
        assert (ran.error.spent, ran.error.generation_id) == ("maybe", 5)


def test_r9_a_string_id_is_looked_for_in_both_places_and_the_right_one_remembered():
    async def twice(client):
        await client.poll("gen_1")
        return await client.poll("gen_1")

    done = reply({"id": "gen_1", "status": "completed", "url": "https://s/x.mp4", "tokens_used": 60})
    for status in (404, 405, 422):
        ran = play(reply(b"{}", status=status), done, done, do=twice)

        assert ran.value.tokens == 60
        assert ran.server.paths == ["GET /generate/gen_1", "GET /generate/status/gen_1", "GET /generate/status/gen_1"]


def test_r9_a_number_is_looked_for_in_one_place():
    ran = play(MISSING, do=lambda client: client.poll(5))

    assert type(ran.error) is e.NotFound
    assert ran.server.paths == ["GET /generate/5"]


def test_a_poll_keeps_the_id_it_was_asked_for():
    ran = play(reply({"status": "pending", "progress": 45, "eta_seconds": 32}), do=lambda client: client.poll("gen_1"))

    assert (ran.value.id, ran.value.status, ran.value.progress, ran.value.eta_s) == ("gen_1", "pending", 45, 32)


def test_a_poll_whose_status_cannot_be_read_goes_on():
    ran = play(reply({"id": 5, "status": "cooking"}), do=lambda client: client.poll(5))

    assert ran.value.status == "pending"


@pytest.mark.parametrize("identity", ["../../balance", "a/b?c", "..", "ж"])
def test_a_strange_id_stays_one_step_of_the_path(identity):
    ran = play(MISSING, do=lambda client: client.poll(identity))

    for seen in ran.server.seen:
        assert seen.path.startswith("/api/v2/generate/")
        assert not {".", ".."} & set(seen.path.split("/"))
        assert seen.path.count("/") <= 5


def test_r10_the_balance_is_looked_for_in_both_places_and_the_right_one_remembered():
    async def twice(client):
        await client.balance()
        return await client.balance()

    ran = play(MISSING, reply(BALANCE), reply(BALANCE), do=twice)

    assert (ran.value.tokens, ran.value.plan) == (283, "vip")
    assert ran.server.paths == ["GET /balance", "GET /user/balance", "GET /user/balance"]


def test_a_price_is_asked_for():
    answer = {"token_cost": 13, "min_token_cost": 5, "max_token_cost": 13, "pricing_type": "matrix"}
    ran = play(reply(answer), do=lambda client: client.quote("dall-e-3", {"size": "1792x1024", "quality": "hd"}))

    assert (ran.value.tokens, ran.value.minimum, ran.value.maximum, ran.value.pricing_type) == (13, 5, 13, "matrix")
    assert ran.server.seen[0].json == {"params": {"size": "1792x1024", "quality": "hd"}, "count": 1}
    assert ran.server.paths == ["POST /models/dall-e-3/calculate-price"]


@pytest.mark.parametrize("body", [{}, [], {"token_cost": True}, {"token_cost": -1}])
@pytest.mark.parametrize("ask", [lambda client: client.quote("x", {}), lambda client: client.balance()])
def test_an_answer_without_the_figure_is_no_answer(ask, body):
    ran = play(reply(body), do=ask)

    assert type(ran.error) is e.BadReply
    assert (ran.error.spent, "%elumenta doctor" in ran.error.hint) == ("no", True)


def test_profile_stats_and_one_model():
    me = play(reply({"id": 7, "name": "Anna", "plan": "vip"}), do=lambda client: client.profile()).value
    stats = play(reply({"total_generations": 842, "breakdown": {"text": {"count": 510, "tokens": 1020}, "x": 5}}),
                 do=lambda client: client.stats()).value  # fmt: skip
    model = play(reply({"slug": "dall-e-3", "category": "image", "token_cost": 5, "min_token_cost": 5, "max_token_cost": 13}),
                 do=lambda client: client.model("dall-e-3")).value  # fmt: skip

    assert (me.id, me.name, me.plan) == ("7", "Anna", "vip")
    assert stats == {"total_generations": 842, "breakdown": {"text": {"count": 510, "tokens": 1020}}}
    assert (model.slug, model.minimum, model.maximum) == ("dall-e-3", 5, 13)


def test_models_in_pages_are_read_to_their_end_and_no_further():
    def page(*slugs):
        return reply({"items": [{"slug": slug, "category": "text", "token_cost": 1} for slug in slugs], "total": 3})

    ran = play(page("a", "b"), page("c"), do=lambda client: client.models())
    stuck = play(page("a", "b"), do=lambda client: client.models())

    assert [model.slug for model in ran.value] == ["a", "b", "c"]
    assert ran.server.paths == ["GET /models", "GET /models?page=2"]
    assert (len(stuck.value), len(stuck.server.seen)) == (2, 2)


ITEMS = [
    {
        "id": 3,
        "category": "image",
        "model_slug": "dall-e-3",
        "status": "completed",
        "prompt": "a cat",
        "tokens_spent": 5,
    },
    {"id": "gen_2", "type": "tts", "model": "openai-tts", "status": "completed", "prompt": "x", "tokens_used": 3},
    {"id": 1, "category": "image", "model_slug": "dall-e-3", "status": "failed", "prompt": "b", "tokens_spent": 0},
    {"nonsense": True},
    5,
]


def test_r11_history_is_filtered_here_as_well():
    page = reply({"items": ITEMS, "total": 4, "page": 1, "limit": 100})
    ran = play(page, do=lambda client: client.history(category="image", status="completed"))

    assert [item.id for item in ran.value.items] == [3]
    assert (ran.value.received, ran.value.total, ran.value.more) == (4, 4, False)
    assert ran.server.paths == ["GET /user/history?page=1&limit=100&category=image&status=completed"]


def test_r11_the_model_decides_and_the_group_is_not_asked_for():
    page = reply({"items": [*ITEMS, {"id": 8, "category": "audio", "model_slug": "dall-e-3", "status": "completed"}]})
    ran = play(page, do=lambda client: client.history(category="image", model="dall-e-3", status="completed"))

    assert [item.id for item in ran.value.items] == [3, 8]
    assert ran.server.paths == ["GET /user/history?page=1&limit=100&model_slug=dall-e-3&status=completed"]


def test_r11_a_server_that_does_not_take_the_filters_is_asked_without_them():
    refused = reply({"error": "validation_error", "message": "category"}, status=422)
    ran = play(refused, reply({"items": ITEMS}), do=lambda client: client.history(model="dall-e-3"))

    assert [item.id for item in ran.value.items] == [3, 1]
    assert ran.server.paths[1] == "GET /user/history?page=1&limit=100"


@pytest.mark.parametrize(
    ("category", "ids"), [("tts", ["gen_2", 9]), ("music", [10]), ("audio-tools", [11]), ("image-tools", [12])]
)
def test_r13_the_groups_of_history_are_found_by_any_of_their_names(category, ids):
    more = [
        {"id": 9, "type": "audio", "model": "openai-tts", "status": "completed"},
        {"id": 10, "type": "audio", "model": "musicgen", "status": "completed"},
        {"id": 11, "type": "tool", "model": "el-dubbing", "status": "completed"},
        {"id": 12, "type": "tool", "model": "upscale", "status": "completed"},
    ]
    ran = play(reply({"items": [*ITEMS, *more]}), do=lambda client: client.history(category=category))

    assert set(ids) <= {item.id for item in ran.value.items}
    assert 3 not in {item.id for item in ran.value.items}


def test_a_web_page_for_json_is_named_and_nothing_is_retried():
    ran = play(reply(b"<html>Sign in to the wifi</html>"), do=lambda client: client.balance())

    assert "a web page, not JSON" in str(ran.error)
    assert len(ran.server.seen) == 1


@pytest.mark.parametrize("name", ["GPT-5-Nano", "gpt-5-nano", "GPT-5 Nano"])
def test_a_history_may_call_a_model_by_the_name_that_people_read(name):
    rows = [{"id": 1, "model": name, "status": "completed"}, {"id": 2, "model": "gpt-5", "status": "completed"}]
    ran = play(reply({"items": rows, "total": 2}), do=lambda client: client.history(model="gpt-5-nano"))

    assert [(item.id, item.model) for item in ran.value.items] == [(1, "gpt-5-nano")]
