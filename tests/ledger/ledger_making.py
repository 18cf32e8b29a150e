"""What the ledger's tests share: intents with sensible facts, and a clock that stands still."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import create_engine, text

from elumenta_nb._ledger import Intent, Ledger
from elumenta_nb._values import Origin

LIVE = "https://elumenta.ru"
HERE = Origin(
    source="magic",
    notebook="story.ipynb-1a2b",
    cell_id="c1",
    execution_count=4,
    source_hash="5ab",
    label="hero",
    tags=("demo", "hero"),
    user="anna",
    host="lab",
    kernel="k1",
    run="r1",
)
NOON = datetime(2026, 11, 22, 12, 0, 0, 250_000, tzinfo=UTC)


class Clock:
    """Seconds since the epoch, moved by hand."""

    def __init__(self, start: datetime = NOON) -> None:
        self.now = start.timestamp()

    def __call__(self) -> float:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += seconds


def intent(**facts) -> Intent:
    given = {"account": "7", "api": LIVE, "category": "image", "model": "dall-e-3", "provider": "OpenAI"}
    given |= {"quoted": 13, "held": 13, "price_key": "p1", "fingerprint": "f1", "origin": HERE}
    return Intent(**(given | facts))


def by_hand(place: str, *statements: str) -> list[tuple]:
    """What another program does in the ledger's tables; the rows of the last statement."""
    engine = create_engine(place)
    rows: list[tuple] = []
    with engine.begin() as connection:
        for statement in statements:
            done = connection.execute(text(statement))
            rows = [tuple(row) for row in done] if done.returns_rows else []
    engine.dispose()
    return rows


def reserve(ledger: Ledger, **facts) -> int:
    (call_id,) = ledger.reserve([intent(**facts)])
    assert isinstance(call_id, int), call_id
    return call_id
