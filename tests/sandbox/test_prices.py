"""The price book: every slug within its documented range, the quote equal to the charge."""

from __future__ import annotations

import pytest

from elumenta_nb._catalog import catalog
from elumenta_nb.sandbox.prices import price_of, ranged

MODELS = catalog().models
POINTS = [
    ("gpt-5", {}, 2),
    ("dall-e-3", {}, 5),
    ("dall-e-3", {"quality": "hd"}, 9),
    ("dall-e-3", {"size": "1024x1792"}, 9),
    ("dall-e-3", {"size": "1792x1024", "quality": "hd"}, 13),
    ("gpt-image-1.5", {"quality": "low"}, 1),
    ("gpt-image-1.5", {"quality": "high", "size": "1536x1024"}, 21),
    ("midjourney", {"mode": "relax"}, 2),
    ("midjourney", {"mode": "turbo"}, 35),
    ("photon", {"resolution": "720p"}, 1),
    ("photon", {"resolution": "1080p"}, 2),
    ("nano-banana-pro", {"resolution": "2K"}, 16),
    ("nano-banana-pro", {"resolution": "4K"}, 32),
    ("luma-ray2-flash", {"resolution": "540p", "duration": 5}, 15),
    ("luma-ray2-flash", {"resolution": "1080p", "duration": 10}, 93),
    ("luma-ray2", {"resolution": "540p"}, 42),
    ("luma-ray2", {"resolution": "1080p", "duration": 10}, 180),
    ("kling-v2.1", {"duration": 5}, 26),
    ("kling-v2.1", {"duration": 10, "mode": "pro"}, 94),
    ("midjourney-video", {}, 50),
    ("midjourney-video", {"resolution": "720p", "duration": 10}, 320),
    ("sora-2", {"duration": 4}, 42),
    ("sora-2", {"duration": 12}, 125),
    ("veo-3.1", {"duration": 4}, 83),
    ("veo-3.1", {"duration": 8, "audio": True}, 334),
    ("el-dubbing", {"duration": 60}, 60),
    ("el-dubbing", {"duration": 61}, 120),
    ("el-dubbing", {"duration": 6000}, 600),
]
NEEDS_A_PICTURE = [model.slug for model in MODELS.values() if model.category == "image-tools"]
NEEDS_A_RECORDING = ["el-voice-changer", "el-voice-isolator", "el-dubbing"]


@pytest.mark.parametrize(("slug", "params", "tokens"), POINTS)
def test_the_book_has_this_price(slug, params, tokens):
    assert price_of(MODELS[slug], params).tokens == tokens


@pytest.mark.parametrize("slug", ranged())
def test_both_ends_of_a_documented_range_are_reached(slug):
    tokens = {price_of(MODELS[slug], params).tokens for name, params, _ in POINTS if name == slug}

    assert MODELS[slug].minimum in tokens
    assert MODELS[slug].maximum in tokens


def test_every_slug_generates_at_its_quote_within_its_range(server, caller):
    server.control("limit", 0)
    server.control("balance", 10_000)
    picture = caller.field(caller.generate("photon-flash", size="64x64"), "result_url")
    recording = caller.field(caller.generate("minimax-tts"), "result_url")
    for model in MODELS.values():
        params = {}
        if model.slug in NEEDS_A_PICTURE:
            params = {"image_url": picture}
        if model.slug == "face-swap":
            params["face_url"] = picture
        if model.slug in NEEDS_A_RECORDING:
            params = {"audio_url": recording}
        quote = caller.post(f"/models/{model.slug}/calculate-price", {"params": params}).json()
        before = caller.balance
        if model.category == "stt":
            files = {"audio": ("a.mp3", b"not much of a recording")}
            done = caller.http.post("/stt", files=files, data={"model": model.slug}).json()
        else:
            done = caller.generate(model.slug, **params)

        assert done["status"] == "completed", (model.slug, done)
        assert caller.field(done, "model_slug") == model.slug
        spent = caller.field(done, "tokens_spent")
        assert spent == quote["token_cost"] == before - caller.balance, model.slug
        assert model.minimum == quote["min_token_cost"] <= spent <= quote["max_token_cost"] == model.maximum
        assert caller.field(done, "result_text") or caller.field(done, "result_url")


def test_a_price_is_multiplied_by_count_and_its_range_is_not(caller):
    quote = caller.post("/models/dall-e-3/calculate-price", {"params": {}, "count": 4}).json()

    assert (quote["token_cost"], quote["min_token_cost"], quote["max_token_cost"]) == (20, 5, 13)


@pytest.mark.parametrize("slug", ["kling-v2.1", "gpt-5", "midjourney", "gpt-image-1.5"])
def test_the_pricing_type_is_one_of_the_documented(caller, slug):
    kinds = {"kling-v2.1": "per_second", "gpt-5": "fixed", "midjourney": "per_point", "gpt-image-1.5": "matrix"}

    assert caller.post(f"/models/{slug}/calculate-price", {}).json()["pricing_type"] == kinds[slug]


def test_dubbing_is_charged_by_the_started_minute_of_its_recording(server, caller):
    server.control("balance", 1000)
    music = caller.field(caller.generate("musicgen", duration=61), "result_url")
    quote = caller.post("/models/el-dubbing/calculate-price", {"params": {"audio_url": music}}).json()

    assert quote["token_cost"] == 120
    assert caller.field(caller.generate("el-dubbing", "", audio_url=music), "tokens_spent") == 120
    assert caller.field(caller.generate("el-dubbing", "", audio_url=music, duration=20), "tokens_spent") == 60
