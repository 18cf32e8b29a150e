"""What the tests of the store share: calls, replies and small real files."""

import io
import json
import struct
import wave
from dataclasses import replace

from PIL import Image

from elumenta_nb._store import Store
from elumenta_nb._values import Call, Origin, Reply

LIVE = "https://elumenta.ru/api/v2"
SANDBOX = "sandbox"


def png(width=8, height=6, color=(200, 30, 60), mode="RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, (width, height), color if mode == "RGB" else (*color, 120)).save(out, "PNG")
    return out.getvalue()


def picture(kind="WEBP", width=64, height=48) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (20, 90, 160)).save(out, kind)
    return out.getvalue()


def noise(width, height, kind="PNG") -> bytes:
    out = io.BytesIO()
    Image.effect_noise((width, height), 90).convert("RGB").save(out, kind)
    return out.getvalue()


def wav(seconds=0.1) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\0\1" * round(8000 * seconds))
    return out.getvalue()


def box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), name) + body


def mp4(seconds=5, width=640, height=360, padding=0) -> bytes:
    """An MP4 with the boxes that tell its size and length, and no frame."""
    mvhd = box(b"mvhd", bytes(12) + struct.pack(">II", 1000, seconds * 1000) + bytes(80))
    tkhd = box(b"tkhd", bytes(76) + struct.pack(">II", width << 16, height << 16))
    return (
        box(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41")
        + box(b"moov", mvhd + box(b"trak", tkhd))
        + box(b"mdat", bytes(padding))
    )


def call(prompt="a cat", *, cell="", run="", source="", label="", **columns) -> Call:
    given = {"category": "image", "model": "dall-e-3", "reuse": "all", **columns}
    return Call(prompt=prompt, origin=Origin(cell_id=cell, run=run, source_hash=source, label=label), **given)


def again(bought: Call, run: str, **origin) -> Call:
    """The same call in a later run of its cell."""
    return replace(bought, fresh=False, origin=replace(bought.origin, run=run, **origin))


def store_at(folder) -> Store:
    return Store(folder / "elumenta_media", fallback=folder / "fallback")


def buy(store, what: Call, *, api=LIVE, data=None, text=None, tokens=13, **reply):
    draft = store.begin(what, api)
    if data is not None:
        draft.path.write_bytes(data)
    return draft.commit(Reply(id=1, status="completed", text=text, **reply), tokens=tokens, quoted=tokens)


def sidecar(take) -> dict:
    return json.loads(take.path.read_text())


def rewrite(take, **columns) -> None:
    take.path.write_text(json.dumps({**sidecar(take), **columns}))
