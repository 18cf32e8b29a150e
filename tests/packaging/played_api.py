"""A few endpoints of the documented API on loopback, by the standard library alone: what an installed package talks to
where neither the sandbox's libraries nor a network is. Its money is a number in memory.

As a script it serves until its input ends, and prints its address first.
"""

from __future__ import annotations

import json
import struct
import sys
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

KEY = "nb_" + "played0123456789abcdef0123456789"
PRICES = {"gpt-5-nano": 1, "photon-flash": 1, "dall-e-3": 5}


def png(width: int = 64, height: int = 48) -> bytes:
    """A real picture of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + b"\x0f\x76\x6e" * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    balance = 100
    made: ClassVar[list[dict[str, Any]]] = []
    lock = threading.Lock()

    def log_message(self, *_args: object) -> None:
        """Quiet."""

    def answer(self, body: object, status: int = 200, kind: str = "application/json") -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def allowed(self) -> bool:
        if self.headers.get("authorization") == f"Bearer {KEY}":
            return True
        self.answer({"error": "unauthorized", "message": "Invalid API key"}, 401)
        return False

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].removeprefix("/api/v2")
        if path == "/files/1.png":  # media are fetched without the key
            self.answer(png(), kind="image/png")
        elif self.allowed():
            told = {
                "/user/me": {"id": 7, "plan": "vip", "token_balance": Api.balance},
                "/balance": {"token_balance": Api.balance, "plan": "vip"},
                "/user/balance": {"token_balance": Api.balance, "plan": "vip"},
                "/models": {"models": []},
                "/user/history": {"items": Api.made, "total": len(Api.made)},
            }.get(path)
            self.answer(*((told,) if told is not None else ({"error": "not_found", "message": path}, 404)))

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        if not self.allowed():
            return
        if self.path.endswith("/calculate-price"):
            price = PRICES[self.path.split("/")[-2]]
            self.answer(
                {"token_cost": price, "min_token_cost": price, "max_token_cost": price, "pricing_type": "fixed"}
            )
            return
        price = PRICES[asked["model"]]
        with Api.lock:
            Api.balance -= price
            number = len(Api.made) + 1
            text = asked["model"].startswith("gpt")
            host = self.headers["host"]
            made = {
                "id": number,
                "status": "completed",
                "model_slug": asked["model"],
                "prompt": asked.get("prompt"),
                "result_text": "A line of text." if text else None,
                "result_url": None if text else f"http://{host}/api/v2/files/1.png",
                "tokens_spent": price,
            }
            Api.made.append(made)
        self.answer(made)


def serve() -> tuple[ThreadingHTTPServer, str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_address[1]}/api/v2"


if __name__ == "__main__":
    print(serve()[1], flush=True)
    sys.stdin.read()
