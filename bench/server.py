"""The smallest server that speaks enough of the API: canned replies, no logic, so that what is measured is the client.

    python -m bench.server [pieces] [pieces per second, 0 = as fast as possible]

Prints its port. `gpt-5-nano` is never answered, `kling-v2.1` gives a file that trickles for a minute,
`sora-2` a job that stays pending, `photon` and `luma-ray2` files of 5 MiB, `veo-3.1` one of 1 GiB.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
import time
from functools import cache
from itertools import count

PIECES = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
RATE = float(sys.argv[2]) if len(sys.argv) > 2 else 0
WORDS = ["The", "tide", "goes", "out", "over", "the", "long", "flat", "sand", "and", "the", "lamp", "is", "lit", "."]
BIG = {"photon": "big.png", "luma-ray2": "big.mp4", "veo-3.1": "gigabyte.mp4"}
ids = count(1000)
seen = {"first_piece": 0.0, "polls": 0}

BALANCE = {"token_balance": 1500, "plan": "vip", "plan_expires_at": "2027-01-01T00:00:00Z"}
QUOTE = {"token_cost": 2, "min_token_cost": 2, "max_token_cost": 2, "pricing_type": "fixed"}
ME = {"id": 7, "name": "Bench", "plan": "vip", "token_balance": 1500, "rate_limit_hourly": 0, "rate_limit_daily": 0}
TEXT = {
    "status": "completed",
    "model_slug": "gpt-5",
    "result_text": "ok",
    "tokens_spent": 2,
    "processing_ms": 1,
}


def reply(writer: asyncio.StreamWriter, body: object, status: str = "200 OK") -> None:
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    writer.write(head.encode() + data)


async def stream(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")

    def event(**facts: object) -> bytes:
        return b"data: " + json.dumps(facts).encode() + b"\n\n"

    writer.write(event(type="generation_start", id=2, model="gpt-5"))
    await writer.drain()
    start = time.monotonic()
    for number in range(PIECES):
        if RATE:
            await asyncio.sleep(max(0.0, start + number / RATE - time.monotonic()))
        if not number:
            seen["first_piece"] = time.time()
        word = WORDS[number % len(WORDS)] + ("\n\n" if number % 80 == 79 else " ")
        writer.write(event(type="content_delta", delta=word))
        await writer.drain()
    writer.write(event(type="generation_end", id=2, tokens_spent=2) + b"data: [DONE]\n\n")
    await writer.drain()


async def slow_file(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: 60000000\r\n\r\n")
    for _ in range(600):
        writer.write(bytes(1000))
        await writer.drain()
        await asyncio.sleep(0.1)


def big_file(writer: asyncio.StreamWriter, name: str) -> None:
    data = big_files()[name]
    kind = "image/png" if name.endswith("png") else "video/mp4"
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)


async def gigabyte(writer: asyncio.StreamWriter) -> None:
    """Handed over by the kernel: a server that burns a core would slow down whoever has more to do on the other."""
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: {2**30}\r\n\r\n".encode())
    await writer.drain()
    with tempfile.TemporaryFile() as file:
        file.write(b"\0\0\0\x18ftypmp42\0\0\0\0mp42")
        file.truncate(2**30)
        await asyncio.get_running_loop().sendfile(writer.transport, file)


@cache
def big_files() -> dict[str, bytes]:
    """About 5 MiB each of what does not compress: a picture of noise, and a film as far as its first bytes go."""
    from io import BytesIO

    from PIL import Image

    noise, picture = random.Random(7).randbytes(1350 * 1350 * 3), BytesIO()
    Image.frombytes("RGB", (1350, 1350), noise).save(picture, "PNG", compress_level=1)
    return {"big.png": picture.getvalue(), "big.mp4": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + noise}


async def answer(path: str, body: dict, writer: asyncio.StreamWriter, host: str) -> bool:
    """Answer one request; false when the connection is spent."""
    model = body.get("model")
    if path.endswith("calculate-price"):
        reply(writer, QUOTE)
    elif path.endswith("/balance"):
        reply(writer, BALANCE)
    elif path.endswith("/user/me"):
        reply(writer, ME)
    elif path.endswith("/seen"):
        reply(writer, seen)
    elif path.endswith("/file.mp4"):
        await slow_file(writer)
        return False
    elif path.endswith("/gigabyte.mp4"):
        await gigabyte(writer)
    elif (name := path.rsplit("/", 1)[1]) in ("big.png", "big.mp4"):
        big_file(writer, name)
    elif model in BIG:
        url = f"http://{host}/{BIG[model]}"
        reply(writer, {"id": 5, "status": "completed", "model_slug": model, "result_url": url, "tokens_spent": 2})
    elif "/history" in path or path.endswith("/models"):
        reply(writer, {"items": [], "total": 0, "page": 1, "limit": 100})
    elif model == "gpt-5-nano":  # is never answered
        await asyncio.sleep(600)
    elif path.endswith("/generate/stream"):
        await stream(writer)
        return False
    elif path.endswith("/generate") and model == "sora-2":
        reply(writer, {"id": 3, "status": "pending", "model_slug": "sora-2"})
    elif path.endswith("/generate") and model == "kling-v2.1":
        url = f"http://{host}/file.mp4"
        reply(writer, {"id": 4, "status": "completed", "model_slug": model, "result_url": url, "tokens_spent": 2})
    elif path.endswith("/generate/3"):
        seen["polls"] += 1
        reply(writer, {"id": 3, "status": "pending", "model_slug": "sora-2"})
    else:
        reply(writer, {"id": next(ids), **TEXT})
    return True


async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.split("\r\n")
            headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in lines) if key}
            raw = await reader.readexactly(int(headers.get("content-length", 0)))
            body = json.loads(raw) if raw.startswith(b"{") else {}
            path = first.split()[1].split("?")[0]
            if not await answer(path, body, writer, headers.get("host", "")):
                break
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
