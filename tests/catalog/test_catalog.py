"""The table: it says what the token page says, finds what is wrong before money, and grows by a row."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from elumenta_nb._catalog import catalog, closest, read
from elumenta_nb._errors import BadParam, ElumentaError, InvalidCall, UnknownModel

PAGE = (Path(__file__).parents[1] / "house" / "token_page.md").read_text(encoding="utf-8")
TABLE = catalog()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]


def prices(cell: str) -> tuple[int, int]:
    ends = [int(end.replace(",", "")) for end in cell.split("–")]
    return ends[0], ends[-1]


def test_every_model_of_the_page_is_there_at_its_price_and_no_other():
    told = {
        row[0].strip("`"): prices(row[-1])
        for row in ROWS
        if row[0].startswith("`") and re.fullmatch(r"[\d–]+", row[-1])
    }

    assert len(told) == 52
    assert {model.slug: (model.minimum, model.maximum) for model in TABLE.models.values()} == told
    assert list(TABLE.models) == list(told), "in the order of the page"


def test_names_providers_and_tiers_are_those_of_the_page():
    for row in ROWS:
        if len(row) == 5 and row[0].startswith("`"):
            model = TABLE.models[row[0].strip("`")]
            assert [model.name, model.provider, model.tier] == row[1:4]
    tools = [model for model in TABLE.models.values() if model.category == "image-tools"]
    assert {model.tier for model in tools} == {"Starter"}, "the page says so of all seven"


def test_groups_have_the_pages_counts():
    told = [int(n) for n in re.findall(r"^### .*\((\d+)\)$", PAGE, re.MULTILINE)]

    assert [len(TABLE.of(name)) for name in TABLE.categories] == told == [12, 10, 7, 2, 6, 3, 5, 7]


def test_plans_and_packages_are_those_of_the_page():
    plans = {plan.name: (plan.tokens, plan.rubles) for plan in TABLE.plans}
    packages = {package.name: (package.tokens, package.rubles) for package in TABLE.packages}
    told = {row[0]: [int(n.replace(",", "")) for n in re.findall(r"[\d,]+", "|".join(row[1:]))] for row in ROWS}

    assert len(plans) == 5
    assert len(packages) == 8
    for name, (tokens, rubles) in {**plans, **packages}.items():
        assert told[name] == [tokens, rubles]


def test_a_53rd_model_is_a_row():
    text = files("elumenta_nb").joinpath("_catalog.toml").read_text(encoding="utf-8")
    row = '[[model]]\nslug = "gpt-7"\ncategory = "text"\ntokens = [8, 8]\n\n'
    grown = read(text.replace('[[model]]\nslug = "photon-flash"', row + '[[model]]\nslug = "photon-flash"'))

    found = grown.resolve(None, "gpt-7", {"temperature": "0.5"})

    assert len(grown.models) == 53
    assert (found.category.name, found.params, found.model.price) == ("text", {"temperature": 0.5}, "8")


@pytest.mark.parametrize(
    ("asked", "suggested"),
    [
        (("image", "dall-e3", {}), "dall-e-3"),
        (("text", "gpt5", {}), "gpt-5"),
        (("video", "kling", {}), "kling-v2.1"),
        (("image", "dall-e-3", {"qualiti": "hd"}), "--quality"),
        (("image", "dall-e-3", {"size": "1792x1025"}), "1792x1024"),
        (("imge", None, {}), "image"),
        (("tts", "openai-tts", {"voce": "alloy"}), "--voice"),
    ],
)
def test_a_slip_is_met_with_the_closest_name(asked, suggested):
    with pytest.raises(InvalidCall) as caught:
        TABLE.resolve(*asked)

    assert suggested in caught.value.hint


@pytest.mark.parametrize("old", TABLE.older.values(), ids=lambda old: old.slug)
def test_an_older_slug_is_told_its_name_of_today_and_that_name_works(old):
    with pytest.raises(UnknownModel) as caught:
        TABLE.resolve(None, old.slug, {})

    assert old.now in caught.value.hint
    assert TABLE.resolve(None, old.use, old.params).model.slug == old.use


def test_without_a_model_the_cheapest_is_chosen_and_marked():
    assert {name: TABLE.resolve(name, None, {}).model.slug for name in TABLE.categories} == {
        "text": "gpt-5-nano",
        "image": "photon-flash",
        "video": "luma-ray2-flash",
        "music": "musicgen",
        "tts": "minimax-tts",
        "stt": "whisper",
        "audio-tools": "elevenlabs-sfx",
        "image-tools": "upscale",
    }
    assert TABLE.resolve("text", None, {}).chosen


def test_parameters_not_in_the_table_can_be_sent_anyway():
    found = TABLE.resolve("image", "flux-1.1-pro", {}, extra={"steps": 20, "size": "1536x1024"})

    assert found.params == {"steps": 20, "size": "1536x1024"}
    assert found.priced == {"steps": 20, "size": "1536x1024"}, "what the table does not know may move the price"
    with pytest.raises(BadParam):
        TABLE.resolve("image", "flux-1.1-pro", {}, extra={"size": "3x3"})


def test_what_never_moves_the_price_is_not_asked_about():
    found = TABLE.resolve("text", "gpt-5", {"system": "be brief", "temperature": 0, "max_output": 5})

    assert found.params == {"system_prompt": "be brief", "temperature": 0.0, "max_tokens": 5}
    assert found.priced == {}


ANY = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=5),
    st.lists(st.integers(), max_size=2),
)
PARAMS = [(row, param) for row in TABLE.categories.values() for param in row.params]


@given(st.sampled_from(PARAMS), ANY)
def test_any_value_is_parsed_or_refused_and_what_is_parsed_stays_so(pair, value):
    _row, param = pair
    try:
        parsed = param.parse(value)
    except ElumentaError as error:
        assert isinstance(error, BadParam)
        assert param.flags[0] in str(error)
    else:
        assert param.parse(parsed) == parsed or parsed != parsed  # an input is passed on, nan too


@given(st.text(max_size=30))
def test_looking_for_the_closest_name_never_fails(word):
    assert closest(word, TABLE.models) in {None, *TABLE.models}
