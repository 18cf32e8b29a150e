"""Results as they come, the newest on top; each stays the widget it is, so that what plays goes on playing.

Media are shown through an `Output`: relative links do not work inside an `HTML` widget.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import ipywidgets as widgets

from elumenta_nb._render import receipt as receipt_bundle

from ._look import growing, heading

if TYPE_CHECKING:
    from elumenta_nb._render import Bundle
    from elumenta_nb._result import Result

__all__ = ["Gallery"]

_PROMPT_CHARS: Final = 90


class Gallery:
    """Results under a text that is still being written. `results` has the newest first."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.newest: Bundle | None = None  # the newest result as it shows itself
        self._text = widgets.HTML()
        self._list = widgets.VBox()
        self._list.add_class("elumenta-gallery")
        self.box = widgets.VBox([self._text, self._list])

    @property
    def text(self) -> str:
        """The text that is being written, as it is shown."""
        value: str = self._text.value
        return value

    def write(self, text: str) -> None:
        self._text.value = growing(text) if text else ""

    def add(self, result: Result, prompt: str = "") -> None:
        """Put a result on top."""
        self.results.insert(0, result)
        short = " ".join(prompt.split())
        short = short[: _PROMPT_CHARS - 1] + "…" if len(short) > _PROMPT_CHARS else short
        self.newest = result._repr_mimebundle_()
        item = widgets.VBox([widgets.HTML(heading(result.model, short)), shown(result, self.newest)])
        self._list.children = (*self._list.children, item)  # drawn in reverse order


def shown(result: Result, bundle: Bundle) -> Any:
    """A result and its receipt, as a cell shows them."""
    bundles = [bundle]
    if result.receipt is not None:
        bundles.append(receipt_bundle(result.receipt))
    outputs = tuple({"output_type": "display_data", "data": data, "metadata": metadata} for data, metadata in bundles)
    return widgets.Output(outputs=outputs)
