"""A real kernel, driven as a front end drives it: over its sockets, with or without a cell id."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from jupyter_client.manager import KernelManager

from elumenta_nb._catalog import Model
from elumenta_nb.sandbox import Server, serve

GUARD = Path(__file__).parents[1] / "guard"
OURS = ("ELUMENTA_", "JPY_", "PAPERMILL_", "JUPYTER_")


@dataclass
class Ran:
    """What a cell did: its reply and every message it showed, with the seconds since it was sent."""

    status: str = ""
    reply: dict[str, Any] = field(default_factory=dict)
    messages: list[tuple[float, str, dict[str, Any]]] = field(default_factory=list)
    seconds: float = 0.0

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [content for _at, type_, content in self.messages if type_ == kind]

    @property
    def outputs(self) -> list[tuple[str, str]]:
        """What stays to be seen: (kind, plain text), without what was cleared, or emptied as a line of progress is."""
        last = {what["transient"]["display_id"]: what["data"]["text/plain"] for what in self.of("update_display_data")}
        left: list[tuple[str, str]] = []
        clearing = False
        for _at, kind, content in self.messages:
            if kind == "clear_output":
                clearing = True
                continue
            if kind not in ("display_data", "execute_result", "stream", "error"):
                continue
            if clearing:
                left, clearing = [], False
            if last.get(content.get("transient", {}).get("display_id")) == "":
                continue
            text = content.get("data", {}).get("text/plain", content.get("text", content.get("evalue", "")))
            left.append((kind, text))
        return left

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _text in self.outputs]


class Kernel:
    """A kernel process and its client."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.updates: dict[str, str] = {}  # what each changing place shows now, whichever cell the change came with
        env = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        env |= {
            "ELUMENTA_HOME": str(folder / "home"),
            "ELUMENTA_LANG": "en",
            "IPYTHONDIR": str(folder / "ipython"),
            "JUPYTER_PLATFORM_DIRS": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(GUARD), env.get("PYTHONPATH")])),
            **environment,
        }
        self.manager = KernelManager(kernel_name="python3", transport="ipc", ip=str(folder / "k"))
        self.manager.kernel_spec.argv[0] = sys.executable
        self.manager.start_kernel(env=env, cwd=str(folder))
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(
        self,
        source: str,
        *,
        cell_id: str | None = None,
        interrupt: Callable[[Ran], bool] | None = None,
        timeout: float = 60,
    ) -> Ran:
        """Run a cell; `interrupt` is asked after every message and tick, and true sends one SIGINT."""
        ran = Ran()
        began, sent_at = time.monotonic(), 0.0
        content = {"code": source, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": True}
        message = self.client.session.msg("execute_request", content, metadata={"cellId": cell_id} if cell_id else {})
        self.client.shell_channel.send(message)
        while time.monotonic() - began < timeout:
            told = self._heard(0.02)
            if told is not None and told["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                kind, what = told["msg_type"], told["content"]
                if kind == "status" and what["execution_state"] == "idle":
                    break
                ran.messages.append((time.monotonic() - began, kind, what))
            if interrupt is not None and not sent_at and interrupt(ran):
                sent_at = time.monotonic()
                self.manager.interrupt_kernel()
        else:
            raise TimeoutError(source)
        ran.seconds = time.monotonic() - (sent_at or began)
        while True:
            reply = self.client.get_shell_msg(timeout=10)
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                ran.reply = reply["content"]
                ran.status = ran.reply["status"]
                return ran

    def _heard(self, timeout_s: float) -> dict[str, Any] | None:
        """The next message of whatever cell; ``None`` where there is none so long."""
        try:
            told: dict[str, Any] = self.client.get_iopub_msg(timeout=timeout_s)
        except Empty:
            return None
        if told["msg_type"] == "update_display_data":
            what = told["content"]
            self.updates[what["transient"]["display_id"]] = what["data"]["text/plain"]
        return told

    def places(
        self, slots: Collection[str], enough: Callable[[dict[str, str]], object], *, timeout_s: float = 30
    ) -> dict[str, str]:
        """What those of these places show that have changed, once that is `enough`; in the end as it is."""
        ends = time.monotonic() + timeout_s
        while True:
            now = {slot: self.updates[slot] for slot in slots if slot in self.updates}
            if enough(now) or time.monotonic() > ends:
                return now
            self._heard(0.1)

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    state = tmp_path_factory.mktemp("server") / "state.sqlite"
    newer = Model(slug="nova-9", category="text", minimum=3, maximum=3)  # known to the server, not to the table
    with serve(state=state, extra_models=[newer]) as server:
        yield server


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Iterator[Kernel]:
    """A kernel with the extension loaded, whose calls go to `server` as a live API."""
    folder = tmp_path_factory.mktemp("kernel")
    kernel = Kernel(folder, ELUMENTA_BASE_URL=server.url, ELUMENTA_API_KEY=server.api_key)
    try:
        loaded = kernel.run("%load_ext elumenta_nb")
        assert loaded.messages == [] or loaded.outputs == []
        yield kernel
    finally:
        kernel.close()
