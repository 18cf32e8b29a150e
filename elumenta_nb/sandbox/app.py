"""The HTTP face: Elumenta's documented endpoints over the sandbox's economy, in one of the two reply families."""

from __future__ import annotations

import asyncio
import json
import re
from random import Random
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from elumenta_nb._catalog import catalog

from .asked import Asked, checked, read_body, source_of
from .files import Files
from .makers import media as media_maker, words
from .prices import price_of
from .replies import Shapes, instant, own_id
from .rows import Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping

    from starlette.requests import Request

    from elumenta_nb._catalog import Category, Model

    from .economy import Economy
    from .faults import Faults
    from .replies import Dialect
    from .rows import Generation

__all__ = ["Api"]

_PREFIX: Final = "/api/v2"
_PAGE_LIMIT: Final = 100
_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")
_SETTINGS: Final = {
    "language": ("en", "ru"),
    "image_format": ("webp", "png", "jpeg"),
    "notifications_enabled": (True, False),
}
_CODES: Final = {404: "not_found", 405: "bad_request", 400: "bad_request", 413: "bad_request"}


class Api:
    """Routes and handlers. `time_scale` shortens the documented waits; 0 is none."""

    def __init__(
        self,
        economy: Economy,
        faults: Faults,
        *,
        dialect: Dialect,
        time_scale: float,
        strict_forms: bool = False,
        count_all: bool = False,
        slow_models: Collection[str] = (),
        models: Mapping[str, Model],
        clock: Callable[[], float],
    ) -> None:
        self._economy = economy
        self._faults = faults
        self._dialect = dialect
        self._time_scale = time_scale
        self._strict_forms = strict_forms
        self._count_all = count_all
        self._slow_models = frozenset(slow_models)
        self._models = models
        self._clock = clock
        self._files = Files(economy)

    def close(self) -> None:
        self._files.close()

    def build(self) -> Starlette:
        """The application of this family's paths."""
        api: list[tuple[str, str, Callable[[Request, int], Awaitable[Response]]]] = [
            ("POST", "/generate", self._generate),
            ("POST", "/stt", self._stt),
            ("GET", "/models", self._list_models),
            ("GET", "/models/{slug}", self._model),
            ("POST", "/models/{slug}/calculate-price", self._price),
            ("GET", "/user/balance", self._rich_balance),
            ("GET", "/user/me", self._me),
            ("PATCH", "/user/me", self._rename),
            ("GET", "/user/stats", self._stats),
            ("GET", "/user/settings", self._settings),
            ("PATCH", "/user/settings", self._change_settings),
            ("GET", "/user/history", self._history),
            ("POST", "/user/history/{id}/favorite", self._favorite),
            ("POST", "/user/history/{id}/rate", self._rate),
            ("DELETE", "/user/history/{id}", self._delete),
            ("POST", "/keys", self._add_key),
            ("PATCH", "/keys/{key_id:int}", self._rename_key),
            ("DELETE", "/keys/{key_id:int}", self._revoke_key),
        ]
        if self._dialect == "a":
            api += [("POST", "/generate/stream", self._stream), ("GET", "/generate/{id}", self._status)]
        else:
            api += [("GET", "/generate/status/{id}", self._status)]
        if self._dialect == "a" or not self._strict_forms:
            api += [("GET", "/balance", self._balance)]
        routes = [Route(_PREFIX + path, self._behind_key(handler), methods=[verb]) for verb, path, handler in api]
        routes += [
            Route("/storage/{kind}/{name}", self._file, methods=["GET"]),
            Route("/sandbox/control", self._behind_key(self._control, gate=False), methods=["POST"]),
        ]
        return Starlette(routes=routes, exception_handlers={HTTPException: _http_error, Exception: _server_error})

    # ------------------------------------------------------------ around every request

    def _behind_key(
        self, handler: Callable[[Request, int], Awaitable[Response]], *, gate: bool = True
    ) -> Callable[[Request], Awaitable[Response]]:
        """Check the key, turn a refusal into its documented body, tell the limits in the headers."""

        async def guarded(request: Request) -> Response:
            account: int | None = None
            try:
                account = self._account(request)
                if gate:
                    self._economy.check_access(account)
                    if self._count_all:
                        self._economy.count(account)
                response = await handler(request, account)
            except Refusal as refusal:
                response = JSONResponse(refusal.body, refusal.status)
            if account is not None:
                usage = self._economy.usage(account)
                response.headers["X-RateLimit-Limit-Hour"] = str(usage.hour)
                response.headers["X-RateLimit-Remaining-Hour"] = str(usage.hour_left)
                response.headers["X-RateLimit-Limit-Day"] = str(usage.day)
                response.headers["X-RateLimit-Remaining-Day"] = str(usage.day_left)
                response.headers["X-RateLimit-Reset-Hour"] = str(usage.resets_at)
            return response

        return guarded

    def _account(self, request: Request) -> int:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise Refusal(401, "not_authenticated", "Not authenticated")
        account = self._economy.owner_of(key.strip())
        if account is None:
            raise Refusal(401, "not_authenticated", "Invalid or expired token")
        return account

    def _shapes(self, request: Request) -> Shapes:
        host = request.headers.get("host") or "127.0.0.1"
        return Shapes(self._dialect, f"{request.url.scheme}://{host}", self._clock())

    def _id(self, request: Request) -> int:
        text = request.path_params["id"]
        number = own_id(text, self._dialect)
        if number is None:
            raise Refusal(404, "not_found", f"Generation {text} not found")
        return number

    # ------------------------------------------------------------ generations

    async def _generate(self, request: Request, account: int) -> Response:
        asked = read_body(await _json(request), self._models, dialect=self._dialect, strict=self._strict_forms)
        if asked.category.ask == "stt":
            raise Refusal(400, "bad_request", f"{asked.model.slug} takes a file: POST /stt")
        if asked.stream and self._dialect == "b" and asked.category.ask == "stream":
            return self._streamed(request, account, asked)
        return await self._answered(request, account, asked)

    async def _stream(self, request: Request, account: int) -> Response:
        asked = read_body(await _json(request), self._models, dialect=self._dialect, strict=self._strict_forms)
        if asked.category.ask != "stream":
            raise Refusal(400, "bad_request", f"{asked.model.slug} cannot stream: POST /generate")
        return self._streamed(request, account, asked)

    async def _stt(self, request: Request, account: int) -> Response:
        category = catalog().categories["stt"]
        form = await request.form()
        upload = form.get("audio")
        if upload is None or isinstance(upload, str):
            raise Refusal(422, "validation_error", "audio: field required", {"audio": "field required"})
        slug = str(form.get("model") or "whisper")
        model = self._models.get(slug)
        if model is None or model.category != category.name:
            raise Refusal(404, "not_found", f"Model {slug!r} not found")
        name = upload.filename or "audio"
        extension = name.rpartition(".")[2].lower()
        if extension not in category.upload_formats:
            known = ", ".join(category.upload_formats)
            raise Refusal(400, "bad_request", f"audio: {name} is not one of {known}", {"audio": known})
        data = await upload.read()
        if len(data) > category.upload_max_bytes:
            raise Refusal(400, "bad_request", "audio: the file is larger than 25 MB", {"audio": "at most 25 MB"})
        given = {key: value for key, value in form.items() if key not in ("audio", "model")}
        params = checked(category, model, given)
        self._economy.allow(account, model)

        def transcribed() -> str:
            from .makers.sounds import facts

            return words.transcript(
                data,
                name,
                model.slug,
                facts(data),
                language=str(params.get("language") or ""),
                diarize=params.get("diarize") is True,
            )

        text = await asyncio.to_thread(transcribed)
        asked = Asked(model=model, category=category, prompt="", params=params)
        return await self._answered(request, account, asked, text=text)

    async def _status(self, request: Request, account: int) -> Response:
        row = self._economy.generation(account, self._id(request))
        return JSONResponse(self._shapes(request).generation(row))

    async def _answered(self, request: Request, account: int, asked: Asked, *, text: str | None = None) -> Response:
        """Take the call in; answer when it is done, or at once where the documentation has a job."""
        fault: Mapping[str, Any] = request.scope.get("sandbox.fault", {})
        wait_s = self._wait_s(asked)
        later = self._is_job(asked)
        if fault.get("kind") == "pending":
            later, wait_s = True, float(fault["seconds"])
        row = self._submit(account, asked, wait_s, fault, text)
        self._files.begin(row, wait_s)
        if not later:
            await asyncio.sleep(wait_s)
            row = self._economy.finish(row.id)
        return JSONResponse(self._shapes(request).generation(row, first=True))

    def _submit(
        self, account: int, asked: Asked, wait_s: float, fault: Mapping[str, Any], text: str | None = None
    ) -> Generation:
        self._economy.allow(account, asked.model)
        facts = None
        returns = asked.model.returns or asked.category.returns
        sources = self._sources(asked.category, asked.model, asked.params)
        if returns == "text":
            text = text if text is not None else self._text(asked, sources)
        else:
            settings = self._economy.account(account).settings
            try:
                facts = media_maker.plan(
                    asked.category,
                    asked.model,
                    asked.prompt,
                    asked.params,
                    inputs=sources,
                    image_format=settings["image_format"],
                    image_size=settings["default_image_size"],
                )
            except media_maker.Unusable as error:
                raise Refusal(400, "bad_request", str(error)) from None
        return self._economy.submit(
            account,
            asked.model,
            prompt=asked.prompt,
            params=asked.params,
            price=price_of(asked.model, asked.params, input_s=_input_s(sources)).tokens,
            wait_s=wait_s,
            text=text,
            media=facts,
            doom=str(fault["reason"]) if fault.get("kind") == "fail" else None,
        )

    def _text(self, asked: Asked, sources: Mapping[str, Mapping[str, Any]]) -> str:
        if sources:
            source = next(iter(sources.values()))
            size = (int(source.get("width") or 0), int(source.get("height") or 0))
            return words.ocr(asked.model.slug, size, source.get("prompt"))
        limit = asked.params.get("max_tokens")
        return words.answer(
            asked.prompt, asked.model.slug, system=asked.system, earlier=asked.earlier, max_tokens=limit
        )

    def _sources(self, category: Category, model: Model, params: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        return {
            param.name: source_of(param, params[param.name], self._economy.stored)
            for param in catalog().params_of(category, model)
            if param.type == "input" and param.name in params
        }

    def _wait_s(self, asked: Asked) -> float:
        """A wait within the first half of the documented one, the same for the same call, scaled."""
        low, high = asked.model.typical_s or asked.category.typical_s
        share = Random(f"{asked.model.slug} {asked.prompt}").random() / 2  # noqa: S311 - a wait, not a secret
        return (low + (high - low) * share) * self._time_scale

    def _is_job(self, asked: Asked) -> bool:
        returns = asked.model.returns or asked.category.returns
        music = asked.category.name == "music" and self._dialect == "a"  # api R16
        return returns == "video" or music or asked.model.slug in self._slow_models

    def _streamed(self, request: Request, account: int, asked: Asked) -> Response:
        fault: Mapping[str, Any] = request.scope.get("sandbox.fault", {})
        wait_s, text = self._wait_s(asked), None
        if fault.get("kind") == "long":
            text = words.long_answer(asked.model.slug, int(fault["pieces"]))
            wait_s = fault["pieces"] / fault["per_second"] if fault["per_second"] else 0.0
        row = self._submit(account, asked, wait_s, fault, text)
        request.scope["sandbox.settle"] = lambda: self._economy.finish(row.id)
        events = self._events(self._shapes(request), row, wait_s)
        return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})

    async def _events(self, shapes: Shapes, row: Generation, wait_s: float) -> AsyncIterator[str]:
        """The documented events. A client that goes away is charged all the same: the clock completes the row."""
        wire_id = shapes.wire_id(row.id)
        parts = words.pieces(row.text or "")
        yield _event({"type": "generation_start", "id": wire_id, "model": row.model})
        for part in parts:
            if wait_s:
                await asyncio.sleep(wait_s / len(parts))
            yield _event({"type": "content_delta", "delta": part})
        done = self._economy.finish(row.id)
        if done.status == "failed":
            yield _event({"type": "error", "message": done.error})
        elif self._dialect == "a":
            yield _event({"type": "generation_end", "id": wire_id, "tokens_spent": done.tokens})
        else:
            yield _event(
                {
                    "type": "generation_end",
                    "id": wire_id,
                    "tokens_used": done.tokens,
                    "balance_remaining": done.balance,
                }
            )
        yield "data: [DONE]\n\n"

    # ------------------------------------------------------------ models and prices

    async def _list_models(self, request: Request, _account: int) -> Response:
        shapes = self._shapes(request)
        rows = [shapes.model(model) for model in self._models.values()]
        if wanted := request.query_params.get("category"):
            rows = [row for row in rows if row["category"] == wanted]
        return JSONResponse({"items": rows, "total": len(rows)} if self._dialect == "a" else rows)

    def _named(self, request: Request) -> Model:
        slug = request.path_params["slug"]
        model = self._models.get(slug)
        if model is None:
            raise Refusal(404, "not_found", f"Model {slug!r} not found")
        return model

    async def _model(self, request: Request, _account: int) -> Response:
        return JSONResponse(self._shapes(request).model(self._named(request)))

    async def _price(self, request: Request, _account: int) -> Response:
        model, body = self._named(request), await _json(request)
        if not isinstance(body, dict):
            raise Refusal(422, "validation_error", "body: must be an object", {"body": "must be an object"})
        params, count = body.get("params") or {}, body.get("count", 1)
        if not isinstance(params, dict):
            raise Refusal(422, "validation_error", "params: must be an object", {"params": "must be an object"})
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 1000:
            raise Refusal(422, "validation_error", "count: must be 1 or more", {"count": "must be 1 or more"})
        category = catalog().categories[model.category]
        params = checked(category, model, params, whole=False)
        price = price_of(model, params, input_s=_input_s(self._sources(category, model, params)))
        return JSONResponse(
            {
                "token_cost": price.tokens * count,
                "min_token_cost": price.minimum,
                "max_token_cost": price.maximum,
                "pricing_type": price.kind,
            }
        )

    # ------------------------------------------------------------ the account

    async def _balance(self, request: Request, account: int) -> Response:
        return JSONResponse(self._shapes(request).balance(self._economy.account(account)))

    async def _rich_balance(self, request: Request, account: int) -> Response:
        return JSONResponse(self._shapes(request).rich_balance(self._economy.account(account)))

    async def _me(self, request: Request, account: int) -> Response:
        return JSONResponse(self._shapes(request).profile(self._economy.account(account)))

    async def _rename(self, request: Request, account: int) -> Response:
        name = (await _object(request)).get("name")
        if isinstance(name, str) and name:
            self._economy.rename(account, name)
        return await self._me(request, account)

    async def _stats(self, _request: Request, account: int) -> Response:
        return JSONResponse(self._economy.stats(account))

    async def _settings(self, _request: Request, account: int) -> Response:
        return JSONResponse(dict(self._economy.account(account).settings))

    async def _change_settings(self, request: Request, account: int) -> Response:
        changes = {name: value for name, value in (await _object(request)).items() if name in _SETTINGS}
        for name, value in changes.items():
            if value not in _SETTINGS[name]:
                known = ", ".join(map(str, _SETTINGS[name]))
                raise Refusal(422, "validation_error", f"{name}: one of {known}", {name: f"one of {known}"})
        return JSONResponse(dict(self._economy.change_settings(account, changes)))

    async def _history(self, request: Request, account: int) -> Response:
        query = request.query_params
        page, limit = _whole(query.get("page"), "page", 1, 10**9), _whole(query.get("limit"), "limit", 20, _PAGE_LIMIT)
        wanted = query.get("category") or query.get("type") or ""
        names = tuple(row.name for row in catalog().categories.values() if wanted in row.wire or wanted == row.name)
        rows, total = self._economy.history(
            account,
            page=page,
            limit=limit,
            categories=(names or ("?",)) if wanted else (),
            model=query.get("model_slug") or query.get("model") or "",
            status=query.get("status") or "",
            favorites_only=query.get("favorites_only") == "true",
        )
        return JSONResponse(self._shapes(request).history(rows, total, page, limit))

    async def _favorite(self, request: Request, account: int) -> Response:
        row = self._economy.mark(account, self._id(request))
        return JSONResponse({"id": self._shapes(request).wire_id(row.id), "is_favorited": row.favorite})

    async def _rate(self, request: Request, account: int) -> Response:
        rating = (await _object(request)).get("rating")
        if isinstance(rating, bool) or not isinstance(rating, int) or not 1 <= rating <= 5:
            raise Refusal(422, "validation_error", "rating: from 1 to 5", {"rating": "from 1 to 5"})
        row = self._economy.mark(account, self._id(request), rating=rating)
        return JSONResponse({"id": self._shapes(request).wire_id(row.id), "user_rating": row.rating})

    async def _delete(self, request: Request, account: int) -> Response:
        self._economy.mark(account, self._id(request), hide=True)
        return Response(status_code=204)

    async def _add_key(self, request: Request, account: int) -> Response:
        name = (await _object(request)).get("name")
        if not isinstance(name, str) or not name:
            raise Refusal(422, "validation_error", "name: field required", {"name": "field required"})
        made = self._economy.add_key(account, name)
        return JSONResponse(made | {"created_at": instant(made["created_at"])}, 201)

    async def _rename_key(self, request: Request, account: int) -> Response:
        key_id, name = request.path_params["key_id"], str((await _object(request)).get("name") or "")
        self._economy.rename_key(account, key_id, name)
        return JSONResponse({"id": key_id, "name": name})

    async def _revoke_key(self, request: Request, account: int) -> Response:
        self._economy.revoke_key(account, request.path_params["key_id"])
        return Response(status_code=204)

    # ------------------------------------------------------------ files and control

    async def _file(self, request: Request) -> Response:
        kind, (stem, _, extension) = request.path_params["kind"], request.path_params["name"].rpartition(".")
        number = own_id(stem, "a") or own_id(stem, "b")
        row = self._economy.stored(number) if number is not None else None
        thumbnail = kind == "thumbnails"
        if row is None or row.media is None or (extension != "jpg" if thumbnail else extension != row.media["ext"]):
            raise HTTPException(404)
        data = await self._files.get(row, thumbnail=thumbnail)
        return _ranged(request, data, media_maker.mime_of(extension))

    async def _control(self, request: Request, account: int) -> Response:
        """``{"verb": "plan", "args": ["pro"]}``, or ``{"verb": "fault", "kind": "slow", "seconds": 2}``."""
        body = await _object(request)
        verb, args = str(body.pop("verb", "status")), body.pop("args", [])
        if not isinstance(args, list):
            raise Refusal(400, "bad_request", "args: a list")
        if verb != "fault":
            return JSONResponse(self._economy.control(account, verb, *args))
        if args == ["clear"]:
            self._faults.clear()
        elif "kind" in body:
            try:
                self._faults.add(str(body.pop("kind")), **body)
            except (TypeError, ValueError) as error:
                raise Refusal(400, "bad_request", str(error)) from None
        return JSONResponse({"faults": self._faults.waiting()})


def _input_s(sources: Mapping[str, Mapping[str, Any]]) -> float | None:
    """The length of the recording a call works on, where the sandbox made it."""
    return next((float(row["duration_s"]) for row in sources.values() if "duration_s" in row), None)


# ---------------------------------------------------------------- HTTP


def _event(event: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(event, ensure_ascii=False)}\n\n"


async def _json(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError):
        raise Refusal(400, "bad_request", "The body is not JSON") from None


async def _object(request: Request) -> dict[str, Any]:
    body = await _json(request)
    if not isinstance(body, dict):
        raise Refusal(422, "validation_error", "body: must be an object", {"body": "must be an object"})
    return body


def _whole(text: str | None, name: str, default: int, maximum: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:12]) <= maximum):
        raise Refusal(422, "validation_error", f"{name}: from 1 to {maximum}", {name: f"from 1 to {maximum}"})
    return int(text)


def _ranged(request: Request, data: bytes, mime: str) -> Response:
    """The file, or the part of it a player asks for."""
    headers = {"Accept-Ranges": "bytes", "Cache-Control": "private, max-age=3600"}
    found = _RANGE.fullmatch(request.headers.get("range", ""))
    if found is None or not (found[1] or found[2]):
        return Response(data, media_type=mime, headers=headers)
    if found[1]:
        start, end = int(found[1]), min(int(found[2] or len(data)), len(data) - 1)
    else:
        start, end = max(len(data) - int(found[2]), 0), len(data) - 1
    if start > end:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
    return Response(data[start : end + 1], 206, media_type=mime, headers=headers)


async def _http_error(_request: Request, error: Exception) -> Response:
    """Paths and methods that do not exist, in the documented form."""
    assert isinstance(error, HTTPException)
    body = {"error": _CODES.get(error.status_code, "bad_request"), "message": str(error.detail), "details": {}}
    return JSONResponse(body, error.status_code)


async def _server_error(_request: Request, error: Exception) -> Response:
    """A defect of the sandbox: told as such, with nothing charged."""
    body = {"error": "provider_error", "message": f"The sandbox has a defect: {error!r}", "details": {}}
    return JSONResponse(body, 500)
