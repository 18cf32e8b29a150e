"""Histories that tell the time or the prompt in their own way: nothing is given up that they may show, nor taken."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from strange_api import Heard, StrangeApi, Told
from worlds import Later, QuickSession

import elumenta_nb as el
from elumenta_nb._ledger import Ledger
from elumenta_nb._values import Ask, Origin

KEY = "nb_live_0123456789abcdef"
HOUR = 3600.0
LONG = "A harbour at night, with the lamps of the pier in the water, and one boat that comes home late from the sea."


class Shop:
    """A server that makes texts for 2 tokens. Its history's clock is `ahead_s` ahead, and tells prompts as `tell` does."""

    def __init__(self) -> None:
        self.made: list[dict[str, Any]] = []
        self.ahead_s = 0.0
        self.tell = lambda prompt: prompt
        self.is_lost = self.is_hidden = False
        self.ends: dict[str, Any] = {}

    def make(self, prompt: str, **more: Any) -> dict[str, Any]:
        made_at = datetime.fromtimestamp(time.time() + self.ahead_s, UTC)
        item = {
            "id": 101 + len(self.made),
            "status": "completed",
            "model_slug": "gpt-5",
            "prompt": self.tell(prompt),
            "result_text": "Hello",
            "tokens_spent": 2,
            "created_at": made_at.isoformat(timespec="seconds"),
        }
        self.made.insert(0, item | more)
        return self.made[0]

    def __call__(self, heard: Heard) -> Told | None:
        if heard.method == "POST" and heard.path == "/generate":
            item = self.make(heard.json["prompt"])
            return Told(b"") if self.is_lost else Told({**item, **self.ends})
        if heard.path == "/user/history":
            made = [] if self.is_hidden else self.made
            return Told({"items": made, "total": len(made)})
        if heard.path.startswith("/generate/"):
            found = [item for item in self.made if str(item["id"]) == heard.path.rsplit("/", 1)[1]]
            return Told(found[0]) if found else Told({"error": "not_found", "message": "no"}, 404)
        return None

    @property
    def charged(self) -> int:
        return sum(item["tokens_spent"] for item in self.made)


@pytest.fixture
def shop():
    return Shop()


@pytest.fixture
def kernel_of(shop, tmp_path):
    """`kernel_of(kind)` is a kernel of the same person, now or an hour later, when every grace is over."""
    with StrangeApi(shop) as api:
        kernels = {kind: kind(api_key=KEY, base_url=api.url, home=tmp_path) for kind in (QuickSession, Later, Fast)}
        yield kernels.__getitem__
        for kernel in kernels.values():
            kernel.close()


@pytest.fixture
def now(kernel_of):
    return kernel_of(QuickSession)


@pytest.fixture
def later(kernel_of):
    return kernel_of(Later)


def buy(session: Any, prompt: str) -> Any:
    (result,) = session.run(Ask(model="gpt-5", prompt=prompt), Origin(source="python"))
    return result


def lose(session: Any, shop: Shop, prompt: str) -> el.OutcomeUnknown:
    shop.is_lost = True
    with pytest.raises(el.OutcomeUnknown) as caught:
        buy(session, prompt)
    return caught.value


def booked(session: Any) -> int:
    return int(session.spend(columns="all")["tokens"].sum())


@pytest.mark.parametrize("ahead_s", [3 * HOUR, 5.5 * HOUR, -5 * HOUR, -37 * 60.0, -600.0, -60.0, -8.0])
def test_a_clock_that_is_off_is_read_from_calls_that_are_known(now, shop, ahead_s):
    shop.ahead_s = ahead_s
    buy(now, "another one")
    shop.is_lost = True

    result = buy(now, "a quiet harbour")

    assert result.text == "Hello"
    assert booked(now) == shop.charged == 4


@pytest.mark.parametrize("ahead_s", [3 * HOUR, -5 * HOUR])
def test_where_no_call_shows_the_clock_the_same_prompt_at_another_time_is_for_a_person_to_choose(
    now, later, shop, ahead_s
):
    shop.ahead_s = ahead_s
    error = lose(now, shop, "a quiet harbour")
    later.reconcile()

    assert f"%elumenta recover {error.call_id} 101" in error.hint
    assert list(later.jobs()["held"]) == [2], "it is not given up"
    (result,) = later.resume(error.call_id, generation=101)
    assert result.text == "Hello"
    assert booked(now) == shop.charged == 2


def test_where_calls_show_that_the_clock_is_right_the_same_prompt_of_earlier_is_another(now, later, shop):
    shop.ahead_s = -3 * HOUR
    shop.make("a quiet harbour")  # on another channel
    shop.ahead_s = 0.0
    buy(now, "another one")
    shop.tell = lambda _prompt: "something else"
    error = lose(now, shop, "a quiet harbour")
    later.reconcile()

    assert "101" not in error.hint
    assert later.jobs().empty


class Fast(QuickSession):
    """A kernel on a machine whose clock is a minute ahead, until somebody sets it right."""

    def ledger(self) -> Ledger:
        with self._lock:
            if self._ledger is None:
                self._ledger = Ledger(self._settings.ledger(), clock=lambda: time.time() + 60)
            return self._ledger


def test_what_was_made_a_minute_before_its_call_began_is_for_a_person_to_choose(now, later, kernel_of, shop):
    buy(now, "another one")
    shop.is_hidden = True
    error = lose(kernel_of(Fast), shop, "a quiet harbour")
    shop.is_hidden = False
    later.reconcile()

    assert list(later.jobs()["held"]) == [2], "it is not given up"
    (result,) = later.resume(error.call_id, generation=102)
    assert result.text == "Hello"
    assert booked(now) == shop.charged == 4


@pytest.mark.parametrize("cut", [50, 64, 100])
def test_a_prompt_that_is_cut_without_a_sign_is_for_a_person_to_choose(now, later, shop, cut):
    shop.tell = lambda prompt: prompt[:cut]
    error = lose(now, shop, LONG)
    later.reconcile()  # this knows the prompt's hash and length only

    assert f"%elumenta recover {error.call_id} 101" in error.hint
    assert list(later.jobs()["held"]) == [2]
    (result,) = later.resume(error.call_id, generation=101)
    assert result.text == "Hello"
    assert booked(now) == shop.charged == 2


@pytest.mark.parametrize("told", ["A harbour", "A mountain by day, with one goat", "A mountain by day…"])
def test_a_prompt_that_is_not_the_beginning_of_ones_own_is_somebody_elses(now, shop, told):
    shop.tell = lambda _prompt: told
    error = lose(now, shop, LONG)

    assert "101" not in error.hint
    assert booked(now) == 0


def test_a_call_that_was_told_to_have_failed_and_is_charged_after_all_is_booked(now, later, shop):
    shop.ends = {"status": "failed", "error": "no luck", "tokens_spent": 0}
    with pytest.raises(el.GenerationFailed):
        buy(now, "a quiet harbour")
    assert booked(now) == 0

    report = later.reconcile(elsewhere=True)
    again = later.reconcile(elsewhere=True)

    assert report[["was", "status", "tokens"]].values.tolist() == [["failed", "completed", 2]]
    assert again.empty
    assert booked(now) == shop.charged == 2
    assert later.show(int(report["id"][0])).text == "Hello"


@pytest.mark.parametrize("last", ["failed", "completed"])
def test_a_charge_told_under_an_id_that_several_calls_were_told_is_booked_once(now, later, shop, last):
    shop.ends = {"id": 101, "status": "failed", "error": "no luck", "tokens_spent": 0}
    for prompt in ("a quiet harbour", "a loud one"):
        with pytest.raises(el.GenerationFailed):
            buy(now, prompt)
    if last == "completed":
        shop.ends = {"id": 101}
        buy(now, "a third")
    del shop.made[:-1]

    later.reconcile(elsewhere=True)

    assert booked(now) == shop.charged == 2
