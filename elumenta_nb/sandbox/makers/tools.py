"""Image tools: each really transforms its input in a simple way and marks the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from ._look import font, theme_of
from .pictures import Scene

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from PIL import Image

__all__ = ["enlarged", "restyled", "stand_in", "transformed"]

_MAX_SIDE: Final = 4096


def transformed(
    slug: str, images: Mapping[str, Image.Image], prompt: str, params: Mapping[str, Any], seed: int
) -> Image.Image:
    """What the tool makes of its pictures (by parameter name), with the sandbox's mark."""
    tool = _TOOLS.get(slug, _restyle)
    return _marked(tool(images, prompt, params, seed), slug)


def stand_in(url: str, size: tuple[int, int] = (1024, 1024)) -> Image.Image:
    """A picture in the place of one the sandbox will not fetch: it contacts no other host."""
    from PIL import ImageDraw

    drawn = Scene(theme_of("", sum(map(ord, url))), size).frame(0.35)
    draw = ImageDraw.Draw(drawn)
    host = (urlsplit(url).hostname or "another host")[:40]
    unit = size[0] / 100
    draw.rounded_rectangle((unit * 6, unit * 38, unit * 94, unit * 60), unit * 3, fill=(255, 255, 255))
    lines = ((f"stand-in for a picture at {host}", 3.6, True), ("the sandbox contacts no other host", 3.0, False))
    for i, (line, high, bold) in enumerate(lines):
        draw.text(
            (size[0] / 2, unit * (45.5 + 8 * i)), line, (36, 40, 60), font(int(unit * high), bold=bold), anchor="mm"
        )
    return drawn


def _marked(image: Image.Image, slug: str) -> Image.Image:
    from PIL import Image, ImageDraw

    base = image.convert("RGBA")
    layer = Image.new("RGBA", base.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    unit = max(min(base.size) / 100, 0.5)
    face = font(max(int(unit * 2.2), 7), bold=True)
    text = f"SANDBOX · {slug}, simulated"
    long = draw.textlength(text, face)
    right, top = base.width - unit * 2.4, unit * 2.4
    draw.rounded_rectangle(
        (right - long - unit * 2.6, top, right, top + unit * 4.2), unit * 2.1, fill=(18, 22, 40, 205)
    )
    draw.text((right - unit * 1.3, top + unit * 2.1), text, (255, 255, 255, 255), face, anchor="rm")
    return Image.alpha_composite(base, layer)


def _upscale(images: Mapping[str, Image.Image], _prompt: str, params: Mapping[str, Any], _seed: int) -> Image.Image:
    from PIL import Image, ImageFilter

    image = images["image_url"]
    large = image.resize(enlarged(image.size, params), Image.Resampling.LANCZOS)
    return large.filter(ImageFilter.UnsharpMask(2, 60, 2))


def enlarged(size: tuple[int, int], params: Mapping[str, Any]) -> tuple[int, int]:
    """The size after `upscale`: 2 or 4 times, at most 4096 a side."""
    factor = min(float(params.get("scale") or 2), _MAX_SIDE / max(size))
    return max(round(size[0] * factor), 1), max(round(size[1] * factor), 1)


def _remove_background(
    images: Mapping[str, Image.Image], _prompt: str, _params: Mapping[str, Any], _seed: int
) -> Image.Image:
    """Transparent wherever the colour is near that of the row's edges: a soft key, not a segmentation."""
    import numpy as np
    from PIL import Image, ImageFilter

    image = images["image_url"].convert("RGB")
    pixels = np.asarray(image, dtype=np.float32)
    left, right = pixels[:, :3].mean(axis=1), pixels[:, -3:].mean(axis=1)
    across = np.linspace(0, 1, pixels.shape[1], dtype=np.float32)[None, :, None]
    ground = left[:, None] * (1 - across) + right[:, None] * across
    away = np.sqrt(((pixels - ground) ** 2).sum(axis=2))
    alpha = np.clip((away - 18) * 9, 0, 255).astype(np.uint8)
    image.putalpha(Image.fromarray(alpha).filter(ImageFilter.GaussianBlur(1.2)))
    return image


def _restyle(images: Mapping[str, Image.Image], _prompt: str, _params: Mapping[str, Any], _seed: int) -> Image.Image:
    return restyled(images["image_url"])


def restyled(image: Image.Image) -> Image.Image:
    """The picture in broad strokes, few colours and drawn outlines."""
    from PIL import Image, ImageChops, ImageFilter, ImageOps

    image = image.convert("RGB")
    small = image.resize((max(image.width // 2, 1), max(image.height // 2, 1)))
    paint = ImageOps.posterize(small.filter(ImageFilter.ModeFilter(7)).filter(ImageFilter.SMOOTH_MORE), 4)
    lines = ImageOps.invert(small.convert("L").filter(ImageFilter.FIND_EDGES)).point(lambda v: 255 if v > 236 else v)
    inked = ImageChops.multiply(paint, lines.convert("RGB"))
    return ImageOps.autocontrast(inked.resize(image.size, Image.Resampling.BICUBIC), cutoff=1)


def _colorize(images: Mapping[str, Image.Image], _prompt: str, _params: Mapping[str, Any], seed: int) -> Image.Image:
    from PIL import ImageOps

    palette = theme_of("", seed).palette
    grey = ImageOps.autocontrast(images["image_url"].convert("L"))
    return ImageOps.colorize(grey, palette.near, palette.light, palette.sky[1], midpoint=128)


def _swap(images: Mapping[str, Image.Image], _prompt: str, _params: Mapping[str, Any], _seed: int) -> Image.Image:
    """The middle of the one picture, softly, over the middle of the other."""
    from PIL import Image, ImageDraw, ImageFilter, ImageOps

    image = images["image_url"].convert("RGB")
    side = max(min(image.size) // 2, 8)
    face = ImageOps.fit(images.get("face_url", image).convert("RGB"), (side, side))
    mask = Image.new("L", (side, side), 0)
    ImageDraw.Draw(mask).ellipse((side * 0.16, side * 0.08, side * 0.84, side * 0.92), fill=255)
    image = image.copy()
    corner = ((image.width - side) // 2, (image.height - side) // 2)
    image.paste(face, corner, mask.filter(ImageFilter.GaussianBlur(side / 36)))
    return image


def _inpaint(images: Mapping[str, Image.Image], prompt: str, _params: Mapping[str, Any], seed: int) -> Image.Image:
    """A drawn scene where the mask is white (without one, in the middle)."""
    from PIL import Image, ImageDraw, ImageFilter

    image = images["image_url"].convert("RGB")
    if "mask_url" in images:
        mask = images["mask_url"].convert("L").resize(image.size)
    else:
        mask = Image.new("L", image.size, 0)
        box = (image.width * 0.28, image.height * 0.28, image.width * 0.72, image.height * 0.72)
        ImageDraw.Draw(mask).rounded_rectangle(box, min(image.size) * 0.05, fill=255)
    drawn = Scene(theme_of(prompt, seed), image.size).frame(0.35)
    return Image.composite(drawn, image, mask.filter(ImageFilter.GaussianBlur(min(image.size) / 120)))


_TOOLS: Final[dict[str, Callable[[Mapping[str, Image.Image], str, Mapping[str, Any], int], Image.Image]]] = {
    "upscale": _upscale,
    "face-swap": _swap,
    "remove-bg": _remove_background,
    "style-transfer": _restyle,
    "colorize": _colorize,
    "inpaint": _inpaint,
}
