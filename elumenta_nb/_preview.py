"""Small PNG or JPEG stand-ins for pictures and videos: what a notebook keeps of a large file.

Pillow is given four formats and a limit of pixels; whatever it cannot read safely has no preview and stays a file.
"""

from __future__ import annotations

import io
import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ._sniff import sniff

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image

__all__ = ["MAX_PIXELS", "Picture", "converted", "drawn_poster", "pixels", "poster", "preview"]

MAX_PIXELS: Final = 40_000_000
_FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF")
_NATIVE: Final = {"image/png", "image/jpeg"}  # what every viewer of notebooks shows, nbconvert and GitHub included
_SIDE: Final = 1024


@dataclass(frozen=True, slots=True)
class Picture:
    """Encoded bytes of a PNG or JPEG, and its pixels."""

    data: bytes
    mime: str
    width: int
    height: int


def preview(path: Path, *, limit_bytes: int, side: int = _SIDE) -> Picture | None:
    """The picture itself where it is small PNG or JPEG, else a reduced copy of at most `limit_bytes`.

    ``None``: not a picture, damaged, or too many pixels to open safely.
    """
    try:
        small = path.stat().st_size <= limit_bytes
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = _opened(file)
            if image is None:
                return None
            size = image.size
            image = _upright(image, side)
            if small:
                file.seek(0)
                data = file.read(limit_bytes + 1)
                kind = sniff(data)
                if kind.mime in _NATIVE and len(data) <= limit_bytes:
                    return Picture(data, kind.mime, *size)
            return _encoded(image, limit_bytes)
    except Exception:  # noqa: BLE001 - a hostile or damaged file: decoders raise almost anything
        return None


def pixels(path: Path) -> tuple[int, int] | None:
    """Width and height without decoding, ``None`` when it is not a picture that Pillow reads here."""
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import PIL.Image

            with PIL.Image.open(file, formats=_FORMATS) as image:
                return image.size
    except Exception:  # noqa: BLE001 - as above
        return None


def converted(path: Path, mime: str) -> bytes | None:
    """The whole picture as PNG, JPEG or WebP; ``None`` where it cannot be read or is none of these."""
    kind = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}.get(mime)
    if kind is None:
        return None
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = _opened(file)
            if image is None:
                return None
            image = _upright(image, max(image.size))
            out = io.BytesIO()
            (_flat(image) if kind == "JPEG" else image).save(out, kind, quality=92)
            return out.getvalue()
    except Exception:  # noqa: BLE001 - as above
        return None


def poster(data: bytes, *, limit_bytes: int) -> Picture | None:
    """A JPEG for a video from a thumbnail's bytes, ``None`` when they are no picture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = _opened(io.BytesIO(data))
            if image is None:
                return None
            return _encoded(_flat(_upright(image, 640)), limit_bytes)
    except Exception:  # noqa: BLE001 - as above
        return None


def drawn_poster(caption: str, *, width: int | None, height: int | None, limit_bytes: int) -> Picture:
    """A dark frame with a play sign and an ASCII caption, for a video that came without a thumbnail."""
    import PIL.Image
    from PIL import ImageDraw

    ratio = width / height if width and height else 16 / 9
    ratio = min(max(ratio, 0.4), 2.5)
    wide, high = (640, round(640 / ratio)) if ratio >= 1 else (round(480 * ratio), 480)
    image = PIL.Image.new("RGB", (wide, high), "#20242c")
    draw = ImageDraw.Draw(image)
    x, y, r = wide / 2, high / 2 - 8, min(wide, high) / 8
    draw.ellipse((x - r, y - r, x + r, y + r), fill="#3d4657")
    draw.polygon([(x - r * 0.35, y - r * 0.5), (x - r * 0.35, y + r * 0.5), (x + r * 0.55, y)], fill="#f2f4f8")
    font = _font(max(14, min(wide, high) // 20))
    draw.text((wide / 2, y + r * 1.35), _ascii(caption), fill="#c6ccd8", font=font, anchor="ma")
    return _encoded(image, limit_bytes)


def _opened(file: Any) -> Image | None:
    import PIL.Image

    image = PIL.Image.open(file, formats=_FORMATS)
    if image.width * image.height > MAX_PIXELS:
        return None
    return image


def _upright(image: Image, side: int) -> Image:
    from PIL import ImageOps

    image.draft("RGB", (side, side))  # a JPEG is decoded near its final size
    image.load()
    ImageOps.exif_transpose(image, in_place=True)  # each copy of a large picture is a hundred megabytes and more
    if image.mode not in ("RGB", "RGBA"):
        clear = "A" in image.getbands() or "transparency" in image.info
        image = image.convert("RGBA" if clear else "RGB")
    image.thumbnail((side, side))
    return image


def _flat(image: Image) -> Image:
    import PIL.Image

    if image.mode != "RGBA":
        return image.convert("RGB")
    ground = PIL.Image.new("RGB", image.size, "white")
    ground.paste(image, mask=image.getchannel("A"))
    return ground


def _encoded(image: Image, limit_bytes: int) -> Picture:
    """PNG where it is transparent and fits, else JPEG; smaller until it fits."""
    for _step in range(12):
        clear = image.mode == "RGBA"
        out = io.BytesIO()
        if clear:
            image.save(out, "PNG")
        else:
            image.save(out, "JPEG", quality=86, optimize=True, progressive=True)
        if out.tell() <= limit_bytes:
            return Picture(out.getvalue(), "image/png" if clear else "image/jpeg", image.width, image.height)
        scale = min(0.9, max(0.3, 0.95 * math.sqrt(limit_bytes / out.tell())))
        if clear and max(image.size) * scale < 512:
            image = _flat(image)  # a photograph with transparency: JPEG is a better use of the bytes
        else:
            image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    raise ValueError("the picture does not get small enough")


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _ascii(text: str) -> str:
    """The built-in font is Latin only; a model's name is ASCII already."""
    return text.replace("·", "-").replace("–", "-").encode("ascii", "replace").decode()[:80]
