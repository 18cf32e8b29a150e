"""The background loop: interrupts end a wait, scripts exit, forked children and several threads work."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError

import pytest
from anyio import CancelScope

from elumenta_nb._runtime import Runtime
from elumenta_nb._values import Stopped


@pytest.fixture(scope="module")
def runtime() -> Runtime:
    return Runtime()


class Heard(list):
    def __call__(self, event):
        self.append(event)

    def tick(self):
        pass


def test_events_are_shown_on_the_calling_thread(runtime):
    threads = set()

    class View(Heard):
        def __call__(self, event):
            threads.add(threading.get_ident())

    async def work(emit):
        for _ in range(3):
            emit(Stopped(call_id=1, status="pending", at_risk=0))
        return threading.get_ident()

    assert runtime.run(work, View()) != threading.get_ident()
    assert threads == {threading.get_ident()}


def test_an_interrupt_ends_the_wait_and_the_last_word_is_heard(runtime):
    cleaned, waits = threading.Event(), threading.Event()
    sent_at = []

    class View(Heard):
        def tick(self):
            waits.set()

    heard = View()

    async def work(emit):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            with CancelScope(shield=True):
                await asyncio.sleep(0.02)
            emit(Stopped(call_id=7, status="pending", at_risk=26))
            cleaned.set()
            raise

    def interrupt():
        assert waits.wait(20)
        sent_at.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        runtime.run(work, heard)

    assert time.monotonic() - sent_at[0] < 1.0
    assert cleaned.is_set()
    assert heard == [Stopped(call_id=7, status="pending", at_risk=26)]


def test_an_error_reaches_the_caller_as_itself(runtime):
    async def work(_emit):
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        runtime.run(work)


def test_a_handle_waits_stops_and_can_be_awaited(runtime):
    go = threading.Event()

    async def slow(_emit):
        while not go.is_set():
            await asyncio.sleep(0.01)
        return 42

    handle = runtime.submit(slow)
    with pytest.raises(TimeoutError) as told:
        handle.result(timeout=0.01)
    assert len(told.value._render_traceback_()) == 1
    go.set()
    assert handle.result(timeout=20) == 42
    assert handle.done()
    go.clear()

    async def outside():
        asyncio.get_running_loop().call_later(0.05, go.set)
        return await runtime.submit(slow)

    assert asyncio.run(outside()) == 42
    go.clear()
    stopped = runtime.submit(slow)
    stopped.stop()
    with pytest.raises(CancelledError, match=r"Stopped waiting.*still charged: %elumenta recover") as left:
        stopped.result(timeout=20)
    assert len(left.value._render_traceback_()) == 2  # of the runtime nobody wants to see the lines


SCRIPT = """
import elumenta_nb as el
el.configure(mode="sandbox")
print(el.generate("gpt-5-nano", "hello").tokens, flush=True)
pending = el.submit("kling-v2.1", "a wave") if {leave_open} else None
"""


@pytest.mark.parametrize("leave_open", [False, True])
def test_a_script_exits_by_itself(leave_open):
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(leave_open=leave_open)], capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == "1\n"
    assert done.stderr == ""
    assert time.monotonic() - began < 30


FORK = """
import os, warnings
warnings.simplefilter("ignore")
import elumenta_nb as el
from elumenta_nb._wiring import runtime
async def who(): return os.getpid()
parent = runtime.call(who)
child = os.fork()
if child == 0:
    os._exit(0 if runtime.call(who) == os.getpid() != parent else 1)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), runtime.call(who) == os.getpid())
"""


def test_a_forked_child_gets_a_loop_of_its_own():
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60)

    assert done.stdout == "0 True\n", done.stderr
