"""`make coverage`: how much of the money's way the tests run through: `python scripts/covered.py [pytest options]`.

`make test` runs everything through it (about half a minute of its time); without options browsers, kernels and servers
of other programs are left out. What runs in processes of their own, such as kernels, does not count. The gate is on
each group, for lines and for branches. `--only-read` judges build/coverage.json as it is.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOUND = ROOT / "build" / "coverage.json"
LINES, BRANCHES = 90.0, 85.0  # per cent, of each group
ENGINE = "_engine _generation _delivery _earlier _history _recovery _order _prices _buying _calling _answers _runtime"
GROUPS = {  # name: where the files of the group are, below elumenta_nb
    "client": ("_client/",),
    "engine": tuple(f"{name}.py" for name in ENGINE.split()),
    "ledger": ("_ledger/",),
}
MEASURED = ["-m", "not browser and not kernel and not postgres", "-n", "2", "--dist", "loadgroup", "-q"]
OPTIONS = ["--cov", "--cov-report=", f"--cov-report=json:{FOUND.relative_to(ROOT)}"]


def share(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 100.0


def judged() -> bool:
    """Print the figures of each group; whether all of them are enough."""
    if not FOUND.exists():
        print(f"Nothing was measured: {FOUND} is missing.")
        return False
    files = json.loads(FOUND.read_text(encoding="utf-8"))["files"]
    enough = True
    print(f"coverage      lines   branches   (at least {LINES:.0f} % and {BRANCHES:.0f} %)")
    for group, places in GROUPS.items():
        sums = [
            facts["summary"] for name, facts in files.items() if name.split("elumenta_nb/", 1)[-1].startswith(places)
        ]
        lines = share(sum(s["covered_lines"] for s in sums), sum(s["num_statements"] for s in sums))
        branches = share(sum(s["covered_branches"] for s in sums), sum(s["num_branches"] for s in sums))
        good = bool(sums) and lines >= LINES and branches >= BRANCHES
        print(f"{group:<10} {lines:7.1f} % {branches:8.1f} %  {'' if good else 'TOO LOW'}".rstrip())
        enough = enough and good
    return enough


def main() -> int:
    given = sys.argv[1:]
    if given == ["--only-read"]:
        return int(not judged())
    FOUND.parent.mkdir(exist_ok=True)
    FOUND.unlink(missing_ok=True)
    done = subprocess.run([sys.executable, "-m", "pytest", *OPTIONS, *(given or MEASURED)], cwd=ROOT, check=False)
    enough = judged()
    return done.returncode or int(not enough)


if __name__ == "__main__":
    raise SystemExit(main())
