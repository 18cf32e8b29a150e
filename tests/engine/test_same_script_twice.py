"""A script that asks with ``reuse="all"`` for what another process asks for at this moment, or died while it did."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, ClassVar

import pytest
import worlds

import elumenta_nb as el
from elumenta_nb._buying import KERNEL
from elumenta_nb._ledger import Intent, Release
from elumenta_nb._order import hash_prompt
from elumenta_nb._values import Ask, Call, Origin

SCRIPT = """
import sys
import elumenta_nb as el

key, url, home = sys.argv[1:]
session = el.Session(api_key=key, base_url=url, home=home)
result = session.generate("gpt-5", "hi", reuse="all")
sys.stdout.write(f"{result.id} {result.tokens} {result.reused}")
"""


def asked(world: Any, *, kernel: str = "another", cell_id: str = "", lease_s: float = 900) -> int:
    """The row of a call whose request is under way."""
    session = world.session
    services = session.services()
    origin = Origin(source="python", kernel=kernel, cell_id=cell_id)
    call = Call(category="text", model="gpt-5", prompt="hi", origin=origin, reuse="all")
    intent = Intent(
        account=session.account_name(), api=services.api, category="text", model="gpt-5", quoted=2, held=2,
        prompt_hash=hash_prompt("hi"), prompt_chars=2, origin=origin, folder=str(services.store.folder),
        fingerprint=services.store.fingerprint(call, services.api), lease_s=lease_s,
    )  # fmt: skip
    (id_,) = session.ledger().reserve([intent])
    return id_


def made(world: Any) -> Any:
    """The server makes it; the id."""
    apart = world.new_session(home=world.home.with_name("apart"))
    (bought,) = apart.run(Ask(model="gpt-5", prompt="hi"), Origin(source="python"))
    return bought.generation_id


def after(seconds: float, work: Any) -> threading.Thread:
    thread = threading.Timer(seconds, work)
    thread.start()
    return thread


def test_what_a_process_had_made_that_died_is_taken_from_the_history(world):
    id_ = asked(world)
    generation = made(world)

    (result,) = world.buy("gpt-5", "hi", reuse="all")

    assert (result.id, result.generation_id) == (id_, generation)
    assert world.booked == world.charged == 2


def test_what_nobody_can_settle_is_not_bought_and_names_the_call(world):
    id_ = asked(world)

    with pytest.raises(el.OutcomeUnknown, match=f"another process.*call {id_}") as caught:
        world.buy("gpt-5", "hi", reuse="all")

    assert f"%elumenta recover {id_}" in caught.value.hint
    assert "in 15 minutes" in caught.value.hint
    assert 'reuse="off"' in caught.value.hint
    assert (caught.value.call_id, caught.value.tokens, caught.value.spent) == (id_, 2, "maybe")
    assert world.posts() == world.charged == 0
    assert world.session.ledger().call(id_).status == "reserved", "its own process may still wait"


def test_it_waits_for_the_answer_of_a_process_that_lives(world):
    id_, ledger = asked(world), world.session.ledger()
    thread = after(0.1, lambda: ledger.accept([(id_, made(world))]))

    (result,) = world.buy("gpt-5", "hi", reuse="all")

    thread.join()
    assert result.id == id_
    assert world.booked == world.charged == 2


def test_it_buys_its_own_when_the_other_one_failed(world):
    id_, ledger = asked(world), world.session.ledger()
    thread = after(0.1, lambda: ledger.release([Release(call_id=id_, error="GenerationFailed: no luck")]))

    (result,) = world.buy("gpt-5", "hi", reuse="all")

    thread.join()
    assert result.id != id_
    assert world.posts() == 1
    assert world.booked == world.charged == 2


def test_of_two_that_are_asked_for_the_one_that_is_answered_is_taken(world):
    first, second = asked(world), asked(world, kernel="a third")
    ledger = world.session.ledger()
    thread = after(0.1, lambda: ledger.accept([(second, made(world))]))

    (result,) = world.buy("gpt-5", "hi", reuse="all")

    thread.join()
    assert result.id == second
    assert ledger.call(first).status == "reserved"
    assert world.booked == world.charged == 2


@pytest.mark.parametrize(
    ("reuse", "row"),
    [("all", {"kernel": KERNEL}), ("all", {"cell_id": "c1"}), ("off", {})],
    ids=["this process", "a cell", "without reuse"],
)
def test_what_is_another_call_is_bought_beside_it(world, reuse, row):
    id_ = asked(world, **row)

    (result,) = world.buy("gpt-5", "hi", reuse=reuse)

    assert result.id != id_
    assert world.posts() == 1


def test_when_the_lease_is_over_and_no_history_shows_it_it_is_bought(world, later):
    id_ = asked(world)

    (result,) = later().run(Ask(model="gpt-5", prompt="hi", reuse="all"), Origin(source="python"))

    assert result.id != id_
    row = world.session.ledger().call(id_)
    assert (row.status, row.lost, row.held) == ("failed", True, 0)
    assert world.posts() == 1


class Counting(worlds.QuickSession):
    """Notes how long it waits."""

    slept: ClassVar[list[float]] = []

    @staticmethod
    async def sleep(seconds: float) -> None:
        Counting.slept.append(seconds)


def test_several_equal_calls_wait_together(world):
    Counting.slept.clear()
    world.kind = Counting
    ids = [asked(world) for _ in range(3)]

    with pytest.raises(el.OutcomeUnknown):
        world.new_session().run(Ask(model="gpt-5", prompt="hi", reuse="all", count=3), Origin(source="python"))

    assert sum(Counting.slept) == 45.5
    assert world.posts() == 0
    assert {world.session.ledger().call(id_).status for id_ in ids} == {"reserved"}


def run(world: Any, tmp_path: Path) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ELUMENTA_")}
    environment["PYTHONPATH"] = str(Path(el.__file__).parents[1])
    facts = [world.server.api_key, world.server.url, str(world.home)]
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *facts], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_a_script_that_is_killed_while_it_waits_and_run_again_at_once_pays_once(world, tmp_path):
    world.server.fault("slow", path="/generate", method="POST", seconds=2)
    first = run(world, tmp_path)
    with contextlib.closing(first.stdout):
        worlds.until(lambda: world.posts() == 1, 60)
        first.kill()
        first.wait()
    second = run(world, tmp_path)
    said, _ = second.communicate(timeout=60)

    assert second.returncode == 0
    assert said == "1 2 False"
    assert world.posts() == 1
    assert world.booked == world.charged == 2


@pytest.mark.slow
def test_two_equal_scripts_side_by_side_pay_once(world, tmp_path):
    world.server.fault("slow", path="/generate", method="POST", seconds=3)
    first = run(world, tmp_path)
    worlds.until(lambda: world.posts() == 1, 60)
    second = run(world, tmp_path)

    said = [process.communicate(timeout=60)[0].split() for process in (first, second)]

    assert [process.returncode for process in (first, second)] == [0, 0]
    assert [words[1] for words in said] == ["2", "2"] or said[1] == ["2", "0", "True"]
    assert world.posts() == 1
    assert world.booked == world.charged == 2
