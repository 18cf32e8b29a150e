"""Rewrite the generated tables of the README from the catalogue: ``python scripts/tables.py`` (``--check``: only compare).

A generated part stands between ``<!-- table: NAME -->`` and ``<!-- end -->``; `TABLES` says what goes in.
"""

from __future__ import annotations

import re
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from elumenta_nb._catalog import catalog

if TYPE_CHECKING:
    from collections.abc import Callable

README = Path(__file__).parents[1] / "README.md"
PART = re.compile(r"(<!-- table: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def categories() -> str:
    """A row per category: how it is asked for, its models with their prices, its options."""
    rows = []
    for row in catalog().categories.values():
        own = catalog().of(row.name)
        models = " · ".join(f"`{model.slug}` {model.price}" for model in own)
        options = " ".join(f"`--{param.flags[0]}`" for param in row.params)
        rows.append([f"`{row.name}`", row.title, str(len(own)), models, options])
    rows.append(["", "**All**", f"**{len(catalog().models)}**", "", ""])
    return table(["category", "group of the page", "models", "model and price in Elumenta tokens", "options"], rows)


def a_token(rubles: int, tokens: int) -> str:
    return f"{(Decimal(rubles) / tokens).quantize(Decimal('0.01'))} ₽" if rubles else "–"


def plans() -> str:
    rows = [
        [
            plan.name,
            f"{plan.tokens:,}" + ("" if plan.monthly else " (one-time)"),
            f"{plan.rubles:,} ₽" + ("/mo" if plan.monthly else ""),
            a_token(plan.rubles, plan.tokens),
            "yes" if plan.has_api else "no",
        ]
        for plan in catalog().plans
    ]
    return table(["plan", "tokens a month", "price", "a token", "API access"], rows)


def packages() -> str:
    rows = [
        [row.name, f"{row.tokens:,}", f"{row.rubles:,} ₽", a_token(row.rubles, row.tokens)]
        for row in catalog().packages
    ]
    return table(["package", "tokens, once", "price", "a token"], rows)


TABLES: dict[str, Callable[[], str]] = {"categories": categories, "plans": plans, "packages": packages}


def rewritten(text: str) -> str:
    """The text with every generated part as the catalogue has it now."""
    return PART.sub(lambda part: part[1] + TABLES[part["name"]]() + part[3], text)


def main() -> int:
    text = README.read_text(encoding="utf-8")
    new = rewritten(text)
    if "--check" in sys.argv[1:]:
        return int(new != text)
    README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
