"""`ELUMENTA_REUSE=only`: nothing is ever sent, whatever a cell says, with a key or without, in the sandbox or not."""

from __future__ import annotations

import pytest

import elumenta_nb as el
from elumenta_nb import sandbox
from elumenta_nb._session import Session
from elumenta_nb._values import Ask, Origin


@pytest.fixture(scope="module")
def server():
    with sandbox.serve(time_scale=0.002) as running:
        yield running


@pytest.fixture
def filled(server, tmp_path):
    """A home and a store with one answer of a live account; what the server saw until then is forgotten."""
    session = Session(api_key=server.api_key, base_url=server.url, home=tmp_path / "home")
    ask(session)
    session.close()
    server.seen.clear()
    return tmp_path / "home"


def ask(session, prompt="hello", **more):
    (result,) = session.run(Ask(model="gpt-5", prompt=prompt, **more), Origin(source="magic", source_hash="s"))
    return result


@pytest.mark.parametrize("more", [{}, {"fresh": True}, {"reuse": "off"}, {"reuse": "all"}, {"reuse": "media"}])
def test_a_cell_cannot_buy_even_with_a_key(server, filled, more):
    session = Session(api_key=server.api_key, base_url=server.url, home=filled, reuse="only")

    assert ask(session, **more).reused
    with pytest.raises(el.NotStored):
        ask(session, "never asked", **more)
    session.close()
    assert not server.seen


def test_the_last_fresh_one_is_the_one_shown(server, filled):
    live = Session(api_key=server.api_key, base_url=server.url, home=filled)
    fresh = ask(live, fresh=True)
    live.close()

    assert ask(Session(home=filled, reuse="only"), fresh=True).generation_id == fresh.generation_id


def test_turning_the_sandbox_on_starts_no_server(filled):
    session = Session(home=filled, reuse="only")

    assert session.sandbox("on") == {"mode": "only"}
    assert session.mode == "only"
    assert ask(session).reused
    assert not (filled / "sandbox.sqlite").exists()
    with pytest.raises(el.ConfigError, match="does not run"):
        session.sandbox("status")


def test_a_sandbox_result_may_be_shown_and_says_what_it_is(tmp_path):
    playing = Session(home=tmp_path / "home", mode="sandbox")
    made = ask(playing)
    playing.close()

    shown = ask(Session(home=tmp_path / "home", reuse="only"))
    assert shown.generation_id == made.generation_id
    assert shown.sandbox
    assert shown.receipt.sandbox
    assert "SANDBOX" in shown._repr_mimebundle_()[0]["text/plain"]


def test_a_price_is_the_table_s_and_says_so(filled):
    quote, total = Session(home=filled, reuse="only").price(Ask(model="dall-e-3", count=2))

    assert (quote.minimum, quote.maximum, quote.exact) == (5, 13, False)
    assert total == 26
