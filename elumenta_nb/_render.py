"""PURE. What a notebook keeps of a result, a receipt, a card or a table: MIME bundles made of facts and bytes.

Every bundle has a useful text/plain. text/html holds our own escaped facts, data URIs of checked bytes and relative
links only, never a model's text; its styles are inline and use opacity, not colours, so they read in light and dark and
survive the sanitizer of an untrusted notebook. A picture has no text/html at all: viewers would show that instead.
"""

from __future__ import annotations

import base64
import html
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

from ._language import day, gettext as _, number, span, tokens
from ._markdown import plain, safe_markdown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ._preview import Picture
    from ._values import Receipt

__all__ = [
    "AUDIO_BYTES",
    "EMBED_BYTES",
    "PICTURE_BYTES",
    "Bundle",
    "File",
    "Shown",
    "Viewer",
    "bundle",
    "card",
    "embeds",
    "file_facts",
    "link",
    "receipt",
    "table",
    "viewer_of",
]

Bundle = tuple[dict[str, Any], dict[str, Any]]
Viewer = Literal["links", "embed"]

PICTURE_BYTES: Final = 200 * 1024  # as base64 267 KiB, which leaves room for the rest of 300
AUDIO_BYTES: Final = 200 * 1024
EMBED_BYTES: Final = 2 * 1024 * 1024
TEXT_CHARS: Final = 200_000  # of a text shown; all of it is in the Result
_WIDTH: Final = 720  # CSS pixels of a picture at most
_HEIGHT: Final = 640
_MUTED: Final = "opacity:.72;font-size:90%"
_FENCED: Final = {"code": "python", "json": "json"}
_TURN: Final = re.compile(r"\s*(\[Speaker \d+\]:)")  # how a transcript tells speakers apart (…/generations/stt)
_KINDS: Final = {"audio/mpeg": "MP3"}  # where people know a format by another name than its type's
_FIGURE: Final = re.compile(r"[≈−-]?\d[\d.,\xa0]*|[–∞]")
_SHOWN_AS: Final = {"image": "image", "audio": "audio", "video": "video"}


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A stored file as it is shown. `href` is relative and quoted, empty where a link cannot work.

    `data` is the file itself where it may be embedded; `picture` is the preview or the poster.
    """

    name: str  # relative to the notebook where it is below it
    mime: str
    size_bytes: int
    href: str = ""
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None
    picture: Picture | None = None
    data: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A result as plain facts. `tokens` is what it cost when it was made; `facts` go to the output's metadata."""

    model: str
    tokens: int
    text: str | None = None
    shape: str = "markdown"
    value: Any = None  # the parsed JSON, or the code without its fence
    files: tuple[File, ...] = ()
    sandbox: bool = False
    complete: bool = True
    status: str = "completed"
    facts: Mapping[str, Any] = field(default_factory=dict)


def embeds(mime: str, size_bytes: int, viewer: Viewer) -> bool:
    """Whether a file of that type and size goes into the notebook whole."""
    family = mime.split("/", maxsplit=1)[0]
    if viewer == "embed":
        return family in ("image", "audio", "video") and size_bytes <= EMBED_BYTES
    return family == "audio" and size_bytes <= AUDIO_BYTES


def viewer_of(environ: Mapping[str, str]) -> Viewer:
    """How media reach the person here: Colab resolves no relative link, Voila serves no video from disk by default."""
    if environ.get("COLAB_RELEASE_TAG") or environ.get("SERVER_SOFTWARE", "").lower().startswith("voila"):
        return "embed"
    return "links"


def link(relative: str) -> str:
    """A relative POSIX path as it stands in a URL: quoted, and never read as a scheme or a host."""
    quoted = quote(relative, safe="/")
    return quoted if quoted.startswith("../") else f"./{quoted}" if ":" in quoted.split("/")[0] else quoted


# -------------------------------------------------------------------- results


def bundle(shown: Shown) -> Bundle:
    """The MIME bundle of a result and its metadata."""
    metadata: dict[str, Any] = {"elumenta": dict(shown.facts)}
    make = _text if shown.text is not None or not shown.files else _media
    return make(shown, metadata), metadata


def _caption(shown: Shown) -> str:
    parts = []
    if shown.sandbox and "SANDBOX" not in (shown.text or "")[:20]:  # it says so itself
        parts.append(_("SANDBOX · made by the sandbox, not by {model}").format(model=shown.model))
    if not shown.complete:
        parts.append(_("incomplete: cut before its end"))
    return plain(" · ".join(parts))


def _text(shown: Shown, metadata: dict[str, Any]) -> dict[str, Any]:
    text = plain(shown.value if shown.shape == "code" and isinstance(shown.value, str) else shown.text or "")
    if shown.text is None:
        text = plain(_("{model}: no result ({status})").format(model=shown.model, status=shown.status))
    text = _TURN.sub(r"\n\n\1", text).lstrip("\n") if _TURN.match(text) else text
    if len(text) > TEXT_CHARS:
        text = text[:TEXT_CHARS] + "\n\n" + _("… cut here for display; .text has all of it")
    caption = _caption(shown)
    data: dict[str, Any] = {"text/plain": f"{caption}\n\n{text}" if caption else text}
    if shown.text is None or shown.shape == "text":
        return data
    if shown.shape == "json" and isinstance(shown.value, dict | list) and len(shown.text) <= TEXT_CHARS:
        data["application/json"] = shown.value
        metadata["application/json"] = {"expanded": True, "root": caption or shown.model}
        return data
    language = _FENCED.get(shown.shape)
    markdown = fenced(text, language) if language else safe_markdown(text)
    data["text/markdown"] = f"{_emphasis(caption)}\n\n{markdown}" if caption else markdown
    return data


def _emphasis(caption: str) -> str:
    """A caption as Markdown that stands on its own line, ahead of the text, which therefore cannot swallow it."""
    return f"**{safe_markdown(caption)}**"


def fenced(code: str, language: str) -> str:
    """Code in a fence longer than any run of backticks in it."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", code)), default=0))
    return f"{fence}{language}\n{code.strip(chr(10))}\n{fence}"


def _media(shown: Shown, metadata: dict[str, Any]) -> dict[str, Any]:
    file = shown.files[0]
    family = _family(file)
    lines = [_plain_line(shown, item) for item in shown.files]
    caption = _caption(shown)
    data: dict[str, Any] = {"text/plain": "\n".join([*([caption] if caption else []), *lines])}
    if family == "image":
        _picture(data, metadata, file, _alt(shown, file))
    elif family == "video":
        _picture(data, metadata, file, _alt(shown, file))
        data["text/html"] = _player(shown, file, "video")
    elif family == "audio":
        data["text/html"] = _player(shown, file, "audio")
    return data


def _family(file: File) -> str:
    family = file.mime.split("/")[0]
    if family == "image" and file.picture is None:
        return "other"
    return family


def _picture(data: dict[str, Any], metadata: dict[str, Any], file: File, alt: str) -> None:
    picture = file.picture
    if picture is None:
        return
    scale = min(1.0, _WIDTH / picture.width, _HEIGHT / picture.height)
    data[picture.mime] = base64.b64encode(picture.data).decode("ascii")
    metadata[picture.mime] = {
        "width": max(1, round(picture.width * scale)),
        "height": max(1, round(picture.height * scale)),
        "alt": alt,
        **({"needs_background": "light"} if picture.mime == "image/png" else {}),  # it may be transparent
    }


def _alt(shown: Shown, file: File) -> str:
    what = _("Picture by {model}") if _family(file) == "image" else _("First look at a video by {model}")
    facts = [what.format(model=_by(shown)), *_size_facts(file)]
    return ", ".join(facts)


def _by(shown: Shown) -> str:
    return _("the sandbox (not {model})").format(model=shown.model) if shown.sandbox else shown.model


def _size_facts(file: File) -> list[str]:
    facts = []
    if file.width and file.height:
        facts.append(f"{file.width}×{file.height}")
    if file.duration_s:
        facts.append(span(file.duration_s))
    return facts


def file_facts(file: File) -> str:
    """``WebP, 1792×1024, 1.2 MB``"""
    kind = _KINDS.get(file.mime) or file.mime.split("/")[-1].removeprefix("x-").split("+")[0].upper()
    return ", ".join([kind, *_size_facts(file), _bytes(file.size_bytes)])


def _bytes(size: int) -> str:
    if size < 1000:
        return _("{n} B").format(n=size)
    if size < 1_000_000:
        return _("{n} kB").format(n=number(round(size / 1000)))
    return _("{n} MB").format(n=number(round(size / 1e6, 1)))


def _plain_line(shown: Shown, file: File) -> str:
    line = plain(f"{shown.model} · {file_facts(file)} · {tokens(shown.tokens)} · {file.name}")
    if warning := _warning(file):
        line += "\n" + warning
    return line


def _warning(file: File) -> str:
    """Why a file is not shown, where it is not."""
    if file.mime in ("image/svg+xml", "text/html", "application/xml"):
        return _("It is a document that can run scripts, so it is kept as a file and not shown here.")
    if file.mime.startswith("image/") and file.picture is None:
        return _("The picture cannot be shown safely (damaged, or too many pixels); the file is kept.")
    if file.mime.split("/")[0] not in _SHOWN_AS:
        return _("It is not a picture, sound or video, so it is kept as a file and not shown here.")
    return ""


def _player(shown: Shown, file: File, tag: str) -> str:
    source = _data_uri(file.mime, file.data) if file.data is not None else file.href
    caption = _caption(shown)
    parts = []
    if source:
        style = f"max-width:100%;width:{_video_width(file)}px" if tag == "video" else "width:100%;max-width:480px"
        still = ""
        if tag == "video" and file.picture is not None:
            still = f' poster="{_data_uri(file.picture.mime, file.picture.data)}"'
        preload = "none" if still else "metadata"
        parts.append(f'<{tag} src="{html.escape(source)}"{still} controls preload="{preload}" style="{style}"></{tag}>')
    facts = html.escape(file_facts(file) if shown.sandbox else f"{shown.model} · {file_facts(file)}")
    name = html.escape(plain(file.name))
    named = f'<a href="{html.escape(file.href)}">{name}</a>' if file.href else name
    loud = f'<span style="font-weight:bold">{html.escape(caption)}</span> · ' if caption else ""
    parts.append(f'<div style="{_MUTED}">{loud}{facts} · {named}</div>')
    return "<div>" + "".join(parts) + "</div>"


def _video_width(file: File) -> int:
    wide, high = file.width or 640, file.height or 360
    return max(160, min(640, round(wide * 480 / high)))


def _data_uri(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"


# -------------------------------------------------------------------- receipts, cards, tables


_PER: Final = {
    "kernel": lambda: _("this kernel"),
    "notebook": lambda: _("this notebook"),
    "day": lambda: _("today"),
    "month": lambda: _("this month"),
}
_OPEN: Final[dict[str, Callable[[Receipt], str]]] = {
    "failed": lambda _r: _("failed, not charged"),
    "cancelled": lambda _r: _("stopped before it was sent, not charged"),
    "reserved": lambda _r: _("not sent yet"),
    "pending": lambda r: _("still running, {tokens} when it completes").format(tokens=tokens(r.tokens or r.quoted)),
    "unknown": lambda r: _("no answer yet, up to {tokens}").format(tokens=tokens(r.tokens or r.quoted)),
}


def receipt_line(receipt: Receipt) -> str:
    """``dall-e-3 · 13 tokens · 4.1 s · balance 270 · budget 41 of 200 (this notebook)``"""
    parts = [receipt.model]
    if receipt.sandbox:
        parts.insert(0, "SANDBOX")
    if receipt.reused:
        parts.append(_restored(receipt))
    elif receipt.status in _OPEN:
        parts.append(_OPEN[receipt.status](receipt))
    else:
        paid = tokens(receipt.tokens)
        if receipt.quoted and receipt.quoted != receipt.tokens:
            paid += " " + _("(quoted {n})").format(n=number(receipt.quoted))
        parts += [paid, span(receipt.latency_s)]
    if receipt.balance is not None:
        about = "" if receipt.balance_exact else "≈"
        parts.append(_("balance {n}").format(n=about + number(receipt.balance)))
    if receipt.budget_limit is not None and receipt.budget_used is not None:
        per = _PER.get(receipt.budget_name, lambda: receipt.budget_name)()
        spent = _("budget {used} of {limit}").format(
            used=number(receipt.budget_used), limit=number(receipt.budget_limit)
        )
        parts.append(f"{spent} ({per})" if per else spent)
    if receipt.note:
        parts.append(receipt.note)
    if receipt.reused and receipt.anew:
        parts.append(_("new one: {option}").format(option=receipt.anew))
    return " · ".join(plain(part).replace("\n", " ") for part in parts)


def _restored(receipt: Receipt) -> str:
    restored = _("restored, {tokens}").format(tokens=tokens(0))
    if receipt.paid_before is None:
        return restored
    if receipt.paid_at is None:
        return restored + " " + _("({n} paid before)").format(n=number(receipt.paid_before))
    return restored + " " + _("({n} paid on {day})").format(n=number(receipt.paid_before), day=day(receipt.paid_at))


def receipt(receipt: Receipt, *, files: Sequence[tuple[str, str]] = ()) -> Bundle:
    """The one line under an output, muted; `files` are (name, relative link) pairs put at its end."""
    line = receipt_line(receipt)
    facts = html.escape(line)
    if receipt.sandbox:
        facts = facts.replace("SANDBOX", '<span style="font-weight:bold">SANDBOX</span>', 1)
    links = [
        f'<a href="{html.escape(href)}">{html.escape(plain(name))}</a>' if href else html.escape(plain(name))
        for name, href in files
    ]
    data = {
        "text/plain": " · ".join([line, *(plain(name) for name, _href in files)]),
        "text/html": f'<div style="{_MUTED}">{" · ".join([facts, *links])}</div>',
    }
    return data, {"elumenta": {"receipt": True, "sandbox": receipt.sandbox}}


def card(title: str, facts: Sequence[tuple[str, str]], *, hint: str = "") -> Bundle:
    """A small table of names and values under a title."""
    wide = max((len(name) for name, _value in facts), default=0)
    lines = [title, *(f"  {name:<{wide}}  {value}" for name, value in facts), *([hint] if hint else [])]
    rows = "".join(
        f'<tr><td style="text-align:left;padding:1px 14px 1px 0;opacity:.72">{html.escape(plain(name))}</td>'
        f'<td style="text-align:left;padding:1px 0">{html.escape(plain(value))}</td></tr>'
        for name, value in facts
    )
    below = f'<div style="{_MUTED}">{html.escape(plain(hint))}</div>' if hint else ""
    body = f'<div><div style="font-weight:bold">{html.escape(plain(title))}</div><table>{rows}</table>{below}</div>'
    return {"text/plain": plain("\n".join(lines)), "text/html": body}, {}


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str = "", hint: str = "") -> Bundle:
    """A table; a column whose values are all figures (or missing) is set right."""
    cells = [[_cell(value) for value in row] for row in rows]
    right = [bool(rows) and all(_is_figure(row[at]) for row in rows) for at in range(len(columns))]
    widths = [max([len(name), *(len(row[at]) for row in cells)]) for at, name in enumerate(columns)]

    def line(values: Sequence[str]) -> str:
        padded = [
            value.rjust(width) if to_right else value.ljust(width)
            for value, width, to_right in zip(values, widths, right, strict=True)
        ]
        return "  ".join(padded).rstrip()

    lines = [*([title] if title else []), line(columns), *(line(row) for row in cells), *([hint] if hint else [])]

    def cell(tag: str, value: str, *, to_right: bool) -> str:
        side = "right" if to_right else "left"
        return f'<{tag} style="text-align:{side};padding:1px 10px 1px 0">{html.escape(value)}</{tag}>'

    head = "".join(cell("th", plain(name), to_right=to_right) for name, to_right in zip(columns, right, strict=True))
    body = "".join(
        "<tr>" + "".join(cell("td", value, to_right=r) for value, r in zip(row, right, strict=True)) + "</tr>"
        for row in cells
    )
    above = f'<div style="font-weight:bold">{html.escape(plain(title))}</div>' if title else ""
    below = f'<div style="{_MUTED}">{html.escape(plain(hint))}</div>' if hint else ""
    markup = f"<div>{above}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}</div>"
    return {"text/plain": plain("\n".join(lines)), "text/html": markup}, {}


def _is_figure(value: Any) -> bool:
    return bool(_FIGURE.fullmatch(value)) if isinstance(value, str) else isinstance(value, int | float | None)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, int | float):
        return number(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return plain(text).replace("\n", " ")
