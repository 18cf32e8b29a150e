"""Panels of core ipywidgets, for those who do not remember options. Built from the table of categories."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import ref

from elumenta_nb._catalog import catalog
from elumenta_nb._errors import BadParam
from elumenta_nb._language import gettext as _
from elumenta_nb._session import current
from elumenta_nb._surroundings import here, is_live

from ._dashboard import Dashboard
from ._jobs import JobsPanel
from ._panel import Panel

if TYPE_CHECKING:
    from collections.abc import Callable

    from elumenta_nb._session import Session
    from elumenta_nb._shell import Shell

__all__ = ["Dashboard", "JobsPanel", "Panel", "dashboard", "jobs_panel", "last_source", "panel", "panel_of"]

_last: Callable[[], Panel | None] = lambda: None  # noqa: E731 - a dead reference


def panel(category: str | None = None, *, model: str | None = None) -> Panel:
    """A panel to generate with: category, model, parameters, the price, and a button. Raises `BadParam` for a wrong name.

    The click is the consent to the price shown; a dear one asks for a second. Calls run in the background, and their
    results are in `.results`, newest first.
    """
    return panel_of(current, here(), category, model=model)


def panel_of(
    session: Callable[[], Session], front: Shell | None, category: str | None = None, *, model: str | None = None
) -> Panel:
    """As `panel`, of this session and in this front end."""
    global _last  # noqa: PLW0603 - the panel that %elumenta panel --cell speaks of
    name = None
    if category is not None:
        row = catalog().category(category)
        if row is None:
            raise BadParam(
                _("There is no category {name!r}.").format(name=category),
                hint=_("Categories: {names}").format(names=", ".join(catalog().categories)),
            )
        name = row.name
    made = Panel(session, front, category=name, model=model)
    _last = ref(made)
    return made


def dashboard() -> Dashboard:
    """Where the tokens went, when the balance ends and what to buy; alive where widgets are, else tables and a picture."""
    return Dashboard(current(), shell=here(), live=is_live())


def jobs_panel() -> JobsPanel:
    """Unfinished calls with what they cost, and buttons to recover them."""
    return JobsPanel(current, here())


def last_source() -> str:
    """The last panel of this kernel as a cell. Raises `BadParam` when there is none."""
    made = _last()
    if made is None:
        raise BadParam(_("There is no panel in this kernel yet."), hint="%elumenta panel")
    return made.source
