"""Where settings come from, what is refused, and that a key does not show."""

from __future__ import annotations

import copy
import pickle
import traceback

import pytest

import elumenta_nb as el
from elumenta_nb._config import load
from elumenta_nb._keys import KeyFile, Secret, check_key
from elumenta_nb._session import Session

KEY = "nb_live_canary0123456789abcdef0123456789abcdef42"


def test_nothing_chosen_raises_no_key_and_shows_both_ways_out():
    with pytest.raises(el.NoKey) as caught:
        el.generate("gpt-5", "hello")

    assert "%elumenta login" in caught.value.hint
    assert "%elumenta sandbox on" in caught.value.hint
    assert "ELUMENTA_API_KEY" in caught.value.hint
    assert caught.value.spent == "no"


def test_argument_beats_environment_beats_user_file_beats_default(tmp_path):
    (tmp_path / "config.toml").write_text('confirm_above = 7\nreuse = "media"\n')
    environ = {"ELUMENTA_HOME": str(tmp_path), "ELUMENTA_REUSE": "off", "ELUMENTA_CONFIRM_ABOVE": "9"}

    settings = load({"confirm_above": 11}, environ=environ, cwd=tmp_path)

    assert settings.confirm_above == 11
    assert settings.reuse == "off"
    assert load({}, environ={"ELUMENTA_HOME": str(tmp_path)}, cwd=tmp_path).reuse == "media"
    assert load({}, environ={}, cwd=tmp_path).confirm_above == 100
    explained = {row["setting"]: row["from"] for row in settings.explain()}
    assert explained["reuse"] == "ELUMENTA_REUSE"
    assert explained["confirm_above"] == "argument"
    assert explained["base_url"] == "default"


@pytest.mark.parametrize(
    "line", ['base_url = "https://evil.example/api"', 'api_key = "nb_x1234567"', 'home = "/tmp/x"']
)
def test_somebody_elses_project_file_cannot_send_the_key_elsewhere(tmp_path, line):
    (tmp_path / "pyproject.toml").write_text(f"[tool.elumenta]\n{line}\n")

    with pytest.raises(el.ConfigError, match=line.split()[0]):
        load({}, environ={"ELUMENTA_HOME": str(tmp_path / "home")}, cwd=tmp_path)


@pytest.mark.parametrize(
    ("own", "asked", "got"),
    [
        ('mode = "sandbox"', 'mode = "live"', "sandbox"),
        ("", 'mode = "live"', None),
        ("", 'mode = "sandbox"', "sandbox"),
        ('reuse = "only"', 'reuse = "all"', "only"),
        ('reuse = "only"', 'reuse = "off"', "only"),
        ("", 'reuse = "off"', None),
        ("", 'reuse = "media"', None),
        ('reuse = "off"', 'reuse = "media"', "media"),
        ("", 'reuse = "only"', "only"),
    ],
)
def test_a_project_may_not_have_charged_what_its_user_would_not(tmp_path, own, asked, got):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text(own)
    (tmp_path / "pyproject.toml").write_text(f"[tool.elumenta]\n{asked}\n")

    settings = load({}, environ={"ELUMENTA_HOME": str(tmp_path / "home")}, cwd=tmp_path)

    assert getattr(settings, asked.split()[0]) == got


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_that_chooses_the_sandbox_is_read_or_refused_never_passed_over(tmp_path, encoding):
    (tmp_path / "config.toml").write_text('mode = "sandbox"  # без списаний', encoding=encoding)
    environ = {"ELUMENTA_HOME": str(tmp_path), "ELUMENTA_API_KEY": "nb_x1234567"}

    if encoding == "utf-16":
        with pytest.raises(el.ConfigError, match=r"config\.toml cannot be read"):
            load({}, environ=environ, cwd=tmp_path)
    else:
        assert load({}, environ=environ, cwd=tmp_path).where() == "sandbox"


@pytest.mark.parametrize("line", ['reuse = "always"', 'reuse = ["off"]', 'mode = "dry"', "mode = 5"])
def test_what_a_project_says_wrong_is_named(tmp_path, line):
    (tmp_path / "pyproject.toml").write_text(f"[tool.elumenta]\n{line}\n")

    with pytest.raises(el.ConfigError, match=r"pyproject\.toml: .* is not one of"):
        load({}, environ={"ELUMENTA_HOME": str(tmp_path / "home")}, cwd=tmp_path)


@pytest.mark.parametrize(("asked", "got"), [(0, 100), (500, 100), (20, 20)])
def test_a_project_may_ask_for_consent_earlier_but_never_later(tmp_path, asked, got):
    (tmp_path / "pyproject.toml").write_text(f"[tool.elumenta]\nconfirm_above = {asked}\n")

    settings = load({}, environ={"ELUMENTA_HOME": str(tmp_path / "home")}, cwd=tmp_path)

    assert settings.confirm_above == got


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mode", "dry"),
        ("reuse", "always"),
        ("confirm_above", "-1"),
        ("confirm_above", "many"),
        ("job_timeout_s", "0"),
        ("lang", "de"),
        ("base_url", "http://elumenta.ru/api/v2"),
        ("base_url", "ftp://elumenta.ru"),
        ("base_url", "https://user:pw@elumenta.ru/api"),
        ("request_form", "xml"),
    ],
)
def test_a_bad_setting_names_itself_and_where_it_stands(name, value):
    with pytest.raises(el.ConfigError) as caught:
        Session(**{name: value})

    assert "argument" in str(caught.value)


def test_an_unknown_setting_is_suggested():
    with pytest.raises(el.ConfigError) as caught:
        el.configure(confirm_abov=3)

    assert "confirm_above" in caught.value.hint


@pytest.mark.parametrize("text", ["sk-1234567890", "nb_", "nb_with space", "nb_ключ12345", "", "nb_YOUR_API_KEY"])
def test_what_is_no_key_is_refused_without_repeating_it(text):
    with pytest.raises(el.AuthFailed) as caught:
        check_key(text)

    assert text in ("nb_YOUR_API_KEY", "nb_", "") or text not in str(caught.value)
    assert "login" in caught.value.hint


def test_a_key_does_not_show():
    secret = check_key(f" {KEY}\n")
    session = Session(api_key=KEY)

    shown = [repr(secret), str(secret), repr(session), str(vars(session)), repr(session.settings)]
    shown += [str(session.settings.explain())]
    try:
        raise el.ConfigError(f"bad {KEY}", hint=f"see {KEY}")
    except el.ConfigError as error:
        shown += [str(error), error.hint, repr(error), "".join(traceback.format_exception(error))]
    assert secret() == KEY
    assert not any(KEY in text for text in shown[:-1])
    assert all(KEY[-4:] in text for text in shown[:2])


@pytest.mark.parametrize("do", [pickle.dumps, copy.deepcopy, copy.copy])
def test_a_key_and_a_session_cannot_be_pickled_or_copied(do):
    for thing in (Secret(KEY), Session(api_key=KEY)):
        with pytest.raises(TypeError):
            do(thing)


def test_a_stored_key_is_for_its_owner_only(tmp_path):
    session = Session(home=tmp_path)
    path = session.login(KEY)

    assert path.stat().st_mode & 0o777 == 0o600
    assert Session(home=tmp_path).settings.api_key == Secret(KEY)
    path.chmod(0o644)
    with pytest.raises(el.ConfigError, match="Other people") as caught:
        Session(home=tmp_path)
    assert "chmod 600" in caught.value.hint
    path.chmod(0o600)
    assert session.logout()
    assert KeyFile(tmp_path).read() is None


def test_the_sandbox_wins_over_a_key_when_it_is_chosen():
    session = Session(api_key=KEY, mode="sandbox")

    assert session.mode == "sandbox"
    assert session.status().key == "–"


def test_budgets_are_set_refused_and_cleared():
    el.configure(mode="sandbox")
    el.budget(3, per="day")
    el.generate("gpt-5", "one")

    with pytest.raises(el.BudgetExceeded) as caught:
        el.generate("gpt-5", "two")

    error = caught.value
    assert (error.limit, error.used, error.asked) == (3, 2, 2)
    assert "day" in error.budget or "today" in str(error)
    assert el.budgets()[["limit", "spent", "left"]].values.tolist() == [[3, 2, 1]]
    el.budget(None, per="day")
    assert el.generate("gpt-5", "two").tokens == 2
    with pytest.raises(el.BadParam):
        el.budget(3, per="week")


def test_the_users_own_limit_may_stand_in_quotes(tmp_path):
    (tmp_path / "config.toml").write_text('confirm_above = "100"\n')
    (tmp_path / "pyproject.toml").write_text("[tool.elumenta]\nconfirm_above = 50\n")

    assert load({"home": tmp_path}, environ={}, cwd=tmp_path).confirm_above == 50


@pytest.mark.parametrize("option", ["password", "PASSWORD", "sslpassword"])
def test_a_password_among_the_options_of_the_ledgers_address_does_not_show(tmp_path, option):
    url = f"postgresql://host/db?user=anna&{option}=hush&sslmode=require"
    settings = load({"home": tmp_path, "ledger_url": url}, environ={}, cwd=tmp_path)

    shown = next(row["value"] for row in settings.explain() if row["setting"] == "ledger_url")

    assert shown == f"postgresql://host/db?user=anna&{option}=***&sslmode=require"
    assert "hush" not in repr(settings)
