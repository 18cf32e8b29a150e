"""A generation that one row claims and another is told, in one list and one by one."""

from __future__ import annotations

from itertools import count, permutations

import pytest
from ledger_making import HERE, LIVE, Clock, intent, reserve

from elumenta_nb._ledger import Ledger, Release, Settlement


@pytest.fixture
def ledger(place):
    with Ledger(place, clock=Clock()) as ledger:
        ledger.set_budget(10_000, per="notebook", account="7", api=LIVE, origin=HERE)
        yield ledger
        assert ledger.check() == []


# What the answers tell: the generation, and whether it was found in the history. The first row claims 5 before.
TOLD = {
    "both tell it": [(5, False), (5, False)],
    "the claim is settled without": [(None, False), (5, False)],
    "the claim learns its own": [(8, False), (5, False)],
    "three tell it": [(5, False), (5, False), (5, False)],
    "a claim of the list itself": [(None, False), (6, True), (6, False)],
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
                generation_id=None if told[at][0] is None else base + told[at][0],
                adopted=told[at][1],
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
