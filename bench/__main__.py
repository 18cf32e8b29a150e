"""`python -m bench [NAME …]`: run every `bench_*` module, print one table, write build/bench.json and build/bench.md."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time
import traceback
from pathlib import Path

from .rows import Row

HERE = Path(__file__).parent
BUILD = HERE.parent / "build"
HEAD = ["", "what", "ours", "beside", "ratio", "to reach", ""]


def number(value: float | None, unit: str = "") -> str:
    if value is None:
        return ""
    text = f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
    return f"{text} {unit}".strip()


def cells(row: Row) -> list[str]:
    beside = f"{row.peer_name} {number(row.peer, row.unit)}".strip()
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    verdict = {True: "ok", False: "MISSED", None: ""}[row.ok]
    what = row.what + (f" ({row.note})" if row.note else "")
    return [row.figure, what, number(row.ours, row.unit), beside, ratio, row.limit, verdict]


def markdown(rows: list[Row]) -> str:
    machine = f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores"
    lines = [f"| {' | '.join(line)} |" for line in [HEAD, ["---"] * len(HEAD), *map(cells, rows)]]
    return f"# Benchmarks\n\n{machine}, {time.strftime('%Y-%m-%d %H:%M')}\n\n" + "\n".join(lines) + "\n"


def table(rows: list[Row]) -> str:
    lines = [HEAD, *map(cells, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def main() -> int:
    names = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"only these: {', '.join(names)}")
    wanted = parser.parse_args().name or names
    rows: list[Row] = []
    broken = []
    for name in wanted:
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            rows += importlib.import_module(f".bench_{name}", __package__).rows()
        except Exception:
            traceback.print_exc()
            broken.append(name)
    rows.sort(key=lambda row: (row.figure[:1], int("".join(filter(str.isdigit, row.figure)) or 0)))
    BUILD.mkdir(exist_ok=True)
    (BUILD / "bench.md").write_text(markdown(rows), encoding="utf-8")
    (BUILD / "bench.json").write_text(json.dumps([row.plain() for row in rows], indent=1), encoding="utf-8")
    print(table(rows))
    print(f"\nwritten: {BUILD / 'bench.md'}, {BUILD / 'bench.json'}")
    missed = [row.what for row in rows if row.ok is False]
    if missed or broken:
        print(f"missed: {', '.join(missed) or '-'}; did not run: {', '.join(broken) or '-'}")
    return int(bool(missed or broken))


if __name__ == "__main__":
    raise SystemExit(main())
