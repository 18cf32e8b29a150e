"""What the benchmarks run against and in: the canned server, and a real kernel that is watched on its wire."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
KEY = "nb_benchmark_key_0000"


@contextmanager
def serving(pieces: int = 4000, rate: float = 0) -> Iterator[str]:
    """The base URL of a canned server in a process of its own."""
    command = [sys.executable, "-m", "bench.server", str(pieces), str(rate)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/api/v2"
        finally:
            server.terminate()


def asked(url: str) -> dict[str, Any]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as answer:
        return json.load(answer)


@dataclass
class Seen:
    """What a cell sent: (seconds since its start, message type, size in bytes, data) of each message."""

    messages: list[tuple[float, str, int, dict[str, Any]]] = field(default_factory=list)
    status: str = ""
    took_s: float = 0.0
    interrupted_s: float | None = None
    started_at: float = 0.0

    def of(self, *kinds: str) -> list[tuple[float, str, int, dict[str, Any]]]:
        return [message for message in self.messages if message[1] in kinds]


class Kernel:
    """A real kernel with the extension loaded, against a base URL, asked as JupyterLab asks (with a cell id)."""

    def __init__(self, base: str, home: Path) -> None:
        from jupyter_client.manager import KernelManager

        env = {**os.environ, "ELUMENTA_HOME": str(home / "home"), "ELUMENTA_API_KEY": KEY, "ELUMENTA_BASE_URL": base}
        env |= {"ELUMENTA_MODE": "live", "ELUMENTA_LANG": "en", "IPYTHONDIR": str(home / "ipython")}
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
        self.manager = KernelManager()
        self.manager.start_kernel(env=env, cwd=str(home))
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.cells = 0

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def run(self, code: str, *, interrupt_after: float | None = None, timeout: float = 120) -> Seen:
        """Execute a cell; with `interrupt_after` the kernel is interrupted that many seconds in."""
        self.cells += 1
        message = self.client.session.msg(
            "execute_request",
            {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False},
            metadata={"cellId": f"cell-{self.cells}"},
        )
        start, seen = time.monotonic(), Seen(started_at=time.time())
        self.client.shell_channel.send(message)
        interrupted: float | None = None
        while time.monotonic() - start < timeout:
            if interrupt_after is not None and interrupted is None and time.monotonic() - start > interrupt_after:
                interrupted = time.monotonic()
                self.manager.interrupt_kernel()
            try:
                got = self.client.get_iopub_msg(timeout=0.05)
            except queue.Empty:
                continue
            if got["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                continue
            kind, content = got["msg_type"], got["content"]
            seen.messages.append((time.monotonic() - start, kind, len(json.dumps(content)), content))
            if kind == "error":
                seen.status = content["ename"]
            if kind == "status" and content["execution_state"] == "idle":
                seen.took_s = time.monotonic() - start
                seen.interrupted_s = time.monotonic() - interrupted if interrupted else None
                return seen
        raise TimeoutError(code)


@contextmanager
def kernel(base: str, home: str) -> Iterator[Kernel]:
    running = Kernel(base, Path(home))
    try:
        yield running
    finally:
        running.close()
