"""The HTTP face: Elumenta's documented endpoints over the sandbox's economy, in one of the two reply families."""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from random import Random
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from elumenta_nb._catalog import catalog

from .asked import Asked, checked, input_s, read_body, sources_of
from .desk import Desk, Face
from .files import Files
from .http import event, http_error, json_body, object_body, ranged, server_error
from .makers import media as media_maker, words
from .prices import price_of
from .replies import own_id
from .rows import Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping

    from starlette.requests import Request

    from elumenta_nb._catalog import Model

    from .economy import Economy
    from .faults import Faults
    from .replies import Dialect, Shapes
    from .rows import Generation

__all__ = ["Api"]

_PREFIX: Final = "/api/v2"
_JOBS: Final = {"a": {"video", "music"}, "b": {"video"}}  # answered before they are done (api R16)


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
        self._face = Face(dialect, clock)
        self._desk = Desk(economy, self._face, models)
        self._files = Files(economy)

    def close(self) -> None:
        self._files.close()

    def build(self) -> Starlette:
        """The application of this family's paths."""
        api: list[tuple[str, str, Callable[[Request, int], Awaitable[Response]]]] = [
            ("POST", "/generate", self._generate),
            ("POST", "/stt", self._stt),
            *self._desk.routes(),
        ]
        if self._dialect == "a":
            api += [("POST", "/generate/stream", self._stream), ("GET", "/generate/{id}", self._status)]
        else:
            api += [("GET", "/generate/status/{id}", self._status)]
            if self._strict_forms:
                api = [route for route in api if route[1] != "/balance"]  # api R10
        routes = [Route(_PREFIX + path, self._behind_key(handler), methods=[verb]) for verb, path, handler in api]
        routes += [
            Route("/storage/{kind}/{name}", self._file, methods=["GET"]),
            Route("/sandbox/control", self._behind_key(self._control, gate=False), methods=["POST"]),
        ]
        return Starlette(routes=routes, exception_handlers={HTTPException: http_error})

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
            except HTTPException:
                raise
            except Exception as error:  # noqa: BLE001 - a defect of the sandbox is an answer, not a traceback
                response = server_error(error)
            response.headers["Date"] = formatdate(self._clock(), usegmt=True)
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

    # ------------------------------------------------------------ generations

    async def _generate(self, request: Request, account: int) -> Response:
        asked = read_body(await json_body(request), self._models, dialect=self._dialect, strict=self._strict_forms)
        if asked.category.ask == "stt":
            raise Refusal(400, "bad_request", f"{asked.model.slug} takes a file: POST /stt")
        if asked.stream and self._dialect == "b" and asked.category.ask == "stream":
            return self._streamed(request, account, asked)
        return await self._answered(request, account, asked)

    async def _stream(self, request: Request, account: int) -> Response:
        asked = read_body(await json_body(request), self._models, dialect=self._dialect, strict=self._strict_forms)
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
        row = self._economy.generation(account, self._face.generation_id(request))
        return JSONResponse(self._face.shapes(request).generation(row))

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
        return JSONResponse(self._face.shapes(request).generation(row, first=True))

    def _submit(
        self, account: int, asked: Asked, wait_s: float, fault: Mapping[str, Any], text: str | None = None
    ) -> Generation:
        self._economy.allow(account, asked.model)
        facts = None
        returns = asked.model.returns or asked.category.returns
        sources = sources_of(asked.category, asked.model, asked.params, self._economy.stored)
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
            price=price_of(asked.model, asked.params, input_s=input_s(sources)).tokens,
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

    def _wait_s(self, asked: Asked) -> float:
        """A wait within the first half of the documented one, the same for the same call, scaled."""
        low, high = asked.model.typical_s or asked.category.typical_s
        share = Random(f"{asked.model.slug} {asked.prompt}").random() / 2  # noqa: S311 - a wait, not a secret
        return (low + (high - low) * share) * self._time_scale

    def _is_job(self, asked: Asked) -> bool:
        return asked.category.name in _JOBS[self._dialect] or asked.model.slug in self._slow_models

    def _streamed(self, request: Request, account: int, asked: Asked) -> Response:
        fault: Mapping[str, Any] = request.scope.get("sandbox.fault", {})
        wait_s, text = self._wait_s(asked), None
        if fault.get("kind") == "long":
            text = words.long_answer(asked.model.slug, int(fault["pieces"]))
            wait_s = fault["pieces"] / fault["per_second"] if fault["per_second"] else 0.0
        row = self._submit(account, asked, wait_s, fault, text)
        request.scope["sandbox.settle"] = lambda: self._economy.finish(row.id)
        events = self._events(self._face.shapes(request), row, wait_s)
        return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})

    async def _events(self, shapes: Shapes, row: Generation, wait_s: float) -> AsyncIterator[str]:
        """The documented events. A client that goes away is charged all the same: the clock completes the row."""
        wire_id = shapes.wire_id(row.id)
        parts = words.pieces(row.text or "")
        yield event({"type": "generation_start", "id": wire_id, "model": row.model})
        began = asyncio.get_running_loop().time()
        for i, part in enumerate(parts):
            if wait_s:  # by the clock, so that late pieces do not make all others late
                due = began + wait_s * (i + 1) / len(parts)
                await asyncio.sleep(max(due - asyncio.get_running_loop().time(), 0))
            yield event({"type": "content_delta", "delta": part})
        done = self._economy.finish(row.id)
        if done.status == "failed":
            yield event({"type": "error", "message": done.error})
        elif self._dialect == "a":
            yield event({"type": "generation_end", "id": wire_id, "tokens_spent": done.tokens})
        else:
            yield event(
                {
                    "type": "generation_end",
                    "id": wire_id,
                    "tokens_used": done.tokens,
                    "balance_remaining": done.balance,
                }
            )
        yield "data: [DONE]\n\n"

    # ------------------------------------------------------------ files and control

    async def _file(self, request: Request) -> Response:
        kind, (stem, _, extension) = request.path_params["kind"], request.path_params["name"].rpartition(".")
        number = own_id(stem, "a") or own_id(stem, "b")
        row = self._economy.stored(number) if number is not None else None
        thumbnail = kind == "thumbnails"
        if row is None or row.media is None or (extension != "jpg" if thumbnail else extension != row.media["ext"]):
            raise HTTPException(404)
        data = await self._files.get(row, thumbnail=thumbnail)
        return ranged(request, data, media_maker.mime_of(extension))

    async def _control(self, request: Request, account: int) -> Response:
        """``{"verb": "plan", "args": ["pro"]}``, or ``{"verb": "fault", "kind": "slow", "seconds": 2}``."""
        body = await object_body(request)
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
