"""What a generation's file is and how it is made: a plan as plain data, made into bytes when somebody asks.

A plan is stored with the generation, so another process makes the same file again.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from elumenta_nb._catalog import Category, Model

__all__ = ["Unusable", "make", "mime_of", "plan", "thumbnail"]

_MIMES: Final = {
    "webp": "image/webp",
    "png": "image/png",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "mp4": "video/mp4",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "ogg": "audio/ogg",
}
_PIXELS: Final = {  # along the shorter side of a film, and the area of a picture
    "480p": 480,
    "540p": 540,
    "720p": 720,
    "1080p": 1080,
}
_AREAS: Final = {"720p": 1280 * 720, "1080p": 1920 * 1080, "1K": 1024**2, "2K": 2048**2, "4K": 4096**2}
_MAX_AREA: Final = 4096 * 4096
_MAX_SIDE: Final = 8192
_SOUNDS: Final = {  # of the category, or of the one model that sounds different
    "music": "melody",
    "tts": "speech",
    "audio-tools": "chime",
    "el-dialogue": "dialogue",
    "el-voice-changer": "changed",
    "el-voice-isolator": "isolated",
    "el-dubbing": "dubbed",
}


class Unusable(Exception):  # noqa: N818 - it is about the input
    """The input cannot be used for this."""


def mime_of(extension: str) -> str:
    return _MIMES[extension]


def seed_of(model: str, prompt: str, params: Mapping[str, Any], nth: int = 0) -> int:
    """The given seed, else one of the call and of how many like it came before: three of a kind are three files."""
    given = params.get("seed")
    if isinstance(given, int):
        return given
    call = [model, prompt, sorted((k, v) for k, v in params.items() if k != "format"), *([nth] if nth else [])]
    return int.from_bytes(hashlib.sha256(json.dumps(call, default=str).encode()).digest()[:4])


def plan(
    category: Category,
    model: Model,
    prompt: str,
    params: Mapping[str, Any],
    *,
    inputs: Mapping[str, Mapping[str, Any]],
    image_format: str,
    image_size: str,
) -> dict[str, Any]:
    """The file this call will make. `inputs` are plans of pictures or sounds it works on, by parameter.

    Raises `Unusable`.
    """
    returns = model.returns or category.returns
    seed = seed_of(model.slug, prompt, params)
    facts: dict[str, Any] = {"kind": returns, "seed": seed, "inputs": dict(inputs)}
    if returns == "image":
        works_on_one = category.input_param is not None and category.input_param.required
        source = next(iter(inputs.values()), None) if works_on_one else None
        extension = str(params.get("format") or ("png" if model.slug == "remove-bg" else image_format))
        size = _tool_size(model.slug, source, params) if source else picture_size(params, image_size)
        return facts | {"ext": extension, "width": size[0], "height": size[1], "tool": source is not None}
    if returns == "video":
        width, height = film_size(params)
        length = float(params.get("duration") or _default(category, model, "duration") or 5)
        return facts | {"ext": "mp4", "width": width, "height": height, "duration_s": length}
    kind = _SOUNDS.get(model.slug) or _SOUNDS.get(category.name, "melody")
    extension = str(params.get("format") or "mp3")
    return facts | {"kind": kind, "ext": extension, "duration_s": _length(kind, prompt, params, inputs)}


def _default(category: Category, model: Model, name: str) -> Any:
    own = model.params.get(name, {})
    row = category.param(name)
    return own.get("default", row.default if row else None)


def _length(kind: str, prompt: str, params: Mapping[str, Any], inputs: Mapping[str, Mapping[str, Any]]) -> float:
    from .sounds import speech_length

    source = next(iter(inputs.values()), None)
    if kind in ("speech", "dialogue"):
        return speech_length(prompt, float(params.get("speed") or 1))
    if source is not None and kind != "dubbed":
        return float(source.get("duration_s") or 5)
    asked = params.get("duration")
    if asked:
        return float(asked)
    if source is not None:
        return float(source.get("duration_s") or 5)
    return 30.0 if kind == "melody" else 5.0


def _tool_size(slug: str, source: Mapping[str, Any], params: Mapping[str, Any]) -> tuple[int, int]:
    from .tools import enlarged

    size = (int(source.get("width") or 1024), int(source.get("height") or 1024))
    return enlarged(size, params) if slug == "upscale" else size


def picture_size(params: Mapping[str, Any], default: str) -> tuple[int, int]:
    """Width and height in pixels: the size, or the ratio and the resolution. Raises `Unusable` when too large."""
    size = params.get("size")
    if not size and (params.get("aspect_ratio") or params.get("resolution")):
        across, down = _ratio(params.get("aspect_ratio") or "1:1")
        area = _AREAS.get(str(params.get("resolution")), 1024**2)
        unit = max(round(math.sqrt(area / (across * down))), 1)
        return across * unit, down * unit
    width, _, height = str(size or default).partition("x")
    if max(int(width), int(height)) > _MAX_SIDE or int(width) * int(height) > _MAX_AREA:
        raise Unusable(f"size {size} is larger than 4096x4096 pixels")
    return int(width), int(height)


def _ratio(text: Any) -> tuple[int, int]:
    across, _, down = str(text).partition(":")
    common = math.gcd(int(across), int(down))
    return int(across) // common, int(down) // common


def film_size(params: Mapping[str, Any]) -> tuple[int, int]:
    """Even width and height of the ratio; 540 pixels along the shorter side where no resolution was asked for."""
    across, down = _ratio(params.get("aspect_ratio") or "16:9")
    short = _PIXELS.get(str(params.get("resolution")), 540)
    unit = short / min(across, down)
    return round(across * unit / 2) * 2, round(down * unit / 2) * 2


# ---------------------------------------------------------------- making


def make(
    slug: str, prompt: str, params: Mapping[str, Any], facts: Mapping[str, Any], fetch: Callable[[int], bytes]
) -> bytes:
    """The file of a plan. `fetch` gives the file of an earlier generation. Slow: call it off the event loop."""
    kind = str(facts["kind"])
    if kind == "image":
        return _image(slug, prompt, params, facts, fetch)
    from . import sounds

    seed = int(facts["seed"])
    if kind == "video":
        from .films import film

        length = float(facts["duration_s"])
        sound = sounds.melody(seed, length) if params.get("audio") is True else None
        base = _base(facts, fetch)
        return film(prompt, slug, seed, (facts["width"], facts["height"]), length, sound=sound, base=base)
    sound, comment = _sound(kind, prompt, seed, facts, fetch)
    return sounds.encode_sound(sound, str(facts["ext"]), slug, comment=comment)


def _image(
    slug: str, prompt: str, params: Mapping[str, Any], facts: Mapping[str, Any], fetch: Callable[[int], bytes]
) -> bytes:
    from .pictures import encode, picture
    from .tools import restyled, transformed

    if not facts.get("tool"):
        base = _base(facts, fetch)
        base = None if base is None else restyled(base)
        drawn = picture(prompt, slug, int(facts["seed"]), (facts["width"], facts["height"]), base=base)
        return encode(drawn, str(facts["ext"]))
    images = {name: opened(source, fetch) for name, source in facts["inputs"].items()}
    return encode(transformed(slug, images, prompt, params, int(facts["seed"])), str(facts["ext"]))


def _base(facts: Mapping[str, Any], fetch: Callable[[int], bytes]) -> Any:
    """The picture a picture or film begins from, if one was given."""
    source = next(iter(facts["inputs"].values()), None)
    return None if source is None else opened(source, fetch)


def opened(source: Mapping[str, Any], fetch: Callable[[int], bytes]) -> Any:
    """The picture a source means: an earlier generation's, or the stand-in for one on another host."""
    from PIL import Image

    from .tools import stand_in

    if "generation" not in source:
        return stand_in(str(source.get("url", "")))
    image = Image.open(io.BytesIO(fetch(int(source["generation"]))))
    image.load()
    return image


def _sound(
    kind: str, prompt: str, seed: int, facts: Mapping[str, Any], fetch: Callable[[int], bytes]
) -> tuple[Any, str]:
    from . import sounds

    length = float(facts["duration_s"])
    source = next((row for row in facts["inputs"].values() if "generation" in row), None)
    if kind == "melody":
        return sounds.melody(seed, length), ""
    if kind in ("speech", "dialogue", "dubbed"):
        voices = 2 if kind == "dialogue" else 1
        text = prompt or "made by the sandbox, for a recording in another language, which the sandbox cannot hear"
        return sounds.speech(text, seed, length, voices), prompt
    if source is None:
        return sounds.chime(seed, length), ""
    recording = sounds.decoded(fetch(int(source["generation"])))
    return (sounds.deeper(recording) if kind == "changed" else sounds.cleaner(recording)), ""


def thumbnail(slug: str, prompt: str, facts: Mapping[str, Any], fetch: Callable[[int], bytes]) -> bytes:
    """The JPEG of a film's first moment."""
    from .films import still

    size = (int(facts["width"]), int(facts["height"]))
    return still(prompt, slug, int(facts["seed"]), size, base=_base(facts, fetch))
