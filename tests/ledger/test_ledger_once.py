"""Keys that one row holds at a time, rows by fingerprint, requests in a window, budgets of maps."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from ledger_making import HERE, LIVE, NOON, Clock, intent, reserve

from elumenta_nb._errors import BudgetExceeded, ConfigError
from elumenta_nb._ledger import Elsewhere, Ledger, Release, Restored, Settlement, Taken, Where, Writer


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ledger(place, clock):
    with Ledger(place, clock=clock) as ledger:
        yield ledger
        assert ledger.check() == []


def ask(ledger: Ledger, **facts) -> int | Taken | BudgetExceeded:
    (answer,) = ledger.reserve([intent(**({"once": "row 1"} | facts))])
    return answer


def buy(ledger: Ledger, **facts) -> int:
    call_id = reserve(ledger, **facts)
    ledger.settle([Settlement(call_id=call_id, tokens=13)])
    return call_id


# ---------------------------------------------------------------- once


def test_a_key_is_held_by_one_row_and_the_answer_is_that_row(ledger):
    first = reserve(ledger, once="row 1", held=7)
    answer = ask(ledger)
    assert isinstance(answer, Taken)
    assert answer.entry == ledger.call(first)
    assert [entry.held for entry in ledger.open_calls()] == [7]


def test_keys_are_of_an_account_and_an_api(ledger):
    for facts in ({}, {"once": "row 2"}, {"account": "8"}, {"api": "sandbox"}):
        assert isinstance(ask(ledger, **facts), int)
    for facts in ({}, {"once": "row 2"}, {"account": "8"}, {"api": "sandbox"}):
        assert isinstance(ask(ledger, **facts), Taken)


def test_calls_without_a_key_are_as_many_as_are_asked_for(ledger):
    assert all(isinstance(ask(ledger, once=""), int) for _ in range(3))


@pytest.mark.parametrize(
    ("what", "status"),
    [
        (lambda ledger, row: None, "reserved"),
        (lambda ledger, row: ledger.accept([(row, 1)]), "pending"),
        (lambda ledger, row: ledger.doubt([(row, "no answer")]), "unknown"),
        (lambda ledger, row: ledger.settle([Settlement(call_id=row, tokens=13)]), "completed"),
    ],
)
def test_an_open_or_a_paid_row_keeps_its_key(ledger, what, status):
    what(ledger, reserve(ledger, once="row 1"))
    answer = ask(ledger)
    assert isinstance(answer, Taken)
    assert answer.entry.status == status


@pytest.mark.parametrize(
    "given_up", [{"status": "failed"}, {"status": "cancelled"}, {"status": "failed", "lost": True}]
)
def test_a_row_that_costs_nothing_gives_its_key_up(ledger, given_up):
    first = reserve(ledger, once="row 1", lease_s=0)
    ledger.release([Release(call_id=first, **given_up)])
    second = ask(ledger)
    assert isinstance(second, int)
    assert isinstance(ask(ledger), Taken)


def test_a_reservation_nobody_came_back_for_keeps_its_key(ledger, clock):
    reserve(ledger, once="row 1", lease_s=5)
    clock.move(3600)
    answer = ask(ledger)
    assert isinstance(answer, Taken)
    assert answer.entry.status == "unknown"


def test_the_second_of_a_list_is_answered_with_the_first(ledger):
    first, second, other = ledger.reserve([intent(once="a"), intent(once="a", held=99), intent(once="b")])
    assert isinstance(first, int)
    assert isinstance(other, int)
    assert isinstance(second, Taken)
    assert (second.entry.id, second.entry.held) == (first, 13)


def test_a_taken_key_asks_no_budget_and_a_refused_intent_takes_no_key(ledger):
    ledger.set_budget(20, account="7", api=LIVE, origin=HERE)
    reserve(ledger, once="row 1")
    assert isinstance(ask(ledger), Taken)
    assert isinstance(ask(ledger, once="row 2"), BudgetExceeded)
    answers = ledger.reserve([intent(once="row 3", held=99), intent(once="row 3", held=5)])
    assert [type(answer) for answer in answers] == [BudgetExceeded, int]


def test_a_lost_row_that_is_found_takes_its_key_back(ledger):
    first = reserve(ledger, once="row 1")
    ledger.doubt([(first, "no answer")])
    ledger.release([Release(call_id=first, lost=True)])
    assert ledger.claim([(first, 4711)]) == [True]
    answer = ask(ledger)
    assert isinstance(answer, Taken)
    assert answer.entry.id == first


@pytest.mark.parametrize("found", ["claim", "accept", "settle"])
def test_a_lost_row_that_is_found_when_another_has_its_key_is_kept_without_it(ledger, found):
    first = reserve(ledger, once="row 1")
    ledger.doubt([(first, "no answer")])
    ledger.release([Release(call_id=first, lost=True)])
    second = ask(ledger)
    assert isinstance(second, int)
    if found == "settle":
        ledger.settle([Settlement(call_id=first, tokens=13, generation_id=4711)])
    else:
        assert getattr(ledger, found)([(first, 4711)]) == [True]
    assert ledger.call(first).status == ("completed" if found == "settle" else "pending")
    answer = ask(ledger)
    assert isinstance(answer, Taken)
    assert answer.entry.id == second


def test_of_two_lost_rows_that_are_found_together_one_takes_the_key(ledger):
    rows = []
    for _ in range(2):
        rows.append(reserve(ledger, once="row 1"))
        ledger.doubt([(rows[-1], "no answer")])
        ledger.release([Release(call_id=rows[-1], lost=True)])
    ledger.settle([Settlement(call_id=row, tokens=13, generation_id=row) for row in rows])
    answer = ask(ledger)
    assert isinstance(answer, Taken)
    assert answer.entry.id == rows[0]


def test_threads_that_ask_for_one_key_get_one_row(ledger):
    answers: list[object] = []
    gate = threading.Barrier(8)

    def work() -> None:
        gate.wait()
        for number in range(5):
            answers.append(ask(ledger, once=f"row {number}"))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(answer, int) for answer in answers) == 5
    assert sum(isinstance(answer, Taken) for answer in answers) == 35


def test_the_writer_tells_that_a_key_is_taken(ledger):
    async def main() -> list[object]:
        writer = Writer(ledger)
        return await asyncio.gather(*(writer.reserve(intent(once="row 1")) for _ in range(3)))

    first, *rest = asyncio.run(main())
    assert isinstance(first, int)
    assert [answer.entry.id for answer in rest if isinstance(answer, Taken)] == [first, first]


# ---------------------------------------------------------------- by fingerprint


def test_open_and_paid_rows_are_found_by_fingerprint_and_no_others(ledger):
    paid, opened = buy(ledger, fingerprint="a"), reserve(ledger, fingerprint="a")
    ledger.release([Release(call_id=reserve(ledger, fingerprint="a"))])
    reserve(ledger, fingerprint="a", account="8")
    reserve(ledger, fingerprint="a", api="sandbox")
    again = {"account": "7", "api": LIVE, "category": "image", "model": "dall-e-3", "fingerprint": "a"}
    ledger.restore([Restored(**again, restored_from=paid, saved=13)])
    other = buy(ledger, fingerprint="b")
    buy(ledger, fingerprint="")
    found = ledger.of_fingerprints("7", LIVE, ["a", "b", "c", "", "a"])
    assert {name: [entry.id for entry in entries] for name, entries in found.items()} == {
        "a": [paid, opened],
        "b": [other],
    }
    assert found["b"][0] == ledger.call(other)


def test_many_fingerprints_are_looked_up_in_pieces(ledger):
    ledger.reserve([intent(fingerprint=f"f{number}") for number in range(5_000)])
    found = ledger.of_fingerprints("7", LIVE, [f"f{number}" for number in range(1_000, 9_000)])
    assert len(found) == 4_000
    assert all(len(entries) == 1 for entries in found.values())


# ---------------------------------------------------------------- requests in a window


def test_requests_of_the_account_in_a_window_are_counted_each_time_they_were_sent(ledger, clock):
    early = buy(ledger)
    clock.move(7200)
    since = NOON + timedelta(hours=1)
    assert ledger.sent_since("7", LIVE, since) == 0
    buy(ledger)
    again = reserve(ledger)
    ledger.settle([Settlement(call_id=again, tokens=1, attempts=3)])
    reserve(ledger)  # about to be sent
    ledger.release([Release(call_id=reserve(ledger), status="failed")])  # a refusal was a request too
    ledger.release([Release(call_id=reserve(ledger), status="cancelled")])  # never sent
    ledger.restore([Restored(account="7", api=LIVE, category="image", model="m", restored_from=early)])
    reserve(ledger, account="8")
    told = {"account": "7", "api": LIVE, "generation_id": 5, "category": "image", "model": "m", "tokens": 3}
    ledger.adopt([Elsewhere(**told, status="completed", started_at=ledger.now())])
    assert ledger.sent_since("7", LIVE, since) == 6
    assert ledger.sent_since("7", LIVE, NOON) == 7


# ---------------------------------------------------------------- budgets of maps

MAP = replace(HERE, map_id="9f2c")


def of_map(ledger: Ledger, limit: int, map_id: str = "9f2c", **facts):
    origin = replace(HERE, map_id=map_id)
    return ledger.set_budget(limit, **({"per": "map", "account": "7", "api": LIVE, "origin": origin} | facts))


def test_a_map_has_a_budget_of_its_own_in_every_kernel_and_notebook(ledger):
    of_map(ledger, 30)
    reserve(ledger, origin=MAP)
    reserve(ledger, origin=replace(MAP, kernel="k2", notebook="b.ipynb-9", host="other"))
    (refused,) = ledger.reserve([intent(origin=MAP)])
    assert isinstance(refused, BudgetExceeded)
    assert (refused.limit, refused.held, refused.asked) == (30, 26, 13)
    assert "Run the map again with a larger budget" in refused.hint
    reserve(ledger)
    reserve(ledger, origin=replace(HERE, map_id="77"))


def test_a_maps_budget_that_is_set_again_counts_what_was_spent(ledger):
    for _ in range(2):
        call_id = reserve(ledger, origin=MAP)
        ledger.settle([Settlement(call_id=call_id, tokens=9)])
    reserve(ledger, origin=MAP)
    assert (of_map(ledger, 100).spent, of_map(ledger, 50).held) == (18, 13)
    assert ledger.clear_budget(per="map", account="7", api=LIVE, origin=MAP)
    assert of_map(ledger, 100).used == 31


def test_a_maps_budget_is_named_for_people(ledger):
    state = of_map(ledger, 100, title="products.csv: tagline")
    assert (state.name, state.scope, state.target) == ("map products.csv: tagline", "products.csv: tagline", "9f2c")
    assert of_map(ledger, 100).name == "map 9f2c"
    assert len(ledger.budgets()) == 1


def test_a_settled_row_of_a_map_answers_with_its_budget(ledger):
    of_map(ledger, 20)
    of_map(ledger, 15, "77")
    call_id = reserve(ledger, origin=MAP)
    (state,) = ledger.settle([Settlement(call_id=call_id, tokens=13)])
    assert (state.name, state.spent, state.limit) == ("map 9f2c", 13, 20)
    assert ledger.budget_state(MAP, "7", LIVE) == state
    assert ledger.budget_state(HERE, "7", LIVE) is None


def test_a_map_without_an_id_has_no_budget(ledger):
    with pytest.raises(ConfigError, match="kernel, notebook, day, month"):
        of_map(ledger, 20, "")


def test_the_rows_of_a_map_know_it(ledger):
    call_id = reserve(ledger, origin=MAP)
    assert ledger.call(call_id).origin.map_id == "9f2c"
    buy(ledger)
    assert [row[:3] for row in ledger.totals(("map",), Where())] == [("", 1, 13), ("9f2c", 1, 0)]
