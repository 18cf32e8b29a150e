"""PURE. The two families of replies that Elumenta's documentation shows, from the same rows.

Family ``a`` (`en/api-reference/generate/*`): integer ids, `tokens_spent`, `result_url`, sizes in `result_metadata`.
Family ``b`` (`en/api-reference/generations/*`): ids like ``gen_01j9x2…``, `tokens_used`, `url` or `output_url`,
`content`, `balance_remaining`, `progress` and `eta_seconds` while pending.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from elumenta_nb._catalog import Category, Model, catalog

from .rows import Account, Generation, min_plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Dialect", "Shapes", "instant", "own_id"]

Dialect = Literal["a", "b"]

_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_STRING_ID: Final = re.compile(r"gen_01j9x2([0-9a-z]{6})")
_CONFIG_NAMES: Final = {
    "size": "sizes",
    "quality": "quality_options",
    "format": "formats",
    "aspect_ratio": "aspect_ratios",
    "duration": "durations",
    "resolution": "resolutions",
    "mode": "modes",
    "voice_id": "voices",
    "style": "styles",
    "scale": "scales",
}


def instant(seconds: float | None) -> str | None:
    """A Unix time as the API writes it."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def own_id(text: str, dialect: Dialect) -> int | None:
    """The number behind an id of that family; ``None`` when it is none."""
    if dialect == "a":
        return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
    found = _STRING_ID.fullmatch(text)
    return int(found[1], 36) if found else None


@dataclass(frozen=True, slots=True)
class Shapes:
    """Writes rows in one family. `base` is the origin that file links begin with."""

    dialect: Dialect
    base: str
    now: float

    def wire_id(self, number: int) -> int | str:
        if self.dialect == "a":
            return number
        digits = ""
        while number:
            number, digit = divmod(number, 36)
            digits = _DIGITS[digit] + digits
        return f"gen_01j9x2{digits:0>6}"

    def file_url(self, row: Generation) -> str | None:
        if row.media is None or row.status != "completed":
            return None
        return f"{self.base}/storage/generations/{self.wire_id(row.id)}.{row.media['ext']}"

    def thumbnail_url(self, row: Generation) -> str | None:
        if row.media is None or row.media["kind"] != "video" or row.status != "completed":
            return None
        return f"{self.base}/storage/thumbnails/{self.wire_id(row.id)}.jpg"

    # ------------------------------------------------------------ one generation

    def generation(self, row: Generation, *, first: bool = False) -> dict[str, Any]:
        """A generation; `first` is the reply to the request that made it."""
        return self._a(row, first=first) if self.dialect == "a" else self._b(row)

    def _a(self, row: Generation, *, first: bool) -> dict[str, Any]:
        reply: dict[str, Any] = {"id": self.wire_id(row.id), "status": row.status, "model_slug": row.model}
        if row.status == "pending":
            if first:
                return reply | {"processing_ms": None, "created_at": instant(row.created_at)}
            return reply | {"result_url": None, "tokens_spent": 0}
        if row.status == "failed":
            return reply | {"error": row.error, "tokens_spent": 0}
        reply |= {
            "result_text": row.text,
            "result_url": self.file_url(row),
            "thumbnail_url": self.thumbnail_url(row),
            "error": None,
            "tokens_spent": row.tokens,
            "processing_ms": _took_ms(row),
            "result_metadata": _metadata(row) or None,
        }
        media = row.media or {}
        if media.get("kind") == "image":
            reply["seed"] = media["seed"]
            for name in ("result_text", "error", "thumbnail_url"):  # the documented picture has no such keys
                del reply[name]
        if media.get("kind") == "video":
            reply |= {"created_at": instant(row.created_at), "completed_at": instant(row.completed_at)}
        return reply

    def _b(self, row: Generation) -> dict[str, Any]:
        category = catalog().categories[row.category]
        reply: dict[str, Any] = {
            "id": self.wire_id(row.id),
            "status": row.status,
            "type": category.wire[0],
            "model": row.model,
            "created_at": instant(row.created_at),
        }
        if row.status == "pending":
            whole = max(row.ready_at - row.created_at, 0.001)
            left = max(row.ready_at - self.now, 0.0)
            return reply | {"progress": int(100 * (1 - left / whole)), "eta_seconds": math.ceil(left)}
        if row.status == "failed":
            return reply | {"error": row.error, "tokens_used": 0}
        reply |= {
            "tokens_used": row.tokens,
            "balance_remaining": row.balance,
            "completed_at": instant(row.completed_at),
        }
        if row.text is not None:
            reply |= {"content": row.text, "usage": usage(row)}
        if url := self.file_url(row):
            facts = _metadata(row)
            if "width" in facts:
                reply |= {"url": url, **facts}
            else:
                reply |= {"output_url": url, "duration_seconds": facts.get("duration")}
        if thumbnail := self.thumbnail_url(row):
            reply["thumbnail_url"] = thumbnail
        return reply

    # ------------------------------------------------------------ lists and accounts

    def history(self, rows: Sequence[Generation], total: int, page: int, limit: int) -> dict[str, Any]:
        envelope = {"items": [self._item(row) for row in rows], "total": total, "page": page, "limit": limit}
        return envelope if self.dialect == "a" else envelope | {"pages": math.ceil(total / limit)}

    def _item(self, row: Generation) -> dict[str, Any]:
        category = catalog().categories[row.category].wire[0]
        if self.dialect == "b":
            return {
                "id": self.wire_id(row.id),
                "type": category,
                "model": row.model,
                "status": row.status,
                "prompt": row.prompt,
                "url": self.file_url(row),
                "tokens_used": row.tokens,
                "created_at": instant(row.created_at),
            }
        known = catalog().models.get(row.model)
        return {
            "id": self.wire_id(row.id),
            "model_slug": row.model,
            "model_name": (known.name if known else "") or row.model,
            "category": category,
            "prompt": row.prompt,
            "status": row.status,
            "result_text": row.text if row.status == "completed" else None,
            "result_url": self.file_url(row),
            "tokens_spent": row.tokens,
            "is_favorited": row.favorite,
            "user_rating": row.rating,
            "created_at": instant(row.created_at),
        }

    def model(self, model: Model) -> dict[str, Any]:
        category = catalog().categories[model.category]
        language = "en" if self.dialect == "a" else "ru"
        return {
            "slug": model.slug,
            "name": model.name or model.slug,
            "category": category.wire[0],
            "provider": model.provider or None,
            "min_plan": min_plan(model),
            "token_cost": model.minimum,
            "min_token_cost": model.minimum,
            "max_token_cost": model.maximum,
            f"description_{language}": f"SANDBOX: a stand-in for {model.slug}",
            "supports_streaming": category.ask == "stream",
            "config": _config(category, model),
        }

    def balance(self, account: Account) -> dict[str, Any]:
        return {
            "token_balance": account.balance,
            "plan": account.plan,
            "plan_expires_at": instant(account.refills_at),
        }

    def rich_balance(self, account: Account) -> dict[str, Any]:
        return self.balance(account) | {
            "plan_tokens_remaining": account.plan_tokens,
            "bonus_tokens": account.package_tokens,
            "next_refill_at": instant(account.refills_at),
        }

    def profile(self, account: Account) -> dict[str, Any]:
        facts = {
            "id": account.id,
            "email": None,
            "telegram_username": None,
            "plan": account.plan,
            "plan_expires_at": instant(account.refills_at),
            "token_balance": account.balance,
            "token_limit": account.row.tokens,
            "tokens_used_this_period": max(account.row.tokens - account.plan_tokens, 0),
            "auth_methods": {"telegram": False, "google": False, "email": False},
        }
        if self.dialect == "b":
            return facts | {"username": account.name, "created_at": instant(account.created_at)}
        return facts | {
            "name": account.name,
            "avatar_url": None,
            "rate_limit_hourly": account.limit_hour,
            "rate_limit_daily": account.limit_day,
        }


def usage(row: Generation) -> dict[str, int]:
    """What a provider would count: LLM tokens, four characters each; not billed."""
    asked, said = math.ceil(len(row.prompt) / 4), math.ceil(len(row.text or "") / 4)
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


def _took_ms(row: Generation) -> int | None:
    return None if row.completed_at is None else round((row.completed_at - row.created_at) * 1000)


def _metadata(row: Generation) -> dict[str, Any]:
    media: Mapping[str, Any] = row.media or {}
    facts = {"duration": media.get("duration_s"), "width": media.get("width"), "height": media.get("height")}
    return {name: _plain(value) for name, value in facts.items() if value is not None}


def _plain(value: float) -> float:
    return int(value) if value == int(value) else value


def _config(category: Category, model: Model) -> dict[str, Any]:
    """What the model takes, by the names of `en/api-reference/models/get`."""
    config: dict[str, Any] = {}
    for param in catalog().params_of(category, model):
        values = list(param.choices or param.suggestions)
        if values and param.name in _CONFIG_NAMES:
            config[_CONFIG_NAMES[param.name]] = values
    return config
