"""The price of a notebook as values, as a frame and as a table to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ._language import gettext as _, ngettext, number, tokens
from ._options import N_
from ._render import table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ASKS", "BACKGROUND", "DEPENDS", "PAID", "PYTHON", "REFUSED", "STORED", "TO_BUY", "NotebookPrice", "Row"]

STORED: Final = N_("stored")
PAID: Final = N_("paid already")
TO_BUY: Final = N_("to buy")
DEPENDS: Final = N_("depends on a variable")
BACKGROUND: Final = N_("background")
REFUSED: Final = N_("refused")
ASKS: Final = N_("price only")
PYTHON: Final = N_("not priced")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line that buys. `low` and `high` are Elumenta tokens for all `count`; ``None`` is "not known"."""

    cell: int
    cell_id: str
    status: str
    category: str = ""
    model: str = ""
    count: int = 1
    low: int | None = 0
    high: int | None = 0
    note: str = ""

    @property
    def tokens(self) -> str:
        """``13``, ``0–13``, ``0–?``; a dash where nothing can be said."""
        if self.low is None:
            return "–"
        if self.low == self.high:
            return number(self.low)
        return f"{number(self.low)}–{'?' if self.high is None else number(self.high)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookPrice:
    """The price of a notebook. `balance` is ``None`` where it was not told; `notes` are for the person to know."""

    name: str
    rows: tuple[Row, ...]
    balance: int | None = None
    sandbox: bool = False
    notes: tuple[str, ...] = ()

    @property
    def low(self) -> int:
        """At least so many Elumenta tokens."""
        return sum(row.low or 0 for row in self.rows)

    @property
    def high(self) -> int | None:
        """At most so many; ``None`` where the price of a line is not known."""
        if any(row.high is None and row.status != PYTHON for row in self.rows):
            return None
        return sum(row.high or 0 for row in self.rows)

    def is_above(self, limit: int) -> bool:
        """Whether it may cost more than `limit` Elumenta tokens."""
        return self.high is None or self.high > limit

    def frame(self) -> pd.DataFrame:
        """A row per line that buys; `tokens` is missing where there is a range, `minimum` to `maximum`."""
        import pandas as pd

        rows = [
            {
                "cell": row.cell,
                "cell_id": row.cell_id,
                "category": row.category,
                "model": row.model,
                "count": row.count,
                "status": row.status,
                "tokens": row.low if row.low == row.high else None,
                "minimum": row.low,
                "maximum": row.high,
                "note": row.note,
            }
            for row in self.rows
        ]
        columns = ["cell", "cell_id", "category", "model", "count", "status", "tokens", "minimum", "maximum", "note"]
        frame = pd.DataFrame(rows, columns=columns)
        for column in ("tokens", "minimum", "maximum"):
            frame[column] = frame[column].astype("Int64")
        frame.attrs = {"low": self.low, "high": self.high, "balance": self.balance, "notes": list(self.notes)}
        return frame

    def _repr_mimebundle_(self, **_kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        rows = [
            (
                row.cell,
                row.model or row.category or "–",
                row.count,
                _(row.status),
                row.tokens,
                row.note,
            )
            for row in self.rows
        ]
        head = (_("Cell"), _("Model"), _("Count"), _("Status"), _("Tokens"), "")
        title = _("{name}: Run All costs {price}").format(name=self.name, price=self.price)
        return table(head, rows, title=f"SANDBOX · {title}" if self.sandbox else title, hint=self._hint())

    @property
    def price(self) -> str:
        """The sum in words."""
        if self.high is None:
            return _("at least {tokens}").format(tokens=tokens(self.low))
        if self.low == self.high:
            return tokens(self.low)
        return f"{number(self.low)}–{tokens(self.high)}"

    def _hint(self) -> str:
        parts = []
        if self.balance is not None:
            short = (self.high if self.high is not None else self.low) - self.balance
            parts.append(_("Balance: {tokens}").format(tokens=tokens(self.balance)))
            if short > 0:
                parts.append(_("{tokens} short at worst").format(tokens=tokens(short)))
        unpriced = [row.cell for row in self.rows if row.status == PYTHON]
        if unpriced:
            text = ngettext("{n} Python cell buys too", "{n} Python cells buy too", len(unpriced))
            parts.append(_("{cells}: not priced").format(cells=text))
        return " · ".join([*parts, *self.notes])

    def __str__(self) -> str:
        return str(self._repr_mimebundle_()[0]["text/plain"])

    __repr__ = __str__
