"""An API that remembers what it took, so that a test can compare it with the ledger; and a session that does not wait."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

from strange_api import Heard, StrangeApi, Told

import elumenta_nb as el

KEY = "nb_live_Zq7Kx2Vt9Lm4Rw8Jc3Hd6Pf1Ys5Ng0Ba7Ue4Io"
PRICE = 7


class Raw(str):
    """Stands in the body as it is, without quotes."""

    __slots__ = ()


def dumps(obj: dict[str, Any]) -> bytes:
    """As JSON, with the raw pieces put in as they are."""
    pieces: list[str] = []

    def mark(value: Any) -> Any:
        if isinstance(value, Raw):
            pieces.append(value)
            return f"@@{len(pieces) - 1}@@"
        if isinstance(value, dict):
            return {name: mark(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [mark(inner) for inner in value]
        return value

    text = json.dumps(mark(obj))
    for n, piece in enumerate(pieces):
        text = text.replace(f'"@@{n}@@"', piece)
    return text.encode("utf-8", "surrogatepass")


class Till(StrangeApi):
    """An API that remembers what it took: every purchase costs 7 tokens and is in the history, whatever the reply says.

    `twist(what, obj)` changes an answer on its way out; it gives an object, bytes or a `Told`.
    """

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.made: list[dict[str, Any]] = []
        self.picture = b""  # what its addresses of files lead to
        self.twist = lambda _what, obj: obj

    @property
    def taken(self) -> int:
        return sum(row["tokens_spent"] for row in self.made)

    def _answer(self, heard: Heard) -> Told | None:
        if heard.target.startswith("/media/"):
            self.twist("media", self.picture)
            return Told(self.picture, headers={"content-type": "image/png"})
        what, obj = self._plain(heard)
        if obj is None:
            return None
        twisted = self.twist(what, obj)
        if isinstance(twisted, Told):
            return twisted
        body = twisted if isinstance(twisted, bytes) else dumps(twisted)
        kind = {"content-type": "text/event-stream"} if what == "stream" else {}
        return Told(body, headers=kind)

    def _plain(self, heard: Heard) -> tuple[str, Any]:
        match heard.method, heard.path:
            case "POST", path if path.endswith("/calculate-price"):
                return "price", {"token_cost": PRICE, "min_token_cost": 1, "max_token_cost": 9, "pricing_type": "fixed"}
            case "POST", "/generate" | "/generate/stream":
                asked = heard.json
                self.made.append({
                    "id": 1000 + len(self.made), "status": "completed", "model_slug": asked["model"], "category": "text",
                    "prompt": asked.get("params", asked).get("prompt") or asked.get("prompt"), "result_text": "the answer", "tokens_spent": PRICE,
                    "balance_remaining": 9000, "created_at": datetime.now(UTC).isoformat(), "completed_at": datetime.now(UTC).isoformat(),
                    "result_metadata": {"width": 5}, "usage": {"prompt_tokens": 3}, "processing_ms": 5, "seed": 4,
                })  # fmt: skip
                if heard.path == "/generate":
                    return "generate", dict(self.made[-1])
                return "stream", self.events(self.made[-1])
            case "GET", path if path.startswith("/generate/"):
                wanted = path.rpartition("/")[2]
                found = next((row for row in self.made if str(row["id"]) == wanted), None)
                return ("status", dict(found)) if found else ("", None)
            case "GET", "/user/history":
                return "history", {"items": self.made[::-1][:100], "total": len(self.made), "page": 1, "limit": 100}
            case "GET", "/balance":
                return "balance", {
                    "token_balance": 9000,
                    "plan": "vip",
                    "plan_expires_at": "2026-12-20T00:00:00Z",
                    "bonus_tokens": 5,
                }
            case "GET", "/user/me":
                return "me", {"id": 7, "name": "someone", "plan": "vip", "rate_limit_hourly": 100}
            case "GET", "/user/stats":
                return "stats", {
                    "tokens_spent_total": self.taken,
                    "total_generations": len(self.made),
                    "breakdown": {"text": {"count": 1, "tokens": 7}},
                }
            case "GET", "/models":
                item = {
                    "slug": "nova-9",
                    "name": "Nova",
                    "category": "text",
                    "provider": "x",
                    "min_token_cost": 1,
                    "max_token_cost": 9,
                    "config": {"sizes": ["a"]},
                }
                return "models", {"items": [item], "total": 1, "page": 1}
            case _:
                return "", None

    @staticmethod
    def events(row: dict[str, Any]) -> bytes:
        told = [
            {"type": "generation_start", "id": row["id"], "model": row["model_slug"]},
            {"type": "content_delta", "delta": "the "},
            {"type": "content_delta", "delta": "answer"},
            {"type": "generation_end", "id": row["id"], "tokens_spent": PRICE, "balance_remaining": 9000},
        ]
        return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in told) + b"data: [DONE]\n\n"


async def at_once(_seconds: float) -> None:
    await asyncio.sleep(0)


class Quick(el.Session):
    sleep = staticmethod(at_once)


def session_at(till: StrangeApi, home: Any, **settings: Any) -> el.Session:
    settings = {"reuse": "off", "media_dir": home / "media", **settings}
    session = Quick(api_key=KEY, base_url=till.url, home=home, **settings)
    session.services().client._sleep = session.services().client._downloads._sleep = at_once
    return session


def books(session: el.Session) -> tuple[int, int]:
    """Tokens booked, tokens held."""
    frame = session.spend(columns="all")
    return int(frame["tokens"].sum()), int(frame["held"].sum())
