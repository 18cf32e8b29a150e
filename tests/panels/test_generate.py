"""Eight categories from a panel, in both dialects: what is charged, what comes back, and the same as a cell."""

from __future__ import annotations

from typing import Any

import pytest

from elumenta_nb._asks import ask_of
from elumenta_nb._catalog import catalog
from elumenta_nb._panels._source import cell_source
from elumenta_nb._parser import parse
from elumenta_nb._template import render
from elumenta_nb._verbs import VERBS

CASES: dict[str, tuple[str, str, dict[str, Any]]] = {  # category: model, prompt, what is chosen
    "text": ("gpt-5", "why is the sea salt", {"system_prompt": "brief", "temperature": 0.2}),
    "image": ("dall-e-3", "a lighthouse", {"size": "1792x1024", "quality": "hd", "format": "png"}),
    "video": ("luma-ray2-flash", "a wave", {"duration": 5, "aspect_ratio": "9:16"}),
    "music": ("musicgen", "calm piano", {"duration": 15}),
    "tts": ("openai-tts", "good morning", {"voice_id": "nova", "format": "wav"}),
    "stt": ("elevenlabs-scribe", "", {"audio": "clip", "diarize": True, "language": "en"}),
    "audio-tools": ("el-voice-isolator", "", {"audio_url": "speech"}),
    "image-tools": ("upscale", "", {"image_url": "picture", "scale": 2}),
}
MIMES = {
    "image": "image/",
    "video": "video/",
    "music": "audio/",
    "tts": "audio/",
    "audio-tools": "audio/",
    "image-tools": "image/",
}
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


@pytest.mark.parametrize("dialect", ["a", "b"])
@pytest.mark.parametrize("category", CASES)
def test_every_category_works_in_a_panel_and_its_cell_asks_for_the_same(dialect, category, both, desk_of, inputs_of):
    desk = desk_of(both(dialect))
    model, prompt, chosen = CASES[category]
    desk.names |= inputs_of(desk, needed={value for value in chosen.values() if value in ("speech", "picture")})
    panel = desk.panel(category, model)
    paid = desk.charged

    desk.fill(panel, **{"prompt": prompt, **chosen})
    price = panel.line.price.high
    desk.buy(panel)

    row = catalog().models[model]
    (result,) = panel.results
    assert result.category == category
    assert row.minimum <= result.tokens == price <= row.maximum
    assert result.tokens == desk.charged - paid
    if category in MIMES:
        assert result.mime.startswith(MIMES[category])
        assert result.path.stat().st_size > 100
    else:
        assert "SANDBOX" in result.text
    assert desk.rows["source"].iloc[-1] == "panel"
    assert desk.rows["tokens"].iloc[-1] == result.tokens
    assert "Done" in panel.status.value

    by_cell, _line = asked_by_cell(panel.source, desk.names)
    by_panel = panel.ask()
    assert desk.session.resolve(by_cell) == desk.session.resolve(by_panel)
    assert by_cell.prompt == by_panel.prompt
    assert by_cell.stream == by_panel.stream


def test_a_panel_buys_anew_with_every_click_and_keeps_the_newest_on_top(desk):
    panel = desk.panel("text", "gpt-5")
    panel.form.prompt.value = "one"
    desk.buy(panel)
    panel.purchase._claimed_at = float("-inf")  # a second later
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
