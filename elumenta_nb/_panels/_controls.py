"""One control for one parameter of the table, by its type alone.

An untouched control gives nothing: only what was chosen is sent, never a default of the documentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import ipywidgets as widgets

from elumenta_nb._language import gettext as _
from elumenta_nb._result import Result

from ._look import help_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from elumenta_nb._catalog import Param

__all__ = ["Control", "control_of", "results_in"]

_LABEL: Final = {"description_width": "120px"}
_WIDE: Final = "auto"
_PARTS: Final = 6  # of a list of results that are offered by name
_EXAMPLES: Final = {"size": "1024x1024", "ratio": "16:9"}


@dataclass(frozen=True, slots=True)
class Control:
    """A parameter and the widget that asks for it; `box` has its help as well."""

    param: Param
    widget: Any
    box: Any

    def read(self) -> Any:
        """What was chosen, ``None`` for nothing. Texts are stripped and stay on one line, as in a cell."""
        value = self.widget.value
        if isinstance(value, str):
            return " ".join(value.split("\n")).strip() or None
        return None if value == _untouched(self.param) else value

    def write(self, value: Any) -> None:
        """Show this value, where the control can."""
        if isinstance(self.widget, widgets.Text | widgets.Combobox):
            self.widget.value = str(value)
        else:
            self.widget.value = value

    def offer(self, namespace: Mapping[str, Any]) -> None:
        """Offer the results of the namespace that fit, where this is an input."""
        if self.param.is_input:
            names = results_in(namespace, self.param.accepts or "")
            if list(self.widget.options) != names:
                self.widget.options = names


def control_of(param: Param, namespace: Mapping[str, Any]) -> Control:
    """The control of this parameter."""
    widget = _widget(param, namespace)
    widget.description = param.flags[0].replace("-", " ")
    widget.tooltip = _(param.help)
    widget.style = _LABEL
    widget.layout = widgets.Layout(width=_WIDE)
    widget.add_class("elumenta-control")
    return Control(param, widget, widgets.VBox([widget, widgets.HTML(help_text(_(param.help)))]))


def results_in(namespace: Mapping[str, Any], kind: str) -> list[str]:
    """The names that hold a `Result` of that kind (``image``, ``audio``), newest last."""
    found = []
    for name, value in list(namespace.items()):
        if name.startswith("_"):
            continue
        if _fits(value, kind):
            found.append(name)
        elif isinstance(value, list):
            found += [f"{name}[{at}]" for at, part in enumerate(value[:_PARTS]) if _fits(part, kind)]
    return found


def _fits(value: Any, kind: str) -> bool:
    return isinstance(value, Result) and bool(value.media) and value.mime.startswith(kind)


def _untouched(param: Param) -> Any:
    """The value of a control that says nothing."""
    if param.type == "bool":
        return bool(param.default)
    return param.default if _is_bounded(param) else ""


def _is_bounded(param: Param) -> bool:
    known = param.minimum is not None and param.maximum is not None and isinstance(param.default, int | float)
    return param.type in ("int", "float") and not param.choices and known


def _widget(param: Param, namespace: Mapping[str, Any]) -> Any:
    if param.is_input:
        return widgets.Combobox(
            options=results_in(namespace, param.accepts or ""),
            placeholder=_("a file, or a Result") if param.type == "upload" else _("a URL, or a Result"),
            continuous_update=False,
        )
    if param.choices:
        unsaid = _("default ({value})").format(value=param.default) if _known(param) else _("default")
        return widgets.Dropdown(options=[(unsaid, ""), *((str(choice), choice) for choice in param.choices)])
    if param.type == "bool":
        return widgets.Checkbox(value=bool(param.default), indent=True)
    if _is_bounded(param):  # no slider: its handle has no name for a screen reader
        kind = widgets.BoundedIntText if param.type == "int" else widgets.BoundedFloatText
        step = 1 if param.type == "int" else 0.1
        return kind(value=param.default, min=param.minimum, max=param.maximum, step=step)
    if param.suggestions:
        return widgets.Combobox(options=_texts(param.suggestions), placeholder=_hint(param), continuous_update=False)
    return widgets.Text(placeholder=_hint(param), continuous_update=False)


def _known(param: Param) -> bool:
    return param.default is not None and (not param.choices or param.default in param.choices)


def _texts(values: Sequence[Any]) -> list[str]:
    return [str(value) for value in values]


def _hint(param: Param) -> str:
    """What an empty field shows: the default where there is one, else what it takes."""
    if param.default is not None:
        return _("default ({value})").format(value=param.default)
    return _EXAMPLES.get(param.type, "") or (param.takes() if param.type in ("int", "float") else _("not set"))
