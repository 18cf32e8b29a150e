"""The panel: a form, a price, two buttons to buy and one to leave, what runs, and what came of it."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import ipywidgets as widgets

from elumenta_nb import _surroundings
from elumenta_nb._errors import BadParam, ConfirmPrice, ElumentaError, PriceAboveMax
from elumenta_nb._language import gettext as _, number, tokens
from elumenta_nb._markdown import plain
from elumenta_nb._render import receipt

from ._form import Form
from ._gallery import Gallery
from ._jobs import Jobs
from ._look import explained, heading, notice, progress, source_box, style
from ._models import Models
from ._price import PriceLine
from ._purchase import Outcome, Purchase, Screen
from ._stage import Latest, Stage
from ._still import Picture, Still

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from elumenta_nb._result import Result
    from elumenta_nb._session import Session
    from elumenta_nb._shell import Shell
    from elumenta_nb._values import Ask, Origin

__all__ = ["Panel", "display"]

STILL_S: Final = 1.0  # after a change, before the still picture follows
_EARLIER: Final = 5  # results that the still picture names


class Panel:
    """A panel to generate with. `widget` can stand in any layout of ipywidgets; `results` has the newest first.

    `source` is the same as a cell. Whatever the thread a handler is called on, only one call is bought at a time, and
    only for the price that was shown.
    """

    def __init__(
        self,
        session: Callable[[], Session],
        front: Shell | None,
        *,
        category: str | None = None,
        model: str | None = None,
        namespace: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._front = front
        self._names: Any = namespace if namespace is not None else (front.namespace if front is not None else {})
        self._place = _place(front)
        self._stage = Stage(front.loop() if front is not None else None, self._failed)
        self._still = Still(self._picture)
        self._later = Latest(self._stage, STILL_S)
        self._said: tuple[str, ...] = ()  # what the status says, for the still picture
        self._priced: Ask | None = None  # what the price is of
        self._pending: int | None = None  # the price the second button names
        self._is_faulty = False  # what is said is what the form lacks
        self._prompt, self._count = "", 1  # of what is being bought
        self.purchase = Purchase(session, self._origin, clock)
        self.served = threading.Event()  # the server's list was taken in, or could not be had
        self._build()
        self.form.watch(self._stage.handler)
        self.models.watch(self._stage.handler)
        self.generate.on_click(self._stage.handler(lambda _button: self._clicked()))
        self.consent.on_click(self._stage.handler(lambda _button: self._consented()))
        self.stop.on_click(self._stage.handler(lambda _button: self._stop()))
        if model is not None:
            self.form.use(model)
        elif category is not None:
            self.form.category.value = category
        self.line.refresh()
        self.jobs.refresh()
        threading.Thread(target=self._stage.behind, args=(self._serve,), name="elumenta models", daemon=True).start()

    def _build(self) -> None:
        self.form = Form(lambda: self._names, changed=self._changed, told=self._told)
        self.cost = widgets.HTML()
        self.cost.layout.min_height = "28px"
        self.line = PriceLine(self._session, self._origin, self._stage, self.cost, self._told)
        self.generate = widgets.Button(description=_("Generate"), tooltip=_("buy it for the price shown"))
        self.generate.add_class("elumenta-main")
        self.consent = widgets.Button(description=_("Yes"), tooltip=_("buy it for this price"), disabled=True)
        self.consent.add_class("elumenta-dear")
        self.stop = widgets.Button(description=_("Cancel"), disabled=True)
        for button in (self.consent, self.stop):
            button.add_class("elumenta-away")
        self.status = widgets.HTML()
        self.status.layout.min_height = "48px"
        self.gallery = Gallery()
        self.cell = widgets.HTML()
        self.models = Models(self._use)
        self.jobs = Jobs(self._session, self._stage, changed=self._after)
        buttons = widgets.HBox([self.generate, self.consent, self.stop])
        buttons.add_class("elumenta-buttons")
        same = heading(_("The same as a cell"), _("click to select, or %elumenta panel --cell"))
        # what grows with the words stands below the buttons: one that moves under the mouse loses the click
        make = widgets.VBox(
            [self.form.box, self.cost, buttons, self.status, widgets.HTML(same), self.cell, self.gallery.box]
        )
        self.tabs = widgets.Tab(children=[make, self.models.box, self.jobs.box])
        for index, title in enumerate((_("Make"), _("Models"), _("Unfinished"))):
            self.tabs.set_title(index, title)
        self.tabs.observe(self._stage.handler(lambda _change: self.jobs.refresh()), "selected_index")
        self.widget: Any = widgets.VBox([widgets.HTML(style(self._still.name)), self.tabs])
        self.widget.add_class("elumenta-panel")

    # ------------------------------------------------------------ what is asked for

    @property
    def results(self) -> list[Result]:
        """The results of this panel, the newest first."""
        return self.gallery.results

    @property
    def source(self) -> str:
        """The same as a cell: its `%%elumenta` source."""
        price = self.line.price
        return self.form.source(max_price=price.high if price is not None and self.line.is_dear else None)

    def ask(self) -> Ask:
        """What the panel asks for as it stands, with the price shown as its limit. Raises `BadParam`."""
        price = self.line.price
        return self.form.ask(max_price=price.high if price is not None else None)

    def _origin(self) -> Origin:
        return self._place

    def _serve(self) -> None:
        """What the server lists, asked for behind the panel."""
        try:
            session = self._session()
            served = session.served_models() if session.mode != "only" else {}
            if served:
                self._stage.do(lambda: self.form.serve(served))
                self._stage.do(lambda: self.models.serve(served))
        except ElumentaError as error:
            said = explained(error)
            self._stage.do(lambda: self._say(*said))
        finally:
            self.served.set()

    # ------------------------------------------------------------ changes

    def _changed(self) -> None:
        """Something that may move the price; the server's list that comes late moves none that it has said itself."""
        if not hasattr(self, "widget"):
            return
        wanted = self._wanted()
        if wanted is not None and wanted == self._priced and self.line.price is not None and self.line.price.exact:
            self._told()
            return
        self._priced = wanted
        self._withdraw()
        self.line.begin(self.form.chosen, self.form.count.value, self.form.ask)

    def _wanted(self) -> Ask | None:
        """What is priced: what is asked for but its words."""
        with suppress(BadParam):
            return replace(self.form.ask(), prompt=None)
        return None

    def _told(self) -> None:
        """Words, or a price: the cell follows, and the button that says yes to a price it no longer has goes."""
        if not hasattr(self, "widget"):
            return
        if self._pending is not None and (self.line.price is None or self.line.price.high != self._pending):
            self._withdraw()
        if self._is_faulty and self._is_whole():
            self._say("", "")
        value = source_box(self.source)
        if self.cell.value != value:
            self.cell.value = value
        self.generate.disabled = self.purchase.is_busy or self.line.price is None
        self._later.ask(lambda _is_last: self._stage.keep(self._still.update))

    def _use(self, slug: str) -> None:
        self.form.use(slug)
        self.tabs.selected_index = 0

    def _withdraw(self) -> None:
        if self._pending is not None:
            self._pending = None
            self._show(self.consent, is_there=False)
            self._say("", "")

    @staticmethod
    def _show(button: Any, *, is_there: bool) -> None:
        button.disabled = not is_there
        if is_there:
            button.remove_class("elumenta-away")
        else:
            button.add_class("elumenta-away")

    # ------------------------------------------------------------ buying

    def _clicked(self) -> None:
        """Generate."""
        price = self.line.price
        if self.line.is_dear and price is not None and not self.purchase.is_busy:
            self._checked()
            self._pending = price.high
            self.consent.description = _("Yes, spend {tokens}").format(tokens=tokens(price.high))
            self._show(self.consent, is_there=True)
            limit = tokens(self.line.confirm_above)
            self._say(
                "warn",
                _("This costs {price}.").format(price=price),
                *self._overrun(price.high),
                _("Above {limit} a second yes is asked for. Nothing is sent yet.").format(limit=limit),
            )
            return
        self._buy()

    def _overrun(self, high: int) -> list[str]:
        """The budgets it would not fit in, as far as the panel knows: the ledger decides."""
        return [
            _("budget {used} of {limit}").format(used=number(used), limit=number(limit))
            + f" ({name}) – {_('would be overrun')}"
            for used, limit, name in self.line.purse.budgets
            if used + high > limit
        ]

    def _consented(self) -> None:
        """Yes, spend that much."""
        if self._pending is not None and self.line.price is not None and self.line.price.high == self._pending:
            self._buy()

    def _buy(self) -> None:
        if self.purchase.is_busy:
            return
        ask, price = self._checked()
        if not self.purchase.begin(self.source):
            return
        self._pending, self._is_faulty = None, False
        self._prompt, self._count = ask.prompt or "", ask.count
        self.generate.disabled = True
        self._show(self.consent, is_there=False)
        self.stop.description = _("Cancel")
        self._show(self.stop, is_there=True)
        self.gallery.write("")
        self.status.value = progress(_("Starting"), "", None)
        self.purchase.start(ask, price, Screen(running=self._running, text=self._text, ended=self._ended))

    def _checked(self) -> tuple[Ask, int]:
        if self.line.price is None:
            raise BadParam(_("The price is not known yet, so nothing is sent."))
        self.form.check()
        return self.ask(), self.line.price.high

    def _is_whole(self) -> bool:
        try:
            self._checked()
        except BadParam:
            return False
        return True

    def _stop(self) -> None:
        self.stop.disabled = True
        self.status.value = progress(_("Stopping"), "", None)
        self.purchase.stop()

    def _running(self, line: str, at_risk: str, share: float | None, is_sent: bool) -> None:  # noqa: FBT001 - a Screen
        def change() -> None:
            if not self.purchase.is_busy or self.stop.disabled:
                return
            label = _("Stop waiting") if is_sent else _("Cancel")
            if self.stop.description != label:
                self.stop.description = label
            self.status.value = progress(line, at_risk, share)

        self._stage.do(change)

    def _text(self, text: str) -> None:
        self._stage.do(lambda: self.gallery.write(text))

    def _ended(self, outcome: Outcome) -> None:
        self._stage.do(lambda: self._finish(outcome))

    def _finish(self, outcome: Outcome) -> None:
        try:
            self._show_outcome(outcome)
        finally:
            self._show(self.stop, is_there=False)
            self.purchase.end()
            self.generate.disabled = self.line.price is None
        self._after()

    def _show_outcome(self, outcome: Outcome) -> None:
        if outcome.results:
            self.gallery.write("")
        for result in outcome.results:
            self.gallery.add(result, self._prompt)
        self._bind(outcome.results)
        if outcome.error is not None:
            self._say(*self._explained(outcome.error))
        elif outcome.stopped:
            self._say("warn", _("Stopped waiting."), *outcome.stopped)
        else:
            spent = sum(result.tokens for result in outcome.results)
            self._say("good", _("Done · {tokens}").format(tokens=tokens(spent)))
        if isinstance(outcome.error, PriceAboveMax | ConfirmPrice):
            self.line.begin(self.form.chosen, self.form.count.value, self.form.ask)

    def _after(self) -> None:
        """What a call changes: balance, budgets, open calls, results that can be worked on."""
        self.form.offer()
        self.line.refresh()
        self.jobs.refresh()
        self._stage.keep(self._still.update)

    def _bind(self, results: Sequence[Result]) -> None:
        """Keep what was made under its name: one result, or the list of several, as a cell does."""
        with suppress(BadParam):  # checked before it was bought; typed anew since
            if results and (name := self.form.out):
                self._names[name] = results[0] if self._count == 1 else list(results)

    def _explained(self, error: BaseException) -> tuple[str, ...]:
        if isinstance(error, PriceAboveMax | ConfirmPrice):
            return "bad", error.message, _("The new price is being asked for. To accept it, click again.")
        return explained(error)

    def _failed(self, error: Exception) -> None:
        """A handler raised: say it where it is seen."""
        if not self.purchase.is_busy:
            self.generate.disabled = self.line.price is None
        self._say(*explained(error))
        self._is_faulty = isinstance(error, BadParam)

    def _say(self, kind: str, title: str, *lines: str) -> None:
        self._is_faulty = False
        self._said = (title, *lines) if title else ()
        self.status.value = notice(kind, title, lines) if title else ""

    # ------------------------------------------------------------ showing

    def _picture(self) -> Picture:
        model = self.form.chosen
        price = str(self.line.price) if self.line.price is not None else ""
        title = " · ".join(filter(None, ["Elumenta", self._sandbox, model.slug if model else "", price]))
        lines = [*self._said, *map(_receipt, self.results[:1])]
        lines += [f"{_('earlier')}: {_receipt(result)}" for result in self.results[1 : 1 + _EARLIER]]
        return Picture(title, tuple(plain(line) for line in lines), self.source, self.gallery.newest)

    @property
    def _sandbox(self) -> str:
        with suppress(ElumentaError):  # nowhere to send calls: there is no sandbox either
            return "SANDBOX" if self._session().mode == "sandbox" else ""
        return ""

    def _repr_mimebundle_(self, **_kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = self._picture().bundle()
        return {**self.widget._repr_mimebundle_(), **data}, metadata

    def _ipython_display_(self) -> None:
        display(self.widget, self._still, self._front, self._picture)

    def __repr__(self) -> str:
        return f"<Panel {self._picture().title}>"


def display(widget: Any, still: Still, front: Shell | None, picture: Callable[[], Picture]) -> None:
    """Show the live widget and below it the still picture that takes its place where it cannot live."""
    front = front or _surroundings.here()
    if front is None:
        return
    if not front.is_kernel:
        data, metadata = picture().bundle()
        front.show({"text/plain": data["text/plain"]}, metadata)
        return
    bundle = widget._repr_mimebundle_()
    front.show({**bundle, "text/plain": "Elumenta"})
    still.show(front)


def _receipt(result: Result) -> str:
    """One line on a result: its receipt, and its file."""
    said = str(receipt(result.receipt)[0]["text/plain"]) if result.receipt is not None else tokens(result.tokens)
    return " · ".join(filter(None, [said, result.path.name if result.path is not None else ""]))


def _place(front: Shell | None) -> Origin:
    """Where the calls of a panel come from: the cell that made it."""
    if front is not None:
        return front.origin(source="panel")
    return replace(_surroundings.origin(), source="panel")
