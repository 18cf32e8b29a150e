from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ledger_making import HERE, LIVE, intent

from elumenta_nb._ledger import Ledger, Where

SCRIPT = Path(__file__).with_name("ledger_process.py")


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def test_processes_and_threads_never_overrun_a_budget(place):
    with Ledger(place) as ledger:
        for per in ("notebook", "day", "month"):
            ledger.set_budget(1500, per=per, account="7", api=LIVE, origin=HERE)
        racing = [start("race", place, 4, 25, seed) for seed in range(4)]
        most = 0
        while any(process.poll() is None for process in racing):
            most = max(most, *(state.used for state in ledger.budgets()))
        refused = sum(int(finished(process)) for process in racing)
        states = ledger.budgets()
        assert most <= 1500
        assert {state.held for state in states} == {0}
        assert all(1480 <= state.spent <= 1500 for state in states)
        assert refused > 0
        assert ledger.check() == []
        calls, tokens, held, *_rest = ledger.totals((), Where())[0]
        assert (calls, tokens, held) == (400 - refused, states[0].spent, 0)


def test_processes_that_ask_for_one_key_get_one_row(place):
    moment = time.time() + 1.5
    racing = [start("once", place, moment, 4, 12) for _ in range(4)]
    granted = [line for process in racing for line in finished(process).split()]
    with Ledger(place) as ledger:
        rows = ledger.open_calls()
        assert len(rows) == 12
        assert sorted(granted, key=int) == [str(row.id) for row in rows]
        assert ledger.check() == []


@pytest.mark.parametrize("where", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_kernels_that_start_together_make_one_ledger(tmp_path, where, request):
    file = f"sqlite:///{tmp_path / 'home' / 'ledger.db'}"
    url = file if where == "sqlite" else request.getfixturevalue("postgres").schema()
    moment = time.time() + 1.5
    starting = [start("open", url, moment) for _ in range(6)]
    for process in starting:
        finished(process)
    with Ledger(url) as ledger:
        assert len(ledger.open_calls()) == 6
        assert len(ledger.budgets()) == 1
        assert ledger.check() == []


@pytest.mark.slow
def test_kill_9_loses_no_row_that_was_promised(place):
    dice = random.Random(7)
    with Ledger(place) as ledger:
        ledger.set_budget(10**6, per="month", account="7", api=LIVE, origin=HERE)
    promised: dict[int, str] = {}
    for _ in range(10):
        process = start("spend", place)
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(dice.uniform(0.0, 0.06))
        os.kill(process.pid, signal.SIGKILL)
        rest, _err = process.communicate(timeout=60)
        whole = (first + rest).rpartition("\n")[0]  # a last line may be cut
        for line in whole.splitlines():
            word, number = line.split()
            promised[int(number)] = word
    assert len(promised) > 10
    with Ledger(place) as ledger:
        assert ledger.check() == []
        held = spent = 0
        for number, word in promised.items():
            entry = ledger.call(number)
            if word == "settled":
                assert (entry.status, entry.tokens, entry.held) == ("completed", 5, 0)
            if word == "accepted":
                assert entry.generation_id == f"job-{number}"
            if word in {"reserved", "accepted"} and entry.status != "completed":
                assert entry.held == 5
        for row in ledger.open_calls():
            held += row.held
        (state,) = ledger.budgets()
        spent = ledger.totals((), Where())[0][1]
        assert (state.spent, state.held) == (spent, held)
        assert isinstance(ledger.reserve([intent()])[0], int)
