"""What a panel buys and keeps, and that any prompt survives the way into a cell. All categories: tests/engine."""

from __future__ import annotations

from typing import Any

import pytest
from worlds import until

from elumenta_nb._asks import ask_of
from elumenta_nb._panels._source import cell_source
from elumenta_nb._parser import parse
from elumenta_nb._template import render
from elumenta_nb._verbs import VERBS

NASTY = [
    'it\'s "quoted" and 100 % {braces} {{ names }} $x `tick`',
    "line one\n\n  line two, indented\n%%elumenta text",
    "-starts with a dash",
    "Кит и маяк на рассвете",
    "{% if x %} {# literal #}",
]


def asked_by_cell(source: str, names: dict[str, Any]) -> tuple[Any, Any]:
    """What a cell with this source asks for, read as the magic reads it; and its line."""
    line, _newline, body = source.partition("\n")
    read = parse(
        line.removeprefix("%%elumenta"), verbs=VERBS, lookup=lambda _word: "text", fill=lambda text: render(text, names)
    )
    return ask_of(read, body if read["raw"] else render(body, names), names), read


def test_a_panel_buys_anew_with_every_click_and_keeps_the_newest_on_top(desk):
    now = [100.0]
    panel = desk.panel("text", "gpt-5", clock=lambda: now[0])
    panel.form.prompt.value = "one"
    desk.buy(panel)
    now[0] += 1
    panel.form.prompt.value = "two"
    desk.buy(panel)

    assert desk.charged == 4
    assert [result.tokens for result in panel.results] == [2, 2]
    assert desk.rows["reused"].sum() == 0
    assert "two" in panel.results[0].text
    assert len(panel.gallery.box.children[1].children) == 2


def test_a_result_is_bound_to_the_name_it_is_to_be_kept_as_and_offered_to_inputs(desk):
    panel = desk.panel("image", "photon-flash")
    panel.form.prompt.value = "a cat"
    panel.form.name.value = "cover"
    desk.buy(panel)

    assert desk.names["cover"] is panel.results[0]
    assert panel.source.splitlines()[0].endswith("-o cover")
    panel.form.use("upscale")
    assert list(panel.form.controls["image_url"].widget.options) == ["cover"]


def test_several_at_once_cost_several_times_the_price_and_are_kept_as_a_list(desk):
    panel = desk.panel("image", "dall-e-3")
    panel.form.name.value = "covers"
    desk.fill(panel, prompt="a cat")
    panel.form.count.value = 3
    until(lambda: str(panel.line.price) == "15 tokens (3 × 5)")
    desk.buy(panel)

    assert desk.charged == 15
    assert "Done · 15 tokens" in panel.status.value
    assert len({result.path.read_bytes() for result in panel.results}) == 3
    assert desk.names["covers"] == panel.results[::-1]
    assert panel.source.splitlines()[0] == "%%elumenta image dall-e-3 --count 3 -o covers"
    ask, _line = asked_by_cell(panel.source, {})
    assert ask.count == panel.ask().count == 3


def test_of_several_what_was_done_is_shown_with_the_error_of_the_rest(desk):
    panel = desk.panel("image", "dall-e-3")
    desk.fill(panel, prompt="a cat")
    panel.form.count.value = 3
    until(lambda: panel.line.price.high == 15)
    desk.server.control("fail", "next")
    desk.buy(panel)

    assert len(panel.results) == 2
    assert desk.charged == 10
    assert "2 of 3 done, 10 tokens spent" in panel.status.value


def test_several_may_be_dear_together_and_take_the_second_yes(desk):
    panel = desk.panel("image", "dall-e-3")
    desk.fill(panel, prompt="a cat")
    panel.form.count.value = 25
    until(lambda: panel.line.price.high == 125)
    panel.generate.click()

    assert panel.consent.description == "Yes, spend 125 tokens"
    assert desk.posts() == 0


@pytest.mark.parametrize("prompt", NASTY)
def test_any_prompt_survives_the_way_into_a_cell(prompt):
    source = cell_source("text", "gpt-5", {"system": prompt.replace("\n", " ")}, prompt)

    ask, _line = asked_by_cell(source, {})

    assert ask.prompt == prompt
    assert ask.options == {"system_prompt": prompt.replace("\n", " ")}


def test_a_dear_cell_says_its_consent_and_a_cheap_one_nothing(desk):
    panel = desk.panel("video", "veo-3.1")
    desk.fill(panel, prompt="a city", audio=True)
    assert panel.line.price.high == 334
    ask, _line = asked_by_cell(panel.source, {})
    assert ask.max_price == 334

    desk.fill(panel, audio=False, duration=4)
    assert panel.line.price.high < 100
    assert asked_by_cell(panel.source, {})[0].max_price is None
