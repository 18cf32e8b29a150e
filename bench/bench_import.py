"""P1, P2: what importing and loading the extension cost, beside peers that a notebook imports anyway."""

from __future__ import annotations

import importlib.util

from .rows import Row, fresh, rounds

TIMED = "import time; t = time.perf_counter(); {code}; print(time.perf_counter() - t)"
LOAD = """
import time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
t = time.perf_counter()
shell.run_line_magic("load_ext", {name!r})
print(time.perf_counter() - t)
"""
HEAVY = "import sys, elumenta_nb; print(len({'pandas', 'ipywidgets', 'httpx', 'sqlalchemy'} & set(sys.modules)))"
PEERS = ["httpx", "IPython", "ipywidgets", "pandas", "openai", "litellm"]


def rows() -> list[Row]:
    here = [name for name in PEERS if importlib.util.find_spec(name)]
    measures = {name: (lambda name=name: fresh(TIMED.format(code=f"import {name}"))) for name in ["elumenta_nb", *here]}
    took = rounds(7, **measures)
    ours = took["elumenta_nb"] * 1000
    found = [
        Row(
            "P1",
            "import elumenta_nb, over bare Python",
            ours,
            "ms",
            f"import {name}",
            took[name] * 1000,
            "<= 30 ms",
            ours <= 30,
        )
        for name in here
    ]
    heavy = fresh(HEAVY)
    found.append(
        Row("P1", "pandas, ipywidgets, httpx, SQLAlchemy loaded by it", heavy, "modules", limit="0", ok=not heavy)
    )
    loads = rounds(
        5,
        ours=lambda: fresh(LOAD.format(name="elumenta_nb")),
        autoreload=lambda: fresh(LOAD.format(name="autoreload")),
    )
    mine, theirs = loads["ours"] * 1000, loads["autoreload"] * 1000
    found.append(
        Row(
            "P2",
            "%load_ext elumenta_nb",
            mine,
            "ms",
            "%load_ext autoreload",
            theirs,
            "<= 3 x, <= 50 ms",
            mine <= 3 * theirs and mine <= 50,
        )
    )
    return found
