"""What verbs show when the answer is not a table: the status card, a price, a chat. PURE: values in, a page out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, cast

from ._catalog import catalog
from ._language import day, gettext as _, ngettext, number, tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ._answers import Chat
    from ._catalog import Resolved
    from ._config import Settings
    from ._ledger import BudgetState
    from ._result import Result
    from ._session import Status
    from ._values import Balance, Limits, Message, Origin, Quote

__all__ = [
    "Card",
    "Tables",
    "balance",
    "chat",
    "chats",
    "facts",
    "logged_in",
    "plans",
    "price",
    "recovered",
    "said",
    "status",
    "tags",
]


@dataclass(frozen=True, slots=True)
class Card:
    """Facts under a title, as HTML and as text."""

    title: str
    facts: tuple[tuple[str, str], ...] = ()
    hint: str = ""

    def _repr_mimebundle_(self, **_kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        from ._render import card

        return card(self.title, self.facts, hint=self.hint)

    def __str__(self) -> str:
        return str(self._repr_mimebundle_()[0]["text/plain"])

    __repr__ = __str__


@dataclass(frozen=True, slots=True)
class Tables:
    """Tables below each other; `frame` is the same as data."""

    tables: tuple[tuple[str, tuple[str, ...], tuple[tuple[Any, ...], ...]], ...]  # title, columns, rows
    hint: str
    frame: Any

    def _repr_mimebundle_(self, **_kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        from ._render import table

        hints = ["" for _table in self.tables[:-1]] + [self.hint]
        shown = [
            table(columns, rows, title=title, hint=hint)[0]
            for (title, columns, rows), hint in zip(self.tables, hints, strict=True)
        ]
        return {
            "text/plain": "\n\n".join(data["text/plain"] for data in shown),
            "text/html": "".join(data["text/html"] for data in shown),
        }, {}

    def __str__(self) -> str:
        return str(self._repr_mimebundle_()[0]["text/plain"])

    __repr__ = __str__


def plans(frame: Any, wanted: int | None) -> Tables:
    """Plans and packages as the token page shows them, and the cheapest mixes for what is wanted."""
    price = _("₽ per token")
    mixes, subscriptions, packages = (frame[frame["kind"] == kind] for kind in ("mix", "plan", "package"))
    tables: list[tuple[str, tuple[str, ...], tuple[tuple[Any, ...], ...]]] = []
    rows: tuple[tuple[Any, ...], ...]
    if wanted is not None:
        rows = tuple(
            (row.name, int(row.tokens), int(row.rubles), _per_token(row), int(row.left)) for row in _rows(mixes)
        )
        title = _("{tokens} a month with API access, the cheapest first").format(tokens=tokens(wanted))
        tables.append((title, (_("Mix"), _("Tokens"), "₽", price, _("Left over")), rows))
    rows = tuple(
        (
            row.name + (f" ← {_('yours')}" if row.current else ""),
            int(row.tokens),
            int(row.rubles),
            _per_token(row),
            bool(row.api),
            number(int(row.hour)) if row.hour else "∞",
            number(int(row.day)) if row.day else "∞",
        )
        for row in _rows(subscriptions)
    )
    columns = (_("Plan"), _("Tokens a month"), _("₽ a month"), price, "API", _("Requests an hour"), _("a day"))
    tables.append((_("Plans"), columns, rows))
    rows = tuple((row.name, int(row.tokens), int(row.rubles), _per_token(row)) for row in _rows(packages))
    tables.append((_("Packages"), (_("Package"), _("Tokens"), "₽", price), rows))
    hint = _("Plan tokens expire with the month (Starter: 50 once), those of a package do not. As data: el.plans()")
    return Tables(tuple(tables), hint, frame)


def _rows(frame: Any) -> Iterable[Any]:
    return cast("Iterable[Any]", frame.itertuples())


def _per_token(row: Any) -> str:
    value = row.rubles_per_token
    return "–" if value is None or value != value else number(value, 2)  # noqa: PLR0124 - a missing value is not itself


def status(told: Status, origin: Origin) -> Card:
    """The card of `%elumenta` alone, said at `origin`."""
    rows = [
        (_("Mode"), f"{_MODES[told.mode]()} · {told.base_url}" if told.mode != "only" else _MODES[told.mode]()),
        (_("Key"), told.key),
    ]
    if told.balance is not None:
        rows += _balance_rows(told.balance)
    if told.problem:
        rows.append((_("The server"), told.problem))
    rows += _limit_rows(told.limits)
    rows += _budget_rows(told.budgets, origin)
    if told.open_calls:
        rows.append(
            (
                _("Unfinished"),
                _("{n} calls, up to {tokens}: %elumenta recover").format(
                    n=told.open_calls, tokens=tokens(told.open_tokens)
                ),
            )
        )
    hint = _("What is wrong: %elumenta doctor") if told.problem else _("What can be said: %elumenta help")
    return Card("Elumenta", tuple(rows), hint)


def _budget_rows(budgets: Iterable[BudgetState], origin: Origin) -> list[tuple[str, str]]:
    """Those that count here first; finished ones of maps and of other kernels, which pile up, as one line each."""
    shown: list[tuple[tuple[bool, bool], str, str]] = []
    finished: dict[str, list[BudgetState]] = {"map": [], "kernel": []}
    for budget in budgets:
        is_own = budget.target == {"notebook": origin.notebook, "kernel": origin.kernel}.get(budget.per, "")
        if budget.per in finished and not is_own and not budget.held:
            finished[budget.per].append(budget)
        else:
            name = _("Budget, {name}").format(name=budget.name_at(origin))
            shown.append(((not is_own, budget.per != "notebook"), name, _used([budget])))
    rows = [(name, used) for _order, name, used in sorted(shown, key=lambda row: row[0])]
    if of_maps := finished["map"]:
        rows.append((ngettext("{n} budget of a map", "{n} budgets of maps", len(of_maps)), _used(of_maps)))
    if of_kernels := finished["kernel"]:
        name = ngettext("{n} budget of another kernel", "{n} budgets of other kernels", len(of_kernels))
        rows.append((name, _used(of_kernels)))
    return rows


def _used(budgets: Sequence[BudgetState]) -> str:
    spent, limit, held = (number(sum(figures)) for figures in zip(*((b.spent, b.limit, b.held) for b in budgets), strict=True))  # fmt: skip
    return _("{used} of {limit} spent, {held} held").format(used=spent, limit=limit, held=held)


_MODES = {
    "live": lambda: _("live: calls are charged"),
    "sandbox": lambda: _("SANDBOX: nothing is charged"),
    "only": lambda: _("store only: nothing is sent"),
}


def balance(told: Balance, limits: Limits, mode: str) -> Card:
    """Tokens, plan and limits of the account."""
    title = _("Balance: {tokens}").format(tokens=tokens(told.tokens))
    return Card(f"SANDBOX · {title}" if mode == "sandbox" else title, (*_balance_rows(told), *_limit_rows(limits)))


def _balance_rows(told: Balance) -> list[tuple[str, str]]:
    rows = [(_("Balance"), tokens(told.tokens))]
    if told.plan_tokens is not None or told.package_tokens is not None:
        rows.append((_("of the plan"), tokens(told.plan_tokens or 0)))
        rows.append((_("of packages"), tokens(told.package_tokens or 0)))
    if told.plan:
        until = _("until {day}").format(day=day(told.expires_at)) if told.expires_at else ""
        rows.append((_("Plan"), f"{_plan_of(told.plan)} {until}".strip()))
    if told.refills_at:
        rows.append((_("Refilled"), day(told.refills_at)))
    return rows


def _plan_of(told: str) -> str:
    """The plan as the page names it."""
    return next((plan.name for plan in catalog().plans if told.lower() in (plan.api, plan.name.lower())), told)


def _limit_rows(limits: Limits) -> list[tuple[str, str]]:
    rows = []
    for name, left, limit in (
        (_("Requests this hour"), limits.hour_left, limits.hour),
        (_("Requests today"), limits.day_left, limits.day),
    ):
        if left is not None:
            rows.append((name, _("{left} left of {limit}").format(left=number(left), limit=number(limit or 0))))
    return rows


def price(resolved: Resolved, quote: Quote, total: int, count: int, mode: str = "") -> Card:
    """What a call would cost."""
    figure = tokens(total) if quote.exact else _("about {tokens}").format(tokens=tokens(total))
    title = f"{resolved.model.slug}: {figure}"
    rows = [(_("Parameters"), ", ".join(f"{name}={value}" for name, value in resolved.priced.items()) or "–")]
    if count > 1:
        rows.append((_("Each"), tokens(quote.tokens)))
    if quote.minimum != quote.maximum:
        rows.append((_("This model"), f"{number(quote.minimum)}–{tokens(quote.maximum)}"))
    if resolved.chosen:
        rows.append((_("Chosen"), _("the cheapest of {category}").format(category=resolved.category.name)))
    title = f"SANDBOX · {title}" if mode == "sandbox" else title
    return Card(title, tuple(rows), _("Nothing was sent to be generated."))


def recovered(results: Sequence[Result], left: int) -> Card:
    """What `%elumenta recover` did."""
    if not results and not left:
        return said(_("Nothing is unfinished."))
    rows = tuple((f"{_('Call')} {result.id}", f"{result.model} · {tokens(result.tokens)}") for result in results)
    still = _("Still unfinished: {n}. Later again, or see %elumenta jobs").format(n=number(left)) if left else ""
    return Card(_("Recovered: {n}").format(n=number(len(results))), rows, still)


def chats(named: Mapping[str, Chat]) -> Card:
    """The conversations of this kernel."""
    rows = [(name, number(len(found.turns) // 2)) for name, found in named.items()]
    if not rows:
        return said(_("There is no chat yet. Begin one: %%elumenta text --chat NAME"))
    return Card(_("Chats, and their turns"), tuple(rows))


def chat(name: str, turns: Iterable[Message]) -> Card:
    """A conversation, letter by letter: a model's words are never markup of ours."""
    lines = tuple((turn.role, turn.content) for turn in turns)
    return Card(_("Chat {name}").format(name=name), lines, "" if lines else _("No turns yet."))


def tags(names: Sequence[str]) -> Card:
    if not names:
        return said(_("No tags. Mark all spend from here on: %elumenta tag NAME"))
    return said(_("Spend from here on is marked: {tags}").format(tags=", ".join(names)))


def facts(title: str, told: Mapping[str, Any]) -> Card:
    """Values as they are, under their names in words where there are any."""
    return Card(title, tuple((_name(str(name)), _value(value)) for name, value in told.items()))


_NAMES: Final[Mapping[str, Callable[[], str]]] = {
    "plan": lambda: _("Plan"),
    "balance": lambda: _("Balance"),
    "plan_tokens": lambda: _("of the plan"),
    "package_tokens": lambda: _("of packages"),
    "limit_hour": lambda: _("Requests an hour"),
    "limit_hour_left": lambda: _("left this hour"),
    "limit_day": lambda: _("Requests a day"),
    "limit_day_left": lambda: _("left today"),
    "fail_next": lambda: _("Generations that will fail"),
    "pending": lambda: _("Unfinished"),
    "mode": lambda: _("Mode"),
    "calls": lambda: _("Calls"),
    "tokens": lambda: _("Tokens"),
}


def _name(name: str) -> str:
    return _NAMES[name]() if name in _NAMES else name.replace("_", " ")


def logged_in(card: Card, where: str, mode: str, settings: Settings) -> Card:
    """The card of the account, with where the key was kept and what keeps it from being used."""
    hints = [_("The key is kept in {where}.").format(where=where)]
    if mode == "sandbox":
        hints.append(_("Calls still go to the sandbox: {line} leaves it.").format(line="%elumenta sandbox off"))
    elif mode == "only":
        hints.append(_("Nothing is sent: only stored results are shown. ELUMENTA_REUSE or a setting says so."))
    elif (source := settings.sources.get("api_key", "")).startswith("ELUMENTA"):
        hints.append(_("The key of {source} comes first and is the one in use.").format(source=source))
    return replace(card, hint=" ".join(hints))


def said(sentence: str) -> Card:
    return Card(sentence)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(part)}" for name, part in value.items())
    if value is None:
        return "–"
    return number(value) if isinstance(value, int) and not isinstance(value, bool) else str(value)
