"""The table: what can be asked for, with which parameters, at which documented price.

Everything that differs between categories is a column here; the magic's options, the panel's controls, validation,
request bodies, display and the sandbox are derived from it. Slugs are not a fence: `resolve` takes the rows a server
told (`served`) as well. Source of the data: `_catalog.toml`.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from ._errors import BadParam, UnknownModel
from ._language import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Catalog", "Category", "Model", "Older", "Package", "Param", "Plan", "Resolved", "catalog", "closest"]

Kind = Literal["text", "image", "audio", "video"]
ParamType = Literal["str", "int", "float", "bool", "size", "ratio", "input", "upload"]

_SHAPES = {"size": re.compile(r"[1-9]\d{1,4}x[1-9]\d{1,4}"), "ratio": re.compile(r"[1-9]\d?:[1-9]\d?")}
_EXAMPLES = {"size": "1024x1024", "ratio": "16:9"}
_SAID_ELSEWHERE = {"model", "prompt", "messages", "stream"}  # fields of the request beside its parameters
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """A parameter of the API: its wire name, what it takes, and whether it can move the price."""

    name: str
    type: ParamType
    help: str = ""
    options: tuple[str, ...] = ()  # shorter names people may use for it
    choices: tuple[str | int, ...] = ()
    suggestions: tuple[str, ...] = ()  # good values among others
    minimum: float | None = None
    maximum: float | None = None
    default: str | float | bool | None = None  # what the documentation says; never sent
    required: bool = False
    prices: bool = True
    models: tuple[str, ...] = ()  # only these of the table have it; empty: all of the category
    accepts: Kind | None = None  # of an input or upload
    assumed: bool = False  # the documentation does not give this name

    @property
    def flags(self) -> tuple[str, ...]:
        """Its names on a command line, the friendliest first, without dashes."""
        return (*self.options, self.name.replace("_", "-"))

    @property
    def is_input(self) -> bool:
        return self.type in ("input", "upload")

    def parse(self, value: Any) -> Any:
        """The value as the API takes it. Raises `BadParam` that names what would do."""
        if self.is_input:
            return value
        try:
            parsed = self._typed(value)
        except (TypeError, ValueError, OverflowError):
            raise self._refusal(value) from None
        if self.choices and parsed not in self.choices:
            raise self._refusal(value)
        if shape := _SHAPES.get(self.type):
            if not shape.fullmatch(str(parsed)):
                raise self._refusal(value)
        elif isinstance(parsed, int | float) and not self._within(parsed):
            raise self._refusal(value)
        return parsed

    def _typed(self, value: Any) -> Any:
        if self.type == "bool":
            return _boolean(value)
        if isinstance(value, bool):
            raise TypeError
        if self.type == "int":
            number = int(value) if isinstance(value, str) else value
            if number != int(number):
                raise ValueError
            return int(number)
        if self.type == "float":
            number = float(value)
            if number - number != 0:  # nan and infinities pass every comparison below
                raise ValueError
            return number
        if not isinstance(value, str | int | float):
            raise TypeError
        if isinstance(value, str) and "\x00" in value:
            raise ValueError
        return str(value)

    def _within(self, number: float) -> bool:
        return (self.minimum is None or number >= self.minimum) and (self.maximum is None or number <= self.maximum)

    def _refusal(self, value: Any) -> BadParam:
        shown = repr(value) if len(repr(value)) < 60 else repr(value)[:57] + "…"
        message = _("--{name} does not take {value}: {takes}.").format(
            name=self.flags[0], value=shown, takes=self.takes()
        )
        near = closest(str(value), [str(choice) for choice in self.choices])
        if self.type == "float" and re.fullmatch(r"-?\d+,\d+", str(value)):
            near = str(value).replace(",", ".")
        hint = _("Did you mean --{name} {value}?").format(name=self.flags[0], value=near) if near else ""
        return BadParam(message, hint=hint)

    def takes(self) -> str:
        """What values it takes, in words."""
        if self.choices:
            return _("one of {choices}").format(choices=", ".join(str(choice) for choice in self.choices))
        if self.type == "bool":
            return _("true or false")
        if self.type in _EXAMPLES:
            return _("a value such as {example}").format(example=_EXAMPLES[self.type])
        if self.type in ("int", "float"):
            what = _("a whole number") if self.type == "int" else _("a number")
            if self.minimum is not None and self.maximum is not None:
                return _("{what} from {low} to {high}").format(
                    what=what, low=f"{self.minimum:g}", high=f"{self.maximum:g}"
                )
            if self.minimum is not None:
                return _("{what} of at least {low}").format(what=what, low=f"{self.minimum:g}")
            return what
        return _("a text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """A group of the token page: how it is asked for and what comes back."""

    name: str
    title: str
    ask: Literal["generate", "stream", "stt"]
    returns: Kind
    prompt: Literal["required", "optional", "none"]
    params: tuple[Param, ...]
    wire: tuple[str, ...]  # its names in history and replies, the preferred one first
    stats: str  # its group in /user/stats
    aliases: tuple[str, ...] = ()
    prompt_fields: tuple[str, ...] = ("prompt",)  # the documented names of the field, in the order to try (api R5)
    typical_s: tuple[float, float] = (1, 60)
    upload_formats: tuple[str, ...] = ()
    upload_max_bytes: int = 0
    source: str = ""

    def param(self, name: str) -> Param | None:
        """The parameter of that wire name or option, `-` equal to `_`."""
        wanted = name.replace("_", "-")
        return next((param for param in self.params if wanted in param.flags), None)

    @property
    def input_param(self) -> Param | None:
        """The parameter that `--input` fills: the first input of the row."""
        return next((param for param in self.params if param.is_input), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model: its price in Elumenta tokens from the cheapest to the dearest parameters."""

    slug: str
    category: str
    minimum: int
    maximum: int
    name: str = ""
    provider: str = ""
    tier: str = ""  # Starter | Basic+ | "" (no page says)
    prompt: Literal["required", "optional", "none", ""] = ""
    returns: Kind | None = None
    typical_s: tuple[float, float] | None = None
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # columns of Param, narrowed
    in_table: bool = True  # false: told by the server or passed through

    @property
    def price(self) -> str:
        """``13`` or ``5–13``."""
        return str(self.minimum) if self.minimum == self.maximum else f"{self.minimum}–{self.maximum}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Older:
    """A slug of older documentation, and what it is called now (inferred from the price tables)."""

    slug: str
    use: str
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def now(self) -> str:
        return " ".join([self.use, *(f"--{name.replace('_', '-')} {value}" for name, value in self.params.items())])


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A subscription: `tokens` a month (Starter: once) for `rubles`; limits are requests, 0 is unlimited."""

    name: str
    api: str
    tokens: int
    rubles: int
    hour: int
    day: int
    keeps_days: int
    has_api: bool
    monthly: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """Tokens bought once; they do not expire and are used after the plan's."""

    name: str
    tokens: int
    rubles: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A checked call: rows of the table and the parameters as the API takes them. `chosen`: the model was ours."""

    category: Category
    model: Model
    params: dict[str, Any]
    own: tuple[Param, ...] = ()  # the parameters this model has
    chosen: bool = False

    @property
    def returns(self) -> Kind:
        return self.model.returns or self.category.returns

    @property
    def prompt(self) -> str:
        return self.model.prompt or self.category.prompt

    @property
    def typical_s(self) -> tuple[float, float]:
        return self.model.typical_s or self.category.typical_s

    @property
    def priced(self) -> dict[str, Any]:
        """The parameters that may move the price; one the table does not know may."""
        rows = {param.name: param for param in self.own or self.category.params}
        return {name: value for name, value in self.params.items() if name not in rows or rows[name].prices}


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """The whole table. `categories` and `models` are in the order of the token page."""

    source: str
    categories: Mapping[str, Category]
    models: Mapping[str, Model]
    older: Mapping[str, Older]
    plans: tuple[Plan, ...]
    packages: tuple[Package, ...]

    def category(self, name: str) -> Category | None:
        """The category of that name or alias."""
        wanted = name.replace("_", "-").lower()
        return self.categories.get(wanted) or next(
            (row for row in self.categories.values() if wanted in row.aliases), None
        )

    def of_wire(self, name: str, slug: str = "") -> Category | None:
        """The category that history or a reply means by `name`; the slug decides where a name is ambiguous (api R13)."""
        if slug in self.models:
            return self.categories[self.models[slug].category]
        rows = [row for row in self.categories.values() if name in row.wire or name == row.name]
        exact = [row for row in rows if row.wire[0] == name or row.name == name]
        found = exact or rows
        return found[-1] if found else None

    def of(self, category: str) -> list[Model]:
        return [model for model in self.models.values() if model.category == category]

    def cheapest(self, category: Category) -> Model:
        """The category's cheapest model; of equals, the first of the page."""
        return min(self.of(category.name), key=lambda model: (model.minimum, model.maximum))

    def params_of(self, category: Category, model: Model) -> tuple[Param, ...]:
        """The parameters this model has, narrowed to its values. A model not in the table has all of the category."""
        rows = [
            param for param in category.params if not param.models or model.slug in param.models or not model.in_table
        ]
        return tuple(
            dataclasses.replace(param, **model.params[param.name]) if param.name in model.params else param
            for param in rows
        )

    def resolve(
        self,
        category: str | None,
        model: str | None,
        params: Mapping[str, Any],
        *,
        extra: Mapping[str, Any] | None = None,
        served: Mapping[str, Model] = MappingProxyType({}),
    ) -> Resolved:
        """Check category, model and parameters before any money.

        `params` are the options people typed, by wire name or option name; `extra` (`-p`, `params=`) is passed on
        unchecked where the table does not know the name. `served` are models the server told.
        Raises `UnknownModel` or `BadParam`, each with the closest match.
        """
        if misplaced := _SAID_ELSEWHERE & {name.replace("-", "_") for name in (*params, *(extra or {}))}:
            name = min(misplaced)  # a server that takes it from here would charge another call than was priced
            raise BadParam(_("{name} is a part of the request itself, not a parameter.").format(name=name))
        row, found, chosen = self._model(category, model, served)
        own = self.params_of(row, found)
        checked: dict[str, Any] = {}
        for name, value in params.items():
            if value is None:
                continue
            param = _named(own, name)
            if param is None:
                raise self._no_such_param(row, found, own, name)
            checked[param.name] = param.parse(value)
        for name, value in (extra or {}).items():
            param = _named(own, name)
            checked[param.name if param else name] = param.parse(value) if param else value
        return Resolved(category=row, model=found, params=checked, own=own, chosen=chosen)

    def _model(
        self, category: str | None, model: str | None, served: Mapping[str, Model]
    ) -> tuple[Category, Model, bool]:
        row = self._category(category) if category else None
        if model is None:
            if row is None:
                raise BadParam(_("Which category or model?"), hint=self._categories_hint())
            return row, self.cheapest(row), True
        found = self.models.get(model) or served.get(model)
        if found is None:
            raise self.unknown(model, row, served)
        home = self.categories[found.category]
        if row is not None and row is not home:
            raise BadParam(
                _("{model} makes {home}, not {asked}.").format(model=model, home=home.name, asked=row.name),
                hint=f"%%elumenta {home.name} {model}",
            )
        return home, found, False

    def _category(self, name: str) -> Category:
        row = self.category(name)
        if row is None:
            near = closest(name, self.categories)
            hint = _("Did you mean {name}?").format(name=near) if near else self._categories_hint()
            raise BadParam(_("There is no category {name!r}.").format(name=name), hint=hint)
        return row

    def _categories_hint(self) -> str:
        return _("Categories: {names}").format(names=", ".join(self.categories))

    def unknown(self, slug: str, row: Category | None, served: Mapping[str, Model]) -> UnknownModel:
        """The error for a slug neither the table nor the server knows."""
        message = _("There is no model {slug!r}.").format(slug=slug)
        if old := self.older.get(slug):
            return UnknownModel(message, hint=_("It is the older name of what is now: {now}").format(now=old.now))
        names = [*self.models, *served]
        within = [name for name in names if row is None or (self.models.get(name) or served[name]).category == row.name]
        near = closest(slug, within) or closest(slug, names)
        hint = _("Did you mean {name}?").format(name=near) if near else _("All models: %elumenta models")
        return UnknownModel(message, hint=hint)

    def _no_such_param(self, row: Category, model: Model, own: Iterable[Param], name: str) -> BadParam:
        flag = name.replace("_", "-")
        known = row.param(name)
        if known is not None:
            message = _("{model} has no --{name} (only {models}).").format(
                model=model.slug, name=flag, models=", ".join(known.models)
            )
            hint = ""
        else:
            message = _("{model} has no --{name}.").format(model=model.slug, name=flag)
            near = closest(flag, [alias for param in own for alias in param.flags])
            hint = _("Did you mean --{name}?").format(name=near) + "\n" if near else ""
        return BadParam(message, hint=hint + _("To send it anyway: -p {name}=…").format(name=name.replace("-", "_")))


def closest(word: str, names: Iterable[str]) -> str | None:
    """The name a person probably meant, or ``None``."""
    names = list(names)
    folded = {name.lower(): name for name in names}
    near = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    if near:
        return folded[near[0]]
    starts = [name for name in names if len(word) > 2 and name.lower().startswith(word.lower())]
    return starts[0] if starts else None


def _named(params: Iterable[Param], name: str) -> Param | None:
    wanted = name.replace("_", "-")
    return next((param for param in params if wanted in param.flags), None)


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError


def _frozen(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


def read(text: str) -> Catalog:
    """The table from its TOML text. Raises `ValueError` or `TypeError` when a row does not fit."""
    data = tomllib.loads(text)
    categories: dict[str, Category] = {}
    for row in data["category"]:
        params = tuple(Param(**_frozen(param)) for param in row.pop("param", ()))
        categories[row["name"]] = Category(params=params, **_frozen(row))
    models: dict[str, Model] = {}
    for row in data["model"]:
        low, high = row.pop("tokens")
        narrowed = {name: _frozen(columns) for name, columns in row.pop("params", {}).items()}
        model = Model(minimum=low, maximum=high, params=narrowed, **_frozen(row))
        if model.category not in categories or not 0 < low <= high or model.slug in models:
            raise ValueError(f"model row {model.slug!r} does not fit")
        models[model.slug] = model
    return Catalog(
        source=data["source"],
        categories=MappingProxyType(categories),
        models=MappingProxyType(models),
        older=MappingProxyType({row["slug"]: Older(**row) for row in data["older"]}),
        plans=tuple(Plan(**row) for row in data["plan"]),
        packages=tuple(Package(**row) for row in data["package"]),
    )


@cache
def catalog() -> Catalog:
    """The table that ships with this package."""
    return read(files(__package__).joinpath("_catalog.toml").read_text(encoding="utf-8"))
