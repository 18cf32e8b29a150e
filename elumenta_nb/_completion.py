"""Completion of the magic's line: verbs, categories, models with their prices, options, values.

Answers from the table alone: no network, no ledger, a millisecond or two.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ._catalog import catalog
from ._options import COMMON, HELP, Option, options_of
from ._verbs import SANDBOX_VERBS, VERBS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ._catalog import Category, Model

__all__ = ["complete"]

Found = tuple[str, str]  # what to insert, and what it is (a price, a kind)


def complete(line: str, *, chats: Callable[[], list[str]] = list) -> tuple[str, list[Found]]:
    """The fragment before the cursor and what may stand in its place; `line` is what follows the magic's name."""
    *words, fragment = re.split(r"[ \t]+", line)
    verb, category, model, plain = _heard(words)
    options = _options(verb, category, model)
    previous = _option(options, words[-1]) if words else None
    if previous is not None and previous.takes and not (previous.words and fragment.startswith("-")):
        found = _values(previous, chats)
        if previous.words:
            found += _flags(options)
    elif fragment.startswith("-") and "=" in fragment:
        flag = fragment.split("=", 1)[0]
        asked = _option(options, flag)
        found = [(f"{flag}={text}", kind) for text, kind in _values(asked, chats)] if asked else []
    elif fragment.startswith("-"):
        found = _flags(options)
    else:
        found = _words(verb, category, model, plain, chats)
    lower = fragment.lower()
    return fragment, [match for match in found if match[0].lower().startswith(lower)]


def _heard(words: list[str]) -> tuple[str, Category | None, Model | None, int]:
    """What the words so far named: verb, category, model, and how many further words there are."""
    table = catalog()
    verb, category, model, plain = "", None, None, 0
    skip = False
    options: list[Option] = list(COMMON)
    for word in words:
        if skip:
            skip = False
        elif word.startswith("-"):
            row = _option(options, word)
            skip = row is not None and bool(row.takes) and not row.words and "=" not in word
        elif not verb and category is None and word in VERBS:
            verb = word
        elif category is None and (not verb or VERBS[verb].of_model):
            model = table.models.get(word)
            category = table.categories[model.category] if model else table.category(word)
        elif model is None and category is not None:
            model = table.models.get(word)
            plain += model is None
        else:
            plain += 1
        options = _options(verb, category, model)
    return verb, category, model, plain


def _options(verb: str, category: Category | None, model: Model | None) -> list[Option]:
    if verb:
        own = list(VERBS[verb].options)
        return own + (options_of(category, model, common=()) if category else []) + [HELP]
    return options_of(category, model) if category else list(COMMON)


def _option(options: Iterable[Option], word: str) -> Option | None:
    name = word.lstrip("-").replace("_", "-")
    return next((row for row in options if word.startswith("-") and name in row.flags), None)


def _flags(options: Iterable[Option]) -> list[Found]:
    return [(flag, row.takes.lower() or "switch") for row in options for flag in row.shown if flag.startswith("--")]


def _values(option: Option, chats: Callable[[], list[str]]) -> list[Found]:
    if option.key == "chat":
        return [(name, "chat") for name in chats()]
    if option.key == "category":
        return [(name, "category") for name in catalog().categories]
    if option.key == "tier":
        return [(tier, "tier") for tier in dict.fromkeys(row.tier for row in catalog().models.values()) if tier]
    if option.param is not None:
        choices = [str(choice) for choice in option.param.choices] or list(option.param.suggestions)
        return [(choice, "value") for choice in choices or option.words[:2]]
    return [(choice, "value") for choice in option.takes.split("|")] if "|" in option.takes else []


def _words(
    verb: str, category: Category | None, model: Model | None, plain: int, chats: Callable[[], list[str]]
) -> list[Found]:
    table = catalog()
    if verb == "chat" and not plain:
        return [(name, "chat") for name in chats()]
    if verb == "panel" and not plain:
        return _categories()
    if verb == "sandbox" and not plain:
        return [(name, "verb") for name in SANDBOX_VERBS]
    if verb and not VERBS[verb].of_model:
        return [("tokens", "topic"), *_heads()] if verb == "help" else []
    if category is None:
        return _heads() if not verb else [*_categories(), *_slugs(table.models.values())]
    return _slugs(table.of(category.name)) if model is None and not plain else []


def _heads() -> list[Found]:
    return [*_categories(), *((verb, "verb") for verb in VERBS), *_slugs(catalog().models.values())]


def _categories() -> list[Found]:
    return [(name, "category") for name in catalog().categories]


def _slugs(models: Iterable[Model]) -> list[Found]:
    return [(model.slug, f"{model.price} tokens") for model in models]
