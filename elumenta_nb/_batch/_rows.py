"""The rows of a frame as calls: the template filled in from a row's columns only, every call checked before any money.

Calls are made when they are asked for and not kept: 100,000 of them would be most of the memory of a map.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from elumenta_nb._buying import check_characters, with_inputs
from elumenta_nb._catalog import catalog
from elumenta_nb._errors import BadParam
from elumenta_nb._inputs import read_inputs
from elumenta_nb._language import gettext as _
from elumenta_nb._prices import price_key
from elumenta_nb._template import Template
from elumenta_nb._values import Call

from ._spec import no_column

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from elumenta_nb._catalog import Resolved
    from elumenta_nb._values import Origin

    from ._spec import Spec

__all__ = ["Asked", "Refused", "Rows"]

ROW: Final = "row"  # the whole row, for columns whose names are not words: {{ row["unit price"] }}
_KEPT: Final = 4096  # checked sets of parameters


class Refused(BadParam):
    """Why a row is not asked for. It never leaves the batch: the row says it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A row's call; `kind` is its number among the calls of different price."""

    call: Call
    resolved: Resolved
    kind: int


class _Row:
    """A row as a template sees it."""

    __slots__ = ("_columns", "_frame", "_i")

    def __init__(self, rows: Rows, i: int) -> None:
        self._frame, self._i = rows, i

    def __getitem__(self, name: Any) -> Any:
        return self._frame.value(name, self._i)


class Rows:
    """The frame and what is asked of each of its rows. `base` are model and constant options, checked.

    Raises `BadParam` for a column that is not there.
    """

    def __init__(self, frame: pd.DataFrame, spec: Spec, base: Resolved, origin: Origin) -> None:
        self.spec = spec
        self.index = frame.index
        self.base = base
        self._frame = frame
        self.origin = origin
        self._template = Template(spec.template or "")
        self._columns: dict[Any, list[Any]] = {}
        self._nulls: dict[Any, frozenset[int]] = {}
        self._served = {base.model.slug: base.model}
        self._checked: dict[Any, tuple[dict[str, Any], Any, Resolved, int]] = {}
        self._kinds: dict[tuple[str, str], int] = {}
        self.kinds: list[Resolved] = []  # one for each price there may be
        self._used = self._columns_used()
        if base.prompt == "required" and spec.template is None:
            raise BadParam(_("{model} needs a template for its prompts.").format(model=base.model.slug))
        if base.prompt == "none" and (spec.template or "").strip():
            raise BadParam(_("{model} takes no prompt.").format(model=base.model.slug))

    def __len__(self) -> int:
        return len(self.index)

    def label(self, i: int) -> str:
        """How a row is called: by its label in the index."""
        return _("row {label}").format(label=self.index[i])

    def _columns_used(self) -> list[str]:
        columns = self._frame.columns
        wanted = self._template.names - ({ROW} - set(columns))
        for name in sorted(wanted):
            if name not in columns:
                message = _("The template names {name!r}, and there is no such column.").format(name=name)
                raise no_column(name, columns, message)
        for param, column in self.spec.params.items():
            if column not in columns:
                message = _("params= reads {param} from the column {name!r}, and there is no such column.").format(
                    param=param, name=column
                )
                error = no_column(column, columns, message)
                error.hint += "\n" + _("The same value for all rows is an option: {option}").format(
                    option=f"{param}={column!r}"
                )
                raise error
        if self.spec.input is not None and self.spec.input not in columns:
            message = _("input= names the column {name!r}, and there is no such column.").format(name=self.spec.input)
            raise no_column(self.spec.input, columns, message)
        used = [name for name in sorted(self._template.asked) if name in columns]
        for name in [*used, *self.spec.params.values(), *([self.spec.input] if self.spec.input is not None else [])]:
            self._load(name)
        return used

    def _load(self, name: Any) -> list[Any]:
        if name not in self._columns:
            series = self._frame[name]
            if series.ndim != 1:
                raise BadParam(_("The frame has several columns {name!r}.").format(name=name))
            self._nulls[name] = frozenset(i for i, null in enumerate(series.isna().tolist()) if null)
            self._columns[name] = series.tolist()
        return self._columns[name]

    def value(self, name: Any, i: int) -> Any:
        """What a column says in a row. Raises `Refused` where that is nothing, `BadParam` for no column."""
        if name not in self._columns:
            if name not in self._frame.columns:
                message = _("The template names {name!r}, and there is no such column.").format(name=name)
                raise no_column(name, self._frame.columns, message)
            self._load(name)
        if i in self._nulls[name]:
            raise Refused(_("{column} is empty").format(column=name))
        return self._columns[name][i]

    def part(self, positions: list[int]) -> pd.DataFrame:
        """These rows, with the columns that the calls are made of."""
        whole = ROW in self._template.names and ROW not in self._frame.columns
        frame = self._frame if whole else self._frame[list(self._columns)]
        return frame.iloc[positions]

    def at(self, i: int) -> Asked:
        """The call of a row. Raises `Refused` where it cannot be asked, `BadParam` where it is wrong."""
        params, inputs, resolved, kind = self._checked_params(i)
        prompt = ""
        if self.spec.template is not None:
            values = {name: self.value(name, i) for name in self._used}
            if ROW in self._template.names and ROW not in values:
                values[ROW] = _Row(self, i)
            prompt = self._template.render(values)
        if not prompt.strip() and resolved.prompt == "required":
            raise Refused(_("its prompt is empty"))
        try:
            check_characters(prompt, params)
        except BadParam as error:
            raise Refused(str(error).removesuffix(".")) from None
        call = Call(
            category=resolved.category.name,
            model=resolved.model.slug,
            prompt=prompt,
            params=params,
            inputs=inputs,
            reuse="all",  # what is bought is stored
            fresh=self.spec.reuse == "off",
            origin=self.origin,
        )
        return Asked(call, resolved, kind)

    def _checked_params(self, i: int) -> tuple[dict[str, Any], Any, Resolved, int]:
        given = {param: self.value(column, i) for param, column in self.spec.params.items()}
        source = None if self.spec.input is None else self.value(self.spec.input, i)
        key = tuple((type(value), value) for value in (*given.values(), source))  # 1 and True are not the same
        try:
            found = self._checked.get(key)
        except TypeError:  # a value that has no hash is checked each time
            key, found = (), None
        if found is None:
            found = self._check(given, source)
            if key and len(self._checked) < _KEPT:
                self._checked[key] = found
        return found

    def _check(self, given: Mapping[str, Any], source: Any) -> tuple[dict[str, Any], Any, Resolved, int]:
        resolved = self.base
        if given:
            resolved = catalog().resolve(
                None, self.base.model.slug, self.spec.options, extra=given, served=self._served
            )
        params, inputs = read_inputs(resolved, source)
        resolved = with_inputs(replace(resolved, params=params), inputs)
        key = (resolved.model.slug, price_key(resolved))
        kind = self._kinds.setdefault(key, len(self.kinds))
        if kind == len(self.kinds):
            self.kinds.append(resolved)
        return params, inputs, resolved, kind
