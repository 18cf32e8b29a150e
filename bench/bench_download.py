"""P4: a result of 1 GiB, bought as any other, beside raw httpx streaming and beside `read()` of a rival."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from . import peers
from .rows import Row, facts
from .serving import KEY, ROOT, asked, serving

MIB = 2**20
RSS = """
import json, os, resource, time
from pathlib import Path
def rss():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
"""
OURS = (
    RSS
    + """
import elumenta_nb as el
from elumenta_nb._client import Client
el.generate("luma-ray2", "a film of 5 MiB", max_price=500)
fetch, took = Client.download, []
async def timed(self, *given, **options):
    start = time.perf_counter()
    try:
        return await fetch(self, *given, **options)
    finally:
        took.append(time.perf_counter() - start)
Client.download = timed
before, start = rss(), time.perf_counter()
result = el.generate("veo-3.1", "a film of 1 GiB", max_price=500)
whole, size = time.perf_counter() - start, result.path.stat().st_size
print(json.dumps({"took": took[0], "whole": whole, "grown": rss() - before, "size": size}))
"""
)
RAW = (
    RSS
    + """
import httpx
client = httpx.Client()
url, target = os.environ["BENCH_URL"], Path("raw.bin")
client.get(os.environ["ELUMENTA_BASE_URL"] + "/seen")
before, start = rss(), time.perf_counter()
with client.stream("GET", url) as answer, target.open("wb") as file:
    for piece in answer.iter_raw():
        file.write(piece)
took = time.perf_counter() - start
with target.open("rb") as file:
    os.fsync(file.fileno())
whole = time.perf_counter() - start
print(json.dumps({"took": took, "whole": whole, "grown": rss() - before, "size": target.stat().st_size}))
"""
)
REPLICATE = (
    RSS
    + """
import replicate
from replicate.helpers import FileOutput
client = replicate.Client(api_token="x")
FileOutput(os.environ["ELUMENTA_BASE_URL"] + "/seen", client).read()
before, start = rss(), time.perf_counter()
body = FileOutput(os.environ["BENCH_URL"], client).read()
print(json.dumps({"took": time.perf_counter() - start, "grown": rss() - before, "size": len(body)}))
"""
)


def rows(turns: int = 3) -> list[Row]:
    seen: dict[str, list[dict]] = {"ours": [], "raw": []}
    with serving() as base, tempfile.TemporaryDirectory() as folder:
        url = base.removesuffix("/api/v2") + "/gigabyte.mp4"
        env = {**os.environ, "ELUMENTA_MODE": "live", "ELUMENTA_API_KEY": KEY, "ELUMENTA_BASE_URL": base}
        env |= {"PYTHONPATH": str(ROOT), "BENCH_URL": url, "ELUMENTA_HOME": f"{folder}/home"}
        for turn in range(turns):
            for name, code in (("raw", RAW), ("ours", OURS)):
                place = f"{folder}/{name}-{turn}"
                Path(place).mkdir()
                code = code.replace("import json", f"import os; os.chdir({place!r}); import json", 1)
                seen[name].append(facts(code, env=env))
                shutil.rmtree(place)
        asked(f"{base}/seen")
        rival = facts(REPLICATE, env=env, python=peers.python() or "") if peers.python() else None
    assert all(run["size"] == 2**30 for runs in seen.values() for run in runs)
    speed = {name: 1024 / min(run["took"] for run in runs) for name, runs in seen.items()}
    whole = {name: min(run["whole"] for run in runs) for name, runs in seen.items()}
    grown = max(run["grown"] for run in seen["ours"])
    found = [
        Row(
            "P4",
            "memory grows by, a result of 1 GiB",
            grown,
            "MiB",
            "raw httpx, streamed",
            max(run["grown"] for run in seen["raw"]),
            "<= 16 MiB",
            grown <= 16,
        ),
        Row(
            "P4",
            "speed of its download, hashed and written to a file",
            speed["ours"],
            "MiB/s",
            "raw httpx, streamed to a file",
            speed["raw"],
            ">= 90 %",
            speed["ours"] >= 0.9 * speed["raw"],
            note=f"best of {turns}",
        ),
        Row(
            "P4",
            "the whole call, safe on the disk",
            whole["ours"],
            "s",
            "raw httpx, streamed and synced",
            whole["raw"],
            note=f"best of {turns}",
        ),
    ]
    if rival:
        name = f"replicate {peers.version('replicate')}, read()"
        found.append(Row("P4", "memory grows by, a result of 1 GiB", grown, "MiB", name, rival["grown"]))
    return found
