"""From what a line of the magic says to an `Ask`: the prompt, its inputs, and how the answer is wanted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ._catalog import catalog
from ._errors import BadParam
from ._language import gettext as _
from ._values import Ask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._parser import Line

__all__ = ["ask_of", "refer"]

_NAME: Final = re.compile(r"([A-Za-z_]\w*)(?:\[(-?\d+)\])?")


def _known(model: str | None) -> str | None:
    """The model, if it is one: a word of a prompt may stand in its place."""
    return model if model in catalog().models else None


def ask_of(line: Line, body: str | None, namespace: Mapping[str, Any]) -> Ask:
    """What this line asks for; `body` is the rendered prompt of a cell, or `None` on a line.

    Raises `BadParam` for words that have no place, and for an input that cannot be told apart.
    """
    category = line.category
    assert category is not None
    prompt = " ".join(line.words) or None
    if body is not None and body.strip():
        if prompt is not None:
            raise BadParam(
                _("What is {word!r}? The prompt of a cell is its body.").format(word=line.words[0]),
                hint=_("All options: {help}").format(help=f"%elumenta {_known(line.model) or category.name} -h"),
            )
        prompt = body.strip("\n")
    inputs = {param.name for param in category.params if param.is_input}
    options = {name: refer(value, namespace) if name in inputs else value for name, value in line.params.items()}
    given = line["input"]
    return Ask(
        category=category.name,
        model=line.model,
        prompt=prompt,
        options=options,
        extra=line.extra,
        input=None if given is None else refer(given, namespace),
        count=line["count"] or 1,
        max_price=line["max-price"],
        reuse=line["reuse"],
        fresh=bool(line["fresh"]),
        stream=category.ask == "stream" and not line["no-stream"],
        shape=line["as"],
        chat=line["chat"],
        save=line["save"],
        embed=bool(line["embed"]),
    )


def refer(text: str, namespace: Mapping[str, Any]) -> Any:
    """What a REF means: a URL, a path, or the `Result` a variable holds (`cat`, `cats[1]`).

    Raises `BadParam` when a variable and a file have that name, or the variable holds something else.
    """
    found = _NAME.fullmatch(text)
    if found is None or found[1] not in namespace:
        return text
    if Path(text).exists():
        raise BadParam(
            _("{name!r} is a variable and a file.").format(name=text),
            hint=_("The file: {file}. The variable: {variable}").format(file=f"./{text}", variable=f"{{{{{text}}}}}"),
        )
    value = namespace[found[1]]
    if found[2] is not None:
        try:
            value = value[int(found[2])]
        except (LookupError, TypeError):
            raise BadParam(_("{name} has no part {part}.").format(name=found[1], part=f"[{found[2]}]")) from None
    if isinstance(value, str | Path) or _is_result(value):
        return value
    raise BadParam(
        _("The variable {name} holds a {kind}, not a Result.").format(name=text, kind=type(value).__name__),
        hint=_("One of several results: {part}").format(part=f"{found[1]}[0]") if isinstance(value, list) else "",
    )


def _is_result(value: Any) -> bool:
    return hasattr(type(value), "generation_id") or type(value).__name__ == "Result"
