"""Before a map spends: every row is checked, the plan says what it costs, and nobody pays without having said yes."""

import pandas as pd
import pytest

from elumenta_nb import _errors as e
from elumenta_nb._batch import Plan
from elumenta_nb._language import set_language


def test_a_plan_says_what_is_bought_and_buys_nothing(world, goods_of):
    frame = pd.concat([goods_of(5), goods_of(1)])
    frame.loc["k9"] = [None, 3]

    plan = world.map(frame, dry_run=True)

    assert isinstance(plan, Plan)
    assert (plan.rows, plan.calls, plan.refused, plan.to_buy, plan.price, plan.low) == (7, 5, 1, 5, 5, 5)
    assert plan.exact
    assert "row k9: title is empty" in str(plan)
    assert world.taken == 0
    assert world.session.spend().empty
    shown = plan._repr_mimebundle_()
    assert "<table>" in shown["text/html"]
    assert "5 tokens" in shown["text/plain"]


def test_a_plan_knows_what_is_stored_and_what_a_budget_reaches(world, goods_of):
    world.map(goods_of(3))

    plan = world.map(goods_of(8), dry_run=True, budget=5)

    assert (plan.stored, plan.to_buy, plan.price, plan.budget) == (3, 5, 5, 5)
    assert plan.affordable in (2, 5)  # what ran without a budget is counted from the first run that has one
    set_language("ru")
    assert "токен" in str(plan)


def test_prices_differ_by_the_parameters_of_the_row(world):
    frame = pd.DataFrame({"title": ["a", "b", "c"], "q": ["standard", "hd", "hd"]})

    plan = world.map(frame, "{{title}}", model="dall-e-3", params={"quality": "q"}, dry_run=True)

    quotes = [seen for seen in world.server.seen if seen.path.endswith("/calculate-price")]
    assert plan.price == 5 + 9 + 9
    assert len(quotes) == 2


def test_above_the_limit_somebody_has_to_say_yes(world, goods_of):
    world.session.use(confirm_above=10)

    with pytest.raises(e.ConfirmPrice) as asked:
        world.map(goods_of(11))

    assert "11 calls to buy, 11 tokens" in str(asked.value)
    assert "budget=11" in asked.value.hint
    assert world.taken == 0
    with pytest.raises(e.PriceAboveMax, match="the limit is 10"):
        world.map(goods_of(11), max_price=10)
    assert world.map(goods_of(11), max_price=11)["tokens"].sum() == 11


@pytest.mark.parametrize(
    ("template", "more", "said", "hint"),
    [
        ("{{titel}}", {}, "names 'titel'", "Did you mean title?"),
        ("{{title}}", {"params": {"seed": "sed"}}, "reads seed from the column 'sed'", "Did you mean seed?"),
        ("{{title}}", {"input": "url"}, "names the column 'url'", "Columns: title, seed"),
        ("{{title}}", {"params": {"temperature": "seed"}}, "row k3: --temperature does not take 3", ""),
        ("{{title}}", {"temperature": 9}, "--temperature does not take 9", ""),
        ("{{title", {}, "cannot be read", ""),
        (None, {}, "needs a template", ""),
        ("{{title}}", {"out": "tokens"}, "out= names the column", ""),
        ("{{title}}", {"budget": -1}, "budget= is a whole number", ""),
        ("{{title}}", {"concurrency": 0}, "concurrency= is a whole number", ""),
        ("{{title}}", {"reuse": "media"}, "reuse= is one of", ""),
        ("{{ row['x'] }}", {}, "names 'x'", "Columns: title, seed"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(world, goods_of, template, more, said, hint):
    with pytest.raises(e.BadParam) as refused:
        world.map(goods_of(6), template, **more)

    assert said in str(refused.value)
    assert hint in refused.value.hint
    assert world.taken == 0


def test_an_empty_cell_is_a_row_without_a_call_and_not_the_text_nan(world):
    frame = pd.DataFrame({"title": ["mug", None, float("nan"), "", "cup"], "word": ["a", "b", "c", "d", None]})

    made = world.map(frame, "{{title}}")

    assert list(made["status"]) == ["completed", "failed", "failed", "failed", "completed"]
    assert list(made["error"][1:4]) == ["title is empty", "title is empty", "its prompt is empty"]
    assert sorted(world.bought) == ["cup", "mug"]


def test_a_row_with_half_a_character_is_refused_and_the_others_are_bought(world):
    frame = pd.DataFrame({"title": pd.Series(["mug", "cu\ud800p"], dtype=object)})

    made = world.map(frame, "{{title}}")

    assert list(made["status"]) == ["completed", "failed"]
    assert "surrogates not allowed" in made["error"][1]
    assert list(world.bought) == ["mug"]


def test_a_map_is_no_map_of_something_else(world):
    with pytest.raises(e.BadParam, match="takes a DataFrame or a Series, not list"):
        world.map(["a"])
    with pytest.raises(e.UnknownModel):
        world.map(pd.DataFrame({"title": ["a"]}), model="gpt-5-nanno")
