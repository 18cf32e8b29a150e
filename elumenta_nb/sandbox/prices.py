"""The sandbox's price book: what a model costs with given parameters, in Elumenta tokens.

Only the ends of each range are documented (en/concepts/tokens); `dall-e-3` 1792x1024 hd = 13 is the one documented
inner point. Everything between the ends is an interpolation along the providers' public list prices, so it has the
right shape and not the real figures: a real server is always asked.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from elumenta_nb._catalog import catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from elumenta_nb._catalog import Model

__all__ = ["Price", "price_of"]

Params: TypeAlias = "Mapping[str, Any]"


class Price(NamedTuple):
    """A price in Elumenta tokens; `kind` is the API's ``pricing_type``."""

    tokens: int
    minimum: int
    maximum: int
    kind: str


def price_of(model: Model, params: Mapping[str, Any], *, input_s: float | None = None) -> Price:
    """What one generation costs. Parameters that do not move the price are ignored, missing ones are the default.

    `input_s` is the length of the recording it works on, where that is known; it counts where no duration is given.
    """
    if input_s is not None and params.get("duration") is None:
        params = {**params, "duration": input_s}
    kind, rule = _RULES.get(model.slug, _FIXED)
    tokens = min(max(rule(params), model.minimum), model.maximum) if rule else model.minimum
    return Price(tokens, model.minimum, model.maximum, kind)


def _square(params: Mapping[str, Any]) -> bool:
    width, _, height = str(params.get("size") or "1024x1024").partition("x")
    return width == height


def _number(params: Mapping[str, Any], name: str, default: float) -> float:
    value = params.get(name)
    return float(value) if isinstance(value, int | float) else default


def _word(params: Mapping[str, Any], name: str, default: str, known: Mapping[str, Any]) -> str:
    value = str(params.get(name) or default)
    return value if value in known else default


def _dall_e(params: Mapping[str, Any]) -> int:
    return 5 + 4 * (params.get("quality") == "hd") + 4 * (not _square(params))


def _gpt_image(params: Mapping[str, Any]) -> int:
    table = {"low": (1, 2), "medium": (4, 6), "standard": (4, 6), "high": (14, 21), "hd": (14, 21)}
    return table[_word(params, "quality", "medium", table)][not _square(params)]


def _midjourney(params: Mapping[str, Any]) -> int:
    """Points of one job of four pictures by speed; a job of fewer costs its share."""
    points = {"relax": 2, "fast": 18, "turbo": 35}
    pictures = min(max(_number(params, "count", 4), 1), 4)
    return math.ceil(points[_word(params, "mode", "fast", points)] * pictures / 4)


def _photon(params: Mapping[str, Any]) -> int:
    return 2 if params.get("resolution") == "1080p" else 1


def _nano_banana(params: Mapping[str, Any]) -> int:
    return 32 if params.get("resolution") == "4K" else 16


def _by_length(table: Mapping[str, Mapping[int, int]], column: str, default: str) -> Callable[[Params], int]:
    """A rule for video: rows by `column`, then the shortest listed length that is enough."""
    first = next(iter(table[default]))

    def rule(params: Mapping[str, Any]) -> int:
        lengths = table[_word(params, column, default, table)]
        asked = _number(params, "duration", first)
        return next((tokens for length, tokens in lengths.items() if length >= asked), max(lengths.values()))

    return rule


def _veo(params: Mapping[str, Any]) -> int:
    """With sound costs twice the silent one; eight seconds twice four."""
    silent = {4: 83, 6: 125, 8: 167}
    asked = _number(params, "duration", 8)
    tokens = next((tokens for length, tokens in silent.items() if length >= asked), silent[8])
    return tokens * 2 if params.get("audio") is True else tokens


def _dubbing(params: Mapping[str, Any]) -> int:
    return 60 * max(1, math.ceil(_number(params, "duration", 60) / 60))


_KLING: Final = {"standard": {5: 26, 10: 52}, "pro": {5: 47, 10: 94}}
_FLASH: Final = {"720p": {5: 26, 10: 52}, "540p": {5: 15, 10: 30}, "1080p": {5: 56, 10: 93}}
_RAY: Final = {"720p": {5: 75, 10: 150}, "540p": {5: 42, 10: 84}, "1080p": {5: 101, 10: 180}}
_MIDJOURNEY_VIDEO: Final = {"480p": {5: 50, 10: 100}, "720p": {5: 160, 10: 320}}
_SORA: Final = {"": {4: 42, 8: 84, 12: 125}}

_FIXED: Final[tuple[str, Callable[[Params], int] | None]] = ("fixed", None)
_RULES: Final[dict[str, tuple[str, Callable[[Params], int] | None]]] = {
    "dall-e-3": ("matrix", _dall_e),
    "gpt-image-1.5": ("matrix", _gpt_image),
    "midjourney": ("per_point", _midjourney),
    "photon": ("matrix", _photon),
    "nano-banana-pro": ("matrix", _nano_banana),
    "kling-v2.1": ("per_second", _by_length(_KLING, "mode", "standard")),
    "luma-ray2-flash": ("per_second", _by_length(_FLASH, "resolution", "720p")),
    "luma-ray2": ("per_second", _by_length(_RAY, "resolution", "720p")),
    "midjourney-video": ("per_second", _by_length(_MIDJOURNEY_VIDEO, "resolution", "480p")),
    "sora-2": ("per_second", _by_length(_SORA, "", "")),
    "veo-3.1": ("per_second", _veo),
    "el-dubbing": ("per_second", _dubbing),
}


def ranged() -> list[str]:
    """The slugs whose documented price is a range: each must have a rule (checked by a test)."""
    return [model.slug for model in catalog().models.values() if model.minimum != model.maximum]
