"""What a call works on: a URL for the API, a file for speech-to-text, or an earlier `Result`. Checked before paying."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from ._errors import BadParam
from ._language import gettext as _, number
from ._values import Input

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._catalog import Category, Param, Resolved

__all__ = ["is_file", "read_inputs"]

_MIB: Final = 1024**2
_SHOWN: Final = 80


def is_file(path: Path) -> bool:
    """As `Path.is_file`; ``False`` also for a text that no file can be called, such as a picture in base64."""
    try:
        return path.is_file()
    except OSError:
        return False


def read_inputs(
    resolved: Resolved, given: Any, *, lenient: bool = False, is_live: Callable[[], bool] = lambda: False
) -> tuple[dict[str, Any], tuple[Input, ...]]:
    """The parameters of a call without its inputs, and the inputs, from its options and `--input`.

    `lenient` lets a required one be absent, for a price; `is_live` tells whether the call is charged. Raises `BadParam` for a missing or ambiguous input, a local
    file where the API takes a URL, and a recording that speech-to-text would refuse
    (en/api-reference/generations/stt).
    """
    values = dict(resolved.params)
    slots = [param for param in resolved.own if param.is_input]
    if given is not None:
        free = [param for param in slots if param.name not in values]
        if not free:
            raise BadParam(_("{model} takes no further input.").format(model=resolved.model.slug))
        values[free[0].name] = given
    inputs = []
    for param in slots:
        value = values.pop(param.name, None)
        if value is None or value == "":
            if param.required and not lenient:
                raise BadParam(
                    _("{model} needs --{name}: {help}.").format(
                        model=resolved.model.slug, name=param.flags[0], help=_(param.help)
                    )
                )
            continue
        if param.type != "upload" and getattr(value, "sandbox", False) and is_live():
            raise BadParam(
                _("--{name}: this Result was made by the sandbox, and its address leads nowhere but here.").format(
                    name=param.flags[0]
                ),
                hint=_("Give a public URL, or a Result that was made with your key: run its cell again."),
            )
        read = _upload if param.type == "upload" else _address
        inputs.append(read(param, value, resolved.category))
    return values, tuple(inputs)


def _address(param: Param, value: Any, _category: Category) -> Input:
    url = getattr(value, "url", None)
    if url is None and not isinstance(value, str | os.PathLike):
        raise BadParam(_("--{name} takes a URL or a Result.").format(name=param.flags[0]))
    if url is None:
        url = str(value).strip()
    if urlsplit(url).scheme in ("http", "https"):
        path = getattr(value, "path", None)  # a Result: known by its content, wherever it is served from today
        digest = _digest(path) if path is not None and Path(path).is_file() else ""
        return Input(param=param.name, url=url, digest=digest)
    if getattr(value, "path", None) is not None or urlsplit(url).scheme == "data" or is_file(Path(url)):
        raise BadParam(
            _("--{name}: the API takes the address of a file, not a local file, and documents no upload.").format(
                name=param.flags[0]
            ),
            hint=_("Give a public URL, or the Result of an earlier cell."),
        )
    raise BadParam(
        _("--{name}: {value!r} is no URL, and no variable of that name holds a Result.").format(
            name=param.flags[0], value=url[:_SHOWN]
        )
    )


def _upload(param: Param, value: Any, category: Category) -> Input:
    source = getattr(value, "path", None) or value
    if not isinstance(source, str | os.PathLike) or urlsplit(str(source)).scheme in ("http", "https"):
        raise BadParam(
            _("--{name} takes a file on this machine; the API documents no URL here.").format(name=param.flags[0]),
            hint=_("Download it first, or give the Result of an earlier cell."),
        )
    path = Path(source).expanduser()
    if not is_file(path):
        raise BadParam(_("There is no file {path}.").format(path=str(path)[:_SHOWN]))
    ending = path.suffix.lower().lstrip(".")
    if category.upload_formats and ending not in category.upload_formats:
        raise BadParam(
            _("{path}: {category} does not take .{ending} files.").format(
                path=path, category=category.name, ending=ending
            ),
            hint=_("It takes: {formats}").format(formats=", ".join(category.upload_formats)),
        )
    size = path.stat().st_size
    if size == 0:
        raise BadParam(_("{path} is empty.").format(path=path))
    if category.upload_max_bytes and size > category.upload_max_bytes:
        raise BadParam(
            _("{path} has {size} MB, and the limit is {limit} MB.").format(
                path=path, size=number(size / _MIB), limit=category.upload_max_bytes // _MIB
            ),
            hint=_("Cut it into parts, or save it with a lower bit rate."),
        )
    return Input(param=param.name, path=path, digest=_digest(path))


def _digest(path: str | os.PathLike[str]) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
