"""The language a person reads: sentences through gettext, numbers and dates in that language's form.

Class names, codes and column names are not sentences: they stay English everywhere.
"""

from __future__ import annotations

import gettext as _gettext
import locale
import os
from functools import lru_cache
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import date as _date, datetime
    from decimal import Decimal

__all__ = ["date", "day", "gettext", "language", "ngettext", "number", "pgettext", "set_language", "span", "tokens"]

LANGUAGES: Final = ("en", "ru")
_DOMAIN: Final = "elumenta_nb"
_FOLDER: Final = Path(__file__).parent / "locale"
# As gettext looks; where a locale is named that this machine does not have (containers), `getlocale` forgets the name.
_NAMED_BY: Final = ("ELUMENTA_LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
_SPACE: Final = "\N{NO-BREAK SPACE}"
_MONTHS: Final = {
    "en": ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
    "ru": ["янв.", "февр.", "марта", "апр.", "мая", "июня", "июля", "авг.", "сент.", "окт.", "нояб.", "дек."],
}

_chosen: str | None = None  # what configure(lang=) said; the environment and the locale are asked each time


def set_language(lang: str | None) -> None:
    """Choose ``"en"`` or ``"ru"``; ``None`` returns to `ELUMENTA_LANG`, then the locale.

    Raises `ValueError` for another language.
    """
    global _chosen  # noqa: PLW0603 - the one place where the language of the process is kept
    if lang is not None and lang not in LANGUAGES:
        raise ValueError(f"lang is one of {', '.join(LANGUAGES)}, not {lang!r}")
    _chosen = lang


def language() -> str:
    """The language in force: ``"en"`` or ``"ru"``."""
    if _chosen is not None:
        return _chosen
    named = next(filter(None, map(os.environ.get, _NAMED_BY)), None) or locale.getlocale(locale.LC_CTYPE)[0] or ""
    return "ru" if named.lower().startswith("ru") else "en"


@lru_cache(maxsize=len(LANGUAGES))
def _catalogue(lang: str) -> _gettext.NullTranslations:
    return _gettext.translation(_DOMAIN, _FOLDER, languages=[lang], fallback=True)


def gettext(message: str) -> str:
    """The sentence in the person's language; placeholders are filled by the caller with ``.format``."""
    return _catalogue(language()).gettext(message) if message else ""  # gettext keeps its own facts under ""


def pgettext(context: str, message: str) -> str:
    """As `gettext`, for a word that needs its context to be translated."""
    return _catalogue(language()).pgettext(context, message)


def ngettext(one: str, many: str, n: float) -> str:
    """The plural form for ``n`` with ``{n}`` filled in: 1 токен, 2 токена, 5 токенов; 2,5 токена."""
    form = int(n) if n == int(n) else 2
    return _catalogue(language()).ngettext(one, many, form).format(n=number(n))


def number(value: float | Decimal, digits: int = 1) -> str:
    """``1,690`` in English, ``1 690`` in Russian (a no-break space). Whole numbers have no decimals, others `digits`."""
    plain = f"{value:,}" if isinstance(value, int | Integral) else f"{value:,.{digits}f}"
    if language() == "ru":
        return plain.replace(",", _SPACE).replace(".", ",")
    return plain


def tokens(n: int) -> str:
    """``13 tokens``: Elumenta tokens, in words."""
    return ngettext("{n} token", "{n} tokens", n)


def span(seconds: float) -> str:
    """A length of time as people say it: ``0.4 s``, ``41 s``, ``2 min 5 s``, ``1 h 20 min``."""
    if seconds < 9.95:
        return gettext("{s} s").format(s=number(round(seconds, 1)))
    whole = round(seconds)
    if whole < 60:
        return gettext("{s} s").format(s=whole)
    if whole < 3600:
        return gettext("{m} min {s} s").format(m=whole // 60, s=whole % 60)
    return gettext("{h} h {m} min").format(h=whole // 3600, m=whole % 3600 // 60)


def day(moment: datetime) -> str:
    """The local day without its year: ``20 Nov``, ``20 нояб.``."""
    return date(moment.astimezone())


def date(when: _date) -> str:
    """A calendar day without its year: ``20 Nov``, ``20 нояб.``."""
    return f"{when.day} {_MONTHS[language()][when.month - 1]}"
