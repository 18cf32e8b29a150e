"""What a line of the magic says: words and options, read by rows of a table.

Not argparse: its messages are English only, it guesses abbreviations and it exits. Here every option is a row, help and
completion read the same rows, and every mistake is a `BadParam` with the closest match.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ._catalog import Category, Model, catalog, closest
from ._errors import BadParam
from ._language import gettext as _
from ._options import COMMON, HELP, Option, dashed, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["Grammar", "Line", "parse", "split"]

_TEMPLATE: Final = r"\{\{.*?\}\}+"
_ESCAPED: Final = r"\\[\s\S]" if os.name != "nt" else r"(?!)"  # a backslash is part of a path there
_PIECE: Final = re.compile(
    rf"""(?P<space>\s+)
    | (?P<template>{_TEMPLATE})
    | "(?P<double>(?:{_TEMPLATE}|{_ESCAPED}|[^"])*+)"
    | '(?P<single>(?:{_TEMPLATE}|[^'])*+)'
    | (?P<escaped>{_ESCAPED})
    | (?P<open>["'])
    | (?P<plain>[^\s"'\\{{]+|[\s\S])""",
    re.VERBOSE,
)
_IN_DOUBLE: Final = re.compile(rf"({_TEMPLATE})|\\([\"\\])" if os.name != "nt" else r"(?!)()()")
_DASHES: Final = "-‐‑‒–—―−"  # what editors and telephones make of "--"
_PAIRS: Final = {"“": "”", "„": "“”", "«": "»", "‘": "’", "‚": "‘’"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """What a verb takes: its options and at most `most` words. `of_model`: a model's own options as well."""

    options: tuple[Option, ...] = ()
    most: int = 0
    of_model: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of the magic, read. Exactly one of `verb` and `category` is set, or neither (the magic alone)."""

    verb: str = ""
    category: Category | None = None
    model: str | None = None
    words: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)  # ours, by key
    params: Mapping[str, Any] = field(default_factory=dict)  # the category's, by wire name
    extra: Mapping[str, Any] = field(default_factory=dict)  # -p name=value

    def __getitem__(self, key: str) -> Any:
        """What this option of ours was given; `None` when it was not."""
        return self.options.get(key)


def split(line: str) -> list[str]:
    """The line at its spaces, quotes honoured as a shell does; a template stays in one piece.

    Raises `BadParam` for an open quote.
    """
    words: list[str] = []
    is_apart = True
    for found in _PIECE.finditer(line):
        kind = str(found.lastgroup)
        text = found[kind]
        if kind == "space":
            is_apart = True
            continue
        if kind == "open":
            raise BadParam(
                _("A quote on the line is not closed."),
                hint=_("An apostrophe counts as one: put the text in double quotes, or in the cell's body."),
            )
        if kind == "double":
            text = _IN_DOUBLE.sub(lambda part: part[1] or part[2], text)
        elif kind == "escaped":
            text = text[1:]
        if is_apart:
            words.append("")
            is_apart = False
        words[-1] += text
    return words


class _Reader:
    """Reads words and options from left to right; the words said so far decide which options there are."""

    def __init__(self, verbs: Mapping[str, Grammar], lookup: Callable[[str], str], fill: Callable[[str], str]) -> None:
        self.verbs = verbs
        self.lookup = lookup
        self.fill = fill
        self.rows: list[Option] = list(COMMON)
        self.owner = ""  # whose options these are: a verb, a category or a model
        self.verb = ""
        self.category: Category | None = None
        self.model: str | None = None
        self.words: list[str] = []
        self.values: dict[str, Any] = {}
        self.params: dict[str, Any] = {}
        self.extra: dict[str, Any] = {}

    def word(self, word: str) -> None:
        if not self.owner and (verb := word.replace("_", "-")) in self.verbs:
            self.verb = self.owner = verb
            self.rows = [*self.verbs[verb].options, HELP]
        elif self.category is None and (not self.verb or self.verbs[self.verb].of_model):
            self._head(word)
        elif self.category is not None and self.model is None and not self.words and len(word.split()) == 1:
            self._model(self.category, word)
        else:
            self.words.append(word)

    def _head(self, word: str) -> None:
        table = catalog()
        self.category = table.category(word)
        if self.category is None:
            found = table.models.get(word)
            self._model(table.categories[found.category if found else self.lookup(word)], word)
        else:
            self.owner = self.owner or word
            self._rows(self.category, None)

    def _model(self, category: Category, slug: str) -> None:
        self.category = category
        self.model = slug
        self.owner = self.verb or slug
        self._rows(category, catalog().models.get(slug))

    def _rows(self, category: Category, model: Model | None) -> None:
        # The parameters of the whole category: of one this model does not have, the table says which models do.
        if self.verb:
            ours: Iterable[Option] = (row for row in COMMON if row.key in ("param", "help"))
            self.rows = [*self.verbs[self.verb].options, *rows_of(category.params, category, model, ours)]
        else:
            self.rows = rows_of(category.params, category, model, COMMON)

    def done(self) -> Line:
        if self.verb and len(self.words) > (most := self.verbs[self.verb].most):
            raise BadParam(
                _("{verb} does not take {word!r}.").format(verb=self.verb, word=self.words[most]),
                hint=_("How to use it: {help}").format(help=f"%elumenta {self.verb} -h"),
            )
        for key in self.values:  # given ahead of the word that says which options there are
            if self.owner and not any(row.key == key for row in self.rows):
                raise self._unknown(dashed(key), key)
        return Line(
            verb=self.verb,
            category=self.category,
            model=self.model,
            words=tuple(self.words),
            options=self.values,
            params=self.params,
            extra=self.extra,
        )

    def refuse_typeset(self, token: str) -> None:
        """An option whose dashes an editor has changed would be a word of the prompt, and its limit none."""
        bare = token.lstrip(_DASHES)
        dashes, name = token[: len(token) - len(bare)], bare.partition("=")[0].replace("_", "-")
        if dashes.strip("-") and name and (row := self._row(name)[0]) is not None:
            raise BadParam(
                _("{word!r} begins with a dash that is not a hyphen, so it is no option.").format(word=token),
                hint=_("Did you mean {name}?").format(name=dashed(name if name in row.flags else row.key)),
            )

    def option(self, token: str, rest: list[str]) -> None:
        name, equals, value = token.lstrip("-").partition("=")
        name = name.replace("_", "-")
        row, negated = self._row(name)
        if row is None:
            raise self._unknown(token.partition("=")[0], name)
        if negated:
            self._keep(row, "false")
        elif not row.takes:
            if equals:
                raise BadParam(_("{option} takes no value.").format(option=dashed(name)))
            self._keep(row, row.implied)
        elif equals:
            self._keep(row, self._read(row, self.fill(value)))
        elif row.words:
            follows = rest and rest[0].lower() in row.words
            self._keep(row, rest.pop(0).lower() if follows else row.implied)
        elif row.optional and (not rest or _is_flag(rest[0])):
            self._keep(row, row.implied)
        elif not rest or (rest[0].startswith("-") and self._is_option(rest[0])):
            raise BadParam(
                _("{option} needs a value: {takes}.").format(option=dashed(name), takes=row.wants()),
                hint=_("A value that starts with a dash: {form}").format(form=f"{dashed(name)}=…"),
            )
        else:
            self._keep(row, self._read(row, self.fill(rest.pop(0))))

    def _is_option(self, token: str) -> bool:
        return token.startswith("--") or self._row(token.lstrip("-"))[0] is not None

    def _row(self, name: str) -> tuple[Option | None, bool]:
        for row in self.rows:
            if name in row.flags:
                return row, False
        plain = name.removeprefix("no-")
        for row in self.rows:
            if plain != name and plain in row.flags and row.param is not None and row.param.type == "bool":
                return row, True
        return None, False

    def _read(self, row: Option, text: str) -> Any:
        closing = _PAIRS.get(text[:1], "")
        if closing and len(text.split()) == 1 and not set(closing) & set(text[1:]):
            raise BadParam(
                _("{option} would end at the first space: {mark} is not a quote that counts here.").format(
                    option=dashed(row.key), mark=text[0]
                ),
                hint=_("Use straight quotes: {form}").format(form=f'{dashed(row.key)} "…"'),
            )
        try:
            return row.value(text)
        except ValueError:
            near = closest(text, row.takes.split("|")) if "|" in row.takes else None
            raise BadParam(
                _("{option} does not take {value!r}: {takes}.").format(
                    option=dashed(row.key), value=text, takes=row.wants()
                ),
                hint=_("Did you mean {name}?").format(name=f"{dashed(row.key)} {near}") if near else "",
            ) from None

    def _keep(self, row: Option, value: Any) -> None:
        if row.key == "param":
            self.extra[value[0]] = value[1]
        elif row.param is not None:
            self.params[row.param.name] = value
        elif row.many:
            self.values[row.key] = (*self.values.get(row.key, ()), value)
        else:
            self.values[row.key] = value

    def _unknown(self, given: str, name: str) -> BadParam:
        flags = [flag for row in self.rows for flag in row.flags if len(flag) > 1]
        begun = [flag for flag in flags if len(name) > 2 and flag.startswith(name)]
        near = begun[0] if begun else closest(name, flags)
        hints = [_("Did you mean {name}?").format(name=dashed(near))] if near else []
        if any(row.key == "param" for row in self.rows):
            hints.append(_("To send it anyway: -p {name}=…").format(name=name.replace("-", "_")))
        hints.append(_("All options: {help}").format(help=" ".join(["%elumenta", *self.owner.split(), "-h"])))
        message = _("{owner} has no option {option}.") if self.owner else _("There is no option {option}.")
        return BadParam(message.format(option=given, owner=self.owner), hint="\n".join(hints))


def parse(
    line: str | Sequence[str],
    *,
    verbs: Mapping[str, Grammar],
    lookup: Callable[[str], str],
    fill: Callable[[str], str] = str,
) -> Line:
    """Read a line, or its words where a terminal has split them already.

    `lookup` tells the category of a slug the table does not have, or raises; `fill` renders templates. Raises
    `BadParam` or `UnknownModel`. What a template yields is a value, never an option.
    """
    tokens = split(line) if isinstance(line, str) else list(line)
    reader = _Reader(verbs, lookup, str if "--raw" in tokens else fill)
    while tokens:
        token = tokens.pop(0)
        if _is_flag(token):
            reader.option(token, tokens)
        else:
            reader.refuse_typeset(token)
            reader.word(reader.fill(token))
    return reader.done()


def _is_flag(token: str) -> bool:
    return len(token) > 1 and token[0] == "-" and (token[1] == "-" or token[1].isalpha())
