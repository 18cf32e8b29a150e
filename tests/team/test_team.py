"""Several people, one account, one ledger in PostgreSQL: budgets, spend, open calls and the account's limit of all."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from worlds import QuickSession

from elumenta_nb._errors import BudgetExceeded, OutcomeUnknown
from elumenta_nb._ledger import Intent, Ledger, Where
from elumenta_nb._session import Session
from elumenta_nb._values import Ask, Origin
from elumenta_nb.sandbox import serve

pytestmark = pytest.mark.postgres
CELL = Origin(source="magic", notebook="lesson.ipynb-1", cell_id="c1", source_hash="5ab", run="r1")


@pytest.fixture
def server():
    with serve(time_scale=0.001, slow_models=("luma-ray2-flash",)) as server:
        yield server


@pytest.fixture
def team(postgres, server, tmp_path, monkeypatch):
    """`team("ann")` is a new kernel of hers, on a machine of hers."""
    url, sessions = postgres.schema(), []

    def kernel(user: str) -> Session:
        monkeypatch.setenv("JUPYTERHUB_USER", user)
        home = tmp_path / user
        session = QuickSession(
            api_key=server.api_key, base_url=server.url, home=home, ledger_url=url, media_dir=home / "media"
        )
        sessions.append(session)
        return session

    yield kernel
    for session in sessions:
        session.close()


def buy(session: Session, user: str, prompt: str = "a quiet harbour", *, model: str = "dall-e-3", **facts):
    origin = replace(CELL, **({"user": user, "run": f"{user} {prompt}"} | facts))
    return session.run(Ask(model=model, prompt=prompt), origin)


def test_a_budget_of_one_user_stops_that_user_in_every_kernel(team):
    ann = team("ann")
    buy(ann, "ann")
    ann.budget(6, per="day", user="ann")
    again, bob = team("ann"), team("bob")
    with pytest.raises(BudgetExceeded) as caught:
        buy(again, "ann", "another harbour")
    assert "user ann" in str(caught.value)
    assert "--user ann" in caught.value.hint
    assert buy(bob, "bob", "another harbour")[0].tokens == 5
    assert bob.budgets()[["user", "limit", "spent"]].values.tolist() == [["ann", 6, 5]]


def test_a_budget_of_a_tag_stops_the_project_whoever_works_on_it(team):
    ann, bob = team("ann"), team("bob")
    bob.budget(9, per="month", tag="newsletter")
    buy(ann, "ann", tags=("newsletter",))
    with pytest.raises(BudgetExceeded, match="tag newsletter"):
        buy(bob, "bob", "another harbour", tags=("newsletter", "draft"))
    buy(bob, "bob", "another harbour", tags=("draft",))


def test_everybody_sees_what_the_team_spent_by_user_and_by_tag(team):
    ann, bob = team("ann"), team("bob")
    buy(ann, "ann", tags=("newsletter",))
    buy(bob, "bob", "another harbour", tags=("newsletter",))
    buy(bob, "bob", "a third harbour")
    for session in (ann, bob):
        by_user = session.spend(by="user")
        assert dict(zip(by_user["user"], by_user["tokens"], strict=True)) == {"bob": 10, "ann": 5}
        by_tag = session.spend(by="tag")
        assert dict(zip(by_tag["tag"], by_tag["tokens"], strict=True)) == {"newsletter": 10, "": 5}
        assert sorted(session.spend()["user"]) == ["ann", "bob", "bob"]


def left_open(session: Session, user: str, prompt: str) -> int:
    """A call of a kernel that died: reserved, sent, its answer never read."""
    call_id = buy(session, user, prompt)[0].id
    row = session.ledger().call(call_id)
    (again,) = session.ledger().reserve(
        [
            Intent(
                account=row.account, api=row.api, category=row.category, model=row.model, provider=row.provider,
                params=row.params, prompt_chars=row.prompt_chars, prompt_hash=row.prompt_hash,
                fingerprint=row.fingerprint, quoted=5, held=5, lease_s=0.001, folder=row.folder,
                origin=replace(row.origin, run="dead"),
            )
        ]
    )  # fmt: skip
    session.ledger().doubt([(again, "its kernel died")])
    return again


def test_unfinished_calls_are_left_to_whom_they_belong(team):
    ann, bob = team("ann"), team("bob")
    hers = left_open(ann, "ann", "hers")
    his = left_open(bob, "bob", "his")
    assert list(bob.jobs().index) == [his]
    assert bob.status().open_calls == 1
    assert sorted(bob.jobs(everyone=True).index) == sorted([hers, his])
    assert dict(bob.jobs(everyone=True)["user"]) == {hers: "ann", his: "bob"}
    assert [entry.id for entry in bob.open_entries(hers)] == [hers]  # named, so meant
    with pytest.raises(OutcomeUnknown):
        bob.resume()
    assert bob.ledger().call(hers).error == "its kernel died"  # nobody looked it up


def test_a_cell_that_all_of_a_class_have_is_bought_by_each(team):
    ann, bob = team("ann"), team("bob")
    hers = left_open(ann, "ann", "the same for all")
    result = buy(bob, "bob", "the same for all")[0]
    assert (result.tokens, result.id == hers) == (5, False)
    assert ann.ledger().call(hers).open


def test_the_doctor_tells_of_the_server_and_of_the_others_calls(team):
    ann, bob = team("ann"), team("bob")
    left_open(ann, "ann", "hers")
    found = {finding.topic: finding for finding in bob.doctor().findings if finding.topic in {"ledger", "open calls"}}
    assert found["ledger"].state == "ok"
    assert "PostgreSQL 1" in found["ledger"].text
    assert "ms away" in found["ledger"].text
    assert "1 unfinished call of other users (up to 5 tokens)" in found["open calls"].text
    assert "%elumenta recover --everyone" in found["open calls"].advice


def test_requests_of_all_kernels_are_counted_against_the_account_s_limit(team):
    ann, bob = team("ann"), team("bob")
    buy(ann, "ann")
    buy(bob, "bob", "another harbour")
    ledger: Ledger = bob.ledger()
    (who,) = {row[0] for row in ledger.totals(("account",), Where())}
    assert ledger.sent_since(who, bob.services().api, ledger.now() - timedelta(hours=1)) == 2
