"""The form is the table: every parameter of every model has a control, and an untouched one says nothing."""

from __future__ import annotations

import threading

import ipywidgets as widgets
import pytest
from worlds import QuickSession, until

from elumenta_nb._catalog import Model, catalog
from elumenta_nb._panels import Panel
from elumenta_nb._panels._controls import control_of
from elumenta_nb._panels._form import all_models, fits, rows_of
from elumenta_nb._panels._price import Price
from elumenta_nb.sandbox import serve

EVERY = [
    pytest.param(param, id=f"{slug}-{param.name}")
    for slug, model in catalog().models.items()
    for param in catalog().params_of(catalog().categories[model.category], model)
]


@pytest.mark.parametrize("param", EVERY)
def test_every_parameter_has_a_labelled_control_that_says_nothing_until_it_is_touched(param):
    control = control_of(param, {})

    assert control.read() is None
    assert control.widget.description
    assert control.widget.tooltip
    assert isinstance(control.widget, widgets.Dropdown) == bool(param.choices)
    if param.choices:
        for choice in param.choices:
            control.widget.value = choice
            assert param.parse(control.read()) == choice


def test_a_number_put_back_to_the_default_says_nothing():
    speed = next(param for param in catalog().categories["tts"].params if param.name == "speed")
    control = control_of(speed, {})
    control.widget.value = 1.5
    assert control.read() == 1.5
    control.widget.value = 1.0
    assert control.read() is None


def test_all_models_of_a_category_are_listed_with_price_and_tier(desk):
    panel = desk.panel("image")
    lines = [line for line, _slug in panel.form.model.options]

    assert len(lines) == len(catalog().of("image"))
    assert any("dall-e-3" in line and "5–13" in line and "Starter" in line for line in lines)
    assert panel.form.model.value == "photon-flash", "the cheapest"
    assert "price in Elumenta tokens (credits of your account), plan it needs" in panel.form.about.value


def test_the_search_narrows_the_list_and_the_choice_stays_while_it_can(desk):
    panel = desk.panel("image", "dall-e-3")
    panel.form.search.value = "openai"
    assert [slug for _line, slug in panel.form.model.options] == ["dall-e-3", "gpt-image-1.5"]
    assert panel.form.model.value == "dall-e-3"

    panel.form.search.value = "no such thing"
    assert panel.form.model.value is None
    assert "No model matches" in panel.form.about.value
    assert panel.generate.disabled
    panel.generate.click()
    assert not panel.purchase.is_busy

    panel.form.search.value = ""
    assert panel.form.chosen is not None
    assert not panel.generate.disabled


def test_what_was_chosen_stays_where_the_next_model_has_it_too(desk):
    panel = desk.panel("image", "dall-e-3")
    panel.form.controls["quality"].widget.value = "hd"
    panel.form.controls["style"].widget.value = "vivid"

    panel.form.use("gpt-image-1.5")

    assert panel.form.controls["quality"].widget.value == "hd"
    assert "style" not in panel.form.controls


def test_a_category_that_takes_no_prompt_shows_none(desk):
    panel = desk.panel("stt")
    panel.form.prompt.value = "left over"

    assert panel.form.prompt.layout.display == "none"
    assert panel.ask().prompt is None
    panel.form.category.value = "text"
    assert panel.form.prompt.layout.display is None


def test_until_the_server_has_said_the_price_the_range_of_the_table_is_shown():
    table = catalog().models

    assert str(Price.of_model(table["dall-e-3"])) == "5–13 tokens"
    assert str(Price.of_model(table["gpt-5"])) == "about 2 tokens"
    assert str(Price(13, 13, exact=True)) == "13 tokens"
    assert str(Price.of_model(table["dall-e-3"], 3)) == "15–39 tokens"
    assert str(Price(39, 39, exact=True, count=3)) == "39 tokens (3 × 13)"
    assert Price.of_model(Model(slug="new", category="text", minimum=0, maximum=0)) is None


def test_the_last_of_quick_changes_is_the_price_that_stays(desk):
    panel = desk.panel("image", "dall-e-3")
    before = sum("price" in seen.path for seen in desk.server.seen)
    panel.line.delay_s = 60  # the next one comes sooner
    for quality in ("hd", "standard", "hd"):
        panel.form.controls["quality"].widget.value = quality
    panel.line.delay_s = 0.01
    panel.form.controls["size"].widget.value = "1792x1024"
    until(lambda: panel.line.price == Price(13, 13, exact=True))

    assert sum("price" in seen.path for seen in desk.server.seen) == before + 1


@pytest.mark.parametrize("code", [429, 503])
def test_a_price_that_did_not_come_is_asked_for_again(desk, code):
    panel = desk.panel("image", "dall-e-3")
    panel.line.again_s = (0.05,) * 50
    desk.server.fault("status", code=code, path="*calculate-price*", times=1000)
    panel.form.controls["quality"].widget.value = "hd"
    until(lambda: sum("price" in seen.path for seen in desk.server.seen) >= 3)
    assert not panel.line.price.exact
    desk.server.faults.clear()

    until(lambda: panel.line.price == Price(9, 9, exact=True))


def test_values_the_server_lists_are_offered_where_a_call_may_have_them():
    told = Model(
        slug="dall-e-3",
        category="image",
        minimum=5,
        maximum=13,
        params={"size": {"choices": ("1024x1024", "64x64")}, "quality": {"choices": ("hd",)}},
        in_table=False,
    )
    new = Model(slug="brand-new", category="image", minimum=3, maximum=3, in_table=False)

    models = {model.slug: model for model in all_models({"dall-e-3": told, "brand-new": new})}

    assert models["dall-e-3"].params["size"]["choices"] == ("1024x1024",)
    assert models["dall-e-3"].params["quality"]["choices"] == ("hd",)
    assert models["brand-new"] is new


def test_a_model_only_the_server_knows_can_be_found_and_bought(desk_of):
    row = {"slug": "gpt-6", "category": "text", "minimum": 3, "maximum": 3, "provider": "OpenAI"}
    with serve(time_scale=0.002, extra_models=[row]) as server:
        desk = desk_of(server)
        panel = desk.panel("text")
        until(lambda: "gpt-6" in [slug for _line, slug in panel.form.model.options])
        panel.models.search.value = "gpt-6"
        panel.models.take.click()
        assert panel.form.chosen.slug == "gpt-6"
        desk.fill(panel, prompt="hello")
        desk.buy(panel)
        assert panel.results[0].model == "gpt-6"
        assert desk.charged == 3


# ---------------------------------------------------------------- the tab of all models


def test_the_models_tab_filters_and_takes_a_model_to_the_form(desk):
    panel = desk.panel("text")
    tab = panel.models
    assert len(tab.list.options) >= 52

    tab.category.value = "video"
    tab.most.value = "30"
    assert [slug for _line, slug in tab.list.options] == ["luma-ray2-flash", "kling-v2.1"]
    tab.tier.value = "Starter"
    assert [slug for _line, slug in tab.list.options] == ["luma-ray2-flash"]
    assert "15–93 tokens" in tab.about.value
    panel.tabs.selected_index = 1
    tab.take.click()

    assert panel.tabs.selected_index == 0
    assert panel.form.category.value == "video"
    assert panel.form.chosen.slug == "luma-ray2-flash"


def test_a_search_that_finds_nothing_says_so(desk):
    tab = desk.panel("text").models
    tab.search.value = "zzz"

    assert tab.take.disabled
    assert "No model matches" in tab.about.value


def test_words_are_found_in_slug_name_provider_and_category():
    dalle = catalog().models["dall-e-3"]

    assert fits(dalle, "openai image")
    assert fits(dalle, "DALL")
    assert not fits(dalle, "dall video")


def test_columns_line_up_in_a_fixed_width_font():
    lines = [line for line, _slug in rows_of(catalog().of("image"))]

    assert len({line.index("Starter" if "Starter" in line else "Basic+") for line in lines}) == 1
    assert not any(" " in line for line in lines), "an <option> folds ordinary spaces"


def test_a_panel_for_what_does_not_exist_names_what_does(desk):
    import elumenta_nb as el

    with pytest.raises(el.BadParam, match="no category") as caught:
        el.panel("imagery")
    assert "image" in caught.value.hint


def test_making_a_panel_waits_for_nothing(tmp_path):
    gate = threading.Event()

    class Stuck(QuickSession):
        def served_models(self):
            gate.wait(10)
            return {}

        def balance(self):
            gate.wait(10)
            return super().balance()

    session = Stuck(mode="sandbox", home=tmp_path)
    panel = Panel(lambda: session, None, category="image", namespace={})
    assert panel.form.model.options
    gate.set()
    until(lambda: panel.line.purse.balance is not None)
    session.close()


def test_a_panel_of_the_sandbox_says_so_live_and_as_a_still_picture(desk, tmp_path):
    session = QuickSession(mode="sandbox", home=tmp_path)
    panel = Panel(lambda: session, None, category="image", namespace={})
    until(lambda: panel.line.purse.balance is not None)
    still = panel._repr_mimebundle_()[0]["text/plain"]
    session.close()

    assert "your account is not charged" in panel.cost.value
    assert still.startswith("Elumenta · SANDBOX · photon-flash · ")
    live = desk.panel("image")
    assert "not charged" not in live.cost.value
    assert "SANDBOX" not in live._repr_mimebundle_()[0]["text/plain"]
