"""The balance beside a receipt: as the server told it last, whatever came in which order."""

import itertools

import pytest

from elumenta_nb._prices import Purse


class Clock:
    now = 100.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


async def nobody():
    raise AssertionError("a settled call asks for nothing")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def purse(clock):
    purse = Purse(nobody, clock)
    purse.settled(1, 1500, clock())
    return purse


@pytest.mark.parametrize("told", list(itertools.permutations([1499, 1498, 1497])))
def test_of_calls_that_ran_side_by_side_the_last_balance_counts_in_whatever_order_they_answer(purse, clock, told):
    began = clock()
    for left in told:
        purse.settled(1, left, began)
    assert (purse.tokens, purse.exact) == (1497, True)


def test_a_balance_that_grew_between_two_calls_is_believed(purse, clock):
    purse.settled(2, 5000, clock())
    assert (purse.tokens, purse.exact) == (5000, True)


def test_where_no_reply_tells_the_balance_what_was_charged_is_taken_from_it(purse, clock):
    purse.settled(7, None, clock())
    assert (purse.tokens, purse.exact) == (1493, False)
    purse.settled(2000, None, clock())
    assert purse.tokens == 0


def test_a_purse_that_was_told_nothing_says_nothing(clock):
    purse = Purse(nobody, clock)
    purse.settled(7, None, clock())
    assert (purse.tokens, purse.exact) == (None, False)
