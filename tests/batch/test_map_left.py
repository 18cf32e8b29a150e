"""What a stopped map says of rows that did not end in time: what is true of each, so that nobody has to look it up."""

from __future__ import annotations

import shutil
import time
from typing import Any

import pytest
import worlds

from elumenta_nb._batch._map import Map, prepare, run_map
from elumenta_nb._batch._runner import Done, Runner
from elumenta_nb._batch._spec import Spec
from elumenta_nb._wiring import runtime


def stopped_map(world: Any, frame: Any, ready: Any, **spec: Any) -> dict[int, Done]:
    """What it told of each row; it is stopped when `ready` says so, and waits half a second for what is under way."""
    prepared = prepare(world.session, frame, Spec(template="{{title}}", **spec), budget=None, concurrency=2)
    told: dict[int, Done] = {}
    runner = Runner(
        prepared.services, prepared.weighed.account, prepared.tasks(), lambda done: told.update({done.number: done}),
        concurrency=2, drain_s=0.5,
    )  # fmt: skip
    running = runtime.submit(lambda _emit: runner.run())
    worlds.until(ready)
    runner.stop("enough")
    running.result(30)
    return told


@pytest.mark.slow
def test_jobs_that_go_on_at_the_server_are_pending_under_their_numbers(world_of, goods_of):
    world = world_of(time_scale=0.2)
    told = stopped_map(
        world, goods_of(2), lambda: list(world.session.jobs()["status"]) == ["pending"] * 2,
        model="luma-ray2-flash", options={"duration": 5},
    )  # fmt: skip

    assert [done.status for done in told.values()] == ["pending"] * 2
    assert sorted(done.call_id for done in told.values()) == list(world.session.jobs().index)
    assert len(world.session.resume()) == 2
    assert world.booked == world.charged > 0


@pytest.mark.slow
def test_rows_without_an_answer_are_unknown_and_those_that_waited_for_room_in_a_budget_not_bought(world_of, goods_of):
    world = world_of()
    world.session.budget(1, per="day")
    world.server.fault("slow", path="/generate", method="POST", seconds=6, times=2)
    told = stopped_map(world, goods_of(2), lambda: world.taken == 1 and time.sleep(0.5) is None, model="gpt-5-nano")

    assert sorted(done.status for done in told.values()) == ["not bought", "unknown"]
    (unknown,) = [done for done in told.values() if done.status == "unknown"]
    assert list(world.session.jobs().index) == [unknown.call_id]


def test_a_row_whose_stored_result_went_away_after_the_plan_says_so_and_the_next_run_brings_it(world_of, goods_of):
    world, frame = world_of(), goods_of(2)
    world.session.map(frame, "{{title}}", model="gpt-5-nano", budget=10)
    made = Map(
        prepare(
            world.session,
            frame,
            Spec(template="{{title}}", model="gpt-5-nano", reuse="all"),
            budget=None,
            concurrency=2,
        )
    )
    shutil.rmtree(world.session.services().store.folder)
    run_map(made, budget=None, concurrency=2, on_error="keep", progress=False)

    assert set(made.frame["status"]) == {"not bought"}
    assert set(made.frame["error"]) == {"its stored result went away since the plan was made: run it again"}
    assert world.charged == 2
    again = world.session.map(frame, "{{title}}", model="gpt-5-nano", budget=10)
    assert set(again["status"]) == {"completed"}
