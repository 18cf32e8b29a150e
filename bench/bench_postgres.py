"""What a ledger in PostgreSQL costs: one kernel, many kernels at once, many calls of one kernel; beside the file.

Each kernel is a process with a connection of its own; the server is one that `tests/postgres` starts, on this machine
and with every commit on its disk. One account, five budgets: all of them meet at the same rows.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from elumenta_nb._ledger import Ledger, Settlement, Writer

from .bench_ledger import HERE, LIVE, intent
from .rows import Row, quantile

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "postgres"))

PAIRS = 60


def pairs(url: str, count: int) -> list[float]:
    """Milliseconds of reserve + settle, one after another."""
    took = []
    with Ledger(url) as ledger:
        ledger.open()
        for _ in range(count):
            began = time.perf_counter()
            (number,) = ledger.reserve([intent()])
            ledger.settle([Settlement(call_id=number, tokens=1, generation_id=10**9 + number)])
            took.append((time.perf_counter() - began) * 1e3)
    return took


def kernel(url: str, count: int) -> None:
    """A process: says that it is ready, waits for a line, says what its calls took."""
    with Ledger(url) as ledger:
        ledger.open()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    began = time.time()
    took = pairs(url, count)
    sys.stdout.write(json.dumps({"took": took, "began": began, "ended": time.time()}) + "\n")


def kernels(url: str, many: int, count: int) -> tuple[list[float], float]:
    """The times of all, and how many calls all of them made in a second."""
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.bench_postgres", url, str(count)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1],
        )
        for _ in range(many)
    ]  # fmt: skip
    for process in running:
        assert process.stdout
        process.stdout.readline()
    for process in running:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    told = [json.loads(process.communicate(timeout=300)[0]) for process in running]
    whole = max(one["ended"] for one in told) - min(one["began"] for one in told)
    return [took for one in told for took in one["took"]], many * count / whole


async def at_once(ledger: Ledger, width: int, calls: int) -> float:
    """Calls a second of one kernel with so many under way: what is awaited in one tick is one transaction."""
    writer = Writer(ledger)
    left = iter(range(calls))

    async def worker() -> None:
        for number in left:
            row = await writer.reserve(intent())
            assert isinstance(row, int)
            await writer.settle(Settlement(call_id=row, tokens=1, generation_id=2 * 10**9 + number))

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(width)))
    return calls / (time.perf_counter() - began)


def budgets(url: str) -> None:
    with Ledger(url) as ledger:
        for per in ("kernel", "notebook", "day", "month"):
            ledger.set_budget(10**9, per=per, account="7", api=LIVE, origin=HERE)
        ledger.set_budget(10**9, per="month", account="7", api=LIVE, origin=HERE, user="anna")


def rows() -> list[Row]:
    from postgres_server import Server

    found = []
    with tempfile.TemporaryDirectory() as name, Server(durable=True) as server:
        places = {"postgres": server.database(), "sqlite": f"sqlite:///{Path(name) / 'ledger.db'}"}
        for url in places.values():
            budgets(url)
            pairs(url, 30)
        one = {place: pairs(url, 200) for place, url in places.items()}
        for q, words in ((0.5, "p50"), (0.99, "p99")):
            ours, file = (quantile(one[place], q) for place in ("postgres", "sqlite"))
            found.append(Row("", f"PostgreSQL, 1 kernel: reserve + settle, {words}", ours, "ms", "SQLite", file))
        for many in (8, 32):
            many_ours, rate = kernels(places["postgres"], many, PAIRS)
            many_file, file_rate = kernels(places["sqlite"], many, PAIRS)
            what = f"PostgreSQL, {many} kernels at once: "
            for q, words in ((0.5, "p50"), (0.99, "p99")):
                peer = quantile(many_file, q)
                found.append(Row("", f"{what}reserve + settle, {words}", quantile(many_ours, q), "ms", "SQLite", peer))
            found.append(Row("", f"{what}calls", rate, "a second", "SQLite", file_rate))
        for width in (1, 16, 100, 300):
            rates = []
            for url in places.values():
                with Ledger(url) as ledger:
                    rates.append(asyncio.run(at_once(ledger, width, 200 if width == 1 else 2000)))
            found.append(
                Row("", f"PostgreSQL, {width} calls at once in 1 kernel", rates[0], "a second", "SQLite", rates[1])
            )
        for url in places.values():
            with Ledger(url) as ledger:
                assert ledger.check() == []
    return found


if __name__ == "__main__":
    kernel(sys.argv[1], int(sys.argv[2]))
