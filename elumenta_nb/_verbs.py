"""The verbs of `%elumenta`, a row each: how it is written, what it does, and the small function that does it.

A function takes the desk (session and shell) and the line, calls the session, and returns the value to show.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from . import _cards, _receipt, _shown
from ._asks import ask_of
from ._buying import KERNEL
from ._catalog import catalog, closest
from ._doctor import without_session
from ._errors import BadParam, ConfigError, ElumentaError
from ._help import about_category, about_magic, about_tokens, about_verb
from ._language import gettext as _
from ._markdown import safe_markdown
from ._notebook_price import price_of_notebook
from ._options import N_, Option, among, whole
from ._parser import Grammar
from ._progress import Front, Live, Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ._cards import Card
    from ._doctor import Report
    from ._help import Page
    from ._parser import Line
    from ._result import Result
    from ._session import Session
    from ._shell import Shell
    from ._values import Origin

__all__ = ["SANDBOX_VERBS", "VERBS", "Desk", "Place", "Verb", "about", "help_page", "perform", "status"]

_PERIODS: Final = ("kernel", "notebook", "day", "month")
_EVERYONE: Final = Option(flags=("everyone",), help=N_("of all users of a team's ledger, not only your own"))
_GROUPS: Final = ("cell", "model", "category", "day", "notebook", "user", "tag")
SANDBOX_VERBS: Final = ("on", "off", "reset", "plan", "topup", "fail", "limit", "past", "status")


class Place(Front, Protocol):
    """Where a verb was said: a notebook, or a terminal."""

    @property
    def namespace(self) -> Mapping[str, Any]: ...

    def origin(self) -> Origin: ...

    def notebook_path(self) -> Path: ...

    def next_cell(self, source: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Desk:
    """What a verb works with. `again` runs the last generation of this kernel anew."""

    session: Session
    shell: Place
    again: Callable[[], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb(Grammar):
    """`broken` answers where the settings are such that there is no session."""

    usage: str
    help: str
    run: Callable[[Desk, Line], Any]
    broken: Callable[[ElumentaError], Any] | None = None


def perform(verb: Verb, line: Line, session: Callable[[], Session], shell: Place, again: Callable[[], Any]) -> Any:
    """What this verb answers."""
    try:
        desk = Desk(session(), shell, again)
    except ElumentaError as error:
        if verb.broken is None:
            raise
        return verb.broken(error)
    return verb.run(desk, line)


def status(desk: Desk) -> Card:
    return _cards.status(desk.session.status(), _here(desk))


def _here(desk: Desk) -> Origin:
    """Where a verb was said, as budgets know it."""
    return replace(desk.shell.origin(), kernel=KERNEL)


def _balance(desk: Desk, _line: Line) -> Card:
    return _cards.balance(desk.session.balance(), desk.session.limits, desk.session.mode)


def _models(desk: Desk, line: Line) -> Any:
    text = " ".join(line.words) or None
    return _shown.models(desk.session.models(line["category"], tier=line["tier"], maximum=line["max"], text=text))


def _price(desk: Desk, line: Line) -> Any:
    if line["notebook"] is not None:
        if line.category is not None:
            raise BadParam(_("A price is that of a model or of a notebook, not of both at once."))
        own = line["notebook"] is True
        path = desk.shell.notebook_path() if own else Path(line["notebook"])
        namespace = desk.shell.namespace if own and desk.shell.is_kernel else None
        return price_of_notebook(desk.session, path, verbs=VERBS, namespace=namespace)
    if line.category is None:
        raise BadParam(_("The price of which model?"), hint="%elumenta price dall-e-3 --quality hd --count 3")
    ask = ask_of(line, None, desk.shell.namespace)
    quote, total = desk.session.price(ask)
    return _cards.price(desk.session.resolve(ask), quote, total, ask.count, desk.session.mode)


def _plans(desk: Desk, line: Line) -> Any:
    wanted = _number(line)
    return _cards.plans(desk.session.plans(wanted), wanted)


def _spend(desk: Desk, line: Line) -> Any:
    frame = desk.session.spend(by=line["by"], since=line["since"])
    return frame if line["by"] else _shown.spent(frame)


def _budget(desk: Desk, line: Line) -> Any:
    limit = _number(line)
    scope = {"per": line["per"] or "notebook", "user": line["user"], "tag": line["tag"]}
    if limit is not None and line["clear"]:
        raise BadParam(_("Set a budget or clear it, not both at once."))
    before = len(desk.session.budgets()) if line["clear"] else 0
    if limit is not None or line["clear"]:
        desk.session.budget(limit, **scope, origin=desk.shell.origin())
    frame, states, origin = desk.session.budgets(), desk.session.budget_states(), _here(desk)
    if limit is None:
        return _shown.budgets(frame, states, origin, is_missed=0 < before == len(frame))
    target = {"notebook": origin.notebook, "kernel": origin.kernel}.get(scope["per"], "")
    facts = {**scope, "target": target, "user": scope["user"] or "", "tag": scope["tag"] or ""}
    is_set = (frame[list(facts)] == list(facts.values())).all(axis=1)
    order = is_set.sort_values(ascending=False, kind="stable").index
    return _shown.budgets(frame.loc[order].reset_index(drop=True), states, origin)


def _jobs(desk: Desk, line: Line) -> Any:
    frame = desk.session.jobs(everyone=bool(line["everyone"]))
    return _shown.jobs(frame) if len(frame) else _cards.said(_("No unfinished calls."))


def _recover(desk: Desk, line: Line) -> Any:
    """Fetch what is open and look up what is unknown; one call by its number is the value, several are shown."""
    number = _number(line)
    generation = line.words[1] if len(line.words) > 1 else None
    everyone = bool(line["everyone"])
    subject = Subject(model=_("unfinished calls"), typical_s=(1, 180))
    live = Live(desk.shell, subject, safe=safe_markdown, owns_cell=False)
    try:
        results = desk.session.resume(number, generation=generation, everyone=everyone, view=live)
    except ElumentaError as error:
        _show_all(desk, getattr(error, "results", []))
        raise
    finally:
        if slot := live.close():
            desk.shell.update(slot, _receipt.said(_("Looked up unfinished calls.")))
    if number is not None and results:
        return results[0]
    _show_all(desk, results)
    return _cards.recovered(results, len(desk.session.jobs(everyone=everyone)))


def _show_all(desk: Desk, results: Sequence[Result]) -> None:
    for result in results:
        desk.shell.show(*result._repr_mimebundle_())


def _again(desk: Desk, _line: Line) -> Any:
    return desk.again()


def _show(desk: Desk, line: Line) -> Any:
    number = _number(line)
    if number is None:
        raise BadParam(_("Show which call?"), hint=_("Its number stands in %elumenta spend, column id."))
    return desk.session.show(number)


def _account_history(desk: Desk, line: Line) -> Any:
    return desk.session.account_history(_number(line))


def _chat(desk: Desk, line: Line) -> Card:
    chats = desk.session.chats
    if not line.words:
        if line["reset"]:
            raise BadParam(_("Which chat?"), hint=", ".join(chats))
        return _cards.chats(chats)
    name = line.words[0]
    if name not in chats:
        near = closest(name, chats)
        raise BadParam(
            _("There is no chat {name!r}.").format(name=name),
            hint=_("Did you mean {name}?").format(name=near) if near else _("Begin one: %%elumenta text --chat NAME"),
        )
    if line["reset"]:
        chats[name].reset()
    return _cards.chat(name, chats[name].turns)


def _tag(desk: Desk, line: Line) -> Card:
    if line["clear"]:
        desk.session.tags.clear()
    for tag in line.words:
        if tag not in desk.session.tags:
            desk.session.tags.append(tag)
    return _cards.tags(desk.session.tags)


def _dashboard(desk: Desk, _line: Line) -> Any:
    from ._panels import Dashboard
    from ._surroundings import is_live

    return Dashboard(desk.session, shell=cast("Shell", desk.shell), live=is_live())


def _panel(desk: Desk, line: Line) -> Any:
    from ._panels import last_source, panel_of

    if line["cell"]:
        desk.shell.next_cell(last_source())
        return None
    return panel_of(lambda: desk.session, cast("Shell", desk.shell), line.words[0] if line.words else None)


def _login(desk: Desk, line: Line) -> Card:
    where = desk.session.login(_typed_key(), keyring=bool(line["keyring"]))
    return _cards.logged_in(status(desk), str(where), desk.session.mode, desk.session.settings)


def _typed_key() -> str:
    from getpass import getpass

    try:
        return getpass(_("Elumenta API key (it does not show): "))
    except (EOFError, RuntimeError, NotImplementedError):  # a front end with no way to ask
        raise ConfigError(
            _("The key cannot be asked for here: this front end has no input."),
            hint=_("Set ELUMENTA_API_KEY, or log in once in a terminal: %elumenta login in IPython"),
        ) from None


def _logout(desk: Desk, _line: Line) -> Card:
    desk.session.logout()
    return _cards.said(_("The key is forgotten. A key in the environment stays there."))


def _config(desk: Desk, _line: Line) -> Any:
    sandbox = ""
    with suppress(ElumentaError):  # nowhere to send calls: the settings say what they say
        if desk.session.mode == "sandbox":
            sandbox, _key = desk.session.sandbox_at()
    return _shown.settings(desk.session.settings.explain(), sandbox)


def _sandbox(desk: Desk, line: Line) -> Card:
    verb, *arguments = line.words or ("status",)
    if verb not in SANDBOX_VERBS:
        near = closest(verb, SANDBOX_VERBS)
        raise BadParam(
            _("The sandbox does not know {verb!r}.").format(verb=verb),
            hint=_("Did you mean {name}?").format(name=near) if near else ", ".join(SANDBOX_VERBS),
        )
    told = desk.session.sandbox(verb, *arguments)
    if verb == "on":
        card = _cards.said(_("The sandbox is on: nothing is charged, and nothing leaves this machine."))
        if _has_more_below(desk, line.words):
            desk.shell.show(*card._repr_mimebundle_())
        return card
    if verb == "off":
        return _cards.said(_("The sandbox is off: calls go to Elumenta and are charged."))
    return _cards.facts(_("Sandbox"), told)


def _has_more_below(desk: Desk, words: Sequence[str]) -> bool:
    """Whether this verb is a line of a cell that ends with another one: then nobody would see its value."""
    source = getattr(desk.shell, "source", "")  # a notebook's; a terminal program has no cells
    lines = [row.strip() for row in source.splitlines() if row.strip() and not row.lstrip().startswith("#")]
    said = f"%elumenta sandbox {' '.join(words)}"
    return said in lines and lines[-1] != said


def _doctor(desk: Desk, _line: Line) -> Report:
    return desk.session.doctor()


def _help(_desk: Desk, line: Line) -> Page:
    topic = line.words[0] if line.words else ""
    if topic == "tokens":
        return about_tokens()
    return help_page(topic)


def about(line: Line) -> Page:
    """The page of what a line with `-h` names: a verb, a category, a model the table may not have, or the magic."""
    if line.verb or line.category is None:
        return help_page(line.verb)
    return about_category(line.category, catalog().models.get(line.model or ""))


def help_page(topic: str) -> Page:
    """The page of a verb, a category or a model; of the magic for "". Raises `BadParam` for anything else."""
    if not topic:
        return about_magic({verb.usage: _(verb.help) for verb in VERBS.values()})
    if verb := VERBS.get(topic.replace("_", "-")):
        return about_verb(verb.usage, _(verb.help), verb.options)
    table = catalog()
    model = table.models.get(topic)
    category = table.categories[model.category] if model else table.category(topic)
    if category is None:
        near = closest(topic, [*VERBS, *table.categories, *table.models, "tokens"])
        raise BadParam(
            _("There is no help on {topic!r}.").format(topic=topic),
            hint=_("Did you mean {name}?").format(name=near) if near else "%elumenta help",
        )
    return about_category(category, model)


def _number(line: Line) -> int | None:
    if not line.words:
        return None
    try:
        return whole(0)(line.words[0])
    except ValueError:
        raise BadParam(
            _("{verb} takes a whole number, not {word!r}.").format(verb=line.verb, word=line.words[0])
        ) from None


_ROWS: Final = (
    Verb(usage="balance", help=N_("tokens, plan and limits of the account"), run=_balance),
    Verb(
        usage="models [TEXT]",
        help=N_("the models and their prices"),
        run=_models,
        most=9,
        options=(
            Option(flags=("category",), takes="TEXT", help=N_("only this category")),
            Option(flags=("tier",), takes="TEXT", help=N_("only this tier, Starter or Basic+")),
            Option(flags=("max",), takes="N", read=whole(0), help=N_("only those from N Elumenta tokens or less")),
        ),
    ),
    Verb(
        usage="price MODEL | --notebook [PATH]",
        help=N_("what a call costs, before it is made; takes the model's own options"),
        run=_price,
        of_model=True,
        options=(
            Option(flags=("count",), takes="N", read=whole(1), help=N_("of N generations")),
            Option(
                flags=("notebook",),
                takes="PATH",
                optional=True,
                help=N_("of all cells of this notebook, or of a file, as it is saved"),
            ),
        ),
    ),
    Verb(usage="plans [TOKENS_A_MONTH]", help=N_("plans and packages; the cheapest mix"), run=_plans, most=1),
    Verb(
        usage="spend",
        help=N_("what was spent, as a DataFrame"),
        run=_spend,
        options=(
            Option(flags=("by",), takes="|".join(_GROUPS), read=among(*_GROUPS), help=N_("summed up by this")),
            Option(flags=("since",), takes="DATE", help=N_("only from this day on, as 2026-11-20")),
        ),
    ),
    Verb(
        usage="budget [N]",
        help=N_("a limit in Elumenta tokens that cannot be overrun; without N, all budgets"),
        run=_budget,
        most=1,
        options=(
            Option(flags=("per",), takes="|".join(_PERIODS), read=among(*_PERIODS), help=N_("for each of these")),
            Option(flags=("user",), takes="NAME", help=N_("for this user only")),
            Option(flags=("tag",), takes="NAME", help=N_("for this tag only")),
            Option(flags=("clear",), help=N_("take the limit away")),
        ),
    ),
    Verb(usage="jobs", help=N_("calls that are not finished"), run=_jobs, options=(_EVERYONE,)),
    Verb(
        usage="recover [ID [GENERATION]]",
        help=N_("fetch unfinished calls and look up unknown ones"),
        run=_recover,
        most=2,
        options=(_EVERYONE,),
    ),
    Verb(usage="again", help=N_("buy the last cell's generation anew"), run=_again),
    Verb(usage="show ID", help=N_("show a call's result; 0 tokens"), run=_show, most=1),
    Verb(usage="account-history [N]", help=N_("what the account generated, anywhere"), run=_account_history, most=1),
    Verb(
        usage="chat [NAME]",
        help=N_("the conversations of this kernel"),
        run=_chat,
        most=1,
        options=(Option(flags=("reset",), help=N_("forget its turns")),),
    ),
    Verb(
        usage="tag T",
        help=N_("mark all spend from here on"),
        run=_tag,
        most=20,
        options=(Option(flags=("clear",), help=N_("no more tags")),),
    ),
    Verb(usage="dashboard", help=N_("where the tokens went, when they end, what to buy"), run=_dashboard),
    Verb(
        usage="panel [CATEGORY]",
        help=N_("a panel to generate with: models, parameters, price, button"),
        run=_panel,
        most=1,
        options=(Option(flags=("cell",), help=N_("the last panel as a cell, in the next one")),),
    ),
    Verb(
        usage="login",
        help=N_("enter and keep your API key"),
        run=_login,
        options=(Option(flags=("keyring",), help=N_("keep it in the system's keyring instead of a file")),),
    ),
    Verb(usage="logout", help=N_("forget the key"), run=_logout),
    Verb(usage="config", help=N_("the settings in force and where each came from"), run=_config),
    Verb(
        usage="sandbox on|off|reset|plan NAME|topup PACKAGE|fail next|limit N|past|status",
        help=N_("a free Elumenta on this machine to try things with"),
        run=_sandbox,
        most=4,
    ),
    Verb(
        usage="doctor",
        help=N_("is everything in order: key, network, plan, ledger, results; and what to do"),
        run=_doctor,
        broken=without_session,
    ),
    Verb(usage="help [TOPIC]", help=N_("this page; on a verb, a category, a model, or tokens"), run=_help, most=1),
)
VERBS: Final[Mapping[str, Verb]] = MappingProxyType({verb.usage.split()[0]: verb for verb in _ROWS})
