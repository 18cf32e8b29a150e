"""Money: what is charged, when, from which pool, and what refuses."""

from __future__ import annotations

import pytest

from elumenta_nb._errors import ConfigError
from elumenta_nb.sandbox import serve


class Clock:
    def __init__(self):
        self.now = 1_800_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def slow(clock):
    """A server whose jobs take their documented time, on a clock that the test moves."""
    with serve(time_scale=1, clock=clock) as server:
        yield server


def test_a_pending_job_costs_nothing_until_it_is_completed(slow, connect, clock):
    caller = connect(slow)
    job = caller.post("/generate", {"model": "kling-v2.1", "prompt": "waves"}).json()

    assert job["status"] == "pending"
    assert caller.balance == 1500
    assert caller.poll(job["id"]).json()["tokens_spent"] == 0

    clock.now += 90
    done = caller.poll(job["id"]).json()

    assert done["status"] == "completed"
    assert done["tokens_spent"] == 26
    assert caller.balance == 1474
    assert caller.poll(job["id"]).json()["tokens_spent"] == 26
    assert caller.balance == 1474


def test_the_subscription_pays_before_the_packages(server, caller):
    server.control("balance", 3, 10)
    done = caller.generate("dall-e-3")

    assert caller.field(done, "tokens_spent") == 5
    assert (server.account.plan_tokens, server.account.package_tokens) == (0, 8)


def test_a_balance_below_the_price_is_402_and_nothing_is_kept(server, caller):
    server.control("balance", 4)
    reply = caller.post("/generate", {"model": "dall-e-3", "prompt": "a boat"})

    assert reply.status_code == 402
    assert reply.json()["error"] == "insufficient_tokens"
    assert caller.balance == 4
    assert caller.history()["total"] == 0


def test_jobs_that_together_exceed_the_balance_fail_uncharged(slow, connect, clock):
    caller = connect(slow)
    slow.control("balance", 30)
    jobs = [caller.post("/generate", {"model": "kling-v2.1", "prompt": word}).json() for word in ("one", "two")]
    clock.now += 120

    ends = [caller.poll(job["id"]).json() for job in jobs]

    assert sorted(end["status"] for end in ends) == ["completed", "failed"]
    assert sum(end["tokens_spent"] for end in ends) == 26
    assert caller.balance == 4


def test_a_failed_job_says_why_and_costs_nothing(server, caller):
    server.fault("fail", reason="Provider error: content policy violation")
    done = caller.generate("luma-ray2-flash")

    assert done["status"] == "failed"
    assert done["error"] == "Provider error: content policy violation"
    assert done.get("tokens_spent", done.get("tokens_used")) == 0
    assert caller.balance == 1500
    assert caller.history(status="failed")["total"] == 1


def test_fail_next_counts_down(server, caller):
    server.control("fail", "next", 2, "no", "luck")

    assert [caller.generate("gpt-5")["status"] for _ in range(3)] == ["failed", "failed", "completed"]
    assert server.control("fail", "next", 5)["fail_next"] == 5
    assert server.control("fail", "off")["fail_next"] == 0


def test_the_free_plan_has_only_starter_models(server, caller):
    server.control("plan", "free")

    assert caller.generate("photon-flash")["status"] == "completed"
    for slug in ("flux-1.1-pro", "gpt-5"):  # a dear tier, and none that a page gives
        refused = caller.post("/generate", {"model": slug, "prompt": "a boat"})
        assert refused.status_code == 403
        assert refused.json()["error"] == "insufficient_plan"
    assert caller.balance == 49


def test_api_access_needs_vip_only_when_strict(connect):
    with serve(strict_access=True, plan="pro") as server:
        assert connect(server).get("/balance").status_code == 403
        server.control("plan", "elite")
        assert connect(server).get("/balance").status_code == 200
    with serve(plan="pro") as server:
        assert connect(server).get("/balance").status_code == 200


def test_the_hourly_limit_answers_as_documented(slow, connect, clock):
    caller = connect(slow)
    slow.control("limit", 2)
    answers = [caller.post("/generate", {"model": "kling-v2.1", "prompt": "a"}) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    headers, body = answers[1].headers, answers[2].json()
    assert headers["X-RateLimit-Limit-Hour"] == "2"
    assert headers["X-RateLimit-Remaining-Hour"] == "0"
    assert headers["X-RateLimit-Limit-Day"] == "1000"
    assert headers["X-RateLimit-Remaining-Day"] == "998"
    assert int(headers["X-RateLimit-Reset-Hour"]) == int(clock.now) + 3600
    assert body["error"] == "rate_limit_exceeded"
    assert body["message"] == "Hourly limit reached: 2 requests/hour on VIP plan"
    assert (body["retry_after"], body["plan"], body["limit_hour"], body["limit_day"]) == (3600, "vip", 2, 1000)

    clock.now += 3601
    assert caller.post("/generate", {"model": "kling-v2.1", "prompt": "a"}).status_code == 200


def test_the_daily_limit_holds_across_hours(slow, connect, clock):
    caller = connect(slow)
    slow.control("limit", 100, 1)
    caller.post("/generate", {"model": "kling-v2.1", "prompt": "a"})
    clock.now += 3601

    refused = caller.post("/generate", {"model": "kling-v2.1", "prompt": "a"})

    assert refused.status_code == 429
    assert refused.json()["message"].startswith("Daily limit")
    assert refused.json()["retry_after"] == 86400 - 3601


def test_unlimited_is_zero(server, caller):
    server.control("plan", "elite")
    reply = caller.get("/balance")

    assert reply.headers["X-RateLimit-Limit-Hour"] == "0"
    assert caller.post("/generate", {"model": "gpt-5", "prompt": "a"}).status_code == 200


def test_only_generations_count_unless_all_requests_shall(server, caller, connect):
    caller.get("/models")
    assert caller.get("/balance").headers["X-RateLimit-Remaining-Hour"] == "100"
    with serve(count_all=True, time_scale=0) as strict:
        counted = connect(strict)
        counted.post("/generate", {"model": "gpt-5", "prompt": "a"})
        assert counted.get("/balance").headers["X-RateLimit-Remaining-Hour"] == "98"


def test_a_month_later_the_plan_is_full_again_and_packages_are_kept(slow, connect, clock):
    caller = connect(slow)
    slow.control("topup", "Start")
    slow.control("balance", 7, 50)
    clock.now += 31 * 86400

    assert caller.balance == 1550
    clock.now += 86400
    assert caller.balance == 1550


def test_two_keys_share_an_account_and_two_accounts_share_nothing(server, caller, connect, dialect):
    second, other = connect(server, dialect, server.add_key()), connect(server, dialect, server.add_account(balance=40))
    done = caller.generate("gpt-5")

    assert second.balance == caller.balance == 1498
    assert second.poll(done["id"]).status_code == 200
    assert other.balance == 40
    assert other.poll(done["id"]).status_code == 404


@pytest.mark.parametrize("header", [None, "Bearer nb_" + "x" * 45, "Basic abc", "Bearer"])
def test_a_wrong_key_is_401(server, caller, header):
    caller.http.headers.pop("Authorization")
    if header:
        caller.http.headers["Authorization"] = header
    reply = caller.get("/balance")

    assert reply.status_code == 401
    assert reply.json()["error"] == "not_authenticated"
    assert set(reply.json()) == {"error", "message", "details"}


def test_the_key_looks_real(server):
    assert server.api_key.startswith("nb_")
    assert len(server.api_key) == 48
    assert server.api_key[3:].isalnum()


def test_stats_count_what_was_completed(server, caller):
    server.control("fail", "next")
    caller.generate("gpt-5")
    caller.generate("gpt-5")
    caller.generate("dall-e-3")
    caller.generate("minimax-tts")
    stats = caller.get("/user/stats").json()

    assert stats["total_generations"] == 3
    assert stats["tokens_spent_total"] == 8
    assert stats["breakdown"]["text"] == {"count": 1, "tokens": 2}
    assert stats["breakdown"]["audio"] == {"count": 1, "tokens": 1}
    assert stats["recent_30d"] == {"generations": 3, "tokens_spent": 8}


def test_verbs_tell_how_the_account_stands(server, caller):
    assert server.control("plan", "pro")["balance"] == 700
    assert server.control("topup", "Pro", "Pack")["package_tokens"] == 1000
    assert server.control("topup", "pro-pack")["package_tokens"] == 2000
    assert server.control("limit", 7, 9)["limit_day"] == 9
    assert server.control("limit", "plan")["limit_hour"] == 60
    caller.generate("gpt-5")
    assert server.control("reset")["balance"] == 700
    assert caller.history()["total"] == 0
    assert caller.get("/user/stats").json()["total_generations"] == 0


@pytest.mark.parametrize("words", [["plan", "gold"], ["topup", "Huge"], ["limit", "many"], ["explode"], ["plan"]])
def test_a_verb_that_does_not_fit_is_a_config_error(server, words):
    with pytest.raises(ConfigError):
        server.control(*words)


def test_the_control_endpoint_does_the_same_verbs(server, caller):
    answer = caller.http.post(f"{server.origin}/sandbox/control", json={"verb": "plan", "args": ["basic"]})

    assert answer.json()["plan"] == "basic"
    assert caller.http.post(f"{server.origin}/sandbox/control", json={"verb": "explode"}).status_code == 400
    caller.http.headers.pop("Authorization")
    assert caller.http.post(f"{server.origin}/sandbox/control", json={"verb": "status"}).status_code == 401
