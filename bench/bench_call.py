"""P2 (first call), P3: what a text call costs beside a raw httpx call and two bare durable SQLite commits."""

from __future__ import annotations

import os
import tempfile

from . import peers
from .rows import Row, facts, fresh
from .serving import KEY, ROOT, serving

CALLS = """
import gc, json, os, sqlite3, time
base, home = os.environ["ELUMENTA_BASE_URL"], os.environ["ELUMENTA_HOME"]
os.chdir(home)
start = time.perf_counter()
import elumenta_nb as el
el.generate("gpt-5", "x")
first = time.perf_counter() - start
import httpx
client = httpx.Client(base_url=base)
bare = sqlite3.connect(home + "/bare.sqlite", isolation_level=None)
bare.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c);")
def raw():
    client.post("/generate", json={"model": "gpt-5", "prompt": "x"}).json()
def peer():
    bare.execute("INSERT INTO t (a, b, c) VALUES ('gpt-5', 2, ?)", (time.time(),))
    raw()
    bare.execute("UPDATE t SET c = 1 WHERE id = last_insert_rowid()")
def ours():
    el.generate("gpt-5", "x")
for _ in range(30):
    raw(); peer(); ours()
took = {"raw": [], "peer": [], "ours": []}
gc.collect(); gc.freeze()
for _ in range(400):
    for name, call in (("raw", raw), ("peer", peer), ("ours", ours)):
        t = time.perf_counter(); call(); took[name].append(time.perf_counter() - t)
q = lambda values, p: sorted(values)[min(len(values) - 1, int(p * len(values)))]
print(json.dumps({"first": first, **{f"{k}{p}": q(v, p / 100) * 1000 for k, v in took.items() for p in (50, 99)}}))
"""
OPENAI = """
import json, time
import httpx, openai
raw = httpx.Client(base_url={base!r})
sdk = openai.OpenAI(base_url={base!r}, api_key="x")
def bare():
    raw.post("/chat/completions", json={{"model": "gpt-5", "messages": []}}).json()
def theirs():
    sdk.chat.completions.create(model="gpt-5", messages=[{{"role": "user", "content": "x"}}])
took = {{"bare": [], "theirs": []}}
for turn in range(430):
    for name, call in (("bare", bare), ("theirs", theirs)):
        t = time.perf_counter(); call(); took[name].append(time.perf_counter() - t)
q = lambda values, p: sorted(values[30:])[int(p * 400)]
print(json.dumps({{f"{{k}}{{p}}": q(v, p / 100) * 1000 for k, v in took.items() for p in (50, 99)}}))
"""
LIMITS = {50: 3.5, 99: 8}  # percentile: times the peer
IMPORTS = (
    "import time; t = time.perf_counter(); import httpx, sqlalchemy, anyio; httpx.AsyncClient(); "
    "print(time.perf_counter() - t)"
)


def measured(base: str) -> dict[str, float]:
    """Of one process: its first call (seconds), and p50 and p99 of `ours`, `peer` and `raw` (milliseconds)."""
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "ELUMENTA_HOME": home, "ELUMENTA_MODE": "live", "ELUMENTA_API_KEY": KEY}
        env |= {"ELUMENTA_BASE_URL": base, "PYTHONPATH": str(ROOT)}
        return facts(CALLS, env=env)


def rows() -> list[Row]:
    with serving() as base:
        got = measured(base)
        sdk = peers.told(OPENAI.format(base=base)) if peers.python() else None
    imports = fresh(IMPORTS)
    first = got["first"]
    found = [
        Row(
            "P2",
            "first call of a process, imports included",
            first,
            "s",
            "import httpx, sqlalchemy, anyio",
            imports,
            "<= 0.5 s",
            first <= 0.5,
        )
    ]
    for q, times in LIMITS.items():
        ours, peer = got[f"ours{q}"], got[f"peer{q}"]
        name = "raw httpx + two durable SQLite commits"
        found.append(Row("P3", f"one text call, p{q}", ours, "ms", name, peer, f"<= {times:g} x", ours <= times * peer))
    if sdk:
        name, note = f"openai SDK {peers.version('openai')}, no ledger", f"raw httpx there {sdk['bare50']:.3g} ms"
        found.append(Row("P3", "one text call, p50", got["ours50"], "ms", name, sdk["theirs50"], note=note))
    return found
