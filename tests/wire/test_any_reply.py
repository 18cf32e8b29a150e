"""No reply makes a reader crash or lose the charge: any JSON in any field, any bytes for a body."""

import json
import string

from hypothesis import given, settings, strategies as st

from elumenta_nb import _wire as wire

LEAF = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.text(alphabet="0123456789.-+eE", max_size=8)
    | st.sampled_from(["completed", "pending", "failed", "2026-03-01T12:00:00Z", "9999-12-31T23:59:59-14:00", 10**400])
)
ANY = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8
)
FIELDS = [
    "id status model_slug model category type prompt result_text content result_url url output_url thumbnail_url error "
    "tokens_spent tokens_used balance_remaining progress eta_seconds processing_ms result_metadata width height duration "
    "duration_seconds seed usage created_at completed_at data generation".split()
][0]
OTHERS = (
    "token_cost min_token_cost max_token_cost pricing_type token_balance plan plan_expires_at plan_tokens_remaining "
    "bonus_tokens next_refill_at name username rate_limit_hourly rate_limit_daily token_limit breakdown recent_30d "
    "total_generations tokens_spent_total items total page limit pages slug config sizes min_plan provider "
    "retry_after details message detail error limit_hour limit_day delta"
).split()
CHARGED = [name for name in FIELDS if name not in ("tokens_spent", "id", "status")]


@given(st.dictionaries(st.sampled_from(CHARGED), ANY), st.integers(0, 10**9), st.integers(1, 10**6))
def test_the_id_and_the_charge_survive_whatever_the_other_fields_hold(fields, tokens, identity):
    reply = wire.read_reply({**fields, "id": identity, "status": "completed", "tokens_spent": tokens})

    assert (reply.id, reply.status, reply.tokens) == (identity, "completed", tokens)
    assert wire.understood(reply) is reply


@given(st.dictionaries(st.sampled_from(CHARGED), ANY), st.integers(0, 10**9))
def test_they_survive_on_the_wire_too(fields, tokens):
    body = json.dumps({**fields, "id": 7, "status": "completed", "tokens_spent": tokens}).encode()
    parsed = wire.read_json(body)
    reply = wire.read_reply(parsed.value)

    assert parsed.whole
    assert (reply.id, reply.tokens) == (7, tokens)
    json.dumps(reply.raw, ensure_ascii=False, allow_nan=False).encode()


@given(ANY | st.dictionaries(st.sampled_from(FIELDS + OTHERS), ANY | st.dictionaries(st.sampled_from(OTHERS), ANY)))
def test_no_reader_raises_and_every_figure_is_a_sane_one(obj):
    reply = wire.read_reply(obj)
    quote = wire.read_quote(obj)
    balance = wire.read_balance(obj)
    history = wire.read_history(obj)

    assert reply.tokens is None or (type(reply.tokens) is int and 0 <= reply.tokens <= 10**9)
    assert quote is None or quote.minimum <= quote.tokens <= quote.maximum
    assert balance is None or 0 <= balance.tokens <= 10**9
    assert history is None or history.received >= len(history.items)
    assert all(model.slug and model.minimum <= model.maximum for model in wire.read_models(obj))
    assert isinstance(wire.read_profile(obj).id, str)
    assert isinstance(wire.read_stats(obj), dict)
    if reply.text is not None:
        reply.text.encode()


@given(st.binary() | st.text().map(str.encode) | ANY.map(lambda obj: json.dumps(obj).encode()), st.integers(100, 599))
def test_no_error_body_raises(body, status):
    said = wire.read_error(status, body, {"retry-after": "soon", "date": "yesterday"})

    assert said.retry_after is None or said.retry_after >= 0
    assert len(said.message) <= 400


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "x-ratelimit-limit-hour",
                "x-ratelimit-remaining-hour",
                "x-ratelimit-limit-day",
                "x-ratelimit-remaining-day",
                "x-ratelimit-reset-hour",
            ]
        ),
        st.text(string.printable),
    )
)
def test_no_limit_header_raises(headers):
    limits = wire.read_limits(headers)

    assert limits is None or limits.hour is None or limits.hour >= 0


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=40), max_size=8))
def test_no_bytes_make_the_event_stream_raise(chunks):
    stream = wire.EventStream()
    events = [event for chunk in chunks for event in stream.feed(chunk)] + stream.close()

    assert all(isinstance(event, wire.StreamEvent) for event in events)
