"""The sandbox's made-up past beside what is in its ledger already: nothing moves, and all of it adds up."""

from datetime import datetime

import pytest

import elumenta_nb as el

pytestmark = pytest.mark.slow


@pytest.fixture
def session():
    el.configure(mode="sandbox")
    return el.session()


def test_a_past_is_written_beside_calls_that_are_there_already(session):
    bought = el.generate("gpt-5-nano", "hello")
    told = session.sandbox("past")
    frame = session.spend(columns="all")
    own = frame[frame["id"] == bought.id].iloc[0]

    assert told == {"calls": 255, "tokens": 915, "balance": 1500 - bought.tokens - 915}
    assert len(frame) == 256
    assert session.balance().tokens == 1500 - frame["tokens"].sum()
    assert (frame[frame["host"] == "past"]["started_at"] < own["started_at"]).all()
    assert session.ledger().check() == []
    assert session.sandbox("past") == told, "and once only"


def test_a_past_leaves_something_of_a_small_balance_and_the_tokens_of_packages(session):
    session.server().control("balance", "200", "100")
    told = session.sandbox("past")
    balance = session.balance()

    assert 0 < told["tokens"] <= 150
    assert balance.tokens == told["balance"] == 300 - told["tokens"]
    assert session.sandbox("status")["package_tokens"] == 100
    assert session.ledger().check() == []


def test_a_past_keeps_to_the_budgets_that_are_set_and_leaves_today_s_as_they_are(session):
    session.budget(20, per="day")
    session.budget(50, per="month")
    bought = el.generate("gpt-5-nano", "hello")
    session.sandbox("past")
    frame = session.spend()
    days = frame.groupby(frame["started_at"].dt.tz_convert(datetime.now().astimezone().tzinfo).dt.date)["tokens"].sum()
    spent = dict(zip(session.budgets()["per"], session.budgets()["spent"], strict=True))

    assert 0 < days.max() <= 20
    assert spent["day"] == bought.tokens
    assert bought.tokens <= spent["month"] <= 50
    assert session.ledger().check() == []


def test_the_sandbox_tells_a_plan_by_the_name_it_was_asked_by(session):
    assert session.sandbox("plan", "starter")["plan"] == "Starter"
    assert session.sandbox("status")["plan"] == "Starter"
    assert session.sandbox("plan", "vip")["plan"] == "VIP"


def test_a_top_up_shows_in_the_next_receipt(session):
    el.generate("gpt-5-nano", "hello")
    session.sandbox("topup", "500")
    second = el.generate("gpt-5-nano", "hello again")

    assert second.receipt.balance == 1998
