"""`python -m bench.chaos [--seed N]`: the money promise on many bad days (R1, R2, R3 of the goals); `make chaos`.

Writes build/chaos.json and build/chaos.md. What is drawn (calls, faults, the moments of death) follows from the seed;
how threads and processes meet does not.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build"
sys.path[:0] = [str(ROOT / "tests" / "chaos"), str(ROOT / "tests" / "postgres")]

import chaos_runs  # noqa: E402 - the machinery lives with its tests

NONE = {  # what has to be nothing, by run
    "storm": (
        "difference", "open", "held", "owned twice", "without a row", "failed without a row", "wrong figure", "drift",
        "not fetched again", "changed by fetching", "told otherwise", "too many",
    ),
    "ledgers": ("tokens over a limit", "held", "drift"),
    "sessions": ("tokens over a limit", "held", "trouble"),
    "deaths": (
        "difference", "open", "held", "owned twice", "without a row", "failed without a row", "wrong figure", "drift",
        "unsound after a kill", "accepted jobs lost", "not fetched again", "changed by fetching",
    ),
}  # fmt: skip
SHOWN = (
    "calls", "rounds", "fetched again", "asked", "kills", "rows", "generations", "charged", "booked", "adopted", "released as lost", "granted",
    "refused", "fullest", "spent", "accepted jobs open", "unfinished before recovery", "seconds",
)  # fmt: skip


def failed(run: str, figures: dict[str, Any]) -> list[str]:
    """What is not nothing and should be."""
    return [f"{name}: {figures[name]}" for name in NONE[run] if figures.get(name)]


def in_a_folder(run: Any, **facts: Any) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="elumenta-chaos-") as folder:
        return run(Path(folder), **facts)


def plan(
    calls: int, rounds: int, kills: int, seed: int, within_s: float, ledger_url: str
) -> list[tuple[str, str, Any, dict[str, Any]]]:
    half: dict[str, Any] = {"calls": calls // 2, "seed": seed}
    dying: dict[str, Any] = {"kills": kills // 2, "seed": seed}
    return [
        (
            "R1 at the ledger",
            "ledgers",
            chaos_runs.race_of_ledgers,
            {"rounds": rounds, "seed": seed, "within_s": within_s},
        ),
        (
            "R1 at a ledger in PostgreSQL",
            "ledgers",
            chaos_runs.race_on_a_server,
            {"rounds": rounds, "seed": seed, "within_s": within_s, "url": ledger_url},
        ),
        ("R2, first family", "storm", chaos_runs.storm, {**half, "dialect": "a"}),
        ("R2, second family", "storm", chaos_runs.storm, {**half, "dialect": "b"}),
        ("R3, first family", "deaths", chaos_runs.deaths, {**dying, "dialect": "a"}),
        ("R3, second family", "deaths", chaos_runs.deaths, {**dying, "dialect": "b"}),
        (
            "R1 through sessions",
            "sessions",
            chaos_runs.race_of_sessions,
            {"rounds": max(rounds // 50, 1), "seed": seed},
        ),
    ]


def markdown(facts: dict[str, Any]) -> str:
    lines = ["| run | figures | must be nothing | |", "| --- | --- | --- | --- |"]
    for name, one in facts["runs"].items():
        figures = one["figures"]
        shown = ", ".join(f"{key} {figures[key]:,}" for key in SHOWN if key in figures)
        kept = ", ".join(key for key in NONE[one["run"]] if key in figures)
        lines.append(f"| {name} | {shown} | {kept} | {'; '.join(one['failed']) or 'ok'} |")
    head = f"{facts['machine']}, {facts['at']}, `{facts['command']}`, {facts['seconds']:,.0f} s"
    return f"{head}\n\n" + "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="what is drawn follows from it")
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=1_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--within", type=float, default=3600, help="seconds for the races at the ledger")
    parser.add_argument("--ledger-url", default="", help="an empty PostgreSQL database instead of a server of its own")
    parser.add_argument("--only", default="", help="runs whose name begins so, e.g. R2")
    given = parser.parse_args()
    command = " ".join(["python -m bench.chaos", *sys.argv[1:]])
    print(f"seed {given.seed}", flush=True)
    began, runs, bad = time.monotonic(), {}, False
    with ThreadPoolExecutor(3) as pool:  # they wait most of the time
        waiting = {
            name: (run, pool.submit(in_a_folder, function, **facts))
            for name, run, function, facts in plan(
                given.calls, given.rounds, given.kills, given.seed, given.within, given.ledger_url
            )
            if name.startswith(given.only)
        }
        for name, (run, future) in waiting.items():
            figures = future.result()
            wrong = failed(run, figures)
            bad = bad or bool(wrong)
            runs[name] = {"run": run, "figures": figures, "failed": wrong}
            print(f"{name}: {'; '.join(wrong) or 'ok'}", *figures.get("left open", ()), sep="\n  ", flush=True)
    facts = {
        "command": command,
        "seed": given.seed,
        "at": time.strftime("%Y-%m-%d %H:%M"),
        "machine": f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores",
        "seconds": time.monotonic() - began,
        "runs": runs,
    }
    BUILD.mkdir(exist_ok=True)
    name = f"chaos {given.only}".strip().replace(" ", "-")
    (BUILD / f"{name}.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    (BUILD / f"{name}.md").write_text(markdown(facts), encoding="utf-8")
    print(markdown(facts))
    print(f"written: {BUILD / name}.json, {name}.md")
    return int(bad)


if __name__ == "__main__":
    raise SystemExit(main())
