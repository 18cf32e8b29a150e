"""The place of a chart in the dashboard, which is there before its chart."""

from __future__ import annotations

from typing import Any, Final

import ipywidgets as widgets

from elumenta_nb import _spend as spend

from . import _board

__all__ = ["Slot"]

_CHART: Final = "max-width:100%;height:auto"
_WIDE: Final = 500  # narrower places scale it: a chart made before it is placed measures its place as nothing
_TALL: Final = "160px"  # kept free for a chart, so that less moves when it comes


class Slot:
    """The place of a chart: kept free at first, then a still, then one that moves."""

    def __init__(self) -> None:
        self.box = widgets.Box(layout=widgets.Layout(width="100%", min_height=_TALL))
        self.box.add_class("elumenta-chart")
        self.spec: dict[str, Any] | None = None
        self._moving: Any = None

    def draw(self, spec: dict[str, Any] | None, alt: str) -> None:
        self.spec = None if spec is None else {**spec, "width": _WIDE, "description": alt}
        self.box.layout.min_height = _TALL if spec is not None and spend.drawable() else None
        if self.spec is None:
            self.box.children = ()
        elif self._moving is not None:
            spend.redraw(self._moving, self.spec)
            self.box.children = (self._moving,)
        elif not spend.drawable():
            self.box.children = (widgets.HTML(f"<div>{spend.install_line()}</div>"),)
        elif self.box.children:
            self.rest()

    def rest(self) -> None:
        """Draw it as a still, where there is anything to draw."""
        if self.spec is not None and self._moving is None:
            alt = self.spec["description"]
            still = _board.image(spend.svg(self.spec).encode(), "image/svg+xml", alt, _CHART)
            self.box.children = (widgets.HTML(still),)

    def enliven(self, moving: Any) -> None:
        self._moving = moving
        if self.spec is not None:
            spend.redraw(moving, self.spec)
            self.box.children = (moving,)
