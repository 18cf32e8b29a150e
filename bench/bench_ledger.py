"""P5, and the ledger's share of P3: the ledger beside bare SQLite commits and pandas.read_sql."""

from __future__ import annotations

import json
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from elumenta_nb._ledger import Intent, Ledger, Settlement
from elumenta_nb._spend import COLUMNS, spend_frame
from elumenta_nb._values import Origin

from .rows import Row, quantile, timed

HERE = Origin(notebook="bench.ipynb-0", cell_id="c1", kernel="k1", user="anna", tags=("a",))
LIVE = "https://elumenta.ru"


def intent(**facts: Any) -> Intent:
    given = {"account": "7", "api": LIVE, "category": "text", "model": "gpt-5-nano", "quoted": 1, "held": 1}
    return Intent(**(given | {"origin": HERE, "prompt_hash": "0" * 64, "price_key": "k"} | facts))


def seed(path: Path, rows: int) -> None:
    """A ledger of so many calls, written past the API (a day's work would take hours through it), then counted."""
    with Ledger(f"sqlite:///{path}") as ledger:
        ledger.open()
    rng = random.Random(1)
    con = sqlite3.connect(path)
    con.execute("PRAGMA synchronous=OFF")
    places = [
        (n, str(n), LIVE, "7", f"user{n % 5}", "host", f"nb{n % 40}.ipynb-0", f"cell{n}", f"label{n % 300}")
        for n in range(1, 2001)
    ]
    tags = json.dumps(["a", "b"])
    con.executemany(f"INSERT INTO places VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '{tags}', 'magic', '')", places)
    models = [(n, ["text", "image", "video", "tts"][n % 4], f"model-{n}", f"maker{n % 6}") for n in range(1, 53)]
    con.executemany("INSERT INTO models VALUES (?, ?, ?, ?)", models)
    con.execute("INSERT INTO kernels VALUES (1, 'k1', 0)")
    start = 1_760_000_000_000_000

    def calls() -> Iterator[tuple]:
        for n in range(1, rows + 1):
            at, took = start + n * 30_000_000, rng.randrange(10**7)
            failed = n % 50 == 0
            yield (
                n, rng.randrange(2000) + 1, rng.randrange(52) + 1, 1, 4 if failed else 3, 0, at, at + took, 13, 0,
                0 if failed else 13, 100_000 - n % 1000, took, 5_000_000 + n, n % 100, None, rng.randrange(3000), None, 1, 0,
                None,
            )  # fmt: skip

    con.executemany(f"INSERT INTO calls VALUES ({', '.join('?' * 21)}, NULL)", calls())
    details = ((n, f"{n:064x}", f"{n:064x}", "k", "", "", 0, "", "{}", "[]", "") for n in range(1, rows + 1))
    con.executemany(f"INSERT INTO details VALUES ({', '.join('?' * 11)})", details)
    con.commit()
    con.close()
    with Ledger(f"sqlite:///{path}") as ledger:
        ledger.rebuild()


def milliseconds(work: Callable[[], object], n: int) -> list[float]:
    return [timed(work) * 1e3 for _ in range(n)]


def writes(folder: Path, ledger_path: Path, title: str, turns: int = 150) -> Iterator[Row]:
    """Reserve + settle of one call against two bare durable commits, turn by turn, so that both meet the same noise."""
    bare = sqlite3.connect(folder / f"bare-{ledger_path.stem}.db", isolation_level=None)
    bare.execute("PRAGMA journal_mode=WAL")
    bare.execute("PRAGMA synchronous=FULL")
    bare.execute("CREATE TABLE calls (id INTEGER PRIMARY KEY, model TEXT, tokens INTEGER, status TEXT)")
    with Ledger(f"sqlite:///{ledger_path}") as ledger:
        for per in ("kernel", "notebook", "day", "month"):
            ledger.set_budget(10**9, per=per, account="7", api=LIVE, origin=HERE)
        ledger.set_budget(10**9, per="month", account="7", api=LIVE, origin=HERE, user="anna")

        def two_bare() -> None:
            number = bare.execute("INSERT INTO calls (model, tokens, status) VALUES ('m', 0, 'reserved')").lastrowid
            bare.execute("UPDATE calls SET tokens = 1, status = 'completed' WHERE id = ?", (number,))

        def ours() -> None:
            (number,) = ledger.reserve([intent()])
            ledger.settle([Settlement(call_id=number, tokens=1, generation_id=10**9 + number, balance_after=5)])

        def refused() -> None:
            ledger.reserve([intent(held=2 * 10**9)])

        milliseconds(two_bare, 50), milliseconds(ours, 50)
        base: list[float] = []
        own: list[float] = []
        for _ in range(turns):
            base += milliseconds(two_bare, 10)
            own += milliseconds(ours, 10)
        name = "two bare commits"
        for q, words in ((0.5, "p50"), (0.99, "p99")):
            what = f"{title}, 5 budgets: reserve + settle, {words}"
            yield Row("P3", what, quantile(own, q), "ms", name, quantile(base, q), "its share of P3")
        check = quantile(milliseconds(refused, 300), 0.5)
        yield Row("P5", f"{title}: check of 5 budgets", check, "ms", "", None, "<= 1 ms", check <= 1)
    bare.close()


def reads(path: Path, *, whole: bool) -> Iterator[Row]:
    made = {"started_at": "started_us", "ended_at": "ended_us", "latency_s": "latency_us / 1e6", "user": '"user"'}
    listed = ", ".join(made.get(name, name) for name in COLUMNS)
    con = sqlite3.connect(path)
    with Ledger(f"sqlite:///{path}") as ledger:
        spend_frame(ledger, by="model", api="sandbox")  # imports
        for by, limit in (("model", 0.3), ("day", None), ("cell", None)):
            took = quantile([timed(lambda by=by: spend_frame(ledger, by=by)) for _ in range(5)], 0.5)
            ok = took <= limit if limit else None
            yield Row("P5", f'spend(by="{by}")', took, "s", "", None, f"<= {limit} s" if limit else "", ok)
        start = time.perf_counter()
        frame = spend_frame(ledger)
        ours = time.perf_counter() - start
        size = float(frame.memory_usage(deep=True).sum()) / 2**20
        del frame
        start = time.perf_counter()
        base = pd.read_sql(f"SELECT {listed} FROM spend", con)
        peer = time.perf_counter() - start
        ok = ours <= 0.4 * peer if whole else None  # below a million rows fixed costs weigh more
        yield Row("P5", f"spend(), {len(COLUMNS)} columns", ours, "s", "pandas.read_sql", peer, "<= 0.4 x", ok)
        big = float(base.memory_usage(deep=True).sum()) / 2**20
        yield Row("P5", "memory of that frame", size, "MiB", "pandas.read_sql", big, "<= 150 MiB", size <= 150)
    con.close()


def rows(count: int = 1_000_000) -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = list(writes(folder, folder / "new.db", "new ledger"))
        seed(folder / "big.db", count)
        found += writes(folder, folder / "big.db", f"{count:,} rows")
        return [*found, *reads(folder / "big.db", whole=count >= 1_000_000)]
