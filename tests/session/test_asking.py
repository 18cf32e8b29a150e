"""What is wrong with a call is found before anything is sent, and said with the way out."""

from __future__ import annotations

import asyncio
import threading
import wave
from concurrent.futures import CancelledError

import pandas as pd
import pytest
from worlds import QuickSession, until

import elumenta_nb as el
from elumenta_nb import sandbox
from elumenta_nb._values import Ask, Origin


@pytest.fixture(scope="module")
def server():
    extra = [{"slug": "brand-new-9", "category": "text", "minimum": 3, "maximum": 3}]
    with sandbox.serve(time_scale=0.002, extra_models=extra) as running:
        yield running


@pytest.fixture(autouse=True)
def _live(server):
    server.seen.clear()
    el.configure(api_key=server.api_key, base_url=server.url)


def sent(server) -> int:
    return sum(seen.method == "POST" and "calculate-price" not in seen.path for seen in server.seen)


BAD = {
    "unknown model": ({"model": "dall-e-4", "prompt": "x"}, el.UnknownModel, "dall-e-3"),
    "older model": ({"model": "midjourney-v6", "prompt": "x"}, el.UnknownModel, "midjourney --mode fast"),
    "misspelt option": ({"model": "dall-e-3", "prompt": "x", "qualty": "hd"}, el.BadParam, "--quality"),
    "unknown value": ({"model": "dall-e-3", "prompt": "x", "quality": "hdd"}, el.BadParam, "hd"),
    "another model's option": ({"model": "gpt-5", "prompt": "x", "size": "1x1"}, el.BadParam, "-p size"),
    "out of range": ({"model": "gpt-5", "prompt": "x", "temperature": 3}, el.BadParam, ""),
    "wrong type": ({"model": "kling-v2.1", "prompt": "x", "duration": "long"}, el.BadParam, ""),
    "nan": ({"model": "gpt-5", "prompt": "x", "temperature": float("nan")}, el.BadParam, ""),
    "half a character": ({"model": "gpt-5", "prompt": "a\ud800"}, el.BadParam, ""),
    "half a character beside": ({"model": "gpt-5", "prompt": "x", "params": {"y": ["\ud800"]}}, el.BadParam, ""),
    "half a character in a tag": ({"model": "gpt-5", "prompt": "x", "tag": "\ud800"}, el.BadParam, ""),
    "parameters that are none": ({"model": "gpt-5", "prompt": "x", "params": 5}, el.BadParam, "dict"),
    "no text": ({"model": "gpt-5", "prompt": 5}, el.BadParam, "int"),
    "a tag that is none": ({"model": "gpt-5", "prompt": "x", "tag": 5}, el.BadParam, "int"),
    "a price in words": ({"model": "gpt-5", "prompt": "x", "max_price": "5"}, el.BadParam, "--max-price"),
    "wrong category": ({"model": "gpt-5", "prompt": "x", "category": "image"}, el.BadParam, "text gpt-5"),
    "no category": ({"model": "gpt-5", "prompt": "x", "category": "imag"}, el.BadParam, "image"),
    "empty prompt": ({"model": "gpt-5", "prompt": " \n"}, el.BadParam, ""),
    "no prompt": ({"model": "gpt-5"}, el.BadParam, ""),
    "no model": ({"model": None, "prompt": "x"}, el.BadParam, ""),
    "local picture": ({"model": "upscale", "image_url": __file__}, el.BadParam, "public URL"),
    "no picture": ({"model": "upscale"}, el.BadParam, ""),
    "no recording": ({"model": "whisper"}, el.BadParam, ""),
    "a picture in base64": (
        {"model": "upscale", "input": "data:image/png;base64," + "A" * 5000},
        el.BadParam,
        "public URL",
    ),
    "a recording in base64": ({"model": "whisper", "input": "A" * 5000}, el.BadParam, ""),
    "another model inside": ({"model": "gpt-5", "prompt": "x", "params": {"model": "gpt-5.2-pro"}}, el.BadParam, ""),
    "another prompt inside": ({"model": "gpt-5", "prompt": "x", "params": {"prompt": "y"}}, el.BadParam, ""),
    "another reuse": ({"model": "gpt-5", "prompt": "x", "reuse": "Only"}, el.BadParam, ""),
    "decimal comma": ({"model": "gpt-5", "prompt": "x", "temperature": "0,5"}, el.BadParam, "--temperature 0.5"),
    "no such recording": ({"model": "whisper", "input": "nowhere.mp3"}, el.BadParam, ""),
    "wrong recording": ({"model": "whisper", "input": __file__}, el.BadParam, "mp3"),
    "recording by URL": ({"model": "whisper", "input": "https://example.com/a.mp3"}, el.BadParam, "Download"),
    "too dear": ({"model": "gpt-5", "prompt": "x", "max_price": 1}, el.PriceAboveMax, "max_price=2"),
    "not confirmed": ({"model": "veo-3.1", "prompt": "x"}, el.ConfirmPrice, "max_price="),
    "odd limit": ({"model": "gpt-5", "prompt": "x", "max_price": -1}, el.BadParam, ""),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_told_before_anything_is_sent(server, case):
    call, error, hint = BAD[case]

    with pytest.raises(error) as caught:
        el.generate(**call)

    assert hint in f"{caught.value} {caught.value.hint}"
    assert caught.value.spent == "no"
    assert sent(server) == 0
    assert el.spend().empty


def test_a_model_the_server_lists_and_the_table_does_not_know_works(server):
    result = el.generate("brand-new-9", "hello")

    assert result.tokens == 3
    assert result.category == "text"


def test_a_large_recording_is_refused_before_it_is_sent(server, tmp_path):
    path = tmp_path / "long.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44100)
        file.writeframes(bytes(27 * 1024**2))

    with pytest.raises(el.BadParam, match="25 MB"):
        el.generate("whisper", input=path)

    assert sent(server) == 0


def test_a_dear_call_is_bought_with_consent(server):
    assert el.generate("veo-3.1", "a wave", duration=4, audio=False, max_price=100).tokens == 83


def test_the_server_being_away_is_told_and_free():
    el.configure(base_url="http://127.0.0.1:9", api_key="nb_test_0123456789")

    with pytest.raises(el.TransportError) as caught:
        el.generate("gpt-5", "x")

    assert caught.value.spent == "no"
    assert "127.0.0.1" in str(caught.value) + caught.value.hint


def test_a_wrong_key_is_told_and_free(server):
    el.configure(api_key="nb_test_wrong_0123456789")

    with pytest.raises(el.AuthFailed) as caught:
        el.generate("gpt-5", "x")

    assert caught.value.spent == "no"
    assert "login" in caught.value.hint


def test_quote_models_history_and_stats(server):
    assert el.quote("dall-e-3", size="1792x1024", quality="hd") == el.Quote(
        tokens=13, minimum=5, maximum=13, pricing_type="matrix"
    )
    assert el.quote("dall-e-3", count=3, size="1792x1024", quality="hd").tokens == 39
    assert sent(server) == 0
    assert el.models().groupby("category").size().to_dict() == {
        "text": 12,
        "image": 10,
        "video": 7,
        "music": 2,
        "tts": 6,
        "stt": 3,
        "audio-tools": 5,
        "image-tools": 7,
    }
    assert el.models("image", tier="Starter").index.tolist() == ["photon-flash", "dall-e-3"]
    assert el.models(text="luma ray2 flash").index.tolist() == ["luma-ray2-flash"]
    el.generate("gpt-5", "hello history")
    history = el.account_history(5)
    assert history.iloc[0]["prompt"] == "hello history"
    assert history["tokens"].dtype == pd.Int64Dtype()
    assert el.stats()["total_generations"] >= 1
    assert el.me().plan == "vip"


def test_many_streams_background_and_async(server):
    many = el.generate_many("gpt-5-nano", "three of them", 3)
    assert len({result.generation_id for result in many}) == 3

    stream = el.stream("gpt-5-nano", "say it in pieces")
    pieces = list(stream)
    assert len(pieces) > 1
    assert "".join(pieces) == stream.result.text

    pending = el.submit("luma-ray2-flash", "a wave")
    assert pending.result(timeout=30).path.suffix == ".mp4"

    async def two():
        return await asyncio.gather(el.agenerate("gpt-5-nano", "a"), el.agenerate("gpt-5-nano", "b"))

    assert [result.tokens for result in asyncio.run(two())] == [1, 1]

    async def pieces_of():
        return [piece async for piece in el.stream("gpt-5-nano", "again in pieces")]

    assert len(asyncio.run(pieces_of())) > 1
    frame = el.spend()
    assert frame["tokens"].sum() == 3 + 1 + 26 + 2 + 1
    assert set(frame["source"]) == {"python"}


@pytest.mark.parametrize("kept", [0, 2])
def test_the_pieces_of_a_torn_stream_end_with_the_rest_of_what_was_paid(server, kept):
    server.fault("stream_cut", path="/generate/stream", after_pieces=kept)
    stream = el.stream("gpt-5-nano", f"torn after {kept}")

    assert "".join(stream) == stream.result.text
    assert len(stream.result.text) > 100
    assert el.spend()["tokens"].sum() == 1


def test_a_result_of_the_sandbox_is_no_input_of_a_live_call(server):
    made = el.Result(id=1, model="dall-e-3", category="image", url="http://127.0.0.1:9/1.png", tokens=5, sandbox=True)
    with pytest.raises(el.BadParam, match="made by the sandbox") as caught:
        el.generate("upscale", input=made)

    assert "made with your key" in caught.value.hint
    assert sent(server) == 0


def test_a_limit_of_the_models_is_a_number(server):
    assert (el.models(maximum=2)["minimum"] <= 2).all()
    with pytest.raises(el.BadParam, match="maximum="):
        el.models(maximum="2")


def test_what_is_submitted_is_a_handle(server):
    pending = el.submit("gpt-5-nano", "later")

    assert isinstance(pending, el.Handle)
    assert pending.result(timeout=30).tokens == 1
    assert pending.done()


def test_tags_and_grouped_spend(server):
    el.session().tags.append("lesson")
    el.generate("gpt-5", "x", tag="intro")
    el.generate("photon-flash", "y")

    by_tag = el.spend(by="tag")
    assert by_tag.set_index("tag")["tokens"].to_dict() == {"lesson": 3, "intro": 2}
    assert el.spend(by="model").set_index("model")["tokens"].to_dict() == {"gpt-5": 2, "photon-flash": 1}
    assert el.spend(since="7d")["tokens"].sum() == 3


def test_the_text_is_not_in_the_ledger_and_the_key_is_nowhere(server, tmp_path):
    session = el.session()
    el.generate("gpt-5", "a secret prompt 4711")
    session.ledger().close()

    files = [path for path in session.settings.home.rglob("*") if path.is_file()]
    assert files
    for path in files:
        data = path.read_bytes()
        assert b"a secret prompt 4711" not in data, path
        assert server.api_key.encode() not in data, path


def test_an_empty_prompt_says_where_python_takes_it():
    el.configure(mode="sandbox")
    with pytest.raises(el.BadParam) as caught:
        el.generate("gpt-5-nano")

    assert caught.value.hint == 'Give it beside the model: el.generate("gpt-5-nano", "…")'


@pytest.mark.parametrize("count", ["2", 0, -3, True, 1.5])
def test_a_count_that_is_none_has_no_price(count):
    with pytest.raises(el.BadParam, match="--count"):
        el.quote("gpt-5", count)

    assert el.quote("gpt-5", 500).tokens == 1000


def test_lines_of_one_cell_go_on_with_their_chat_and_a_new_run_replaces_all_of_them(server):
    def say(run: str, *prompts: str) -> None:
        place = Origin(source="magic", cell_id="c1", source_hash="s1", run=run)
        for prompt in prompts:
            el.session().run(Ask(model="gpt-5", prompt=prompt, chat="story", fresh=True), place)

    def told() -> list[str]:
        return [turn.content for turn in el.session().chats["story"].turns if turn.role == "user"]

    say("1", "one", "two", "three")
    assert told() == ["one", "two", "three"]
    say("2", "uno", "due", "three")
    assert told() == ["uno", "due", "three"]
    sent_last = next(seen.body for seen in reversed(server.seen) if "/generate" in seen.path)
    assert b'"uno"' in sent_last
    assert b'"one"' not in sent_last


def test_a_count_that_is_no_number_is_told(server):
    with pytest.raises(el.BadParam, match="--count"):
        el.generate_many("gpt-5", "x", "2")

    assert not sent(server)


def test_a_call_that_is_cancelled_while_it_begins_is_stopped(server, tmp_path):
    """Its thread cannot be stopped: what it begins after all must not run on unseen."""
    begun, go = threading.Event(), threading.Event()
    started = []

    class Late(QuickSession):
        def start(self, ask, origin):
            begun.set()
            assert go.wait(10)
            started.append(super().start(ask, origin))
            return started[0]

    session = Late(api_key=server.api_key, base_url=server.url, home=tmp_path)

    async def leave():
        task = asyncio.create_task(session.agenerate("gpt-5-nano", "left before it began"))
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go.set()
        while not started:
            await asyncio.sleep(0.01)

    asyncio.run(leave())
    until(started[0].done)

    with pytest.raises(CancelledError):
        started[0].result()
    session.close()
