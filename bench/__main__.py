"""`python -m bench [NAME …]`: run every `bench_*` module, print one table, write build/bench.json and build/bench.md.

With names only those are run; what build/bench.json knows of the others stays, each row with its time and load. With
`--page` the table of docs/benchmarks.md is rewritten too.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time
import traceback
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from .rows import Row

HERE = Path(__file__).parent
BUILD = HERE.parent / "build"
PAGE = HERE.parent / "docs" / "benchmarks.md"
MARKS = ("<!-- bench: begin -->", "<!-- bench: end -->")
HEAD = ["", "what", "ours", "beside", "ratio", "to reach", "", "load"]
LIBRARIES = ["httpx", "sqlalchemy", "anyio", "pandas", "ipython", "ipykernel", "ipywidgets"]


def number(value: float | None, unit: str = "") -> str:
    if value is None:
        return ""
    text = f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
    return f"{text} {unit}".strip()


def cells(row: Row) -> list[str]:
    beside = f"{row.peer_name} {number(row.peer, row.unit)}".strip()
    ratio = "" if row.ratio is None else f"{row.ratio:.2g}"
    verdict = {True: "ok", False: "MISSED", None: ""}[row.ok]
    what = row.what + (f" ({row.note})" if row.note else "")
    load = "" if row.load is None else f"{row.load:.1f}"
    return [row.figure, what, number(row.ours, row.unit), beside, ratio, row.limit, verdict, load]


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def machine() -> dict[str, object]:
    """Where and when this was measured."""
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "system": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(pages / 2**30, 1),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def markdown(rows: list[Row], there: dict[str, object]) -> str:
    told = "Linux load (processes that want a core, before the rows) in the last column. {date}; {system}; {processor}, {cores} cores, {memory_gib} GiB; Python {python}"
    lines = [f"| {' | '.join(line)} |" for line in [HEAD, ["---"] * len(HEAD), *map(cells, rows)]]
    return told.format(**there) + "\n\n" + "\n".join(lines) + "\n"


def table(rows: list[Row]) -> str:
    lines = [HEAD, *map(cells, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def write(rows: list[Row], there: dict[str, object], *, page: bool) -> None:
    BUILD.mkdir(exist_ok=True)
    text = markdown(rows, there)
    (BUILD / "bench.md").write_text(f"# Benchmarks\n\n{text}", encoding="utf-8")
    found = {"machine": there, "rows": [row.plain() for row in rows]}
    (BUILD / "bench.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    if page:
        head, rest = PAGE.read_text(encoding="utf-8").split(MARKS[0])
        PAGE.write_text(f"{head}{MARKS[0]}\n{text}{MARKS[1]}{rest.split(MARKS[1])[1]}", encoding="utf-8")


def load() -> float | None:
    """How many processes wanted a core in the last minute."""
    return round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None


def before() -> list[Row]:
    """The rows of earlier runs."""
    try:
        rows = json.loads((BUILD / "bench.json").read_text(encoding="utf-8"))["rows"]
    except (OSError, ValueError, LookupError):
        return []
    for row in rows:
        row.pop("ratio", None)
    return [Row(**row) for row in rows]


def main() -> int:
    names = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"only these: {', '.join(names)}")
    parser.add_argument("--page", action="store_true", help="rewrite the table of docs/benchmarks.md too")
    given = parser.parse_args()
    there, wanted = machine(), given.name or names
    rows = [row for row in before() if row.bench in names and row.bench not in wanted] if given.name else []
    broken = []
    for name in wanted:
        facts = {"bench": name, "at": time.strftime("%Y-%m-%d %H:%M"), "load": load()}
        print(f"{name} … (load {facts['load']})", file=sys.stderr, flush=True)
        try:
            found = importlib.import_module(f".bench_{name}", __package__).rows()
        except Exception:
            traceback.print_exc()
            broken.append(name)
        else:
            rows += [replace(row, **facts) for row in found]
    rows.sort(key=lambda row: (row.figure[:1], int("".join(filter(str.isdigit, row.figure)) or 0)))
    write(rows, there, page=given.page)
    print(table(rows))
    print(f"\nwritten: {BUILD / 'bench.md'}, {BUILD / 'bench.json'}")
    missed = [row.what for row in rows if row.ok is False]
    if missed or broken:
        print(f"missed: {', '.join(missed) or '-'}; did not run: {', '.join(broken) or '-'}")
    return int(bool(missed or broken))


if __name__ == "__main__":
    raise SystemExit(main())
