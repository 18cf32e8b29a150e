"""S3: files. Whatever a server, a label or a person calls them and whatever is in them: nothing outside the store, nothing that runs."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from urllib.parse import quote

import pytest
from hostile_samples import HTML, SVG
from PIL import Image
from strange_api import DONE, Heard, StrangeApi, Told

import elumenta_nb as el
from elumenta_nb import _delivery
from elumenta_nb._client import _download
from elumenta_nb._preview import MAX_PIXELS, preview
from elumenta_nb._result import Result
from elumenta_nb._store import Store
from elumenta_nb._values import Ask, Call, Origin, Reply

KEY = "nb_live_Zq7Kx2Vt9Lm4Rw8Jc3Hd6Pf1Ys5Ng0Ba7Ue4Io"
PLACE = "папка с пробелами & 'quotes'"  # where the notebook lies

NAMES = [
    "../../evil.png", "../../../../../../tmp/evil.png", "/etc/cron.d/evil", "/tmp/evil.png", "..", ".", "./.", "....//....//evil", "..\\..\\evil.png",
    "C:\\Windows\\evil.png", "\\\\host\\share\\evil.png", "~/evil.png", "~root/evil", "$HOME/evil", "${IFS}evil", "`touch evil`", "$(touch evil)",
    "; touch evil", "| touch evil", "&& touch evil", "-rf", "--help", "evil\0.png", "evil.png\0.html", "evil\n.png", "evil\r\nX-Evil: 1", "evil\u2028.png",
    "CON", "con.png", "NUL", "aux.mp4", "COM1", "LPT9.txt", "PRN.", "evil.", "evil ", " evil", ".htaccess", ".ssh/authorized_keys", ".bashrc", "a" * 300,
    "ж" * 300, "я.png", "кот и маяк.png", "名前.png", "\u202egnp.exe", "evil.png.exe", "evil.svg", "evil.html", "evil.ipynb", "evil.py", "%2e%2e%2fevil",
    "..%2f..%2fevil", "%00evil", "evil?x=1#y", "evil:stream", "evil::$DATA", "<script>alert(1)</script>.png", '"><img src=x onerror=alert(1)>.png', "",
]  # fmt: skip
PNG = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc\xf8\xcf\xc0\xf0"
    b"\x1f\0\x05\0\x01\xff\x89\x99=\x1d\0\0\0\0IEND\xaeB`\x82"
)


async def at_once(_seconds: float) -> None:
    await asyncio.sleep(0)


class Quick(el.Session):
    sleep = staticmethod(at_once)


def quick(api: str, home: Path, **settings) -> el.Session:
    session = Quick(api_key=KEY, base_url=api, home=home, **settings)
    session.services().client._sleep = session.services().client._downloads._sleep = at_once
    return session


def header_safe(name: str) -> str:
    return name.encode("utf-8").decode("latin-1").replace("\r", "").replace("\n", "").replace("\0", "")


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_server_s_names_and_a_cell_s_labels_stay_in_the_store_and_out_of_the_file_names(tmp_path, monkeypatch):
    """Every name at once in the header, the address and the metadata of a file, and as the label of the cell."""
    assert len(set(NAMES)) >= 40
    here = tmp_path / PLACE
    here.mkdir()
    monkeypatch.chdir(here)
    name = ""

    def answer(heard: Heard) -> Told | None:
        if heard.path == "/generate":
            facts = {"filename": name, "file_name": name, "name": name, "path": name, "folder": name}
            url = f"http://{heard.header('host')}/media/{quote(name, safe='')}"
            return Told(
                {
                    **DONE,
                    "id": f"gen_{quote(name, safe='')[:40]}x",
                    "result_text": None,
                    "result_url": url,
                    "thumbnail_url": url,
                    "result_metadata": facts,
                    "filename": name,
                }
            )
        if not heard.target.startswith("/api/"):  # `..` in an address is resolved before it is asked for
            return Told(
                PNG,
                headers={
                    "content-type": "image/png",
                    "content-disposition": f'attachment; filename="{header_safe(name)}"',
                },
            )
        return None

    with StrangeApi(answer) as api:
        session = quick(api.url, tmp_path / "home", reuse="all")
        before = everything(tmp_path)
        paths = []
        for n, name in enumerate(NAMES):
            origin = Origin(
                source="magic", label=name[:60], cell_id=name, notebook=name, tags=(name,), run=str(n), source_hash=name
            )
            paths += session.run(Ask(model="dall-e-3", prompt=f"picture {n} {name}".replace("\0", "")), origin)[0].paths
        session.close()
    new = everything(tmp_path) - before

    store = f"{PLACE}/elumenta_media"
    outside = {
        path for path in new if not path.startswith((store + "/", "home/ledger.sqlite")) and path not in (store, "home")
    }
    assert outside == set()
    assert len(paths) == len(NAMES)
    for path in paths:
        assert path.parent == here / "elumenta_media"
        assert path.name.isascii() and not set(path.name) & set(" /\\:*?\"<>|$`'%")
        assert path.suffix == ".png" and len(path.name) < 120
        assert path.read_bytes() == PNG


@pytest.mark.parametrize("name", [name for name in NAMES if "\0" not in name and name.strip()])
def test_save_writes_where_the_person_said_or_refuses_before_paying(tmp_path, monkeypatch, name):
    """`--save` is the person's own choice of a path; what is refused is refused while nothing is spent."""
    here = tmp_path / PLACE / "deep" / "deeper"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(tmp_path / "person"))
    if name.startswith(("/", "~root")):
        name = str(tmp_path / "absolute" / Path(name).name)
    wanted = (here / Path(name).expanduser()).resolve()
    with StrangeApi(
        lambda heard: Told({**DONE, "result_text": "the answer"}) if heard.path == "/generate" else None
    ) as api:
        session = quick(api.url, tmp_path / "home")
        before = everything(tmp_path)
        try:
            session.run(Ask(model="gpt-5", prompt="x", save=name), Origin(source="magic"))
        except el.ElumentaError as error:
            assert error.spent == "no"
            assert api.of("POST", "/generate") == []
        session.close()
    new = {path for path in everything(tmp_path) - before if (tmp_path / path).is_file()}
    ours = {path for path in new if path.startswith(("home/", f"{PLACE}/deep/deeper/elumenta_media/"))}

    assert len(new - ours) <= 1
    for path in new - ours:
        written = (tmp_path / path).resolve()
        assert (
            written in (wanted, wanted.with_name(wanted.name + ".txt"), wanted.with_name(wanted.name + ".md"))
            or written.parent == wanted
        )
        assert "the answer" in written.read_text()


# ------------------------------------------------------------------ content types that lie


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, *, mode: int = 2, rows: bytes | None = None, extra: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, mode, 0, 0, 0)
    rows = zlib.compress(bytes(1000), 9) if rows is None else rows
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


LIES = {
    **{f"SVG {n}": sample.encode() for n, sample in enumerate(SVG)},
    **{f"HTML {n}": sample.encode("utf-8", "replace") for n, sample in enumerate(HTML)},
    "SVG in UTF-16": SVG[2].encode("utf-16"),
    "HTML in UTF-16": HTML[0].encode("utf-16"),
    "HTML in UTF-16 without a mark": HTML[0].encode("utf-16-le"),
    "HTML after a mark": b"\xef\xbb\xbf" + HTML[0].encode(),
    "HTML after 60 kB of spaces": b" " * 60_000 + HTML[0].encode(),
    "packed SVG": gzip.compress(SVG[2].encode()),
    "a PNG with HTML behind it": PNG + HTML[0].encode(),
    "a PNG with a script in its text": png(1, 1, extra=chunk(b"tEXt", b"Comment\0<script>alert(1)</script>")),
    "a GIF that is a script": b"GIF89a/*" + bytes(16) + b"*/=1;alert(1)//",
    "a JPEG with HTML in it": b"\xff\xd8\xff\xfe\x00\x20<script>alert(1)</script>\xff\xd9",
    "a BMP that is a script": b"BM=1;alert(1)",
    "an ID3 tag before HTML": b"ID3\x04\0\0\0\0\0\0" + HTML[5].encode(),
    "a WAVE of HTML": b"RIFF\x40\0\0\0WAVE" + HTML[0].encode(),
    "an MP4 of HTML": b"\0\0\0\x18ftypmp42" + HTML[0].encode(),
    "an Ogg of HTML": b"OggS" + HTML[0].encode(),
    "a notebook": json.dumps({"cells": [{"cell_type": "code", "source": "!rm -rf ~"}], "nbformat": 4}).encode(),
    "a PDF": b"%PDF-1.7\n<script>app.alert(1)</script>",
    "a zip": b"PK\x03\x04" + bytes(30),
    "an ELF program": b"\x7fELF" + bytes(60),
    "a shell script": b"#!/bin/sh\ntouch evil\n",
    "a Windows program": b"MZ" + bytes(60),
    "JavaScript": b"alert(1)",
    "XML with entities": b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'aa'>]><x>&a;</x>",
    "nothing but zeros": bytes(5000),
}
CLAIMS = [
    "image/png",
    "image/svg+xml",
    "text/html",
    "application/xhtml+xml",
    "application/octet-stream",
    "video/mp4",
    "audio/mpeg",
    "text/html; charset=x-mac",
    "",
]
SHOWN = {"text/plain", "text/html", "image/png", "image/jpeg", "text/markdown"}
INERT = {
    "png", "jpg", "gif", "webp", "mp3", "wav", "ogg", "ogv", "flac", "aac", "mp4", "m4a", "mov", "webm", "mkv", "avi", "avif", "heic", "bmp", "tiff",
    "pdf", "zip", "gz", "bin", "txt", "json",
}  # fmt: skip


@pytest.mark.parametrize("kind", LIES)
def test_a_file_that_is_not_what_it_says_is_stored_as_what_it_is_and_never_shown_as_markup(tmp_path, kind):
    """Its own name is `.txt` where it could run; what a notebook keeps of it is a picture made here, or facts."""
    store = Store(tmp_path / "elumenta_media", fallback=tmp_path / "other")
    draft = store.begin(
        Call(category="image", model="dall-e-3", prompt="x", origin=Origin(source="magic")), "https://elumenta.ru"
    )
    draft.path.write_bytes(LIES[kind])
    take = draft.commit(Reply(id=1, status="completed", url="https://x/y.png", text=None), tokens=5)
    data, metadata = Result.from_take(take, base=tmp_path)._repr_mimebundle_()
    stored = take.media[0]

    assert stored.path.suffix.removeprefix(".") in INERT
    assert stored.path.read_bytes() == LIES[kind]
    assert stored.path.stat().st_mode & 0o111 == 0
    assert set(data) <= SHOWN
    assert "svg" not in str(set(data)) and "<script" not in data.get("text/html", "")
    assert "alert(1)" not in str(data) + str(metadata)
    if kind.startswith(("SVG", "HTML")) and not stored.path.name.endswith(".txt"):
        assert stored.mime.startswith(("image/png", "application/", "text/plain"))


def test_there_are_enough_lies():
    assert len(LIES) >= 40


@pytest.mark.parametrize("claim", CLAIMS)
def test_the_claim_of_a_server_changes_nothing(tmp_path, claim):
    def answer(heard: Heard) -> Told | None:
        if heard.path == "/generate":
            return Told({**DONE, "result_text": None, "result_url": f"http://{heard.header('host')}/media/x.png"})
        return Told(SVG[2].encode(), headers={"content-type": claim}) if "/media/" in heard.path else None

    with StrangeApi(answer) as api:
        session = quick(api.url, tmp_path / "home", media_dir=tmp_path / "media")
        result = session.generate("dall-e-3", "a cat")
        session.close()

    assert result.path.name.endswith(".svg.txt")
    assert set(result._repr_mimebundle_()[0]) <= {"text/plain", "text/html"}


# ------------------------------------------------------------------ bombs


def jpeg_that_claims(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "JPEG")
    data = bytearray(out.getvalue())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def gif_that_claims(width: int, height: int) -> bytes:
    return (
        b"GIF89a"
        + struct.pack("<HH", width, height)
        + b"\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0"
        + struct.pack("<HH", width, height)
        + b"\0\x02\x02D\x01\0;"
    )


def webp_that_claims(width: int, height: int) -> bytes:
    body = (
        b"VP8X"
        + struct.pack("<I", 10)
        + b"\0\0\0\0"
        + struct.pack("<I", width - 1)[:3]
        + struct.pack("<I", height - 1)[:3]
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


ZEROS = zlib.compress(bytes(400 * 1024**2), 9)
BOMBS = {
    "a PNG of 3.6 gigapixels": png(60_000, 60_000),
    "a PNG as wide as numbers go": png(2**31 - 1, 1),
    "a PNG as large as numbers go": png(2**31 - 1, 2**31 - 1),
    "a PNG of no size": png(0, 0),
    "a PNG whose rows are 400 MB more than its size": png(10, 10, rows=ZEROS),
    "a PNG with 400 MB of text": png(10, 10, extra=chunk(b"zTXt", b"x\0\0" + ZEROS)),
    "a PNG with 400 MB of international text": png(10, 10, extra=chunk(b"iTXt", b"x\0\1\0\0\0" + ZEROS)),
    "a PNG with a colour profile of 400 MB": png(10, 10, extra=chunk(b"iCCP", b"x\0\0" + ZEROS)),
    "a PNG with 100,000 chunks": png(10, 10, extra=chunk(b"tEXt", b"a\0b") * 100_000),
    "an animated PNG of a billion frames": png(10, 10, extra=chunk(b"acTL", struct.pack(">II", 10**9, 0))),
    "a JPEG of 4 gigapixels": jpeg_that_claims(65_535, 65_535),
    "a GIF of 4 gigapixels": gif_that_claims(65_535, 65_535),
    "a GIF of many frames": gif_that_claims(64, 64)[:-1] + b",\0\0\0\0\x40\0\x40\0\0\x02\x02D\x01\0" * 200_000 + b";",
    "a WebP of 280 terapixels": webp_that_claims(2**24, 2**24),
    "just below the limit of pixels": png(8000, MAX_PIXELS // 8000, mode=6, rows=zlib.compress(bytes((8000 * 4 + 1) * (MAX_PIXELS // 8000)), 9)),
}  # fmt: skip

MEASURE = """
import resource, sys, time
from pathlib import Path
from elumenta_nb._preview import preview, pixels, poster
import PIL.Image, PIL.ImageOps, PIL.PngImagePlugin, PIL.JpegImagePlugin, PIL.GifImagePlugin, PIL.WebPImagePlugin
resource.setrlimit(resource.RLIMIT_AS, (3 * 1024**3, 3 * 1024**3))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.process_time()
for name in sys.argv[1:]:
    path = Path(name)
    preview(path, limit_bytes=200_000), pixels(path), poster(path.read_bytes(), limit_bytes=50_000)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, time.process_time() - began)
"""


def test_bombs_take_neither_the_memory_nor_the_time(tmp_path):
    """All of them in one process: at most 300 MiB above what it had, and some seconds."""
    files = []
    for n, data in enumerate(BOMBS.values()):
        files.append(str(tmp_path / f"{n}.bin"))
        Path(files[-1]).write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *files], capture_output=True, text=True, timeout=120, check=False
    )

    assert done.returncode == 0, done.stderr[-2000:]
    mib, seconds = map(float, done.stdout.split())
    assert mib < 300
    assert seconds < 20


@pytest.mark.parametrize("bomb", [name for name in BOMBS if "giga" in name or "tera" in name or "numbers" in name])
def test_a_bomb_has_no_preview_and_stays_a_file_that_was_paid_for(tmp_path, bomb):
    (tmp_path / "bomb").write_bytes(BOMBS[bomb])

    assert preview(tmp_path / "bomb", limit_bytes=200_000) is None


# ------------------------------------------------------------------ endless, huge, slow


def endless(piece: bytes = b"x" * 65536):
    while True:
        yield piece


def trickle():
    for _ in range(100):
        yield b"x"
        time.sleep(0.02)


FILES = {
    "endless": lambda: Told(endless()),
    "endless, and says it is a picture of 5 bytes": lambda: Told(endless(), headers={"content-length": "5"}),
    "says it is 8 EiB": lambda: Told(b"x", headers={"content-length": str(2**63)}),
    "says its length twice as two": lambda: Told(b"xxxx", headers={"content-length": "4, 5"}),
    "a gzip bomb": lambda: Told(gzip.compress(bytes(50 * 1024**2)), headers={"content-encoding": "gzip"}),
    "a gzip bomb in a gzip bomb": lambda: Told(
        gzip.compress(gzip.compress(bytes(50 * 1024**2))), headers={"content-encoding": "gzip, gzip"}
    ),
    "a bomb of another packing": lambda: Told(b"\xce\xb2\xcf\x81" * 1000, headers={"content-encoding": "br"}),
    "trickles": lambda: Told(trickle()),
    "empty": lambda: Told(b""),
    "another redirect each time": lambda: Told(b"", 302, {"location": "/media/" + os.urandom(4).hex()}),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_never_ends_or_never_begins_is_paid_said_and_leaves_nothing(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(_delivery, "MAX_MEDIA_BYTES", 2 * 1024**2)
    monkeypatch.setattr(_download, "SLOW_WINDOW_S", 0.2)

    def answer(heard: Heard) -> Told | None:
        if heard.path == "/generate":
            return Told(
                {
                    **DONE,
                    "result_text": None,
                    "result_url": f"http://{heard.header('host')}/media/x.png",
                    "tokens_spent": 5,
                }
            )
        return FILES[kind]() if "/media/" in heard.path else None

    with StrangeApi(answer) as api:
        session = quick(api.url, tmp_path / "home", media_dir=tmp_path / "media", reuse="off")
        began = time.monotonic()
        try:
            result = session.generate("dall-e-3", "a cat")
        except el.DownloadFailed as error:
            assert (error.spent, error.tokens) == ("yes", 5)
            assert "show" in error.hint
            assert len("\n".join(error._render_traceback_()).splitlines()) <= 10
            left = [path for path in (tmp_path / "media").rglob("*") if path.is_file()]
            assert left == []
        else:  # what came was whole by its own account
            assert kind in (
                "endless, and says it is a picture of 5 bytes",
                "a bomb of another packing",
                "a gzip bomb in a gzip bomb",
            )
            assert result.path.stat().st_size <= 2 * 1024**2
        booked = session.spend(columns="all")
        session.close()

    assert booked["tokens"].tolist() == [5]
    assert booked["held"].sum() == 0
    assert time.monotonic() - began < 20


# ------------------------------------------------------------------ addresses inside

INSIDE = [
    "https://127.0.0.1/a", "https://localhost/a", "https://localhost./a", "https://LOCALHOST/a", "https://[::1]/a", "https://[::]/a", "https://0.0.0.0/a",
    "https://0/a", "https://127.1/a", "https://2130706433/a", "https://0x7f000001/a", "https://0177.0.0.1/a", "https://0x7f.0.0.1/a", "https://127.0.0.1./a",
    "https://10.0.0.1/a", "https://172.16.5.5/a", "https://192.168.1.1/a", "https://169.254.169.254/latest/meta-data/", "https://[fe80::1%25eth0]/a",
    "https://[fd00:ec2::254]/a", "https://[::ffff:127.0.0.1]/a", "https://[::ffff:a9fe:a9fe]/a", "https://[64:ff9b::a00:1]/a", "https://[2002:7f00:1::]/a",
    "https://100.64.0.1/a", "https://198.18.0.1/a", "https://224.0.0.1/a", "https://255.255.255.255/a", "https://[ff02::1]/a", "https://2852039166/a",
    "https://0xa9fea9fe/a", "https://169.254.43518/a", "https://metadata.google.internal/a", "https://①②⑦.⓪.⓪.①/a", "https://127。0。0。1/a",
    "http://127.0.0.1/a", "http://storage.elumenta.ru/a", "HTTP://storage.elumenta.ru/a", "file:///etc/passwd", "ftp://storage.elumenta.ru/a",
    "gopher://storage.elumenta.ru/a", "data:image/png;base64,AAAA", "javascript:alert(1)", "//storage.elumenta.ru/a", "/etc/passwd", "\\\\host\\share",
    "https://storage.elumenta.ru@127.0.0.1/a", "https://127.0.0.1\\@storage.elumenta.ru/a", "https://storage.elumenta.ru:0/a",
    "https://storage.elumenta.ru:99999/a", "https:// /a", "https://\x00/a", "https://[/a", "https://xn--lumenta-y7f.ru/a", "https://" + "a" * 70 + ".ru/",
]  # fmt: skip


@pytest.mark.parametrize("url", INSIDE)
def test_an_address_inside_is_not_asked_whatever_way_it_is_written(tmp_path, url):
    """As of a live API: the client of a public origin, whose names lead where the system's own look-up would lead them."""
    asked = []

    async def resolve(host: str, port: int) -> list[str]:
        numbers = {
            "localhost": "127.0.0.1",
            "metadata.google.internal": "169.254.169.254",
            "storage.elumenta.ru": "93.184.216.34",
        }
        name = host.rstrip(".").lower()
        if name in numbers:
            return [numbers[name]]
        import socket

        try:
            return [socket.inet_ntoa(socket.inet_aton(name))]  # what getaddrinfo makes of 0x7f.1 and 2130706433
        except OSError:
            return [name]

    class Never:
        async def handle_async_request(self, request):
            asked.append(str(request.url))
            raise RuntimeError("a connection was made")

        async def aclose(self):
            pass

    async def fetch():
        downloads = _download.Downloads(local=False, factory=lambda _route: Never(), sleep=at_once, resolve=resolve)
        with pytest.raises(el.DownloadFailed) as caught:
            await downloads.fetch(url, tmp_path / "x", max_bytes=1000)
        await downloads.aclose()
        return caught.value

    error = asyncio.run(fetch())

    assert asked == []
    assert error.spent == "yes"
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_points_outside_once_and_inside_after_is_asked_at_the_address_that_was_checked(tmp_path):
    """DNS rebinding: there is one look-up for the check and the connection, and none after it."""
    answers = iter([["93.184.216.34"], ["127.0.0.1"], ["127.0.0.1"]])
    asked = []

    async def resolve(_host: str, _port: int) -> list[str]:
        return next(answers)

    class Once:
        async def handle_async_request(self, request):
            asked.append((request.url.host, request.extensions["sni_hostname"]))
            raise OSError("no route")

        async def aclose(self):
            pass

    async def fetch():
        downloads = _download.Downloads(local=False, factory=lambda _route: Once(), sleep=at_once, resolve=resolve)
        with pytest.raises(el.DownloadFailed):
            await downloads.fetch("https://rebind.example/a", tmp_path / "x", max_bytes=1000)
        await downloads.aclose()

    asyncio.run(fetch())

    assert asked
    assert set(asked) == {("93.184.216.34", "rebind.example")}
