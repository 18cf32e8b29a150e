"""Cells in Russian, run in the sandbox: what a person reads is Russian, what a program reads is not."""

import re

import pytest

import elumenta_nb as el
from elumenta_nb import _language as language
from elumenta_nb._errors import BadParam, ConfirmPrice, GenerationFailed

CYRILLIC = re.compile("[а-яё]", re.IGNORECASE)


@pytest.fixture(autouse=True)
def _in_russian(monkeypatch):
    monkeypatch.setenv("ELUMENTA_LANG", "ru")


def card_of(error: BaseException) -> str:
    return re.sub(r"\x1b\[\d+m", "", "\n".join(error._render_traceback_()))


def test_a_receipt_is_one_russian_line(run, shown):
    result = run("%%elumenta text gpt-5\nПривет\n")

    line = shown.texts[-1].replace("\N{NO-BREAK SPACE}", " ")
    assert re.match(r"SANDBOX · gpt-5 · 2 токена · \d+(,\d)? с · баланс ≈?1 498", line)
    assert "SANDBOX" in result.text
    assert "сделан песочницей" in result.text


def test_the_same_cell_again_says_restored_in_russian(run, shown):
    run("%%elumenta text gpt-5\nПривет ещё раз\n")
    run("%%elumenta text gpt-5\nПривет ещё раз\n")

    assert re.search(r"из хранилища, 0 токенов \(2 оплачено \d+ \S+\) · .*новый: --fresh", shown.texts[-1])


def test_an_error_card_is_russian_and_its_class_english(run):
    with pytest.raises(BadParam) as caught:
        run("%%elumenta image dall-e-3 --size 1x1\nмаяк\n")

    name, _colon, rest = card_of(caught.value).partition(":")
    assert name == "BadParam"
    assert "не принимает" in rest
    assert "Ничего не списано." in rest


def test_a_dear_cell_asks_in_russian(run):
    with pytest.raises(ConfirmPrice) as caught:
        run("%%elumenta video veo-3.1 --duration 8 --audio\nмаяк\n")

    assert "нужно ваше согласие" in str(caught.value)
    assert caught.value.hint.startswith("Чтобы согласиться, добавьте --max-price ")


def test_a_failed_generation_says_that_nothing_was_charged(run, shown):
    run("%elumenta sandbox fail next")
    with pytest.raises(GenerationFailed) as caught:
        run("%%elumenta image photon-flash\nмаяк\n")

    card = card_of(caught.value).lower()
    assert "не списано" in card
    assert "возвращ" not in card


@pytest.mark.parametrize("line", ["%elumenta -h", "%elumenta image -h", "%elumenta help tokens", "%elumenta spend -h"])
def test_help_is_russian(run, line):
    page = str(run(line))

    english = re.compile(r"\b(the|of|what|with|costs|this|from)\b")
    assert CYRILLIC.search(page)
    assert english.findall(page) == []


@pytest.mark.parametrize("line", ["%elumenta", "%elumenta balance", "%elumenta plans 2000", "%elumenta price dall-e-3"])
def test_cards_are_russian(run, line):
    page = str(run(line))

    assert CYRILLIC.search(page)
    assert re.findall(r"\b(tokens?|of|month|Plans?|Packages?|Balance|left)\b", page) == []


def test_the_doctor_speaks_russian(run):
    page = str(run("%elumenta doctor"))

    assert "Проблем нет." in page
    assert "в порядке" in page


def test_frames_keep_their_columns(run):
    run("%%elumenta text gpt-5\nПривет\n")
    russian = el.spend()
    models, plans = el.models(), el.plans()
    language.set_language("en")

    assert list(russian.columns) == list(el.spend().columns)
    assert list(models.columns) == list(el.models().columns)
    assert list(plans.columns) == list(el.plans().columns)
    assert not CYRILLIC.search(" ".join([*russian.columns, *models.columns, *plans.columns]))
    assert set(russian["status"].astype(str)) == {"completed"}


def test_the_language_of_a_kernel_can_change_between_two_cells(run, shown):
    el.configure(lang="en")
    run("%%elumenta text gpt-5\nhello\n")
    english = shown.texts[-1]
    el.configure(lang="ru")
    run("%%elumenta text gpt-5\nhello again\n")

    assert "2 tokens" in english
    assert "2 токена" in shown.texts[-1]
