"""The options of the magic as rows: help, completion and the parser all read them.

A category's options are derived from its row of the catalogue; ours are `COMMON`.
"""

from __future__ import annotations

import json
import keyword
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ._catalog import Category, Model, Param, catalog
from ._language import gettext as _

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["COMMON", "HELP", "Option", "among", "dashed", "options_of", "pair", "rows_of", "typed", "variable", "whole"]

_IN_THOUSANDS: Final = re.compile(r"\d{1,3}([,\s]\d{3})+")
_YES_NO: Final = ("true", "false", "yes", "no", "on", "off", "1", "0")


def N_(message: str) -> str:  # noqa: N802 - the name gettext tools look for
    """Marks a sentence for translation where a table is built; it is translated when it is shown."""
    return message


_WANTS: Final = {
    "N": N_("a whole number"),
    "X": N_("a number"),
    "NAME": N_("a name of letters, digits and _"),
    "WxH": N_("a size such as 1024x1024"),
    "W:H": N_("a ratio such as 16:9"),
    "REF": N_("a path, a URL or a variable"),
    "PATH": N_("a file name"),
    "name=value": "name=value",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option of a line. `flags` are without dashes, the first is its key; `takes` is what follows it (a switch: "")."""

    flags: tuple[str, ...]
    help: str
    takes: str = ""
    read: Callable[[str], Any] = str
    many: bool = False
    words: tuple[str, ...] = ()  # a value is optional and taken only when it is one of these
    optional: bool = False  # a value is optional, and any word that follows is it
    implied: Any = True  # the value when none follows
    asks: tuple[str, ...] = ()  # only for categories asked for in one of these ways
    returns: tuple[str, ...] = ()  # only where this comes back
    param: Param | None = None

    @property
    def key(self) -> str:
        return self.flags[0]

    @property
    def shown(self) -> tuple[str, ...]:
        return tuple(dashed(flag) for flag in self.flags)

    def value(self, text: str) -> Any:
        """The value it is given with ``=`` or in the next word. Raises `ValueError` for none of its own."""
        if not self.words:
            return self.read(text)
        if (word := text.lower()) not in self.words:
            raise ValueError
        return word

    def wants(self) -> str:
        """What value it takes, in words."""
        if "|" in self.takes:
            return _("one of {choices}").format(choices=", ".join(self.takes.split("|")))
        return _(_WANTS.get(self.takes, N_("a text")))

    def fits(self, category: Category, returns: str) -> bool:
        return (not self.asks or category.ask in self.asks) and (not self.returns or returns in self.returns)


def dashed(flag: str) -> str:
    return f"-{flag}" if len(flag) == 1 else f"--{flag}"


def whole(low: int) -> Callable[[str], int]:
    """A reader of whole numbers of at least `low`; ``1,000`` is one, ``1,5`` is not."""

    def read(text: str) -> int:
        number = int(re.sub(r"[,\s]", "", text) if _IN_THOUSANDS.fullmatch(text) else text)
        if number < low:
            raise ValueError
        return number

    return read


def among(*choices: str) -> Callable[[str], str]:
    """A reader of one of these words."""

    def read(text: str) -> str:
        if text not in choices:
            raise ValueError
        return text

    return read


def variable(text: str) -> str:
    """A name that can be assigned to."""
    if not text.isidentifier() or keyword.iskeyword(text):
        raise ValueError
    return text


def pair(text: str) -> tuple[str, Any]:
    """``name=value``, the value typed as `typed` says."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ValueError
    return name.strip().replace("-", "_"), typed(value)


def typed(text: str) -> Any:
    """A value as JSON reads it (numbers, true, null, lists, objects, quoted text); anything else is the text itself."""

    def refuse(_constant: str) -> Any:
        raise ValueError

    python = {"True": True, "False": False, "None": None}
    if text in python:
        return python[text]
    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        return text


_SHAPES: Final = ("markdown", "text", "json", "code")
_POLICIES: Final = ("all", "media", "off", "only")

HELP: Final = Option(flags=("help", "h"), help=N_("this page"))

COMMON: Final = (
    Option(flags=("out", "o"), takes="NAME", read=variable, help=N_("bind the result to this variable")),
    Option(flags=("quote",), help=N_("show the price, send nothing")),
    Option(
        flags=("max-price", "max"),
        takes="N",
        read=whole(0),
        help=N_("refuse above N Elumenta tokens for the whole cell; also the consent for a dear cell"),
    ),
    Option(flags=("count",), takes="N", read=whole(1), help=N_("N generations, in parallel")),
    Option(flags=("fresh",), help=N_("buy anew although this cell was paid for already")),
    Option(
        flags=("reuse",),
        takes="all|media|off|only",
        words=_POLICIES,
        implied="all",
        help=N_("what may come from the store instead of being bought again"),
    ),
    Option(flags=("background", "b"), help=N_("return at once with a Handle; the output updates itself")),
    Option(flags=("input",), takes="REF", help=N_("what to work on: a path, a URL, or a variable holding a Result")),
    Option(flags=("save",), takes="PATH", help=N_("also write the result to this file")),
    Option(
        flags=("as",),
        takes="|".join(_SHAPES),
        read=among(*_SHAPES),
        returns=("text",),
        help=N_("how to show the answer and what .value is; code makes the next cell"),
    ),
    Option(flags=("chat",), takes="NAME", asks=("stream",), help=N_("go on with this conversation")),
    Option(flags=("stream",), asks=("stream",), help=N_("show the text as it comes (the default)")),
    Option(flags=("no-stream",), asks=("stream",), help=N_("show the text when it is complete")),
    Option(flags=("raw",), help=N_("leave {{ }} in the prompt as it is")),
    Option(flags=("embed",), returns=("image", "audio", "video"), help=N_("embed the whole file in the notebook")),
    Option(flags=("quiet",), help=N_("show nothing")),
    Option(flags=("tag",), takes="T", many=True, help=N_("mark the spend with this tag")),
    Option(flags=("param", "p"), takes="name=value", read=pair, many=True, help=N_("send any other parameter")),
    HELP,
)


def options_of(category: Category, model: Model | None = None, common: Iterable[Option] = COMMON) -> list[Option]:
    """The options of a generation: the parameters of the model (or of the whole category), then ours."""
    params = catalog().params_of(category, model) if model else category.params
    return rows_of(params, category, model, common)


def rows_of(params: Iterable[Param], category: Category, model: Model | None, common: Iterable[Option]) -> list[Option]:
    """These parameters as options, then those of ours that fit and whose names are free."""
    returns = (model.returns if model else None) or category.returns
    rows = [_of_param(param) for param in params]
    taken = {flag for row in rows for flag in row.flags}
    return rows + [option for option in common if option.fits(category, returns) and not taken & set(option.flags)]


def _of_param(param: Param) -> Option:
    if param.type == "bool":
        return Option(
            flags=param.flags, takes="true|false", words=_YES_NO, implied="true", help=param.help, param=param
        )
    return Option(flags=param.flags, takes=_metavar(param), help=param.help, param=param)


def _metavar(param: Param) -> str:
    if param.is_input:
        return "REF"
    if param.choices:
        return "|".join(str(choice) for choice in param.choices)
    return {"int": "N", "float": "X", "size": "WxH", "ratio": "W:H"}.get(param.type, "TEXT")
