"""What "Run All" of a saved notebook would cost: a row for each line that buys. Nothing is sent but questions of price.

The cells are read by the magic's own parser and table. A template is not rendered outside the notebook's kernel, so what
depends on a variable has a range. Cells that say the same are bought once, as they would be when they run.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from ._asks import ask_of
from ._catalog import catalog, closest
from ._earlier import is_awaited, may_reuse, not_home
from ._errors import ElumentaError, InvalidCall, PlanRequired, Rejected, UnknownModel
from ._inputs import is_file
from ._language import day, gettext as _, ngettext
from ._ledger import Where
from ._notebook_cells import is_in_sandbox, read_notebook
from ._notebook_report import (
    ASKS,
    BACKGROUND,
    DEPENDS,
    DOUBTFUL,
    PAID,
    PYTHON,
    REFUSED,
    REPEATS,
    STORED,
    TO_BUY,
    Had,
    NotebookPrice,
    Row,
)
from ._parser import parse, split
from ._prices import allowed, consent
from ._recovery import GRACE_S
from ._surroundings import origin as here
from ._template import render
from ._values import Ask, Origin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from ._catalog import Model, Param
    from ._ledger import Entry
    from ._notebook_cells import Cell, Said
    from ._order import Order
    from ._parser import Grammar, Line
    from ._session import Session
    from ._store import Store

__all__ = ["price_of_notebook"]

_NO_RUN: Final = "price"  # another than that of any call
_NAME: Final = re.compile(r"[A-Za-z_]\w*(?:\[-?\d+\])?")


def price_of_notebook(
    session: Session, path: Path, *, verbs: Mapping[str, Grammar], namespace: Mapping[str, Any] | None = None
) -> NotebookPrice:
    """What running all cells of the file would cost now. `namespace` are the variables of its own kernel.

    Raises `BadParam` for a file that is no notebook. A notebook that turns the sandbox on is priced there.
    """
    cells = read_notebook(path)
    notes = []
    if namespace is not None:
        notes.append(_("Templates were filled with the variables of this kernel, as they are now."))
    saved = datetime.fromtimestamp(path.stat().st_mtime, UTC).astimezone()
    today = saved.date() == datetime.now(saved.tzinfo).date()
    notes.append(_("As saved at {time}.").format(time=f"{saved:%H:%M}" if today else f"{saved:%H:%M}, {day(saved)}"))
    own: Session | None = None
    if is_in_sandbox(cells, verbs) and session.settings.mode != "sandbox" and session.settings.reuse != "only":
        session = own = type(session)(mode="sandbox", **_kept(session))
    try:
        pricing = _Pricing(session, path, verbs=verbs, namespace=namespace)
        rows = [row for cell in cells for row in pricing.rows(cell)]
        balance = pricing.balance()
        sandbox = session.api_name() == "sandbox"
    finally:
        if own is not None:
            own.close()
    return NotebookPrice(
        name=path.name, rows=tuple(rows), balance=balance, sandbox=sandbox, notes=(*pricing.notes, *notes)
    )


def _kept(session: Session) -> dict[str, Any]:
    found = {name: getattr(session.settings, name) for name in ("home", "media_dir", "reuse", "confirm_above")}
    return {name: value for name, value in found.items() if value is not None}


@dataclass(slots=True)
class _Heard:
    """A line as read. `unknown` names what only a run can tell; `moves`: the price depends on it; `counted`: --count is known."""

    line: Line
    body: str | None
    within: str = ""
    unknown: list[str] = field(default_factory=list)
    moves: bool = False
    counted: bool = True


class _Pricing:
    """Prices the lines of one notebook, in their order."""

    def __init__(
        self, session: Session, path: Path, *, verbs: Mapping[str, Grammar], namespace: Mapping[str, Any] | None
    ) -> None:
        self._session = session
        self._folder = path.parent.absolute()
        self._verbs = verbs
        self._namespace = namespace
        self._store: Store = session.store(self._folder)
        self._api = session.api_name()
        self._user = here().user  # of a team's ledger only the person's own calls count
        self._bought: Counter[str] = Counter()  # by fingerprint: what this cell and those above will have bought
        self._before: Counter[str] = Counter()  # of these, by the cells above: a run shows none of its own
        self._taken: Counter[str] = Counter()  # by fingerprint: what this cell will have been shown, each once
        self._collected: set[int] = set()  # calls of earlier runs that cells above will have collected
        self._chats: set[str] = set()
        self._last: _Heard | Row | None = None  # what `again` buys anew; a row where only a run can tell
        self._offline = ""
        self._hashes = self._stored_cells()

    @property
    def notes(self) -> list[str]:
        return [self._offline] if self._offline else []

    def balance(self) -> int | None:
        if self._offline or not self._api:
            return None
        try:
            return self._session.balance().tokens
        except ElumentaError:
            return None

    def rows(self, cell: Cell) -> Iterator[Row]:
        self._before = self._bought.copy()
        self._taken.clear()
        for said in cell.said:
            row = self._row(cell, said)
            if row is not None:
                yield row
        if cell.python_calls:
            calls = ngettext("{n} call in Python", "{n} calls in Python", cell.python_calls)
            yield Row(
                cell=cell.number,
                cell_id=cell.id,
                status=PYTHON,
                count=cell.python_calls,
                low=None,
                high=None,
                note=_("{calls}: how often it runs is not known before").format(calls=calls),
            )

    def _row(self, cell: Cell, said: Said) -> Row | None:
        place: dict[str, Any] = {"cell": cell.number, "cell_id": cell.id}
        try:
            heard = self._heard(said)
        except _VariableModelError:
            self._last = Row(**place, status=DEPENDS, high=None, note=_("The category or model is a variable."))
            return self._last
        except ElumentaError as error:
            return Row(**place, status=REFUSED, note=_sentence(error))
        line = heard.line
        is_again = line.verb == "again" and not line["help"]
        if is_again and isinstance(self._last, Row):
            return replace(self._last, **place)
        if is_again and isinstance(self._last, _Heard):
            anew = {name: value for name, value in self._last.line.options.items() if name != "background"}
            line = replace(self._last.line, options={**anew, "fresh": True})
            heard = replace(self._last, line=line, within=said.within)
        if line["help"] or line.verb or line.category is None:
            return None
        place |= {"category": line.category.name, "model": line.model or ""}
        try:
            row = self._priced(cell, heard, place, again=is_again)
        except ElumentaError as error:
            return Row(**place, count=line["count"] or 1, status=REFUSED, note=_sentence(error))
        if not line["quote"]:
            self._last = heard
        return self._repeated(row, heard.within) if heard.within else row

    @staticmethod
    def _repeated(row: Row, within: str) -> Row:
        """A line within a loop or a function: its price is that of one run, and nobody knows how many there are."""
        if row.status in (REFUSED, ASKS):
            return row
        notes = [_("in a loop or a function: how often it runs is not known before"), *filter(None, [row.note])]
        return replace(row, status=REPEATS, low=row.low if within == "loop" else 0, high=None, note="; ".join(notes))

    # ------------------------------------------------------------ reading a line

    def _heard(self, said: Said) -> _Heard:
        """The line read, rendered where there is a kernel; what only a run can tell is taken out and named."""
        text, body = said.line, said.body
        flags: list[str] = []
        if "{{" in text and "--raw" not in text:
            try:
                line = self._parse(text, self._fill)
            except (InvalidCall, _UnknownError):
                words, flags = self._without_templates(text)
                line = self._parse(words, str)
        else:
            line = self._parse(text, str)
        unknown = [f"--{flag}" if flag else _("the prompt") for flag in flags]
        heard = _Heard(line, body, within=said.within, unknown=unknown)
        if body is not None and "{{" in body and not line["raw"]:
            try:
                heard.body = self._fill(body)
            except (InvalidCall, _UnknownError):
                heard.unknown.append(_("the prompt"))
        if line.category is not None:
            heard.counted = "count" not in flags
            model = catalog().models.get(line.model or "")
            params = catalog().params_of(line.category, model) if model else line.category.params
            moving = {flag for param in params if param.prices for flag in param.flags} | {"p", "param"}
            heard.moves = bool(moving & {flag.replace("_", "-") for flag in flags})
            self._without_variables(heard, params)
        return heard

    def _parse(self, line: str | list[str], fill: Callable[[str], str]) -> Line:
        return parse(line, verbs=self._verbs, lookup=self._lookup, fill=fill)

    def _without_templates(self, text: str) -> tuple[list[str], list[str]]:
        """The words of a line without those that hold a template, and the flags they were for; a prompt's flag is ``""``.

        Raises `_VariableModelError` where a template stands for the category or the model.
        """
        words: list[str] = []
        flags: list[str] = []
        for word in split(text):
            if "{{" not in word:
                words.append(word)
            elif word.startswith("-"):
                flags.append(word.partition("=")[0].lstrip("-"))
            elif words and words[-1].startswith("-") and self._needs_value(words):
                flags.append(words.pop().lstrip("-"))
            elif not (line := self._parse(words, str)).verb:
                if line.model is None and not line.words:
                    raise _VariableModelError
                words.append("x")  # the prompt of a line: only that there is one matters
                flags.append("")
        return words, flags

    def _needs_value(self, words: list[str]) -> bool:
        """Whether the last of the words is an option that the next word is the value of."""
        self._parse(words[:-1], str)
        try:
            self._parse(words, str)
        except ElumentaError:
            return True
        return False

    def _lookup(self, slug: str) -> str:
        """The category of a slug the table does not have; what is wrong with it is said as the cell says it."""
        table = catalog()
        aliases = [alias for row in table.categories.values() for alias in row.aliases]
        words = [*self._verbs, *table.categories, *aliases]
        if not (near := closest(slug, words)):
            try:
                return self._session.resolve(Ask(model=slug)).category.name
            except UnknownModel:
                near = closest(slug, [*words, *table.models, *self._session.served_models()])
                if slug in table.older or near is None:
                    raise
            except ElumentaError:
                near = closest(slug, table.models)
        raise UnknownModel(
            _("There is no verb, category or model {word!r}.").format(word=slug),
            hint=_("Did you mean {name}?").format(name=near) if near else _("What can be said: %elumenta help"),
        )

    def _fill(self, text: str) -> str:
        if "{{" not in text:
            return text
        if self._namespace is None:
            raise _UnknownError
        return render(text, self._namespace)

    def _without_variables(self, heard: _Heard, own: Sequence[Param]) -> None:
        """Inputs: a file is looked for beside the notebook, and a name of no file is a variable of the run."""
        slots = {param.name: param for param in own if param.is_input}
        params, options = dict(heard.line.params), dict(heard.line.options)
        for values, names in ((params, slots.keys()), (options, {"input"})):
            for name in names & values.keys():
                value = str(values[name])
                if is_file(self._folder / value):
                    values[name] = str(self._folder / value)
                elif _NAME.fullmatch(value) and value.partition("[")[0] not in (self._namespace or {}):
                    del values[name]
                    slot = slots.get(name) or next(iter(slots.values()), None)
                    heard.unknown.append(value)
                    heard.moves = heard.moves or (slot is not None and slot.prices)
        heard.line = replace(heard.line, params=params, options=options)

    # ------------------------------------------------------------ pricing a line

    def _priced(self, cell: Cell, heard: _Heard, place: dict[str, Any], *, again: bool) -> Row:
        line = heard.line
        ask = ask_of(line, heard.body, self._namespace or {})
        chat, ask = ask.chat, replace(ask, chat=None)
        resolved = self._session.resolve(ask)
        place = {**place, "model": resolved.model.slug, "count": ask.count}
        if line["quote"]:
            return Row(**place, status=ASKS, note=_("sends nothing"))
        later_turn = chat is not None and chat in self._chats
        if chat is not None:
            self._chats.add(chat)
        origin = Origin(source="magic", cell_id=cell.id, source_hash=cell.source_hash, run=_NO_RUN, user=self._user)
        policy = self._session.policy(ask, origin)
        low, high, note = self._price(ask, resolved.model, moves=heard.moves)
        if heard.unknown or later_turn:
            return self._open(cell, heard, place, low=low, high=high, policy=policy)
        had = self._had(self._session.orders(ask, origin)[0], ask.count)
        buys = ask.count - had.stored - had.paid - had.doubtful
        most = buys + had.doubtful
        self._bought[had.fingerprint] += had.paid
        if most == 0:
            return Row(**place, status=PAID if had.paid else STORED, note="; ".join(had.notes(ask.count)))
        if policy == "only":
            return Row(**place, status=REFUSED, note=_("not stored, and only stored results may be shown"))
        notes = [*filter(None, [note]), *had.notes(ask.count)]
        if ask.fresh:
            notes.append(_("again: bought anew at every run") if again else _("--fresh: bought anew at every run"))
        what = resolved.model.slug
        # Where nobody tells the price, it is bought up to what the cell allows, and not at all without that.
        total = high * most or allowed(ask.max_price, what=what, surface="magic")
        if buys and ask.max_price is not None:
            consent(high * buys, max_price=ask.max_price, confirm_above=0, what=what, surface="magic")
        self._bought[had.fingerprint] += most if heard.within != "function" else 0
        notes += self._question(high * most, ask)
        status = DOUBTFUL if had.doubtful else BACKGROUND if line["background"] else TO_BUY
        return Row(**place, status=status, low=low * buys, high=total, note="; ".join(notes))

    def _had(self, order: Order, count: int) -> Had:
        """What a run of the line would take instead of buying, in the order in which it would."""
        call = order.call
        fingerprint = self._store.fingerprint(call, self._api)
        if not may_reuse(order):
            return Had(fingerprint)
        offered = len(self._store.peek(call, self._api, policy=call.reuse))
        stored = min(count, max(0, offered + self._before[fingerprint] - self._taken[fingerprint]))
        self._taken[fingerprint] += stored
        if stored == count:
            return Had(fingerprint, stored=stored, by_run=not offered)
        rows = [row for row in self._rows(order, fingerprint) if row.id not in self._collected]
        awaited = [row for row in rows if is_awaited(order, row)][: count - stored]
        fetched = not_home(order, rows, self._store, self._api)[: count - stored - len(awaited)] if rows else []
        self._collected.update(row.id for row in (*awaited, *fetched))
        unnamed = [row for row in awaited if row.generation_id is None]
        doubtful = sum(self._is_over(row) for row in unnamed)
        return Had(
            fingerprint,
            stored=stored,
            awaited=len(awaited) - len(unnamed),
            unnamed=len(unnamed) - doubtful,
            doubtful=doubtful,
            fetched=len(fetched),
        )

    def _is_over(self, row: Entry) -> bool:
        """Whether the engine gives up this call without an id where the history does not show it (`given_up`).

        Never while its kernel waits for the answer and renews the lease.
        """
        now = self._session.ledger().now()
        if row.status == "reserved" and row.lease_until is not None and row.lease_until > now:
            return False
        grace_s = GRACE_S if self._session.grace_s is None else self._session.grace_s
        return (now - row.started_at).total_seconds() > grace_s

    def _rows(self, order: Order, fingerprint: str) -> list[Entry]:
        """Open and paid calls of this line, of this account. Who that is, is asked only where there are any."""
        if self._offline or not self._api or order.call.reuse == "only":
            return []
        ledger = self._session.ledger()
        accounts = [row[0] for row in ledger.totals(("account",), Where(api=self._api))]
        if not any(ledger.of_fingerprints(account, self._api, [fingerprint]) for account in accounts):
            return []
        try:
            account = self._session.account_name()
        except ElumentaError:
            return []
        rows = ledger.of_fingerprints(account, self._api, [fingerprint]).get(fingerprint, [])
        return [row for row in rows if ledger.is_left_to(order.call.origin.user, row)]

    def _open(self, cell: Cell, heard: _Heard, place: dict[str, Any], *, low: int, high: int, policy: str) -> Row:
        """A line whose outcome a variable decides: free if the result it had is still the one asked for."""
        count = place["count"]
        seen = policy != "off" and not heard.line["fresh"] and (place["model"], cell.source_hash) in self._hashes
        names = ", ".join(dict.fromkeys(heard.unknown))
        notes = [_("not known before: {names}").format(names=names) if names else _("a later turn of a chat")]
        if seen:
            notes.append(_("stored, if nothing has changed"))
        notes += self._question(high * count, ask_of(heard.line, heard.body, self._namespace or {}))
        return Row(
            **place,
            status=DEPENDS,
            low=0 if seen else low * count,
            high=high * count if heard.counted else None,
            note="; ".join(notes),
        )

    def _price(self, ask: Ask, model: Model, *, moves: bool) -> tuple[int, int, str]:
        """The least and the most one generation costs, and a word on where that is from."""
        if not moves and not self._offline:
            try:
                quote, due = self._session.due(ask)
            except (InvalidCall, PlanRequired, Rejected):
                raise
            except ElumentaError as error:  # nobody to ask: the table will do
                self._offline = _("Prices are the table's, not the server's: {why}").format(why=error)
            else:
                most = due // ask.count  # what such a call was charged, where that was more than its quote
                if quote.exact:
                    return quote.tokens, most, ""
                return quote.minimum, max(quote.maximum, most), _("about: from the table")
        return model.minimum, model.maximum, ""

    def _question(self, price: int, ask: Ask) -> list[str]:
        limit = self._session.settings.confirm_above
        if ask.max_price is not None or not limit or price <= limit:
            return []
        return [_("asks first: add {option}").format(option=f"--max-price {price}")]

    def _stored_cells(self) -> set[tuple[str, str]]:
        """Models and cell sources of which something is stored."""
        return {
            (take.model, take.source_hash) for take in self._store.known() if take.api == self._api or not self._api
        }


class _UnknownError(Exception):
    """A template, and no kernel to fill it."""


class _VariableModelError(Exception):
    """A template in the place of the category or the model: what it buys is not known before."""


def _sentence(error: ElumentaError) -> str:
    return f"{error} {error.hint.partition(chr(10))[0]}".strip()
