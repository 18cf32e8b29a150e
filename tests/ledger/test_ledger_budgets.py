from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from ledger_making import HERE, LIVE, NOON, Clock, intent, reserve

from elumenta_nb._errors import BudgetExceeded, ConfigError
from elumenta_nb._ledger import Elsewhere, Ledger, Release, Settlement
from elumenta_nb._ledger.budget import period


@pytest.fixture(autouse=True)
def _moscow():
    """A local zone three hours from UTC, so that a day of UTC and a local day differ."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Europe/Moscow")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ledger(place, clock):
    with Ledger(place, clock=clock) as ledger:
        yield ledger
        assert ledger.check() == []


def budget(ledger: Ledger, limit: int, **facts):
    return ledger.set_budget(limit, **({"account": "7", "api": LIVE, "origin": HERE} | facts))


def refusal(ledger: Ledger, **facts) -> BudgetExceeded:
    (outcome,) = ledger.reserve([intent(**facts)])
    assert isinstance(outcome, BudgetExceeded)
    return outcome


def spend(ledger: Ledger, tokens: int, **facts) -> int:
    call_id = reserve(ledger, **facts)
    ledger.settle([Settlement(call_id=call_id, tokens=tokens)])
    return call_id


def us(moment: datetime) -> int:
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))


def test_a_budget_is_full_to_the_last_token_and_not_one_more(ledger):
    budget(ledger, 26)
    reserve(ledger)
    reserve(ledger)
    error = refusal(ledger, held=1)
    assert (error.limit, error.used, error.held, error.asked, error.spent) == (26, 0, 26, 1, "no")
    assert error.budget == "this notebook"


def test_the_error_says_how_to_raise_it_and_what_is_held(ledger):
    budget(ledger, 200, per="month", user="anna", tag="demo")
    spend(ledger, 180)
    reserve(ledger)
    error = refusal(ledger)
    assert "180 spent, 13 held, and this asks for 13" in str(error)
    assert "200 tokens" in str(error)
    assert "%elumenta budget 206 --per month --user anna --tag demo" in error.hint, "exactly what is needed"
    assert "13 tokens held by open calls: %elumenta jobs" in error.hint
    assert error.budget == "this month, user anna, tag demo"
    assert "jobs" not in refusal(ledger, held=10**6, origin=replace(HERE, tags=("demo",))).hint.splitlines()[0]


def test_the_line_to_type_is_quoted_where_it_must_be(ledger):
    budget(ledger, 1, per="day", tag="final cut")
    assert "--per day --tag 'final cut'" in refusal(ledger, origin=replace(HERE, tags=("final cut",))).hint


def test_one_refused_intent_does_not_take_the_others_back(ledger):
    budget(ledger, 30)
    outcome = ledger.reserve([intent(held=13), intent(held=20), intent(held=17)])
    assert [isinstance(item, BudgetExceeded) for item in outcome] == [False, True, False]
    assert ledger.budgets()[0].held == 30


def test_together_is_all_or_none(ledger):
    budget(ledger, 30)
    outcome = ledger.reserve([intent(), intent(), intent()], together=True)
    assert {type(item) for item in outcome} == {BudgetExceeded}
    assert outcome[0].asked == 39
    assert ledger.open_calls() == []
    assert [type(item) for item in ledger.reserve([intent(), intent()], together=True)] == [int, int]


@pytest.mark.parametrize(
    ("facts", "other"),
    [
        ({"per": "notebook"}, replace(HERE, notebook="b.ipynb-9")),
        ({"per": "kernel"}, replace(HERE, kernel="k2")),
        ({"per": "month", "user": "anna"}, replace(HERE, user="boris")),
        ({"per": "day", "tag": "demo"}, replace(HERE, tags=("hero",))),
        ({"per": "notebook", "tag": "hero"}, replace(HERE, notebook="b.ipynb-9")),
    ],
)
def test_a_budget_covers_its_own_calls_and_no_others(ledger, facts, other):
    budget(ledger, 10, **facts)
    assert refusal(ledger).limit == 10
    reserve(ledger, origin=other)
    reserve(ledger, account="8")
    reserve(ledger, api="sandbox")
    assert ledger.budgets()[0].used == 0


def test_every_budget_that_applies_is_asked(ledger):
    budget(ledger, 1000, per="notebook")
    budget(ledger, 1000, per="kernel")
    budget(ledger, 20, per="day")
    reserve(ledger)
    assert refusal(ledger).budget == "today"
    assert [state.held for state in ledger.budgets()] == [13, 13, 13]


def test_settling_answers_with_the_fullest_budget(ledger):
    budget(ledger, 1000, per="notebook")
    budget(ledger, 20, per="day")
    call_id = reserve(ledger)
    (state,) = ledger.settle([Settlement(call_id=call_id, tokens=13)])
    assert (state.name, state.spent, state.held, state.limit, state.left, state.warn) == ("today", 13, 0, 20, 7, False)
    assert ledger.budget_state(HERE, "7", LIVE) == state
    assert ledger.budget_state(HERE, "8", LIVE) is None


def test_a_budget_warns_at_80_percent(ledger):
    budget(ledger, 20)
    (state,) = ledger.settle([Settlement(call_id=reserve(ledger), tokens=16)])
    assert state.warn


def test_a_charge_above_the_quote_is_counted_though_it_overruns(ledger):
    budget(ledger, 20)
    (state,) = ledger.settle([Settlement(call_id=reserve(ledger), tokens=25)])
    assert (state.spent, state.left) == (25, 0)
    assert refusal(ledger, held=1).used == 25


def test_a_budget_set_late_counts_what_was_spent_before(ledger):
    spend(ledger, 13)
    reserve(ledger)
    spend(ledger, 9, origin=replace(HERE, notebook="b.ipynb-9"))
    ledger.release([Release(call_id=reserve(ledger))])
    for per, spent in (("notebook", 13), ("kernel", 22), ("day", 22), ("month", 22)):
        state = budget(ledger, 100, per=per)
        assert (per, state.spent, state.held) == (per, spent, 13)


def test_changing_a_limit_keeps_what_was_spent_and_clearing_removes_it(ledger):
    budget(ledger, 20)
    spend(ledger, 13)
    assert budget(ledger, 40).spent == 13
    assert len(ledger.budgets()) == 1
    assert ledger.clear_budget(account="7", api=LIVE, origin=HERE)
    assert not ledger.clear_budget(account="7", api=LIVE, origin=HERE)
    assert ledger.budgets() == []


@pytest.mark.parametrize("limit", [-1, 1.5, True, "20", 10**10])
def test_a_limit_that_cannot_be_is_refused(ledger, limit):
    with pytest.raises(ConfigError):
        budget(ledger, limit)
    with pytest.raises(ConfigError):
        budget(ledger, 1, per="week")


def test_a_name_that_cannot_be_written_is_refused(ledger):
    with pytest.raises(ConfigError, match="surrogates"):
        budget(ledger, 1, tag="a\ud800")


def test_budgets_survive_the_process(ledger, place, clock):
    budget(ledger, 20)
    with Ledger(place, clock=clock) as other:
        assert refusal(other, held=21).limit == 20
        assert other.budgets(account="7", api=LIVE)[0].target == HERE.notebook
        assert other.budgets(account="8") == []


def test_a_day_is_the_local_day_and_an_old_call_counts_where_it_began(ledger, clock):
    clock.now = datetime(2026, 11, 22, 20, 59, tzinfo=UTC).timestamp()  # 23:59 in Moscow
    budget(ledger, 20, per="day")
    late = reserve(ledger)
    assert refusal(ledger).held == 13
    clock.move(120)
    assert ledger.budgets()[0].used == 0
    reserve(ledger)
    (state,) = ledger.settle([Settlement(call_id=late, tokens=13)]) or [None]
    assert state is None
    assert ledger.budgets()[0].held == 13
    assert ledger.budgets()[0].starts_at == datetime(2026, 11, 22, 21, tzinfo=UTC)


def test_a_clock_that_goes_back_finds_its_own_day_again(ledger, clock):
    budget(ledger, 20, per="day")
    spend(ledger, 13)
    clock.move(86_400)
    spend(ledger, 13)
    clock.move(-86_400)
    assert refusal(ledger).used == 13


def test_a_month_is_the_calendar_month_until_the_billing_cycle_is_known(ledger, clock):
    spend(ledger, 5)
    clock.move(-20 * 86_400)  # 2 November
    spend(ledger, 13)
    clock.move(20 * 86_400)
    state = budget(ledger, 100, per="month")
    assert (state.spent, state.starts_at) == (18, datetime(2026, 10, 31, 21, tzinfo=UTC))
    ledger.set_cycle("7", LIVE, datetime(2026, 12, 8, tzinfo=UTC))
    (state,) = ledger.budgets()
    assert (state.spent, state.starts_at, state.ends_at) == (
        5, datetime(2026, 11, 8, tzinfo=UTC), datetime(2026, 12, 8, tzinfo=UTC)
    )  # fmt: skip
    clock.move(17 * 86_400)  # 9 December: the next cycle
    reserve(ledger)
    assert (ledger.budgets()[0].spent, ledger.budgets()[0].held) == (0, 13)
    ledger.set_cycle("7", LIVE, None)
    assert ledger.budgets()[0].starts_at == datetime(2026, 11, 30, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "ends", "expected"),
    [
        ((2026, 2, 10), (2026, 3, 31), ((2026, 1, 31), (2026, 2, 28))),
        ((2026, 2, 28), (2026, 3, 31), ((2026, 2, 28), (2026, 3, 31))),
        ((2026, 11, 22), (2026, 11, 22), ((2026, 11, 22), (2026, 12, 22))),
        ((2026, 11, 21), (2026, 11, 22), ((2026, 10, 22), (2026, 11, 22))),
        ((2027, 1, 5), (2026, 6, 30), ((2026, 12, 30), (2027, 1, 30))),
        ((2024, 3, 1), (2026, 3, 31), ((2024, 2, 29), (2024, 3, 31))),
    ],
)
def test_a_billing_cycle_has_the_day_of_its_end_in_every_month(now, ends, expected):
    found = period("month", us(datetime(*now, tzinfo=UTC)), us(datetime(*ends, tzinfo=UTC)))
    assert found == tuple(us(datetime(*day, tzinfo=UTC)) for day in expected)


def test_a_day_of_23_hours_ends_at_its_midnight():
    os.environ["TZ"] = "Europe/Berlin"  # the fixture restores it
    time.tzset()
    begins, ends = period("day", us(datetime(2026, 3, 29, 12, tzinfo=UTC)), None)
    assert ends - begins == 23 * 3_600_000_000


def test_what_was_spent_elsewhere_is_no_matter_of_a_budget(ledger):
    budget(ledger, 20, per="month")
    item = Elsewhere(
        account="7", api=LIVE, generation_id=1, category="video", model="sora-2", status="completed", tokens=125,
        started_at=NOON,
    )  # fmt: skip
    ledger.adopt([item])
    assert ledger.budgets()[0].spent == 0
    reserve(ledger)


def test_what_the_refusal_advises_is_exactly_enough(ledger):
    budget(ledger, 40)
    spend(ledger, 28)
    assert "%elumenta budget 41 " in refusal(ledger).hint
    budget(ledger, 41)
    reserve(ledger)


def test_a_budget_is_this_notebook_s_only_there(ledger):
    state = budget(ledger, 40)
    elsewhere = replace(HERE, notebook="b.ipynb@0a1b2c", kernel="k2")
    assert (state.name_at(HERE), state.name_at(elsewhere)) == ("this notebook", "story.ipynb-1a2b")
    assert budget(ledger, 9, origin=elsewhere).name_at(HERE) == "b.ipynb", "without the hash of its folder"
    assert budget(ledger, 9, per="kernel").name_at(elsewhere) == "another kernel"
    assert state.counts_at(HERE)
    assert not state.counts_at(elsewhere)
