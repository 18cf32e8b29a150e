"""Whatever goes wrong on the way: afterwards the ledger says what the account was charged, and nothing was bought twice."""

from __future__ import annotations

import asyncio
import time
import wave
from pathlib import Path
from typing import Any

import pytest
from worlds import until

import elumenta_nb as el
from elumenta_nb._values import Ask, Origin

pytestmark = pytest.mark.slow  # a minute of real HTTP: `make test`, not `make test-quick`


def recording(folder: Path) -> Path:
    path = folder / "call.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\0\0" * 8000)
    return path


KINDS = {  # what is asked for, and the path it is posted to
    "text": ({"model": "gpt-5"}, "/generate"),
    "stream": ({"model": "gpt-5", "stream": True}, "/generate/stream"),
    "image": ({"model": "photon-flash"}, "/generate"),
    "job": ({"model": "luma-ray2-flash"}, "/generate"),
    "stt": ({"model": "whisper", "prompt": None}, "/stt"),
}
FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "dropped before": ("drop_before", {}),
    "dropped after": ("drop_after", {}),
    "body cut": ("cut_body", {}),
    "provider error": ("status", {"code": 500}),
    "bad gateway after": ("status", {"code": 502, "body": "", "processed": True}),
    "bad gateway before": ("status", {"code": 502, "body": "<html>"}),
    "gateway timeout": ("status", {"code": 504, "body": "", "processed": True}),
    "overloaded": ("status", {"code": 503}),
    "overloaded, no body": ("status", {"code": 503, "body": "", "processed": True}),
    "limit": ("ratelimit", {"retry_after": 1}),
    "garbage": ("garbage", {}),
    "web page": ("html", {"processed": True}),
    "failed": ("fail", {}),
}


def path_of(kind: str, dialect: str) -> str:
    """Where it is posted: one family streams from /generate, and knows no other place."""
    return "/generate" if (dialect, kind) == ("b", "stream") else KINDS[kind][1]


def ask_for(kind: str, folder: Path) -> dict[str, Any]:
    ask, _path = KINDS[kind]
    return {**ask, **({"input": str(recording(folder))} if kind == "stt" else {})}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", KINDS)
def test_after_any_fault_the_ledger_equals_the_account(world, dialect, tmp_path, kind, fault):
    name, options = FAULTS[fault]
    world.server.fault(name, path=path_of(kind, dialect), method="POST", **options)

    try:
        results = world.buy(**{"prompt": "a quiet harbour", **ask_for(kind, tmp_path)})
    except el.ElumentaError as error:
        results = []
        assert error.spent in ("no", "maybe"), error
        assert len(error._render_traceback_()) <= 10
    world.settle()

    assert world.booked == world.charged
    made = [row for row in world.history if row["status"] == "completed"]
    assert len(made) <= 1, "bought twice"
    assert len(results) == len(made) or not results, "a result without a generation"


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_that_was_lost_is_found_and_returned_as_if_nothing_had_happened(world, dialect, tmp_path, kind):
    path = path_of(kind, dialect)
    world.server.fault("drop_after", path=path, method="POST")

    (result,) = world.buy(**{"prompt": "a quiet harbour", **ask_for(kind, tmp_path)})

    assert result.status == "completed"
    assert result.tokens == world.charged > 0
    assert world.posts(path) == 1
    assert result.text or (result.path and result.path.stat().st_size > 0)


def test_a_request_that_never_arrived_is_not_charged_and_says_that_it_may_not_have_been(world):
    world.server.fault("drop_before", path="/generate", method="POST")

    with pytest.raises(el.OutcomeUnknown) as caught:
        world.buy("gpt-5")

    assert caught.value.spent == "maybe"
    assert caught.value.tokens == 2
    assert f"%elumenta recover {caught.value.call_id}" in caught.value.hint
    assert ".)" not in str(caught.value), "a sentence within a sentence has no full stop"
    assert world.posts() == 1, "a paid request is never sent again blindly"
    assert world.session.jobs().loc[caught.value.call_id, "held"] == 2


def test_an_open_call_that_no_history_shows_is_released_when_its_grace_is_over(world, monkeypatch):
    world.server.fault("drop_before", path="/generate", method="POST")
    with pytest.raises(el.OutcomeUnknown):
        world.buy("gpt-5")
    monkeypatch.setattr("elumenta_nb._recovery.GRACE_S", -1.0)

    world.settle()

    assert world.session.jobs().empty
    assert world.booked == world.charged == 0


def test_two_identical_prompts_in_flight_are_not_mistaken_for_each_other(world):
    """The first is dropped before it is processed; the second is answered. One generation, one charge, one owner."""
    world.server.fault("drop_before", path="/generate", method="POST")

    with pytest.raises(el.OutcomeUnknown) as caught:
        world.buy("gpt-5", count=2)

    (done,) = caught.value.results
    assert done.tokens == 2
    world.settle()
    assert world.booked == world.charged == 2
    frame = world.session.spend(columns="all")
    owners = frame["generation_id"].dropna()
    assert owners.is_unique


def test_two_identical_lost_answers_are_both_found(world):
    world.server.fault("drop_after", path="/generate", method="POST", times=2)

    results = world.buy("gpt-5", count=2)

    assert len({result.generation_id for result in results}) == 2
    assert world.booked == world.charged == 4


def test_a_failed_generation_costs_nothing_and_says_why(world):
    world.server.fault("fail", path="/generate", reason="Provider error: content policy violation")

    with pytest.raises(el.GenerationFailed, match="content policy violation") as caught:
        world.buy("photon-flash")

    assert caught.value.spent == "no"
    assert world.booked == world.charged == 0
    assert world.session.spend(columns="all")["status"].tolist() == ["failed"]


def test_a_download_shorter_than_promised_is_fetched_again(world):
    world.server.fault("cut_body", path="/storage/*", method="GET")

    (result,) = world.buy("photon-flash")

    assert result.path.stat().st_size > 0
    assert world.posts() == 1


def test_a_file_that_cannot_be_fetched_is_paid_kept_and_fetched_later_for_nothing(world):
    world.server.fault("status", path="*storage*", method="GET", code=404, times=50)

    with pytest.raises(el.DownloadFailed) as caught:
        world.buy("photon-flash")

    assert caught.value.spent == "yes"
    assert caught.value.tokens == world.charged == world.booked == 1
    world.server.faults.clear()
    result = world.session.show(caught.value.call_id)
    assert result.path.stat().st_size > 0
    assert world.charged == 1
    assert world.posts() == 1


def test_a_charge_above_the_quote_is_booked_said_and_learned(world):
    world.session.price(Ask(model="gpt-5"))
    services = world.session.services()
    resolved = world.session.resolve(Ask(model="gpt-5"))
    quote = services.prices.peek(resolved)
    services.prices._quotes[("gpt-5", "")] = type(quote)(tokens=1, minimum=1, maximum=1)

    (result,) = world.buy("gpt-5")

    assert result.tokens == world.charged == world.booked == 2
    assert result.quoted == 1
    assert "quoted 1, charged 2" in result.receipt.note
    assert services.prices.held(resolved, services.prices.peek(resolved)) == 2


def test_a_stream_cut_in_the_middle_is_completed_from_the_history(world, dialect):
    world.server.fault("stream_cut", path=path_of("stream", dialect), after_pieces=3)

    (result,) = world.buy("gpt-5", stream=True)

    assert result.tokens == world.charged == world.booked == 2
    assert result.text


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 422])
def test_a_refusal_is_final_and_free(world, status):
    world.session.price(Ask(model="gpt-5"))
    world.server.fault("status", path="/generate", method="POST", code=status, times=2)
    expected = {401: el.AuthFailed, 402: el.InsufficientTokens, 403: el.PlanRequired, 404: el.NotFound}

    with pytest.raises(expected.get(status, el.Rejected)) as caught:
        world.buy("gpt-5")

    assert caught.value.spent == "no"
    assert world.posts() == 1
    assert world.booked == world.charged == 0
    assert world.session.jobs().empty


@pytest.mark.parametrize("status", [401, 403, 410])
def test_a_job_whose_wait_is_refused_says_how_to_get_it(world, status):
    world.server.fault("status", path="/generate/*", method="GET", code=status, times=8)

    with pytest.raises(el.ElumentaError) as caught:
        world.buy("kling-v2.1")

    assert (caught.value.spent, caught.value.call_id) == ("maybe", 1)
    assert "%elumenta recover 1" in caught.value.hint
    world.server.faults.clear()
    world.session.resume()
    assert world.booked == world.charged > 0


def test_a_balance_too_low_is_told_by_the_server_and_nothing_is_booked(world_of):
    world = world_of(balance=1)

    with pytest.raises(el.InsufficientTokens) as caught:
        world.buy("gpt-5")

    assert caught.value.spent == "no"
    assert world.booked == world.charged == 0


def test_the_limit_of_the_hour_is_waited_for_when_short_and_told_when_long(world):
    world.session.price(Ask(model="gpt-5"))
    world.server.fault("ratelimit", path="/generate", retry_after=1)
    (result,) = world.buy("gpt-5")
    assert result.tokens == 2

    world.server.fault("ratelimit", path="/generate", retry_after=847)
    with pytest.raises(el.RateLimited) as caught:
        world.buy("gpt-5")

    assert caught.value.retry_after == 847
    assert caught.value.spent == "no"
    assert world.booked == world.charged == 2


def test_a_count_that_partly_fails_tells_what_was_done(world):
    world.server.fault("fail", path="/generate")

    with pytest.raises(el.GenerationFailed, match="3 of 4 done, 6 tokens spent") as caught:
        world.buy("gpt-5", count=4)

    assert len(caught.value.results) == 3
    assert caught.value.spent == "yes"
    assert world.booked == world.charged == 6


def test_the_first_call_of_an_account_says_what_tokens_are_and_later_ones_do_not(world):
    first, second = world.buy("gpt-5")[0], world.buy("gpt-5")[0]
    world.session = world.new_session()
    later = world.buy("gpt-5")[0]

    assert "not LLM tokens" in first.receipt.note
    assert second.receipt.note == later.receipt.note == ""


def test_a_new_kernel_says_what_is_unfinished(world):
    world.buy("gpt-5")
    world.server.fault("drop_before", path="/generate", method="POST")
    with pytest.raises(el.OutcomeUnknown):
        world.buy("gpt-5")

    world.session = world.new_session()
    (result,) = world.buy("photon-flash")

    assert result.receipt.note == "1 unfinished call (up to 2 tokens): %elumenta recover"


def test_a_budget_that_is_set_to_nothing_while_a_call_runs_does_not_take_its_result(world):
    """Its share was a division by nothing, after the charge."""
    world.server.fault("slow", path="/generate", method="POST", seconds=0.5)
    handle = world.session.start(Ask(model="gpt-5", prompt="x"), Origin(source="python"))
    until(world.posts)
    world.session.budget(0, per="day")

    (result,) = handle.result(20)

    assert result.text
    assert (result.receipt.budget_used, result.receipt.budget_limit) == (2, 0)
    assert "100 %" in result.receipt.note
    assert world.booked == world.charged == 2


def test_a_budget_warns_at_four_fifths(world):
    world.session.budget(5, per="day")

    notes = [world.buy("gpt-5")[0].receipt.note for _ in range(2)]

    assert "80 %" not in notes[0]
    assert "80 %" in notes[1]


def test_a_stream_stopped_by_the_person_is_booked_behind_and_its_text_is_kept(world):
    stream = []

    def view(event):
        if hasattr(event, "text"):
            stream.append(event.text)
        if len(stream) == 2:
            raise KeyboardInterrupt

    view.tick = lambda: None
    origin = Origin(source="magic", cell_id="c", source_hash="s", run="r")

    with pytest.raises(KeyboardInterrupt):
        world.session.run(Ask(model="gpt-5", prompt="a long story", stream=True), origin, view)
    world.session.call(lambda: quiet(world.session))

    world.settle()
    assert world.booked == world.charged
    assert world.session.jobs().empty or world.charged == 0
    if world.charged:
        (take,) = world.session.services().store.takes()
        assert take.text.startswith("".join(stream)[:10])


async def quiet(session) -> None:
    """Wait until what goes on behind a stopped cell is over."""
    ends = time.monotonic() + 20
    while time.monotonic() < ends:
        await asyncio.sleep(0.05)
        rows = session.ledger().open_calls()
        if not session.services().background and all(row.status != "reserved" for row in rows):
            return


def test_an_interrupt_before_anything_was_sent_releases_the_hold(world):
    world.session.price(Ask(model="gpt-5"))

    class Stop:
        def __call__(self, event):
            pass

        def tick(self):
            raise KeyboardInterrupt

    world.server.fault("slow", path="/user/me", seconds=3.0, before=True)
    world.session._account = None
    with pytest.raises(KeyboardInterrupt):
        world.session.run(Ask(model="gpt-5", prompt="x"), Origin(), Stop())

    assert world.posts() == 0
    assert world.session.spend().empty


def test_what_the_account_spent_elsewhere_is_booked_once_and_explains_its_total(world, tmp_path):
    import httpx

    world.buy("gpt-5")
    key = {"Authorization": f"Bearer {world.server.api_key}"}
    bot = httpx.post(
        f"{world.server.url}/generate", json={"model": "photon-flash", "prompt": "by the bot"}, headers=key
    )
    assert bot.status_code == 200, bot.text

    first = world.session.reconcile(elsewhere=True)
    again = world.session.reconcile(elsewhere=True)

    assert first[["model", "was", "tokens"]].values.tolist() == [["photon-flash", "elsewhere", 1]]
    assert again.empty
    assert world.booked == world.charged == 3
    explained = first.attrs
    assert (explained["ledger"], explained["elsewhere"]) == (2, 1)
    assert explained["account"] == explained["ledger"] + explained["elsewhere"] + explained["unlisted"]
    assert world.session.ledger().call(int(first["id"][0])).provider == "Luma"
