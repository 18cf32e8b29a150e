"""Unfinished calls: what is still open at the server, what it will cost, and the button that brings it home."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import ipywidgets as widgets

from elumenta_nb._errors import ElumentaError
from elumenta_nb._language import gettext as _, ngettext, span, tokens
from elumenta_nb._progress import Record, Subject

from ._gallery import Gallery
from ._look import explained, heading, notice, progress, style
from ._stage import Latest, Stage
from ._still import Picture, Still

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from elumenta_nb._ledger import Entry
    from elumenta_nb._result import Result
    from elumenta_nb._session import Session
    from elumenta_nb._shell import Shell
    from elumenta_nb._values import Event

__all__ = ["Jobs", "JobsPanel"]

FIRST_LOOK_S: Final = 1.0
_STATES: Final = {
    "reserved": lambda: _("being sent"),
    "pending": lambda: _("at work at the server"),
    "unknown": lambda: _("no answer yet"),
}


class Jobs:
    """The list of open calls. On the stage, `changed` is called when something was recovered, `listed` after a look."""

    def __init__(
        self,
        session: Callable[[], Session],
        stage: Stage,
        changed: Callable[[], None],
        listed: Callable[[], None] = lambda: None,
    ) -> None:
        self._session = session
        self._stage = stage
        self._changed = changed
        self._listed = listed
        self._looks = Latest(stage, 0.0)
        self._lock = threading.Lock()
        self._is_busy = False
        self._rows: tuple[Entry, ...] = ()
        self.list = widgets.Select(
            rows=5,
            description=_("Open calls"),
            tooltip=_("calls whose outcome is still open"),
            style={"description_width": "120px"},
            layout={"width": "auto"},
        )
        self.list.add_class("elumenta-models")
        self.recover = widgets.Button(
            description=_("Recover"), tooltip=_("wait for the chosen call and show its result")
        )
        self.recover_all = widgets.Button(description=_("Recover all"), tooltip=_("fetch and look up all open calls"))
        self.refresh_button = widgets.Button(description=_("Refresh"), tooltip=_("look again"))
        self.summary = widgets.HTML(heading(_("Unfinished calls"), _("looking …")))
        self.told: tuple[str, ...] = ()  # the same in lines, once it was looked for
        self.looked = threading.Event()
        self.status = widgets.HTML()
        self.gallery = Gallery()
        buttons = widgets.HBox([self.recover, self.recover_all, self.refresh_button])
        buttons.add_class("elumenta-buttons")
        self.box = widgets.VBox([self.summary, self.list, buttons, self.status, self.gallery.box])
        self.recover.on_click(stage.handler(lambda _button: self._begin(self.list.value)))
        self.recover_all.on_click(stage.handler(lambda _button: self._begin(None)))
        self.refresh_button.on_click(stage.handler(lambda _button: self.refresh()))
        self._enable()

    @property
    def lines(self) -> tuple[str, ...]:
        """The list, as text."""
        return tuple(line for line, _id in self.list.options)

    def refresh(self) -> None:
        """Look for open calls, behind the panel."""
        self._looks.ask(self._look)

    def _look(self, is_last: Callable[[], bool]) -> None:
        try:
            rows = tuple(self._session().open_entries())
        except ElumentaError as error:
            said = _told(error)
            self._stage.do(lambda: self._say(said))
        else:
            if is_last():
                self._stage.do(lambda: self._list(rows))
        finally:
            self.looked.set()

    def _list(self, rows: Sequence[Entry]) -> None:
        self._rows = tuple(rows)
        now = datetime.now(UTC)
        old = self.list.value
        self.list.options = [(_line(row, now), row.id) for row in rows]
        ids = [row.id for row in rows]
        self.list.value = old if old in ids else (ids[0] if ids else None)
        held = sum(row.held for row in rows)
        if rows:
            count = ngettext("{n} unfinished call", "{n} unfinished calls", len(rows))
            quiet = _("up to {tokens} will be charged").format(tokens=tokens(held))
            self.told = (f"{count}: {quiet}", *self.lines)
        else:
            count, quiet = _("Nothing is open."), _("A call that is left while it runs stands here.")
            self.told = (count,)
        self.summary.value = heading(count, quiet)
        self._enable()
        self._listed()

    def _enable(self) -> None:
        self.recover.disabled = self.recover_all.disabled = self._is_busy or not self._rows
        for widget in (self.list, self.recover, self.recover_all):  # of no use where nothing is open
            widget.layout.display = None if self._rows or self._is_busy else "none"

    def _say(self, value: str) -> None:
        self.status.value = value

    def _begin(self, call_id: int | None) -> None:
        with self._lock:
            if self._is_busy:
                return
            self._is_busy = True
        self._enable()
        self._say(progress(_("Looking up unfinished calls"), "", None))
        threading.Thread(target=self._recover, args=(call_id,), name="elumenta jobs", daemon=True).start()

    def _recover(self, call_id: int | None) -> None:
        results: Sequence[Result] = ()
        try:
            results = self._session().resume(call_id, view=_Watch(self._stage, self._say))
            said = notice("good", ngettext("Recovered {n} call", "Recovered {n} calls", len(results)))
        except ElumentaError as error:
            results, said = error.results, _told(error)
        except Exception as error:  # noqa: BLE001 - a thread's error would be lost in a log
            said = _told(error)
        self._stage.do(lambda: self._ended(results, said))

    def _ended(self, results: Sequence[Result], said: str) -> None:
        with self._lock:
            self._is_busy = False
        self._say(said)
        for result in results:
            self.gallery.add(result)
        self._enable()
        self.refresh()
        self._changed()


class _Watch:
    """A line about what is waited for, at most one a second."""

    def __init__(self, stage: Stage, say: Callable[[str], None]) -> None:
        self._stage = stage
        self._say = say
        self._record = Record(time.monotonic())
        self._shown = ""

    def __call__(self, event: Event) -> None:
        self._record.note(event, time.monotonic())
        self.tick()

    def tick(self) -> None:
        line = self._record.line(Subject(model=_("unfinished calls"), typical_s=(1, 180)), time.monotonic())
        if line != self._shown:
            self._shown = line
            self._stage.do(lambda: self._say(progress(line, "", None)))


def _told(error: BaseException) -> str:
    kind, title, *lines = explained(error)
    return notice(kind, title, lines)


def _line(row: Entry, now: datetime) -> str:
    age = span(max(0, (now - row.started_at).total_seconds()))
    state = _STATES[row.status]() if row.status in _STATES else row.status
    parts = [f"{row.id}", row.model, tokens(row.held), state, _("{age} ago").format(age=age), row.origin.label]
    return " · ".join(filter(None, parts))


class JobsPanel:
    """Unfinished calls, as a panel of its own. `widget` can stand in any layout of ipywidgets."""

    def __init__(self, session: Callable[[], Session], front: Shell | None) -> None:
        self._front = front
        self._stage = stage = Stage(front.loop() if front is not None else None, self._failed)
        self._still = Still(self._picture)
        self.jobs = Jobs(session, stage, changed=self._follow, listed=self._follow)
        self.widget: Any = widgets.VBox([widgets.HTML(style(self._still.name)), self.jobs.box])
        self.widget.add_class("elumenta-panel")
        self.jobs.refresh()
        self.jobs.looked.wait(FIRST_LOOK_S)  # what a notebook keeps of it begins with the list

    def _follow(self) -> None:
        self._stage.keep(self._still.update)

    def _failed(self, error: Exception) -> None:
        self.jobs.status.value = _told(error)

    def _picture(self) -> Picture:
        return Picture(_("Unfinished calls"), self.jobs.told, result=self.jobs.gallery.newest)

    def _repr_mimebundle_(self, **_kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = self._picture().bundle()
        return {**self.widget._repr_mimebundle_(), **data}, metadata

    def _ipython_display_(self) -> None:
        from ._panel import display

        display(self.widget, self._still, self._front, self._picture)
