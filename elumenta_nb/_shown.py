"""Frames that verbs answer with: they stay DataFrames, and show themselves as a table for people. PURE."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Final, cast

from ._cards import said
from ._language import gettext as _, ngettext, number, span, tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ._ledger import BudgetState
    from ._values import Origin

Bundle = tuple[dict[str, Any], dict[str, Any]]

__all__ = ["budgets", "jobs", "models", "settings", "spent"]

_ROWS: Final = 20  # of calls that a table shows


def spent(frame: Any) -> Any:
    """The same frame; as it is, it shows the columns that matter and the total, and changed it shows itself as ever."""

    def bundle(now: Any) -> Bundle:
        from ._render import table

        names = (_("Call"), _("When"), _("Cell"), _("Model"), _("Status"), _("Tokens"), _("Held"), _("Saved"))
        costs = dict(zip(now["id"], now["tokens"], strict=True))
        rows = [
            (
                str(row.id),
                f"{row.started_at:%Y-%m-%d %H:%M}",
                " · ".join(_said_of(word) for word in (row.label, row.notebook) if word) or row.source,
                row.model,
                row.status,
                int(row.tokens),
                int(row.held),
                int(costs.get(row.restored_from, 0)) if row.reused else 0,
            )
            for row in _rows(now.tail(_ROWS))
        ]
        total = _("Total: {calls}, {tokens}, {held} held").format(
            calls=ngettext("{n} call", "{n} calls", len(now)),
            tokens=tokens(int(now["tokens"].sum())),
            held=number(int(now["held"].sum())),
        )
        less = " " + _("The last {n} are shown.").format(n=number(_ROWS)) if len(now) > _ROWS else ""
        hint = _("All columns: el.spend(); by cell or model: %elumenta spend --by cell")
        return table(names, rows, title=total + "." + less, hint=hint)

    return _shown_as(frame, bundle)


def budgets(frame: Any, states: Iterable[BudgetState], origin: Origin, *, is_missed: bool = False) -> Any:
    """The same frame; as it is, it shows each budget by its name at `origin`. `is_missed`: none of it was to be cleared."""
    names = {(state.per, state.scope, state.user, state.tag): state.name_at(origin) for state in states}

    def bundle(now: Any) -> Bundle:
        from ._render import table

        if not len(now):
            return said(
                _("No budget is set. To set one: {line}").format(line="%elumenta budget 200")
            )._repr_mimebundle_()
        rows = [
            (
                names.get((row.per, row.target, row.user, row.tag), row.target),
                *map(int, (row.limit, row.spent, row.held, row.left)),
            )
            for row in _rows(now)
        ]
        columns = (_("Budget"), _("Limit"), _("Spent"), _("Held"), _("Left"))
        missed = _("There was no such budget, so none was cleared: name its --per, --user and --tag.")
        return table(
            columns, rows, hint=missed if is_missed else _("In Elumenta tokens. What would go over it is not sent.")
        )

    return _shown_as(frame, bundle)


_OPEN: Final[Mapping[Any, Callable[[], str]]] = {
    "reserved": lambda: _("being sent"),
    "pending": lambda: _("at work at the server"),
    "unknown": lambda: _("no answer yet"),
}


def jobs(frame: Any) -> Any:
    """The same frame; as it is, it shows what each open call may cost, and what to do."""

    def bundle(now: Any) -> Bundle:
        from ._render import table

        whose = "user" in now.columns
        rows = [
            (
                str(row.Index),
                row.model,
                _OPEN[row.status]() if row.status in _OPEN else row.status,
                int(row.held),
                _("{age} ago").format(age=span(row.age_s)),
                " · ".join(_said_of(word) for word in (row.label, row.notebook) if word),
                *([row.user] if whose else []),
            )
            for row in _rows(now)
        ]
        columns = [_("Call"), _("Model"), _("Status"), _("Held"), _("When"), _("Cell"), *([_("User")] if whose else [])]
        count = ngettext("{n} unfinished call", "{n} unfinished calls", len(now))
        held = _("up to {tokens} will be charged").format(tokens=tokens(int(now["held"].sum())))
        hint = _("To bring them home, which buys nothing: {line}").format(line="%elumenta recover")
        return table(columns, rows, title=f"{count}: {held}", hint=hint)

    return _shown_as(frame, bundle)


def models(frame: Any) -> Any:
    """The same frame; as it is, it shows a price as people say it, and no column of which nothing is known."""

    def bundle(now: Any) -> Bundle:
        from ._render import table

        if not len(now):
            return said(_("No model matches."))._repr_mimebundle_()
        columns = {
            _("Model"): list(now.index),
            _("Name"): list(now["name"]),
            _("Category"): list(now["category"]),
            _("Provider"): list(now["provider"]),
            _("Tier"): list(now["tier"]),
            _("Elumenta tokens"): [
                str(high) if low == high else f"{low}–{high}"  # a price nobody told is a dash already
                for low, high in zip(now["minimum"], now["maximum"], strict=True)
            ],
        }
        known = {name: values for name, values in columns.items() if any(value not in ("", "–") for value in values)}
        title = ngettext("{n} model", "{n} models", len(now))
        hint = _("One of them: {line}. As data: el.models()").format(line=f"%elumenta help {now.index[0]}")
        return table(tuple(known), list(zip(*known.values(), strict=True)), title=title, hint=hint)

    return _shown_as(frame, bundle)


_UNSET: Final[Mapping[Any, Callable[[], str]]] = {  # what holds where a setting is not set
    "api_key": lambda: _("none"),
    "mode": lambda: _("live, with a key"),
    "media_dir": lambda: _("elumenta_media beside the notebook"),
    "reuse": lambda: _("all in cells of %%elumenta, off in Python"),
    "lang": lambda: _("as the system says"),
}


def settings(told: Iterable[Mapping[str, str]], sandbox: str) -> Any:
    """The settings as a frame whose values are shown whole; `sandbox` is the address in use instead of the API's."""
    import pandas as pd

    rows = {row["setting"]: dict(row) for row in told}
    if sandbox:
        rows["base_url"] |= {"value": sandbox, "from": _("the sandbox")}
        if rows["api_key"]["value"] != "–":
            rows["api_key"]["from"] += f" · {_('not used in the sandbox')}"

    def bundle(now: Any) -> Bundle:
        from ._render import table

        shown = [
            (
                str(name),
                _UNSET[name]() if row["value"] == "–" and name in _UNSET else row["value"],
                _said_by(row["from"]),
            )
            for name, row in now.iterrows()
        ]
        hint = _("To change one: {python}, or {name} in the environment").format(
            python="el.configure(confirm_above=50)", name="ELUMENTA_CONFIRM_ABOVE=50"
        )
        return table((_("Setting"), _("Value"), _("Set by")), shown, hint=hint)

    return _shown_as(pd.DataFrame(list(rows.values())).set_index("setting"), bundle)


def _said_by(source: str) -> str:
    return _("default") if source == "default" else source


def _shown_as(frame: Any, make: Callable[[Any], Bundle]) -> Any:
    """The same frame: as it is, it shows itself as `make` says; changed, as ever."""
    columns = list(frame.columns)
    whole: Any = weakref.ref(frame)

    def bundle(**_kwargs: Any) -> Bundle:
        now = whole()
        if list(now.columns) != columns or len(now) != rows:
            return {"text/plain": repr(now), "text/html": now._repr_html_()}, {}
        return make(now)

    rows = len(frame)
    object.__setattr__(frame, "_repr_mimebundle_", bundle)  # of this object, not its type: it is a plain DataFrame
    return frame


def _said_of(word: str) -> str:
    from ._spend import shown

    return shown(word)


def _rows(frame: Any) -> Iterable[Any]:
    return cast("Iterable[Any]", frame.itertuples())
