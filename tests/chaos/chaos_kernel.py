"""A kernel on a bad day, in a process of its own: ``python chaos_kernel.py FACTS`` (JSON). See `chaos_runs`."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from chaos_mix import AROUND, KINDS, POST, PROMPTS, SENT, STT, drawn, recording
from chaos_sessions import TRANSPORTS

from elumenta_nb._errors import ElumentaError
from elumenta_nb._session import Session
from elumenta_nb._values import Ask, Event, Origin, Sent
from elumenta_nb._wiring import runtime

WARM = (  # what a first call imports: kernels are forked with it
    "anyio._backends._asyncio", "elumenta_nb._client", "elumenta_nb._engine", "elumenta_nb._ledger.ledger",
    "elumenta_nb._store", "httpcore", "sqlalchemy.dialects.sqlite",
)  # fmt: skip


class Impatient:
    """A view whose person presses Stop after so many events, or (-1) never."""

    def __init__(self, patience: int, sent: Callable[[], Any]) -> None:
        self._patience = patience
        self._sent = sent

    def __call__(self, event: Event) -> None:
        if isinstance(event, Sent):
            self._sent()
        self._patience -= 1
        if self._patience == 0:
            raise KeyboardInterrupt

    def tick(self) -> None:
        pass


class Kernel:
    """One session and some threads that use it."""

    def __init__(self, facts: dict[str, Any], number: int) -> None:
        self.facts = facts
        self.number = number
        self.folder = Path(facts["home"]) / f"kernel-{number}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.sound = recording(self.folder)
        kind = TRANSPORTS[facts["transport"]]
        self.session: Session = kind(api_key=facts["key"], base_url=facts["url"], home=facts["home"])
        self.session.start_in(self.folder)
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self.told: list[dict[str, Any]] = []
        self.sent: Callable[[], Any] = lambda: None

    def control(self, **body: Any) -> None:
        request = urllib.request.Request(
            self.facts["url"].removesuffix("/api/v2") + "/sandbox/control",
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {self.facts['key']}", "Content-Type": "application/json"},
        )
        self.opener.open(request, timeout=60).close()

    def run(self, threads: int, calls: int) -> None:
        running = [threading.Thread(target=self.work, args=(n, calls)) for n in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        self.session.close()

    def work(self, thread: int, calls: int) -> None:
        dice = Random(f"{self.facts['seed']}/{self.number}/{thread}")
        while calls > 0:
            calls -= self.once(dice, calls)

    def once(self, dice: Random, at_most: int) -> int:
        """Buy something while something goes wrong; how many calls it was."""
        kind, ask = drawn(dice, KINDS)
        count = min(at_most, dice.choice((2, 3)) if dice.random() < 0.15 else 1)
        fault = ""
        if dice.random() < self.facts["faults"]:
            fault, options = drawn(dice, SENT)
            where = STT if kind == "stt" else POST
            times = dice.randrange(1, count + 1)
            self.control(verb="fault", times=times, **{**where, **options})
        if dice.random() < self.facts["faults"] / 4:
            around, options = drawn(dice, AROUND)
            fault = f"{fault} + {around}" if fault else around
            self.control(verb="fault", **options)
        prompt = f"prompt {dice.randrange(PROMPTS)}"
        more = {"prompt": prompt, "input": str(self.sound) if kind == "stt" else None, "count": count, **ask}
        patience = dice.randrange(1, 6) if dice.random() < 0.04 else -1
        told: dict[str, Any] = {"kind": kind, "count": count, "fault": fault, "stopped": patience > 0}
        try:
            results = self.session.run(Ask(**more), Origin(source="python"), Impatient(patience, self.sent))
        except ElumentaError as error:
            results = error.results
            told |= {"error": type(error).__name__, "spent": error.spent, "call": error.call_id, "says": str(error)}
        except KeyboardInterrupt:
            results = []
            told |= {"error": "KeyboardInterrupt"}
        told["results"] = [[result.id, result.tokens] for result in results]
        self.told.append(told)
        return count


def storm(facts: dict[str, Any]) -> None:
    """So many calls, then say how each went."""
    kernel = Kernel(facts, facts["kernel"])
    kernel.run(facts["threads"], facts["calls"])
    Path(facts["says"]).write_text(json.dumps(kernel.told), encoding="utf-8")


def deaths(facts: dict[str, Any]) -> None:
    """Kernels that are killed in the middle, one after the other, each forked from here (imports take longest)."""
    dice = Random(f"{facts['seed']}/deaths/{facts['kernel']}")
    for name in WARM:
        importlib.import_module(name)
    for n in range(facts["kills"]):
        number = facts["kernel"] * 1000 + n
        hear, tell = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                kernel = Kernel(facts, number)
                kernel.sent = partial(os.write, tell, b".")
                kernel.run(facts["threads"], 10**9)
            finally:
                os._exit(1)
        os.read(hear, 1)
        os.close(hear)
        os.close(tell)
        time.sleep(dice.uniform(*facts["after"]))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


def stuck(seconds: float) -> None:
    """Where the calls are that are not done by then."""
    time.sleep(seconds)

    async def tell() -> None:
        for task in asyncio.all_tasks():
            step: Any = task.get_coro()
            while step is not None:
                frame = (
                    getattr(step, "cr_frame", None)
                    or getattr(step, "gi_frame", None)
                    or getattr(step, "ag_frame", None)
                )
                if frame is not None:
                    sys.stderr.write(f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}\n")
                step = (
                    getattr(step, "cr_await", None)
                    or getattr(step, "gi_yieldfrom", None)
                    or getattr(step, "ag_await", None)
                )
            sys.stderr.write("\n")

    runtime.call(tell)
    os._exit(3)


if __name__ == "__main__":
    if seconds := os.environ.get("CHAOS_DUMP"):  # where a run that hangs is
        threading.Thread(target=stuck, args=(float(seconds),), daemon=True).start()
    given = json.loads(sys.argv[1])
    {"storm": storm, "deaths": deaths}[given["what"]](given)
