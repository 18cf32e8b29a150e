"""The tab of all models: filtered by category, tier, price and words; one click takes a model to the form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from elumenta_nb._catalog import Model, catalog
from elumenta_nb._language import gettext as _, ngettext, number, span, tokens

from ._form import all_models, fits, rows_of
from ._look import heading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Models"]

_LABEL = {"description_width": "120px"}


class Models:
    """All models. `use` is told the slug of the one to use."""

    def __init__(self, use: Callable[[str], None]) -> None:
        self._use = use
        self._models = {model.slug: model for model in all_models({})}
        everything = _("all")
        rows = catalog().categories.values()
        tiers = dict.fromkeys(model.tier for model in self._models.values() if model.tier)
        layout = {"width": "auto"}
        self.category = widgets.Dropdown(
            options=[(everything, ""), *((_(row.title), row.name) for row in rows)],
            description=_("Category"),
            style=_LABEL,
            layout=layout,
        )
        self.tier = widgets.Dropdown(
            options=[(everything, ""), *((tier, tier) for tier in tiers)],
            description=_("Tier"),
            tooltip=_("the plan a model needs"),
            style=_LABEL,
            layout=layout,
        )
        self.most = widgets.Text(
            description=_("at most"),
            placeholder=_("any price"),
            tooltip=_("models that begin at this many Elumenta tokens or less"),
            style=_LABEL,
            layout=layout,
        )
        self.search = widgets.Text(
            description=_("Search"), placeholder=_("name, provider, kind"), style=_LABEL, layout=layout
        )
        self.list = widgets.Select(
            description=_("Models"),
            rows=12,
            style=_LABEL,
            layout=layout,
            tooltip=_("models, prices in Elumenta tokens"),
        )
        self.list.add_class("elumenta-models")
        self.about = widgets.HTML()
        self.take = widgets.Button(description=_("Use this model"))
        buttons = widgets.HBox([self.take])
        buttons.add_class("elumenta-buttons")
        filters = widgets.GridBox([self.category, self.tier, self.most, self.search])
        filters.add_class("elumenta-params")
        self.box = widgets.VBox([filters, self.list, self.about, buttons])

    def watch(self, handler: Callable[[Callable[..., None]], Callable[..., None]]) -> None:
        """Listen to the widgets, through `handler`."""
        for widget in (self.category, self.tier, self.most, self.search):
            widget.observe(handler(lambda _change: self._list()), "value")
        self.list.observe(handler(lambda _change: self._tell()), "value")
        self.take.on_click(handler(lambda _button: self._use(self.list.value) if self.list.value else None))
        self._list()

    def serve(self, served: Mapping[str, Model]) -> None:
        """Take in what the server lists."""
        self._models = {model.slug: model for model in all_models(served)}
        self._list()

    def _list(self) -> None:
        found = [model for model in self._models.values() if self._is_wanted(model)]
        rows = rows_of(found, with_category=True)
        old: Any = self.list.value
        self.list.options = rows
        slugs = [slug for _line, slug in rows]
        self.list.value = old if old in slugs else (slugs[0] if slugs else None)
        self._tell()

    @property
    def _limit(self) -> int:
        """The most a model may cost; 0 for any price, and for what is no number."""
        text = self.most.value.strip()
        return int(text) if text.isdecimal() else 0

    def _is_wanted(self, model: Model) -> bool:
        return (
            (not self.category.value or model.category == self.category.value)
            and (not self.tier.value or model.tier == self.tier.value)
            and (not self._limit or 0 < model.minimum <= self._limit)
            and fits(model, self.search.value)
        )

    def _tell(self) -> None:
        model = self._models.get(self.list.value) if self.list.value else None
        count = ngettext("{n} model", "{n} models", len(self.list.options))
        if model is None:
            self.about.value = heading(count, _("No model matches."))
        else:
            row = catalog().categories[model.category]
            low, high = model.typical_s or row.typical_s
            same = model.minimum == model.maximum
            price = tokens(model.maximum) if same else f"{number(model.minimum)}–{tokens(model.maximum)}"
            facts = [
                _(row.title),
                price if model.maximum else "",
                model.provider,
                model.tier,
                _("typically {low} to {high}").format(low=span(low), high=span(high)),
            ]
            self.about.value = heading(f"{count} · {model.name or model.slug}", " · ".join(filter(None, facts)))
        self.take.disabled = model is None
