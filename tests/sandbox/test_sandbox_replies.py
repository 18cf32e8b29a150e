"""The two families of replies (api.md section 13) and the two forms of a request, over real HTTP."""

from __future__ import annotations

import json
import re

import pytest

from elumenta_nb.sandbox import serve


def events(reply):
    lines = [line.removeprefix("data: ") for line in "".join(reply.iter_text()).split("\n\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def test_a_text_reply_of_each_family(caller, dialect):
    reply = caller.generate("gpt-5")
    if dialect == "a":
        assert isinstance(reply["id"], int)
        assert reply["model_slug"] == "gpt-5"
        assert reply["tokens_spent"] == 2
        assert reply["result_text"].startswith("**SANDBOX**")
        assert reply["result_url"] is None
        assert "balance_remaining" not in reply
    else:
        assert re.fullmatch(r"gen_01j9x2\w{6}", reply["id"])
        assert (reply["model"], reply["type"], reply["tokens_used"]) == ("gpt-5", "text", 2)
        assert reply["content"].startswith("**SANDBOX**")
        assert reply["balance_remaining"] == 1498
        assert reply["usage"]["total_tokens"] > 0
        assert "tokens_spent" not in reply


def test_a_picture_reply_of_each_family(caller, dialect):
    reply = caller.generate("dall-e-3", size="1792x1024", quality="hd")
    if dialect == "a":
        assert reply["result_metadata"] == {"width": 1792, "height": 1024}
        assert isinstance(reply["seed"], int)
        assert "result_text" not in reply
    else:
        assert (reply["width"], reply["height"]) == (1792, 1024)
        assert reply["url"].endswith(".webp")


def test_a_film_is_pending_first_and_then_has_its_facts(caller, dialect, server):
    server.fault("pending", seconds=0.3)
    first = caller.post("/generate", {"model": "luma-ray2-flash", "prompt": "waves", "params": {"duration": 5}}).json()

    assert first["status"] == "pending"
    assert first["created_at"]
    if dialect == "a":
        assert first["processing_ms"] is None
        assert "tokens_spent" not in first
        assert caller.poll(first["id"]).json()["result_url"] is None
    else:
        assert 0 <= first["progress"] <= 100
        assert first["eta_seconds"] == 1
    done = caller.follow(first)
    facts = done["result_metadata"] if dialect == "a" else done
    assert (facts["duration"], facts["width"], facts["height"]) == (5, 960, 540)
    assert done["thumbnail_url"].endswith(".jpg")
    assert done["created_at"] <= done["completed_at"]


def test_music_is_a_job_in_one_family_and_done_at_once_in_the_other(caller, dialect):
    body = {"model": "musicgen", "prompt": "calm piano", "params": {"duration": 15}}
    reply = caller.post("/generate", body).json()

    assert reply["status"] == ("pending" if dialect == "a" else "completed")
    if dialect == "b":
        assert reply["output_url"].endswith(".mp3")
        assert reply["duration_seconds"] == 15


def test_a_status_is_found_only_at_the_family_s_own_path(caller, dialect):
    number = caller.generate("gpt-5")["id"]

    assert caller.get(f"/generate/{number}").status_code == (200 if dialect == "a" else 404)
    assert caller.get(f"/generate/status/{number}").status_code == (404 if dialect == "a" else 200)
    for nobody in ("gen_01j9x2zzzzzz", "99999999", "x" * 300, "-1", "gen_"):
        assert caller.poll(nobody).status_code == 404
        assert caller.poll(nobody).json()["error"] == "not_found"


def test_a_stream_of_each_family(caller, dialect):
    with caller.stream("Count the words") as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        assert reply.headers["X-RateLimit-Limit-Hour"] == "100"
        told = events(reply)

    assert told[0]["type"] == "generation_start"
    assert told[0]["model"] == "gpt-5"
    assert told[-1] == "[DONE]"
    end = told[-2]
    assert end["type"] == "generation_end"
    assert end["id"] == told[0]["id"]
    text = "".join(event["delta"] for event in told[1:-2])
    assert "Count the words" in text
    if dialect == "a":
        assert end["tokens_spent"] == 2
    else:
        assert (end["tokens_used"], end["balance_remaining"]) == (2, 1498)
    assert caller.field(caller.poll(end["id"]).json(), "result_text") == text


def test_a_stream_is_found_only_at_the_family_s_own_path(caller, dialect):
    body = {"model": "gpt-5", "prompt": "Hello", "stream": True}
    if dialect == "a":
        assert caller.post("/generate", body).headers["content-type"] == "application/json"
    else:
        assert caller.post("/generate/stream", body).status_code in (404, 405)


def test_a_stream_that_fails_says_so_and_costs_nothing(server, caller):
    server.control("fail", "next", 1, "Provider", "error:", "overloaded")
    with caller.stream() as reply:
        told = events(reply)

    assert told[-2] == {"type": "error", "message": "Provider error: overloaded"}
    assert caller.balance == 1500


def test_a_refusal_before_a_stream_is_a_json_error(server, caller):
    server.control("balance", 1)
    with caller.stream() as reply:
        reply.read()

    assert reply.status_code == 402
    assert reply.json()["error"] == "insufficient_tokens"


def test_a_client_that_leaves_a_stream_is_charged(dialect, connect):
    with serve(dialect=dialect, time_scale=0.08) as server:
        caller = connect(server, dialect)
        with caller.stream() as reply:
            next(reply.iter_text())
        server_sees = caller.follow(caller.poll(caller.history()["items"][0]["id"]).json())

        assert server_sees["status"] == "completed"
        assert caller.balance == 1498


def test_both_forms_of_a_request_are_read(caller, dialect):
    nested = caller.post("/generate", {"model": "dall-e-3", "prompt": "a boat", "params": {"size": "1024x1792"}}).json()
    flat = caller.post("/generate", {"model": "dall-e-3", "prompt": "a boat", "size": "1024x1792"}).json()
    turns = [{"role": "user", "content": "One"}, {"role": "assistant", "content": "1"}]
    params = {"messages": turns, "system_prompt": "Be brief."}
    with_prompt = caller.post("/generate", {"model": "gpt-5", "prompt": "Two", "params": params}).json()
    whole = [{"role": "system", "content": "Be brief."}, *turns, {"role": "user", "content": "Two"}]
    as_messages = caller.post("/generate", {"model": "gpt-5", "messages": whole}).json()

    assert caller.field(nested, "tokens_spent") == caller.field(flat, "tokens_spent") == 9
    assert caller.field(with_prompt, "result_text") == caller.field(as_messages, "result_text")
    assert "Earlier messages that came with it: 2" in caller.field(as_messages, "result_text")
    assert caller.history()["items"][0]["prompt"] == "Two"


def test_strict_forms_take_the_family_s_own_only(dialect, connect):
    nested = {"model": "gpt-5", "prompt": "Hello", "params": {"temperature": 1}}
    flat = {"model": "gpt-5", "messages": [{"role": "user", "content": "Hello"}], "temperature": 1}
    with serve(dialect=dialect, time_scale=0, strict_forms=True) as server:
        caller = connect(server, dialect)
        codes = [caller.post("/generate", body).status_code for body in (nested, flat)]

        assert codes == ([200, 422] if dialect == "a" else [422, 200])
        assert caller.get("/balance").status_code == (200 if dialect == "a" else 404)
        assert caller.get("/user/balance").status_code == 200


def test_speech_takes_prompt_in_one_family_and_only_text_in_the_other(caller, dialect):
    with_prompt = caller.post("/generate", {"model": "openai-tts", "prompt": "Hello there"})
    with_text = caller.post("/generate", {"model": "openai-tts", "text": "Hello there"})

    assert with_prompt.status_code == (200 if dialect == "a" else 422)
    assert with_text.status_code == 200
    if dialect == "b":
        assert with_prompt.json()["details"] == {"text": "field required"}


def test_a_ratio_passed_as_size_is_a_ratio(caller, dialect):
    done = caller.generate("midjourney", size="16:9")
    facts = done["result_metadata"] if dialect == "a" else done

    assert facts["width"] * 9 == facts["height"] * 16


@pytest.mark.parametrize(
    ("body", "code", "named"),
    [
        ({"prompt": "x"}, 422, "model"),
        ({"model": "gpt-5"}, 422, ""),
        ({"model": "gpt-5", "prompt": "  "}, 422, ""),
        ({"model": "gpt-5", "prompt": 5}, 422, "prompt"),
        ({"model": "gpt-5", "prompt": "x", "params": 3}, 422, "params"),
        ({"model": "gpt-5", "messages": [{"role": "robot", "content": "x"}]}, 422, "messages"),
        ({"model": "gpt-7", "prompt": "x"}, 404, ""),
        ({"model": "midjourney-v6", "prompt": "x"}, 404, ""),
        ({"model": "dall-e-3", "prompt": "x", "params": {"size": "7x7"}}, 400, "size"),
        ({"model": "gpt-5", "prompt": "x", "params": {"temperature": 9}}, 400, "temperature"),
        ({"model": "photon", "prompt": "x", "params": {"size": "9000x9000"}}, 400, ""),
        ({"model": "upscale"}, 422, "image_url"),
        ({"model": "upscale", "image_url": "cat.png"}, 400, "image_url"),
        ({"model": "upscale", "image_url": "http://127.0.0.1:9/storage/generations/1.png"}, 400, "image_url"),
        ({"model": "whisper", "prompt": "x"}, 400, ""),
        ([1], 422, "body"),
    ],
)
def test_a_wrong_request_gets_its_documented_error_and_costs_nothing(server, caller, body, code, named):
    reply = caller.post("/generate", body)
    codes = {400: "bad_request", 404: "not_found", 422: "validation_error"}

    assert reply.status_code == code, reply.text
    assert reply.json()["error"] == codes[code]
    assert set(reply.json()) == {"error", "message", "details"}
    assert not named or named in reply.json()["details"]
    assert server.account.balance == 1500


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000, b""])
def test_a_body_that_is_no_json_is_a_bad_request(caller, body):
    reply = caller.http.post("/generate", content=body)

    assert reply.status_code == 400
    assert reply.json()["error"] == "bad_request"


def test_paths_and_methods_that_do_not_exist_answer_in_the_documented_form(caller):
    assert caller.get("/nowhere").json()["error"] == "not_found"
    assert caller.http.delete("/balance").status_code == 405
    assert caller.http.delete("/balance").json()["error"] == "bad_request"


def test_history_is_paged_and_filtered(caller, dialect):
    for _ in range(3):
        caller.generate("gpt-5")
    caller.generate("dall-e-3")
    newest = caller.history(limit=2)

    assert (newest["total"], newest["page"], newest["limit"], len(newest["items"])) == (4, 1, 2, 2)
    assert newest.get("pages") == (None if dialect == "a" else 2)
    name, model = ("category", "model_slug") if dialect == "a" else ("type", "model")
    assert newest["items"][0][name] == "image"
    assert [item[model] for item in caller.history(page=2, limit=2)["items"]] == ["gpt-5", "gpt-5"]
    assert caller.history(**{name: "image"})["total"] == 1
    assert caller.history(**{model: "gpt-5"})["total"] == 3
    assert caller.history(**{name: "nothing"})["total"] == 0
    assert caller.get("/user/history", params={"limit": 101}).status_code == 422
    assert caller.get("/user/history", params={"page": 0}).status_code == 422


def test_history_can_be_marked_rated_and_forgotten(caller, dialect):
    number = caller.generate("gpt-5")["id"]

    assert caller.post(f"/user/history/{number}/favorite").json()["is_favorited"] is True
    assert caller.history(favorites_only="true")["total"] == 1
    assert caller.post(f"/user/history/{number}/rate", {"rating": 5}).json()["user_rating"] == 5
    assert caller.post(f"/user/history/{number}/rate", {"rating": 9}).status_code == 422
    assert caller.http.delete(f"/user/history/{number}").status_code == 204
    assert caller.history()["total"] == 0
    assert caller.get("/user/stats").json()["total_generations"] == 1


def test_models_are_listed_in_two_envelopes(caller, dialect):
    listed = caller.get("/models").json()
    rows = listed["items"] if dialect == "a" else listed

    assert len(rows) == 52
    one = caller.get("/models/dall-e-3").json()
    assert one in rows
    assert (one["token_cost"], one["min_token_cost"], one["max_token_cost"]) == (5, 5, 13)
    assert one["config"]["sizes"] == ["1024x1024", "1024x1792", "1792x1024"]
    assert (f"description_{'en' if dialect == 'a' else 'ru'}") in one
    assert caller.get("/models/midjourney-v6").status_code == 404
    assert caller.post("/models/nothing/calculate-price", {}).status_code == 404


def test_a_53rd_model_is_listed_priced_and_works(dialect, connect):
    row = {"slug": "gpt-9", "category": "text", "minimum": 7}
    with serve(dialect=dialect, time_scale=0, extra_models=[row]) as server:
        caller = connect(server, dialect)
        listed = caller.get("/models").json()
        done = caller.generate("gpt-9")

        assert len(listed["items"] if dialect == "a" else listed) == 53
        assert caller.post("/models/gpt-9/calculate-price", {}).json()["token_cost"] == 7
        assert caller.field(done, "tokens_spent") == 7


def test_the_rich_balance_tells_the_pools(server, caller):
    server.control("topup", "Light")
    told = caller.get("/user/balance").json()

    assert (told["token_balance"], told["plan_tokens_remaining"], told["bonus_tokens"]) == (1600, 1500, 100)
    assert told["next_refill_at"] == told["plan_expires_at"]
    server.control("plan", "free")
    assert caller.get("/balance").json()["plan_expires_at"] is None


def test_the_profile_of_each_family(caller, dialect):
    caller.generate("gpt-5")
    me = caller.get("/user/me").json()

    assert (me["plan"], me["token_balance"], me["token_limit"], me["tokens_used_this_period"]) == ("vip", 1498, 1500, 2)
    if dialect == "a":
        assert (me["rate_limit_hourly"], me["rate_limit_daily"]) == (100, 1000)
        assert caller.http.patch("/user/me", json={"name": "Ann"}).json()["name"] == "Ann"
    else:
        assert "rate_limit_hourly" not in me
        assert me["username"]


def test_settings_change_the_default_format(caller):
    assert caller.get("/user/settings").json()["image_format"] == "webp"
    assert caller.http.patch("/user/settings", json={"image_format": "bmp"}).status_code == 422
    assert caller.http.patch("/user/settings", json={"image_format": "png"}).json()["image_format"] == "png"
    assert caller.field(caller.generate("flux-1.1-pro"), "result_url").endswith(".png")


def test_keys_are_made_renamed_and_revoked(server, caller, connect, dialect):
    made = caller.post("/keys", {"name": "laptop"})

    assert made.status_code == 201
    other = connect(server, dialect, made.json()["key"])
    assert other.balance == 1500
    assert caller.http.patch(f"/keys/{made.json()['id']}", json={"name": "desk"}).json()["name"] == "desk"
    assert caller.http.delete(f"/keys/{made.json()['id']}").status_code == 204
    assert other.get("/balance").status_code == 401
    assert caller.http.delete("/keys/999").status_code == 404


def test_result_urls_follow_the_host_that_was_asked(server, caller):
    number = caller.generate("photon-flash", size="64x64")["id"]
    url = caller.field(
        caller.get(f"/generate/{number}", headers={"Host": "localhost:1"}).json()
        if caller.dialect == "a"
        else caller.get(f"/generate/status/{number}", headers={"Host": "localhost:1"}).json(),
        "result_url",
    )

    assert url.startswith("http://localhost:1/storage/generations/")
