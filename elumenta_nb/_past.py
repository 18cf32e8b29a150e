"""Three months of made-up spend for the sandbox's ledger: to look at, to teach with, to test. Seeded, no calls.

The rows go through the ledger like any others, by a clock that is moved, so they add up; and the sandbox's balance is
lowered by what they cost. The days count back from yesterday: the same figures whatever today is.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from ._catalog import catalog
from ._ledger import Intent, Ledger, Release, Restored, Settlement
from ._values import Origin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date
    from pathlib import Path

__all__ = ["DAYS", "HOST", "live_through"]

DAYS: Final = 92
HOST: Final = "past"
_SEED: Final = 20_260_822


@dataclass(frozen=True, slots=True)
class Work:
    """What somebody does again and again. `prices` are of the catalogue; `weekly` is how often, `until` and `since` days ago."""

    notebook: str
    label: str
    user: str
    model: str
    prices: tuple[int, ...]
    weekly: float
    seconds: float
    tags: tuple[str, ...] = ()
    surface: Any = "magic"
    since: int = DAYS
    until: int = 0
    again: float = 0.0  # share that comes from the store
    failing: float = 0.0


_WORK: Final = (
    Work("support.ipynb@5c1d20", "answer mail", "anna", "gpt-5-nano", (1,), 9, 1.8, ("support",), "batch"),
    Work("support.ipynb@5c1d20", "sort complaints", "anna", "claude-sonnet-4.5", (4,), 1.6, 4.2, ("support",)),
    Work("shop.ipynb@9be402", "hero picture", "anna", "dall-e-3", (5, 9, 13), 1.2, 9.5, ("shop", "autumn"), again=0.4),
    Work("shop.ipynb@9be402", "product shots", "boris", "flux-1.1-pro", (4,), 2.2, 6.0, ("shop",), again=0.3, failing=0.08),
    Work("shop.ipynb@9be402", "try styles", "boris", "gpt-image-1.5", (4, 6), 1.5, 14, ("shop",), "panel", since=60),
    Work("film.ipynb@07aa31", "teaser", "boris", "kling-v2.1", (26,), 0.5, 95, ("autumn",), since=70, until=12, again=0.3, failing=0.2),
    Work("film.ipynb@07aa31", "final cut", "boris", "sora-2", (42, 84), 0.45, 140, ("autumn",), since=34, failing=0.15),
    Work("lesson.ipynb@e8f9d3", "read aloud", "anna", "openai-tts", (3,), 1.0, 3.1, ("school",), again=0.5),
    Work("lesson.ipynb@e8f9d3", "", "anna", "gpt-5", (2,), 2.0, 5.5, ("school",), "python"),
)  # fmt: skip


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True, slots=True)
class _Moment:
    at: float
    work: Work
    price: int
    fate: float
    reused: bool


def _moments(today: date, chance: random.Random) -> Iterator[_Moment]:
    for ago in range(DAYS, 0, -1):
        idle = 0.15 if ago % 7 in (1, 2) else 1.3
        grown = 1.25 - 0.5 * ago / DAYS
        begins = datetime.combine(today - timedelta(days=ago), datetime.min.time()).astimezone().timestamp()
        day = [
            _Moment(begins + chance.uniform(9, 19) * 3600, work, chance.choice(work.prices), chance.random(),
                    chance.random() < work.again)
            for work in _WORK
            for _turn in range(_times(chance, work.weekly / 7 * idle * grown))
            if work.until <= ago <= work.since
        ]  # fmt: skip
        yield from sorted(day, key=lambda moment: moment.at)


def _times(chance: random.Random, mean: float) -> int:
    """How often something of that mean happens (Poisson)."""
    n, left = 0, chance.expovariate(1.0)
    while left < mean:
        n, left = n + 1, left + chance.expovariate(1.0)
    return n


def live_through(
    url: str | Path, *, account: str, api: str, balance: int, today: date, seed: int = _SEED, at_most: int | None = None
) -> dict[str, int]:
    """Write the past to the ledger at `url`; `balance` is what the account had before it. Returns calls and tokens.

    Nothing is spent beyond `at_most` tokens (by default the balance), and beyond budgets. Rows that are there already
    stay as they are.
    """
    chance = random.Random(seed)  # noqa: S311 - a story, not a secret
    clock = _Clock()
    left = balance if at_most is None else min(balance, at_most)
    kept = balance - left
    calls = 0
    bought: dict[tuple[str, str], tuple[int, int]] = {}
    with Ledger(url, clock=clock) as ledger:
        for moment in _moments(today, chance):
            work, clock.now = moment.work, moment.at
            if moment.price > left:
                continue
            origin = _origin(work)
            model = catalog().models[work.model]
            facts: dict[str, Any] = {"account": account, "api": api, "category": model.category, "model": model.slug}
            facts |= {"provider": model.provider, "prompt_chars": 40 + round(400 * moment.fate), "origin": origin}
            key = (work.notebook, work.label)
            if moment.reused and key in bought:
                calls += 1
                paid, cost = bought[key]
                ledger.restore([Restored(**facts, restored_from=paid, saved=cost)])
                continue
            [row] = ledger.reserve([Intent(**facts, quoted=moment.price, held=moment.price)])
            if not isinstance(row, int):  # a budget that was set before has no room for it
                continue
            calls += 1
            took = round(work.seconds * (0.7 + 0.6 * moment.fate), 1)
            clock.now += took
            if moment.fate < work.failing:
                ledger.release([Release(call_id=row, error="provider_error: the provider is busy", latency_s=took)])
                continue
            left -= moment.price
            bought[key] = (row, moment.price)
            ledger.settle(
                [Settlement(call_id=row, tokens=moment.price, balance_after=kept + left, latency_s=took, attempts=1)]
            )
    return {"calls": calls, "tokens": balance - kept - left}


def _origin(work: Work) -> Origin:
    number = sum(map(ord, work.notebook + work.label)) % 20 + 1
    return Origin(
        source=work.surface,
        notebook=work.notebook,
        cell_id=f"cell-{number}",
        execution_count=number,
        label=work.label,
        tags=work.tags,
        user=work.user,
        host=HOST,
    )
