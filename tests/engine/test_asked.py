"""What an ask may be besides a model and a prompt: conversations, shapes, a file to save to, models nobody listed."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import itertools
import json
import time
from typing import Any

import pytest
from worlds import until

import elumenta_nb as el
from elumenta_nb._values import Ask, Origin, Sent

STRANGER = {"slug": "nova-9", "category": "text", "minimum": 3, "maximum": 3}


runs = itertools.count()


def cell(name: str) -> Origin:
    """A run of a cell."""
    return Origin(source="magic", cell_id=name, run=f"r{next(runs)}")


def turns(world: Any, name: str = "desk") -> list[str]:
    return [message.content for message in world.session.chat(name).turns]


def test_a_conversation_is_sent_with_its_turns_and_a_cell_run_again_replaces_its_own(world):
    world.buy("gpt-5-nano", "first", chat="desk", origin=cell("a"))
    world.buy("gpt-5-nano", "second", chat="desk", origin=cell("b"))
    sent = json.loads(world.server.seen[-1].body)

    assert "first" in json.dumps(sent)
    assert turns(world)[0::2] == ["first", "second"]
    world.buy("gpt-5-nano", "first, better", chat="desk", origin=cell("a"), reuse="off")
    assert turns(world)[0::2] == ["first, better", "second"]
    world.session.chat("desk").reset()
    assert turns(world) == []


@pytest.mark.parametrize("count", [0, -1, True, 10_000])
def test_an_odd_count_is_refused(world, count):
    with pytest.raises(el.BadParam, match="--count"):
        world.buy("gpt-5", count=count)

    assert world.posts() == 0


@pytest.mark.parametrize("limit", [True, float("nan"), float("inf"), -1, "13"])
def test_a_limit_that_limits_nothing_is_no_consent(world, limit):
    """Nothing is above what is not a number: it once allowed any price."""
    with pytest.raises(el.BadParam, match="--max-price"):
        world.buy("veo-3.1", max_price=limit)

    assert world.posts() == 0


def test_a_prompt_for_a_model_that_takes_none_is_refused(world, tmp_path):
    (tmp_path / "call.mp3").write_bytes(b"ID3" + bytes(500))
    with pytest.raises(el.BadParam, match="takes no prompt"):
        world.buy("whisper", "a cat", input=str(tmp_path / "call.mp3"))

    assert world.posts() == 0


def test_a_copy_that_cannot_be_written_after_all_keeps_the_result_and_says_what_was_charged(world, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    world.server.fault("slow", path="/generate", method="POST", seconds=0.5)
    ask = Ask(model="photon-flash", prompt="x", save=str(folder / "one.png"))
    handle = world.session.start(ask, Origin(source="python"))
    until(world.posts)
    folder.rmdir()
    folder.write_text("a file by now")

    with pytest.raises(el.BadParam, match=r"one\.png") as caught:
        handle.result(20)

    (result,) = caught.value.results
    assert result.path is not None
    assert (caught.value.spent, caught.value.tokens, caught.value.call_id) == ("yes", 1, result.id)
    assert world.charged == 1


def test_one_file_cannot_take_several_results(world, tmp_path):
    with pytest.raises(el.BadParam, match="--save takes one result"):
        world.buy("photon-flash", count=2, save=str(tmp_path / "one.png"))

    assert world.posts() == 0


def test_a_result_is_saved_where_it_was_asked_to(world, tmp_path):
    (result,) = world.buy("photon-flash", save=str(tmp_path / "harbour.png"))

    assert (tmp_path / "harbour.png").read_bytes().startswith(b"\x89PNG")
    assert result.path.is_file(), "the store keeps its own"


def test_text_that_should_be_json_and_is_not_is_kept_and_told_as_paid(world):
    (result,) = world.buy("gpt-5", "no document at all")

    with pytest.raises(el.BadReply, match="is not JSON") as caught:
        world.session._shaped(result, Ask(model="gpt-5", shape="json"))

    assert caught.value.results[0].text == result.text
    assert (caught.value.spent, caught.value.tokens) == ("yes", 2)


@pytest.mark.parametrize("shape", ["json", "code"])
def test_the_order_for_a_shape_is_added_to_the_system_prompt_of_the_cell(world, shape):
    try:
        world.buy("gpt-5", "the tides", shape=shape, options={"system_prompt": "Be brief."})
    except el.BadReply:  # the sandbox's words are no JSON
        assert shape == "json"
    sent = world.server.seen[-1].body if "generate" in world.server.seen[-1].path else world.server.seen[-2].body

    assert "Be brief.\\n\\nAnswer with one" in (sent if isinstance(sent, str) else sent.decode())


def test_a_model_that_only_the_server_knows_is_bought_at_its_price(world_of):
    world = world_of(extra_models=[STRANGER])
    (result,) = world.buy("nova-9")

    assert result.tokens == world.charged == world.booked == 3


def test_a_model_that_nobody_knows_is_refused(world):
    with pytest.raises(el.UnknownModel):
        world.buy("nova-9", category="text")

    assert world.posts() == 0


def test_where_the_server_lists_nothing_an_unknown_model_is_for_it_to_decide(world_of):
    world = world_of(extra_models=[STRANGER])
    world.server.fault("status", path="/models*", method="GET", code=500, body="", times=20)
    world.server.fault("status", path="/models", method="GET", code=500, body="", times=20)

    (result,) = world.buy("nova-9", category="text", max_price=10)

    assert result.tokens == world.charged == world.booked == 3
    with pytest.raises(el.UnknownModel):
        world.buy("nova-9")  # of no category: nobody can tell what to ask for


def test_without_a_quote_the_upper_end_of_what_is_known_is_held_and_said_to_be_about(world):
    world.server.fault("status", path="*calculate-price*", method="POST", code=404, times=20)
    quote, total = world.session.price(Ask(model="dall-e-3", prompt="a cat", count=2))

    assert not quote.exact
    assert (quote.tokens, total) == (quote.maximum, 2 * quote.maximum)
    (result,) = world.buy("dall-e-3", max_price=50)
    assert result.tokens == world.charged == world.booked <= quote.tokens


def test_a_job_in_the_background_is_watched_awaited_and_shown(world):
    pending = world.session.submit("luma-ray2-flash", "a wave", max_price=100)
    assert "running" in repr(pending) or "done" in repr(pending)
    kinds = {type(event) for event in pending.events()}

    async def awaited() -> Any:
        return await pending

    assert Sent in kinds
    assert pending.done()
    assert asyncio.run(awaited()).tokens == pending.result(5).tokens == world.charged


def test_a_stream_that_is_left_early_is_booked_as_the_history_tells(world_of):
    world = world_of(time_scale=0.1)
    stream = world.session.stream("gpt-5", "a long story " * 20)
    for _piece in stream:
        break
    del _piece
    stream.stop()
    for _try in range(200):
        if [row["status"] for row in world.history] == ["completed"]:
            break
    world.settle()

    assert world.booked == world.charged == 2


def test_an_error_in_whoever_reads_the_pieces_stops_the_stream_and_goes_on_up(world_of):
    world = world_of(time_scale=0.1)
    pieces = iter(world.session.stream("gpt-5", "a long story " * 20))
    next(pieces)
    with pytest.raises(LookupError, match="mine"):
        pieces.throw(LookupError("mine"))


def test_a_task_that_is_cancelled_while_it_waits_for_a_piece_stops_the_stream(world):
    world.server.fault("slow", path="/generate*", method="POST", seconds=30)
    stream = world.session.stream("gpt-5", "a long story")

    async def read() -> None:
        async for _piece in stream:
            pass

    async def cancelled() -> None:
        task = asyncio.ensure_future(read())
        while not world.posts():
            await asyncio.sleep(0.01)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    began = time.monotonic()
    asyncio.run(cancelled())
    with pytest.raises(concurrent.futures.CancelledError):
        _ = stream.result

    assert time.monotonic() - began < 15
