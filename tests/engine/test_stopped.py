"""Whoever stops waiting is told what may still be charged, and the ledger says it too, in every phase of a call."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import elumenta_nb as el
from elumenta_nb._engine import Engine
from elumenta_nb._store import Store
from elumenta_nb._values import Accepted, Ask, Origin, Sent, Stopped, TextDelta, Waiting
from elumenta_nb._wiring import runtime

pytestmark = pytest.mark.slow  # jobs that run for a while: `make test`, not `make test-quick`


def until(it_is: Callable[[], bool], what: str, seconds: float = 20) -> None:
    ends = time.monotonic() + seconds
    while not it_is():
        assert time.monotonic() < ends, f"it did not happen: {what}"
        time.sleep(0.02)


def start(world: Any, model: str, **ask: Any) -> Any:
    ask = {"prompt": "a quiet harbour", "max_price": 500, **ask}
    return world.session.start(Ask(model=model, **ask), Origin(source="python"))


def stopped_at(handle: Any, kind: type | None) -> Stopped:
    """Stop at the first event of a kind (at once with ``None``); what was told last."""
    for event in handle.events() if kind else ():
        if isinstance(event, kind):
            break
    handle.stop()
    told = [event for event in handle.events() if isinstance(event, Stopped)]
    assert handle.done()
    return told[-1]


def found_out(world: Any, status: str) -> None:
    """The server has come to its end, and a recovery has asked it; the look-up behind the cell may have been first."""
    until(lambda: [row["status"] for row in world.history] == [status], f"{status} at the server")
    world.settle()
    assert statuses(world) == [status]


def statuses(world: Any) -> list[str]:
    return world.session.spend(columns="all")["status"].tolist()


def test_a_job_that_is_stopped_stays_pending_and_can_be_recovered(world_of):
    world = world_of(time_scale=0.02)
    told = stopped_at(start(world, "luma-ray2-flash", options={"duration": 5}), Waiting)

    assert (told.status, told.at_risk > 0) == ("pending", True)
    assert statuses(world) == ["pending"]
    (result,) = world.session.resume()
    assert result.tokens == world.charged == world.booked > 0
    assert world.posts() == 1


def test_a_call_that_waits_for_its_answer_is_unknown_until_the_history_tells(world):
    world.session.price(Ask(model="gpt-5"))
    world.server.fault("slow", path="/generate", method="POST", seconds=1.5)
    told = stopped_at(start(world, "gpt-5"), Sent)

    assert (told.status, told.at_risk) == ("unknown", 2)
    found_out(world, "completed")
    assert world.booked == world.charged == 2
    assert world.posts() == 1


def test_a_stream_that_is_stopped_is_unknown_until_the_history_tells(world_of):
    world = world_of(time_scale=0.1)
    told = stopped_at(start(world, "gpt-5", stream=True, prompt="a long story " * 20), TextDelta)

    assert (told.status, told.at_risk) == ("unknown", 2)
    found_out(world, "completed")
    assert world.booked == world.charged == 2


def test_a_call_that_failed_behind_a_stopped_cell_is_booked_as_failed(world):
    world.session.price(Ask(model="photon-flash"))
    world.server.fault("fail", path="/generate")
    world.server.fault("slow", path="/generate", method="POST", seconds=1.0)
    told = stopped_at(start(world, "photon-flash"), Sent)

    assert told.status == "unknown"
    found_out(world, "failed")
    assert world.booked == world.charged == 0


def test_what_was_not_sent_yet_is_cancelled_and_holds_nothing(world):
    world.session.price(Ask(model="gpt-5"))
    world.server.fault("ratelimit", path="/generate", retry_after=40)
    handle = start(world, "gpt-5")
    until(lambda: world.posts() == 1, "the request that is refused for now")
    told = stopped_at(handle, None)

    assert (told.status, told.at_risk) in [("cancelled", 0), ("unknown", 2)]
    world.settle()
    assert world.session.jobs().empty
    assert world.booked == world.charged == 0


def test_a_download_that_is_stopped_is_paid_and_fetched_again_for_nothing(world):
    world.session.price(Ask(model="photon-flash"))
    world.server.fault("slow", path="*storage*", method="GET", seconds=3.0, before=True)
    handle = start(world, "photon-flash")
    until(lambda: statuses(world) == ["completed"], "the charge was booked")
    told = stopped_at(handle, None)

    assert (told.status, told.at_risk) == ("completed", 0)
    world.server.faults.clear()
    assert world.session.show(told.call_id).path.stat().st_size > 0
    assert world.charged == world.booked == 1
    assert world.posts() == 1


def test_several_calls_that_are_stopped_each_have_their_row(world_of):
    world = world_of(time_scale=0.02)
    handle = start(world, "luma-ray2-flash", count=3)
    accepted = 0
    for event in handle.events():
        accepted += isinstance(event, Accepted)
        if accepted == 3:
            break
    handle.stop()
    told = [event for event in handle.events() if isinstance(event, Stopped)]

    assert sorted(event.index for event in told) == [0, 1, 2]
    assert {event.status for event in told} == {"pending"}
    assert len(world.session.resume()) == 3
    assert world.booked == world.charged


def test_a_job_that_takes_too_long_is_told_with_its_price_and_goes_on(world_of):
    world = world_of(time_scale=0.1)  # two seconds and more
    world.session = world.new_session(job_timeout_s=0.5)

    with pytest.raises(el.JobTimedOut) as caught:
        world.buy("luma-ray2-flash", max_price=500)

    assert caught.value.spent == "maybe"
    assert caught.value.tokens == world.session.jobs().loc[caught.value.call_id, "held"]
    world.session = world.new_session()
    (result,) = world.session.resume()
    assert result.tokens == world.charged == world.booked


def test_several_calls_that_wait_for_their_answers_are_unknown_until_the_history_tells(world):
    world.session.price(Ask(model="gpt-5"))
    world.server.fault("slow", path="/generate", method="POST", seconds=1.5, times=2)
    handle = start(world, "gpt-5", count=2)
    sent = 0
    for event in handle.events():
        sent += isinstance(event, Sent)
        if sent == 2:
            break
    handle.stop()
    told = [event for event in handle.events() if isinstance(event, Stopped)]

    assert sorted((event.index, event.status, event.at_risk) for event in told) == [
        (0, "unknown", 2),
        (1, "unknown", 2),
    ]
    until(lambda: [row["status"] for row in world.history] == ["completed"] * 2, "both completed at the server")
    world.settle()
    assert statuses(world) == ["completed"] * 2
    assert world.booked == world.charged == 4
    assert world.posts() == 2


class Dawdling(Store):
    """A disk that takes a second for each result."""

    def begin(self, call: Any, api: str, known: str = "") -> Any:
        draft = super().begin(call, api, known)
        commit = draft.commit

        def slowly(*args: Any, **facts: Any) -> Any:
            time.sleep(1)
            return commit(*args, **facts)

        draft.commit = slowly
        return draft


def test_results_that_are_being_stored_when_they_are_stopped_are_stored_once(world):
    services = world.session.services()
    engine = Engine(
        replace(
            services, store=Dawdling(services.store.folder, fallback=services.store.folder, base=services.store.base)
        )
    )
    orders = world.session.orders(Ask(model="gpt-5", prompt="hello", reuse="all", count=2), Origin(source="python"))
    handle = runtime.submit(lambda emit: engine.execute(orders, max_price=500, confirm_above=0, emit=emit))
    until(lambda: world.charged and statuses(world) == ["completed"] * 2, "both were charged")
    handle.stop()
    list(handle.events())
    until(lambda: not services.background, "what goes on behind the cell")

    kept = [services.store.of_call(order.call_id, services.api) for order in orders]
    assert all(kept)
    assert len(list(services.store.folder.glob("*.json"))) == 2
    assert world.charged == world.booked == 4
