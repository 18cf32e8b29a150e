"""The verbs of `%elumenta`."""

import getpass
import re

import pandas as pd
import pytest
from IPython.core.formatters import DisplayFormatter

from elumenta_nb import _values as v
from elumenta_nb._answers import Chat
from elumenta_nb._catalog import catalog
from elumenta_nb._config import load
from elumenta_nb._errors import BadParam, ConfigError, NoKey
from elumenta_nb._magics import ElumentaMagics
from elumenta_nb._session import Status, current
from elumenta_nb._values import Origin
from elumenta_nb._verbs import VERBS

KEY = "nb_live_" + "a1b2c3d4" * 5


def plain(value):
    return value._repr_mimebundle_()[0]["text/plain"] if hasattr(value, "facts") else str(value)


# ---------------------------------------------------------------- with a session that plays its part


def test_the_balance_shows_pools_plan_and_limits(run):
    text = plain(run("%elumenta balance"))

    for part in ("270 tokens", "200 tokens", "70 tokens", "VIP", "97 left of 100", "SANDBOX"):
        assert part in text


def test_a_price_names_the_parameters_that_move_it(run):
    text = plain(run("%elumenta price dall-e-3 --quality hd --style vivid --count 2"))

    assert "26 tokens" in text
    assert "quality=hd" in text
    assert "style" not in text


def test_a_price_without_a_model_says_how(refused):
    assert "dall-e-3" in refused("%elumenta price").hint


def test_the_key_is_asked_for_where_it_does_not_show(shell, session, monkeypatch):
    asked = []
    monkeypatch.setattr(getpass, "getpass", lambda prompt: asked.append(prompt) or "nb_live_secret")
    session.status = lambda: (_ for _ in ()).throw(NoKey("later"))
    with pytest.raises(NoKey):
        shell.run("%elumenta login --keyring")

    assert session.said == [("login", "nb_live_secret", True)]
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("environ", "mode", "said"),
    [
        ({}, "live", "The key is kept in a file."),
        ({"ELUMENTA_MODE": "sandbox"}, "sandbox", "Calls still go to the sandbox: %elumenta sandbox off leaves it."),
        ({"ELUMENTA_REUSE": "only"}, "only", "Nothing is sent"),
        ({"ELUMENTA_API_KEY": KEY}, "live", "The key of ELUMENTA_API_KEY comes first and is the one in use."),
    ],
)
def test_a_login_says_where_the_key_is_and_what_keeps_it_from_being_used(
    shell, session, monkeypatch, tmp_path, environ, mode, said
):
    monkeypatch.setattr(getpass, "getpass", lambda _prompt: KEY)
    session.mode, session.settings = mode, load({"home": tmp_path}, environ=environ)
    session.status = lambda: Status(
        mode=mode,
        base_url="https://api.example",
        key="nb_…c3d4",
        balance=None,
        limits=v.Limits(),
        budgets=(),
        open_calls=0,
        open_tokens=0,
    )
    card = str(shell.run("%elumenta login"))

    assert said in card
    assert "The key is kept in a file." in card
    assert [other for other in ("go to the sandbox", "Nothing is sent", "comes first") if other in card] == [
        other for other in ("go to the sandbox", "Nothing is sent", "comes first") if other in said
    ]


def test_a_front_end_that_cannot_ask_gets_another_way(refused, monkeypatch):
    def cannot(_prompt):
        raise NotImplementedError

    monkeypatch.setattr(getpass, "getpass", cannot)
    error = refused("%elumenta login")

    assert isinstance(error, ConfigError)
    assert "ELUMENTA_API_KEY" in error.hint


def test_tags_are_added_shown_and_cleared(run, session):
    run("%elumenta tag draft report")
    run("%elumenta tag draft")
    assert session.tags == ["draft", "report"]
    run("%elumenta tag --clear")

    assert session.tags == []


def test_a_cell_s_own_tags_are_in_its_origin(run, session):
    run("%%elumenta text gpt-5 --tag a --tag b\nhello\n")

    assert session.asked[0][1].tags == ("a", "b")


def test_a_chat_is_shown_letter_by_letter_and_reset(run, session):
    chat = Chat("plan")
    chat.add("c1", "hello", "<b>bold</b>")
    session.chats["plan"] = chat

    bundle = run("%elumenta chat plan")._repr_mimebundle_()[0]
    assert "hello" in bundle["text/plain"]
    assert "<b>bold" not in bundle["text/html"]
    run("%elumenta chat plan --reset")
    assert chat.turns == []


def test_an_unknown_chat_names_the_closest(refused, session):
    session.chats["plan"] = Chat("plan")

    assert "plan" in refused("%elumenta chat plam").hint


def test_sandbox_verbs_are_passed_on_and_mistakes_named(run, session, refused):
    run("%elumenta sandbox limit 5")

    assert session.said == [("limit", "5")]
    assert "topup" in refused("%elumenta sandbox topop").hint


@pytest.mark.parametrize("line", ["show", "show x", "again", "budget 5 --clear", "help nonsense"])
def test_what_makes_no_sense_is_refused(refused, line):
    assert isinstance(refused(f"%elumenta {line}"), BadParam)


# ---------------------------------------------------------------- help


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_page_with_all_its_options(run, verb):
    page = str(run(f"%elumenta {verb} -h"))

    assert VERBS[verb].usage in page
    for option in VERBS[verb].options:
        assert all(flag in page for flag in option.shown)


@pytest.mark.parametrize("name", [*catalog().categories, *catalog().models])
def test_every_category_and_model_has_a_page_with_values_defaults_and_what_moves_the_price(run, name):
    page = str(run(f"%elumenta {name} -h"))
    table = catalog()
    model = table.models.get(name)
    category = table.categories[model.category if model else name]
    rows = {line.split("  ")[0]: line for line in page.splitlines() if line.startswith("-")}

    for param in table.params_of(category, model) if model else category.params:
        row = rows[", ".join(f"--{flag}" for flag in param.flags)]
        if param.default is not None:
            assert f"default {param.default}" in row
        if not param.is_input:
            assert ("can change the price" if param.prices else "does not change the price") in row
        for choice in param.choices:
            assert str(choice) in row


def test_the_magic_s_page_names_every_category_verb_and_option(run):
    page = str(run("%elumenta help"))

    for name in [*catalog().categories, *VERBS, "--max-price", "--fresh", "-b"]:
        assert name in page


def test_help_on_tokens_says_what_they_are(run):
    page = str(run("%elumenta help tokens"))

    assert "not an LLM token" in page
    assert "failed generation is not charged" in page


# ---------------------------------------------------------------- with the real session, in the sandbox


@pytest.fixture
def real(shell, monkeypatch):
    """The same shell with the session of the environment."""
    monkeypatch.setenv("ELUMENTA_MODE", "sandbox")
    shell.magics_manager.registry[ElumentaMagics.__name__].detach()
    magics = ElumentaMagics(shell)
    magics.attach()
    yield shell.run
    magics.detach()


@pytest.mark.slow
def test_the_status_says_what_it_knows_where_the_server_is_in_trouble(real):
    real("%%elumenta text gpt-5\nhello\n")
    current().server().fault("status", path="*balance", code=500, times=20)
    card = plain(real("%elumenta"))

    assert re.search(r"^  Mode +SANDBOX", card, re.MULTILINE)
    assert re.search(r"^  The server +\w+: .*", card, re.MULTILINE)
    assert re.search(r"^  Requests this hour +\d+ left", card, re.MULTILINE)
    assert card.endswith("What is wrong: %elumenta doctor")
    assert "Balance" not in card


def test_a_session_in_the_sandbox_from_balance_to_spend(real):
    assert "1,500 tokens" in plain(real("%elumenta balance"))
    result = real("%%elumenta text gpt-5 --tag demo\nhello\n")
    assert result.tokens == 2

    spend = real("%elumenta spend --by model")
    assert int(spend["tokens"].sum()) == 2
    assert next(iter(real("%elumenta spend")["tags"]))
    assert real(f"%elumenta show {result.id}").text == result.text
    assert "No unfinished calls" in plain(real("%elumenta jobs"))
    assert "Nothing is unfinished" in plain(real("%elumenta recover"))
    assert len(real("%elumenta account-history 5")) == 1
    assert "1,498 tokens" in plain(real("%elumenta"))


def test_a_generation_is_chosen_for_a_lost_call_only_if_it_can_be_that_call(real, refused):
    current().server().fault("drop_before", path="/generate*", method="POST")
    lost = refused("%%elumenta text gpt-5\nhello\n")
    assert type(lost).__name__ == "OutcomeUnknown"

    error = refused(f"%elumenta recover {lost.call_id} 999")

    assert (
        f"Generation 999 is not taken: its model, prompt, parameters or time are not those of call {lost.call_id}"
        in str(error)
    )
    jobs = real("%elumenta jobs")
    assert jobs["status"].tolist() == ["unknown"]
    told = shown_as(jobs)
    assert told.startswith("1 unfinished call: up to 2 tokens will be charged")
    assert re.search(rf"\n *{lost.call_id} +gpt-5 +no answer yet +2 +\S+ s ago", told)
    assert told.endswith("%elumenta recover")


def test_the_catalogue_is_filtered(real):
    frame = real("%elumenta models")
    assert len(frame) == 52
    assert set(real("%elumenta models --category video --max 30")["category"]) == {"video"}
    assert "sora-2" in real("%elumenta models sora").index


def test_a_budget_is_set_kept_and_cleared(real, refused):
    real("%elumenta budget 3")
    real("%%elumenta text gpt-5\nhello\n")
    error = refused("%%elumenta text gpt-5\nanother\n")

    assert type(error).__name__ == "BudgetExceeded"
    assert int(real("%elumenta budget")["limit"].iloc[0]) == 3
    assert len(real("%elumenta budget --clear")) == 0


def test_a_budget_that_is_not_there_is_not_cleared_and_that_is_said(real):
    real("%elumenta budget 3 --per day --tag draft")
    frame = real("%elumenta budget --clear")
    assert len(frame) == 1
    assert shown_as(frame).endswith("so none was cleared: name its --per, --user and --tag.")

    assert len(real("%elumenta budget --clear --per day --tag draft")) == 0


def test_the_card_calls_a_budget_this_notebook_only_here_and_this_one_comes_first(real):
    for name in ("first.ipynb", "second.ipynb"):
        current().budget(30, origin=Origin(notebook=f"{name}@0a1b2c"))
    current().budget(7, per="day")
    real("%elumenta budget 40")
    ledger = current().ledger()
    for n in range(4):
        place = Origin(source="batch", map_id=f"m{n}")
        ledger.set_budget(
            10, per="map", account=current().account_name(), api="sandbox", origin=place, title=f"map {n}"
        )
    card = dict(real("%elumenta").facts)
    names = [name for name in card if "udget" in name]

    assert names[:2] == ["Budget, this notebook", "Budget, today"]
    assert names[2:] == ["Budget, first.ipynb", "Budget, second.ipynb", "4 budgets of maps"]
    assert card["4 budgets of maps"] == "0 of 40 spent, 0 held"
    assert card["Budget, this notebook"] == "0 of 40 spent, 0 held"


def test_a_budget_that_was_set_is_answered_first(real):
    real("%elumenta budget 3 --per day")
    real("%elumenta budget 4 --tag demo")
    assert real("%elumenta budget 5")["limit"].tolist() == [5, 3, 4]
    assert real("%elumenta budget 6 --tag demo")["limit"].tolist() == [6, 3, 5]


def test_spend_shows_what_matters_and_is_the_whole_frame(real):
    real("%%elumenta text gpt-5 --tag demo\nhello\n")
    real("%%elumenta text gpt-5 --tag demo\nhello\n")
    frame = real("%elumenta spend")

    pd.testing.assert_frame_equal(frame, current().spend())
    assert type(frame) is pd.DataFrame
    data = DisplayFormatter().format(frame)[0]
    assert "gpt-5" in data["text/html"]
    assert "Total: 2 calls, 2 tokens, 0 held" in data["text/plain"]
    assert "host" not in data["text/html"]
    frame["mine"] = 1
    assert "mine" in DisplayFormatter().format(frame)[0]["text/html"]
    assert "started_at" in DisplayFormatter().format(frame.head())[0]["text/html"]


def test_plans_and_config_are_tables(real):
    shown = plain(real("%elumenta plans"))
    assert "VIP ← yours" in shown
    assert "1,690" in shown
    mixes = real("%elumenta plans 2500")
    assert "2,500 tokens a month with API access, the cheapest first" in plain(mixes)
    assert mixes.frame.loc[0, "name"] == "Elite"
    frame = real("%elumenta config")
    assert frame.loc["mode", "value"] == "sandbox"


def shown_as(frame):
    return frame._repr_mimebundle_()[0]["text/plain"]


def test_config_says_where_calls_go_now(real):
    frame = real("%elumenta config")

    assert frame.loc["base_url", "value"].startswith("http://127.0.0.1:")
    assert frame.loc["base_url", "from"] == "the sandbox"
    assert str(current().settings.ledger()) in shown_as(frame)  # a path is shown whole
    assert "elumenta_media beside the notebook" in shown_as(frame)  # what holds where nothing is set
    real("%elumenta sandbox off")
    assert real("%elumenta config").loc["base_url", "value"] == "https://elumenta.ru/api/v2"


def test_config_is_in_russian_too(real, monkeypatch):
    monkeypatch.setenv("ELUMENTA_LANG", "ru")
    head, *rows = shown_as(real("%elumenta config")).splitlines()

    assert head.split() == ["Настройка", "Значение", "Задано"]
    assert next(row for row in rows if row.startswith("confirm_above")).split() == [
        "confirm_above",
        "100",
        "по",
        "умолчанию",
    ]


def test_config_says_that_a_key_is_not_used_in_the_sandbox(real):
    current().change(api_key="nb_live_" + "a1b2c3d4" * 5, mode="sandbox")
    frame = real("%elumenta config")

    assert frame.loc["api_key", "from"].endswith(" · not used in the sandbox")
    assert frame.loc["api_key", "value"].endswith("c3d4")


def test_budgets_are_shown_by_their_names_and_stay_a_frame(real):
    assert shown_as(real("%elumenta budget")) == "No budget is set. To set one: %elumenta budget 200"
    frame = real("%elumenta budget 40 --per day --tag demo")
    assert "today, tag demo     40      0     0    40" in shown_as(frame)
    assert frame.loc[0, "tag"] == "demo"
    current().budget(30, origin=Origin(notebook="other.ipynb@0a1b2c"))
    assert "@" not in shown_as(real("%elumenta budget"))
    assert "per" in frame.head(1)._repr_html_()


def test_the_list_of_models_shows_prices_and_no_empty_column(real):
    frame = real("%elumenta models grok")
    shown = shown_as(frame)

    assert re.search(r"grok-4-fast +text +Starter +1\n", shown)
    assert "Provider" not in shown
    assert "%elumenta help grok-4-fast" in shown
    assert frame.loc["grok-4-fast", "maximum"] == 1
    assert shown_as(real("%elumenta models nothing-like-it")) == "No model matches."


def test_the_sandbox_is_switched_topped_up_and_made_to_fail(real, refused):
    real("%elumenta sandbox topup Start")
    assert "1,550 tokens" in plain(real("%elumenta balance"))
    real("%elumenta sandbox fail next 1")
    error = refused("%%elumenta image photon-flash\na boat\n")

    assert error.spent == "no"
    assert "1,550 tokens" in plain(real("%elumenta balance"))


def test_with_no_key_and_no_mode_both_ways_out_are_said(shell, refused):
    shell.magics_manager.registry[ElumentaMagics.__name__].detach()
    magics = ElumentaMagics(shell)
    magics.attach()
    error = refused("%%elumenta text gpt-5\nhello\n")
    magics.detach()

    assert isinstance(error, NoKey)
    assert "%elumenta login" in error.hint
    assert "%elumenta sandbox on" in error.hint


@pytest.mark.parametrize("category", [name for name, row in catalog().categories.items() if row.ask != "stt"])
def test_every_category_answers_a_cell(real, shown, category):
    table = catalog()
    model = next(
        (row for row in table.of(category) if row.prompt == "required"), table.cheapest(table.categories[category])
    )
    needs = [param for param in table.params_of(table.categories[category], model) if param.required]
    options = " ".join(f"--{param.flags[0]} https://example.org/in.png" for param in needs)
    result = real(f"%%elumenta {model.slug} {options} --max 400\nsomething nice\n")

    assert result.category == category
    assert result.tokens >= model.minimum
    assert shown.texts[-1].startswith(f"SANDBOX · {model.slug} · ")


def test_a_recording_is_transcribed_from_the_result_of_another_cell(real):
    real("%%elumenta tts openai-tts -o speech\nGood morning\n")
    text = real("%elumenta stt whisper --file speech")

    assert text.text
    assert text.category == "stt"
