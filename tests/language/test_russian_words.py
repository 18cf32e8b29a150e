"""Numbers, dates and plurals in the form of the language."""

from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pytest

from elumenta_nb import _language as language


@pytest.fixture
def in_russian():
    language.set_language("ru")


@pytest.mark.parametrize(
    ("n", "said"),
    [
        (0, "0 токенов"),
        (1, "1 токен"),
        (2, "2 токена"),
        (5, "5 токенов"),
        (11, "11 токенов"),
        (21, "21 токен"),
        (22, "22 токена"),
        (25, "25 токенов"),
        (111, "111 токенов"),
        (1001, "1\N{NO-BREAK SPACE}001 токен"),
        (2.5, "2,5 токена"),
    ],
)
def test_tokens_in_russian(in_russian, n, said):
    assert language.tokens(n) == said


@pytest.mark.parametrize(("n", "said"), [(0, "0 tokens"), (1, "1 token"), (2, "2 tokens"), (21, "21 tokens")])
def test_tokens_in_english(n, said):
    assert language.tokens(n) == said


@pytest.mark.parametrize(
    ("value", "english", "russian"),
    [
        (1690, "1,690", "1 690"),
        (2497.5, "2,497.5", "2 497,5"),
        (7, "7", "7"),
        (1_000_000, "1,000,000", "1 000 000"),
        (-1234, "-1,234", "-1 234"),
        (np.int64(1690), "1,690", "1 690"),
        (Decimal("2497.5"), "2,497.5", "2 497,5"),
    ],
)
def test_a_number_is_grouped_as_the_language_does(value, english, russian):
    assert language.number(value) == english
    language.set_language("ru")
    assert language.number(value) == russian.replace(" ", "\N{NO-BREAK SPACE}")


def test_roubles_per_token_have_two_decimals(in_russian):
    assert language.number(Decimal("2.97"), 2) == "2,97"


def test_a_day_is_written_as_the_language_does():
    assert language.date(date(2026, 11, 20)) == "20 Nov"
    language.set_language("ru")
    assert [language.date(date(2026, month, 20)) for month in (3, 5, 9, 11)] == [
        "20 марта",
        "20 мая",
        "20 сент.",
        "20 нояб.",
    ]
    assert language.day(datetime(2026, 11, 20, 12, tzinfo=UTC)) == "20 нояб."


@pytest.mark.parametrize(
    ("seconds", "english", "russian"),
    [
        (4.1, "4.1 s", "4,1 с"),
        (41, "41 s", "41 с"),
        (125, "2 min 5 s", "2 мин 5 с"),
        (4800, "1 h 20 min", "1 ч 20 мин"),
    ],
)
def test_a_length_of_time(seconds, english, russian):
    assert language.span(seconds) == english
    language.set_language("ru")
    assert language.span(seconds).replace("\N{NO-BREAK SPACE}", " ") == russian


def test_the_empty_text_stays_empty(in_russian):
    """gettext keeps the facts about a catalogue under the empty text."""
    assert language.gettext("") == ""


def test_a_sentence_without_a_translation_is_said_in_english(in_russian):
    assert language.gettext("nobody says this") == "nobody says this"
