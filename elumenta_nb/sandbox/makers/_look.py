"""Colours, type and labels that the sandbox's pictures and films share."""

from __future__ import annotations

import re
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

__all__ = ["Palette", "Theme", "caption", "theme_of"]

Colour = tuple[int, int, int]


class Palette(NamedTuple):
    """Sky from the top to the horizon, the light in it, and the land from far to near."""

    sky: tuple[Colour, Colour, Colour]
    light: Colour
    far: Colour
    near: Colour


_PALETTES: Final = {
    "dawn": Palette(((58, 68, 132), (214, 126, 142), (255, 211, 165)), (255, 240, 214), (190, 122, 140), (42, 30, 68)),
    "day": Palette(((92, 158, 214), (160, 206, 230), (236, 243, 236)), (255, 250, 232), (136, 180, 186), (30, 76, 84)),
    "dusk": Palette(((38, 26, 78), (152, 62, 118), (250, 150, 98)), (255, 214, 150), (136, 62, 110), (24, 14, 46)),
    "night": Palette(((8, 14, 38), (24, 40, 84), (66, 92, 138)), (238, 240, 250), (44, 66, 108), (6, 10, 26)),
    "meadow": Palette(
        ((112, 176, 204), (186, 220, 202), (248, 240, 200)), (255, 248, 220), (150, 194, 150), (30, 82, 62)
    ),
    "desert": Palette(
        ((94, 150, 190), (236, 200, 160), (255, 226, 180)), (255, 246, 222), (226, 162, 112), (120, 54, 44)
    ),
    "sea": Palette(((60, 120, 178), (140, 196, 216), (226, 240, 232)), (255, 250, 230), (96, 172, 190), (12, 62, 104)),
    "winter": Palette(
        ((122, 148, 190), (190, 208, 228), (244, 240, 240)), (255, 252, 246), (176, 194, 216), (62, 84, 122)
    ),
}
# A prompt's words choose the mood; without one of them the seed does.
_WORDS: Final = (
    ("night", r"night|moon|star|space|galax|dark|ноч|лун|звезд|космос"),
    ("sea", r"sea|ocean|water|wave|beach|ship|boat|lake|river|fish|мор|океан|вод|волн|корабл|озер|рек"),
    ("winter", r"snow|winter|ice|arctic|зим|снег|лед|лёд"),
    ("desert", r"desert|dune|sand|canyon|camel|mars|пустын|песок|дюн|марс"),
    ("dusk", r"sunset|dusk|evening|neon|cyber|закат|вечер"),
    ("dawn", r"sunrise|dawn|morning|fog|mist|рассвет|утр|туман"),
    ("meadow", r"forest|tree|garden|meadow|green|spring|field|лес|сад|луг|весн|пол[ея]"),
)
_FONTS: Final = ("DejaVuSans.ttf", "LiberationSans-Regular.ttf", "Arial.ttf", "segoeui.ttf", "Helvetica.ttc")
_BOLD: Final = ("DejaVuSans-Bold.ttf", "LiberationSans-Bold.ttf", "Arial Bold.ttf", "arialbd.ttf", "segoeuib.ttf")


class Theme(NamedTuple):
    """What a seed and a prompt decide about a scene. `kind` is ``land``, ``sea`` or ``lights``."""

    name: str
    palette: Palette
    kind: str
    seed: int

    @property
    def random(self) -> Random:
        return Random(self.seed)  # noqa: S311 - a picture, not a secret


def theme_of(prompt: str, seed: int) -> Theme:
    """The scene for a prompt: its words choose what they name, the seed the rest."""
    random = Random(seed)  # noqa: S311 - a picture, not a secret
    drawn, kind = random.choice(sorted(_PALETTES)), random.choice(("land", "land", "lights"))
    named = [name for name, words in _WORDS if re.search(rf"\b(?:{words})", prompt.lower())]
    if named:
        kind = "sea" if "sea" in named else "land"
        drawn = next((name for name in named if name != "sea"), "sea")
    elif drawn == "sea" and kind == "land":
        kind = "sea"
    return Theme(drawn, _PALETTES[drawn], kind, seed)


@lru_cache(maxsize=64)
def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The first of the usual fonts that this machine has; Pillow's own (Latin only) where there is none."""
    from PIL import ImageFont

    for name in _BOLD if bold else _FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def readable(text: str, face: Any) -> str:
    """The text without the letters this machine's font has no shape for (it would draw empty boxes)."""
    box = bytes(face.getmask("\uffff"))
    return "".join(letter for letter in text if letter < "\u0250" or bytes(face.getmask(letter)) != box)


def wrapped(draw: ImageDraw.ImageDraw, text: str, face: Any, width: float, lines: int) -> list[str]:
    """The first words of the text that fit, an ellipsis after what did not."""
    words, found = " ".join(text.split()).split(" "), [""]
    for i, word in enumerate(words):
        longer = f"{found[-1]} {word}".strip()
        if draw.textlength(longer, face) <= width:
            found[-1] = longer
        elif len(found) < lines and found[-1]:
            found.append(word)
        else:
            found[-1] = (found[-1] or word) + " …"
            break
        if i == len(words) - 1:
            break
    while found and draw.textlength(found[-1], face) > width and len(found[-1]) > 3:
        found[-1] = found[-1][:-3].rstrip() + "…"
    return [line for line in found if line]


def caption(picture: Image.Image, prompt: str, model: str, *, at_top: bool = False) -> Image.Image:
    """The picture's label as a transparent layer of its size: SANDBOX, who made it, and the prompt's first words.

    At the foot, or at the top: a player lays its controls over a film's foot.
    """
    from PIL import Image, ImageDraw

    width, height = picture.size
    layer = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    unit = max(min(width, height) / 100, 0.6)
    words, small = font(max(int(unit * 4.4), 8), bold=True), font(max(int(unit * 2.5), 7))
    pad = unit * 3.2
    prompt = readable(prompt[:400], words).strip() if height >= 120 else ""
    lines = wrapped(draw, prompt, words, width - 4 * pad, 2) if prompt else []
    said = f"made by the sandbox, not by {model}"
    step, foot = unit * 5.6, unit * 4
    tall = pad * 1.7 + foot + step * len(lines)
    _shade(layer, int(tall + pad * 2.2), at_top=at_top)
    y = pad if at_top else height - tall + pad * 0.4
    for line in lines:
        draw.text((pad, y), line, font=words, fill=(255, 255, 255, 255))
        y += step
    pill = "SANDBOX"
    face = font(max(int(unit * 2.3), 7), bold=True)
    long, tall = draw.textlength(pill, face), max(unit * 3.9, 9.0)
    y = min(y + unit * 0.4, height - tall - 2)
    draw.rounded_rectangle((pad, y, pad + long + unit * 2.4, y + tall), tall / 2, fill=(255, 255, 255, 232))
    draw.text((pad + unit * 1.2, y + tall / 2), pill, font=face, fill=(30, 34, 52, 255), anchor="lm")
    beside = pad + long + unit * 4.2
    if beside + draw.textlength(said, small) <= width:
        draw.text((beside, y + tall / 2), said, font=small, fill=(255, 255, 255, 225), anchor="lm")
    return layer


def _shade(layer: Image.Image, tall: int, *, at_top: bool) -> None:
    """Darken an edge of the layer softly, so that white type can be read on any picture."""
    from PIL import Image

    width, height = layer.size
    tall = min(max(tall, 1), height)
    ramp = Image.new("L", (1, tall))
    shades = [int(165 * (i / tall) ** 0.8) for i in range(tall)]
    ramp.putdata(shades[::-1] if at_top else shades)
    top = 0 if at_top else height - tall
    layer.paste(Image.new("RGBA", (width, tall), (10, 12, 26, 255)), (0, top), ramp.resize((width, tall)))
