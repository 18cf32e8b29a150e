"""The two API examples of the token page, sent verbatim (en/concepts/tokens)."""

from __future__ import annotations

import httpx


def test_the_balance_example_answers_with_its_three_keys(server):
    reply = httpx.get(
        f"{server.url}/balance", headers={"Authorization": f"Bearer {server.api_key}"}, trust_env=False, verify=False
    )

    assert reply.status_code == 200
    assert list(reply.json()) == ["token_balance", "plan", "plan_expires_at"]
    assert reply.json()["token_balance"] == 1500
    assert reply.json()["plan"] == "vip"
    assert len(reply.json()["plan_expires_at"]) == len("2026-04-08T00:00:00Z")


def test_the_price_example_answers_exactly(server):
    reply = httpx.post(
        f"{server.url}/models/dall-e-3/calculate-price",
        content=b'{"params": {"size": "1792x1024", "quality": "hd"}, "count": 1}',
        headers={"Authorization": f"Bearer {server.api_key}", "Content-Type": "application/json"},
        trust_env=False,
        verify=False,
    )

    assert reply.status_code == 200
    assert reply.json() == {"token_cost": 13, "min_token_cost": 5, "max_token_cost": 13, "pricing_type": "matrix"}


def test_a_failed_generation_is_not_deducted(server, caller):
    server.control("fail", "next")

    assert caller.generate("gpt-5")["status"] == "failed"
    assert caller.balance == 1500
