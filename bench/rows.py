"""A line of the benchmark table, and the timing tools the benchmarks share."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Row:
    """One figure. `ours` and `peer` are in `unit`; `limit` is the figure to reach, in words; `ok` says if it was."""

    figure: str  # P1 … of the project's goals
    what: str
    ours: float
    unit: str
    peer_name: str = ""
    peer: float | None = None
    limit: str = ""
    ok: bool | None = None
    note: str = ""
    bench: str = ""  # which module measured it, when, and how busy the machine was before
    at: str = ""
    load: float | None = None

    @property
    def ratio(self) -> float | None:
        return self.ours / self.peer if self.peer else None

    def plain(self) -> dict:
        return {**asdict(self), "ratio": self.ratio}


def fresh(code: str, *, env: dict[str, str] | None = None, python: str = sys.executable) -> float:
    """The last line that a new interpreter prints, as a number."""
    return float(said(code, env=env, python=python))


def facts(code: str, *, env: dict[str, str] | None = None, python: str = sys.executable) -> dict:
    """The last line that a new interpreter prints, as JSON."""
    return json.loads(said(code, env=env, python=python))


def said(code: str, *, env: dict[str, str] | None = None, python: str = sys.executable) -> str:
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, env=env, check=False, timeout=600)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return done.stdout.strip().splitlines()[-1]


def rounds(n: int, measures: dict[str, Callable[[], float]]) -> dict[str, float]:
    """The median of `n` interleaved rounds of each measure: what disturbs one disturbs all."""
    seen: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(n):
        for name, measure in measures.items():
            seen[name].append(measure())
    return {name: statistics.median(values) for name, values in seen.items()}


def quantile(values: list[float], q: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(q * (len(ordered) - 1)))]


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
