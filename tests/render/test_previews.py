import io
import struct
import zlib

import pytest
from PIL import Image

from elumenta_nb._preview import MAX_PIXELS, converted, drawn_poster, pixels, poster, preview

LIMIT = 200 * 1024


def made(kind="PNG", size=(64, 48), mode="RGB", noisy=False, **options) -> bytes:
    out = io.BytesIO()
    image = Image.effect_noise(size, 90).convert(mode) if noisy else Image.new(mode, size, 5)
    image.save(out, kind, **options)
    return out.getvalue()


def bomb(width=60_000, height=60_000) -> bytes:
    """A valid PNG of a few kB that decodes to 10 GB."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(3 * width + 1), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def shown(tmp_path, data, **options):
    path = tmp_path / "picture"
    path.write_bytes(data)
    return preview(path, limit_bytes=options.pop("limit_bytes", LIMIT), **options)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_small_native_picture_is_shown_as_it_is(tmp_path, kind):
    data = made(kind)
    picture = shown(tmp_path, data)
    assert picture.data == data
    assert (picture.width, picture.height) == (64, 48)


@pytest.mark.parametrize("kind", ["WEBP", "GIF"])
def test_other_kinds_become_png_or_jpeg(tmp_path, kind):
    picture = shown(tmp_path, made(kind))
    assert picture.mime in ("image/png", "image/jpeg")
    assert Image.open(io.BytesIO(picture.data)).size == (64, 48)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
@pytest.mark.parametrize("size", [(1500, 1000), (300, 2000), (4000, 40)])
def test_a_large_picture_is_reduced_below_the_limit(tmp_path, mode, size):
    picture = shown(tmp_path, made("PNG", size, mode, noisy=True), limit_bytes=60_000)
    assert len(picture.data) <= 60_000
    assert max(picture.width, picture.height) <= 1024


def test_transparency_is_kept_where_it_fits(tmp_path):
    picture = shown(tmp_path, made("WEBP", (600, 600), "RGBA"))
    assert Image.open(io.BytesIO(picture.data)).mode == "RGBA"


def test_a_photograph_turned_by_its_camera_stands_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = shown(tmp_path, made("JPEG", (2000, 1000), exif=exif), limit_bytes=5_000)
    assert picture.height > picture.width


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        made()[:60],
        made("JPEG", (500, 500), noisy=True)[:2000],
        made("WEBP")[:40],
        b"<svg onload='alert(1)'/>",
        b"GIF89a" + bytes(50),
        made("TIFF"),
        made("BMP"),
        made("PPM"),
        made("ICO"),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        bomb(),
        bomb(200_000, 200_000),
        bomb(1, 2**31 - 1),
        bomb(0, 0),
    ],
)
def test_what_cannot_be_shown_safely_has_no_preview_and_raises_nothing(tmp_path, data):
    assert shown(tmp_path, data) is None


def test_a_bomb_is_recognised_without_being_decoded(tmp_path):
    import tracemalloc

    (tmp_path / "picture").write_bytes(bomb())
    tracemalloc.start()
    assert preview(tmp_path / "picture", limit_bytes=LIMIT) is None
    assert converted(tmp_path / "picture", "image/jpeg") is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000
    assert 60_000 * 60_000 > MAX_PIXELS
    assert pixels(tmp_path / "picture") in ((60_000, 60_000), None)


def test_a_missing_file_has_no_preview(tmp_path):
    assert preview(tmp_path / "none", limit_bytes=LIMIT) is None


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1080, 1920), (None, None), (1, 60_000), (60_000, 1)])
def test_a_drawn_poster_has_the_shape_of_its_video_and_is_small(width, height):
    picture = drawn_poster("модель · 5 s", width=width, height=height, limit_bytes=48 * 1024)
    assert len(picture.data) < 48 * 1024
    assert (picture.width >= picture.height) == ((width or 16) >= (height or 9))


def test_a_thumbnail_that_is_no_picture_is_no_poster():
    assert poster(b"<html>", limit_bytes=9999) is None
    assert poster(bomb(), limit_bytes=9999) is None
    assert poster(made("WEBP", (2000, 1000), noisy=True), limit_bytes=48 * 1024).width <= 640
