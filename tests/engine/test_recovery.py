"""What was sent and not answered: found again, told apart from its equals, never given up on without having looked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import elumenta_nb as el
from elumenta_nb._catalog import catalog
from elumenta_nb._history import Listing
from elumenta_nb._ledger import Intent, Ledger, Settlement, Writer
from elumenta_nb._order import Order, hash_prompt
from elumenta_nb._recovery import find
from elumenta_nb._session import Session
from elumenta_nb._values import Ask, Call, History, Origin, Reply, Retrying, Stopped

NOTHING = {"kind": "garbage", "body": '{"items": [], "total": 0}', "path": "/user/history"}


def lose(world: Any, kind: str = "drop_after", **ask: Any) -> int:
    """A call whose answer is lost, and which the history does not show yet; its number."""
    world.server.fault(kind, path="/generate", method="POST")
    world.server.fault(**NOTHING, times=5)
    with pytest.raises(el.OutcomeUnknown) as caught:
        world.buy("gpt-5", **ask)
    world.server.faults.clear()
    assert caught.value.call_id is not None
    return caught.value.call_id


def state(session: Session, call_id: int) -> str:
    return session.ledger().call(call_id).status


def test_a_call_is_not_given_up_while_the_history_cannot_be_read(world, later):
    call_id = lose(world, "drop_before")
    world.server.fault("garbage", path="/user/history", times=1000)

    session = later()
    session.reconcile()
    assert state(session, call_id) == "unknown"
    assert session.ledger().call(call_id).held == 2

    world.server.faults.clear()
    session.reconcile()
    assert state(session, call_id) == "failed"
    assert session.jobs().empty


def test_a_call_that_was_given_up_is_booked_when_the_history_shows_it_after_all(world, later):
    call_id = lose(world)
    world.server.fault(**NOTHING, times=1000)
    session = later()
    session.reconcile()
    assert state(session, call_id) == "failed"
    assert world.charged == 2

    world.server.faults.clear()
    session = later()
    session.reconcile()

    assert state(session, call_id) == "completed"
    assert world.booked == world.charged == 2
    assert session.show(call_id).text
    assert session.ledger().check() == []


def test_a_lost_call_is_found_behind_a_thousand_newer_ones(world, later):
    call_id = lose(world)
    world.server.control("limit", "0")
    economy = world.server._economy
    for n in range(1100):
        economy.submit(
            economy.first_account, catalog().models["gpt-5"], prompt=f"{n}", params={}, price=0, wait_s=0, text="x"
        )

    session = later()
    session.reconcile()

    assert state(session, call_id) == "completed"
    assert world.booked == world.charged == 2


def test_ten_equal_lost_answers_are_all_found_at_once(world):
    world.server.fault("drop_after", path="/generate", method="POST", times=10)

    results = world.buy("gpt-5", count=10)

    assert len({result.generation_id for result in results}) == 10
    assert world.booked == world.charged == 20


def test_a_charge_that_was_not_told_is_an_estimate_until_the_history_tells_it(world, later):
    """Nor is its generation given to an equal call, which was never made."""
    world.server.fault(
        "garbage", path="/generate", method="POST", body='{"status": "completed", "result_text": "a", "content": "a"}'
    )
    (result,) = world.buy("gpt-5")
    row = world.session.ledger().call(result.id)
    assert row.estimated
    assert row.generation_id is None
    other = lose(world, "drop_before")

    session = later()
    session.reconcile()

    assert world.booked == world.charged == 2
    row = session.ledger().call(result.id)
    assert row.generation_id is not None
    assert not row.estimated
    assert state(session, other) == "failed"


def test_fetching_a_result_again_does_not_change_what_it_cost(world):
    (result,) = world.buy("gpt-5")
    body = '{"status": "completed", "result_text": "again", "content": "again"}'
    world.server.fault("garbage", path="/generate/*", method="GET", times=4, body=body)

    again = world.session.show(result.id)

    assert again.text == "again"
    assert again.tokens == 2
    assert world.booked == world.charged == 2


def test_a_job_whose_page_is_gone_is_found_by_its_id_in_the_history(world):
    world.server.fault("pending", path="/generate", seconds=0.05)
    world.server.fault("status", code=404, path="/generate/*", method="GET", times=100)

    try:
        (result,) = world.buy("gpt-5")
    except el.DownloadFailed as error:  # one family's history lists no text; the page is gone
        assert error.spent == "yes"
    else:
        assert result.tokens == 2
    assert world.booked == world.charged == 2


UNREADABLE = {"path": "/generate/*", "method": "GET", "body": '{"id": null, "status": null}', "times": 1000}


def test_a_job_whose_page_cannot_be_read_is_found_by_its_id_in_the_history(world):
    world.server.fault("pending", path="/generate", seconds=0.05)
    world.server.fault("garbage", **UNREADABLE)
    (result,) = world.buy("luma-ray2-flash")

    assert result.mime == "video/mp4"
    assert world.posts() == 1
    assert world.booked == world.charged == 26


def test_a_job_whose_page_cannot_be_read_is_recovered_by_the_history(world):
    world.server.fault("pending", path="/generate", seconds=0.05)
    world.server.fault("garbage", **UNREADABLE)
    world.server.fault("garbage", path="/user/history", times=1000)
    world.session = world.new_session(job_timeout_s=0.5)
    with pytest.raises(el.JobTimedOut) as caught:
        world.buy("luma-ray2-flash")
    world.session = world.new_session()
    world.server.faults.clear()
    world.server.fault("garbage", **UNREADABLE)
    (result,) = world.session.resume(caught.value.call_id)

    assert result.mime == "video/mp4"
    assert world.posts() == 1
    assert world.booked == world.charged == 26


def forgotten(world: Any, **ask: Any) -> int:
    """A job that was accepted and that the server then does not know any more; its number."""
    world.server.fault("pending", path="/generate", seconds=0.01)
    world.server.fault("status", code=404, path="/generate/*", method="GET", times=1000)
    world.server.fault(**NOTHING, times=1000)
    with pytest.raises(el.OutcomeUnknown) as caught:
        world.buy("gpt-5", **ask)
    assert caught.value.call_id is not None
    assert world.session.ledger().call(caught.value.call_id).generation_id is not None
    return caught.value.call_id


def test_a_job_that_the_server_does_not_know_any_more_gives_its_hold_back_after_the_grace(world, later):
    call_id = forgotten(world)
    world.settle()
    assert state(world.session, call_id) == "unknown"
    assert world.session.ledger().call(call_id).held == 2

    session = later()
    session.reconcile()

    row = session.ledger().call(call_id)
    assert (row.status, row.held, row.lost) == ("failed", 0, True)
    assert f"the server knows no generation {row.generation_id}" in row.error
    assert session.jobs().empty


def test_a_job_that_the_server_knows_again_is_booked_after_all(world, later):
    call_id = forgotten(world)
    session = later()
    session.reconcile()
    assert state(session, call_id) == "failed"
    world.server.faults.clear()

    session = later()
    session.reconcile()

    assert state(session, call_id) == "completed"
    assert world.booked == world.charged == 2
    assert session.show(call_id).text
    assert session.ledger().check() == []


def test_a_job_is_not_given_up_while_the_history_cannot_be_read(world, later):
    call_id = forgotten(world)
    world.server.faults.clear()
    world.server.fault("status", code=404, path="/generate/*", method="GET", times=1000)
    world.server.fault("garbage", path="/user/history", times=1000)

    session = later()
    session.reconcile()

    assert state(session, call_id) == "unknown"
    assert session.ledger().call(call_id).held == 2


def test_a_cell_whose_job_is_gone_for_good_is_bought_again(world, later):
    origin = Origin(source="magic", cell_id="c", source_hash="s", run="r1")
    call_id = forgotten(world, origin=origin)
    with pytest.raises(el.OutcomeUnknown, match="no readable answer") as caught:
        world.buy("gpt-5", origin=replace(origin, run="r2"))
    assert caught.value.call_id == call_id
    world.server.fault("status", code=404, path="/generate/*", method="GET", times=1000)
    world.server.fault(**NOTHING, times=1000)
    world.session = later()

    (result,) = world.buy("gpt-5", origin=replace(origin, run="r3"))

    assert result.tokens == 2
    assert state(world.session, call_id) == "failed"


def test_a_stop_while_a_refused_call_waits_to_be_sent_again_has_nothing_to_look_up(world):
    world.session.price(Ask(model="gpt-5"))
    world.server.fault("ratelimit", path="/generate", retry_after=20)
    told = []

    def view(event: Any) -> None:
        told.append(event)
        if isinstance(event, Retrying):
            raise KeyboardInterrupt

    view.tick = lambda: None
    with pytest.raises(KeyboardInterrupt):
        world.session.run(Ask(model="gpt-5", prompt="x"), Origin(), view)

    (stopped,) = [event for event in told if isinstance(event, Stopped)]
    assert (stopped.status, stopped.at_risk) == ("cancelled", 0)
    assert world.session.jobs().empty


def test_while_the_server_does_not_say_whose_the_key_is_nothing_is_bought(world):
    """Booked under another name, the call would be nobody's for the next kernel: not recovered, in no budget."""
    world.server.fault("status", code=500, path="/user/me", times=50)

    with pytest.raises(el.ServerError):
        world.buy("gpt-5")
    assert world.posts() == 0
    world.server.faults.clear()
    (result,) = world.buy("gpt-5")

    assert world.session.ledger().call(result.id).account == "1"


def test_a_kernel_that_was_once_told_garbage_about_its_account_leaves_no_call_behind(world, later):
    """Booked under another name, they stayed open for ever: what `make chaos` found after the death of many kernels."""
    world.server.fault("garbage", path="/user/me", times=1)
    call_id = lose(world, "drop_before")

    session = later()
    session.reconcile()

    assert state(session, call_id) == "failed"
    assert session.ledger().call(call_id).account == "1"
    assert session.ledger().open_calls() == []


@pytest.mark.parametrize(
    "body", ["\x00 not JSON", "<h1>Sign in</h1>", "{}", '{"status": "completed"}', "[]", '{"id": null}']
)
def test_a_call_is_refused_when_the_account_cannot_be_read(world, body):
    world.server.fault("garbage", path="/user/me", body=body, times=50)

    with pytest.raises(el.BadReply, match="GET /user/me") as caught:
        world.buy("gpt-5")

    assert caught.value.spent == "no"
    assert "Nothing was charged." in caught.value._render_traceback_()
    assert world.posts() == 0
    assert world.session.ledger().open_calls() == []
    world.server.faults.clear()
    (result,) = world.buy("gpt-5")
    assert world.session.ledger().call(result.id).account == "1"


def test_an_account_that_has_no_id_goes_by_its_key_in_every_kernel(world):
    name = f"key nb_…{world.server.api_key[-4:]}"
    world.server.fault("garbage", path="/user/me", body='{"name": "Ann", "plan": "vip"}', times=100)

    ids = [world.buy("gpt-5")[0].id]
    world.session = world.new_session()
    ids.append(world.buy("gpt-5")[0].id)

    assert [world.session.ledger().call(id_).account for id_ in ids] == [name, name]


def test_an_account_whose_id_is_known_never_goes_by_its_key(world):
    world.buy("gpt-5")
    world.session = world.new_session()
    world.server.fault("garbage", path="/user/me", body='{"name": "Ann", "plan": "vip"}', times=50)

    with pytest.raises(el.BadReply, match="no id"):
        world.buy("gpt-5")

    world.server.faults.clear()
    assert world.charged == world.booked == 2


@pytest.mark.parametrize("hours", [-5, 3])
def test_a_server_whose_clock_is_wrong_is_understood(world_of, hours):
    world = world_of(clock=lambda: time.time() + hours * 3600)
    world.server.fault("drop_after", path="/generate", method="POST")

    (result,) = world.buy("gpt-5")

    assert result.tokens == world.charged == world.booked == 2


# ---------------------------------------------------------------- two that look alike, step by step

API, ACCOUNT = "https://api.example", "7"


class Told:
    """A client that tells this history, in pages, and what happens while it is read."""

    skew_s = 0.0

    def __init__(self, *pages: tuple[Reply, ...], meanwhile: Any = None) -> None:
        self.pages = pages
        self.meanwhile = meanwhile

    async def history(self, *, page: int, limit: int, **_filters: Any) -> History:
        if self.meanwhile is not None:
            self.meanwhile()
        items = self.pages[page - 1]
        ids = tuple(item.id for item in items if item.id is not None)
        total = sum(map(len, self.pages))
        return History(items=items, total=total, page=page, limit=limit, received=len(items), ids=ids)

    async def poll(self, generation_id: int) -> Reply:
        return made(generation_id)


def made(number: int) -> Reply:
    return Reply(
        id=number, status="completed", model="gpt-5", prompt="same", text="t", tokens=2, created_at=datetime.now(UTC)
    )


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(f"sqlite:///{tmp_path / 'ledger.db'}") as book:
        yield book


def reserved(ledger: Ledger) -> int:
    intent = Intent(
        account=ACCOUNT, api=API, category="text", model="gpt-5", quoted=2, held=2, prompt_hash=hash_prompt("same"),
        prompt_chars=4,
    )  # fmt: skip
    (call_id,) = ledger.reserve([intent])
    assert isinstance(call_id, int)
    return call_id


def lost(ledger: Ledger) -> int:
    call_id = reserved(ledger)
    ledger.doubt([(call_id, "no answer")])
    return call_id


def looked(ledger: Ledger, client: Any, call_id: int) -> tuple[Reply | None, Order]:
    resolved = catalog().resolve("text", "gpt-5", {})
    order = Order.of_call(Call(category="text", model="gpt-5", prompt="same"), resolved)
    order = replace(order, call_id=call_id, began_at=ledger.call(call_id).started_at.timestamp())

    async def account() -> str:
        return ACCOUNT

    async def look() -> Reply | None:
        services: Any = SimpleNamespace(client=client, ledger=ledger, writer=Writer(ledger), api=API, account=account)
        return await find(services, order)

    return asyncio.run(look()), order


def test_a_generation_of_a_call_that_left_while_the_history_was_read_stays_its_own(ledger):
    ours = lost(ledger)

    found, order = looked(ledger, Told((made(1),), meanwhile=lambda: reserved(ledger)), ours)

    assert found is None
    assert not order.missing, "the other call may still get its answer"
    assert ledger.owned([1], account=ACCOUNT, api=API) == set()


def test_a_generation_told_on_two_pages_is_one(ledger):
    ours = lost(ledger)
    page = tuple(made(number) for number in range(100, 0, -1))
    ledger.settle([Settlement(call_id=reserved(ledger), tokens=2, generation_id=number) for number in range(2, 101)])

    found, _order = looked(ledger, Told(page, (made(1),)), ours)

    assert found is not None
    assert found.id == 1


def test_a_row_told_completed_comes_before_one_that_may_have_no_generation(ledger):
    ours = lost(ledger)
    ledger.settle([Settlement(call_id=reserved(ledger), tokens=2)])

    found, order = looked(ledger, Told((made(1),)), ours)

    assert found is None
    assert order.missing


def test_more_generations_than_calls_are_not_chosen_from(ledger):
    ours = lost(ledger)

    with pytest.raises(el.OutcomeUnknown, match="several"):
        looked(ledger, Told((made(2), made(1))), ours)

    assert ledger.call(ours).status == "unknown"
    assert ledger.call(ours).held == 2


def test_two_kernels_that_look_at_once_never_take_the_same(ledger):
    first, second = lost(ledger), lost(ledger)
    listed = (made(2), made(1))

    one, _ = looked(ledger, Told(listed), second)
    two, _ = looked(ledger, Told(listed), first)

    assert one is not None
    assert two is not None
    assert {one.id, two.id} == {1, 2}
    (claimed,) = ledger.claim([(first, one.id)])
    assert not claimed


def test_a_long_history_is_read_to_its_end_or_nothing_is_concluded():
    class Endless(Told):
        async def history(self, *, page: int, limit: int, **_filters: Any) -> History:
            return History(items=(made(page),), total=None, page=page, limit=limit, received=limit)

    services: Any = SimpleNamespace(client=Endless())

    listing = asyncio.run(Listing.read(services, "text", "gpt-5", time.time()))

    assert not listing.whole


def test_what_was_found_in_the_history_is_marked_so_also_when_it_is_settled(world):
    world.server.fault("drop_after", path="/generate", method="POST")
    (found,) = world.buy("gpt-5")
    (told,) = world.buy("gpt-5")

    marks = [world.session.ledger().call(result.id).adopted for result in (found, told)]
    assert marks == [True, False]
