"""The price of a notebook as values, as a frame and as a table to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ._language import gettext as _, ngettext, number, tokens
from ._options import N_
from ._render import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

__all__ = [
    "ASKS",
    "BACKGROUND",
    "DEPENDS",
    "DOUBTFUL",
    "PAID",
    "PYTHON",
    "REFUSED",
    "REPEATS",
    "STORED",
    "TO_BUY",
    "Had",
    "NotebookPrice",
    "Row",
]

STORED: Final = N_("stored")
PAID: Final = N_("paid already")
TO_BUY: Final = N_("to buy")
DEPENDS: Final = N_("depends on a variable")
DOUBTFUL: Final = N_("depends on the history")
BACKGROUND: Final = N_("background")
REFUSED: Final = N_("refused")
REPEATS: Final = N_("depends on how often it runs")
ASKS: Final = N_("price only")
PYTHON: Final = N_("not priced")


@dataclass(frozen=True, slots=True)
class Had:
    """What is there already of a line: stored (`by_run`: by then, by a cell above), still running, or paid and not here.

    `unnamed`: calls without an id, which may have been made; `doubtful`: those so old that a run that does not find
    them buys another.
    """

    fingerprint: str
    stored: int = 0
    by_run: bool = False
    awaited: int = 0
    unnamed: int = 0
    doubtful: int = 0
    fetched: int = 0

    @property
    def paid(self) -> int:
        return self.awaited + self.unnamed + self.fetched

    def notes(self, count: int) -> list[str]:
        told = []
        if 0 < self.stored < count:
            told.append(_("{n} of {count} stored").format(n=number(self.stored), count=number(count)))
        if self.by_run:
            told.append(_("bought by a cell above"))
        if self.awaited:
            told.append(_("still running: waited for, not bought again"))
        if self.unnamed:
            told.append(_("may have been made: looked up first"))
        if self.doubtful:
            told.append(_("may have been made: looked up first, bought anew if the account's history does not show it"))
        if self.fetched:
            told.append(_("its result never came: fetched, not bought again"))
        return told


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
        """At most so many; ``None`` where the price of a line or of a cell in Python is not known."""
        return _most(self.rows)

    @property
    def unpriced(self) -> int:
        """Python cells that buy: what they cost is in no sum."""
        return sum(row.status == PYTHON for row in self.rows)

    def is_above(self, limit: int, *, allow_unpriced: bool = False) -> bool:
        """Whether it may cost more than `limit` Elumenta tokens. `allow_unpriced`: cells in Python are not considered."""
        high = _most([row for row in self.rows if row.status != PYTHON]) if allow_unpriced else self.high
        return high is None or high > limit

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
        frame.attrs["unpriced"] = self.unpriced
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
        if self.unpriced:
            cells = ngettext(
                "{n} Python cell that is not priced", "{n} Python cells that are not priced", self.unpriced
            )
            return _("at least {tokens}, and {cells}").format(tokens=tokens(self.low), cells=cells)
        if self.high is None:
            return _("at least {tokens}").format(tokens=tokens(self.low))
        if self.low == self.high:
            return tokens(self.low)
        return f"{number(self.low)}–{tokens(self.high)}"

    def _hint(self) -> str:
        parts = []
        if self.balance is not None:
            parts.append(_("Balance: {tokens}").format(tokens=tokens(self.balance)))
            short = (self.low if self.high is None else self.high) - self.balance
            if short > 0 and self.high is None:
                parts.append(_("at least {tokens} short").format(tokens=tokens(short)))
            elif short > 0:
                parts.append(_("{tokens} short at worst").format(tokens=tokens(short)))
        return " · ".join([*parts, *self.notes])

    def __str__(self) -> str:
        return str(self._repr_mimebundle_()[0]["text/plain"])

    __repr__ = __str__


def _most(rows: Sequence[Row]) -> int | None:
    if any(row.high is None for row in rows):
        return None
    return sum(row.high or 0 for row in rows)
