"""What the server tells late, or the ledger cannot write at once: the result is not lost, and the charge is the server's."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from strange_api import StrangeApi, Told
from worlds import QuickSession, until

import elumenta_nb as el
from elumenta_nb._alike import Generations, candidates
from elumenta_nb._engine import Engine
from elumenta_nb._errors import LedgerError
from elumenta_nb._ledger import Settlement, Writer
from elumenta_nb._values import Ask, Origin, Reply, Stopped
from elumenta_nb._wiring import runtime

CELL = Origin(source="magic", cell_id="c1", source_hash="s1", run="r1")


class Away(Writer):
    """A ledger that cannot be written for the first so many times that it is told an id or a charge."""

    def __init__(self, ledger: Any, times: int) -> None:
        super().__init__(ledger)
        self.times = times

    def _perhaps(self) -> None:
        self.times -= 1
        if self.times >= 0:
            raise LedgerError("another program has held the ledger", hint="run the cell again", spent="maybe")

    async def accept(self, call_id: int, generation_id: Any) -> bool:
        self._perhaps()
        return await super().accept(call_id, generation_id)


class Slow(Writer):
    """A ledger on a server: what is written is there at once, and known to be a second later."""

    async def settle(self, item: Settlement) -> Any:
        state = await super().settle(item)
        await asyncio.sleep(1)
        return state


def engine_with(session: Any, writer: type[Writer], *more: Any) -> Engine:
    services = session.services()
    return Engine(replace(services, writer=writer(services.ledger, *more)))


def buy(session: Any, engine: Engine, model: str, **ask: Any) -> Any:
    orders = session.orders(Ask(model=model, prompt="a quiet harbour", **ask), CELL)
    return runtime.run(lambda emit: engine.execute(orders, max_price=500, confirm_above=0, emit=emit))[0]


def rows(session: Any) -> list[dict[str, Any]]:
    return session.spend(columns="all").to_dict("records")


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 3])
def test_a_ledger_that_is_away_when_a_job_is_accepted_loses_neither_the_job_nor_its_id(world, times):
    result = buy(world.session, engine_with(world.session, Away, times), "luma-ray2-flash")

    assert result.path.is_file()
    assert world.charged == world.booked == result.tokens > 0
    assert rows(world.session)[0]["generation_id"] == world.history[0]["id"]


@pytest.mark.slow
def test_a_job_whose_page_is_lost_while_the_history_says_pending_is_waited_for(world_of):
    world = world_of(time_scale=0.05)
    world.server.fault("status", path="/generate/*", method="GET", code=404, body="documented", times=8)

    (result,) = world.buy("luma-ray2-flash", max_price=500)

    assert result.path.is_file()
    assert world.charged == world.booked == result.tokens > 0
    assert world.posts() == 1


def test_an_order_that_waited_before_it_was_sent_is_looked_for_in_its_own_time(world):
    world.server.fault("drop_after", path="/generate", method="POST")
    orders = world.session.orders(Ask(model="photon-flash", prompt="a quiet harbour"), CELL)
    for order in orders:
        order.began_at -= 10_000

    engine = Engine(world.session.services())
    (result,) = runtime.run(lambda emit: engine.execute(orders, max_price=500, confirm_above=0, emit=emit))

    assert result.path.is_file()
    assert world.charged == world.booked == 1
    assert world.posts() == 1


def test_who_stops_while_the_charge_is_being_written_is_told_so_and_the_text_is_kept(world):
    engine = engine_with(world.session, Slow)
    orders = world.session.orders(Ask(model="gpt-5", prompt="hello", reuse="all"), CELL)
    handle = runtime.submit(lambda emit: engine.execute(orders, max_price=500, confirm_above=0, emit=emit))
    until(lambda: world.charged and rows(world.session)[0]["status"] == "completed")
    handle.stop()
    told = [event for event in handle.events() if isinstance(event, Stopped)]

    assert [(event.status, event.at_risk) for event in told] == [("completed", 0)]
    until(lambda: world.session.services().store.known())
    assert world.charged == world.booked == 2


def test_a_joined_job_does_not_lower_the_balance_a_second_time(world):
    services = world.session.services()
    world.buy("gpt-5")
    handle = world.session.start(Ask(model="luma-ray2-flash", prompt="the sea", max_price=500), CELL)
    until(lambda: any(row["status"] == "pending" for row in rows(world.session)) or handle.done())
    world.session.resume()
    handle.result(30)
    (text,) = world.buy("gpt-5", "another")

    assert text.receipt.balance >= world.server.account.balance
    until(lambda: services.purse.tokens == world.server.account.balance)


# ------------------------------------------------------------------ a server that says strange things


def session_at(api: StrangeApi, home: Any) -> QuickSession:
    session = QuickSession(api_key="nb_live_0123456789abcdef", base_url=api.url, home=home)
    session.start_in(home)
    return session


@pytest.fixture
def strange(tmp_path):
    """`strange(answers)` is a session at a server that gives these answers, by method and path, and plain ones else."""
    opened: list[Any] = []

    def make(answers: dict[tuple[str, str], Told]) -> tuple[Any, StrangeApi]:
        api = StrangeApi(lambda heard: answers.get((heard.method, heard.path))).__enter__()
        session = session_at(api, tmp_path)
        opened.append((session, api))
        return session, api

    yield make
    for session, api in opened:
        session.close()
        api.__exit__()


def test_the_zero_of_a_page_that_says_pending_is_no_charge(strange):
    done = {"id": 1, "status": "completed", "model_slug": "gpt-5", "result_text": "Hello"}
    pending = {"id": 1, "status": "pending", "model_slug": "gpt-5", "tokens_spent": 0}
    session, _api = strange({("POST", "/generate"): Told(done), ("GET", "/generate/1"): Told(pending)})

    (result,) = session.run(Ask(model="gpt-5", prompt="x"), CELL)

    assert result.tokens == 2
    assert "the quote was booked" in result.receipt.note
    assert rows(session)[0]["tokens"] == 2


def test_a_failure_that_was_charged_is_booked_and_says_so(strange):
    failed = {"id": 1, "status": "failed", "model_slug": "gpt-5", "error": "provider", "tokens_spent": 3}
    session, _api = strange({("POST", "/generate"): Told(failed)})

    with pytest.raises(el.GenerationFailed, match="3 tokens were charged") as caught:
        session.run(Ask(model="gpt-5", prompt="x"), CELL)

    assert (caught.value.spent, caught.value.tokens) == ("yes", 3)
    assert session.spend()["tokens"].sum() == 3
    assert session.ledger().check() == []


CUT = (
    {"type": "generation_start", "id": 1},
    {"type": "content_delta", "delta": "Hel"},
    {"type": "error", "message": "lost"},
)


def streaming(api: StrangeApi) -> None:
    """From here on a stream is cut by an error."""
    usual = api.answer

    def answer(heard: Any) -> Told | None:
        if heard.path != "/generate/stream":
            return usual(heard)
        pieces = (f"data: {json.dumps(event)}\n\n".encode() for event in CUT)
        return Told(pieces, headers={"content-type": "text/event-stream"})

    api.answer = answer


def test_a_stream_that_ends_with_an_error_although_it_was_made_gives_the_text_of_its_page(strange):
    done = {"id": 1, "status": "completed", "model_slug": "gpt-5", "result_text": "Hello", "tokens_spent": 3}
    session, api = strange({("GET", "/generate/1"): Told(done)})
    streaming(api)

    (result,) = session.run(Ask(model="gpt-5", prompt="x", stream=True), CELL)

    assert (result.text, result.tokens, result.complete) == ("Hello", 3, True)
    assert session.spend()["tokens"].sum() == 3


def test_a_stream_that_ends_with_an_error_and_was_not_made_costs_nothing(strange):
    gone = {"id": 1, "status": "failed", "model_slug": "gpt-5", "error": "provider", "tokens_spent": 0}
    session, api = strange({("GET", "/generate/1"): Told(gone)})
    streaming(api)

    with pytest.raises(el.GenerationFailed) as caught:
        session.run(Ask(model="gpt-5", prompt="x", stream=True), CELL)

    assert (caught.value.spent, caught.value.partial) == ("no", "Hel")
    assert session.spend()["tokens"].sum() == 0


UNPRICED = {"items": [{"slug": "veo-9", "name": "Veo 9", "category": "video"}], "total": 1}


def test_a_model_whose_price_nobody_tells_is_not_bought_without_a_limit(strange):
    away = Told({"error": "provider_error", "message": "away"}, 503)
    session, api = strange({("GET", "/models"): Told(UNPRICED), ("POST", "/models/veo-9/calculate-price"): away})

    with pytest.raises(el.ConfirmPrice, match="the price is not known"):
        session.run(Ask(model="veo-9", category="video", prompt="x"), CELL)
    assert api.of("POST", "/generate") == []

    session.budget(30)
    with pytest.raises(el.BudgetExceeded):
        session.run(Ask(model="veo-9", category="video", prompt="x", max_price=40), CELL)
    assert api.of("POST", "/generate") == []

    with pytest.raises(el.ConfirmPrice, match="the price is not known"):
        session.map(pd.Series(["one", "two"]), "{{value}}", model="veo-9", category="video", budget=20)


def test_time_is_counted_from_the_moment_it_leaves(world):
    orders = world.session.orders(Ask(model="gpt-5", prompt="x"), CELL)
    orders[0].began -= 100
    engine = Engine(world.session.services())
    (result,) = runtime.run(lambda emit: engine.execute(orders, max_price=500, confirm_above=0, emit=emit))
    assert result.receipt.latency_s < 50
    assert time.monotonic() - orders[0].began < 50


HISTORY = [
    {"id": n, "status": "completed", "model_slug": "gpt-5", "category": "text", "tokens_spent": 5, "prompt": "x", "created_at": "2026-01-01T00:00:00Z"}
    for n in (1, 2)
]  # fmt: skip


def test_a_history_that_repeats_its_page_is_read_once(strange):
    session, api = strange({("GET", "/user/history"): Told({"items": HISTORY})})

    assert session.account_history()["id"].tolist() == [1, 2]
    session.reconcile(elsewhere=True)

    assert session.spend()["tokens"].sum() == 10
    assert len(api.of("GET", "/user/history")) < 10


def test_an_estimate_becomes_what_the_history_tells(strange):
    done = {"id": 1, "status": "completed", "model_slug": "gpt-5", "result_text": "Hello"}
    answers = {("POST", "/generate"): Told(done), ("GET", "/generate/1"): Told(done)}
    session, _api = strange({**answers, ("GET", "/user/history"): Told({"items": HISTORY[:1], "total": 1})})
    session.run(Ask(model="gpt-5", prompt="x"), CELL)
    assert session.spend()["tokens"].sum() == 2

    session.reconcile()

    assert session.spend()["tokens"].sum() == 5


@pytest.mark.parametrize(
    ("told", "may_be"),
    [
        (None, True),
        ("", True),
        ("Ein Café\nam Meer, bei Nacht", True),
        ("Ein Café\r\nam Meer, bei Nacht", True),
        ("Ein Cafe\u0301\nam Meer, bei Nacht", True),
        ("Ein Café\nam Meer…", True),
        ("Ein Café...", True),
        ("Ein Haus\nam Meer, bei Nacht", False),
        ("Eine sehr viel längere Frage, die jemand anders stellte…", False),
    ],
)
def test_a_prompt_that_the_history_writes_another_way_is_the_same(world, told, may_be):
    (order,) = world.session.orders(Ask(model="gpt-5", prompt="Ein Café\nam Meer, bei Nacht"), CELL)
    item = Reply(id=1, status="completed", model="gpt-5", prompt=told)

    found = candidates(order, Generations([item]), [order.began_at])

    assert [reply.id for reply in found] == ([1] if may_be else [])


class Far(Writer):
    """A ledger on a server that does not answer for longer than a stopped cell waits."""

    async def doubt(self, call_id: int, error: str) -> bool:
        done = await super().doubt(call_id, error)
        await asyncio.sleep(30)
        return done


@pytest.mark.slow
def test_who_stops_while_the_ledger_is_slow_is_told_and_the_call_is_looked_up_all_the_same(world):
    world.session.price(Ask(model="gpt-5"))
    world.server.fault("slow", path="/generate", method="POST", seconds=1.5)
    engine = engine_with(world.session, Far)
    orders = world.session.orders(Ask(model="gpt-5", prompt="hello"), CELL)
    handle = runtime.submit(lambda emit: engine.execute(orders, max_price=500, confirm_above=0, emit=emit))
    until(lambda: world.posts() == 1)
    handle.stop()
    told = [event for event in handle.events() if isinstance(event, Stopped)]

    assert [(event.status, event.at_risk) for event in told] == [("unknown", 2)]
    until(lambda: rows(world.session)[0]["status"] == "completed")
    assert world.charged == world.booked == 2
