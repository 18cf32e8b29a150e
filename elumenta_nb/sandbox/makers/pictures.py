"""Pictures: a seeded landscape, sea or play of lights of exactly the asked size, with a label that says SANDBOX.

A scene is a function of a time from 0 to 1, so that `films` can animate what this draws.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any, Final

from ._look import Theme, caption, theme_of

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Scene", "Zoom", "encode", "labelled", "picture"]

_LONGEST_DRAWN: Final = 1600  # larger pictures are drawn at this and enlarged; the label is set at full size
_MIMES: Final = {"webp": "image/webp", "png": "image/png", "jpeg": "image/jpeg"}


def picture(
    prompt: str, model: str, seed: int, size: tuple[int, int], *, base: Image.Image | None = None
) -> Image.Image:
    """The labelled picture: a scene, or the given picture cut to the size."""
    from PIL import Image, ImageOps

    width, height = size
    if base is not None:
        return labelled(_soft_foot(ImageOps.fit(base.convert("RGB"), size)), prompt, model)
    scale = min(1.0, _LONGEST_DRAWN / max(size))
    scene = Scene(theme_of(prompt, seed), (max(int(width * scale), 16), max(int(height * scale), 16)))
    drawn = scene.frame(0.35)
    if drawn.size != size:
        drawn = drawn.resize(size, Image.Resampling.BICUBIC)
    return labelled(drawn, prompt, model)


def labelled(drawn: Image.Image, prompt: str, model: str, *, at_top: bool = False) -> Image.Image:
    from PIL import Image

    base = drawn.convert("RGBA")
    return Image.alpha_composite(base, caption(base, prompt, model, at_top=at_top)).convert("RGB")


def encode(image: Image.Image, extension: str) -> bytes:
    """The bytes of a file of that format: ``webp``, ``png`` or ``jpeg``."""
    out = io.BytesIO()
    if extension == "jpeg":
        image.convert("RGB").save(out, "JPEG", quality=88)
    elif extension == "png":
        image.save(out, "PNG", compress_level=4)
    else:
        image.save(out, "WEBP", quality=86, method=2)
    return out.getvalue()


def _soft_foot(image: Image.Image) -> Image.Image:
    """The picture out of focus where the label will be: the foot of an input may carry a label already."""
    from PIL import Image, ImageFilter

    width, height = image.size
    ramp = Image.new("L", (1, height))
    ramp.putdata([min(max(int((y / height - 0.72) / 0.08 * 255), 0), 255) for y in range(height)])
    blurred = image.filter(ImageFilter.GaussianBlur(max(min(width, height) / 28, 2)))
    return Image.composite(blurred, image, ramp.resize(image.size))


class Zoom:
    """A given picture as a scene: the camera moves slowly towards its middle."""

    def __init__(self, base: Image.Image, size: tuple[int, int]) -> None:
        from PIL import ImageOps

        self._size = size
        self._picture = _soft_foot(ImageOps.fit(base.convert("RGB"), (size[0] * 5 // 4, size[1] * 5 // 4)))

    def frame(self, t: float) -> Image.Image:
        from PIL import Image

        width, height = self._picture.size
        edge = 0.1 * min(max(t, 0), 1)
        box = (width * edge, height * edge, width * (1 - edge), height * (1 - edge))
        return self._picture.resize(self._size, Image.Resampling.BICUBIC, box=box)


class Scene:
    """A composition of a theme at a size; `frame(t)` draws it at a time from 0 to 1."""

    def __init__(self, theme: Theme, size: tuple[int, int]) -> None:
        self.theme = theme
        self.size = size
        random = theme.random
        random.random()
        self._light = (random.uniform(0.22, 0.78), random.uniform(0.2, 0.42), random.uniform(0.055, 0.1))
        self._horizon = random.uniform(0.5, 0.62)
        self._ridges = [
            [(random.uniform(0.6, 1.6) * (j + 1), random.uniform(0, 7), 0.5**j) for j in range(4)] for _ in range(6)
        ]
        self._dots = [(random.random(), random.random() * 0.62, random.random()) for _ in range(90)]
        self._discs = [
            (random.uniform(-0.1, 1.1), random.uniform(-0.1, 1.05), random.uniform(0.08, 0.34), random.random())
            for _ in range(11)
        ]
        self._sky = self._gradient()

    def frame(self, t: float) -> Image.Image:
        """The scene at a time, RGB."""
        return {"land": self._land, "sea": self._sea, "lights": self._lights}[self.theme.kind](t)

    def _gradient(self) -> Any:
        """The sky as an array of a quarter of the size: smooth, so it can be enlarged."""
        import numpy as np

        width, height = (max(side // 4, 4) for side in self.size)
        top, middle, low = (np.array(colour, dtype=np.float32) for colour in self.theme.palette.sky)
        y = np.linspace(0, 1 / self._horizon, height, dtype=np.float32)[:, None, None]
        near = np.clip(y * 2, 0, 1)
        far = np.clip(y * 2 - 1, 0, 1)
        column = top + (middle - top) * near + (low - middle) * far
        return np.broadcast_to(column, (height, width, 3)).copy()

    def _backdrop(self, t: float) -> Image.Image:
        """The sky with its glow, twice as large as asked for: what is drawn on it is then made smooth."""
        import numpy as np
        from PIL import Image

        height, width = self._sky.shape[:2]
        x, y, radius = self._light_at(t)
        ys, xs = np.ogrid[0:height, 0:width]
        unit = min(width, height)
        away = np.sqrt((xs - x * width) ** 2 + (ys - y * height) ** 2).astype(np.float32) / unit
        glow = (0.62 * np.exp(-((away / (radius * 2.6)) ** 2)) + 0.3 * np.exp(-away / 0.34))[:, :, None]
        lit = self._sky + (np.array(self.theme.palette.light, dtype=np.float32) - self._sky) * np.clip(glow, 0, 1)
        sky = Image.fromarray(lit.astype(np.uint8)).resize(self.size, Image.Resampling.BICUBIC)
        return sky.resize((self.size[0] * 2, self.size[1] * 2), Image.Resampling.NEAREST)

    def _light_at(self, t: float) -> tuple[float, float, float]:
        x, y, radius = self._light
        return x + 0.1 * (t - 0.35), y - 0.09 * math.sin(math.pi * t), radius

    def _disc(self, canvas: Image.Image, t: float) -> Any:
        """A sun or moon, and stars at night."""
        from PIL import ImageDraw

        draw = ImageDraw.Draw(canvas)
        width, height = canvas.size
        x, y, radius = self._light_at(t)
        if self.theme.name == "night":
            for dot_x, dot_y, bright in self._dots:
                twinkle = 0.55 + 0.45 * math.sin(6.3 * (t * 2 + bright * 5))
                grey = int(120 + 130 * bright * twinkle)
                r = 2 * (0.6 + bright) * max(min(self.size) / 700, 0.6)
                draw.ellipse(
                    (dot_x * width - r, dot_y * height - r, dot_x * width + r, dot_y * height + r), (grey, grey, 250)
                )
        r = radius * min(width, height)
        draw.ellipse((x * width - r, y * height - r, x * width + r, y * height + r), self.theme.palette.light)
        return draw

    def _land(self, t: float) -> Image.Image:
        """Ridges one behind the other, each nearer one darker and faster."""
        import numpy as np

        canvas = self._backdrop(t)
        draw = self._disc(canvas, t)
        width, height = canvas.size
        n = len(self._ridges)
        xs = np.linspace(0, width, 241)
        for i, ridge in enumerate(self._ridges):
            near = i / (n - 1)
            base = (self._horizon + 0.02 + 0.4 * near**1.15) * height
            tall = (0.1 + 0.07 * near) * height
            u = xs / width * (1.5 - 0.5 * near) * max(width / height, 0.8) + t * (0.04 + 0.3 * near**2)
            wave = sum(weight * np.sin(frequency * u * 3.1 + phase) for frequency, phase, weight in ridge)
            points = _to_the_foot(xs, base - tall * 0.5 * wave, height)
            draw.polygon(points, _mix(self.theme.palette.far, self.theme.palette.near, near**0.8))
        return canvas.reduce(2)

    def _sea(self, t: float) -> Image.Image:
        """A sun over waves that run towards the viewer, and its path on the water."""
        import numpy as np

        canvas = self._backdrop(t)
        draw = self._disc(canvas, t)
        width, height = canvas.size
        palette, rows = self.theme.palette, 15
        xs = np.linspace(0, width, 241)
        light_x = self._light_at(t)[0] * width
        for i in range(rows):
            near = i / (rows - 1)
            base = (self._horizon + (1.02 - self._horizon) * near**1.5) * height
            tall = (0.002 + 0.02 * near) * height
            _, phase, _ = self._ridges[i % 6][i % 4]
            u = xs / width * (14 - 10 * near)
            swell = np.sin(u + phase * 3 + 6.28 * t * (1 + i % 3)) + 0.5 * np.sin(2.3 * u - phase - 6.28 * t)
            points = _to_the_foot(xs, base - tall * swell * (i > 0), height)
            colour = _mix(palette.far, palette.near, near**0.7)
            draw.polygon(points, colour)
            glint = (0.03 + 0.13 * near) * width * (0.75 + 0.25 * math.sin(phase * 9 + 6.28 * t * 2))
            y = base + tall * 1.6 + 0.006 * height
            thick = max(int(height * (0.0015 + 0.004 * near)), 1)
            if y > 0.8 * height:
                continue  # the label is there
            draw.rounded_rectangle(
                (light_x - glint, y, light_x + glint, y + thick * 2), thick, _mix(colour, palette.light, 0.55)
            )
        return canvas.reduce(2)

    def _lights(self, t: float) -> Image.Image:
        """Soft discs of light in front of the sky, as through a lens out of focus."""
        import numpy as np
        from PIL import Image, ImageFilter

        width, height = (max(side // 2, 4) for side in self.size)
        palette = self.theme.palette
        ys, xs = np.ogrid[0:height, 0:width]
        low, mid, top = (np.array(colour, dtype=np.float32) for colour in (palette.near, *palette.sky[:2]))
        slope = ((xs / width) * 0.45 + (ys / height) * 0.55).astype(np.float32)[:, :, None]
        field = top + (low - top) * slope
        tints = [np.array(c, dtype=np.float32) for c in (palette.light, palette.sky[2], palette.far, palette.sky[1])]
        unit = min(width, height)
        for i, (x, y, radius, phase) in enumerate(self._discs):
            drift = 2 * math.pi * (t + phase)
            cx = (x + 0.05 * math.cos(drift)) * width
            cy = (y + 0.05 * math.sin(drift)) * height
            away = np.sqrt((xs - cx) ** 2 + (ys - cy) ** 2).astype(np.float32) / (radius * unit)
            edge = np.clip((1 - away) * (14 if i % 2 else 5), 0, 1)
            inner = (0.16 + 0.22 * np.clip(away, 0, 1) ** 2) * edge * (0.8 + 0.2 * math.sin(drift * 2))
            field = field + (tints[i % 4] - field) * inner[:, :, None]
        del mid
        image = Image.fromarray(np.clip(field, 0, 255).astype(np.uint8))
        return image.filter(ImageFilter.GaussianBlur(unit / 260)).resize(self.size, Image.Resampling.BICUBIC)


def _to_the_foot(xs: Any, ys: Any, height: int) -> list[tuple[float, float]]:
    """The polygon below a line."""
    line = list(zip(xs.tolist(), ys.tolist(), strict=True))
    return [(line[0][0], float(height)), *line, (line[-1][0], float(height))]


def _mix(a: tuple[int, int, int], b: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    return (
        round(a[0] + (b[0] - a[0]) * share),
        round(a[1] + (b[1] - a[1]) * share),
        round(a[2] + (b[2] - a[2]) * share),
    )
