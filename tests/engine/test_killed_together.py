"""Equal calls of one killed kernel: one recover brings all of them, and takes nothing from a call that may live."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import worlds

import elumenta_nb as el
from elumenta_nb._buying import KERNEL
from elumenta_nb._ledger import Intent, Ledger, Settlement
from elumenta_nb._order import hash_prompt
from elumenta_nb._session import Session
from elumenta_nb._values import Ask, Call, Origin

KILLED = """
import sys
from elumenta_nb._session import Session
from elumenta_nb._values import Ask, Origin

key, url, home = sys.argv[1:]
origin = Origin(source="magic", cell_id="c1", source_hash="s1", run="r1")
Session(api_key=key, base_url=url, home=home).run(Ask(model="gpt-5", prompt="hi", count=3, reuse="all"), origin)
"""


class Later(worlds.QuickSession):
    """A kernel of an hour later: every lease is over."""

    def ledger(self) -> Ledger:
        with self._lock:
            if self._ledger is None:
                self._ledger = Ledger(self._settings.ledger(), clock=lambda: time.time() + 3600)
            return self._ledger


class Counting(worlds.QuickSession):
    """Notes how long it waits."""

    slept: ClassVar[list[float]] = []

    @staticmethod
    async def sleep(seconds: float) -> None:
        Counting.slept.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def session_of(world) -> Iterator[Callable[[type[Session]], Any]]:
    made: list[Session] = []

    def make(kind: type[Session]) -> Session:
        made.append(kind(api_key=world.server.api_key, base_url=world.server.url, home=world.home))
        return made[-1]

    yield make
    for session in made:
        session.close()


def reserved(
    world: Any,
    count: int = 1,
    *,
    kernel: str = "dead",
    run: str = "r1",
    source: Any = "magic",
    cell_id: str = "c1",
    source_hash: str = "s1",
    **params: Any,
) -> list[int]:
    """Rows as a kernel leaves them that is killed, or waits, while its equal calls are under way; their numbers."""
    session = world.session
    services = session.services()
    origin = Origin(source=source, cell_id=cell_id, source_hash=source_hash, run=run, kernel=kernel)
    call = Call(category="text", model="gpt-5", prompt="hi", params=params, origin=origin, reuse="all")
    intent = Intent(
        account=session.account_name(), api=services.api, category="text", model="gpt-5", quoted=2, held=2,
        params=params, prompt_hash=hash_prompt("hi"), prompt_chars=2, origin=origin, folder=str(services.store.folder),
        fingerprint=services.store.fingerprint(call, services.api), lease_s=1800,
    )  # fmt: skip
    return session.ledger().reserve([intent] * count)


def left_by_script(world: Any, *, kernel: str) -> int:
    """A row of a script, which has no cells."""
    (id_,) = reserved(world, kernel=kernel, run="", source="python", cell_id="", source_hash="")
    return id_


def made(world: Any, count: int) -> list[Any]:
    """What the server makes of calls of which our ledger has the rows only."""
    apart = world.new_session(home=world.home.with_name("apart"))
    bought = apart.run(Ask(model="gpt-5", prompt="hi", count=count), Origin(source="python"))
    return [result.generation_id for result in bought]


def states(world: Any, ids: list[int]) -> list[str]:
    return [world.session.ledger().call(id_).status for id_ in ids]


@pytest.mark.slow
def test_one_recover_brings_three_equal_calls_of_a_kernel_that_was_killed(world, tmp_path):
    world.server.fault("slow", path="/generate", method="POST", seconds=2, times=3)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ELUMENTA_")}
    environment["PYTHONPATH"] = str(Path(el.__file__).parents[1])
    facts = [world.server.api_key, world.server.url, str(world.home)]
    kernel = subprocess.Popen([sys.executable, "-c", KILLED, *facts], cwd=tmp_path, env=environment)
    try:
        worlds.until(lambda: world.posts("/generate") == 3, 60)
        time.sleep(0.3)
    finally:
        kernel.kill()
        kernel.wait()
    worlds.until(lambda: world.charged == 6)

    changed = world.session.reconcile()

    assert list(changed["status"]) == ["completed"] * 3
    assert world.booked == world.charged == 6
    assert world.session.jobs().empty


def test_one_recover_brings_all_equal_calls_of_one_run(world):
    ids = reserved(world, 3)
    made(world, 3)

    results = world.session.resume()

    assert [result.id for result in results] == ids
    assert len({result.generation_id for result in results}) == 3
    assert world.booked == world.charged == 6
    assert world.session.ledger().check() == []


def test_what_the_refused_cell_says_is_true(world):
    """It names one of its calls: recovered, the cell has all of its results, and nothing is bought."""
    ids = reserved(world, 3)
    made(world, 3)
    cell = {"count": 3, "reuse": "all", "origin": Origin(source="magic", cell_id="c1", source_hash="s1", run="r2")}
    with pytest.raises(el.OutcomeUnknown) as caught:
        world.buy("gpt-5", "hi", **cell)
    assert f"%elumenta recover {ids[0]}" in caught.value.hint

    (result,) = world.session.resume(ids[0])
    assert result.id == ids[0]
    results = world.buy("gpt-5", "hi", **cell)

    assert len({result.generation_id for result in results}) == 3
    assert world.booked == world.charged == 6
    assert world.session.jobs().empty


def test_calls_of_one_run_that_were_not_all_made_are_found_as_far_as_they_were(world, session_of):
    ids = reserved(world, 3)
    made(world, 2)

    with pytest.raises(el.OutcomeUnknown):
        world.session.resume()
    assert states(world, ids) == ["completed", "completed", "reserved"]

    session_of(Later).reconcile()
    assert states(world, ids) == ["completed", "completed", "failed"]
    assert world.booked == world.charged == 4


def test_calls_that_are_not_found_are_waited_for_together(world, session_of):
    reserved(world, 4)
    Counting.slept.clear()

    session_of(Counting).reconcile()

    assert sum(Counting.slept) < 8, "five looks for all of them"


@pytest.mark.parametrize("kernel", ["alive", pytest.param(KERNEL, id="this one")])
def test_a_generation_of_a_call_that_may_be_under_way_is_nobody_elses(world, session_of, kernel):
    (dead,) = reserved(world)
    (alive,) = reserved(world, kernel=kernel, run="r2")
    (generation,) = made(world, 1)

    for _look in range(3):
        with pytest.raises(el.OutcomeUnknown, match=f"call {alive} asked for the same") as caught:
            world.session.resume(dead)
        assert f"%elumenta recover {dead}" in caught.value.hint
        world.session.reconcile()
        assert states(world, [dead, alive]) == ["reserved", "reserved"]
    world.session.ledger().settle([Settlement(call_id=alive, tokens=2, generation_id=generation)])

    session_of(Later).reconcile()
    assert states(world, [dead, alive]) == ["failed", "completed"]
    assert world.session.ledger().call(alive).generation_id == generation
    assert world.booked == world.charged == 2


def test_calls_of_this_kernel_wait_for_each_other(world):
    """They are under way here: each is told its own generation."""
    ids = reserved(world, 2, kernel=KERNEL)
    made(world, 1)

    world.session.reconcile()

    assert states(world, ids) == ["reserved", "reserved"]


def test_a_call_that_waited_for_another_run_is_found_when_the_lease_of_that_is_over(world, session_of):
    ids = [*reserved(world), *reserved(world, run="r2")]
    made(world, 2)
    world.session.reconcile()
    assert states(world, ids) == ["reserved", "reserved"]

    session_of(Later).reconcile()

    assert states(world, ids) == ["completed", "completed"]
    assert world.booked == world.charged == 4


def test_what_a_living_kernel_is_told_stands_above_what_recover_found(world):
    """Recovered while they are under way, two equal calls may have each other's generation until they are told."""
    first, second = reserved(world, 2, kernel="alive")
    one, two = made(world, 2)
    world.session.reconcile()
    ledger = world.session.ledger()

    ledger.settle([Settlement(call_id=first, tokens=2, generation_id=two)])
    ledger.settle([Settlement(call_id=second, tokens=2, generation_id=one)])

    assert world.booked == world.charged == 4
    assert ledger.open_calls() == []
    assert ledger.check() == []


def test_a_call_that_is_told_its_generation_while_recover_looks_is_not_called_lost(world, session_of):
    (alive,) = reserved(world, kernel="alive")
    services = world.session.services()
    (generation,) = made(world, 1)
    world.server.fault("garbage", body='{"items": [], "total": 0}', path="/user/history", times=1000)

    class Told(worlds.QuickSession):
        @staticmethod
        async def sleep(seconds: float) -> None:
            if seconds == 4:
                services.ledger.settle([Settlement(call_id=alive, tokens=2, generation_id=generation)])

    (result,) = session_of(Told).resume(alive)

    assert result.generation_id == generation
    assert world.booked == world.charged == 2


# ---------------------------------------------------------------- scripts


@pytest.mark.parametrize("kernel", ["dead", pytest.param(KERNEL, id="this one")])
def test_a_script_that_reuses_does_not_buy_what_was_lost_a_moment_ago(world, kernel):
    id_ = left_by_script(world, kernel=kernel)
    world.session.ledger().doubt([(id_, "the connection was lost")])
    (generation,) = made(world, 1)

    (result,) = world.buy("gpt-5", "hi", reuse="all")

    assert (result.id, result.generation_id) == (id_, generation)
    assert world.booked == world.charged == 2


def test_a_script_that_reuses_waits_for_what_another_process_waits_for(world):
    id_ = left_by_script(world, kernel="dead")
    (generation,) = made(world, 1)
    world.session.ledger().accept([(id_, generation)])

    (result,) = world.buy("gpt-5", "hi", reuse="all")

    assert (result.id, result.generation_id) == (id_, generation)
    assert world.booked == world.charged == 2


@pytest.mark.parametrize(("kernel", "reuse"), [pytest.param(KERNEL, "all", id="this one-all"), ("dead", "off")])
def test_a_script_buys_each_call_that_it_makes_side_by_side_and_each_without_reuse(world, kernel, reuse):
    id_ = left_by_script(world, kernel=kernel)
    world.session.ledger().accept([(id_, "4711")])

    (result,) = world.buy("gpt-5", "hi", reuse=reuse)

    assert result.id != id_
    assert world.charged == 2
