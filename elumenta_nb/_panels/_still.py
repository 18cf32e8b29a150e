"""The still picture of a panel: what is seen where its widgets are not, on GitHub, in HTML, with no kernel.

It stands below the live panel in the same cell, hidden by the style sheet of the panel while that lives. It is two
outputs: facts of ours as HTML, and the newest result in its own types, for a model's words are never our HTML.
"""

from __future__ import annotations

import html
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from elumenta_nb._language import gettext as _
from elumenta_nb._markdown import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from elumenta_nb._shell import Shell

__all__ = ["Picture", "Still"]

Bundle = tuple[dict[str, Any], dict[str, Any]]

_NONE: Final[Bundle] = ({"text/plain": ""}, {})
# The widget above says "model not found" then; a front end that drops style sheets has not tried to draw it.
_HIDE: Final = (
    "<style>.jp-OutputArea-child:has(+ .jp-OutputArea-child .elumenta-still):not(:has(.elumenta-panel))"
    "{display:none}</style>"
)


@dataclass(frozen=True, slots=True)
class Picture:
    """What a panel shows now, in lines; `source` is the same as a cell, `result` the newest result as it shows itself."""

    title: str
    lines: tuple[str, ...] = ()
    source: str = ""
    result: Bundle | None = field(default=None)

    def bundle(self, name: str = "") -> Bundle:
        """The facts as text and as HTML."""
        again = _("The panel as it was. To use it, run its cell again.")
        text = "\n".join(filter(None, [self.title, *(f"  {line}" for line in self.lines), self.source, again]))
        rows = "".join(f"<div>{html.escape(plain(line))}</div>" for line in self.lines)
        source = (
            '<pre style="margin:6px 0;padding:6px 8px;border:1px solid;border-radius:4px;white-space:pre-wrap;opacity:.85">'
            f"{html.escape(plain(self.source))}</pre>"
            if self.source
            else ""
        )
        page = (
            f'<div class="elumenta-still {name}" style="border:1px solid;border-radius:6px;padding:8px 12px;max-width:900px">'
            f'<div style="font-weight:bold">{html.escape(plain(self.title))}</div>{rows}{source}'
            f'<div style="opacity:.72;font-size:90%">{html.escape(again)}</div></div>'
        )
        return {"text/plain": plain(text), "text/html": (_HIDE if name else "") + page}, {}


class Still:
    """The still picture under one panel, kept as it is now where a front end takes changes."""

    def __init__(self, take: Callable[[], Picture]) -> None:
        self.name = f"elumenta-still-{uuid.uuid4().hex[:8]}"
        self._take = take
        self._front: Shell | None = None
        self._shown: dict[str, Bundle] = {}

    def show(self, front: Shell) -> None:
        """Show it below what the cell has shown."""
        self._shown = self._bundles()
        for slot, bundle in self._shown.items():
            front.show(*bundle, slot=slot)
        self._front = front if front.is_live else None

    def update(self) -> None:
        """Take it again, and show what is new of it. On the kernel's loop."""
        if self._front is None:
            return
        for slot, bundle in self._bundles().items():
            if bundle != self._shown.get(slot):
                self._shown[slot] = bundle
                self._front.update(slot, *bundle)

    def _bundles(self) -> dict[str, Bundle]:
        picture = self._take()
        return {self.name: picture.bundle(self.name), f"{self.name}-result": picture.result or _NONE}
