"""What the price of a notebook cannot know is never nothing: cells in Python, calls without an answer, those of a team."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from worlds import QuickSession, World, until

import elumenta_nb as el
from elumenta_nb import _cards, sandbox
from elumenta_nb._cells import Cells
from elumenta_nb._cli import main
from elumenta_nb._language import set_language
from elumenta_nb._notebook_price import price_of_notebook
from elumenta_nb._values import Ask, Origin
from elumenta_nb._verbs import VERBS

LOOP = 'import elumenta_nb as el\nfor i in range(1000):\n    el.generate("veo-3.1", "the sea", max_price=400)'
TWO = "%%elumenta text gpt-5\nhello"
HISTORY_WITHOUT_IT = {"kind": "garbage", "body": '{"items": [], "total": 0}', "path": "/user/history"}


@pytest.fixture(scope="module")
def server():
    with sandbox.serve(time_scale=0.002) as running:
        yield running


@pytest.fixture
def world(server, tmp_path):
    server.control("reset")
    server.faults.clear()
    world = World(server, tmp_path / "home")
    yield world
    world.close()


@pytest.fixture
def in_sandbox(monkeypatch):
    monkeypatch.setenv("ELUMENTA_MODE", "sandbox")


def saved(*cells: str) -> Path:
    rows = [
        {"cell_type": "code", "id": f"c{at}", "metadata": {}, "outputs": [], "source": source}
        for at, source in enumerate(cells)
    ]
    path = Path.cwd() / "report.ipynb"
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": rows}))
    return path


def priced(session, *cells: str):
    return price_of_notebook(session, saved(*cells), verbs=VERBS)


# ---------------------------------------------------------------- cells in Python


def test_python_is_counted_and_makes_the_sum_a_lower_bound(world):
    price = priced(
        world.session,
        "import elumenta_nb as nb\nfrom elumenta_nb import generate as g",
        "for i in range(9):\n    nb.generate('gpt-5', 'x'); g('gpt-5', 'y')",
        "df.elumenta.map('{{a}}', model='gpt-5')",
        "nb.quote('gpt-5'); other.generate('x')",
        TWO,
    )

    assert [(found.cell, found.status, found.count) for found in price.rows[:2]] == [
        (2, "not priced", 2),
        (3, "not priced", 1),
    ]
    assert (price.low, price.high, price.unpriced) == (2, None, 2)
    assert "Run All costs at least 2 tokens, and 2 Python cells that are not priced" in str(price)
    assert price.frame().attrs["unpriced"] == 2
    assert price.frame().attrs["high"] is None


@pytest.mark.parametrize(
    "source",
    [
        "el.session().generate('gpt-5', 'x')",
        "mine = el.session()\nmine.generate('gpt-5', 'x')",
        "%time el.generate('gpt-5', 'x')",
        "x = %time el.generate('gpt-5', 'x')",
        "%timeit -n 1 -r 1 el.generate('gpt-5', 'x')",
        "el.generate('gpt-5', 'x')  # too dear?",
        "el.spend?\n?el\nel.generate('gpt-5', 'x')",
        "cd data\nel.generate('gpt-5', 'x')",
        "cd data\ndf.elumenta.map('{{a}}', model='gpt-5')",
        "from elumenta_nb import generate\ncd data\ngenerate('gpt-5', 'x')",
        "get_ipython().run_line_magic('elumenta', 'text gpt-5 x')",
        "get_ipython().run_cell_magic('elumenta', 'text gpt-5', 'x')",
    ],
)
def test_python_buys_in_more_than_one_way(world, source):
    (row,) = priced(world.session, source).rows

    assert (row.status, row.count) == ("not priced", 1)


def test_a_sum_without_its_python_cells_is_above_any_limit_unless_they_are_allowed(world):
    price = priced(world.session, LOOP, TWO)

    assert price.is_above(10**9)
    assert price.is_above(1, allow_unpriced=True)
    assert not price.is_above(2, allow_unpriced=True)


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ([], 0),
        (["--max-price", "1000000"], 1),
        (["--max-price", "2", "--allow-unpriced"], 0),
        (["--max-price", "1", "--allow-unpriced"], 1),
        (["--allow-unpriced"], 0),
    ],
)
def test_the_command_refuses_what_it_cannot_price(in_sandbox, capsys, options, status):
    saved(LOOP, TWO)

    assert main(["price", "report.ipynb", *options]) == status
    assert "at least 2 tokens, and 1 Python cell that is not priced" in capsys.readouterr().out


def test_a_count_that_is_not_known_is_above_any_limit_although_python_is_allowed(in_sandbox):
    saved(LOOP, "%%elumenta text gpt-5 --count {{n}}\nhello")

    assert main(["price", "report.ipynb", "--max-price", "1000000", "--allow-unpriced"]) == 1


def test_in_russian_the_lower_bound_is_said_too(world):
    price = priced(world.session, LOOP, LOOP, LOOP, TWO)
    set_language("ru")
    try:
        assert "минимум 2 токена плюс 3 ячейки на Python, цена которых неизвестна" in str(price)
    finally:
        set_language("en")


def test_what_is_short_of_a_lower_bound_is_not_said_to_be_the_worst(tmp_path):
    with sandbox.serve(balance=1) as poor:
        world = World(poor, tmp_path / "home")
        price = priced(world.session, LOOP, TWO)
        world.close()

    assert "at least 1 token short" in str(price)
    assert "at worst" not in str(price)


# ---------------------------------------------------------------- lines that buy more often than they seem to


def cell(*lines: str) -> str:
    return "\n".join(lines)


def test_equal_lines_of_one_cell_are_bought_each(world):
    line = "%elumenta text gpt-5 hello"
    price = priced(world.session, cell(line, line), line, cell(line, line, line, line))

    assert [(row.status, row.low) for row in price.rows] == [
        ("to buy", 2), ("to buy", 2), ("stored", 0), ("stored", 0), ("stored", 0), ("to buy", 2), ("to buy", 2),
    ]  # fmt: skip
    assert price.high == 8


def test_what_is_stored_is_shown_once_in_a_cell(world):
    world.session.run(Ask(model="gpt-5", prompt="hello"), Origin(source="magic", cell_id="c0"))
    line = "%elumenta text gpt-5 hello"
    price = priced(world.session, cell(line, line))

    assert [(row.status, row.high) for row in price.rows] == [("stored", 0), ("to buy", 2)]


def test_a_loop_over_what_is_stored_may_buy_more(world):
    world.session.run(Ask(model="gpt-5", prompt="hello"), Origin(source="magic", cell_id="c0"))
    price = priced(world.session, "for i in range(9):\n    %elumenta text gpt-5 hello", TWO)

    assert [(row.status, row.low, row.high) for row in price.rows] == [
        ("depends on how often it runs", 0, None), ("stored", 0, 0),
    ]  # fmt: skip
    assert "in a loop" in price.rows[0].note
    assert price.is_above(10**9)


def test_again_has_the_price_of_what_it_repeats_also_where_that_is_stored(world):
    world.session.run(Ask(model="gpt-5", prompt="hello"), Origin(source="magic", cell_id="c0"))
    price = priced(
        world.session,
        TWO,
        "%elumenta again",
        "%%elumenta image dall-e-3 --quote\na cat",
        "%elumenta again",
        "for i in range(2):\n    %elumenta again",
        "%%elumenta text gpt-5 -b --count 2\n{{q}}",
        "%elumenta again",
        "%%elumenta {{q}}",
        "%elumenta again",
    )

    assert [(row.status, row.low, row.high) for row in price.rows] == [
        ("stored", 0, 0),
        ("to buy", 2, 2),
        ("price only", 0, 0),
        ("to buy", 2, 2),
        ("depends on how often it runs", 2, None),
        ("depends on a variable", 4, 4),
        ("depends on a variable", 4, 4),
        ("depends on a variable", 0, None),
        ("depends on a variable", 0, None),
    ]
    assert price.rows[1].note == "again: bought anew at every run"


@pytest.mark.parametrize(
    "cells",
    [
        (TWO, "%elumenta sandbox on"),
        ("%elumenta sandbox on", "%elumenta sandbox off", TWO),
        ("import elumenta_nb as el\nel.generate('gpt-5', 'x')", "%elumenta sandbox on", TWO),
    ],
)
def test_a_notebook_that_buys_outside_its_sandbox_is_not_priced_there(world, cells):
    assert not priced(world.session, *cells).sandbox


def test_help_and_prices_before_the_sandbox_is_on_do_not_make_a_notebook_live(tmp_path):
    session = QuickSession(home=tmp_path / "home")
    price = priced(
        session,
        "%elumenta image -h",
        "%elumenta text gpt-5 --quote",
        "%elumenta sandbox on",
        TWO,
        "%elumenta sandbox off",
    )

    assert (price.sandbox, price.low) == (True, 2)


def test_a_model_whose_price_nobody_tells_costs_what_its_cell_allows_or_is_refused(world):
    nothing = {"kind": "status", "code": 404, "times": 100}
    for path in ("/models*", "*calculate-price*"):
        world.server.fault(path=path, **nothing)
    price = priced(world.session, "%%elumenta text new-model\nhello", "%%elumenta text new-model --max-price 30\nhello")

    assert [(row.status, row.low, row.high) for row in price.rows] == [("refused", 0, 0), ("to buy", 0, 30)]
    assert "price is not known" in price.rows[0].note


def test_what_a_refused_cell_did_not_buy_is_not_there_for_the_next(world):
    price = priced(world.session, TWO.replace("gpt-5", "gpt-5 --max-price 1"), TWO)

    assert [(row.status, row.high) for row in price.rows] == [("refused", 0), ("to buy", 2)]


def test_what_was_charged_more_than_its_quote_may_be_so_again(world):
    world.session.services().prices.learn(world.session.resolve(Ask(model="gpt-5")), 7)
    (row,) = priced(world.session, "%%elumenta text gpt-5 --count 2\nhello").rows

    assert (row.low, row.high) == (4, 14)


def test_a_picture_in_base64_is_no_file_name(world):
    (row,) = priced(world.session, f"%%elumenta image-tools upscale --input data:image/png;base64,{'A' * 5000}\n").rows

    assert (row.status, "public URL" in row.note) == ("refused", True)


# ---------------------------------------------------------------- calls without an answer


class Patient(QuickSession):
    grace_s = 900.0


class Impatient(QuickSession):
    grace_s = 0.0


def lose(world) -> None:
    """The cell's call is sent and never arrives; nobody knows that."""
    world.server.fault("drop_before", path="/generate", method="POST")
    world.server.fault(**HISTORY_WITHOUT_IT, times=5)
    with pytest.raises(el.OutcomeUnknown):
        world.session.run(Ask(model="gpt-5", prompt="hello"), Origin(source="magic", cell_id="c0", run="1"))
    world.server.faults.clear()


def test_a_call_without_an_answer_is_not_said_to_be_running(world):
    lose(world)
    world.kind = Patient
    (row,) = priced(world.new_session(), TWO).rows

    assert (row.status, row.low, row.high) == ("paid already", 0, 0)
    assert row.note == "may have been made: looked up first"


def test_a_call_that_its_cell_may_give_up_and_buy_again_costs_up_to_its_price(world):
    lose(world)
    world.kind = Impatient
    session = world.new_session()
    price = priced(session, TWO, TWO)

    assert [(row.status, row.low, row.high) for row in price.rows] == [
        ("depends on the history", 0, 2), ("stored", 0, 0),
    ]  # fmt: skip
    assert "may have been made" in price.rows[0].note
    assert "running" not in price.rows[0].note
    assert price.is_above(1)
    session.run(Ask(model="gpt-5", prompt="hello"), Origin(source="magic", cell_id="c0", run="2"))
    assert world.charged == 2


def test_a_call_that_its_kernel_still_waits_for_is_not_bought_again_however_old_it_is(world):
    world.server.fault("slow", path="/generate", method="POST", seconds=2)
    handle = world.session.start(
        Ask(model="photon-flash", prompt="a lake"), Origin(source="magic", cell_id="c0", run="1")
    )
    world.kind = Impatient
    session = world.new_session()
    until(lambda: session.jobs()["status"].eq("reserved").any())
    (row,) = priced(session, "%%elumenta image photon-flash\na lake").rows
    handle.result()

    assert (row.status, row.low, row.high) == ("paid already", 0, 0)


def test_more_of_a_call_that_may_be_given_up_are_bought_for_certain(world):
    lose(world)
    world.kind = Impatient
    (row,) = priced(world.new_session(), "%%elumenta text gpt-5 --count 3\nhello").rows

    assert (row.status, row.low, row.high) == ("depends on the history", 4, 6)


# ---------------------------------------------------------------- a team


@pytest.mark.postgres
def test_on_a_team_s_ledger_what_one_has_paid_is_not_priced_again_and_what_another_has_is(
    world, postgres, monkeypatch, tmp_path
):
    photo = "%%elumenta image photon-flash\na quiet harbour"
    url = postgres.schema()

    def kernel(user: str):
        monkeypatch.setenv("JUPYTERHUB_USER", user)
        return world.new_session(ledger_url=url)

    world.server.fault("status", path="*storage*", method="GET", code=404, times=1000)
    origin = Origin(source="magic", cell_id="c0", user="ann", run="1")
    with pytest.raises(el.DownloadFailed):
        kernel("ann").run(Ask(model="photon-flash", prompt="a quiet harbour"), origin)
    world.server.faults.clear()

    statuses = [priced(kernel(user), photo).rows[0].status for user in ("ann", "bob")]
    assert statuses == ["paid already", "to buy"]


# ---------------------------------------------------------------- words


@pytest.mark.parametrize("word", ["txet", "gpt-55", "balanc"])
def test_a_misspelt_word_is_answered_as_the_cell_answers_it(world, word):
    cells = Cells(front=None, session=lambda: world.session)
    with pytest.raises(el.UnknownModel) as caught:
        cells._category_of(word)
    (row,) = priced(world.session, f"%%elumenta {word}\nhello").rows

    assert row.status == "refused"
    assert row.note == f"{caught.value} {caught.value.hint}"
    assert "Did you mean" in row.note


def test_the_price_card_of_the_sandbox_says_so(world):
    ask = Ask(model="dall-e-3")
    told = (world.session.resolve(ask), *world.session.price(ask), 1)

    assert _cards.price(*told, mode="sandbox").title == "SANDBOX · dall-e-3: 5 tokens"
    assert _cards.price(*told, mode="live").title == "dall-e-3: 5 tokens"
