"""P10: a map of 2,000 rows at 100 ms a call, the durable ledger and the text store on, beside the ideal rate; and 100,000
rows with no latency: what they weigh, and whether any was asked for twice.

`python -m bench.bench_map serve SECONDS` is its server: each generation is answered after so many seconds.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from .rows import Row
from .serving import KEY, ROOT, asked

LATENCY_S = 0.1
ROWS, MANY, ROUNDS = 2000, 100_000, 3

MAP = """
import json, os, sys, time
base, home, n, concurrency = {base!r}, {home!r}, {n}, {concurrency}
os.environ.update(ELUMENTA_HOME=home, ELUMENTA_MODE="live", ELUMENTA_API_KEY={key!r}, ELUMENTA_BASE_URL=base)
os.environ["ELUMENTA_CONFIRM_ABOVE"] = "0"
os.chdir(home)
import pandas as pd
import elumenta_nb as el
rss = lambda: int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
def mapped(name, n):
    frame = pd.DataFrame({{"title": [f"{{name}} {{i}}" for i in range(n)]}})
    before, start, worked = rss(), time.perf_counter(), time.process_time()
    made = el.map(frame, "{{{{title}}}}: one line for a shop", model="gpt-5-nano", concurrency=concurrency)
    took, cpu = time.perf_counter() - start, time.process_time() - worked
    assert (made["status"] == "completed").all(), made["error"].dropna().head()
    return made, took, cpu, rss() - before
mapped("warm", 2 * concurrency)
made, took, cpu, grown = mapped("mug", n)
result = made.memory_usage(deep=True).sum() / 2**20
del made
print(json.dumps({{"rate": n / took, "cpu_ms": cpu / n * 1000, "grown": grown - result, "result": result}}))
"""


class Served(asyncio.Protocol):
    """A connection of the server: canned replies, generations after `latency_s`."""

    latency_s = 0.0
    made = 0

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.came = b""

    def data_received(self, data: bytes) -> None:
        self.came += data
        while (end := self.came.find(b"\r\n\r\n")) >= 0:
            head = self.came[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.came) < end + 4 + length:
                return
            self.came = self.came[end + 4 + length :]
            self.answer(head.split(b" ", 2)[1])

    def answer(self, path: bytes) -> None:
        if path.endswith(b"/generate"):
            Served.made += 1
            text = f"A mug that keeps its word, number {Served.made}, for a shop that keeps its own."
            reply = {"id": Served.made, "status": "completed", "model_slug": "gpt-5-nano", "result_text": text}
            body = json.dumps({**reply, "tokens_spent": 1, "processing_ms": 90}).encode()
            if self.latency_s:
                asyncio.get_running_loop().call_later(self.latency_s, self.write, body)
            else:
                self.write(body)
        elif path.endswith(b"calculate-price"):
            self.write(b'{"token_cost":1,"min_token_cost":1,"max_token_cost":1,"pricing_type":"fixed"}')
        elif path.endswith(b"/me"):
            self.write(b'{"id":7,"plan":"elite","token_balance":1000000,"rate_limit_hourly":0,"rate_limit_daily":0}')
        elif path.endswith(b"/balance"):
            self.write(b'{"token_balance":1000000,"plan":"elite"}')
        elif path.endswith(b"/seen"):
            self.write(json.dumps({"made": Served.made}).encode())
        else:
            self.write(b'{"items":[],"total":0,"page":1,"limit":100}')

    def write(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-RateLimit-Limit-Hour: 0\r\nContent-Length: %d"
        self.transport.write(head % len(body) + b"\r\n\r\n" + body)


async def serve(latency_s: float) -> None:
    Served.latency_s = latency_s
    server = await asyncio.get_running_loop().create_server(Served, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def serving(latency_s: float) -> Iterator[str]:
    command = [sys.executable, "-m", "bench.bench_map", "serve", str(latency_s)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/api/v2"
        finally:
            server.terminate()


def mapped(base: str, n: int, concurrency: int) -> dict[str, float]:
    """One map in a process of its own."""
    with tempfile.TemporaryDirectory() as home:
        code = MAP.format(base=base, home=home, n=n, concurrency=concurrency, key=KEY)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return json.loads(done.stdout.strip().splitlines()[-1])


def rows() -> list[Row]:
    found = []
    with serving(LATENCY_S) as base:
        for concurrency, limit in ((100, 0.75), (300, 0.50)):
            got = [mapped(base, ROWS, concurrency) for _ in range(ROUNDS)]
            rate, ideal = statistics.median(one["rate"] for one in got), concurrency / LATENCY_S
            cpu = statistics.median(one["cpu_ms"] for one in got)
            found.append(
                Row(
                    "P10",
                    f"map of {ROWS:,} rows at 100 ms, {concurrency} at once",
                    rate,
                    "rows/s",
                    "ideal",
                    ideal,
                    f">= {limit:.0%} of it",
                    rate >= limit * ideal,
                    f"{cpu:.2f} ms of CPU a row, plan and frame included",
                )
            )
    with serving(0.0) as base:
        before = asked(f"{base}/seen")["made"]
        got = mapped(base, MANY, 32)
        made = asked(f"{base}/seen")["made"] - before - 64
    note = f"{got['rate']:,.0f} rows/s, the frame is {got['result']:.0f} MiB; {made - MANY} asked for twice"
    ok = got["grown"] <= 200 and made == MANY
    what = f"map of {MANY:,} rows, no latency: memory beyond the result"
    found.append(Row("P10", what, got["grown"], "MiB", limit="<= 200 MiB, 0 twice", ok=ok, note=note))
    return found


if __name__ == "__main__" and sys.argv[1:2] == ["serve"]:
    asyncio.run(serve(float(sys.argv[2])))
