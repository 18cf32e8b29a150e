"""What to make: category, model, prompt and the controls of its parameters, all from the table.

Nothing here knows a category by name: a row of the table is all there is.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import ipywidgets as widgets

from elumenta_nb._asks import refer
from elumenta_nb._buying import MAX_COUNT
from elumenta_nb._catalog import Category, Model, catalog
from elumenta_nb._errors import BadParam
from elumenta_nb._language import gettext as _
from elumenta_nb._options import variable
from elumenta_nb._values import Ask

from ._controls import Control, control_of
from ._look import help_text
from ._source import cell_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["Form", "all_models", "fits", "rows_of"]

_GAP: Final = "\N{NO-BREAK SPACE}"  # an <option> folds ordinary spaces
_PROMPTS: Final[dict[str, Callable[[], str]]] = {
    "required": lambda: _("what to make"),
    "optional": lambda: _("optional"),
    "none": lambda: "",
}


def all_models(served: Mapping[str, Model]) -> list[Model]:
    """The table's models, with what the server's config says they take; then those only the server knows."""
    table = catalog()
    known = [
        _narrowed(model, served.get(slug), table.categories[model.category]) for slug, model in table.models.items()
    ]
    return known + [model for slug, model in served.items() if slug not in table.models]


def _narrowed(model: Model, told: Model | None, category: Category) -> Model:
    """The row with the values the server lists, as far as a call may have them."""
    if told is None:
        return model
    params = dict(model.params)
    for param in catalog().params_of(category, model):
        values = [value for value in told.params.get(param.name, {}).get("choices", ()) if _takes(param, value)]
        if values:
            params[param.name] = {**params.get(param.name, {}), "choices": tuple(values)}
    return replace(model, params=params)


def _takes(param: Any, value: Any) -> bool:
    with suppress(BadParam):
        param.parse(value)
        return True
    return False


def fits(model: Model, text: str) -> bool:
    """Whether all words of `text` are found in what is known of a model, in the language of the page or the person's."""
    row = catalog().categories[model.category]
    known = f"{model.slug} {model.name} {model.provider} {model.tier} {row.name} {row.title} {_(row.title)}".lower()
    return all(word in known for word in text.lower().split())


def rows_of(models: Iterable[Model], *, with_category: bool = False) -> list[tuple[str, str]]:
    """(what a list shows, slug) of models, in columns of a monospaced font."""
    models = list(models)
    cells = [
        [
            model.slug,
            model.price if model.maximum else "?",
            model.tier or "–",
            *([_(catalog().categories[model.category].title)] if with_category else []),
            model.name if model.name.lower() != model.slug.lower() else "",
        ]
        for model in models
    ]
    wide = [max((len(row[at]) for row in cells), default=0) for at in range(5 if with_category else 4)]
    shown = []
    for row in cells:
        padded = [row[0].ljust(wide[0]), row[1].rjust(wide[1]), row[2].ljust(wide[2])]
        padded += [cell.ljust(wide[at]) for at, cell in enumerate(row[3:], 3)]
        shown.append((_GAP * 2).join(padded).rstrip().replace(" ", _GAP))
    return [(line, model.slug) for line, model in zip(shown, models, strict=True)]


class Form:
    """The widgets that say what to make. `changed` is called after every change that may move the price."""

    def __init__(
        self, namespace: Callable[[], Mapping[str, Any]], *, changed: Callable[[], None], told: Callable[[], None]
    ) -> None:
        self._namespace = namespace
        self._changed = changed
        self._told = told  # a change of words only
        self._handler: Callable[[Callable[..., None]], Callable[..., None]] = lambda function: function
        self._models = {model.slug: model for model in all_models({})}
        self._chosen: Model | None = None
        self._is_filling = False
        self.controls: dict[str, Control] = {}
        rows = catalog().categories.values()
        label = {"description_width": "120px"}
        self.category = widgets.Dropdown(
            options=[(_(row.title), row.name) for row in rows],
            description=_("Category"),
            tooltip=_("what to make"),
            style=label,
            layout={"width": "auto"},
        )
        self.search = widgets.Text(
            placeholder=_("search models"),
            description=_("Search"),
            tooltip=_("part of a name, a provider or a tier"),
            style=label,
            layout={"width": "auto"},
        )
        self.model = widgets.Select(
            description=_("Model"),
            tooltip=_("the model; its price in Elumenta tokens, and the plan it needs"),
            rows=6,
            style=label,
            layout={"width": "auto"},
        )
        self.model.add_class("elumenta-models")
        self.about = widgets.HTML()
        self.prompt = widgets.Textarea(
            description=_("Prompt"),
            tooltip=_("what to make, in your words"),
            rows=4,
            style=label,
            layout={"width": "auto"},
        )
        self.params = widgets.GridBox()
        self.params.add_class("elumenta-params")
        self.count = widgets.BoundedIntText(
            value=1,
            min=1,
            max=MAX_COUNT,
            description=_("how many"),
            tooltip=_("so many results at once; each costs the price of one"),
            style=label,
            layout={"width": "auto"},
        )
        self.count.add_class("elumenta-control")
        self.name = widgets.Text(
            description=_("keep as"),
            placeholder=_("a variable, e.g. cover"),
            tooltip=_("bind the result to this variable, as -o does in a cell"),
            continuous_update=False,
            style=label,
            layout={"width": "auto"},
        )
        self.name.add_class("elumenta-control")
        self.box = widgets.VBox([self.category, self.search, self.model, self.about, self.prompt, self.params])

    def watch(self, handler: Callable[[Callable[..., None]], Callable[..., None]]) -> None:
        """Listen to the widgets, through `handler`."""
        self._handler = handler
        self.category.observe(handler(lambda _change: self._listed()), "value")
        self.search.observe(handler(lambda _change: self._listed()), "value")
        self.model.observe(handler(lambda _change: self._model_chosen()), "value")
        self.count.observe(handler(lambda _change: self._changed()), "value")
        for widget in (self.prompt, self.name):
            widget.observe(handler(lambda _change: self._told()), "value")
        self._listed()

    # ------------------------------------------------------------ choosing

    @property
    def row(self) -> Category:
        return catalog().categories[self.category.value]

    @property
    def chosen(self) -> Model | None:
        return self._chosen

    def serve(self, served: Mapping[str, Model]) -> None:
        """Take in what the server lists."""
        self._models = {model.slug: model for model in all_models(served)}
        old = self._chosen
        self._listed()
        if old is not None and self._models.get(old.slug) != old:
            self._model_chosen()

    def use(self, slug: str) -> None:
        """Choose a model, of whatever category. Raises `BadParam` for one that nobody knows."""
        model = self._models.get(slug)
        if model is None:
            raise BadParam(_("There is no model {slug!r}.").format(slug=slug))
        self._is_filling = True
        try:
            self.search.value = ""
            self.category.value = model.category
        finally:
            self._is_filling = False
        self._listed(slug)

    def _listed(self, wanted: str = "") -> None:
        """Fill the list of models and choose `wanted`; else the one chosen stays while it is among them."""
        if self._is_filling:
            return
        home = [model for model in self._models.values() if model.category == self.row.name]
        found = [model for model in home if fits(model, self.search.value)]
        slugs = [model.slug for model in found]
        if not wanted:
            is_here = self._chosen is not None and self._chosen.category == self.row.name
            wanted = self._chosen.slug if is_here and self._chosen else catalog().cheapest(self.row).slug
        self._is_filling = True
        try:
            self.model.options = rows_of(found)
            self.model.value = wanted if wanted in slugs else (slugs[0] if slugs else None)
        finally:
            self._is_filling = False
        self._model_chosen()

    def _model_chosen(self) -> None:
        if self._is_filling:
            return
        model = self._models.get(self.model.value) if self.model.value else None
        is_new = model is None or model != self._chosen
        self._chosen = model
        if is_new:
            self._fill()
        self._changed()

    def _fill(self) -> None:
        """The controls of the chosen model; what was chosen before stays where the new model has it too."""
        if self._chosen is None:
            self.about.value = _("No model matches the search.")
            return
        self.about.value = help_text(
            _("model, price in Elumenta tokens (credits of your account), plan it needs, name")
        )
        kept = {name: control.widget.value for name, control in self.controls.items()}
        own = catalog().params_of(self.row, self._chosen)
        self.controls = {param.name: control_of(param, self._namespace()) for param in own}
        for name, control in self.controls.items():
            if name in kept:
                with suppress(Exception):  # another model's value this one does not have
                    control.write(kept[name])
            control.widget.observe(self._handler(lambda _change: self._changed()), "value")
        self.params.children = [*(control.box for control in self.controls.values()), self.count, self.name]
        self.prompt.placeholder = _PROMPTS[self._wish]()
        self.prompt.layout.display = None if self.has_prompt else "none"

    def offer(self) -> None:
        """Offer the results there are now to the inputs."""
        for control in self.controls.values():
            control.offer(self._namespace())

    # ------------------------------------------------------------ what was said

    @property
    def has_prompt(self) -> bool:
        return self._wish != "none"

    @property
    def _wish(self) -> str:
        """Whether the model wants a prompt: ``required``, ``optional`` or ``none``."""
        return (self._chosen.prompt if self._chosen else "") or self.row.prompt

    @property
    def words(self) -> str:
        """The prompt, where the model takes one."""
        return self.prompt.value.strip("\n") if self.has_prompt else ""

    @property
    def out(self) -> str:
        """The variable to bind. Raises `BadParam` for what cannot be one."""
        name: str = self.name.value.strip()
        try:
            return variable(name) if name else ""
        except ValueError:
            raise BadParam(_("{name!r} cannot be a variable: letters, digits and _ only.").format(name=name)) from None

    def check(self) -> None:
        """What is missing in the form itself. Raises `BadParam`."""
        self.out  # noqa: B018 - raises for a name that cannot be bound
        if self._chosen is not None and self._wish == "required" and not self.words.strip():
            raise BadParam(
                _("{model} needs a prompt, and it is empty.").format(model=self._chosen.slug),
                hint=_("Write it in the field Prompt."),
            )

    def ask(self, *, max_price: int | None = None) -> Ask:
        """What is asked for. Raises `BadParam` for no model, and for an input that cannot be told apart."""
        if self._chosen is None:
            raise BadParam(_("Choose a model."))
        options: dict[str, Any] = {}
        for name, control in self.controls.items():
            if (value := control.read()) is not None:
                options[name] = refer(value, self._namespace()) if control.param.is_input else value
        return Ask(
            category=self.row.name,
            model=self._chosen.slug,
            prompt=self.words or None,
            options=options,
            count=self.count.value,
            stream=self.row.ask == "stream",
            reuse="off",  # the click is the consent to buy anew
            max_price=max_price,
        )

    def source(self, *, max_price: int | None = None) -> str:
        """The same as a cell."""
        if self._chosen is None:
            return ""
        values = {
            control.param.flags[0]: value for control in self.controls.values() if (value := control.read()) is not None
        }
        out = self.name.value.strip()
        return cell_source(
            self.row.name,
            self._chosen.slug,
            values,
            self.words,
            count=self.count.value,
            out=out if out.isidentifier() else "",
            max_price=max_price,
        )
