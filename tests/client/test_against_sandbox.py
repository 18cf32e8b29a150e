"""The client against the sandbox over real HTTP, in both reply families and both request forms: what it says and what
the account was charged agree, whatever goes wrong on the way."""

import asyncio
import io
import wave

import pytest
from scripted_server import Naps, Told

from elumenta_nb import _errors as e
from elumenta_nb._client import Client
from elumenta_nb._values import Call, Input, Message
from elumenta_nb.sandbox import serve

FAMILIES = [("a", "params"), ("b", "params"), ("b", "flat")]


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda pair: "-".join(pair))
def house(request):
    dialect, form = request.param
    with serve(dialect=dialect, time_scale=0.002, balance=1500) as server:
        yield server, form, request.param


@pytest.fixture
def api(house):
    server, form, server_family = house
    server.control("reset")

    def run(do):
        async def scenario():
            client = Client(base_url=server.url, key=lambda: server.api_key, request_form=form, sleep=Naps())
            try:
                return await do(client)
            finally:
                await client.aclose()

        before = total(server)
        try:
            value, error = asyncio.run(scenario()), None
        except e.ElumentaError as caught:
            value, error = None, caught
        return value, error, before - total(server)

    run.server = server
    run.family = server_family
    return run


def total(server) -> int:
    account = server.account
    return account.plan_tokens + account.package_tokens


def speech(tmp_path):
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setnchannels(1), file.setsampwidth(2), file.setframerate(8000)
        file.writeframes(bytes(16_000))
    path = tmp_path / "talk.wav"
    path.write_bytes(sound.getvalue())
    return path


async def until_done(client, reply):
    for _ in range(200):
        if reply.status != "pending":
            return reply
        await asyncio.sleep(0.02)
        reply = await client.poll(reply.id)
    raise AssertionError("never done")


CALLS = [
    ("text", Call(category="text", model="gpt-5", prompt="What is a token?"), 2),
    ("talk", Call(category="text", model="gpt-5", prompt="And now?", messages=(Message("user", "Hi"), Message("assistant", "Hello"))), 2),
    ("stream", Call(category="text", model="gpt-5", prompt="Tell me", stream=True, params={"system_prompt": "Be brief"}), 2),
    ("image", Call(category="image", model="dall-e-3", prompt="a cat", params={"size": "1024x1024"}), 5),
    ("video", Call(category="video", model="kling-v2.1", prompt="a cat runs", params={"duration": 5}), 26),
    ("speech", Call(category="tts", model="openai-tts", prompt="Read me"), 3),
    ("music", Call(category="music", model="musicgen", prompt="calm", params={"duration": 15}), 9),
]  # fmt: skip


@pytest.mark.parametrize(("name", "call", "tokens"), CALLS, ids=[row[0] for row in CALLS])
def test_each_kind_of_generation_is_bought_once_and_its_charge_told(api, tmp_path, name, call, tokens):
    told = Told()

    async def buy(client):
        reply = await until_done(client, await client.create(call, told))
        got = None
        if reply.url:
            got = await client.download(reply.url, tmp_path / "file", max_bytes=10**8)
        return reply, got

    (reply, got), error, charged = api(buy)

    assert error is None
    assert (reply.status, reply.tokens, charged) == ("completed", tokens, tokens)
    assert told.ids == [reply.id]
    assert told.times_sent >= 1
    if got is None:
        assert reply.text
        assert not call.stream or "".join(told.deltas) == reply.text
    else:
        assert got.size_bytes == (tmp_path / "file").stat().st_size > 0


def test_a_recording_is_transcribed(api, tmp_path):
    call = Call(
        category="stt",
        model="whisper",
        inputs=(Input(param="audio", path=speech(tmp_path)),),
        params={"language": "en"},
    )
    reply, error, charged = api(lambda client: client.create(call, Told()))

    assert error is None
    assert (reply.status, reply.tokens, charged, bool(reply.text)) == ("completed", 2, 2, True)


def test_what_costs_nothing_is_read(api):
    async def look(client):
        await client.create(CALLS[0][1], Told())
        return (
            await client.balance(),
            await client.quote("dall-e-3", {"size": "1792x1024", "quality": "hd"}),
            await client.profile(),
            await client.stats(),
            await client.models(),
            await client.model("dall-e-3"),
            await client.history(limit=10),
            client.limits,
            client.skew_s,
        )

    (balance, quote, me, stats, models, model, history, limits, skew_s), error, charged = api(look)

    assert error is None
    assert charged == 2
    assert (balance.tokens, balance.plan) == (total(api.server), "vip")
    assert (quote.tokens, quote.minimum, quote.maximum, quote.pricing_type) == (13, 5, 13, "matrix")
    assert me.id
    assert me.plan == "vip"
    assert stats["tokens_spent_total"] >= 2
    assert (len(models), model.slug) == (52, "dall-e-3")
    assert history.items[0].prompt == "What is a token?"
    assert history.items[0].tokens == 2
    assert limits.hour == 100
    assert abs(skew_s) < 2


@pytest.mark.parametrize("stream", [False, True], ids=["sync", "stream"])
@pytest.mark.parametrize(
    ("kind", "options", "charged", "spent"),
    [
        ("drop_before", {}, 0, "maybe"),
        ("drop_after", {}, 2, "maybe"),
        ("cut_body", {}, 2, "maybe"),
        ("html", {}, 0, "maybe"),
        ("garbage", {}, 2, "maybe"),
        ("status", {"code": 500}, 0, None),
        ("status", {"code": 502}, 0, "maybe"),
        ("status", {"code": 401}, 0, "no"),
        ("ratelimit", {"retry_after": 900}, 0, "no"),
    ],
)
def test_under_faults_nothing_is_bought_twice_and_what_is_said_covers_what_was_charged(
    api, kind, options, charged, spent, stream
):
    # The fault meets the request that buys: family B has no path for streams, and its 404 there sells nothing.
    api.server.fault(kind, path="/generate" if api.family[0] == "b" else None, **options)
    call = CALLS[2 if stream else 0][1]
    reply, error, really = api(lambda client: client.create(call, Told()))

    assert really == charged
    assert reply is None
    assert error.spent == (spent or error.spent)
    assert not (really and error.spent == "no")
    api.server.control("reset")


def test_a_stream_that_is_cut_keeps_its_text_and_its_id_leads_to_the_generation(api):
    api.server.fault(
        "stream_cut", path="/generate*", method="POST", after=int(api.family == ("b", "params")), after_pieces=3
    )
    told = Told()
    _, error, _ = api(lambda client: client.create(CALLS[2][1], told))

    assert (error.spent, error.partial) == ("maybe", "".join(told.deltas))
    assert error.partial
    assert error.generation_id is not None
    assert told.ids == [error.generation_id]
    reply, _, _ = api(lambda client: client.poll(error.generation_id))
    assert reply.id == error.generation_id


def test_a_failed_generation_is_not_charged(api):
    api.server.control("fail", "next")
    reply, error, charged = api(lambda client: client.create(CALLS[3][1], Told()))

    assert charged == 0
    assert (reply is None and error.spent == "no") or (reply.status == "failed" and reply.error)


def test_refusals_have_their_errors(api):
    async def with_key(key):
        client = Client(base_url=api.server.url, key=lambda: key)
        try:
            await client.balance()
        finally:
            await client.aclose()

    with pytest.raises(e.AuthFailed):
        asyncio.run(with_key("nb_wrong0000000000000000000000"))
    assert type(api(lambda client: client.model("no-such-model"))[1]) is e.NotFound
    assert type(api(lambda client: client.poll("gen_nosuch"))[1]) is e.NotFound
    dear = Call(category="text", model="gpt-9000", prompt="x")
    assert type(api(lambda client: client.create(dear, Told()))[1]) in (e.NotFound, e.Rejected)
