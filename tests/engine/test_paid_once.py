"""The same cell is paid once: restored on a re-run, joined while its job is open, bought anew only when asked."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time

import pytest

import elumenta_nb as el
from elumenta_nb._render import receipt_line
from elumenta_nb._values import Ask, Origin

runs = itertools.count()


def cell(name: str = "c1", source: str = "s1", **more) -> Origin:
    """A run of a cell; every run has a name of its own."""
    return Origin(source="magic", cell_id=name, source_hash=source, notebook="n.ipynb@1", run=f"r{next(runs)}", **more)


@pytest.mark.parametrize("model", ["gpt-5", "photon-flash"])
def test_a_cell_run_again_is_restored_for_nothing(world, model):
    (bought,) = world.buy(model, origin=cell())

    (again,) = world.buy(model, origin=cell())

    assert again.reused
    assert again.tokens == 0
    assert (again.text, again.path) == (bought.text, bought.path)
    assert world.posts() == 1
    assert world.booked == world.charged == bought.tokens
    assert again.receipt.paid_before == bought.tokens


def test_a_new_kernel_and_a_front_end_without_cell_ids_restore_too(world):
    world.buy("gpt-5", origin=cell("c1", "s1"))

    world.session = world.new_session()
    (again,) = world.buy("gpt-5", origin=cell("", "s1"))

    assert again.reused
    assert world.posts() == 1


def test_five_equal_calls_of_one_run_buy_five_and_are_restored_as_five(world):
    first, second = cell(), cell()

    bought = [world.buy("gpt-5", origin=first)[0] for _ in range(5)]
    again = [world.buy("gpt-5", origin=second)[0] for _ in range(5)]

    assert world.charged == world.booked == 10
    assert [result.reused for result in again] == [True] * 5
    assert {result.generation_id for result in again} == {result.generation_id for result in bought}


def test_count_is_restored_as_many(world):
    bought = world.buy("gpt-5", origin=cell(), count=3)
    again = world.buy("gpt-5", origin=cell(), count=3)

    assert world.charged == 6
    assert [result.generation_id for result in again] == [result.generation_id for result in bought]
    assert sum(result.tokens for result in again) == 0


def test_fresh_buys_exactly_one_and_becomes_the_one_shown(world):
    (old,) = world.buy("gpt-5", origin=cell())
    (new,) = world.buy("gpt-5", origin=cell(), fresh=True)
    (shown,) = world.buy("gpt-5", origin=cell())

    assert world.charged == 4
    assert new.generation_id != old.generation_id
    assert shown.generation_id == new.generation_id
    assert shown.tokens == 0


@pytest.mark.parametrize(("policy", "paid"), [("all", 2 + 1), ("media", 4 + 1), ("off", 4 + 2)])
def test_policies_say_what_is_restored(world, policy, paid):
    for _ in range(2):
        world.buy("gpt-5", origin=cell("t"), reuse=policy)
        world.buy("photon-flash", origin=cell("i"), reuse=policy)

    assert world.charged == world.booked == paid


def test_another_prompt_or_parameter_is_another_call(world):
    world.buy("gpt-5", "one", origin=cell())
    world.buy("gpt-5", "two", origin=cell())
    world.buy("gpt-5", "two", origin=cell(), options={"temperature": 0.1})

    assert world.posts() == 3


def test_python_calls_are_not_restored_unless_asked(world):
    world.buy("gpt-5")
    world.buy("gpt-5")
    assert world.charged == 4

    world.buy("gpt-5", reuse="all")
    world.buy("gpt-5", reuse="all")
    assert world.charged == 6


def test_a_receipt_says_how_this_surface_buys_another(world):
    world.buy("gpt-5", origin=cell())

    (magic,) = world.buy("gpt-5", origin=cell())
    (python,) = world.buy("gpt-5", reuse="all")
    (only,) = world.buy("gpt-5", origin=cell(), reuse="only")

    assert receipt_line(magic.receipt).endswith("· new one: --fresh")
    assert receipt_line(python.receipt).endswith('· new one: reuse="off"')
    assert "new one" not in receipt_line(only.receipt)


def test_with_only_nothing_is_ever_sent(world):
    world.buy("gpt-5", origin=cell())
    world.server.seen.clear()
    offline = world.new_session(api_key=None, base_url="http://127.0.0.1:9", reuse="only")

    (again,) = offline.run(Ask(model="gpt-5", prompt="a quiet harbour"), cell("", "s1"))
    with pytest.raises(el.NotStored) as caught:
        offline.run(Ask(model="gpt-5", prompt="another harbour"), cell("", "s2"))

    assert again.reused
    assert caught.value.spent == "no"
    assert not world.server.seen
    assert "new one" not in receipt_line(again.receipt), "nothing can be bought here"


def test_a_sandbox_take_never_fills_a_live_call(world, tmp_path):
    sandbox = world.new_session(mode="sandbox", home=tmp_path / "other")
    (played,) = sandbox.run(Ask(model="gpt-5", prompt="a quiet harbour"), cell())

    (real,) = world.buy("gpt-5", origin=cell())

    assert played.sandbox
    assert not real.reused
    assert not real.sandbox
    assert world.charged == 2


def test_a_damaged_take_is_not_shown_but_fetched_again_for_nothing(world):
    (bought,) = world.buy("photon-flash", origin=cell())
    whole = bought.path.read_bytes()
    bought.path.write_bytes(whole[:-1] + b"!")

    (again,) = world.buy("photon-flash", origin=cell())

    assert again.path != bought.path
    assert again.path.read_bytes() == whole
    assert world.posts() == 1
    assert world.charged == world.booked == 1


KILLED = """
import sys, threading, os, time
from elumenta_nb._session import Session
from elumenta_nb._values import Ask, Origin, Accepted, Sent
session = Session(api_key=sys.argv[1], base_url=sys.argv[2], home=sys.argv[3])
def view(event):
    if isinstance(event, Accepted):
        print("accepted", flush=True)
        os.kill(os.getpid(), 9)
view.tick = lambda: None
session.run(Ask(model="luma-ray2-flash", prompt="a wave"),
            Origin(source="magic", cell_id="v", source_hash="v", run="old"), view)
"""


def test_a_job_survives_kill_9_and_comes_back_with_one_line(world):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, world.server.api_key, world.server.url, str(world.home)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "accepted\n", done.stderr
    time.sleep(0.3)

    world.session = world.new_session()
    (found,) = world.session.resume()

    assert found.path.stat().st_size > 0
    assert world.charged == world.booked == found.tokens == 26
    (again,) = world.buy("luma-ray2-flash", "a wave", origin=cell("v", "v"))
    assert again.reused, "the cell that was killed finds its result"
    assert world.posts() == 1


CUT_OFF = (
    KILLED.replace("Accepted", "Sent")
    .replace("os.kill(", "time.sleep(0.5); os.kill(")
    .replace("luma-ray2-flash", "photon-flash")
)


def test_a_cell_whose_kernel_was_killed_before_any_answer_is_not_bought_again(world):
    """A picture is answered when it is done: until then the kernel knows no id, and the ledger only the intent."""
    world.server.fault("slow", path="/generate", method="POST", seconds=2.0)
    subprocess.run(
        [sys.executable, "-c", CUT_OFF, world.server.api_key, world.server.url, str(world.home)],
        capture_output=True,
        timeout=60,
    )

    world.session = world.new_session()
    (joined,) = world.buy("photon-flash", "a wave", origin=cell("v", "v"))

    assert joined.path.stat().st_size > 0
    assert world.posts() == 1
    assert world.charged == world.booked == 1
    assert world.session.jobs().empty


def test_a_cell_whose_call_nobody_knows_is_bought_again_only_on_purpose(world):
    world.server.fault("drop_before", path="/generate", method="POST")
    with pytest.raises(el.OutcomeUnknown):
        world.buy("gpt-5", origin=cell())

    with pytest.raises(el.OutcomeUnknown, match="earlier run of this cell") as caught:
        world.buy("gpt-5", origin=cell())

    assert "--fresh" in caught.value.hint
    assert world.posts() == 1
    (bought,) = world.buy("gpt-5", origin=cell(), fresh=True)
    assert world.charged == world.booked == bought.tokens == 2
    (again,) = world.buy("gpt-5", origin=cell())
    assert again.reused


def test_a_cell_run_again_while_its_job_is_open_joins_it(world):
    subprocess.run(
        [sys.executable, "-c", KILLED, world.server.api_key, world.server.url, str(world.home)],
        capture_output=True,
        timeout=60,
    )

    world.session = world.new_session()
    (joined,) = world.buy("luma-ray2-flash", "a wave", origin=cell("v", "v"))

    assert joined.path.stat().st_size > 0
    assert world.posts() == 1
    assert world.charged == world.booked == 26


def test_a_background_cell_run_again_waits_with_it_and_stores_one_result(world):
    ask = Ask(model="luma-ray2-flash", prompt="a wave", reuse="all")
    first = world.session.start(ask, cell("b", "b"))
    while world.session.jobs().empty or world.session.jobs()["generation_id"].isna().any():
        time.sleep(0.02)

    (second,) = world.session.run(ask, cell("b", "b"))

    assert first.result(timeout=20)[0].generation_id == second.generation_id
    assert world.posts() == 1
    assert world.booked == world.charged == 26
    assert len(world.session.services().store.takes()) == 1
