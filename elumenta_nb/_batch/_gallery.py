"""Thumbnails of a map's media with their rows' labels: safe, small, and seen without a kernel."""

from __future__ import annotations

import base64
import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from elumenta_nb._errors import BadParam
from elumenta_nb._language import gettext as _, ngettext
from elumenta_nb._preview import Picture, preview
from elumenta_nb._render import link

if TYPE_CHECKING:
    import pandas as pd

    from elumenta_nb._result import Result

__all__ = ["Gallery", "gallery"]

LIMIT_BYTES: Final = 290 * 1024  # of the whole, as it stands in the notebook
SIDE: Final = 192
_CHARS: Final = 60


@dataclass(frozen=True, slots=True)
class Gallery:
    """What `gallery` shows: HTML with the pictures in it, and the labels and files as text."""

    text: str
    markup: str

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # noqa: ARG002 - IPython's protocol
        return {"text/plain": self.text, "text/html": self.markup}


def gallery(results: pd.Series[Any], *, n: int, columns: int) -> Gallery:
    """The first `n` results with a file. Pictures and posters as thumbnails, sounds and texts by their name."""
    if n < 1 or columns < 1:
        raise BadParam(_("A gallery has at least one picture and one column."))
    items = [(str(label), result) for label, result in results.items() if result is not None and result.media]
    shown = items[:n]
    room = (LIMIT_BYTES - 600 * len(shown)) * 3 // 4 // max(1, len(shown))
    cells = [_cell(label, result, room) for label, result in shown]
    lines = [f"{label}  {_name(result)}" for label, result in shown]
    left = len(items) - len(shown)
    more = ngettext("and {n} more", "and {n} more", left) if left else ""
    note = more or ("" if items else _("no media here"))
    grid = (
        f'<div style="display:grid;grid-template-columns:repeat({columns},minmax(0,{SIDE}px));gap:10px">'
        f"{''.join(cells)}</div>"
    )
    below = f'<div style="opacity:.72;font-size:90%">{html.escape(note)}</div>' if note else ""
    return Gallery("\n".join([*lines, *([note] if note else [])]), f"<div>{grid}{below}</div>")


def _cell(label: str, result: Result, room: int) -> str:
    media = result.media[0]
    source = media.path if media.mime.startswith("image/") else media.poster
    picture = preview(source, limit_bytes=min(room, 24 * 1024), side=SIDE) if source is not None else None
    href = ""
    if result.base is not None and media.path.is_relative_to(result.base):
        href = link(media.path.relative_to(result.base).as_posix())
    inner = _image(picture, label) if picture is not None else html.escape(media.mime)
    if href:
        inner = f'<a href="{html.escape(href)}" target="_blank" rel="noopener">{inner}</a>'
    short = label if len(label) <= _CHARS else label[: _CHARS - 1] + "…"
    mark = "SANDBOX · " if result.sandbox else ""
    return f'<div style="overflow:hidden">{inner}<div style="font-size:90%">{mark}{html.escape(short)}</div></div>'


def _image(picture: Picture, label: str) -> str:
    data = base64.b64encode(picture.data).decode("ascii")
    return f'<img style="max-width:100%" src="data:{picture.mime};base64,{data}" alt="{html.escape(label)}">'


def _name(result: Result) -> str:
    return result.media[0].path.name
