"""Thousands of lost calls and a history of thousands: what is read of it grows with them, not with their product."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from elumenta_nb._alike import Generations, astray, candidates
from elumenta_nb._catalog import catalog
from elumenta_nb._errors import ServerError
from elumenta_nb._ledger import Intent, Ledger, Settlement, Writer
from elumenta_nb._order import Order, hash_prompt
from elumenta_nb._recovery import Shelf, find, look_up_together
from elumenta_nb._values import Call, History, Origin, Reply

ACCOUNT, API = "1", "sandbox"
BEGAN = 1_790_000_000.0
PROMPTS = [
    "A quiet harbour at night, with the lamps of the pier in the water",
    "A quiet harbour at night",
    "Ein Café\r\nam Meer",
    "A mountain by day, with one goat, seen from the other side of the lake",
    "",
]


class Watched:
    """A generation of the history that counts how often something of it is read."""

    reads = 0

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def __getattr__(self, name: str) -> Any:
        Watched.reads += 1
        return getattr(self._reply, name)


class Told:
    """A server whose history tells these generations, the newest first, a hundred on a page."""

    skew_s = 0.0

    def __init__(self, items: list[Any]) -> None:
        self.items = items
        self.asked = 0

    async def history(self, *, page: int, limit: int, **_filters: Any) -> History:
        self.asked += 1
        items = tuple(self.items[(page - 1) * limit : page * limit])
        ids = tuple(item.id for item in items)
        return History(items=items, total=len(self.items), page=page, limit=limit, received=len(items), ids=ids)


def made(number: int, prompt: str | None, at: float | None) -> Reply:
    when = None if at is None else datetime.fromtimestamp(at, UTC)
    return Reply(id=number, status="completed", model="gpt-5", prompt=prompt, text="t", tokens=2, created_at=when)


def services_of(ledger: Ledger, client: Any) -> Any:
    async def account() -> str:
        return ACCOUNT

    async def sleep(_seconds: float) -> None:
        await asyncio.sleep(0)

    return SimpleNamespace(
        client=client, ledger=ledger, writer=Writer(ledger), api=API, account=account, sleep=sleep, grace_s=None
    )


@pytest.fixture
def ledger_at(tmp_path: Path) -> Iterator[Any]:
    opened: list[Ledger] = []

    def make(name: str, clock: Any) -> Ledger:
        opened.append(Ledger(tmp_path / f"{name}.db", clock=clock))
        return opened[-1]

    yield make
    for ledger in opened:
        ledger.close()


def reserved(ledger: Ledger, prompt: str) -> int:
    intent = Intent(
        account=ACCOUNT, api=API, category="text", model="gpt-5", quoted=2, held=2, prompt_hash=hash_prompt(prompt),
        prompt_chars=len(prompt), fingerprint=prompt, lease_s=1, origin=Origin(source="batch", kernel="dead", run="r"),
    )  # fmt: skip
    (call_id,) = ledger.reserve([intent])
    assert isinstance(call_id, int)
    return call_id


def found_by(ledger_at: Any, lost: int, *, told: int = 50) -> tuple[list[Order], int]:
    """So many calls are lost, ten times as many are in the history; what was found, and what was read for it."""
    clock = [BEGAN]
    ledger: Ledger = ledger_at(f"of-{lost}", lambda: clock[0])
    witnesses = [reserved(ledger, f"known {n}") for n in range(told)]
    ledger.settle([Settlement(call_id=call_id, tokens=2, generation_id=call_id) for call_id in witnesses])
    calls = {reserved(ledger, f"row {n}"): n for n in range(lost)}
    clock[0] += 60
    listed = [made(call_id, f"known {call_id - 1}", BEGAN + 1) for call_id in witnesses]
    listed += [made(1000 + n, f"row {n}", BEGAN + 1) for n in range(lost)]
    listed += [made(100_000 + n, f"another {n}", BEGAN + 1 - n % 7) for n in range(9 * lost)]
    client = Told([Watched(item) for item in sorted(listed, key=lambda item: item.created_at, reverse=True)])
    resolved = catalog().resolve("text", "gpt-5", {})
    orders = [Order.resumed(row, resolved) for row in ledger.open_calls(ACCOUNT, API)]
    Watched.reads = 0
    unclear = asyncio.run(look_up_together(services_of(ledger, client), orders, "this kernel"))
    assert unclear == {}
    assert [order.generation_id for order in orders] == [1000 + calls[order.call_id] for order in orders]
    assert client.asked == -(-len(listed) // 100), "the history is read once"
    return orders, Watched.reads


def test_twice_as_many_lost_calls_in_twice_the_history_read_twice_as_much(ledger_at):
    _few, little = found_by(ledger_at, 40)
    _many, much = found_by(ledger_at, 80)

    assert much < 2.5 * little, "four times as much, where each call goes through the whole history"


class Away(Told):
    """A server that does not answer, after a long wait."""

    async def history(self, **_filters: Any) -> History:
        self.asked += 1
        raise ServerError("away", status=502)


def test_a_server_in_trouble_is_asked_once_in_each_look_for_all_the_calls(ledger_at):
    clock = [BEGAN]
    ledger: Ledger = ledger_at("away", lambda: clock[0])
    for n in range(20):
        reserved(ledger, f"row {n}")
    clock[0] += 60
    orders = [Order.resumed(row, catalog().resolve("text", "gpt-5", {})) for row in ledger.open_calls(ACCOUNT, API)]
    client = Away([])

    unclear = asyncio.run(look_up_together(services_of(ledger, client), orders, "this kernel"))

    assert client.asked == 5
    assert unclear == {}
    assert not any(order.missing for order in orders), "nothing is concluded from it"


def listed_at_random(seed: int) -> list[Reply]:
    dice = random.Random(seed)
    prompts = [
        None, "", "  ", *PROMPTS, "A quiet harbour…", "A quiet harbour at night...", "…", PROMPTS[0][:50],
        PROMPTS[3][:50], "Ein Cafe\u0301\nam Meer", "A  quiet harbour at night,", "somebody else's",
    ]  # fmt: skip
    times = [None, 0.0, -6.0, 5.0, 899.0, 901.0, 3600.0, 3 * 3600.0, -3 * 3600.0, 20 * 3600.0]
    items = []
    for number in range(60):
        later = dice.choice(times)
        items.append(made(number, dice.choice(prompts), None if later is None else BEGAN + later))
    return items


@pytest.mark.parametrize("is_known", [True, False], ids=["prompt known", "hash of it known"])
@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("seed", range(5))
def test_among_many_a_call_finds_what_it_finds_in_each_alone(seed, prompt, is_known):
    items = listed_at_random(seed)
    whole = Order.of_call(Call(category="text", model="gpt-5", prompt=prompt), catalog().resolve("text", "gpt-5", {}))
    order = replace(whole, began_at=BEGAN, call=whole.call if is_known else replace(whole.call, prompt=""))
    moments = (BEGAN, BEGAN + 3 * 3600)

    alone = [item.id for item in items if candidates(order, Generations([item]), moments)]
    together = [item.id for item in candidates(order, Generations(items), moments)]
    assert sorted(together) == alone

    for is_clock_known in (True, False):
        strays = [i.id for i in items if astray(order, Generations([i]), moments, is_clock_known=is_clock_known)]
        listed = astray(order, Generations(items), moments, is_clock_known=is_clock_known)
        assert sorted(item.id for item in listed) == strays


def test_the_nearest_in_time_are_those_with_an_id_and_a_time():
    items = [made(n, "p", BEGAN + n * 10) for n in range(9)]
    items += [made(100, "p", None), Reply(created_at=datetime.fromtimestamp(BEGAN + 41, UTC))]

    assert Generations(items).near(BEGAN + 41, 3) == {4: BEGAN + 40, 5: BEGAN + 50, 3: BEGAN + 30}
    assert Generations(items).near(BEGAN - 999, 2) == {0: BEGAN, 1: BEGAN + 10}
    assert Generations([]).near(BEGAN, 3) == {}


def test_a_call_that_is_reserved_after_the_history_was_read_is_nobodys_rival_in_it(ledger_at):
    clock = [BEGAN]
    ledger: Ledger = ledger_at("one", lambda: clock[0])
    lost = reserved(ledger, "same")
    clock[0] += 60
    services = services_of(ledger, Told([made(7, "same", BEGAN + 1)]))
    (order,) = [Order.resumed(row, catalog().resolve("text", "gpt-5", {})) for row in ledger.open_calls(ACCOUNT, API)]
    order.shelf = Shelf(services, BEGAN)

    async def look() -> Reply | None:
        await order.shelf.of("text", "gpt-5")
        reserved(ledger, "same")
        return await find(services, order)

    found = asyncio.run(look())
    assert found is not None
    assert ledger.call(lost).generation_id == found.id == 7
