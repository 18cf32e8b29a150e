"""The rivals' own packages, in an environment of their own (build/peers, from bench/peers.txt), never beside ours."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

WANTED = Path(__file__).with_name("peers.txt")
FOLDER = Path(__file__).parents[1] / "build" / "peers"


@cache
def python() -> str | None:
    """The Python that has them; it is made when it is missing. ``None`` when it cannot be (no package registry)."""
    mine, stamp = FOLDER / "bin" / "python", FOLDER / "ready"
    if stamp.exists() and stamp.read_text() == WANTED.read_text():
        return str(mine)
    print("peers: installing them into build/peers …", file=sys.stderr, flush=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", FOLDER], check=True)
        subprocess.run(
            [mine, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", WANTED], check=True, timeout=900
        )
    except (OSError, subprocess.SubprocessError) as error:
        print(f"peers: left out, they cannot be installed: {error}", file=sys.stderr, flush=True)
        return None
    stamp.write_text(WANTED.read_text())
    return str(mine)


@cache
def version(name: str) -> str:
    if (there := python()) is None:
        return ""
    code = f"from importlib.metadata import version; print(version({name!r}))"
    return subprocess.run([there, "-c", code], capture_output=True, text=True, check=False).stdout.strip()


def told(code: str, *, timeout: float = 600) -> Any:
    """The JSON that this code prints last, run by the rivals' Python."""
    done = subprocess.run([python() or "", "-c", code], capture_output=True, text=True, check=False, timeout=timeout)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return json.loads(done.stdout.strip().splitlines()[-1])
