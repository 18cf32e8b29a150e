"""Which language is in force: configure, `ELUMENTA_LANG`, the locale; and that it can change at any time."""

import os
import subprocess
import sys

import pytest

import elumenta_nb as el
from elumenta_nb import _language as language, _options
from elumenta_nb._errors import ConfigError

NAMES = ("ELUMENTA_LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")


@pytest.fixture
def environment(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch.setenv


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", ["ru", "ru_RU.UTF-8", "RU"])
def test_each_variable_can_choose_russian(environment, name, value):
    environment(name, value)

    assert language.language() == "ru"
    assert language.tokens(2) == "2 токена"


def test_ours_comes_before_the_locale(environment):
    environment("LANG", "ru_RU.UTF-8")
    environment("ELUMENTA_LANG", "en")

    assert language.language() == "en"


@pytest.mark.parametrize("value", ["C.UTF-8", "de_DE.UTF-8", "en_GB.UTF-8"])
def test_every_other_locale_reads_english(environment, value):
    environment("LANG", value)

    assert language.language() == "en"


def test_a_new_process_in_a_russian_locale_speaks_russian(tmp_path):
    env = {name: value for name, value in os.environ.items() if name not in NAMES} | {"LANG": "ru_RU.UTF-8"}
    code = "from elumenta_nb._language import tokens; import sys; sys.stdout.buffer.write(tokens(5).encode())"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True, timeout=60)

    assert done.stdout.decode() == "5 токенов"


def test_configure_changes_the_language_and_back():
    el.configure(lang="ru")
    assert language.tokens(5) == "5 токенов"

    el.configure(lang="en")
    assert language.tokens(5) == "5 tokens"


def test_configure_refuses_a_language_it_has_not():
    with pytest.raises(ConfigError):
        el.configure(lang="fr")

    assert language.language() == "en"


def test_the_person_s_file_can_choose(monkeypatch):
    monkeypatch.delenv("ELUMENTA_LANG")
    home = el.session().settings.home
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.toml").write_text('lang = "ru"\n')
    el.session().close()
    from elumenta_nb import _session

    _session.reset()
    el.session()

    assert language.language() == "ru"


def test_tables_made_at_import_follow_the_language():
    option = next(row for row in _options.COMMON if row.key == "count")
    language.set_language("ru")
    russian = option.wants()
    language.set_language("en")

    assert (russian, option.wants()) == ("целое число", "a whole number")


def test_a_terminal_without_the_letters_still_gets_its_answer():
    env = os.environ | {"ELUMENTA_LANG": "ru", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-m", "elumenta_nb", "help"], env=env, capture_output=True, timeout=60)

    assert done.returncode == 0
    assert b"elumenta-nb COMMAND -h" in done.stdout


def test_the_command_line_speaks_russian():
    env = os.environ | {"ELUMENTA_LANG": "ru", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "-m", "elumenta_nb", "nosuch"], env=env, capture_output=True, timeout=60)

    assert done.returncode == 2
    assert done.stderr.decode().startswith("BadParam: Нет команды 'nosuch'.")
