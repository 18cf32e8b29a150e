"""A notebook with its saved outputs as a page of Markdown, its pictures as files: for the tutorial of the site.

What a page cannot do (play a film whose file is not committed, click a panel) is shown as the still picture that the
notebook itself carries for such places.
"""

from __future__ import annotations

import base64
import html
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import nbformat

__all__ = ["page", "title"]

PICTURES = {"image/png": "png", "image/jpeg": "jpg"}
FILM = "The film is a file beside the notebook and plays there; this is its poster."
_DATA = re.compile(r"data:image/(png|jpeg);base64,([A-Za-z0-9+/=\s]+)")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_NOTEBOOK = re.compile(r"\]\((?!https?:)([\w-]+)\.ipynb\)")


def title(notebook: nbformat.NotebookNode) -> str:
    """The text of its first heading."""
    first = next(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return str(first.splitlines()[0].lstrip("# "))


def page(notebook: nbformat.NotebookNode, name: str, folder: Path) -> str:
    """The page; its pictures are written to `folder`/NAME-files."""
    pictures = _Pictures(folder / f"{name}-files")
    parts = [_cell(cell, pictures) for cell in notebook.cells]
    note = f"*This page is [notebooks/{name}.ipynb](../notebooks/{name}.ipynb) as it was run in the sandbox.*"
    parts.insert(1, note)
    return "\n\n".join(part for part in parts if part) + "\n"


class _Pictures:
    """The folder of a page's pictures, numbered as they come."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0

    def keep(self, data: str, ending: str) -> str:
        """The picture's address as the page writes it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.count += 1
        file = self.folder / f"{self.count}.{ending}"
        file.write_bytes(base64.b64decode(data))
        return f"{self.folder.name}/{file.name}"


def _cell(cell: nbformat.NotebookNode, pictures: _Pictures) -> str:
    if cell.cell_type == "markdown":
        return _NOTEBOOK.sub(r"](\1.md)", str(cell.source))
    if cell.cell_type != "code" or not cell.source.strip():
        return ""
    shown = [_output(output, pictures) for output in cell.outputs]
    source = str(cell.source)
    language = "text" if source.startswith("%%elumenta") else "python"
    fence = f"```{language}\n{source}\n```"
    return "\n\n".join([fence, *(part for part in shown if part)])


def _output(output: nbformat.NotebookNode, pictures: _Pictures) -> str:
    if output.output_type == "stream":
        return _plain(output.text)
    if output.output_type == "error":
        return _plain("\n".join(output.traceback))
    return _shown(output.data, pictures)


def _shown(data: dict[str, Any], pictures: _Pictures) -> str:
    """The richest of what a page without a kernel can show."""
    words = str(data.get("text/plain", ""))
    for mime, ending in PICTURES.items():
        if mime in data:
            source = pictures.keep(data[mime], ending)
            caption = FILM if "<video" in str(data.get("text/html", "")) else ""
            return _box(f'<img src="{source}" alt="{html.escape(words, quote=True)}">' + _caption(words, caption))
    if "text/html" in data:
        return _box(_one_line(_with_files(str(data["text/html"]), pictures)))
    if "text/markdown" in data:
        return f'<div class="output" markdown>\n\n{data["text/markdown"]}\n\n</div>'
    return _plain(words) if words else ""


def _caption(words: str, more: str) -> str:
    lines = [html.escape(line) for line in [*words.splitlines(), more] if line]
    return f'<div class="caption">{"<br>".join(lines)}</div>'


def _with_files(text: str, pictures: _Pictures) -> str:
    """Pictures that are in the text as data become files; scoped styles of frames go, the site has its own."""
    text = re.sub(r"<style.*?</style>|<table></table>", "", text, flags=re.DOTALL)
    text = re.sub(r'<a [^>]*href="elumenta_media/[^>]*>(.*?)</a>', r"\1", text)  # the file is not on the site
    return _DATA.sub(lambda found: pictures.keep(found[2], "jpg" if found[1] == "jpeg" else "png"), text)


def _one_line(text: str) -> str:
    """Without line ends between tags: Markdown would read an indented line as code."""
    return re.sub(r"\s*\n\s*", " ", text).strip()


def _plain(text: str) -> str:
    return _box(f"<pre>{html.escape(_COLOURS.sub('', text).rstrip())}</pre>")


def _box(inner: str) -> str:
    return f'<div class="output">{inner}</div>'
