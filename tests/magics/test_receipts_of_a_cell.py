"""Where the receipts of a cell are shown when several calls end in it."""

import pytest

from elumenta_nb._surroundings import Receipts
from elumenta_nb._values import Receipt


class Place:
    """A front end: what stands in it, by place."""

    def __init__(self):
        self.run = "one"
        self.is_running = True
        self.later = []
        self.slots = {}
        self.below = []

    def show(self, data, metadata=None, *, slot=""):
        self.below.append(data["text/plain"])

    def update(self, slot, data, metadata=None):
        self.slots[slot] = data["text/plain"]

    def after_cell(self, show):
        if self.is_running:
            self.later.append(show)
        else:
            show()

    def end(self):
        later, self.later = self.later, []
        for show in later:
            show()


def receipt(tokens):
    return Receipt(call_id=1, model="gpt-5", status="completed", tokens=tokens, quoted=tokens, latency_s=1.0)


@pytest.fixture
def place():
    return Place()


@pytest.fixture
def receipts(place):
    return Receipts.of(place)


def test_a_receipt_stands_where_the_progress_was_until_the_value_is_there_and_then_under_it(place, receipts):
    receipts.add([receipt(2)], "a")
    assert place.slots == {"a": "gpt-5 · 2 tokens · 1.0 s"}

    place.end()
    assert place.slots == {"a": ""}
    assert place.below == ["gpt-5 · 2 tokens · 1.0 s"]


def test_the_next_call_of_the_cell_gets_that_place_and_one_beside_it_does_not(place, receipts):
    assert receipts.lend() == ""
    receipts.add([receipt(2)], "a")
    assert receipts.lend() == "a"
    assert receipts.lend() == "", "another thread has it"

    receipts.add([receipt(3)], "b")
    receipts.add([receipt(5)], "a")
    assert place.slots == {"b": "gpt-5 · 3 tokens · 1.0 s", "a": "gpt-5 × 2 · 7 tokens · 1.0 s"}
    assert receipts.lend() == "a"


def test_the_place_of_another_cell_is_not_used(place, receipts):
    receipts.add([receipt(2)], "a")
    place.end()
    place.run = "two"

    assert receipts.lend() == ""
    receipts.add([receipt(3)], "")
    place.end()
    assert place.slots == {"a": ""}
    assert place.below == ["gpt-5 · 2 tokens · 1.0 s", "gpt-5 · 3 tokens · 1.0 s"]


def test_a_call_that_failed_leaves_what_was_paid_before_it(place, receipts):
    receipts.add([receipt(2)], "a")
    receipts.lend()
    receipts.add([], "a", outcome="Nothing was charged.")
    assert place.slots == {"a": "gpt-5 · 2 tokens · 1.0 s"}

    place.end()
    assert place.below == ["gpt-5 · 2 tokens · 1.0 s"]


def test_a_call_that_failed_alone_says_its_outcome(place, receipts):
    receipts.add([], "a", outcome="Nothing was charged.")
    place.end()

    assert place.slots == {"a": "Nothing was charged."}
    assert place.below == []


def test_quick_calls_after_a_slow_one_are_told_when_the_cell_ends(place, receipts):
    receipts.add([receipt(2)], "a")
    for _ in range(3):
        slot = receipts.lend()
        receipts.add([receipt(1)], slot, redraw=False)
    assert place.slots == {"a": "gpt-5 · 2 tokens · 1.0 s"}

    place.end()
    assert place.slots == {"a": ""}
    assert place.below == ["gpt-5 × 4 · 5 tokens · 1.0 s"]


def test_where_no_cell_runs_a_receipt_is_shown_at_once(place, receipts):
    place.is_running = False
    receipts.add([receipt(2)], "")
    receipts.add([receipt(3)], "")

    assert place.below == ["gpt-5 · 2 tokens · 1.0 s", "gpt-5 · 3 tokens · 1.0 s"]


def test_a_cell_that_runs_beside_another_takes_no_receipt_away(place, receipts):
    receipts.add([receipt(2)], "")
    place.run = "two"
    receipts.add([receipt(3)], "")
    place.end()

    assert place.below == ["gpt-5 · 2 tokens · 1.0 s", "gpt-5 · 3 tokens · 1.0 s"]
