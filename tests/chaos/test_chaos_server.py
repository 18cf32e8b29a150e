"""R1 in short, with the ledger in a PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import chaos_runs
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.postgres]


def test_threads_of_many_processes_never_overrun_a_budget_on_a_server(tmp_path: Path, postgres):
    figures = chaos_runs.race_of_ledgers(
        tmp_path, rounds=2, seed=4, processes=4, threads=64, limit=600, url=postgres.schema()
    )

    assert figures["tokens over a limit"] == 0
    assert figures["held"] == 0
    assert figures["drift"] == []
    assert figures["refused"] > 0
    assert figures["granted"] > 0
