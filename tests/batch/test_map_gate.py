"""How many calls are under way: the width follows the account's limits, and what is seen meanwhile says so."""

import asyncio
import io
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from elumenta_nb._batch._gate import Gate
from elumenta_nb._batch._sheet import Tally
from elumenta_nb._batch._view import Show
from elumenta_nb._language import set_language
from elumenta_nb._values import Limits


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def gate_of(width=8, limits=None, **more):
    clock = Clock()
    return Gate(width, limits=lambda: limits or Limits(), clock=clock, wall=clock, **more), clock


async def entered(gate, tries=50):
    count = 0
    while count < tries and gate.try_enter():
        count += 1
    return count


def test_no_more_than_the_width_are_let_in():
    async def play():
        gate, _clock = gate_of(3)
        first = await entered(gate)
        gate.leave()
        return first, await entered(gate)

    assert asyncio.run(play()) == (3, 1)


@pytest.mark.parametrize("woken_first", [True, False])
def test_who_is_cancelled_at_the_moment_of_its_turn_leaves_the_turn_to_the_next(woken_first):
    async def play():
        gate, _clock = gate_of(1)
        assert gate.try_enter()
        first, second = asyncio.ensure_future(gate.enter()), asyncio.ensure_future(gate.enter())
        await asyncio.sleep(0)
        for step in (gate.leave, first.cancel) if woken_first else (first.cancel, gate.leave):
            step()
        ends = await asyncio.wait_for(asyncio.gather(first, second, return_exceptions=True), 5)
        return type(ends[0]), ends[1], gate.active, len(gate._waiting)

    assert asyncio.run(play()) == (asyncio.CancelledError, True, 1, 0)


def test_a_refusal_halves_the_width_once_for_the_calls_that_were_under_way_together():
    async def play():
        gate, clock = gate_of(16)
        for _ in range(16):
            gate.refused(0.5)
        widths = [gate.width]
        clock.now += 2
        gate.refused(0.5)
        widths.append(gate.width)
        for _ in range(4):
            gate.went_well()
        return [*widths, gate.width]

    assert asyncio.run(play()) == [8.0, 4.0, pytest.approx(4.9, abs=0.1)]


def test_nobody_is_let_in_until_the_moment_the_server_named():
    async def play():
        gate, clock = gate_of(4)
        gate.refused(3600)
        told = [gate.try_enter(), gate.waits_s]
        clock.now += 3601
        return [*told, gate.try_enter(), gate.waits_s]

    assert asyncio.run(play()) == [False, 3600.0, True, 0.0]


def test_refusals_without_a_time_wait_longer_and_longer():
    async def play():
        gate, clock = gate_of(4)
        waits = []
        for _ in range(7):
            gate.refused(None)
            waits.append(gate.waits_s)
            clock.now += gate.waits_s + 1
        gate.went_well()
        gate.refused(None)
        return [*waits, gate.waits_s]

    assert asyncio.run(play()) == [20.0, 40.0, 80.0, 160.0, 320.0, 600.0, 600.0, 20.0]


def test_the_last_requests_of_the_hour_are_not_overrun_and_the_reset_is_waited_for():
    async def play():
        resets_at = datetime.fromtimestamp(1000.0 + 1800, UTC)
        few, gone = [Limits(hour=100, hour_left=left, resets_at=resets_at) for left in (3, 0)]
        told = SimpleNamespace(limits=few)
        clock = Clock()
        gate = Gate(8, limits=lambda: told.limits, clock=clock, wall=clock)
        within = await entered(gate)
        told.limits = gone
        for _ in range(within):
            gate.leave()
        none, waits = await entered(gate), gate.waits_s
        clock.now += 1802  # the figure is of an hour that is over
        return within, none, waits, await entered(gate)

    assert asyncio.run(play()) == (3, 0, 1801.0, 8)


@pytest.mark.parametrize("resets_at", [9_999_999_999.0, 1000.0 + 7200])
def test_a_reset_farther_than_an_hour_can_be_is_waited_for_an_hour_and_then_one_call_asks(resets_at):
    async def play():
        told = SimpleNamespace(limits=Limits(hour=100, hour_left=0, resets_at=datetime.fromtimestamp(resets_at, UTC)))
        clock = Clock()
        gate = Gate(8, limits=lambda: told.limits, clock=clock, wall=clock)
        none, waits = await entered(gate), gate.waits_s
        clock.now += waits
        asking = await entered(gate)
        told.limits = Limits(hour=100, hour_left=100, resets_at=told.limits.resets_at)  # the answer to it
        return none, waits, asking, asking + await entered(gate)

    assert asyncio.run(play()) == (0, 3660.0, 1, 8)


def test_a_refusal_that_names_a_moment_beyond_a_day_is_waited_for_a_day():
    async def play():
        gate, clock = gate_of(4)
        gate.refused(10**9)
        waits = gate.waits_s
        clock.now += waits
        return waits, gate.try_enter()

    assert asyncio.run(play()) == (86460.0, True)


def test_who_waits_is_let_in_when_somebody_leaves_and_sent_away_when_it_closes():
    async def play():
        gate, _clock = gate_of(1)
        assert gate.try_enter()
        waiting = [asyncio.ensure_future(gate.enter()) for _ in range(3)]
        await asyncio.sleep(0)
        gate.leave()
        await asyncio.sleep(0)
        gate.close()
        return await asyncio.gather(*waiting)

    assert sorted(asyncio.run(play())) == [False, False, True]


class Sheet:
    """So many of 2,000 calls are done."""

    done = 0

    def brief(self):
        facts = dict.fromkeys(("rows", "rows_done", "rows_failed", "rows_not_bought", "rows_open"), 0)
        return Tally(model="gpt-5-nano", calls=2000, done=self.done, failed=2, tokens=self.done, **facts)


def shown(lang="en", waits_s=0.0, *, sandbox=False):
    set_language(lang)
    clock, sheet, terminal = Clock(), Sheet(), io.StringIO()
    runner = SimpleNamespace(gate=SimpleNamespace(waits_s=waits_s), reason="The account's request limit is reached.")
    show = Show(sheet, runner, sandbox=sandbox, terminal=terminal, clock=clock)
    for _ in range(200):  # ten seconds
        clock.now += 0.05
        sheet.done += 5
        show.tick()
    return terminal.getvalue()


def test_the_line_says_how_far_it_is_how_fast_and_how_long_and_moves_five_times_a_second_at_most(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")

    text = shown()

    assert "map gpt-5-nano · 995 of 2,000 calls · 995 tokens · 2 failed · 100 a second · 10 s left" in text
    assert text.count("\r") <= 5 * 10


def test_the_line_of_a_map_in_the_sandbox_says_so(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")

    assert "SANDBOX · map gpt-5-nano · 995 of" in shown(sandbox=True)
    assert "SANDBOX" not in shown()


def test_the_line_counts_down_to_the_reset_in_either_language_also_in_a_narrow_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    assert "goes on in 59 min 30 s" in shown(waits_s=3570)
    assert "продолжение через 59 мин 30 с" in shown("ru", waits_s=3570).replace("\N{NO-BREAK SPACE}", " ")
