"""What a line of the magic does: reads it, asks the session, shows the receipt, returns the value.

Imported at the first call of the magic, so that `%load_ext elumenta_nb` stays quick.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from . import _cards, _receipt, _verbs
from ._asks import ask_of
from ._catalog import catalog, closest
from ._errors import BadParam, ElumentaError, UnknownModel
from ._interrupt import explain, shorten
from ._language import gettext as _, ngettext
from ._markdown import safe_markdown
from ._parser import parse
from ._progress import Live, Record, Subject
from ._surroundings import Receipts
from ._template import render
from ._values import Ask

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ._parser import Line
    from ._result import Result
    from ._session import Session
    from ._shell import Shell

__all__ = ["Cells", "Results"]


class Results(list[Any]):
    """The results of one cell; each of them is shown above, so the list itself shows as a line."""

    def __repr__(self) -> str:
        shown = ", ".join(result.path.name if result.path else _("call {id}").format(id=result.id) for result in self)
        return ngettext("{n} result", "{n} results", len(self)) + (f": {shown}" if shown else "")


class Cells:
    """Runs the lines and cells of one shell."""

    def __init__(self, front: Shell, session: Callable[[], Session]) -> None:
        self.front = front
        self.session = session
        self._last: tuple[Ask, Line] | None = None

    def run(self, line: str, cell: str | None) -> Any:
        """The value of this line or cell. Raises the typed errors; an interrupt says what may still be charged."""
        try:
            return self._run(line, cell)
        except KeyboardInterrupt as stop:
            if not hasattr(stop, "_render_traceback_"):
                shorten(stop, [_("Nothing was charged.")])
            raise

    def _run(self, line: str, cell: str | None) -> Any:
        read = parse(line, verbs=_verbs.VERBS, lookup=self._category_of, fill=self._filled)
        if read["help"]:
            return _verbs.about(read)
        if read.category is not None and not read.verb:
            try:
                return self._generate(read, line, cell)
            except UnknownModel as error:
                if cell is None and read.words and not {'"', "'"} & set(line):
                    said = " ".join([str(read.model), *read.words])
                    quoted = _("A prompt stands in quotes: {line}").format(
                        line=f'%elumenta {read.category.name} "{said}"'
                    )
                    error.hint = f"{quoted}\n{error.hint}"
                raise
        if cell is not None and cell.strip():
            raise BadParam(
                _("A verb stands on a line of its own: {line}").format(line=f"%elumenta {line}".strip()),
                hint=_("A prompt needs a category or a model: %%elumenta text"),
            )
        if read.verb:
            return _verbs.perform(_verbs.VERBS[read.verb], read, self.session, self.front, self._again)
        return _verbs.status(_verbs.Desk(self.session(), self.front, self._again))

    def _filled(self, text: str) -> str:
        return render(text, self.front.namespace)

    def _category_of(self, word: str) -> str:
        """The category of a slug the table does not have; the server is asked unless it is a misspelt verb."""
        table = catalog()
        words = [
            *_verbs.VERBS,
            *table.categories,
            *(alias for row in table.categories.values() for alias in row.aliases),
        ]
        if not (near := closest(word, words)):
            try:
                return self.session().resolve(Ask(model=word)).category.name
            except UnknownModel as error:
                if word in table.older:
                    raise
                near = closest(word, [*words, *table.models, *self.session().served_models()])
                if near is None:
                    raise error from None
            except ElumentaError:
                near = closest(word, table.models)
        raise UnknownModel(
            _("There is no verb, category or model {word!r}.").format(word=word),
            hint=_("Did you mean {name}?").format(name=near) if near else _("What can be said: %elumenta help"),
        )

    def _generate(self, read: Line, line: str, cell: str | None) -> Any:
        body = cell if cell is None or read["raw"] else self._filled(cell)
        ask = ask_of(read, body, self.front.namespace)
        if read["quote"]:
            return _cards.price(self.session().resolve(ask), *self.session().price(ask), ask.count, self.session().mode)
        self._last = (ask, read)
        if read["background"]:
            return self._in_background(ask, read)
        result = self._buy(ask, read, owns_cell=cell is not None or self.front.owns(line))
        if read["quiet"] and (cell is not None or self.front.is_statement(line)):
            return None
        return result

    def _again(self) -> Any:
        if self._last is None:
            raise BadParam(_("There is no generation to repeat in this kernel yet."))
        ask, read = self._last
        return self._buy(replace(ask, fresh=True), read, owns_cell=self.front.owns("again"))

    def _in_background(self, ask: Ask, read: Line) -> Any:
        from ._background import follow
        from ._calling import Pending

        handle = self.session().start(ask, self.front.origin(read["tag"] or ()))
        follow(handle, self.front, self._subject(ask), quiet=bool(read["quiet"]))
        value = handle if ask.count > 1 else Pending(handle)
        self._bind(read, value)
        return value

    def _subject(self, ask: Ask) -> Subject:
        resolved = self.session().resolve(ask)
        return Subject(model=resolved.model.slug, typical_s=resolved.typical_s, count=ask.count)

    def _buy(self, ask: Ask, read: Line, *, owns_cell: bool) -> Any:
        """Run it with a live view; show what belongs above the value, and the receipt under it."""
        session, quiet = self.session(), bool(read["quiet"])
        live = Live(
            self.front,
            self._subject(ask),
            safe=safe_markdown,
            owns_cell=owns_cell,
            is_seen=not quiet,
            slot="" if owns_cell or quiet else Receipts.of(self.front).lend(),
        )
        try:
            results = session.run(ask, self.front.origin(read["tag"] or ()), live)
        except BaseException as error:
            slot = live.close()
            if isinstance(error, KeyboardInterrupt):
                explain(error, live.record, ask)
            if isinstance(error, ElumentaError):
                self._keep(error.results, ask, read)
            self._receipt(live.record, slot, quiet=quiet, failed=error)
            raise
        slot = live.close()
        value = Results(results) if ask.count > 1 else results[0]
        self._bind(read, value)
        if ask.count > 1:
            self._show_all(results, quiet=quiet)
        if ask.shape == "code" and not results[0].reused:
            self.front.next_cell(str(results[0].value))
        self._receipt(live.record, slot, quiet=quiet, note=self._note(ask))
        return value

    def _keep(self, done: Sequence[Result], ask: Ask, read: Line) -> None:
        """What succeeded before the error is bound and shown: it is paid for."""
        self._bind(read, Results(done) if ask.count > 1 else (done[0] if done else None))
        self._show_all(done, quiet=bool(read["quiet"]))

    def _note(self, ask: Ask) -> str:
        if ask.model is not None:
            return ""
        return _("the cheapest of {category}").format(category=ask.category)

    def _bind(self, read: Line, value: Any) -> None:
        if read["out"] and value is not None:
            self.front.namespace[read["out"]] = value

    def _show_all(self, results: Sequence[Result], *, quiet: bool) -> None:
        for result in results if not quiet else ():
            data, metadata = result._repr_mimebundle_()
            self.front.show(data, metadata)

    def _receipt(
        self, record: Record, slot: str, *, quiet: bool, note: str = "", failed: BaseException | None = None
    ) -> None:
        if quiet:
            return
        receipts = [_receipt.together(record.receipts, note=note)] if record.receipts else []
        money = failed.money() if isinstance(failed, ElumentaError) else _("Stopped waiting.")
        Receipts.of(self.front).add(receipts, slot, outcome=money)
