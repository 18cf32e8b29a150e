"""The ledger against a model of it in plain Python: whatever happens in whatever order, both say the same."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from ledger_making import HERE, LIVE, NOON, Clock, intent

from elumenta_nb._errors import BudgetExceeded
from elumenta_nb._ledger import Elsewhere, Intent, Ledger, Release, Restored, Settlement, Taken, Where

NOTEBOOKS = ("a.ipynb-1", "b.ipynb-2")
KEYS = ("row 1", "row 2")
DAY = 86_400
OPEN = ("reserved", "pending", "unknown")


@dataclass
class Row:
    notebook: str
    day: int
    quoted: int
    held: int
    status: str = "reserved"
    tokens: int = 0
    generation: int | None = None
    lost: bool = False
    lease: float = 0.0
    elsewhere: bool = False
    adopted: bool = False  # its generation was claimed, and gives way to what the server tells
    key: str = ""  # what it would hold; kept while it is open or paid


@dataclass
class Budget:
    per: str
    notebook: str
    limit: int


class LedgerMachine(RuleBasedStateMachine):
    calls: Bundle[int] = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.place = self.new_place()
        self.ledger = self.opened()
        self.rows: dict[int, Row] = {}
        self.budgets: dict[tuple[str, str], Budget] = {}

    def new_place(self) -> str:
        return f"sqlite:///{Path(self.folder.name) / 'ledger.db'}"

    def opened(self) -> Ledger:
        return Ledger(self.place, clock=self.clock)

    def teardown(self) -> None:
        self.ledger.close()
        self.folder.cleanup()

    # ------------------------------------------------------------ the model

    @property
    def today(self) -> int:
        return datetime.fromtimestamp(self.clock.now).toordinal()

    def used(self, budget: Budget, day: int) -> tuple[int, int]:
        mine = [
            row
            for row in self.rows.values()
            if not row.elsewhere
            and (budget.per != "notebook" or row.notebook == budget.notebook)
            and (budget.per != "day" or row.day == day)
        ]
        return sum(row.tokens for row in mine), sum(row.held for row in mine)

    def covering(self, notebook: str) -> list[Budget]:
        return [b for b in self.budgets.values() if b.per == "day" or b.notebook == notebook]

    def fits(self, notebook: str, ask: int) -> bool:
        return all(sum(self.used(b, self.today)) + ask <= b.limit for b in self.covering(notebook))

    def write(self, call_id: int, notebook: str, held: int, lease_s: float) -> int:
        assert call_id not in self.rows
        self.rows[call_id] = Row(notebook, self.today, held, held, lease=self.clock.now + lease_s)
        return call_id

    def owner(self, generation: int) -> Row | None:
        return next((r for r in self.rows.values() if r.generation == generation and not r.elsewhere), None)

    def learn(self, row: Row, generation: int) -> None:
        """The server told it, or a claim found it where nothing was known."""
        if row.generation == generation or (row.generation is not None and not row.adopted):
            return
        row.generation, row.adopted = generation, False
        for other in self.rows.values():
            if other is row or other.generation != generation:
                continue
            if other.elsewhere:
                other.status, other.tokens, other.held, other.generation = "cancelled", 0, 0, None
            elif other.adopted:
                if other.status in {"failed", "cancelled"}:
                    self.take_back(other)
                other.status, other.tokens, other.held, other.lost = "unknown", 0, other.quoted, False
                other.generation, other.adopted = None, False

    # ------------------------------------------------------------ what happens

    @rule(target=calls, notebook=st.sampled_from(NOTEBOOKS), held=st.integers(0, 40), lease_s=st.sampled_from([5, 9e6]))
    def reserve(self, notebook: str, held: int, lease_s: float) -> int:
        (outcome,) = self.ledger.reserve([self.intent(notebook, held, lease_s)])
        fits = self.fits(notebook, held)
        assert isinstance(outcome, BudgetExceeded) is not fits
        return self.write(outcome, notebook, held, lease_s) if isinstance(outcome, int) else 0

    @rule(target=calls, notebook=st.sampled_from(NOTEBOOKS), held=st.integers(0, 40), key=st.sampled_from(KEYS))
    def reserve_once(self, notebook: str, held: int, key: str) -> int:
        (outcome,) = self.ledger.reserve([replace(self.intent(notebook, held, 9e6), once=key)])
        holders = self.holders(key)
        assert isinstance(outcome, Taken) is bool(holders)
        if isinstance(outcome, Taken):
            assert [outcome.entry.id] == holders
            return 0
        assert isinstance(outcome, BudgetExceeded) is not self.fits(notebook, held)
        if isinstance(outcome, int):
            self.write(outcome, notebook, held, 9e6)
            self.rows[outcome].key = key
            return outcome
        return 0

    def holders(self, key: str) -> list[int]:
        return [id_ for id_, row in self.rows.items() if row.key == key and row.status not in {"failed", "cancelled"}]

    @rule(notebook=st.sampled_from(NOTEBOOKS), asks=st.lists(st.integers(0, 30), min_size=1, max_size=4))
    def reserve_together(self, notebook: str, asks: list[int]) -> None:
        outcome = self.ledger.reserve([self.intent(notebook, held, 9e6) for held in asks], together=True)
        fits = self.fits(notebook, sum(asks))
        assert [isinstance(item, BudgetExceeded) for item in outcome] == [not fits] * len(asks)
        for item, held in zip(outcome, asks, strict=True):
            if isinstance(item, int):
                self.write(item, notebook, held, 9e6)

    @rule(notebook=st.sampled_from(NOTEBOOKS), asks=st.lists(st.integers(0, 30), min_size=1, max_size=4))
    def reserve_each(self, notebook: str, asks: list[int]) -> None:
        outcome = self.ledger.reserve([self.intent(notebook, held, 9e6) for held in asks])
        for item, held in zip(outcome, asks, strict=True):
            assert isinstance(item, BudgetExceeded) is not self.fits(notebook, held)
            if isinstance(item, int):
                self.write(item, notebook, held, 9e6)

    def intent(self, notebook: str, held: int, lease_s: float) -> Intent:
        return intent(quoted=held, held=held, lease_s=lease_s, origin=replace(HERE, notebook=notebook))

    def row(self, call_id: int) -> Row | None:
        return self.rows.get(call_id)

    @rule(call_id=calls, generation=st.integers(1, 8))
    def accept(self, call_id: int, generation: int) -> None:
        if row := self.row(call_id):
            wrong = row.status == "completed" and row.adopted and row.generation not in {None, generation}
            able = row.status in OPEN or row.lost or wrong
            assert self.ledger.accept([(call_id, generation)]) == [able]
            if wrong:
                row.tokens, row.held = 0, row.quoted
            if able:
                self.reopen(row, generation)

    @rule(call_id=calls, generation=st.integers(1, 8))
    def claim(self, call_id: int, generation: int) -> None:
        if row := self.row(call_id):
            nameless = row.status == "completed" and row.generation is None
            able = row.status in OPEN or row.lost or nameless
            owners = [r for r in self.rows.values() if r.generation == generation and not r.elsewhere and r is not row]
            able = able and not owners and row.generation in {None, generation}
            assert self.ledger.claim([(call_id, generation)]) == [able]
            if not able:
                return
            claims = row.generation is None or row.adopted
            if nameless:
                self.learn(row, generation)
            else:
                self.reopen(row, generation)
            row.adopted = claims

    def take_back(self, row: Row) -> None:
        """A row that was over is open or paid again: its key is its own unless another has it."""
        if row.key and self.holders(row.key):
            row.key = ""

    def reopen(self, row: Row, generation: int) -> None:
        if row.lost:
            self.take_back(row)
            row.held, row.lost = row.quoted, False
        row.status = "pending"
        self.learn(row, generation)

    @rule(call_id=calls, tokens=st.none() | st.integers(0, 60), generation=st.none() | st.integers(1, 8))
    def settle(self, call_id: int, tokens: int | None, generation: int | None) -> None:
        if row := self.row(call_id):
            self.ledger.settle([Settlement(call_id=call_id, tokens=tokens, generation_id=generation)])
            if row.status in {"failed", "cancelled"}:
                self.take_back(row)
            if tokens is None:
                tokens = row.tokens if row.status == "completed" else row.quoted
            row.status, row.tokens, row.held, row.lost = "completed", tokens, 0, False
            if generation is not None:
                self.learn(row, generation)

    @rule(call_id=calls, status=st.sampled_from(["failed", "cancelled"]), lost=st.booleans(), names_it=st.booleans())
    def release(self, call_id: int, status: str, lost: bool, names_it: bool) -> None:
        if row := self.row(call_id):
            able = row.status != "completed" and not (
                status == "cancelled" and row.status not in {"reserved", "cancelled"}
            )
            lost = lost and status == "failed"
            sought = row.generation if names_it else None
            if lost and row.status in OPEN:
                is_waited_for = row.status == "reserved" and row.lease > self.clock.now
                able = not is_waited_for and row.generation == sought
            item = Release(call_id=call_id, status=status, lost=lost, generation_id=sought)
            assert self.ledger.release([item]) == [able]
            if able and row.status in OPEN:
                row.status, row.held, row.lost = status, 0, lost
            elif able and not lost:
                row.lost = False

    @rule(call_id=calls)
    def doubt(self, call_id: int) -> None:
        if row := self.row(call_id):
            assert self.ledger.doubt([(call_id, "no answer")]) == [row.status in OPEN]
            if row.status in OPEN:
                row.status = "unknown"

    @rule(call_id=calls, lease_s=st.sampled_from([5, 9e6]))
    def renew(self, call_id: int, lease_s: float) -> None:
        if row := self.row(call_id):
            assert self.ledger.renew([(call_id, lease_s)]) == [row.status in OPEN]
            row.lease = self.clock.now + lease_s

    @rule(notebook=st.sampled_from(NOTEBOOKS), saved=st.integers(0, 40))
    def restore(self, notebook: str, saved: int) -> None:
        item = Restored(
            account="7", api=LIVE, category="image", model="dall-e-3", provider="OpenAI", saved=saved,
            origin=replace(HERE, notebook=notebook),
        )  # fmt: skip
        (call_id,) = self.ledger.restore([item])
        self.rows[call_id] = Row(notebook, self.today, 0, 0, status="completed")

    @rule(
        generation=st.integers(1, 8),
        tokens=st.integers(0, 40),
        status=st.sampled_from(["pending", "completed", "failed"]),
    )
    def adopt(self, generation: int, tokens: int, status: str) -> None:
        item = Elsewhere(
            account="7", api=LIVE, generation_id=generation, category="image", model="dall-e-3", status=status,
            tokens=tokens, started_at=NOON,
        )  # fmt: skip
        (call_id,) = self.ledger.adopt([item])
        assert (call_id is None) == (self.owner(generation) is not None)
        if call_id is not None:
            row = self.rows.setdefault(call_id, Row("", 0, tokens, 0, generation=generation, elsewhere=True))
            row.status = status
            row.tokens = tokens if status == "completed" else 0
            row.held = tokens if status == "pending" else 0

    @rule(per=st.sampled_from(["notebook", "day"]), notebook=st.sampled_from(NOTEBOOKS), limit=st.integers(0, 150))
    def set_budget(self, per: str, notebook: str, limit: int) -> None:
        budget = Budget(per, notebook if per == "notebook" else "", limit)
        self.budgets[per, budget.notebook] = budget
        state = self.ledger.set_budget(limit, per=per, account="7", api=LIVE, origin=replace(HERE, notebook=notebook))
        assert (state.limit, (state.spent, state.held)) == (limit, self.used(budget, self.today))

    @precondition(lambda self: self.budgets)
    @rule(data=st.data())
    def clear_budget(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.budgets)))
        budget = self.budgets.pop(key)
        origin = replace(HERE, notebook=budget.notebook)
        assert self.ledger.clear_budget(per=budget.per, account="7", api=LIVE, origin=origin)

    @rule(seconds=st.sampled_from([1, 10, DAY]))
    def time_passes(self, seconds: int) -> None:
        self.clock.move(seconds)

    @rule()
    def kernel_restarts(self) -> None:
        self.ledger.close()
        self.ledger = self.opened()

    @rule(call_id=consumes(calls))
    def is_forgotten(self, call_id: int) -> None:
        """Nobody asks about a call for a while; its row stays."""

    # ------------------------------------------------------------ what always holds

    @invariant()
    def totals_equal_rows(self) -> None:
        assert self.ledger.check() == []

    @invariant()
    def rows_are_the_models(self) -> None:
        raw = self.ledger.columns({"id", "tokens", "held", "generation_no", "status"}, Where())
        found = list(zip(*(raw.facts[name].tolist() for name in ("id", "tokens", "held", "status")), strict=True))
        names = ("reserved", "pending", "unknown", "completed", "failed", "cancelled")
        expected = []
        for call_id, row in sorted(self.rows.items()):
            status = "unknown" if row.status == "reserved" and row.lease <= self.clock.now else row.status
            expected.append((call_id, row.tokens, row.held, names.index(status)))
        assert found == expected

    @invariant()
    def budgets_are_the_models(self) -> None:
        states = {(state.per, state.target): (state.limit, state.spent, state.held) for state in self.ledger.budgets()}
        assert states == {key: (budget.limit, *self.used(budget, self.today)) for key, budget in self.budgets.items()}


def steadily(examples: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=40,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )


LedgerMachine.TestCase.settings = steadily(40)
TestTheLedgerAgainstItsModel = pytest.mark.slow(LedgerMachine.TestCase)


@pytest.mark.postgres
@pytest.mark.slow
def test_the_ledger_on_a_server_against_its_model(postgres):
    class OnAServer(LedgerMachine):
        def new_place(self) -> str:
            return postgres.schema()

    run_state_machine_as_test(OnAServer, settings=steadily(8))
