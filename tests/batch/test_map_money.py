"""Each row is paid once and no budget is overrun, whatever happens to the map: failures, limits, interrupts, other kernels."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest

from elumenta_nb import _errors as e
from elumenta_nb._values import Ask, Origin


def test_a_map_run_again_costs_nothing_also_in_a_new_kernel(world, goods_of):
    first = world.map(goods_of(6))
    world.session = world.new_session()

    again = world.map(goods_of(6))

    assert again["result"].equals(first["result"])
    assert again["call_id"].equals(first["call_id"])
    assert again["tokens"].sum() == 0
    assert world.charged == world.booked == world.taken == 6


def test_a_row_that_a_cell_bought_is_not_bought_again_and_the_other_way_round(world, goods_of):
    cell = Origin(source="magic", cell_id="c", source_hash="s", run="1")
    (bought,) = world.session.run(Ask(model="gpt-5-nano", prompt="mug 0: one line", reuse="all"), cell)

    made = world.map(goods_of(2))
    (restored,) = world.session.run(Ask(model="gpt-5-nano", prompt="mug 1: one line", reuse="all"), cell)

    assert made["result"]["k0"] == bought.text
    assert restored.reused
    assert restored.text == made["result"]["k1"]
    assert world.charged == world.taken == 2


@pytest.mark.parametrize("concurrency", [1, 40])
def test_a_budget_is_never_exceeded_by_rows_at_once_and_is_over_all_runs(world, goods_of, concurrency):
    made = world.map(goods_of(40), budget=13, concurrency=concurrency)

    counts = made["status"].value_counts()
    assert (counts["completed"], counts["not bought"]) == (13, 27)
    assert world.charged == world.booked == 13
    said = made.loc[made["status"] == "not bought", "error"].iloc[0]
    assert "is 13 tokens: 13 spent" in said
    assert "Run the map again with a larger budget" in said
    more = world.map(goods_of(40), budget=20, concurrency=concurrency)
    assert more["status"].value_counts()["completed"] == 20
    assert world.charged == world.booked == 20
    kept = world.map(goods_of(40), concurrency=concurrency)
    assert kept["tokens"].sum() == 0, "the budget is kept: a run without one does not spend more"


def test_a_row_that_fails_gives_its_tokens_back_to_the_budget(world, goods_of):
    world.server.control("fail", "next", "5", "not today")

    made = world.map(goods_of(12), budget=7, concurrency=12)

    assert made["status"].value_counts()["failed"] == 5
    assert made["status"].value_counts()["completed"] == 7
    assert world.charged == 7


def test_the_budgets_of_the_ledger_hold_too(world, goods_of):
    world.session.budget(4, per="day")

    made = world.map(goods_of(9), budget=50)

    assert made["status"].value_counts()["completed"] == world.charged == 4
    assert "today" in made.loc[made["status"] == "not bought", "error"].iloc[0]


def test_rows_that_fail_keep_their_place_and_reason_and_are_tried_again(world, goods_of):
    world.server.fault("fail", path="/generate", after=2, times=2, reason="Provider error: policy")
    world.server.fault("status", path="/generate", after=3, code=422)  # of those the first fault leaves

    made = world.map(goods_of(10), concurrency=1)

    assert list(made.index[made["status"] == "failed"]) == ["k2", "k3", "k5"]
    assert made["error"]["k2"].startswith("GenerationFailed: gpt-5-nano failed, not charged: Provider error: policy")
    assert made["error"]["k5"].startswith("Rejected")
    assert made["tokens"]["k2"] == 0
    assert made["result"].isna().sum() == 3
    again = world.map(goods_of(10))
    assert (again["status"] == "completed").all()
    assert again["tokens"].sum() == 3
    assert world.charged == world.booked == 10


def test_on_error_raise_stops_at_the_first_and_keeps_what_is_done(world, goods_of):
    world.server.fault("fail", path="/generate", after=3, reason="Provider error: policy")

    with pytest.raises(e.GenerationFailed, match="policy") as failed:
        world.map(goods_of(10), concurrency=1, on_error="raise")

    kept = world.session.last_map.frame
    assert list(kept["status"][:5]) == ["completed", "completed", "completed", "failed", "not bought"]
    assert "el.last_map.frame" in failed.value.hint
    assert world.charged == 3


@pytest.mark.parametrize(("code", "kind"), [(401, "AuthFailed"), (402, "InsufficientTokens"), (403, "PlanRequired")])
def test_what_hits_every_row_stops_the_map(world, goods_of, code, kind):
    world.server.fault("status", path="/generate", after=4, times=500, code=code)

    made = world.map(goods_of(60), concurrency=2)

    assert made["status"].value_counts()["completed"] == 4
    assert 1 <= made["status"].value_counts()["failed"] <= 2
    assert made["error"].dropna().iloc[0].startswith(kind)
    assert world.session.last_map.stopped
    assert made.loc[made["status"] == "not bought", "error"].iloc[0] == world.session.last_map.stopped
    assert len([seen for seen in world.server.seen if seen.path.endswith("/generate")]) <= 6


def test_a_server_that_fails_every_call_is_not_asked_ten_thousand_times(world, goods_of):
    world.server.fault("status", path="/generate", times=5000, code=500)

    made = world.map(goods_of(200), concurrency=4)

    assert made["status"].value_counts()["unknown"] < 40, "each may have been charged"
    assert made["status"].value_counts()["not bought"] > 160
    assert "calls in a row failed" in world.session.last_map.stopped


def test_a_storm_of_refusals_is_waited_out_and_every_row_is_bought_once(world, goods_of):
    world.server.fault("ratelimit", path="/generate", after=3, times=9, retry_after=1)

    made = world.map(goods_of(30), concurrency=8)

    assert (made["status"] == "completed").all()
    assert world.charged == world.taken == world.booked == 30
    assert world.session.last_map._runner.gate.width < 8


def test_the_last_requests_of_the_hour_are_not_overrun(world_of, goods_of):
    clock = itertools.count()
    shift = [0.0]
    world = world_of(clock=lambda: time.time() + shift[0])
    world.server.control("limit", "6")
    done = threading.Event()

    def hour_passes() -> None:
        while not done.wait(0.05):
            runner = getattr(world.session.last_map, "_runner", None)
            if runner is not None and runner.gate.waits_s > 60:
                shift[0] = 3600.0  # the server's clock: the hour is over there
                world.session.services().client._line.limits = type(world.session.limits)()
                runner.gate.opens_at = None
                runner.gate._again()
                return

    watching = threading.Thread(target=hour_passes)
    watching.start()
    made = world.map(goods_of(11), concurrency=4)
    done.set()
    watching.join()

    refused = [seen for seen in world.server.seen if seen.path.endswith("/generate")]
    assert (made["status"] == "completed").all()
    assert len(refused) == 11, "none was sent that the server had said it would refuse"
    assert next(clock) == 0


def test_an_interrupt_keeps_what_is_done_and_brings_home_what_was_sent(world_of, goods_of):
    world = world_of(time_scale=0.05)
    frame = goods_of(60)

    def press() -> None:
        while world.session.last_map is None or world.session.last_map._prepared.sheet.done < 8:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    pressing = threading.Thread(target=press)
    pressing.start()
    with pytest.raises(KeyboardInterrupt):
        world.map(frame, concurrency=4)
    pressing.join()
    began = time.monotonic()
    kept = world.session.last_map.frame
    assert kept["status"].value_counts()["completed"] >= 8
    assert set(kept["status"].unique()) <= {"completed", "waiting", "not bought"}
    assert world.session.last_map.stopped == "stopped by you"

    again = world.map(frame, concurrency=4)

    assert time.monotonic() - began < 30
    assert (again["status"] == "completed").all()
    assert set(world.bought.values()) == {1}
    assert world.charged == world.booked == world.taken == 60


def test_what_was_paid_and_never_stored_is_fetched_and_not_bought(world, goods_of):
    world.map(goods_of(5))
    for path in (world.home / "elumenta_media").glob("texts-*"):
        path.unlink()
    world.session = world.new_session()

    plan = world.map(goods_of(6), dry_run=True)
    made = world.map(goods_of(6))

    assert (plan.paid, plan.to_buy) == (5, 1)
    assert (made["status"] == "completed").all()
    assert made["tokens"].sum() == 1
    assert world.charged == world.taken == 6
    assert world.map(goods_of(6), dry_run=True).stored == 6


def test_a_line_that_was_torn_costs_a_fetch_and_damage_is_told(world, goods_of):
    world.map(goods_of(5), concurrency=1)
    (path,) = (world.home / "elumenta_media").glob("texts-*")
    lines = path.read_bytes().splitlines(keepends=True)
    spoilt = lines[1].replace(b"mug 1", b"mug 7")
    path.write_bytes(b"".join([lines[0], spoilt, *lines[2:4], lines[4][:-40]]))
    world.session = world.new_session()

    plan = world.map(goods_of(5), dry_run=True)
    made = world.map(goods_of(5))

    assert (plan.stored, plan.paid, plan.to_buy) == (3, 2, 0)
    assert (made["status"] == "completed").all()
    assert world.charged == world.taken == 5
    assert path in world.session.services().store.damaged


def test_only_what_is_stored_is_shown_where_nothing_may_be_sent(world, goods_of):
    world.map(goods_of(3))
    world.session.close()  # its questions about the balance go on behind
    asked = len(world.server.seen)
    world.session = world.new_session(reuse="only", api_key=None)

    made = world.map(goods_of(4))

    assert list(made["status"]) == ["completed"] * 3 + ["not bought"]
    assert len(world.server.seen) == asked


def test_a_lost_answer_is_looked_up_and_not_bought_again(world, goods_of):
    world.server.fault("drop_after", path="/generate", after=2, times=2)

    made = world.map(goods_of(8), concurrency=2)

    assert (made["status"] == "completed").all()
    assert world.charged == world.taken == world.booked == 8


KERNEL = """
import asyncio, os, sys, threading
import pandas as pd
from pathlib import Path
from elumenta_nb._session import Session
class Impatient(Session):
    grace_s = 2.0
home, url, key, n, concurrency = sys.argv[1:6]
session = Impatient(api_key=key, base_url=url, home=Path(home), confirm_above=0)
session.start_in(Path(home))
frame = pd.DataFrame({"title": [f"mug {i}" for i in range(int(n))]})
if len(sys.argv) > 6:
    def die():
        while session.last_map is None or session.last_map._prepared.sheet.done < int(sys.argv[6]):
            threading.Event().wait(0.002)
        os.kill(os.getpid(), 9)
    threading.Thread(target=die, daemon=True).start()
made = session.map(frame, "{{title}}: one line", model="gpt-5-nano", concurrency=int(concurrency), budget=int(n))
counts = made["status"].value_counts()
print(counts["completed"], len(made), int(made["tokens"].sum()))
session.close()
"""


def kernel(world, n: int, concurrency: int, *more: int) -> "subprocess.Popen[str]":
    words = [str(world.home), world.server.url, world.server.api_key, str(n), str(concurrency), *map(str, more)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), os.environ["PYTHONPATH"]])}
    return subprocess.Popen(
        [sys.executable, "-c", KERNEL, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )


@pytest.mark.slow
@pytest.mark.parametrize("dialect", ["a"], indirect=True)
def test_two_kernels_that_map_the_same_at_once_buy_each_row_once(world_of):
    world = world_of(time_scale=0.01)
    runs = [kernel(world, 150, 8), kernel(world, 150, 8)]

    told = [run.communicate(timeout=120) for run in runs]

    assert [out.split()[:2] for out, _err in told] == [["150", "150"]] * 2, told
    assert sum(int(out.split()[2]) for out, _err in told) == 150
    assert set(world.bought.values()) == {1}
    assert world.charged == world.booked == world.taken == 150


@pytest.mark.slow
@pytest.mark.parametrize("dialect", ["a", "b"], indirect=True)
def test_a_map_that_is_killed_five_times_ends_with_each_row_bought_once(world_of):
    world = world_of(time_scale=0.02, balance=2000)
    n, kills = 1000 if world.server.account.balance == 2000 else 0, 0
    for dies_at in (60, 150, 40, 300, 120):
        run = kernel(world, n, 32, dies_at)
        run.communicate(timeout=100)
        kills += run.returncode == -signal.SIGKILL
    time.sleep(2.2)

    out, err = kernel(world, n, 32).communicate(timeout=150)

    assert kills == 5
    assert out.split()[:2] == ["1000", "1000"], (out, err)
    assert len(world.bought) == 1000
    assert set(world.bought.values()) == {1}
    assert world.charged == world.booked == 1000
    assert world.session.ledger().open_calls() == []


def test_a_text_of_a_map_is_found_by_everything_that_finds_takes(world, goods_of):
    made = world.map(goods_of(3))
    store = world.session.services().store

    call_id = int(made["call_id"]["k1"])
    assert world.session.show(call_id).text == made["result"]["k1"]
    assert store.of_call(call_id, world.session.api_name()).text == made["result"]["k1"]
    assert len(store.takes()) == 3
    assert store.take(store.takes()[0].id) == store.takes()[0]
    assert len(list((world.home / "elumenta_media").glob("texts-gpt-5-nano-*"))) == 1
    assert isinstance(made, pd.DataFrame)
