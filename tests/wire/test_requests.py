"""What is sent: the request rows of the documentation's disagreements (R1 to R17), in both request forms."""

import json
from pathlib import Path

import pytest

from elumenta_nb._errors import BadParam
from elumenta_nb._values import Call, Input, Message
from elumenta_nb._wire import (
    balance_paths,
    creations,
    price,
    read_balance,
    read_history,
    read_models,
    read_profile,
    read_quote,
    read_reply,
    read_stats,
    status_paths,
)

TALK = (Message("user", "Hi"), Message("assistant", "Hello"))


def body(request) -> dict:
    return json.loads(request.body)


def sent(call: Call, form: str = "params") -> tuple[str, dict]:
    request = creations(call, form)[0]
    return request.path, body(request)


# row, call, what the form "params" sends, what the form "flat" sends
PAIRS = [
    (
        "R1 options",
        Call(category="image", model="dall-e-3", prompt="a cat", params={"size": "1024x1024", "quality": "hd"}),
        {"model": "dall-e-3", "prompt": "a cat", "params": {"size": "1024x1024", "quality": "hd"}},
        {"model": "dall-e-3", "prompt": "a cat", "size": "1024x1024", "quality": "hd"},
    ),
    (
        "R2 text input",
        Call(category="text", model="gpt-5", prompt="Now?", messages=TALK),
        {
            "model": "gpt-5",
            "prompt": "Now?",
            "params": {
                "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}],
            },
        },
        {
            "model": "gpt-5",
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello"},
                {"role": "user", "content": "Now?"},
            ],
        },
    ),
    (
        "R3 system prompt",
        Call(category="text", model="gpt-5", prompt="Hi", params={"system_prompt": "Be brief", "temperature": 0.2}),
        {"model": "gpt-5", "prompt": "Hi", "params": {"system_prompt": "Be brief", "temperature": 0.2}},
        {"model": "gpt-5", "messages": [{"role": "user", "content": "Hi"}], "system": "Be brief", "temperature": 0.2},
    ),
    (
        "R5 speech",
        Call(category="tts", model="openai-tts", prompt="Read me", params={"voice_id": "nova"}),
        {"model": "openai-tts", "prompt": "Read me", "params": {"voice_id": "nova"}},
        {"model": "openai-tts", "text": "Read me", "voice_id": "nova"},
    ),
    (
        "R6 Midjourney",
        Call(category="image", model="midjourney", prompt="x", params={"aspect_ratio": "16:9"}),
        {"model": "midjourney", "prompt": "x", "params": {"aspect_ratio": "16:9"}},
        {"model": "midjourney", "prompt": "x", "aspect_ratio": "16:9"},
    ),
    (
        "R14 one endpoint",
        Call(
            category="video", model="kling-v2.1", prompt="x", inputs=(Input(param="image_url", url="https://s/a.png"),)
        ),
        {"model": "kling-v2.1", "prompt": "x", "params": {"image_url": "https://s/a.png"}},
        {"model": "kling-v2.1", "prompt": "x", "image_url": "https://s/a.png"},
    ),
]


@pytest.mark.parametrize("form", ["params", "flat"])
@pytest.mark.parametrize("row", PAIRS, ids=lambda row: row[0])
def test_a_call_is_sent_in_either_form(row, form):
    assert sent(row[1], form) == ("/generate", row[2] if form == "params" else row[3])


def test_the_current_turn_is_not_sent_twice():
    _, nested = sent(Call(category="text", model="gpt-5", prompt="Now?", messages=TALK))
    _, flat = sent(Call(category="text", model="gpt-5", prompt="Now?", messages=TALK), "flat")

    assert json.dumps(nested).count("Now?") == json.dumps(flat).count("Now?") == 1


def test_speech_has_two_names_for_its_text_and_the_second_can_be_asked_for():
    call = Call(category="tts", model="openai-tts", prompt="Read me")

    assert body(creations(call, prompt_field="text")[0]) == {"model": "openai-tts", "text": "Read me"}


def test_a_stream_is_asked_at_its_path_and_else_by_a_flag():
    ways = creations(Call(category="text", model="gpt-5", prompt="Hi", stream=True))

    assert [way.path for way in ways] == ["/generate/stream", "/generate"]
    assert all(way.stream for way in ways)
    assert [body(way).get("stream") for way in ways] == [None, True]


def test_the_flat_form_asks_for_a_stream_by_a_flag_only():
    ways = creations(Call(category="text", model="gpt-5", prompt="Hi", stream=True), "flat")

    assert [(way.path, body(way)["stream"]) for way in ways] == [("/generate", True)]


def test_a_transcription_is_a_form_with_the_file_under_a_plain_name():
    call = Call(
        category="stt",
        model="whisper",
        params={"language": "ru", "diarize": True},
        inputs=(Input(param="audio", path=Path("/home/anna/secret Мой файл.MP3")),),
    )
    [request] = creations(call)

    assert (request.method, request.path, request.body) == ("POST", "/stt", None)
    assert request.fields == {"model": "whisper", "language": "ru", "diarize": "true"}
    assert (request.upload.field, request.upload.filename) == ("audio", "audio.mp3")


def test_a_transcription_without_a_file_is_refused_before_anything_is_sent():
    with pytest.raises(BadParam) as caught:
        creations(Call(category="stt", model="whisper"))

    assert caught.value.spent == "no"


def test_a_file_of_this_machine_is_refused_where_the_api_takes_an_address():
    call = Call(
        category="video", model="kling-v2.1", prompt="x", inputs=(Input(param="image_url", path=Path("a.png")),)
    )

    with pytest.raises(BadParam, match="URL"):
        creations(call)


@pytest.mark.parametrize("value", [float("nan"), object(), "\ud800", {1, 2}])
def test_what_json_cannot_hold_is_refused_before_anything_is_sent(value):
    with pytest.raises(BadParam) as caught:
        creations(Call(category="image", model="dall-e-3", prompt="x", params={"seed": value}))

    assert caught.value.spent == "no"


def test_numbers_of_numpy_are_sent_as_numbers():
    numpy = pytest.importorskip("numpy")
    _, sent_body = sent(Call(category="image", model="dall-e-3", prompt="x", params={"seed": numpy.int64(7)}))

    assert sent_body["params"] == {"seed": 7}


def test_a_price_is_asked_for_as_the_page_says():
    request = price("dall-e-3", {"size": "1792x1024", "quality": "hd"}, 1)

    assert request.path == "/models/dall-e-3/calculate-price"
    assert body(request) == {"params": {"size": "1792x1024", "quality": "hd"}, "count": 1}


@pytest.mark.parametrize("slug", ["../balance", "a/b", "a?b#c", "..", "."])
def test_a_strange_slug_stays_one_step_of_the_path(slug):
    steps = price(slug, {}).path.split("/")

    assert len(steps) == 4
    assert steps[2] not in ("..", ".")


def test_r9_a_number_has_one_place_and_a_string_id_two():
    assert status_paths(18473) == ("/generate/18473",)
    assert status_paths("gen_x") == ("/generate/gen_x", "/generate/status/gen_x")


def test_r10_the_balance_has_two_places_and_two_bodies():
    plain = read_balance({"token_balance": 283, "plan": "vip", "plan_expires_at": "2026-04-08T00:00:00Z"})
    rich = read_balance(
        {
            "plan": "vip",
            "token_balance": 1247,
            "plan_tokens_remaining": 1200,
            "bonus_tokens": 47,
            "plan_expires_at": None,
            "next_refill_at": "2026-04-08T00:00:00Z",
        }
    )

    assert balance_paths() == ("/balance", "/user/balance")
    assert (plain.tokens, plain.plan, plain.plan_tokens, plain.expires_at.month) == (283, "vip", None, 4)
    assert (rich.tokens, rich.plan_tokens, rich.package_tokens, rich.refills_at.day) == (1247, 1200, 47, 8)


@pytest.mark.parametrize("name", ["data", "result", "user"])
def test_an_answer_about_the_account_may_come_in_an_envelope(name):
    def packed(**told):
        return {"status": "success", "code": 0, name: told}

    assert read_profile(packed(id=7, name="Anna")).id == "7"
    assert read_profile({"id": 7, name: {"id": 8}}).id == "7"
    assert read_balance(packed(token_balance=283, plan="vip")).tokens == 283
    assert read_quote(packed(token_cost=13, max_token_cost=20)).tokens == 13
    assert read_stats(packed(tokens_spent_total=4210)) == {"tokens_spent_total": 4210}
    assert read_quote(packed()) is None
    assert read_balance({name: [283]}) is None
    assert read_profile({name: "Anna"}).id == ""


def test_r12_pages_are_computed_where_the_envelope_has_none():
    items = [{"id": n, "status": "completed"} for n in range(10)]
    plain = read_history({"items": items, "total": 142, "page": 1, "limit": 10})
    paged = read_history({"items": items, "total": 142, "page": 15, "limit": 10, "pages": 15})

    assert (plain.pages, plain.more) == (15, True)
    assert (paged.pages, paged.more) == (15, False)


def test_an_envelope_without_a_total_goes_on_while_pages_are_full():
    assert read_history([{"id": 1}] * 20, limit=20).more
    assert not read_history([{"id": 1}] * 3, limit=20).more
    assert not read_history({"items": []}, limit=20).more


def test_r15_a_profile_is_read_in_either_language_s_form():
    english = read_profile({"id": 7, "name": "Anna", "plan": "elite", "rate_limit_hourly": 0, "token_balance": 5})
    russian = read_profile({"id": 7, "username": "Anna", "plan": "elite", "created_at": "2026-01-01"})

    assert (english.id, english.name, english.limit_hour, english.balance) == ("7", "Anna", 0, 5)
    assert (russian.id, russian.name, russian.limit_hour) == ("7", "Anna", None)


def test_r16_music_is_read_by_its_status_whatever_its_category():
    done = read_reply(
        {
            "id": "gen_01j9x2abc123",
            "status": "completed",
            "type": "audio",
            "model": "elevenlabs-music",
            "output_url": "https://cdn.elumenta.ru/audio/gen_01j9x2abc123.mp3",
            "duration_seconds": 30,
            "tokens_used": 58,
        }
    )

    assert (done.status, done.tokens, done.duration_s) == ("completed", 58, 30)
    assert read_reply({"id": 1, "status": "pending", "category": "audio"}).status == "pending"


ROW = {
    "slug": "new-image-model", "name": "New", "category": "image", "provider": "OpenAI", "min_plan": "free",
    "token_cost": 5, "min_token_cost": 5, "max_token_cost": 13,
    "config": {"sizes": ["1024x1024", 7, None], "formats": ["webp"], "quality_options": ["standard", "hd"], "odd": 1},
}  # fmt: skip


@pytest.mark.parametrize("description", ["description_en", "description_ru"])
def test_r17_a_model_is_read_with_either_description(description):
    [model] = read_models({**ROW, description: "…"})

    assert (model.slug, model.category, model.minimum, model.maximum, model.tier) == (
        "new-image-model",
        "image",
        5,
        13,
        "Starter",
    )
    assert model.params == {
        "size": {"choices": ("1024x1024",)},
        "format": {"choices": ("webp",)},
        "quality": {"choices": ("standard", "hd")},
    }
    assert not model.in_table


@pytest.mark.parametrize(
    "envelope",
    [
        [ROW],
        {"items": [ROW]},
        {"models": [ROW], "total": 1},
        {"data": [ROW]},
        {"models": {"new-image-model": {name: value for name, value in ROW.items() if name != "slug"}}},
    ],
    ids=["bare", "items", "models", "data", "by slug"],
)
def test_a_list_of_models_is_read_in_any_envelope(envelope):
    assert [model.slug for model in read_models(envelope)] == ["new-image-model"]
