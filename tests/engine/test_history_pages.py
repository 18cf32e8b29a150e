"""The account's history in every form: a generation is "not there" only where all of it was read."""

import asyncio
import json
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

import elumenta_nb as el
from elumenta_nb import _wire as wire
from elumenta_nb._errors import NotFound
from elumenta_nb._history import Listing

NOW = time.time()
DAY = 86400.0


def row(number: int, ago_s: float | None = 0.0, **more: Any) -> dict[str, Any]:
    made = {} if ago_s is None else {"created_at": datetime.fromtimestamp(NOW - ago_s, UTC).isoformat()}
    return {
        "id": number,
        "status": "completed",
        "model_slug": "gpt-5",
        "prompt": "p",
        "tokens_spent": 2,
        **made,
        **more,
    }


NEW = row(9000)
OLD = [row(1000 - n, DAY + n * 60) for n in range(150)]  # the newest first
SAME_TIME = [row(n, DAY) for n in range(150)]
BARE = {name: value for name, value in NEW.items() if name != "id"}


class Paged:
    """A server that gives these rows, at most `cap` on a page; `tells_total`: with their number."""

    skew_s = 0.0

    def __init__(self, rows: list[Any], *, cap: int = 100, tells_total: bool = True, total: int | None = None) -> None:
        self.rows, self.cap, self.tells_total, self.total = rows, cap, tells_total, total
        self.asked = 0

    def body(self, page: int, limit: int) -> Any:
        size = min(limit, self.cap)
        body: dict[str, Any] = {"items": self.rows[(page - 1) * size : page * size]}
        if self.tells_total:
            body["total"] = len(self.rows) if self.total is None else self.total
        return body

    async def history(self, *, page: int, limit: int, **_filters: Any) -> Any:
        self.asked += 1
        read = wire.read_history(json.loads(json.dumps(self.body(page, limit))), page=page, limit=limit)
        assert read is not None
        return read


class Repeating(Paged):
    """Gives its first page whatever is asked for."""

    def body(self, page: int, limit: int) -> Any:
        return super().body(1, limit)


class Shrinking(Paged):
    """Somebody deletes a generation while the pages are read: one moves to a page that was read before."""

    def body(self, page: int, limit: int) -> Any:
        told = super().body(page, limit)
        self.rows = self.rows[1:]
        return told


class Growing(Paged):
    """Somebody makes a generation while the pages are read."""

    def body(self, page: int, limit: int) -> Any:
        told = super().body(page, limit)
        self.rows = [row(10_000 + page, None), *self.rows]
        return told


class Ending(Paged):
    """A page after the last is not found."""

    async def history(self, *, page: int, limit: int, **filters: Any) -> Any:
        if page > 1 and not self.body(page, limit)["items"]:
            raise NotFound("no such page", status=404)
        return await super().history(page=page, limit=limit, **filters)


def listing(client: Any) -> Listing:
    services: Any = SimpleNamespace(client=client)
    return asyncio.run(Listing.read(services, "text", "gpt-5", NOW - 60))


WHOLE = {
    "nothing": Paged([]),
    "nothing, without a total": Paged([], tells_total=False),
    "one page": Paged([NEW, *OLD[:20]]),
    "two pages": Paged([NEW, *[row(n, 1) for n in range(120)]]),
    "two pages, the oldest first": Paged([*OLD[::-1], NEW]),
    "two pages of one time, the oldest first": Paged([*SAME_TIME, NEW]),
    "small pages": Paged([*SAME_TIME[:50], NEW], cap=20),
    "small pages without a total": Paged([*SAME_TIME[:50], NEW], cap=20, tells_total=False),
    "small pages without a total, all of them full": Paged([*SAME_TIME[:39], NEW], cap=20, tells_total=False),
    "without a total, and no page after the last": Ending([*SAME_TIME[:10], NEW], tells_total=False),
    "the newest first, far more than is told": Paged([NEW, *OLD], total=10_000),
    "the newest first, without a total, and the same page for ever": Repeating([NEW, *OLD], tells_total=False),
    "one more is made meanwhile": Growing([NEW, *SAME_TIME]),
    "an old row without an id": Paged([NEW, *OLD[:5], {k: v for k, v in OLD[6].items() if k != "id"}]),
}
NOT_WHOLE = {
    "nothing, but one is told": Paged([], total=1),
    "fewer than are told": Paged([*SAME_TIME[:20]], total=21),
    "one old item of many": Paged([OLD[0]], total=150),
    "a page that says nothing": Paged(["x"], tells_total=False),
    "a row that says nothing": Paged([*OLD[:3], {"kind": "banner"}]),
    "a row without an id": Paged([BARE]),
    "a row without an id and time": Paged([{k: v for k, v in BARE.items() if k != "created_at"}]),
    "the same page for ever": Repeating(SAME_TIME, tells_total=False),
    "the same page for ever, with a total": Repeating(SAME_TIME),
    "one is deleted meanwhile": Shrinking(SAME_TIME),
    "too many, the oldest first": Paged([row(n, DAY * 99 - n) for n in range(150)], cap=1),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_history_that_was_read_to_its_end_shows_what_there_is(name):
    read = listing(WHOLE[name])

    assert read.whole
    assert (read.item(9000) is not None) == (NEW in WHOLE[name].rows)


@pytest.mark.parametrize("name", NOT_WHOLE)
def test_where_something_of_it_may_be_missing_nothing_is_concluded(name):
    assert not listing(NOT_WHOLE[name]).whole


def test_a_long_history_with_the_newest_first_is_read_no_further_than_needed():
    client = Paged([NEW, *[row(5000 - n, 100 + n * 60) for n in range(5000)]])

    assert listing(client).whole
    assert client.asked == 1


# ------------------------------------------------------------------ one word under which the list stands


ITEMS = [row(7)]
ENVELOPES = {
    "a list": ITEMS,
    "items": {"items": ITEMS, "total": 1},
    "generations": {"generations": ITEMS, "total": 1},
    "history": {"history": ITEMS},
    "results": {"results": ITEMS},
    "data": {"data": ITEMS, "meta": {"total": 1}},
    "data and items": {"success": True, "data": {"items": ITEMS, "total": 1}},
    "an empty list before it": {"items": [], "generations": ITEMS},
}


@pytest.mark.parametrize("name", ENVELOPES)
def test_the_list_is_found_under_any_of_its_names(name):
    read = wire.read_history(ENVELOPES[name])

    assert read is not None
    assert [item.id for item in read.items] == [7]
    assert read.total in ((1,) if "total" in json.dumps(ENVELOPES[name]) else (None,))


NO_LIST: list[Any] = [
    {},
    None,
    "",
    5,
    {"error": "maintenance", "message": "try later"},
    {"error": "maintenance", "items": []},
    {"items": None, "total": 1},
    {"items": 5},
    {"data": {"message": "later"}},
]


@pytest.mark.parametrize("body", NO_LIST, ids=json.dumps)
def test_an_answer_without_a_list_is_no_empty_history(body):
    assert wire.read_history(body) is None


@pytest.mark.parametrize(
    "body", [*NO_LIST[:5], {"items": [], "total": 1}, {"items": [{"status": "completed"}], "total": 1}], ids=json.dumps
)
def test_a_lost_call_is_not_bought_again_on_the_word_of_a_history_that_cannot_be_read(world, later, body):
    """It was charged; the history told nothing when it was looked up, and long after the grace still tells nothing."""
    world.server.fault("drop_after", path="/generate", method="POST")
    world.server.fault("garbage", path="/user/history", body=json.dumps(body), times=1000)
    with pytest.raises(el.OutcomeUnknown) as caught:
        world.buy("gpt-5")
    call_id = caught.value.call_id

    later().reconcile()
    row = world.session.ledger().call(call_id)
    assert (row.status, row.held) == ("unknown", 2)

    world.server.faults.clear()
    later().reconcile()
    assert world.session.ledger().call(call_id).status == "completed"
    assert world.booked == world.charged == 2


def test_an_account_s_history_that_cannot_be_read_is_said(world):
    world.server.fault("garbage", path="/user/history", body='{"error": "maintenance"}', times=1000)

    with pytest.raises(el.BadReply, match="does not hold a list of generations"):
        world.session.account_history()


def test_a_call_of_this_moment_is_looked_for_among_the_newest_and_an_old_one_further_back():
    """Beside a map that makes thousands, each lost answer would else read the quarter of an hour before it."""
    now = time.time()
    services: Any = SimpleNamespace(client=Paged([row(9000 - n, (now - NOW) * -1 + n) for n in range(3000)]))

    asyncio.run(Listing.read(services, "text", "gpt-5", now - 10))
    assert services.client.asked == 1

    asyncio.run(Listing.read(services, "text", "gpt-5", now - 600))
    assert services.client.asked == 1 + 16, "1,500 seconds of one a second"
