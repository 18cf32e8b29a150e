"""What is sent: a call as the request the documentation asks for, in either request form (api.md section 13, R1 to R14).

Form ``"params"`` nests the options under `params` and has the current turn in `prompt`; form ``"flat"`` puts them on
the top level, with the whole conversation in `messages`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote as percent

from elumenta_nb._catalog import Category, catalog
from elumenta_nb._errors import BadParam
from elumenta_nb._language import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from elumenta_nb._values import Call

__all__ = ["Request", "RequestForm", "Upload", "balance_paths", "creations", "price", "status_paths", "to_json"]

RequestForm = Literal["params", "flat"]
Method = Literal["GET", "POST"]

_STREAM: Final = "/generate/stream"
_CREATE: Final = "/generate"
_UPLOAD: Final = "/stt"
_FLAT_NAMES: Final = {"system_prompt": "system"}  # R3


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file for a multipart form: its field and where it is. The server is told its ending, never its name."""

    field: str
    path: Path
    filename: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request under the base URL: a JSON body, or `fields` with an upload. `stream`: events are asked for."""

    method: Method
    path: str
    body: bytes | None = None
    fields: Mapping[str, str] | None = None
    upload: Upload | None = None
    stream: bool = False


def creations(call: Call, form: RequestForm = "params", *, prompt_field: str | None = None) -> list[Request]:
    """The ways to ask for this call, the preferred first; the next one is for a server that does not know the path (R7).

    `prompt_field` is the name the server is known to take for the prompt (R5).
    Raises `BadParam` for what cannot be sent.
    """
    row = catalog().category(call.category)
    upload = next((item for item in call.inputs if item.path is not None), None)
    if row is not None and row.ask == "stt":
        if upload is None or upload.path is None:
            raise BadParam(_("Speech-to-text needs a file."), hint=_("Give the recording: --file talk.mp3"))
        fields = {"model": call.model, **{name: _field(value) for name, value in call.params.items()}}
        name = "".join(
            char for char in upload.path.suffix.lower() if char.isascii() and (char.isalnum() or char == ".")
        )
        sent = Upload(field=upload.param, path=upload.path, filename=f"{upload.param}{name}")
        return [Request(method="POST", path=_UPLOAD, fields=fields, upload=sent)]
    if upload is not None and not upload.url:
        raise BadParam(
            _("{model} takes the address of a file (a URL), not a file of this machine.").format(model=call.model),
            hint=_("The Elumenta API documents no upload for it; put the file where the server can fetch it"),
        )
    field = prompt_field or prompt_fields(row, form)[0]
    if form == "flat":
        return [_post(_CREATE, _flat(call, field), stream=call.stream)]
    body = _nested(call, field)
    if call.stream:
        return [_post(_STREAM, body, stream=True), _post(_CREATE, {**body, "stream": True}, stream=True)]
    return [_post(_CREATE, body)]


def prompt_fields(row: Category | None, form: RequestForm = "params") -> tuple[str, ...]:
    """The names of the prompt's field in the order to try; the page with the flat form prefers the other one (R5)."""
    names = row.prompt_fields if row is not None else ("prompt",)
    return names[::-1] if form == "flat" else names


def price(model: str, params: Mapping[str, Any], count: int = 1) -> Request:
    """The request for a price; it charges nothing. Raises `BadParam` for what cannot be sent."""
    return _post(f"/models/{step(model)}/calculate-price", {"params": dict(params), "count": count})


def status_paths(generation_id: int | str) -> tuple[str, ...]:
    """Where a generation is asked for, the preferred first (R9): a string id has two documented places."""
    name = step(generation_id)
    paths = (f"/generate/{name}", f"/generate/status/{name}")
    return paths if isinstance(generation_id, str) else paths[:1]


def balance_paths() -> tuple[str, ...]:
    """Where the balance is asked for, the preferred first (R10)."""
    return ("/balance", "/user/balance")


def step(name: int | str) -> str:
    """A name as one step of a path, whatever is in it."""
    return (
        percent(str(name), safe="").replace(".", "%2E") if str(name).strip(".") == "" else percent(str(name), safe="")
    )


def to_json(body: Mapping[str, Any]) -> bytes:
    """The body as JSON. Raises `BadParam` for a value that JSON cannot hold: found before anything is sent."""
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise BadParam(_("The call cannot be written as JSON: {why}.").format(why=error)) from None


def _post(path: str, body: Mapping[str, Any], *, stream: bool = False) -> Request:
    return Request(method="POST", path=path, body=to_json(body), stream=stream)


def _nested(call: Call, field: str) -> dict[str, Any]:
    params = {**call.params, **{item.param: item.url for item in call.inputs if item.url}}
    if call.messages:  # the earlier turns; the current one is the prompt and is not sent twice (R4)
        params["messages"] = _turns(call)
    body: dict[str, Any] = {"model": call.model, field: call.prompt}
    if params:
        body["params"] = params
    return body


def _flat(call: Call, field: str) -> dict[str, Any]:
    params = {_FLAT_NAMES.get(name, name): value for name, value in call.params.items()}
    params.update({item.param: item.url for item in call.inputs if item.url})
    row = catalog().category(call.category)
    if row is not None and row.ask == "stream":  # the whole conversation, the current turn last (R2, R4)
        body: dict[str, Any] = {
            "model": call.model,
            "messages": [*_turns(call), {"role": "user", "content": call.prompt}],
        }
        if call.stream:
            body["stream"] = True
    else:
        body = {"model": call.model, field: call.prompt}
    return {**params, **body}


def _turns(call: Call) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": turn.content} for turn in call.messages]


def _field(value: Any) -> str:
    """A value of a multipart form."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else to_json({"v": value})[5:-1].decode()


def _plain(value: Any) -> Any:
    """A number of another library (numpy, pandas) as a plain one."""
    item = getattr(value, "item", None)
    if callable(item):
        return item()
    raise TypeError(_("{kind} is not text, number, list or object").format(kind=type(value).__name__))
