"""Help pages, made from the tables: what a line can say, what each option takes, and what moves the price.

A `Page` shows as Markdown in a notebook and as plain text in a terminal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._catalog import catalog
from ._language import gettext as _, number, tokens
from ._options import COMMON, HELP, options_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ._catalog import Category, Model
    from ._options import Option

__all__ = ["Page", "Table", "about_category", "about_magic", "about_tokens", "about_verb"]


@dataclass(frozen=True, slots=True)
class Table:
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


Block = str | Table


@dataclass(frozen=True, slots=True)
class Page:
    """Something to read: a title, then paragraphs and tables. Holds our own words only, never a model's."""

    title: str
    blocks: tuple[Block, ...] = ()

    def __str__(self) -> str:
        return "\n\n".join([self.title, *(_plain(block) for block in self.blocks)])

    __repr__ = __str__

    def _repr_mimebundle_(self, **_kwargs: Any) -> dict[str, str]:
        marked = "\n\n".join([f"#### {self.title}", *(_marked(block) for block in self.blocks)])
        return {"text/plain": str(self), "text/markdown": marked}


def _plain(block: Block) -> str:
    if isinstance(block, str):
        return block
    lines = [row for row in (block.head, *block.rows) if any(row)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(block.head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _marked(block: Block) -> str:
    if isinstance(block, str):
        return block.replace("\n", "  \n")
    lines = [block.head, tuple("---" for _column in block.head), *block.rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def about_magic(verbs: Mapping[str, str]) -> Page:
    """The page of the magic itself; `verbs` says how each is written and what it does."""
    table = catalog()
    categories = Table(
        (_("Category"), _("What"), _("Models"), _("Elumenta tokens")),
        tuple(
            (row.name, _(row.title), str(len(table.of(row.name))), _range(table.of(row.name)))
            for row in table.categories.values()
        ),
    )
    return Page(
        _("%%elumenta CATEGORY [MODEL] [options], the prompt in the cell's body"),
        (
            _("A model alone is enough; with no model it is the category's cheapest."),
            categories,
            _("Options of one category or model: %elumenta image -h, %elumenta dall-e-3 -h. Options for all:"),
            _options(COMMON),
            _("On a line of their own: %elumenta VERB"),
            Table((_("Verb"), _("What it does")), tuple(verbs.items())),
        ),
    )


def about_category(category: Category, model: Model | None) -> Page:
    """Every option of a category, or of one model."""
    table = catalog()
    name = f"{category.name} {model.slug}" if model else category.name
    models = [model] if model else table.of(category.name)
    blocks: list[Block] = [
        _("{what}: {price}. A failed generation is not charged.").format(what=_(category.title), price=_range(models))
    ]
    if not model:
        blocks.append(
            Table(
                (_("Model"), _("Elumenta tokens"), _("Tier")),
                tuple((row.slug, row.price, row.tier or "–") for row in models),
            )
        )
    own = options_of(category, model, common=())
    if own:
        blocks += [_("Its own options:"), _options(own, category=None if model else category)]
    ours = [option for option in options_of(category, model) if option.param is None]
    blocks += [_("Options for all:"), _options(ours)]
    if category.source:
        blocks.append(_("From the documentation: {page}").format(page=f"docs.elumenta.ru/{category.source}"))
    return Page(f"%%elumenta {name} [{_('options')}]", tuple(blocks))


def about_verb(usage: str, text: str, options: Iterable[Option]) -> Page:
    """The page of one verb."""
    return Page(f"%elumenta {usage}", (text, _options([*options, HELP])))


def about_tokens() -> Page:
    """What an Elumenta token is."""
    table = catalog()
    plans = Table(
        (_("Plan"), _("Tokens"), _("Roubles"), _("API")),
        tuple(
            (row.name, number(row.tokens), number(row.rubles), _("yes") if row.has_api else _("no"))
            for row in table.plans
        ),
    )
    return Page(
        _("Elumenta tokens"),
        (
            _(
                "An Elumenta token is a credit of your account, not an LLM token: a text answer costs {low}, a video "
                "{high}, whatever its length in words. Prices here are always in Elumenta tokens; only --max-output "
                "counts LLM tokens."
            ).format(low=_range(table.of("text")), high=_range(table.of("video"))),
            _("The price of every cell is known before it is sent: --quote shows it, --max-price N limits it."),
            _("A failed generation is not charged. The same cell run again is shown from the store for 0 tokens."),
            plans,
            _("Plan tokens expire with the month, tokens of a package do not. All prices: %elumenta plans"),
        ),
    )


def _range(models: Iterable[Model]) -> str:
    models = list(models)
    low, high = min(row.minimum for row in models), max(row.maximum for row in models)
    return tokens(low) if low == high else f"{low}–{tokens(high)}"


def _options(options: Iterable[Option], *, category: Category | None = None) -> Table:
    """A row per option. With a category, a parameter that only some of its models have says which."""
    return Table(
        (_("Option"), _("Takes"), _("What it does")),
        tuple((", ".join(option.shown), _takes(option), _does(option, category)) for option in options),
    )


def _takes(option: Option) -> str:
    if option.param is None or option.param.is_input:
        return option.takes
    if option.param.suggestions:
        return ", ".join(option.param.suggestions) + ", …"
    return option.param.takes()


def _does(option: Option, category: Category | None) -> str:
    parts = [_(option.help)] if option.help else []
    if (param := option.param) is not None:
        if param.required:
            parts.append(_("required"))
        if param.default is not None:
            parts.append(_("default {value}").format(value=param.default))
        if not param.is_input:
            parts.append(_("can change the price") if param.prices else _("does not change the price"))
        if category is not None and param.models:
            parts.append(_("only {models}").format(models=", ".join(param.models)))
    return "; ".join(parts)
