from __future__ import annotations

import asyncio

import pytest
from ledger_making import HERE, LIVE, Clock, intent

from elumenta_nb._errors import BudgetExceeded, LedgerError
from elumenta_nb._ledger import Ledger, Release, Restored, Settlement, Where, Writer


class CountingLedger(Ledger):
    """Counts transactions; `elsewhere` makes it say that a transaction crosses a network."""

    transactions = 0
    elsewhere = False
    broken = False
    spent = "no"

    @property
    def remote(self) -> bool:
        return self.elsewhere

    def run(self, operations):
        self.transactions += 1
        if self.broken:
            raise LedgerError("no disk", hint="make room", spent=self.spent) from OSError("full")
        return super().run(operations)


@pytest.fixture(params=["on the loop", "from a thread", pytest.param("on a server", marks=pytest.mark.postgres)])
def ledger(tmp_path, request):
    file = f"sqlite:///{tmp_path / 'ledger.db'}"
    url = request.getfixturevalue("postgres").schema() if request.param == "on a server" else file
    with CountingLedger(url, clock=Clock()) as ledger:
        ledger.elsewhere = request.param != "on the loop"
        yield ledger
        assert ledger.check() == []


def test_what_is_awaited_in_one_tick_is_one_transaction(ledger):
    async def one(writer: Writer, n: int) -> int:
        call_id = await writer.reserve(intent())
        await writer.accept(call_id, n)
        await writer.settle(Settlement(call_id=call_id, tokens=13))
        return call_id

    async def many() -> list[int]:
        writer = Writer(ledger)
        return await asyncio.gather(*(one(writer, n) for n in range(100)))

    ids = asyncio.run(many())
    assert sorted(ids) == list(range(1, 101))
    assert ledger.totals((), Where())[0][:3] == (100, 1300, 0)
    assert ledger.transactions <= 6


def test_each_waiter_gets_its_own_answer(ledger):
    ledger.set_budget(26, account="7", api=LIVE, origin=HERE)

    async def main():
        writer = Writer(ledger)
        first = await asyncio.gather(*(writer.reserve(intent()) for _ in range(3)), return_exceptions=True)
        missing = writer.settle(Settlement(call_id=99, tokens=1))
        fine = writer.settle(Settlement(call_id=1, tokens=13))
        second = await asyncio.gather(missing, fine, return_exceptions=True)
        assert await writer.release(Release(call_id=1)) is False
        assert await writer.doubt(2, "lost") is True
        assert await writer.claim(2, "x") is True
        assert await writer.renew(2, 5) is True
        item = Restored(account="7", api=LIVE, category="image", model="m", saved=3)
        return first, second, await writer.restore(item)

    first, second, restored = asyncio.run(main())
    assert first[:2] == [1, 2]
    assert isinstance(first[2], BudgetExceeded)
    assert isinstance(second[0], LedgerError)
    assert second[1].spent == 13
    assert ledger.call(restored).reused


def test_several_together_are_all_or_none(ledger):
    ledger.set_budget(26, account="7", api=LIVE, origin=HERE)

    async def main():
        writer = Writer(ledger)
        with pytest.raises(BudgetExceeded):
            await writer.reserve_together([intent()] * 3)
        return await writer.reserve_together([intent()] * 2)

    assert len(asyncio.run(main())) == 2


def test_a_reservation_whose_waiter_is_gone_holds_nothing(ledger):
    async def main():
        writer = Writer(ledger)
        early = asyncio.create_task(writer.reserve(intent()))
        await asyncio.sleep(0)
        early.cancel()
        late = asyncio.create_task(writer.reserve(intent(model="photon")))
        while not ledger.open_calls():  # its row is written, it has not been told
            await asyncio.sleep(0)
        late.cancel()
        for task in (early, late):
            with pytest.raises(asyncio.CancelledError):
                await task
        await writer.drain()

    asyncio.run(main())
    assert ledger.open_calls() == []


def test_a_charge_is_written_though_its_waiter_is_gone(ledger):
    async def main():
        writer = Writer(ledger)
        call_id = await writer.reserve(intent())
        task = asyncio.create_task(writer.settle(Settlement(call_id=call_id, tokens=13)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await writer.drain()
        return call_id

    assert ledger.call(asyncio.run(main())).tokens == 13


def test_a_ledger_that_cannot_write_is_said_to_all_who_wait(ledger):
    async def main():
        writer = Writer(ledger)
        ledger.broken = True
        outcome = await asyncio.gather(*(writer.reserve(intent()) for _ in range(2)), return_exceptions=True)
        ledger.broken = False
        assert await writer.reserve(intent()) == 1
        return outcome

    assert [type(item) for item in asyncio.run(main())] == [LedgerError, LedgerError]


def test_each_waiter_of_a_tick_that_failed_has_an_error_of_its_own_and_a_reservation_cost_nothing(ledger):
    """One object was given to all: what one call wrote on it the others showed, and a call never sent said "maybe"."""

    async def main():
        writer = Writer(ledger)
        first, second, third = [await writer.reserve(intent()) for _ in range(3)]
        ledger.broken, ledger.spent = True, "maybe"
        outcome = await asyncio.gather(
            writer.reserve(intent()),
            writer.reserve_together([intent()]),
            writer.restore(Restored(account="7", api=LIVE, category="image", model="m")),
            writer.accept(first, 5),
            writer.settle(Settlement(call_id=first, tokens=13)),
            writer.release(Release(call_id=second)),
            writer.doubt(third, "lost"),
            return_exceptions=True,
        )
        ledger.broken = False
        return outcome

    errors = asyncio.run(main())
    for number, error in enumerate(errors):
        error.details["seen by"] = number
    assert [error.details["seen by"] for error in errors] == list(range(7))
    assert {(type(error), error.message, error.hint) for error in errors} == {(LedgerError, "no disk", "make room")}
    assert [error.spent for error in errors] == ["no", "no", "no", "maybe", "maybe", "maybe", "maybe"]
    assert {str(error.__cause__) for error in errors} == {"full"}
