"""When the balance ends: a date only where the data bear one, and a range that is right as often as it says."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from elumenta_nb._errors import BadParam
from elumenta_nb._language import date as day, set_language, tokens
from elumenta_nb._spend import forecast
from elumenta_nb._values import Balance

TODAY = date(2026, 11, 22)


@pytest.mark.parametrize(
    ("daily", "balance", "why"),
    [
        ([], 100, "0 complete days, and 7 are needed"),
        ([9, 9, 9, 9, 9, 9], 100, "6 complete days"),
        ([0] * 14, 100, "Nothing was spent on the last 14 days"),
        ([90, 0, 0, 0, 0, 0, 3], 100, "spend on 2 days of the last 7, and 3 are needed"),
        ([9] * 14, None, "The balance is not known"),
        ([1] * 14, 5000, "longer than a year"),
    ],
)
def test_too_little_to_go_on_gives_no_date_and_says_why(daily, balance, why):
    found = forecast(daily, TODAY, balance)

    assert found.ends_on is found.earliest is found.latest is None
    assert why in found.outlook


def test_an_even_spend_ends_on_one_day():
    found = forecast([10] * 30, TODAY, 100)

    assert (found.days, found.per_day, found.tokens) == (28, 10, 280)
    assert found.earliest == found.ends_on == TODAY + timedelta(days=10)
    assert found.latest - found.ends_on <= timedelta(days=1)


def test_only_the_last_whole_weeks_count_idle_days_included():
    found = forecast([500] * 40 + [0, 0, 14, 14, 14, 14, 14] * 4, TODAY, 100)

    assert found.per_day == 10
    assert found.active == 20
    assert forecast([0, 7] * 10, TODAY, 100).days == 14


def test_a_ragged_spend_gives_a_range_and_may_leave_the_end_open():
    ragged = forecast([0, 0, 0, 0, 0, 0, 300, 0, 2, 0, 1, 0, 0, 0], TODAY, 2000)

    assert ragged.earliest < ragged.ends_on
    assert ragged.latest is None
    assert "perhaps not within a year" in ragged.outlook


def test_an_empty_balance_ends_today():
    assert forecast([5] * 14, TODAY, 0).ends_on == TODAY


@pytest.mark.parametrize("balance", [-1, 1.5, True, "9"])
def test_a_balance_is_whole_tokens(balance):
    with pytest.raises(BadParam):
        forecast([5] * 14, TODAY, balance)


@given(st.lists(st.integers(0, 10_000), max_size=60), st.integers(0, 10**9))
def test_a_date_lies_within_its_range_and_without_one_there_is_a_reason(daily, balance):
    found = forecast(daily, TODAY, balance)

    if found.ends_on is None:
        assert found.reason
    else:
        assert not found.reason
        assert TODAY <= found.earliest <= found.ends_on
        assert found.latest is None or found.ends_on <= found.latest <= TODAY + timedelta(days=366)


def test_four_of_five_futures_end_within_the_range():
    """Seeded people who work on week days, idle at weekends, and differ from day to day."""
    chance = random.Random(7)
    hits = cases = 0
    for _ in range(400):
        busy = chance.uniform(5, 60)

        def spend(day: int, busy=busy) -> int:
            return 0 if day % 7 >= 5 or chance.random() < 0.3 else round(chance.expovariate(1 / busy))

        found = forecast([spend(day) for day in range(28)], TODAY, round(busy * chance.uniform(5, 25)))
        if found.ends_on is None:
            continue
        left, day = found.balance, 0
        while left > 0 and day < 800:
            left -= spend(day)
            day += 1
        ended = TODAY + timedelta(days=day - 1)
        cases += 1
        hits += found.earliest <= ended and (found.latest is None or ended <= found.latest)

    assert cases > 350
    assert 0.72 <= hits / cases <= 0.95


def test_it_shows_what_it_rests_on_in_both_languages():
    found = forecast([10] * 28, TODAY, Balance(tokens=100, refills_at=datetime(2026, 12, 1, 12, tzinfo=UTC)))
    data, _ = found._repr_mimebundle_()

    assert "28 complete days" in data["text/plain"]
    assert "1 Dec" in data["text/html"]
    set_language("ru")
    assert "2 дек" in found.outlook


def account(tokens=1300, plan_tokens=1000, days=10) -> Balance:
    expires_at = datetime.combine(TODAY + timedelta(days=days), datetime.min.time(), UTC) + timedelta(hours=12)
    return Balance(tokens=tokens, plan_tokens=plan_tokens, expires_at=expires_at)


@pytest.mark.parametrize(
    ("daily", "told", "left"),
    [
        ([10] * 28, account(), 900),
        ([120] * 28, account(), 0),  # used up before
        ([10] * 28, account(tokens=50), 0),  # the two figures contradict each other: the smaller one counts
        ([0] * 14, account(), 1000),  # no date, but nothing of them is being used
        ([1] * 14, account(), 990),
        ([90, 0, 0, 0, 0, 0, 3], account(), 0),  # too little to say how much will be used
        ([10] * 6, account(), 0),
        ([10] * 28, account(days=-1), 0),  # a plan that is over
        ([10] * 28, Balance(tokens=1300, expires_at=account().expires_at), 0),  # how many are the plan's is not told
        ([10] * 28, Balance(tokens=1300, plan_tokens=1000), 0),
    ],
)
def test_tokens_that_expire_before_they_are_used_are_told_where_the_account_tells_of_them(daily, told, left):
    found = forecast(daily, TODAY, told)

    assert found.expiring == left
    said = f"About {tokens(left)} of the plan expire on {day(date(2026, 12, 2))}, unused."
    assert found.outlook.endswith(said) if left else "expire" not in found.outlook
