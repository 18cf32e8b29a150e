"""P1, P2: what importing and loading the extension cost, beside what a notebook imports anyway and beside rivals."""

from __future__ import annotations

import sys

from . import peers
from .rows import Row, fresh, rounds

TIMED = "import time; t = time.perf_counter(); import {name}; print(time.perf_counter() - t)"
LOAD = """
import time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
t = time.perf_counter()
shell.run_line_magic("load_ext", {name!r})
print(time.perf_counter() - t)
"""
HEAVY = "import sys, elumenta_nb; print(len({'pandas', 'ipywidgets', 'httpx', 'sqlalchemy'} & set(sys.modules)))"
HERE = ["httpx", "IPython", "ipywidgets", "pandas"]
RIVALS = {"openai": "openai", "litellm": "litellm", "replicate": "replicate"}
EXTENSIONS = {"sql": "jupysql", "jupyter_ai_magics": "jupyter-ai-magics"}


def rows() -> list[Row]:
    theirs = peers.python()
    imported = {name: (lambda name=name: fresh(TIMED.format(name=name)) * 1000) for name in ["elumenta_nb", *HERE]} | {
        name: (lambda name=name: fresh(TIMED.format(name=name), python=theirs or sys.executable) * 1000)
        for name in (RIVALS if theirs else {})
    }
    took = rounds(5, imported)
    ours = took.pop("elumenta_nb")
    goal = {"unit": "ms", "limit": "<= 30 ms", "ok": ours <= 30}
    found = [
        Row(
            "P1",
            "import elumenta_nb, over bare Python",
            ours,
            peer_name=f"import {named(name)}",
            peer=took[name],
            **goal,
        )
        for name in took
    ]
    heavy = fresh(HEAVY)
    found.append(
        Row("P1", "pandas, ipywidgets, httpx, SQLAlchemy loaded by it", heavy, "modules", limit="0", ok=not heavy)
    )
    loaded = {
        name: (lambda name=name: fresh(LOAD.format(name=name)) * 1000) for name in ["elumenta_nb", "autoreload"]
    } | {
        name: (lambda name=name: fresh(LOAD.format(name=name), python=theirs or sys.executable) * 1000)
        for name in (EXTENSIONS if theirs else {})
    }
    loads = rounds(5, loaded)
    ours, floor = loads.pop("elumenta_nb"), loads["autoreload"]
    for name, took_ms in loads.items():
        is_floor = name == "autoreload"
        found.append(
            Row(
                "P2",
                "%load_ext elumenta_nb",
                ours,
                "ms",
                f"%load_ext {named(name)}",
                took_ms,
                "<= 3 x, <= 50 ms" if is_floor else "",
                (ours <= 3 * floor and ours <= 50) if is_floor else None,
            )
        )
    return found


def named(module: str) -> str:
    """With the version, where it is a rival's."""
    package = (RIVALS | EXTENSIONS).get(module)
    return f"{module} ({package} {peers.version(package)})" if package else module
