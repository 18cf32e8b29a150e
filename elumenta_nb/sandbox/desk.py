"""The desk: models and prices, the account's balance, profile, settings, history and keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from starlette.responses import JSONResponse, Response

from elumenta_nb._catalog import catalog

from .asked import checked, input_s, sources_of
from .http import json_body, object_body, whole
from .prices import price_of
from .replies import Dialect, Shapes, instant, own_id
from .rows import Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request

    from elumenta_nb._catalog import Model

    from .economy import Economy

    Handler = Callable[[Request, int], Awaitable[Response]]

__all__ = ["Desk", "Face"]

_PAGE_LIMIT: Final = 100
_SETTINGS: Final = {
    "language": ("en", "ru"),
    "image_format": ("webp", "png", "jpeg"),
    "notifications_enabled": (True, False),
}


class Face(NamedTuple):
    """The family of replies this server speaks, and its clock."""

    dialect: Dialect
    clock: Callable[[], float]

    def shapes(self, request: Request) -> Shapes:
        """Replies whose links lead back to the host that was asked."""
        host = request.headers.get("host") or "127.0.0.1"
        return Shapes(self.dialect, f"{request.url.scheme}://{host}", self.clock())

    def generation_id(self, request: Request) -> int:
        """The generation a path names. Raises `Refusal` (404)."""
        text = request.path_params["id"]
        number = own_id(text, self.dialect)
        if number is None:
            raise Refusal(404, "not_found", f"Generation {text} not found")
        return number


class Desk:
    """Handlers that read and change the account; none of them costs anything."""

    def __init__(self, economy: Economy, face: Face, models: Mapping[str, Model]) -> None:
        self._economy = economy
        self._face = face
        self._dialect = face.dialect
        self._models = models

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Method, path and handler of each."""
        return [
            ("GET", "/models", self._list_models),
            ("GET", "/models/{slug}", self._model),
            ("POST", "/models/{slug}/calculate-price", self._price),
            ("GET", "/balance", self._balance),
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

    # ------------------------------------------------------------ models and prices

    async def _list_models(self, request: Request, _account: int) -> Response:
        shapes = self._face.shapes(request)
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
        return JSONResponse(self._face.shapes(request).model(self._named(request)))

    async def _price(self, request: Request, _account: int) -> Response:
        model, body = self._named(request), await json_body(request)
        if not isinstance(body, dict):
            raise Refusal(422, "validation_error", "body: must be an object", {"body": "must be an object"})
        params, count = body.get("params") or {}, body.get("count", 1)
        if not isinstance(params, dict):
            raise Refusal(422, "validation_error", "params: must be an object", {"params": "must be an object"})
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 1000:
            raise Refusal(422, "validation_error", "count: must be 1 or more", {"count": "must be 1 or more"})
        category = catalog().categories[model.category]
        params = checked(category, model, params, whole=False)
        price = price_of(model, params, input_s=input_s(sources_of(category, model, params, self._economy.stored)))
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
        return JSONResponse(self._face.shapes(request).balance(self._economy.account(account)))

    async def _rich_balance(self, request: Request, account: int) -> Response:
        return JSONResponse(self._face.shapes(request).rich_balance(self._economy.account(account)))

    async def _me(self, request: Request, account: int) -> Response:
        return JSONResponse(self._face.shapes(request).profile(self._economy.account(account)))

    async def _rename(self, request: Request, account: int) -> Response:
        name = (await object_body(request)).get("name")
        if isinstance(name, str) and name:
            self._economy.rename(account, name)
        return await self._me(request, account)

    async def _stats(self, _request: Request, account: int) -> Response:
        return JSONResponse(self._economy.stats(account))

    async def _settings(self, _request: Request, account: int) -> Response:
        return JSONResponse(dict(self._economy.account(account).settings))

    async def _change_settings(self, request: Request, account: int) -> Response:
        changes = {name: value for name, value in (await object_body(request)).items() if name in _SETTINGS}
        for name, value in changes.items():
            if value not in _SETTINGS[name]:
                known = ", ".join(map(str, _SETTINGS[name]))
                raise Refusal(422, "validation_error", f"{name}: one of {known}", {name: f"one of {known}"})
        return JSONResponse(dict(self._economy.change_settings(account, changes)))

    async def _history(self, request: Request, account: int) -> Response:
        query = request.query_params
        page, limit = whole(query.get("page"), "page", 1, 10**9), whole(query.get("limit"), "limit", 20, _PAGE_LIMIT)
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
        return JSONResponse(self._face.shapes(request).history(rows, total, page, limit))

    async def _favorite(self, request: Request, account: int) -> Response:
        row = self._economy.mark(account, self._face.generation_id(request))
        return JSONResponse({"id": self._face.shapes(request).wire_id(row.id), "is_favorited": row.favorite})

    async def _rate(self, request: Request, account: int) -> Response:
        rating = (await object_body(request)).get("rating")
        if isinstance(rating, bool) or not isinstance(rating, int) or not 1 <= rating <= 5:
            raise Refusal(422, "validation_error", "rating: from 1 to 5", {"rating": "from 1 to 5"})
        row = self._economy.mark(account, self._face.generation_id(request), rating=rating)
        return JSONResponse({"id": self._face.shapes(request).wire_id(row.id), "user_rating": row.rating})

    async def _delete(self, request: Request, account: int) -> Response:
        self._economy.mark(account, self._face.generation_id(request), hide=True)
        return Response(status_code=204)

    async def _add_key(self, request: Request, account: int) -> Response:
        name = (await object_body(request)).get("name")
        if not isinstance(name, str) or not name:
            raise Refusal(422, "validation_error", "name: field required", {"name": "field required"})
        made = self._economy.add_key(account, name)
        return JSONResponse(made | {"created_at": instant(made["created_at"])}, 201)

    async def _rename_key(self, request: Request, account: int) -> Response:
        key_id, name = request.path_params["key_id"], str((await object_body(request)).get("name") or "")
        self._economy.rename_key(account, key_id, name)
        return JSONResponse({"id": key_id, "name": name})

    async def _revoke_key(self, request: Request, account: int) -> Response:
        self._economy.revoke_key(account, request.path_params["key_id"])
        return Response(status_code=204)
