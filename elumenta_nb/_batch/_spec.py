"""What a map asks for, as plain data: it pickles, so that a cluster's workers can be sent the same one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from elumenta_nb._catalog import closest
from elumenta_nb._errors import BadParam
from elumenta_nb._language import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from elumenta_nb._values import Reuse

__all__ = ["COLUMNS", "Spec", "no_column"]

COLUMNS: Final = ("tokens", "status", "error", "call_id")  # of the frame that comes back, after the result's own
POLICIES: Final = ("all", "off", "only")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A map. `params` says which parameter is read from which column, `input` which column holds the inputs.

    `options` are the same for all rows. `map_id` names what is asked, not of whom or for how much: a map that is run
    again, anywhere, has the same budget.
    """

    model: str
    template: str | None = None
    category: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    input: Any = None
    out: str = "result"
    reuse: Reuse = "all"
    tag: str | None = None

    def __post_init__(self) -> None:
        model: Any = self.model
        if not isinstance(model, str):
            raise BadParam(_("The model is a slug such as 'gpt-5', not {value!r}.").format(value=model))
        if self.template is not None and not isinstance(self.template, str):
            raise BadParam(
                _("The template is a text such as {example}, not {value}.").format(
                    example="'{{title}}: one line'", value=type(self.template).__name__
                )
            )
        if not self.out or self.out in COLUMNS:
            raise BadParam(
                _("out= names the column of the results, and cannot be {names}.").format(names=", ".join(COLUMNS))
            )
        if self.reuse not in POLICIES:
            raise BadParam(_("reuse= is one of {names}.").format(names=", ".join(POLICIES)))

    def of(self, category: str, model: str) -> Spec:
        """With the names that the table has for them."""
        return replace(self, category=category, model=model)

    @property
    def map_id(self) -> str:
        facts = [self.category, self.model, self.template, dict(self.options), dict(self.params), self.input]
        text = json.dumps(facts, sort_keys=True, ensure_ascii=True, default=str)
        return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]

    @property
    def title(self) -> str:
        """What people call the map: its model and how its template begins."""
        words = " ".join((self.template or "").split())
        return f"{self.model}: {words[:37]}…" if len(words) > 38 else f"{self.model}: {words}" if words else self.model


def no_column(name: Any, columns: Iterable[Any], message: str) -> BadParam:
    """A column that is not there, with the closest one."""
    names = [str(column) for column in columns]
    near = closest(str(name), names)
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    hint = _("Did you mean {name}?").format(name=near) + "\n" if near else ""
    return BadParam(message, hint=hint + _("Columns: {names}").format(names=shown))
