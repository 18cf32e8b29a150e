"""R1 to R3 in short; `make chaos` is the whole of it (`python -m bench.chaos --seed N` repeats a run)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import chaos_runs
import pytest

pytestmark = pytest.mark.slow
SEED = 4
BOOKS = ("difference", "open", "held", "failed without a row", "changed by fetching")
LISTS = ("owned twice", "without a row", "wrong figure", "drift", "not fetched again")


def assert_books_agree(figures: dict[str, Any]) -> None:
    assert {name: figures[name] for name in BOOKS} == dict.fromkeys(BOOKS, 0), figures
    assert {name: figures[name] for name in LISTS} == {name: [] for name in LISTS}, figures
    assert figures["integrity"] == "ok"


@pytest.mark.parametrize("dialect", ["a", "b"])
def test_a_storm_of_faults_leaves_a_ledger_that_equals_the_account(tmp_path: Path, dialect: str):
    figures = chaos_runs.storm(
        tmp_path, calls=96, seed=SEED, dialect=dialect, kernels_at_once=2, threads=8, faults=0.7, within_s=120
    )

    assert_books_agree(figures)
    assert figures["too many"] == 0, "something was bought twice"
    assert figures["told otherwise"] == []
    assert figures["charged"] > 0
    assert figures["adopted"] > 0, "the storm was too quiet to prove anything"
    assert set(figures["by transport"].values()) == {48}, "each way out has its half"


def test_threads_of_many_processes_never_overrun_a_budget(tmp_path: Path):
    figures = chaos_runs.race_of_ledgers(tmp_path, rounds=4, seed=SEED, processes=4, threads=16, limit=100)

    assert figures["tokens over a limit"] == 0
    assert figures["held"] == 0
    assert figures["drift"] == []
    assert figures["refused"] > 0
    assert figures["granted"] > 0


def test_kernels_that_buy_at_once_never_overrun_a_budget(tmp_path: Path):
    figures = chaos_runs.race_of_sessions(tmp_path, rounds=2, seed=SEED, processes=3, threads=12, limit=51)

    assert figures["tokens over a limit"] == 0
    assert (figures["charged"], figures["spent"], figures["held"]) == (50, 50, 0)
    assert figures["refused"] == figures["asked"] - 25


@pytest.mark.parametrize("dialect", ["a", "b"])
def test_killed_kernels_lose_nothing(tmp_path: Path, dialect: str):
    figures = chaos_runs.deaths(tmp_path, kills=6, seed=SEED, dialect=dialect)

    assert_books_agree(figures)
    assert figures["unsound after a kill"] == []
    assert figures["accepted jobs lost"] == []
    assert figures["unfinished before recovery"] > 0, "nobody was killed in the middle of anything"
