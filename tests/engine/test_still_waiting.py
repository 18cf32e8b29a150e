"""Who waits for an answer longer than a call without news stays open keeps the row, its hold, and the one purchase."""

from __future__ import annotations

import time
from typing import Any

import pytest
import worlds

import elumenta_nb as el
from elumenta_nb._values import Ask, Origin

CELL = {"max_price": 500, "reuse": "all"}


class Impatient(worlds.QuickSession):
    """Gives a call without news up after half a second."""

    grace_s = 0.5


def cell(run: str) -> Origin:
    return Origin(source="magic", cell_id="c1", source_hash="s1", run=run)


@pytest.fixture
def waiting(world) -> Any:
    """A call whose answer takes two seconds, long after it is sent; the server begins with it only then."""
    world.session.price(Ask(model="photon-flash"))
    world.kind = Impatient
    world.server.fault("slow", path="/generate", method="POST", seconds=2.5, before=True)
    world.session = world.new_session()
    handle = world.session.start(Ask(model="photon-flash", prompt="the sea", **CELL), cell("r1"))
    worlds.until(lambda: world.posts() == 1)
    time.sleep(1.2)
    yield handle
    handle.stop()


@pytest.mark.slow
def test_a_call_under_way_is_not_given_up_by_a_recover_elsewhere(world, waiting):
    other = world.new_session()
    other.reconcile()

    (row,) = other.jobs().to_dict("records")
    assert (row["status"], row["held"]) == ("reserved", 1)
    (result,) = waiting.result(10)
    assert result.tokens == world.charged == world.booked == 1
    assert world.posts() == 1


@pytest.mark.slow
def test_a_cell_whose_call_is_under_way_in_another_kernel_is_not_bought_again(world, waiting):
    with pytest.raises(el.OutcomeUnknown):
        world.new_session().run(Ask(model="photon-flash", prompt="the sea", **CELL), cell("r2"))

    (result,) = waiting.result(10)
    assert result.tokens == world.charged == world.booked == 1
    assert world.posts() == 1
