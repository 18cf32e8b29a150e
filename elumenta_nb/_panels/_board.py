"""PURE. What a dashboard shows, as facts and as HTML: tiles, tables, sentences. Everything from outside is escaped.

The same HTML is the live dashboard's and the still's: inline styles, no colours of its own, readable in light and dark.
"""

from __future__ import annotations

import base64
import html
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from elumenta_nb import _errors
from elumenta_nb._catalog import catalog
from elumenta_nb._language import date as _date, day, gettext as _, ngettext, number, tokens
from elumenta_nb._markdown import plain
from elumenta_nb._spend import shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    import pandas as pd

    from elumenta_nb._ledger import BudgetState, Entry
    from elumenta_nb._spend import Advice, Forecast, Overview, Rate
    from elumenta_nb._values import Balance

__all__ = [
    "Board",
    "advised",
    "empty",
    "ends",
    "groups_table",
    "image",
    "table",
    "tiles",
    "time_table",
    "top",
    "uncharged",
]

_MUTED: Final = "opacity:.75;font-size:90%"
_TILE: Final = (
    "flex:1 1 150px;max-width:260px;border:1px solid rgba(128,128,128,.45);border-radius:6px;padding:8px 12px;"
    "box-sizing:border-box"
)
_BIG: Final = "font-size:22px;font-weight:bold;line-height:1.3;white-space:nowrap"
_SHORT: Final = 14  # letters that stay on one line: a day, a name
_WHY: Final = 80  # letters of a reason
_ROWS: Final = 40  # of a table; the frame has them all


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The state of a dashboard: what was read with its filters. `groups` has `keys`; `top` has a picture or ``b""``."""

    sandbox: bool
    today: date
    any_rows: bool
    overview: Overview
    over_time: pd.DataFrame
    groups: pd.DataFrame
    keys: tuple[str, ...]
    top: tuple[tuple[Entry, bytes], ...]
    uncharged: tuple[Entry, ...]
    balance: Balance | None
    budget: BudgetState | None
    forecast: Forecast
    advice: Advice
    rate: Rate


def tiles(board: Board) -> str:
    """The figures that matter, each with its name in words."""
    found = board.overview
    rubles = number(round(board.rate.rubles(found.tokens)))
    parts = [
        (_("Spent"), tokens(found.tokens), [_calls(found.calls), _("about {rubles} ₽").format(rubles=rubles)]),
        (
            _("Held"),
            tokens(found.held),
            [_("by open calls, at most") if found.held else _("no open calls")],
        ),
        _balance(board),
    ]
    if board.budget is not None:
        parts.append(_budget(board.budget))
    parts.append(
        (
            _("Saved by reuse"),
            tokens(found.saved),
            [
                ngettext("{n} call not paid again", "{n} calls not paid again", found.reused)
                if found.reused
                else _("nothing restored yet")
            ],
        )
    )
    if found.failed:
        parts.append(
            (_("Failed"), ngettext("{n} call", "{n} calls", found.failed), [_("not charged: {n}").format(n=tokens(0))])
        )
    boxes = "".join(
        f'<div role="group" aria-label="{_safe(name)}" style="{_TILE}"><div style="{_MUTED}">{_safe(name)}</div>'
        f'<div style="{_BIG}">{_safe(figure)}</div>'
        + "".join(f'<div style="{_MUTED}">{_safe(line)}</div>' for line in lines)
        + "</div>"
        for name, figure, lines in parts
    )
    mark = (
        f'<div style="font-weight:bold">SANDBOX · {_safe(_("nothing here was charged"))}</div>' if board.sandbox else ""
    )
    return f'{mark}<div style="display:flex;flex-wrap:wrap;gap:8px;margin:4px 0">{boxes}</div>'


def _calls(n: int) -> str:
    return ngettext("in {n} call", "in {n} calls", n)


def _balance(board: Board) -> tuple[str, str, list[str]]:
    if board.balance is None:
        return _("Balance"), "–", [_("not known here")]
    lines = [_("plan {plan}").format(plan=_plan(board.balance))] if board.balance.plan else []
    if board.forecast.ends_on is not None:
        lines.append(_("ends about {day}").format(day=_date(board.forecast.ends_on)))
    return _("Balance"), tokens(board.balance.tokens), lines


def _plan(balance: Balance) -> str:
    """The plan as the page names it."""
    found = (plan.name for plan in catalog().plans if balance.plan.lower() in (plan.api, plan.name.lower()))
    return next(found, balance.plan)


def _budget(state: BudgetState) -> tuple[str, str, list[str]]:
    warn = _("nearly used") if state.warn else _("{tokens} left").format(tokens=tokens(state.left))
    if state.left == 0:
        warn = _("used up")
    figure = _("{used} of {limit}").format(used=number(state.used), limit=number(state.limit))
    return _("Budget"), figure, [state.name, warn]


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, caption: str = "") -> str:
    """A table for people: numbers to the right, in the language's form. A cell that is `bytes` is a small picture."""
    right = [bool(rows) and all(isinstance(row[at], int | None) for row in rows) for at in range(len(columns))]

    def cell(tag: str, value: str, *, to_right: bool) -> str:
        whole = "white-space:nowrap;" if to_right or len(value) <= _SHORT else "overflow-wrap:anywhere;min-width:9em;"
        style = f"text-align:{'right' if to_right else 'left'};{whole}padding:2px 14px 2px 0;vertical-align:middle"
        return f'<{tag} style="{style}">{value}</{tag}>'

    head = "".join(cell("th", _safe(name), to_right=side) for name, side in zip(columns, right, strict=True))
    body = "".join(
        "<tr>"
        + "".join(cell("td", _cell(value), to_right=side) for value, side in zip(row, right, strict=True))
        + "</tr>"
        for row in rows
    )
    above = f'<caption style="text-align:left;{_MUTED}">{_safe(caption)}</caption>' if caption else ""
    return (
        f'<div style="overflow-x:auto"><table>{above}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bytes):
        return (
            image(value, "image/png", "", "height:40px;max-width:72px;border-radius:3px;display:block") if value else ""
        )
    return _safe(number(value) if isinstance(value, int) else str(value))


def image(data: bytes, mime: str, alt: str, style: str) -> str:
    """A picture inside the page."""
    encoded = base64.b64encode(data).decode("ascii")
    return f'<img src="data:{mime};base64,{encoded}" alt="{_safe(alt)}" style="{style}">'


def _safe(text: str) -> str:
    return html.escape(plain(text))


def time_table(board: Board) -> str:
    """Over time, the newest first."""
    found = board.over_time
    spent = found.loc[found.sum(axis=1) > 0].iloc[::-1] if len(found.columns) else found.iloc[:0]
    names = [shown(str(name)) for name in found.columns[:6]]
    rows = [
        [f"{start:%Y-%m-%d}", int(values.sum()), *(int(value) for value in values.iloc[:6])]
        for start, values in spent.head(_ROWS).iterrows()
    ]
    return table([_("From"), _("Tokens"), *names], rows)


def groups_table(board: Board, name: str) -> str:
    """The groups with all their figures."""
    columns = [name, *([_("Notebook")] if "notebook" in board.keys[1:] else []), _("Calls"), _("Tokens"), _("Held"), _("Failed"), _("Reused"), _("Saved")]  # fmt: skip
    rows = []
    for row in board.groups.head(_ROWS).to_dict("records"):
        first = [shown(str(row[board.keys[0]])) or "–"]
        if "notebook" in board.keys[1:]:
            first.append(shown(str(row["notebook"])) or "–")
        rows.append([*first, *(int(row[name]) for name in ("calls", "tokens", "held", "failed", "reused", "saved"))])
    return table(columns, rows)


def top(board: Board) -> str:
    """The dearest calls, each with its picture where there is one, and how to see it again."""
    rows = [
        [
            picture,
            row.tokens,
            row.model,
            where(row),
            day(row.started_at),
            str(row.id),
        ]
        for row, picture in board.top
    ]
    if not rows:
        return _said(_("Nothing was charged here."))
    columns = ["", _("Tokens"), _("Model"), _("Cell"), _("Day"), _("Call")]
    again = _("To see one again: {line}").format(line=f"%elumenta show {board.top[0][0].id}")
    if not any(row[0] for row in rows):  # no pictures here
        columns, rows = columns[1:], [row[1:] for row in rows]
    return table(columns, rows, caption=again)


def where(row: Entry) -> str:
    """The cell of a call: its label and notebook."""
    parts = [row.origin.label, shown(row.origin.notebook)]
    return " · ".join(part for part in parts if part) or row.origin.source


def uncharged(board: Board) -> str:
    """What failed or was stopped before it was sent: 0 tokens, and why."""
    words = {"failed": _("failed"), "cancelled": _("stopped before it was sent")}
    rows = [
        [day(row.started_at), row.model, row.quoted, where(row), _why(row) or words.get(row.status, row.status)]
        for row in board.uncharged
    ]
    columns = [_("Day"), _("Model"), _("Price"), _("Cell"), _("Why")]
    return table(columns, rows) if rows else _said(_("No call failed here."))


def _why(row: Entry) -> str:
    """The reason alone, whole words of it: that it failed and was not charged stands above the table."""
    name, _colon, rest = row.error.partition(": ")
    said = rest if hasattr(_errors, name) else row.error
    before = {_("{model} failed, not charged: {why}"), "{model} failed, not charged: {why}"}
    for form in before:  # in the language of the call, or of now
        said = said.removeprefix(form.format(model=row.model, why=""))
    return textwrap.shorten(plain(said), _WHY, placeholder="…")


def ends(board: Board) -> str:
    """When the balance ends, and what that rests on."""
    facts = " · ".join(f"{name}: {value}" for name, value in board.forecast.facts)
    return (
        f'<div style="font-weight:bold">{_safe(board.forecast.outlook)}</div>'
        f'<div style="{_MUTED}">{_safe(facts)}</div><div style="{_MUTED}">{_safe(board.forecast.basis)}</div>'
    )


def advised(board: Board) -> str:
    """Which plan a month like the last one asks for, and the rouble estimate's basis."""
    found = board.advice
    if found.mix is None:
        said = _("No advice on a plan yet: it needs a week with spend.")
    else:
        said = _(
            "A month like this takes {tokens}: the cheapest with API access is {mix} for {rubles} ₽ ({left} left over)."
        ).format(
            tokens=tokens(found.monthly),
            mix=found.mix.name,
            rubles=number(found.mix.rubles),
            left=tokens(found.mix.left),
        )
    rests = ngettext("From {n} complete day.", "From {n} complete days.", found.days)
    if board.balance is not None and board.balance.plan:
        rests += " " + _("Your plan: {plan}.").format(plan=_plan(board.balance))
    rests += " " + _("All plans: %elumenta plans {n}").format(n=found.monthly or "")
    estimate = _("Roubles here are an estimate on the basis of {basis}.").format(basis=board.rate.basis)
    return (
        f'<div style="font-weight:bold">{_safe(said)}</div><div style="{_MUTED}">{_safe(rests.strip())}</div>'
        f'<div style="{_MUTED}">{_safe(estimate)}</div>'
    )


def empty(board: Board) -> str:
    """Where there is nothing to show: what to do, or which filter hides it."""
    if board.any_rows:
        return _said(_("No call fits these filters. Choose a longer period, or all notebooks."))
    lines = [
        _("Nothing was spent yet. The first call appears here with its price:"),
        "%%elumenta text gpt-5-nano",
    ]
    if board.sandbox:
        lines += [_("Or look at three months that were made up:"), "%elumenta sandbox past"]
    said = "".join(
        f"<pre style='margin:2px 0 8px'>{_safe(line)}</pre>" if line.startswith("%") else f"<div>{_safe(line)}</div>"
        for line in lines
    )
    return f'<div style="padding:10px 0">{said}</div>'


def _said(sentence: str) -> str:
    return f'<div style="padding:4px 0">{_safe(sentence)}</div>'
