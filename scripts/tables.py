"""Rewrite the generated tables of the READMEs from the catalogue: ``python scripts/tables.py`` (``--check``: only compare).

A generated part stands between ``<!-- table: NAME -->`` and ``<!-- end -->``; `TABLES` says what goes in.
"""

from __future__ import annotations

import re
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from elumenta_nb._catalog import catalog
from elumenta_nb._language import gettext as _, language, number, set_language

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
READMES = {"en": ROOT / "README.md", "ru": ROOT / "README.ru.md"}
PART = re.compile(r"(<!-- table: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
NO_BREAK = "\N{NO-BREAK SPACE}"
RUSSIAN = {  # the words of the tables that the package itself does not say
    "category": "категория",
    "group of the page": "раздел страницы",
    "models": "модели",
    "model and price in Elumenta tokens": "модель и цена в токенах Elumenta",
    "options": "параметры",
    "All": "Всего",
    "plan": "тариф",
    "tokens a month": "токенов в месяц",
    "price": "цена",
    "a token": "за токен",
    "API access": "доступ к API",
    "one-time": "один раз",
    "mo": "мес.",
    "yes": "да",
    "no": "нет",
    "package": "пакет",
    "tokens, once": "токенов, один раз",
}


def word(text: str) -> str:
    return RUSSIAN[text] if language() == "ru" else text


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [[word(name) for name in head], ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def rubles(value: float | Decimal) -> str:
    return f"{number(value, 2)}{NO_BREAK if language() == 'ru' else ' '}₽"


def categories() -> str:
    """A row per category: how it is asked for, its models with their prices, its options."""
    rows = []
    for row in catalog().categories.values():
        own = catalog().of(row.name)
        models = " · ".join(f"`{model.slug}` {model.price}" for model in own)
        options = " ".join(f"`--{param.flags[0]}`" for param in row.params)
        rows.append([f"`{row.name}`", _(row.title), str(len(own)), models, options])
    rows.append(["", f"**{word('All')}**", f"**{len(catalog().models)}**", "", ""])
    return table(["category", "group of the page", "models", "model and price in Elumenta tokens", "options"], rows)


def a_token(price: int, tokens: int) -> str:
    return rubles((Decimal(price) / tokens).quantize(Decimal("0.01"))) if price else "–"


def plans() -> str:
    rows = [
        [
            plan.name,
            number(plan.tokens) + ("" if plan.monthly else f" ({word('one-time')})"),
            rubles(plan.rubles) + (f"/{word('mo')}" if plan.monthly else ""),
            a_token(plan.rubles, plan.tokens),
            word("yes" if plan.has_api else "no"),
        ]
        for plan in catalog().plans
    ]
    return table(["plan", "tokens a month", "price", "a token", "API access"], rows)


def packages() -> str:
    rows = [
        [row.name, number(row.tokens), rubles(row.rubles), a_token(row.rubles, row.tokens)]
        for row in catalog().packages
    ]
    return table(["package", "tokens, once", "price", "a token"], rows)


TABLES: dict[str, Callable[[], str]] = {"categories": categories, "plans": plans, "packages": packages}


def rewritten(text: str, lang: str = "en") -> str:
    """The text with every generated part as the catalogue has it now."""
    set_language(lang)
    try:
        return PART.sub(lambda part: part[1] + TABLES[part["name"]]() + part[3], text)
    finally:
        set_language(None)


def main() -> int:
    stale = 0
    for lang, path in READMES.items():
        text = path.read_text(encoding="utf-8")
        new = rewritten(text, lang)
        stale += new != text
        if "--check" not in sys.argv[1:]:
            path.write_text(new, encoding="utf-8")
    return int(bool(stale) and "--check" in sys.argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())
