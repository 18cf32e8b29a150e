"""Price, balance, profile, statistics, limits, models and history, in either family. No reader raises."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from elumenta_nb._catalog import Category, Model, catalog
from elumenta_nb._values import Balance, History, Limits, Profile, Quote

from . import _fields as f
from ._replies import TOKENS, read_reply

__all__ = [
    "ITEMS",
    "read_balance",
    "read_history",
    "read_limits",
    "read_models",
    "read_profile",
    "read_quote",
    "read_stats",
]

ITEMS: Final = ("items", "models", "data", "results")
_HISTORY: Final = ("items", "data", "history", "results", "generations", "records", "rows", "entries", "list", "result")
_HISTORY_LEVELS: Final = 4
_BESIDE: Final = ("meta", "pagination", "paging")  # where the total may be told beside a list
_AROUND: Final = ("data", "result", "user", "profile", "account", "balance", "price")  # envelopes of one object
_BALANCE: Final = ("token_balance", "balance", "balance_remaining", "tokens")
_TIERS: Final = {"free": "Starter", "basic": "Basic+"}
# `config` of a model -> the parameter it is about, and the column of the table that it fills
_CONFIG: Final = {
    "sizes": ("size", "choices"),
    "formats": ("format", "choices"),
    "quality_options": ("quality", "choices"),
    "qualities": ("quality", "choices"),
    "styles": ("style", "choices"),
    "aspect_ratios": ("aspect_ratio", "choices"),
    "durations": ("duration", "choices"),
    "resolutions": ("resolution", "choices"),
    "modes": ("mode", "choices"),
    "voices": ("voice_id", "suggestions"),  # any other voice id works too
}


def read_quote(obj: Any) -> Quote | None:
    """The price; ``None`` where no figure can be read. Of a range alone the upper end counts."""
    return next((quote for source in _layers(obj) if (quote := _quote(source)) is not None), None)


def _quote(source: Mapping[str, Any]) -> Quote | None:
    low = f.first(source, ("min_token_cost",), f.tokens)
    high = f.first(source, ("max_token_cost",), f.tokens)
    price = f.first(source, ("token_cost", "tokens"), f.tokens)
    price = high if price is None else price
    if price is None:
        return None
    return Quote(
        tokens=price,
        minimum=price if low is None else min(low, price),
        maximum=price if high is None else max(high, price),
        pricing_type=f.first(source, ("pricing_type",), f.word) or "fixed",
    )


def read_balance(obj: Any) -> Balance | None:
    """The balance, plain or rich (R10); ``None`` where no figure can be read."""
    return next((balance for source in _layers(obj) if (balance := _balance(source)) is not None), None)


def _balance(source: Mapping[str, Any]) -> Balance | None:
    balance = f.first(source, _BALANCE, f.tokens)
    if balance is None:
        return None
    return Balance(
        tokens=balance,
        plan=f.first(source, ("plan",), f.word) or "",
        expires_at=f.first(source, ("plan_expires_at",), f.moment),
        plan_tokens=f.first(source, ("plan_tokens_remaining",), f.tokens),
        package_tokens=f.first(source, ("bonus_tokens",), f.tokens),
        refills_at=f.first(source, ("next_refill_at",), f.moment),
    )


def read_profile(obj: Any) -> Profile:
    """The profile (R15), every field optional."""
    layers = list(_layers(obj))
    source = next((layer for layer in layers if f.identity(layer.get("id")) is not None), layers[0])
    identity = f.identity(source.get("id"))
    return Profile(
        id="" if identity is None else str(identity),
        name=f.first(source, ("name", "username", "telegram_username"), f.word) or "",
        plan=f.first(source, ("plan",), f.word) or "",
        expires_at=f.first(source, ("plan_expires_at",), f.moment),
        balance=f.first(source, _BALANCE, f.tokens),
        plan_tokens=f.first(source, ("token_limit",), f.tokens),
        used_tokens=f.first(source, ("tokens_used_this_period",), f.tokens),
        limit_hour=f.first(source, ("rate_limit_hourly",), f.count),
        limit_day=f.first(source, ("rate_limit_daily",), f.count),
    )


def read_stats(obj: Any) -> dict[str, Any]:
    """The totals under their documented names; what cannot be read is left out."""
    layers = list(_layers(obj))
    source = next((layer for layer in layers if "tokens_spent_total" in layer or "breakdown" in layer), layers[0])
    recent = f.mapping(source.get("recent_30d")) or {}
    breakdown = {
        str(name): found
        for name, row in (f.mapping(source.get("breakdown")) or {}).items()
        if (found := _figures(f.mapping(row) or {}, count=("count",), tokens=("tokens",)))
    }
    stats: dict[str, Any] = _figures(
        source, total_generations=("total_generations",), tokens_spent_total=("tokens_spent_total", *TOKENS)
    )
    if breakdown:
        stats["breakdown"] = breakdown
    if last := _figures(recent, generations=("generations",), tokens_spent=TOKENS):
        stats["recent_30d"] = last
    return stats


def _layers(obj: Any) -> Iterator[Mapping[str, Any]]:
    """The object, and those that may be the answer inside it."""
    source = f.mapping(obj) or {}
    yield source
    for name in _AROUND:
        inner = f.mapping(source.get(name))
        if inner is not None:
            yield inner


def _figures(source: Mapping[str, Any], **names: tuple[str, ...]) -> dict[str, int]:
    found = {name: f.first(source, aliases, f.count) for name, aliases in names.items()}
    return {name: value for name, value in found.items() if value is not None}


def read_limits(headers: Mapping[str, str]) -> Limits | None:
    """The documented rate-limit headers; ``None`` where there are none. Words such as "unlimited" are "not told"."""
    if "x-ratelimit-limit-hour" not in headers and "x-ratelimit-remaining-hour" not in headers:
        return None
    return Limits(
        hour=f.count(headers.get("x-ratelimit-limit-hour")),
        hour_left=f.count(headers.get("x-ratelimit-remaining-hour")),
        day=f.count(headers.get("x-ratelimit-limit-day")),
        day_left=f.count(headers.get("x-ratelimit-remaining-day")),
        resets_at=f.moment(headers.get("x-ratelimit-reset-hour")),
    )


def read_models(obj: Any) -> list[Model]:
    """The models of a list in any envelope, or of one model's own reply; a row without a slug is left out."""
    found = {model.slug: model for row in _rows(obj, ITEMS) if (model := _model(row)) is not None}
    return list(found.values())


def _model(row: Mapping[str, Any]) -> Model | None:
    slug = f.first(row, ("slug", "model_slug", "id"), f.word)
    if slug is None:
        return None
    home = catalog().of_wire(f.first(row, ("category", "type"), f.word) or "", slug)
    if home is None:  # a group we cannot place cannot be asked for either
        return None
    base = f.first(row, ("token_cost",), f.tokens)
    low = f.first(row, ("min_token_cost",), f.tokens)
    high = f.first(row, ("max_token_cost",), f.tokens)
    figures = [figure for figure in (base, low, high) if figure is not None]
    return Model(
        slug=slug,
        category=home.name,
        minimum=min(figures, default=0),
        maximum=max(figures, default=0),
        name=f.first(row, ("name", "model_name"), f.word) or "",
        provider=f.first(row, ("provider",), f.word) or "",
        tier=_TIERS.get(f.first(row, ("min_plan",), f.word) or "", ""),
        params=_config(f.mapping(row.get("config")) or {}, home),
        in_table=False,
    )


def _config(config: Mapping[str, Any], home: Category) -> dict[str, dict[str, Any]]:
    """The values a model takes, as columns of the parameter they are about."""
    params: dict[str, dict[str, Any]] = {}
    for key, (name, column) in _CONFIG.items():
        param, given = home.param(name), config.get(key)
        if param is None or not isinstance(given, list):
            continue
        read: Callable[[Any], str | int | None] = f.count if param.type == "int" else f.word
        values = tuple(value for item in given if (value := read(item)) is not None)
        if values:
            params[param.name] = {column: values}
    return params


def read_history(obj: Any, *, page: int = 1, limit: int = 20) -> History | None:
    """A page of history (R12, R13), or ``None`` where it holds no list of generations: that is not an empty history.

    `page` and `limit` are what was asked for, in case the reply does not say.
    """
    sources, listed = _list_in(obj, _HISTORY_LEVELS)
    if listed is None or (not listed and any(source.get("error") for source in sources)):
        return None
    rows = [row for row in listed if isinstance(row, Mapping)]
    items = tuple(reply for row in rows if (reply := read_reply(row)).id is not None or reply.status)

    def told(*names: str) -> int | None:
        return next((found for source in sources if (found := f.first(source, names, f.count)) is not None), None)

    return History(
        items=items,
        total=told("total", "total_count"),
        page=told("page") or page,
        limit=told("limit") or limit,
        received=len(rows),
        ids=tuple(item.id for item in items if item.id is not None),
        unread=len(listed) - len(items),
    )


def _list_in(obj: Any, levels: int) -> tuple[list[Mapping[str, Any]], list[Any] | None]:
    """The list in an answer, under a name or in an envelope; and the objects around it, which may tell how long it is."""
    if isinstance(obj, list):
        return [], obj
    if not isinstance(obj, Mapping) or not levels:
        return [], None
    beside = [found for name in _BESIDE if (found := f.mapping(obj.get(name))) is not None]
    best: tuple[list[Mapping[str, Any]], list[Any] | None] = ([], None)
    for name in _HISTORY:
        around, listed = _list_in(obj.get(name), levels - 1)
        if listed is not None and (best[1] is None or (listed and not best[1])):
            best = around, listed
    return [obj, *beside, *best[0]], best[1]


def _rows(obj: Any, envelopes: tuple[str, ...]) -> Iterator[Mapping[str, Any]]:
    """The rows of a bare list, of a list in an envelope, of an object by name, or the one object itself."""
    if isinstance(obj, Mapping):
        inner = next((obj[name] for name in envelopes if isinstance(obj.get(name), list | Mapping)), None)
        if inner is None:
            inner = [obj] if "slug" in obj or "id" in obj else []
        obj = inner
        if isinstance(obj, Mapping):
            obj = [{"slug": name, **row} for name, row in obj.items() if isinstance(row, Mapping)]
    if isinstance(obj, list):
        yield from (row for row in obj if isinstance(row, Mapping))
