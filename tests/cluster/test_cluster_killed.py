"""A worker dies in the middle of a map: its part is repeated, and nothing is bought twice."""

import os
import signal
import threading
import time

import pandas as pd
import pytest
from distributed import Client, LocalCluster

ROWS = 90
BUDGET = 78

pytestmark = [pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(240)]


def test_a_worker_killed_in_the_middle_costs_nothing_and_no_budget_is_overrun(served, postgres, monkeypatch, impatient):
    monkeypatch.setenv("ELUMENTA_LEDGER_URL", postgres.schema())
    session = impatient()
    frame = pd.DataFrame({"title": [f"thing {i}" for i in range(ROWS)]})
    killed = []

    def kill(pids: list[int]) -> None:
        ends = time.monotonic() + 120
        while sum(served.charged().values()) < 24 and time.monotonic() < ends:
            time.sleep(0.02)
        os.kill(pids[1], signal.SIGKILL)
        killed.append(sum(served.charged().values()))

    with (
        LocalCluster(n_workers=3, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        killer = threading.Thread(target=kill, args=([*client.run(os.getpid).values()],))
        killer.start()
        done = session.map(
            frame, "{{title}}: one line for a shop", model="gpt-5-nano", budget=BUDGET, concurrency=12, scheduler=client
        )
        killer.join()
        deaths = list(client.run(os.getpid).values())
    charged = served.charged()
    spend = session.spend(columns="all")
    (budget,) = [state for state in session.budget_states() if state.per == "map"]
    again = session.map(frame, "{{title}}: one line for a shop", model="gpt-5-nano", budget=BUDGET)

    assert 24 <= killed[0] < BUDGET, "it died in the middle"
    assert len(deaths) == 3, "and another took its place"
    assert max(charged.values()) == 1, "no row was bought twice"
    assert len(charged) == served.spent == BUDGET, "as many as the budget had room for, and not one more"
    assert (budget.spent, budget.held) == (BUDGET, 0)
    assert int(spend["tokens"].sum()) == served.spent
    assert int(spend["held"].sum()) == 0
    assert done["status"].value_counts()[["completed", "not bought"]].tolist() == [BUDGET, ROWS - BUDGET]
    assert int(done["tokens"].sum()) == BUDGET, "also of the rows that the dead worker had paid"
    assert done.index.equals(frame.index)
    assert done.loc[done["status"] == "completed", "result"].notna().all()
    assert again["status"].tolist() == done["status"].tolist()
    assert int(again["tokens"].sum()) == 0
