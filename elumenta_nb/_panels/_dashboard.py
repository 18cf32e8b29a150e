"""`el.dashboard()`: where the tokens went, when they end, what to buy. Sums are made in SQL, words in `_board`.

Live it is ipywidgets; a picture and tables of its last state go into the notebook before it, hidden while it lives.
Figures and tables are shown at once; charts follow behind the person's back, still ones first, then those that move.
"""

from __future__ import annotations

import base64
import threading
import uuid
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

import ipywidgets as widgets

from elumenta_nb import _spend as spend, _surroundings
from elumenta_nb._buying import KERNEL
from elumenta_nb._catalog import catalog
from elumenta_nb._errors import ElumentaError
from elumenta_nb._language import gettext as _, number, tokens
from elumenta_nb._ledger import Where
from elumenta_nb._preview import preview

from . import _board
from ._look import style
from ._slot import Slot

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from elumenta_nb._ledger import BudgetState, Entry
    from elumenta_nb._session import Session
    from elumenta_nb._shell import Shell
    from elumenta_nb._values import Balance

__all__ = ["Dashboard"]

Bundle = tuple[dict[str, Any], dict[str, Any]]

PERIODS: Final = (7, 30, 90)  # days
GROUPS: Final = {
    "model": ("model", "category"),
    "cell": ("cell", "notebook"),
    "notebook": ("notebook",),
    "tag": ("tag",),
    "source": ("source",),
    "user": ("user",),
}
TOP: Final = 8
UNCHARGED: Final = 8
BARS: Final = 12
_THUMB_BYTES: Final = 12_000
_THUMB_SIDE: Final = 96
_NONE: Final[Bundle] = ({"text/plain": ""}, {})


def _in_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, daemon=True, name="elumenta-charts").start()


class Dashboard:
    """The spend of an account. `filters` are the widgets that narrow it; `board` is what it shows now.

    `live` is whether widgets are seen; `spawn` runs what may take its time.
    """

    def __init__(
        self,
        session: Session,
        *,
        shell: Shell | None = None,
        live: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        spawn: Callable[[Callable[[], None]], None] = _in_thread,
    ) -> None:
        self._session, self._shell, self._live, self._now, self._spawn = session, shell, live, now, spawn
        self._lock = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._still = f"elumenta-still-{uuid.uuid4().hex[:8]}"
        self._api = session.api()
        self._known = spend.choices(session.ledger(), self._api)
        self._asked_balance: Balance | None = None
        if not live:  # alive it is asked for behind the first paint, which waits for no network
            self._ask()
        self.filters = self._filters()
        self._thumbs: dict[int, bytes] = {}
        self.board = self._read()

    def _ask(self) -> None:
        with suppress(ElumentaError):
            self._asked_balance = self._session.balance()

    # ------------------------------------------------------------ reading

    def _today(self) -> date:
        return self._now().astimezone().date()

    def _where(self) -> Where:
        names = ("account", "notebook", "category", "model", "source")
        chosen = {name: self.filters[name].value[0] for name in names}
        return Where(api=self._api, since_us=spend.since(self._period(), self._today()), **chosen)

    def _period(self) -> int | None:
        days: int = self.filters["period"].value
        return days or None

    def _read(self) -> _board.Board:
        ledger, where, today = self._session.ledger(), self._where(), self._today()
        found = spend.overview(ledger, where)
        keys = GROUPS[self.filters["group"].value]
        begins = None if not self.filters["period"].value else min((row[0] for row in found.days), default=today)
        daily = spend.spent_daily(ledger, Where(api=self._api, account=where.account), today)
        balance = self._asked_balance
        return _board.Board(
            sandbox=self._api == "sandbox",
            today=today,
            any_rows=bool(self._known["account"]),
            overview=found,
            over_time=found.over_time(self.filters["stack"].value, begins, today),
            groups=spend.groups(ledger, keys, where, BARS),
            keys=keys,
            top=tuple((row, self._thumb(row)) for row in ledger.dearest(TOP, where)),
            uncharged=tuple(ledger.uncharged(UNCHARGED, where)),
            balance=balance,
            budget=self._budget(),
            forecast=spend.ending(daily, today, balance),
            advice=spend.advice(daily),
            rate=spend.rate_of(**dict([self.filters["basis"].value])),
        )

    def _budget(self) -> BudgetState | None:
        """The budget that counts here: this notebook's, else the kernel's, the day's, the month's; of equals the fullest."""
        ledger, tags = self._session.ledger(), self._session.tags
        here = replace(self._shell.origin() if self._shell else _surroundings.origin(), kernel=KERNEL)
        states = [
            state
            for state in ledger.budgets(api=self._api, account=self.filters["account"].value[0])
            if (self._api is not None or state.api != "sandbox") and state.counts_at(here, tags)
        ]
        order = ("notebook", "kernel", "day", "month", "map")
        return min(states, key=lambda state: (order.index(state.per), -state.used / max(state.limit, 1)), default=None)

    def _thumb(self, row: Entry) -> bytes:
        """A small picture of a result whose files are here."""
        kept = self._thumbs
        if row.id not in kept:
            kept[row.id] = b""
            take = self._session.take_of(row) if row.media else None
            if take is not None and take.media:
                path = take.media[0].poster or take.media[0].path
                small = preview(path, limit_bytes=_THUMB_BYTES, side=_THUMB_SIDE)
                kept[row.id] = small.data if small else b""
        return kept[row.id]

    # ------------------------------------------------------------ controls

    def _filters(self) -> dict[str, Any]:
        def menu(label: str, options: list[tuple[str, Any]], value: Any) -> Any:
            layout = widgets.Layout(width="210px", margin="2px 10px 2px 0")
            return widgets.Dropdown(
                description=label, options=options, value=value, layout=layout, style={"description_width": "82px"}
            )

        def any_of(label: str, key: str) -> Any:
            # In tuples: a menu shows nothing for a bare None.
            names: list[tuple[str, Any]] = [(spend.shown(name) or "–", (name,)) for name in self._known[key]]
            return menu(label, [(_("all"), (None,)), *names], (None,))

        periods = [(_("{n} days").format(n=number(days)), days) for days in PERIODS] + [(_("all time"), 0)]
        paid = [item for item in catalog().plans if item.rubles]
        bases = [(_("plan {plan}").format(plan=item.name), ("plan", item.name)) for item in paid]
        bases += [(_("package {name}").format(name=item.name), ("package", item.name)) for item in catalog().packages]
        found = {
            "period": menu(_("Period"), periods, 90),
            "notebook": any_of(_("Notebook"), "notebook"),
            "category": any_of(_("Category"), "category"),
            "model": any_of(_("Model"), "model"),
            "source": any_of(_("Source"), "source"),
            "account": any_of(_("Account"), "account"),
            "basis": menu(_("Roubles by"), bases, self._basis()),
            "stack": menu(_("Stacked by"), [(_("category"), "category"), (_("model"), "model")], "category"),
            "group": menu(
                _("By"),
                [
                    (_("model"), "model"),
                    (_("cell"), "cell"),
                    (_("notebook"), "notebook"),
                    (_("tag"), "tag"),
                    (_("source"), "source"),
                    (_("user"), "user"),
                ],
                "model",
            ),
        }
        for name, control in found.items():
            control.add_class(f"elumenta-filter-{name}")
        return found

    def _basis(self) -> tuple[str, str]:
        """What roubles rest on by itself: the person's plan, else the first that has the API."""
        plan = self._asked_balance.plan if self._asked_balance else ""
        paid = [item for item in catalog().plans if item.rubles]
        mine = next((item for item in paid if plan.lower() in (item.api, item.name.lower())), None)
        return "plan", (mine or next(item for item in paid if item.has_api)).name

    # ------------------------------------------------------------ alive

    def widget(self) -> Any:
        """The live dashboard; each call makes another view of the same state."""
        whole, behind = self._made()
        self._spawn(behind)
        return whole

    def _made(self) -> tuple[Any, Callable[[], None]]:
        """A view, and what may come behind its first paint: the balance, then charts."""
        parts = {name: widgets.HTML() for name in ("tiles", "time", "group", "top", "uncharged", "ends", "advised")}
        slots = {name: Slot() for name in ("time", "group", "ends")}

        def show() -> None:
            board = self.board
            parts["tiles"].value = (
                _board.tiles(board) if board.overview.calls else _board.tiles(board) + _board.empty(board)
            )
            label = self.filters["group"].label
            parts["time"].value = _details(_board.time_table(board))
            parts["group"].value = _details(_board.groups_table(board, label.capitalize()))
            parts["top"].value = _board.top(board)
            parts["uncharged"].value = _board.uncharged(board)
            parts["ends"].value = _board.ends(board)
            parts["advised"].value = _board.advised(board)
            for name, spec in self._drawings().items():
                slots[name].draw(spec, self._alt(name))

        def changed(_change: Any) -> None:
            with self._lock:
                self.board = self._read()
                show()
                self._keep()

        for control in self.filters.values():
            control.observe(changed, "value")
        show()
        row = widgets.Layout(flex_flow="row wrap", overflow="visible")
        accounts = [] if len(self._known["account"]) < 2 else [self.filters["account"]]
        chosen = [self.filters[name] for name in ("period", "notebook", "category", "model", "source", "basis")]
        card = {"flex": "1 1 430px", "min_width": "0", "max_width": "760px", "margin": "6px 18px 6px 0"}
        charts = [
            _section(self._title("time"), self.filters["stack"], slots["time"].box, parts["time"], card=card),
            _section(self._title("group"), self.filters["group"], slots["group"].box, parts["group"], card=card),
        ]
        below = [
            _section(_("The dearest calls"), parts["top"], card=card),
            _section(self._title("ends"), parts["ends"], slots["ends"].box, card=card),
            _section(_("What to buy"), parts["advised"], card=card),
            _section(_("Failed, and not charged"), parts["uncharged"], card=card),
        ]
        whole = widgets.VBox(
            [
                widgets.HTML(style(self._still) + _STYLE),
                parts["tiles"],
                widgets.HBox([*chosen, *accounts], layout=row),
                widgets.HBox(charts, layout=row),
                widgets.HBox(below, layout=row),
            ]
        )
        whole.add_class("elumenta-panel")
        whole.add_class("elumenta-dashboard")

        def behind() -> None:
            if self._live and self._asked_balance is None:
                self._ask()
                with self._lock:
                    self.filters["basis"].value = self._basis()
                    self.board = self._read()
                    show()
                self._soon(self._keep)
            if spend.drawable():
                self._enliven(slots)

        return whole, behind

    def _soon(self, update: Callable[[], None]) -> None:
        """On the kernel's own loop, where what the notebook keeps is changed."""
        if self._loop is None:
            update()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(update)

    def _enliven(self, slots: dict[str, Slot]) -> None:
        """Draw stills, then replace them by charts that move, one after the other."""
        for slot in slots.values():
            with self._lock:
                slot.rest()
        for slot in slots.values():
            made = spend.widget(slot.spec or {"mark": "bar", "data": {"values": []}})
            with self._lock:
                slot.enliven(made)

    def _drawings(self) -> dict[str, dict[str, Any] | None]:
        board = self.board
        return {
            "time": spend.stacked(board.over_time) if len(board.over_time.columns) else None,
            "group": spend.bars(board.groups, _names(board.keys)) if len(board.groups) else None,
            "ends": spend.outlook(board.forecast, board.today),
        }

    @staticmethod
    def _title(name: str) -> str:
        words = {"time": _("Over time"), "group": _("What it went to"), "ends": _("When the balance ends")}
        return words[name]

    def _alt(self, name: str) -> str:
        said = tokens(self.board.overview.tokens)
        words = {
            "time": _("Bars of what was spent over time, {tokens} in all; the table is below"),
            "group": _("Bars of what it was spent on, {tokens} in all; the table is below"),
            "ends": _("The balance on its way to zero"),
        }
        return words[name].format(tokens=said)

    # ------------------------------------------------------------ still

    def still(self) -> str:
        """Its state as HTML that needs nothing."""
        board = self.board
        parts = [f"<h3>{_('Spend')} · {self.filters['period'].label}</h3>", _board.tiles(board)]
        if not board.overview.calls:
            parts.append(_board.empty(board))
        else:
            parts += [
                _board.groups_table(board, self.filters["group"].label.capitalize()),
                f"<h4>{_('The dearest calls')}</h4>",
                _board.top(board),
                f"<h4>{self._title('ends')}</h4>",
                _board.ends(board),
                f"<h4>{_('What to buy')}</h4>",
                _board.advised(board),
            ]
        if not spend.drawable():
            parts.append(f"<div>{spend.install_line()}</div>")
        return f'<div class="{self._still}">{_RESTING % {"still": self._still}}{"".join(parts)}</div>'

    def picture(self) -> Bundle | None:
        """Its charts as one PNG, where there are any."""
        named = {self._title(name): spec for name, spec in self._drawings().items() if spec is not None}
        if not named or not spend.drawable():
            return None
        drawn = base64.b64encode(spend.png(spend.together(named))).decode("ascii")
        alt = self._alt("time")
        return {"image/png": drawn, "text/plain": alt}, {"image/png": {"alt": alt, "width": spend.WIDTH + 90}}

    def __repr__(self) -> str:
        board = self.board
        lines = [
            _("Spend, {period}: {spent}, {held} held").format(
                period=self.filters["period"].label,
                spent=tokens(board.overview.tokens),
                held=number(board.overview.held),
            ),
            *(f"  {row.tokens:>6}  {row.model} · {_board.where(row)}" for row, _picture in board.top),
            board.forecast.outlook,
        ]
        return "\n".join(lines)

    def _ipython_display_(self) -> None:
        """Show the still, its picture, and where widgets live the dashboard itself, which hides them."""
        if self._shell is None:
            return
        page = {"text/html": self.still(), "text/plain": repr(self)}
        charts = f"{self._still}-charts"
        if not self._live:
            self._shell.show(page)
            if picture := self.picture():
                self._shell.show(*picture)
            return
        self._shell.show(page, slot=self._still)
        self._shell.show({"text/plain": ""}, slot=charts)  # drawn when the dashboard is seen
        self._loop = self._shell.loop()
        whole, behind = self._made()
        view = whole._repr_mimebundle_()
        self._shell.show({**(view[0] if isinstance(view, tuple) else view), "text/plain": ""})
        self._spawn(behind)
        self._shell.update(charts, *(self.picture() or _NONE))

    def _keep(self) -> None:
        """What is saved with the notebook is the last state."""
        if self._shell is not None and self._live:
            self._shell.update(self._still, {"text/html": self.still(), "text/plain": repr(self)})
            self._shell.update(f"{self._still}-charts", *(self.picture() or _NONE))


# A still stands alone where no kernel runs: then the front end's "model not found" below it says nothing of use.
_RESTING: Final = (
    "<style>.jp-OutputArea:has(.%(still)s):not(:has(.elumenta-dashboard)) > .jp-OutputArea-child > "
    ".jp-OutputArea-output.jupyter-widgets{display:none}</style>"
)
_STYLE: Final = """<style>
.elumenta-panel.elumenta-dashboard { max-width: 1560px; }
.elumenta-dashboard .elumenta-chart, .elumenta-dashboard .elumenta-chart > *, .elumenta-dashboard .vega-embed { width: 100%; min-width: 0; }
.elumenta-dashboard .elumenta-chart { color: var(--jp-ui-font-color1, inherit); overflow: auto hidden; }
.elumenta-dashboard .vega-embed svg { max-width: 100%; min-width: 340px; height: auto; }
.elumenta-dashboard table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.elumenta-dashboard tbody tr { border-top: 1px solid var(--jp-border-color2, rgba(128, 128, 128, .4)); }
.elumenta-dashboard details > summary { cursor: pointer; }
</style>"""


def _names(keys: tuple[str, ...]) -> tuple[str, ...]:
    return keys if keys[0] == "cell" else keys[:1]


def _details(table: str) -> str:
    return f"<details><summary>{_('The same as a table')}</summary>{table}</details>"


def _section(title: str, *children: Any, card: dict[str, Any]) -> Any:
    heading = widgets.HTML(f'<div role="heading" aria-level="3" style="font-weight:650;font-size:115%">{title}</div>')
    return widgets.VBox([heading, *children], layout=widgets.Layout(**card))
