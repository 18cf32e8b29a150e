"""What a session forgets when its settings change."""

from __future__ import annotations

import pytest
from worlds import QuickSession

from elumenta_nb._catalog import catalog
from elumenta_nb._ledger import Intent, Ledger, Settlement
from elumenta_nb._prices import Prices, price_key
from elumenta_nb._values import Quote
from elumenta_nb.sandbox import serve


@pytest.fixture
def server():
    with serve(dialect="a", time_scale=0.002) as server:
        yield server


def test_another_ledger_is_told_the_billing_cycle_too(server, tmp_path):
    session = QuickSession(api_key=server.api_key, base_url=server.url, home=tmp_path)
    ends_at = session.balance().expires_at

    session.change(ledger_url=f"sqlite:///{tmp_path / 'another.sqlite'}")
    session.balance()
    session.budget(100, per="month")

    (budget,) = session.ledger().budgets()
    assert ends_at is not None
    assert (budget.ends_at.day, budget.ends_at.hour, budget.ends_at.minute) == (
        ends_at.day,
        ends_at.hour,
        ends_at.minute,
    )
    session.close()


def test_a_charge_of_this_kernel_does_not_hide_a_dearer_one_of_the_ledger(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        resolved = catalog().resolve(None, "gpt-5", {})
        facts = {"account": "7", "api": "sandbox", "category": "text", "model": "gpt-5"}
        [row] = ledger.reserve([Intent(**facts, quoted=2, held=2, price_key=price_key(resolved))])
        ledger.settle([Settlement(call_id=row, tokens=9)])
        prices = Prices(None, ledger, "sandbox")

        prices.learn(resolved, 5)  # of a call that an earlier kernel began: nobody asked for its price here

        assert prices.held(resolved, Quote(tokens=2, minimum=2, maximum=2)) == 9
