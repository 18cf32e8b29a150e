"""P2 (first call), P3: what a text call costs beside a raw httpx call and two bare durable SQLite commits."""

from __future__ import annotations

import subprocess
import sys
import tempfile

from .rows import Row, fresh
from .serving import serving

CALLS = """
import gc, sqlite3, sys, tempfile, time, statistics, json
base, home = {base!r}, {home!r}
import os
os.environ.update(ELUMENTA_HOME=home, ELUMENTA_MODE="live", ELUMENTA_API_KEY="nb_benchmark_key_0000", ELUMENTA_BASE_URL=base)
os.chdir(home)
start = time.perf_counter()
import elumenta_nb as el
el.generate("gpt-5", "x")
first = time.perf_counter() - start
import httpx
client = httpx.Client(base_url=base)
bare = sqlite3.connect(home + "/bare.sqlite", isolation_level=None)
bare.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c);")
def peer():
    bare.execute("INSERT INTO t (a, b, c) VALUES ('gpt-5', 2, ?)", (time.time(),))
    client.post("/generate", json={{"model": "gpt-5", "prompt": "x"}}).json()
    bare.execute("UPDATE t SET c = 1 WHERE id = last_insert_rowid()")
def ours():
    el.generate("gpt-5", "x")
for _ in range(30):
    peer(); ours()
took = {{"peer": [], "ours": []}}
gc.collect(); gc.freeze()
for _ in range({n}):
    for name, call in (("peer", peer), ("ours", ours)):
        t = time.perf_counter(); call(); took[name].append(time.perf_counter() - t)
q = lambda values, p: sorted(values)[min(len(values) - 1, int(p * len(values)))]
print(json.dumps({{"first": first, **{{f"{{k}}{{p}}": q(v, p / 100) * 1000 for k, v in took.items() for p in (50, 99)}}}}))
"""
IMPORTS = (
    "import time; t = time.perf_counter(); import httpx, sqlalchemy, anyio; httpx.AsyncClient(); "
    "print(time.perf_counter() - t)"
)


def rows() -> list[Row]:
    import json

    with serving() as base, tempfile.TemporaryDirectory() as home:
        code = CALLS.format(base=base, home=home, n=400)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr[-3000:])
        got = json.loads(done.stdout.strip().splitlines()[-1])
    imports = fresh(IMPORTS)
    peer = "raw httpx + two durable SQLite commits"
    return [
        Row(
            "P2",
            "first call of a process, imports included",
            got["first"],
            "s",
            "import httpx, sqlalchemy, anyio",
            imports,
            "<= 0.5 s",
            got["first"] <= 0.5,
        ),
        Row(
            "P3",
            "one text call, p50",
            got["ours50"],
            "ms",
            peer,
            got["peer50"],
            "<= 3.5 x",
            got["ours50"] <= 3.5 * got["peer50"],
        ),
        Row(
            "P3",
            "one text call, p99",
            got["ours99"],
            "ms",
            peer,
            got["peer99"],
            "<= 8 x",
            got["ours99"] <= 8 * got["peer99"],
        ),
    ]
