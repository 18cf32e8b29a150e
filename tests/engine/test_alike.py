"""One prompt with other parameters, both answers lost: each gets its own, or nobody guesses."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import pytest

import elumenta_nb as el
from elumenta_nb._alike import Request, fits, told_apart
from elumenta_nb._session import Session
from elumenta_nb._values import Reply

COLD, WARM = {"temperature": 0}, {"temperature": 1}
NOTHING = {"kind": "garbage", "body": '{"items": [], "total": 0}', "path": "/user/history", "times": 5}


# ---------------------------------------------------------------- what the history tells


def item(number: int, tokens: int | None = 2, status: Any = "completed", **more: Any) -> Reply:
    return Reply(id=number, status=status, tokens=tokens, **more)


def request(params: dict[str, Any], quoted: int = 2) -> Request:
    return Request(str(params), params, quoted)


def test_parameters_that_the_history_tells_say_whose_a_generation_is():
    cold, warm = item(1, raw={"params": {"temperature": 0.0}}), item(2, raw={"params": {"temperature": "1"}})

    assert told_apart([cold, warm], request(COLD), [request(WARM)]) == ([cold], [])
    assert told_apart([cold, warm], request(WARM), [request(COLD)]) == ([warm], [])


def test_a_seed_that_a_picture_tells_says_whose_it_is():
    one, two = item(1, seed=7), item(2, seed=8)

    assert told_apart([one, two], request({"seed": 8}), [request({"seed": 7})]) == ([two], [])


def test_a_charge_that_only_one_was_quoted_says_whose_a_generation_is():
    small, large = item(1, 5), item(2, 13)

    assert told_apart([small, large], request({"quality": "hd"}, 13), [request({}, 5)]) == ([large], [])
    assert told_apart([small, large], request({}, 5), [request({"quality": "hd"}, 13)]) == ([small], [])


@pytest.mark.parametrize(
    ("generation", "price_of_the_other"),
    [(item(1), 2), (item(1, None), 5), (item(1, 3), 5), (item(1, 5, "pending"), 5)],
    ids=["one price", "no charge told", "another charge", "not finished"],
)
def test_what_nothing_tells_apart_is_nobodys(generation, price_of_the_other):
    assert told_apart([generation], request(COLD), [request(WARM, price_of_the_other)]) == ([], [generation])


def test_a_generation_with_other_parameters_than_any_call_is_of_somebody_else():
    assert told_apart([item(1, raw={"params": {"temperature": 0.5}})], request(COLD), [request(WARM)]) == ([], [])


def test_what_is_not_told_is_not_held_against_a_generation():
    assert fits(item(1, raw={"params": {"top_p": 1, "temperature": None}}), COLD)
    assert fits(item(1, raw={"params": "temperature=1"}), COLD)
    assert not fits(item(1, raw={"input": {"temperature": 1}}), COLD)


@pytest.mark.parametrize(
    ("told", "given", "is_one"),
    [
        ([1, 2], (1, 2.0), True),
        (["a"], ("A",), True),
        ([1, 2], (1, 2, 3), False),
        ([1, 2], (2, 1), False),
        ({"kind": "x", "more": 1}, {"kind": "X"}, True),
        ({"kind": "x"}, {"kind": "y"}, False),
        (10**400, 5, False),
        (True, "true", True),
    ],
)
def test_a_parameter_is_the_same_in_every_way_to_write_it(told, given, is_one):
    """A tuple of ours that the server told as a list made our own generation another's: it was bought again."""
    assert fits(item(1, raw={"params": {"it": told}}), {"it": given}) is is_one


def test_equal_requests_share_what_is_found():
    found = [item(1), item(2)]

    assert told_apart(found, request(COLD), [request(COLD)]) == (found, [])


# ---------------------------------------------------------------- the same over HTTP


@pytest.fixture
def later(later: Any) -> Session:
    """One kernel of an hour later."""
    return later()


def lose(world: Any, fault: str, model: str, *, path: str = "/generate", **ask: Any) -> int:
    """A call whose answer is lost; its number."""
    world.server.fault(fault, path=path, method="POST")
    world.server.fault(**NOTHING)
    with pytest.raises(el.OutcomeUnknown) as caught:
        world.buy(model, **ask)
    world.server.faults.clear()
    assert caught.value.call_id is not None
    return caught.value.call_id


def test_calls_of_two_prices_each_get_their_own(world, later):
    """The cheap one was never made: the dear one's picture is not taken for it."""
    cheap = lose(world, "drop_before", "dall-e-3")
    dear = lose(world, "drop_after", "dall-e-3", options={"quality": "hd", "size": "1792x1024"})

    later.reconcile()

    assert later.ledger().call(dear).status == "completed"
    assert later.ledger().call(dear).tokens == world.charged == 13
    assert later.ledger().call(cheap).status == "failed"
    assert later.jobs().empty


def test_calls_of_one_price_are_told_apart_by_a_person_only(world, later, dialect):
    never = lose(world, "drop_before", "gpt-5", options=COLD)
    made = lose(world, "drop_after", "gpt-5", options=WARM)
    (generation,) = [row["id"] for row in world.history]

    later.reconcile()
    assert later.jobs()["held"].tolist() == [2, 2]
    with pytest.raises(el.OutcomeUnknown, match=str(generation)) as caught:
        later.resume(made)
    assert f"%elumenta recover {made} {generation}" in caught.value.hint
    assert caught.value.spent == "maybe"

    (result,) = later.resume(made, generation=str(generation) if dialect == "a" else generation)
    assert result.text
    with pytest.raises(el.BadParam, match="another call has it"):
        later.resume(never, generation=generation)
    later.reconcile()
    assert later.ledger().call(never).status == "failed"
    assert later.jobs().empty
    assert world.booked == world.charged == 2


def test_a_generation_that_cannot_be_the_calls_is_not_taken(world, later):
    call_id = lose(world, "drop_before", "gpt-5")
    (other,) = world.buy("gpt-5", "another prompt")

    for generation in (other.generation_id, 10**6, "gen_nothing"):
        with pytest.raises(el.BadParam, match="not taken"):
            later.resume(call_id, generation=generation)
    with pytest.raises(el.BadParam, match="one unfinished call"):
        later.resume(other.id, generation=other.generation_id)
    with pytest.raises(el.BadParam, match="one unfinished call"):
        later.resume(generation=other.generation_id)

    assert later.ledger().call(call_id).status == "unknown"


def test_two_recordings_are_never_given_each_others_words(world, later, tmp_path):
    """Speech to text has no prompt to compare: nothing in the history tells two recordings apart."""
    for name, seconds in (("one", 1), ("two", 2)):
        with wave.open(str(tmp_path / f"{name}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(b"\0\0" * 8000 * seconds)
    ids = [
        lose(world, "drop_after", "whisper", path="/stt", prompt=None, input=str(Path(tmp_path, f"{name}.wav")))
        for name in ("one", "two")
    ]

    later.reconcile()

    assert [later.ledger().call(id_).status for id_ in ids] == ["unknown", "unknown"]
    for id_, row in zip(ids, reversed(world.history), strict=True):  # the newest first
        later.resume(id_, generation=row["id"])
    assert later.jobs().empty
    assert world.booked == world.charged > 0


def test_equal_calls_are_still_adopted_without_a_question(world, later):
    ids = [lose(world, "drop_after", "gpt-5", options=WARM) for _ in range(2)]

    later.reconcile()

    assert [later.ledger().call(id_).status for id_ in ids] == ["completed", "completed"]
    assert world.booked == world.charged == 4
