from __future__ import annotations

from decimal import Decimal
from functools import cache

import pytest
from hypothesis import given, settings, strategies as st

from elumenta_nb._catalog import catalog
from elumenta_nb._errors import BadParam
from elumenta_nb._spend import cheapest_mix, plans_frame
from elumenta_nb._spend._plans import per_token

PACKAGES = {50: 249, 100: 449, 200: 799, 500: 1790, 1000: 3290, 2000: 5990, 5000: 13990, 10000: 24990}  # token page
PLANS = {"Basic": (300, 890), "Pro": (700, 1690), "VIP": (1500, 2990), "Elite": (3000, 4990)}


@cache
def brute(tokens: int) -> int:
    """The fewest roubles for packages of at least so many tokens, by trying everything."""
    if tokens <= 0:
        return 0
    return min(rubles + brute(tokens - size) for size, rubles in PACKAGES.items())


def fewest(tokens: int, *, need_api: bool) -> int:
    plans = [plan for name, plan in PLANS.items() if name in {"VIP", "Elite"} or not need_api]
    if not need_api:
        plans.append((0, 0))
    return min(rubles + brute(-(-(tokens - own) // 50) * 50) for own, rubles in plans)


@given(st.integers(0, 30_000), st.booleans())
@settings(deadline=None, max_examples=150)
def test_the_mix_is_the_cheapest_there_is(tokens, need_api):
    for lower in range(0, tokens, 5000):
        brute(lower)  # the recursion stays shallow
    mix = cheapest_mix(tokens, need_api=need_api)
    assert mix.rubles == fewest(tokens, need_api=need_api)
    assert mix.tokens >= tokens
    assert mix.left == mix.tokens - tokens
    if need_api:
        assert mix.plan is not None
        assert mix.plan.has_api


@pytest.mark.parametrize("tokens", [10**6 - 1, 10**6, 1_004_999, 3 * 10**6 + 1, 10**9])
def test_beyond_a_million_tokens_the_mix_is_exact_too(tokens):
    """The best price per token is Ultra's, so what a mix costs above that floor is bounded by one small remainder."""
    mix = cheapest_mix(tokens)
    less = cheapest_mix(tokens - 10_000)
    assert mix.rubles - less.rubles == 24_990
    assert mix.tokens >= tokens


@pytest.mark.parametrize(
    ("tokens", "name", "rubles"),
    [
        (0, "VIP", 2990),
        (1500, "VIP", 2990),
        (1501, "VIP + Start", 3239),
        (2000, "VIP + Advanced", 4780),
        (2500, "Elite", 4990),
        (3700, "Elite + Advanced + Standard", 7579),
    ],
)
def test_a_few_mixes_by_hand(tokens, name, rubles):
    mix = cheapest_mix(tokens)
    assert (mix.name, mix.rubles) == (name, rubles)


def test_without_the_api_a_small_need_takes_no_plan_at_all():
    assert cheapest_mix(50, need_api=False).name == "Start"
    assert cheapest_mix(0, need_api=False).rubles == 0
    assert cheapest_mix(300, need_api=False).name == "Basic"


def test_a_free_plan_brings_nothing_every_month():
    assert cheapest_mix(51, need_api=False).tokens >= 51


def test_what_packages_leave_over_stays_and_what_a_plan_leaves_expires():
    assert cheapest_mix(1000).keeps == 0
    mix = cheapest_mix(1540)
    assert (mix.name, mix.left, mix.keeps) == ("VIP + Start", 10, 10)


@pytest.mark.parametrize("tokens", [-1, 1.5, True, "2000", 10**9 + 1])
def test_a_number_that_cannot_be_is_refused(tokens):
    with pytest.raises(BadParam):
        plans_frame(tokens)


def test_the_tables_are_those_of_the_token_page():
    frame = plans_frame(current_plan="vip")
    assert frame.kind.tolist() == ["plan"] * 5 + ["package"] * 8
    packages = frame[frame.kind == "package"]
    assert dict(zip(packages.tokens, packages.rubles, strict=True)) == PACKAGES
    plans = frame[frame.kind == "plan"].set_index("name")
    assert {name: (plans.tokens[name], plans.rubles[name]) for name in PLANS} == PLANS
    assert plans.api[plans.api].index.tolist() == ["VIP", "Elite"]
    assert plans.index[plans.current].tolist() == ["VIP"]
    assert not plans.monthly["Starter"]
    assert plans.rubles_per_token["Starter"] is None
    assert (plans.rubles_per_token["VIP"], plans.rubles_per_token["Elite"]) == (Decimal("1.99"), Decimal("1.66"))
    assert {type(value) for value in packages.rubles_per_token} == {Decimal}
    assert packages.rubles_per_token.tolist()[:2] == [Decimal("4.98"), Decimal("4.49")]


def test_with_a_number_the_cheapest_mix_is_the_first_row():
    frame = plans_frame(2000, current_plan="Elite")
    assert frame.kind.tolist()[:3] == ["mix", "mix", "plan"]
    assert frame.name[0] == cheapest_mix(2000).name
    assert frame.rubles[0] <= frame.rubles[1]
    assert frame.current.tolist()[:2] == [False, True]
    assert frame.left.tolist()[:2] == [0, 1000]
    assert len(frame) == 2 + 5 + 8


def test_the_columns_are_the_same_with_and_without_a_number():
    assert list(plans_frame().columns) == list(plans_frame(5).columns)
    assert plans_frame().dtypes.equals(plans_frame(5).dtypes)


def test_roubles_are_rounded_half_up_to_the_kopeck():
    assert per_token(799, 200) == Decimal("4.00")
    assert per_token(1, 8) == Decimal("0.13")
    assert per_token(0, 50) is None


def test_every_package_is_a_multiple_of_the_smallest():
    assert all(package.tokens % 50 == 0 for package in catalog().packages)
