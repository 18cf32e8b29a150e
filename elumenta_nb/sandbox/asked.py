"""What a request asks for: both documented forms of a body, read into one value, or refused as the API refuses.

Form ``a`` nests options in `params` and has a `prompt`; form ``b`` has them at the top level and `messages`. Both are
read in either family; with `strict` each family takes its own only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from elumenta_nb._catalog import Category, Model, Param, catalog
from elumenta_nb._errors import BadParam

from .replies import own_id
from .rows import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .replies import Dialect
    from .rows import Generation

__all__ = ["Asked", "checked", "input_s", "read_body", "source_of", "sources_of"]

_OWN: Final = {"model", "prompt", "text", "messages", "system", "stream", "params", "assistant_id"}
_FILE: Final = re.compile(r"/storage/generations/([\w]+)\.\w+")
_LOOPBACK: Final = {"127.0.0.1", "localhost", "::1"}
_RATIO: Final = re.compile(r"\d{1,2}:\d{1,2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A checked request."""

    model: Model
    category: Category
    prompt: str
    params: Mapping[str, Any] = field(default_factory=dict)
    earlier: tuple[Mapping[str, Any], ...] = ()
    system: str = ""
    stream: bool = False


def _schema(**fields: str) -> Refusal:
    first, reason = next(iter(fields.items()))
    return Refusal(422, "validation_error", f"{first}: {reason}", fields)


def read_body(body: Any, models: Mapping[str, Model], *, dialect: Dialect, strict: bool = False) -> Asked:
    """The request in a decoded JSON body. Raises `Refusal`: 422 for its shape, 404 for a model, 400 for a value."""
    if not isinstance(body, dict):
        raise _schema(body="must be an object")
    slug = body.get("model")
    if not isinstance(slug, str) or not slug:
        raise _schema(model="field required")
    model = models.get(slug)
    if model is None:
        raise Refusal(404, "not_found", f"Model {slug!r} not found")
    category = catalog().categories[model.category]
    nested = body.get("params", {})
    if nested is None:
        nested = {}
    if not isinstance(nested, dict):
        raise _schema(params="must be an object")
    if strict:
        _check_form(body, category, dialect)
    given = {name: value for name, value in body.items() if name not in _OWN} | nested
    messages = _messages(given.pop("messages", None) or body.get("messages"))
    system = str(given.pop("system_prompt", None) or body.get("system") or "")
    prompt, earlier, system = _conversation(_prompt(body, category, dialect), messages, system)
    needed = model.prompt or category.prompt
    if needed == "required" and not prompt.strip():
        field_name = category.prompt_fields[-1 if dialect == "b" else 0]
        raise _schema(**{"messages" if dialect == "b" and category.ask == "stream" else field_name: "field required"})
    return Asked(
        model=model,
        category=category,
        prompt=prompt,
        params=checked(category, model, given),
        earlier=earlier,
        system=system,
        stream=body.get("stream") is True,
    )


def _check_form(body: Mapping[str, Any], category: Category, dialect: Dialect) -> None:
    if dialect == "a":
        for name in set(body) - {"model", "prompt", "params"}:
            raise _schema(**{name: "unknown field; options belong in params"})
    elif "params" in body:
        raise _schema(params="unknown field; options belong at the top level")
    elif category.ask == "stream" and not body.get("messages"):
        raise _schema(messages="field required")


def _prompt(body: Mapping[str, Any], category: Category, dialect: Dialect) -> str:
    """The prompt by the names this family knows: speech takes `text` in the second (api R5)."""
    names = category.prompt_fields if dialect == "a" else category.prompt_fields[-1:]
    value = next((body[name] for name in names if body.get(name) is not None), "")
    if not isinstance(value, str):
        raise _schema(**{names[0]: "must be a string"})
    return value


def _messages(value: Any) -> list[Mapping[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(turn, dict) for turn in value):
        raise _schema(messages="must be a list of objects with role and content")
    for turn in value:
        if turn.get("role") not in ("system", "user", "assistant"):
            raise _schema(messages="role must be system, user or assistant")
        if not isinstance(turn.get("content"), str | list):
            raise _schema(messages="content is required")
    return value


def _conversation(
    prompt: str, messages: list[Mapping[str, Any]], system: str
) -> tuple[str, tuple[Mapping[str, Any], ...], str]:
    """Prompt, earlier turns, system prompt. Without a prompt the last user message is the prompt (api R4)."""
    turns = [turn for turn in messages if turn["role"] != "system"]
    said = [_text(turn["content"]) for turn in messages if turn["role"] == "system"]
    system = "\n".join([system, *said]).strip()
    if not prompt.strip() and turns and turns[-1]["role"] == "user":
        prompt = _text(turns[-1]["content"])
        turns = turns[:-1]
    return prompt, tuple(turns), system


def _text(content: str | list[Any]) -> str:
    """The words of a message; of one with pictures, its text parts."""
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict) and part.get("text"))


def checked(category: Category, model: Model, given: Mapping[str, Any], *, whole: bool = True) -> dict[str, Any]:
    """The parameters, their values checked where the table knows the name; unknown names are let through.

    `whole`: the required ones must be there, as for a generation and not for a price.
    """
    rows = {param.name: param for param in catalog().params_of(category, model)}
    params = {name: value for name, value in given.items() if value is not None}
    if isinstance(size := params.get("size"), str) and _RATIO.fullmatch(size) and "aspect_ratio" in rows:
        params["aspect_ratio"] = params.pop("size")  # api R6: a ratio passed as size
    for name, value in list(params.items()):
        param = rows.get(name)
        if param is None or param.is_input:
            continue
        try:
            params[name] = param.parse(value)
        except BadParam as error:
            raise Refusal(400, "bad_request", f"{name}: {error}", {name: param.takes()}) from None
    for name, param in rows.items():
        if whole and param.required and param.type == "input" and not params.get(name):
            raise _schema(**{name: "field required"})
    return params


def source_of(param: Param, value: Any, stored: Callable[[int], Generation | None]) -> dict[str, Any]:
    """What an input URL means, without ever fetching it: an earlier generation of this state, or a stand-in.

    The files of a server that ran on another port of this machine are known by their ids. Raises `Refusal`.
    """
    if not isinstance(value, str):
        raise _schema(**{param.name: "must be a URL"})
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Refusal(
            400, "bad_request", f"{param.name}: a URL is needed; the API takes no file here", {param.name: "a URL"}
        )
    if parts.hostname not in _LOOPBACK:
        return {"url": value, "width": 1024, "height": 1024}
    found = _FILE.fullmatch(parts.path)
    number = (own_id(found[1], "a") or own_id(found[1], "b")) if found else None
    row = stored(number) if number is not None else None
    if row is None or row.media is None:
        raise Refusal(400, "bad_request", f"{param.name}: there is no such file here", {param.name: value})
    media = row.media
    makes = "image" if media["ext"] in ("webp", "png", "jpeg") else "video" if media["ext"] == "mp4" else "audio"
    if param.accepts and makes != param.accepts and not (param.accepts == "audio" and makes == "video"):
        raise Refusal(400, "bad_request", f"{param.name}: needs {param.accepts}, this is {makes}", {param.name: value})
    facts = {name: media[name] for name in ("width", "height", "duration_s") if name in media}
    return {"generation": row.id, "prompt": row.prompt, **facts}


def sources_of(
    category: Category, model: Model, params: Mapping[str, Any], stored: Callable[[int], Generation | None]
) -> dict[str, dict[str, Any]]:
    """What each input of a call means, by its parameter. Raises `Refusal`."""
    return {
        param.name: source_of(param, params[param.name], stored)
        for param in catalog().params_of(category, model)
        if param.type == "input" and param.name in params
    }


def input_s(sources: Mapping[str, Mapping[str, Any]]) -> float | None:
    """The length of the recording a call works on, where the sandbox made it."""
    return next((float(row["duration_s"]) for row in sources.values() if "duration_s" in row), None)
