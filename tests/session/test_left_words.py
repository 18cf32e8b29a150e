"""What a stopped cell says: what is paid, what may still be charged, and how to get each."""

from elumenta_nb._interrupt import left
from elumenta_nb._progress import Record
from elumenta_nb._values import Stopped


def words(*stopped):
    return left(Record(began=0.0, sent=True, stopped=list(stopped)))


def test_calls_that_were_complete_are_named_in_their_order_and_charge_nothing_more():
    done = [Stopped(call_id=id_, status="completed", at_risk=0) for id_ in (12, 3)]

    assert words(*done) == ["It was complete already: %elumenta show 3, %elumenta show 12"]


def test_what_is_complete_and_what_goes_on_are_told_apart():
    told = words(
        Stopped(call_id=1, status="completed", at_risk=0),
        Stopped(call_id=2, status="pending", at_risk=26),
        Stopped(call_id=3, status="cancelled", at_risk=0),
    )

    assert told == [
        "It was complete already: %elumenta show 1",
        "Up to 26 tokens may still be charged.",
        "→ To get it: %elumenta recover 2",
    ]


def test_nothing_that_was_sent_is_nothing_charged():
    assert words(Stopped(call_id=None, status="cancelled", at_risk=0)) == ["Nothing was charged."]
