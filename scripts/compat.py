"""`make compat`: the same tests with older and newer Pythons and libraries: `python scripts/compat.py [NAME …]`.

Each row of ENVIRONMENTS is an environment of its own under build/compat (kept between runs) and a part of the tests
run in it. Written: build/compat.json, build/compat.md, and the tables between the marks of docs/compatibility.md.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "compat"
PAGE = ROOT / "docs" / "compatibility.md"
MARKS = ("<!-- compat: begin -->", "<!-- compat: end -->")
UV = BUILD / "tools" / "bin" / "uv"

# What runs the tests; their own versions are not what is being tried, so the newest that go together (pyproject.toml).
TOOLS = ["hypothesis", "nbval", "papermill", "pytest<9.2", "pytest-timeout", "pytest-xdist"]
FOLDERS = [
    *("batch", "catalog", "cli", "client", "cluster", "compat", "engine", "ledger", "magics", "panels"),
    *("render", "result", "sandbox", "session", "spend", "store", "wire"),
]
SHOWN = [
    *("pandas", "numpy", "ipython", "ipykernel", "ipywidgets", "httpx", "anyio", "sqlalchemy", "jinja2", "pillow"),
    *("platformdirs", "truststore", "nbclient", "nbconvert", "jupyterlab", "papermill", "starlette", "pyarrow", "dask"),
]


@dataclass(frozen=True)
class Environment:
    """A Python, how the versions of what we depend on are chosen, and what they may not be."""

    name: str
    python: str
    resolution: str  # uv's word: `highest`, or `lowest-direct` for the lower bounds of pyproject.toml
    narrowed: tuple[str, ...] = ()


ENVIRONMENTS = [
    Environment("lowest", "3.11", "lowest-direct"),
    Environment("older", "3.12", "highest", ("pandas<3", "ipython<9", "ipykernel<7", "httpx<0.28", "sqlalchemy<2.1")),
    Environment("newest", "3.13", "highest"),
]


def run(*command: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], check=True, text=True, cwd=ROOT, **options)  # type: ignore[call-overload]  # passed on


def uv() -> Path:
    if not UV.exists():
        run(sys.executable, "-m", "venv", UV.parents[1])
        run(UV.parent / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "uv")
    return UV


def interpreter(version: str) -> str | None:
    """A Python of that version: on the PATH, or one that pyenv keeps."""
    home = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    kept = sorted(glob.glob(f"{home}/versions/{version}.*/bin/python"))  # noqa: PTH207 - a pattern with a dot in it
    for candidate in [*kept[-1:], shutil.which(f"python{version}")]:
        if candidate:
            said = subprocess.run([candidate, "-V"], capture_output=True, text=True, check=False)
            if said.returncode == 0 and version in said.stdout:
                return candidate
    return None


def versions(python: Path) -> dict[str, str]:
    said = run(uv(), "pip", "list", "-q", "--format", "json", "--python", python, stdout=subprocess.PIPE)
    return {row["name"].lower(): row["version"] for row in json.loads(said.stdout)}


def make(env: Environment, python: str) -> Path:
    """The environment's Python, made or refreshed when pyproject.toml or the row changed."""
    folder = BUILD / env.name
    stamp, mine = folder / "ready", folder / "bin" / "python"
    wanted = f"{env}{TOOLS}{(ROOT / 'pyproject.toml').read_text()}"
    if stamp.exists() and stamp.read_text() == wanted:
        return mine
    chosen, narrowed = BUILD / f"{env.name}.txt", BUILD / f"{env.name}.in"
    narrowed.write_text("\n".join(env.narrowed))
    compiled = [uv(), "pip", "compile", "-q", "--resolution", env.resolution, "--python", python, "--extra", "all"]
    run(*compiled, "-c", narrowed, "-o", chosen, "pyproject.toml", stdout=subprocess.DEVNULL)
    run(uv(), "venv", "-q", "--clear", "--python", python, folder)
    run(uv(), "pip", "install", "-q", "--python", mine, "-c", chosen, "-e", ".[all]", *TOOLS)
    stamp.write_text(wanted)
    return mine


def tried(env: Environment) -> dict[str, object]:
    found = interpreter(env.python)
    row: dict[str, object] = {"name": env.name, "python": env.python, "passed": 0, "failed": [], "versions": {}}
    if found is None:
        return {**row, "trouble": f"there is no Python {env.python} here"}
    try:
        python = make(env, found)
    except subprocess.CalledProcessError as error:
        return {**row, "trouble": f"cannot be installed: {' '.join(map(str, error.cmd[:4]))} …"}
    report = BUILD / f"{env.name}.xml"
    report.unlink(missing_ok=True)
    folders = [f"tests/{name}" for name in FOLDERS if (ROOT / "tests" / name).is_dir()]
    command = [python, "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup", "-p", "no:cacheprovider"]
    start = time.monotonic()
    with (BUILD / f"{env.name}.log").open("w") as log:
        done = subprocess.run(
            [*map(str, command), "-m", "not browser and not slow", f"--junitxml={report}", *folders],
            cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    row |= {"seconds": round(time.monotonic() - start), "versions": versions(python), "exit": done.returncode}
    row["python"] = run(python, "-c", "import platform; print(platform.python_version())", stdout=-1).stdout.strip()
    if not report.exists():
        return {**row, "trouble": f"the tests did not start: build/compat/{env.name}.log"}
    cases = list(ET.parse(report).getroot().iter("testcase"))  # noqa: S314 - pytest wrote it just now
    bad = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    row["failed"] = [f"{case.get('classname')}::{case.get('name')}" for case in bad]
    row["passed"] = len(cases) - len(bad)
    return row


def verdict(row: dict) -> str:
    if row.get("trouble"):
        return str(row["trouble"])
    failed = f", {len(row['failed'])} failed" if row["failed"] else ""
    return f"{row['passed']:,} passed{failed}"


def lower_bounds() -> dict[str, str]:
    """The lowest version that pyproject.toml promises of each library: those that are needed, and those of `all`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    every = re.findall(r"\w+", extras["all"][0].partition("[")[2])
    lines = [*project["dependencies"], *(line for name in every for line in extras[name])]
    found = (re.match(r"([\w.-]+)(?:\[[^\]]*\])?>=([\w.]+)", line) for line in lines if "elumenta" not in line)
    return {match[1].lower(): match[2] for match in found if match}


def table(head: list[str], lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *lines]) + "\n"


def summary(rows: list[dict]) -> str:
    ran = table(
        ["", *(f"`{row['name']}`" for row in rows)],
        [
            ["Python", *(str(row["python"]) for row in rows)],
            *([name, *(row["versions"].get(name, "") for row in rows)] for name in SHOWN),
            ["tests", *(verdict(row) for row in rows)],
        ],
    )
    bounds = lower_bounds()
    lowest = next((row["versions"] for row in rows if row["name"] == "lowest"), {})
    lines = [[name, f">= {bound}", lowest.get(name, "")] for name, bound in sorted(bounds.items())]
    day = time.strftime("%Y-%m-%d")
    return f"{day}, {platform.system()}, `make compat`:\n\n{ran}\n" + table(
        ["Library", "Declared", "Tried in `lowest`"], lines
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", help=f"only these: {', '.join(env.name for env in ENVIRONMENTS)}")
    wanted = parser.parse_args().name
    BUILD.mkdir(parents=True, exist_ok=True)
    kept = BUILD.parent / "compat.json"
    before = {row["name"]: row for row in json.loads(kept.read_text())} if wanted and kept.exists() else {}
    rows = []
    for env in ENVIRONMENTS:
        if wanted and env.name not in wanted:
            rows += [before[env.name]] if env.name in before else []
            continue
        print(f"{env.name}: Python {env.python} …", file=sys.stderr, flush=True)
        rows.append(tried(env))
        print("  " + "\n  ".join([verdict(rows[-1]), *rows[-1]["failed"]]), file=sys.stderr, flush=True)
    kept.write_text(json.dumps(rows, indent=1))
    said = summary(rows)
    (BUILD.parent / "compat.md").write_text(f"# Compatibility\n\n{said}", encoding="utf-8")
    bad = [row["name"] for row in rows if row.get("trouble") or row["failed"] or row.get("exit")]
    if len(rows) == len(ENVIRONMENTS) and not bad and PAGE.exists():
        head, rest = PAGE.read_text(encoding="utf-8").split(MARKS[0])
        PAGE.write_text(f"{head}{MARKS[0]}\n{said}{MARKS[1]}{rest.split(MARKS[1])[1]}", encoding="utf-8")
    print(said)
    return int(bool(bad))


if __name__ == "__main__":
    raise SystemExit(main())
