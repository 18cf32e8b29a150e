"""What is bought on a bad day, and what goes wrong meanwhile: weighted tables, drawn from by a seeded generator."""

from __future__ import annotations

import wave
from pathlib import Path
from random import Random
from typing import Any

PROMPTS = 12  # few on purpose: most calls have an identical one in flight
JOB, PICTURE_JOB = "gpt-5-nano", "photon"  # served slowly (`slow_models`): answered before they are done

KINDS: dict[str, tuple[int, dict[str, Any]]] = {
    "text": (40, {"model": "gpt-5"}),
    "stream": (20, {"model": "gpt-5", "stream": True}),
    "job": (15, {"model": JOB}),
    "image": (7, {"model": "photon-flash"}),
    "picture job": (4, {"model": PICTURE_JOB}),
    "stt": (14, {"model": "whisper", "prompt": None}),
}

POST = {"method": "POST", "path": "/generate*"}
STT = {"method": "POST", "path": "/stt"}
POLL = {"method": "GET", "path": "/generate/*"}
FILE = {"method": "GET", "path": "*storage*"}
BOOKS = {"method": "GET", "path": "/user/*"}

# Left out is what contradicts the documentation: a documented 500, 503 or any 4xx for a request that was processed.
SENT: dict[str, tuple[int, dict[str, Any]]] = {
    "dropped before": (6, {"kind": "drop_before"}),
    "dropped after": (10, {"kind": "drop_after"}),
    "body cut": (8, {"kind": "cut_body"}),
    "nothing of the body": (3, {"kind": "cut_body", "keep": 0}),
    "slow": (5, {"kind": "slow", "seconds": 0.2}),
    "slow before": (3, {"kind": "slow", "seconds": 0.2, "before": True}),
    "500": (3, {"kind": "status", "code": 500, "body": "documented"}),
    "500 empty": (3, {"kind": "status", "code": 500, "body": ""}),
    "500 empty, done": (4, {"kind": "status", "code": 500, "body": "", "processed": True}),
    "502": (3, {"kind": "status", "code": 502, "body": "<html>bad gateway"}),
    "502 done": (4, {"kind": "status", "code": 502, "body": "", "processed": True}),
    "503": (2, {"kind": "status", "code": 503, "body": "documented"}),
    "503 empty": (3, {"kind": "status", "code": 503, "body": ""}),
    "503 empty, done": (4, {"kind": "status", "code": 503, "body": "", "processed": True}),
    "504": (3, {"kind": "status", "code": 504, "body": "documented"}),
    "504 done": (4, {"kind": "status", "code": 504, "body": "", "processed": True}),
    "429": (2, {"kind": "ratelimit", "retry_after": 1}),
    "429 long": (2, {"kind": "ratelimit", "retry_after": 900}),
    "429 empty": (1, {"kind": "status", "code": 429, "body": ""}),
    "garbage": (4, {"kind": "garbage"}),
    "half a truth": (2, {"kind": "garbage", "body": '{"status": "completed"}'}),
    "no id": (
        2,
        {
            "kind": "garbage",
            "path": "/generate",
            "body": '{"status": "completed", "result_text": "an answer", "content": "an answer"}',
        },
    ),
    "garbage instead": (2, {"kind": "garbage", "processed": False}),
    "web page": (3, {"kind": "html"}),
    "web page, done": (3, {"kind": "html", "processed": True}),
    "failed": (5, {"kind": "fail"}),
    "pending": (4, {"kind": "pending", "seconds": 0.05}),
    "stream cut": (5, {"kind": "stream_cut", "after_pieces": 2}),
}
AROUND: dict[str, tuple[int, dict[str, Any]]] = {
    "poll dropped": (4, {"kind": "drop_before", **POLL}),
    "poll lost": (4, {"kind": "status", "code": 404, "times": 2, **POLL}),
    "poll lost for good": (1, {"kind": "status", "code": 404, "times": 8, **POLL}),
    "poll garbage": (3, {"kind": "garbage", **POLL}),
    "poll 500": (3, {"kind": "status", "code": 500, "body": "", "times": 2, **POLL}),
    "poll cut": (3, {"kind": "cut_body", **POLL}),
    "file cut": (3, {"kind": "cut_body", **FILE}),
    "file gone": (2, {"kind": "status", "code": 404, "times": 4, **FILE}),
    "file dropped": (2, {"kind": "drop_before", **FILE}),
    "history 500": (3, {"kind": "status", "code": 500, "body": "", "times": 3, "path": "/user/history"}),
    "history empty": (3, {"kind": "garbage", "body": '{"items": [], "total": 0}', "times": 2, "path": "/user/history"}),
    "history dropped": (2, {"kind": "drop_before", "times": 2, "path": "/user/history"}),
    "books garbage": (2, {"kind": "garbage", **BOOKS}),
}


def drawn(dice: Random, table: dict[str, tuple[int, dict[str, Any]]]) -> tuple[str, dict[str, Any]]:
    """A row of a table, by its weight."""
    names = list(table)
    (name,) = dice.choices(names, [table[name][0] for name in names])
    return name, dict(table[name][1])


def recording(folder: Path) -> Path:
    """A second of silence."""
    path = folder / "call.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\0\0" * 8000)
    return path
