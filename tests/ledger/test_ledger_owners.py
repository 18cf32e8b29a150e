"""A generation that one row claims and another is told, in one list and one by one."""

from __future__ import annotations

from datetime import timedelta
from itertools import count, permutations

import pytest
from ledger_making import HERE, LIVE, Clock, intent, reserve

from elumenta_nb._ledger import Elsewhere, Ledger, Release, Restored, Settlement
from elumenta_nb._ledger.database import Tx
from elumenta_nb._ledger.owners import begun, failed_as, owned


@pytest.fixture
def ledger(place):
    with Ledger(place, clock=Clock()) as ledger:
        ledger.set_budget(10_000, per="notebook", account="7", api=LIVE, origin=HERE)
        yield ledger
        assert ledger.check() == []


# The generations that the answers tell. The first row claims 5 before.
TOLD = {
    "both tell it": [5, 5],
    "the claim is settled without": [None, 5],
    "the claim learns its own": [8, 5],
    "three tell it": [5, 5, 5],
}


@pytest.mark.parametrize("settled", [False, True], ids=["open", "settled before"])
@pytest.mark.parametrize("told", TOLD.values(), ids=TOLD)
def test_a_list_ends_as_its_items_one_by_one_in_every_order(ledger, told, settled):
    """The row that gave its claim up was read beside the list, and the list wrote over it: one charge was two."""
    rounds = count(100, 100)

    def ends(order: tuple[int, ...], *, in_one_list: bool) -> list[tuple]:
        base = next(rounds)
        ids = ledger.reserve([intent() for _ in told])
        assert ledger.claim([(ids[0], base + 5)]) == [True]
        if settled:
            ledger.settle([Settlement(call_id=ids[0], tokens=9)])
        items = [
            Settlement(
                call_id=ids[at],
                tokens=10 + at,
                generation_id=None if told[at] is None else base + told[at],
            )
            for at in order
        ]
        for piece in [items] if in_one_list else [[item] for item in items]:
            ledger.settle(piece)
        assert ledger.check() == []
        rows = [ledger.call(id_) for id_ in ids]
        return [
            (row.status, row.tokens, row.held, row.adopted, row.generation_id and row.generation_id - base)
            for row in rows
        ]

    for order in permutations(range(len(told))):
        assert ends(order, in_one_list=True) == ends(order, in_one_list=False)


def test_a_charge_is_counted_once_where_its_claim_is_settled_in_the_same_list(ledger):
    wrong, right = reserve(ledger), reserve(ledger)
    ledger.claim([(wrong, 5)])

    states = ledger.settle([Settlement(call_id=id_, tokens=13, generation_id=5) for id_ in (wrong, right)])

    undone, owner = ledger.call(wrong), ledger.call(right)
    assert (undone.status, undone.tokens, undone.held, undone.generation_id) == ("unknown", 0, 13, None)
    assert (owner.status, owner.tokens, owner.held, owner.generation_id) == ("completed", 13, 0, 5)
    assert str(right) in undone.error
    assert [(state.spent, state.held) for state in states] == [(13, 13)] * 2
    assert [(state.spent, state.held) for state in ledger.budgets()] == [(13, 13)]


def test_accepted_and_released_rows_of_one_list_give_way_too(ledger):
    first, second, third, fourth = (reserve(ledger) for _ in range(4))
    ledger.claim([(first, 5), (third, 6)])

    assert ledger.accept([(first, 5), (second, 5)]) == [True, True]
    released = [Release(call_id=third, generation_id=6), Release(call_id=fourth, generation_id=6)]
    assert ledger.release(released) == [True, True]

    rows = [ledger.call(id_) for id_ in (first, second, third, fourth)]
    assert [(row.status, row.held, row.generation_id) for row in rows] == [
        ("unknown", 13, None), ("pending", 13, 5), ("unknown", 13, None), ("failed", 0, 6)
    ]  # fmt: skip
    assert [(state.spent, state.held) for state in ledger.budgets()] == [(0, 39)]


def test_an_id_that_is_told_opens_a_row_that_was_paid_by_what_was_found(ledger):
    """Else the kernel that dies while it waits for that job leaves a charge that no row has."""
    call_id = reserve(ledger)
    ledger.claim([(call_id, 5)])
    ledger.settle([Settlement(call_id=call_id, tokens=9, generation_id=5)])

    assert ledger.accept([(call_id, 6)]) == [True]

    row = ledger.call(call_id)
    assert (row.status, row.tokens, row.held, row.generation_id, row.adopted) == ("pending", 0, 13, 6, False)
    assert [(state.spent, state.held) for state in ledger.budgets()] == [(0, 13)]
    assert ledger.owned([5, 6], account="7", api=LIVE) == {6}
    ledger.settle([Settlement(call_id=call_id, tokens=11, generation_id=6)])
    assert ledger.accept([(call_id, 7)]) == [False], "it was told already"
    assert ledger.call(call_id).tokens == 11


# ---------------------------------------------------------------- asked of many at once


def test_of_many_generations_each_is_told_whose_it_is_by_two_statements(ledger):
    told, found, failed, named = (reserve(ledger) for _ in range(4))
    ledger.settle([Settlement(call_id=told, tokens=1, generation_id=5)])
    ledger.claim([(found, 6)])
    ledger.release([Release(call_id=failed, generation_id="7")])
    ledger.accept([(named, "gen_x'); --")])
    ledger.adopt([Elsewhere(account="7", api=LIVE, generation_id=8, category="image", model="dall-e-3",
                            status="completed", tokens=1, started_at=ledger.now())])  # fmt: skip
    ids = [5, "5", 6, 7, "gen_x'); --", 8, 9, 2**63, "9" * 30, *range(1000, 2000)]

    class Counting(Tx):
        statements = 0

        def all(self, sql, **values):
            Counting.statements += 1
            return super().all(sql, **values)

    def all_three(tx):
        counting = Counting(tx._cursor, tx._native)
        return [ask(counting, LIVE, "7", ids) for ask in (owned, begun, failed_as)]

    ours, began, failures = ledger._database.look(all_three)

    assert ours == {5, "5", 6, 7, "gen_x'); --"}
    assert set(began) == {5, "5", 7, "gen_x'); --"}, "one that was found says nothing of the history's clock"
    assert failures == [failed]
    assert Counting.statements == 6


def test_the_calls_of_a_model_are_told_by_their_prompts(ledger):
    clock = ledger._database._clock
    early = reserve(ledger, prompt_hash="a")
    clock.move(60)
    since = ledger.now()
    one, two, other = (reserve(ledger, prompt_hash=prompt) for prompt in ("a", "a", "b"))
    reserve(ledger, prompt_hash="a", model="gpt-image-1.5")
    reserve(ledger, prompt_hash="a", account="8")
    ledger.restore(
        [Restored(account="7", api=LIVE, category="image", model="dall-e-3", provider="OpenAI", prompt_hash="a")]
    )

    claimed, told = reserve(ledger, prompt_hash="b"), reserve(ledger, prompt_hash="b")
    ledger.claim([(claimed, 98)])
    ledger.accept([(told, 99)])
    assert ledger.requests("7", LIVE, "dall-e-3", since=since) == {"a": [one, two], "b": [other, claimed]}

    window = {"since": since - timedelta(minutes=15), "until": since + timedelta(minutes=15)}
    alike = ledger.nameless("7", LIVE, "dall-e-3", "a", **window)
    assert [row.id for row in alike] == [early, one, two]
    alike = ledger.nameless("7", LIVE, "dall-e-3", "a", **window, ids=[one, two, other])
    assert [row.id for row in alike] == [one, two]
    ledger.accept([(one, 5)])
    assert [row.id for row in ledger.nameless("7", LIVE, "dall-e-3", "a", **window, ids=[one, two])] == [two]
    assert ledger.nameless("7", LIVE, "dall-e-3", "a", **window, ids=[]) == []
